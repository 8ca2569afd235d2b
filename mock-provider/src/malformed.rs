//! Malformed answers: pure functions from the provider's own answer to one that no client may take.
//!
//! Knows nothing about routes beyond what makes their answers usable, and nothing about who is fooled.
//! **Invariant:** the result depends on the answer, the kind and its random bits alone, and its length
//! is what its head announces: what is broken is the content, never the framing.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::fault::Malformed;

/// A way of making an answer unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MalformedKind")]
pub enum Kind {
    /// JSON that stops in the middle, whole by its length.
    TruncatedJson,
    /// An HTML page as `text/html`.
    HtmlPage,
    /// An HTML page under `application/json`.
    HtmlAsJson,
    /// The API's error object under a success status.
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    /// No bytes.
    EmptyBody,
    /// `{}`.
    EmptyObject,
    /// A needed field is left out.
    MissingField,
    /// A plausible but different number in an echoed field.
    WrongAmount,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::TruncatedJson,
        Self::HtmlPage,
        Self::HtmlAsJson,
        Self::ErrorIn200,
        Self::EmptyBody,
        Self::EmptyObject,
        Self::MissingField,
        Self::WrongAmount,
    ];

    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TruncatedJson => "truncated_json",
            Self::HtmlPage => "html_page",
            Self::HtmlAsJson => "html_as_json",
            Self::ErrorIn200 => "error_in_200",
            Self::EmptyBody => "empty_body",
            Self::EmptyObject => "empty_object",
            Self::MissingField => "missing_field",
            Self::WrongAmount => "wrong_amount",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// True when it is about one field.
    #[must_use]
    pub const fn has_field(self) -> bool {
        matches!(self, Self::MissingField | Self::WrongAmount)
    }
}

/// The provider's own answer, and what makes it usable.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The body.
    pub body: &'a Bytes,
    /// JSON pointers of the fields without which the answer is not usable, in the API's order.
    pub needs: &'a [&'a str],
    /// JSON pointers of the fields that repeat what the request said, in the API's order.
    pub echoes: &'a [&'a str],
    /// The API's error body, for [`Kind::ErrorIn200`].
    pub error: &'a Bytes,
}

/// A malformed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mangled {
    /// The content type that takes the place of the answer's own; `None` leaves that.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

/// What a gateway shows to people when the service behind it is gone.
const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head><title>Service unavailable</title></head>\n\
    <body>\n<h1>We will be right back</h1>\n\
    <p>The service that you are trying to reach does not answer at the moment.</p>\n\
    <hr><p>edge gateway</p>\n</body>\n</html>\n";

/// Makes the answer unusable. The status stays: what looks like a success is the point.
///
/// Where the answer has nothing that the kind could break (no JSON, no such field), a missing field
/// becomes an empty object and a wrong amount leaves the answer as it is.
///
/// ```
/// use brownout_provider::fault::Malformed;
/// use brownout_provider::malformed::{Kind, Own, mangle};
/// let body = br#"{"id":"ch_1","amount":1999}"#[..].into();
/// let own = Own { body: &body, needs: &["/amount", "/id"], echoes: &["/amount"], error: &body };
/// let how = Malformed { kind: Kind::MissingField, field: None, bits: 0 };
/// assert_eq!(&mangle(&how, &own).body[..], br#"{"amount":1999}"#);
/// ```
#[must_use]
pub fn mangle(how: &Malformed, own: &Own<'_>) -> Mangled {
    let text = |body: &'static str| Bytes::from_static(body.as_bytes());
    let (content_type, body) = match how.kind {
        Kind::TruncatedJson => (None, truncated(own.body)),
        Kind::HtmlPage => (Some("text/html; charset=utf-8"), text(PAGE)),
        Kind::HtmlAsJson => (Some("application/json"), text(PAGE)),
        Kind::ErrorIn200 => (None, own.error.clone()),
        Kind::EmptyBody => (None, Bytes::new()),
        Kind::EmptyObject => (None, text("{}")),
        Kind::MissingField => {
            let field = how.field.as_deref().or_else(|| needed(own.needs));
            let cut = field.and_then(|field| without(own.body, field));
            (None, cut.unwrap_or_else(|| text("{}")))
        }
        Kind::WrongAmount => {
            let fields = how.field.as_deref().map_or_else(|| own.echoes.to_vec(), |one| vec![one]);
            let wrong = fields.iter().find_map(|field| with_other(own.body, field, how.bits));
            (None, wrong.unwrap_or_else(|| own.body.clone()))
        }
    };
    Mangled { content_type, body }
}

