//! `job_not_resubmitted`: a job that was accepted is waited for, and not begun a second time.
//!
//! **Invariant:** only what the client was told counts: an acceptance that never reached it excuses everything.

use std::collections::BTreeMap;

use brownout_provider::document::At;
use brownout_provider::event::{Class, JobState, JobStep};

use super::support::{NoParameters, bare, begins_jobs, cannot, events_of, means, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{JobSeen, Name, OperationId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "job_not_resubmitted",
    summary: "A job that was accepted is waited for, and not begun a second time.",
    headline: "had their job begun twice",
    rule: "After an answer that accepted a job has reached the client, the same operation and submit begins no \
           other with the same content, unless the client was told before that the first one failed or was \
           canceled, or was not found; by a look at it, by a list, or by an event.",
    exercised_by: "An operation whose job was accepted, and which a fault struck.",
    parameters: &[],
    tolerates: "A repeat with the same key, which begins no job; a second job after an acceptance that was lost.",
    cure: "Keep the id of the job as soon as it is accepted, where it outlives a crash, and go on asking for it; \
           a slow job is not a lost one.",
    why: "A job that takes long is no job that failed: who begins it again pays for both, and waits longer.",
    faults: &["job", "hang", "reset", "status"],
    without_a_fault: "",
    modes: &[],
    example: "job_not_resubmitted",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, JobNotResubmitted),
};

#[derive(Debug)]
struct JobNotResubmitted;

impl Invariant for JobNotResubmitted {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        let seen = Seen::of(trace);
        for (id, _) in trace.operations() {
            let begun = seen.begun.get(&id);
            let was_told = begun.into_iter().flatten().any(|job| told_at_us(trace, job).is_some());
            let is_struck =
                trace.requests_of(id).any(|(request, _)| !trace.strikes_at(request).is_empty());
            exercised += usize::from(was_told && is_struck);
            violations.extend(begun_twice(trace, id, &seen));
        }
        Judgement::new(exercised, violations, "no operation with an accepted job was struck")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !begins_jobs(scenario) {
            cannot(
                at,
                KIND.name,
                "no API of this scenario has jobs",
                "inject: {job: stays_pending}",
            );
        } else if !means(scenario).strikes {
            let why = "no rule of this scenario injects a fault";
            unlikely(at, KIND.name, why, "inject: {job: stays_pending}");
        }
    }
}

/// What is seen of jobs, each list in order.
struct Seen<'a> {
    /// The jobs that the client began, by operation.
    begun: BTreeMap<OperationId, Vec<&'a JobSeen>>,
    /// All that is seen of each job.
    of: BTreeMap<Name, Vec<&'a JobSeen>>,
}

impl<'a> Seen<'a> {
    fn of(trace: &'a Trace) -> Self {
        let mut seen = Self { begun: BTreeMap::new(), of: BTreeMap::new() };
        for one in trace.jobs() {
            let request = trace.request(one.request);
            seen.of.entry(one.job).or_default().push(one);
            let is_begun = one.step == JobStep::Accepted && request.by.is_client();
            if let Some(id) = request.operation.filter(|_| is_begun) {
                seen.begun.entry(id).or_default().push(one);
            }
        }
        seen
    }
}

/// When the client was told that a job was accepted.
fn told_at_us(trace: &Trace, job: &JobSeen) -> Option<u64> {
    let response = trace.request(job.request).response?;
    let is_told =
        response.complete && response.class == Class::Success && response.unusable.is_none();
    is_told.then_some(response.end_at_us)
}

