//! `fallback_only_on_failure`: the backup is for when the first provider fails, and for nothing else.
//!
//! **Invariant:** a client that has given up on the first provider for a while (an open breaker) is not
//! accused for as long as nothing there has succeeded since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::Claim;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{events_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Effect, Name, OperationId, Request, RequestId, Strike, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "fallback_only_on_failure",
    summary: "The backup is used only after the first provider failed, one effect in all, and the claim says \
              where it was done.",
    headline: "went to the backup without need, or to both",
    rule: "A request with an effect to any provider but `primary` comes after an attempt of the operation at \
           `primary` that failed, or while the latest attempt of the client there has failed; no two providers \
           hold a live effect of the operation; and a claim of `succeeded` names the provider that holds it, where \
           claims can: a service's status and a message's end name nobody.",
    exercised_by: "An operation that asked a provider other than `primary` to do its work.",
    parameters: &[(
        "primary",
        "the provider that comes first; the first of the scenario unless said",
    )],
    tolerates: "A step that the scenario sends to another provider by name; an open circuit breaker; a provider where nobody listened, so that no request could arrive; an \
                effect at the first provider that was undone; runs in which nobody made a claim.",
    cure: "Turn to the backup when the first provider has failed for certain: ask it whether the work stands \
           before doing it elsewhere, and say in the claim which provider did it.",
    why: "A backup that steps in while the first provider is still at work does everything twice, at two \
          providers and on two bills.",
    faults: &["status", "hang", "reset", "close"],
    without_a_fault: "",
    modes: &[],
    example: "fallback_only_on_failure",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<FallbackOnlyOnFailureParameters>,
    parse: |value, at| {
        let parameters: FallbackOnlyOnFailureParameters = decode(value, at)?;
        Some(Arc::new(FallbackOnlyOnFailure { primary: parameters.primary }))
    },
};

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FallbackOnlyOnFailureParameters {
    /// The provider that comes first (the first of the scenario unless said).
    primary: Option<String>,
}

#[derive(Debug)]
struct FallbackOnlyOnFailure {
    primary: Option<String>,
}

impl Invariant for FallbackOnlyOnFailure {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let why_not = "no operation asked another provider than the first to do its work";
        let named = trace.run.scenario.get("providers").and_then(Value::as_object);
        let first = || named.and_then(|named| named.keys().next()).map(String::as_str);
        let Some(said) = self.primary.as_deref().or_else(first) else {
            return Judgement::new(0, Vec::new(), why_not);
        };
        let roles = Roles::of(trace, said);
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            let elsewhere = trace.attempts_of(id).find(|(_, one)| {
                one.effectful && Some(one.provider) != roles.primary && !roles.sends_there(one)
            });
            let Some((first, _)) = elsewhere else { continue };
            exercised += 1;
            let found = two_effects(trace, id, &roles)
                .or_else(|| needless(trace, (id, first), roles.primary))
                .or_else(|| unnamed(trace, id, &roles));
            violations.extend(found);
        }
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !scenario.providers.are_several() {
            at.error(format!("`{}` cannot be exercised: there is one provider", KIND.name), |d| {
                d.cure("name a backup: `providers: {primary: {api: …}, backup: {api: …}}`")
            });
        } else if let Some(name) = &self.primary
            && scenario.providers.get(name).is_none()
        {
            let names: Vec<&str> = scenario.providers.names().map(|name| &**name).collect();
            at.key("primary")
                .error(format!("there is no provider `{name}`"), |d| d.allowed(name, names));
        }
    }
}

/// Who does what: the provider that comes first, and the steps that the scenario itself sends to another.
struct Roles {
    primary: Option<Name>,
    /// Route and provider of each such step.
    elsewhere: BTreeSet<(Name, Name)>,
}

impl Roles {
    fn of(trace: &Trace, said: &str) -> Self {
        let primary = trace.name(said);
        let steps = trace.run.scenario.pointer("/workload/steps").and_then(Value::as_array);
        let places = steps.into_iter().flatten().flat_map(|step| places(trace, step, primary));
        Self { primary, elsewhere: places.collect() }
    }

    /// True for a request to a provider that is no backup: the work itself names it.
    fn sends_there(&self, request: &Request) -> bool {
        request.route.is_some_and(|route| self.elsewhere.contains(&(route, request.provider)))
    }

    /// True for an effect that could stand at the first provider or at a backup.
    fn is_shared(&self, trace: &Trace, effect: &Effect) -> bool {
        effect.request.is_none_or(|request| !self.sends_there(trace.request(request)))
    }
}

