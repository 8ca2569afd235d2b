//! What a provider does to idempotency keys, seen by a client that knows bytes only.

use brownout_provider::event::EventKind;
use serde_json::Value;

use super::stage::{Answer, Raw, Stage, charge};

/// A charge of so much by the holder of an API key, with an idempotency key.
fn keyed(api_key: &str, key: &str, amount: u32) -> String {
    let body = format!(r#"{{"amount":{amount},"currency":"usd","order":"order-1"}}"#);
    format!(
        "POST /~op-0001.1/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api_key}\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The status, and the charge or the error that the body tells of.
fn told(answer: &Answer) -> (String, Value) {
    let body = answer.json();
    let what = if body["id"].is_string() { &body["id"] } else { &body["error"]["code"] };
    (answer.status().to_owned(), what.clone())
}

async fn ask(raw: &mut Raw, request: String) -> Answer {
    raw.send(request).await;
    raw.answer().await
}

/// Asks these in turn, each at its second, over one connection.
async fn ask_all(stage: &Stage, requests: &[(u64, String)]) -> Vec<(String, Value)> {
    let mut raw = stage.connect().await;
    let mut seen = Vec::new();
    for (at_s, request) in requests {
        stage.clock.sleep_until_us(at_s * 1_000_000).await;
        seen.push(told(&ask(&mut raw, request.clone()).await));
    }
    seen
}

fn statuses(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().map(|(status, _)| status.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_at_its_age_or_in_a_failover() {
    for (fault, times, effects) in [
        ("forget_key: {}", [0, 1], 2),
        ("forget_key: {after: 10s}", [0, 9], 1),
        ("forget_key: {after: 10s}", [0, 10], 2),
        ("forget_key: {seen_before: 5s}", [0, 4], 1),
        ("forget_key: {seen_before: 5s}", [0, 6], 2),
    ] {
        let stage = Stage::always(fault).await;
        let seen = ask_all(&stage, &times.map(|at_s| (at_s, keyed("sk", "k-1", 5)))).await;
        assert_eq!(statuses(&seen), ["201", "201"], "{fault}");
        assert_eq!(seen[0].1 == seen[1].1, effects == 1, "{fault}: {seen:?}");
        assert_eq!(stage.effects().await.len(), effects, "{fault} {times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_attempts_in_flight_both_charge_where_keys_are_stored_late() {
    let rules = "  - {name: slow, when: {attempt: {to: 2}}, inject: {latency: {fixed: 1s}}}\n";
    for (late, first_two, effects) in
        [("  - {name: late, inject: late_key}\n", ["201", "201"], 2), ("", ["201", "409"], 1)]
    {
        let stage = Stage::under(&format!("{rules}{late}")).await;
        let (mut one, mut other) = (stage.connect().await, stage.connect().await);
        one.send(keyed("sk", "k-1", 5)).await;
        stage.clock.sleep_until_us(100_000).await;
        other.send(keyed("sk", "k-1", 5)).await;
        let answers = [told(&one.answer().await), told(&other.answer().await)];
        assert_eq!(statuses(&answers), first_two);
        assert_eq!(stage.effects().await.len(), effects);
        let third = told(&ask(&mut one, keyed("sk", "k-1", 5)).await);
        assert_eq!(third, answers[0], "the first answer that was sent is kept");
        assert_eq!(stage.effects().await.len(), effects);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_never_sent_leaves_no_late_key() {
    let lost = "  - {name: lost, when: {attempt: 1}, inject: {close: {at: after_commit}}}\n";
    for (late, effects) in [("  - {name: late, inject: late_key}\n", 2), ("", 1)] {
        let stage = Stage::under(&format!("{lost}{late}")).await;
        let mut raw = stage.connect().await;
        raw.send(keyed("sk", "k-1", 5)).await;
        assert_eq!(raw.rest().await.0, "");
        let repeat = ask(&mut stage.connect().await, keyed("sk", "k-1", 5)).await;
        assert_eq!(repeat.status(), "201");
        assert_eq!(stage.effects().await.len(), effects);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_error_comes_back_for_ever() {
    for (at, effects) in [("before_commit", 0), ("after_commit", 1)] {
        let fault = format!("replay_error: {{code: 503, at: {at}}}");
        let stage = Stage::new(&fault).await;
        let mut raw = stage.connect().await;
        for attempt in 1..=4 {
            let answer = ask(&mut raw, keyed("sk", "k-1", 5)).await;
            assert_eq!(answer.status(), "503", "{at}");
            let marked = answer.header("idempotent-replayed").is_some();
            assert_eq!(marked, attempt > 1, "{answer:?}");
        }
        assert_eq!(stage.effects().await.len(), effects, "{at}");
        assert_eq!(ask(&mut raw, keyed("sk", "k-2", 5)).await.status(), "201");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_counts_for_everybody_gives_away_what_is_another_accounts() {
    for (fault, effects) in [("replay_other: {}", 1), ("latency: {fixed: 1ms}", 2)] {
        let stage = Stage::always(fault).await;
        let requests = [(0, keyed("sk-a", "order-1", 5)), (1, keyed("sk-b", "order-1", 7))];
        let seen = ask_all(&stage, &requests).await;
        assert_eq!(statuses(&seen), ["201", "201"]);
        assert_eq!(seen[0].1 == seen[1].1, effects == 1, "{seen:?}");
        assert_eq!(stage.effects().await.len(), effects);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_says_something_else() {
    for (fault, id, amount) in
        [("replay_altered: {}", false, true), ("replay_altered: {field: /amount}", true, false)]
    {
        let stage = Stage::always(fault).await;
        let mut raw = stage.connect().await;
        let first = ask(&mut raw, keyed("sk", "k-1", 5)).await.json();
        let replay = ask(&mut raw, keyed("sk", "k-1", 5)).await.json();
        assert_eq!(
            (first["id"] == replay["id"], first["amount"] == replay["amount"]),
            (id, amount)
        );
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_body_is_answered_or_refused_in_another_way() {
    for (fault, status) in [
        ("mismatch_accepted: {}", "201"),
        ("mismatch_rejected: {code: 400}", "400"),
        ("mismatch_rejected: {code: 409}", "409"),
        ("mismatch_rejected: {code: 422}", "422"),
        ("replay_status: {code: 208}", "422"),
    ] {
        let stage = Stage::always(fault).await;
        let requests = [(0, keyed("sk", "k-1", 5)), (1, keyed("sk", "k-1", 7))];
        let seen = ask_all(&stage, &requests).await;
        assert_eq!(statuses(&seen), ["201", status], "{fault}");
        assert_eq!(seen[0].1 == seen[1].1, status == "201", "{fault}: {seen:?}");
        assert_eq!(stage.effects().await.len(), 1, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_a_status_of_its_own_and_the_body_of_the_first() {
    for status in ["200", "208", "409"] {
        let stage = Stage::always(&format!("replay_status: {{code: {status}}}")).await;
        let requests = [0, 1].map(|at_s| (at_s, keyed("sk", "k-1", 5)));
        let seen = ask_all(&stage, &requests).await;
        assert_eq!(statuses(&seen), ["201", status]);
        assert_eq!(seen[0].1, seen[1].1);
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_begin_alike_are_one() {
    let stage = Stage::always("truncated_key: {characters: 6}").await;
    let requests = [
        (0, keyed("sk", "order-1", 5)),
        (1, keyed("sk", "order-2", 7)),
        (2, keyed("sk", "order-2", 5)),
        (3, keyed("sk", "other-1", 5)),
    ];
    let seen = ask_all(&stage, &requests).await;
    assert_eq!(statuses(&seen), ["201", "422", "201", "201"]);
    assert_eq!(seen[0].1, seen[2].1);
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_demanded_from_some_time_on() {
    let stage = Stage::always("key_required_late: {after: 10s}").await;
    let requests =
        [(0, charge("op-0001", "")), (11, charge("op-0001", "")), (12, keyed("sk", "k-1", 5))];
    let seen = ask_all(&stage, &requests).await;
    assert_eq!(statuses(&seen), ["201", "400", "201"]);
    assert_eq!(seen[1].1, "idempotency_key_required");
    assert_eq!(stage.effects().await.len(), 2);
}

/// A hundred connections send the same request at once; how many of them get which status.
async fn race(rules: &str) -> (usize, usize, usize) {
    let stage = Stage::under(rules).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut raw = stage.connect().await;
        clients.spawn(async move { ask(&mut raw, keyed("sk", "k-1", 5)).await });
    }
    let answers = clients.join_all().await;
    let count = |status: &str| answers.iter().filter(|one| one.status() == status).count();
    let counts = (count("201"), count("409"));
    assert_eq!(counts.0 + counts.1, 100);
    (counts.0, counts.1, stage.effects().await.len())
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_at_once_one_charges_where_keys_are_honored() {
    let slow = "  - {name: slow, inject: {latency: {fixed: 300ms}}}\n";
    let fast = "  - {name: never, when: {chance: 0%}, inject: hang}\n";
    for (rules, charged_conflicts_effects) in [
        (slow.to_owned(), (1, 99, 1)),
        // Work that takes no time is never in flight.
        (fast.to_owned(), (100, 0, 1)),
        (format!("{slow}  - {{name: ignored, inject: ignore_key}}\n"), (100, 0, 100)),
        (format!("{slow}  - {{name: late, inject: late_key}}\n"), (100, 0, 100)),
    ] {
        assert_eq!(race(&rules).await, charged_conflicts_effects, "{rules}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_about_an_answer_does_not_strike() {
    for (fault, cents, strikes) in [
        ("replay_status: {code: 208}", 5, 1),
        ("replay_altered: {field: /amount}", 5, 1),
        ("replay_altered: {field: /no_such_field}", 5, 0),
        ("mismatch_rejected: {code: 409}", 7, 1),
        // What this API says by itself.
        ("mismatch_rejected: {code: 422}", 7, 0),
    ] {
        let stage = Stage::always(fault).await;
        ask_all(&stage, &[(0, keyed("sk", "k-1", 5)), (1, keyed("sk", "k-1", cents))]).await;
        let struck = stage.events().await.into_iter();
        let struck = struck.filter(|event| matches!(event.kind, EventKind::FaultInjected(_)));
        assert_eq!(struck.count(), strikes, "{fault}");
    }
}
