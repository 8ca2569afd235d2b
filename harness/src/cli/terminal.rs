//! Where text goes: standard output and standard error, with colour only where a reader wants it.
//!
//! **Invariant:** a reader that went away (a broken pipe) ends the writing, never the program, and never
//! changes the exit code.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use super::refusal::Refusal;
use crate::report::style::Style;

/// The two streams of this process.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    color_out: ColorChoice,
    color_err: ColorChoice,
}

impl Terminal {
    /// The streams of this process; `NO_COLOR`, `CLICOLOR`, `TERM` and whether a terminal listens decide
    /// about colour.
    #[must_use]
    pub fn new() -> Self {
        Self {
            color_out: AutoStream::choice(&io::stdout()),
            color_err: AutoStream::choice(&io::stderr()),
        }
    }

    /// Writes text with styles to standard output.
    pub fn out(self, text: &str) {
        quietly(AutoStream::new(io::stdout().lock(), self.color_out).write_all(text.as_bytes()));
        quietly(io::stdout().lock().flush());
    }

    /// Writes text with styles to standard error.
    pub fn err(self, text: &str) {
        quietly(AutoStream::new(io::stderr().lock(), self.color_err).write_all(text.as_bytes()));
    }

    /// Says on standard error why something could not be done.
    pub fn refuse(self, refusal: &Refusal) {
        self.err(&format!("{}: {refusal}\n", Style::Bad.paint("error")));
    }

    /// True when a person watches standard error, so that a progress bar is welcome.
    #[must_use]
    pub fn watched(self) -> bool {
        io::stderr().is_terminal()
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing can be said about a stream that cannot be written, except on that stream.
fn quietly(written: io::Result<()>) {
    drop(written);
}
