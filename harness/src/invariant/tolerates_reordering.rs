//! `tolerates_reordering`: of events that come out of their order the newest has the last word.
//!
//! **Invariant:** what is newest is what occurred last at the provider, whenever it was sent; and a client is held
//! only to what it said it had heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{NEEDS_SERVICE, schema, unlikely};
use super::webhook_handled_once::needs_listener;
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Effect, Name, OperationId, Trace, Webhook};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "tolerates_reordering",
    summary: "Of events that come out of their order, the newest decides what is kept in the end.",
    headline: "were left in a state that an old event told of",
    rule: "Where an event was sent behind one that occurred after it, the last effect of the kind `effect` that its \
           operation brings about has as its subject the state that `states` gives to the newest event which was \
           answered with 2xx.",
    exercised_by: "An event that was sent after a newer one of the same operation, where both were answered with \
                   2xx, mean different states, and left an effect of that kind.",
    parameters: &[
        (
            "effect",
            "the kind of effect whose subject is the state that the service keeps; required",
        ),
        (
            "states",
            "what each type of event means: `{authorization.captured: captured}`; other types play no part; every \
             type means itself unless said",
        ),
    ],
    tolerates: "A wrong state that was put right; an event that was not answered with 2xx, is forged or was cut; \
                events that mean the same.",
    cure: "Do not apply what an event says: read the object that it is about and keep what you find, or keep the \
           time of the newest event beside the state and leave older ones aside.",
    why: "Where the last event wins, an order that is paid falls back to created, and is cancelled or \
          charged again.",
    faults: &["webhook", "reorder"],
    without_a_fault: "",
    modes: &[NEEDS_SERVICE],
    example: "tolerates_reordering: {effect: order_status, states: {authorization.created: authorized, \
              authorization.captured: captured}}",
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
#[schemars(rename = "ToleratesReordering")]
struct Raw {
    /// The kind of effect whose subject is the state that the service keeps.
    #[schemars(required)]
    effect: Option<String>,
    /// What each type of event means; every type means itself unless said.
    states: Option<BTreeMap<String, String>>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(ToleratesReordering { effect: raw.effect?, states: raw.states }))
}

#[derive(Debug)]
struct ToleratesReordering {
    effect: String,
    states: Option<BTreeMap<String, String>>,
}

/// An event that was heard, with all that was sent of it.
struct Heard<'t> {
    /// Which one it is by the time at which it occurred: deliveries are numbered then.
    nth: u64,
    state: &'t str,
    first: &'t Webhook,
    last: &'t Webhook,
}

impl Invariant for ToleratesReordering {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        let kind = trace.name(&self.effect);
        for (id, _) in trace.operations() {
            let left = trace.effects_of(id).map(|(_, effect)| effect);
            let left = left.filter(|effect| Some(effect.kind) == kind && effect.by.is_client());
            let Some(left) = left.max_by_key(|effect| effect.seq) else { continue };
            for heard in self.heard(trace, id).values() {
                let Some((newest, older)) = overtaken(heard) else { continue };
                exercised += 1;
                violations.extend(violation(trace, id, left, (newest, older)));
            }
        }
        let why_not =
            "no event was heard behind a newer one that meant another state, or none left a state";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let apis = || scenario.providers.values().map(|provider| &provider.api);
        let routes = || apis().flat_map(|api| &api.routes);
        let kinds: Vec<&str> =
            routes().filter_map(|route| Some(&*route.effect.as_ref()?.kind)).collect();
        if !kinds.contains(&self.effect.as_str()) {
            at.key("effect").error(
                format!("no route of this scenario has an effect of kind `{}`", self.effect),
                |d| d.allowed(&self.effect, kinds),
            );
        }
        let events: Vec<&str> = apis()
            .filter_map(|api| api.webhooks.as_ref())
            .flat_map(|webhooks| webhooks.events.values().map(|kind| &**kind))
            .collect();
        for kind in self.states.iter().flat_map(BTreeMap::keys) {
            if !events.contains(&kind.as_str()) {
                let message = format!("no API of this scenario tells of `{kind}`");
                at.key("states")
                    .key(kind)
                    .error(message, |d| d.key().allowed(kind, events.iter().copied()));
            }
        }
        let mut faults = scenario.rules.iter().flat_map(|rule| &rule.faults);
        if needs_listener(KIND.name, scenario, at) && faults.all(|one| one.kind().name != "webhook")
        {
            let why = "nothing here sends an event behind a newer one";
            unlikely(at, KIND.name, why, "inject: {webhook: reorder}");
        }
    }
}

impl ToleratesReordering {
    /// The events of an operation that were answered with 2xx, those of each provider in the order in which
    /// they occurred.
    fn heard<'t>(&'t self, trace: &'t Trace, id: OperationId) -> BTreeMap<Name, Vec<Heard<'t>>> {
        let mut events: BTreeMap<(Name, Name), Heard<'t>> = BTreeMap::new();
        for sent in trace.webhooks_of(id) {
            let was_heard =
                sent.answer.and_then(|(_, _, status)| status).is_some_and(|it| it / 100 == 2);
            let Some(state) = self.state(trace.text(sent.kind)) else { continue };
            if !was_heard || sent.flaw.is_some() {
                continue;
            }
            let heard = Heard { nth: sent.delivery, state, first: sent, last: sent };
            let event = events.entry((sent.provider, sent.event)).or_insert(heard);
            event.nth = event.nth.min(sent.delivery);
            event.last = sent;
        }
        let mut by_provider: BTreeMap<Name, Vec<Heard<'t>>> = BTreeMap::new();
        for ((provider, _), heard) in events {
            by_provider.entry(provider).or_default().push(heard);
        }
        for heard in by_provider.values_mut() {
            heard.sort_by_key(|one| one.nth);
        }
        by_provider
    }

