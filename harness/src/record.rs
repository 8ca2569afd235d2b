//! The recorder: numbers a run's events, writes them as the run goes, and hands them over for judging.
//!
//! It knows nothing of what an event means.
//!
//! **Invariant:** a run is judged on exactly the events that its file holds, in the same order and with
//! the same numbers. What was written before a failure, a Ctrl-C or a kill stays readable.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use brownout_provider::event::{Event, Sink};
use brownout_provider::json;
use brownout_provider::shell::lock::lock;

use crate::drive::stop::Stop;
use crate::trace::Trace;
use crate::trace::build::TraceBuilder;
use crate::trace::read::{self, TraceError};

/// How many bytes may wait for the writer; whoever records more waits for the disk.
const MOST_WAITING: usize = 32 * 1024 * 1024;

/// Bytes that are read back at once.
const BUFFER: usize = 256 * 1024;

/// How long the writer naps before it looks for more. Waking it for each event would cost a busy run
/// more than all else that is done about the event.
const NAP: Duration = Duration::from_millis(1);

/// After so many naps without an event the writer sleeps until it is woken.
const NAPS: u32 = 20;

/// Takes the events of one run.
///
/// With a file, events become text where they are recorded, a thread writes the text, so that the run
/// never waits for the disk, and the file is read back in the end; in memory, they are kept where they
/// are recorded.
///
/// # Rationale
///
/// Handing the events themselves to another thread costs the run three times as much as writing them
/// as text: their memory is then given back by another thread than the one that takes it, and making
/// sense of them while the run goes on costs more than all else that is done about a request.
pub struct Recorder {
    backend: Backend,
}

enum Backend {
    Memory(Mutex<Option<Box<Keeper>>>),
    File { text: Arc<Text>, writer: Mutex<Option<Writer>> },
}

type Writer = JoinHandle<(Box<dyn Store>, Option<io::Error>)>;

/// What a finished recorder hands over.
#[derive(Debug)]
pub struct Recorded {
    /// The run's events, ready to be judged; `None` if the first was no `run_started`.
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

    /// Creates `path` (replacing what stood there) and writes events to it. The first error ends the
    /// run through `stop`. The file is locked until the recording has ended, for two runs that write to
    /// one file would be judged on each other's events.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or the thread not started; `WouldBlock` while another recording
    /// writes to the file, which is then left as it is.
    pub fn to_file(path: &Path, stop: Stop) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        // A device is written to as it is.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Self::to_store(Box::new(file), stop)
    }

    fn to_store(store: Box<dyn Store>, stop: Stop) -> io::Result<Self> {
        let text = Arc::new(Text::default());
        let taken = Arc::clone(&text);
        let writer = std::thread::Builder::new()
            .name("brownout-trace".to_owned())
            .spawn(move || write_all(store, &taken, &stop))?;
        Ok(Self { backend: Backend::File { text, writer: Mutex::new(Some(writer)) } })
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
            Backend::File { text, writer } => {
                text.close();
                let (mut store, error) =
                    lock(writer).take()?.join().expect("the writer's thread does not panic");
                let read = match store.read_back() {
                    Ok((written, bytes)) => {
                        let written = BufReader::with_capacity(BUFFER, written);
                        read::read_sized(written, bytes, |_| ())
                    }
                    Err(error) => Err(TraceError::Io(error)),
                };
                Some(match read {
                    Ok(trace) => Recorded { trace: Some(trace), error },
                    Err(TraceError::Io(unread)) => {
                        Recorded { trace: None, error: error.or(Some(unread)) }
                    }
                    Err(
                        TraceError::Empty
                        | TraceError::NoTrace(_)
                        | TraceError::CutAtOnce(_)
                        | TraceError::Version { .. },
                    ) => Recorded { trace: None, error },
                })
            }
        }
    }
}

impl Drop for Recorder {
    /// Lets the writer's thread end; what was recorded is still written.
    fn drop(&mut self) {
        if let Backend::File { text, .. } = &self.backend {
            text.close();
        }
    }
}

