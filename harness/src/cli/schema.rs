//! `brownout schema`: the JSON Schema of scenario files, for editors.
//!
//! **Invariant:** it is the schema by which files are read, so an editor that follows it is right.

use clap::Args;

use super::exit::Exit;
use super::refusal::Refusal;
use super::terminal::Terminal;
use crate::scenario::schema;

/// Prints the JSON Schema of scenario files.
///
/// An editor with a YAML language server uses it where the first line of a scenario says
/// `# yaml-language-server: $schema=scenario.schema.json`.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout schema > scenario.schema.json")]
pub struct SchemaArguments {}

/// Runs the command.
///
/// # Errors
/// Never now; the signature is that of every command.
pub fn run(_arguments: SchemaArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    terminal.out(&schema::text());
    Ok(Exit::Passed)
}