/// Where a step is sent, if not to the first provider: where it says, or to those that know its route, if the
/// first does not.
fn places(trace: &Trace, step: &Value, primary: Option<Name>) -> Vec<(Name, Name)> {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    let Some(route) = text("call").and_then(|call| trace.name(call)) else { return Vec::new() };
    let asked = trace.providers_asked().into_iter().filter(|one| Some(*one) != primary);
    let is_its = |one: &Name| match text("provider") {
        Some(said) => trace.text(*one) == said,
        None => primary.is_some_and(|primary| trace.has_route(primary, route) == Some(false)),
    };
    asked.filter(is_its).map(|provider| (route, provider)).collect()
}

/// Live effects of one operation at two providers.
fn two_effects(trace: &Trace, id: OperationId, roles: &Roles) -> Option<Violation> {
    let mut groups = BTreeMap::<(Name, Option<Name>), Vec<&Effect>>::new();
    let counts = |effect: &Effect| effect.is_live() && roles.is_shared(trace, effect);
    for (_, effect) in trace.effects_of(id).filter(|(_, one)| counts(one)) {
        groups.entry((effect.kind, effect.subject)).or_default().push(effect);
    }
    let both = groups.into_values().find(|effects| {
        effects.iter().map(|one| one.provider).collect::<BTreeSet<_>>().len() > 1
    })?;
    let places: BTreeSet<String> =
        both.iter().map(|one| format!("`{}`", trace.text(one.provider))).collect();
    let places: Vec<String> = places.into_iter().collect();
    let kind = trace.text(both[0].kind);
    let message = format!("a {kind} stands at {}", places.join(" and at "));
    Some(Violation::new(trace, id, message, both.iter().map(|one| one.seq)))
}

