//! What the stacks meet: a table per family, a line per fault and form of it. A new fault is a new line here,
//! or a reason in [`NOT_MET`].

/// One thing that a client meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What stands under `inject:`.
    pub(super) inject: &'static str,
    /// What stands beside the route under `when:`.
    pub(super) when: &'static str,
    /// True where the connection ends while the client still writes: whether that sees the end or the reset
    /// first is a matter of luck, so only that it lost the connection is on record.
    pub(super) raced: bool,
}

impl Row {
    /// The fault of the registry that it is about.
    pub(super) fn fault(&self) -> &'static str {
        self.inject.split(':').next().expect("a text has a beginning").trim()
    }
}

/// Struck at the first attempt.
const fn first(inject: &'static str) -> Row {
    Row { inject, when: "attempt: 1", raced: false }
}

/// Struck at the first attempt, while the client still writes.
const fn raced(inject: &'static str) -> Row {
    Row { inject, when: "attempt: 1", raced: true }
}

/// Struck at every attempt, for what a client follows or repeats by itself.
const fn always(inject: &'static str) -> Row {
    Row { inject, when: "attempt: {from: 1}", raced: false }
}

/// Answers that take the place of the provider's own.
pub(super) const ANSWERS: &[Row] = &[
    first("status: {code: 503, retry_after: 2s}"),
    first("status: {code: 529}"),
    first("status: {code: 100}"),
    first("status: {code: 103}"),
    first("status: {code: 302}"),
    first("status: {code: 303, headers: {location: \"/v1/charges?order=order-1\"}}"),
    first("status: {code: 307}"),
    always("status: {code: 308}"),
    first("status: {code: 204}"),
    first("status: {code: 304}"),
    always("status: {code: 400}"),
    first("rate_limited"),
    first("rate_limited: {disguise: {status: 500}}"),
    first("rate_limited: {retry_after: garbage}"),
    first("rate_limited: {retry_after: two_headers}"),
    first("rate_limited: {retry_after: asctime_date, dialect: github}"),
    first("permanent_error: insufficient_quota"),
    first("permanent_error: auth"),
    first("should_retry: false"),
    first("deprecated"),
    always("deprecated: {sunset: 0s}"),
];

/// Successes that no client should take as they stand.
pub(super) const MALFORMED: &[Row] = &[
    first("malformed: truncated_json"),
    first("malformed: invalid_utf8"),
    first("malformed: html_page"),
    first("malformed: html_as_json"),
    first("malformed: empty_body"),
    first("malformed: no_content"),
    first("malformed: json_null"),
    first("malformed: empty_object"),
    first("malformed: plain_text"),
    first("malformed: error_in_200"),
    first("malformed: missing_field"),
    first("malformed: null_field"),
    first("malformed: wrong_type"),
    first("malformed: renamed_field"),
    first("malformed: unknown_enum"),
    first("malformed: extra_nesting"),
    first("malformed: duplicate_keys"),
    first("malformed: {kind: huge_body, size: 1MiB}"),
    first("malformed: deep_nesting"),
    first("malformed: wrong_content_type"),
    first("malformed: wrong_charset"),
    first("malformed: byte_order_mark"),
    first("malformed: bad_gzip"),
    first("malformed: truncated_gzip"),
    first("malformed: {kind: gzip_bomb, size: 1MiB}"),
    first("malformed: someone_elses_answer"),
    first("malformed: stale_answer"),
    first("malformed: wrong_amount"),
];

/// Answers that are late, slow, or never come.
pub(super) const LATENCY: &[Row] = &[
    first("latency: {fixed: 200ms}"),
    first("latency: {fixed: 200ms, at: head}"),
    first("latency: {fixed: 50ms, at: chunk}"),
    first("latency: {fixed: 20s}"),
    first("latency: {spike: {base: 1ms, spike: 200ms, chance: 50%}}"),
    first("latency: {ramp: {from: 200ms, to: 20s, over: 1h}}"),
    first("drip: {bytes: 40, every: 50ms}"),
    first("slow_read: {per_second: 400B}"),
    first("throttle_bandwidth: {per_second: 400B}"),
    first("hang"),
    first("hang: {at: accept}"),
    first("hang: {at: mid_body}"),
];

/// Connections that end, and framing that is broken.
pub(super) const WIRE: &[Row] = &[
    raced("reset: {at: accept}"),
    first("reset"),
    first("reset: {at: mid_body}"),
    raced("close: {at: accept}"),
    first("close"),
    first("close: {at: mid_body}"),
    first("truncate: {then: fin}"),
    first("truncate: {then: rst}"),
    first("truncate: {then: stall}"),
    first("clean_cut: {framed: close}"),
    first("clean_cut: {framed: chunked}"),
    first("wrong_content_length: {delta: 10}"),
    first("wrong_content_length: {delta: 10, then: fin}"),
    first("wrong_content_length: {delta: -10}"),
    first("bad_chunk: {kind: missing_last}"),
    first("bad_chunk: {kind: size_line}"),
    first("garbage"),
    first("early_response"),
    raced("half_close: {at: accept}"),
    first("half_close"),
    first("half_close: {at: mid_body}"),
];

/// Handshakes that are not what they should be.
pub(super) const TLS: &[Row] = &[
    first("expired_certificate"),
    first("wrong_host"),
    first("untrusted"),
    first("handshake_reset"),
];

/// Keys that are not honored, as one request sees them.
pub(super) const KEYS: &[Row] = &[first("conflict")];

/// Duplicates and order, as one request sees them.
pub(super) const ORDER: &[Row] =
    &[first("reorder: {by: 200ms}"), first("accept_then_drop"), first("slow_commit: {by: 200ms}")];

/// All families.
pub(super) const FAMILIES: &[&[Row]] = &[ANSWERS, MALFORMED, LATENCY, WIRE, TLS, KEYS, ORDER];

/// Faults that a plain client over HTTP/1.1 cannot meet or cannot tell of, and where they are met instead.
pub(super) const NOT_MET: &[(&str, &str)] = &[
    ("goaway", "it is a frame of HTTP/2; Node, httpx and reqwest meet it in `http2.rs`"),
    ("rst_stream", "it is a frame of HTTP/2; Node, httpx and reqwest meet it in `http2.rs`"),
    (
        "webhook",
        "it strikes what a service is told, and not its calls; `webhooks.rs` drives such services",
    ),
    (
        "kill_client",
        "it kills the program that would say what it met; `drive/death.rs` drives such clients",
    ),
    ("pause_client", "a program that sleeps meets nothing; `drive/death.rs` drives such clients"),
];
