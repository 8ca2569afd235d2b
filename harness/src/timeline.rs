//! The story of one operation: what was asked, sent, injected, done, answered and claimed, in order.
//!
//! Told from the trace alone, as data and as plain lines. It judges nothing: where a wait was shorter
//! than asked for, both numbers stand there.
//! **Invariant:** every entry names the event it tells of, so that evidence finds its line.

use brownout_provider::event::{ClaimBy, KeyState, MessageState, Side};
use brownout_provider::http2::ErrorCode;
use brownout_provider::units::in_words;

use crate::amount::{amount, times};
use crate::trace::{
    ClaimMade, Effect, Ended, Message, OperationId, PartUndone, RequestId, Response, Strike, Trace,
    Webhook,
};

/// More entries than this are told by their beginning and their end.
const TOLD: usize = 40;

/// Of a long story so many entries are told at the end.
const TOLD_AT_END: usize = 12;

/// The story of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The operation.
    pub operation: String,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since the start of the run.
    pub at_us: u64,
    /// The event that it tells of.
    pub seq: u32,
    /// What sort of thing it is.
    pub step: Step,
    /// What happened, in words.
    pub text: String,
}

/// What sort of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The caller asked for the operation.
    Submit,
    /// Its message was handed out, deleted or given up, or a webhook told of it.
    Delivery,
    /// A request arrived.
    Attempt,
    /// A fault was injected.
    Fault,
    /// The provider did the work.
    Commit,
    /// The work was undone.
    Undo,
    /// An answer was sent, whole or cut.
    Answer,
    /// The connection ended without an answer.
    End,
    /// The client said what became of it, or the driver that it said nothing.
    Claim,
}

impl Step {
    /// True for what belongs to a request, and is told beneath it.
    #[must_use]
    pub fn is_inner(self) -> bool {
        match self {
            Self::Fault | Self::Commit | Self::Undo | Self::Answer | Self::End => true,
            Self::Submit | Self::Delivery | Self::Attempt | Self::Claim => false,
        }
    }
}

impl Timeline {
    /// The story of an operation.
    #[must_use]
    pub fn of(trace: &Trace, id: OperationId) -> Self {
        let mut entries = Vec::new();
        let many = trace.submits_of(id).count() > 1;
        for (_, submit) in trace.submits_of(id) {
            let which = if many { format!("submit {}: ", submit.number) } else { String::new() };
            if let Some(submitted) = &submit.submitted {
                let call = trace.text(submitted.call);
                let deadline = in_words(submitted.deadline_us);
                let text = format!("{which}asked for `{call}`, to be done within {deadline}");
                entries.push(Entry {
                    at_us: submitted.at_us,
                    seq: submitted.seq,
                    step: Step::Submit,
                    text,
                });
            }
            entries
                .extend(trace.claims(submit).iter().map(|claim| told_claim(trace, &which, claim)));
        }
        for (request, one) in trace.requests_of(id) {
            let which = if many { format!(" (submit {})", one.submit) } else { String::new() };
            entries.extend(told_request(trace, request, &which));
        }
        entries.extend(trace.messages_of(id).iter().map(told_message));
        entries.extend(trace.webhooks_of(id).iter().flat_map(|one| told_webhook(trace, one)));
        let struck = trace.strikes().iter().filter_map(|strike| {
            let delivered = trace.delivered(strike).filter(|it| it.operation == id)?;
            Some(told_strike(trace, delivered.at_us, strike))
        });
        entries.extend(struck);
        for (effect, committed) in trace.effects_of(id) {
            entries.extend(told_effect(trace, committed));
            let parts = trace.parts_undone.iter().filter(|part| part.effect == effect);
            entries.extend(parts.map(|part| told_part(trace, part)));
        }
        entries.sort_by_key(|entry| (entry.at_us, entry.seq));
        Self { operation: trace.operation_name(id).to_owned(), entries }
    }

    /// The story of the operation of that name.
    #[must_use]
    pub fn of_named(trace: &Trace, operation: &str) -> Option<Self> {
        trace.find_operation(operation).map(|id| Self::of(trace, id))
    }

    /// The story as plain lines, one an entry, with the time since its first entry in front. Of a very
    /// long one the middle is left out, and a line says so.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let start = self.entries.first().map_or(0, |entry| entry.at_us);
        let line = |entry: &Entry| {
            let since = entry.at_us.saturating_sub(start);
            let indent = if entry.step.is_inner() { "  " } else { "" };
            format!("{:>10}  {indent}{}", clock(since), entry.text)
        };
        if self.entries.len() <= TOLD {
            return self.entries.iter().map(line).collect();
        }
        let head = &self.entries[..TOLD - TOLD_AT_END];
        let tail = &self.entries[self.entries.len() - TOLD_AT_END..];
        let skipped = format!("{:>10}  … {} more …", "", self.entries.len() - TOLD);
        head.iter().map(line).chain([skipped]).chain(tail.iter().map(line)).collect()
    }
}

