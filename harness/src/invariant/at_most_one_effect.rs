//! `at_most_one_effect`: an operation has at most one effect of a kind, over everything that happened.
//!
//! The general form of `no_double_charges`, which asks the same of every kind.
//! **Invariant:** counts what stands in the ledger at the end; who sent what, and why, plays no part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{events_of, listed, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Effect, EffectId, Name, OperationId, Request, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "at_most_one_effect",
    summary: "An operation has at most one live effect of the given kind.",
    headline: "were done more than once",
    rule: "The committed effects of the kind, less those that were undone, are at most one per operation \
           and subject, and at most as many per operation as its input has items; over all attempts, \
           submits, providers and restarts.",
    exercised_by: "An operation with such an effect that had two or more attempts, submits or \
                   deliveries, or whose answer was lost after the commit.",
    parameters: &[("kind", "the kind of effect, as the API names it; required")],
    tolerates: "Two operations with equal input; a duplicate that was undone by a refund; a batch with \
                one effect for each of its items; steps that ask for one each; a file that is uploaded again \
                because what was kept of it is spoilt.",
    cure: "Send one idempotency key per operation and repeat it with every attempt, also after a restart; \
           without keys, read back whether the work was done before you try again.",
    why: "What is done twice goes out twice: two parcels, two messages, two records, and nobody knows which \
          one counts.",
    faults: &[
        "reset",
        "hang",
        "truncate",
        "close",
        "status",
        "duplicate_request",
        "delayed_duplicate",
        "ignore_key",
        "forget_key",
        "kill_client",
        "stale_read",
    ],
    without_a_fault: "two submits of one operation (`submits: 2`)",
    modes: &[],
    example: "at_most_one_effect: {kind: notification}",
    bare: false,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// The kind of effect, as the API names it.
    kind: String,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(AtMostOneEffect { kind: raw.kind }))
}

#[derive(Debug)]
struct AtMostOneEffect {
    kind: String,
}

impl Invariant for AtMostOneEffect {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        judge(trace, Some(&self.kind))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let kinds: Vec<&str> = scenario
            .providers
            .values()
            .flat_map(|provider| &provider.api.routes)
            .filter_map(|route| route.effect.as_ref())
            .map(|effect| &*effect.kind)
            .collect();
        if !kinds.contains(&self.kind.as_str()) {
            at.key("kind").error(
                format!("no route of this scenario has an effect of kind `{}`", self.kind),
                |problem| problem.allowed(&self.kind, kinds),
            );
        }
        check_scenario(scenario, at, KIND.name);
    }
}

/// Remarks that nothing in this scenario tempts a client to do something twice.
pub(super) fn check_scenario(scenario: &Scenario, at: &At<'_>, name: &str) {
    let means = super::support::means(scenario);
    let tempts = means.failure || means.hang || means.repeated;
    if !tempts && scenario.workload.submits.times < 2 {
        let why = "nothing here makes a client send anything twice";
        unlikely(at, name, why, "inject: {reset: {at: after_commit}}");
    }
}

/// Judges every kind of effect, or one.
pub(super) fn judge(trace: &Trace, kind: Option<&str>) -> Judgement {
    let wanted = kind.map(|kind| trace.name(kind));
    let (mut exercised, mut violations) = (0, Vec::new());
    for (id, _) in trace.operations() {
        let effects: Vec<(EffectId, &Effect)> = trace
            .effects_of(id)
            .filter(|(_, effect)| wanted.is_none_or(|wanted| wanted == Some(effect.kind)))
            .collect();
        if (kind.is_none() || !effects.is_empty()) && is_tempted(trace, id, &effects) {
            exercised += 1;
        }
        violations.extend(too_many(trace, id, &effects));
    }
    let why_not = "no operation was attempted twice, and no answer was lost after its commit";
    Judgement::new(exercised, violations, why_not)
}

/// True when something happened that makes careless clients do their work twice.
fn is_tempted(trace: &Trace, id: OperationId, effects: &[(EffectId, &Effect)]) -> bool {
    let mut asked = BTreeSet::new();
    let again = |request: &Request| !asked.insert((request.route, request.submit));
    trace.requests_of(id).map(|(_, one)| one).filter(|one| one.effectful).any(again)
        || trace.submits_of(id).count() > 1
        || effects.iter().any(|(_, effect)| lost_its_answer(trace, effect))
}

/// True when the answer to the very request that committed the effect did not arrive whole and usable. A
/// later read may have told the client of the effect, and that it asked is to its credit.
fn lost_its_answer(trace: &Trace, effect: &Effect) -> bool {
    let Some(id) = effect.request else { return !effect.told };
    let whole = trace.request(id).response.is_some_and(|response| response.complete);
    !whole || trace.fate(id) != Fate::Usable
}

