//! Every fault that a plain client can meet is met by five stacks in three languages, and what each of them
//! makes of it is on record.
//!
//! The snapshots show how differently one and the same answer is taken, and hold that every fault is the
//! real thing: no stack is told what to expect. [`rows`] is the table; a new fault is a line there.

mod courses;
mod in_steps;
mod rows;
mod stacks;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use brownout_provider::fault::registry::FAULTS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::wire::stage::Stage;
use rows::{FAMILIES, NOT_MET, Row};
use stacks::{STACKS, by_programs, by_reqwest};
pub(crate) use tls::connector;

/// How many rows reqwest meets at once.
const AT_ONCE: usize = 8;

/// What stacks say when their connection ends without an answer.
const LOST: [&str; 7] = [
    "BrokenPipe",
    "ConnectionReset",
    "IncompleteMessage",
    "RemoteDisconnected",
    "RemoteProtocolError",
    "connection closed",
    "connection lost",
];

/// Lets all stacks meet these rows, and tells what each said.
async fn met(rows: &[Row]) -> String {
    let mut stages = Vec::new();
    for row in rows {
        let faults = format!(
            "faults:\n  - name: struck\n    when: {{route: create_charge, {}}}\n    inject:\n      {}\n",
            row.when, row.inject
        );
        stages.push(Stage::with("payments", "create_charge", &faults).await);
    }
    let providers: Vec<String> =
        stages.iter().map(|stage| format!("http://{}", stage.server.addr())).collect();
    let others = tokio::task::spawn_blocking({
        let providers = providers.clone();
        move || by_programs(&providers, None)
    });
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut here = JoinSet::new();
    for (row, provider) in providers.into_iter().enumerate() {
        let turns = Arc::clone(&turns);
        here.spawn(async move {
            let _turn = turns.acquire().await.expect("nobody closes it");
            (row, "reqwest".to_owned(), by_reqwest(&provider).await)
        });
    }
    let mut all = here.join_all().await;
    all.extend(others.await.expect("the programs end"));
    let said: BTreeMap<(usize, String), String> =
        all.into_iter().map(|(row, stack, said)| ((row, stack), said)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let always = if row.when == "attempt: 1" { "" } else { " (always)" };
        writeln!(text, "{}{always}", row.inject).expect("a text takes all");
        for stack in STACKS {
            let said = &said[&(index, stack.to_owned())];
            let is_lost = row.raced && LOST.iter().any(|word| said.contains(word));
            let said = if is_lost { "connection lost" } else { said };
            writeln!(text, "  {stack:<12} {said}").expect("a text takes all");
        }
    }
    text
}

#[tokio::test]
async fn answers() {
    insta::assert_snapshot!("answers", met(rows::ANSWERS).await);
}

#[tokio::test]
async fn malformed() {
    insta::assert_snapshot!("malformed", met(rows::MALFORMED).await);
}

#[tokio::test]
async fn latency() {
    insta::assert_snapshot!("latency", met(rows::LATENCY).await);
}

#[tokio::test]
async fn wire() {
    insta::assert_snapshot!("wire", met(rows::WIRE).await);
}

#[tokio::test]
async fn keys() {
    insta::assert_snapshot!("keys", met(rows::KEYS).await);
}

#[tokio::test]
async fn order() {
    insta::assert_snapshot!("order", met(rows::ORDER).await);
}

#[tokio::test]
async fn keys_in_a_course() {
    insta::assert_snapshot!("keys_in_a_course", in_steps::met(courses::KEYS).await);
}

#[tokio::test]
async fn order_in_a_course() {
    insta::assert_snapshot!("order_in_a_course", in_steps::met(courses::ORDER).await);
}

#[tokio::test]
async fn limits() {
    insta::assert_snapshot!("limits", in_steps::met(courses::LIMITS).await);
}

#[tokio::test]
async fn jobs_batches_and_uploads() {
    insta::assert_snapshot!("work", in_steps::met(courses::WORK).await);
}

#[tokio::test]
async fn streams() {
    insta::assert_snapshot!("streams", in_steps::met(courses::STREAMS).await);
}

#[tokio::test]
async fn messages() {
    insta::assert_snapshot!("messages", in_steps::met(courses::MESSAGES).await);
}

#[tokio::test]
async fn what_is_not_valid_is_refused_as_the_vendor_does() {
    let mut stages = Vec::new();
    for (api, call) in [
        ("stripe", "create_payment_intent"),
        ("openai", "create_chat_completion"),
        ("anthropic", "create_message"),
    ] {
        stages.push((api, Stage::with(api, call, "").await));
    }
    let urls: serde_json::Map<String, serde_json::Value> = stages
        .iter()
        .map(|(api, stage)| ((*api).to_owned(), format!("http://{}", stage.server.addr()).into()))
        .collect();
    let said = tokio::task::spawn_blocking(move || {
        std::process::Command::new(crate::brownout::python())
            .arg("tests/clients/matrix/not_valid.py")
            .arg(serde_json::Value::from(urls).to_string())
            .current_dir(crate::brownout::root())
            .env("NO_PROXY", "*")
            .output()
            .expect("it starts")
    });
    let said = said.await.expect("it ends");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    insta::assert_snapshot!("not_valid", String::from_utf8_lossy(&said.stdout));
    for (_, stage) in &stages {
        assert!(stage.effects().await.is_empty(), "nothing was done");
    }
}

#[test]
fn every_fault_is_met_or_has_a_reason() {
    let mut met: BTreeSet<&str> = FAMILIES.iter().copied().flatten().map(Row::fault).collect();
    let courses = courses::FAMILIES.iter().copied().flatten();
    met.extend(courses.map(|(_, inject)| courses::fault(inject)).filter(|name| !name.is_empty()));
    let excused: BTreeSet<&str> = NOT_MET.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = FAULTS.iter().map(|kind| kind.name).collect();
    let missing: Vec<_> = all.iter().filter(|name| !met.contains(*name)).collect();
    let missing: Vec<_> = missing.into_iter().filter(|name| !excused.contains(*name)).collect();
    assert!(missing.is_empty(), "add a line to `rows.rs`: {missing:?}");
    assert!(met.is_disjoint(&excused), "met and excused: {:?}", met.intersection(&excused));
    let unknown: Vec<_> = met.union(&excused).filter(|name| !all.contains(*name)).collect();
    assert!(unknown.is_empty(), "no such faults: {unknown:?}");
    assert!(NOT_MET.iter().all(|(_, why)| !why.is_empty()));
    for kind in brownout_provider::malformed::Kind::ALL {
        let is_met = rows::MALFORMED.iter().any(|row| row.inject.contains(kind.name()));
        assert!(is_met, "`{}` is not in the table", kind.name());
    }
}
