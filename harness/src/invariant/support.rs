//! What the files of the invariants share: verdicts in few words, parameters, and what the faults of a
//! scenario can bring about.
//!
//! **Invariant:** nothing here judges; it says only what was asked of it.

use std::sync::Arc;
use std::time::SystemTime;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::document::{At, decode};
use brownout_provider::event::{Claim, Class, Mode, Side};
use brownout_provider::exchange::{ClientFault, End};
use brownout_provider::fault::{
    Action, Ending, Group, HintSpec, JobFault, KeyFault, LimitFault, MessageFault, OrderFault,
    Point, Substitute, SubstituteBody, UploadFault,
};
use brownout_provider::hint::{self, Wall};
use brownout_provider::rule::{Rule, Selector};
use brownout_provider::seed::RuleKey;
use brownout_provider::stream;
use brownout_provider::units::in_words;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::{Invariant, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{ClaimMade, OperationId, Request, RequestId, Submit, Trace};

/// The client's requests with an idempotency key, on routes that have such keys: those of one `place` one behind
/// the other, in the order in which they came.
pub(super) fn by_key<P: Ord>(trace: &Trace, place: impl Fn(&Request) -> P) -> Vec<RequestId> {
    let has_key = |one: &Request| one.by.is_client() && one.keyed && one.key.is_some();
    let keyed = trace.requests().filter(|(_, request)| has_key(request));
    let mut ids: Vec<RequestId> = keyed.map(|(id, _)| id).collect();
    ids.sort_unstable_by_key(|id| (place(trace.request(*id)), *id));
    ids
}

/// The parameters of an invariant that has none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// Reads the parameters of an invariant that has none.
pub(super) fn bare(
    value: &Value,
    at: &At<'_>,
    invariant: impl Invariant + 'static,
) -> Option<Arc<dyn Invariant>> {
    decode::<NoParameters>(value, at)?;
    Some(Arc::new(invariant))
}

/// The schema of parameters.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Judgement {
    /// What came out; `why_not` is the reason when nothing exercised the invariant and nothing broke it.
    pub(super) fn new(exercised: usize, violations: Vec<Violation>, why_not: &str) -> Self {
        let exercised = exercised.max(violations.len());
        let reason = (exercised == 0).then(|| why_not.to_owned());
        Self { exercised: u64::try_from(exercised).unwrap_or(u64::MAX), violations, reason }
    }
}

impl Violation {
    /// A violation about an operation; evidence is put in order.
    pub(super) fn new(
        trace: &Trace,
        operation: OperationId,
        message: impl Into<String>,
        evidence: impl IntoIterator<Item = u32>,
    ) -> Self {
        Self {
            operation: Some(trace.operation_name(operation).into()),
            ..Self::of_run(message, evidence)
        }
    }

    /// A violation about the whole run.
    pub(super) fn of_run(
        message: impl Into<String>,
        evidence: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut evidence: Vec<u64> = evidence.into_iter().map(u64::from).collect();
        evidence.sort_unstable();
        evidence.dedup();
        Self { operation: None, message: message.into(), evidence }
    }
}

/// Why `what` is not held against a client whose own time-outs ran out on a machine that was too busy.
pub(crate) fn too_busy(trace: &Trace, what: &str) -> String {
    format!(
        "{what}, and the machine was too busy for `--speed {}` (a timer of brownout's own came {} late), so that \
         the client's own time-outs may be the reason; use a lower speed or `--jobs 1`",
        trace.run.speed,
        in_words(trace.end.map_or(0, |end| end.late_us))
    )
}

/// The events of an attempt: its arrival, and its answer or the end of its connection.
pub(super) fn events_of(trace: &Trace, id: RequestId) -> impl Iterator<Item = u32> {
    let request = trace.request(id);
    let response = request.response.map(|response| response.seq);
    let ended = request.ended.as_deref().map(|ended| ended.seq);
    [Some(request.seq), response, ended].into_iter().flatten()
}

/// True when the answer never came whole, and it was not the provider that ended the matter.
pub(super) fn hung(request: &Request) -> bool {
    let whole = request.response.is_some_and(|response| response.complete);
    !whole && request.ended.as_deref().is_none_or(|ended| ended.by == Side::Client)
}

/// At most so many events prove something about a whole run.
const EVENTS_OF_RUN: usize = 40;