/// A time with a fixed number of decimals, so that they stand beneath each other.
fn clock(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros % 1_000_000 / 1_000)
}

fn told_claim(trace: &Trace, which: &str, claim: &ClaimMade) -> Entry {
    let word = claim.claim.name();
    let detail = claim.detail.map(|detail| trace.text(detail).trim().to_owned());
    let by = claim.provider.map_or(String::new(), |name| format!(", by `{}`", trace.text(name)));
    let text = match (claim.by, detail) {
        (ClaimBy::Client, None) => format!("{which}the client claims `{word}`{by}"),
        (ClaimBy::Client, Some(detail)) => {
            format!("{which}the client claims `{word}`{by}: {detail}")
        }
        (ClaimBy::Driver, None) => format!("{which}the client said nothing"),
        (ClaimBy::Driver, Some(detail)) => format!("{which}the client said nothing ({detail})"),
    };
    Entry { at_us: claim.at_us, seq: claim.seq, step: Step::Claim, text }
}

/// A request, the faults that struck it, and how it ended.
fn told_request(trace: &Trace, id: RequestId, which: &str) -> Vec<Entry> {
    let request = trace.request(id);
    let mut entries = vec![Entry {
        at_us: request.at_us,
        seq: request.seq,
        step: Step::Attempt,
        text: arrival(trace, id, which),
    }];
    // What struck a message stands in the story of that message.
    let mut strikes =
        trace.strikes_at(id).iter().filter(|strike| trace.delivered(strike).is_none());
    entries.extend(strikes.by_ref().map(|strike| told_strike(trace, request.at_us, strike)));
    if let Some(response) = &request.response {
        entries.push(told_answer(trace, id, response, request.ended.as_deref()));
    } else if let Some(ended) = &request.ended {
        let text = match ended.by {
            Side::Client if trace.ended_by_harness(request) => format!(
                "no answer; the harness ended the client after {}",
                in_words(ended.at_us.saturating_sub(request.at_us))
            ),
            Side::Client => format!(
                "no answer; the client hung up after {}",
                in_words(ended.at_us.saturating_sub(request.at_us))
            ),
            Side::Provider => {
                format!("no answer; the provider {}", ended_in_words(trace.text(ended.how)))
            }
        };
        entries.push(Entry { at_us: ended.at_us, seq: ended.seq, step: Step::End, text });
    }
    entries
}

/// How the provider ended a connection, in words.
fn ended_in_words(how: &str) -> String {
    match how {
        "rst" => "reset the connection".to_owned(),
        "fin" => "closed the connection".to_owned(),
        "goaway" => "took its leave of the connection and had not begun this request".to_owned(),
        "end_stream" => "ended the stream before all of it was there".to_owned(),
        code if ErrorCode::ALL.iter().any(|one| one.name() == code) => {
            format!("reset the stream ({code})")
        }
        other => format!("ended the connection ({other})"),
    }
}

/// The arrival of a request: which attempt, with which key, after which wait.
fn arrival(trace: &Trace, id: RequestId, which: &str) -> String {
    let request = trace.request(id);
    let mut text = trace.request_in_words(request);
    if !request.by.is_client() {
        return format!("a gateway repeats {text}");
    }
    text.push_str(which);
    if let Some(copy) = request.client {
        text = format!("{text} by copy {copy}");
    }
    match request.key {
        Some(key) => text = format!("{text}, key `{}`", trace.text(key)),
        None if request.effectful && request.keyed => text = format!("{text}, no key"),
        None => {}
    }
    let Some(before) = trace.previous(id) else { return text };
    if trace.is_transport_repeat(id) {
        return format!("{text}, repeated by the HTTP stack itself");
    }
    if trace.fate_at(before, request.at_us).is_none() {
        return format!("{text}, while attempt {} was in flight", trace.request(before).attempt);
    }
    let waited = in_words(trace.waited_us(before, id));
    let asked = trace
        .earliest_allowed(before)
        .and_then(|(hint, _)| hint.wait_us)
        .filter(|wait_us| *wait_us > 0)
        .map_or(String::new(), |wait_us| format!(", asked for {}", in_words(wait_us)));
    format!("{text}, waited {waited}{asked}")
}