/// A request to the backup that nothing at the first provider called for.
fn needless(
    trace: &Trace,
    (id, first): (OperationId, RequestId),
    primary: Option<Name>,
) -> Option<Violation> {
    let request = trace.request(first);
    let now_us = request.at_us.saturating_add(trace.reaction_us());
    let failed = |one: RequestId| {
        matches!(trace.fate_at(one, now_us), Some(Fate::Rejected | Fate::Ambiguous))
    };
    let before = |one: RequestId| trace.request(one).seq < request.seq;
    let its = |one: RequestId| Some(trace.request(one).provider) == primary;
    let own = trace.attempts_of(id).map(|(one, _)| one).filter(|one| its(*one) && before(*one));
    let own: Vec<RequestId> = own.collect();
    let asks_the_same = |one: &RequestId| trace.request(*one).route == request.route;
    // That a read found nothing is no failure, and that it found something no reason to charge there.
    let asks_for_work = |one: &RequestId| trace.request(*one).effectful || asks_the_same(one);
    let is_open = |one: &RequestId| trace.fate_at(*one, now_us) == Some(Fate::Ambiguous);
    if own.iter().any(|one| if asks_for_work(one) { failed(*one) } else { is_open(one) }) {
        return None;
    }
    // What fails at a closed door leaves no request behind.
    let at_door = |strike: &Strike| {
        strike.request.is_none() && Some(strike.provider) == primary && strike.seq < request.seq
    };
    if !own.iter().any(asks_the_same) && trace.strikes().iter().any(at_door) {
        return None;
    }
    // What any operation last heard from there is what a breaker goes by.
    let heard = trace
        .requests()
        .filter(|(one, of)| of.by.is_client() && its(*one) && before(*one))
        .filter(|(one, _)| asks_for_work(one) && trace.fate_at(*one, now_us).is_some())
        .last();
    if !own.iter().any(asks_for_work) && heard.is_some_and(|(one, _)| failed(one)) {
        return None;
    }
    let message = format!(
        "{} was sent although the first provider had not failed",
        trace.request_in_words(request)
    );
    let evidence = own.iter().flat_map(|one| events_of(trace, *one)).chain([request.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

/// A claim of success that does not say which provider did the work, or names another.
fn unnamed(trace: &Trace, id: OperationId, roles: &Roles) -> Option<Violation> {
    let claims = trace.submits_of(id).filter_map(|(_, submit)| trace.final_claim(submit));
    let holders: BTreeSet<Name> = trace
        .effects_of(id)
        .filter(|(_, effect)| effect.is_live() && roles.is_shared(trace, effect))
        .map(|(_, effect)| effect.provider)
        .collect();
    claims.filter(|claim| claim.claim == Claim::Succeeded).find_map(|claim| {
        let message = match claim.provider {
            // A status or the end of a message is all that such a client says of its work.
            None if trace.is_service() || !trace.messages_of(id).is_empty() => return None,
            None => "the claim does not say which provider did the work".to_owned(),
            Some(said) if !holders.is_empty() && !holders.contains(&said) => {
                let did: Vec<&str> = holders.iter().map(|name| trace.text(*name)).collect();
                let said = trace.text(said);
                format!("the claim names `{said}`, and `{}` did the work", did.join("`, `"))
            }
            Some(_) => return None,
        };
        Some(Violation::new(trace, id, message, [claim.seq]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{in_short, invariant};
    use crate::trace::testing::trace_with;

    fn check(lines: &str) -> String {
        let run = json!({"scenario": {"providers": {"primary": {}, "backup": {}}}});
        let invariant = invariant("fallback_only_on_failure", &json!(null));
        in_short(&invariant.check(&trace_with(&run, lines)))
    }

    const FAILED: &str = r#"{"at_us":1,"event":"request_received","request":1,"provider":"primary"}
        {"at_us":2,"event":"response_sent","request":1,"provider":"primary","status":503}"#;
    const DONE: &str = r#"{"at_us":9,"event":"request_received","request":1,"provider":"backup"}
        {"at_us":9,"event":"effect_committed","request":1,"provider":"backup"}
        {"at_us":10,"event":"response_sent","request":1,"provider":"backup","status":201,"effects":[1]}"#;
    const NAMED: &str =
        r#"{"at_us":20,"event":"operation_finished","claim":"succeeded","provider":"backup"}"#;

    #[test]
    fn a_claim_names_who_did_it_where_it_can() {
        let claim = NAMED.replace(r#","provider":"backup""#, "");
        let lines = format!("{FAILED}\n{DONE}\n{claim}");
        assert_eq!(check(&lines), "failed op-0001");
        let message = r#"{"at_us":0,"event":"message_moved","request":9,"provider":"primary","operation":"op-0001","message":"m","receives":1,"state":"received"}"#;
        let queued = format!("{message}\n{lines}");
        let service =
            json!({"mode": "http", "scenario": {"providers": {"primary": {}, "backup": {}}}});
        let invariant = invariant("fallback_only_on_failure", &json!(null));
        assert_eq!(check(&queued), "passed");
        assert_eq!(in_short(&invariant.check(&trace_with(&service, &lines))), "passed");
        let elsewhere =
            lines.replace(r#""claim":"succeeded""#, r#""claim":"succeeded","provider":"primary""#);
        assert_eq!(in_short(&invariant.check(&trace_with(&service, &elsewhere))), "failed op-0001");
    }

    #[test]
    fn a_read_that_found_nothing_is_no_failure_and_one_that_worked_closes_no_breaker() {
        let read = |status: u16| {
            format!(
                r#"{{"at_us":6,"event":"request_received","request":7,"provider":"primary","route":"list_charges","unsafe":false}}
                {{"at_us":7,"event":"response_sent","request":7,"provider":"primary","status":{status}}}"#
            )
        };
        assert_eq!(check(&format!("{}\n{DONE}\n{NAMED}", read(404))), "failed op-0001");
        assert_eq!(check(&format!("{}\n{DONE}\n{NAMED}", read(503))), "passed");
        let other = FAILED
            .replace(r#""provider":"primary"}"#, r#""provider":"primary","operation":"op-0002"}"#);
        assert_eq!(
            check(&format!("{other}\n{}\n{DONE}\n{NAMED}", read(200))),
            "passed",
            "a breaker is open"
        );
    }

    #[test]
    fn the_backup_does_what_the_first_provider_did_not() {
        assert_eq!(check(&format!("{FAILED}\n{DONE}\n{NAMED}")), "passed");
        let lost = FAILED.replace(
            r#""event":"response_sent","request":1,"provider":"primary","status":503"#,
            r#""event":"connection_ended","request":1,"provider":"primary""#,
        );
        assert_eq!(check(&format!("{lost}\n{DONE}\n{NAMED}")), "passed");
    }

    #[test]
    fn a_backup_that_nothing_called_for_is_seen() {
        assert_eq!(check(&format!("{DONE}\n{NAMED}")), "failed op-0001");
        let well = FAILED.replace("503", "201");
        assert_eq!(check(&format!("{well}\n{DONE}\n{NAMED}")), "failed op-0001");
        let waiting = FAILED.lines().next().expect("a line");
        assert_eq!(check(&format!("{waiting}\n{DONE}\n{NAMED}")), "failed op-0001");
    }

    #[test]
    fn an_effect_at_both_is_seen_unless_one_was_undone() {
        let both = r#"{"at_us":2,"event":"effect_committed","request":1,"provider":"primary"}"#;
        assert_eq!(check(&format!("{FAILED}\n{both}\n{DONE}\n{NAMED}")), "failed op-0001");
        let undone = r#"{"at_us":15,"event":"effect_reversed","request":1,"provider":"primary"}"#;
        assert_eq!(check(&format!("{FAILED}\n{both}\n{DONE}\n{undone}\n{NAMED}")), "passed");
    }

    #[test]
    fn the_claim_names_who_did_it() {
        let silent = NAMED.replace(r#","provider":"backup""#, "");
        assert_eq!(check(&format!("{FAILED}\n{DONE}\n{silent}")), "failed op-0001");
        let wrong = NAMED.replace("backup", "primary");
        assert_eq!(check(&format!("{FAILED}\n{DONE}\n{wrong}")), "failed op-0001");
        let unknown = silent.replace("succeeded", "unknown");
        assert_eq!(check(&format!("{FAILED}\n{DONE}\n{unknown}")), "passed");
        assert_eq!(check(&format!("{FAILED}\n{DONE}")), "passed", "nobody made a claim");
    }

    #[test]
    fn an_open_breaker_is_not_accused_and_one_that_stays_open_is() {
        let other = FAILED.replace(r#""request":1,"#, r#""request":7,"operation":"op-0002","#);
        assert_eq!(check(&format!("{other}\n{DONE}\n{NAMED}")), "passed");
        let well = r#"{"at_us":5,"event":"request_received","request":8,"operation":"op-0003","provider":"primary"}
            {"at_us":6,"event":"response_sent","request":8,"operation":"op-0003","provider":"primary","status":201}"#;
        assert_eq!(check(&format!("{other}\n{well}\n{DONE}\n{NAMED}")), "failed op-0001");
    }

    #[test]
    fn a_provider_where_nobody_listened_saw_no_request() {
        let away = r#"{"at_us":1,"event":"fault_injected","request":0,"provider":"primary","operation":null,"fault":"refuse"}"#;
        assert_eq!(check(&format!("{away}\n{DONE}\n{NAMED}")), "passed");
    }

    #[test]
    fn a_client_that_needs_no_backup_exercises_nothing_and_reads_are_free() {
        assert_eq!(check(FAILED), "not exercised");
        let read = r#"{"at_us":1,"event":"request_received","request":1,"provider":"backup","unsafe":false}"#;
        assert_eq!(check(read), "not exercised");
    }

    #[test]
    fn a_step_that_names_another_provider_is_no_fallback() {
        let steps = json!([
            {"call": "create_charge", "provider": "processor"},
            {"call": "notify", "provider": "notifier"},
        ]);
        let run = json!({"scenario": {
            "providers": {"processor": {}, "notifier": {}, "backup": {}},
            "workload": {"steps": steps},
        }});
        let check = |lines: &str| {
            let invariant = invariant("fallback_only_on_failure", &json!(null));
            in_short(&invariant.check(&trace_with(&run, lines)))
        };
        let charged = FAILED.replace("503", "201").replace("primary", "processor");
        let notified = r#"{"at_us":9,"event":"request_received","request":1,"provider":"notifier","route":"notify"}
            {"at_us":9,"event":"effect_committed","request":1,"provider":"notifier","kind":"notification"}"#;
        assert_eq!(check(&format!("{charged}\n{notified}")), "not exercised");
        assert_eq!(check(&format!("{charged}\n{notified}\n{DONE}\n{NAMED}")), "failed op-0001");
        let failed = FAILED.replace("primary", "processor");
        assert_eq!(check(&format!("{failed}\n{DONE}\n{notified}\n{NAMED}")), "passed");
        let wrong = NAMED.replace("backup", "notifier");
        assert_eq!(check(&format!("{failed}\n{DONE}\n{notified}\n{wrong}")), "failed op-0001");
    }

    #[test]
    fn a_door_that_was_closed_elsewhere_or_later_excuses_nothing() {
        let away = r#"{"at_us":1,"event":"fault_injected","request":0,"provider":"backup","operation":null,"fault":"refuse"}"#;
        assert_eq!(check(&format!("{away}\n{DONE}\n{NAMED}")), "failed op-0001");
        let later = away.replace("backup", "primary").replace(r#""at_us":1,"#, r#""at_us":30,"#);
        assert_eq!(check(&format!("{DONE}\n{NAMED}\n{later}")), "failed op-0001");
        let before = away.replace("backup", "primary");
        let well = FAILED.replace("503", "201");
        assert_eq!(check(&format!("{before}\n{well}\n{DONE}\n{NAMED}")), "failed op-0001");
    }
}
