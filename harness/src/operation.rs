//! An operation as it is handed to a client, and what the client says became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::event::Claim;
use serde::Serialize;
use serde_json::Value;

use crate::by_name::ByName;

/// The word in front of an outcome line in exec and suite mode.
pub const OUTCOME_WORD: &str = "BROWNOUT_OUTCOME";

/// One submit of one operation, as a client receives it: a line of JSON in stdio and exec mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation {
    /// The name, such as `op-0003`.
    pub id: Arc<str>,
    /// The number, from 1.
    pub n: u64,
    /// Which submit, from 1.
    pub submit: u32,
    /// The route to call, or that of the first step.
    pub call: Arc<str>,
    /// The steps, where the operation has several; they are to be called one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The input.
    pub input: Value,
    /// When the caller gives up, in milliseconds from now.
    pub deadline_ms: u64,
    /// The base URL, with the operation's token inside.
    pub url: String,
    /// The API key to use.
    pub api_key: String,
    /// The tenant whose operation it is, where there are tenants; the keys are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// Where there are several providers, the base URL of each by name, in the order of the scenario; `url` is
    /// the first's.
    #[serde(skip_serializing_if = "ByName::is_empty")]
    pub urls: ByName<String>,
    /// Where there are several providers, the API key for each by name.
    #[serde(skip_serializing_if = "ByName::is_empty")]
    pub api_keys: ByName<String>,
}

/// One step of an operation of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The route to call.
    pub call: Arc<str>,
    /// The provider to call, where the scenario has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// What it takes from the answer of the step before it: a parameter of its path or a field of its body,
    /// and where that stands in the answer, as a JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub uses: BTreeMap<String, String>,
}

/// A client's claim about one submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Succeeded, failed, or honestly unknown.
    pub claim: Claim,
    /// Free words for the report.
    pub detail: String,
    /// The provider that served it, where the client has several.
    pub provider: Option<String>,
}

impl Outcome {
    /// It was done.
    #[must_use]
    pub fn succeeded() -> Self {
        Self { claim: Claim::Succeeded, detail: String::new(), provider: None }
    }

    /// It was not done, and why.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self { claim: Claim::Failed, detail: detail.into(), provider: None }
    }

    /// Nobody knows, and why.
    #[must_use]
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self { claim: Claim::Unknown, detail: detail.into(), provider: None }
    }
}
