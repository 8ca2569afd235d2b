//! The control run, and a client that never reached the mock.
//!
//! **Invariant:** a control run is judged by one thing: the client works in fair weather. Of a suite
//! nothing is asked but that it reached the mock.

use std::collections::BTreeSet;

use brownout_provider::api::{Api, Environment, of_host};
use brownout_provider::event::{Claim, ClaimBy, Mode};

use super::{counts, suite, unmade};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{ClientEnd, Refusal, Trace, Webhook, in_short};
use crate::verdict::ControlResult;

/// A stand-in that shows which variables hold the mock's address.
const ADDRESS: &str = "http://mock.invalid";

/// So many places that a client tried to reach are named.
const STRAYS_TOLD: usize = 5;

/// Judges a control run: every operation ends with the client's own `succeeded`; in suite mode at least
/// one request arrived.
#[must_use]
pub fn judge_control(trace: &Trace, scenario: &Scenario) -> ControlResult {
    let reason = stray(trace, scenario).or_else(|| unmade::sentence(trace)).or_else(|| {
        let none = counts::requests(trace) == 0;
        none.then(|| no_request(trace, scenario))
    });
    let reason = reason.or_else(|| match trace.mode() {
        Mode::Suite | Mode::Serve => None,
        Mode::Stdio | Mode::Exec | Mode::Http | Mode::InProcess => unsuccessful(trace),
    });
    ControlResult { passed: reason.is_none(), reason, suite: suite::end(trace) }
}

/// The first operation that did not end with the client's own `succeeded`.
fn unsuccessful(trace: &Trace) -> Option<String> {
    let mut asked_for = trace.submits().filter(|(_, submit)| submit.submitted.is_some()).peekable();
    if asked_for.peek().is_none() {
        return Some("no operation was handed to the client".to_owned());
    }
    asked_for.find_map(|(_, submit)| {
        let name = trace.operation_name(submit.operation);
        let detail = |detail: Option<crate::trace::Name>| {
            detail.map_or(String::new(), |detail| format!(" (`{}`)", trace.text(detail)))
        };
        match trace.final_claim(submit) {
            Some(claim) if claim.claim == Claim::Succeeded => None,
            Some(claim) => {
                let word = if claim.claim == Claim::Failed { "failed" } else { "unknown" };
                Some(format!("the client claimed `{word}` for `{name}`{}", detail(claim.detail)))
            }
            None => {
                let driver = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Driver);
                let noted = detail(driver.and_then(|claim| claim.detail));
                Some(format!("the client said nothing about `{name}`{noted}"))
            }
        }
    })
}

/// The client called the real thing.
pub(super) fn stray(trace: &Trace, scenario: &Scenario) -> Option<String> {
    let stray = trace.strays().iter().find(|stray| stray.named && !stray.allowed)?;
    let named = |api: &&Api| api.hosts.iter().any(|host| host.eq_ignore_ascii_case(&stray.host));
    let own = scenario.providers.values().map(|provider| &*provider.api).find(named);
    let cure = match (own, of_host(&stray.host)) {
        (None, Some(other)) => {
            let point = point_at_mock(trace, None);
            format!("{point}, or run a scenario of the API `{}`", other.name)
        }
        (own, _) => point_at_mock(trace, own),
    };
    Some(format!("your client called {}, not the mock; {cure}", stray.host))
}

/// What is to be said of calls to hosts that no API file names: each host once.
pub(super) fn refused_strays(trace: &Trace) -> Vec<String> {
    let refused: BTreeSet<(&str, u16)> = trace
        .strays()
        .iter()
        .filter(|stray| !stray.named && !stray.allowed)
        .map(|stray| (&*stray.host, stray.port))
        .collect();
    let mut notes: Vec<String> = refused
        .iter()
        .take(STRAYS_TOLD)
        .map(|(host, port)| {
            format!(
                "the client tried to reach {host}:{port} and was refused; let it through with \
                 `--allow-network {host}`"
            )
        })
        .collect();
    if refused.len() > STRAYS_TOLD {
        let more = refused.len() - STRAYS_TOLD;
        notes.push(format!("the client tried to reach {more} more places and was refused"));
    }
    notes
}

