//! What the stacks meet in more than one request: a scene per kind of work, a line per fault and form of it.
//!
//! What a single charge shows stands in [`rows`](super::rows).

/// One request of a course, and what of its answer is on record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    /// `{id}` is the first id that an answer of the course told.
    pub(super) path: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: &'static str,
    /// Beside the status: JSON pointers, names of headers, `same id` (as the first), `statuses /POINTER` (of a
    /// list, sorted) and `events` (of a stream).
    pub(super) show: &'static [&'static str],
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    /// The word in the snapshot.
    pub(super) name: &'static str,
    /// What stands behind `api:`; `JOBS` is the API of pictures with jobs that go by looks.
    pub(super) provider: &'static str,
    pub(super) call: &'static str,
    /// What stands under `when:`.
    pub(super) when: &'static str,
    /// Rules beside the fault's own, so that what is late has come when somebody looks.
    pub(super) more: &'static str,
    pub(super) asks: &'static [Ask],
}

/// A fault, met in this scene.
pub(super) type Met = (&'static Scene, &'static str);

/// Stands for the path of an API file that the test writes.
pub(super) const JOBS: &str = "JOBS";

const PLAIN: Ask = Ask { method: "POST", path: "", headers: &[], body: "", show: &[] };

const KEY: &[(&str, &str)] = &[("idempotency-key", "order-1-a")];

const CHARGE: Ask = Ask {
    path: "/v1/charges",
    body: r#"{"amount":1999,"currency":"usd","order":"order-1"}"#,
    show: &["same id", "/error/code"],
    ..PLAIN
};

const KEYED: Ask = Ask { headers: KEY, ..CHARGE };

const LIST: Ask =
    Ask { method: "GET", path: "/v1/charges?order=order-1", show: &["/data"], ..PLAIN };

const SLOW_LIST: &str = "  - {name: looked-for-later, when: {route: list_charges}, inject: {latency: {fixed: 500ms}}}\n";

const CHARGED: Scene = Scene {
    name: "a charge, looked for",
    provider: "payments",
    call: "create_charge",
    when: "route: create_charge, attempt: 1",
    more: SLOW_LIST,
    asks: &[CHARGE, LIST],
};

const REPEATED: Scene = Scene {
    name: "a charge, repeated with its key",
    when: "route: create_charge",
    more: "",
    asks: &[KEYED, KEYED, LIST],
    ..CHARGED
};

const LATE: Scene = Scene { when: "route: create_charge, attempt: 1", ..REPEATED };

const MISMATCHED: Scene = Scene {
    name: "a key, used again for more",
    asks: &[
        KEYED,
        Ask {
            body: r#"{"amount":2999,"currency":"usd","order":"order-1"}"#,
            show: &["same id", "/amount", "/error/code"],
            ..KEYED
        },
    ],
    ..REPEATED
};

const ALIKE: Scene = Scene {
    name: "two keys that begin alike",
    asks: &[KEYED, Ask { headers: &[("idempotency-key", "order-1-b")], ..KEYED }, LIST],
    ..REPEATED
};

const ELSEWHERE: Scene = Scene {
    name: "a key, used again on another route",
    when: "attempt: 1",
    asks: &[
        KEYED,
        Ask {
            path: "/v1/notifications",
            body: r#"{"order":"order-1"}"#,
            show: &["same id", "/object"],
            ..KEYED
        },
    ],
    ..REPEATED
};

const KEYLESS: Scene = Scene {
    name: "a charge without a key",
    when: "route: create_charge",
    asks: &[CHARGE],
    ..CHARGED
};

const READ: Scene = Scene {
    name: "a charge, read",
    when: "method: GET",
    more: "",
    asks: &[
        CHARGE,
        Ask { method: "GET", path: "/v1/charges/{id}", show: &["/error/code"], ..PLAIN },
        LIST,
    ],
    ..CHARGED
};

const SECOND: Scene = Scene {
    name: "two charges over one connection",
    when: "route: create_charge, attempt: 2",
    more: "",
    asks: &[CHARGE, CHARGE],
    ..CHARGED
};

const CLOSED: Scene = Scene {
    name: "a charge, and then a new connection",
    when: "during: {from: 100ms, to: 1h}",
    more: "  - {name: late, when: {attempt: 1}, inject: {latency: {fixed: 500ms}}}\n",
    asks: &[Ask { headers: &[("connection", "close")], ..CHARGE }, CHARGE],
    ..CHARGED
};

