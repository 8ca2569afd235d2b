//! A model of a client, to judge the judges: a correct one is never accused, a planted bug always is.
//!
//! The model makes the events of a run without any network: a provider that keeps idempotency keys,
//! faults drawn by proptest, and a client that retries as it should, or with one bug. Where the bug
//! showed itself, the model says so, and then its invariant must fail.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::invariant;
use crate::trace::Trace;
use crate::trace::testing::trace_with;

/// The most attempts of the model client.
const MAX_ATTEMPTS: u64 = 4;
/// How long the model client waits for an answer.
const TIMEOUT_US: u64 = 1_000_000;
/// How long it may take for an operation.
const DEADLINE_US: u64 = 30_000_000;

/// What happens to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Slow,
    Drips,
    Busy(Hint),
    BusyAndDrips,
    ErrorAfterCommit,
    Reset { after_commit: bool },
    Hang { after_commit: bool },
    Malformed { after_commit: bool },
    Cut,
    Declined,
    Gateway,
}

/// The retry hint of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    None,
    Seconds(u64),
    Date,
    Body,
    Garbage,
    Zero,
}

/// A bug of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    NewKeyPerAttempt,
    NoKey,
    OneKeyForAll,
    NewBodyPerAttempt,
    IgnoresHints,
    TightLoop,
    OneAttemptTooMany,
    RepeatsPermanent,
    SuccessAnyway,
    TakesMalformed,
    SaysFailed,
    SaysNothing,
    Zombie,
    Overlaps,
    RepeatsWithoutKey,
    WaitsForever,
    DiesOfGarbage,
    WritesKey,
    GivesUpAtOnce,
    FixedDelay,
    KeyOfContent,
    CountsKeys,
    RepeatsLate,
    NeverReconciles,
    Silent,
}

const BUGS: &[(Bug, &str)] = &[
    (Bug::NewKeyPerAttempt, "idempotency_key_stable"),
    (Bug::NoKey, "idempotency_key_present"),
    (Bug::OneKeyForAll, "idempotency_key_unique"),
    (Bug::NewBodyPerAttempt, "idempotency_key_bound_to_body"),
    (Bug::IgnoresHints, "honors_retry_after"),
    (Bug::TightLoop, "min_gap"),
    (Bug::OneAttemptTooMany, "bounded_retries"),
    (Bug::OneAttemptTooMany, "check"),
    (Bug::RepeatsPermanent, "no_retry_on_permanent_errors"),
    (Bug::SuccessAnyway, "no_phantom_success"),
    (Bug::TakesMalformed, "rejects_malformed_responses"),
    (Bug::SaysFailed, "honest_failures"),
    (Bug::SaysNothing, "failures_surface"),
    (Bug::SaysNothing, "no_lost_operations"),
    (Bug::Zombie, "nothing_after_claim"),
    (Bug::Overlaps, "no_overlapping_attempts"),
    (Bug::RepeatsWithoutKey, "no_double_charges"),
    (Bug::WaitsForever, "client_timeout"),
    (Bug::DiesOfGarbage, "survives_bad_retry_after"),
    (Bug::WritesKey, "no_secrets_in_output"),
    (Bug::GivesUpAtOnce, "gives_up_on_nothing_recoverable"),
    (Bug::GivesUpAtOnce, "retries_transient_errors"),
    (Bug::FixedDelay, "backs_off"),
    (Bug::FixedDelay, "spreads_retries"),
    (Bug::FixedDelay, "retry_budget"),
    (Bug::WaitsForever, "deadline"),
    (Bug::Overlaps, "max_in_flight"),
    (Bug::NewBodyPerAttempt, "retry_body_stable"),
    (Bug::KeyOfContent, "no_over_deduplication"),
    (Bug::CountsKeys, "idempotency_key_strength"),
    (Bug::RepeatsLate, "key_retry_window"),
    (Bug::NeverReconciles, "reconciled"),
    (Bug::Silent, "retries_logged"),
];

