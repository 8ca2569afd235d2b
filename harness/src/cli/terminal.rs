//! Where text goes: standard output and standard error, with colour only where a reader wants it.
//!
//! **Invariant:** a reader that went away (a broken pipe) ends the writing, never the program, and never
//! changes the exit code. Any other text that is lost (a full disk) is remembered, so that nobody takes half
//! a report for a verdict.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};

use super::refusal::Refusal;
use crate::report::style::Style;

/// Why text for standard output was first lost.
static LOST: OnceLock<String> = OnceLock::new();

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
        let written = AutoStream::new(io::stdout().lock(), self.color_out)
            .write_all(text.as_bytes())
            .and_then(|()| io::stdout().lock().flush());
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // Only the first loss is told.
                let _ = LOST.set(error.to_string());
            }
            Err(_) | Ok(()) => {}
        }
    }

    /// Writes text with styles to standard error.
    pub fn err(self, text: &str) {
        // Nothing can be said about this stream, except on this stream.
        let _ = AutoStream::new(io::stderr().lock(), self.color_err).write_all(text.as_bytes());
    }

    /// Says on standard error why something could not be done.
    pub fn refuse(self, refusal: &Refusal) {
        self.err(&format!("{}: {refusal}\n", Style::Bad.paint("error")));
    }

    /// Why text for standard output was lost, if any was.
    #[must_use]
    pub fn lost(self) -> Option<&'static str> {
        LOST.get().map(String::as_str)
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
