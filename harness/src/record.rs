//! The recorder: numbers a run's events, writes them as the run goes, and keeps them for judging.
//!
//! It knows nothing of what an event means.
//!
//! **Invariant:** a run is judged on exactly the events that its file holds, in the same order and with
//! the same numbers. What was written before a failure, a Ctrl-C or a kill stays readable.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use brownout_provider::event::{Event, Sink};

use crate::drive::lock::lock;
use crate::drive::stop::Stop;
use crate::trace::Trace;
use crate::trace::build::TraceBuilder;

/// How many batches may wait for the writer; whoever records more waits for the disk.
const QUEUE: usize = 64 * 1024;

/// Bytes that the writer gathers before it writes while the run is busy.
const BUFFER: usize = 256 * 1024;

/// How long the writer naps before it looks for more. Waking it for each event would cost a busy run
/// more than all else that is done about the event.
const NAP: Duration = Duration::from_millis(1);

/// After so many naps without an event the writer sleeps until it is woken.
const NAPS: u32 = 20;

/// Takes the events of one run.
///
/// With a file, a thread numbers, writes and keeps them, so that the run never waits for the disk; in
/// memory, they are kept where they are recorded.
pub struct Recorder {
    backend: Backend,
}

enum Backend {
    Memory(Mutex<Option<Box<Keeper>>>),
    Thread { queue: Arc<Queue>, writer: Mutex<Option<Writer>> },
}

type Writer = JoinHandle<(Keeper, Option<io::Error>)>;

/// What a finished recorder hands over.
#[derive(Debug)]
pub struct Recorded {
    /// The run's events, ready to be judged; `None` if none was a `run_started`.
    pub trace: Option<Trace>,
    /// The first error of writing, if one occurred: then the file holds only a part.
    pub error: Option<io::Error>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Keeps events without writing them anywhere.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { backend: Backend::Memory(Mutex::new(Some(Box::default()))) }
    }

    /// Creates `path` (replacing what stood there) and writes events to it.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or the thread not started.
    pub fn to_file(path: &Path, stop: Stop) -> io::Result<Self> {
        Self::to_writer(File::create(path)?, stop)
    }

    /// Writes events to `out`. The first error ends the run through `stop`.
    ///
    /// # Errors
    ///
    /// When the writer's thread cannot be started.
    pub fn to_writer(out: impl Write + Send + 'static, stop: Stop) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let pen = Pen { out, line: Vec::with_capacity(BUFFER), error: None, stop };
        let events = Arc::clone(&queue);
        let writer = std::thread::Builder::new()
            .name("brownout-trace".to_owned())
            .spawn(move || pen.write_all(&events))?;
        Ok(Self { backend: Backend::Thread { queue, writer: Mutex::new(Some(writer)) } })
    }

    /// Ends the recording: whatever is recorded later is lost. `None` if it had ended before.
    ///
    /// # Panics
    ///
    /// If the writer's thread has panicked.
    pub fn finish(&self) -> Option<Recorded> {
        match &self.backend {
            Backend::Memory(keeper) => {
                let keeper = lock(keeper).take()?;
                Some(Recorded { trace: keeper.trace.finish(), error: None })
            }
            Backend::Thread { queue, writer } => {
                queue.close();
                let (keeper, error) =
                    lock(writer).take()?.join().expect("the writer's thread does not panic");
                Some(Recorded { trace: keeper.trace.finish(), error })
            }
        }
    }
}

impl Drop for Recorder {
    /// Lets the writer's thread end; what was recorded is still written.
    fn drop(&mut self) {
        if let Backend::Thread { queue, .. } = &self.backend {
            queue.close();
        }
    }
}

impl Sink for Recorder {
    fn record(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        match &self.backend {
            Backend::Memory(keeper) => {
                if let Some(keeper) = lock(keeper).as_mut() {
                    for mut event in events {
                        keeper.keep(&mut event);
                    }
                }
            }
            Backend::Thread { queue, .. } => queue.push(events),
        }
    }
}

/// Numbers events and keeps what judging needs of them.
#[derive(Debug, Default)]
struct Keeper {
    last: u64,
    trace: TraceBuilder,
}

impl Keeper {
    fn keep(&mut self, event: &mut Event) {
        self.last += 1;
        event.seq = self.last;
        self.trace.push(event);
    }
}

/// What waits for the writer.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    /// The writer waits for events.
    events: Condvar,
    /// Whoever records waits for room.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Vec<Event>>,
    /// The writer sleeps and must be woken.
    asleep: bool,
    closed: bool,
}

