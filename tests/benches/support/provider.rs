//! A provider to measure: the shipped payments API under these rules.

use std::path::Path;
use std::sync::Arc;

use brownout::scenario::rules_from_value;
use brownout_provider::api::{Api, load};
use brownout_provider::document::Diagnostics;
use brownout_provider::provider::{Provider, Setup};
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;

/// The shipped payments API.
pub(crate) fn api() -> Arc<Api> {
    let problems = Diagnostics::new();
    let (api, _) =
        load("payments", Path::new("."), &problems.root()).expect("a shipped API is right");
    api
}

/// The rules of a document, on the payments API.
pub(crate) fn rules(text: &str) -> Vec<Rule> {
    let (problems, api) = (Diagnostics::new(), api());
    let document = serde_yaml::from_str(text).expect("YAML");
    rules_from_value(&document, &api, &problems.root()).expect("right rules")
}

/// A provider of the payments API, whose run began when this clock did.
pub(crate) fn payments(rules: Vec<Rule>, clock: &Clock) -> Provider {
    Provider::new(Setup {
        name: "provider".into(),
        api: api(),
        rules,
        seed: Seed::new(42).expect("42 is a seed"),
        wall: clock.wall(),
        operation_id: None,
        limits: true,
        http2: false,
        webhooks: false,
    })
}
