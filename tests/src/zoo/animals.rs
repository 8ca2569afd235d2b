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
    /// What else the bug breaks, and why.
    pub(crate) also: Reasons,
    pub(crate) habits: Habits,
}

/// A client without a bug.
pub(crate) struct Right {
    pub(crate) name: &'static str,
    /// What it takes for granted, beyond an honest answer and keys that are honored.
    pub(crate) relies_on: &'static str,
    /// Promises that its style does not make; it makes all others.
    pub(crate) forgoes: &'static [&'static str],
    pub(crate) habits: Habits,
}

/// Invariants, each with why it is broken as well.
pub(crate) type Reasons = &'static [(&'static str, &'static str)];

const fn broken(
    name: &'static str,
    about: &'static [&'static str],
    also: Reasons,
    habits: Habits,
) -> Broken {
    Broken { name, about, also, habits }
}

const SECOND: Duration = Duration::from_secs(1);

pub(crate) const BROKEN: &[Broken] = &[
    broken(
        "sends no key",
        &["no_double_charges", "idempotency_key_present"],
        &[("at_most_one_effect", "what is charged twice has two effects")],
        Habits { key: Key::None, ..CAREFUL },
    ),
    broken(
        "a key for each attempt",
        &["idempotency_key_stable"],
        &[
            ("at_most_one_effect", "what is charged twice has two effects"),
            ("no_double_charges", "to the provider a repeat under a new key is a new charge"),
        ],
        Habits { key: Key::Attempt, ..CAREFUL },
    ),
    broken(
        "a key of the amount",
        &["idempotency_key_unique", "idempotency_key_bound_to_body", "no_over_deduplication"],
        &[],
        Habits { key: Key::Fields(&["amount"]), ..CAREFUL },
    ),
    broken(
        "reads no hint",
        &["honors_retry_after"],
        &[],
        Habits { hints: Hints::Ignored, ..CAREFUL },
    ),
    broken(
        "does not wait",
        &["min_gap", "survives_bad_retry_after"],
        &[("spreads_retries", "whoever failed together comes back together, at once")],
        Habits { wait: Wait::None, ..CAREFUL },
    ),
    broken(
        "waits a second each time",
        &["backs_off"],
        &[("spreads_retries", "whoever failed together comes back together, a second later")],
        Habits { wait: Wait::Fixed(SECOND), ..CAREFUL },
    ),
    broken(
        "waits in step with all others",
        &["spreads_retries"],
        &[],
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
        &[],
        Habits { retries: Retries::Everything, ..CAREFUL },
    ),
    broken("tries twelve times", &["bounded_retries"], &[], Habits { attempts: 12, ..CAREFUL }),
    broken(
        "believes the status",
        &["rejects_malformed_responses", "no_phantom_success"],
        &[
            ("failures_surface", "a failure under status 200 is told as a success"),
            ("no_lost_operations", "what it takes for done is not tried again"),
            ("no_over_deduplication", "what is told as a success has no effect"),
        ],
        Habits { belief: Belief::Status, ..CAREFUL },
    ),
    broken(
        "calls failed what may have happened",
        &["honest_failures"],
        &[],
        Habits { doubt: Tells::Failure, ..CAREFUL },
    ),
    broken(
        "calls it done",
        &["failures_surface"],
        &[
            ("no_lost_operations", "what is not done is told as done"),
            ("no_over_deduplication", "what is told as a success has no effect"),
            ("no_phantom_success", "what is told as a success has no effect"),
            (
                "rejects_malformed_responses",
                "an answer without content is one of the failures that it calls done",
            ),
        ],
        Habits { failure: Tells::Success, ..CAREFUL },
    ),
    broken(
        "says nothing",
        &["no_lost_operations"],
        &[
            ("deadline", "who is told nothing waits until the deadline"),
            ("failures_surface", "a failure that is not told does not surface"),
        ],
        Habits { failure: Tells::Nothing, ..CAREFUL },
    ),
    broken(
        "writes its key into the log",
        &["no_secrets_in_output"],
        &[],
        Habits { logs: Logs::Requests, ..CAREFUL },
    ),
    broken(
        "never tries again",
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        &[],
        Habits { retries: Retries::Nothing, ..CAREFUL },
    ),
    broken(
        "waits for ever",
        &["client_timeout"],
        &[("deadline", "an answer that never comes is waited for past the deadline")],
        Habits { timeout: None, ..CAREFUL },
    ),
    broken(
        "counts its attempts in the body",
        &["retry_body_stable"],
        &[("idempotency_key_bound_to_body", "one key goes with two bodies")],
        Habits { counts_in_body: true, ..CAREFUL },
    ),
    broken(
        "waits for minutes",
        &["deadline"],
        &[
            ("failures_surface", "at the deadline it still waits, and has told nothing"),
            ("no_lost_operations", "at the deadline it still waits, and has told nothing"),
            (
                "survives_bad_retry_after",
                "its wait after a senseless hint is as long as all others",
            ),
        ],
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
        &[],
        Habits {
            restraint: Restraint { in_flight: Some(4), shared: true, ..UNRESTRAINED },
            ..CAREFUL
        },
    ),
];

const fn right(
    name: &'static str,
    relies_on: &'static str,
    forgoes: &'static [&'static str],
    habits: Habits,
) -> Right {
    Right { name, relies_on, forgoes, habits }
}

pub(crate) const RIGHT: &[Right] = &[
    right("waits that grow, with as much again by chance", "nothing more", &[], CAREFUL),
    right(
        "sweeps up afterwards what it does not know",
        "a second look at its own records when the storm is over",
        &[],
        Habits { sweep: Sweep::Repeats, ..CAREFUL },
    ),
    right(
        "full jitter",
        "no provider that minds a retry which comes at once",
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
        "nothing more",
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
        "few others that fail in the same moment",
        &["backs_off", "spreads_retries"],
        Habits { wait: Wait::Fixed(SECOND), ..CAREFUL },
    ),
    right(
        "growth with a little jitter",
        "few others that fail in the same moment",
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
    right(
        "gives up after two attempts",
        "a caller who tries again later",
        &[],
        Habits { attempts: 2, ..CAREFUL },
    ),
    right(
        "asks once and is honest",
        "a caller who tries again later",
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        Habits { retries: Retries::Nothing, ..CAREFUL },
    ),
    right(
        "looks before it tries again",
        "a provider that shows what stands",
        &[],
        Habits { reads: Reads::BeforeRetry, ..CAREFUL },
    ),
    right(
        "sends at a pace of its own",
        "a deadline that leaves time for its place in the queue",
        // Behind forty others its place in the queue is longer than any wait of its own.
        &["backs_off"],
        Habits {
            restraint: Restraint { pace: Pace::Every(Duration::from_millis(100)), ..UNRESTRAINED },
            ..CAREFUL
        },
    ),
    right(
        "a breaker",
        "outages that last longer than a few failures",
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
        "a caller who tries again later",
        // What is left of a budget decides, and not how often the provider failed in a row.
        &["gives_up_on_nothing_recoverable", "retries_transient_errors"],
        Habits { restraint: Restraint { budget: Some(10), ..UNRESTRAINED }, ..CAREFUL },
    ),
];
