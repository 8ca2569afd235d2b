//! Programs under test: started in a process group of their own, listened to, and ended.
//!
//! What a program says and how it ends arrives as [`Notice`]s in one channel, in order.
//!
//! **Invariant:** a program cannot hold up the harness: nothing here waits for it without a bound, and
//! what it writes waits in the pipe until the driver has taken the line before.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};

use super::family::Family;
use super::output::Lines;
use super::speed::Speed;
use crate::run::RunError;

/// How long a program has between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long the system has to end a program after SIGKILL before it is left behind.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Lines that wait for the driver.
const QUEUE: usize = 256;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// How much is still read after the program's own end, in chunks: a pipe holds at most a few, and what
/// the program left running in the background may keep writing.
const LAST_CHUNKS: usize = 32;

/// What a program did.
#[derive(Debug)]
pub enum Notice {
    /// It wrote a line.
    Line {
        /// Which program.
        process: u64,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// The line.
        text: String,
    },
    /// It ended; all that it had written came before. What it left running may still write.
    Ended {
        /// Which program.
        process: u64,
        /// How.
        end: End,
    },
}

/// What waits to be heard at this moment, and no more than the queue holds: a program that writes without end
/// keeps nothing else waiting.
pub fn waiting(notices: &mut mpsc::Receiver<Notice>) -> impl Iterator<Item = Notice> {
    std::iter::from_fn(|| notices.try_recv().ok()).take(QUEUE)
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// True when the harness asked it to end.
    pub killed: bool,
}

/// What a program has as its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A pipe that the driver writes to.
    Pipe,
    /// Nothing.
    Empty,
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    /// The number by which notices name it.
    pub number: u64,
    /// Which copy of the client it is, from 1.
    pub client: u32,
    /// The system's number.
    pub pid: u32,
    /// Its standard input, where it has one.
    pub stdin: Option<pipe::Sender>,
    wishes: mpsc::UnboundedSender<Wish>,
}

/// What is wished of a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// That it ends, politely first.
    End,
    /// That it is dead.
    Die,
    /// That it stands still.
    Pause,
    /// That it goes on.
    GoOn,
}

impl Process {
    /// Ends the program and its process group: SIGTERM, [`GRACE`], SIGKILL. Returns at once; the end is
    /// a notice.
    pub fn end(&self) {
        self.wish(Wish::End);
    }

    /// Kills the program and its process group without a word. Returns at once; the end is a notice.
    pub fn kill(&self) {
        self.wish(Wish::Die);
    }

    /// Stops the program and its process group where they stand, until [`Process::go_on`].
    pub fn pause(&self) {
        self.wish(Wish::Pause);
    }

    /// Lets a program that stands still go on.
    pub fn go_on(&self) {
        self.wish(Wish::GoOn);
    }

    fn wish(&self, wish: Wish) {
        // One that has ended needs nothing more.
        let _ = self.wishes.send(wish);
    }
}

/// Starts the programs of a run.
#[derive(Debug)]
pub struct Launcher {
    command: Vec<String>,
    family: Arc<Family>,
    clock: Clock,
    notices: mpsc::Sender<Notice>,
    last: u64,
    speed: Option<Speed>,
}

