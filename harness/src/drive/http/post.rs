//! Webhooks on their way from the provider to the service.
//!
//! The provider sends on any thread, and the service may live on the driver's own; so each webhook is handed to
//! the driver, which knows where the service is, and whether it is there at all.
//! **Invariant:** every webhook that is handed over is answered or said not to have been.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use brownout_provider::exchange::Pace;
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::sender::{Courier, Delivered};
use brownout_provider::webhook::Parcel;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// A webhook, and where its answer is waited for.
#[derive(Debug)]
pub struct Posted {
    /// What goes out.
    pub(super) parcel: Parcel,
    /// Who waits for what came of it.
    pub(super) answer: oneshot::Sender<Result<u16, String>>,
}

/// Hands webhooks to the driver of a run.
#[derive(Debug)]
pub struct Post(UnboundedSender<Posted>);

impl Post {
    /// A way from providers to a driver.
    #[must_use]
    pub fn new() -> (Self, UnboundedReceiver<Posted>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }
}

impl Courier for Post {
    fn deliver(&self, parcel: Parcel) -> Delivered {
        let (answer, answered) = oneshot::channel();
        // A driver that is gone drives nobody; its end of the channel says so.
        let _ = self.0.send(Posted { parcel, answer });
        Box::pin(
            async move { answered.await.unwrap_or_else(|_| Err("the service is gone".to_owned())) },
        )
    }
}

/// How long what was written of a body has to be on its way before its connection ends.
const FLUSHED_WITHIN: Duration = Duration::from_millis(20);

/// The body of a webhook as it goes out: at once or in pieces, whole or cut.
pub(super) struct Outgoing {
    rest: Bytes,
    pace: Option<Pace>,
    /// True when the connection ends with what is left of the body.
    is_cut: bool,
    clock: Clock,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    has_begun: bool,
}

impl Outgoing {
    pub(super) fn new(parcel: &Parcel, clock: Clock) -> Self {
        let length = parcel.cut.unwrap_or(parcel.body.len()).min(parcel.body.len());
        Self {
            rest: parcel.body.slice(..length),
            pace: parcel.pace,
            is_cut: parcel.cut.is_some(),
            clock,
            pause: None,
            has_begun: false,
        }
    }

    /// What of it arrives in the end.
    pub(super) fn arrives(parcel: &Parcel) -> Bytes {
        let length = parcel.cut.unwrap_or(parcel.body.len()).min(parcel.body.len());
        parcel.body.slice(..length)
    }

    /// How long its pieces take.
    pub(super) fn takes(parcel: &Parcel) -> Duration {
        let Some(pace) = parcel.pace else { return Duration::ZERO };
        let pieces = Self::arrives(parcel).len().div_ceil(pace.bytes.max(1));
        let pauses = u64::try_from(pieces.saturating_sub(1)).unwrap_or(u64::MAX);
        Duration::from_micros(pace.every_us.saturating_mul(pauses))
    }
}

/// The body was cut short on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the body is cut")]
pub(super) struct CutShort;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        let wait = match (this.pace, this.rest.is_empty()) {
            (Some(pace), false) if this.has_begun => Some(Duration::from_micros(pace.every_us)),
            // What was written before has to be on its way when the connection is thrown away.
            (_, true) if this.is_cut => Some(FLUSHED_WITHIN),
            _ => None,
        };
        if let Some(wait) = wait {
            let clock = this.clock;
            let pause =
                this.pause.get_or_insert_with(|| Box::pin(async move { clock.sleep(wait).await }));
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        if this.rest.is_empty() {
            return Poll::Ready(this.is_cut.then_some(Err(CutShort)));
        }
        this.has_begun = true;
        let length = this.pace.map_or(this.rest.len(), |pace| pace.bytes.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(length.max(1))))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !self.is_cut
    }
}
