//! `retries_logged`: who reads the client's log sees that it tried again.
//!
//! **Invariant:** a line counts for every operation that it could be about; only what no line can explain is
//! held against the client.

use std::collections::{BTreeMap, BTreeSet};

use brownout_provider::document::At;
use brownout_provider::event::{Claim, Mode};

use super::support::{NoParameters, bare, events_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{OperationId, Output, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "retries_logged",
    summary: "Each retry, and each final failure, leaves a line in the client's output.",
    headline: "failed or were tried again without a word in the log",
    rule: "For each own retry, and for the last failure of an operation that did not succeed, there is a line \
           of the client's output that holds the operation's id (its name, or the value that identifies it), \
           or that names no operation and holds a request id or the status of the failure.",
    exercised_by: "A retry, or a last failure.",
    parameters: &[],
    tolerates: "Any wording, any stream, any order; a failure without a status, where some line names no \
                operation; repeats that the HTTP stack makes by itself.",
    cure: "Log each failed attempt where the decision to try again is made, with the operation's id, the \
           status or the error, and the wait; most libraries have a hook for it and are silent by default.",
    why: "Retries that nobody sees hide a problem that grows, until they no longer suffice.",
    faults: &["status", "rate_limited", "reset", "close"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[
        "It needs the client's output, of which `brownout serve` sees nothing; in http mode that is what a \
         service writes which brownout itself has started; a test in this process is heard by \
         `connection.log` and `tracing`.",
    ],
    example: "retries_logged",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, RetriesLogged),
};

#[derive(Debug)]
struct RetriesLogged;

/// The lines of a client's output, by what they name.
#[derive(Default)]
struct Lines {
    /// How many lines name the operation.
    named: BTreeMap<OperationId, usize>,
    /// How many lines that name none hold this status.
    of_status: BTreeMap<u16, usize>,
    /// How many lines name no operation, and hold a request id.
    of_request: usize,
    /// How many lines name neither operation, request nor status.
    other: usize,
}

impl Invariant for RetriesLogged {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if let Some(why) = unheard(trace) {
            return Judgement::new(0, Vec::new(), why);
        }
        let each = || trace.operations().map(|(id, _)| (id, to_be_logged(trace, id)));
        let failures = each().flat_map(|(_, failures)| failures);
        let response = |id| trace.request(id).response;
        let statuses = failures.filter_map(response).map(|response| response.status).collect();
        let mut lines = read(trace, &statuses);
        let (mut number, mut violations) = (0, Vec::new());
        for (id, failures) in each() {
            number += failures.len();
            violations.extend(silent(trace, id, &failures, &mut lines));
        }
        let why_not = "no attempt was followed by a retry, and none failed last";
        Judgement::new(number, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

/// Why nothing can be said: what the client writes does not reach the harness.
fn unheard(trace: &Trace) -> Option<&'static str> {
    let is_silent = trace.client_outputs().next().is_none();
    match trace.mode() {
        Mode::Serve => Some("nobody's output is seen where only the provider runs"),
        Mode::InProcess if is_silent => Some(
            "the client said nothing by `connection.log` or `tracing`, which is all that is heard here",
        ),
        Mode::Http if is_silent => Some("no output of the service was seen"),
        _ if trace.lines_not_kept() > 0 => Some("there was more output than a trace keeps"),
        Mode::Stdio | Mode::Exec | Mode::Suite | Mode::Http | Mode::InProcess => None,
    }
}

/// The failures that a log should tell of: those before an own retry, and the last of an operation that did
/// not succeed.
fn to_be_logged(trace: &Trace, id: OperationId) -> Vec<RequestId> {
    let attempts: Vec<RequestId> = trace.attempts_of(id).map(|(id, _)| id).collect();
    let retried = attempts.iter().filter(|id| trace.is_own_retry(**id));
    let mut failures: Vec<RequestId> =
        retried.filter_map(|id| trace.previous(*id)).filter(|id| trace.failed(*id)).collect();
    let succeeded = trace
        .submits_of(id)
        .filter_map(|(_, submit)| trace.final_claim(submit))
        .any(|claim| claim.claim == Claim::Succeeded);
    let last = attempts.last().copied().filter(|last| {
        !succeeded && trace.failed(*last) && !trace.ended_by_harness(trace.request(*last))
    });
    failures.extend(last);
    failures.sort_unstable();
    failures.dedup();
    failures
}

/// What each line of the output names; a number is a status where a failure had that status.
fn read(trace: &Trace, statuses: &BTreeSet<u16>) -> Lines {
    let owners = Owners::of(trace);
    let mut lines = Lines::default();
    for output in trace.client_outputs() {
        lines.take(output, &owners, statuses);
    }
    lines
}

/// The values that name an operation and occur in the output.
struct Owners<'a> {
    /// Every word of the output, and whose value it is.
    words: BTreeMap<&'a str, Owner>,
    /// The values of several words, by the rarest word of each.
    longer: BTreeMap<&'a str, Vec<(String, OperationId)>>,
}

/// Whose value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    One(OperationId),
    Several,
}

