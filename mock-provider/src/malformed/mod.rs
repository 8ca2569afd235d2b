//! Malformed answers: pure functions from the provider's own answer to one that no client should take as
//! it stands.
//!
//! One file per group of kinds: [`text`] spoils the bytes, [`fields`] what is said, [`bulk`] makes what is
//! too large or wrongly compressed; [`sample`] tells where nobody could see it. Knows nothing about routes beyond what makes their answers usable, and
//! nothing about who is fooled.
//! **Invariant:** the result depends on the answer, the kind and its random bits alone, and its length
//! is what its head announces: what is broken is the content, never the framing.

mod bulk;
mod fields;
mod sample;
mod text;

pub use bulk::MOST_BYTES;
pub use fields::{needed, with_another};
pub use sample::{Shape, is_undetectable};

use bytes::Bytes;
use fields::Flaw;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;

use crate::fault::Malformed;

/// A way of making an answer unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MalformedKind")]
pub enum Kind {
    /// JSON that stops in the middle, whole by its length.
    TruncatedJson,
    /// A byte that is no UTF-8 in every text that the route needs or echoes.
    InvalidUtf8,
    /// An HTML page as `text/html`.
    HtmlPage,
    /// An HTML page under `application/json`.
    HtmlAsJson,
    /// No bytes.
    EmptyBody,
    /// Status 204, and no body.
    NoContent,
    /// `null`.
    JsonNull,
    /// `{}`.
    EmptyObject,
    /// `Internal Error` as `text/plain`.
    PlainText,
    /// The API's error object under a success status.
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    /// A needed field is left out.
    MissingField,
    /// A needed field is `null`.
    NullField,
    /// A needed field has another type.
    WrongType,
    /// A needed field has another name.
    RenamedField,
    /// A needed field has a value that the client does not know.
    UnknownEnum,
    /// The answer stands one level deeper, under `data`.
    ExtraNesting,
    /// A key stands twice; the first time with another value. Most readers take the last one, which is
    /// right.
    DuplicateKeys,
    /// So many bytes of white space, and an empty object behind them.
    HugeBody,
    /// A hundred thousand lists in each other.
    DeepNesting,
    /// The right body as `application/octet-stream`.
    WrongContentType,
    /// The right body, in UTF-8, under `charset=utf-16`.
    WrongCharset,
    /// The right body with a byte order mark in front.
    ByteOrderMark,
    /// The head says gzip, and what follows cannot be unpacked.
    BadGzip,
    /// The first half of the packed answer.
    TruncatedGzip,
    /// A few bytes that unpack to so many.
    GzipBomb,
    /// What another operation would have been answered.
    SomeoneElsesAnswer,
    /// An earlier state of the object.
    StaleAnswer,
    /// A plausible but different number in an echoed field; or one that is too small for a field that needs
    /// more.
    WrongAmount,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 28] = [
        Self::TruncatedJson,
        Self::InvalidUtf8,
        Self::HtmlPage,
        Self::HtmlAsJson,
        Self::EmptyBody,
        Self::NoContent,
        Self::JsonNull,
        Self::EmptyObject,
        Self::PlainText,
        Self::ErrorIn200,
        Self::MissingField,
        Self::NullField,
        Self::WrongType,
        Self::RenamedField,
        Self::UnknownEnum,
        Self::ExtraNesting,
        Self::DuplicateKeys,
        Self::HugeBody,
        Self::DeepNesting,
        Self::WrongContentType,
        Self::WrongCharset,
        Self::ByteOrderMark,
        Self::BadGzip,
        Self::TruncatedGzip,
        Self::GzipBomb,
        Self::SomeoneElsesAnswer,
        Self::StaleAnswer,
        Self::WrongAmount,
    ];

    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TruncatedJson => "truncated_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::HtmlPage => "html_page",
            Self::HtmlAsJson => "html_as_json",
            Self::EmptyBody => "empty_body",
            Self::NoContent => "no_content",
            Self::JsonNull => "json_null",
            Self::EmptyObject => "empty_object",
            Self::PlainText => "plain_text",
            Self::ErrorIn200 => "error_in_200",
            Self::MissingField => "missing_field",
            Self::NullField => "null_field",
            Self::WrongType => "wrong_type",
            Self::RenamedField => "renamed_field",
            Self::UnknownEnum => "unknown_enum",
            Self::ExtraNesting => "extra_nesting",
            Self::DuplicateKeys => "duplicate_keys",
            Self::HugeBody => "huge_body",
            Self::DeepNesting => "deep_nesting",
            Self::WrongContentType => "wrong_content_type",
            Self::WrongCharset => "wrong_charset",
            Self::ByteOrderMark => "byte_order_mark",
            Self::BadGzip => "bad_gzip",
            Self::TruncatedGzip => "truncated_gzip",
            Self::GzipBomb => "gzip_bomb",
            Self::SomeoneElsesAnswer => "someone_elses_answer",
            Self::StaleAnswer => "stale_answer",
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
        matches!(
            self,
            Self::MissingField
                | Self::NullField
                | Self::WrongType
                | Self::RenamedField
                | Self::UnknownEnum
                | Self::WrongAmount
        )
    }

    /// True when it has a size.
    #[must_use]
    pub const fn has_size(self) -> bool {
        matches!(self, Self::HugeBody | Self::GzipBomb)
    }

    /// True when the answer looks right in every respect, and only what it says is not: such a kind means
    /// nothing where nobody could see it.
    #[must_use]
    pub const fn is_a_lie(self) -> bool {
        self.has_field() || matches!(self, Self::SomeoneElsesAnswer | Self::StaleAnswer)
    }

    /// True when a client that takes the answer all the same is right: what is wrong with it is not what
    /// it says.
    #[must_use]
    pub const fn stays_usable(self) -> bool {
        matches!(
            self,
            Self::DuplicateKeys | Self::WrongContentType | Self::WrongCharset | Self::ByteOrderMark
        )
    }

    /// True when it is made of the provider's own answer, and not of nothing.
    #[must_use]
    pub const fn needs_the_answer(self) -> bool {
        !matches!(
            self,
            Self::HtmlPage
                | Self::HtmlAsJson
                | Self::EmptyBody
                | Self::NoContent
                | Self::JsonNull
                | Self::EmptyObject
                | Self::PlainText
                | Self::ErrorIn200
                | Self::HugeBody
                | Self::DeepNesting
                | Self::BadGzip
                | Self::GzipBomb
        )
    }
}

