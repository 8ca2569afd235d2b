//! All faults, by name. A new fault is one new file and one line here.

use super::FaultKind;
use super::{
    accept_then_drop, bad_chunk, ban, clean_cut, close, close_idle, conflict, delayed_duplicate,
    deprecated, drip, duplicate_request, early_response, expired_certificate, forget_key, garbage,
    goaway, half_close, handshake_reset, hang, ignore_key, job, key_required_late, kill_client,
    late_key, latency, lying_limit, malformed, message, mismatch_accepted, mismatch_rejected,
    noisy_neighbour, partial_batch, pause_client, permanent_error, rate_limited, refuse, reorder,
    replay_altered, replay_error, replay_other, replay_status, reset, rst_stream, should_retry,
    slow_commit, slow_read, slow_tokens, stale_read, status, stream, throttle_bandwidth, tighten,
    truncate, truncated_key, untrusted, upload, webhook, wrong_content_length, wrong_host,
};

/// Every fault that a scenario can name, in the order of the documentation.
pub static FAULTS: &[&FaultKind] = &[
    &status::STATUS,
    &rate_limited::RATE_LIMITED,
    &permanent_error::PERMANENT_ERROR,
    &should_retry::SHOULD_RETRY,
    &malformed::MALFORMED,
    &latency::LATENCY,
    &hang::HANG,
    &drip::DRIP,
    &slow_read::SLOW_READ,
    &throttle_bandwidth::THROTTLE_BANDWIDTH,
    &reset::RESET,
    &close::CLOSE,
    &clean_cut::CLEAN_CUT,
    &refuse::REFUSE,
    &truncate::TRUNCATE,
    &wrong_content_length::WRONG_CONTENT_LENGTH,
    &bad_chunk::BAD_CHUNK,
    &garbage::GARBAGE,
    &early_response::EARLY_RESPONSE,
    &close_idle::CLOSE_IDLE,
    &half_close::HALF_CLOSE,
    &goaway::GOAWAY,
    &rst_stream::RST_STREAM,
    &expired_certificate::EXPIRED_CERTIFICATE,
    &wrong_host::WRONG_HOST,
    &untrusted::UNTRUSTED,
    &handshake_reset::HANDSHAKE_RESET,
    &ignore_key::IGNORE_KEY,
    &forget_key::FORGET_KEY,
    &late_key::LATE_KEY,
    &conflict::CONFLICT,
    &replay_error::REPLAY_ERROR,
    &replay_other::REPLAY_OTHER,
    &replay_altered::REPLAY_ALTERED,
    &mismatch_accepted::MISMATCH_ACCEPTED,
    &mismatch_rejected::MISMATCH_REJECTED,
    &replay_status::REPLAY_STATUS,
    &truncated_key::TRUNCATED_KEY,
    &key_required_late::KEY_REQUIRED_LATE,
    &duplicate_request::DUPLICATE_REQUEST,
    &delayed_duplicate::DELAYED_DUPLICATE,
    &reorder::REORDER,
    &stale_read::STALE_READ,
    &accept_then_drop::ACCEPT_THEN_DROP,
    &partial_batch::PARTIAL_BATCH,
    &slow_commit::SLOW_COMMIT,
    &lying_limit::LYING_LIMIT,
    &tighten::TIGHTEN,
    &ban::BAN,
    &noisy_neighbour::NOISY_NEIGHBOUR,
    &kill_client::KILL_CLIENT,
    &pause_client::PAUSE_CLIENT,
    &webhook::WEBHOOK,
    &message::MESSAGE,
    &stream::STREAM,
    &slow_tokens::SLOW_TOKENS,
    &job::JOB,
    &upload::UPLOAD,
    &deprecated::DEPRECATED,
];

