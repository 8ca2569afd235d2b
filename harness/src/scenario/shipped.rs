//! The scenarios that come with brownout, inside the program.
//!
//! So that a name is enough where there is no copy of the project at hand.
//! **Invariant:** every file of the project's `scenarios/` stands here, word for word.

/// A scenario inside the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// The path below `scenarios/`: `payments/demo.yaml`.
    pub path: &'static str,
    /// The text of the file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($path:literal) => {
        Shipped { path: $path, text: include_str!(concat!("../../../scenarios/", $path)) }
    };
}

/// Every shipped scenario.
pub static SCENARIOS: &[Shipped] = &[
    shipped!("payments/calm.yaml"),
    shipped!("payments/demo.yaml"),
    shipped!("payments/hang.yaml"),
    shipped!("payments/lost-response.yaml"),
    shipped!("payments/malformed-200.yaml"),
    shipped!("payments/outage.yaml"),
    shipped!("payments/permanent-error.yaml"),
    shipped!("payments/rate-limit.yaml"),
    shipped!("policies/aws-quota.yaml"),
    shipped!("policies/aws-quota-classic.yaml"),
    shipped!("policies/aws-retry-after.yaml"),
    shipped!("policies/aws-throttled.yaml"),
    shipped!("policies/aws-transient.yaml"),
    shipped!("policies/brief-outage.yaml"),
    shipped!("policies/long-outage.yaml"),
    shipped!("policies/never-answered.yaml"),
    shipped!("policies/one-in-ten-fails.yaml"),
    shipped!("policies/reads-fail.yaml"),
    shipped!("webhooks/duplicate.yaml"),
    shipped!("webhooks/forged.yaml"),
    shipped!("several/fallback.yaml"),
    shipped!("several/fleet.yaml"),
    shipped!("several/two-tenants.yaml"),
    shipped!("stripe/calm.yaml"),
    shipped!("stripe/hang.yaml"),
    shipped!("stripe/lost-response.yaml"),
    shipped!("stripe/malformed-200.yaml"),
    shipped!("stripe/outage.yaml"),
    shipped!("stripe/permanent-error.yaml"),
    shipped!("stripe/rate-limit.yaml"),
    shipped!("openai/calm.yaml"),
    shipped!("openai/hang.yaml"),
    shipped!("openai/lost-response.yaml"),
    shipped!("openai/malformed-200.yaml"),
    shipped!("openai/outage.yaml"),
    shipped!("openai/permanent-error.yaml"),
    shipped!("openai/rate-limit.yaml"),
    shipped!("openai/streams.yaml"),
    shipped!("anthropic/calm.yaml"),
    shipped!("anthropic/hang.yaml"),
    shipped!("anthropic/lost-response.yaml"),
    shipped!("anthropic/malformed-200.yaml"),
    shipped!("anthropic/outage.yaml"),
    shipped!("anthropic/permanent-error.yaml"),
    shipped!("anthropic/rate-limit.yaml"),
    shipped!("anthropic/streams.yaml"),
    shipped!("queue/at-least-once.yaml"),
    shipped!("queue/calm.yaml"),
    shipped!("queue/lost-response.yaml"),
    shipped!("queue/poison-message.yaml"),
    shipped!("dynamodb/calm.yaml"),
    shipped!("dynamodb/counter.yaml"),
    shipped!("dynamodb/hang.yaml"),
    shipped!("dynamodb/lost-response.yaml"),
    shipped!("dynamodb/outage.yaml"),
    shipped!("dynamodb/permanent-error.yaml"),
    shipped!("dynamodb/rate-limit.yaml"),
    shipped!("vision/calm.yaml"),
    shipped!("vision/failed-jobs.yaml"),
    shipped!("vision/hang.yaml"),
    shipped!("vision/lost-response.yaml"),
    shipped!("vision/outage.yaml"),
    shipped!("vision/partial-batch.yaml"),
    shipped!("vision/permanent-error.yaml"),
    shipped!("vision/rate-limit.yaml"),
    shipped!("vision/slow-jobs.yaml"),
    shipped!("vision/sunset.yaml"),
    shipped!("vision/uploads.yaml"),
    shipped!("incidents/aggressive-sdk.yaml"),
    shipped!("incidents/asked-twice.yaml"),
    shipped!("incidents/backoff-and-jitter.yaml"),
    shipped!("incidents/backoff-ladder.yaml"),
    shipped!("incidents/bank-outage.yaml"),
    shipped!("incidents/blacklisted.yaml"),
    shipped!("incidents/blocked-thread.yaml"),
    shipped!("incidents/broken-image.yaml"),
    shipped!("incidents/bulk-requeue.yaml"),
    shipped!("incidents/colliding-keys.yaml"),
    shipped!("incidents/contract-of-limits.yaml"),
    shipped!("incidents/costs-spiked.yaml"),
    shipped!("incidents/delivered-twice.yaml"),
    shipped!("incidents/dropped-event.yaml"),
    shipped!("incidents/duplicate-records.yaml"),
    shipped!("incidents/dynamic-throttling.yaml"),
    shipped!("incidents/face-runaway.yaml"),
    shipped!("incidents/fallback-provider.yaml"),
    shipped!("incidents/fixed-delay.yaml"),
    shipped!("incidents/flaky-mobile-upload.yaml"),
    shipped!("incidents/flood-the-flaky.yaml"),
    shipped!("incidents/forgotten-keys.yaml"),
    shipped!("incidents/gateway-retries.yaml"),
    shipped!("incidents/generic-500.yaml"),
    shipped!("incidents/half-a-pipeline.yaml"),
    shipped!("incidents/half-done.yaml"),
    shipped!("incidents/hint-in-the-body.yaml"),
    shipped!("incidents/invoice-replay.yaml"),
    shipped!("incidents/job-submitted-again.yaml"),
    shipped!("incidents/just-after-expiry.yaml"),
    shipped!("incidents/key-too-broad.yaml"),
    shipped!("incidents/late-duplicate.yaml"),
    shipped!("incidents/launch-day.yaml"),
    shipped!("incidents/layered-retries.yaml"),
    shipped!("incidents/limit-dressed-as-500.yaml"),
    shipped!("incidents/lost-track-of-clips.yaml"),
    shipped!("incidents/low-confidence.yaml"),
    shipped!("incidents/meant-to-repeat.yaml"),
    shipped!("incidents/naive-call.yaml"),
    shipped!("incidents/new-limit-tonight.yaml"),
    shipped!("incidents/nightly-batch-in-production.yaml"),
    shipped!("incidents/no-bulkhead.yaml"),
    shipped!("incidents/no-fallback-answer.yaml"),
    shipped!("incidents/no-reset-hint.yaml"),
    shipped!("incidents/ok-but-error.yaml"),
    shipped!("incidents/one-bad-image.yaml"),
    shipped!("incidents/one-key-two-operations.yaml"),
    shipped!("incidents/optional-key.yaml"),
    shipped!("incidents/outage-then-ban.yaml"),
    shipped!("incidents/parallel-batch.yaml"),
    shipped!("incidents/parallel-retries.yaml"),
    shipped!("incidents/partitioned-detector.yaml"),
    shipped!("incidents/permanent-retry.yaml"),
    shipped!("incidents/poison-message.yaml"),
    shipped!("incidents/prompt-in-the-log.yaml"),
    shipped!("incidents/queue-in-memory.yaml"),
    shipped!("incidents/queue-redelivery.yaml"),
    shipped!("incidents/read-your-write.yaml"),
    shipped!("incidents/reconciliation.yaml"),
    shipped!("incidents/retries-in-the-dark.yaml"),
    shipped!("incidents/schema-drift.yaml"),
    shipped!("incidents/seasonal-rush.yaml"),
    shipped!("incidents/silent-chatbot.yaml"),
    shipped!("incidents/slow-not-failed.yaml"),
    shipped!("incidents/slow-summaries.yaml"),
    shipped!("incidents/storage-yes-topic-no.yaml"),
    shipped!("incidents/stuck-upload.yaml"),
    shipped!("incidents/swallow-everything.yaml"),
    shipped!("incidents/ten-clicks.yaml"),
    shipped!("incidents/ten-percent-throttled.yaml"),
    shipped!("incidents/ten-times-overnight.yaml"),
    shipped!("incidents/throttled-with-400.yaml"),
    shipped!("incidents/thundering-herd.yaml"),
    shipped!("incidents/truncated-stream.yaml"),
    shipped!("incidents/unreadable-barcode.yaml"),
    shipped!("incidents/vague-processor.yaml"),
    shipped!("incidents/webhook-thrice.yaml"),
    shipped!("incidents/webhook-twice.yaml"),
    shipped!("incidents/webhooks-out-of-order.yaml"),
    shipped!("incidents/window-edge.yaml"),
    shipped!("incidents/zombie-calls.yaml"),
];

