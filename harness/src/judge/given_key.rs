//! A client that shows another key than the one that it was given.
//!
//! **Invariant:** keys are compared by their digests, and none is ever told.

use std::collections::BTreeSet;

use brownout_provider::event::{Digest16, Mode};

use super::counts;
use crate::scenario::Scenario;
use crate::trace::{Name, Trace};

/// What is to be said where requests carry a key of the client's own.
pub(super) fn note(trace: &Trace, scenario: &Scenario) -> Option<String> {
    let given = given(scenario);
    let is_strange = |key: &Name| !given.contains(trace.text(*key));
    let mut strange = trace
        .requests()
        .map(|(_, request)| request)
        .filter(|request| request.by.is_client() && request.auth.as_ref().is_some_and(is_strange));
    let first = strange.next()?;
    let whose =
        first.operation.map_or(String::new(), |id| format!(" for `{}`", trace.operation_name(id)));
    let count = 1 + strange.count();
    // A service that runs already was given none.
    if trace.mode() == Mode::Http && trace.run.command.is_empty() {
        return None;
    }
    let handed = match trace.mode() {
        Mode::InProcess => "`operation.api_key`",
        Mode::Exec | Mode::Stdio | Mode::Suite | Mode::Http | Mode::Serve => "`BROWNOUT_API_KEY`",
    };
    Some(format!(
        "the client sent a key that it was not given ({count} of {} requests, first {}{whose}); its own \
         configuration wins over {handed}, and a real key does not belong in a test",
        counts::requests(trace),
        trace.request_in_words(first)
    ))
}

/// The digests of all keys that clients of the run were given.
fn given(scenario: &Scenario) -> BTreeSet<String> {
    let mut given = BTreeSet::new();
    for api in scenario.providers.apis().filter(|api| api.auth.is_some()) {
        let keys = scenario.workload.tenants.keys(api);
        given.extend(keys.all().map(|key| Digest16::of(key.as_bytes()).to_string()));
    }
    given
}