/// The first of many events: enough to prove something about a whole run, and few enough to be read.
pub(super) fn few_of(events: impl IntoIterator<Item = u32>) -> impl Iterator<Item = u32> {
    events.into_iter().take(EVENTS_OF_RUN)
}

/// True where a driver hands operations to the client and waits for its claims, so that no claim is
/// silence. A suite is asked for nothing.
pub(super) fn is_driven(trace: &Trace) -> bool {
    match trace.mode() {
        Mode::Stdio | Mode::Exec | Mode::Http | Mode::InProcess => true,
        Mode::Suite | Mode::Serve => false,
    }
}

/// What the modes mean to an invariant that reads claims.
pub(super) const READS_CLAIMS: &str = "It goes by what the client tells its caller. A suite tells it in `BROWNOUT_OUTCOME` lines (or by `suite: \
     {exit_0: all_succeeded}`), and under `brownout serve` the control API is told (`POST /v1/outcomes`); where \
     nobody says it, no claim is judged.";

/// What the modes mean to an invariant that bounds a time from above.
pub(super) const BOUNDS_TIME: &str =
    "With `--speed` it is not judged: the clock goes faster, and the client's work does not.";

/// The mode of an invariant about webhooks.
pub(super) const NEEDS_SERVICE: &str = "The client is a service that listens to webhooks: `--mode http`, or `Harness::service` in a test.";

/// The mode of an invariant about messages of a queue.
pub(super) const NEEDS_WORKER: &str = "The client is a worker that receives messages by itself: `--mode stdio`, or `Harness::worker` in a test.";

/// Why an upper bound on time is not judged.
pub(super) const NO_UPPER_BOUND: &str = "with `--speed` the clock goes faster and the client's work does not, \
    so no upper bound on time is judged; run it without `--speed`";

/// True when the driver gave a submit up because its time was over, where that time proves nothing.
pub(super) fn is_only_slow(trace: &Trace, submit: &Submit) -> bool {
    !trace.judges_upper_bounds() && trace.claims(submit).iter().any(|claim| claim.is_late(trace))
}

/// The claim of success for which the client had no answer that proves it.
pub(super) fn unproven_success(trace: &Trace, id: OperationId) -> Option<&ClaimMade> {
    trace.submits_of(id).find_map(|(_, submit)| {
        let claim = trace.final_claim(submit)?;
        let has_proof = trace.attempts_of(id).any(|(id, request)| {
            let before = request.response.is_some_and(|one| one.head_at_us <= claim.at_us);
            before && trace.confirms(id)
        });
        let is_unproven = claim.claim == Claim::Succeeded
            && !has_proof
            && !trace.stood_in(id, claim)
            && !trace.was_heard_of(id, claim.at_us);
        is_unproven.then_some(claim)
    })
}

/// Why nothing is said of what a client claims: that nobody made a claim where the mode asks for none, or
/// `otherwise`.
pub(super) fn unclaimed<'a>(trace: &Trace, otherwise: &'a str) -> &'a str {
    let claimed = || trace.submits().any(|(_, submit)| trace.final_claim(submit).is_some());
    match trace.mode() {
        Mode::Suite if !claimed() => {
            "suite mode makes no claims, so this is not judged; use `--mode exec` or `--mode stdio`"
        }
        Mode::Serve if !claimed() => {
            "nobody said what the client told its caller, so this is not judged; say it by \
             `POST /v1/outcomes` of the control API, or use `brownout run`"
        }
        Mode::Suite | Mode::Serve | Mode::Stdio | Mode::Exec | Mode::Http | Mode::InProcess => {
            otherwise
        }
    }
}

/// What the faults and policies of a scenario can bring about, whatever the client does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Means {
    /// Some rule strikes.
    pub(super) strikes: bool,
    /// An attempt fails.
    pub(super) failure: bool,
    /// The work is done, and its answer is lost.
    pub(super) lost_answer: bool,
    /// A permanent answer.
    pub(super) permanent: bool,
    /// A success that no client may take.
    pub(super) unusable: bool,
    /// A well-formed hint above zero.
    pub(super) hint: bool,
    /// A hint that is malformed, zero, in the past or absurd.
    pub(super) bad_hint: bool,
    /// An answer that never comes, or comes in drops.
    pub(super) hang: bool,
    /// A gateway repeats a request.
    pub(super) repeated: bool,
    /// The longest delay that was drawn once, in microseconds.
    pub(super) delay_us: u64,
}

