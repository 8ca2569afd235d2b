//! Builds a [`Trace`] event by event: while a run goes on, or from a file.
//!
//! **Invariant:** the same events in the same order give the same trace, whoever pushed them; an event
//! that names something unknown (a request, an effect) is kept as far as it makes sense and never
//! panics, because traces are read from files that anybody may have edited.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use brownout_provider::event::{
    ClientEnded, ClientOutput, ClientPaused, ClientStarted, ConnectionEnded, Digest16,
    EffectCommitted, EffectReversed, Event, EventKind, FaultInjected, Idempotency, Job,
    MessageMoved, OperationFinished, OperationSubmitted, RequestReceived, ResponseSent, RunStarted,
    StrayRequest, UploadPiece, WebhookAnswered, WebhookSent,
};

use foldhash::fast::FixedState;

use super::numbered::Numbered;
use super::submits::Submits;
use super::{
    ClaimMade, ClientEnd, ClientRun, Delivered, Drawn, Effect, EffectId, Ended, Hint, JobSeen,
    Message, Name, Names, Neighbours, Operation, OperationId, Output, PartUndone, Pause, PieceSeen,
    Place, Refusal, Refused, Request, RequestId, Response, Reversal, RouteSeen, RunEnd, Shape,
    Stray, Strike, Submitted, Trace, Webhook, place, reading,
};

/// How long the lines are at least that tell of a request, in most files.
const BYTES_OF_REQUEST: usize = 1_000;

/// A trace that is being built.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    names: Names,
    run: Option<Box<RunStarted>>,
    end: Option<RunEnd>,
    last_at_us: u64,
    busy_until_us: u64,
    last_strike_at_us: u64,
    lines: u64,
    operations: Vec<Name>,
    /// By the position of the name.
    operation_by_name: Vec<Option<OperationId>>,
    submits: Submits,
    shapes: BTreeMap<Shape, Arc<Shape>>,
    /// The latest credential, which most requests share.
    auth: Option<(Digest16, Name)>,
    requests: Vec<Request>,
    /// What each request sent, to the byte, as a number.
    bytes: Vec<u64>,
    /// By provider.
    request_by_number: BTreeMap<Name, Numbered>,
    strikes: Vec<Strike>,
    delivered: Vec<Delivered>,
    hints: Vec<Hint>,
    exhausted: Vec<(RequestId, u64)>,
    unmade: Vec<(RequestId, Name)>,
    drawn: Vec<Drawn>,
    parts_undone: Vec<PartUndone>,
    effects: Vec<Effect>,
    messages: Vec<Message>,
    webhooks: Vec<Webhook>,
    /// By provider.
    effect_by_number: BTreeMap<Name, Numbered>,
    /// What answers told of: request, provider, and the number of the effect, which may come later.
    tells: Vec<(RequestId, Name, u64)>,
    /// Reversals of effects that come later.
    early: Vec<(Stamp, EffectReversed)>,
    outputs: Vec<Output>,
    lines_not_kept: u64,
    strays: Vec<Stray>,
    clients: Vec<ClientRun>,
    client_ends: Vec<ClientEnd>,
    /// Webhooks that were heard: the operation of each, and when it was sent.
    heard: Vec<(OperationId, u64)>,
    pauses: Vec<Pause>,
    refused: Vec<Refused>,
    jobs: Vec<JobSeen>,
    pieces: Vec<PieceSeen>,
    routes: BTreeMap<(Name, Name), RouteSeen>,
}

/// Submit, provider and route: what the attempts of an operation are counted by.
type Chain = (u32, Name, Name);

impl TraceBuilder {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty trace with room for what a file of so many bytes holds: room that is made at once is not made by
    /// copying what was there before, and room that is not needed costs nothing.
    #[must_use]
    pub(crate) fn for_bytes(bytes: usize) -> Self {
        let requests = Vec::with_capacity(bytes / BYTES_OF_REQUEST);
        Self { requests, ..Self::default() }
    }

