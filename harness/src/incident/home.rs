//! What happened in retry code that people wrote for themselves.

use std::time::Duration;

use super::client::pages::{InBadTimes, Shows};
use super::client::taker::Takes;
use super::habits::{
    CAREFUL, Habits, Jitter, Key, Logs, Restraint, Retries, Tells, UNRESTRAINED, Wait,
};
use super::{Family, Habit, Incident};

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[
    Incident {
        name: "naive-call",
        family: Family::Home,
        happened: "one call without error handling crashed the feature",
        story: "The first version was one call and nothing around it. One in twenty failed, the \
                exception went all the way up, and the feature was down for whoever had asked.",
        mistake: "no handling of errors at all",
        remedy: "retry under a key, and report the last error",
        caught_by: &["no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Nothing,
            failure: Tells::Nothing,
            doubt: Tells::Nothing,
            key: Key::None,
            logs: Logs::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "swallow-everything",
        family: Family::Home,
        happened: "every exception became an empty result",
        story: "The second version caught everything and returned nothing. There were no more \
                crashes, and users saw empty results that looked like results.",
        mistake: "silence",
        remedy: "raise it, or report it",
        caught_by: &["failures_surface", "no_phantom_success"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Nothing,
            failure: Tells::Success,
            doubt: Tells::Success,
            logs: Logs::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { attempts: 3, ..CAREFUL }),
    },
    Incident {
        name: "fixed-delay",
        family: Family::Home,
        happened: "three tries one second apart, in step with everybody",
        story: "The third version tried three times, one second apart. So did every other copy of \
                it, in the same second, each time.",
        mistake: "no growth and no jitter",
        remedy: "exponential backoff with jitter",
        caught_by: &["backs_off", "spreads_retries"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 4,
            wait: Wait::Fixed(Duration::from_secs(1)),
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "backoff-and-jitter",
        family: Family::Home,
        happened: "good pacing, but 400 and 401 were repeated, without a key",
        story: "The fourth version waits 2^n seconds and up to one more by chance, five times, and \
                raises the last error. Its pacing is right. It also repeats what was refused for \
                good, and sends no key, which is right only where a call creates nothing.",
        mistake: "no classes of errors, and no key",
        remedy: "sort errors, and send a key",
        caught_by: &["no_retry_on_permanent_errors", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::None,
            retries: Retries::Everything,
            wait: Wait::Growing {
                first: Duration::from_secs(1),
                cap: Duration::from_secs(16),
                jitter: Jitter::Upto(Duration::from_secs(1)),
            },
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            wait: Wait::Growing {
                first: Duration::from_secs(1),
                cap: Duration::from_secs(16),
                jitter: Jitter::Upto(Duration::from_secs(1)),
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "queue-in-memory",
        family: Family::Home,
        happened: "a restart lost what an in-memory queue had promised",
        story: "So as not to keep anybody waiting an endpoint answered at once and put the work into \
                a list in memory. It was fast until the first deployment on a busy day: the list was \
                gone, and all that had been promised with it.",
        mistake: "a promise that dies with the process",
        remedy: "a queue on disk, or an answer that waits for the work",
        caught_by: &["no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Takes(Takes { durable: false })),
        fixed: Habit::Takes(Takes { durable: true }),
    },
    Incident {
        name: "blocked-thread",
        family: Family::Home,
        happened: "retries slept on the request threads until none was left",
        story: "The retries of the first version slept on the thread that had taken the request. When a \
                partner was slow to refuse, each of its orders kept a thread for many seconds, most \
                of them asleep, and soon four sleepers were all that the shop did.",
        mistake: "waiting on the thread that others need",
        remedy: "a queue: who waits gives the thread back",
        caught_by: &["deadline", "isolates"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            timeout: Some(Duration::from_secs(1)),
            restraint: Restraint { keeps_place: true, ..THREADS },
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            timeout: Some(Duration::from_secs(1)),
            restraint: THREADS,
            ..CAREFUL
        }),
    },
    Incident {
        name: "asked-twice",
        family: Family::Home,
        happened: "two people asked the same, and both answers were paid for",
        story: "Everybody asks the same on a Monday morning. Each question went to the model, as if \
                nobody had asked before; the second one within five minutes was paid for again, and \
                whoever asked it waited as long as the first.",
        mistake: "no cache",
        remedy: "a cache with a time to live, under the question",
        caught_by: &["reads_cached"],
        also: &[],
        flawed: Some(Habit::Shows(Shows {
            keeps: None,
            drops: false,
            in_bad_times: InBadTimes::Error,
        })),
        fixed: Habit::Shows(Shows {
            keeps: Some(Duration::from_secs(300)),
            drops: false,
            in_bad_times: InBadTimes::Error,
        }),
    },
];

/// Four threads for all that there is to do.
const THREADS: Restraint = Restraint { in_flight: Some(4), shared: true, ..UNRESTRAINED };
