//! What happened in front of models that answer prompts.

use std::time::Duration;

use super::habits::{
    Belief, Breaker, CAREFUL, Fallback, Habits, Hints, Jitter, Key, Logs, Pace, Reads, Restraint,
    Retries, Tells, UNRESTRAINED, Wait,
};
use super::{Family, Habit, Incident};

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[
    Incident {
        name: "slow-summaries",
        family: Family::Prompts,
        happened: "a slow summary was bought up to five times",
        story: "A summarizer took its time, and the HTTP library retried whatever was not answered within ten \
                seconds. The provider finished every request that it had begun: customers saw one summary and \
                were billed for two, three, even five.",
        mistake: "retrying after a time-out without a key by which the provider knows the same request",
        remedy: "one idempotency key for each summary, and a time-out above the time that most answers take",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(Habits { timeout: Some(Duration::from_secs(30)), ..CAREFUL }),
    },
    Incident {
        name: "forgotten-keys",
        family: Family::Prompts,
        happened: "a late retry came after its key was forgotten",
        story: "The server kept idempotency keys for five minutes, its clients kept trying for up to thirty. \
                A retry that came late enough carried the right key, which nobody remembered, and began a \
                new job.",
        mistake: "a retry window that is longer than the time for which keys are kept",
        remedy: "retries that end before the key does; after that, look first what stands",
        caught_by: &["key_retry_window", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            wait: Wait::Fixed(Duration::from_secs(240)),
            attempts: 8,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "launch-day",
        family: Family::Prompts,
        happened: "a launch hit the limit; retries without a pause dropped prompts",
        story: "A feature was more popular than anybody had dared to hope, and reached the provider's limit \
                within minutes. Each refused prompt was tried again at once, twice, which made the queue at \
                the door longer, and then it was dropped.",
        mistake: "retrying refusals at once, and dropping what is still refused",
        remedy: "a queue before a limiter of one's own, and the wait that the refusal asks for",
        caught_by: &["no_lost_operations", "retry_budget"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 3,
            wait: Wait::None,
            hints: Hints::Ignored,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Every(Duration::from_millis(1_050)),
                holds: true,
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "outage-then-ban",
        family: Family::Prompts,
        happened: "ten tries each during a brief outage led to a ban",
        story: "A provider was down for a minute. Every prompt that failed was tried ten times, whatever the \
                error, with hardly a pause. That used up the quota, the refusals went on being retried too, \
                and the account was shut out: healthy prompts failed for hours after the outage was over.",
        mistake: "retrying everything alike, often and fast, with nothing that notices an outage",
        remedy: "sort errors, cap the tries, and let a breaker rest while nothing works",
        caught_by: &["not_banned", "bounded_retries", "eases_off_during_outage"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Everything,
            attempts: 10,
            wait: Wait::Fixed(Duration::from_millis(400)),
            hints: Hints::Ignored,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                breaker: Some(Breaker { trip: 5, rest: Duration::from_secs(10) }),
                pace: Pace::Adaptive(Duration::from_millis(50)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "parallel-batch",
        family: Family::Prompts,
        happened: "a page resubmitted missing prompts with new keys",
        story: "A front end sent all prompts of a page at once. Some ran into the limit, the answers of others \
                were lost, and the page sent again what it missed, each with a new key, so that what had \
                been done without its knowledge was done again.",
        mistake: "a key for each submit instead of for each item",
        remedy: "keep the key with the item, and send it again with it",
        caught_by: &["idempotency_key_stable", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Submit, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "colliding-keys",
        family: Family::Prompts,
        happened: "two different requests turned out to share a key",
        story: "Keys were short and made of the clock. For a long time nobody noticed; then a network \
                partition had requests repeated, and the provider took one customer's prompt for a repeat of \
                another's.",
        mistake: "keys of so little that two requests can have the same",
        remedy: "a random UUID for each operation",
        caught_by: &["idempotency_key_unique", "idempotency_key_strength", "no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Time(Duration::from_millis(100)),
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { key: Key::Submit, ..CAREFUL }),
    },
    Incident {
        name: "ok-but-error",
        family: Family::Prompts,
        happened: "200 with `Internal Error` in it counted as success for hours",
        story: "The service answered 200, and in the body stood `Internal Error`. The dashboards looked at \
                the status alone and stayed green for hours, while no prompt was answered.",
        mistake: "taking the status for the answer",
        remedy: "parse the body, and look for what proves the work",
        caught_by: &["rejects_malformed_responses", "no_phantom_success"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { belief: Belief::Status, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "bulk-requeue",
        family: Family::Prompts,
        happened: "a job queue re-ran uploads, three or four charges each",
        story: "A queue of jobs ran failed uploads again. Each run made a key of its own, so three or four runs \
                of one job were three or four charges, although the first had gone through.",
        mistake: "a key for each run of the job",
        remedy: "store the key with the job",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Submit,
            retries: Retries::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { retries: Retries::Nothing, ..CAREFUL }),
    },
    Incident {
        name: "duplicate-records",
        family: Family::Prompts,
        happened: "each time-out made another summary record of the document",
        story: "A POST that made a summary of a document was retried after each time-out. There was nothing \
                in it by which the service could have known it again, and so three or four records stood for \
                one document.",
        mistake: "repeating a POST that carries nothing to be known by",
        remedy: "an idempotency key",
        caught_by: &["at_most_one_effect"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "silent-chatbot",
        family: Family::Prompts,
        happened: "a throttled chatbot just did not answer, for hours",
        story: "A campaign brought a flood of questions, and the provider throttled the chatbot for hours. Its \
                code caught the error and did nothing with it: visitors asked, and the page stayed empty.",
        mistake: "swallowing the error",
        remedy: "back off a few times, then tell the user",
        caught_by: &["failures_surface"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Nothing,
            failure: Tells::Nothing,
            logs: Logs::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "invoice-replay",
        family: Family::Prompts,
        happened: "a migration sent the same invoices again on later days",
        story: "A migration failed half-way and was started again on another day, and once more. Each run made \
                fresh keys, and every invoice was taken for a new one, several times.",
        mistake: "fresh keys for each run",
        remedy: "make the key of the invoice's own number",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Submit, ..CAREFUL })),
        fixed: Habit::Calls(Habits { key: Key::Fields(&["order"]), ..CAREFUL }),
    },
    Incident {
        name: "schema-drift",
        family: Family::Prompts,
        happened: "the output changed its shape, and nobody was told",
        story: "Overnight the output had another shape: a field was renamed, another was null, a status had a \
                new value. The client took what it found, which was nothing, and called it an answer.",
        mistake: "assuming that the fields are there",
        remedy: "validate the answer, and fail where people see it",
        caught_by: &["rejects_malformed_responses", "failures_surface"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { belief: Belief::Status, ..CAREFUL })),
        fixed: Habit::Calls(Habits { attempts: 3, ..CAREFUL }),
    },
    Incident {
        name: "fallback-provider",
        family: Family::Prompts,
        happened: "two providers did the same work, and both sent a bill",
        story: "Provider A did the work and did not answer in time, so the client asked provider B. There were \
                two answers and two bills, and no idempotency key reaches from one provider to another.",
        mistake: "falling back on a failure that may have been none",
        remedy: "ask A first what stands, and say in the claim who did it",
        caught_by: &["fallback_only_on_failure", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { attempts: 2, fallback: Fallback::OnDoubt, ..CAREFUL })),
        fixed: Habit::Calls(Habits {
            attempts: 2,
            fallback: Fallback::OnFailure,
            reads: Reads::BeforeRetry,
            ..CAREFUL
        }),
    },
    Incident {
        name: "seasonal-rush",
        family: Family::Prompts,
        happened: "held: a rush met a limiter, keys and a queue",
        story: "Before the season a team put a queue, a limiter of its own and a key for each operation in \
                front of its provider. The rush came, answers were lost, and in the end nothing was missing \
                and nothing was there twice.",
        mistake: "the limiter keeps below the provider's, the queue loses nothing, and keys make repeats safe",
        remedy: "keep it so",
        caught_by: &[],
        also: &[],
        flawed: None,
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Every(Duration::from_millis(550)),
                holds: true,
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "permanent-retry",
        family: Family::Prompts,
        happened: "invalid input and a wrong key were retried like time-outs",
        story: "One loop handled all errors. An invalid prompt and an expired key were tried again and again \
                with growing waits, as if time could mend them, and the real message came minutes late.",
        mistake: "no classes of errors",
        remedy: "retry what may pass; give everything else to the caller at once",
        caught_by: &["no_retry_on_permanent_errors"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { retries: Retries::Everything, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "generic-500",
        family: Family::Prompts,
        happened: "a lasting 500 was retried for ever, in silence",
        story: "Some prompts were answered with 500 each time, for whatever reason. The client tried for ever and \
                told nobody, so neither the customer nor the team heard that anything was wrong.",
        mistake: "a loop without an end, and without a word",
        remedy: "few tries with growing waits, then escalate",
        caught_by: &["bounded_retries", "failures_surface"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 100_000,
            wait: Wait::Fixed(Duration::from_secs(1)),
            minds_deadline: false,
            logs: Logs::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "backoff-ladder",
        family: Family::Prompts,
        happened: "held: waits of 1 to 16 seconds, six attempts, all logged",
        story: "A team agreed on a ladder: waits of 1, 2, 4, 8 and 16 seconds, never more than 32, at most five \
                retries, a line in the log for each. When the provider was down it did exactly that, and \
                everybody could see it.",
        mistake: "the ladder grows, ends, and is written down",
        remedy: "keep it so",
        caught_by: &[],
        also: &[],
        flawed: None,
        fixed: Habit::Calls(Habits {
            attempts: 6,
            wait: Wait::Growing {
                first: Duration::from_secs(1),
                cap: Duration::from_secs(32),
                jitter: Jitter::None,
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "ten-clicks",
        family: Family::Prompts,
        happened: "ten clicks on one prompt were ten charges",
        story: "A button did not grey out, and an impatient user pressed it ten times. Each click made its own \
                key, and was its own prompt on the bill.",
        mistake: "a key for each click",
        remedy: "one key for the prompt",
        caught_by: &["no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Submit, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "prompt-in-the-log",
        family: Family::Prompts,
        happened: "keys and private prompts stood in the logs",
        story: "To find a bug somebody logged every request as it was. The bug was found and the line stayed, \
                and with it API keys and what people had confided to the model, for months.",
        mistake: "logging whole requests",
        remedy: "log ids, statuses and waits, and mask the rest",
        caught_by: &["no_secrets_in_output"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { logs: Logs::Requests, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "contract-of-limits",
        family: Family::Prompts,
        happened: "headers counted down to zero, and nobody read them",
        story: "Every answer said how much of the limit was left and when it would be reset, and there was even \
                a route to ask. A big batch asked nobody, ran to zero and into a wall of refusals.",
        mistake: "ignoring what is left",
        remedy: "count for oneself, heed what the headers say, and wait for the reset",
        caught_by: &["waits_for_reset", "stays_within_rate_limit"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { hints: Hints::Ignored, attempts: 20, ..CAREFUL })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint { holds: true, ..UNRESTRAINED },
            ..CAREFUL
        }),
    },
    Incident {
        name: "layered-retries",
        family: Family::Prompts,
        happened: "retries around retries: three tries of three",
        story: "The library retried three times without being asked. Around it stood a loop of three that \
                somebody had written years ago. During an outage the provider saw nine requests for each, and \
                asked what was going on.",
        mistake: "retrying at two layers",
        remedy: "retry at one layer, and switch it off in the other",
        caught_by: &["bounded_retries", "retry_budget"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { attempts: 3, layers: 3, ..CAREFUL })),
        fixed: Habit::Calls(Habits { attempts: 3, ..CAREFUL }),
    },
    Incident {
        name: "parallel-retries",
        family: Family::Prompts,
        happened: "the next try went out beside the last one",
        story: "Two seconds without an answer felt like a failure, so the client sent the prompt again, and did \
                not cancel the first. Both were on their way to the same five-second answer, and both were \
                billed.",
        mistake: "overlapping attempts without a key",
        remedy: "wait for the first or cancel it; one key for both",
        caught_by: &["no_overlapping_attempts", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::None,
            impatient: Some(Duration::from_secs(2)),
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "costs-spiked",
        family: Family::Prompts,
        happened: "every retry cost money; the bill told days later",
        story: "Half of the answers were lost on the way back for an afternoon. Each retry bought the work again, \
                and nobody counted; the spike was found on the bill, days later.",
        mistake: "nobody counts what retries cost",
        remedy: "a budget with an alert, and repeats that cost nothing because they carry a key",
        caught_by: &["max_waste"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::None, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
];