    /// Takes the next event. One without a number takes the number of its line, counted from 1.
    pub fn push(&mut self, event: &Event) {
        self.lines += 1;
        self.last_at_us = self.last_at_us.max(event.at_us);
        if !matches!(event.kind, EventKind::RunFinished(_)) {
            self.busy_until_us = self.busy_until_us.max(event.at_us);
        }
        let stamp = Stamp {
            seq: u32::try_from(if event.seq == 0 { self.lines } else { event.seq })
                .unwrap_or(u32::MAX),
            at_us: event.at_us,
        };
        match &event.kind {
            EventKind::RunStarted(run) => self.run = Some(run.clone()),
            EventKind::OperationSubmitted(submitted) => self.submitted(stamp, submitted),
            EventKind::RequestReceived(request) => self.request(stamp, request),
            EventKind::FaultInjected(fault) => self.fault(stamp, fault),
            EventKind::RateLimited(limited) => {
                if let Some(request) = self.told_of(&limited.provider, limited.request) {
                    request.limited = true;
                }
            }
            EventKind::Idempotency(idempotency) => self.idempotency(idempotency),
            EventKind::EffectCommitted(effect) => self.committed(stamp, effect),
            EventKind::EffectReversed(reversed) => self.reversed(stamp, reversed),
            EventKind::MessageMoved(moved) => self.moved(stamp, moved),
            EventKind::ResponseSent(response) => self.response(stamp, response),
            EventKind::ConnectionEnded(ended) => self.ended(stamp, ended),
            EventKind::OperationFinished(finished) => self.finished(stamp, finished),
            EventKind::ClientOutput(output) => self.output(stamp, output),
            EventKind::ClientStarted(started) => self.started(stamp, started),
            EventKind::ClientEnded(ended) => self.client_ended(stamp, ended),
            EventKind::ClientPaused(paused) => self.client_paused(stamp, paused),
            EventKind::Job(job) => self.job(stamp, job),
            EventKind::UploadPiece(piece) => self.piece(stamp, piece),
            EventKind::WebhookSent(sent) => self.webhook(stamp, sent),
            EventKind::WebhookAnswered(answered) => self.webhook_answered(stamp, answered),
            EventKind::StrayRequest(stray) => self.stray(stamp, stray),
            EventKind::RunFinished(finished) => {
                let reason = self.names.intern(&finished.reason);
                self.end = Some(RunEnd {
                    seq: stamp.seq,
                    at_us: stamp.at_us,
                    reason,
                    late_us: finished.late_us,
                });
            }
        }
    }

    /// The trace so far, with everything worked out that needs the whole of it; `None` without a
    /// `run_started`.
    #[must_use]
    pub fn finish(mut self) -> Option<Trace> {
        let run = self.run.take()?;
        for (stamp, event) in std::mem::take(&mut self.early) {
            self.reversed(stamp, &event);
        }
        self.compare_bytes();
        // What was only there to gather makes room for what is worked out.
        drop(std::mem::take(&mut self.request_by_number));
        drop(std::mem::take(&mut self.operation_by_name));
        let effects = std::mem::take(&mut self.effect_by_number);
        let told = self.tells.into_iter().filter_map(|(request, provider, effect)| {
            Some((request, EffectId(Place::new(effects.get(&provider)?.get(effect)?))))
        });
        let mut tells: Vec<(RequestId, EffectId)> = told.collect();
        tells.shrink_to_fit();
        let mut operations: Vec<Operation> =
            self.operations.into_iter().map(Operation::named).collect();
        let (submits, claims) = self.submits.flatten(&mut operations);
        let mut trace = Trace {
            run,
            end: self.end,
            last_at_us: self.last_at_us,
            busy_until_us: self.busy_until_us,
            last_strike_at_us: self.last_strike_at_us,
            cut: None,
            missing: Vec::new(),
            names: self.names,
            operations,
            submits,
            claims,
            chain: vec![Neighbours::default(); self.requests.len()],
            by_operation: Vec::new(),
            requests: self.requests,
            strikes: self.strikes,
            delivered: self.delivered,
            hints: self.hints,
            exhausted: self.exhausted,
            unmade: self.unmade,
            drawn: self.drawn,
            effects: self.effects,
            messages: self.messages,
            webhooks: self.webhooks,
            effects_by_operation: Vec::new(),
            tells,
            parts_undone: self.parts_undone,
            reversals: Vec::new(),
            outputs: self.outputs,
            lines_not_kept: self.lines_not_kept,
            strays: self.strays,
            clients: self.clients,
            copies: 1,
            client_ends: self.client_ends,
            heard: self.heard,
            pauses: self.pauses,
            refused: self.refused,
            jobs: self.jobs,
            pieces: self.pieces,
            routes: self.routes.into_values().collect(),
        };
        sort(&mut trace);
        trace.know_queues();
        index(&mut trace);
        Some(trace)
    }