/// One violation for each kind and subject of which too many effects are live, and one for each kind of
/// which there are more than the input has items.
pub(super) fn too_many(
    trace: &Trace,
    id: OperationId,
    effects: &[(EffectId, &Effect)],
) -> Vec<Violation> {
    too_many_of(trace, id, effects, 1)
}

/// The same for effects that so many causes may bring about once each.
pub(super) fn too_many_of(
    trace: &Trace,
    id: OperationId,
    effects: &[(EffectId, &Effect)],
    causes: usize,
) -> Vec<Violation> {
    let mut by_subject = BTreeMap::<(Name, Option<Name>), Vec<&Effect>>::new();
    let mut by_kind = BTreeMap::<Name, Vec<&Effect>>::new();
    // What is not the file that was to be kept is worth nothing: who uploads it again has done so once.
    let source = trace.source_digest(id).map(|digest| digest.to_string());
    let is_spoilt = |effect: &Effect| {
        effect.digest.zip(source.as_ref()).is_some_and(|(own, of)| trace.text(own) != of)
    };
    let live = effects.iter().filter(|(_, effect)| effect.is_live() && !is_spoilt(effect));
    for (_, effect) in live {
        by_subject.entry((effect.kind, effect.subject)).or_default().push(effect);
        if effect.subject.is_some() {
            by_kind.entry(effect.kind).or_default().push(effect);
        }
    }
    let mut violations = Vec::new();
    for ((kind, subject), live) in &by_subject {
        let allowed = in_one_request(live).max(steps_of(trace, live)).saturating_mul(causes);
        if live.len() > allowed && !only_restate(trace, live) {
            let about = subject.map_or(String::new(), |one| format!(" for `{}`", trace.text(one)));
            violations.push(violation(trace, id, *kind, live, &format!("{allowed}{about}")));
        }
    }
    for (kind, live) in &by_kind {
        let Some(items) = trace.items(id) else { continue };
        let each = items.max(in_one_request(live)).max(steps_of(trace, live));
        let allowed = each.saturating_mul(causes);
        if live.len() > allowed && violations.is_empty() {
            let items = format!("{allowed}, the number of items in the input");
            violations.push(violation(trace, id, *kind, live, &items));
        }
    }
    violations
}

/// True for effects of one subject that routes left whose repeats do no harm: who says the same twice of the
/// same has done nothing twice.
fn only_restate(trace: &Trace, effects: &[&Effect]) -> bool {
    effects.iter().all(|effect| {
        let route = effect.request.and_then(|id| trace.request(id).route);
        effect.subject.is_some() && route.is_some_and(|it| trace.is_natural(effect.provider, it))
    })
}

/// How many steps of each operation ask for effects like these, by the scenario's own wish.
fn steps_of(trace: &Trace, effects: &[&Effect]) -> usize {
    let route = |effect: &&Effect| effect.request.and_then(|id| trace.request(id).route);
    let routes: BTreeSet<Name> = effects.iter().filter_map(route).collect();
    trace.steps().filter(|step| routes.contains(step)).count()
}

/// The most of these effects that one request caused: what the request itself asked for, at least 1.
fn in_one_request(effects: &[&Effect]) -> usize {
    let mut by_request = BTreeMap::new();
    for effect in effects {
        *by_request.entry((effect.request, effect.by)).or_insert(0_usize) += 1;
    }
    by_request.into_values().max().unwrap_or(1)
}

fn violation(
    trace: &Trace,
    id: OperationId,
    kind: Name,
    live: &[&Effect],
    allowed: &str,
) -> Violation {
    let requests: Vec<_> = live.iter().filter_map(|effect| effect.request).collect();
    let keys: Vec<_> = requests.iter().map(|one| trace.request(*one).key).collect();
    let providers: BTreeSet<Name> =
        requests.iter().map(|one| trace.request(*one).provider).collect();
    let keys = match keys.split_first() {
        _ if providers.len() > 1 => {
            "; no key counts at two providers: ask the one what became of it before the other is used"
        }
        Some((None, rest)) if rest.iter().all(Option::is_none) => "; no request carried a key",
        Some((Some(_), rest)) if !rest.is_empty() && rest.iter().all(|key| *key == keys[0]) => {
            "; all carried the same key, which the provider overlooked"
        }
        Some((_, [_, ..])) => "; the requests carried different keys",
        Some(_) | None => "",
    };
    let by: Vec<String> = requests.iter().map(|one| caused_by(trace, *one)).collect();
    let message = format!(
        "expected at most {allowed}, found {} live: caused by {}{keys}",
        plural(live.len(), &format!("`{}`", trace.text(kind))),
        listed(&by),
    );
    let evidence = live.iter().map(|effect| effect.seq);
    let evidence: Vec<u32> =
        evidence.chain(requests.iter().flat_map(|one| events_of(trace, *one))).collect();
    Violation::new(trace, id, message, evidence)
}