/// What a scenario can bring about. Each fault is asked once what it does.
pub(super) fn means(scenario: &Scenario) -> Means {
    let mut means = Means::default();
    for rule in scenario.rules.iter().filter(|rule| rule.when.chance_ppm != Some(0)) {
        means.add_rule(scenario, rule);
    }
    if scenario.providers.values().any(|provider| provider.api.rate_limit.is_some()) {
        means.failure = true;
        means.hint = true;
    }
    means
}

/// True when a header or the body that a scenario writes itself asks to wait, as one of its APIs spells it.
fn hints_by_hand(scenario: &Scenario, answer: &Substitute) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let body = match &answer.body {
        Some(SubstituteBody::Json(body)) => Some(body.to_string()),
        Some(SubstituteBody::Raw(..)) | None => None,
    };
    let wall = Wall { at_start: SystemTime::UNIX_EPOCH, now_us: 0 };
    scenario.providers.values().any(|provider| {
        let hints =
            hint::read(&headers, body.as_deref().map(str::as_bytes), &provider.api.hint, wall);
        hints.iter().any(|one| one.wait_us.is_some_and(|wait_us| wait_us > 0))
    })
}

/// What the rules of a scenario end requests with.
pub(super) fn endings(scenario: &Scenario) -> Vec<Ending> {
    let mut endings = Vec::new();
    for rule in scenario.rules.iter().filter(|rule| rule.when.chance_ppm != Some(0)) {
        let draw = RuleKey::new(scenario.seed, &rule.name).draw(&Coordinates::NOWHERE);
        for fault in &rule.faults {
            if let Action::End { ending, .. } = fault.strike(&mut draw.clone()) {
                endings.push(ending);
            }
        }
    }
    endings
}

/// True when the rule can strike a read of one object, which is missing where it is too new; a list is only
/// shorter.
fn hides_one(scenario: &Scenario, rule: &Rule) -> bool {
    let when = &rule.when;
    let mut routes = scenario.providers.values().flat_map(|provider| &provider.api.routes);
    routes.any(|route| {
        route.only_reads()
            && route.uses.as_ref().is_some_and(|uses| !uses.optional)
            && when.route.as_ref().is_none_or(|name| *name == route.name)
            && when.method.as_deref().is_none_or(|method| method == route.method.as_str())
    })
}

impl Means {
    /// What one rule can bring about by itself.
    pub(super) fn of(scenario: &Scenario, rule: &Rule) -> Self {
        let mut means = Self::default();
        means.add_rule(scenario, rule);
        means
    }

    fn add_rule(&mut self, scenario: &Scenario, rule: &Rule) {
        let draw = RuleKey::new(scenario.seed, &rule.name).draw(&Coordinates::NOWHERE);
        for fault in &rule.faults {
            self.strikes = true;
            self.failure |= fault.kind().group == Group::Ending;
            let action = fault.strike(&mut draw.clone());
            self.permanent |= matches!(action, Action::Order(OrderFault::Stale { .. }))
                && hides_one(scenario, rule);
            self.add(scenario, &action);
        }
    }

    fn add(&mut self, scenario: &Scenario, action: &Action) {
        match action {
            Action::Delay { micros, .. } => self.delay_us = self.delay_us.max(*micros),
            Action::Drip { .. } => self.hang = true,
            Action::Duplicate { .. } => self.repeated = true,
            Action::Webhook(_) | Action::Door(_) => {}
            // Whether a client takes a part for the whole lies with the client.
            Action::Batch(_) => self.failure = true,
            Action::Upload(fault) => {
                (self.failure, self.permanent) = (true, *fault == UploadFault::Expires);
            }
            Action::Deprecated(_) => (self.failure, self.permanent) = (true, true),
            Action::Job(fault) => {
                self.permanent |= matches!(fault, JobFault::Disappears { .. });
                if let JobFault::AsksToWait { hint } = fault {
                    self.add_hint(Some(hint));
                }
            }
            Action::Message(fault) => self.failure |= *fault == MessageFault::Poison,
            Action::Order(fault) => match fault {
                OrderFault::Held { by_us } => self.delay_us = self.delay_us.max(*by_us),
                // It takes as long as the body is large.
                OrderFault::Read { .. } => self.hang = true,
                // Whether it hides what is asked for by its id is a matter of the rule.
                OrderFault::Stale { .. } | OrderFault::Slow { .. } => {}
            },
            Action::Client { at, does } => match does {
                // What the answer said dies with the client; the attempt fails.
                ClientFault::Kill => {
                    self.failure = true;
                    self.lost_answer |= matches!(at, Point::AfterCommit | Point::MidBody);
                }
                ClientFault::Pause { .. } => {}
            },
            Action::Key(fault) => self.add_key(scenario, fault),
            Action::Limit(LimitFault::Ban { .. }) => (self.failure, self.permanent) = (true, true),
            // The limit itself is looked at beside the rules.
            Action::Limit(_) => {}
            Action::End { at, ending } => {
                self.lost_answer |= matches!(at, Point::AfterCommit | Point::MidBody);
                self.add_ending(scenario, ending);
            }
        }
    }