fn told_strike(trace: &Trace, at_us: u64, strike: &Strike) -> Entry {
    let at = strike.at.map(|at| trace.text(at));
    // Many faults say where they strike in their own words as well; once is enough.
    let detail: Vec<&str> = strike
        .detail
        .map_or("", |detail| trace.text(detail))
        .split(", ")
        .filter(|part| !part.is_empty() && Some(*part) != at)
        .collect();
    let detail = if detail.is_empty() { String::new() } else { format!(" {}", detail.join(", ")) };
    let at = match trace.delivered(strike) {
        Some(_) => String::new(),
        None => at.map_or(String::new(), |at| format!(", {}", point_in_words(at))),
    };
    let text =
        format!("fault `{}`: {}{detail}{at}", trace.text(strike.rule), trace.text(strike.fault));
    Entry { at_us, seq: strike.seq, step: Step::Fault, text }
}

/// What became of the message that an operation is.
fn told_message(message: &Message) -> Entry {
    let again = match message.receives {
        0 | 1 => String::new(),
        more => format!(" again (the {} time)", ordinal(more)),
    };
    let (step, text) = match (message.state, message.poisoned) {
        (MessageState::Received, false) => {
            (Step::Delivery, format!("its message is handed out{again}"))
        }
        (MessageState::Received, true) => {
            (Step::Delivery, format!("its message is handed out{again}, as nobody can handle it"))
        }
        (MessageState::Deleted, _) => (Step::Answer, "its message is deleted".to_owned()),
        (MessageState::Dead, _) => {
            let handed_out = times(u64::from(message.receives));
            let text =
                format!("its message was handed out {handed_out} and goes to the dead letters");
            (Step::Delivery, text)
        }
    };
    Entry { at_us: message.at_us, seq: message.seq, step, text }
}

/// A webhook that tells of an operation, and its answer.
fn told_webhook(trace: &Trace, webhook: &Webhook) -> Vec<Entry> {
    let kind = trace.text(webhook.kind);
    let again = match webhook.attempt {
        0 | 1 => String::new(),
        more => format!(" again (the {} time)", ordinal(more)),
    };
    let flaw = webhook.flaw.map_or(String::new(), |flaw| format!(", {}", flaw.in_words()));
    let delivery = webhook.delivery;
    let text = format!("`{kind}` is sent{again}, delivery {delivery}{flaw}");
    let sent = Entry { at_us: webhook.at_us, seq: webhook.seq, step: Step::Delivery, text };
    let answered = webhook.answer.map(|(seq, at_us, status)| {
        let status =
            status.map_or("not answered".to_owned(), |status| format!("answered {status}"));
        let again = if webhook.again { ", so it is sent again" } else { "" };
        let text = format!("delivery {delivery} {status}{again}");
        Entry { at_us, seq, step: Step::Answer, text }
    });
    std::iter::once(sent).chain(answered).collect()
}

/// A number as a place in an order: `2nd`.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A point of a request's life in words.
fn point_in_words(at: &str) -> &str {
    match at {
        "accept" => "before the body is read",
        "throttling" => "where limits are checked",
        "before_commit" => "before the commit",
        "after_commit" => "after the commit",
        "head" => "before the head of the answer",
        "mid_body" => "in the middle of the body",
        "chunk" => "between pieces of the body",
        other => other,
    }
}

fn told_part(trace: &Trace, part: &PartUndone) -> Entry {
    let effect = trace.effect(part.effect);
    let unit = effect.unit.map_or("", |unit| trace.text(unit));
    let (how_much, all) = (amount(unit, part.amount), amount(unit, effect.amount));
    Entry {
        at_us: part.reversal.at_us,
        seq: part.reversal.seq,
        step: Step::Undo,
        text: format!("undone: {how_much} of the {} of {all}", trace.text(effect.kind)),
    }
}

fn told_effect(trace: &Trace, effect: &Effect) -> Vec<Entry> {
    let kind = trace.text(effect.kind);
    let how_much = match effect.unit {
        Some(unit) => format!(" of {}", amount(trace.text(unit), effect.amount)),
        None => String::new(),
    };
    let about = effect.subject.map_or(String::new(), |one| format!(" for `{}`", trace.text(one)));
    let about = format!("{about}{}", trace.at_provider(effect.provider));
    let by = if effect.by.is_client() { "" } else { ", by a gateway's repeat" };
    let mut entries = vec![Entry {
        at_us: effect.at_us,
        seq: effect.seq,
        step: Step::Commit,
        text: format!("committed: {kind}{how_much}{about}{by}"),
    }];
    if let Some(reversal) = effect.reversed {
        entries.push(Entry {
            at_us: reversal.at_us,
            seq: reversal.seq,
            step: Step::Undo,
            text: format!("undone: {kind}{how_much}{about}"),
        });
    }
    entries
}