/// The run was ended from outside, which is nothing against the client.
pub(super) fn interrupted(trace: &Trace) -> String {
    let when = if counts::requests(trace) == 0 {
        "before the client sent a request"
    } else {
        "before its end"
    };
    format!("the run was interrupted {when}; start it again and let it come to its end")
}

/// The client sent no request to the mock, with what the trace knows about why.
pub(super) fn no_request(trace: &Trace, scenario: &Scenario) -> String {
    let api = scenario.providers.values().next().map(|provider| &*provider.api);
    if let Some(refused) = trace.refused().first() {
        return match refused.why {
            Refusal::NoHttp => {
                let place = match trace.mode() {
                    Mode::InProcess => "`operation.url`",
                    Mode::Exec | Mode::Stdio | Mode::Suite | Mode::Http | Mode::Serve => {
                        "the address in `BROWNOUT_URL`"
                    }
                };
                format!(
                    "your client sent no request to the mock: what it sent was no HTTP, and was answered \
                     400; let it speak plain HTTP, not HTTPS, to {place}"
                )
            }
            Refusal::TooLarge => "your client sent no request that the mock could take: the body was \
                                  larger than it reads, and was answered 413; let it send smaller bodies"
                .to_owned(),
        };
    }
    let stray = trace.strays().first();
    if let Some(how) = trace.client_ends().iter().find_map(|end| died(trace, *end)) {
        let how = format!("your client sent no request to the mock: {how}");
        return match stray {
            None => format!("{how}; mend that first"),
            // It lived long enough to call somebody.
            Some(stray) => format!(
                "{how}, after it tried to reach {}:{}; {}",
                stray.host,
                stray.port,
                point_at_mock(trace, api)
            ),
        };
    }
    let elsewhere = stray.map_or(String::new(), |stray| {
        format!(" (it tried to reach {}:{})", stray.host, stray.port)
    });
    let point = point_at_mock(trace, api);
    if let Some(why) = never_ready(trace) {
        return format!(
            "your client sent no request to the mock{elsewhere}: {why}; let it listen at the port in `PORT` and \
             stay in the foreground, or say by `--target` where it listens"
        );
    }
    if trace.client_ends().iter().any(|end| end.killed) {
        return format!(
            "your client sent no request to the mock in the time that it had{elsewhere}; {point}, and give \
             it a longer `deadline` if it takes long to start"
        );
    }
    let is_success = |status: u16| (200..300).contains(&status);
    let taken =
        |one: &&Webhook| one.answer.and_then(|(_, _, status)| status).is_some_and(is_success);
    match trace.webhooks().iter().filter(taken).count() {
        0 => format!("your client sent no request to the mock{elsewhere}; {point}"),
        events => format!(
            "your client answered {} with success and sent no request to the mock{elsewhere}; let it do the work that \
             it says is done, or, if it does, {point}",
            plural(events, "event")
        ),
    }
}

/// What is to be said of a service that ended by itself in the middle of its work.
pub(super) fn fell(trace: &Trace) -> Option<String> {
    let end = trace.client_ends().iter().find(|end| !end.killed)?;
    let claims = trace.submits().flat_map(|(_, submit)| trace.claims(submit));
    let unanswered = claims.filter(|one| one.by == ClaimBy::Driver && one.seq > end.seq).count();
    let how = match (end.code, end.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("died of signal {signal}{}", name_of_signal(signal)),
        (None, None) => "ended".to_owned(),
    };
    (trace.mode() == Mode::Http && unanswered > 0).then(|| {
        format!(
            "the service {how} by itself before it was asked to end{}; {} without an answer",
            last_words(trace, *end),
            match unanswered {
                1 => "1 operation was left".to_owned(),
                many => format!("{many} operations were left"),
            }
        )
    })
}

