//! Progress: a bar for a person at a terminal, plain lines for a pipe, also while nothing ends for long.
//!
//! **Invariant:** progress goes to standard error, so that standard output is the report and nothing else.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::Terminal;

/// How often the bar is drawn anew, so that the time in it moves while a run is long.
const REDRAW: Duration = Duration::from_millis(200);

/// After so long without news a pipe is told what is still running.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Shows how far an invocation is.
pub struct Progress {
    bar: Option<ProgressBar>,
    terminal: Terminal,
    total: u64,
    done: u64,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("total", &self.total).field("done", &self.done).finish()
    }
}

impl Progress {
    /// Begins to show progress over `total` runs.
    #[must_use]
    pub fn new(terminal: Terminal, total: u64) -> Self {
        let bar = terminal.watched().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(REDRAW);
            bar
        });
        Self { bar, terminal, total, done: 0 }
    }

    /// Says what is going on now.
    pub fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.tick();
        }
    }

    /// A run is over.
    pub fn finished(&mut self, what: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.to_owned());
                bar.inc(1);
            }
            None => self.terminal.err(&format!("[{}/{}] {what}\n", self.done, self.total)),
        }
    }

    /// Nothing is new for so long: the bar shows that by its clock, a pipe needs a line.
    pub fn still(&self, what: &str, quiet: Duration) {
        if self.bar.is_none() {
            let seconds = quiet.as_secs();
            self.terminal.err(&format!("still running, nothing new for {seconds} s: {what}\n"));
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
