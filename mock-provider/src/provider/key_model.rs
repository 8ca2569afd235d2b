//! The provider's treatment of keys against a simple model: a list of everything that happened, searched
//! from its end.
//!
//! Requests with few keys, bodies and accounts overlap, fail, hang, are left by their client, and come
//! back after keys have expired; some of them are struck by the one departure that a case is about.
//! **Invariant:** the model shares no code with the store, and knows nothing of HTTP.

#![expect(clippy::wildcard_enum_match_arm, reason = "each departure is named where it departs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Provider, Setup};
use crate::api::{self, Api};
use crate::document::Diagnostics;
use crate::event::{EventKind, Side};
use crate::exchange::{End, Ended, ExchangeId, Finish, Next};
use crate::fault::registry;
use crate::hint::WallClock;
use crate::request::Request;
use crate::rule::{Rule, When};
use crate::seed::Seed;

/// Keys are remembered for so long; no case lasts twice as long, so none is given back.
const RETENTION_US: u64 = 1_000;
/// The age at which `forget_key: {after}` forgets.
const FORGET_US: u64 = 150;
/// How long `conflict: {for}` keeps a key in progress.
const CONFLICT_US: u64 = 150;
/// When the failover of `forget_key: {seen_before}` is, and `key_required_late` begins, after the first
/// request.
const TURN_US: u64 = 400;
/// Two of these begin alike.
const KEYS: [&str; 3] = ["aa-1", "aa-2", "bb-1"];

/// What strikes the requests that are to be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departs {
    Nothing,
    Ignore,
    ForgetAfter,
    Failover,
    Late,
    ErrorBefore,
    ErrorAfter,
    AnyScope,
    Altered,
    AnyBody,
    Rejects,
    Status,
    Prefix,
    Required,
    ConflictBefore,
    ConflictAfter,
}

impl Departs {
    const ALL: [Self; 16] = [
        Self::Nothing,
        Self::Ignore,
        Self::ForgetAfter,
        Self::Failover,
        Self::Late,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::AnyScope,
        Self::Altered,
        Self::AnyBody,
        Self::Rejects,
        Self::Status,
        Self::Prefix,
        Self::Required,
        Self::ConflictBefore,
        Self::ConflictAfter,
    ];

    fn fault(self) -> Option<(&'static str, Value)> {
        Some(match self {
            Self::Nothing => return None,
            Self::Ignore => ("ignore_key", Value::Null),
            Self::ForgetAfter => ("forget_key", json!({"after": "150us"})),
            Self::Failover => ("forget_key", json!({"seen_before": "400us"})),
            Self::Late => ("late_key", Value::Null),
            Self::ErrorBefore => ("replay_error", Value::Null),
            Self::ErrorAfter => ("replay_error", json!({"at": "after_commit"})),
            Self::AnyScope => ("replay_other", Value::Null),
            Self::Altered => ("replay_altered", Value::Null),
            Self::AnyBody => ("mismatch_accepted", Value::Null),
            Self::Rejects => ("mismatch_rejected", json!({"code": 400})),
            Self::Status => ("replay_status", json!({"code": 208})),
            Self::Prefix => ("truncated_key", json!({"characters": 2})),
            Self::Required => ("key_required_late", json!({"after": "400us"})),
            Self::ConflictBefore => ("conflict", json!({"for": "150us"})),
            Self::ConflictAfter => ("conflict", json!({"for": "150us", "at": "after_commit"})),
        })
    }
}

/// What else befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    ErrorBefore,
    ErrorAfter,
    CutAfter,
    HangBefore,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    account: bool,
    key: Option<usize>,
    body: u8,
    struck: bool,
    delay_us: u64,
    trouble: Trouble,
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Ask),
    /// The client of this open request (counted around) hangs up.
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trouble = prop_oneof![
        6 => Just(Trouble::None),
        1 => Just(Trouble::ErrorBefore),
        1 => Just(Trouble::ErrorAfter),
        1 => Just(Trouble::CutAfter),
        1 => Just(Trouble::HangBefore),
    ];
    let ask = (
        any::<bool>(),
        prop_oneof![1 => Just(None), 8 => (0..KEYS.len()).prop_map(Some)],
        0_u8..2,
        any::<bool>(),
        prop_oneof![Just(0_u64), 1_u64..120],
        trouble,
    )
        .prop_map(|(account, key, body, struck, delay_us, trouble)| Ask {
            account,
            key,
            body,
            struck,
            delay_us,
            trouble,
        });
    let step = prop_oneof![
        6 => ask.prop_map(Step::Ask),
        1 => (0_usize..4).prop_map(Step::Leave),
        3 => (0_u64..100).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the store says of a request when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Its work will be done; with the place in the list of keys that waits for its answer.
    New(Option<usize>),
    /// Its work will be done, and its key kept when the answer is sent.
    Late,
    InFlight,
    Mismatch,
    Missing,
    Replay(Stored),
}

