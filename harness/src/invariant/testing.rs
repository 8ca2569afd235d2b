//! Judging a trace written by hand, for tests.

use std::sync::Arc;

use brownout_provider::document::Diagnostics;
use serde_json::{Value, json};

use super::registry::find;
use super::{Invariant, Judgement};
use crate::trace::Trace;
use crate::trace::testing::{trace, trace_with};

/// The invariant with these parameters (`null` for the bare word), which must be right.
pub(crate) fn invariant(name: &str, parameters: &Value) -> Arc<dyn Invariant> {
    let problems = Diagnostics::new();
    let kind = find(name).unwrap_or_else(|| panic!("`{name}` stands in the registry"));
    let invariant = (kind.parse)(parameters, &problems.root());
    assert_eq!(problems.into_vec(), [], "{name}: {parameters}");
    invariant.expect("right parameters give an invariant")
}

/// What an invariant says of a run in virtual time, in short: `passed`, `not exercised`, or `failed` and
/// the operations.
pub(crate) fn verdict(name: &str, parameters: &Value, lines: &str) -> String {
    in_short(&invariant(name, parameters).check(&trace(lines)))
}

/// The same on the real clock.
pub(crate) fn verdict_on_real_clock(name: &str, parameters: &Value, lines: &str) -> String {
    let trace = trace_with(&json!({"clock": "real"}), lines);
    in_short(&invariant(name, parameters).check(&trace))
}

/// The message of the first violation.
pub(crate) fn message(name: &str, parameters: &Value, trace: &Trace) -> String {
    let judgement = invariant(name, parameters).check(trace);
    judgement.violations.first().expect("a violation").message.clone()
}

/// A judgement in short.
pub(crate) fn in_short(judgement: &Judgement) -> String {
    if !judgement.violations.is_empty() {
        assert!(judgement.exercised > 0, "what is violated was exercised");
        assert!(judgement.violations.iter().all(|one| !one.evidence.is_empty()), "no proof");
        let operations: Vec<&str> = judgement
            .violations
            .iter()
            .map(|violation| violation.operation.as_deref().unwrap_or("run"))
            .collect();
        return format!("failed {}", operations.join(" "));
    }
    if judgement.exercised == 0 {
        assert!(judgement.reason.is_some(), "what is not exercised says why");
        return "not exercised".to_owned();
    }
    "passed".to_owned()
}
