//! What the tests of the faults share.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Action, Fault, FaultKind};
use crate::api::load;
use crate::coordinates::Coordinates;
use crate::document::{Diagnostic, Diagnostics};
use crate::seed::{Draw, RuleKey, Seed};

/// A draw that is the same in every test.
pub(super) fn draw() -> Draw {
    RuleKey::new(Seed::default(), "test").draw(&Coordinates {
        provider: "provider",
        route: "create_charge",
        operation: "op-0001",
        submit: 1,
        attempt: 1,
    })
}

/// The fault with these parameters, which must be right.
pub(super) fn parsed(kind: &FaultKind, value: &Value) -> Arc<dyn Fault> {
    let diagnostics = Diagnostics::new();
    let fault = (kind.parse)(value, &diagnostics.root());
    let problems = diagnostics.into_vec();
    assert!(problems.is_empty(), "{value}: {problems:?}");
    fault.expect("nothing was wrong with it")
}

/// What the fault with these parameters does.
pub(super) fn struck(kind: &FaultKind, value: &Value) -> Action {
    parsed(kind, value).strike(&mut draw())
}

/// What the checker says of the fault with these parameters on a route of the plain API.
pub(super) fn checked(kind: &FaultKind, value: &Value, route: Option<&str>) -> Vec<Diagnostic> {
    let diagnostics = Diagnostics::new();
    let root = diagnostics.root();
    let (api, _) = load("payments", Path::new("."), &root).expect("a shipped API");
    parsed(kind, value).check(&api, route, &root);
    diagnostics.into_vec()
}

/// Where something is wrong with these parameters, in the order found; each with a cure.
pub(super) fn problems(kind: &FaultKind, value: &Value) -> Vec<String> {
    let diagnostics = Diagnostics::new();
    let fault = (kind.parse)(value, &diagnostics.root());
    assert!(diagnostics.has_errors(), "{value} is taken: {fault:?}");
    let problems = diagnostics.into_vec();
    for problem in &problems {
        let says_enough =
            ["expected ", "the key "].iter().any(|word| problem.message.starts_with(word));
        let helps = problem.cure.is_some() || !problem.allowed.is_empty() || says_enough;
        assert!(helps, "{value}: no cure for `{}` at `{}`", problem.message, problem.path);
    }
    problems.into_iter().map(|problem| problem.path).collect()
}
