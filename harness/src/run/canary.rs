//! Whether virtual time can be trusted on this machine: known runs, compared with the pure provider.
//!
//! Paused time jumps when nothing is ready. Where the kernel delivers bytes a little later than it was
//! given them (loopback TCP on a machine that steers packets between processors), a jump comes too soon,
//! and every time in the trace is wrong. So before the first run over a transport, a few runs whose times
//! are known are compared, to the microsecond.
//!
//! **Invariant:** a transport that was not found true in this process carries no run in virtual time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use brownout_provider::event::{ClockKind, EventKind};
use brownout_provider::exchange::{End, Ended, Exchange, Finish, Next};
use brownout_provider::hint::WallClock;
use brownout_provider::provider::{Provider, Setup};
use brownout_provider::request::Request;
use brownout_provider::shell::transport::Transport;
use brownout_provider::units::{in_words_exactly, micros};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::paused::Paused;
use super::{Client, Run, RunError, RunOptions};
use crate::drive::address::{Address, Addresses};
use crate::drive::in_process::Connection;
use crate::drive::loopback::{Call, post_over};
use crate::drive::plan::Plan;
use crate::drive::schedule::Slot;
use crate::operation::{Operation, Outcome};
use crate::scenario::{Apis, Overrides, Scenario, read};

/// Delays before and after the work, an answer that asks for patience, and a reset, all at once.
const SONG: &str = "version: 1
name: canary
provider: {api: payments}
faults:
  - name: slow
    when: {attempt: 1}
    inject: {latency: {fixed: 250ms}}
  - name: busy
    when: {attempt: 1}
    inject: {status: {code: 503, retry_after: 60s}}
  - name: late
    when: {attempt: 2}
    inject: {latency: {fixed: 40ms, at: after_commit}}
  - name: lost
    when: {attempt: 2}
    inject: {reset: {at: after_commit}}
workload:
  call: create_charge
  operations: 4
  concurrency: 4
  input: {amount: 1, currency: usd, order: 'order-{{ n }}'}
  deadline: 1h
expect: [no_double_charges]
";

/// How many runs are compared. Where the kernel delivers late, nearly every run is wrong.
const RUNS: u32 = 8;

/// How many of them may be wrong. A program that another thread starts in that very moment holds a dead
/// connection open for as long as it takes to start, and says nothing about the kernel.
const WRONG: usize = 1;

/// How long the canary waits for an answer: what virtual time wrongly jumps to.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the canary waits after a connection broke.
const PAUSE: Duration = Duration::from_millis(700);

/// How often it tries.
const ATTEMPTS: u32 = 4;

/// An arrival: operation, attempt, and when, in microseconds.
type Arrival = (String, u32, u64);

/// Lets the canary sing over a transport, once in this process.
///
/// # Errors
///
/// When virtual time is wrong over it.
pub(super) fn sing(transport: Transport) -> Result<(), RunError> {
    static HEARD: [OnceLock<Result<(), String>>; Transport::ALL.len()] =
        [const { OnceLock::new() }; Transport::ALL.len()];
    let heard = Transport::ALL.iter().zip(&HEARD).find(|(one, _)| **one == transport);
    let (_, heard) = heard.expect("all transports are listed");
    heard.get_or_init(|| compare(transport)).clone().map_err(|seen| RunError::VirtualUntrue {
        transport,
        seen,
        instead: match transport {
            Transport::Tcp => {
                "a unix socket (`.transport(Transport::Unix)`), which reqwest and hyper-util can be given"
            }
            Transport::Unix => "a pipe in memory (`.transport(Transport::Memory)`)",
            Transport::Memory => "the real clock (leave `.virtual_time()` out)",
        },
    })
}