/// What the model does not have: several steps, outages, a limiter, streams, prices of failures that nobody
/// could have avoided. The clients that hold or break these are real ones, in the tests of the whole harness.
const NOT_MODELLED: &[&str] = &[
    "message_acknowledged",
    "message_handled_once",
    "rejects_bad_signatures",
    "tolerates_reordering",
    "webhook_acknowledged",
    "webhook_handled_once",
    "poison_message_parked",
    "all_or_nothing",
    "no_truncated_stream_accepted",
    "max_waste",
    "degrades_gracefully",
    "eases_off_during_outage",
    "isolates",
    "reads_cached",
    "recovers_after_outage",
    "stays_within_rate_limit",
    "waits_for_reset",
    "not_banned",
    "adapts_to_tightened_limit",
];

/// Everything that a simulated run depends on.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// For each operation the faults of its attempts in order; after them nothing goes wrong.
    operations: Vec<Vec<Fault>>,
    /// True when the API has idempotency keys.
    keyed: bool,
    /// True when the client reads back before it repeats what it does not know the fate of.
    reads_back: bool,
    /// True for the real clock, on which timers fire early and requests take time.
    real: bool,
    /// How much longer than needed each wait is, in microseconds.
    jitter_us: u64,
}

/// What the client knows of an attempt, and from when.
#[derive(Clone, Copy, Debug)]
struct Seen {
    what: What,
    at_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Usable,
    Unusable,
    Busy { wait_us: u64, is_bad: bool },
    Declined,
    Lost,
}

/// The provider and the trace of the run.
struct World<'a> {
    plan: &'a Plan,
    bug: Option<Bug>,
    showed: bool,
    lines: Vec<(u64, Value)>,
    requests: u64,
    effects: u64,
    by_key: BTreeMap<String, u64>,
    live: BTreeMap<String, u64>,
    effect_of: BTreeMap<String, u64>,
}

/// An operation while the client works on it.
struct Work {
    name: String,
    began_us: u64,
    attempt: u64,
    /// True when some attempt ended without a definite answer.
    in_doubt: bool,
    /// True when the client got an unusable success.
    unusable: bool,
}

