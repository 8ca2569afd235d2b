//! What a client in this process says through `tracing`, as lines of its output.
//!
//! Whatever subscriber the user has goes on as if nobody listened beside it; none is installed anywhere.
//! **Invariant:** events reach the listener and the user's own subscriber alike, and spans the user's alone.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::instrument::{WithDispatch, WithSubscriber};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber, Subscriber};
use tracing::{Dispatch, Event, Level, Metadata, dispatcher};
use tracing_core::span::Current;

use super::connection::Link;

/// What is output whatever the user's own subscriber lets through: this and all that is graver.
const LEVEL: Level = Level::INFO;

tokio::task_local! {
    /// Whose work is being done.
    static LINK: Arc<dyn Link>;
}

/// The ear of a run: one subscriber for all its operations, because each that is made costs time at every
/// place in the program that says something.
#[derive(Clone, Debug)]
pub(super) struct Ear(Dispatch);

impl Ear {
    /// Stands before the subscriber of this thread. What is said by work that an operation has set going
    /// beside its own goes to `link`.
    pub(super) fn new(link: Arc<dyn Link>) -> Self {
        let own = dispatcher::get_default(Dispatch::clone);
        Self(Dispatch::new(Listener { own, link }))
    }

    /// Listens to what a future says while it is made and while it works.
    pub(super) fn listening<F: Future>(
        &self,
        link: Arc<dyn Link>,
        make: impl FnOnce() -> F,
    ) -> WithDispatch<TaskLocalFuture<Arc<dyn Link>, F>> {
        let work = LINK.sync_scope(Arc::clone(&link), || dispatcher::with_default(&self.0, make));
        LINK.scope(link, work).with_subscriber(self.0.clone())
    }
}

/// The subscriber of the thread on which a run is asked for, for the thread on which it takes place.
pub(crate) fn carried<T>(job: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let own = dispatcher::get_default(Dispatch::clone);
    move || {
        if own.is::<NoSubscriber>() {
            return job();
        }
        dispatcher::with_default(&own, job)
    }
}

/// Stands before the user's own subscriber.
struct Listener {
    own: Dispatch,
    link: Arc<dyn Link>,
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // What the user's own subscriber wants, it has said itself.
        match is_output(metadata) {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_output(metadata) || self.own.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(LEVEL))
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = format!("{} {}:", metadata.level(), metadata.target());
        event.record(&mut Words(&mut line));
        let heard = LINK.try_with(|link| link.log(&line));
        if heard.is_err() {
            self.link.log(&line);
        }
        if self.own.enabled(metadata) {
            self.own.event(event);
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.own.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.own.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.own.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.own.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.own.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.own.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.own.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.own.current_span()
    }
}

/// True for an event that is output by itself.
fn is_output(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= LEVEL
}

/// Writes the fields of an event: its message, then the others as `name=value`.
struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes every word");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use brownout_provider::shell::lock::lock;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Link for Kept {
        fn log(&self, line: &str) {
            lock(&self.0).push(line.to_owned());
        }

        fn crash(&self, _: u32) {}
    }

    /// A subscriber of the user's own, which hears debug events too, and counts the spans.
    #[derive(Clone, Default)]
    struct Own(Arc<Kept>);

    impl Subscriber for Own {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::DEBUG
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            self.0.log(span.metadata().name());
            Id::from_u64(7)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            self.0.log(event.metadata().level().as_str());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    async fn chatter() -> u32 {
        tracing::info_span!("charging", order = 17).in_scope(|| {
            tracing::warn!(target: "shop", attempt = 2, key = "k-1", "tried again");
        });
        tokio::task::yield_now().await;
        tracing::debug!(target: "shop", "a detail");
        tracing::trace!(target: "shop", "nobody's business");
        7
    }

    fn run(link: &Arc<Kept>) -> u32 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let link: Arc<dyn Link> = Arc::<Kept>::clone(link);
        runtime.block_on(async {
            Ear::new(Arc::clone(&link))
                .listening(link, || {
                    tracing::error!(target: "shop", "while it is made");
                    chatter()
                })
                .await
        })
    }

    #[test]
    fn events_are_output_without_any_subscriber() {
        let link = Arc::new(Kept::default());
        assert_eq!(run(&link), 7);
        assert_eq!(
            *lock(&link.0),
            ["ERROR shop: while it is made", "WARN shop: tried again attempt=2 key=\"k-1\""]
        );
        tracing::error!(target: "shop", "after the work nobody listens");
        assert_eq!(lock(&link.0).len(), 2);
    }

    #[test]
    fn a_subscriber_of_the_user_hears_all_as_ever_and_what_it_lets_through_is_output() {
        let (link, own) = (Arc::new(Kept::default()), Own::default());
        let work = dispatcher::with_default(&Dispatch::new(own.clone()), || {
            // As it is carried to the thread of a run.
            carried(|| run(&link))
        });
        assert_eq!(std::thread::scope(|scope| scope.spawn(work).join()).expect("no panic"), 7);
        assert_eq!(*lock(&own.0.0), ["ERROR", "charging", "WARN", "DEBUG"]);
        assert_eq!(lock(&link.0).last().map(String::as_str), Some("DEBUG shop: a detail"));
        assert_eq!(lock(&link.0).len(), 3);
    }
}