fn caused_by(trace: &Trace, id: crate::trace::RequestId) -> String {
    let request = trace.request(id);
    let words = trace.request_in_words(request);
    if request.by.is_client() { words } else { format!("a gateway's repeat of {words}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const TWICE: &str = r#"{"at_us":0,"event":"request_received","request":1,"route":"notify"}
        {"at_us":1,"event":"effect_committed","request":1,"kind":"notification"}
        {"at_us":9,"event":"request_received","request":2,"route":"notify","attempt":2}
        {"at_us":9,"event":"effect_committed","request":2,"effect":2,"kind":"notification"}"#;

    #[test]
    fn judges_one_kind_and_no_other() {
        let check = |kind: &str| verdict("at_most_one_effect", &json!({"kind": kind}), TWICE);
        assert_eq!(check("notification"), "failed op-0001");
        assert_eq!(check("charge"), "not exercised");
        let once = TWICE.lines().take(3).collect::<Vec<_>>().join("\n");
        assert_eq!(
            verdict("at_most_one_effect", &json!({"kind": "notification"}), &once),
            "passed"
        );
    }

    #[test]
    fn a_client_that_reads_back_after_a_lost_answer_has_exercised_it() {
        let lines = |first: &str| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":1,"event":"effect_committed","request":1}}
                {{"at_us":2,"event":{first}}}
                {{"at_us":9,"event":"request_received","request":2,"route":"list_charges","unsafe":false}}
                {{"at_us":10,"event":"response_sent","request":2,"status":200,"effects":[1]}}"#
            )
        };
        let check =
            |first: &str| verdict("at_most_one_effect", &json!({"kind": "charge"}), &lines(first));
        for lost in [
            r#""connection_ended","request":1,"by":"provider","how":"rst""#,
            r#""response_sent","request":1,"status":500"#,
            r#""response_sent","request":1,"status":201,"complete":false,"unusable":"cut""#,
        ] {
            assert_eq!(check(lost), "passed", "{lost}");
        }
        let whole = r#""response_sent","request":1,"status":201,"effects":[1]"#;
        assert_eq!(check(whole), "not exercised");
    }

    #[test]
    fn the_message_says_what_was_expected_what_was_found_and_why() {
        let told = message("at_most_one_effect", &json!({"kind": "notification"}), &trace(TWICE));
        assert_eq!(
            told,
            "expected at most 1, found 2 `notification`s live: caused by attempt 1 of `notify` and \
             attempt 2 of `notify`; no request carried a key"
        );
        let elsewhere = TWICE
            .replace(r#""request":2,"#, r#""request":2,"provider":"backup","#)
            .replace(r#","attempt":2"#, "");
        let message =
            message("at_most_one_effect", &json!({"kind": "notification"}), &trace(&elsewhere));
        assert!(message.contains("no key counts at two providers"), "{message}");
    }

    #[test]
    fn steps_that_ask_for_one_effect_each_have_one_each() {
        let run = |steps: &Value| json!({"scenario": {"workload": {"steps": steps}}});
        let notified = |times: u32| -> String {
            (1..=times)
                .map(|n| {
                    format!(
                        r#"{{"at_us":{n},"event":"request_received","request":{n},"route":"notify"}}
                        {{"at_us":{n},"event":"effect_committed","request":{n},"effect":{n},"kind":"notification"}}
                        {{"at_us":{n},"event":"response_sent","request":{n},"status":201,"effects":[{n}]}}
                        "#
                    )
                })
                .collect()
        };
        let check = |steps: &Value, times: u32| {
            let trace = trace_with(&run(steps), &notified(times));
            in_short(&invariant("no_double_charges", &Value::Null).check(&trace))
        };
        let twice = json!([{"call": "notify"}, {"call": "notify"}]);
        assert_eq!(check(&twice, 2), "passed");
        assert_eq!(check(&twice, 3), "failed op-0001");
        let once = json!([{"call": "create_charge"}, {"call": "notify"}]);
        assert_eq!(check(&once, 2), "failed op-0001");
    }

    #[test]
    fn another_step_is_no_second_attempt() {
        let steps = r#"{"at_us":1,"event":"request_received","request":1,"route":"authorize"}
            {"at_us":1,"event":"effect_committed","request":1,"kind":"authorization"}
            {"at_us":2,"event":"response_sent","request":1,"status":201,"effects":[1]}
            {"at_us":3,"event":"request_received","request":2,"route":"notify"}
            {"at_us":3,"event":"effect_committed","request":2,"effect":2,"kind":"notification"}
            {"at_us":4,"event":"response_sent","request":2,"status":201,"effects":[2]}"#;
        assert_eq!(verdict("no_double_charges", &Value::Null, steps), "not exercised");
    }
}
