//! Drivers against clients that behave badly, and the modes against clients that behave well.
//!
//! **Invariant:** no test waits for a time to pass: a client shows that it lives by a connection, and that
//! it is gone by the end of that connection.

mod death;
mod exec;
mod hostile;
mod http;
mod in_process;
mod interrupted;
mod stdio;
mod suite;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brownout::run::{Client, Run, RunError, RunOptions, run_main};
use brownout::scenario::tenants::Tenants;
use brownout::scenario::{Arrival, ProviderSpec, Providers, Scenario, Submits, Workload, input_of};
use brownout_provider::api;
use brownout_provider::document::Diagnostics;
use brownout_provider::event::{Event, EventKind, Mode, OperationFinished};
use brownout_provider::seed::Seed;
use serde_json::{Value, json};

use crate::brownout::root;

/// A scenario without faults on the payments API: so many operations, one at a time.
pub(crate) fn scenario(operations: u64) -> Scenario {
    let diagnostics = Diagnostics::new();
    let (api, api_source) =
        api::load("payments", Path::new("."), &diagnostics.root()).expect("a shipped API is right");
    let api_source = Arc::new(api_source);
    let provider = ProviderSpec {
        api,
        api_name: "payments".to_owned(),
        api_source,
        port: None,
        tls: false,
        http2: false,
    };
    Scenario {
        name: "drive".to_owned(),
        summary: String::new(),
        tags: Vec::new(),
        seed: Seed::new(42).expect("in range"),
        providers: Providers::one(provider),
        rules: Vec::new(),
        workload: Workload {
            call: Some(Arc::from("create_charge")),
            steps: Vec::new(),
            http: None,
            operations,
            exec_operations: None,
            concurrency: 1,
            clients: 1,
            tenants: Tenants::default(),
            arrival: Arrival::AtOnce,
            input: input_of(&json!({"amount": 1999, "currency": "usd", "order": "order-{{ n }}"}))
                .expect("right templates"),
            submits: Submits { times: 1, apart: Duration::ZERO },
            deadline: Duration::from_secs(30),
            operation_id: None,
            mode: None,
            suite_exit_0_all_succeeded: false,
            queue: None,
            event: None,
        },
        expect: Vec::new(),
        drain: Duration::from_secs(10),
        scale: None,
        source: Arc::new(json!({"name": "drive"})),
    }
}

/// A command of `tests/clients/hostile`.
pub(crate) fn hostile(file: &str, arguments: &[String]) -> Vec<String> {
    let path = root().join("tests/clients/hostile").join(file);
    let path = path.to_str().expect("the clone's path is text").to_owned();
    let mut command = if file.ends_with(".py") { vec!["python3".to_owned()] } else { Vec::new() };
    command.push(path);
    command.extend_from_slice(arguments);
    command
}

/// A command of the shell.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// A run, and every event that its file holds.
pub(crate) struct Driven {
    pub(crate) run: Run,
    pub(crate) events: Vec<Event>,
}

/// Drives a command and reads what was written.
pub(crate) fn drive(
    scenario: &Scenario,
    mode: Mode,
    command: Vec<String>,
) -> Result<Driven, RunError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions { dir: Some(dir.path().join("run")), ..RunOptions::default() };
    let run = run_main(scenario, scenario.seed, &Client::Process { mode, command }, &options)?;
    let path = run.path.clone().expect("the run has a file");
    let text = std::fs::read_to_string(path).expect("the file is there");
    Ok(Driven { run, events: events(&text) })
}

/// The events of a trace's text.
pub(crate) fn events(text: &str) -> Vec<Event> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect()
}

impl Driven {
    /// Every claim and every silence, as `op-0001.1 succeeded client: detail`, in order.
    pub(crate) fn claims(&self) -> Vec<String> {
        let finished = |event: &Event| {
            let EventKind::OperationFinished(finished) = &event.kind else { return None };
            Some(in_words(finished))
        };
        self.events.iter().filter_map(finished).collect()
    }

    /// The lines of the client's output that were kept, by stream.
    pub(crate) fn output(&self, stream: &str) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| {
                let EventKind::ClientOutput(output) = &event.kind else { return None };
                (&*output.stream == stream).then_some(output.text.as_str())
            })
            .collect()
    }

    /// How many submits were put on record.
    pub(crate) fn submitted(&self) -> usize {
        let is = |event: &&Event| matches!(event.kind, EventKind::OperationSubmitted(_));
        self.events.iter().filter(is).count()
    }

    /// The word of the last event.
    pub(crate) fn reason(&self) -> &str {
        let last = self.events.last().expect("a trace has events");
        let EventKind::RunFinished(finished) = &last.kind else { panic!("it ends with {last:?}") };
        &finished.reason
    }
}

fn in_words(finished: &OperationFinished) -> String {
    let word = |value: Value| value.as_str().expect("a word").to_owned();
    let claim = word(serde_json::to_value(finished.claim).expect("plain data"));
    let by = word(serde_json::to_value(finished.by).expect("plain data"));
    let OperationFinished { operation, submit, detail, .. } = finished;
    format!("{operation}.{submit} {claim} {by}: {detail}").trim_end().to_owned()
}

/// Hears of processes: each connects and stays connected as long as it lives.
pub(crate) struct Beacon(TcpListener);

impl Beacon {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).expect("a port"))
    }

    pub(crate) fn port(&self) -> String {
        self.0.local_addr().expect("it listens").port().to_string()
    }

    /// Waits for a process to show itself.
    pub(crate) fn lit(&self) -> Light {
        let (stream, _) = self.0.accept().expect("a process connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a legal time");
        let mut stream = BufReader::new(stream);
        let mut pid = String::new();
        stream.read_line(&mut pid).expect("it says its number");
        Light { stream, pid: pid.trim().to_owned() }
    }
}

/// A process that has shown itself.
pub(crate) struct Light {
    stream: BufReader<std::net::TcpStream>,
    pub(crate) pid: String,
}

impl Light {
    /// Waits until the process is gone, at most half a minute.
    pub(crate) fn goes_out(mut self) {
        let mut rest = Vec::new();
        // A process that was killed ends its connection with FIN or RST; only silence is life.
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            let kind = error.kind();
            assert!(kind == std::io::ErrorKind::ConnectionReset, "{} lives on: {error}", self.pid);
        }
    }
}
