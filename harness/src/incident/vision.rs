//! What happened in front of services that look at pictures.

use std::time::Duration;

use super::client::batches::Batches;
use super::client::jobs::Waits;
use super::client::stream::Reads;
use super::client::uploads::Uploads;
use super::habits::{
    Belief, CAREFUL, Habits, Hints, Key, Logs, Pace, Restraint, Retries, Steps, Sweep,
    UNRESTRAINED, Wait,
};
use super::{Family, Habit, Incident};

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[
    Incident {
        name: "flaky-mobile-upload",
        family: Family::Vision,
        happened: "a new id for each upload attempt: thousands of duplicates",
        story: "A mobile app uploaded pictures for recognition and made a new id each time that it \
                tried. On bad lines the answer was lost and the picture was not, so there were \
                thousands of duplicates, each of them on the bill.",
        mistake: "a key for each attempt",
        remedy: "a key for each intent",
        caught_by: &["idempotency_key_stable", "no_double_charges"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Attempt, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "lost-track-of-clips",
        family: Family::Vision,
        happened: "the same clips were uploaded again for days",
        story: "A client kept no note of what it had sent. Each day it found the same clips in its \
                folder and uploaded them under new ids.",
        mistake: "no memory of what was sent",
        remedy: "an id made of the clip, and a check of the content as a second line",
        caught_by: &["at_most_one_effect"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { key: Key::Submit, ..CAREFUL })),
        fixed: Habit::Calls(Habits { key: Key::Fields(&["reference"]), ..CAREFUL }),
    },
    Incident {
        name: "face-runaway",
        family: Family::Vision,
        happened: "runaway retries against a face recognition service",
        story: "A loop around a face recognition service had no end that anybody had thought of. \
                When the service was down the loop turned, for each face, as long as the process \
                lived.",
        mistake: "retries without a bound",
        remedy: "a cap for each picture, and a budget for all",
        caught_by: &["bounded_retries", "retry_budget"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 60,
            wait: Wait::Fixed(Duration::from_millis(500)),
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { attempts: 3, ..CAREFUL }),
    },
    Incident {
        name: "unreadable-barcode",
        family: Family::Vision,
        happened: "unreadable pictures were retried for ever, in silence",
        story: "The light in a warehouse changed, and most barcodes could no longer be read. The \
                service said so, the client tried again with the same picture, and nobody was told \
                to switch on the lamp.",
        mistake: "retrying what was refused for good, without a word",
        remedy: "stop at once, and tell somebody who can change the light",
        caught_by: &["no_retry_on_permanent_errors", "failures_surface"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            retries: Retries::Everything,
            attempts: 1_000,
            wait: Wait::Fixed(Duration::from_secs(1)),
            minds_deadline: false,
            logs: Logs::Nothing,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "partitioned-detector",
        family: Family::Vision,
        happened: "after a partition nobody knew which frames were processed",
        story: "Connections broke while frames were on their way, and some were processed although \
                their answer was lost. The client sent everything that had failed again, under new \
                ids, wrote off what it never heard of, and in the end nobody could say which frames \
                had been done, and how often.",
        mistake: "new ids for what failed, and no list of what is unknown",
        remedy: "the same ids, and a sweep over what is unknown",
        caught_by: &["no_double_charges", "reconciled"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Attempt,
            attempts: 3,
            sweep: Sweep::Denies,
            ..CAREFUL
        })),
        fixed: Habit::Calls(Habits { attempts: 3, sweep: Sweep::Repeats, ..CAREFUL }),
    },
    Incident {
        name: "dynamic-throttling",
        family: Family::Vision,
        happened: "limits fell under load, and clients hammered harder",
        story: "A service lowered its limits when it was under load, and once its limiter was wrong \
                and lowered them for hours. Clients that kept their pace were refused, and those \
                that answered a refusal with a repeat made the load worse.",
        mistake: "a fixed pace, and repeats at once",
        remedy: "a pace that follows the answers",
        caught_by: &["adapts_to_tightened_limit", "min_gap"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            attempts: 20,
            wait: Wait::Fixed(Duration::from_millis(20)),
            hints: Hints::Ignored,
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
        name: "nightly-batch-in-production",
        family: Family::Vision,
        happened: "a nightly batch ran against production, 10,000 requests in minutes",
        story: "A batch was pointed at the wrong endpoint. In the copy nobody had ever cared how \
                fast it was; in production it took the whole limit, for everybody, within seconds.",
        mistake: "no limiter",
        remedy: "a limiter in the client, whatever it is pointed at",
        caught_by: &["stays_within_rate_limit"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { attempts: 8, ..CAREFUL })),
        fixed: Habit::Calls(Habits {
            restraint: Restraint {
                pace: Pace::Adaptive(Duration::from_millis(250)),
                ..UNRESTRAINED
            },
            ..CAREFUL
        }),
    },
    Incident {
        name: "broken-image",
        family: Family::Vision,
        happened: "corrupt and oversized pictures were sent again and again",
        story: "Some pictures were corrupt, some too large, some of a kind that the service does not \
                take. The client sent them five times each, and waited in between.",
        mistake: "retrying what cannot work",
        remedy: "fail fast, and say which picture",
        caught_by: &["no_retry_on_permanent_errors"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { retries: Retries::Everything, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "half-a-pipeline",
        family: Family::Vision,
        happened: "stage two failed, and the pipeline began at stage one",
        story: "A pipeline had three stages. When the second one failed it was started again from \
                the first, which did its work once more, because nothing told it that it had.",
        mistake: "no key for each stage",
        remedy: "keys for the stages, the same in every run",
        caught_by: &["at_most_one_effect"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Attempt,
            steps: Steps::Restarts,
            attempts: 2,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "meant-to-repeat",
        family: Family::Vision,
        happened: "a repeat on purpose was taken for a duplicate",
        story: "The same picture was sent to a new model, on purpose. The key was a hash of its \
                content, so the service answered with what the old model had said, and the \
                comparison found no difference at all.",
        mistake: "a key made of the content",
        remedy: "a key made of the intent",
        caught_by: &["no_over_deduplication"],
        also: &[],
        flawed: Some(Habit::Calls(Habits {
            key: Key::Fields(&["amount", "currency", "image"]),
            belief: Belief::Status,
            ..CAREFUL
        })),
        fixed: Habit::Calls(CAREFUL),
    },
    Incident {
        name: "job-submitted-again",
        family: Family::Vision,
        happened: "a pending job was polled in a loop and submitted again",
        story: "A job stayed pending for longer than usual. The client asked for it ten times a \
                second, lost its patience and began the job anew, so that in the end two of them ran \
                for one picture.",
        mistake: "no patience: no interval between looks, and a new job for a slow one",
        remedy: "keep the job's id, ask for it at growing or given intervals, and say `unknown` in the end",
        caught_by: &["job_not_resubmitted", "polls_politely"],
        also: &[],
        flawed: Some(Habit::Waits(Waits {
            every: Duration::from_millis(100),
            heeds_hints: false,
            begins_anew: Some(30),
        })),
        fixed: Habit::Waits(Waits {
            every: Duration::from_millis(700),
            heeds_hints: true,
            begins_anew: None,
        }),
    },
    Incident {
        name: "truncated-stream",
        family: Family::Vision,
        happened: "a stream that ended early was stored as complete",
        story: "An answer came as a stream of events. A proxy on the way ended it after a few of \
                them, by all rules, and the client stored half a sentence as the description of a \
                picture.",
        mistake: "taking the end of a stream for the end of the answer",
        remedy: "require the last event",
        caught_by: &["no_truncated_stream_accepted"],
        also: &[],
        flawed: Some(Habit::Reads(Reads { wants_the_end: false })),
        fixed: Habit::Reads(Reads { wants_the_end: true }),
    },
    Incident {
        name: "stuck-upload",
        family: Family::Vision,
        happened: "each lost connection sent a large upload back to zero",
        story: "Large pictures were uploaded over bad lines. When the connection was lost the client \
                began from zero, and on the worst lines it never came to the end. Once something \
                else was kept than had been sent, and nobody compared.",
        mistake: "an upload that cannot be resumed, and no look at the checksum",
        remedy: "ask how much is there, send the rest, and compare the checksum",
        caught_by: &["resumes_upload", "upload_intact"],
        also: &[],
        flawed: Some(Habit::Uploads(Uploads { resumes: false, compares: false })),
        fixed: Habit::Uploads(Uploads { resumes: true, compares: true }),
    },
    Incident {
        name: "one-bad-image",
        family: Family::Vision,
        happened: "one picture of a batch failed, and all were sent again",
        story: "Pictures went out in batches. When one of them failed the whole batch was sent \
                again, so three were paid for twice; after that it was taken for done, whatever the \
                answer said of each.",
        mistake: "a batch as a unit",
        remedy: "a look at each item's fate, and a key for what is sent again",
        caught_by: &["no_double_charges", "no_lost_operations"],
        also: &[],
        flawed: Some(Habit::Batches(Batches { by_item: false, rounds: 2 })),
        fixed: Habit::Batches(Batches { by_item: true, rounds: 8 }),
    },
    Incident {
        name: "low-confidence",
        family: Family::Vision,
        happened: "a guess at two percent was taken for a result, for weeks",
        story: "Some pictures were blurred. The service answered as it always does, with a label and a \
                confidence of 0.02, and the client, which looked for the right fields, stored the label. \
                It took weeks until somebody looked at what had been stored.",
        mistake: "looking at the shape of an answer and not at what it says",
        remedy: "take a result only if it is good enough, and say so if it is not",
        caught_by: &["rejects_malformed_responses"],
        also: &[],
        flawed: Some(Habit::Calls(Habits { belief: Belief::Shape, ..CAREFUL })),
        fixed: Habit::Calls(CAREFUL),
    },
];
