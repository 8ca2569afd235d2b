//! The fault engine without a provider: what strikes a request that another server answers.
//!
//! It recognises operations, counts attempts, and decides like a provider does; ledger, keys and limits
//! are the other server's own.
//! **Invariant:** a request of the same coordinates meets the same faults here as at a provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use http::HeaderMap;
use indexmap::IndexMap;

use super::answer::{half, mangled, rendered, substituted, unanswered};
use super::arrival::Arrivals;
use super::open::Own;
use super::struck::Struck;
use super::{Common, Setup};
use crate::api::{Api, ErrorContext, Route, Which};
use crate::coordinates::Coordinates;
use crate::event::{Class, Digest16};
use crate::exchange::{Answer, Cut, End, ExchangeId, Next, Wire};
use crate::fault::{Ending, Point};
use crate::hint::WallClock;
use crate::ledger::Ledger;
use crate::plan::{FaultPlan, Situation};
use crate::recognition::{Evidence, Recognizer};
use crate::request::Request;

/// Decides what strikes the requests to a server that is not ours.
#[derive(Debug)]
pub struct Interposer {
    name: Arc<str>,
    api: Arc<Api>,
    plan: FaultPlan,
    recognizer: Recognizer,
    arrivals: Arrivals,
    /// The other server's objects are not known here.
    ledger: Ledger,
    attempts: IndexMap<(Arc<str>, u32, Arc<str>), u32, FixedState>,
    strikes: BTreeMap<Arc<str>, u64>,
    last_id: ExchangeId,
    common: Common,
    wall: WallClock,
}

/// The other server's own answer.
#[derive(Clone, Debug)]
pub struct OwnAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// What strikes one request.
#[derive(Debug)]
pub struct Interposed {
    id: ExchangeId,
    route: Arc<Route>,
    struck: Struck,
}

impl Interposer {
    /// One that has seen no request yet. Limits and keys of the API do not count here.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { name, api, rules, seed, wall, operation_id, .. } = setup;
        let common = Common::default();
        let plan = FaultPlan::counting(rules, seed, common.counts());
        Self {
            name,
            recognizer: Recognizer::new(&api, operation_id),
            arrivals: Arrivals::new(&plan, common.numbers()),
            plan,
            api,
            ledger: Ledger::default(),
            attempts: IndexMap::default(),
            strikes: BTreeMap::new(),
            last_id: 0,
            common,
            wall,
        }
    }

    /// A request has been read whole: what strikes it, if anything; `None` when the API has no such route.
    /// [`Interposer::ended`] must be told what became of it.
    pub fn arrive(&mut self, request: &Request, now_us: u64) -> Option<Interposed> {
        let target = &request.target;
        let reading = self.api.read(&request.method, target, &request.headers, &request.body);
        let route = Arc::clone(reading.route.as_ref()?);
        self.last_id += 1;
        let id = self.last_id;
        let evidence = Evidence {
            target,
            rest: target,
            key_token: None,
            method: &request.method,
            headers: &request.headers,
            call: &reading.call,
            canonical: Digest16::of(&self.api.canonical(&reading, &request.body)),
        };
        let found = self.recognizer.recognize(&evidence, &self.ledger, id);
        let counted = (Arc::clone(&found.operation), found.submit, Arc::clone(&route.name));
        let attempt = self.attempts.entry(counted).or_insert(0);
        *attempt = attempt.saturating_add(1);
        let (operation_number, numbered) = self.arrivals.number(&found);
        let first_us = self.common.begin(now_us);
        let decision = self.plan.decide(&Situation {
            at: Coordinates {
                provider: &self.name,
                route: &route.name,
                operation: &found.operation,
                submit: found.submit,
                attempt: *attempt,
            },
            route: Some(&route),
            operation_number,
            numbered,
            tenant: None,
            method: &request.method,
            headers: &request.headers,
            body: reading.call.body.as_ref(),
            since_first_us: now_us.saturating_sub(first_us),
            // Connections are not known here.
            reused: false,
            http2: false,
            streamed: route.stream_for(&reading.call).is_some(),
        });
        for strike in &decision.strikes {
            *self.strikes.entry(Arc::clone(&strike.rule)).or_default() += 1;
        }
        let mut struck = Struck::fold(decision);
        let classes = &self.api.classes;
        struck.locate(target, target);
        struck.sort_out_throttling(|status| classes.of_status(status) == Class::Throttling);
        Some(Interposed { id, route, struck })
    }

    /// A request is over; `succeeded` when it was answered whole with success. Whether the next one like
    /// it is another attempt depends on it, where requests do not name their operation.
    #[expect(clippy::fn_params_excessive_bools, reason = "there is nothing else to say of an end")]
    pub fn ended(&mut self, id: ExchangeId, succeeded: bool) {
        self.recognizer.ended(id, succeeded);
    }

    /// How many faults each rule has injected.
    #[must_use]
    pub fn strikes(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.strikes
    }

    /// What goes out for a request: `own` is the server's own answer, where it was asked for one.
    #[must_use]
    pub fn answer(&self, struck: &Interposed, own: Option<OwnAnswer>, now_us: u64) -> Next {
        let Interposed { route, struck, .. } = struck;
        let own = own.map(|own| Own::new(own.status, own.headers, own.body));
        let empty = || Own::new(500, HeaderMap::new(), Bytes::new());
        let context = ErrorContext { route: Some(&*route.name), ..ErrorContext::default() };
        let wall = self.wall.at(now_us);
        let Some((_, point, ending)) = struck.ending.as_deref() else {
            return sent(struck, own.unwrap_or_else(empty), None);
        };
        match ending.clone() {
            Ending::Answer(substitute) => {
                let own = substituted(&self.api, substitute, &context, wall, |_| {});
                sent(struck, own, None)
            }
            Ending::Malformed(how) => {
                let error = rendered(&self.api, Which::Status(500), &context);
                let own = mangled(Some(route), &how, own.unwrap_or_else(empty), error);
                sent(struck, own, None)
            }
            // Whoever builds a fault engine refuses these: they are the other server's own.
            Ending::Interim(_)
            | Ending::InFlight { .. }
            | Ending::Stream(_)
            | Ending::CloseIdle
            | Ending::Accepted
            | Ending::GoAway(_)
            | Ending::Misframed { .. } => sent(struck, own.unwrap_or_else(empty), None),
            Ending::Hang => match own {
                Some(own) if *point == Point::MidBody => {
                    let cut = Cut { after_bytes: half(&own.body), then: End::Stall };
                    cut_short(struck, own, cut)
                }
                Some(_) | None => Next::Silence,
            },
            Ending::Cut { after_bytes: None, then, .. } => unanswered(then),
            Ending::Cut { after_bytes: Some(after_bytes), then, .. } => {
                cut_short(struck, own.unwrap_or_else(empty), Cut { after_bytes, then })
            }
        }
    }
}

