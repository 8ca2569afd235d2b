//! `no_secrets_in_output`: what is secret stays out of logs.
//!
//! **Invariant:** reads the marks that were put in place of secrets when events were made; it never
//! sees a secret.

use std::collections::BTreeMap;

use brownout_provider::event::{ClaimBy, Mode};

use super::support::{NoParameters, bare, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::trace::{OperationId, Trace, in_short};

/// How a mark in a text begins.
const MARK: &str = "⟦secret:";

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_secrets_in_output",
    summary: "The API key, and what is planted in the inputs, occur nowhere in what the client writes.",
    headline: "wrote a secret into their output",
    rule: "No line that the client writes (standard output, standard error, its claims) holds the API key \
           or another secret of the run, plainly or as base64, URL-escaped or JSON-escaped. Secrets are \
           the keys that the client is given, and the markers that an input asks for with \
           `{{ planted.card }}` and `{{ planted.prompt }}`.",
    exercised_by: "Any output of the client.",
    parameters: &[],
    tolerates: "Everything else that a client writes.",
    cure: "Log the request's method, path and id, never its headers, and keep whole request objects out of \
           error messages.",
    why: "Logs are copied, shipped and read by many: a key in one of them has to be changed everywhere, and \
          a customer's words have left the house.",
    faults: &["status", "rate_limited", "reset", "malformed"],
    without_a_fault: "any output of the client",
    modes: &[
        "It sees what the client writes and the words of its claims; under `brownout serve` there are only \
         the words.",
    ],
    example: "no_secrets_in_output",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoSecretsInOutput),
};

#[derive(Debug)]
struct NoSecretsInOutput;

impl Invariant for NoSecretsInOutput {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut leaks = BTreeMap::<Leak<'_>, Lines<'_>>::new();
        for output in trace.outputs() {
            let marks: Vec<&str> = output.secrets.iter().map(|mark| trace.text(*mark)).collect();
            let stream = trace.text(output.stream);
            found(&mut leaks, output.operation, stream, &marks, (output.seq, &output.text));
        }
        let mut claims = 0;
        for (_, submit) in trace.submits() {
            for claim in trace.claims(submit) {
                // What the driver notes of an answer that says nothing is the client's own text, too.
                let detail = claim.detail.map_or("", |detail| trace.text(detail));
                let is_own = claim.by == ClaimBy::Client && is_output(trace.mode(), detail);
                claims += usize::from(is_own);
                found(&mut leaks, Some(submit.operation), CLAIM, &[], (claim.seq, detail));
            }
        }
        let violations = leaks.iter().map(|(leak, lines)| violation(trace, leak, lines)).collect();
        let lines = trace.client_outputs().count();
        Judgement::new(lines + claims, violations, "the client wrote nothing")
    }
}

/// True where a claim is the client's own output: an exit code is put into words by the driver, and a
/// client in this process that gives no words has written nothing.
fn is_output(mode: Mode, detail: &str) -> bool {
    let number = detail.strip_prefix(EXIT_CODE);
    match mode {
        Mode::Exec | Mode::Suite => number.is_none_or(|code| code.parse::<i32>().is_err()),
        Mode::InProcess => !detail.is_empty(),
        Mode::Stdio | Mode::Http | Mode::Serve => true,
    }
}

/// How a driver begins its words for a claim that is an exit code.
const EXIT_CODE: &str = "exit code ";

/// Where a secret went, and which: lines that differ in nothing else are one violation.
type Leak<'a> = (Option<OperationId>, &'a str, &'a str);

/// The lines of a leak: their events, and the text of the first.
type Lines<'a> = (Vec<u32>, &'a str);

/// The stream of what a client claims.
const CLAIM: &str = "its claim";

/// A secret of which the trace does not say what it is.
const UNNAMED: &str = "";