impl Owner {
    /// A value that two operations share names none.
    fn and(self, id: OperationId) -> Self {
        if matches!(self, Self::Nobody) || self == Self::One(id) {
            Self::One(id)
        } else {
            Self::Several
        }
    }
}

impl<'a> Owners<'a> {
    fn of(trace: &'a Trace) -> Self {
        // One by one: to collect them would keep each as often as it was said.
        let mut own = BTreeMap::<&str, Owner>::new();
        for word in trace.outputs().iter().flat_map(|output| words(&output.text)) {
            own.entry(word).or_insert(Owner::Nobody);
        }
        let mut longer = BTreeMap::<String, Owner>::new();
        for (id, _) in trace.operations() {
            for value in trace.identities_of(id) {
                if let Some(owner) = own.get_mut(&*value) {
                    *owner = owner.and(id);
                } else if words(&value).next().is_some()
                    && words(&value).all(|word| own.contains_key(word))
                {
                    let owner = longer.entry(value).or_insert(Owner::Nobody);
                    *owner = owner.and(id);
                }
            }
        }
        let mut number = BTreeMap::<&str, usize>::new();
        for word in longer.keys().flat_map(|value| words(value)) {
            let Some((word, _)) = own.get_key_value(word) else { continue };
            *number.entry(word).or_default() += 1;
        }
        let mut by_word = BTreeMap::<&str, Vec<(String, OperationId)>>::new();
        for (value, owner) in &longer {
            let its = words(value).filter_map(|word| number.get_key_value(word));
            let (Some((rarest, _)), Owner::One(owner)) = (its.min_by_key(|(_, one)| **one), *owner)
            else {
                continue;
            };
            by_word.entry(rarest).or_default().push((value.clone(), owner));
        }
        Self { words: own, longer: by_word }
    }

    /// The operations that a line names, of which these are the words.
    fn named_in(&self, line: &str, words: &BTreeSet<&str>) -> BTreeSet<OperationId> {
        let owner = |word: &&str| match self.words.get(word) {
            Some(Owner::One(id)) => Some(*id),
            Some(Owner::Nobody | Owner::Several) | None => None,
        };
        let longer = words.iter().filter_map(|word| self.longer.get(*word)).flatten();
        let longer = longer.filter(|(value, _)| holds(line, value)).map(|(_, owner)| *owner);
        words.iter().filter_map(owner).chain(longer).collect()
    }
}

/// True for what words are made of.
fn is_of_word(one: char) -> bool {
    one.is_ascii_alphanumeric() || matches!(one, '-' | '_')
}

/// The words of a line.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| !is_of_word(one)).filter(|word| !word.is_empty())
}

/// True for a line in which a value stands by itself.
fn holds(line: &str, value: &str) -> bool {
    line.match_indices(value).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + value.len()..].chars().next();
        !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word)
    })
}

/// True for a word that looks like the id of a request, such as `req_a1b2`.
fn is_request_id(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let id = ["req_", "req-"].iter().find_map(|prefix| word.strip_prefix(prefix));
    id.is_some_and(|id| id.len() >= 4 && id.bytes().any(|byte| byte.is_ascii_digit()))
}

