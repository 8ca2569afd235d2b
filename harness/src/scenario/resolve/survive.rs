//! Whether any client could do what is expected, and what stands outside the drawn schedule.

use std::sync::Arc;

use brownout_provider::api::Api;
use brownout_provider::document::At;
use brownout_provider::event::{Class, Mode};
use brownout_provider::exchange::ClientFault;
use brownout_provider::fault::{Action, Ending, Fault, Group, KeyFault, Point};
use brownout_provider::hint::HintSpec;
use brownout_provider::rule::Selector;
use brownout_provider::seed::Seed;
use serde_json::Value;

use super::rules::Placed;
use super::strike::is_certain;
use super::{PROVIDER, PROVIDERS};
use crate::scenario::Scenario;

/// Attempts that are looked at; no client that is worth a test makes more.
const ATTEMPTS: u64 = 1_000;

/// Reports scenarios that no client can survive, and notes what stands outside the drawn schedule.
pub(super) fn check(scenario: &Scenario, rules: &[Placed], root: &At<'_>) {
    survival(scenario, rules, root);
    for placed in rules {
        unguarded_repeat(scenario, (placed, rules), root);
        outside_the_schedule(placed, &placed.at(root));
    }
    let limited = scenario.providers.iter().find(|(_, one)| one.api.rate_limit.is_some());
    if let Some((name, _)) = limited.filter(|_| scenario.workload.concurrency > 1) {
        let own = (&**name != PROVIDER).then(|| root.key(PROVIDERS).key(name));
        own.unwrap_or_else(|| root.key(PROVIDER)).note(
            "with several operations at once it matters who comes first: what the limiter refuses \
             stands outside the drawn schedule",
            |d| d.key().cure("for the same refusals in every run use the fault `rate_limited`"),
        );
    }
    if scenario.workload.mode == Some(Mode::Suite) {
        for placed in rules {
            let strikes = |fault: &Arc<dyn Fault>| fault.kind().group == Group::Client;
            if placed.rule.faults.iter().any(strikes) {
                placed.at(root).key("inject").error(
                    "in suite mode there is no client that could be started again with its operation",
                    |d| d.cure("use `mode: stdio` or `mode: exec`"),
                );
            }
        }
    }
    if scenario.workload.mode == Some(Mode::Exec) {
        for expectation in &scenario.expect {
            if expectation.invariant.kind().needs_one_client {
                let name = expectation.name;
                let message =
                    format!("`{name}` needs one living client and is not exercised in exec mode");
                root.key("expect")
                    .index(expectation.index)
                    .note(message, |d| d.cure("use `mode: stdio`"));
            }
        }
    }
}

/// Notes why strikes of a rule stand outside the drawn schedule; times and counts say it themselves.
fn outside_the_schedule(placed: &Placed, at: &At<'_>) {
    let when = &placed.rule.when;
    if placed.rule.faults.iter().any(|fault| hints_at_a_date(&**fault)) {
        at.key("inject").note(
            "a hint written as a date follows the clock: its text stands outside the drawn schedule",
            |d| d.key().cure("for the same bytes in every run use a hint in seconds"),
        );
    }
    let conditions = [("header", when.headers.is_empty()), ("body", when.body.is_empty())];
    for (key, _) in conditions.into_iter().filter(|(_, is_empty)| !is_empty) {
        at.key("when").key(key).note(
            "what a request carries is no coordinate: this stands outside the drawn schedule",
            |d| d.key().cure("for exact strikes name `operation` and `attempt`"),
        );
    }
}

/// Notes a gateway's repeat whose key the provider does not know any more, where doing it twice is judged.
fn unguarded_repeat(scenario: &Scenario, (placed, rules): (&Placed, &[Placed]), root: &At<'_>) {
    let judged = |name| ["no_double_charges", "at_most_one_effect"].contains(&name);
    let Some(call) = &scenario.workload.call else { return };
    let is_about = placed.rule.when.route.as_ref().is_none_or(|route| route == call);
    if !is_about || !scenario.expect.iter().any(|one| judged(one.name)) {
        return;
    }
    let actions = |placed: &Placed| -> Vec<Action> {
        placed.rule.faults.iter().map(|fault| fault.looked_at(Seed::default())).collect()
    };
    let last_us = actions(placed).iter().fold(None, |last: Option<u64>, action| {
        let Action::Duplicate { times, apart_us } = action else { return last };
        last.max(Some(apart_us.saturating_mul(u64::from(*times))))
    });
    let Some(last_us) = last_us else { return };
    let ignores = |one: &Placed| {
        (std::ptr::eq(one, placed) || takes_all(one, call, scenario))
            && actions(one).iter().any(|action| matches!(action, Action::Key(KeyFault::Ignore)))
    };
    let keyed = scenario
        .providers
        .with_route(call)
        .filter(|(_, _, route)| route.keyed && route.is_effectful());
    let least_us = keyed
        .filter_map(|(_, spec, _)| spec.api.idempotency.as_ref())
        .map(|policy| policy.retention_us)
        .min();
    let why = match least_us {
        None => return,
        Some(_) if rules.iter().any(ignores) => "its key is ignored",
        Some(least_us) if last_us > 0 && last_us >= least_us => "its key is forgotten by then",
        Some(_) => return,
    };
    placed
        .at(root)
        .note(format!("no client can survive this: the repeat is done again, for {why}"), |d| {
            d.cure("let the key be known when the repeat comes, or leave one of the two out")
        });
}