fn compare(transport: Transport) -> Result<(), String> {
    let song =
        read("<canary>", SONG.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
    let scenario = Arc::new(song.scenario.expect("the canary's scenario is right"));
    let expected = model(&scenario);
    let mut wrong = Vec::new();
    for _ in 0..RUNS {
        let client = Client::in_process(client);
        let options = RunOptions {
            clock: ClockKind::Virtual,
            transport: Some(transport),
            ..RunOptions::default()
        };
        let run = Paused::unproven(Arc::clone(&scenario), client, options).carry_out();
        let seen = arrivals(&run.map_err(|error| error.to_string())?);
        wrong.extend(difference(&expected, &seen));
        if wrong.len() > WRONG {
            return Err(wrong.swap_remove(0));
        }
    }
    Ok(())
}

fn difference(expected: &BTreeSet<Arrival>, seen: &BTreeSet<Arrival>) -> Option<String> {
    let (operation, attempt, at_us) = expected.difference(seen).next()?;
    let instead = seen.iter().find(|one| one.0 == *operation && one.1 == *attempt);
    let instead =
        instead.map_or("not at all".to_owned(), |one| format!("at {}", in_words_exactly(one.2)));
    Some(format!(
        "of a known run, attempt {attempt} of `{operation}` is due at {} and came {instead}",
        in_words_exactly(*at_us)
    ))
}

fn arrivals(run: &Run) -> BTreeSet<Arrival> {
    let requests = run.trace.requests().filter_map(|(_, request)| {
        let operation = run.trace.operation_name(request.operation?).to_owned();
        Some((operation, request.attempt, request.at_us))
    });
    requests.collect()
}

/// The client whose times are known.
async fn client(operation: Operation, connection: Connection) -> Outcome {
    let url = format!("{}/v1/charges", operation.url);
    let call = Call {
        url: &url,
        api_key: &operation.api_key,
        idempotency_key: Some(&operation.id),
        body: &operation.input,
        timeout: TIMEOUT,
    };
    for _ in 0..ATTEMPTS {
        let pause = match post_over(&connection, call).await {
            Ok(answer) if answer.status < 300 => return Outcome::succeeded(),
            Ok(answer) => answer.retry_after.unwrap_or(PAUSE),
            Err(_) => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
    Outcome::failed("gave up")
}

/// The same client against the pure provider: no runtime, no transport, no clock.
fn model(scenario: &Scenario) -> BTreeSet<Arrival> {
    let (name, spec) = scenario.providers.first();
    let mut provider = Provider::new(Setup {
        name: Arc::clone(name),
        api: Arc::clone(&spec.api),
        rules: scenario.rules.clone(),
        seed: scenario.seed,
        wall: WallClock::Beside(SystemTime::UNIX_EPOCH),
        operation_id: None,
        limits: true,
        http2: false,
        webhooks: false,
    });
    let workload = &scenario.workload;
    let call = workload.call.as_ref().expect("the canary's scenario calls a route");
    let plan = Plan::new(workload, call, 0, None);
    let auth = spec.api.auth.as_ref().expect("payments asks for a key");
    let address = Address {
        provider: Arc::clone(name),
        url: String::new(),
        key: auth.dummy.clone(),
        token_in_key: auth.token_in_key,
        tenants: Vec::new(),
    };
    let addresses = Addresses::from(address);
    for index in 1..=workload.operations {
        let slot = Slot { index, submit: 1 };
        let operation = plan.operation(slot, &addresses).expect("the canary's input renders");
        play(&mut provider, &operation);
    }
    let arrived = provider.take_events().into_iter().filter_map(|event| {
        let EventKind::RequestReceived(it) = event.kind else { return None };
        Some((it.operation?.to_string(), it.attempt, event.at_us))
    });
    arrived.collect()
}

fn play(provider: &mut Provider, operation: &Operation) {
    let mut now_us = 0;
    for _ in 0..ATTEMPTS {
        let Exchange { id, mut next, .. } = provider.handle(request(operation, now_us), now_us);
        while let Next::Wait { until_us } = next {
            now_us = now_us.max(until_us);
            next = provider.advance(id, now_us);
        }
        let (pause, complete, ended) = match next {
            Next::Answer(answer) if answer.status < 300 => (None, true, None),
            Next::Answer(answer) => (Some(retry_after(&answer.headers)), true, None),
            Next::Drop(how) => (Some(PAUSE), false, Some(how)),
            Next::Silence | Next::GoAway(_) | Next::Done | Next::Wait { .. } => {
                (Some(PAUSE), false, Some(End::Fin))
            }
        };
        provider.finish(
            id,
            Finish {
                head_at_us: complete.then_some(now_us),
                end_at_us: now_us,
                body_bytes: 0,
                complete,
                ended: ended.map(|how| Ended { by: brownout_provider::event::Side::Provider, how }),
            },
        );
        let Some(pause) = pause else { return };
        now_us += micros(pause);
    }
}

fn request(operation: &Operation, now_us: u64) -> Request {
    let mut headers = HeaderMap::new();
    let mut put = |name, text: String| {
        headers.insert(name, HeaderValue::try_from(text).expect("plain ASCII"));
    };
    put("authorization", format!("Bearer {}", operation.api_key));
    put("content-type", "application/json".to_owned());
    put("idempotency-key", operation.id.to_string());
    Request {
        connection: 1,
        reused: false,
        http2: false,
        peer: None,
        method: Method::POST,
        target: format!("{}/v1/charges", operation.url),
        headers,
        body: Bytes::from(operation.input.to_string()),
        head_at_us: now_us,
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(PAUSE, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_times_are_what_the_scenario_says() {
        let song =
            read("<canary>", SONG.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        let expected = model(&song.scenario.expect("a right scenario"));
        let times: BTreeSet<(u32, u64)> = expected.iter().map(|one| (one.1, one.2)).collect();
        let known = [(1, 0), (2, 60_250_000), (3, 60_990_000)];
        assert_eq!(times, BTreeSet::from(known));
        assert_eq!(expected.len(), 12);
    }

    #[test]
    fn a_wrong_time_is_told_with_the_time_that_was_due() {
        let arrival = |at_us| BTreeSet::from([("op-0001".to_owned(), 2, at_us)]);
        assert_eq!(difference(&arrival(250_000), &arrival(250_000)), None);
        assert_eq!(
            difference(&arrival(250_000), &arrival(10_000_000)).as_deref(),
            Some("of a known run, attempt 2 of `op-0001` is due at 250 ms and came at 10 s")
        );
    }

    #[test]
    fn the_transports_that_no_kernel_delays_are_true() {
        for transport in [Transport::Unix, Transport::Memory] {
            assert_eq!(compare(transport), Ok(()), "{transport}");
        }
    }
}
