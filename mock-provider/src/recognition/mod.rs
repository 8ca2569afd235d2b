//! Which operation a request belongs to: six ways, the strongest first.
//!
//! The token in the base URL, the token in the API key, a value that the request carries (and an
//! operation's input has), the owner of an object that the request names, what the vendor's SDK says of
//! itself, and the same method, path and body as an attempt that failed: a guess, marked as one.
//!
//! It never depends on the idempotency key: a new key for each attempt is exactly the bug to be found.
//! **Invariant:** nothing that a client sends makes it panic, and a token never names an operation under
//! the name of a submitted one that it does not spell exactly.

mod fingerprint;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use http::{HeaderMap, HeaderName, Method};
use indexmap::IndexMap;
use serde_json::Value;

use self::fingerprint::Fingerprints;
use crate::api::{Api, Call, Extractor, FieldName, Pointer, Sdk, text};
use crate::event::{Digest16, Recognized};
use crate::exchange::ExchangeId;
use crate::ledger::{Ledger, Owner};

/// The longest value of a request that names an operation as it stands, in bytes.
const LONGEST_VALUE: usize = 128;

/// How many texts of a request are looked at for the id of an object.
const MOST_TEXTS: usize = 64;

/// How many calls of an SDK are remembered.
const MOST_CALLS: usize = 1 << 16;

/// One submit of an operation, as far as requests can tell of it.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The operation's name.
    pub id: Arc<str>,
    /// Its number, from 1.
    pub n: u64,
    /// Which submit, from 1.
    pub submit: u32,
    /// The route that it calls.
    pub call: Arc<str>,
    /// Its input.
    pub input: Value,
    /// The trace that its caller began for it, where it did.
    pub trace: Option<Digest16>,
}

/// What a request shows of the operation that it belongs to.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Path and query as sent.
    pub target: &'a str,
    /// The same without the token.
    pub rest: &'a str,
    /// What stands behind the API key.
    pub key_token: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What the request asks for.
    pub call: &'a Call,
    /// The digest of the canonical body.
    pub canonical: Digest16,
}

/// The operation of a request, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// The operation.
    pub operation: Arc<str>,
    /// Which submit, from 1.
    pub submit: u32,
    /// The operation's number; `None` for one that nobody submitted.
    pub number: Option<u64>,
    /// How it was found.
    pub how: Recognized,
}

/// A submitted operation.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: u64,
    /// The highest submit so far.
    submits: u32,
}

/// Where a request carries a value that an input has.
#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Traceparent,
    Body(FieldName),
    Query(String),
}

/// One extractor and the operations by the value that their input has in its field.
#[derive(Debug)]
struct Field {
    place: Place,
    name: String,
    /// `None` for a value that two inputs share.
    values: IndexMap<String, Option<Arc<str>>, FixedState>,
}

/// Tells requests apart. One for each provider of a run.
#[derive(Debug)]
pub struct Recognizer {
    fields: Vec<Field>,
    sdk: Sdk,
    operations: IndexMap<Arc<str>, Known, FixedState>,
    /// Whose each trace is.
    traces: IndexMap<String, Owner, FixedState>,
    calls: BTreeMap<Box<str>, Owner>,
    fingerprints: Fingerprints,
    /// How many operations were named here.
    seen: u64,
}

impl Recognizer {
    /// One that knows no operation yet. `operation_id` takes the place of what the API says.
    #[must_use]
    pub fn new(api: &Api, operation_id: Option<Extractor>) -> Self {
        let extractors = match operation_id {
            Some(one) => vec![one],
            None => api.operation_id.clone(),
        };
        Self {
            fields: extractors.iter().filter_map(Field::new).collect(),
            sdk: api.sdk.clone(),
            operations: IndexMap::default(),
            traces: IndexMap::default(),
            calls: BTreeMap::new(),
            fingerprints: Fingerprints::default(),
            seen: 0,
        }
    }

    /// An operation was submitted.
    pub fn submitted(&mut self, submitted: &Submitted) {
        let known = self
            .operations
            .entry(Arc::clone(&submitted.id))
            .or_insert(Known { number: submitted.n, submits: 0 });
        known.submits = known.submits.max(submitted.submit);
        if let Some(trace) = submitted.trace {
            let owner = Owner { operation: Arc::clone(&submitted.id), submit: submitted.submit };
            self.traces.insert(trace.to_string(), owner);
        }
        for field in &mut self.fields {
            let Some(value) = find_named(&submitted.input, &field.name, 0).and_then(text) else {
                continue;
            };
            let operation =
                field.values.entry(value).or_insert_with(|| Some(Arc::clone(&submitted.id)));
            if operation.as_ref().is_some_and(|known| *known != submitted.id) {
                *operation = None;
            }
        }
    }