impl Lines {
    fn take(&mut self, output: &Output, owners: &Owners<'_>, statuses: &BTreeSet<u16>) {
        let words: BTreeSet<&str> = words(&output.text).collect();
        let mut named = owners.named_in(&output.text, &words);
        let status =
            words.iter().find_map(|word| word.parse().ok().filter(|one| statuses.contains(one)));
        let has_request = words.iter().any(|word| is_request_id(word));
        // What a program says that has one operation is about that one.
        named.extend(output.operation.filter(|_| status.is_some() || has_request));
        if !named.is_empty() {
            for id in named {
                *self.named.entry(id).or_default() += 1;
            }
        } else if has_request {
            self.of_request += 1;
        } else if let Some(status) = status {
            *self.of_status.entry(status).or_default() += 1;
        } else {
            self.other += 1;
        }
    }

    /// Takes a line that may tell of a failure with this status.
    fn spend(&mut self, status: Option<u16>) -> bool {
        let of_status = status.and_then(|status| self.of_status.get_mut(&status));
        let pools = of_status.into_iter().chain([&mut self.of_request]);
        let other = Some(&mut self.other).filter(|_| status.is_none());
        match pools.chain(other).find(|pool| **pool > 0) {
            Some(pool) => {
                *pool -= 1;
                true
            }
            None => false,
        }
    }
}

