//! How long a run waits at its end: at least as long as its faults have things come late, and its jobs go on.
//!
//! **Invariant:** what a fault of the scenario delays for a time of its own is never cut off by the drain, nor is a
//! job that a fault draws out; without a word of the file no job is.

use std::time::Duration;

use brownout_provider::api::JobPace;
use brownout_provider::document::At;
use brownout_provider::fault::{Action, OrderFault, WebhookFault};
use brownout_provider::seed::Seed;
use brownout_provider::units::Period;

use super::provider::Place;
use super::rules::Placed;

/// How long, where nothing comes late.
const USUAL: Duration = Duration::from_secs(10);

/// The drain: what is said, which must be long enough, or what is enough.
pub(super) fn resolve(
    said: Option<Period>,
    rules: &[Placed],
    providers: &[Place],
    at: &At<'_>,
) -> Duration {
    let job_us = providers
        .iter()
        .filter_map(|place| place.spec.as_ref())
        .flat_map(|spec| &spec.api.routes)
        .filter_map(|route| match route.job.as_ref()?.pace {
            JobPace::Time(takes_us) => Some(takes_us),
            JobPace::Looks(_) => None,
        })
        .max()
        .unwrap_or(0);
    let latest = rules
        .iter()
        .flat_map(|placed| placed.rule.faults.iter().map(move |fault| (&placed.rule.name, fault)))
        .map(|(rule, fault)| (late_us(&fault.looked_at(Seed::default()), job_us), rule))
        .max_by_key(|(late_us, _)| *late_us);
    let (late_us, rule) = latest.map_or((0, ""), |(late_us, rule)| (late_us, &**rule));
    let Some(said) = said else {
        return USUAL.saturating_add(Duration::from_micros(late_us.max(job_us)));
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

/// How late at most the last of what a fault delays comes, in microseconds, where jobs take so long.
fn late_us(action: &Action, job_us: u64) -> u64 {
    match action {
        Action::Order(OrderFault::Held { by_us } | OrderFault::Slow { by_us }) => *by_us,
        Action::Duplicate { times, apart_us } => apart_us.saturating_mul(u64::from(*times)),
        Action::Job(fault) => fault.longest_us(job_us),
        Action::Webhook(WebhookFault::Duplicate { times, apart_us }) => {
            apart_us.saturating_mul(u64::from(*times))
        }
        Action::Webhook(
            WebhookFault::Late { by_us: late_us } | WebhookFault::Burst { every_us: late_us },
        ) => *late_us,
        Action::Order(OrderFault::Stale { .. } | OrderFault::Read { .. })
        | Action::Delay { .. }
        | Action::Drip { .. }
        | Action::Key(_)
        | Action::Limit(_)
        | Action::Client { .. }
        | Action::End { .. }
        | Action::Webhook(_)
        | Action::Upload(_)
        | Action::Batch(_)
        | Action::Deprecated(_)
        // Whoever receives messages is still there when they come.
        | Action::Message(_)
        | Action::Door(_) => 0,
    }
}
