//! What happened in back ends that pay, ship and talk to partners.

use std::time::Duration;

use super::client::keeper::Keeps;
use super::client::listener::Listens;
use super::client::pages::{InBadTimes, Shows};
use super::habits::{
    Breaker, CAREFUL, Habits, Hints, Jitter, Key, Pace, Reads, Restraint, Retries, Steps, Sweep,
    Tells, UNRESTRAINED, Wait,
};
use super::{Family, Habit, Incident};

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[
    Incident {
        name: "optional-key",
        family: Family::Backends,
        happened: "a mobile app repeated a payment without a key",
        story: "The payment API took an idempotency key and did not insist on one, so the mobile app sent none. \
                In a tunnel a request timed out, the app repeated it, and the customer paid twice.",
        mistake: "leaving out the key because it was optional",
        remedy: "always send one",
        caught_by: &["idempotency_key_present", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "ten-times-overnight",
        family: Family::Backends,
        happened: "a partner's tenfold traffic took the limit from everybody",
        story: "A partner launched a feature and sent ten times its traffic from one night to the next. All \
                partners shared one limit, and the small shop next door was refused for a load that was not \
                its own.",
        mistake: "no limiter of one's own",
        remedy: "a limiter in the client, below what one was promised",
        caught_by: &["stays_within_rate_limit", "spares_other_tenants"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Fixed(Duration::from_secs(1)),
            attempts: 30,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Adaptive(Duration::from_millis(400)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "vague-processor",
        family: Family::Backends,
        happened: "a processor took the key and did not honor it",
        story: "The processor's manual promised idempotency. During an outage its replicas lost the keys and took \
                each repeat for a new payment, and nobody had looked before repeating.",
        mistake: "taking the provider at its word",
        remedy: "look up what stands before every repeat, and reconcile afterwards",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(CAREFUL)),
        fixed: Habit::Calls(Habits { reads: Reads::BeforeRetry, ..CAREFUL }),
    },
    Incident {
        name: "new-limit-tonight",
        family: Family::Backends,
        happened: "a new limit appeared; the largest client looped on refusals",
        story: "To save a struggling service its team put a limit in front of it in the middle of the night. The \
                largest client knew nothing of limits, answered every refusal with another request, and made \
                the night longer.",
        mistake: "no backoff, and a pace that never changes",
        remedy: "back off, and adapt the pace to the answers",
        caught_by: &["adapts_to_tightened_limit", "min_gap"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Fixed(Duration::from_millis(20)),
            hints: Hints::Ignored,
            attempts: 30,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            attempts: 30,
            restraint: Restraint {
                pace: Pace::Adaptive(Duration::from_millis(100)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "slow-not-failed",
        family: Family::Backends,
        happened: "slow deliveries were reported failed, and were on their way",
        story: "The logistics partner was slow, or answered 500 although it had done the work. The shop marked \
                these deliveries as failed and told its customers so, who called, while the parcels arrived.",
        mistake: "taking a time-out for a failure",
        remedy: "say that it is unknown, and ask later",
        caught_by: &["honest_failures"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Nothing,
            doubt: Tells::Failure,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { retries: Retries::Nothing, ..CAREFUL }),
    },
    Incident {
        name: "no-reset-hint",
        family: Family::Backends,
        happened: "a hard limit without a reset time locked users out",
        story: "In the middle of a campaign the provider refused and did not say until when. The client asked \
                again at once, and again. Later the provider added `X-RateLimit-Reset`, and nobody read it.",
        mistake: "hammering when there is no hint, and ignoring it when there is one",
        remedy: "a backoff of one's own by default, and obedience to the reset where it is told",
        caught_by: &["min_gap", "waits_for_reset"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Fixed(Duration::from_millis(10)),
            hints: Hints::Ignored,
            attempts: 20,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint { holds: true, ..UNRESTRAINED },
            ..CAREFUL
        }),
    },
    Incident {
        name: "one-key-two-operations",
        family: Family::Backends,
        happened: "a customer's second order carried the key of the first",
        story: "The key was derived from the customer and the day. A customer who ordered twice sent the second \
                order under the first one's key, and was told that it did not match.",
        mistake: "a key of too little",
        remedy: "derive the key from the operation",
        caught_by: &["idempotency_key_bound_to_body", "no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Fields(&["customer"]), ..CAREFUL })),
        fixed: Habit::Calls(Habits { key: Key::Fields(&["order"]), ..CAREFUL }),
    },
    Incident {
        name: "half-done",
        family: Family::Backends,
        happened: "step two of three failed, and step one was repeated",
        story: "An order was three calls. The second one failed, what the first had done stayed as it was, and \
                the retry began with the first again. Money was set aside twice for orders that never were.",
        mistake: "steps that are neither atomic nor undone",
        remedy: "undo what was done, and give each step a key of its own",
        caught_by: &["all_or_nothing"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            steps: Steps::Restarts,
            key: Key::Attempt,
            attempts: 2,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "hint-in-the-body",
        family: Family::Backends,
        happened: "the wait stood in the body; the client read headers",
        story: "The partner refused with a proper sentence, an error code and `retry_after: 45`, all in the \
                body. The client looked for a header, found none, and came back after a second.",
        mistake: "reading headers only",
        remedy: "read both",
        caught_by: &["honors_retry_after"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { hints: Hints::Headers, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "thundering-herd",
        family: Family::Backends,
        happened: "all clients came back in the same second, twice",
        story: "A hiccup sent all clients away at once. Their waits were the same, so they came back at once, \
                were sent away with the same hint, and came back at once again, until the provider fell over.",
        mistake: "waits without jitter",
        remedy: "draw the wait by chance, also behind a hint",
        caught_by: &["spreads_retries"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Growing {
                first: Duration::from_secs(1),
                cap: Duration::from_secs(30),
                jitter: Jitter::None,
            },
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            wait: Wait::Growing {
                first: Duration::from_secs(1),
                cap: Duration::from_secs(30),
                jitter: Jitter::AsMuchAgain,
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "flood-the-flaky",
        family: Family::Backends,
        happened: "a flaky partner was flooded during its outage",
        story: "A partner went down now and then. Each time every waiting delivery was tried again and again \
                against a service that was busy getting up, and that fell over once more.",
        mistake: "no breaker",
        remedy: "a breaker with a single probe, and a queue behind it",
        caught_by: &["eases_off_during_outage", "recovers_after_outage"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Growing {
                first: Duration::from_millis(500),
                cap: Duration::from_secs(240),
                jitter: Jitter::None,
            },
            attempts: 12,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                breaker: Some(Breaker { trip: 5, rest: Duration::from_secs(10) }),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "late-duplicate",
        family: Family::Backends,
        happened: "an old request arrived again behind newer ones",
        story: "Somewhere on the way a copy of a request was held up. It arrived half a minute later, behind \
                requests that were newer, and was carried out as if it were one of them.",
        mistake: "trusting that what is sent once arrives once, and in order",
        remedy: "a key, also on a first attempt",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "read-your-write",
        family: Family::Backends,
        happened: "the list lagged behind, so the charge was made again",
        story: "After a lost answer the client did the right thing and looked. The list came from a replica that \
                lagged behind and was empty, so the client made the charge again, under a new key, for the old \
                one had visibly led to nothing.",
        mistake: "trusting a stale read",
        remedy: "look for a while, and repeat under the same key",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Attempt,
            reads: Reads::BeforeRetry,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { reads: Reads::Patiently(Duration::from_secs(15)), ..CAREFUL }),
    },
    Incident {
        name: "reconciliation",
        family: Family::Backends,
        happened: "held: what was unknown was swept up after the storm",
        story: "A team kept a list of all payments of which it did not know what had become. When the storm was \
                over a job went through the list and asked about each, until the list was empty.",
        mistake: "nothing is called failed that may have been done, and nothing stays unknown",
        remedy: "keep it so",
        caught_by: &[],
        also: &[],
        flawed: None,
        fixed: Habit::Calls(Habits { attempts: 2, sweep: Sweep::Repeats, ..CAREFUL }),
    },
    Incident {
        name: "window-edge",
        family: Family::Backends,
        happened: "bursts around the minute's edge met a sliding window",
        story: "The client counted 60 requests by its own clock's minute, and sent two bursts shortly before \
                and shortly after the full minute. The provider's window slides, saw 120, and refused half.",
        mistake: "counting by the minutes of a clock",
        remedy: "a token bucket",
        caught_by: &["stays_within_rate_limit"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Window { limit: 60, per: Duration::from_secs(60) },
                ..UNRESTRAINED
            },
            attempts: 10,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint { pace: Pace::Every(Duration::from_secs(1)), ..UNRESTRAINED },
            ..CAREFUL
        }),
    },
    Incident {
        name: "webhook-twice",
        family: Family::Backends,
        happened: "a partner's webhook fired twice and left two records",
        story: "A partner told of each payment by a webhook, and now and then told twice. The shop \
                wrote down whatever came, so one payment stood in its books twice, and the customer \
                got two mails.",
        mistake: "not looking at the id of an event",
        remedy: "store the ids of events that were handled, and make keys of them",
        caught_by: &["webhook_handled_once"],
        also: &[],
        flawed: Some(Habit::Listens(Listens {
            event: "charge.succeeded",
            calls: "/v1/notifications",
            keeps_ids: false,
        })),
        fixed: Habit::Listens(Listens {
            event: "charge.succeeded",
            calls: "/v1/notifications",
            keeps_ids: true,
        }),
    },
    Incident {
        name: "webhooks-out-of-order",
        family: Family::Backends,
        happened: "`paid` came before `created`, and orders stayed unpaid",
        story: "A partner told of each step of an order by a webhook, and not always in turn: now and then \
                `created` came a second behind `paid`. The shop kept whatever came last, so paid orders \
                stood there as new ones and were never shipped.",
        mistake: "the last event wins",
        remedy: "compare what an event tells with what is kept, and never go back",
        caught_by: &["tolerates_reordering"],
        also: &[],
        flawed: Some(Habit::Keeps(Keeps { compares: false })),
        fixed: Habit::Keeps(Keeps { compares: true }),
    },
    Incident {
        name: "no-fallback-answer",
        family: Family::Backends,
        happened: "the partner was down and the page showed an error",
        story: "A page showed what had been paid for an order, and asked the partner for it. When the partner was \
                down the page was an error, although nobody would have minded what it had shown a \
                minute before. Its cache was there for speed alone, and knew of no payments: for a while \
                after each of them the page said that nothing was paid.",
        mistake: "no answer for bad times, and a cache that is never told of a change",
        remedy: "a cache with a time to live that outlives the partner, and is dropped by each write",
        caught_by: &["degrades_gracefully", "reads_cached"],
        also: &[],
        flawed: Some(Habit::Shows(Shows {
            keeps: Some(Duration::from_secs(10)),
            drops: false,
            in_bad_times: InBadTimes::Error,
        })),
        fixed: Habit::Shows(Shows {
            keeps: Some(Duration::from_secs(10)),
            drops: true,
            in_bad_times: InBadTimes::Admits,
        }),
    },
];
