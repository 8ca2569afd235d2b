//! Traces written by hand, for tests: a few lines of JSON, of which only what matters is said.

use brownout_provider::api::usual_class;
use brownout_provider::event::Event;
use serde_json::{Map, Value, json};

use super::Trace;
use super::read::read;

/// A run in virtual time, driven over standard input, that ended in order unless the lines say
/// otherwise.
pub(crate) fn trace(lines: &str) -> Trace {
    trace_with(&json!({}), lines)
}

/// The same, with what `run` says of the run.
pub(crate) fn trace_with(run: &Value, lines: &str) -> Trace {
    let mut started = json!({
        "at_us": 0, "event": "run_started", "version": 1, "brownout": "0.1.0", "scenario": {},
        "apis": {}, "file": "by-hand.yaml", "seed": 42, "run": "main", "mode": "stdio",
        "clock": "virtual",
    });
    merge(&mut started, run);
    let mut text = format!("{started}\n");
    let mut last = 0;
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let event = completed(serde_json::from_str(line).expect(line));
        last = event.get("at_us").and_then(Value::as_u64).expect("`at_us` in every line");
        serde_json::from_value::<Event>(event.clone()).expect(line);
        text.push_str(&event.to_string());
        text.push('\n');
    }
    if !lines.contains("run_finished") {
        let end = json!({"at_us": last + 1, "event": "run_finished", "reason": "completed"});
        text.push_str(&end.to_string());
    }
    let trace = read(text.as_bytes(), |_| {}).expect("the lines are a trace");
    assert_eq!(trace.cut, None);
    trace
}

/// An event with everything that the line leaves out; `null` takes something out.
fn completed(line: Value) -> Value {
    let at_us = line.get("at_us").cloned().unwrap_or_default();
    let status = line.get("status").and_then(Value::as_u64).unwrap_or(200);
    let status = u16::try_from(status).expect("a status");
    let mut event = match line.get("event").and_then(Value::as_str).expect("`event` in every line")
    {
        "operation_submitted" => json!({
            "operation": "op-0001", "submit": 1, "n": 1, "call": "create_charge", "input": {},
            "deadline_us": 30_000_000,
        }),
        "request_received" => json!({
            "provider": "provider", "route": "create_charge", "operation": "op-0001",
            "recognized": "url", "method": "POST", "path": "/v1/charges", "unsafe": true,
            "keyed": true, "body_digest": "body", "canonical_digest": "body",
        }),
        "fault_injected" => json!({
            "provider": "provider", "operation": "op-0001", "rule": "rule", "fault": "status",
            "scheduled": true,
        }),
        "rate_limited" => json!({"scope": "api_key", "limit": 10, "retry_after_us": 1}),
        "effect_committed" => json!({
            "effect": 1, "provider": "provider", "operation": "op-0001", "kind": "charge",
            "amount": 1999, "unit": "usd", "billed": true,
        }),
        "effect_reversed" => json!({"effect": 1, "provider": "provider", "operation": "op-0001"}),
        "response_sent" => json!({
            "provider": "provider", "status": status, "class": usual_class(status),
            "head_at_us": at_us, "end_at_us": at_us, "complete": true,
        }),
        "connection_ended" => {
            json!({"provider": "provider", "connection": 1, "by": "client", "how": "fin"})
        }
        "upload_piece" => {
            json!({"provider": "provider", "operation": "op-0001", "upload": "upl_1"})
        }
        "job" => json!({"provider": "provider", "operation": "op-0001", "job": "job_1"}),
        "operation_finished" => json!({"operation": "op-0001"}),
        "client_output" => json!({"stream": "stdout", "text": "text"}),
        "client_started" | "client_ended" => json!({"client": 1, "pid": 1}),
        _ => json!({}),
    };
    merge(&mut event, &line);
    event
}

fn merge(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    let mut merged: Map<String, Value> = std::mem::take(into);
    for (key, value) in from {
        if value.is_null() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), value.clone());
        }
    }
    *into = merged;
}