impl Queue {
    fn push(&self, events: Vec<Event>) {
        let mut waiting = lock(&self.state);
        while waiting.batches.len() >= QUEUE && !waiting.closed {
            self.events.notify_one();
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return;
        }
        waiting.batches.push(events);
        if waiting.asleep {
            waiting.asleep = false;
            self.events.notify_one();
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.events.notify_all();
        self.room.notify_all();
    }

    /// Takes all that waits, in exchange for an empty list; true when nothing more will come.
    fn take(&self, taken: &mut Vec<Vec<Event>>) -> bool {
        let mut waiting = lock(&self.state);
        std::mem::swap(&mut waiting.batches, taken);
        self.room.notify_all();
        waiting.closed
    }

    /// Waits for events: a nap, or a sleep until woken. Returns early when there are some.
    fn wait(&self, naps: u32) {
        let mut waiting = lock(&self.state);
        if !waiting.batches.is_empty() || waiting.closed {
            return;
        }
        if naps < NAPS {
            drop(self.events.wait_timeout(waiting, NAP));
            return;
        }
        waiting.asleep = true;
        while waiting.batches.is_empty() && !waiting.closed {
            waiting = self.events.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
    }
}

/// Writes lines, gathered while events keep coming and handed over as soon as none waits.
struct Pen<W> {
    out: W,
    line: Vec<u8>,
    error: Option<io::Error>,
    stop: Stop,
}

impl<W: Write> Pen<W> {
    /// The writer's thread. After an error it goes on keeping events, so that nobody who records is
    /// blocked and the run can still be shown.
    fn write_all(mut self, events: &Queue) -> (Keeper, Option<io::Error>) {
        let mut keeper = Keeper::default();
        let mut taken = Vec::new();
        let mut naps = 0;
        loop {
            let closed = events.take(&mut taken);
            if taken.is_empty() {
                self.hand_over();
                if closed {
                    return (keeper, self.error);
                }
                events.wait(naps);
                naps = naps.saturating_add(1);
                continue;
            }
            naps = 0;
            for mut event in taken.drain(..).flatten() {
                keeper.keep(&mut event);
                self.write(&event);
            }
        }
    }

    fn write(&mut self, event: &Event) {
        if self.error.is_some() {
            return;
        }
        if let Err(error) = serde_json::to_writer(&mut self.line, event) {
            self.fail(error.into());
            return;
        }
        self.line.push(b'\n');
        if self.line.len() >= BUFFER {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if self.error.is_none()
            && !self.line.is_empty()
            && let Err(error) = self.out.write_all(&self.line).and_then(|()| self.out.flush())
        {
            self.fail(error);
        }
        self.line.clear();
    }

    fn fail(&mut self, error: io::Error) {
        self.error = Some(error);
        self.stop.stop();
    }
}

#[cfg(test)]
mod tests {
    use brownout_provider::event::{EventKind, RunFinished};

    use super::*;

    /// A writer that takes so many bytes and then reports a full disk.
    #[derive(Debug)]
    struct FullDisk {
        written: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            if fits == 0 && !bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.room -= fits;
            lock(&self.written).extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn event(at_us: u64) -> Event {
        Event::new(at_us, EventKind::RunFinished(RunFinished { reason: Arc::from("completed") }))
    }

    #[test]
    fn events_are_numbered_in_the_order_of_the_calls() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.jsonl");
        let stop = Stop::new();
        let recorder = Recorder::to_file(&path, stop.clone()).expect("it can be created");
        recorder.record(vec![event(5), event(6)]);
        recorder.record(Vec::new());
        recorder.record(vec![event(7)]);
        let recorded = recorder.finish().expect("the first to finish it");
        assert!(recorded.error.is_none() && !stop.is_stopped());
        recorder.record(vec![event(8)]);
        assert!(recorder.finish().is_none());
        let text = std::fs::read_to_string(&path).expect("it is there");
        let events: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        let numbers: Vec<(u64, u64)> = events.iter().map(|e| (e.seq, e.at_us)).collect();
        assert_eq!(numbers, [(1, 5), (2, 6), (3, 7)]);
    }

    #[test]
    fn a_full_disk_stops_the_run_and_leaves_whole_lines() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let stop = Stop::new();
        let disk = FullDisk { written: Arc::clone(&written), room: 100 };
        let recorder = Recorder::to_writer(disk, stop.clone()).expect("a thread");
        recorder.record((0..10_000).map(event).collect());
        let recorded = recorder.finish().expect("the first to finish it");
        assert_eq!(recorded.error.expect("the disk was full").kind(), io::ErrorKind::StorageFull);
        assert!(stop.is_stopped());
        let bytes = lock(&written).clone();
        assert_eq!(bytes.len(), 100);
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        let first = text.lines().next().expect("a line");
        serde_json::from_str::<Event>(first).expect("what was written stays readable");
    }

    /// Tells what it is handed.
    struct Told(std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Nobody listens after the test's end.
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_recorded_is_handed_over_while_the_run_goes_on() {
        let (teller, told) = std::sync::mpsc::channel();
        let recorder = Recorder::to_writer(Told(teller), Stop::new()).expect("a thread");
        for at_us in 0..3 {
            recorder.record(vec![event(at_us)]);
            let line = told.recv_timeout(Duration::from_secs(30)).expect("it is handed over");
            let event: Event = serde_json::from_slice(&line).expect("a whole line");
            assert_eq!(event.at_us, at_us);
        }
    }
}
