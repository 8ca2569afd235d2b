//! Malformed answers: pure functions from the provider's own answer to one that no client may take.

/// A way of making an answer unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// JSON that stops in the middle, whole by its length.
    TruncatedJson,
    /// An HTML page as `text/html`.
    HtmlPage,
    /// An HTML page under `application/json`.
    HtmlAsJson,
    /// The API's error object under a success status.
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
