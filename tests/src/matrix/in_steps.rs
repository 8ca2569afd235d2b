//! A course of several requests, met by all stacks: each stack has a provider of its own.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::courses::{Ask, JOBS, Met};
use super::stacks::{STACKS, TIMEOUT, Task, class, heard_by_programs, url};
use crate::brownout::root;
use crate::wire::stage::Stage;

/// The API of pictures, with jobs that are done at the fourth look instead of after a time.
fn jobs_by_looks() -> NamedTempFile {
    let path = root().join("mock-provider/apis/vision.yaml");
    let text = std::fs::read_to_string(path).expect("it is shipped");
    let by_looks = text.replace("takes: 1s", "polls: 4");
    assert_ne!(text, by_looks, "the shipped file says how long a job takes");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    std::fs::write(file.path(), by_looks).expect("it can be written");
    file
}

async fn stage((scene, inject): Met, jobs: &NamedTempFile) -> Stage {
    let path = jobs.path().to_str().expect("UTF-8");
    let provider = if scene.provider == JOBS { path } else { scene.provider };
    let faults = if inject.is_empty() {
        String::new()
    } else {
        let rule = format!("when: {{{}}}\n    inject: ", scene.when);
        let inject =
            if inject.starts_with('[') { inject.to_owned() } else { format!("\n      {inject}") };
        format!("faults:\n  - name: struck\n    {rule}{inject}\n{}", scene.more)
    };
    Stage::with(provider, scene.call, &faults).await
}

/// Lets all stacks go through these courses, and tells what each said.
pub(super) async fn met(lines: &[Met]) -> String {
    let jobs = jobs_by_looks();
    let mut stages: Vec<Vec<Stage>> = Vec::new();
    for line in lines {
        let mut of_line = Vec::new();
        for _ in STACKS {
            of_line.push(stage(*line, &jobs).await);
        }
        stages.push(of_line);
    }
    let url = |row: usize, stack: usize| {
        url(&format!("http://{}", stages[row][stack].server.addr()), STACKS[stack])
    };
    let tasks = (0..lines.len()).map(|row| Task {
        row,
        urls: (0..STACKS.len()).map(|stack| (STACKS[stack], url(row, stack))).collect(),
        steps: lines[row].0.asks.iter().map(as_json).collect(),
    });
    let tasks: Vec<Task> = tasks.collect();
    let others = tokio::task::spawn_blocking(move || heard_by_programs(&tasks, None));
    let mut said = BTreeMap::new();
    for (row, (scene, _)) in lines.iter().enumerate() {
        said.insert((row, STACKS[0].to_owned()), by_reqwest(&url(row, 0), scene.asks).await);
    }
    let others = others.await.expect("the programs end");
    said.extend(others.into_iter().map(|(row, stack, said)| ((row, stack), said)));
    let mut text = String::new();
    for (row, (scene, inject)) in lines.iter().enumerate() {
        let inject = if inject.is_empty() { "(nothing strikes)" } else { inject };
        writeln!(text, "{}: {inject}", scene.name).expect("a text takes all");
        for stack in STACKS {
            let said = briefly(&said[&(row, stack.to_owned())]);
            writeln!(text, "  {stack:<12} {said}").expect("a text takes all");
        }
    }
    text
}

/// Answers that say the same one after the other are told once, and how many there were.
fn briefly(said: &str) -> String {
    let parts: Vec<&str> = said.split("; ").collect();
    let told = parts.chunk_by(|one, next| one == next).map(|same| match same {
        [one] => (*one).to_owned(),
        same => format!("{} ({} times)", same[0], same.len()),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn as_json(ask: &Ask) -> Value {
    let headers: serde_json::Map<String, Value> =
        ask.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    json!({
        "method": ask.method, "path": ask.path, "headers": headers, "body": ask.body, "show": ask.show,
    })
}

/// What reqwest says in a course.
async fn by_reqwest(url: &str, asks: &[Ask]) -> String {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .expect("a client without TLS");
    let (mut id, mut said) = (None, Vec::new());
    for ask in asks {
        let path = ask.path.replace("{id}", id.as_deref().unwrap_or("none"));
        let method = ask.method.parse().expect("a method");
        let mut request = client.request(method, format!("{url}{path}"));
        request = request.header("authorization", "Bearer sk");
        if !ask.body.is_empty() {
            request = request.header("content-type", "application/json").body(ask.body);
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        said.push(match request.send().await {
            Ok(answer) => shown(answer, ask, &mut id).await,
            Err(error) => class(&error),
        });
    }
    said.join("; ")
}

async fn shown(answer: reqwest::Response, ask: &Ask, id: &mut Option<String>) -> String {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return format!("{status}, {}", class(&error)),
    };
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let known = value["id"].as_str().map(str::to_owned);
    let same = match (&*id, &known) {
        (Some(first), Some(known)) => {
            Some(if first == known { "the same id" } else { "another id" })
        }
        _ => None,
    };
    *id = id.take().or(known);
    let mut parts = vec![status.to_string()];
    for show in ask.show {
        let part = match *show {
            "same id" => same.map(str::to_owned),
            "events" => Some(events(&body)),
            show if show.starts_with("statuses ") => statuses(value.pointer(&show[9..])),
            show if show.starts_with('/') => value.pointer(show).and_then(in_words),
            name => headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(|it| format!("{name} {it}")),
        };
        parts.extend(part);
    }
    parts.join(", ")
}

fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(format!("{} in a list", items.len())),
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    }
}

/// The statuses of the items of a list, sorted; one that has none is silent.
fn statuses(list: Option<&Value>) -> Option<String> {
    let mut found: Vec<String> = list?
        .as_array()?
        .iter()
        .map(|item| {
            item["status"].as_u64().map_or_else(|| "silent".to_owned(), |it| it.to_string())
        })
        .collect();
    found.sort();
    Some(found.join(" "))
}

/// How many events a stream has, what they say, and whether its last one came.
fn events(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let end = if data.last() == Some(&"[DONE]") { "whole" } else { "without its end" };
    let read = data.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok());
    let pieces: Vec<String> = read
        .filter_map(|event| Some(event.pointer("/choices/0/delta/content")?.as_str()?.to_owned()))
        .collect();
    format!("{} events, `{}`, {end}", data.len(), pieces.join("|"))
}
