//! Whether operations that are messages or events can be sent, struck and settled as the scenario says.
//!
//! **Invariant:** what is reported here is certain from the file alone.

use std::sync::Arc;
use std::time::Duration;

use brownout_provider::api::{Api, Route};
use brownout_provider::document::At;
use brownout_provider::fault::Action;
use brownout_provider::rule::When;
use brownout_provider::seed::Seed;
use brownout_provider::units::{in_words, micros};
use serde_json::Value;

use super::rules::Placed;
use super::{PROVIDER, PROVIDERS};
use crate::scenario::{PLANTED, Planted, Scenario};

/// Reports what cannot be sent, what can never strike, and what takes longer than there is time.
pub(super) fn check(scenario: &Scenario, rules: &[Placed], root: &At<'_>) {
    if let Some((api, route)) = sends(scenario) {
        can_be_sent(scenario, (api, &route), root);
    }
    for placed in rules {
        let strikes = |is_it: fn(&Action) -> bool| {
            let mut faults = placed.rule.faults.iter();
            faults.any(|fault| is_it(&fault.looked_at(Seed::default())))
        };
        let at = placed.at(root).key("when");
        if strikes(|action| matches!(action, Action::Message(_))) {
            for key in asks_for(&placed.rule.when) {
                at.key(key).error("this can never strike: a message is no request, and has no headers or body of one", |d| {
                    d.key().cure("name `operation` and `attempt`, the how-manieth time that it is handed out")
                });
            }
        }
        if strikes(|action| matches!(action, Action::Webhook(_))) {
            strikes_events(scenario, &placed.rule.when, &at);
        }
    }
    dies_in_time(scenario, root);
}

/// The route as which operations are sent as messages or told of as events, and its API.
fn sends(scenario: &Scenario) -> Option<(&Api, Arc<Route>)> {
    let workload = &scenario.workload;
    scenario.providers.apis().find_map(|api| {
        let has_queue =
            |name: &Arc<str>| api.queue.as_ref().is_some_and(|one| one.messages == *name);
        let sent =
            workload.call.as_ref().filter(|_| workload.queue.as_ref().is_some_and(has_queue));
        let route = sent.or_else(|| told(scenario, api))?;
        Some((&**api, Arc::clone(api.route_named(route)?)))
    })
}

/// The route whose event operations are.
fn told<'a>(scenario: &Scenario, api: &'a Api) -> Option<&'a Arc<str>> {
    let event = scenario.workload.event.as_ref()?;
    let events = &api.webhooks.as_ref()?.events;
    events.iter().find(|(_, kind)| *kind == event).map(|(route, _)| route)
}

/// Reports an input of which the route makes nothing: nobody would ever be sent it.
fn can_be_sent(scenario: &Scenario, (api, route): (&Api, &Route), root: &At<'_>) {
    let workload = &scenario.workload;
    let planted = Planted::within(&workload.input, scenario.seed);
    let planted = planted.as_ref().map(Planted::value).unwrap_or_default();
    for n in [1, workload.operations.max(1)] {
        let (number, submit) = (Value::from(n), Value::from(1));
        let names = [("n", &number), ("submit", &submit), (PLANTED, &planted)];
        // What is wrong with the templates themselves is said when they are read.
        let Ok(input) = workload.input.render(&names) else { return };
        if let Err(why) = api.object_of(route, (&input, n, 1), "id", 0) {
            let message = format!(
                "operation {n} can never be sent: `{}` makes nothing of it: {why}",
                route.name
            );
            root.key("workload").key("input").error(message, |d| {
                d.cure(format!("give the input what a request to `{}` must have", route.name))
            });
            return;
        }
    }
}

/// What a condition asks for that only a request has.
fn asks_for(when: &When) -> impl Iterator<Item = &'static str> {
    let asked = [("header", !when.headers.is_empty()), ("body", !when.body.is_empty())];
    asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(key, _)| key)
}

/// Notes conditions that the events which operations are never meet: there is one of each, and no request.
fn strikes_events(scenario: &Scenario, when: &When, at: &At<'_>) {
    let is_told =
        |route: &Arc<str>| scenario.providers.apis().any(|api| told(scenario, api) == Some(route));
    if !when.route.as_ref().is_some_and(is_told) {
        return;
    }
    let never = "this strikes no operation: an event is told of as attempt 1, and by no request";
    let later = (!when.attempt.takes(1)).then_some("attempt");
    for key in asks_for(when).chain(later) {
        at.key(key).note(never, |d| d.key().cure("name `operation` alone"));
    }
}

/// Notes a queue whose messages cannot die before their callers give up.
fn dies_in_time(scenario: &Scenario, root: &At<'_>) {
    let workload = &scenario.workload;
    let Some(queue) = &workload.queue else { return };
    let its = scenario.providers.iter().find_map(|(name, spec)| {
        let policy = spec.api.queue.as_ref().filter(|policy| policy.messages == *queue)?;
        Some((name, policy))
    });
    let Some((name, policy)) = its.filter(|_| !scenario.rules.is_empty()) else { return };
    let takes_us = policy.visibility_us.saturating_mul(u64::from(policy.max_receives));
    if Duration::from_micros(takes_us) <= workload.deadline {
        return;
    }
    let message = format!(
        "a message that always fails goes to the dead letters after {} ({} times {}), and its deadline is over after \
         {}: nobody sees what becomes of it",
        in_words(takes_us),
        policy.max_receives,
        in_words(policy.visibility_us),
        in_words(micros(workload.deadline))
    );
    let at = if **name == *PROVIDER { root.key(PROVIDER) } else { root.key(PROVIDERS).key(name) };
    at.note(message, |d| {
        d.cure("say `queue: {visibility: 500ms, max_receives: 3}` in the provider, or give the workload a longer `deadline`")
    });
}
