//! All invariants, by name.

use super::{
    InvariantKind, adapts_to_tightened_limit, all_or_nothing, at_most_one_effect, backs_off,
    bounded_retries, client_timeout, deadline, eases_off_during_outage, failures_surface,
    fallback_only_on_failure, gives_up_on_nothing_recoverable, honest_failures, honors_retry_after,
    idempotency_key_bound_to_body, idempotency_key_present, idempotency_key_stable,
    idempotency_key_strength, idempotency_key_unique, job_not_resubmitted, key_retry_window,
    max_in_flight, max_waste, message_handled_once, min_gap, no_double_charges, no_lost_operations,
    no_over_deduplication, no_overlapping_attempts, no_phantom_success,
    no_retry_on_permanent_errors, no_secrets_in_output, no_truncated_stream_accepted, not_banned,
    nothing_after_claim, poison_message_parked, polls_politely, reconciled, recovers_after_outage,
    rejects_malformed_responses, resumes_upload, retries_logged, retries_transient_errors,
    retry_body_stable, retry_budget, spares_other_tenants, spreads_retries,
    stays_within_rate_limit, survives_bad_retry_after, upload_intact, waits_for_reset,
};

/// Every invariant that a scenario can expect, the gravest first: the order of the documentation, and
/// of the sentence for a manager.
pub static INVARIANTS: &[&InvariantKind] = &[
    &no_double_charges::KIND,
    &at_most_one_effect::KIND,
    &no_lost_operations::KIND,
    &no_phantom_success::KIND,
    &rejects_malformed_responses::KIND,
    &no_truncated_stream_accepted::KIND,
    &upload_intact::KIND,
    &honest_failures::KIND,
    &reconciled::KIND,
    &all_or_nothing::KIND,
    &no_over_deduplication::KIND,
    &failures_surface::KIND,
    &gives_up_on_nothing_recoverable::KIND,
    &retries_transient_errors::KIND,
    &nothing_after_claim::KIND,
    &message_handled_once::KIND,
    &poison_message_parked::KIND,
    &no_secrets_in_output::KIND,
    &fallback_only_on_failure::KIND,
    &idempotency_key_stable::KIND,
    &idempotency_key_unique::KIND,
    &idempotency_key_bound_to_body::KIND,
    &idempotency_key_present::KIND,
    &idempotency_key_strength::KIND,
    &retry_body_stable::KIND,
    &key_retry_window::KIND,
    &no_overlapping_attempts::KIND,
    &job_not_resubmitted::KIND,
    &polls_politely::KIND,
    &resumes_upload::KIND,
    &honors_retry_after::KIND,
    &survives_bad_retry_after::KIND,
    &no_retry_on_permanent_errors::KIND,
    &bounded_retries::KIND,
    &retry_budget::KIND,
    &spreads_retries::KIND,
    &backs_off::KIND,
    &min_gap::KIND,
    &max_waste::KIND,
    &spares_other_tenants::KIND,
    &client_timeout::KIND,
    &deadline::KIND,
    &max_in_flight::KIND,
    &eases_off_during_outage::KIND,
    &recovers_after_outage::KIND,
    &stays_within_rate_limit::KIND,
    &waits_for_reset::KIND,
    &not_banned::KIND,
    &adapts_to_tightened_limit::KIND,
    &retries_logged::KIND,
];

/// The invariant of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static InvariantKind> {
    INVARIANTS.iter().copied().find(|kind| kind.name == name)
}