    /// Takes the token of a base URL off a target: `/~op-0003.1/v1/charges` is `op-0003.1` and
    /// `/v1/charges`. Whatever stands behind the tilde is taken off, known or not.
    #[must_use]
    pub fn strip<'a>(&self, target: &'a str) -> (Option<&'a str>, Cow<'a, str>) {
        let Some(inside) = ["/~", "/%7E", "/%7e"].iter().find_map(|mark| target.strip_prefix(mark))
        else {
            return (None, Cow::Borrowed(target));
        };
        let end = inside.find(['/', '?', '#']).unwrap_or(inside.len());
        let (token, rest) = inside.split_at(end);
        let rest = if rest.starts_with('/') {
            Cow::Borrowed(rest)
        } else {
            Cow::Owned(format!("/{rest}"))
        };
        (Some(token), rest)
    }

    /// The number of a submitted operation.
    #[must_use]
    pub fn number(&self, operation: &str) -> Option<u64> {
        self.operations.get(operation).map(|known| known.number)
    }

    /// The operation of a request of which only the head is there; `None` when that does not say. Counts
    /// nothing.
    #[must_use]
    pub fn peek(&self, evidence: &Evidence<'_>, ledger: &Ledger) -> Option<Recognition> {
        if let Some(found) = self.by_token(evidence) {
            return Some(found);
        }
        let has_body = *evidence.method != Method::GET && *evidence.method != Method::HEAD;
        if has_body && self.fields.iter().any(|field| matches!(field.place, Place::Body(_))) {
            return None;
        }
        self.by_value(evidence)
            .or_else(|| self.by_object(evidence, ledger))
            .or_else(|| self.by_call(evidence))
    }

    /// The operation of a request that was read whole, which `request` names from now on.
    pub fn recognize(
        &mut self,
        evidence: &Evidence<'_>,
        ledger: &Ledger,
        request: ExchangeId,
    ) -> Recognition {
        let found = self
            .by_token(evidence)
            .or_else(|| self.by_value(evidence))
            .or_else(|| self.by_object(evidence, ledger));
        if let Some(found) = found {
            return found;
        }
        let fingerprint = fingerprint(evidence);
        let retry = self.retry_count(evidence.headers);
        let found = self.by_call(evidence).or_else(|| {
            let owner = self.fingerprints.retried(fingerprint, retry?)?;
            Some(self.recognition(owner, Recognized::Sdk))
        });
        let found = found.or_else(|| {
            let owner = self.fingerprints.failed(fingerprint)?;
            Some(self.recognition(owner, Recognized::Guess))
        });
        let found = found.unwrap_or_else(|| self.new_operation());
        let owner = Owner { operation: Arc::clone(&found.operation), submit: found.submit };
        if let Some(call) = self.call_id(evidence.headers).map(Box::from) {
            if self.calls.len() >= MOST_CALLS {
                self.calls.pop_first();
            }
            self.calls.insert(call, owner.clone());
        }
        self.fingerprints.begun(fingerprint, owner, request, retry.unwrap_or(0));
        found
    }

    /// The attempt is over; `succeeded` when it was answered whole with a success that its client can use.
    #[expect(clippy::fn_params_excessive_bools, reason = "there is nothing else to say of an end")]
    pub fn ended(&mut self, request: ExchangeId, succeeded: bool) {
        self.fingerprints.ended(request, succeeded);
    }

    fn recognition(&self, owner: Owner, how: Recognized) -> Recognition {
        let number = self.operations.get(&owner.operation).map(|known| known.number);
        Recognition { operation: owner.operation, submit: owner.submit, number, how }
    }

    fn by_token(&self, evidence: &Evidence<'_>) -> Option<Recognition> {
        let url = self.strip(evidence.target).0;
        let ways = [(url, Recognized::Url), (evidence.key_token, Recognized::ApiKey)];
        ways.into_iter().find_map(|(token, how)| {
            let (name, submit) = read_token(token?)?;
            match self.operations.get_key_value(name) {
                Some((name, known)) if (1..=known.submits).contains(&submit) => {
                    let owner = Owner { operation: Arc::clone(name), submit };
                    Some(self.recognition(owner, how))
                }
                Some(_) => None,
                None => Some(Recognition { operation: name.into(), submit, number: None, how }),
            }
        })
    }

    /// The value of the first extractor that finds one. A value that two inputs share says nothing.
    fn by_value(&self, evidence: &Evidence<'_>) -> Option<Recognition> {
        let (field, value) =
            self.fields.iter().find_map(|field| Some((field, field.place.find(evidence)?)))?;
        if let (Place::Traceparent, Some(owner)) = (&field.place, self.traces.get(&value)) {
            return Some(self.recognition(owner.clone(), Recognized::Extractor));
        }
        let operation = match field.values.get(&value) {
            Some(operation) => operation.clone()?,
            None if value.len() > LONGEST_VALUE => {
                format!("value-{}", Digest16::of(value.as_bytes())).into()
            }
            None => value.into(),
        };
        Some(self.recognition(Owner { operation, submit: 1 }, Recognized::Extractor))
    }

    /// The value of the body or the query that names an operation, where no input has it. Headers do not
    /// count: clients make up ids for them.
    #[must_use]
    pub fn stranger(&self, evidence: &Evidence<'_>) -> Option<Arc<str>> {
        let inside = |field: &&Field| matches!(field.place, Place::Body(_) | Place::Query(_));
        let (field, value) = self
            .fields
            .iter()
            .filter(inside)
            .find_map(|field| Some((field, field.place.find(evidence)?)))?;
        let is_known = field.values.contains_key(&value) || value.len() > LONGEST_VALUE;
        (!is_known).then(|| value.into())
    }

    fn by_object(&self, evidence: &Evidence<'_>, ledger: &Ledger) -> Option<Recognition> {
        if ledger.is_empty() {
            return None;
        }
        let call = evidence.call;
        let mut left = MOST_TEXTS;
        let owner = [&call.path, &call.query, call.body()]
            .into_iter()
            .find_map(|value| owner_in(value, ledger, &mut left, 0))?;
        Some(self.recognition(owner, Recognized::Object))
    }

    fn by_call(&self, evidence: &Evidence<'_>) -> Option<Recognition> {
        let owner = self.calls.get(self.call_id(evidence.headers)?)?.clone();
        Some(self.recognition(owner, Recognized::Sdk))
    }

    fn call_id<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let id = headers.get(self.sdk.call_id.as_ref()?)?.to_str().ok()?;
        (!id.is_empty() && id.len() <= LONGEST_VALUE).then_some(id)
    }

    /// The retry counter of the SDK, where it is above 0.
    fn retry_count(&self, headers: &HeaderMap) -> Option<u32> {
        let text = headers.get(self.sdk.retry_count.as_ref()?)?.to_str().ok()?;
        text.trim().parse().ok().filter(|count| *count > 0)
    }

    /// An operation of which nothing is known but this request.
    fn new_operation(&mut self) -> Recognition {
        self.seen += 1;
        let operation = format!("seen-{:04}", self.seen).into();
        Recognition { operation, submit: 1, number: None, how: Recognized::New }
    }
}

