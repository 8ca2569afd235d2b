//! The stacks that meet the faults: reqwest in this process, Python and Node beside it.
//!
//! **Invariant:** what a stack says holds classes of errors and statuses, and neither times nor ports.

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::brownout::{python, root};

/// How long a stack waits for what never comes.
pub(super) const TIMEOUT: Duration = Duration::from_secs(4);

/// All stacks, in the order of the report.
pub(super) const STACKS: [&str; 5] = ["reqwest", "http.client", "requests", "httpx", "fetch"];

/// Everything that a row was met with: its number, the stack, and what that said.
pub(super) type Said = (usize, String, String);

/// A program with some of the stacks.
struct Program {
    command: Vec<OsString>,
    stacks: &'static [&'static str],
}

/// The base URL of a row's provider for a stack: every stack is an operation of its own.
pub(super) fn url(provider: &str, stack: &str) -> String {
    let number = STACKS.iter().position(|one| *one == stack).expect("a stack of the table");
    format!("{provider}/~op-{:04}.1", number + 1)
}

/// What a program is told of a row.
pub(super) struct Task {
    pub(super) row: usize,
    /// The base URL for each stack.
    pub(super) urls: Vec<(&'static str, String)>,
    /// The requests of a course; none for a single charge.
    pub(super) steps: Vec<Value>,
}

/// What the stacks of Python and Node say of these providers; blocks until all have said it.
pub(super) fn by_programs(providers: &[String], trusted: Option<&Path>) -> Vec<Said> {
    let tasks = providers.iter().enumerate().map(|(row, provider)| Task {
        row,
        urls: STACKS.map(|stack| (stack, url(provider, stack))).to_vec(),
        steps: Vec::new(),
    });
    heard_by_programs(&tasks.collect::<Vec<_>>(), trusted)
}

/// The same of these tasks.
pub(super) fn heard_by_programs(tasks: &[Task], trusted: Option<&Path>) -> Vec<Said> {
    let script = |name: &str| OsString::from(format!("tests/clients/matrix/{name}"));
    let programs = [
        Program {
            command: vec![python(), script("stacks.py")],
            stacks: &["http.client", "requests", "httpx"],
        },
        Program { command: vec!["node".into(), script("stacks.mjs")], stacks: &["fetch"] },
    ];
    let started: Vec<(Child, usize)> =
        programs.iter().map(|program| program.start(tasks, trusted)).collect();
    started.into_iter().flat_map(|(child, count)| heard(child, count)).collect()
}

impl Program {
    fn start(&self, tasks: &[Task], trusted: Option<&Path>) -> (Child, usize) {
        let names = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];
        let trust = trusted.iter().flat_map(|path| names.map(|name| (name, *path)));
        let mut child = Command::new(&self.command[0])
            .envs(trust)
            .args(&self.command[1..])
            .current_dir(root())
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start: {error}", self.command));
        let mut input = child.stdin.take().expect("it was piped");
        for task in tasks {
            let of_here = task.urls.iter().filter(|(stack, _)| self.stacks.contains(stack));
            let urls: serde_json::Map<String, Value> =
                of_here.map(|(stack, url)| ((*stack).to_owned(), url.clone().into())).collect();
            let line = json!({
                "row": task.row, "urls": urls, "timeout_s": TIMEOUT.as_secs(), "steps": task.steps,
            });
            writeln!(input, "{line}").expect("the program reads");
        }
        (child, tasks.len() * self.stacks.len())
    }
}

/// Reads so many lines, and waits for the end.
fn heard(mut child: Child, count: usize) -> Vec<Said> {
    let output = BufReader::new(child.stdout.take().expect("it was piped"));
    let said: Vec<Said> = output
        .lines()
        .map(|line| {
            let line = line.expect("UTF-8");
            let said: Value = serde_json::from_str(&line).expect("one document a line");
            let text = |key: &str| said[key].as_str().expect("a text").to_owned();
            let row = said["row"].as_u64().and_then(|row| usize::try_from(row).ok());
            (row.expect("a number"), text("stack"), text("said"))
        })
        .collect();
    let ended = child.wait().expect("it was started");
    assert!(ended.success() && said.len() == count, "{ended}: {} of {count}", said.len());
    said
}

/// What reqwest says of a provider.
pub(super) async fn by_reqwest(provider: &str) -> String {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .expect("a client without TLS");
    let body = json!({"amount": 1999, "currency": "usd", "order": "order-1"});
    let sent = client
        .post(format!("{}/v1/charges", url(provider, "reqwest")))
        .header("authorization", "Bearer sk")
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => return class(&error),
    };
    let status = answer.status().as_u16();
    match answer.bytes().await {
        Ok(bytes) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) => format!("{status}, {}", shape(&value, &body)),
            Err(error) => format!("{status}, no JSON: {:?}", error.classify()),
        },
        Err(error) => format!("{status}, {}", class(&error)),
    }
}

fn shape(value: &Value, asked: &Value) -> &'static str {
    match value {
        Value::Object(_) => {
            let is_charge = value["id"].is_string()
                && value["status"] == "succeeded"
                && ["amount", "currency", "order"].iter().all(|name| value[*name] == asked[*name]);
            if is_charge { "the charge" } else { "another object" }
        }
        Value::Array(_) => "a list",
        Value::Null => "null",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a value",
    }
}

/// What reqwest calls an error, and the innermost error that it carries.
pub(super) fn class(error: &reqwest::Error) -> String {
    let kinds = [
        (error.is_timeout(), "timeout"),
        (error.is_connect(), "connect"),
        (error.is_redirect(), "redirect"),
        (error.is_decode(), "decode"),
        (error.is_body(), "body"),
        (error.is_request(), "request"),
    ];
    let kind = kinds.iter().find(|(is, _)| *is).map_or("other", |(_, name)| *name);
    let mut inner: &(dyn Error + 'static) = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match inner.downcast_ref::<std::io::Error>() {
        Some(io) => format!("{kind} ({:?})", io.kind()),
        None => format!("{kind} ({inner})"),
    }
}
