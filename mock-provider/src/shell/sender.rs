//! Sends the provider's webhooks: waits until one is due, hands it to a courier, and says what came of it.
//!
//! **Invariant:** it decides nothing; whether something is sent again says the state machine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::shell::core::Core;
use crate::shell::handler::Handler;
use crate::webhook::{Due, Parcel};

/// What came of a delivery: a status, or why there is none.
pub type Delivered = Pin<Box<dyn Future<Output = Result<u16, String>> + Send>>;

/// Brings webhooks to whoever listens to them, on this machine.
pub trait Courier: Send + Sync {
    /// Delivers one; the future is dropped when the sender waits no longer.
    fn deliver(&self, parcel: Parcel) -> Delivered;
}

/// Sends all that becomes due.
pub(super) async fn send_all<H: Handler>(
    core: Arc<Core<H>>,
    mut dues: UnboundedReceiver<Due>,
    courier: Arc<dyn Courier>,
) {
    while let Some(due) = dues.recv().await {
        core.spawn(send(Arc::clone(&core), due, Arc::clone(&courier)));
    }
}

async fn send<H: Handler>(core: Arc<Core<H>>, mut due: Due, courier: Arc<dyn Courier>) {
    let clock = core.clock;
    loop {
        clock.sleep_until_us(due.at_us).await;
        let parcel = core.call(|handler| handler.send_webhook(due.delivery, clock.now_us()));
        let Some(parcel) = parcel else { break };
        let within = Duration::from_micros(parcel.timeout_us);
        let answer = clock.within(within, courier.deliver(parcel)).await;
        let answer = answer.unwrap_or_else(|| Err("no answer in time".to_owned()));
        let again =
            core.call(|handler| handler.webhook_answered(due.delivery, answer, clock.now_us()));
        match again {
            Some(again) => due = again,
            None => break,
        }
    }
    core.look_again();
}
