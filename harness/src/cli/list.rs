//! `brownout list`: what there is to name in a scenario, and the scenarios themselves.
//!
//! **Invariant:** everything comes from the registries.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use brownout_provider::fault::registry::FAULTS;

use super::exit::Exit;
use super::reference;
use super::refusal::Refusal;
use super::terminal::Terminal;
use crate::incident::{page, registry as incidents};
use crate::invariant::registry::INVARIANTS;
use crate::report::style::Style;
use crate::scenario::policy;
use crate::scenario::shipped::SCENARIOS;

/// Lists faults, invariants, policies, APIs, incidents and shipped scenarios.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  brownout list
  brownout list invariants
  brownout list faults --markdown > faults.md")]
pub struct ListArguments {
    /// What to list; everything when left out.
    what: Option<What>,
    /// Writes the reference page in Markdown.
    #[arg(long, requires = "what")]
    markdown: bool,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// What can go wrong, to stand under `inject:`.
    Faults,
    /// What a client must hold, to stand under `expect:`.
    Invariants,
    /// Bundles of invariants, to stand under `expect:` as `policy: NAME`.
    Policies,
    /// The APIs that the provider can speak.
    Apis,
    /// What happened to others, with the clients that caused and survived it.
    Incidents,
    /// The scenarios that come with brownout, beside those of incidents.
    Scenarios,
}

/// Runs the command.
///
/// # Errors
/// Never now; the signature is that of every command.
pub fn run(arguments: &ListArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let text = match (arguments.what, arguments.markdown) {
        (Some(what), true) => markdown(what),
        (Some(what), false) => table(what),
        (None, _) => [
            What::Faults,
            What::Invariants,
            What::Policies,
            What::Apis,
            What::Incidents,
            What::Scenarios,
        ]
        .map(table)
        .join("\n"),
    };
    terminal.out(&text);
    Ok(Exit::Passed)
}

/// One name and one sentence a line.
fn rows(what: What) -> Vec<(String, String)> {
    let row = |name: &str, summary: &str| (name.to_owned(), summary.to_owned());
    match what {
        What::Faults => FAULTS.iter().map(|kind| row(kind.name, kind.summary)).collect(),
        What::Invariants => INVARIANTS.iter().map(|kind| row(kind.name, kind.summary)).collect(),
        What::Policies => policy::all().iter().map(|it| row(&it.name, &it.summary)).collect(),
        What::Apis => reference::apis().iter().map(|api| row(&api.name, &api.summary)).collect(),
        What::Incidents => incidents::all().map(|one| row(one.name, one.happened)).collect(),
        What::Scenarios => SCENARIOS
            .iter()
            .filter(|it| incidents::find(it.name()).is_none())
            .map(|it| row(it.name(), it.summary()))
            .collect(),
    }
}

const fn title(what: What) -> &'static str {
    match what {
        What::Faults => "Faults",
        What::Invariants => "Invariants",
        What::Policies => "Policies",
        What::Apis => "APIs",
        What::Incidents => "Incidents",
        What::Scenarios => "Scenarios",
    }
}

fn table(what: What) -> String {
    let rows = rows(what);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{} ({})\n", Style::Strong.paint(title(what)), rows.len());
    for (name, summary) in rows {
        writeln!(text, "  {:<width$}  {summary}", Style::Good.paint(name))
            .expect("a string takes every line");
    }
    text
}

/// A page in Markdown.
#[must_use]
pub fn markdown(what: What) -> String {
    match what {
        What::Faults => reference::faults(),
        What::Invariants => reference::invariants(),
        What::Policies => reference::policies(),
        What::Incidents => page::all_in_markdown(),
        What::Apis | What::Scenarios => {
            let mut page = format!("# {}\n\n| name | what it is |\n|---|---|\n", title(what));
            for (name, summary) in rows(what) {
                writeln!(page, "| `{name}` | {summary} |").expect("a string takes every line");
            }
            page
        }
    }
}