impl Field {
    fn new(extractor: &Extractor) -> Option<Self> {
        let place = match extractor {
            Extractor::Header(name) => Place::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
            Extractor::Traceparent => Place::Traceparent,
            Extractor::Json(pointer) => Place::Body(Pointer::new(pointer)?.into()),
            Extractor::Form(field) => Place::Body(FieldName::new(field)),
            Extractor::Query(name) => Place::Query(name.clone()),
        };
        let name = extractor.last_name().to_owned();
        Some(Self { place, name, values: IndexMap::default() })
    }
}

impl Place {
    fn find(&self, evidence: &Evidence<'_>) -> Option<String> {
        let header = |name: &HeaderName| evidence.headers.get(name)?.to_str().ok().map(str::trim);
        let found = match self {
            Self::Header(name) => header(name).map(str::to_owned),
            // version-trace-parent-flags: the trace is the same over all attempts.
            Self::Traceparent => header(&HeaderName::from_static("traceparent"))
                .and_then(|text| text.split('-').nth(1))
                .map(str::to_owned),
            Self::Body(pointer) => pointer.find(evidence.call.body.as_ref()?).and_then(text),
            Self::Query(name) => evidence.call.parameter(name).and_then(text),
        };
        found.filter(|text| !text.is_empty())
    }
}

/// The owner of the first object whose id is a text of this value.
fn owner_in(value: &Value, ledger: &Ledger, left: &mut usize, depth: usize) -> Option<Owner> {
    const DEEPEST: usize = 8;
    if *left == 0 || depth > DEEPEST {
        return None;
    }
    match value {
        Value::String(text) => {
            *left -= 1;
            ledger.owner(text).cloned()
        }
        Value::Array(items) => {
            items.iter().find_map(|item| owner_in(item, ledger, left, depth + 1))
        }
        Value::Object(fields) => {
            fields.values().find_map(|item| owner_in(item, ledger, left, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first field of that name, outer ones before inner ones.
fn find_named<'v>(value: &'v Value, name: &str, depth: usize) -> Option<&'v Value> {
    const DEEPEST: usize = 16;
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => {
            if let Some(found) = fields.get(name) {
                return Some(found);
            }
            fields.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    if depth == DEEPEST {
        return None;
    }
    inner.into_iter().find_map(|value| find_named(value, name, depth + 1))
}

/// The operation and submit of a token: `op-0003.1`; without a number it is the first submit. `None`
/// for anything that is no plain name, so that nothing from the wire gets into names or paths.
fn read_token(token: &str) -> Option<(&str, u32)> {
    const LONGEST: usize = 64;
    let (name, submit) = token.split_once('.').unwrap_or((token, "1"));
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=LONGEST).contains(&name.len()) || !name.bytes().all(is_plain) {
        return None;
    }
    if submit.starts_with('0') || !submit.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((name, submit.parse().ok()?))
}

/// The copy of a client that a token names: `.2` is the second, whatever it works on.
#[must_use]
pub fn read_copy(token: &str) -> Option<u32> {
    let number = token.strip_prefix('.')?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain)
}

/// What two attempts of one operation have in common: method, path with query, and canonical body.
fn fingerprint(evidence: &Evidence<'_>) -> Digest16 {
    let (method, target) = (evidence.method.as_str().as_bytes(), evidence.rest.as_bytes());
    Digest16::of_parts([method, target, &evidence.canonical.0])
}

#[cfg(test)]
mod tests;