impl Launcher {
    /// A launcher of `command`, and where its notices arrive.
    #[must_use]
    pub fn new(
        command: Vec<String>,
        family: Arc<Family>,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, receiver) = mpsc::channel(QUEUE);
        (Self { command, family, clock, notices, last: 0, speed: None }, receiver)
    }

    /// Gives the programs a faster clock.
    #[must_use]
    pub fn at_speed(self, speed: Option<Speed>) -> Self {
        Self { speed, ..self }
    }

    /// Starts the command as this copy of the client, with these variables over the inherited environment.
    ///
    /// # Errors
    ///
    /// When the command is not found, is not executable, or the system refuses.
    pub fn start(
        &mut self,
        client: u32,
        environment: &[(String, String)],
        input: Input,
    ) -> Result<Process, RunError> {
        let program = self.command.first().map_or("", String::as_str);
        let mut command = Command::new(program);
        command.args(self.command.iter().skip(1));
        // What an outer run or a user's shell says is not about this run.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_a_run(name)) {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        if let Some(speed) = &self.speed {
            speed.apply(&self.clock, &mut command);
        }
        let (out, out_writer) = output_pipe()?;
        let (err, err_writer) = output_pipe()?;
        command.stdout(out_writer).stderr(err_writer).stdin(Stdio::null());
        let mut stdin = None;
        if input == Input::Pipe {
            let (reader, writer) = io::pipe().map_err(no_pipe)?;
            command.stdin(reader);
            stdin = Some(pipe::Sender::from_owned_fd(writer.into()).map_err(no_pipe)?);
        }
        let child = self.family.spawn(command).map_err(|error| spawn_error(program, &error))?;
        self.last += 1;
        let number = self.last;
        let pid = child.id().unwrap_or(0);
        let (wishes, wished) = mpsc::unbounded_channel();
        let (drain, draining) = watch::channel(false);
        let drained = [("stdout", out), ("stderr", err)]
            .into_iter()
            .map(|(stream, receiver)| {
                let (done, wait) = oneshot::channel();
                let pump = Pump {
                    process: number,
                    stream,
                    receiver,
                    lines: Lines::default(),
                    buffer: vec![0; CHUNK],
                    notices: self.notices.clone(),
                };
                tokio::spawn(pump.run(draining.clone(), done));
                wait
            })
            .collect();
        let watcher = Watcher {
            process: number,
            pid: i32::try_from(pid).unwrap_or(0),
            child,
            wishes: wished,
            family: Arc::clone(&self.family),
            clock: self.clock,
        };
        tokio::spawn(watcher.run(drain, drained, self.notices.clone()));
        Ok(Process { number, client, pid, stdin, wishes })
    }
}

/// True for a variable by which a run tells its client of operations, tenants and providers.
fn is_of_a_run(name: &OsStr) -> bool {
    const NAMES: [&str; 3] = ["BROWNOUT_OPERATION", "BROWNOUT_OPERATION_ID", "BROWNOUT_PHASE"];
    const BEGINNINGS: [&str; 3] = ["BROWNOUT_TENANT", "BROWNOUT_URL", "BROWNOUT_API_KEY"];
    let name = name.as_encoded_bytes();
    NAMES.iter().any(|one| one.as_bytes() == name)
        || BEGINNINGS.iter().any(|one| name.starts_with(one.as_bytes()))
}

/// A pipe that a program writes to and the driver reads without blocking.
fn output_pipe() -> Result<(pipe::Receiver, io::PipeWriter), RunError> {
    let (reader, writer) = io::pipe().map_err(no_pipe)?;
    Ok((pipe::Receiver::from_owned_fd(reader.into()).map_err(no_pipe)?, writer))
}

fn no_pipe(source: io::Error) -> RunError {
    RunError::System { what: "make a pipe", source }
}

/// Why a command did not start, with what to do about it.
fn spawn_error(program: &str, error: &io::Error) -> RunError {
    let kind = error.kind();
    let reason = if kind == io::ErrorKind::NotFound {
        "no such command, or the interpreter that its first line names is not there; check the spelling and the search path".to_owned()
    } else if kind == io::ErrorKind::PermissionDenied {
        "it is not executable; run `chmod +x` on it, or name its interpreter, as in `-- python3 client.py`".to_owned()
    } else if error.raw_os_error() == Some(nix::libc::ENOEXEC) {
        "it is no program and has no `#!` line; name its interpreter, as in `-- sh client.sh`"
            .to_owned()
    } else {
        error.to_string()
    };
    RunError::Spawn { command: program.to_owned(), reason }
}

/// Waits for a program's end, and brings it about when asked.
struct Watcher {
    process: u64,
    pid: i32,
    child: Child,
    wishes: mpsc::UnboundedReceiver<Wish>,
    family: Arc<Family>,
    clock: Clock,
}

