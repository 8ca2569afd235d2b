//! `brownout explain NAME`: all that is known of one fault, invariant, policy, API, incident or scenario.
//!
//! **Invariant:** everything comes from the registries, so whatever `list` names can be explained.

use clap::Args;

use brownout_provider::document::Diagnostics;
use brownout_provider::fault::registry as faults;

use super::exit::Exit;
use super::reference;
use super::refusal::Refusal;
use super::terminal::Terminal;
use crate::incident::{page, registry as incidents};
use crate::invariant::registry as invariants;
use crate::scenario::{policy, shipped};

/// Explains a fault, an invariant, a policy, an API, an incident or a scenario by its name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  brownout explain reset
  brownout explain no_double_charges
  brownout explain payments
  brownout explain slow-summaries")]
pub struct ExplainArguments {
    /// The name, as it stands in a scenario or in `brownout list`.
    name: String,
}

/// Runs the command.
///
/// # Errors
/// Nothing has this name.
pub fn run(arguments: &ExplainArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let found = explanations(&arguments.name);
    if found.is_empty() {
        return Err(Refusal::usage(unknown(&arguments.name)));
    }
    terminal.out(&found.join("\n"));
    Ok(Exit::Passed)
}

/// Everything of this name, one text each: an API and a scenario may share one.
fn explanations(name: &str) -> Vec<String> {
    let fault = faults::find(name).map(reference::fault);
    let invariant = invariants::find(name).map(reference::invariant);
    let policy = policy::find(name).map(reference::policy);
    let apis = reference::apis();
    let api = apis.iter().find(|api| &*api.name == name).map(|api| reference::api(api));
    let incident = incidents::find(name);
    // An incident's story says where its scenario stands.
    let scenario = shipped::find(name).filter(|_| incident.is_none()).map(reference::scenario);
    let incident = incident.map(page::one_in_markdown);
    [fault, invariant, policy, api, incident, scenario].into_iter().flatten().collect()
}

fn names() -> Vec<&'static str> {
    faults::FAULTS
        .iter()
        .map(|kind| kind.name)
        .chain(invariants::INVARIANTS.iter().map(|kind| kind.name))
        .chain(policy::all().iter().map(|policy| policy.name.as_str()))
        .chain(brownout_provider::api::names())
        .chain(shipped::SCENARIOS.iter().map(|scenario| scenario.name()))
        .collect()
}

fn unknown(name: &str) -> String {
    let mut meant = None;
    let diagnostics = Diagnostics::new();
    diagnostics.root().error("", |diagnostic| {
        let diagnostic = diagnostic.allowed(name, names());
        meant.clone_from(&diagnostic.did_you_mean);
        diagnostic
    });
    match meant {
        Some(meant) => format!(
            "nothing is named `{name}`; did you mean `{meant}`? `brownout list` shows all names"
        ),
        None => format!("nothing is named `{name}`; `brownout list` shows all names"),
    }
}
