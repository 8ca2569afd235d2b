//! Whom the rules of a scenario can reach, as far as that is certain before anything runs.
//!
//! **Invariant:** where it is not certain, because a fault makes itself felt beyond the request that it strikes or
//! the provider has a limit of its own, nothing is said.

use brownout_provider::coordinates::Coordinates;
use brownout_provider::event::Class;
use brownout_provider::fault::{Action, Ending, Point, Substitute};
use brownout_provider::hint::HintSpec;
use brownout_provider::rule::Rule;
use brownout_provider::seed::RuleKey;

use crate::scenario::Scenario;

/// So many attempts, and so many operations, are looked at.
const LOOKED_AT: u64 = 10_000;

/// The rules of a scenario that can strike at all.
pub(super) fn rules(scenario: &Scenario) -> impl Iterator<Item = &Rule> {
    scenario.rules.iter().filter(|rule| rule.when.chance_ppm != Some(0) && !rule.faults.is_empty())
}

/// What a rule does when it strikes.
fn actions<'a>(scenario: &Scenario, rule: &'a Rule) -> impl Iterator<Item = Action> + use<'a> {
    let draw = RuleKey::new(scenario.seed, &rule.name).draw(&Coordinates::NOWHERE);
    rule.faults.iter().map(move |fault| fault.strike(&mut draw.clone()))
}

/// True where some rule strikes, no provider has a limit, and all that the rules do is `like` this.
fn all_do(scenario: &Scenario, like: impl Fn(&Action) -> bool) -> bool {
    rules(scenario).next().is_some()
        && scenario.providers.values().all(|provider| provider.api.rate_limit.is_none())
        && rules(scenario).flat_map(|rule| actions(scenario, rule)).all(|action| like(&action))
}

/// True for what is over with the request that it strikes: neither the next attempt nor another operation feels
/// it.
fn is_over_at_once(action: &Action) -> bool {
    let Action::End { ending, .. } = action else { return false };
    match ending {
        Ending::Answer(answer) => !answer.kept,
        Ending::Cut { connection, .. } => !connection,
        Ending::Malformed(_) | Ending::Hang | Ending::CloseIdle | Ending::Misframed { .. } => true,
        Ending::InFlight { .. }
        | Ending::Interim(_)
        | Ending::Accepted
        | Ending::Stream(_)
        | Ending::GoAway(_) => false,
    }
}

/// True where no rule can make two attempts of an operation fail one after the other.
pub(super) fn fails_no_two_in_a_row(scenario: &Scenario) -> bool {
    let strikes = |attempt: u64| rules(scenario).any(|rule| rule.when.attempt.takes(attempt));
    all_do(scenario, is_over_at_once)
        && !(1..LOOKED_AT).any(|attempt| strikes(attempt) && strikes(attempt + 1))
}

/// How many operations the rules can strike at most; `None` where nobody can say.
pub(super) fn most_struck(scenario: &Scenario) -> Option<u64> {
    let workload = &scenario.workload;
    if !workload.is_driven()
        || workload.operations > LOOKED_AT
        || !all_do(scenario, is_over_at_once)
    {
        return None;
    }
    let takes = |rule: &Rule, number: u64| {
        let is_its = match (&rule.when.tenant, workload.tenants.of(number)) {
            (Some(wanted), Some(tenant)) => wanted == tenant,
            (None, _) | (_, None) => true,
        };
        is_its && rule.when.operation.takes(number)
    };
    let (counted, free): (Vec<&Rule>, Vec<&Rule>) =
        rules(scenario).partition(|rule| rule.when.max_times.is_some());
    let is_free = |number: &u64| free.iter().any(|rule| takes(rule, *number));
    let struck = u64::try_from((1..=workload.operations).filter(is_free).count()).ok()?;
    let times = counted.iter().filter_map(|rule| rule.when.max_times);
    Some(times.fold(struck, u64::saturating_add).min(workload.operations))
}

/// True where each failure asks the client to wait for a time.
pub(super) fn only_hints(scenario: &Scenario) -> bool {
    let asks = |answer: &Substitute| {
        matches!(answer.hint, Some(HintSpec::Seconds(1..))) && answer.status.is_none_or(is_failure)
    };
    all_do(
        scenario,
        |action| matches!(action, Action::End { ending: Ending::Answer(answer), .. } if asks(answer)),
    )
}

const fn is_failure(status: u16) -> bool {
    status >= 400
}

/// True for an answer that every API of the scenario means for good.
fn is_permanent(scenario: &Scenario, answer: &Substitute) -> bool {
    let by_status = |status: u16| {
        let mut apis = scenario.providers.values().map(|provider| &provider.api);
        apis.all(|api| api.classes.of_status(status) == Class::Permanent)
    };
    // A code in the body, or a header, may outrank the status.
    let is_plain = answer.body.is_none()
        && answer.code.is_none()
        && answer.headers.is_empty()
        && answer.should_retry != Some(true);
    is_plain && !answer.throttling && answer.status.is_some_and(by_status)
}

/// True where nothing that the rules do looks like a provider that is down to whoever reads its answers.
pub(super) fn only_refuses_for_good(scenario: &Scenario) -> bool {
    let refuses = |answer: &Substitute| is_permanent(scenario, answer);
    all_do(scenario, |action| {
        matches!(action, Action::Door(_))
            || matches!(action, Action::End { ending: Ending::Answer(answer), .. } if refuses(answer))
    })
}

/// True where each failure says for certain that nothing was done.
pub(super) fn leaves_no_doubt(scenario: &Scenario) -> bool {
    all_do(scenario, |action| {
        let Action::End { at, ending: Ending::Answer(answer) } = action else { return false };
        let throttles = answer.throttling && answer.status.is_none_or(|status| status == 429);
        let is_plain_429 = answer.status == Some(429) && answer.body.is_none();
        let is_definite = throttles || is_plain_429 || is_permanent(scenario, answer);
        is_definite && !matches!(at, Point::AfterCommit | Point::MidBody)
    })
}