fn told_answer(trace: &Trace, id: RequestId, response: &Response, ended: Option<&Ended>) -> Entry {
    let mut text = format!("answered {}", response.status);
    let hints: Vec<String> = trace
        .hints(id)
        .iter()
        .map(|hint| {
            let value = match (hint.text, hint.wait_us) {
                (Some(text), _) => trace.text(text).to_owned(),
                (None, Some(wait_us)) => format!("a date {} ahead", in_words(wait_us)),
                (None, None) => "a date".to_owned(),
            };
            format!("{}: {value}", trace.text(hint.source))
        })
        .collect();
    if !hints.is_empty() {
        text = format!("{text} ({})", hints.join(", "));
    }
    if response.replayed {
        text.push_str(", replayed for the key");
    }
    match trace.request(id).key_state {
        Some(KeyState::Mismatch) => text.push_str(", the key came with another body"),
        Some(KeyState::InFlight) => text.push_str(", the key is in progress"),
        Some(KeyState::Ignored) => text.push_str(", the key was overlooked"),
        Some(KeyState::Expired) => text.push_str(", the key had expired"),
        Some(KeyState::Stored | KeyState::Replayed) | None => {}
    }
    if !response.complete {
        let by = match ended.map(|ended| ended.by) {
            Some(Side::Client) if trace.ended_by_harness(trace.request(id)) => {
                "; the harness ended the client before the end of it"
            }
            Some(Side::Client) => "; the client hung up before the end of it",
            Some(Side::Provider) | None => "; cut before the end of it",
        };
        text.push_str(by);
    } else if let Some(why) = response.unusable {
        text = format!("{text}, unusable: {}", trace.text(why));
    }
    Entry { at_us: response.end_at_us, seq: response.seq, step: Step::Answer, text }
}

#[cfg(test)]
mod tests {
    use super::Timeline;
    use crate::trace::testing::trace;

    fn check(lines: &str, expected: &[&str]) {
        let timeline = Timeline::of_named(&trace(lines), "op-0001").expect("the operation");
        assert_eq!(timeline.lines(), expected);
    }