    fn add_key(&mut self, scenario: &Scenario, fault: &KeyFault) {
        match fault {
            // Which answer comes back, and whether it fits, lies with the clients.
            KeyFault::AnyScope | KeyFault::Altered { .. } | KeyFault::AnyBody => {
                self.unusable = true;
            }
            KeyFault::Mismatch { status } | KeyFault::ReplayStatus { status } => {
                let mut apis = scenario.providers.values().map(|provider| &provider.api);
                self.failure |= *status >= 400;
                self.permanent |=
                    apis.any(|api| api.classes.of_status(*status) == Class::Permanent);
            }
            KeyFault::Prefix { .. } | KeyFault::RequiredAfter { .. } => {
                (self.failure, self.permanent) = (true, true);
            }
            KeyFault::Ignore
            | KeyFault::ForgetAfter { .. }
            | KeyFault::ForgetBefore { .. }
            | KeyFault::Late => {}
        }
    }

    fn add_ending(&mut self, scenario: &Scenario, ending: &Ending) {
        match ending {
            Ending::Answer(answer) => {
                // Without a status the answer is the API's own way of throttling.
                for (provider, status) in
                    scenario.providers.values().filter_map(|one| Some((one, answer.status?)))
                {
                    let class = provider.api.classes.of_status(status);
                    self.permanent |= class == Class::Permanent && !answer.throttling;
                    self.unusable |= class == Class::Success;
                }
                // A body may hold a code that outranks the status.
                self.permanent |=
                    answer.body.is_some() && answer.status.is_some_and(|status| status >= 400);
                // A name or a header may outrank it, too.
                self.permanent |= answer.named.is_some() || answer.should_retry == Some(false);
                self.add_hint(answer.hint.as_ref());
                // An API may add a hint of its own to what it refuses.
                self.hint |= answer.throttling && answer.hint.is_none();
                self.hint |= hints_by_hand(scenario, answer);
            }
            Ending::InFlight { hint, .. } => self.add_hint(hint.as_ref()),
            Ending::Malformed(how) => self.unusable |= !how.kind.stays_usable(),
            Ending::Interim(_) => {}
            Ending::Stream(how) => {
                self.unusable |= !how.kind.may_stay_usable();
                self.hang |= how.kind == stream::Kind::Stall;
            }
            Ending::Accepted => self.unusable = true,
            Ending::Hang => self.hang = true,
            Ending::Cut { after_bytes, then, .. } => {
                self.unusable |= after_bytes.is_some();
                self.hang |= *then == End::Stall;
            }
            Ending::CloseIdle | Ending::GoAway(_) => {}
            Ending::Misframed { then, .. } => {
                self.unusable = true;
                self.hang |= *then == Some(End::Stall);
            }
        }
    }

    fn add_hint(&mut self, hint: Option<&HintSpec>) {
        match hint {
            None | Some(HintSpec::Missing) => {}
            Some(
                HintSpec::Zero
                | HintSpec::Negative
                | HintSpec::Fraction
                | HintSpec::Huge
                | HintSpec::PastDate
                | HintSpec::Garbage
                | HintSpec::TwoHeaders,
            ) => self.bad_hint = true,
            Some(_) => self.hint = true,
        }
    }
}

/// True when some API of the scenario has jobs.
pub(super) fn begins_jobs(scenario: &Scenario) -> bool {
    let mut routes = scenario.providers.values().flat_map(|provider| &provider.api.routes);
    routes.any(|route| route.job.is_some())
}

