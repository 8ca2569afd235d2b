//! The report for other programs: one JSON document whose shape is a contract.
//!
//! | key | holds |
//! |---|---|
//! | `version` | 1 |
//! | `verdict` | `passed`, `failed` or `inconclusive`; `null` when nothing was judged |
//! | `error` | left out when all went well; else `exit_code` (3 or 4), `message`, and `diagnostics` |
//! | `error.diagnostics` | one entry a mistake in a file of the user's, as [`PlacedDiagnostic`] says; left out when no file is wrong |
//! | `scenarios` | one entry a scenario and seed; empty when nothing was judged |
//! | `scenarios[].invariants[].known` | `{reason, date}` where the baseline knows the violation, which then fails nothing; else left out |
//! | `scenarios[].suite` | `{exit_code, signal, killed, last_line, operations}` of the suite's own end; left out in every other mode |
//! | `scenarios[].providers` | what came to each provider: `{requests, retries, effects}` by name; left out where there is one |
//! | `scenarios[].tenants` | the same of each tenant; left out where there are none |
//! | `baseline` | `{file, entries, not_run, stale: [{line, scenario, invariant}]}`; left out without `--baseline` |
//!
//! Where a scenario is wrong nothing runs, the exit code is 3, and the document reads
//! `{"version":1,"verdict":null,"error":{"exit_code":3,"message":"…","diagnostics":[{"file":"a.yaml",
//! "line":2,"column":1,"path":"nmae","message":"…","allowed":["name"],"did_you_mean":"name",
//! "cure":null}]},"scenarios":[]}`; people find the same on standard error.
//!
//! **Invariant:** keys are only ever added, and `version` changes when the meaning of one does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::baseline::{Compared, Known};
use super::{Entry, Format, PlacedDiagnostic, Report};
use crate::by_name::ByName;
use crate::invariant::Violation;
use crate::verdict::{
    InvariantResult, InvariantVerdict, Money, OperationCounts, Share, SuiteEnd, Verdict,
};

/// The format's entry in the registry.
pub static FORMAT: Format = Format {
    name: "json",
    summary: "one document for other programs; its shape is a contract",
    render,
    aside: None,
};

/// The version of the document's shape.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// `None` when nothing was judged, because something was wrong.
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument<'a>>,
    scenarios: Vec<ScenarioDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a Compared>,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    exit_code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diagnostics: &'a [PlacedDiagnostic],
}

#[derive(Serialize)]
struct ScenarioDocument<'a> {
    name: &'a str,
    file: &'a str,
    seed: u64,
    verdict: Verdict,
    reason: Option<&'a str>,
    control: Option<&'static str>,
    schedule_hash: &'a str,
    faults: &'a BTreeMap<String, u64>,
    operations: &'a OperationCounts,
    requests: u64,
    retries: u64,
    effects: &'a BTreeMap<String, u64>,
    money: &'a BTreeMap<String, Money>,
    #[serde(skip_serializing_if = "ByName::is_empty")]
    providers: &'a ByName<Share>,
    #[serde(skip_serializing_if = "ByName::is_empty")]
    tenants: &'a ByName<Share>,
    invariants: Vec<InvariantDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<&'a SuiteEnd>,
    reproduce: &'a str,
    trace: Option<String>,
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct InvariantDocument<'a> {
    name: &'static str,
    verdict: InvariantVerdict,
    exercised: u64,
    reason: Option<&'a str>,
    violations: Vec<ViolationDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<&'a Known>,
}

#[derive(Serialize)]
struct ViolationDocument<'a> {
    operation: Option<&'a str>,
    message: &'a str,
    evidence: &'a [u64],
}

fn render(report: &Report) -> String {
    let document = Document {
        version: VERSION,
        verdict: (report.trouble.is_none() || !report.entries.is_empty()).then(|| report.verdict()),
        error: report.trouble.as_ref().map(|trouble| ErrorDocument {
            exit_code: trouble.exit_code,
            message: &trouble.message,
            diagnostics: &trouble.diagnostics,
        }),
        scenarios: report.entries.iter().map(scenario).collect(),
        baseline: report.baseline.as_ref(),
    };
    let mut text = serde_json::to_string_pretty(&document)
        .expect("strings, numbers and lists always make a JSON document");
    text.push('\n');
    text
}

fn scenario(entry: &Entry) -> ScenarioDocument<'_> {
    let result = &entry.result;
    ScenarioDocument {
        name: &result.name,
        file: &result.file,
        seed: result.seed,
        verdict: result.verdict,
        reason: result.reason.as_deref(),
        control: result.control.as_ref().map(|it| if it.passed { "passed" } else { "failed" }),
        schedule_hash: &result.schedule_hash,
        faults: &result.faults,
        operations: &result.operations,
        requests: result.requests,
        retries: result.retries,
        effects: &result.effects,
        money: &result.money,
        providers: &result.providers,
        tenants: &result.tenants,
        invariants: result.invariants.iter().map(|one| invariant(entry, one)).collect(),
        suite: result.suite.as_ref(),
        reproduce: &result.reproduce,
        trace: result.trace.as_ref().map(|path| path.display().to_string()),
        elapsed_ms: result.elapsed_ms,
    }
}

fn invariant<'a>(entry: &'a Entry, result: &'a InvariantResult) -> InvariantDocument<'a> {
    let failed = result.verdict == InvariantVerdict::Failed;
    InvariantDocument {
        name: result.name,
        verdict: result.verdict,
        exercised: result.exercised,
        reason: match &result.reason {
            None if result.partial => Some("passed as far as the trace goes"),
            reason => reason.as_deref(),
        },
        violations: result.violations.iter().map(violation).collect(),
        known: entry.known(result.name).filter(|_| failed),
    }
}

fn violation(one: &Violation) -> ViolationDocument<'_> {
    ViolationDocument {
        operation: one.operation.as_deref(),
        message: &one.message,
        evidence: &one.evidence,
    }
}