    #[test]
    fn a_story_tells_waits_against_what_was_asked() {
        check(
            r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1000,"event":"request_received","request":1,"key":"k-1"}
            {"at_us":1000,"event":"fault_injected","request":1,"rule":"busy","fault":"status","detail":"503, before_commit","at":"before_commit"}
            {"at_us":2000,"event":"response_sent","request":1,"status":503,"hints":[{"source":"retry-after","text":"2","wait_us":2000000}]}
            {"at_us":402000,"event":"request_received","request":2,"attempt":2,"key":"k-2"}
            {"at_us":403000,"event":"effect_committed","request":2}
            {"at_us":404000,"event":"response_sent","request":2,"status":201,"effects":[1]}
            {"at_us":405000,"event":"operation_finished","claim":"succeeded","detail":"ch_1"}"#,
            &[
                "   0.000 s  asked for `create_charge`, to be done within 30 s",
                "   0.001 s  attempt 1 of `create_charge`, key `k-1`",
                "   0.001 s    fault `busy`: status 503, before the commit",
                "   0.002 s    answered 503 (retry-after: 2)",
                "   0.402 s  attempt 2 of `create_charge`, key `k-2`, waited 0.4 s, asked for 2 s",
                "   0.403 s    committed: charge of 19.99 USD",
                "   0.404 s    answered 201",
                "   0.405 s  the client claims `succeeded`: ch_1",
            ],
        );
    }

    #[test]
    fn a_story_names_the_copy_that_asked_where_it_says_who_it_is() {
        check(
            r#"{"at_us":0,"event":"request_received","request":1,"client":2,"key":"k"}"#,
            &["   0.000 s  attempt 1 of `create_charge` by copy 2, key `k`"],
        );
    }

    #[test]
    fn a_story_tells_how_attempts_ended_and_who_was_silent() {
        check(
            r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":1000,"event":"connection_ended","request":1,"by":"provider","how":"rst"}
            {"at_us":301000,"event":"request_received","request":2,"attempt":2,"reused":true}
            {"at_us":901000,"event":"request_received","request":3,"attempt":3}
            {"at_us":902000,"event":"response_sent","request":3,"status":200,"complete":false,"unusable":"cut"}
            {"at_us":1301000,"event":"connection_ended","request":2}
            {"at_us":1400000,"event":"operation_finished","claim":"unknown","by":"driver","detail":"deadline"}"#,
            &[
                "   0.000 s  attempt 1 of `create_charge`, no key",
                "   0.001 s    no answer; the provider reset the connection",
                "   0.301 s  attempt 2 of `create_charge`, no key, waited 0.3 s",
                "   0.901 s  attempt 3 of `create_charge`, no key, while attempt 2 was in flight",
                "   0.902 s    answered 200; cut before the end of it",
                "   1.301 s    no answer; the client hung up after 1 s",
                "   1.400 s  the client said nothing (deadline)",
            ],
        );
    }

    #[test]
    fn who_was_ended_by_the_harness_did_not_hang_up() {
        let lines = |killed: &str| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":0,"event":"request_received","request":2,"attempt":2}}
                {{"at_us":2000000,"event":"response_sent","request":2,"status":201,"complete":false,"unusable":"cut"}}
                {{"at_us":2000000,"event":"connection_ended","request":2}}
                {{"at_us":2000000,"event":"connection_ended","request":1}}
                {{"at_us":2000400,"event":"client_ended","signal":15{killed}}}"#
            )
        };
        let told = |killed: &str| {
            let trace = trace(&lines(killed));
            Timeline::of_named(&trace, "op-0001").expect("the operation").lines().join("\n")
        };
        let ended = told(r#","killed":true"#);
        assert!(ended.contains("no answer; the harness ended the client after 2 s"), "{ended}");
        assert!(ended.contains("; the harness ended the client before the end of it"), "{ended}");
        assert!(!ended.contains("hung up"), "{ended}");
        assert!(told("").contains("no answer; the client hung up after 2 s"));
    }

    #[test]
    fn a_message_is_told_of_with_each_time_that_it_is_handed_out() {
        check(
            r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1000,"event":"request_received","request":1,"operation":"messages"}
            {"at_us":1000,"event":"fault_injected","request":1,"rule":"twice","fault":"message","detail":"duplicate","at":"before_commit","delivered":{"route":"receive_messages","submit":1,"attempt":1}}
            {"at_us":1000,"event":"message_moved","request":1,"provider":"provider","operation":"op-0001","message":"m","receives":1,"state":"received"}
            {"at_us":2000,"event":"message_moved","request":2,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received","poisoned":true}
            {"at_us":3000,"event":"message_moved","request":3,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"deleted"}
            {"at_us":4000,"event":"message_moved","request":4,"provider":"provider","operation":"op-0001","message":"m","receives":3,"state":"dead"}"#,
            &[
                "   0.000 s  asked for `create_charge`, to be done within 30 s",
                "   0.001 s    fault `twice`: message duplicate",
                "   0.001 s  its message is handed out",
                "   0.002 s  its message is handed out again (the 2nd time), as nobody can handle it",
                "   0.003 s    its message is deleted",
                "   0.004 s  its message was handed out 3 times and goes to the dead letters",
            ],
        );
    }

    #[test]
    fn an_event_is_told_of_with_each_delivery_and_its_answer() {
        check(
            r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1000,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"charge.succeeded","operation":"op-0001","attempt":1}
            {"at_us":2000,"event":"webhook_answered","provider":"provider","delivery":1,"status":500,"again":true}
            {"at_us":3000,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"charge.succeeded","operation":"op-0001","attempt":2,"flaw":"no_signature"}
            {"at_us":9000,"event":"webhook_answered","provider":"provider","delivery":1}"#,
            &[
                "   0.000 s  asked for `create_charge`, to be done within 30 s",
                "   0.001 s  `charge.succeeded` is sent, delivery 1",
                "   0.002 s    delivery 1 answered 500, so it is sent again",
                "   0.003 s  `charge.succeeded` is sent again (the 2nd time), delivery 1, not signed",
                "   0.009 s    delivery 1 not answered",
            ],
        );
    }

    #[test]
    fn of_a_very_long_story_the_middle_is_left_out() {
        let lines: Vec<String> = (1..=100_u32)
            .map(|n| format!(r#"{{"at_us":{n},"event":"request_received","request":{n}}}"#))
            .collect();
        let timeline = Timeline::of_named(&trace(&lines.join("\n")), "op-0001").expect("it");
        let told = timeline.lines();
        assert_eq!((timeline.entries.len(), told.len()), (100, 41));
        assert!(told.iter().any(|line| line.ends_with("… 60 more …")));
    }
}
