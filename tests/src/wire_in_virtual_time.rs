//! Faults of the wire in virtual time: over every transport, and in every run the same.

use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::harness::{Harness, Transport};
use brownout::operation::{Operation, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::virtual_time::{LocalBoxed, hyper_client, one_trace, repetitions, reqwest_client};

/// One fault an operation, each at its first attempt, and a time in which nobody listens.
const FAULTS: [&str; 17] = [
    "wrong_content_length: {delta: 9, then: fin}",
    "wrong_content_length: {delta: 9, then: rst}",
    "wrong_content_length: {delta: -9}",
    "bad_chunk: {kind: size_line}",
    "bad_chunk: {kind: missing_last}",
    "clean_cut: {framed: close}",
    "clean_cut: {framed: chunked}",
    "garbage: {at: after_commit}",
    "early_response: {code: 503}",
    "close_idle",
    "half_close: {at: after_commit}",
    "half_close: {at: mid_body, after_bytes: 20}",
    "slow_read: {per_second: 100B}",
    "delayed_duplicate: {after: 3s}",
    "reorder: {by: 300ms}",
    "accept_then_drop: {}",
    "slow_commit: {by: 3s}",
];

fn harness(concurrency: u64) -> Harness {
    let rules: Vec<String> = FAULTS
        .iter()
        .zip(1..)
        .map(|(fault, n)| {
            format!(
                "  - {{name: f{n}, when: {{operation: {n}, attempt: 1}}, inject: {{{fault}}}}}\n"
            )
        })
        .map(|rule| rule.replace("inject: {close_idle}", "inject: close_idle"))
        .collect();
    let text = format!(
        "version: 1
name: wire
seed: 3
provider: {{api: payments}}
faults:
{}  - {{name: away, when: {{during: {{from: 500ms, to: 2500ms}}}}, inject: refuse}}
workload:
  call: create_charge
  operations: {}
  concurrency: {concurrency}
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 2h
expect: [no_double_charges, no_phantom_success]
",
        rules.concat(),
        FAULTS.len()
    );
    Harness::from_yaml(&text).expect("a right scenario").virtual_time()
}

fn same_in_every_run<B, C>(transport: Transport, factory: B)
where
    B: Fn(&Connection) -> C + Send + Sync + Copy + 'static,
    C: Fn(Operation, Connection) -> LocalBoxed + 'static,
{
    let concurrency = 4;
    {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let harness = harness(concurrency).transport(transport).trace_to(folder.path());
        let prepared = harness.without_control().prepare_with(factory);
        let mut traces = std::collections::BTreeSet::new();
        for _ in 0..repetitions() {
            let judged = prepared.run().expect("it runs");
            let struck = &judged.result.faults;
            let count = FAULTS.len() + 1;
            assert_eq!(struck.values().filter(|times| **times > 0).count(), count, "{struck:?}");
            let trace = std::fs::read_to_string(folder.path().join("trace.jsonl"));
            traces.insert(trace.expect("it was written"));
        }
        one_trace(&traces, transport.name());
    }
}

#[test]
fn equal_runs_over_tcp_leave_one_trace() {
    same_in_every_run(Transport::Tcp, reqwest_client);
}

#[test]
fn equal_runs_over_a_unix_socket_leave_one_trace() {
    same_in_every_run(Transport::Unix, reqwest_client);
}

#[test]
fn equal_runs_over_a_pipe_leave_one_trace() {
    same_in_every_run(Transport::Memory, hyper_client);
}

#[test]
fn over_every_transport_connections_are_refused_while_nobody_listens() {
    let text = "version: 1
name: away
provider: {api: payments}
faults: [{name: away, when: {during: {from: 1s, to: 3s}}, inject: refuse}]
workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
expect: [no_lost_operations]
";
    for transport in Transport::ALL {
        let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
        let judged = harness
            .transport(transport)
            .without_control()
            .run(|operation, connection| async move {
                let mut refused = Vec::new();
                for second in 0_u64..5 {
                    // Between the moments at which the door turns.
                    if second == 1 {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                    match connection.connect().await {
                        Ok(stream) => charge(stream, &operation).await,
                        Err(error) => refused.push(format!("{second}: {:?}", error.kind())),
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Outcome::unknown(refused.join(", "))
            })
            .expect("it runs");
        let (_, submit) = judged.trace.submits().next().expect("it was submitted");
        let last = judged.trace.claims(submit).last().expect("a claim");
        let detail = judged.trace.text(last.detail.expect("words"));
        assert_eq!(detail, "1: ConnectionRefused, 2: ConnectionRefused", "{transport}");
        assert_eq!(judged.result.faults.get("away"), Some(&1), "{transport}: {:?}", judged.result);
    }
}

async fn charge(mut stream: brownout_provider::shell::stream::Stream, operation: &Operation) {
    let body = operation.input.to_string();
    let (_, token) = operation.url.rsplit_once('/').expect("a token in the URL");
    let request = format!(
        "POST /{token}/v1/charges HTTP/1.1\r\nhost: mock\r\nauthorization: Bearer {}\r\nconnection: \
         close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        operation.api_key,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}