impl Watcher {
    async fn run(
        mut self,
        drain: watch::Sender<bool>,
        drained: Vec<oneshot::Receiver<()>>,
        notices: mpsc::Sender<Notice>,
    ) {
        let (status, killed) = self.ended().await;
        self.family.reaped(self.pid);
        drain.send_replace(true);
        for wait in drained {
            // A pump that is gone has nothing more to say.
            let _ = wait.await;
        }
        use std::os::unix::process::ExitStatusExt;
        let end = End {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            killed,
        };
        // The driver may be gone: then nobody wants to know.
        let _ = notices.send(Notice::Ended { process: self.process, end }).await;
    }

    /// How the program ended, and whether it was brought about.
    async fn ended(&mut self) -> (Option<std::process::ExitStatus>, bool) {
        let group = Pid::from_raw(self.pid);
        let mut is_wished = true;
        loop {
            let wish = tokio::select! {
                biased;
                status = self.child.wait() => return (status.ok(), false),
                wish = self.wishes.recv(), if is_wished => wish,
            };
            // Each signal may find the group already gone.
            match wish {
                Some(Wish::Pause) => drop(killpg(group, Signal::SIGSTOP)),
                Some(Wish::GoOn) => drop(killpg(group, Signal::SIGCONT)),
                Some(Wish::End) => return (self.end_group().await, true),
                Some(Wish::Die) => {
                    let _ = killpg(group, Signal::SIGKILL);
                    let last = self.clock.of_machine(LAST_WAIT);
                    let status = self.clock.within(last, self.child.wait()).await;
                    return (status.and_then(Result::ok), true);
                }
                None => is_wished = false,
            }
        }
    }

    async fn end_group(&mut self) -> Option<std::process::ExitStatus> {
        let group = Pid::from_raw(self.pid);
        // Each signal may find the group already gone.
        let _ = killpg(group, Signal::SIGTERM);
        // One that stands still hears nothing else.
        let _ = killpg(group, Signal::SIGCONT);
        let polite = self.clock.within(self.clock.of_machine(GRACE), self.child.wait()).await;
        let _ = killpg(group, Signal::SIGKILL);
        match polite {
            Some(status) => status.ok(),
            None => self
                .clock
                .within(self.clock.of_machine(LAST_WAIT), self.child.wait())
                .await
                .and_then(Result::ok),
        }
    }
}

/// Reads one stream of a program and hands over its lines.
struct Pump {
    process: u64,
    stream: &'static str,
    receiver: pipe::Receiver,
    lines: Lines,
    buffer: Vec<u8>,
    notices: mpsc::Sender<Notice>,
}

impl Pump {
    /// Reads until the stream's end. When the program has ended, hands over what is in the pipe, says
    /// so, and goes on for what the program left running.
    async fn run(mut self, mut draining: watch::Receiver<bool>, done: oneshot::Sender<()>) {
        let mut done = Some(done);
        loop {
            let ready = if done.is_some() {
                tokio::select! {
                    biased;
                    ready = self.receiver.readable() => ready.is_ok(),
                    () = told(&mut draining) => {
                        self.drain().await;
                        drop(done.take());
                        continue;
                    }
                }
            } else {
                self.receiver.readable().await.is_ok()
            };
            if !ready || !self.read_some(1).await {
                break;
            }
            // A program that floods its output is always readable: its end must not wait for that.
            let is_told = *draining.borrow();
            if done.is_some() && is_told {
                self.drain().await;
                drop(done.take());
            }
        }
        if let Some(last) = self.lines.end() {
            self.send(vec![last]).await;
        }
    }

    async fn drain(&mut self) {
        self.read_some(LAST_CHUNKS).await;
        if let Some(last) = self.lines.end() {
            self.send(vec![last]).await;
        }
    }

    /// Reads at most so many chunks of what is there; false at the stream's end.
    async fn read_some(&mut self, chunks: usize) -> bool {
        for _ in 0..chunks {
            match self.receiver.try_read(&mut self.buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let mut lines = Vec::new();
                    self.lines.feed(&self.buffer[..length], |line| lines.push(line));
                    if !self.send(lines).await {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    async fn send(&self, lines: Vec<String>) -> bool {
        for text in lines {
            let line = Notice::Line { process: self.process, stream: self.stream, text };
            if self.notices.send(line).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Waits until the program has ended. The sender is gone only when the harness gives up, which is an
/// end as well.
async fn told(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}
