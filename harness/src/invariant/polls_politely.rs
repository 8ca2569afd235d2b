//! `polls_politely`: whoever waits for a job asks as often as it was told to, and not for ever.
//!
//! **Invariant:** only looks that reached the job count; what failed on its way is a matter of retries.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{JobState, JobStep};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{begins_jobs, cannot, events_of, few_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Hint, JobSeen, Name, OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "polls_politely",
    summary: "Whoever waits for a job does not ask sooner than it was told to, nor without end.",
    headline: "asked for their job too often",
    rule: "Between the answer that accepted a job, or one that told how far it is, and the next look at it lie \
           at least `min_interval` and what the hint in that answer asks for (of the first look, and of one \
           after a look that failed, the hint alone); and no submit looks at one job more than `max_polls` times. Of a job that it was told has \
           ended nobody asks for a wait.",
    exercised_by: "A look at a job that another look, or an answer with a hint, came before.",
    parameters: &[
        ("min_interval", "the least time from one answer to the next look; default 50ms"),
        ("max_polls", "how often one job may be looked at, at least 1; default without end"),
        ("max_wait", "hints above this, such as `2m`, are not judged; default all are"),
    ],
    tolerates: "A repeat of a look that failed on its way, a client that was started anew, and one that was told \
                by a list or an event that the job has ended.",
    cure: "Sleep for the `Retry-After` of each answer before the next look, or for an interval that grows; \
           stop at your own deadline, and say then that the outcome is unknown.",
    why: "A tight loop of looks uses up the limit that the work itself needs, and the job is done no \
          sooner.",
    faults: &["job"],
    without_a_fault: "any job that takes a while",
    modes: &[],
    example: "polls_politely: {min_interval: 500ms, max_polls: 20}",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PollsPolitely")]
struct Raw {
    /// The least time from one answer to the next look; 50ms unless said.
    min_interval: Option<Period>,
    /// How often one job may be looked at; without end unless said.
    #[schemars(range(min = 1))]
    max_polls: Option<u32>,
    /// Hints above this are not judged.
    max_wait: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(PollsPolitely {
        min_us: raw.min_interval.map_or(50_000, Period::micros),
        most: raw.max_polls.and_then(|most| usize::try_from(most).ok()),
        max_wait_us: raw.max_wait.map(Period::micros),
    }))
}

#[derive(Debug)]
struct PollsPolitely {
    min_us: u64,
    most: Option<usize>,
    max_wait_us: Option<u64>,
}

/// Whose looks at one job: provider, job, operation and submit.
type Place = (Name, Name, Option<OperationId>, u32);

impl Invariant for PollsPolitely {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut looks: BTreeMap<Place, Vec<&JobSeen>> = BTreeMap::new();
        let mut of: BTreeMap<Name, Vec<&JobSeen>> = BTreeMap::new();
        for seen in trace.jobs() {
            of.entry(seen.job).or_default().push(seen);
        }
        for seen in trace.jobs().iter().filter(|seen| seen.step != JobStep::Changed) {
            let request = trace.request(seen.request);
            if request.by.is_client() {
                let place = (request.provider, seen.job, request.operation, request.submit);
                looks.entry(place).or_default().push(seen);
            }
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for ((_, job, ..), looks) in &mut looks {
            looks.sort_by_key(|seen| {
                let request = trace.request(seen.request);
                (request.at_us, request.seq)
            });
            let of_it = &of[job];
            let pairs = looks
                .windows(2)
                .filter_map(|pair| self.asked(trace, of_it, pair[0], pair[1].request));
            let asked: Vec<_> = pairs.collect();
            exercised += asked.len();
            let early = asked.iter().find_map(|one| one.violation(trace));
            violations.extend(early.or_else(|| self.too_many(trace, looks)));
        }
        Judgement::new(exercised, violations, "nobody looked at a job twice, or after a hint")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !begins_jobs(scenario) {
            let why = "no API of this scenario has jobs";
            cannot(at, KIND.name, why, "inject: {job: asks_to_wait}");
        }
    }
}

/// A look at a job behind an answer that said something about it.
struct Asked {
    before: RequestId,
    next: RequestId,
    /// How long after the answer it came.
    waited_us: u64,
    /// How long it should have been.
    least_us: u64,
}

