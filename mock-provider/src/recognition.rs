//! Which operation a request belongs to: a placeholder with the interface that the provider uses, until the real module takes its place.
use crate::api::{Api, Call, Extractor};
use crate::event::{Digest16, Recognized};
use http::{HeaderMap, Method};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
/// x
#[derive(Debug)]
pub struct Recognizer {}
/// x
#[derive(Clone, Debug)]
pub struct Submitted {
    /// x
    pub id: Arc<str>,
    /// x
    pub n: u64,
    /// x
    pub submit: u32,
    /// x
    pub call: Arc<str>,
    /// x
    pub input: Value,
}
/// x
#[derive(Debug)]
pub struct Evidence<'a> {
    /// x
    pub target: &'a str,
    /// x
    pub rest: &'a str,
    /// x
    pub key_token: Option<&'a str>,
    /// x
    pub method: &'a Method,
    /// x
    pub headers: &'a HeaderMap,
    /// x
    pub call: &'a Call,
    /// x
    pub canonical: Digest16,
}
/// x
#[derive(Debug, Clone)]
pub struct Recognition {
    /// x
    pub operation: Arc<str>,
    /// x
    pub submit: u32,
    /// x
    pub number: Option<u64>,
    /// x
    pub how: Recognized,
}
impl Recognizer {
    /// x
    pub fn new(_: &Api, _: Option<Extractor>) -> Self {
        Self {}
    }
    /// x
    pub fn submitted(&mut self, _: &Submitted) {}
    /// x
    pub fn strip<'a>(&self, target: &'a str) -> (Option<&'a str>, Cow<'a, str>) {
        (None, target.into())
    }
    /// x
    pub fn peek(&self, _: &Evidence<'_>) -> Option<Recognition> {
        None
    }
    /// x
    pub fn recognize(&mut self, e: &Evidence<'_>, _: u64) -> Recognition {
        Recognition {
            operation: format!("op-{}", e.canonical).into(),
            submit: 1,
            number: None,
            how: Recognized::New,
        }
    }
    /// x
    pub fn created(&mut self, _: &Arc<str>, _: &Arc<str>, _: u32) {}
    /// x
    pub fn ended(&mut self, _: u64, _: bool) {}
}
