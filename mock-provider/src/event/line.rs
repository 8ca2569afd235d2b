//! One line of a trace as an event, read as quickly as it can be.
//!
//! What [`Event`] derives keeps every value of a line aside until it has met the word that says what the
//! line tells of. Here that word is looked for first, and the line is then read as just that.
//! **Invariant:** the same event, or the same error, as the derived reader gives.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Event, EventKind};

/// What stands in every line.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default)]
    seq: u64,
    at_us: u64,
    #[serde(borrow)]
    event: Cow<'a, str>,
}

impl Event {
    /// The event of one line of a trace, which is one JSON document.
    ///
    /// # Errors
    /// When the line is no event.
    pub fn from_line(line: &[u8]) -> serde_json::Result<Self> {
        match frequent(line) {
            Some(event) => Ok(event),
            // A word that is rare, or a line that is wrong: then the words of the error are the same ones.
            None => serde_json::from_slice(line),
        }
    }
}

/// The event, if it is of a kind of which a long trace holds many, and right.
fn frequent(line: &[u8]) -> Option<Event> {
    // Each text is checked once and not by each reader.
    let text = std::str::from_utf8(line).ok()?;
    let Head { seq, at_us, event } = match beginning(text) {
        Some(head) => head,
        None => serde_json::from_str(text).ok()?,
    };
    let kind = match &*event {
        "operation_submitted" => serde_json::from_str(text).map(EventKind::OperationSubmitted),
        "request_received" => serde_json::from_str(text).map(EventKind::RequestReceived),
        "fault_injected" => serde_json::from_str(text).map(EventKind::FaultInjected),
        "rate_limited" => serde_json::from_str(text).map(EventKind::RateLimited),
        "idempotency" => serde_json::from_str(text).map(EventKind::Idempotency),
        "effect_committed" => serde_json::from_str(text).map(EventKind::EffectCommitted),
        "effect_reversed" => serde_json::from_str(text).map(EventKind::EffectReversed),
        "message_moved" => serde_json::from_str(text).map(EventKind::MessageMoved),
        "response_sent" => serde_json::from_str(text).map(EventKind::ResponseSent),
        "connection_ended" => serde_json::from_str(text).map(EventKind::ConnectionEnded),
        "operation_finished" => serde_json::from_str(text).map(EventKind::OperationFinished),
        "client_output" => serde_json::from_str(text).map(EventKind::ClientOutput),
        "webhook_sent" => serde_json::from_str(text).map(EventKind::WebhookSent),
        "webhook_answered" => serde_json::from_str(text).map(EventKind::WebhookAnswered),
        _ => return None,
    };
    Some(Event { seq, at_us, kind: kind.ok()? })
}

/// What stands in every line, where it stands at its beginning as a trace is written, and certainly nowhere else:
/// then the line need not be gone through to find it.
fn beginning(text: &str) -> Option<Head<'_>> {
    let (seq, rest) = number(text.strip_prefix("{\"seq\":")?)?;
    let (at_us, rest) = number(rest.strip_prefix(",\"at_us\":")?)?;
    let (event, rest) = rest.strip_prefix(",\"event\":\"")?.split_once('"')?;
    // A name that is spelled with an escape would be the same name.
    let again = ["\"seq\"", "\"at_us\"", "\"event\"", "\\u"];
    let is_plain = event.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !is_plain || again.iter().any(|name| rest.contains(name)) {
        return None;
    }
    Some(Head { seq, at_us, event: Cow::Borrowed(event) })
}