/// Takes note of the secrets in a line.
fn found<'a>(
    leaks: &mut BTreeMap<Leak<'a>, Lines<'a>>,
    operation: Option<OperationId>,
    stream: &'a str,
    marks: &[&'a str],
    (seq, text): (u32, &'a str),
) {
    let unnamed = marks.is_empty() && text.contains(MARK);
    for mark in marks.iter().copied().chain(unnamed.then_some(UNNAMED)) {
        let (seqs, _) = leaks.entry((operation, stream, mark)).or_insert((Vec::new(), text));
        seqs.push(seq);
    }
}

fn violation(trace: &Trace, leak: &Leak<'_>, lines: &Lines<'_>) -> Violation {
    let ((operation, stream, mark), (seqs, first)) = (*leak, lines);
    let what = if mark == UNNAMED { "a secret".to_owned() } else { format!("`{mark}`") };
    let often = match seqs.len() {
        1 => String::new(),
        many => format!(" {many} times, first"),
    };
    let message = format!("the client wrote {what} to {stream}{often}: `{}`", in_short(first));
    match operation {
        Some(operation) => Violation::new(trace, operation, message, seqs.iter().copied()),
        None => Violation::of_run(message, seqs.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    fn check(lines: &str) -> String {
        verdict("no_secrets_in_output", &Value::Null, lines)
    }

    #[test]
    fn a_mark_in_a_line_is_a_secret_in_the_output() {
        let line = r#"{"at_us":1,"event":"client_output","stream":"stderr","text":"key ⟦secret:api_key:base64⟧","secrets":["api_key:base64"]}"#;
        assert_eq!(check(line), "failed run");
        assert_eq!(
            message("no_secrets_in_output", &Value::Null, &trace(line)),
            "the client wrote `api_key:base64` to stderr: `key ⟦secret:api_key:base64⟧`"
        );
        let of_operation = line.replace(r#""stream""#, r#""operation":"op-0001","stream""#);
        assert_eq!(check(&of_operation), "failed op-0001");
    }

    #[test]
    fn a_planted_marker_is_a_secret_of_its_own_kind() {
        let line = r#"{"at_us":1,"event":"client_output","stream":"stderr","text":"paid by ⟦secret:card:url⟧","secrets":["card:url"]}"#;
        assert_eq!(check(line), "failed run");
        assert_eq!(
            message("no_secrets_in_output", &Value::Null, &trace(line)),
            "the client wrote `card:url` to stderr: `paid by ⟦secret:card:url⟧`"
        );
        let ended = line.replace("⟦secret:card:url⟧", "card").replace(r#"["card:url"]"#, "[]");
        assert_eq!(check(&ended), "passed");
    }

    #[test]
    fn lines_with_one_secret_are_one_violation() {
        let line = r#"{"at_us":1,"event":"client_output","stream":"stderr","text":"⟦secret:a:plain⟧","secrets":["a:plain"]}"#;
        let other = line.replace("a:plain", "b:plain").replace(":1,", ":2,");
        let lines = format!("{line}\n{line}\n{line}\n{other}");
        assert_eq!(check(&lines), "failed run run");
        assert_eq!(
            message("no_secrets_in_output", &Value::Null, &trace(&lines)),
            "the client wrote `a:plain` to stderr 3 times, first: `⟦secret:a:plain⟧`"
        );
    }

    #[test]
    fn a_claim_is_output_too() {
        let claim = r#"{"at_us":1,"event":"operation_finished","claim":"failed","detail":"401 for ⟦secret:api_key:plain⟧"}"#;
        assert_eq!(check(claim), "failed op-0001");
        assert_eq!(check(&claim.replace('⟦', "(")), "passed");
    }

    #[test]
    fn an_exit_code_is_no_output() {
        let judged = |mode: &str, detail: &str| {
            let claim = json!({"at_us": 1, "event": "operation_finished", "claim": "succeeded", "detail": detail});
            let trace = trace_with(&json!({"mode": mode}), &claim.to_string());
            in_short(&invariant("no_secrets_in_output", &Value::Null).check(&trace))
        };
        assert_eq!(judged("exec", "exit code 0"), "not exercised");
        assert_eq!(judged("exec", "paid with ch_1"), "passed");
        assert_eq!(judged("in_process", ""), "not exercised");
        assert_eq!(judged("stdio", "exit code 0"), "passed", "the client's own words");
    }

    #[test]
    fn clean_output_passes_and_silence_exercises_nothing() {
        assert_eq!(check(r#"{"at_us":1,"event":"client_output","text":"done"}"#), "passed");
        assert_eq!(check(r#"{"at_us":1,"event":"request_received","request":1}"#), "not exercised");
    }
}