const LEFT: Ask = Ask { show: &["x-ratelimit-remaining", "/error/code"], ..CHARGE };

const LIMITED: Scene = Scene {
    name: "four charges, two a minute",
    provider: "payments, rate_limit: {limit: 2, per: 1m}",
    when: "route: create_charge",
    more: "",
    asks: &[LEFT, LEFT, LEFT, LEFT],
    ..CHARGED
};

const BANNED: Scene = Scene { asks: &[LEFT, LEFT, LEFT, LEFT, LEFT], ..LIMITED };

const SHARED: Scene = Scene {
    name: "two charges, the second later",
    provider: "payments, rate_limit: {limit: 2, per: 1m, scope: global}",
    more: "  - {name: late, when: {attempt: 1}, inject: {latency: {fixed: 500ms}}}\n",
    asks: &[Ask { show: &[], ..LEFT }, LEFT],
    ..LIMITED
};

const LOOK: Ask = Ask {
    method: "GET",
    path: "/v1/jobs/{id}",
    show: &["/status", "/result/text", "/error/code", "retry-after"],
    ..PLAIN
};

const LOOKED_AT: Scene = Scene {
    name: "a job, looked at until it is long over",
    provider: JOBS,
    call: "create_job",
    when: "route: create_job",
    more: "",
    asks: &[
        Ask {
            path: "/v1/jobs",
            body: r#"{"image":"a.png","task":"caption","reference":"ref-1"}"#,
            show: &["/status", "retry-after"],
            ..PLAIN
        },
        LOOK,
        LOOK,
        LOOK,
        LOOK,
        LOOK,
        LOOK,
        LOOK,
        LOOK,
        LOOK,
    ],
};

const BATCH: Ask = Ask {
    path: "/v1/batches",
    body: r#"{"images":["a.png","b.png","c.png","d.png"],"reference":"ref-1"}"#,
    show: &["statuses /results"],
    ..PLAIN
};

const LABELED: Scene = Scene {
    name: "four pictures in one request",
    provider: "vision",
    call: "label_batch",
    when: "route: label_batch",
    more: "",
    asks: &[BATCH],
};

const PIECES: Scene = Scene {
    name: "a file in two pieces, with a question between them",
    provider: "vision",
    call: "start_upload",
    when: "route: upload_chunk, attempt: 1",
    more: "",
    asks: &[
        Ask {
            method: "POST",
            path: "/v1/uploads",
            body: r#"{"name":"a.png","reference":"ref-1"}"#,
            ..PIECE
        },
        Ask { headers: &[("content-range", "bytes 0-9/20")], body: "0123456789", ..PIECE },
        Ask { headers: &[("content-range", "bytes */20")], body: "", ..PIECE },
        Ask { headers: &[("content-range", "bytes 10-19/20")], body: "abcdefghij", ..PIECE },
    ],
};

const PIECE: Ask = Ask {
    method: "PUT",
    path: "/v1/uploads/{id}",
    show: &["range", "/status", "/error/code", "/sha256"],
    ..PLAIN
};

const STREAMED: Scene = Scene {
    name: "an answer in a stream",
    provider: "openai",
    call: "create_chat_completion",
    when: "attempt: 1",
    more: "",
    asks: &[Ask {
        path: "/v1/chat/completions",
        body: r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"ping"}]}"#,
        show: &["events"],
        ..PLAIN
    }],
};

const RECEIVE: Ask = Ask {
    path: "/v1/messages/receive",
    body: r#"{"max":1}"#,
    show: &["/messages", "/messages/0/body"],
    ..PLAIN
};

