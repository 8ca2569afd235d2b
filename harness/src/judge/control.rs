//! The control run, and a client that never reached the mock.
//!
//! **Invariant:** a control run is judged by one thing: the client works in fair weather.

use brownout_provider::api::{Api, Environment};
use brownout_provider::event::{Claim, ClaimBy, Mode};

use super::counts;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::verdict::ControlResult;

/// A stand-in that shows which variables hold the mock's address.
const ADDRESS: &str = "http://mock.invalid";

/// Judges a control run: every operation ends with the client's own `succeeded`; in suite mode at least
/// one request arrived.
#[must_use]
pub fn judge_control(trace: &Trace, scenario: &Scenario) -> ControlResult {
    let reason = stray(trace, scenario).or_else(|| {
        let none = counts::requests(trace) == 0;
        none.then(|| no_request(trace, scenario))
    });
    let reason = reason.or_else(|| match trace.mode() {
        Mode::Suite | Mode::Serve => None,
        Mode::Stdio | Mode::Exec | Mode::Http | Mode::InProcess => unsuccessful(trace),
    });
    ControlResult { passed: reason.is_none(), reason }
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
    let api = scenario
        .providers
        .values()
        .map(|provider| &*provider.api)
        .find(|api| api.hosts.iter().any(|host| **host == *stray.host));
    Some(format!("your client called {}, not the mock; {}", stray.host, point_at_mock(api)))
}

/// The client sent no request to the mock.
pub(super) fn no_request(trace: &Trace, scenario: &Scenario) -> String {
    let api = scenario.providers.values().next().map(|provider| &*provider.api);
    let elsewhere = trace.strays().first().map_or(String::new(), |stray| {
        format!(" (it tried to reach {}:{})", stray.host, stray.port)
    });
    format!("your client sent no request to the mock{elsewhere}; {}", point_at_mock(api))
}

/// What points a client at the mock.
fn point_at_mock(api: Option<&Api>) -> String {
    let variables = api.map(address_variables).unwrap_or_default();
    if variables.is_empty() {
        return "let it take its base URL from the environment variable `BROWNOUT_URL`".to_owned();
    }
    let names: Vec<String> = variables.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "let it take its base URL from {} (which is set for it) or from `BROWNOUT_URL`",
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