/// What stands under a key: the answer to this request, or the error that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Charge(u64),
    Error,
}

/// A key, and everything that ever happened to it. A later row of the same name takes its place.
#[derive(Clone, Debug)]
struct Row {
    name: (bool, usize),
    body: u8,
    since_us: u64,
    stored: Option<Stored>,
    freed: bool,
    /// Until then it counts as in progress, whatever became of it.
    held_until_us: u64,
}

struct Model {
    departs: Departs,
    /// When the first request came.
    first_us: Option<u64>,
    rows: Vec<Row>,
    /// Who holds a name that several keys have.
    holders: BTreeMap<String, (bool, usize)>,
}

impl Model {
    fn latest(&self, name: (bool, usize)) -> Option<usize> {
        self.rows.iter().rposition(|row| row.name == name).filter(|at| !self.rows[*at].freed)
    }

    /// The same, or one that was freed and is held.
    fn remembered(&self, name: (bool, usize), now_us: u64) -> Option<&Row> {
        let row = self.rows.iter().rfind(|row| row.name == name)?;
        (!row.freed || now_us < row.held_until_us).then_some(row)
    }

    fn holder(&self, common: &str) -> Option<(bool, usize)> {
        self.holders.get(common).copied().filter(|name| self.latest(*name).is_some())
    }

    fn arrives(&mut self, ask: &Ask, now_us: u64) -> Said {
        let departs = if ask.struck { self.departs } else { Departs::Nothing };
        let turn_us = *self.first_us.get_or_insert(now_us) + TURN_US;
        let Some(key) = ask.key else {
            let demanded = departs == Departs::Required && now_us >= turn_us;
            return if demanded { Said::Missing } else { Said::New(None) };
        };
        if departs == Departs::Ignore {
            return Said::New(None);
        }
        let by_key = format!("{key}");
        let by_prefix = format!("{} {}", ask.account, &KEYS[key][..2]);
        let name = match departs {
            Departs::AnyScope => self.holder(&by_key),
            Departs::Prefix => self.holder(&by_prefix),
            _ => None,
        };
        let name = name.unwrap_or((ask.account, key));
        if let Some(row) = self.remembered(name, now_us) {
            let is_held = now_us < row.held_until_us;
            let age_us = now_us - row.since_us;
            let lost = departs == Departs::Failover && now_us >= turn_us && row.since_us < turn_us;
            let old = row.stored.is_some()
                && !is_held
                && (age_us >= RETENTION_US
                    || (departs == Departs::ForgetAfter && age_us >= FORGET_US));
            let any_body = matches!(departs, Departs::AnyScope | Departs::AnyBody);
            if !lost && !old {
                return match row.stored {
                    _ if row.body != ask.body && !any_body => Said::Mismatch,
                    _ if is_held => Said::InFlight,
                    None => Said::InFlight,
                    Some(stored) => Said::Replay(stored),
                };
            }
        }
        if departs == Departs::Late {
            return Said::Late;
        }
        let (body, since_us) = (ask.body, now_us);
        self.rows.push(Row { name, body, since_us, stored: None, freed: false, held_until_us: 0 });
        for common in [by_key, by_prefix] {
            if self.holder(&common).is_none() {
                self.holders.insert(common, name);
            }
        }
        Said::New(Some(self.rows.len() - 1))
    }

    /// True while the row has not been replaced.
    fn stands(&self, at: usize) -> bool {
        self.latest(self.rows[at].name) == Some(at)
    }

    fn free(&mut self, said: Said) {
        if let Said::New(Some(at)) = said
            && self.stands(at)
        {
            self.rows[at].freed = true;
        }
    }

