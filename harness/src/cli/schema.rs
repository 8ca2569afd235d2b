//! `brownout schema`: the JSON Schema of scenarios and baselines, for editors.
//!
//! **Invariant:** it is the schema by which files are read, so an editor that follows it is right.

use brownout_provider::document::schema_of;
use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::refusal::Refusal;
use super::run::baseline::RawBaseline;
use super::terminal::Terminal;
use crate::scenario::schema;

/// Prints the JSON Schema of scenarios, or of baselines.
///
/// An editor with a YAML language server uses it where the first line of a scenario says
/// `# yaml-language-server: $schema=scenario.schema.json`.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout schema > scenario.schema.json
  brownout schema baseline > baseline.schema.json")]
pub struct SchemaArguments {
    /// Of which files.
    #[arg(value_enum, default_value = "scenario")]
    of: Of,
}

/// The files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Scenarios.
    Scenario,
    /// Lists of known violations, for `run --baseline`.
    Baseline,
}

/// Runs the command.
///
/// # Errors
/// Never now; the signature is that of every command.
pub fn run(arguments: SchemaArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    terminal.out(&match arguments.of {
        Of::Scenario => schema::text(),
        Of::Baseline => format!("{:#}\n", schema_of::<RawBaseline>().as_value()),
    });
    Ok(Exit::Passed)
}