/// The field whose absence is the most instructive: the id, else the first that is needed.
#[must_use]
pub fn needed<'a>(needs: &[&'a str]) -> Option<&'a str> {
    needs.iter().find(|field| **field == "/id").or_else(|| needs.first()).copied()
}

/// The first half, or less, so that it is no JSON.
fn truncated(body: &Bytes) -> Bytes {
    let mut length = body.len() / 2;
    // Half of an object or a list is never JSON; half of a number may be.
    while length > 0 && serde_json::from_slice::<Value>(&body[..length]).is_ok() {
        length -= 1;
    }
    if length == 0 { Bytes::from_static(b"{") } else { body.slice(..length) }
}

/// The body without the field; `None` when there is no such field.
fn without(body: &Bytes, field: &str) -> Option<Bytes> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let (parent, last) = field.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent)? {
        Value::Object(object) => {
            object.shift_remove(&last)?;
        }
        Value::Array(list) => {
            let index = last.parse().ok().filter(|index| *index < list.len())?;
            list.remove(index);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(value.to_string().into())
}

/// The body with another value in the field: a number of about the same size, or a text of the same length
/// that ends differently; `None` when neither stands there.
#[must_use]
pub fn with_another(body: &Bytes, field: &str, bits: u64) -> Option<Bytes> {
    if let Some(other) = with_other(body, field, bits) {
        return Some(other);
    }
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let Value::String(text) = value.pointer_mut(field)? else { return None };
    *text = other_text(text, bits)?;
    Some(value.to_string().into())
}

/// A text in which the last letter or digit is another one of its kind.
fn other_text(text: &str, bits: u64) -> Option<String> {
    let (at, last) = text.char_indices().rev().find(|(_, one)| one.is_ascii_alphanumeric())?;
    let (first, count) = match last {
        '0'..='9' => (b'0', 10),
        'a'..='z' => (b'a', 26),
        _ => (b'A', 26),
    };
    let place = u64::from(u8::try_from(last).ok()? - first);
    // At least one step on, and never all the way round.
    let other = (place + 1 + bits % (count - 1)) % count;
    let other = char::from(first + u8::try_from(other).ok()?);
    Some(format!("{}{other}{}", &text[..at], &text[at + 1..]))
}

/// The body with another number in the field; `None` when no number stands there.
fn with_other(body: &Bytes, field: &str, bits: u64) -> Option<Bytes> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let place = value.pointer_mut(field)?;
    let other = match &*place {
        Value::Number(number) => Value::Number(other_number(number, bits)?),
        // Some APIs write money as text.
        Value::String(text) => {
            let number: Number = serde_json::from_str(text).ok()?;
            Value::String(other_number(&number, bits)?.to_string())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    *place = other;
    Some(value.to_string().into())
}

/// A number of about the same size that differs by at least 1: nobody notices it at a glance.
fn other_number(number: &Number, bits: u64) -> Option<Number> {
    if let Some(whole) = number.as_i64() {
        let spread = whole.unsigned_abs() / 4 + 1;
        let step = i64::try_from(1 + bits % spread).ok()?;
        return Some(whole.checked_add(step).unwrap_or_else(|| whole - step).into());
    }
    if let Some(large) = number.as_u64() {
        return Some((large - 1 - bits % 1000).into());
    }
    // A decimal: the digits before the point are a whole number.
    let text = number.to_string();
    let (whole, decimals) = text.split_once('.')?;
    let other = other_number(&whole.parse::<i64>().ok()?.into(), bits)?;
    serde_json::from_str(&format!("{other}.{decimals}")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn charge() -> Bytes {
        json!({"id": "ch_1", "status": "succeeded", "amount": 1999, "order": "ördér-3"})
            .to_string()
            .into()
    }

    const NEEDS: [&str; 3] = ["/status", "/amount", "/id"];
    const ECHOES: [&str; 2] = ["/order", "/amount"];

    fn mangled(kind: Kind, field: Option<&str>, body: &Bytes) -> Mangled {
        let error = Bytes::from_static(br#"{"error":{"code":"internal"}}"#);
        let own = Own { body, needs: &NEEDS, echoes: &ECHOES, error: &error };
        mangle(&Malformed { kind, field: field.map(str::to_owned), bits: 7 }, &own)
    }

    fn json_of(kind: Kind, field: Option<&str>) -> Value {
        serde_json::from_slice(&mangled(kind, field, &charge()).body).expect("JSON")
    }

    #[test]
    fn a_truncated_body_is_a_beginning_that_is_no_json() {
        let whole = charge();
        let cut = mangled(Kind::TruncatedJson, None, &whole).body;
        assert!(whole.starts_with(&cut) && cut.len() == whole.len() / 2);
        for (body, cut) in [("1234", "{"), ("", "{"), ("{}", "{"), ("\"ab\"", "\"a"), ("[1]", "[")]
        {
            assert_eq!(mangled(Kind::TruncatedJson, None, &body.into()).body, cut, "{body}");
        }
    }

    #[test]
    fn a_page_comes_under_either_media_type() {
        let page = mangled(Kind::HtmlPage, None, &charge());
        assert_eq!(page.content_type, Some("text/html; charset=utf-8"));
        assert!(page.body.starts_with(b"<!doctype html>"));
        let lie = mangled(Kind::HtmlAsJson, None, &charge());
        assert_eq!((lie.content_type, lie.body), (Some("application/json"), page.body));
    }

    #[test]
    fn bodies_that_say_nothing_keep_the_media_type() {
        for (kind, body) in [
            (Kind::EmptyBody, ""),
            (Kind::EmptyObject, "{}"),
            (Kind::ErrorIn200, r#"{"error":{"code":"internal"}}"#),
        ] {
            let mangled = mangled(kind, None, &charge());
            assert_eq!((mangled.content_type, &mangled.body[..]), (None, body.as_bytes()));
        }
    }

    #[test]
    fn the_missing_field_is_the_id_unless_another_is_named() {
        let rest = json!({"status": "succeeded", "amount": 1999, "order": "ördér-3"});
        assert_eq!(json_of(Kind::MissingField, None), rest);
        assert!(json_of(Kind::MissingField, Some("/amount")).get("amount").is_none());
        assert_eq!(json_of(Kind::MissingField, Some("/absent")), json!({}));
        assert_eq!(needed(&["/status", "/choices"]), Some("/status"));
        let list = Bytes::from_static(br#"{"choices":[{"a~/b":1}]}"#);
        let without = |field| mangled(Kind::MissingField, Some(field), &list).body;
        assert_eq!(&without("/choices/0")[..], br#"{"choices":[]}"#);
        assert_eq!(&without("/choices/0/a~0~1b")[..], br#"{"choices":[{}]}"#);
        assert_eq!(&without("/choices/1")[..], b"{}");
    }

    #[test]
    fn the_wrong_amount_is_the_first_echoed_number() {
        let wrong = json_of(Kind::WrongAmount, None);
        assert_eq!(
            wrong,
            json!({"id": "ch_1", "status": "succeeded", "amount": 2007, "order": "ördér-3"})
        );
        let text = Bytes::from_static(br#"{"amount":"19.99"}"#);
        assert_eq!(&mangled(Kind::WrongAmount, None, &text).body[..], br#"{"amount":"22.99"}"#);
        let none = Bytes::from_static(br#"{"order":"a"}"#);
        assert_eq!(mangled(Kind::WrongAmount, None, &none).body, none);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("html"), None);
    }

    proptest! {
        #[test]
        fn another_number_is_another_number(number: i64, bits: u64) {
            prop_assert_ne!(other_number(&number.into(), bits), Some(number.into()));
        }

        #[test]
        fn another_large_number_is_another_number(number in u64::MAX / 2..=u64::MAX, bits: u64) {
            let other = other_number(&number.into(), bits);
            prop_assert!(other.is_some() && other != Some(number.into()));
        }

        #[test]
        fn no_body_makes_it_panic(body in ".{0,40}", field in "(/[a-z0-9~]{0,3}){0,3}", bits: u64) {
            let body = Bytes::from(body);
            for kind in Kind::ALL {
                let how = Malformed { kind, field: Some(field.clone()), bits };
                let own = Own { body: &body, needs: &[], echoes: &[], error: &body };
                let mangled = mangle(&how, &own).body;
                if kind == Kind::TruncatedJson {
                    prop_assert!(serde_json::from_slice::<Value>(&mangled).is_err());
                }
            }
        }
    }
}
