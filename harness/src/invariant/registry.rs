//! All invariants, by name.

use super::{
    InvariantKind, at_most_one_effect, bounded_retries, client_timeout, failures_surface,
    honest_failures, honors_retry_after, idempotency_key_bound_to_body, idempotency_key_present,
    idempotency_key_stable, idempotency_key_unique, min_gap, no_double_charges, no_lost_operations,
    no_overlapping_attempts, no_phantom_success, no_retry_on_permanent_errors,
    no_secrets_in_output, nothing_after_claim, rejects_malformed_responses,
    survives_bad_retry_after,
};

/// Every invariant that a scenario can expect, the gravest first: the order of the documentation, and
/// of the sentence for a manager.
pub static INVARIANTS: &[&InvariantKind] = &[
    &no_double_charges::KIND,
    &at_most_one_effect::KIND,
    &no_lost_operations::KIND,
    &no_phantom_success::KIND,
    &rejects_malformed_responses::KIND,
    &honest_failures::KIND,
    &failures_surface::KIND,
    &nothing_after_claim::KIND,
    &no_secrets_in_output::KIND,
    &idempotency_key_stable::KIND,
    &idempotency_key_unique::KIND,
    &idempotency_key_bound_to_body::KIND,
    &idempotency_key_present::KIND,
    &no_overlapping_attempts::KIND,
    &honors_retry_after::KIND,
    &survives_bad_retry_after::KIND,
    &no_retry_on_permanent_errors::KIND,
    &bounded_retries::KIND,
    &min_gap::KIND,
    &client_timeout::KIND,
];

/// The invariant of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static InvariantKind> {
    INVARIANTS.iter().copied().find(|kind| kind.name == name)
}
