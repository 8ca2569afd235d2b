//! What the client's side of a run tells: claims, output, and the life of its processes.
//!
//! **Invariant:** a claim is the client's own, or says that the driver wrote it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the client says became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// It was done.
    Succeeded,
    /// It was not done.
    Failed,
    /// The client does not know: an honest answer.
    Unknown,
}

impl Claim {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Who wrote a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimBy {
    /// The client itself.
    #[default]
    Client,
    /// The driver, for a client that said nothing.
    Driver,
}

/// A claim about an operation, or the driver's record that none came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationFinished {
    /// The operation.
    pub operation: Arc<str>,
    /// Which submit.
    #[serde(default = "super::one")]
    pub submit: u32,
    /// The claim; what the driver writes itself is `unknown`.
    pub claim: Claim,
    /// True for a success in a lesser way: from a cache, with a default.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub degraded: bool,
    /// Who wrote it.
    #[serde(default)]
    pub by: ClaimBy,
    /// The client's own words, redacted, or the driver's reason (`deadline`, `exited`, `signal 9`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The provider that the client says has served it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
}

/// The stream of what the harness itself says beside the client.
pub const HARNESS: &str = "brownout";

/// A line of the client's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientOutput {
    /// `stdout` or `stderr` (`log` in process).
    pub stream: Arc<str>,
    /// The operation, where the process or task belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// The text, with every secret replaced by its mark.
    pub text: String,
    /// The marks in it: `api_key:plain`, `api_key:base64`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// In the harness's own last word on it: how many lines more there were, which are not on record.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub not_kept: u64,
}

/// A process of the client under test started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientStarted {
    /// The copy of the client, from 1.
    pub client: u32,
    /// The operating system's number of the process.
    pub pid: u32,
    /// The operation, in exec mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
}

/// A process of the client under test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientEnded {
    /// The copy of the client, from 1.
    pub client: u32,
    /// The operating system's number of the process.
    pub pid: u32,
    /// The exit code, unless a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// True when the harness ended it.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub killed: bool,
    /// The operation, in exec mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
}

/// A process (or, in process, a copy) of the client under test goes on after it stood still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientPaused {
    /// The copy of the client, from 1.
    pub client: u32,
    /// The operating system's number of the process.
    pub pid: u32,
    /// How long it stood still, up to this event, in microseconds.
    pub for_us: u64,
    /// The operation, in exec mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
}