impl Interposed {
    /// The number for [`Interposer::ended`].
    #[must_use]
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// True when the server is asked; else the request ends before anything is done.
    #[must_use]
    pub fn is_served(&self) -> bool {
        !matches!(
            self.struck.ending.as_deref(),
            Some((_, Point::Accept | Point::Throttling | Point::BeforeCommit, _))
        )
    }

    /// The wait before the server is asked, or before the request ends without it, in microseconds.
    #[must_use]
    pub fn before_us(&self) -> u64 {
        match self.struck.ending.as_deref() {
            Some((_, Point::Accept | Point::Throttling, _)) => 0,
            Some(_) | None => self.struck.before.total_us,
        }
    }

    /// The wait between the server's answer and the first byte of what goes out, in microseconds.
    #[must_use]
    pub fn after_us(&self) -> u64 {
        self.struck.after.total_us
    }

    /// True when the server's answer goes out in another way than it came.
    #[must_use]
    pub fn alters(&self) -> bool {
        self.ends() || self.struck.head.total_us > 0 || self.struck.pace(0).is_some()
    }

    /// True when the client gets another answer than the server's own, or less of it.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.struck.ending.is_some()
    }

    /// True when the server's own answer keeps its head and gets another body.
    #[must_use]
    pub fn spoils(&self) -> bool {
        matches!(self.struck.ending.as_deref(), Some((_, _, Ending::Malformed(_))))
    }
}

/// An answer, paced and delayed as the strikes say.
fn sent(struck: &Struck, own: Own, cut: Option<Cut>) -> Next {
    let wire = Wire { body_after_us: struck.head.total_us, pace: struck.pace(own.body.len()), cut };
    let Own { status, headers, body, .. } = own;
    Next::Answer(Box::new(Answer {
        status,
        headers,
        body,
        wire,
        framing: None,
        pieces: None,
        interim: Bytes::new(),
        goaway: None,
    }))
}

/// An answer of which the last byte at least is kept back.
fn cut_short(struck: &Struck, own: Own, cut: Cut) -> Next {
    let bytes = u64::try_from(own.body.len()).unwrap_or(u64::MAX);
    let Some(most) = bytes.checked_sub(1) else { return unanswered(cut.then) };
    sent(struck, own, Some(Cut { after_bytes: cut.after_bytes.min(most), ..cut }))
}