impl Sink for Recorder {
    fn record(&self, events: Vec<Event>) {
        match &self.backend {
            Backend::Memory(keeper) => {
                if let Some(keeper) = lock(keeper).as_mut() {
                    for mut event in events {
                        keeper.keep(&mut event);
                    }
                }
            }
            Backend::File { text, .. } => text.push(events),
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

/// Where text goes, and whence it is read back.
trait Store: Write + Send {
    /// All that was written, from the beginning, and how many bytes that is, where it is known.
    fn read_back(&mut self) -> io::Result<(Box<dyn Read + '_>, u64)>;
}

impl Store for File {
    fn read_back(&mut self) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let written = self.stream_position()?;
        self.seek(SeekFrom::Start(0))?;
        Ok((Box::new(self.take(written)), written))
    }
}

/// The text that waits for the writer.
#[derive(Default)]
struct Text {
    state: Mutex<Waiting>,
    /// The writer waits for text.
    more: Condvar,
    /// Whoever records waits for room.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Whole lines.
    lines: Vec<u8>,
    /// The number of the last event.
    last: u64,
    /// Why an event could not become text.
    error: Option<io::Error>,
    /// The writer sleeps and must be woken.
    asleep: bool,
    closed: bool,
}

impl Waiting {
    fn write(&mut self, mut event: Event) {
        self.last += 1;
        event.seq = self.last;
        let whole = self.lines.len();
        if let Err(error) = json::write(&event, &mut self.lines) {
            self.lines.truncate(whole);
            self.error.get_or_insert(error.into());
        } else {
            self.lines.push(b'\n');
        }
    }
}

impl Text {
    fn push(&self, events: Vec<Event>) {
        let mut waiting = lock(&self.state);
        while waiting.lines.len() >= MOST_WAITING && !waiting.closed {
            self.more.notify_one();
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed || events.is_empty() {
            return;
        }
        for event in events {
            waiting.write(event);
        }
        if waiting.asleep {
            waiting.asleep = false;
            self.more.notify_one();
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.more.notify_all();
        self.room.notify_all();
    }

    /// Takes all that waits, in exchange for an empty buffer; true when nothing more will come.
    fn take(&self, taken: &mut Vec<u8>) -> io::Result<bool> {
        let mut waiting = lock(&self.state);
        std::mem::swap(&mut waiting.lines, taken);
        self.room.notify_all();
        match waiting.error.take() {
            Some(error) => Err(error),
            None => Ok(waiting.closed),
        }
    }

    /// Waits for text: a nap, or a sleep until woken. Returns early when there is some.
    fn wait(&self, naps: u32) {
        let mut waiting = lock(&self.state);
        if !waiting.lines.is_empty() || waiting.closed {
            return;
        }
        if naps < NAPS {
            drop(self.more.wait_timeout(waiting, NAP));
            return;
        }
        waiting.asleep = true;
        while waiting.lines.is_empty() && !waiting.closed {
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
    }
}

/// The writer's thread. After an error it goes on taking text, so that nobody who records is blocked.
fn write_all(
    mut store: Box<dyn Store>,
    text: &Text,
    stop: &Stop,
) -> (Box<dyn Store>, Option<io::Error>) {
    let mut taken = Vec::new();
    let mut first_error = None;
    let mut naps = 0;
    loop {
        let closed = text.take(&mut taken);
        let wrote = if first_error.is_none() { write(&mut store, &taken) } else { Ok(()) };
        let ended = matches!(closed, Ok(true));
        if let Err(error) = wrote.and(closed) {
            stop.stop();
            first_error.get_or_insert(error);
        }
        if !taken.is_empty() {
            taken.clear();
            naps = 0;
        } else if ended {
            return (store, first_error);
        } else {
            text.wait(naps);
            naps = naps.saturating_add(1);
        }
    }
}

fn write(store: &mut Box<dyn Store>, lines: &[u8]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    store.write_all(lines)?;
    store.flush()
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

    impl Store for FullDisk {
        fn read_back(&mut self) -> io::Result<(Box<dyn Read + '_>, u64)> {
            Ok((Box::new(io::Cursor::new(lock(&self.written).clone())), 0))
        }
    }

    fn event(at_us: u64) -> Event {
        Event::new(
            at_us,
            EventKind::RunFinished(RunFinished { reason: Arc::from("completed"), late_us: 0 }),
        )
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
    fn a_file_that_another_recording_writes_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.jsonl");
        let first = Recorder::to_file(&path, Stop::new()).expect("it can be created");
        first.record(vec![event(5)]);
        let refused = Recorder::to_file(&path, Stop::new()).expect_err("it is being written");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(first.finish().expect("the first to finish it").error.is_none());
        assert_eq!(std::fs::read_to_string(&path).expect("it is there").lines().count(), 1);
        Recorder::to_file(&path, Stop::new()).expect("nobody writes to it any more");
    }

    #[test]
    fn a_full_disk_stops_the_run_and_leaves_whole_lines() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let stop = Stop::new();
        let disk = FullDisk { written: Arc::clone(&written), room: 100 };
        let recorder = Recorder::to_store(Box::new(disk), stop.clone()).expect("a thread");
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

    impl Store for Told {
        fn read_back(&mut self) -> io::Result<(Box<dyn Read + '_>, u64)> {
            Ok((Box::new(io::empty()), 0))
        }
    }

    #[test]
    fn what_is_recorded_is_handed_over_while_the_run_goes_on() {
        let (teller, told) = std::sync::mpsc::channel();
        let recorder = Recorder::to_store(Box::new(Told(teller)), Stop::new()).expect("a thread");
        for at_us in 0..3 {
            recorder.record(vec![event(at_us)]);
            let line = told.recv_timeout(Duration::from_secs(30)).expect("it is handed over");
            let event: Event = serde_json::from_slice(&line).expect("a whole line");
            assert_eq!(event.at_us, at_us);
        }
    }
}