/// True when some API of the scenario takes files in pieces.
pub(super) fn takes_pieces(scenario: &Scenario) -> bool {
    let mut routes = scenario.providers.values().flat_map(|provider| &provider.api.routes);
    routes.any(|route| route.upload.is_some())
}

/// Reports that this scenario cannot exercise an invariant; `fault` is the piece of YAML that would.
pub(super) fn cannot(at: &At<'_>, name: &str, why: &str, fault: &str) {
    at.error(format!("`{name}` cannot be exercised: {why}"), |problem| {
        problem.cure(format!("add a rule such as `{fault}`, or leave `{name}` out"))
    });
}

/// Remarks that only a client that goes wrong by itself would exercise an invariant here.
pub(super) fn unlikely(at: &At<'_>, name: &str, why: &str, fault: &str) {
    at.note(format!("`{name}` may stay without a verdict: {why}"), |problem| {
        problem.cure(format!("add a rule such as `{fault}` to be sure"))
    });
}

/// Refuses an invariant about outages in a scenario that has none.
pub(super) fn needs_outage(scenario: &Scenario, at: &At<'_>, name: &str) {
    let is_outage = |rule: &Rule| {
        // As a trace reads it: what strikes some requests of a route and spares others is none.
        let when = &rule.when;
        let lasts = match &when.operation {
            Selector::Any => when.during_us.is_some(),
            Selector::Range(..) => when.during_us.is_none(),
            Selector::List(_) | Selector::Every(_) => false,
        };
        let narrows = when.method.is_some()
            || !when.headers.is_empty()
            || !when.body.is_empty()
            || when.attempt != Selector::Any
            || when.submit != Selector::Any;
        let ends = rule.faults.iter().any(|fault| {
            fault.kind().group == Group::Ending
                || matches!(fault.kind().name, "refuse" | "handshake_reset")
        });
        lasts && !narrows && ends && rule.when.chance_ppm.is_none_or(|chance| chance == 1_000_000)
    };
    if !scenario.rules.iter().any(is_outage) {
        let why = "no rule of this scenario is an outage";
        let fault = "when: {during: {from: 5s, to: 20s}}, inject: {status: {code: 503}}";
        cannot(at, name, why, fault);
    }
}

/// Refuses an invariant about limits where no provider has one.
pub(super) fn needs_limit(scenario: &Scenario, at: &At<'_>, name: &str) {
    if scenario.providers.values().all(|provider| provider.api.rate_limit.is_none()) {
        at.error(format!("`{name}` cannot be exercised: no provider has a limit"), |problem| {
            problem.cure("give the provider one, such as `rate_limit: {limit: 10, per: 1s}`")
        });
    }
}

/// Refuses an invariant that only one fault exercises in a scenario without it.
pub(super) fn has_fault(
    scenario: &Scenario,
    at: &At<'_>,
    (name, fault): (&str, &str),
    example: &str,
) {
    let is_it = |rule: &Rule| rule.faults.iter().any(|one| one.kind().name == fault);
    if !scenario.rules.iter().any(is_it) {
        let why = format!("no rule of this scenario injects `{fault}`");
        cannot(at, name, &why, example);
    }
}

/// Remarks that nothing in this scenario makes an attempt fail, which `name` is about; true where something does.
pub(super) fn needs_failure(scenario: &Scenario, at: &At<'_>, name: &str) -> bool {
    let fails = means(scenario).failure;
    if !fails {
        let why = "no rule of this scenario makes an attempt fail";
        unlikely(at, name, why, "inject: {status: {code: 503}}");
    }
    fails
}

/// A list in words: `1`, `1 and 2`, `1, 2 and 3`.
pub(super) fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

/// Refuses an invariant about keys where no API of the scenario has any.
pub(super) fn keys_are_known(scenario: &Scenario, at: &At<'_>, name: &str) {
    let mut apis = scenario.providers.values().map(|provider| &provider.api);
    if apis.all(|api| !api.routes.iter().any(|route| route.keyed)) {
        let api = scenario.providers.values().next().map_or("", |provider| &*provider.api.name);
        at.error(
            format!("`{name}` cannot be exercised: the API `{api}` has no idempotency keys"),
            |problem| problem.cure(format!("leave `{name}` out, or use `no_double_charges`")),
        );
    }
}
