//! Requests to a client that is a service, as they stand in a file.

use std::collections::BTreeMap;

use brownout_provider::units::Period;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// How a client that is a service is called, and what its answers say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHttp {
    /// The request by which the service is asked for an operation.
    #[schemars(required, title = "a map such as `{method: POST, path: /orders}`")]
    pub request: Option<RawRequest>,
    /// The route of the API by which the service does what it is asked for: whoever claims success has to have
    /// called it, `explore` varies it, and the input comes from it where `input` is not there.
    pub calls: Option<String>,
    /// Which statuses of an answer say what became of the operation. Unless said, 2xx is `succeeded`, 202 and
    /// 504 are `unknown`, and other 4xx and 5xx are `failed`.
    pub outcome: Option<RawOutcome>,
    /// Where to look again after an answer that says `unknown`.
    pub poll: Option<RawPoll>,
    /// How it is seen that the service is ready (that it takes connections, unless said).
    pub ready: Option<RawReady>,
    /// Where the service listens to the webhooks of the provider (nowhere, unless said).
    pub webhooks: Option<RawListens>,
}

/// Where a service listens to webhooks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawListens {
    /// The path that they are sent to by POST.
    #[schemars(required)]
    pub path: Option<String>,
}

/// A request to the service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRequest {
    /// The method (`POST` unless said).
    pub method: Option<RawMethod>,
    /// The path, and a query behind it: `/orders`, `/orders/{{ n }}?by={{ input.user }}`.
    #[schemars(required)]
    pub path: Option<String>,
    /// Headers by name.
    pub headers: Option<BTreeMap<String, String>>,
    /// The body, which is sent as JSON; texts in it may hold `{{ n }}`, `{{ submit }}`,
    /// `{{ input.… }}`, and where there are tenants `{{ tenant }}` and `{{ api_key }}`.
    pub json: Option<Value>,
}

/// The method of a request to the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RawMethod {
    /// GET.
    Get,
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// Which statuses say what. A code outranks a class; a status that stands nowhere says nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOutcome {
    /// It was done.
    pub succeeded: Option<Vec<Option<RawStatus>>>,
    /// It was done in a lesser way (from a cache, with a default); a success like any other.
    pub degraded: Option<Vec<Option<RawStatus>>>,
    /// It was not done.
    pub failed: Option<Vec<Option<RawStatus>>>,
    /// The service does not know, or not yet.
    pub unknown: Option<Vec<Option<RawStatus>>>,
}

/// Where to look again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPoll {
    /// The path, which may hold what the path of the request may, and `{{ answer.… }}`, the body of the
    /// service's first answer.
    #[schemars(required)]
    pub path: Option<String>,
    /// Where in the body of the answer it stands what became of it, as a JSON pointer.
    #[schemars(required)]
    pub field: Option<String>,
    /// The values that say that it was done.
    #[schemars(required)]
    pub succeeded: Option<Vec<Option<String>>>,
    /// The values that say that it was not done.
    pub failed: Option<Vec<Option<String>>>,
    /// How long to wait before looking again (250ms unless said).
    pub interval: Option<Period>,
}

/// How it is seen that the service is ready.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReady {
    /// The path that answers with 2xx once it is.
    pub path: Option<String>,
    /// How long it may take (30s unless said).
    pub within: Option<Period>,
}

/// A status, or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RawStatus {
    /// One status: 201.
    Code(u16),
    /// A class, by its first digit: `4xx`.
    Class(u16),
}

impl RawStatus {
    fn of_code(code: u64) -> Option<Self> {
        u16::try_from(code).ok().filter(|code| (200..=599).contains(code)).map(Self::Code)
    }

    fn of_text(text: &str) -> Option<Self> {
        let digit = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"))?;
        digit.parse().ok().filter(|class| (2..=5).contains(class)).map(Self::Class)
    }
}

impl std::fmt::Display for RawStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl<'de> Deserialize<'de> for RawStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = RawStatus;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a status from 200 to 599, or a class such as `4xx`")
            }
            fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<RawStatus, E> {
                let unfit = || E::invalid_value(serde::de::Unexpected::Unsigned(code), &self);
                RawStatus::of_code(code).ok_or_else(unfit)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawStatus, E> {
                let unfit = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                RawStatus::of_text(text).ok_or_else(unfit)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for RawStatus {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusOrClass".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a status or a class of them",
            "examples": ["4xx", 201],
            "anyOf": [
                { "type": "integer", "minimum": 200, "maximum": 599 },
                { "type": "string", "enum": ["2xx", "3xx", "4xx", "5xx"] },
            ],
        })
    }
}