    fn operation(&mut self, name: &str) -> OperationId {
        let name = self.names.intern(name);
        let position = name.position();
        if position >= self.operation_by_name.len() {
            self.operation_by_name.resize(position + 1, None);
        }
        *self.operation_by_name[position].get_or_insert_with(|| {
            self.operations.push(name);
            OperationId(Place::new(number(self.operations.len() - 1)))
        })
    }

    fn find(&self, provider: &str, request: u64) -> Option<RequestId> {
        let requests = self.request_by_number.get(&self.names.find(provider)?)?;
        requests.get(request).map(Place::new).map(RequestId)
    }

    /// The request of that number; the latest one where an event of an earlier version names no provider.
    fn told_of(&mut self, provider: &str, request: u64) -> Option<&mut Request> {
        let latest = || {
            let each = self.request_by_number.values();
            each.filter_map(|one| one.get(request)).max().map(Place::new).map(RequestId)
        };
        let id = if provider.is_empty() { latest() } else { self.find(provider, request) }?;
        self.requests.get_mut(place(id.0))
    }

    fn text(&mut self, text: &str) -> Option<Name> {
        (!text.is_empty()).then(|| self.names.intern(text))
    }

    fn submitted(&mut self, stamp: Stamp, event: &OperationSubmitted) {
        let operation = self.operation(&event.operation);
        let call = self.names.intern(&event.call);
        let tenant = event.tenant.as_ref().map(|tenant| self.names.intern(tenant));
        self.submits.get(operation, event.submit).submitted = Some(Submitted {
            seq: stamp.seq,
            at_us: stamp.at_us,
            client: event.client,
            deadline_us: event.deadline_us,
            call,
            tenant,
            input: serde_json::to_string(&event.input).unwrap_or_default().into(),
        });
    }

    fn request(&mut self, stamp: Stamp, event: &RequestReceived) {
        let at = number(self.requests.len());
        let id = RequestId(Place::new(at));
        let operation = event.operation.as_deref().map(|operation| self.operation(operation));
        if let Some(operation) = operation {
            self.submits.get(operation, event.submit);
        }
        let shape = self.shape(event);
        let provider = shape.provider;
        if let Some(route) = shape.route {
            let seen = RouteSeen { provider, route, effectful: false, reverses: false };
            self.routes.entry((provider, route)).or_insert(seen).effectful |= event.effectful;
        }
        let sender = event.auth_digest.unwrap_or_default();
        let asked = (provider, &*event.method, &*event.path, event.canonical_digest.0, sender.0);
        for (rule, fault) in &event.drawn {
            let (rule, fault) = (self.names.intern(rule), self.names.intern(fault));
            self.drawn.push(Drawn { request: id, rule, fault });
        }
        self.request_by_number.entry(provider).or_default().put(event.request, at);
        self.requests.push(Request {
            shape,
            seq: stamp.seq,
            at_us: stamp.at_us,
            operation,
            submit: event.submit,
            attempt: event.attempt,
            polls: false,
            removes: false,
            names: event.names.as_deref().map(|value| self.names.intern(value)),
            key: event.key.as_deref().map(|key| self.names.intern(key)),
            canonical: event.canonical_digest,
            body_bytes: u32::try_from(event.body_bytes).unwrap_or(u32::MAX),
            body_unread: event.body_unread,
            call: FixedState::default().hash_one(asked),
            connection: u32::try_from(event.connection).unwrap_or(u32::MAX),
            reused: event.reused,
            same_bytes: false,
            transport_repeat: false,
            key_state: None,
            limited: false,
            response: None,
            ended: None,
        });
        let sent = (&*event.method, &*event.path, event.body_digest.0);
        self.bytes.push(FixedState::default().hash_one(sent));
    }