impl World<'_> {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn line(&mut self, at_us: u64, line: Value) {
        self.lines.push((at_us, line));
    }

    /// The whole run.
    fn play(plan: &Plan, bug: Option<Bug>) -> (Trace, bool) {
        let (run, text, showed) = Self::written(plan, bug);
        (trace_with(&run, &text), showed)
    }

    /// The whole run as it stands in a file, and whether the bug showed itself.
    fn written(plan: &Plan, bug: Option<Bug>) -> (Value, String, bool) {
        let mut world = World {
            plan,
            bug,
            showed: false,
            lines: Vec::new(),
            requests: 0,
            effects: 0,
            by_key: BTreeMap::new(),
            live: BTreeMap::new(),
            effect_of: BTreeMap::new(),
        };
        for (index, faults) in plan.operations.iter().enumerate() {
            let n = u64::try_from(index).expect("few operations") + 1;
            world.operation(n, faults);
        }
        world.line(99_000_000, json!({"event": "run_finished", "reason": "completed"}));
        world.lines.sort_by_key(|(at_us, _)| *at_us);
        let text: Vec<String> = world
            .lines
            .iter_mut()
            .map(|(at_us, line)| {
                line["at_us"] = json!(at_us);
                line.to_string()
            })
            .collect();
        let clock = if plan.real { "real" } else { "virtual" };
        (json!({"clock": clock}), text.join("\n"), world.showed)
    }

    fn operation(&mut self, n: u64, faults: &[Fault]) {
        let mut work = Work {
            name: format!("op-{n:04}"),
            began_us: n * 3_000,
            attempt: 0,
            in_doubt: false,
            unusable: false,
        };
        self.line(
            work.began_us,
            json!({"event": "operation_submitted", "operation": work.name, "n": n, "deadline_us": DEADLINE_US}),
        );
        if self.is(Bug::WritesKey) {
            self.showed = true;
            let text = json!({"event": "client_output", "text": "k", "secrets": ["api_key:plain"]});
            self.line(work.began_us, text);
        }
        let mut at_us = work.began_us + 500;
        loop {
            let place = usize::try_from(work.attempt).expect("few attempts");
            let fault = faults.get(place).copied().unwrap_or(Fault::None);
            work.attempt += 1;
            let seen = self.attempt(&work, fault, at_us);
            if seen.what != What::Usable {
                self.log(&work, seen);
            }
            work.in_doubt |= matches!(seen.what, What::Lost | What::Unusable);
            work.unusable |= seen.what == What::Unusable;
            match self.next(&mut work, seen) {
                Some(next_us) => at_us = next_us,
                None => return,
            }
        }
    }

    /// Writes a line about a failed attempt.
    fn log(&mut self, work: &Work, seen: Seen) {
        if self.is(Bug::Silent) {
            return;
        }
        let text = format!("{}: attempt {} failed", work.name, work.attempt);
        self.line(seen.at_us, json!({"event": "client_output", "text": text}));
    }

    /// Sends an attempt, and tells what the client saw of it.
    fn attempt(&mut self, work: &Work, fault: Fault, at_us: u64) -> Seen {
        self.requests += 1;
        let request = self.requests;
        let key = self.key(work);
        let body = if self.is(Bug::NewBodyPerAttempt) { work.attempt } else { 0 };
        self.showed |= self.is(Bug::NewBodyPerAttempt) && work.attempt > 1;
        self.line(
            at_us,
            json!({
                "event": "request_received", "request": request, "operation": work.name,
                "attempt": work.attempt, "keyed": self.plan.keyed, "key": key,
                "body_digest": format!("body {body} {}", work.name),
                "canonical_digest": format!("body {body} {}", work.name),
            }),
        );
        if fault != Fault::None {
            let strike =
                json!({"event": "fault_injected", "request": request, "operation": work.name});
            self.line(at_us, strike);
        }
        let commits = match fault {
            Fault::Busy(_) | Fault::BusyAndDrips | Fault::Declined => false,
            Fault::Reset { after_commit }
            | Fault::Hang { after_commit }
            | Fault::Malformed { after_commit } => after_commit,
            Fault::None
            | Fault::Slow
            | Fault::Drips
            | Fault::ErrorAfterCommit
            | Fault::Cut
            | Fault::Gateway => true,
        };
        let effect = commits.then(|| self.commit(work, request, key.as_deref(), at_us + 1_000));
        if fault == Fault::Gateway && key.is_some() {
            self.requests += 1;
            let again = json!({"event": "request_received", "request": self.requests, "operation": work.name, "by": "provider", "key": key});
            self.line(at_us + 50_000, again);
        }
        self.answer(request, fault, effect, at_us)
    }

    fn key(&mut self, work: &Work) -> Option<String> {
        if !self.plan.keyed {
            return None;
        }
        Some(match self.bug {
            Some(Bug::NewKeyPerAttempt) => {
                self.showed |= work.attempt > 1;
                format!("{} {}", work.name, work.attempt)
            }
            Some(Bug::NoKey) => return None,
            Some(Bug::KeyOfContent) => "1999 usd".to_owned(),
            Some(Bug::CountsKeys) => format!("charge-{:05}", 40_000 + work.began_us / 3_000),
            Some(Bug::OneKeyForAll) => {
                self.showed |= work.name != "op-0001";
                "key".to_owned()
            }
            _ => work.name.clone(),
        })
    }

    /// The provider does the work, once for each key.
    fn commit(&mut self, work: &Work, request: u64, key: Option<&str>, at_us: u64) -> u64 {
        if let Some(known) = key.and_then(|key| self.by_key.get(key)) {
            return *known;
        }
        self.effects += 1;
        let effect = self.effects;
        if let Some(key) = key {
            self.by_key.insert(key.to_owned(), effect);
        }
        *self.live.entry(work.name.clone()).or_default() += 1;
        self.effect_of.entry(work.name.clone()).or_insert(effect);
        self.showed |= self.is(Bug::NoKey);
        self.showed |= self.is(Bug::RepeatsWithoutKey) && self.live[&work.name] > 1;
        self.line(
            at_us,
            json!({"event": "effect_committed", "request": request, "effect": effect, "operation": work.name}),
        );
        effect
    }

    /// What goes onto the wire, and what the client sees of it.
    fn answer(&mut self, request: u64, fault: Fault, effect: Option<u64>, at_us: u64) -> Seen {
        let soon = at_us + 2_000;
        let told: Vec<u64> = effect.into_iter().collect();
        let mut respond = |at_us: u64, more: Value| {
            let mut line = json!({"event": "response_sent", "request": request});
            line.as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            self.line(at_us, line);
        };
        match fault {
            Fault::None | Fault::Gateway => respond(soon, json!({"status": 201, "effects": told})),
            Fault::Slow => {
                respond(at_us + 300_000, json!({"status": 201, "effects": told}));
                return Seen { what: What::Usable, at_us: at_us + 300_500 };
            }
            Fault::Drips => {
                let dripped = json!({"status": 201, "effects": told, "head_at_us": soon});
                respond(at_us + 700_000, dripped);
                return Seen { what: What::Usable, at_us: at_us + 700_500 };
            }
            Fault::Busy(hint) => {
                let (hints, wait_us, is_bad) = hint.on_wire(soon);
                respond(soon, json!({"status": 429, "hints": hints}));
                return Seen { what: What::Busy { wait_us, is_bad }, at_us: soon + 300 };
            }
            Fault::BusyAndDrips => {
                let (hints, wait_us, is_bad) = Hint::Seconds(1).on_wire(soon);
                // The client acts on the head; the body drips on for nobody.
                respond(
                    at_us + 900_000,
                    json!({"status": 429, "hints": hints, "head_at_us": soon}),
                );
                return Seen { what: What::Busy { wait_us, is_bad }, at_us: soon + 300 };
            }
            Fault::ErrorAfterCommit => respond(soon, json!({"status": 500})),
            Fault::Malformed { .. } => respond(soon, json!({"status": 200, "unusable": "no JSON"})),
            Fault::Cut => {
                respond(soon, json!({"status": 201, "complete": false, "unusable": "cut"}));
            }
            Fault::Declined => respond(soon, json!({"status": 402})),
            Fault::Reset { .. } | Fault::Hang { .. } => {}
        }
        self.ended(request, fault, soon)
    }

    /// The end of the connection, where it ends, and what the client sees.
    fn ended(&mut self, request: u64, fault: Fault, soon: u64) -> Seen {
        let waits = if self.is(Bug::WaitsForever) { 20 * TIMEOUT_US } else { TIMEOUT_US };
        let (what, at_us) = match fault {
            Fault::Malformed { .. } => (What::Unusable, soon + 300),
            Fault::Declined => (What::Declined, soon + 300),
            Fault::Reset { .. } | Fault::Cut => {
                self.line(soon, json!({"event": "connection_ended", "request": request, "by": "provider", "how": "rst"}));
                let what = if fault == Fault::Cut { What::Unusable } else { What::Lost };
                (what, soon + 300)
            }
            Fault::Hang { .. } => {
                self.showed |= self.is(Bug::WaitsForever);
                // Who overlaps lets the old attempt hang on beside the new one.
                let closed = if self.is(Bug::Overlaps) { soon + 9 * waits } else { soon + waits };
                self.line(closed, json!({"event": "connection_ended", "request": request}));
                (What::Lost, soon + waits)
            }
            Fault::ErrorAfterCommit => (What::Lost, soon + 300),
            Fault::None
            | Fault::Gateway
            | Fault::Slow
            | Fault::Drips
            | Fault::Busy(_)
            | Fault::BusyAndDrips => (What::Usable, soon + 300),
        };
        Seen { what, at_us }
    }

    /// When the client sends its next attempt; `None` when it has made its claim.
    fn next(&mut self, work: &mut Work, seen: Seen) -> Option<u64> {
        let most = if self.is(Bug::OneAttemptTooMany) { MAX_ATTEMPTS + 1 } else { MAX_ATTEMPTS };
        let backoff_us = match self.bug {
            Some(Bug::TightLoop) => 1_000,
            Some(Bug::FixedDelay) => 200_000,
            Some(Bug::RepeatsLate) => 25_000_000,
            _ => 100_000 << work.attempt,
        };
        let may_repeat = self.plan.keyed || !work.in_doubt;
        let (wait_us, repeats) = match seen.what {
            What::Usable => return self.claim(work, "succeeded", seen.at_us),
            What::Unusable if self.is(Bug::TakesMalformed) => {
                self.showed = true;
                return self.claim(work, "succeeded", seen.at_us);
            }
            What::Busy { is_bad: true, .. } if self.is(Bug::DiesOfGarbage) => {
                self.showed = true;
                return None;
            }
            What::Busy { .. } | What::Lost if self.is(Bug::GivesUpAtOnce) => {
                return self.claim(work, "failed", seen.at_us);
            }
            What::Declined => (backoff_us, self.is(Bug::RepeatsPermanent)),
            What::Busy { wait_us, .. } if self.is(Bug::IgnoresHints) => {
                self.showed |= wait_us > backoff_us && work.attempt < most && may_repeat;
                (backoff_us, may_repeat)
            }
            What::Busy { wait_us, .. } if self.is(Bug::TightLoop) => {
                (wait_us.max(backoff_us), may_repeat)
            }
            What::Busy { wait_us, .. } => (wait_us.max(backoff_us), may_repeat),
            What::Lost | What::Unusable => (
                backoff_us,
                may_repeat || self.is(Bug::RepeatsWithoutKey) || self.is(Bug::Overlaps),
            ),
        };
        if self.plan.reads_back && work.in_doubt && self.read_back(work, seen.at_us) {
            return self.claim(work, "succeeded", seen.at_us + 3_000);
        }
        if !repeats || work.attempt >= most {
            return self.give_up(work, seen);
        }
        self.note_repeat(work, seen, wait_us);
        // Timers of real runtimes were measured to fire up to 0.8 ms early.
        let early_us = if self.plan.real { 800 } else { 0 };
        Some(seen.at_us + wait_us + self.plan.jitter_us - early_us)
    }

    /// Remembers where a bug of repeating shows itself.
    fn note_repeat(&mut self, work: &Work, seen: Seen, wait_us: u64) {
        self.showed |= match self.bug {
            Some(Bug::TightLoop) => {
                wait_us < 40_000 && self.plan.jitter_us < 2_000 && seen.what != What::Lost
            }
            Some(Bug::OneAttemptTooMany) => work.attempt >= MAX_ATTEMPTS,
            Some(Bug::RepeatsPermanent) => seen.what == What::Declined,
            _ => false,
        };
    }

    /// Asks whether the work was done.
    fn read_back(&mut self, work: &Work, at_us: u64) -> bool {
        self.requests += 1;
        let request = self.requests;
        let effect = self.by_key.get(&work.name).copied();
        self.line(
            at_us + 500,
            json!({
                "event": "request_received", "request": request, "operation": work.name,
                "route": "list_charges", "method": "GET", "unsafe": false, "keyed": false,
                "path": format!("/v1/charges?order={}", work.name),
            }),
        );
        let told: Vec<u64> = effect.into_iter().collect();
        self.line(
            at_us + 1_000,
            json!({"event": "response_sent", "request": request, "status": 200, "effects": told}),
        );
        effect.is_some()
    }

    /// The last claim, with nothing left to try.
    fn give_up(&mut self, work: &Work, seen: Seen) -> Option<u64> {
        let done = self.live.contains_key(&work.name);
        let honest =
            if seen.what == What::Declined || !work.in_doubt { "failed" } else { "unknown" };
        match self.bug {
            Some(Bug::SuccessAnyway) => {
                self.showed |= !done;
                self.claim(work, "succeeded", seen.at_us + 5_000)
            }
            Some(Bug::SaysFailed) => {
                self.showed |= done && matches!(seen.what, What::Lost | What::Unusable);
                self.claim(work, "failed", seen.at_us + 5_000)
            }
            Some(Bug::SaysNothing) => {
                self.showed |= !done;
                None
            }
            _ => self.claim(work, honest, seen.at_us + 5_000),
        }
    }

    fn claim(&mut self, work: &Work, claim: &str, at_us: u64) -> Option<u64> {
        self.line(
            at_us,
            json!({"event": "operation_finished", "operation": work.name, "claim": claim}),
        );
        if claim == "unknown" {
            if self.is(Bug::NeverReconciles) {
                self.showed = true;
                return None;
            }
            self.reconcile(work, at_us + 4_000_000);
        }
        if self.is(Bug::Zombie) && claim != "unknown" {
            self.showed = true;
            let zombie = Work { name: work.name.clone(), attempt: work.attempt + 1, ..*work };
            self.attempt(&zombie, Fault::None, at_us + 400_000);
        }
        None
    }
}