impl PollsPolitely {
    fn asked(
        &self,
        trace: &Trace,
        of_it: &[&JobSeen],
        seen: &JobSeen,
        next: RequestId,
    ) -> Option<Asked> {
        let before = seen.request;
        let (request, response) = (trace.request(next), trace.request(before).response?);
        let was_told = response.complete && response.head_at_us <= request.at_us;
        let operation = request.operation?;
        // Who was told that it has ended waits for it no more, whatever it looks at it for.
        if !was_told
            || seen.state.is_final()
            || trace.heard_of_end(operation, of_it, request.at_us, JobState::is_final)
            || trace.is_transport_repeat(next)
            || trace.restarted_between(operation, response.head_at_us, request.at_us)
        {
            return None;
        }
        let counts = |hint: &Hint| match (hint.wait_us, self.max_wait_us) {
            (Some(wait_us), Some(most_us)) => wait_us <= most_us,
            (_, _) => true,
        };
        let hinted = trace.earliest_allowed(before).filter(|(hint, _)| counts(hint));
        let hinted_us = hinted.map(|(_, at_us)| at_us.saturating_sub(response.head_at_us));
        // Who was not told how far it is has only failed to look, and looks again as after any failure.
        let is_look = seen.step != JobStep::Accepted && trace.fate(before) == Fate::Usable;
        let least_us = if is_look { hinted_us.unwrap_or(0).max(self.min_us) } else { hinted_us? };
        Some(Asked { before, next, waited_us: trace.waited_us(before, next), least_us })
    }

    fn too_many(&self, trace: &Trace, looks: &[&JobSeen]) -> Option<Violation> {
        let most = self.most?;
        let polls: Vec<RequestId> = looks
            .iter()
            .filter(|seen| seen.step == JobStep::Polled)
            .map(|seen| seen.request)
            .collect();
        let one_too_many = *polls.get(most)?;
        let message = format!("expected at most {most} looks at a job, found {}", polls.len());
        let events = few_of(polls.iter().flat_map(|id| events_of(trace, *id)));
        let operation = trace.request(one_too_many).operation?;
        Some(Violation::new(trace, operation, message, events))
    }
}

impl Asked {
    fn violation(&self, trace: &Trace) -> Option<Violation> {
        if self.waited_us.saturating_add(trace.slack_us()) >= self.least_us {
            return None;
        }
        let request = trace.request(self.next);
        let message = format!(
            "expected a wait of at least {} before the next look at the job, found {} before {}",
            in_words(self.least_us),
            in_words(self.waited_us),
            trace.request_in_words(request)
        );
        let evidence = events_of(trace, self.before).chain([request.seq]);
        Some(Violation::new(trace, request.operation?, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    const NAME: &str = "polls_politely";

    /// A job that is looked at two times, so long after the answers before.
    fn looks(first_us: u64, second_us: u64, hint: &str) -> String {
        let (first, second) = (10 + first_us, 20 + first_us + second_us);
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":5,"event":"job","request":1,"step":"accepted","state":"pending"}}
            {{"at_us":10,"event":"response_sent","request":1,"status":202{hint}}}
            {{"at_us":{first},"event":"request_received","request":2,"route":"get_job","method":"GET","unsafe":false}}
            {{"at_us":{first},"event":"job","request":2,"step":"polled","state":"running"}}
            {{"at_us":{0},"event":"response_sent","request":2,"status":200{hint}}}
            {{"at_us":{second},"event":"request_received","request":3,"attempt":2,"route":"get_job","method":"GET","unsafe":false}}
            {{"at_us":{second},"event":"job","request":3,"step":"polled","state":"succeeded"}}"#,
            first + 10
        )
    }

    const HINT: &str = r#","hints":[{"source":"retry-after","text":"1","wait_us":1000000}]"#;

    #[test]
    fn a_tight_loop_is_accused_and_a_pause_is_not() {
        assert_eq!(verdict(NAME, &Value::Null, &looks(0, 1_000, "")), "failed op-0001");
        assert_eq!(verdict(NAME, &Value::Null, &looks(0, 50_000, "")), "passed");
        let slow = json!({"min_interval": "51ms"});
        assert_eq!(verdict(NAME, &slow, &looks(0, 50_000, "")), "failed op-0001");
        assert_eq!(verdict_on_real_clock(NAME, &slow, &looks(0, 50_000, "")), "passed", "slack");
    }

    #[test]
    fn a_look_that_failed_tells_nothing_and_only_its_hint_binds() {
        let failed =
            |hint| looks(60_000, 1_000, hint).replace(r#""status":200"#, r#""status":503"#);
        assert_eq!(verdict(NAME, &Value::Null, &failed("")), "not exercised");
        let hinted = failed(HINT).replacen(HINT, "", 1);
        assert_eq!(verdict(NAME, &Value::Null, &hinted), "failed op-0001");
    }

    #[test]
    fn a_hint_binds_the_first_look_and_the_next() {
        assert_eq!(verdict(NAME, &Value::Null, &looks(1_000_000, 1_000_000, HINT)), "passed");
        let (first, next) = (looks(60_000, 1_000_000, HINT), looks(1_000_000, 60_000, HINT));
        assert_eq!(verdict(NAME, &Value::Null, &first), "failed op-0001");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&next)),
            "expected a wait of at least 1 s before the next look at the job, found 60 ms before attempt 2 of \
             `get_job`"
        );
    }

