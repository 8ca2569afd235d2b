//! What happened in cloud functions, and on queues.

use std::time::Duration;

use super::client::listener::Listens;
use super::client::worker::Receives;
use super::habits::{
    Belief, Breaker, CAREFUL, Habits, Hints, Jitter, Key, Logs, Pace, Reads, Restraint, Retries,
    Steps, UNRESTRAINED, Wait,
};
use super::{Family, Habit, Incident};

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[
    Incident {
        name: "ten-percent-throttled",
        family: Family::Functions,
        happened: "a tenth of a batch was throttled and never processed",
        story: "A nightly batch made thousands of calls, and a tenth of them were answered with 429. \
                There was no retry and nobody compared the counts, so thousands of records were \
                never processed, and weeks went by before somebody missed one.",
        mistake: "no retry, and nobody counts",
        remedy: "retry, count what came back, and keep what is left on a list",
        caught_by: &["no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { retries: Retries::Nothing, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "delivered-twice",
        family: Family::Functions,
        happened: "a repeated update notified customers twice",
        story: "When a parcel had come, one step changed its status and the next one wrote to the \
                customer. The message's answer timed out, the step was repeated, and customers were \
                told twice about one parcel.",
        mistake: "the second step is not guarded as the first one is",
        remedy: "an id for each event, on every step that somebody notices",
        caught_by: &["at_most_one_effect"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "gateway-retries",
        family: Family::Functions,
        happened: "a gateway repeated a request that was sent once",
        story: "The client sent each payment once, and never repeated anything, so it thought that \
                it needed no key. The gateway in front of the provider repeated what took too long, \
                and customers paid twice.",
        mistake: "no key, for want of retries of one's own",
        remedy: "a key on every request that does something",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "blacklisted",
        family: Family::Functions,
        happened: "a sync job flooded its quota and was shut out",
        story: "A sync job had a quota for each minute. When it met the limit it retried everything \
                that had been refused, all at once and with hardly a pause, until the provider \
                refused all its traffic.",
        mistake: "no limiter, and retries that count against the limit",
        remedy: "a token bucket of one's own, and backoff",
        caught_by: &["not_banned"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 10,
            wait: Wait::Fixed(Duration::from_millis(500)),
            hints: Hints::Ignored,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Adaptive(Duration::from_millis(500)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "just-after-expiry",
        family: Family::Functions,
        happened: "a retry came just after its key expired",
        story: "Keys lived for ten minutes, and the last retry of the schedule came after ten \
                minutes and a little. Somebody had set both to the same round number.",
        mistake: "a retry window with no margin to the life of a key",
        remedy: "a margin, or a look before the repeat",
        caught_by: &["key_retry_window"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Fixed(Duration::from_secs(605)),
            attempts: 3,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "limit-dressed-as-500",
        family: Family::Functions,
        happened: "a limit was reported as a plain 500",
        story: "A provider reported its limit as an internal error. The client took it for a passing \
                bug and came back at once, again and again, which is the one thing that does not \
                help against a limit.",
        mistake: "taking a 500 for a hiccup that is over at once",
        remedy: "back off on 5xx as on 429, and give up after a few tries",
        caught_by: &["min_gap", "bounded_retries"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 10,
            wait: Wait::Fixed(Duration::from_millis(20)),
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "storage-yes-topic-no",
        family: Family::Functions,
        happened: "stored but never announced, and reported as success",
        story: "A function stored an object and then told a topic about it. The second call failed, \
                the function logged it and returned success, and downstream nobody ever learned of \
                the object.",
        mistake: "a partial success reported as success",
        remedy: "a saga: undo what was done, or finish it later, and say which",
        caught_by: &["all_or_nothing"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { steps: Steps::Ignores, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "dropped-event",
        family: Family::Functions,
        happened: "an event was accepted with 202, and then dropped",
        story: "A service took events with 202 and dropped them when too many were being worked on. \
                Senders counted the 202s and were content; the gaps were found in a report, weeks \
                later.",
        mistake: "taking `accepted` for done",
        remedy: "look later whether it was done, and keep what was not on a list",
        caught_by: &["no_phantom_success"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { belief: Belief::Status, ..CAREFUL })),
        fixed: Habit::Calls(Habits { reads: Reads::BeforeRetry, ..CAREFUL }),
    },
    Incident {
        name: "throttled-with-400",
        family: Family::Functions,
        happened: "throttling came as 400 and counted as permanent",
        story: "A database answers with 400 when it is asked too much at once, and says in the body \
                that it is throttling. The client looked at the status, saw a client error, and gave \
                up on what would have worked a second later.",
        mistake: "sorting errors by their status alone",
        remedy: "read the error's code",
        caught_by: &["gives_up_on_nothing_recoverable"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { reads_codes: false, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "bank-outage",
        family: Family::Functions,
        happened: "held: a bank was down all night; the morning replayed everything",
        story: "A partner bank was down for a night, and even what it answered with an error it had \
                sometimes done. Each transfer had a key, retries were hours apart, everything that \
                failed was captured, and in the morning it was replayed: nothing was lost and \
                nothing was there twice.",
        mistake: "keys outlive the night, retries are paced, and failures are kept",
        remedy: "keep it so",
        caught_by: &[],
        also: &[],
        flawed: None,
        fixed: Habit::Calls(Habits {
            attempts: 40,
            wait: Wait::Growing {
                first: Duration::from_secs(60),
                cap: Duration::from_secs(1_800),
                jitter: Jitter::AsMuchAgain,
            },
            restraint: Restraint {
                breaker: Some(Breaker { trip: 5, rest: Duration::from_secs(900) }),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "zombie-calls",
        family: Family::Functions,
        happened: "calls without a time-out piled up, half finished",
        story: "The service that a function called became slow, and the function had no time-out. \
                Its calls waited, new ones came, and soon everything that could wait was waiting, \
                with half-finished work behind it.",
        mistake: "no time-out",
        remedy: "a time-out for each call, and a limit on how many there are at once",
        caught_by: &["client_timeout", "max_in_flight"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { timeout: None, ..CAREFUL })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint { in_flight: Some(10), ..UNRESTRAINED },
            ..CAREFUL
        }),
    },
    Incident {
        name: "aggressive-sdk",
        family: Family::Functions,
        happened: "an SDK's default retries caused a temporary ban",
        story: "Nobody had looked at what the SDK does by itself: ten retries, milliseconds apart. \
                In front of a tight limit that was enough for a ban of ten minutes, several times a \
                day.",
        mistake: "trusting the defaults",
        remedy: "tune them: fewer retries, further apart, within a limiter",
        caught_by: &["not_banned"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 10,
            wait: Wait::Fixed(Duration::from_millis(50)),
            hints: Hints::Ignored,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Adaptive(Duration::from_millis(500)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "key-too-broad",
        family: Family::Functions,
        happened: "orders of one customer shared a key and blocked each other",
        story: "The key was the customer's number. Whoever ordered twice in a row met a conflict \
                with an earlier order, and one of the two was never carried out.",
        mistake: "a key of the customer alone",
        remedy: "a key of the operation",
        caught_by: &["idempotency_key_unique", "no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Fields(&["customer"]), ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "retries-in-the-dark",
        family: Family::Functions,
        happened: "retries succeeded and hid a growing problem",
        story: "Every second call failed once and succeeded the second time, and nothing was written \
                down. It grew for months, invisible, until the second try failed as well.",
        mistake: "no logging",
        remedy: "a line for each retry and for each failure",
        caught_by: &["retries_logged"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { logs: Logs::Successes, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "webhook-thrice",
        family: Family::Functions,
        happened: "one webhook came three times: three payments",
        story: "A fault in the network kept the sender from hearing that its event had arrived, so \
                it delivered it three times. The function behind it set money aside each time.",
        mistake: "not looking at the id of an event",
        remedy: "a unique id for each transaction, made of the event's",
        caught_by: &["webhook_handled_once"],
        also: &[],
        flawed: Some(Habit::Listens(Listens {
            event: "charge.succeeded",
            calls: "/v1/authorizations",
            keeps_ids: false,
        })),
        fixed: Habit::Listens(Listens {
            event: "charge.succeeded",
            calls: "/v1/authorizations",
            keeps_ids: true,
        }),
    },
    Incident {
        name: "queue-redelivery",
        family: Family::Functions,
        happened: "a function timed out, its message came again: two charges",
        story: "A function charged a card for each message of a queue. When the bank was slow it was \
                stopped after half a minute, with the charge on its way. Nobody had deleted the \
                message, so the queue delivered it again, and the card was charged twice.",
        mistake: "not looking at the id of a message",
        remedy: "remember the ids of messages, and make keys of them",
        caught_by: &["message_handled_once"],
        also: &[],
        flawed: Some(Habit::Receives(Receives { keeps_ids: false, gives_back: true })),
        fixed: Habit::Receives(Receives { keeps_ids: true, gives_back: true }),
    },
    Incident {
        name: "poison-message",
        family: Family::Functions,
        happened: "one message always failed, and the queue behind it waited",
        story: "One message could not be read. There was no list for such messages, so the worker \
                tried it again and again, all night long, while those behind it waited, and nobody \
                was told.",
        mistake: "no list of dead letters",
        remedy: "give back what fails, park it after a few times, and raise an alarm",
        caught_by: &["poison_message_parked"],
        also: &[],
        flawed: Some(Habit::Receives(Receives { keeps_ids: true, gives_back: false })),
        fixed: Habit::Receives(Receives { keeps_ids: true, gives_back: true }),
    },
    Incident {
        name: "no-bulkhead",
        family: Family::Functions,
        happened: "slow reports used up the pool, and payments waited",
        story: "Payments and reports went through one pool of connections, because that was simpler. One \
                afternoon the reports hung, each of them until its time-out, until all connections \
                were theirs. The payments, with which nothing was wrong, never left the house.",
        mistake: "one pool for what matters and for what does not",
        remedy: "a pool for each, so that what hangs fills its own",
        caught_by: &["isolates"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            restraint: Restraint { in_flight: Some(4), shared: true, ..UNRESTRAINED },
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint { in_flight: Some(4), ..UNRESTRAINED },
            ..CAREFUL
        }),
    },
];
