//! The verdict: what a run says of a client, as data. Reports only ever see this and the trace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use brownout_provider::event::Mode;
use serde::Serialize;

use crate::by_name::ByName;

/// What is said of a scenario, and of a whole invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything expected was judged and held, as far as it was exercised.
    Passed,
    /// Nothing can be said.
    Inconclusive,
    /// An invariant failed.
    Failed,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}

/// What is said of one invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvariantVerdict {
    /// It was exercised and held.
    Passed,
    /// It was violated.
    Failed,
    /// The run never met what it is about.
    NotExercised,
}

/// One violation, with the events that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The operation it is about; `None` for one about the whole run.
    pub operation: Option<Arc<str>>,
    /// What was expected and what was seen, in one sentence.
    pub message: String,
    /// Event numbers (`seq`) that prove it, ascending.
    pub evidence: Vec<u64>,
}

/// One invariant of one run, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvariantResult {
    /// The name.
    pub name: &'static str,
    /// The verdict.
    pub verdict: InvariantVerdict,
    /// How many situations it was about.
    pub exercised: u64,
    /// Why it was not exercised.
    pub reason: Option<String>,
    /// The violations.
    pub violations: Vec<Violation>,
    /// True when it passed and the trace is cut, so that it holds only as far as the trace goes.
    pub partial: bool,
}

impl InvariantResult {
    /// Takes back what cannot be told.
    pub(crate) fn leave_unjudged(&mut self, why: &str) {
        self.verdict = InvariantVerdict::NotExercised;
        self.exercised = 0;
        self.violations.clear();
        self.partial = false;
        self.reason = Some(why.to_owned());
    }
}

/// Operations by what was claimed of them (submits, where there are several).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperationCounts {
    /// All.
    pub total: u64,
    /// Claimed succeeded.
    pub succeeded: u64,
    /// Claimed failed.
    pub failed: u64,
    /// Honestly unknown.
    pub unknown: u64,
    /// No claim by the client.
    pub unclaimed: u64,
}

/// Money (or tokens) of one unit, in its smallest part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// Live effects of billed kinds.
    pub billed: i64,
    /// Of these, one per operation, kind and subject that reached the client.
    pub delivered: i64,
    /// The difference.
    pub wasted: i64,
    /// Effects beyond the first of an operation: what "too much" means.
    #[serde(skip)]
    pub beyond_first: i64,
}

/// What of a run belongs to one of several providers or tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Attempts on the wire.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
    /// Effects by kind, live at the end.
    pub effects: BTreeMap<String, u64>,
}

/// One run of one scenario with one seed, judged.
#[derive(Clone, Debug)]
pub struct ScenarioResult {
    /// The scenario's name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The seed.
    pub seed: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is inconclusive.
    pub reason: Option<String>,
    /// Why nothing could be said if no invariant had failed; what a baseline leaves of a failed run.
    pub doubt: Option<String>,
    /// True when it is inconclusive for this alone: the scenario has fault rules and none struck. With
    /// many seeds such a run is shown and does not count.
    pub no_strike: bool,
    /// The control run: `None` if it was left out, else whether it passed.
    pub control: Option<ControlResult>,
    /// SHA-256 over the drawn schedule, in hexadecimal.
    pub schedule_hash: String,
    /// Strikes by rule.
    pub faults: BTreeMap<String, u64>,
    /// Operations by claim.
    pub operations: OperationCounts,
    /// Attempts on the wire.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
    /// Effects by kind, live at the end.
    pub effects: BTreeMap<String, u64>,
    /// Money by unit.
    pub money: BTreeMap<String, Money>,
    /// What came to each provider, where there are several.
    pub providers: ByName<Share>,
    /// What came from each tenant, where there are several.
    pub tenants: ByName<Share>,
    /// How operations were recognised: how many requests by which way.
    pub recognized: BTreeMap<String, u64>,
    /// How the client was driven.
    pub mode: Mode,
    /// The invariants in the order of `expect`.
    pub invariants: Vec<InvariantResult>,
    /// Remarks for people: what was cut, what stands outside the schedule.
    pub notes: Vec<String>,
    /// The one of them that says that the client may be a test suite that was not run as one.
    pub batch_remark: Option<String>,
    /// The command that reproduces it.
    pub reproduce: String,
    /// How the suite ended; `None` in every other mode.
    pub suite: Option<SuiteEnd>,
    /// Where the trace stands; `None` when it was kept in memory.
    pub trace: Option<PathBuf>,
    /// Wall time.
    pub elapsed_ms: u64,
}

/// What came of the control run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlResult {
    /// True when every operation succeeded by the client's own word; of a suite, when it sent a request.
    pub passed: bool,
    /// What went wrong.
    pub reason: Option<String>,
    /// How the suite ended; `None` in every other mode.
    pub suite: Option<SuiteEnd>,
}

/// How a suite ended: its own word, which makes no claim about any operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuiteEnd {
    /// The exit code, unless a signal ended it.
    #[serde(rename = "exit_code")]
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// True when the harness ended it.
    pub killed: bool,
    /// The last line that it wrote to standard output or standard error, every secret marked.
    pub last_line: Option<String>,
    /// How many operations were seen on the wire.
    pub operations: u64,
}

impl SuiteEnd {
    /// True for exit code 0.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.code == Some(0) && !self.killed
    }

    /// How it ended: `exit code 1`.
    #[must_use]
    pub fn exit(&self) -> String {
        match (self.killed, self.code, self.signal) {
            (true, ..) => "ended by brownout".to_owned(),
            (_, Some(code), _) => format!("exit code {code}"),
            (_, None, Some(signal)) => format!("signal {signal}"),
            (_, None, None) => "no exit code".to_owned(),
        }
    }

    /// The same with its last line unless all was well: `exit code 1; its last line: …`.
    #[must_use]
    pub fn how(&self) -> String {
        let how = self.exit();
        match &self.last_line {
            Some(last) if !self.is_well() => format!("{how}; its last line: `{last}`"),
            _ => how,
        }
    }

    /// The same as a sentence: `the suite ended with exit code 1 (last line: …)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let how = match (self.killed, self.code, self.signal) {
            (true, ..) => "the suite was ended by brownout".to_owned(),
            (_, Some(code), _) => format!("the suite ended with exit code {code}"),
            (_, None, Some(signal)) => format!("the suite died of signal {signal}"),
            (_, None, None) => "the suite ended".to_owned(),
        };
        match &self.last_line {
            Some(last) => format!("{how} (last line: `{last}`)"),
            None => format!("{how} (it wrote nothing)"),
        }
    }
}