    /// What a request has in common with others, kept once for all of them.
    fn shape(&mut self, event: &RequestReceived) -> Arc<Shape> {
        let shape = Shape {
            provider: self.names.intern(&event.provider),
            route: event.route.as_deref().map(|route| self.names.intern(route)),
            recognized: event.recognized,
            by: event.by,
            method: self.names.intern(&event.method),
            effectful: event.effectful,
            keyed: event.keyed,
            tenant: event.tenant.as_deref().map(|tenant| self.names.intern(tenant)),
            auth: event.auth_digest.map(|digest| self.auth(digest)),
            client: event.client,
            expects: event.headers.iter().any(|(name, _)| name == "expect"),
        };
        let latest = self.requests.last().map(|request| &request.shape);
        if let Some(latest) = latest.filter(|latest| ***latest == shape) {
            return Arc::clone(latest);
        }
        Arc::clone(self.shapes.entry(shape).or_insert_with(|| Arc::new(shape)))
    }

    /// The name of a credential's digest.
    fn auth(&mut self, digest: Digest16) -> Name {
        if let Some((_, name)) = self.auth.filter(|(latest, _)| *latest == digest) {
            return name;
        }
        let name = self.names.intern(&digest.to_string());
        self.auth = Some((digest, name));
        name
    }

    /// Marks the attempts that have method, target and body of the one before.
    fn compare_bytes(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut order: Vec<u32> = (0..number(self.requests.len())).collect();
        order.sort_by_key(|at| self.requests[place(*at)].operation);
        let mut latest = BTreeMap::<Chain, u64>::new();
        let mut of = None;
        for at in order {
            let request = &mut self.requests[place(at)];
            let (Some(_), Some(route), true) =
                (request.operation, request.route, request.by.is_client())
            else {
                continue;
            };
            if of != request.operation {
                of = request.operation;
                latest.clear();
            }
            let bytes = bytes[place(at)];
            let before = latest.insert((request.submit, request.provider, route), bytes);
            request.same_bytes = before == Some(bytes);
        }
    }

    fn fault(&mut self, stamp: Stamp, event: &FaultInjected) {
        self.last_strike_at_us = self.last_strike_at_us.max(stamp.at_us);
        if let (Some(delivered), Some(operation)) = (&event.delivered, &event.operation) {
            let delivered = Delivered {
                at_us: stamp.at_us,
                operation: self.operation(operation),
                route: self.names.intern(&delivered.route),
                submit: delivered.submit,
                attempt: delivered.attempt,
            };
            self.delivered.push(delivered);
        }
        let is_delivered = event.delivered.is_some() && event.operation.is_some();
        let strike = Strike {
            seq: stamp.seq,
            request: self.find(&event.provider, event.request),
            provider: self.names.intern(&event.provider),
            rule: self.names.intern(&event.rule),
            fault: self.names.intern(&event.fault),
            at: event.at.as_deref().map(|at| self.names.intern(at)),
            detail: self.text(&event.detail),
            scheduled: event.scheduled,
            delivered: if is_delivered { number(self.delivered.len()) } else { 0 },
        };
        self.strikes.push(strike);
    }

    fn idempotency(&mut self, event: &Idempotency) {
        if let Some(request) = self.told_of(&event.provider, event.request) {
            request.key_state = Some(event.state);
        }
    }

    fn committed(&mut self, stamp: Stamp, event: &EffectCommitted) {
        let at = number(self.effects.len());
        let request = self.find(&event.provider, event.request);
        let provider = self.names.intern(&event.provider);
        let operation = self.operation(&event.operation);
        self.submits.get(operation, event.submit);
        self.effect_by_number.entry(provider).or_default().put(event.effect, at);
        let effect = Effect {
            seq: stamp.seq,
            at_us: stamp.at_us,
            request,
            provider,
            operation,
            submit: event.submit,
            kind: self.names.intern(&event.kind),
            subject: event.subject.as_deref().map(|subject| self.names.intern(subject)),
            amount: event.amount.unwrap_or(0),
            unit: event.unit.as_deref().map(|unit| self.names.intern(unit)),
            billed: event.billed,
            digest: event.digest.map(|digest| self.names.intern(&digest.to_string())),
            by: event.by,
            told: false,
            undone: 0,
            reversed: None,
        };
        self.effects.push(effect);
    }

