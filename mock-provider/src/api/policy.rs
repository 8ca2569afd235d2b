//! The policies of an API, ready to use: keys, hints, classes of answers.
//!
//! Data and small look-ups only; the machines that act on them stand on higher floors.
//! **Invariant:** nothing here knows a vendor; all of it comes from an API file or a scenario.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::pointer::Pointer;
use crate::event::Class;
use crate::json;
use crate::template::Template;

/// How a client shows who it is.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The header that carries the key.
    pub header: HeaderName,
    /// The word before the key (`Bearer`), if any; compared without regard to case.
    pub scheme: Option<String>,
    /// What stands in front of the key behind the scheme.
    pub after: Option<String>,
    /// What ends the key.
    pub until: Option<String>,
    /// True when an operation's token may stand behind the key: `KEY~op-0003.1`.
    pub token_in_key: bool,
    /// True when a request without a key is refused.
    pub required: bool,
    /// A key of the right shape that opens nothing.
    pub dummy: String,
}

impl Auth {
    /// The key of a request, with any operation token still behind it.
    #[must_use]
    pub fn credential<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let text = headers.get(&self.header)?.to_str().ok()?.trim();
        let key = match &self.scheme {
            None => text,
            Some(scheme) => {
                let (word, key) = text.split_once(' ')?;
                if !word.eq_ignore_ascii_case(scheme) {
                    return None;
                }
                key.trim()
            }
        };
        // Where nothing stands around it, it is the key itself.
        let after = self.after.as_deref().and_then(|after| key.split_once(after));
        let key = after.map_or(key, |(_, key)| key);
        let until = self.until.as_deref().and_then(|until| key.split_once(until));
        let key = until.map_or(key, |(key, _)| key);
        (!key.is_empty()).then_some(key)
    }

    /// The key without the operation token, and the token.
    #[must_use]
    pub fn split<'k>(&self, key: &'k str) -> (&'k str, Option<&'k str>) {
        match key.split_once('~') {
            Some((key, token)) if self.token_in_key => (key, Some(token)),
            Some(_) | None => (key, None),
        }
    }
}

/// Where an idempotency key stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyCarrier {
    /// A header.
    Header(HeaderName),
    /// A field of the body.
    Field(Pointer),
}

/// What shares one name space of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyScope {
    /// All routes of one account.
    Account,
    /// One route of one account.
    Route,
}

/// Which of the provider's own answers stand under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Successes only; after an error the key is free.
    Success,
    /// Every answer given once the work began, errors too.
    All,
}

/// An answer of the API's own that refuses something: one of its named errors, perhaps with another
/// status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error's name in the API file.
    pub error: Arc<str>,
    /// A status instead of the error's own.
    pub status: Option<u16>,
}

/// How an API treats idempotency keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyPolicy {
    /// Where the key stands.
    pub carrier: KeyCarrier,
    /// True when a request without a key is refused on routes that take one.
    pub required: bool,
    /// What shares a name space.
    pub scope: KeyScope,
    /// How long a key is remembered, in microseconds since it was first seen.
    pub retention_us: u64,
    /// A key that comes back with another body.
    pub mismatch: Refusal,
    /// A key whose first request is still in progress.
    pub in_flight: Refusal,
    /// No key where one is required.
    pub missing: Refusal,
    /// A key that is longer than `max_length`.
    pub too_long: Refusal,
    /// The status of a replay, if not that of the first answer.
    pub replay_status: Option<u16>,
    /// Headers that mark a replay.
    pub replay_headers: Vec<(HeaderName, HeaderValue)>,
    /// What is stored.
    pub stores: Stores,
    /// True when a key in quotes equals the bare one.
    pub quoted_equals_bare: bool,
    /// The longest key in characters.
    pub max_length: usize,
}

impl IdempotencyPolicy {
    /// The key of a request, unquoted where quotes do not count; `None` without one.
    #[must_use]
    pub fn key<'r>(&self, headers: &'r HeaderMap, body: Option<&'r Value>) -> Option<&'r str> {
        let text = match &self.carrier {
            KeyCarrier::Header(name) => headers.get(name)?.to_str().ok()?.trim(),
            KeyCarrier::Field(pointer) => pointer.find(body?)?.as_str()?,
        };
        let text = if self.quoted_equals_bare { unquoted(text) } else { text };
        (!text.is_empty()).then_some(text)
    }

