//! `brownout demo`: the main job in one look, with nothing to install or write.
//!
//! The same scripted faults meet two built-in clients on the real clock: a careless one that is caught and a
//! careful one that passes.
//! **Invariant:** what it prints comes from the same runs, judges and reports as everything else; it ends
//! with 0 exactly if the careless client was caught charging twice and the careful one passed.

mod careful;
mod careless;

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::load;
use super::out_dir::OutDir;
use super::refusal::Refusal;
use super::terminal::Terminal;
use crate::drive::in_process::Connection;
use crate::operation::Operation;
use crate::report::story;
use crate::report::style::Style;
use crate::report::{Entry, Report, human, sentence};
use crate::run::{Client, RunOptions, run_main};
use crate::scenario::{Overrides, Scenario, shipped};
use crate::verdict::{InvariantVerdict, Verdict};

/// Shows brownout catch a careless client and pass a careful one.
///
/// Both clients are built in and run in this process against a mock payment provider; nothing leaves this
/// machine, and nothing is written to disk unless `--out` asks for it.
#[derive(Clone, Debug, Args)]
pub struct DemoArguments {
    /// Keeps the traces of both clients in this folder, for `brownout check`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The scenario of the demo.
const SCENARIO: &str = "payments/demo.yaml";

const NEXT: &str =
    "  brownout run scenarios/payments -- python3 my_client.py       one process per operation
  brownout run scenarios/payments --mode suite -- pytest        your test suite, once a scenario
  brownout serve scenarios/payments/outage.yaml                 the provider alone
  brownout explain no_double_charges                            what is judged, and the cure
";

/// Runs the command.
///
/// # Errors
/// The harness cannot run here.
pub fn run(arguments: &DemoArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let shipped = shipped::find(SCENARIO)
        .ok_or_else(|| Refusal::harness("the demo's scenario is not in this program"))?;
    let scenario = load::shipped(shipped, &all_at_once(), terminal)?.scenario;
    let seed = scenario.seed;
    let out = arguments.out.as_deref().map(OutDir::open).transpose()?;
    let folder =
        |client: &str| out.as_ref().map(|out| out.of_run(&scenario.name, client)).transpose();
    let bold = Style::Strong;
    terminal.out(&format!(
        "{} (seed {})\n\n\
         A mock payment provider loses 12 of 20 answers after the charge is done, and is too busy 4 times.\n\
         Two clients meet exactly these faults.\n\n",
        bold.paint("brownout demo"),
        seed.get()
    ));

    let careless = Client::in_process(careless::careless);
    let caught = judged(&scenario, &careless, folder("careless")?)?;
    terminal.out(&format!(
        "1. {} retries whatever fails, with a new idempotency key each time.\n\n{}\n",
        bold.paint("The careless client"),
        told(&caught)
    ));

    let careful = Client::in_process(move |operation: Operation, connection: Connection| {
        careful::careful(seed, operation, connection)
    });
    let held = judged(&scenario, &careful, folder("careful")?)?;
    terminal.out(&format!(
        "2. {} keeps one key per charge, waits as it is asked to, and believes no wrong answer.\n\n{}\n",
        bold.paint("The careful client"),
        told(&held)
    ));
    terminal.out(&format!("{}\n{NEXT}", bold.paint("Next: your own client")));
    verdict(&caught, &held)
}

/// All operations are outstanding together, which programs of their own would find too much and clients in
/// this process do not notice; so the demo is over before anybody looks away.
fn all_at_once() -> Overrides {
    Overrides { concurrency: Some(20), ..Overrides::default() }
}

/// One client through the scenario, judged and told.
fn judged(scenario: &Scenario, client: &Client, dir: Option<PathBuf>) -> Result<Entry, Refusal> {
    let file = format!("scenarios/{SCENARIO}");
    let options = RunOptions { file, dir, ..RunOptions::default() };
    let run = run_main(scenario, scenario.seed, client, &options)?;
    Ok(story::entry(scenario, &run, None, "brownout demo".to_owned()))
}

/// The sentence, what was counted, and the first violation in full.
fn told(entry: &Entry) -> String {
    let report = Report { entries: vec![entry.clone()], ..Report::default() };
    let style = human::of_verdict(entry.result.verdict);
    let mut text = format!("   {}\n", style.paint(sentence::sentence(&report)));
    text.push_str(&human::first_violation(entry));
    if let Some(trace) = &entry.result.trace {
        text = format!("{text}   its trace: {}\n", trace.display());
    }
    text
}

/// 0 when the demo showed what it is for.
fn verdict(caught: &Entry, held: &Entry) -> Result<Exit, Refusal> {
    let charged_twice = caught
        .result
        .invariants
        .iter()
        .any(|one| one.name == "no_double_charges" && one.verdict == InvariantVerdict::Failed);
    if charged_twice && held.result.verdict == Verdict::Passed {
        Ok(Exit::Passed)
    } else {
        Err(Refusal::harness(
            "the demo did not show what it should; this machine may be overloaded, so try again, and report it if it stays",
        ))
    }
}
