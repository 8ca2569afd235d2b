//! Requests with many items: 207 with a status for each, of which some may be not done and some left out; and
//! routes that go out of use.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::stage::{Answer, Raw, Stage};

const IMAGES: [&str; 4] = ["a.png", "b.png", "c.png", "d.png"];

impl Raw {
    async fn label(&mut self, images: &[&str], key: &str) -> Answer {
        let body = serde_json::json!({"images": images, "reference": "ref-1"}).to_string();
        self.send(format!(
            "POST /~op-0001.1/v1/batches HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
             Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        self.answer().await
    }

    async fn labels(&mut self) -> BTreeSet<String> {
        let get = "GET /~op-0001.1/v1/labels?reference=ref-1 HTTP/1.1\r\nHost: a\r\n\
                   Authorization: Bearer sk\r\n\r\n";
        self.send(get).await;
        images(&self.answer().await.json()["data"], |_| true)
    }
}

/// The pictures in a list of entries of this kind.
fn images(entries: &Value, wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let entries = entries.as_array().expect("a list");
    let named = entries.iter().filter(|entry| wanted(entry)).map(|entry| &entry["image"]);
    named.map(|image| image.as_str().expect("a name").to_owned()).collect()
}

/// The pictures of which an effect stands; each has one only.
async fn done(stage: &Stage) -> BTreeSet<String> {
    let effects = stage.effects().await;
    let subjects: BTreeSet<String> = effects
        .iter()
        .map(|(_, one)| one.subject.as_deref().expect("a picture").to_owned())
        .collect();
    assert_eq!(subjects.len(), effects.len());
    subjects
}

fn all() -> BTreeSet<String> {
    IMAGES.map(str::to_owned).into()
}

#[tokio::test(start_paused = true)]
async fn every_item_is_done_and_has_its_status() {
    let stage = Stage::calm_of("vision", "label_batch").await;
    let mut raw = stage.connect().await;
    let answer = raw.label(&IMAGES, "k-1").await;
    assert_eq!(answer.status(), "207");
    assert_eq!(images(&answer.json()["results"], |entry| entry["status"] == 201), all());
    assert_eq!((done(&stage).await, raw.labels().await), (all(), all()));
    let ids: BTreeSet<String> = stage
        .effects()
        .await
        .iter()
        .filter_map(|(_, one)| Some(one.object.as_deref()?.to_owned()))
        .collect();
    assert_eq!(ids.len(), 4, "each has an object of its own");
}

#[tokio::test(start_paused = true)]
async fn some_items_are_not_done_and_of_some_nothing_is_said() {
    let fault = "faults:\n  - {name: struck, when: {attempt: 1, route: label_batch}, inject: {partial_batch: {failed: 1, silent: 2}}}\n";
    let stage = Stage::with("vision", "label_batch", fault).await;
    let mut raw = stage.connect().await;
    let answer = raw.label(&IMAGES, "k-1").await;
    assert_eq!(answer.status(), "207");
    let results = &answer.json()["results"];
    let said = images(results, |entry| entry["status"] == 201);
    let failed = images(results, |entry| entry["status"] == 503);
    assert_eq!((said.len(), failed.len()), (1, 1), "{answer:?}");
    let first = done(&stage).await;
    assert!(said.is_subset(&first) && failed.is_disjoint(&first), "{first:?}");
    assert_eq!(raw.labels().await, first, "a list shows what is done, said or not");
    assert_eq!(raw.label(&IMAGES, "k-1").await.body, answer.body, "the same key, the same answer");
    let missing: Vec<&str> = IMAGES.into_iter().filter(|image| !first.contains(*image)).collect();
    assert_eq!(raw.label(&missing, "k-2").await.status(), "207");
    assert_eq!(done(&stage).await, all());
}

#[tokio::test(start_paused = true)]
async fn a_route_says_that_it_goes_out_of_use_and_then_is_gone() {
    let stage = Stage::always("deprecated: {since: 1h, sunset: 30s}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let first = raw.answer().await;
    assert_eq!(first.status(), "201");
    let said = |answer: &Answer| {
        let text = |name| answer.header(name).expect("it is said").to_owned();
        (text("deprecation"), text("sunset"))
    };
    let (since, until) = said(&first);
    assert!(since.starts_with('@') && until.ends_with(" GMT"), "{since} {until}");
    stage.clock.sleep(Duration::from_secs(29)).await;
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201");
    stage.clock.sleep(Duration::from_secs(1)).await;
    raw.charge().await;
    let last = raw.answer().await;
    assert_eq!((last.status(), stage.effects().await.len()), ("410", 2));
    assert_eq!(last.json()["error"]["code"], "gone");
}