    fn reversed(&mut self, stamp: Stamp, event: &EffectReversed) {
        let operation = self.operation(&event.operation);
        let request = self.find(&event.provider, event.request);
        let undoing = request.map(|id| &self.requests[place(id.0)]);
        if let Some(seen) = undoing.and_then(|one| self.routes.get_mut(&(one.provider, one.route?)))
        {
            seen.reverses = true;
        }
        let provider = self.names.intern(&event.provider);
        let effects = self.effect_by_number.get(&provider);
        let Some(at) = effects.and_then(|effects| effects.get(event.effect)) else {
            self.early.push((stamp, event.clone()));
            return;
        };
        let Some(effect) = self.effects.get_mut(place(at)) else { return };
        let reversal = Reversal { seq: stamp.seq, at_us: stamp.at_us, operation };
        match event.amount.filter(|amount| *amount < effect.left()) {
            Some(amount) => {
                effect.undone = effect.undone.saturating_add(amount);
                let effect = EffectId(Place::new(at));
                self.parts_undone.push(PartUndone { effect, amount, reversal });
            }
            None => {
                effect.reversed.get_or_insert(reversal);
            }
        }
    }

    fn piece(&mut self, stamp: Stamp, event: &UploadPiece) {
        let Some(request) = self.find(&event.provider, event.request) else { return };
        self.pieces.push(PieceSeen {
            seq: stamp.seq,
            request,
            upload: self.names.intern(&event.upload),
            from: event.from,
            stored: event.stored,
            size: event.size,
            whole: event.whole,
        });
    }

    fn job(&mut self, stamp: Stamp, event: &Job) {
        let Some(request) = self.find(&event.provider, event.request) else { return };
        self.jobs.push(JobSeen {
            seq: stamp.seq,
            at_us: stamp.at_us,
            request,
            job: self.names.intern(&event.job),
            step: event.step,
            state: event.state,
        });
    }

    fn webhook(&mut self, stamp: Stamp, event: &WebhookSent) {
        let operation = self.operation(&event.operation);
        self.submits.get(operation, event.submit);
        self.webhooks.push(Webhook {
            seq: stamp.seq,
            at_us: stamp.at_us,
            provider: self.names.intern(&event.provider),
            delivery: event.delivery,
            event: self.names.intern(&event.webhook),
            kind: self.names.intern(&event.kind),
            attempt: event.attempt,
            operation,
            flaw: event.flaw,
            answer: None,
            again: false,
        });
    }

    fn webhook_answered(&mut self, stamp: Stamp, event: &WebhookAnswered) {
        let provider = self.names.intern(&event.provider);
        let mut sent = self.webhooks.iter_mut().rev();
        let of = |one: &&mut Webhook| one.provider == provider && one.delivery == event.delivery;
        if let Some(sent) = sent.find(of) {
            sent.answer = Some((stamp.seq, stamp.at_us, event.status));
            sent.again = event.again;
            if event.status.is_some_and(|status| (200..300).contains(&status)) {
                self.heard.push((sent.operation, sent.at_us));
            }
        }
    }

    fn moved(&mut self, stamp: Stamp, event: &MessageMoved) {
        let operation = self.operation(&event.operation);
        self.submits.get(operation, event.submit);
        let message = self.names.intern(&event.message);
        let MessageMoved { submit, receives, state, poisoned, .. } = *event;
        let Stamp { seq, at_us } = stamp;
        self.messages.push(Message {
            seq,
            at_us,
            operation,
            submit,
            message,
            receives,
            state,
            poisoned,
        });
    }

