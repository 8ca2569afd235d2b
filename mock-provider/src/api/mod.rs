//! The API of a provider, as data.

/// An API: routes, bodies, errors and policies.
#[derive(Debug)]
pub struct Api {}

/// Where a request carries the name of its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extractor {
    /// A header, lower case.
    Header(String),
    /// A JSON pointer into the body.
    Json(String),
    /// A form field.
    Form(String),
    /// A query parameter.
    Query(String),
    /// The `traceparent` header.
    Traceparent,
}