const RECEIVED: Scene = Scene {
    name: "a message, received twice",
    provider: "queue",
    call: "send_message",
    when: "route: receive_messages, attempt: 1",
    more: "  - {name: later, when: {route: receive_messages, attempt: 2}, inject: {latency: {fixed: 500ms}}}\n",
    asks: &[Ask { path: "/v1/messages", body: r#"{"body":"order-1"}"#, ..PLAIN }, RECEIVE, RECEIVE],
};

/// Keys, as a client sees them that repeats.
pub(super) const KEYS: &[Met] = &[
    (&REPEATED, ""),
    (&REPEATED, "ignore_key"),
    (&REPEATED, "forget_key"),
    (&LATE, "[late_key, {reset: {at: after_commit}}]"),
    (&LATE, "replay_error"),
    (&LATE, "replay_error: {code: 503, at: after_commit}"),
    (&ELSEWHERE, ""),
    (&ELSEWHERE, "replay_other"),
    (&REPEATED, "replay_altered"),
    (&MISMATCHED, ""),
    (&MISMATCHED, "mismatch_accepted"),
    (&MISMATCHED, "mismatch_rejected: {code: 409}"),
    (&REPEATED, "replay_status: {code: 208}"),
    (&REPEATED, "replay_status: {code: 409}"),
    (&ALIKE, "truncated_key: {characters: 8}"),
    (&KEYLESS, "key_required_late"),
];

/// Duplicates and order, as a client sees them that looks.
pub(super) const ORDER: &[Met] = &[
    (&CHARGED, ""),
    (&CHARGED, "duplicate_request: {times: 2}"),
    (&CHARGED, "delayed_duplicate: {after: 50ms}"),
    (&READ, "stale_read: {lag: 1m}"),
    (&SECOND, "close_idle"),
    (&CLOSED, "refuse"),
];

/// Limits, as a client sees them that goes on.
pub(super) const LIMITS: &[Met] = &[
    (&LIMITED, ""),
    (&LIMITED, "lying_limit"),
    (&LIMITED, "lying_limit: {about: used}"),
    (&LIMITED, "tighten: {limit: 1}"),
    (&BANNED, "ban: {after: 2}"),
    (&BANNED, "ban: {after: 2, by: reset}"),
    (&SHARED, "noisy_neighbour: {every: 20ms}"),
];

/// Jobs, batches and uploads.
pub(super) const WORK: &[Met] = &[
    (&LOOKED_AT, ""),
    (&LOOKED_AT, "job: stays_pending"),
    (&LOOKED_AT, "job: jumps_back"),
    (&LOOKED_AT, "job: fails_half_way"),
    (&LOOKED_AT, "job: disappears"),
    (&LOOKED_AT, "job: succeeds_after_failure"),
    (&LOOKED_AT, "job: {kind: asks_to_wait, retry_after: 7s}"),
    (&LABELED, ""),
    (&LABELED, "partial_batch"),
    (&LABELED, "partial_batch: {failed: 1, silent: 2}"),
    (&PIECES, ""),
    (&PIECES, "upload: lost_chunk"),
    (&PIECES, "upload: stored_twice"),
    (&PIECES, "upload: lying_offset"),
    (&PIECES, "upload: expired_session"),
    (&PIECES, "upload: wrong_checksum"),
];

/// Streams, as plain clients read them.
pub(super) const STREAMS: &[Met] = &[
    (&STREAMED, ""),
    (&STREAMED, "stream: {kind: cut, after: 2, then: fin}"),
    (&STREAMED, "stream: {kind: cut, after: 2, then: rst}"),
    (&STREAMED, "stream: {kind: cut, after: 2, then: clean}"),
    (&STREAMED, "stream: stall"),
    (&STREAMED, "stream: garbage_event"),
    (&STREAMED, "stream: error_event"),
    (&STREAMED, "stream: no_terminator"),
    (&STREAMED, "stream: duplicate_event"),
    (&STREAMED, "stream: reordered_events"),
    (&STREAMED, "stream: split_utf8"),
    (&STREAMED, "stream: length"),
    (&STREAMED, "slow_tokens: {every: 20ms}"),
];

/// Messages of a queue.
pub(super) const MESSAGES: &[Met] = &[
    (&RECEIVED, ""),
    (&RECEIVED, "message: duplicate"),
    (&RECEIVED, "message: {kind: early, by: 50ms}"),
    (&RECEIVED, "message: {kind: late, by: 1m}"),
    (&RECEIVED, "message: poison"),
];

/// All families.
pub(super) const FAMILIES: &[&[Met]] = &[KEYS, ORDER, LIMITS, WORK, STREAMS, MESSAGES];

/// The fault of the registry that a line is about; empty where nothing strikes.
pub(super) fn fault(inject: &'static str) -> &'static str {
    let inject = inject.trim_start_matches('[');
    inject.split([':', ',']).next().unwrap_or_default().trim()
}
