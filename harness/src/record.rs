//! The recorder: numbers a run's events, writes them as the run goes, and keeps them for judging.
//!
//! It knows nothing of what an event means.
//!
//! **Invariant:** a run is judged on exactly the events that its file holds, in the same order and with
//! the same numbers. What was written before a failure, a Ctrl-C or a kill stays readable.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use brownout_provider::event::{Event, Sink};

use crate::drive::stop::Stop;
use crate::trace::Trace;
use crate::trace::build::TraceBuilder;

/// How many batches may wait for the writer; whoever records more waits for the disk.
const QUEUE: usize = 16 * 1024;

/// Bytes that the writer gathers before it writes while the run is busy.
const BUFFER: usize = 256 * 1024;

/// Takes the events of one run.
///
/// With a file, a thread numbers, writes and keeps them, so that the run never waits for the disk; in
/// memory, they are kept where they are recorded.
pub struct Recorder {
    backend: Backend,
}

enum Backend {
    Memory(Mutex<Option<Box<Keeper>>>),
    Thread { queue: Mutex<Option<SyncSender<Vec<Event>>>>, writer: Mutex<Option<Writer>> },
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
        let (queue, events) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("brownout-trace".to_owned())
            .spawn(move || write_all(&events, out, &stop))?;
        let queue = Mutex::new(Some(queue));
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
                drop(lock(queue).take());
                let (keeper, error) =
                    lock(writer).take()?.join().expect("the writer's thread does not panic");
                Some(Recorded { trace: keeper.trace.finish(), error })
            }
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
            Backend::Thread { queue, .. } => {
                if let Some(queue) = lock(queue).as_ref() {
                    // The writer ends only after the queue is gone, so this cannot fail.
                    let _ = queue.send(events);
                }
            }
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

/// The writer's thread: gathers while events keep coming and flushes as soon as none waits. After an
/// error it goes on keeping events, so that nobody who records is blocked and the run can still be shown.
fn write_all(
    events: &Receiver<Vec<Event>>,
    out: impl Write,
    stop: &Stop,
) -> (Keeper, Option<io::Error>) {
    let mut keeper = Keeper::default();
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let mut error = None;
    loop {
        let batch = match events.try_recv() {
            Ok(batch) => batch,
            Err(TryRecvError::Empty) => {
                if error.is_none() {
                    note(out.flush(), &mut error, stop);
                }
                match events.recv() {
                    Ok(batch) => batch,
                    Err(_) => break,
                }
            }
            Err(TryRecvError::Disconnected) => break,
        };
        for mut event in batch {
            keeper.keep(&mut event);
            if error.is_none() {
                note(write_line(&mut out, &event), &mut error, stop);
            }
        }
    }
    if error.is_none() {
        note(out.flush(), &mut error, stop);
    } else {
        // What is left in the buffer is the tail of a line that cannot be written; dropping the buffer
        // would try once more.
        drop(out.into_parts());
    }
    (keeper, error)
}

fn write_line(out: &mut impl Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")
}

fn note(result: io::Result<()>, error: &mut Option<io::Error>, stop: &Stop) {
    if let Err(cause) = result {
        *error = Some(cause);
        stop.stop();
    }
}

/// The data under a lock is whole even if a holder panicked: every change of it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
}