fn begun_twice(trace: &Trace, id: OperationId, seen: &Seen<'_>) -> Option<Violation> {
    let begun = seen.begun.get(&id)?;
    let pairs = begun
        .iter()
        .enumerate()
        .flat_map(|(index, first)| begun[index + 1..].iter().map(move |second| (*first, *second)));
    let (first, second) = pairs.into_iter().find(|(first, second)| {
        let (one, other) = (trace.request(first.request), trace.request(second.request));
        let was_told = told_at_us(trace, first).is_some_and(|at_us| at_us <= other.at_us);
        was_told
            && one.submit == other.submit
            && one.canonical == other.canonical
            && one.provider == other.provider
            && !trace.is_transport_repeat(second.request)
            && !knew_its_end(trace, id, &seen.of[&first.job], other.at_us)
    })?;
    let message = format!(
        "the job `{}` had been accepted and was not known to have failed, and {} began another",
        trace.text(first.job),
        trace.request_in_words(trace.request(second.request))
    );
    let evidence = events_of(trace, first.request)
        .chain(events_of(trace, second.request))
        .chain([first.seq, second.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

/// True when the client had been told by then that a job came to nothing.
fn knew_its_end(trace: &Trace, id: OperationId, of_it: &[&JobSeen], by_us: u64) -> bool {
    let heard = |request| {
        let response = trace.request(request).response;
        response.is_some_and(|response| response.complete && response.end_at_us <= by_us)
    };
    let came_to_nothing =
        |state| matches!(state, JobState::Failed | JobState::Canceled | JobState::Gone);
    if trace.heard_of_end(id, of_it, by_us, came_to_nothing) {
        return true;
    }
    let told = of_it.iter().any(|seen| match (seen.step, seen.state) {
        // Whoever is refused, as one that would stop what has ended, is not told how it ended.
        (JobStep::Polled, JobState::Failed | JobState::Canceled) => {
            heard(seen.request) && trace.fate(seen.request) == Fate::Usable
        }
        (JobStep::Polled, JobState::Gone) => heard(seen.request),
        // Who stops a job knows that it is stopped.
        (JobStep::Changed, JobState::Canceled) => seen.at_us <= by_us,
        (_, _) => false,
    });
    // A read that lags behind, or a fault, may hide it as well.
    let was_missing = trace.attempts_of(id).any(|(request, one)| {
        let missing = one.response.is_some_and(|response| matches!(response.status, 404 | 410));
        missing && !one.effectful && heard(request)
    });
    told || was_missing
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "job_not_resubmitted";

    const ACCEPTED: &str = r#"{"at_us":0,"event":"request_received","request":1,"route":"create_job"}
        {"at_us":1,"event":"fault_injected","request":1,"fault":"job"}
        {"at_us":1,"event":"job","request":1,"step":"accepted","state":"pending"}
        {"at_us":2,"event":"response_sent","request":1,"status":202}"#;
    const POLLED: &str = r#"{"at_us":10,"event":"request_received","request":2,"route":"get_job","method":"GET","unsafe":false}
        {"at_us":10,"event":"job","request":2,"step":"polled","state":"pending"}
        {"at_us":11,"event":"response_sent","request":2,"status":200}"#;
    const AGAIN: &str = r#"{"at_us":20,"event":"request_received","request":3,"attempt":2,"route":"create_job"}
        {"at_us":20,"event":"job","request":3,"job":"job_2","step":"accepted","state":"pending"}"#;

    fn check(parts: &[&str]) -> String {
        verdict(NAME, &Value::Null, &parts.join("\n"))
    }

    #[test]
    fn a_slow_job_is_not_begun_anew() {
        assert_eq!(check(&[ACCEPTED, POLLED]), "passed");
        assert_eq!(check(&[ACCEPTED, POLLED, AGAIN]), "failed op-0001");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&[ACCEPTED, AGAIN].join("\n"))),
            "the job `job_1` had been accepted and was not known to have failed, and attempt 2 of `create_job` \
             began another"
        );
    }

    #[test]
    fn a_job_that_came_to_nothing_may_be_begun_anew() {
        for state in ["failed", "canceled", "gone"] {
            let polled = POLLED.replace("\"state\":\"pending", &format!("\"state\":\"{state}"));
            assert_eq!(check(&[ACCEPTED, &polled, AGAIN]), "passed", "{state}");
            let unheard = polled.replace("\"status\":200", "\"status\":200,\"complete\":false");
            assert_eq!(check(&[ACCEPTED, &unheard, AGAIN]), "failed op-0001", "{state}");
        }
        let missing = r#"{"at_us":10,"event":"request_received","request":2,"route":"get_job","method":"GET","unsafe":false}
            {"at_us":11,"event":"response_sent","request":2,"status":404}"#;
        assert_eq!(check(&[ACCEPTED, missing, AGAIN]), "passed", "it was not found");
        let gone = missing.replace("404", "410");
        assert_eq!(check(&[ACCEPTED, &gone, AGAIN]), "passed", "it is gone");
    }

    #[test]
    fn a_list_and_an_event_tell_of_an_end_too() {
        let run = json!({"apis": {"provider": {"routes": [{"name": "list_jobs", "lists": {"collection": "jobs"}}]}}});
        let check = |parts: &[&str]| {
            let trace = trace_with(&run, &parts.join("\n"));
            in_short(&invariant(NAME, &Value::Null).check(&trace))
        };
        let ended = r#"{"at_us":8,"event":"job","request":1,"step":"changed","state":"failed"}"#;
        let listed = r#"{"at_us":10,"event":"request_received","request":2,"route":"list_jobs","method":"GET","unsafe":false}
            {"at_us":11,"event":"response_sent","request":2,"status":200}"#;
        let told = r#"{"at_us":10,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"e","kind":"job.finished","operation":"op-0001"}"#;
        for heard in [listed, told] {
            assert_eq!(check(&[ACCEPTED, ended, heard, AGAIN]), "passed", "{heard}");
            assert_eq!(check(&[ACCEPTED, heard, AGAIN]), "failed op-0001", "it had not ended");
        }
        assert_eq!(check(&[ACCEPTED, ended, AGAIN]), "failed op-0001", "nobody told it");
        let cut = listed.replace("\"status\":200", "\"status\":200,\"complete\":false");
        assert_eq!(check(&[ACCEPTED, ended, &cut, AGAIN]), "failed op-0001", "it was not heard");
        let done = ended.replace("failed", "succeeded");
        assert_eq!(check(&[ACCEPTED, &done, told, AGAIN]), "failed op-0001", "it is done");
    }

    #[test]
    fn a_refusal_that_tells_no_end_excuses_nothing() {
        for status in [400, 403, 409] {
            let refused = POLLED.replace("\"status\":200", &format!("\"status\":{status}"));
            assert_eq!(check(&[ACCEPTED, &refused, AGAIN]), "failed op-0001", "{status}");
            let failed = refused.replace("\"state\":\"pending", "\"state\":\"failed");
            assert_eq!(check(&[ACCEPTED, &failed, AGAIN]), "failed op-0001", "{status}");
        }
    }

    #[test]
    fn a_lost_acceptance_and_another_content_excuse_it() {
        let lost = ACCEPTED.replace("\"status\":202", "\"status\":202,\"complete\":false");
        assert_eq!(check(&[&lost, AGAIN]), "not exercised");
        let other = AGAIN.replace("\"attempt\":2", "\"attempt\":2,\"canonical_digest\":\"other\"");
        assert_eq!(check(&[ACCEPTED, &other]), "passed");
        let calm = ACCEPTED.replace("\"fault\":\"job\"", "\"fault\":\"job\",\"request\":99");
        assert_eq!(check(&[&calm, POLLED]), "not exercised", "nothing struck it");
    }
}
