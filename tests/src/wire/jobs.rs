//! Jobs: work that is accepted with 202 and polled, and what goes wrong with it behind the answer.

use brownout_provider::event::{EventKind, JobState, JobStep};
use serde_json::{Value, json};

use super::stage::{Answer, MS, Raw, Stage};

async fn stage(inject: Option<&str>) -> Stage {
    let faults = inject.map_or(String::new(), |inject| {
        format!(
            "faults:\n  - {{name: struck, when: {{route: create_job}}, inject: {{{inject}}}}}\n"
        )
    });
    Stage::with("vision", "create_job", &faults).await
}

impl Raw {
    async fn begin(&mut self, key: &str) -> Answer {
        let body = r#"{"image":"a.png","task":"caption","reference":"ref-1"}"#;
        self.send(format!(
            "POST /~op-0001.1/v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
             Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        self.answer().await
    }

    async fn look(&mut self, id: &str) -> Answer {
        self.send(format!(
            "GET /~op-0001.1/v1/jobs/{id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n"
        ))
        .await;
        self.answer().await
    }
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("a job has an id").to_owned()
}

/// What a job shows at each of these times (in milliseconds after it was begun), its end by the trace, and
/// when its work was done.
async fn seen(inject: Option<&str>, at_ms: &[u64]) -> (Vec<Value>, Vec<u64>) {
    let stage = stage(inject).await;
    let mut raw = stage.connect().await;
    let begun = raw.begin("k-1").await;
    assert_eq!((begun.status(), begun.header("retry-after")), ("202", Some("1")));
    let id = id_of(&begun);
    assert_eq!(begun.header("location"), Some(&*format!("/v1/jobs/{id}")));
    assert_eq!(begun.json()["status"], "pending");
    let mut shown = Vec::new();
    for at_ms in at_ms {
        stage.clock.sleep_until_us(at_ms * MS).await;
        let answer = raw.look(&id).await;
        shown.push(match answer.status() {
            "200" => answer.json()["status"].clone(),
            other => other.into(),
        });
        let waits = ["pending", "running"].iter().any(|word| shown.last() == Some(&json!(word)));
        assert_eq!(answer.header("retry-after").is_some(), waits, "{answer:?}");
    }
    let done = stage.effects().await.into_iter().map(|(at_us, effect)| {
        assert_eq!((&*effect.kind, effect.amount), ("analysis", Some(12)));
        at_us
    });
    (shown, done.collect())
}

#[tokio::test(start_paused = true)]
async fn a_job_is_done_in_its_time_whether_or_not_anybody_looks() {
    let (shown, done) = seen(None, &[0, 400, 600, 900, 1_100]).await;
    assert_eq!(shown, ["pending", "pending", "running", "running", "succeeded"]);
    assert_eq!(done, [1_000 * MS]);
    let (_, done) = seen(None, &[]).await;
    assert_eq!(done, [1_000 * MS], "the run waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_with_the_same_key_begins_no_other_job() {
    let stage = stage(None).await;
    let mut raw = stage.connect().await;
    let (first, again) = (raw.begin("k-1").await, raw.begin("k-1").await);
    assert_eq!((id_of(&first), again.status()), (id_of(&again), "202"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_ne!(id_of(&raw.begin("k-2").await), id_of(&first));
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn jobs_go_wrong_behind_their_answer() {
    let at_ms = [300, 600, 800, 1_100, 1_600, 2_100];
    for (inject, expected, done) in [
        ("job: stays_pending", ["pending"; 6], vec![]),
        ("job: {kind: stays_pending, at: after_commit}", ["pending"; 6], vec![1_000 * MS]),
        (
            "job: jumps_back",
            ["pending", "running", "pending", "pending", "succeeded", "succeeded"],
            vec![1_500 * MS],
        ),
        (
            "job: fails_half_way",
            ["running", "failed", "failed", "failed", "failed", "failed"],
            vec![],
        ),
        (
            "job: {kind: fails_half_way, at: after_commit}",
            ["running", "failed", "failed", "failed", "failed", "failed"],
            vec![1_000 * MS],
        ),
        ("job: disappears", ["pending", "running", "running", "404", "404", "404"], vec![]),
        (
            "job: {kind: disappears, at: after_commit}",
            ["pending", "running", "running", "404", "404", "404"],
            vec![1_000 * MS],
        ),
        (
            "job: succeeds_after_failure",
            ["pending", "running", "running", "failed", "failed", "succeeded"],
            vec![2_000 * MS],
        ),
    ] {
        assert_eq!(
            seen(Some(inject), &at_ms).await,
            (expected.map(Value::from).to_vec(), done),
            "{inject}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_looks_is_told_when_to_come_back() {
    let stage = stage(Some("job: {kind: asks_to_wait, retry_after: 7s}")).await;
    let mut raw = stage.connect().await;
    let id = id_of(&raw.begin("k-1").await);
    assert_eq!(raw.look(&id).await.header("retry-after"), Some("7"));
    stage.clock.sleep_until_us(1_000 * MS).await;
    let done = raw.look(&id).await;
    assert_eq!(
        (done.json()["status"].as_str(), done.header("retry-after")),
        (Some("succeeded"), None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_canceled_does_nothing_any_more() {
    let stage = stage(None).await;
    let mut raw = stage.connect().await;
    let id = id_of(&raw.begin("k-1").await);
    for status in ["200", "409"] {
        raw.send(format!(
            "POST /~op-0001.1/v1/jobs/{id}/cancel HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
             Content-Length: 0\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.answer().await.status(), status);
    }
    stage.clock.sleep_until_us(3_000 * MS).await;
    assert_eq!(raw.look(&id).await.json()["status"], "canceled");
    assert!(stage.effects().await.is_empty());
    let told: Vec<(JobStep, JobState)> = stage
        .events()
        .await
        .into_iter()
        .filter_map(|event| {
            let EventKind::Job(job) = event.kind else { return None };
            Some((job.step, job.state))
        })
        .collect();
    let expected = [
        (JobStep::Accepted, JobState::Pending),
        (JobStep::Changed, JobState::Canceled),
        (JobStep::Polled, JobState::Canceled),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn what_begins_late_or_again_is_a_job_too() {
    for (inject, done) in [
        ("latency: {fixed: 5s}", vec![6_000 * MS]),
        ("duplicate_request: {apart: 3s}", vec![1_000 * MS]),
    ] {
        let stage = stage(Some(inject)).await;
        let mut raw = stage.connect().await;
        assert_eq!(raw.begin("k-1").await.status(), "202");
        let found: Vec<u64> = stage.effects().await.into_iter().map(|(at_us, _)| at_us).collect();
        assert_eq!(found, done, "{inject}");
    }
    let rules = "faults:\n  - {name: a, when: {route: create_job}, inject: [ignore_key, {duplicate_request: {apart: 3s}}]}\n";
    let stage = Stage::with("vision", "create_job", rules).await;
    let mut raw = stage.connect().await;
    assert_eq!(raw.begin("k-1").await.status(), "202");
    let found: Vec<u64> = stage.effects().await.into_iter().map(|(at_us, _)| at_us).collect();
    assert_eq!(found, [1_000 * MS, 4_000 * MS]);
}
