//! The cases by which implementations of Smithy's standard retry strategy are tested: which waits, how many
//! requests, and what is left of the quota.
//!
//! Source of the numbers: the retry tests of smithy-kotlin and botocore, for the rules before 2026 and since.

use std::time::Duration;

use brownout::Harness;
use brownout::verdict::Verdict;
use brownout_provider::shell::transport::Transport;
use serde_json::{Value, json};

use super::client::{Client, Hints, Quota, Rules};

/// The rules before 2026.
pub(super) const CLASSIC: Rules = Rules {
    attempts: 3,
    base: Duration::from_secs(1),
    throttled_base: Duration::from_secs(1),
    cap: Duration::from_secs(20),
    hints: Hints::Ignored,
    quota: Quota {
        tokens: 500,
        most: 500,
        cost: 5,
        throttled_cost: 5,
        reward: 1,
        per_attempt: 0,
        refunds: true,
    },
    careless: false,
};

/// The rules since 2026.
pub(super) const NEW: Rules = Rules {
    base: Duration::from_millis(50),
    hints: Hints::Amazon,
    quota: Quota { cost: 14, ..CLASSIC.quota },
    ..CLASSIC
};

/// A case: what stands in the way of each attempt, the waits, and the tokens at the end.
struct Case {
    what: &'static str,
    rules: Rules,
    faults: Vec<Value>,
    /// In milliseconds; one for each retry.
    waits: &'static [u64],
    tokens: u32,
}

fn status(code: u16) -> Value {
    json!({"status": {"code": code}})
}

fn hinted(text: &str) -> Value {
    json!({"status": {"code": 500, "headers": {"x-amz-retry-after": text}}})
}

fn with(rules: &Rules, tokens: u32) -> Rules {
    Rules { quota: Quota { tokens, ..rules.quota }, ..rules.clone() }
}

fn cases() -> Vec<Case> {
    let four = || vec![status(500); 4];
    let case = |what, rules, faults, waits, tokens| Case { what, rules, faults, waits, tokens };
    let five = Rules { attempts: 5, ..CLASSIC };
    let low = Rules { cap: Duration::from_secs(3), ..five.clone() };
    let throttled = || json!("rate_limited");
    vec![
        case("classic: two failures", CLASSIC, vec![status(500); 2], &[1_000, 2_000], 495),
        case("classic: three attempts", CLASSIC, vec![status(502); 3], &[1_000, 2_000], 490),
        case(
            "classic: the quota ends",
            with(&CLASSIC, 5),
            vec![status(500), status(502)],
            &[1_000],
            0,
        ),
        case("classic: no quota", with(&CLASSIC, 0), vec![status(500)], &[], 0),
        case("classic: waits double", five, four(), &[1_000, 2_000, 4_000, 8_000], 485),
        case("classic: waits are capped", low, four(), &[1_000, 2_000, 3_000, 3_000], 485),
        case("new: two failures", NEW, vec![status(500); 2], &[50, 100], 486),
        case("new: throttled", NEW, vec![throttled()], &[1_000], 500),
        case("new: the quota ends", with(&NEW, 20), vec![status(500); 2], &[50], 6),
        case("new: a hint", NEW, vec![hinted("1500")], &[1_500], 500),
        case("new: a hint of nothing", NEW, vec![hinted("0")], &[50], 500),
        case("new: a long hint", NEW, vec![hinted("10000")], &[5_050], 500),
        case("new: a hint without sense", NEW, vec![hinted("invalid")], &[50], 500),
    ]
}

#[test]
fn a_client_that_follows_the_rules_waits_and_spends_as_the_cases_say() {
    for Case { what, rules, faults, waits, tokens } in cases() {
        let script: Vec<Value> = (1..)
            .zip(faults)
            .map(|(attempt, inject)| json!({"operation": 1, "route": "put_item", "attempt": attempt, "inject": inject}))
            .collect();
        let listed: Vec<String> = waits.iter().map(ToString::to_string).collect();
        let check = format!(
            "requests | map(attribute='wait_ms') | list == [{}]",
            [vec!["none".to_owned()], listed].concat().join(", ")
        );
        let scenario = json!({
            "version": 1, "name": "smithy", "provider": {"api": "dynamodb"}, "script": script,
            "workload": {"call": "put_item", "operations": 1, "deadline": "2m"},
            "expect": ["failures_surface", {"check": check}],
        });
        let client = Client::new(rules);
        let own = client.clone();
        let judged = Harness::from_yaml(&scenario.to_string())
            .unwrap_or_else(|wrong| panic!("{what}: {wrong}"))
            .virtual_time()
            .transport(Transport::Memory)
            .without_control()
            .run(move |operation, connection| own.clone().call(operation, connection))
            .expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{what}: {}", judged.report());
        assert_eq!(client.tokens(), tokens, "{what}");
    }
}