impl World<'_> {
    /// Finds out later what became of an operation, and says so.
    fn reconcile(&mut self, work: &Work, at_us: u64) {
        self.requests += 1;
        let request = self.requests;
        let told: Vec<u64> = self.effect_of.get(&work.name).copied().into_iter().collect();
        let claim = if told.is_empty() { "failed" } else { "succeeded" };
        for (after_us, line) in [
            (
                0,
                json!({
                    "event": "request_received", "request": request, "operation": work.name,
                    "route": "list_charges", "method": "GET", "unsafe": false, "keyed": false,
                "path": format!("/v1/charges?order={}", work.name),
                }),
            ),
            (
                500,
                json!({"event": "response_sent", "request": request, "status": 200, "effects": told}),
            ),
            (900, json!({"event": "operation_finished", "operation": work.name, "claim": claim})),
        ] {
            self.line(at_us + after_us, line);
        }
    }
}

impl Hint {
    /// The hint as the trace holds it, the wait that an obedient client makes of it, and whether it is
    /// senseless.
    fn on_wire(self, now_us: u64) -> (Value, u64, bool) {
        match self {
            Self::None => (json!([]), 0, false),
            Self::Seconds(seconds) => {
                let wait_us = seconds * 1_000_000;
                (
                    json!([{"source": "retry-after", "text": seconds.to_string(), "wait_us": wait_us}]),
                    wait_us,
                    false,
                )
            }
            // A date has whole seconds: who obeys it may come up to a second early.
            Self::Date => (
                json!([{"source": "retry-after", "wait_us": 2_000_000, "until_us": now_us + 2_000_000}]),
                1_100_000,
                false,
            ),
            Self::Body => (
                json!([{"source": "body:/error/retry_after", "text": "1", "wait_us": 1_000_000}]),
                1_000_000,
                false,
            ),
            Self::Garbage => (json!([{"source": "retry-after", "text": "soon"}]), 0, true),
            Self::Zero => (json!([{"source": "retry-after", "text": "0", "wait_us": 0}]), 0, true),
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    let hint = prop_oneof![
        Just(Hint::None),
        (1..4_u64).prop_map(Hint::Seconds),
        Just(Hint::Date),
        Just(Hint::Body),
        Just(Hint::Garbage),
        Just(Hint::Zero),
    ];
    prop_oneof![
        Just(Fault::None),
        Just(Fault::Slow),
        Just(Fault::Drips),
        hint.prop_map(Fault::Busy),
        Just(Fault::BusyAndDrips),
        Just(Fault::ErrorAfterCommit),
        any::<bool>().prop_map(|after_commit| Fault::Reset { after_commit }),
        any::<bool>().prop_map(|after_commit| Fault::Hang { after_commit }),
        any::<bool>().prop_map(|after_commit| Fault::Malformed { after_commit }),
        Just(Fault::Cut),
        Just(Fault::Declined),
        Just(Fault::Gateway),
    ]
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let faults = prop::collection::vec(prop::collection::vec(fault(), 0..6), 1..5);
    (faults, any::<bool>(), any::<bool>(), any::<bool>(), 0..60_000_u64).prop_map(
        |(operations, keyed, reads_back, real, jitter_us)| Plan {
            operations,
            keyed,
            reads_back,
            real,
            jitter_us,
        },
    )
}

/// Runs of up to so many operations, most of them over a provider that is busy.
pub(super) fn busy_plan(operations: usize) -> impl Strategy<Value = Plan> {
    let fault = prop_oneof![6 => Just(Fault::Busy(Hint::None)), 1 => fault()];
    let faults = prop::collection::vec(prop::collection::vec(fault, 0..6), 1..operations);
    (faults, any::<bool>(), 0..60_000_u64).prop_map(|(operations, real, jitter_us)| Plan {
        operations,
        keyed: true,
        reads_back: false,
        real,
        jitter_us,
    })
}

/// A run of a client with one of the bugs, by its place in the list, or of a correct one: what is said of the
/// run, and its events.
pub(super) fn any_run(plan: &Plan, bug: usize) -> (Value, String) {
    let bug = BUGS.get(bug % (BUGS.len() + 1)).map(|(bug, _)| *bug);
    let (run, text, _) = World::written(plan, bug);
    (run, text)
}

/// Every invariant, as strict as the model client is good.
fn all() -> Vec<(&'static str, Value)> {
    super::registry::INVARIANTS
        .iter()
        .map(|kind| {
            let parameters = match kind.name {
                "at_most_one_effect" => json!({"kind": "charge"}),
                "bounded_retries" => json!({"max_attempts": MAX_ATTEMPTS, "max_elapsed": "30s"}),
                "check" => {
                    json!(format!("requests | map(attribute='attempt') | max <= {MAX_ATTEMPTS}"))
                }
                "client_timeout" => json!({"max": "1100ms"}),
                "deadline" => json!({"max": "15s"}),
                "isolates" => json!({"critical": "create_charge", "from": "list_charges"}),
                "max_in_flight" => json!({"n": 4}),
                "spreads_retries" => json!({"window": "100ms"}),
                "key_retry_window" => json!({"retention": "20s"}),
                "reads_cached" => json!({"ttl": "1s", "invalidated_by": "create_charge"}),
                "reconciled" => json!({"within": "30s"}),
                "tolerates_reordering" => json!({"effect": "order_status"}),
                "all_or_nothing" => json!({"steps": ["authorize", "capture"]}),
                "max_waste" => json!({"ratio": "100%"}),
                "eases_off_during_outage" => json!({"requests": 9, "per": "1s"}),
                "recovers_after_outage" | "adapts_to_tightened_limit" | "degrades_gracefully" => {
                    json!({"within": "1s"})
                }
                "stays_within_rate_limit" => json!({"max_rejected": 0}),
                "spares_other_tenants" => json!({"own": "1/s"}),
                _ => Value::Null,
            };
            (kind.name, parameters)
        })
        .collect()
}

fn accusations(trace: &Trace) -> Vec<String> {
    all()
        .iter()
        .flat_map(|(name, parameters)| {
            let judgement = invariant(name, parameters).check(trace);
            judgement.violations.into_iter().map(move |one| format!("{name}: {}", one.message))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_client_is_never_accused(plan in plan()) {
        let (trace, _) = World::play(&plan, None);
        prop_assert_eq!(accusations(&trace), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_planted_bug_that_shows_itself_is_always_accused(plan in plan()) {
        for &(bug, name) in BUGS {
            let plan = fitting(&plan, bug);
            let (trace, showed) = World::play(&plan, Some(bug));
            let (_, parameters) = all().into_iter().find(|(known, _)| *known == name).expect(name);
            let judgement = invariant(name, &parameters).check(&trace);
            prop_assert!(!showed || !judgement.violations.is_empty(), "{bug:?} shows in {plan:?}");
        }
    }
}

/// The plan in which a bug can show itself at all.
fn fitting(plan: &Plan, bug: Bug) -> Plan {
    let mut plan = plan.clone();
    plan.keyed = !matches!(bug, Bug::RepeatsWithoutKey | Bug::Overlaps);
    // A read that shows no effect, or the effect, excuses these.
    plan.reads_back &= !matches!(
        bug,
        Bug::NewKeyPerAttempt | Bug::SaysFailed | Bug::SuccessAnyway | Bug::RepeatsLate
    );
    plan
}

#[test]
fn every_planted_bug_shows_itself_and_is_accused() {
    let hopeless = |fault: Fault| vec![vec![fault; 6]; 2];
    for &(bug, name) in BUGS {
        let operations = match bug {
            Bug::IgnoresHints => hopeless(Fault::Busy(Hint::Seconds(3))),
            Bug::RepeatsPermanent => hopeless(Fault::Declined),
            Bug::TakesMalformed => hopeless(Fault::Malformed { after_commit: true }),
            Bug::SaysFailed | Bug::Overlaps | Bug::WaitsForever => {
                hopeless(Fault::Hang { after_commit: true })
            }
            Bug::RepeatsWithoutKey => hopeless(Fault::Reset { after_commit: true }),
            Bug::DiesOfGarbage => hopeless(Fault::Busy(Hint::Garbage)),
            Bug::NoKey | Bug::Zombie => hopeless(Fault::None),
            Bug::NewKeyPerAttempt
            | Bug::OneKeyForAll
            | Bug::NewBodyPerAttempt
            | Bug::TightLoop
            | Bug::OneAttemptTooMany
            | Bug::SuccessAnyway
            | Bug::SaysNothing
            | Bug::WritesKey => hopeless(Fault::Busy(Hint::None)),
            Bug::GivesUpAtOnce => hopeless(Fault::Busy(Hint::None)),
            Bug::FixedDelay => vec![vec![Fault::Busy(Hint::None); 6]; 20],
            Bug::KeyOfContent => hopeless(Fault::None),
            Bug::CountsKeys => vec![Vec::new(); 20],
            Bug::RepeatsLate | Bug::NeverReconciles => {
                hopeless(Fault::Reset { after_commit: true })
            }
            Bug::Silent => hopeless(Fault::Busy(Hint::None)),
        };
        let plan = Plan { operations, keyed: true, reads_back: false, real: false, jitter_us: 0 };
        let plan = fitting(&plan, bug);
        let (trace, showed) = World::play(&plan, Some(bug));
        let only_sometimes = matches!(
            bug,
            Bug::Overlaps
                | Bug::GivesUpAtOnce
                | Bug::FixedDelay
                | Bug::KeyOfContent
                | Bug::CountsKeys
                | Bug::RepeatsLate
                | Bug::Silent
        );
        assert!(showed || only_sometimes, "{bug:?} does not show itself");
        let (_, parameters) = all().into_iter().find(|(known, _)| *known == name).expect(name);
        let judgement = invariant(name, &parameters).check(&trace);
        assert!(!judgement.violations.is_empty(), "{bug:?} is not accused by `{name}`");
    }
}

#[test]
fn every_invariant_has_a_planted_bug() {
    // The model has one provider, one tenant, no jobs and no files: the broken clients of these stand in the tests that run them.
    let elsewhere = [
        "fallback_only_on_failure",
        "spares_other_tenants",
        "job_not_resubmitted",
        "polls_politely",
        "resumes_upload",
        "upload_intact",
    ];
    for kind in super::registry::INVARIANTS {
        if elsewhere.contains(&kind.name) {
            continue;
        }
        // The general form of `no_double_charges` shares its judgement.
        let planted = kind.name == "at_most_one_effect"
            || NOT_MODELLED.contains(&kind.name)
            || BUGS.iter().any(|(_, name)| *name == kind.name);
        assert!(planted, "`{}` has no planted bug", kind.name);
    }
}
