//! What all connections of a server share: the state machine under its lock, the sink, the clock, and
//! the count of what is under way.
//!
//! **Invariant:** events reach the sink under the same lock under which they were made, so the order of
//! the trace is the order of the decisions.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::event::Sink;
use crate::exchange::{ExchangeId, Next};
use crate::shell::clock::Clock;
use crate::shell::handler::Handler;
use crate::shell::lock::lock;
use crate::webhook::Due;

/// How many quiet looks in a row [`Core::idle`] wants. Between two of them the runtime asks the kernel
/// once, so bytes that a client wrote before it ended are accepted, read and handled by then.
const QUIET_LOOKS: u32 = 6;

/// What all connections of a server share.
pub(super) struct Core<H> {
    /// The clock of the run.
    pub(super) clock: Clock,
    /// True when the state machine wants to see heads before bodies are read.
    pub(super) wants_heads: bool,
    /// True when the state machine closes its door at times.
    pub(super) minds_the_door: bool,
    /// True when HTTP/2 is spoken beside HTTP/1.1.
    #[cfg(feature = "http2")]
    pub(super) speaks_http2: bool,
    /// Told when the first request has come, from which those times are counted.
    pub(super) knock: Arc<Notify>,
    knocked: AtomicBool,
    handler: Mutex<H>,
    sink: Arc<dyn Sink>,
    dues: UnboundedSender<Due>,
    /// Taken by whoever sends.
    due: Mutex<Option<UnboundedReceiver<Due>>>,
    busy: AtomicUsize,
    stopping: AtomicBool,
    changed: Notify,
    tasks: Mutex<JoinSet<()>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Why nobody can be let in any more.
    deaf: Mutex<Option<io::Error>>,
    /// Told when that happens.
    pub(super) deafened: Arc<Notify>,
}

impl<H: Handler> Core<H> {
    pub(super) fn new(handler: H, clock: Clock, sink: Arc<dyn Sink>) -> Self {
        let knock = Arc::new(Notify::new());
        let minds_the_door = handler.minds_the_door();
        #[cfg(feature = "http2")]
        let speaks_http2 = handler.speaks_http2();
        if minds_the_door {
            // It may come to another provider of the same run.
            let knock = Arc::clone(&knock);
            handler.when_begun(Box::new(move || knock.notify_one()));
        }
        let (dues, due) = unbounded_channel();
        Self {
            clock,
            dues,
            due: Mutex::new(Some(due)),
            wants_heads: handler.wants_heads(),
            minds_the_door,
            knock,
            #[cfg(feature = "http2")]
            speaks_http2,
            knocked: AtomicBool::new(false),
            handler: Mutex::new(handler),
            sink,
            busy: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
            tasks: Mutex::new(JoinSet::new()),
            panic: Mutex::new(None),
            deaf: Mutex::new(None),
            deafened: Arc::new(Notify::new()),
        }
    }

    /// Calls into the state machine and passes its events on.
    pub(super) fn call<T>(&self, ask: impl FnOnce(&mut H) -> T) -> T {
        let mut handler = lock(&self.handler);
        let answer = ask(&mut handler);
        let events = handler.take_events();
        if !events.is_empty() {
            self.sink.record(events);
        }
        for settled in handler.take_settled() {
            self.sink.settle(settled);
        }
        for strike in handler.take_client_strikes() {
            self.sink.strike_client(strike);
        }
        for due in handler.take_dues() {
            // Without anybody who sends, the state machine has nothing due.
            let _ = self.dues.send(due);
        }
        answer
    }

    /// The webhooks that become due, for whoever sends them; once.
    pub(super) fn take_due(&self) -> Option<UnboundedReceiver<Due>> {
        lock(&self.due).take()
    }

    /// A request has come: the first one is told to whoever minds the door.
    pub(super) fn arrived(&self) {
        if self.minds_the_door && !self.knocked.swap(true, Ordering::AcqRel) {
            self.knock.notify_one();
        }
    }

    /// Waits until this time and asks again, until something other than a wait comes out. The provider
    /// plans a finite number of waits, so this ends.
    pub(super) async fn drive(&self, id: ExchangeId, mut next: Next) -> Next {
        while let Next::Wait { until_us } = next {
            self.clock.sleep_until_us(until_us).await;
            next = self.call(|handler| handler.advance(id, self.clock.now_us()));
        }
        next
    }

    /// Runs a task that belongs to no connection and lives until it is done or the server shuts down.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let busy = Busy::new(Arc::clone(self));
        self.spawn_aside(async move {
            let _busy = busy;
            task.await;
        });
    }

    /// The same for a task that nobody has to wait for, but for what the state machine calls pending.
    pub(super) fn spawn_aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while let Some(ended) = tasks.try_join_next() {
            self.note(ended);
        }
        tasks.spawn(task);
    }

    /// Keeps the panic of a task for the one who shuts the server down.
    pub(super) fn note(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            lock(&self.panic).get_or_insert(error.into_panic());
            self.changed.notify_waiters();
        }
    }

    /// The panic of a task, if one panicked.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.panic).take()
    }

    /// The door cannot be opened or closed as it should.
    pub(super) fn deafen(&self, error: io::Error) {
        lock(&self.deaf).get_or_insert(error);
        self.deafened.notify_one();
    }

    /// True when nobody can be let in any more.
    pub(super) fn is_deaf(&self) -> bool {
        lock(&self.deaf).is_some()
    }

    /// Why nobody could be let in any more, if that happened.
    pub(super) fn take_deafness(&self) -> Option<io::Error> {
        lock(&self.deaf).take()
    }

    /// True when nothing is pending, open or spawned.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.load(Ordering::Acquire) == 0 && lock(&self.handler).pending() == 0
    }

    /// Waits until nothing is pending, open or spawned, nor on its way through the kernel.
    pub(super) async fn idle(&self) {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let changed = self.changed.notified();
            if lock(&self.panic).is_some() {
                return;
            }
            if self.is_idle() {
                quiet += 1;
                tokio::task::yield_now().await;
            } else {
                quiet = 0;
                changed.await;
            }
        }
    }

    /// Wakes those who wait for [`Core::idle`], to look again.
    pub(super) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// From here on connections that end were ended by the provider.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// True once the server shuts down.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends all spawned tasks.
    pub(super) async fn end_tasks(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            self.note(ended);
        }
    }
}

/// Something is under way as long as this lives.
pub(super) struct Busy<H: Handler> {
    core: Arc<Core<H>>,
}

impl<H: Handler> Busy<H> {
    pub(super) fn new(core: Arc<Core<H>>) -> Self {
        core.busy.fetch_add(1, Ordering::AcqRel);
        Self { core }
    }
}

impl<H: Handler> Drop for Busy<H> {
    fn drop(&mut self) {
        if self.core.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.core.changed.notify_waiters();
        }
    }
}