    fn response(&mut self, stamp: Stamp, event: &ResponseSent) {
        let Some(id) = self.find(&event.provider, event.request) else { return };
        let provider = self.requests[place(id.0)].provider;
        for hint in &event.hints {
            let hint = Hint {
                request: id,
                source: self.names.intern(&hint.source),
                text: hint.text.as_deref().map(|text| self.names.intern(text)),
                wait_us: hint.wait_us,
                until_us: hint.until_us,
            };
            self.hints.push(hint);
        }
        self.exhausted.extend(event.exhausted_until_us.map(|at_us| (id, at_us)));
        self.unmade.extend(event.unmade.as_deref().map(|why| (id, self.names.intern(why))));
        self.tells.extend(event.effects.iter().map(|effect| (id, provider, *effect)));
        let response = Response {
            seq: stamp.seq,
            status: event.status,
            class: event.class,
            head_at_us: event.head_at_us,
            end_at_us: event.end_at_us,
            complete: event.complete,
            unusable: event.unusable.as_deref().map(|why| self.names.intern(why)),
            rule: event.rule.as_deref().map(|rule| self.names.intern(rule)),
            replayed: event.replayed,
            should_retry: event.should_retry,
            refuses_key: event.refuses_key,
        };
        self.requests[place(id.0)].response = Some(response);
    }

    fn ended(&mut self, stamp: Stamp, event: &ConnectionEnded) {
        let refusal = match &*event.how {
            "bad_request" => Some(Refusal::NoHttp),
            "too_large" => Some(Refusal::TooLarge),
            _ => None,
        };
        self.refused.extend(refusal.map(|why| Refused { seq: stamp.seq, why }));
        let Some(id) = event.request.and_then(|request| self.find(&event.provider, request)) else {
            return;
        };
        let how = self.names.intern(&event.how);
        let ended = Ended { seq: stamp.seq, at_us: stamp.at_us, by: event.by, how };
        self.requests[place(id.0)].ended.get_or_insert(Box::new(ended));
    }

    fn finished(&mut self, stamp: Stamp, event: &OperationFinished) {
        let operation = self.operation(&event.operation);
        let claim = ClaimMade {
            seq: stamp.seq,
            at_us: stamp.at_us,
            claim: event.claim,
            by: event.by,
            detail: self.text(&event.detail),
            provider: event.provider.as_deref().map(|provider| self.names.intern(provider)),
            degraded: event.degraded,
        };
        self.submits.claim(operation, event.submit, claim);
    }

    fn output(&mut self, stamp: Stamp, event: &ClientOutput) {
        self.lines_not_kept += event.not_kept;
        let output = Output {
            seq: stamp.seq,
            stream: self.names.intern(&event.stream),
            operation: event.operation.as_deref().map(|operation| self.operation(operation)),
            text: event.text.as_str().into(),
            secrets: event.secrets.iter().map(|mark| self.names.intern(mark)).collect(),
        };
        self.outputs.push(output);
    }

    fn started(&mut self, stamp: Stamp, event: &ClientStarted) {
        let operation = event.operation.as_deref().map(|operation| self.operation(operation));
        let run = ClientRun { seq: stamp.seq, at_us: stamp.at_us, client: event.client, operation };
        self.clients.push(run);
    }

    fn client_ended(&mut self, stamp: Stamp, event: &ClientEnded) {
        let operation = event.operation.as_deref().map(|operation| self.operation(operation));
        self.client_ends.push(ClientEnd {
            seq: stamp.seq,
            at_us: stamp.at_us,
            code: event.code,
            signal: event.signal,
            killed: event.killed,
            operation,
        });
    }

    fn client_paused(&mut self, stamp: Stamp, event: &ClientPaused) {
        let operation = event.operation.as_deref().map(|operation| self.operation(operation));
        self.pauses.push(Pause {
            from_us: stamp.at_us.saturating_sub(event.for_us),
            to_us: stamp.at_us,
            operation,
        });
    }

    fn stray(&mut self, stamp: Stamp, event: &StrayRequest) {
        self.strays.push(Stray {
            seq: stamp.seq,
            host: event.host.as_str().into(),
            port: event.port,
            named: event.named,
            allowed: event.allowed,
        });
    }
}

/// Number and time of an event.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    seq: u32,
    at_us: u64,
}

/// Puts everything in the order in which it is looked up.
fn sort(trace: &mut Trace) {
    trace.clients.sort_by_key(|client| client.at_us);
    trace.heard.sort_unstable();
    trace.webhooks.sort_by_key(|webhook| (webhook.operation, webhook.seq));
    trace.messages.sort_by_key(|message| (message.operation, message.seq));
    trace.pauses.sort_by_key(|pause| pause.from_us);
    trace.strikes.sort_by_key(|strike| (strike.request, strike.seq));
    trace.hints.sort_by_key(|hint| hint.request);
    trace.exhausted.sort_unstable();
    trace.drawn.sort_by_key(|drawn| drawn.request);
    trace.tells.sort_unstable();
    trace.tells.dedup();
}