    /// What a type of event means.
    fn state<'t>(&'t self, kind: &'t str) -> Option<&'t str> {
        match &self.states {
            None => Some(kind),
            Some(states) => states.get(kind).map(String::as_str),
        }
    }
}

/// The newest of these events, and one of another state that was sent behind it.
fn overtaken<'h, 't>(heard: &'h [Heard<'t>]) -> Option<(&'h Heard<'t>, &'h Heard<'t>)> {
    let (newest, older) = heard.split_last()?;
    let is_late = |one: &&Heard<'_>| one.last.seq > newest.first.seq && one.state != newest.state;
    Some((newest, older.iter().rfind(is_late)?))
}

fn violation(
    trace: &Trace,
    id: OperationId,
    left: &Effect,
    (newest, older): (&Heard<'_>, &Heard<'_>),
) -> Option<Violation> {
    let found = left.subject.map_or("nothing", |subject| trace.text(subject));
    if found == newest.state {
        return None;
    }
    let message = format!(
        "expected the state `{}` of the newest event (`{}`), found `{found}`; `{}` came behind it",
        newest.state,
        trace.text(newest.first.kind),
        trace.text(older.last.kind)
    );
    Some(Violation::new(trace, id, message, [newest.first.seq, older.last.seq, left.seq]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "tolerates_reordering";

    fn rule() -> Value {
        json!({"effect": "order_status", "states": {"a.created": "created", "a.captured": "captured"}})
    }

    fn check(parts: &[&str]) -> String {
        verdict(NAME, &rule(), &parts.join("\n"))
    }

    /// An event that is sent and answered; deliveries are numbered as events occur.
    fn told(at_us: u64, delivery: u64, kind: &str, status: u16) -> String {
        format!(
            r#"{{"at_us":{at_us},"event":"webhook_sent","provider":"provider","delivery":{delivery},"webhook":"of-{kind}","kind":"{kind}","operation":"op-0001"}}
            {{"at_us":{},"event":"webhook_answered","provider":"provider","delivery":{delivery},"status":{status}}}"#,
            at_us + 1
        )
    }

    /// The service keeps a state.
    fn kept(at_us: u64, request: u64, state: &str) -> String {
        format!(
            r#"{{"at_us":{at_us},"event":"request_received","request":{request},"attempt":{request},"route":"set_order_status","method":"PUT"}}
            {{"at_us":{at_us},"event":"effect_committed","request":{request},"effect":{request},"kind":"order_status","subject":"{state}","billed":false}}"#
        )
    }

    #[test]
    fn the_newest_event_has_the_last_word() {
        let (newer, older) = (told(10, 2, "a.captured", 200), told(20, 1, "a.created", 200));
        let (captured, created) = (kept(11, 1, "captured"), kept(21, 2, "created"));
        assert_eq!(check(&[&newer, &captured, &older]), "passed");
        assert_eq!(check(&[&newer, &captured, &older, &created]), "failed op-0001");
        assert_eq!(
            message(NAME, &rule(), &trace(&[&*newer, &captured, &older, &created].join("\n"))),
            "expected the state `captured` of the newest event (`a.captured`), found `created`; `a.created` came \
             behind it"
        );
        let put_right = kept(31, 3, "captured");
        assert_eq!(check(&[&newer, &captured, &older, &created, &put_right]), "passed");
    }

    #[test]
    fn a_repeat_of_an_old_event_is_out_of_order_as_well() {
        let (older, newer) = (told(10, 1, "a.created", 200), told(20, 2, "a.captured", 200));
        let again = told(30, 1, "a.created", 200);
        let (created, captured) = (kept(11, 1, "created"), kept(21, 2, "captured"));
        let late = kept(31, 3, "created");
        assert_eq!(check(&[&older, &created, &newer, &captured]), "not exercised");
        assert_eq!(check(&[&older, &created, &newer, &captured, &again]), "passed");
        let all = [&*older, &created, &newer, &captured, &again, &late];
        assert_eq!(check(&all), "failed op-0001");
    }

    #[test]
    fn what_was_not_heard_or_left_no_state_is_not_judged() {
        let (newer, older) = (told(10, 2, "a.captured", 200), told(20, 1, "a.created", 200));
        let created = kept(21, 2, "created");
        assert_eq!(check(&[&newer, &older]), "not exercised", "nothing is kept");
        let unheard = told(10, 2, "a.captured", 500);
        assert_eq!(check(&[&unheard, &older, &created]), "not exercised");
        let forged = newer.replace("\"kind\"", "\"flaw\":\"bad_signature\",\"kind\"");
        assert_eq!(check(&[&forged, &older, &created]), "not exercised");
        let other = told(10, 2, "a.voided", 200);
        assert_eq!(check(&[&other, &older, &created]), "not exercised", "it means nothing");
        let elsewhere = newer.replace("op-0001", "op-0002");
        assert_eq!(check(&[&elsewhere, &older, &created]), "not exercised");
    }

    #[test]
    fn every_type_means_itself_unless_said() {
        let (newer, older) = (told(10, 2, "a.captured", 200), told(20, 1, "a.created", 200));
        let bare = json!({"effect": "order_status"});
        let lines = |state: &str| [&*newer, &older, &kept(30, 1, state)].join("\n");
        assert_eq!(verdict(NAME, &bare, &lines("a.captured")), "passed");
        assert_eq!(verdict(NAME, &bare, &lines("a.created")), "failed op-0001");
    }
}