/// The failures of an operation that no line can explain.
fn silent(
    trace: &Trace,
    id: OperationId,
    failures: &[RequestId],
    lines: &mut Lines,
) -> Option<Violation> {
    let named = lines.named.get(&id).copied().unwrap_or(0);
    let mut unnamed = failures.len().saturating_sub(named);
    let mut missing = Vec::new();
    // Lines that name the operation tell of those failures of which no other line does.
    for failure in failures {
        let status = trace.request(*failure).response.map(|response| response.status);
        if unnamed > 0 && lines.spend(status) {
            unnamed -= 1;
        } else {
            missing.push(*failure);
        }
    }
    missing.truncate(unnamed);
    let first = *missing.first()?;
    let message = format!(
        "expected a line in the client's output for each of {}, found {} that can be about them; nothing \
         tells of the failure of {}",
        plural(failures.len(), "failure"),
        failures.len() - missing.len(),
        trace.request_in_words(trace.request(first))
    );
    let evidence = missing.iter().flat_map(|id| events_of(trace, *id));
    Some(Violation::new(trace, id, message, evidence))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "retries_logged";
    const RETRIED: &str = r#"{"at_us":0,"event":"request_received","request":1}
        {"at_us":10,"event":"response_sent","request":1,"status":503}
        {"at_us":900,"event":"request_received","request":2,"attempt":2}
        {"at_us":910,"event":"response_sent","request":2,"status":201}
        {"at_us":990,"event":"operation_finished","claim":"succeeded"}"#;

    fn said(text: &str) -> String {
        format!("{{\"at_us\":500,\"event\":\"client_output\",\"text\":\"{text}\"}}")
    }

    fn check(texts: &[&str]) -> String {
        let lines: Vec<String> = texts.iter().map(|text| said(text)).collect();
        verdict(NAME, &Value::Null, &format!("{RETRIED}\n{}", lines.join("\n")))
    }

    #[test]
    fn a_retry_leaves_a_line_that_can_be_about_it() {
        assert_eq!(check(&["retrying op-0001 in 1s"]), "passed");
        assert_eq!(check(&["got 503, waiting"]), "passed");
        assert_eq!(check(&["request req_a1b2 failed"]), "passed");
        assert_eq!(check(&[]), "failed op-0001");
        assert_eq!(check(&["all is well", "retrying op-00010", "got 5031"]), "failed op-0001");
        assert_eq!(
            message(NAME, &Value::Null, &trace(RETRIED)),
            "expected a line in the client's output for each of 1 failure, found 0 that can be about them; \
             nothing tells of the failure of attempt 1 of `create_charge`"
        );
    }

    #[test]
    fn only_what_looks_like_the_id_of_a_request_is_one() {
        for idle in
            ["requires python 3", "required settings loaded", "requests 2.34", "req_settings"]
        {
            assert_eq!(check(&[idle]), "failed op-0001", "{idle}");
        }
        for told in ["req_a1b2 failed", "lost REQ-00000017", "(req_011CTnA)"] {
            assert_eq!(check(&[told]), "passed", "{told}");
        }
    }

    #[test]
    fn a_value_of_several_words_names_its_operation_where_it_stands_by_itself() {
        let apis = json!({"apis": {"payments": {"operation_id": ["json:/order"]}}});
        let judged = |order: &str, line: &str| {
            let input =
                json!({"at_us": 0, "event": "operation_submitted", "input": {"order": order}});
            let text = format!("{input}\n{RETRIED}\n{}", said(line));
            in_short(&invariant(NAME, &Value::Null).check(&trace_with(&apis, &text)))
        };
        for order in ["shop.eu/3", "3@shop", "the third one", "a:b-3"] {
            assert_eq!(judged(order, &format!("again: {order}")), "passed");
            assert_eq!(judged(order, &format!("again: {order}0")), "failed op-0001");
            assert_eq!(judged(order, "again: shop 3 third"), "failed op-0001");
        }
    }

    #[test]
    fn one_line_tells_of_one_retry() {
        let twice = RETRIED.replace(
            r#"{"at_us":910,"event":"response_sent","request":2,"status":201}"#,
            r#"{"at_us":910,"event":"response_sent","request":2,"status":503}
            {"at_us":920,"event":"request_received","request":3,"attempt":3}"#,
        );
        let one = format!("{twice}\n{}", said("503"));
        assert_eq!(verdict(NAME, &Value::Null, &one), "failed op-0001");
        assert_eq!(verdict(NAME, &Value::Null, &format!("{one}\n{}", said("503"))), "passed");
    }

    #[test]
    fn the_last_failure_leaves_a_line_too() {
        let failed = RETRIED.replace("201", "500").replace("succeeded", "failed");
        assert_eq!(
            verdict(NAME, &Value::Null, &format!("{failed}\n{}", said("503"))),
            "failed op-0001"
        );
        let both = format!("{failed}\n{}\n{}", said("503"), said("op-0001 failed for good"));
        assert_eq!(verdict(NAME, &Value::Null, &both), "passed");
    }

    #[test]
    fn a_failure_without_a_status_is_told_by_any_line_that_names_nothing() {
        let lost = RETRIED.replace(
            r#""event":"response_sent","request":1,"status":503"#,
            r#""event":"connection_ended","request":1,"by":"provider","how":"rst""#,
        );
        assert_eq!(
            verdict(NAME, &Value::Null, &format!("{lost}\n{}", said("connection lost"))),
            "passed"
        );
        assert_eq!(verdict(NAME, &Value::Null, &format!("{lost}\n{}", said("op-0001"))), "passed");
        assert_eq!(verdict(NAME, &Value::Null, &lost), "failed op-0001");
    }

    #[test]
    fn the_value_that_identifies_an_operation_names_it() {
        let lines = format!(
            r#"{{"at_us":0,"event":"operation_submitted","input":{{"order":"order-7"}}}}
            {RETRIED}
            {}"#,
            said("order-7 again")
        );
        let apis = json!({"apis": {"payments": {"operation_id": ["json:/order"]}}});
        let judged =
            |run: &Value| in_short(&invariant(NAME, &Value::Null).check(&trace_with(run, &lines)));
        assert_eq!(judged(&apis), "passed");
        assert_eq!(judged(&json!({})), "failed op-0001");
        let same = lines.replace("order-7", "op-0001");
        assert_eq!(
            in_short(&invariant(NAME, &Value::Null).check(&trace_with(&apis, &same))),
            "passed",
            "a value that is its name as well is still its own"
        );
    }

    #[test]
    fn where_nothing_failed_or_nothing_is_heard_it_is_not_exercised() {
        assert_eq!(verdict(NAME, &Value::Null, &RETRIED.replace("503", "200")), "not exercised");
        let unheard = trace_with(&json!({"mode": "in_process"}), RETRIED);
        assert_eq!(in_short(&invariant(NAME, &Value::Null).check(&unheard)), "not exercised");
    }
}