/// The fault of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static FaultKind> {
    FAULTS.iter().copied().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::parsed;
    use super::*;
    use crate::document::{Diagnostics, map_strings};

    #[test]
    fn every_fault_is_documented_and_found_by_its_name() {
        for kind in FAULTS {
            let name = kind.name;
            assert!(std::ptr::eq(find(name).expect(name), *kind), "{name} is there twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(kind.summary.ends_with('.') && kind.mistake.ends_with('.'), "{name}");
            assert!(kind.parameters.iter().all(|(_, text)| !text.is_empty()), "{name}");
        }
    }

    #[test]
    fn every_example_is_a_fault_that_can_strike() {
        for kind in FAULTS {
            let value: Value = serde_yaml::from_str(kind.example).expect(kind.name);
            let parameters = match value.as_str() {
                Some(bare) => {
                    assert_eq!(bare, kind.name);
                    &Value::Null
                }
                None => {
                    let keys = value.as_object().map(serde_json::Map::len);
                    assert_eq!(keys, Some(1), "{}", kind.name);
                    &value[kind.name]
                }
            };
            let fault = parsed(kind, parameters);
            assert!(std::ptr::eq(fault.kind(), *kind), "{}", kind.name);
            let _ = fault.strike(&mut super::super::testing::draw());
        }
    }

    #[test]
    fn the_bare_word_is_legal_exactly_where_it_is_said_to_be() {
        for kind in FAULTS {
            let diagnostics = Diagnostics::new();
            let fault = (kind.parse)(&Value::Null, &diagnostics.root());
            assert_eq!(fault.is_some() && !diagnostics.has_errors(), kind.bare, "{}", kind.name);
        }
    }

    #[test]
    fn the_documented_parameters_are_those_of_the_schema() {
        for kind in FAULTS {
            let mut generator = schemars::SchemaGenerator::default();
            let schema = (kind.schema)(&mut generator).to_value();
            let definitions = generator.definitions().clone();
            let mut found = Vec::new();
            collect_properties(&schema, &definitions, &mut found);
            let mut documented: Vec<&str> = kind.parameters.iter().map(|(name, _)| *name).collect();
            found.sort();
            documented.sort_unstable();
            assert_eq!(found, documented, "{}", kind.name);
        }
    }

    #[test]
    fn every_duration_is_marked_as_one_in_the_schema() {
        for (name, value, replaced) in [
            ("status", json!({"code": 503, "retry_after": "2s"}), "/retry_after"),
            ("rate_limited", json!({"retry_after": {"http_date": "2s"}}), "/retry_after/http_date"),
            ("latency", json!({"lognormal": {"p50": "1s", "p99": "2s"}}), "/lognormal/p99"),
            ("drip", json!({"every": "2s"}), "/every"),
            ("conflict", json!({"for": "2s"}), "/for"),
            ("forget_key", json!({"seen_before": "2s"}), "/seen_before"),
            ("key_required_late", json!({"after": "2s"}), "/after"),
            ("duplicate_request", json!({"apart": "2s"}), "/apart"),
            ("pause_client", json!({"for": "2s"}), "/for"),
        ] {
            let mut generator = schemars::SchemaGenerator::default();
            let mut schema = (find(name).expect(name).schema)(&mut generator);
            let definitions = generator.take_definitions(true);
            schema.insert("$defs".to_owned(), definitions.into());
            let mut value = value;
            map_strings(&schema, &mut value, &|format, text| {
                (format == "duration-words" && text == "2s").then(|| "7s".to_owned())
            });
            assert_eq!(value.pointer(replaced), Some(&json!("7s")), "{name}");
        }
    }

    /// The keys of a schema, through one reference or one choice.
    fn collect_properties(
        schema: &Value,
        definitions: &serde_json::Map<String, Value>,
        found: &mut Vec<String>,
    ) {
        let target = schema.get("$ref").and_then(Value::as_str);
        if let Some(name) = target.and_then(|target| target.rsplit('/').next()) {
            return collect_properties(&definitions[name], definitions, found);
        }
        for form in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            collect_properties(form, definitions, found);
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
    }
}
