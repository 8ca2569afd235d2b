//! The animals: each as habits, with what its bug is about.

use std::time::Duration;

use brownout::incident::habits::{
    Belief, Breaker, CAREFUL, Habits, Hints, Jitter, Key, Logs, Pace, Reads, Restraint, Retries,
    Sweep, Tells, UNRESTRAINED, Wait,
};

/// A client with one bug.
pub(crate) struct Broken {
    pub(crate) name: &'static str,
    /// The invariants that it breaks because of its bug.
    pub(crate) about: &'static [&'static str],
    pub(crate) habits: Habits,
}

/// A client without a bug.
pub(crate) struct Right {
    pub(crate) name: &'static str,
    /// Promises that its style does not make.
    pub(crate) forgoes: &'static [&'static str],
    pub(crate) habits: Habits,
}

const fn broken(name: &'static str, about: &'static [&'static str], habits: Habits) -> Broken {
    Broken { name, about, habits }
}

const SECOND: Duration = Duration::from_secs(1);

pub(crate) const BROKEN: &[Broken] = &[
    broken(
        "sends no key",
        &["no_double_charges", "idempotency_key_present"],
        Habits { key: Key::None, ..CAREFUL },
    ),
    broken(
        "a key for each attempt",
        &["idempotency_key_stable"],
        Habits { key: Key::Attempt, ..CAREFUL },
    ),
    broken(
        "a key of the amount",
        &["idempotency_key_unique", "idempotency_key_bound_to_body", "no_over_deduplication"],
        Habits { key: Key::Fields(&["amount"]), ..CAREFUL },
    ),
    broken("reads no hint", &["honors_retry_after"], Habits { hints: Hints::Ignored, ..CAREFUL }),
    broken(
        "does not wait",
        &["min_gap", "survives_bad_retry_after"],
        Habits { wait: Wait::None, ..CAREFUL },
    ),
    broken(
        "waits a second each time",
        &["backs_off"],
        Habits { wait: Wait::Fixed(SECOND), ..CAREFUL },
    ),
    broken(
        "waits in step with all others",
        &["spreads_retries"],
        Habits {
            wait: Wait::Growing {
                first: SECOND,
                cap: Duration::from_secs(30),
                jitter: Jitter::None,
            },
            ..CAREFUL
        },
    ),
    broken(
        "retries what was refused for good",
        &["no_retry_on_permanent_errors"],
        Habits { retries: Retries::Everything, ..CAREFUL },
    ),
    broken("tries twelve times", &["bounded_retries"], Habits { attempts: 12, ..CAREFUL }),
    broken(
        "believes the status",
        &["rejects_malformed_responses", "no_phantom_success"],
        Habits { belief: Belief::Status, ..CAREFUL },
    ),
    broken(
        "calls failed what may have happened",
        &["honest_failures"],
        Habits { doubt: Tells::Failure, ..CAREFUL },
    ),
    broken("calls it done", &["failures_surface"], Habits { failure: Tells::Success, ..CAREFUL }),
    broken("says nothing", &["no_lost_operations"], Habits { failure: Tells::Nothing, ..CAREFUL }),
    broken(
        "writes its key into the log",
        &["no_secrets_in_output"],
        Habits { logs: Logs::Requests, ..CAREFUL },
    ),
    broken(
        "never tries again",
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        Habits { retries: Retries::Nothing, ..CAREFUL },
    ),
    broken("waits for ever", &["client_timeout"], Habits { timeout: None, ..CAREFUL }),
    broken(
        "counts its attempts in the body",
        &["retry_body_stable"],
        Habits { counts_in_body: true, ..CAREFUL },
    ),
    broken(
        "waits for minutes",
        &["deadline"],
        Habits {
            wait: Wait::Growing {
                first: Duration::from_secs(90),
                cap: Duration::from_secs(600),
                jitter: Jitter::AsMuchAgain,
            },
            minds_deadline: false,
            ..CAREFUL
        },
    ),
    broken(
        "one pool for all",
        &["isolates"],
        Habits {
            restraint: Restraint { in_flight: Some(4), shared: true, ..UNRESTRAINED },
            ..CAREFUL
        },
    ),
];

const fn right(name: &'static str, forgoes: &'static [&'static str], habits: Habits) -> Right {
    Right { name, forgoes, habits }
}

pub(crate) const RIGHT: &[Right] = &[
    right("waits that grow, with as much again by chance", &[], CAREFUL),
    right(
        "sweeps up afterwards what it does not know",
        &[],
        Habits { sweep: Sweep::Repeats, ..CAREFUL },
    ),
    right(
        "full jitter",
        // A wait may be almost nothing.
        &["min_gap", "survives_bad_retry_after"],
        Habits {
            wait: Wait::Growing {
                first: SECOND,
                cap: Duration::from_secs(30),
                jitter: Jitter::Full,
            },
            ..CAREFUL
        },
    ),
    right(
        "decorrelated jitter",
        &[],
        Habits {
            wait: Wait::Growing {
                first: SECOND,
                cap: Duration::from_secs(30),
                jitter: Jitter::Decorrelated,
            },
            ..CAREFUL
        },
    ),
    right(
        "a fixed schedule",
        &["backs_off", "spreads_retries"],
        Habits { wait: Wait::Fixed(SECOND), ..CAREFUL },
    ),
    right(
        "growth with a little jitter",
        &["spreads_retries"],
        Habits {
            wait: Wait::Growing {
                first: SECOND,
                cap: Duration::from_secs(8),
                jitter: Jitter::Upto(Duration::from_millis(200)),
            },
            ..CAREFUL
        },
    ),
    right("gives up after two attempts", &[], Habits { attempts: 2, ..CAREFUL }),
    right(
        "asks once and is honest",
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        Habits { retries: Retries::Nothing, ..CAREFUL },
    ),
    right("looks before it tries again", &[], Habits { reads: Reads::BeforeRetry, ..CAREFUL }),
    right(
        "sends at a pace of its own",
        // Behind forty others its place in the queue is longer than any wait of its own.
        &["backs_off"],
        Habits {
            restraint: Restraint { pace: Pace::Every(Duration::from_millis(100)), ..UNRESTRAINED },
            ..CAREFUL
        },
    ),
    right(
        "a breaker",
        &[],
        Habits {
            restraint: Restraint {
                breaker: Some(Breaker { trip: 5, rest: Duration::from_secs(10) }),
                ..UNRESTRAINED
            },
            ..CAREFUL
        },
    ),
    right(
        "a budget of retries",
        // What is left of a budget decides, and not how often the provider failed in a row.
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        Habits { restraint: Restraint { budget: Some(10), ..UNRESTRAINED }, ..CAREFUL },
    ),
];
