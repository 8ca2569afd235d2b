//! How long a run waits at its end: at least as long as its faults have things come late.
//!
//! **Invariant:** what a fault of the scenario delays for a time of its own is never cut off by the drain.

use std::time::Duration;

use brownout_provider::document::At;
use brownout_provider::fault::{Action, OrderFault};
use brownout_provider::seed::Seed;
use brownout_provider::units::Period;

use super::rules::Placed;

/// How long, where nothing comes late.
const USUAL: Duration = Duration::from_secs(10);

/// The drain: what is said, which must be long enough, or what is enough.
pub(super) fn resolve(said: Option<Period>, rules: &[Placed], at: &At<'_>) -> Duration {
    let latest = rules
        .iter()
        .flat_map(|placed| placed.rule.faults.iter().map(move |fault| (&placed.rule.name, fault)))
        .map(|(rule, fault)| (late_us(&fault.looked_at(Seed::default())), rule))
        .max_by_key(|(late_us, _)| *late_us);
    let (late_us, rule) = latest.map_or((0, ""), |(late_us, rule)| (late_us, &**rule));
    let Some(said) = said else {
        return USUAL.saturating_add(Duration::from_micros(late_us));
    };
    if said.micros() < late_us {
        let least = Period::from_micros(late_us);
        at.error(
            format!(
                "the run would be over before all that `{rule}` delays has come, {least} later"
            ),
            |d| d.cure(format!("wait longer than {least}, or leave `drain` out")),
        );
    }
    said.duration()
}

/// How late at most the last of what a fault delays comes, in microseconds.
fn late_us(action: &Action) -> u64 {
    match action {
        Action::Order(OrderFault::Held { by_us } | OrderFault::Slow { by_us }) => *by_us,
        Action::Duplicate { times, apart_us } => apart_us.saturating_mul(u64::from(*times)),
        Action::Order(OrderFault::Stale { .. } | OrderFault::Read { .. })
        | Action::Delay { .. }
        | Action::Drip { .. }
        | Action::Key(_)
        | Action::Limit(_)
        | Action::Client { .. }
        | Action::End { .. }
        | Action::Webhook(_)
        | Action::Job(_)
        | Action::Upload(_)
        | Action::Batch(_)
        | Action::Deprecated(_)
        // Whoever receives messages is still there when they come.
        | Action::Message(_)
        | Action::Door(_) => 0,
    }
}