/// Works out everything that follows from the requests and effects: which belong to which operation,
/// which attempt follows which, and which repeats were the transport's own.
pub(super) fn index(trace: &mut Trace) {
    let mut order: Vec<RequestId> = trace
        .requests()
        .filter(|(_, request)| request.operation.is_some())
        .map(|(id, _)| id)
        .collect();
    order.shrink_to_fit();
    order.sort_unstable_by_key(|id| {
        let request = trace.request(*id);
        (request.operation, request.at_us, request.seq, *id)
    });
    for operation in &mut trace.operations {
        let (from, to) = operation.submits;
        let mut given = trace.submits[place(from)..place(to)].iter();
        if let Some(submitted) = given.find_map(|one| one.submitted.as_ref()) {
            operation.copy = submitted.client;
        }
    }
    let started = trace.clients.iter().map(|run| run.client);
    let given = trace.operations.iter().map(|one| one.copy);
    trace.copies = started.chain(given).max().unwrap_or(1).max(1);
    let mut effects: Vec<EffectId> = trace.effects().map(|(id, _)| id).collect();
    effects.sort_unstable_by_key(|id| (trace.effect(*id).operation, trace.effect(*id).seq, *id));
    for operation in &mut trace.operations {
        (operation.requests, operation.effects) = ((0, 0), (0, 0));
    }
    for (at, id) in (0..).zip(&order) {
        let Some(operation) = trace.requests[place(id.0)].operation else { continue };
        extend(&mut trace.operations[place(operation.0)].requests, at);
    }
    for (at, id) in (0..).zip(&effects) {
        let operation = trace.effects[place(id.0)].operation;
        extend(&mut trace.operations[place(operation.0)].effects, at);
    }
    trace.effects_by_operation = effects;
    trace.by_operation = order;
    link(trace);
    let whole =
        trace.effects.iter().filter_map(|one| Some((one.reversed?.operation, one.operation)));
    let parts = trace.parts_undone.iter();
    let parts = parts.map(|one| (one.reversal.operation, trace.effect(one.effect).operation));
    trace.reversals = whole.chain(parts).collect();
    trace.reversals.sort_unstable();
    trace.reversals.dedup();
    reading::mark_transport_repeats(trace);
    reading::mark_told_effects(trace);
}

/// Links each attempt with its neighbours of the same operation, submit, provider and route.
fn link(trace: &mut Trace) {
    let mut latest = BTreeMap::<Chain, RequestId>::new();
    trace.chain.fill(Neighbours::default());
    let mut unnamed = (None, false);
    for at in 0..trace.by_operation.len() {
        let id = trace.by_operation[at];
        let request = trace.request(id);
        let (Some(operation), Some(route), true) =
            (request.operation, request.route, request.by.is_client())
        else {
            continue;
        };
        if unnamed.0 != Some(operation) {
            unnamed = (Some(operation), trace.has_unnamed_submits(operation));
            latest.clear();
        }
        let previous = latest.insert((request.submit, request.provider, route), id);
        // Which of two submits at work a request is for nobody can say, nor does the next one go on with
        // what an earlier one began.
        let goes_on = |previous: &RequestId| {
            let before = trace.request(*previous);
            let is_asked_for = unnamed.1
                && (trace.was_asked_again(operation, before.at_us, request.at_us)
                    || trace.submits_at_work(operation, request.at_us).nth(1).is_some());
            !is_asked_for && !trace.was_given_again(operation, before.seq, request.seq)
        };
        if let Some(previous) = previous.filter(goes_on) {
            trace.chain[place(previous.0)].next = Some(id);
            trace.chain[place(id.0)].previous = Some(previous);
        }
    }
}

/// Makes a range end behind this place; an empty one begins there.
pub(super) fn extend(range: &mut (u32, u32), at: u32) {
    let from = if range.1 == 0 { at } else { range.0 };
    *range = (from, at + 1);
}

pub(super) fn number(length: usize) -> u32 {
    u32::try_from(length).expect("a trace has fewer than 2^32 of anything")
}
