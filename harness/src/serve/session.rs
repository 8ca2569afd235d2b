//! One run after another, without a client: the provider waits for whoever calls it.
//!
//! It knows nothing of HTTP; [`super::routes`] says its words over a socket.
//! **Invariant:** every run that was started is ended, judged and kept, also when the next one cannot start.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use brownout_provider::seed::Seed;
use tokio::sync::oneshot;

use crate::drive::claims::Statement;
use crate::drive::nobody::{Nobody, Said, Served, Words};
use crate::drive::stop::Stop;
use crate::report::{Entry, story};
use crate::run::{Client, Run, RunError, RunOptions, run_main};
use crate::scenario::Scenario;

/// A scenario that can run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file, or how else it is called.
    pub file: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The command that plays it again.
    pub reproduce: String,
}

/// Makes the folder for the trace of a run: of a scenario, under a name of its own.
type Places = Box<dyn Fn(&str, &str) -> Result<PathBuf, String> + Send>;

/// Runs one scenario after another.
pub struct Session {
    places: Places,
    /// The port of the first run, so that all of them stand at one address.
    port: Option<u16>,
    runs: u64,
    present: Option<Present>,
    /// What was started last, whether or not it has ended.
    latest: Option<(Loaded, Seed)>,
    entries: Vec<Entry>,
    /// Set when a run ended that nobody had ended.
    broken: Stop,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// The run that is under way.
struct Present {
    loaded: Loaded,
    seed: Seed,
    served: Served,
    until: Stop,
    says: Words,
    thread: JoinHandle<Result<Run, RunError>>,
}

/// A run that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Playing<'a> {
    /// Its number in the session, from 1.
    pub run: u64,
    /// How its provider is reached.
    pub served: &'a Served,
    /// What it plays.
    pub scenario: &'a Scenario,
    /// Its seed.
    pub seed: Seed,
}

/// Why a session cannot do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No scenario is loaded.
    #[error("no scenario is loaded; load one first")]
    NothingLoaded,
    /// Another run has taken the place of the one that is asked about.
    #[error(
        "run {asked} was ended by run {now}, which somebody else started; run tests that share a server one \
         after the other"
    )]
    Replaced {
        /// The run that is asked about.
        asked: u64,
        /// The run that was started last.
        now: u64,
    },
    /// The folder for its trace cannot be made.
    #[error("{0}")]
    Place(String),
    /// The run could not be made, or did not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Session {
    /// A session without a run. `port` is that of the provider, a free one if none is given; `broken` is set
    /// when a run ends by itself, as on a full disk.
    #[must_use]
    pub fn new(places: Places, port: Option<u16>, broken: Stop) -> Self {
        Self { places, port, runs: 0, present: None, latest: None, entries: Vec::new(), broken }
    }

    /// Starts the provider of a scenario, after the present run has been ended and judged.
    ///
    /// # Errors
    ///
    /// When the present run did not come to its end, or the next one cannot start; nothing runs then.
    pub fn start(&mut self, loaded: Loaded, seed: Seed) -> Result<&Served, SessionError> {
        self.end()?;
        self.latest = Some((loaded.clone(), seed));
        self.runs += 1;
        // Several servers may write below one folder.
        let name = format!("serve-{}-{}-{}", seed.get(), std::process::id(), self.runs);
        let dir = (self.places)(&loaded.scenario.name, &name).map_err(SessionError::Place)?;
        let (tell, told) = mpsc::channel();
        let was_ready = Arc::new(AtomicBool::new(false));
        let is_ready = Arc::clone(&was_ready);
        let (says, heard) = Words::new();
        let until = Stop::new();
        let nobody = Nobody::new(
            Box::new(move |served: &Served| {
                is_ready.store(true, Ordering::Relaxed);
                // Whoever asked has waited, or has gone with the whole program.
                let _ = tell.send(served.clone());
            }),
            until.clone(),
            heard,
        );
        let options = RunOptions {
            file: loaded.file.clone(),
            dir: Some(dir),
            port: self.port,
            owns_process: true,
            ..RunOptions::default()
        };
        let (scenario, broken, ended) =
            (loaded.scenario.clone(), self.broken.clone(), until.clone());
        let thread = std::thread::Builder::new()
            .name("brownout-serve".to_owned())
            .spawn(move || {
                let run = run_main(&scenario, seed, &Client::Nobody(nobody.into()), &options);
                // One that never began is told to whoever asked for it.
                if was_ready.load(Ordering::Relaxed) && !ended.is_stopped() {
                    broken.stop();
                }
                run
            })
            .map_err(|source| RunError::System { what: "start a thread", source })?;
        let Ok(served) = told.recv() else {
            // It ended before it was ready, and says why.
            return Err(match joined(thread) {
                Err(error) => SessionError::Run(error),
                Ok(_) => SessionError::NothingLoaded,
            });
        };
        let fixes_its_own = loaded.scenario.providers.values().any(|spec| spec.port.is_some());
        if !fixes_its_own {
            self.port = self.port.or_else(|| port_of(&served.url));
        }
        let present = Present { loaded, seed, served, until, says, thread };
        Ok(&self.present.insert(present).served)
    }

    /// Starts the scenario that was started last from its beginning.
    ///
    /// # Errors
    ///
    /// As [`Session::start`]; and when there is none.
    pub fn restart(&mut self, seed: Option<Seed>) -> Result<&Served, SessionError> {
        let (loaded, before) = self.latest.clone().ok_or(SessionError::NothingLoaded)?;
        self.start(loaded, seed.unwrap_or(before))
    }

    /// Ends the present run, if there is one, and judges it.
    ///
    /// # Errors
    ///
    /// When it did not come to its end.
    pub fn end(&mut self) -> Result<Option<&Entry>, SessionError> {
        let Some(present) = self.present.take() else { return Ok(None) };
        present.until.stop();
        let run = joined(present.thread)?;
        let Loaded { scenario, reproduce, .. } = present.loaded;
        self.entries.push(story::entry(&scenario, &run, None, reproduce));
        Ok(self.entries.last())
    }

    /// The run that is under way.
    #[must_use]
    pub fn present(&self) -> Option<Playing<'_>> {
        let Present { served, loaded, seed, .. } = self.present.as_ref()?;
        Some(Playing { run: self.runs, served, scenario: &loaded.scenario, seed: *seed })
    }

    /// What came of the runs that have ended, in their order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The trace of the present run, or of the latest.
    #[must_use]
    pub fn trace(&self) -> Option<PathBuf> {
        match &self.present {
            Some(present) => present.served.trace.clone(),
            None => self.entries.last()?.result.trace.clone(),
        }
    }

    /// Puts a claim of the client on record; whoever waits for the answer learns whether it was taken.
    ///
    /// # Errors
    ///
    /// When no run is under way.
    pub fn say(&self, statement: Statement) -> Result<oneshot::Receiver<bool>, SessionError> {
        let present = self.present.as_ref().ok_or(SessionError::NothingLoaded)?;
        let (tell, told) = oneshot::channel();
        present.says.say(Said { statement, taken: tell });
        Ok(told)
    }
}

impl Session {
    /// Holds what is asked against the run that was started last.
    ///
    /// # Errors
    ///
    /// When it is about another run.
    pub const fn check(&self, asked: Option<u64>) -> Result<(), SessionError> {
        match asked {
            Some(asked) if asked != self.runs => {
                Err(SessionError::Replaced { asked, now: self.runs })
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end();
    }
}

fn joined(thread: JoinHandle<Result<Run, RunError>>) -> Result<Run, RunError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn port_of(url: &str) -> Option<u16> {
    url.rsplit(':').next()?.parse().ok()
}