    #[test]
    fn nobody_looks_without_end() {
        let most = |most: u32| json!({"max_polls": most});
        assert_eq!(verdict(NAME, &most(2), &looks(0, 50_000, "")), "passed");
        assert_eq!(verdict(NAME, &most(1), &looks(0, 50_000, "")), "failed op-0001");
    }

    #[test]
    fn a_hint_above_the_longest_wait_is_not_judged() {
        let (most, less) = (json!({"max_wait": "900ms"}), json!({"max_wait": "1s"}));
        let first = looks(60_000, 60_000, HINT);
        assert_eq!(verdict(NAME, &less, &first), "failed op-0001");
        assert_eq!(verdict(NAME, &most, &first), "passed");
        assert_eq!(verdict(NAME, &most, &looks(0, 1_000, HINT)), "failed op-0001", "a tight loop");
    }

    #[test]
    fn each_submit_looks_for_itself_and_nobody_waits_for_what_has_ended() {
        let lines = looks(0, 1_000, "");
        let other = lines.replace(r#""request":3,"attempt":2"#, r#""request":3,"submit":2"#);
        assert_eq!(verdict(NAME, &Value::Null, &other), "not exercised");
        for state in ["succeeded", "failed", "canceled", "gone"] {
            let ended = lines.replace("running", state);
            assert_eq!(verdict(NAME, &Value::Null, &ended), "not exercised", "{state}");
        }
    }

    #[test]
    fn who_hears_of_the_end_looks_at_once() {
        let lines = looks(60_000, 60_000, HINT);
        assert_eq!(verdict(NAME, &Value::Null, &lines), "failed op-0001");
        let at = r#"{"at_us":60010,"event":"request_received""#;
        let (before, after) = lines.split_once(at).expect("it looks");
        let heard = r#"{"at_us":50000,"event":"job","request":1,"step":"changed","state":"succeeded"}
            {"at_us":50000,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"e","kind":"job.finished","operation":"op-0001"}"#;
        let lines = format!("{before}{heard}\n{at}{after}");
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
        let running = lines.replace(
            r#""step":"changed","state":"succeeded""#,
            r#""step":"changed","state":"running""#,
        );
        assert_eq!(verdict(NAME, &Value::Null, &running), "failed op-0001", "it had not ended");
    }

    #[test]
    fn another_job_and_a_restart_begin_anew() {
        let other = looks(0, 1_000, "").replace(
            r#""request":3,"step":"polled""#,
            r#""request":3,"job":"job_2","step":"polled""#,
        );
        assert_eq!(verdict(NAME, &Value::Null, &other), "not exercised");
        let restarted = r#"{"at_us":25,"event":"client_ended","killed":true}
            {"at_us":26,"event":"client_started"}"#;
        let lines = looks(0, 1_000, "");
        let at = r#"{"at_us":1020,"event":"request_received""#;
        let (before, last) = lines.rsplit_once(at).expect("it looks again");
        let lines = format!("{before}{restarted}\n{at}{last}");
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
    }
}