/// The provider's own answer, and what makes it usable.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The body.
    pub body: &'a Bytes,
    /// JSON pointers of the fields without which the answer is not usable, in the API's order.
    pub needs: &'a [&'a str],
    /// Those of them that only take values from a list.
    pub enums: &'a [&'a str],
    /// Those of them that must be numbers of a certain size, and the least of each.
    pub least: &'a [(&'a str, &'a Number)],
    /// JSON pointers of the fields that repeat what the request said, in the API's order.
    pub echoes: &'a [&'a str],
    /// The API's error body, for [`Kind::ErrorIn200`].
    pub error: &'a Bytes,
    /// The answer in an earlier state of its object, where there was one, for [`Kind::StaleAnswer`].
    pub earlier: Option<&'a Bytes>,
}

/// A malformed answer: what of the provider's own one is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mangled {
    /// Another status; `None` leaves the answer's own.
    pub status: Option<u16>,
    /// The content type that takes the place of the answer's own; `None` leaves that.
    pub content_type: Option<&'static str>,
    /// True when the head says that the body is packed by gzip.
    pub gzip: bool,
    /// The body.
    pub body: Bytes,
}

impl From<Bytes> for Mangled {
    fn from(body: Bytes) -> Self {
        Self { status: None, content_type: None, gzip: false, body }
    }
}

const JSON: &str = "application/json";

/// Makes the answer unusable. The status stays, but for [`Kind::NoContent`]: what looks like a success is
/// the point.
///
/// Where the answer has nothing that the kind could break (no JSON, no such field), a kind about a field
/// becomes an empty object, and a lie leaves the answer as it is.
///
/// ```
/// use brownout_provider::fault::Malformed;
/// use brownout_provider::malformed::{Kind, Own, mangle};
/// let body = br#"{"id":"ch_1","amount":1999}"#[..].into();
/// let own = Own {
///     body: &body,
///     needs: &["/amount", "/id"],
///     enums: &[],
///     least: &[],
///     echoes: &["/amount"],
///     error: &body,
///     earlier: None,
/// };
/// let how = Malformed { kind: Kind::MissingField, field: None, size: 0, bits: 0 };
/// assert_eq!(&mangle(&how, &own).body[..], br#"{"amount":1999}"#);
/// ```
#[must_use]
pub fn mangle(how: &Malformed, own: &Own<'_>) -> Mangled {
    let typed =
        |content_type, body| Mangled { content_type: Some(content_type), ..Mangled::from(body) };
    let packed = |body| Mangled { gzip: true, ..Mangled::from(body) };
    let page = || Bytes::from_static(text::PAGE.as_bytes());
    match how.kind {
        Kind::TruncatedJson => text::truncated(own.body).into(),
        Kind::InvalidUtf8 => fields::invalid_utf8(own).into(),
        Kind::HtmlPage => typed("text/html; charset=utf-8", page()),
        Kind::HtmlAsJson => typed(JSON, page()),
        Kind::EmptyBody => Bytes::new().into(),
        Kind::NoContent => Mangled { status: Some(204), ..Mangled::from(Bytes::new()) },
        Kind::JsonNull => Bytes::from_static(b"null").into(),
        Kind::EmptyObject => Bytes::from_static(b"{}").into(),
        Kind::PlainText => {
            typed("text/plain; charset=utf-8", Bytes::from_static(b"Internal Error"))
        }
        Kind::ErrorIn200 => own.error.clone().into(),
        Kind::MissingField => fields::broken(how, Flaw::Missing, own).into(),
        Kind::NullField => fields::broken(how, Flaw::Null, own).into(),
        Kind::WrongType => fields::broken(how, Flaw::Type, own).into(),
        Kind::RenamedField => fields::broken(how, Flaw::Name, own).into(),
        Kind::UnknownEnum => fields::broken(how, Flaw::Unknown, own).into(),
        Kind::ExtraNesting => text::nested(own.body).into(),
        Kind::DuplicateKeys => fields::twice(own, how.bits).into(),
        Kind::HugeBody => bulk::huge(how.size).into(),
        Kind::DeepNesting => text::deep().into(),
        Kind::WrongContentType => typed("application/octet-stream", own.body.clone()),
        Kind::WrongCharset => typed("application/json; charset=utf-16", own.body.clone()),
        Kind::ByteOrderMark => text::marked(own.body).into(),
        Kind::BadGzip => packed(bulk::bad_gzip()),
        Kind::TruncatedGzip => packed(bulk::truncated_gzip(own.body)),
        Kind::GzipBomb => packed(bulk::bomb(how.size)),
        Kind::SomeoneElsesAnswer => fields::of_another(own, how.bits).into(),
        Kind::StaleAnswer => fields::earlier(own).into(),
        Kind::WrongAmount => fields::wrong_amount(how, own).into(),
    }
}

#[cfg(test)]
mod tests;
