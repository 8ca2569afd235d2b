//! What a request asks for, read: path parameters, query and body.
//!
//! Reads JSON and forms (with nested brackets) and writes canonical bytes. Knows no routes.
//! **Invariant:** no bytes make it panic, and the canonical form depends neither on the order of keys
//! nor on white space.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::multipart;
use super::pointer::{FieldName, Pointer};
use crate::json;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// The parameters of the path, an object of strings.
    pub path: Value,
    /// The query, an object of strings (of lists and objects, where brackets ask for them).
    pub query: Value,
    /// The body; `None` when there was none or it could not be read.
    pub body: Option<Value>,
    /// True when the body is a form with files on a route that takes none, or the other way round, or cannot be
    /// read on a route that looks at bodies.
    pub is_foreign: bool,
    /// What the user of the API chose; `None` for nothing.
    pub settings: Option<Arc<Value>>,
}

/// A value that stands for nothing at all.
pub(super) static NULL: Value = Value::Null;

impl Call {
    /// The body, or `null`.
    #[must_use]
    pub fn body(&self) -> &Value {
        self.body.as_ref().unwrap_or(&NULL)
    }

    /// What the user of the API chose, or `null`.
    #[must_use]
    pub fn settings(&self) -> &Value {
        self.settings.as_deref().unwrap_or(&NULL)
    }

    /// A query parameter by its name: `limit`, `page[size]`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        // Most names have no brackets, and nothing need be taken apart.
        if name.contains('[') {
            FieldName::new(name).find(&self.query)
        } else {
            self.query.get(name)
        }
    }

    /// A query parameter that is a plain string.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.parameter(name)?.as_str()
    }
}

/// How an API encodes its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`, nested by brackets.
    Form,
    /// `multipart/form-data`.
    Multipart,
}

impl Encoding {
    /// The encoding that a request says it has, where that is one which is told from others by its head.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let said = headers.get(http::header::CONTENT_TYPE)?.as_bytes();
        let word = b"multipart/form-data";
        let is_said = said.get(..word.len()).is_some_and(|said| said.eq_ignore_ascii_case(word));
        is_said.then_some(Self::Multipart)
    }

    /// The content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Multipart => multipart::CONTENT_TYPE,
        }
    }

    /// Reads a body; `None` when there is none or it is not in this encoding. A byte order mark does
    /// not matter; where a form with files has its edges stands in the headers.
    #[must_use]
    pub fn read(self, body: &[u8], headers: &HeaderMap) -> Option<Value> {
        let body = without_mark(body);
        if body.is_empty() {
            return None;
        }
        match self {
            Self::Json => serde_json::from_slice(body).ok(),
            Self::Form => Some(read_form(body)),
            Self::Multipart => {
                let content_type = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
                multipart::read(body, &multipart::boundary(content_type)?)
            }
        }
    }

    /// Writes a body.
    #[must_use]
    pub fn write(self, body: &Value) -> Bytes {
        match self {
            Self::Json => Bytes::from(body.to_string()),
            Self::Form => Bytes::from(write_form(body)),
            Self::Multipart => multipart::write(body),
        }
    }
}

/// The bytes without a byte order mark in front.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// How deep brackets nest; what is deeper stays in the last name.
const DEPTH: usize = 16;

/// How many fields a form may have; what follows is not read.
const FIELDS: usize = 10_000;

/// Reads a form or a query: `a=1&b[c]=2&d[]=3` is `{"a":"1","b":{"c":"2"},"d":["3"]}`.
#[must_use]
pub fn read_form(text: &[u8]) -> Value {
    let mut root = Value::Object(Map::new());
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(FIELDS) {
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[..0]),
        };
        let name = decode_field(name);
        insert(&mut root, &steps(&name), Value::String(decode_field(value)));
    }
    lists(&mut root);
    root
}

