//! Invariants: what a client must hold, one file each.
//!
//! **Invariant:** a pure function from the trace (and its parameters) to a verdict. It never reads the
//! clock, the network or a file, so any old run can be judged again.

use std::fmt;
use std::sync::Arc;

use brownout_provider::document::At;
use serde_json::Value;

use crate::scenario::Scenario;
use crate::trace::Trace;
pub use crate::verdict::Violation;

mod adapts_to_tightened_limit;
mod all_or_nothing;
mod at_most_one_effect;
mod backs_off;
mod binomial;
mod bounded_retries;
mod check;
mod client_timeout;
mod deadline;
mod degrades_gracefully;
mod eases_off_during_outage;
mod failures_surface;
mod fallback_only_on_failure;
mod gives_up_on_nothing_recoverable;
mod honest_failures;
mod honors_retry_after;
mod idempotency_key_bound_to_body;
mod idempotency_key_present;
mod idempotency_key_stable;
mod idempotency_key_strength;
mod idempotency_key_unique;
mod isolates;
mod job_not_resubmitted;
mod key_retry_window;
mod key_strength;
mod max_in_flight;
mod max_waste;
mod message_acknowledged;
mod message_handled_once;
mod min_gap;
#[cfg(test)]
mod model;
mod no_double_charges;
mod no_lost_operations;
mod no_over_deduplication;
mod no_overlapping_attempts;
mod no_phantom_success;
mod no_retry_on_permanent_errors;
mod no_secrets_in_output;
mod no_truncated_stream_accepted;
mod not_banned;
mod nothing_after_claim;
mod poison_message_parked;
mod polls_politely;
mod reach;
mod reads_cached;
mod reconciled;
mod recoverable;
mod recovers_after_outage;
pub mod registry;
mod rejects_bad_signatures;
mod rejects_malformed_responses;
mod resumes_upload;
mod retries_logged;
mod retries_transient_errors;
mod retry_body_stable;
mod retry_budget;
#[cfg(test)]
mod second;
mod spares_other_tenants;
mod spreads_retries;
mod stays_within_rate_limit;
mod support;
mod survives_bad_retry_after;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tolerates_reordering;
mod upload_intact;
mod waits_for_reset;
mod webhook_acknowledged;
mod webhook_handled_once;

pub(crate) use support::too_busy;

/// An invariant with its parameters, ready to judge.
pub trait Invariant: fmt::Debug + Send + Sync {
    /// Which entry of the registry it is.
    fn kind(&self) -> &'static InvariantKind;

    /// Judges a trace.
    fn check(&self, trace: &Trace) -> Judgement;

    /// What it demands of a client, and the cure, where its parameters ask for more than the registry's
    /// entry says: `None` where that says it all.
    fn demand(&self) -> Option<Demand> {
        None
    }

    /// How long after the storm a client has to clear up what it does not know, where this invariant asks
    /// for it: so long a driver waits with the end of the run. In microseconds.
    fn reconciles_within_us(&self) -> Option<u64> {
        None
    }

    /// Reports what makes it impossible to exercise in this scenario, with the fault that would; the
    /// scenario checker calls it before anything runs.
    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let _ = (scenario, at);
    }
}

/// An entry of the registry: everything that `list`, `explain`, the schema and the docs say.
pub struct InvariantKind {
    /// The name in YAML, in reports and in the docs.
    pub name: &'static str,
    /// One sentence: what a client must do.
    pub summary: &'static str,
    /// The end of the sentence for a manager, after "3 of 20 operations": `were lost`,
    /// `were retried too often`. The order of the registry is the order of severity.
    pub headline: &'static str,
    /// The rule, exactly.
    pub rule: &'static str,
    /// What a run must meet for it to say anything.
    pub exercised_by: &'static str,
    /// Parameters with units, ranges and defaults: (name, text).
    pub parameters: &'static [(&'static str, &'static str)],
    /// Behaviour that must not be accused.
    pub tolerates: &'static str,
    /// What to change in a client, in general; an API file may say it better for its SDK.
    pub cure: &'static str,
    /// What it costs when a client gets this wrong, in a sentence or two.
    pub why: &'static str,
    /// The faults that exercise it best, by their names in the registry of faults; none where it takes no fault.
    pub faults: &'static [&'static str],
    /// What exercises it without a fault, as the rest of a sentence; empty where it takes a fault.
    pub without_a_fault: &'static str,
    /// What else the modes of driving mean to it, beside what follows from `needs_one_client`: whole sentences.
    pub modes: &'static [&'static str],
    /// A piece of YAML that stands under `expect:` and is a test.
    pub example: &'static str,
    /// True when nothing is required and the bare word is legal.
    pub bare: bool,
    /// True when it reads which requests belong to one operation: no violation of it may then rest on a
    /// guess.
    pub needs_identity: bool,
    /// True when a violation may rest on something that is missing, or on two operations being two, so
    /// that it would disappear if operations that nothing tells apart are one. Read only together with
    /// `needs_identity`.
    pub needs_separation: bool,
    /// True when it needs one living client, so that exec mode cannot exercise it.
    pub needs_one_client: bool,
    /// The JSON Schema of the parameters.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Reads the parameters (`null` for the bare word) and reports all that is wrong with them.
    pub parse: fn(&Value, &At<'_>) -> Option<Arc<dyn Invariant>>,
}

impl fmt::Debug for InvariantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InvariantKind").field(&self.name).finish()
    }
}

/// What an invariant with its parameters demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// One sentence: what a client must do.
    pub summary: &'static str,
    /// What to change in a client.
    pub cure: &'static str,
}

/// What an invariant says of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// How many situations of the kind it is about the run met.
    pub exercised: u64,
    /// The violations.
    pub violations: Vec<Violation>,
    /// Why it was not exercised, where it was not.
    pub reason: Option<String>,
}