/// Why a service that the harness started was never asked for anything.
fn never_ready(trace: &Trace) -> Option<&str> {
    let silences = trace.submits().flat_map(|(_, submit)| trace.claims(submit));
    let mut details =
        silences.filter(|claim| claim.by == ClaimBy::Driver).filter_map(|one| one.detail);
    let is_service = trace.mode() == Mode::Http && !trace.run.command.is_empty();
    let why = details.next().filter(|_| is_service).map(|detail| trace.text(detail))?;
    why.starts_with("the service ").then_some(why)
}

/// How a client ended that did not end well by itself, and the last it said of that.
fn died(trace: &Trace, end: ClientEnd) -> Option<String> {
    let how = match (end.signal, end.code) {
        _ if end.killed => return None,
        (Some(signal), _) => format!("it died of signal {signal}{}", name_of_signal(signal)),
        (None, None) => return None,
        (None, Some(0)) if left_lines_unanswered(trace, end) => {
            return Some(
                "it ended with exit code 0 before it answered; in stdio mode a client reads one \
                 operation a line until its standard input ends (for one that does a single piece of \
                 work, use `--mode exec`)"
                    .to_owned(),
            );
        }
        (None, Some(0)) => return None,
        (None, Some(code)) => format!("it exited with code {code}"),
    };
    Some(format!("{how}{}", last_words(trace, end)))
}

/// True where operations had been written to a client, and waited for an answer when it ended.
fn left_lines_unanswered(trace: &Trace, end: ClientEnd) -> bool {
    trace.mode() == Mode::Stdio
        && trace
            .submits()
            .flat_map(|(_, submit)| trace.claims(submit))
            .any(|claim| claim.by == ClaimBy::Driver && claim.seq > end.seq)
}

/// The last line that a client wrote to its standard error before it ended.
fn last_words(trace: &Trace, end: ClientEnd) -> String {
    let last = trace.outputs().iter().rev().find(|output| {
        trace.text(output.stream) == "stderr"
            && output.operation == end.operation
            && !output.text.trim().is_empty()
    });
    match last {
        Some(output) => {
            format!(", and the last it wrote to standard error was `{}`", in_short(&output.text))
        }
        None => ", and it wrote nothing to standard error".to_owned(),
    }
}

/// The names of the signals that programs die of by themselves, in brackets.
fn name_of_signal(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// What is to be said of bytes that the mock refused before they were a request, whatever else came.
pub(super) fn refused_bytes(trace: &Trace) -> Vec<String> {
    let count = |why| trace.refused().iter().filter(|refused| refused.why == why).count();
    let told = [
        (
            count(Refusal::TooLarge),
            "with a body larger than the mock reads, answered 413 and in no count; let the client \
             send smaller bodies",
        ),
        (
            count(Refusal::NoHttp),
            "that was no HTTP, answered 400 and in no count; let the client speak plain HTTP, not \
             HTTPS, to the mock",
        ),
    ];
    told.into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("the client sent {} {what}", plural(count, "message")))
        .collect()
}

/// What points a client at the mock.
fn point_at_mock(trace: &Trace, api: Option<&Api>) -> String {
    if trace.mode() == Mode::Http && trace.run.command.is_empty() {
        return "start the service with the mock's address, which `--port` fixes, as that of the API; one that \
                remembers the operations of an earlier run has to be started anew"
            .to_owned();
    }
    if trace.mode() == Mode::InProcess {
        return "give it `operation.url` as its base URL, and over anything but loopback TCP one of the helpers of \
                `Connection`"
            .to_owned();
    }
    let variables = api.map(address_variables).unwrap_or_default();
    if variables.is_empty() {
        return "set its base URL to the one in the environment variable `BROWNOUT_URL`".to_owned();
    }
    let names: Vec<String> = variables.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "set its base URL to the one in {} (which is set for it) or in `BROWNOUT_URL`",
        names.join(" or ")
    )
}

/// The variables of an API that hold the mock's address.
fn address_variables(api: &Api) -> Vec<String> {
    let environment = Environment { url: ADDRESS, key: "", token: "", seed: 0 };
    let variables = api.environment(&environment).unwrap_or_default();
    variables
        .into_iter()
        .filter(|(_, value)| value.contains(ADDRESS))
        .map(|(name, _)| name)
        .collect()
}
