//! The command line: raw arguments become resolved ones, a command runs, a report is printed.
//!
//! One file a command. Only this module and its children print.
//! **Invariant:** every message that refuses says what to do instead, and the exit code says how it went
//! (0 passed, 1 failed, 2 inconclusive, 3 wrong scenario or command line, 4 the harness could not run).

pub mod check;
pub mod client;
pub mod demo;
pub mod executable;
pub mod exit;
pub mod explain;
pub mod freeze;
pub mod init;
pub mod interrupt;
pub mod list;
pub mod load;
pub mod out_dir;
pub mod progress;
pub mod reference;
pub mod refusal;
pub mod run;
pub mod scenario_file;
pub mod schema;
pub mod search;
pub mod serve;
pub mod sources;
pub mod speed;
pub mod terminal;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use exit::Exit;
use refusal::Refusal;
use terminal::Terminal;

use crate::report::{Format, Report, human, registry};

/// A chaos harness for the code that calls APIs.
///
/// A mock provider misbehaves on purpose, exactly as a seeded scenario says; the harness drives your client
/// against it and then judges it: did it charge twice, lose work, lie about the outcome, retry too much, or
/// retry too soon?
#[derive(Debug, Parser)]
#[command(
    name = "brownout",
    version,
    styles = STYLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  brownout demo
      Watch a careless client charge twice and a careful one hold.
  brownout run scenarios/payments -- python3 my_client.py
      Drive a client, one process per operation, through every scenario of a folder.
  brownout run scenarios/openai --mode suite -- pytest
      Run a test suite once against the mock and judge what it did on the wire.
  brownout run scenarios/payments/lost-response.yaml --seeds 20 -- ./client
      Try twenty seeds; each failing one is printed with the command that repeats it.
  brownout hunt scenarios/payments/lost-response.yaml -- ./client
      Search for the smallest schedule of faults that breaks a client, and write it to a file.

Exit codes:
  0 passed   1 failed   2 inconclusive   3 wrong scenario or command line   4 could not run";

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::arguments::RunArguments>),
    Demo(demo::DemoArguments),
    Init(init::InitArguments),
    Serve(serve::ServeArguments),
    Hunt(search::hunt::HuntArguments),
    Explore(search::explore::ExploreArguments),
    Check(check::CheckArguments),
    Freeze(freeze::FreezeArguments),
    List(list::ListArguments),
    Explain(explain::ExplainArguments),
    Schema(schema::SchemaArguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let terminal = Terminal::new();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = usage(terminal, &error);
            if exit != Exit::Passed {
                let message = error.render().to_string();
                let message = message.trim().trim_start_matches("error: ").to_owned();
                document(terminal, &Refusal { exit, ..Refusal::usage(message) });
            }
            return exit.into();
        }
    };
    let exit = match dispatch(arguments.command, terminal) {
        Ok(exit) => exit,
        Err(refusal) => {
            if !refusal.message.is_empty() {
                terminal.refuse(&refusal);
            }
            document(terminal, &refusal);
            refusal.exit
        }
    };
    match terminal.lost() {
        Some(why) => {
            terminal.refuse(&Refusal::harness(format!(
                "standard output could not be written: {why}; what stands there is not whole, so \
                 make room, or send it elsewhere, and run it again"
            )));
            exit.max(Exit::Harness).into()
        }
        None => exit.into(),
    }
}

fn dispatch(command: Command, terminal: Terminal) -> Result<Exit, Refusal> {
    match command {
        Command::Run(arguments) => run::run(*arguments, terminal),
        Command::Demo(arguments) => demo::run(&arguments, terminal),
        Command::Init(arguments) => init::run(&arguments, terminal),
        Command::Serve(arguments) => serve::run(&arguments, terminal),
        Command::Check(arguments) => check::run(&arguments, terminal),
        Command::Hunt(arguments) => search::hunt::run(&arguments, terminal),
        Command::Explore(arguments) => search::explore::run(&arguments, terminal),
        Command::Freeze(arguments) => freeze::run(&arguments, terminal),
        Command::List(arguments) => list::run(&arguments, terminal),
        Command::Explain(arguments) => explain::run(&arguments, terminal),
        Command::Schema(arguments) => schema::run(arguments, terminal),
    }
}

/// Whoever asked for a document for programs gets one also where nothing can run.
fn document(terminal: Terminal, refusal: &Refusal) {
    let format = asked_format(std::env::args_os().skip(1));
    if let Some(format) = format.filter(|format| format.name != human::FORMAT.name) {
        let report = Report { trouble: Some(refusal.as_trouble()), ..Report::default() };
        publish(terminal, format, &report);
    }
}

/// The format that the words before `--` ask for, whatever else is wrong with them.
fn asked_format(words: impl Iterator<Item = OsString>) -> Option<&'static Format> {
    let words: Vec<String> = words
        .take_while(|word| word != "--")
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let joined = words.iter().find_map(|word| word.strip_prefix("--format="));
    let apart = || words.windows(2).find(|pair| pair[0] == "--format").map(|pair| &*pair[1]);
    registry::find(joined.or_else(apart)?)
}

/// Prints a report, and appends what its format writes beside it to the file that the environment names.
fn publish(terminal: Terminal, format: &Format, report: &Report) {
    terminal.out(&(format.render)(report));
    let Some(aside) = format.aside else { return };
    let Some(path) = std::env::var_os(aside.variable).filter(|path| !path.is_empty()) else {
        return;
    };
    let appended = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all((aside.render)(report).as_bytes()));
    if let Err(error) = appended {
        // The verdict stands, and says more than a missing page.
        terminal.err(&format!(
            "cannot write to the file that `{}` names: {error}; the report above holds the same\n",
            aside.variable
        ));
    }
}

/// Prints what clap has to say: help and version are no mistake, the rest is exit 3.
fn usage(terminal: Terminal, error: &clap::Error) -> Exit {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        terminal.err(&text);
        Exit::Usage
    } else {
        terminal.out(&text);
        Exit::Passed
    }
}
