//! The engine that all parts of one server share, started with its first request.
//!
//! **Invariant:** a request that has arrived is ended exactly once, also when its future is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use brownout_provider::exchange::{ExchangeId, Next};
use brownout_provider::provider::{Interposed, Interposer, OwnAnswer, Setup};
use brownout_provider::request::Request;
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, Method};

use super::Plan;

/// Decides for all requests of one server.
#[derive(Debug)]
pub(super) struct Engine {
    plan: Plan,
    started: OnceLock<(Clock, Mutex<Interposer>)>,
}

/// A request that has arrived. Dropped, it counts as one that failed.
#[derive(Debug)]
pub(super) struct Struck {
    engine: Arc<Engine>,
    interposed: Interposed,
    ended: bool,
}

impl Engine {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, started: OnceLock::new() }
    }

    /// What strikes a request; `None` where no rule can know its route.
    pub(super) fn arrive(
        self: &Arc<Self>,
        (method, target): (&Method, &str),
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Option<Struck> {
        let now_us = self.clock().now_us();
        let request = Request {
            connection: 0,
            reused: false,
            http2: false,
            peer: None,
            method: method.clone(),
            target: target.to_owned(),
            headers: headers.clone(),
            body: body.clone(),
            head_at_us: now_us,
        };
        let interposed = self.interposer().arrive(&request, now_us)?;
        Some(Struck { engine: Arc::clone(self), interposed, ended: false })
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.started().0
    }

    pub(super) fn strikes(&self) -> BTreeMap<String, u64> {
        match self.started.get() {
            None => BTreeMap::new(),
            Some(_) => {
                let interposer = self.interposer();
                interposer
                    .strikes()
                    .iter()
                    .map(|(rule, count)| (rule.to_string(), *count))
                    .collect()
            }
        }
    }

    fn interposer(&self) -> MutexGuard<'_, Interposer> {
        self.started().1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock begins with the first request, on the runtime that serves it.
    fn started(&self) -> &(Clock, Mutex<Interposer>) {
        self.started.get_or_init(|| {
            let clock = Clock::real();
            let Plan { name, api, rules, seed, operation_id } = self.plan.clone();
            let wall = clock.wall();
            let setup = Setup {
                name,
                api,
                rules,
                seed,
                wall,
                operation_id,
                limits: false,
                http2: false,
                webhooks: false,
            };
            (clock, Mutex::new(Interposer::new(setup)))
        })
    }
}

impl Struck {
    /// What strikes.
    pub(super) fn faults(&self) -> &Interposed {
        &self.interposed
    }

    /// What goes out; `own` is the server's own answer, where it was asked for one.
    pub(super) fn answer(&self, own: Option<OwnAnswer>) -> Next {
        let now_us = self.engine.clock().now_us();
        self.engine.interposer().answer(&self.interposed, own, now_us)
    }

    /// The answer is known; `succeeded` when the client gets the whole of a success.
    #[expect(clippy::fn_params_excessive_bools, reason = "there is nothing else to say of an end")]
    pub(super) fn end(mut self, succeeded: bool) {
        self.ended = true;
        let id = self.interposed.id();
        self.tell(id, succeeded);
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "there is nothing else to say of an end")]
    fn tell(&self, id: ExchangeId, succeeded: bool) {
        self.engine.interposer().ended(id, succeeded);
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(self.interposed.id(), false);
        }
    }
}
