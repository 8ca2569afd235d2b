//! `not_banned`: the client never goes so far that it is shut out.
//!
//! **Invariant:** a ban is what the trace calls one.

use brownout_provider::document::At;

use super::support::{NoParameters, bare, few_of, has_fault, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// The fault that shuts clients out.
const BAN: &str = "ban";

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "not_banned",
    summary: "The client stops before the provider shuts it out.",
    headline: "got the client banned",
    rule: "No request of the client meets a ban (the fault `ban`).",
    exercised_by: "A request that the provider's limiter refused, or a ban.",
    parameters: &[],
    tolerates: "Refusals that lead to no ban.",
    cure: "After a refusal hold everything back that uses the same key until the limit is reset: refusals of \
           requests that were sent all the same are what bans are made of.",
    why: "A ban hits everything that the account does, also what had nothing to do with the flood.",
    faults: &["ban"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "not_banned",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NotBanned),
};

#[derive(Debug)]
struct NotBanned;

impl Invariant for NotBanned {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let own = || trace.requests().filter(|(_, request)| request.by.is_client());
        let ban = trace.name(BAN);
        let mut banned = own()
            .filter(|(id, _)| trace.strikes_at(*id).iter().any(|one| Some(one.fault) == ban))
            .peekable();
        let refused: Vec<u32> =
            own().filter(|(_, request)| request.limited).map(|(_, request)| request.seq).collect();
        let violation = banned.peek().is_some().then(|| {
            let met: Vec<u32> = banned.map(|(_, request)| request.seq).collect();
            let message = format!(
                "expected the client to stop before it is banned, found {} banned after {} that the limiter \
                 refused",
                crate::amount::plural(met.len(), "request"),
                refused.len()
            );
            let before = refused.iter().copied().filter(|seq| *seq < met[0]);
            Violation::of_run(message, met.iter().copied().take(1).chain(few_of(before)))
        });
        let why_not = "the client never reached the provider's limit";
        Judgement::new(refused.len(), violation.into_iter().collect(), why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        has_fault(
            scenario,
            at,
            (KIND.name, BAN),
            "inject: {ban: {after: 3, within: 10s, for: 1m}}",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const REFUSED: &str = r#"{"at_us":0,"event":"request_received","request":1}
        {"at_us":1,"event":"rate_limited","request":1}
        {"at_us":2,"event":"request_received","request":2}"#;
    const BANNED: &str = r#"{"at_us":2,"event":"fault_injected","request":2,"fault":"ban"}"#;

    #[test]
    fn a_ban_is_accused_and_a_refusal_is_not() {
        assert_eq!(verdict("not_banned", &Value::Null, REFUSED), "passed");
        let banned = format!("{REFUSED}\n{BANNED}");
        assert_eq!(verdict("not_banned", &Value::Null, &banned), "failed run");
        assert_eq!(
            message("not_banned", &Value::Null, &trace(&banned)),
            "expected the client to stop before it is banned, found 1 request banned after 1 that the \
             limiter refused"
        );
    }

    #[test]
    fn without_a_refusal_nothing_is_exercised() {
        let calm = REFUSED.lines().next().unwrap();
        assert_eq!(verdict("not_banned", &Value::Null, calm), "not exercised");
        let other = format!(
            "{calm}\n{}",
            BANNED.replace("ban", "status").replace(r#""request":2"#, r#""request":1"#)
        );
        assert_eq!(verdict("not_banned", &Value::Null, &other), "not exercised");
    }
}