    fn store(&mut self, said: Said, stored: Stored) {
        if let Said::New(Some(at)) = said
            && self.stands(at)
        {
            self.rows[at].stored = Some(stored);
        }
    }

    fn hold(&mut self, said: Said, now_us: u64) {
        if let Said::New(Some(at)) = said
            && self.stands(at)
        {
            self.rows[at].held_until_us = now_us + CONFLICT_US;
        }
    }

    fn store_late(&mut self, ask: &Ask, id: u64, now_us: u64) {
        let Some(key) = ask.key else { return };
        let name = (ask.account, key);
        let taken = self.latest(name).is_some_and(|at| {
            let row = &self.rows[at];
            row.stored.is_none() || now_us - row.since_us < RETENTION_US
        });
        if !taken {
            let stored = Some(Stored::Charge(id));
            self.rows.push(Row {
                name,
                body: ask.body,
                since_us: now_us,
                stored,
                freed: false,
                held_until_us: 0,
            });
        }
    }

    /// The work of a request is due: what its client is answered (a status and whose charge it is told
    /// of), `None` for nothing, and whether the work is done.
    fn works(&mut self, ask: &Ask, said: Said, id: u64, now_us: u64) -> (Option<Answered>, bool) {
        let departs = if ask.struck { self.departs } else { Departs::Nothing };
        let is_new = matches!(said, Said::New(_) | Said::Late);
        let error = Some(Answered { status: 500, charge: None });
        let trouble = match departs {
            Departs::ErrorBefore => {
                self.store(said, Stored::Error);
                return (error, false);
            }
            Departs::ErrorAfter => {
                self.store(said, Stored::Error);
                return (error, is_new);
            }
            Departs::ConflictBefore => {
                self.hold(said, now_us);
                self.free(said);
                return (Some(Answered { status: 409, charge: None }), false);
            }
            Departs::ConflictAfter => {
                self.store(said, Stored::Charge(id));
                self.hold(said, now_us);
                return (Some(Answered { status: 409, charge: None }), is_new);
            }
            _ => ask.trouble,
        };
        match trouble {
            Trouble::ErrorBefore => {
                self.free(said);
                return (error, false);
            }
            Trouble::HangBefore => return (None, false),
            Trouble::None | Trouble::ErrorAfter | Trouble::CutAfter => {}
        }
        self.store(said, Stored::Charge(id));
        if said == Said::Late && trouble != Trouble::CutAfter {
            self.store_late(ask, id, now_us);
        }
        let own = match said {
            Said::New(_) | Said::Late => Answered { status: 201, charge: Some(id) },
            Said::InFlight => Answered { status: 409, charge: None },
            Said::Mismatch if departs == Departs::Rejects => Answered { status: 400, charge: None },
            Said::Mismatch => Answered { status: 422, charge: None },
            Said::Missing => Answered { status: 400, charge: None },
            Said::Replay(stored) => {
                let (status, charge) = match stored {
                    Stored::Charge(first) => (201, Some(first)),
                    Stored::Error => (500, None),
                };
                let status = if departs == Departs::Status { 208 } else { status };
                Answered { status, charge }
            }
        };
        match trouble {
            Trouble::ErrorAfter => (error, is_new),
            Trouble::CutAfter => (None, is_new),
            Trouble::None | Trouble::ErrorBefore | Trouble::HangBefore => (Some(own), is_new),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answered {
    status: u16,
    charge: Option<u64>,
}

/// A request that is not over.
struct Under {
    ask: Ask,
    said: Said,
    left: bool,
    /// When its work is due; `None` once it is done and hangs.
    due_us: Option<u64>,
}

struct Trial {
    provider: Provider,
    model: Model,
    now_us: u64,
    under: BTreeMap<ExchangeId, Under>,
    /// The charge that each request made.
    charges: BTreeMap<ExchangeId, String>,
    /// Requests whose work the model calls done.
    done: BTreeSet<ExchangeId>,
}

/// Loaded once for all cases.
static API: LazyLock<Arc<Api>> = LazyLock::new(|| {
    let problems = Diagnostics::new();
    let (api, _) = api::load("payments", Path::new("."), &problems.root()).expect("shipped");
    let mut api = Arc::unwrap_or_clone(api);
    api.idempotency.as_mut().expect("it has keys").retention_us = RETENTION_US;
    Arc::new(api)
});

fn rule(name: &str, header: (&str, &str), fault: &str, parameters: &Value) -> Rule {
    let diagnostics = Diagnostics::new();
    let kind = registry::find(fault).expect(fault);
    let fault = (kind.parse)(parameters, &diagnostics.root()).expect(fault);
    let headers = vec![(header.0.to_owned(), header.1.to_owned())];
    let when = When { headers, ..When::default() };
    Rule { name: name.into(), when, faults: vec![fault] }
}

impl Trial {
    fn new(departs: Departs, delays: &BTreeSet<u64>) -> Self {
        let mut rules = Vec::new();
        if let Some((fault, parameters)) = departs.fault() {
            rules.push(rule("struck", ("x-struck", "yes"), fault, &parameters));
        }
        for (name, fault, parameters) in [
            ("ErrorBefore", "status", json!({"code": 500})),
            ("ErrorAfter", "status", json!({"code": 500, "at": "after_commit"})),
            ("CutAfter", "close", json!({"at": "after_commit"})),
            ("HangBefore", "hang", Value::Null),
        ] {
            rules.push(rule(name, ("x-trouble", name), fault, &parameters));
        }
        for delay_us in delays {
            let words = json!({"fixed": format!("{delay_us}us")});
            let text = delay_us.to_string();
            rules.push(rule(&format!("+{delay_us}"), ("x-delay", &text), "latency", &words));
        }
        let provider = Provider::new(Setup {
            name: "provider".into(),
            api: Arc::clone(&API),
            rules,
            seed: Seed::default(),
            wall: WallClock::Beside(SystemTime::UNIX_EPOCH),
            operation_id: None,
            limits: true,
            http2: false,
            webhooks: false,
        });
        Self {
            provider,
            model: Model { departs, first_us: None, rows: Vec::new(), holders: BTreeMap::new() },
            now_us: 0,
            under: BTreeMap::new(),
            charges: BTreeMap::new(),
            done: BTreeSet::new(),
        }
    }

    fn ask(&mut self, ask: Ask) {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("plain text"));
        };
        add("authorization", if ask.account { "Bearer a" } else { "Bearer b" });
        add("x-delay", &ask.delay_us.to_string());
        add("x-trouble", &format!("{:?}", ask.trouble));
        if let Some(key) = ask.key {
            add("idempotency-key", KEYS[key]);
        }
        if ask.struck {
            add("x-struck", "yes");
        }
        let body = json!({"amount": u32::from(ask.body) + 1, "currency": "usd"});
        let request = Request::sent((Method::POST, "/v1/charges"), headers, &body, self.now_us);
        let said = self.model.arrives(&ask, self.now_us);
        let exchange = self.provider.handle(request, self.now_us);
        let due_us = Some(self.now_us + ask.delay_us);
        self.under.insert(exchange.id, Under { ask, said, left: false, due_us });
        if ask.delay_us == 0 {
            self.settle(exchange.id, exchange.next);
        } else {
            assert!(matches!(exchange.next, Next::Wait { .. }), "{:?}", exchange.next);
        }
    }

    /// The work of a request has been done, or was not to be.
    fn settle(&mut self, id: ExchangeId, next: Next) {
        let Some(under) = self.under.get_mut(&id) else { panic!("{id} is over") };
        under.due_us = None;
        let (ask, said, left) = (under.ask, under.said, under.left);
        let (expected, is_done) = self.model.works(&ask, said, id, self.now_us);
        if is_done {
            self.done.insert(id);
        }
        for event in self.provider.take_events() {
            if let EventKind::EffectCommitted(effect) = event.kind {
                let object = effect.object.expect("a charge is an object").to_string();
                assert!(self.charges.insert(effect.request, object).is_none());
            }
        }
        match (next, expected) {
            (Next::Done, expected) => {
                assert!(left, "{id} is dropped");
                if expected.is_none() && ask.trouble == Trouble::HangBefore {
                    self.model.free(said);
                }
                self.under.remove(&id);
            }
            (Next::Silence, None) => {}
            (Next::Drop(_), None) => self.end(id, None),
            (Next::Answer(answer), Some(expected)) => {
                let struck = ask.struck && self.model.departs == Departs::Altered;
                let replayed = matches!(said, Said::Replay(_)) && expected.charge.is_some();
                let altered = struck && replayed;
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                assert_eq!(answer.status, expected.status, "{id}: {ask:?} {said:?}");
                let charge = expected.charge.map(|request| self.charges[&request].clone());
                let told = body["id"].as_str().map(str::to_owned);
                assert_eq!(told.is_some(), charge.is_some(), "{id}: {body}");
                assert_eq!(told != charge, altered, "{id}: {ask:?} {said:?}");
                self.end(id, Some(self.now_us));
            }
            (next, expected) => panic!("{id}: {next:?} instead of {expected:?}"),
        }
    }

    fn end(&mut self, id: ExchangeId, head_at_us: Option<u64>) {
        self.under.remove(&id);
        let finish = Finish {
            head_at_us,
            end_at_us: self.now_us,
            body_bytes: 1_000,
            complete: head_at_us.is_some(),
            ended: None,
        };
        self.provider.finish(id, finish);
    }

    fn leave(&mut self, nth: usize) {
        let open: Vec<ExchangeId> =
            self.under.iter().filter(|(_, one)| !one.left).map(|(id, _)| *id).collect();
        let Some(id) = open.get(nth).copied() else { return };
        let ended = Some(Ended { by: Side::Client, how: End::Fin });
        let (end_at_us, head_at_us) = (self.now_us, None);
        let finish = Finish { head_at_us, end_at_us, body_bytes: 0, complete: false, ended };
        self.provider.finish(id, finish);
        let Some(under) = self.under.get_mut(&id) else { return };
        under.left = true;
        if under.due_us.is_none() {
            let said = under.said;
            self.under.remove(&id);
            self.model.free(said);
        }
    }

    fn pass(&mut self, micros: u64) {
        let until_us = self.now_us + micros;
        loop {
            let due = self.under.iter().filter_map(|(id, one)| Some((one.due_us?, *id)));
            let Some((due_us, id)) = due.min().filter(|(due_us, _)| *due_us <= until_us) else {
                break;
            };
            self.now_us = due_us;
            let next = self.provider.advance(id, due_us);
            self.settle(id, next);
        }
        self.now_us = until_us;
    }
}

/// Plays the steps against provider and model at once.
fn play(departs: Departs, steps: Vec<Step>) {
    let delays = steps.iter().filter_map(|step| match step {
        Step::Ask(ask) if ask.delay_us > 0 => Some(ask.delay_us),
        Step::Ask(_) | Step::Leave(_) | Step::Pass(_) => None,
    });
    let mut trial = Trial::new(departs, &delays.collect());
    for step in steps {
        match step {
            Step::Ask(ask) => trial.ask(ask),
            Step::Leave(nth) => trial.leave(nth),
            // Nothing may be given back in a case: see `RETENTION_US`.
            Step::Pass(us) => {
                trial.pass(us.min((2 * RETENTION_US - 200).saturating_sub(trial.now_us)));
            }
        }
    }
    trial.pass(120);
    let charged: BTreeSet<ExchangeId> = trial.charges.keys().copied().collect();
    assert_eq!(charged, trial.done, "whose work is done");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn keys_are_treated_as_a_list_that_is_searched_from_its_end_says(
        departs in prop::sample::select(&Departs::ALL[..]),
        steps in steps(),
    ) {
        play(departs, steps);
    }
}

#[test]
fn an_honest_provider_does_the_work_of_a_key_once_while_it_remembers_it() {
    let ask = |delay_us, trouble| {
        Step::Ask(Ask { account: true, key: Some(0), body: 0, struck: false, delay_us, trouble })
    };
    let steps = vec![
        ask(50, Trouble::CutAfter),
        ask(0, Trouble::None),
        Step::Pass(60),
        ask(0, Trouble::None),
        ask(0, Trouble::ErrorBefore),
        ask(0, Trouble::None),
    ];
    let mut trial = Trial::new(Departs::Nothing, &BTreeSet::from([50]));
    for step in steps {
        match step {
            Step::Ask(ask) => trial.ask(ask),
            Step::Leave(nth) => trial.leave(nth),
            Step::Pass(us) => trial.pass(us),
        }
    }
    assert_eq!(trial.charges.len(), 1);
}