/// Whether an operation can ever be answered with success.
fn survival(scenario: &Scenario, rules: &[Placed], root: &At<'_>) {
    let Some(call) = &scenario.workload.call else { return };
    let called: Vec<Doom<'_>> = scenario
        .providers
        .with_route(call)
        .map(|(name, spec, _)| doom(scenario, rules, (name, &spec.api)))
        .collect::<Option<_>>()
        .unwrap_or_default();
    // With several providers there is a way out as long as one of them lets it through.
    let Some(Doom { placed, .. }) = called.first() else { return };
    let is_lost = called.iter().all(|doom| doom.is_lost);
    match all_must_take_effect(scenario) {
        Some(index) if is_lost => {
            let message = format!(
                "no client can survive this: all operations must take effect, and every attempt of each \
                 ends before anything is done (`{}`)",
                placed.rule.name
            );
            root.key("expect").index(index).error(message, |d| {
                d.cure(
                    "let the faults stop after some attempt (`attempt: {to: 3}`), or expect \
                     `no_lost_operations` without `all`",
                )
            });
        }
        _ => placed.at(root).note(
            "every attempt of every operation ends in a fault: the run shows only how the client gives up",
            |d| d.cure("to let it succeed in the end, let the faults stop: `attempt: {to: 3}`"),
        ),
    }
}

/// Why no attempt at a provider is answered.
struct Doom<'a> {
    placed: &'a Placed,
    /// True when nothing is ever done there.
    is_lost: bool,
}

/// Why no attempt at this provider is answered, if that is so.
fn doom<'a>(
    scenario: &Scenario,
    rules: &'a [Placed],
    (provider, api): (&Arc<str>, &Api),
) -> Option<Doom<'a>> {
    let call = scenario.workload.call.as_ref()?;
    let here =
        |placed: &&Placed| placed.rule.when.provider.as_ref().is_none_or(|one| one == provider);
    let fatal: Vec<(&Placed, Fate)> = rules
        .iter()
        .filter(here)
        .filter(|placed| takes_all(placed, call, scenario))
        .filter_map(|placed| {
            let fates = placed.rule.faults.iter().filter_map(|fault| fate(&**fault, api));
            fates.max().map(|fate| (placed, fate))
        })
        .collect();
    // The first ending in file order is the one that strikes.
    let fate_of = |attempt: u64| {
        let mut taking = fatal.iter().filter(|(placed, _)| placed.rule.when.attempt.takes(attempt));
        taking.next().map(|(_, fate)| *fate)
    };
    if (1..=ATTEMPTS).any(|attempt| fate_of(attempt).is_none()) {
        return None;
    }
    let is_lost = (1..=ATTEMPTS).all(|attempt| fate_of(attempt) == Some(Fate::Lost));
    fatal.last().map(|(placed, _)| Doom { placed, is_lost })
}

/// Where `no_lost_operations: {all: true}` is expected.
fn all_must_take_effect(scenario: &Scenario) -> Option<usize> {
    let expect = scenario.source.get("expect")?.as_array()?;
    expect.iter().position(|one| one.pointer("/no_lost_operations/all") == Some(&Value::Bool(true)))
}

/// True when a rule strikes at every operation of the called route without a draw.
fn takes_all(placed: &Placed, call: &Arc<str>, scenario: &Scenario) -> bool {
    let when = &placed.rule.when;
    let all = |selector: &Selector, highest: u64| match selector {
        Selector::Any => true,
        Selector::Range(from, to) => from.unwrap_or(1) <= 1 && to.is_none_or(|to| to >= highest),
        Selector::List(list) => (1..=highest).all(|number| list.contains(&number)),
        Selector::Every(k) => *k == 1,
    };
    is_certain(when)
        && when.route.as_ref().is_none_or(|route| route == call)
        && when.method.is_none()
        && when.tenant.is_none()
        && all(&when.operation, scenario.workload.operations)
        && all(&when.submit, u64::from(scenario.workload.submits.times))
}

/// What an ending leaves of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// The work is done and the client does not learn it, or it is refused for good.
    Unanswered,
    /// The work is not done.
    Lost,
}

fn fate(fault: &dyn Fault, api: &Api) -> Option<Fate> {
    let action = fault.looked_at(Seed::default());
    let (at, ending) = if let Action::End { at, ending } = action {
        (at, ending)
    } else if let Action::Client { at, does: ClientFault::Kill } = action {
        (at, Ending::Hang)
    } else {
        return None;
    };
    if matches!(ending, Ending::CloseIdle) {
        // On a new connection it does not strike.
        return None;
    }
    // Without a status the answer is the API's own way of throttling.
    if matches!(ending, Ending::Interim(_)) {
        return None;
    }
    if let Ending::Malformed(how) = &ending
        && how.kind.stays_usable()
    {
        return None;
    }
    if let Ending::Stream(how) = &ending
        && how.kind.may_stay_usable()
    {
        return None;
    }
    if let Ending::Answer(answer) = ending
        && let Some(status) = answer.status
    {
        if answer.named.is_some() {
            return Some(Fate::Unanswered);
        }
        if (200..300).contains(&status) {
            return None;
        }
        if !answer.throttling && api.classes.of_status(status) == Class::Permanent {
            return Some(Fate::Unanswered);
        }
    }
    Some(if at > Point::BeforeCommit { Fate::Unanswered } else { Fate::Lost })
}

fn hints_at_a_date(fault: &dyn Fault) -> bool {
    let Action::End { ending, .. } = fault.looked_at(Seed::default()) else { return false };
    let hint = match ending {
        Ending::Answer(answer) => answer.hint,
        Ending::InFlight { hint, .. } => hint,
        Ending::Malformed(_)
        | Ending::Accepted
        | Ending::Interim(_)
        | Ending::Stream(_)
        | Ending::Hang
        | Ending::Cut { .. }
        | Ending::GoAway(_)
        | Ending::CloseIdle
        | Ending::Misframed { .. } => None,
    };
    hint.as_ref().is_some_and(HintSpec::is_instant)
}