impl Shipped {
    /// The scenario's name, as its file says it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.value_of("name")
    }

    /// Its summary.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.value_of("summary")
    }

    /// The rest of the line that begins with `key:`; shipped files write name and summary on one line.
    fn value_of(&self, key: &str) -> &'static str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
            .map_or("", str::trim)
    }
}

/// The scenario of that name, or at that path.
#[must_use]
pub fn find(name: &str) -> Option<&'static Shipped> {
    let path = name.strip_prefix("scenarios/").unwrap_or(name);
    SCENARIOS.iter().find(|shipped| shipped.name() == name || shipped.path == path)
}

/// The scenario of that name or at that path, or all in that folder, sorted by path.
pub fn matching(name: &str) -> impl Iterator<Item = &'static Shipped> {
    let path = name.strip_prefix("scenarios/").unwrap_or(name).trim_end_matches('/').to_owned();
    let name = name.to_owned();
    let mut found: Vec<&Shipped> = SCENARIOS
        .iter()
        .filter(|one| {
            let folder = one.path.split_once('/').map(|(folder, _)| folder);
            one.name() == name || one.path == path || folder == Some(&*path)
        })
        .collect();
    found.sort_unstable_by_key(|one| one.path);
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_shipped_under_a_name_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut there = BTreeSet::new();
        for folder in fs::read_dir(&root).expect("the folder is there").flatten() {
            if !folder.path().is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).expect("readable").flatten() {
                let path = file.path();
                if path.extension().is_none_or(|ending| ending != "yaml") {
                    continue;
                }
                let below = path.strip_prefix(&root).expect("below the root");
                there.insert(below.to_str().expect("UTF-8").to_owned());
            }
        }
        let shipped: BTreeSet<String> =
            SCENARIOS.iter().map(|shipped| shipped.path.to_owned()).collect();
        assert_eq!(shipped, there);
        let names: BTreeSet<&str> = SCENARIOS.iter().map(Shipped::name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        assert!(SCENARIOS.iter().all(|it| !it.name().is_empty() && !it.summary().is_empty()));
    }
}