    /// True when a key has more characters than the API takes.
    #[must_use]
    pub fn is_too_long(&self, key: &str) -> bool {
        // There are never more characters than bytes.
        key.len() > self.max_length && key.chars().count() > self.max_length
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Which answers mean what.
#[derive(Clone, Debug)]
pub struct Classes {
    /// The class of each status from 100 to 999.
    pub(super) statuses: Vec<Class>,
    /// Fields of the body whose value outranks the status.
    pub(super) codes: Vec<(Pointer, Vec<(Value, Class)>)>,
    /// A header whose `true` or `false` outranks status and code.
    pub should_retry: Option<HeaderName>,
}

impl Classes {
    /// The class of a status by itself.
    #[must_use]
    pub fn of_status(&self, status: u16) -> Class {
        usize::from(status)
            .checked_sub(100)
            .and_then(|index| self.statuses.get(index))
            .copied()
            .unwrap_or(Class::Permanent)
    }

    /// What the should-retry header of an answer says.
    #[must_use]
    pub fn should_retry(&self, headers: &HeaderMap) -> Option<bool> {
        match headers.get(self.should_retry.as_ref()?)?.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// The class of an answer: of its status, unless a code in the body or the should-retry header
    /// outranks it. A success is a success whatever its body says; whether it is usable is another
    /// question.
    #[must_use]
    pub fn of(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Class {
        let by_status = self.of_status(status);
        if status < 400 {
            return by_status;
        }
        let by_code = self.of_code(body).unwrap_or(by_status);
        match (self.should_retry(headers), by_code) {
            (Some(false), _) => Class::Permanent,
            (Some(true), Class::Permanent) => Class::Transient,
            (Some(true) | None, class) => class,
        }
    }

    fn of_code(&self, body: &[u8]) -> Option<Class> {
        self.codes.iter().find_map(|(pointer, values)| {
            let found = json::find(body, pointer.steps())?;
            values.iter().find(|(value, _)| *value == found).map(|(_, class)| *class)
        })
    }
}

/// The class of a status where an API says nothing else.
#[must_use]
pub fn usual_class(status: u16) -> Class {
    match status {
        ..=199 => Class::Informational,
        200..=299 => Class::Success,
        300..=399 => Class::Redirect,
        429 => Class::Throttling,
        408 | 409 | 425 | 500..=599 => Class::Transient,
        400..=499 | 600.. => Class::Permanent,
    }
}

/// A header whose value is a template.
pub type HeaderTemplate = (HeaderName, Template);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_quotes_is_the_bare_key_only_where_the_api_says_so() {
        let refusal = Refusal { error: "x".into(), status: None };
        let mut policy = IdempotencyPolicy {
            carrier: KeyCarrier::Header(HeaderName::from_static("idempotency-key")),
            required: false,
            scope: KeyScope::Account,
            retention_us: 1,
            mismatch: refusal.clone(),
            in_flight: refusal.clone(),
            missing: refusal.clone(),
            too_long: refusal,
            replay_status: None,
            replay_headers: Vec::new(),
            stores: Stores::Success,
            quoted_equals_bare: true,
            max_length: 255,
        };
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_static("\"k-1\""));
        assert_eq!(policy.key(&headers, None), Some("k-1"));
        policy.quoted_equals_bare = false;
        assert_eq!(policy.key(&headers, None), Some("\"k-1\""));
        headers.insert("idempotency-key", HeaderValue::from_static("  "));
        assert_eq!(policy.key(&headers, None), None);
    }

    #[test]
    fn the_operation_token_is_taken_off_the_key() {
        let auth = Auth {
            header: http::header::AUTHORIZATION,
            scheme: Some("Bearer".to_owned()),
            after: None,
            until: None,
            token_in_key: true,
            required: true,
            dummy: String::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("bearer sk_1~op-0003.2"));
        let key = auth.credential(&headers).unwrap();
        assert_eq!(auth.split(key), ("sk_1", Some("op-0003.2")));
        headers.insert("authorization", HeaderValue::from_static("Basic abc"));
        assert_eq!(auth.credential(&headers), None);
        let (after, until) = (Some("Credential=".to_owned()), Some("/".to_owned()));
        let auth = Auth { after, until, ..auth };
        for (text, key) in [
            ("bearer Credential=AK~op-0003.2/2026/aws, Signature=ab/c", Some("AK~op-0003.2")),
            ("bearer AK", Some("AK")),
            ("bearer Credential=/2026", None),
        ] {
            headers.insert("authorization", HeaderValue::from_static(text));
            assert_eq!(auth.credential(&headers), key, "{text}");
        }
    }
}
