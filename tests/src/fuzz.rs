//! Files that nobody would write: shipped scenarios and API files with lines lost, doubled, moved and spoiled.
//! Each is read, or refused with a reason; and what was read can be used without a panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout::scenario::shipped::SCENARIOS;
use brownout::scenario::{Apis, Overrides, read};
use brownout_provider::api::{Api, names, shipped};
use brownout_provider::exchange::Next;
use brownout_provider::provider::{Provider, Setup};
use brownout_provider::request::Request;
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// So many cases in everyday runs, and a hundred times as many where `tests/run --full` asks for it.
#[expect(clippy::disallowed_methods, reason = "the script that runs all tests says so this way")]
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let times = if std::env::var("BROWNOUT_TEST_FULL").is_ok() { 100 } else { 1 };
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases * times) }
}

/// What takes the place of a value.
const VALUES: [&str; 20] = [
    "",
    "null",
    "-1",
    "0",
    "99999999999999999999",
    "1e999",
    "true",
    "[]",
    "{}",
    "[[[[[[[[[[]]]]]]]]]]",
    "&a [*a]",
    "'{{ n }}'",
    "'{{ request.a.b.c | upper }}'",
    "'{{ range(999999999) }}'",
    "'{% for i in request %}{{ i }}{% endfor %}'",
    "'{{ (((((((((('",
    "\"\\u0000\\uD800\"",
    "1h",
    "/v1/{id}/{id}",
    "!!binary x",
];

/// A change of a text, made at some line.
#[derive(Clone, Debug)]
enum Change {
    Drop(Index),
    Double(Index),
    Swap(Index, Index),
    Indent(Index, bool),
    Value(Index, &'static str),
    Byte(Index, char),
}

fn change() -> impl Strategy<Value = Change> {
    let line = any::<Index>;
    prop_oneof![
        1 => line().prop_map(Change::Drop),
        1 => line().prop_map(Change::Double),
        1 => (line(), line()).prop_map(|(one, other)| Change::Swap(one, other)),
        1 => (line(), any::<bool>()).prop_map(|(line, deeper)| Change::Indent(line, deeper)),
        3 => (line(), select(&VALUES[..])).prop_map(|(line, value)| Change::Value(line, value)),
        1 => (line(), any::<char>()).prop_map(|(place, sign)| Change::Byte(place, sign)),
    ]
}

impl Change {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return String::new();
        }
        let count = lines.len();
        match self {
            Self::Drop(line) => drop(lines.remove(line.index(count))),
            Self::Double(line) => {
                let line = line.index(count);
                lines.insert(line, lines[line].clone());
            }
            Self::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Self::Indent(line, deeper) => {
                let line = &mut lines[line.index(count)];
                *line = if *deeper {
                    format!("  {line}")
                } else {
                    line.strip_prefix("  ").unwrap_or(line).to_owned()
                };
            }
            Self::Value(line, value) => {
                let line = &mut lines[line.index(count)];
                let key = line.split_once(": ").map_or(&**line, |(key, _)| key);
                *line = format!("{}: {value}", key.trim_end_matches(':'));
            }
            Self::Byte(place, sign) => {
                let mut signs: Vec<char> = text.chars().collect();
                let place = place.index(signs.len());
                signs[place] = *sign;
                return signs.into_iter().collect();
            }
        }
        lines.join("\n")
    }
}

fn changed(texts: Vec<&'static str>) -> impl Strategy<Value = String> {
    (select(texts), prop::collection::vec(change(), 1..4)).prop_map(|(text, changes)| {
        changes.iter().fold(text.to_owned(), |text, change| change.apply(&text))
    })
}

fn provider(api: Arc<Api>) -> Provider {
    Provider::new(Setup {
        name: "provider".into(),
        api,
        rules: Vec::new(),
        seed: Seed::default(),
        wall: Clock::real().wall(),
        operation_id: None,
        limits: true,
        http2: false,
        webhooks: true,
    })
}

/// Bodies of some kinds, among them one that has what most APIs ask for.
const BODIES: [&str; 4] = [
    "",
    "null",
    r#"{"amount":1999,"currency":"usd","order":"o","model":"m","messages":[],"input":"x"}"#,
    "amount=1999&currency=usd",
];

/// Asks every route of an API for something, twice, and looks only at how large the answers are.
fn ask_all(api: &Arc<Api>) -> Result<(), TestCaseError> {
    let mut provider = provider(Arc::clone(api));
    for route in &api.routes {
        for (number, body) in BODIES.into_iter().enumerate() {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_static("Bearer sk_test_1"));
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            headers.insert("idempotency-key", HeaderValue::from_static("k"));
            let request = Request {
                method: route.method.clone(),
                target: route.pattern.as_str().replace(['{', '}'], ""),
                headers,
                body: Bytes::from_static(body.as_bytes()),
                connection: 1,
                reused: false,
                http2: false,
                peer: None,
                head_at_us: 0,
            };
            let at_us = u64::try_from(number).unwrap_or(0);
            let mut exchange = provider.handle(request, at_us);
            for _ in 0..100 {
                let Next::Wait { until_us } = exchange.next else { break };
                exchange.next = provider.advance(exchange.id, until_us);
            }
            if let Next::Answer(answer) = exchange.next {
                prop_assert!(answer.body.len() < 10_000_000, "{} bytes", answer.body.len());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_spoiled_scenario_is_read_or_refused_with_a_reason(
        text in changed(SCENARIOS.iter().map(|shipped| shipped.text).collect()),
    ) {
        let checked =
            read("spoiled.yaml", text.as_bytes(), Apis::Sent(&BTreeMap::new()), &Overrides::default());
        prop_assert!(checked.scenario.is_some() || !checked.diagnostics.is_empty());
        for problem in &checked.diagnostics {
            prop_assert!(!problem.message.is_empty());
        }
    }

    #[test]
    fn a_spoiled_api_file_is_refused_with_a_reason_or_answers(
        text in changed(names().into_iter().filter_map(shipped).collect()),
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("spoiled.yaml"), &text).expect("it can be written");
        let problems = brownout_provider::document::Diagnostics::new();
        let loaded =
            brownout_provider::api::load("./spoiled.yaml", folder.path(), &problems.root());
        let said = problems.into_vec();
        match loaded {
            Some((api, _)) => ask_all(&api)?,
            None => prop_assert!(said.iter().all(|problem| !problem.message.is_empty()) && !said.is_empty()),
        }
    }
}