/// The whole number that a text begins with, written as JSON writes it, and what is behind it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    let is_plain = digits == "0" || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| is_plain)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of each kind that is read quickly.
    const LINES: &str = r#"{"seq":3,"at_us":5,"event":"operation_submitted","operation":"op-0001","submit":2,"n":1,"call":"create_charge","tenant":"a","input":{"b":1.5,"a":[1,"é\n"]},"deadline_us":9}
{"seq":4,"at_us":5,"event":"request_received","request":1,"provider":"p","route":"r","operation":"op-0001","attempt":2,"recognized":"url","method":"POST","path":"/v1/charges","unsafe":true,"keyed":true,"headers":{"x":"y","a":"b"},"body_bytes":7,"body_digest":"54308d3e00e48f8fc59e4c075bd68e04","canonical_digest":"by hand","auth_digest":"ABCDEF3e00e48f8fc59e4c075bd68e04","key":"k\"1","connection":1,"drawn":[["rule","fault"]]}
{"event":"fault_injected","at_us":6,"request":1,"provider":"p","rule":"r","fault":"f","unheard_of":[{}]}
{"seq":6,"at_us":6,"event":"rate_limited","request":1,"scope":"api_key","limit":3,"retry_after_us":4}
{"seq":7,"at_us":6,"event":"idempotency","provider":"p","request":1,"key":"k","state":"stored"}
{"seq":8,"at_us":6,"event":"effect_committed","effect":1,"request":1,"provider":"p","operation":"op-0001","kind":"charge","amount":-3,"unit":"usd","billed":true,"digest":"54308d3e00e48f8fc59e4c075bd68e04"}
{"seq":9,"at_us":6,"event":"effect_reversed","effect":1,"request":1,"provider":"p","operation":"op-0001"}
{"seq":10,"at_us":6,"event":"message_moved","request":1,"provider":"p","operation":"op-0001","message":"m","receives":1,"state":"received"}
{"seq":11,"at_us":7,"event":"response_sent","request":1,"provider":"p","status":503,"class":"transient","hints":[{"source":"retry-after","text":"1","wait_us":1000000}],"head_at_us":6,"end_at_us":7,"complete":true,"effects":[1,2]}
{"seq":12,"at_us":7,"event":"connection_ended","provider":"p","connection":1,"request":null,"by":"client","how":"fin"}
{"seq":13,"at_us":7,"event":"operation_finished","operation":"op-0001","claim":"succeeded","detail":"d"}
{"seq":14,"at_us":7,"event":"client_output","stream":"stdout","text":"t","secrets":["api_key:plain"]}
{"seq":15,"at_us":7,"event":"webhook_sent","provider":"p","delivery":1,"webhook":"evt_1","kind":"k","operation":"op-0001"}
{"seq":16,"at_us":7,"event":"webhook_answered","provider":"p","delivery":1,"status":200}"#;

    #[test]
    fn a_line_is_read_as_the_derived_reader_reads_it() {
        for line in LINES.lines() {
            let quickly = frequent(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            let derived: Event = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(quickly, derived, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_refused_in_the_same_words() {
        for (from, to) in [
            (r#""request":1"#, r#""request":"1""#),
            (r#""at_us""#, r#""at""#),
            (r#""provider":"p""#, r#""provider":3"#),
            ("}", ""),
            ("}", "}}"),
            (r#""event":"#, r#""what":"#),
            (r#""event":""#, r#""event":"un"#),
            (r#""at_us":"#, r#""at_us":-"#),
            (r#""at_us":"#, r#""at_us":0"#),
            (r#""at_us":"#, r#""at_us":1."#),
            (r#""at_us":"#, r#""at_us":99999999999999999999"#),
            (r#""at_us":"#, r#" "at_us" : "#),
            ("}", r#","seq":1}"#),
            ("}", r#","at_us":1}"#),
            ("}", r#","event":"run_finished"}"#),
            ("}", r#","\u0073eq":1}"#),
            ("}", r#","\u0065vent":"x"}"#),
            (r#""event":"c"#, r#""event":"\u0063"#),
        ] {
            for line in LINES.lines() {
                let line = line.replacen(from, to, 1);
                let derived = serde_json::from_str::<Event>(&line).map_err(|it| it.to_string());
                let here = Event::from_line(line.as_bytes()).map_err(|it| it.to_string());
                assert_eq!(here, derived, "{line}");
            }
        }
        assert!(Event::from_line(&[0xff, b'\n']).is_err());
    }
}
