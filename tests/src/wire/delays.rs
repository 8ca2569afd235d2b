//! Faults that take time: `latency` and `drip`, and clients that do not wait for them.

use brownout_provider::event::Side;

use super::stage::{MS, Saw, Stage, charge};

#[tokio::test(start_paused = true)]
async fn a_delay_stands_before_the_work_or_after_it() {
    for (at, effect_at_ms) in [("before_commit", 50), ("after_commit", 0)] {
        let stage = Stage::new(&format!("latency: {{fixed: 50ms, at: {at}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201");
        assert_eq!(stage.clock.now_us(), 50 * MS, "{at}");
        assert_eq!(stage.effects().await[0].0, effect_at_ms * MS, "{at}");
        let sent = stage.responses().await;
        assert_eq!((sent[0].head_at_us, sent[0].end_at_us), (50 * MS, 50 * MS), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_after_the_head_lets_the_head_through() {
    let stage = Stage::new("latency: {fixed: 50ms, at: head}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    assert!(raw.head().await.starts_with("HTTP/1.1 201 "));
    assert_eq!(stage.clock.now_us(), 0);
    raw.bytes(1).await;
    assert_eq!(stage.clock.now_us(), 50 * MS);
    let sent = stage.responses().await;
    assert_eq!((sent[0].head_at_us, sent[0].end_at_us), (0, 50 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_delay_between_chunks_cuts_the_body_in_four() {
    let stage = Stage::new("latency: {fixed: 10ms, at: chunk}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let answer = raw.answer().await;
    assert_eq!(answer.json()["amount"], 1999);
    assert_eq!(stage.clock.now_us(), 30 * MS);
    assert_eq!(stage.responses().await[0].end_at_us, 30 * MS);
}

#[tokio::test(start_paused = true)]
async fn drawn_delays_are_the_same_for_the_same_coordinates() {
    for shape in ["uniform: {min: 20ms, max: 60ms}", "lognormal: {p50: 30ms, p99: 400ms}"] {
        let mut times = Vec::new();
        for _ in 0..2 {
            let stage = Stage::new(&format!("latency: {{{shape}}}")).await;
            let mut raw = stage.connect().await;
            raw.charge().await;
            raw.answer().await;
            times.push(stage.responses().await[0].head_at_us);
            raw.send(charge("op-0002", "")).await;
            raw.answer().await;
            let second = stage.responses().await[1].head_at_us - times[0];
            assert_ne!(second, times[0], "another operation draws for itself");
        }
        assert_eq!(times[0], times[1], "{shape}");
        if shape.starts_with("uniform") {
            assert!((20 * MS..=60 * MS).contains(&times[0]), "{times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_spike_comes_by_chance_and_a_ramp_by_time() {
    let spike = "latency: {spike: {base: 10ms, spike: 2s, chance: 100%}}";
    for (inject, expected) in [
        (spike, 2_000),
        ("latency: {spike: {base: 10ms, spike: 2s, chance: 0%}}", 10),
        ("latency: {ramp: {from: 40ms, to: 1s, over: 1m}}", 40),
    ] {
        let stage = Stage::new(inject).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        raw.answer().await;
        assert_eq!(stage.clock.now_us(), expected * MS, "{inject}");
    }
    let faults = "faults:\n  - name: slower\n    when: {route: create_charge}\n    inject: {latency: \
                  {ramp: {from: 0s, to: 10s, over: 20s}}}\n";
    let stage = Stage::with("payments", "create_charge", faults).await;
    let mut raw = stage.connect().await;
    // The first request begins the ramp; each later one waits half of the time that has passed since.
    for (at_ms, wait_ms) in [(0, 0), (4_000, 2_000), (10_000, 5_000), (60_000, 10_000)] {
        stage.clock.sleep_until_us(at_ms * MS).await;
        raw.charge().await;
        raw.answer().await;
        assert_eq!(stage.clock.now_us(), (at_ms + wait_ms) * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_takes_its_time_for_every_byte() {
    let stage = Stage::new("throttle_bandwidth: {per_second: 100B}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let answer = raw.answer().await;
    // Five bytes every 50 ms, the first at once.
    let pieces = u64::try_from(answer.body.len().div_ceil(5)).unwrap();
    assert_eq!(stage.clock.now_us(), (pieces - 1) * 50 * MS);
    assert!(stage.responses().await[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_drip_comes_piece_by_piece_and_is_whole_in_the_end() {
    let stage = Stage::new("drip: {bytes: 40, every: 200ms}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let head = raw.head().await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let (mut left, mut pieces) = (length.parse::<usize>().unwrap(), 0);
    while left > 0 {
        raw.bytes(left.min(40)).await;
        assert_eq!(stage.clock.now_us(), pieces * 200 * MS);
        left -= left.min(40);
        pieces += 1;
    }
    assert!(pieces > 2, "{length} bytes");
    let sent = stage.responses().await;
    assert!(sent[0].complete && sent[0].unusable.is_none(), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_during_a_drip_is_heard_before_the_next_piece() {
    let stage = Stage::new("drip: {bytes: 1, every: 1s}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.head().await;
    raw.bytes(2).await;
    stage.clock.sleep_until_us(1_200 * MS).await;
    drop(raw);
    assert_eq!(stage.went_down().await, (1_200 * MS, Side::Client, "fin".to_owned()));
    let sent = stage.responses().await;
    assert_eq!((sent[0].body_bytes, sent[0].complete), (2, false));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_on_a_slow_provider_is_charged_all_the_same() {
    for reset in ["fin", "rst"] {
        let stage = Stage::new("latency: {fixed: 5s}").await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert!(raw.hears_nothing(&stage.clock, std::time::Duration::from_secs(1)).await);
        if reset == "rst" {
            raw.reset();
        } else {
            drop(raw);
        }
        assert_eq!(stage.went_down().await, (1_000 * MS, Side::Client, reset.to_owned()));
        let effects = stage.effects().await;
        assert_eq!(effects.len(), 1);
        assert_eq!(effects[0].0, 5_000 * MS, "the work is done in its time");
        assert_eq!(stage.responses().await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_is_a_client_that_hung_up() {
    use tokio::io::AsyncWriteExt;
    let stage = Stage::new("latency: {fixed: 5s}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, (String::new(), Saw::Fin));
    assert_eq!(stage.went_down().await, (0, Side::Client, "fin".to_owned()));
    assert_eq!(stage.effects().await.len(), 1);
}