/// The steps of a field's name: `a[b][]` is `a`, `b` and an empty one.
pub(super) fn steps(name: &str) -> Vec<&str> {
    let Some(open) = name.find('[').filter(|open| *open > 0 && name.ends_with(']')) else {
        return vec![name];
    };
    let mut steps = vec![&name[..open]];
    let mut rest = &name[open + 1..name.len() - 1];
    while let Some((step, after)) = rest.split_once("][") {
        if steps.len() == DEPTH {
            break;
        }
        steps.push(step);
        rest = after;
    }
    steps.push(rest);
    steps
}

/// Puts a value in its place; a later value of the same name takes the place of an earlier one.
fn insert(root: &mut Value, steps: &[&str], value: Value) {
    let mut place = root;
    for (depth, step) in steps.iter().enumerate() {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        // Empty brackets are the next place of a list.
        let is_next = step.is_empty() && depth > 0;
        let name = if is_next { fields.len().to_string() } else { (*step).to_owned() };
        place = fields.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// Turns objects whose names are 0, 1, 2, … below the root into lists.
fn lists(root: &mut Value) {
    let Value::Object(fields) = root else { return };
    for (_, value) in fields.iter_mut() {
        lists(value);
        let Value::Object(inner) = value else { continue };
        let numbered = !inner.is_empty()
            && inner.keys().enumerate().all(|(index, name)| *name == index.to_string());
        if numbered {
            *value = Value::Array(std::mem::take(inner).into_iter().map(|(_, v)| v).collect());
        }
    }
}

/// Takes percent signs out of a piece of a path. What is no UTF-8 becomes replacement characters.
#[must_use]
pub fn decode(text: &[u8]) -> String {
    if !text.contains(&b'%') {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        let pair = || Some((hex(*text.get(index + 1)?)?, hex(*text.get(index + 2)?)?));
        match (byte, pair()) {
            (b'%', Some((high, low))) => {
                out.push(high << 4 | low);
                index += 2;
            }
            (byte, _) => out.push(*byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The same for a form, in which a plus sign is a space.
fn decode_field(text: &[u8]) -> String {
    if !text.contains(&b'+') {
        return decode(text);
    }
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    decode(&spaced)
}

/// The value of a hexadecimal digit.
#[must_use]
pub fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes text so that it can stand in a path or a query.
#[must_use]
pub fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Writes an object as a form; other values write nothing.
#[must_use]
pub fn write_form(value: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            write_field(&encode(name), value, &mut out);
        }
    }
    out
}

fn write_field(name: &str, value: &Value, out: &mut String) {
    let text = match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                write_field(&format!("{name}[{}]", encode(inner)), value, out);
            }
            return;
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                write_field(&format!("{name}[{index}]"), value, out);
            }
            return;
        }
        Value::Null => String::new(),
        Value::String(text) => encode(text),
        Value::Bool(_) | Value::Number(_) => encode(&value.to_string()),
    };
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(name);
    out.push('=');
    out.push_str(&text);
}

/// The canonical bytes of a value: keys sorted, no white space, what `volatile` points at left out.
#[must_use]
pub fn canonical(value: &Value, volatile: &[Pointer]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let skip: Vec<&[String]> = volatile.iter().map(Pointer::steps).collect();
    write_canonical(value, &skip, &mut out);
    out
}

fn write_canonical(value: &Value, skip: &[&[String]], out: &mut Vec<u8>) {
    if skip.iter().any(|steps| steps.is_empty()) {
        return;
    }
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            let mut first = true;
            for (name, value) in sorted {
                let inner = below(skip, name);
                if inner.iter().any(|steps| steps.is_empty()) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_plain(name, out);
                out.push(b':');
                write_canonical(value, &inner, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let inner =
                    if skip.is_empty() { Vec::new() } else { below(skip, &index.to_string()) };
                write_canonical(item, &inner, out);
            }
            out.push(b']');
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            write_plain(value, out);
        }
    }
}

fn below<'s>(skip: &[&'s [String]], name: &str) -> Vec<&'s [String]> {
    skip.iter()
        .filter_map(|steps| steps.split_first())
        .filter(|(first, _)| *first == name)
        .map(|(_, rest)| rest)
        .collect()
}

fn write_plain<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    json::write(value, out).expect("a plain value is always written into memory");
}
