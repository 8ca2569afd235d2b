//! A run in virtual time: on a fresh runtime whose clock is paused, on the worker of the thread that asks.
//!
//! **Invariant:** no run takes place over a transport that was not found true, and whatever the client
//! does, the one who asked gets an answer.

use std::sync::Arc;

use brownout_provider::event::{Mode, RunKind};
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;
use tokio::runtime::LocalOptions;

use super::canary;
use super::stage::{Order, Performed};
use super::worker::{self, NoResult, Watch};
use super::{Client, Run, RunError, RunOptions};
use crate::drive::listen::carried;
use crate::drive::stop::Stop;
use crate::scenario::Scenario;

/// How many events of the kernel a run in virtual time takes at once: room for them is made in each run.
const IO_EVENTS: usize = 64;

/// A run in virtual time, ordered: it owns what it needs, because it may be given up.
pub(super) struct Paused {
    scenario: Arc<Scenario>,
    seed: Seed,
    client: Client,
    options: RunOptions,
    kind: RunKind,
}

impl Paused {
    /// Orders it, unless this machine or this client cannot have it.
    pub(super) fn new(
        scenario: Arc<Scenario>,
        seed: Seed,
        client: &Client,
        options: &RunOptions,
        kind: RunKind,
    ) -> Result<Self, RunError> {
        let mode = client.mode();
        if mode != Mode::InProcess {
            return Err(RunError::VirtualOnlyInProcess { mode });
        }
        canary::sing(options.transport())?;
        Ok(Self { scenario, seed, client: client.clone(), options: options.clone(), kind })
    }

    /// An order whose results are compared with the pure model, to see whether the machine is fit for it.
    pub(super) fn unproven(scenario: Arc<Scenario>, client: Client, options: RunOptions) -> Self {
        Self { seed: scenario.seed, scenario, client, options, kind: RunKind::Main }
    }

    /// Carries the order out on the worker of this thread, on a runtime of its own.
    pub(super) fn carry_out(self) -> Result<Run, RunError> {
        let watch =
            Watch { pulse: Arc::default(), stop: Stop::new(), patience: self.options.patience };
        let patience = self.options.patience;
        let seen = watch.clone();
        match worker::carry_out(carried(move || self.on_paused_time(seen)), &watch) {
            Ok(performed) => performed?.read_back(),
            Err(NoResult::Thread(source)) => {
                Err(RunError::System { what: "start a thread", source })
            }
            Err(NoResult::Stuck) => Err(RunError::Stuck { patience }),
        }
    }

    fn on_paused_time(self, watch: Watch) -> Result<Performed, RunError> {
        let pulse = Arc::clone(&watch.pulse);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .max_io_events_per_tick(IO_EVENTS)
            .on_thread_park(move || pulse.stands_at(Clock::virtual_now_us()))
            .build_local(LocalOptions::default())
            .map_err(|source| RunError::System { what: "start a runtime", source })?;
        // A task is woken by a place in a queue, and what stands outside of all tasks through the kernel. What it
        // does takes kilobytes, which a runtime would move about several times.
        let performed = Box::pin(self.performed(watch));
        let ended = runtime.block_on(runtime.spawn_local(performed));
        // A thread that the client blocks is nothing to wait for.
        runtime.shutdown_background();
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn performed(self, watch: Watch) -> Result<Performed, RunError> {
        let Self { scenario, seed, client, options, kind } = &self;
        let order = Order { scenario, seed: *seed, client, options, kind: *kind };
        order.perform(Clock::paused(), watch.stop, Some(&watch.pulse)).await
    }
}
