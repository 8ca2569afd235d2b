//! Invariants of the test's own: a closure over the trace.
//!
//! **Invariant:** what a closure finds is shown like what the built-in invariants find, in verdict,
//! report and JSON alike.

use std::fmt;
use std::sync::Arc;

use brownout_provider::document::At;
use serde_json::Value;

use crate::invariant::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Expectation;
use crate::trace::Trace;

/// What a closure over the trace found: how often the run met what it is about, and what was wrong.
///
/// It passes when the situation was met and nothing was wrong; a run that never met it leaves it not
/// exercised.
///
/// ```
/// use brownout::Finding;
///
/// let held = Finding::held(3);
/// let unmet = Finding::not_exercised("no answer was slow");
/// let broken = Finding::held(2).violated("op-0003", "it asked 9 times; 5 are allowed", [17, 31]).met();
/// assert_eq!((held.exercised(), unmet.exercised(), broken.exercised()), (3, 0, 4));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding(Judgement);

impl Finding {
    /// The situation was met so many times, and nothing was wrong. With 0 it is not exercised.
    #[must_use]
    pub fn held(times: u64) -> Self {
        Self(Judgement { exercised: times, ..Judgement::default() })
    }

    /// Counts one situation more in which nothing was wrong. What was found before stays.
    #[must_use]
    pub fn met(mut self) -> Self {
        self.0.exercised += 1;
        self
    }

    /// The run never met the situation, and why.
    #[must_use]
    pub fn not_exercised(why: impl Into<String>) -> Self {
        Self(Judgement { reason: Some(why.into()), ..Judgement::default() })
    }

    /// Something was wrong with the run as a whole: what was expected and what was seen, in one sentence.
    #[must_use]
    pub fn broken(message: impl Into<String>) -> Self {
        Self::default().with(None, message.into(), Vec::new())
    }

    /// Adds a violation by one operation: its name (such as `op-0003`), what was expected and what was
    /// seen in one sentence, and the events that prove it (`seq`), of which there may be none. It counts
    /// as one situation more.
    #[must_use]
    pub fn violated(
        self,
        operation: &str,
        message: impl Into<String>,
        evidence: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut evidence: Vec<u64> = evidence.into_iter().collect();
        evidence.sort_unstable();
        self.with(Some(operation.into()), message.into(), evidence)
    }

    /// How often the situation was met.
    #[must_use]
    pub fn exercised(&self) -> u64 {
        self.0.exercised
    }

    fn with(mut self, operation: Option<Arc<str>>, message: String, evidence: Vec<u64>) -> Self {
        self.0.exercised += 1;
        self.0.violations.push(Violation { operation, message, evidence });
        self
    }
}

/// A closure that judges a trace.
struct Custom<F>(F);

impl<F> fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl<F: Fn(&Trace) -> Finding + Send + Sync> Invariant for Custom<F> {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        (self.0)(trace).0
    }
}

/// The expectation of this name.
pub(super) fn expectation(
    name: &'static str,
    judge: impl Fn(&Trace) -> Finding + Send + Sync + 'static,
) -> Expectation {
    Expectation {
        name,
        invariant: Arc::new(Custom(judge)),
        index: 0,
        policy: None,
        is_judged: true,
    }
}

/// What all closures have in common. It stands in no registry: a scenario file cannot name it.
static KIND: InvariantKind = InvariantKind {
    name: "custom",
    summary: "",
    headline: "broke a rule of the test's own",
    rule: "what the test says",
    exercised_by: "what the test says",
    parameters: &[],
    tolerates: "what the test says",
    cure: "",
    why: "",
    faults: &[],
    without_a_fault: "",
    modes: &[],
    example: "",
    bare: true,
    // The closure reads the trace as it is; whoever writes it weighs the guesses.
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: |_| schemars::json_schema!({ "type": "null" }),
    parse: |_: &Value, _: &At<'_>| None,
};
