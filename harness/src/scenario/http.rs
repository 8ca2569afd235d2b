//! How a client that is a service is called, and what its answers say.
//!
//! **Invariant:** pure functions of the scenario, the operation and the answer; nothing is sent here.

use std::time::Duration;

use brownout_provider::event::{Claim, Digest16};
use brownout_provider::seed::Seed;
use brownout_provider::template::{Names, Template, TemplateError, Tree};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use serde_json::Value;

use super::raw::RawStatus;
use crate::operation::Operation;

/// The header by which traces are followed from one service to the next.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The names that the templates of a request know.
pub const REQUEST_NAMES: [&str; 5] = ["n", "submit", "input", "tenant", "api_key"];

/// The names that the templates of a poll know.
pub const POLL_NAMES: [&str; 6] = ["n", "submit", "input", "tenant", "api_key", "answer"];

/// How a client that is a service is called, and what its answers say.
#[derive(Clone, Debug)]
pub struct Http {
    /// The request by which it is asked for an operation.
    pub request: Request,
    /// What the statuses of its answers say.
    pub outcomes: Outcomes,
    /// Where to look again after an answer that says `unknown`.
    pub poll: Option<Poll>,
    /// How it is seen that it is ready.
    pub ready: Ready,
    /// Where it listens to the provider's webhooks.
    pub webhooks: Option<PathAndQuery>,
}

/// The request by which a service is asked for an operation, with its templates.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: Template,
    /// Headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// The body.
    pub json: Option<Tree>,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: PathAndQuery,
    /// Headers, without those that every request has.
    pub headers: HeaderMap,
    /// The body; empty without one.
    pub body: Vec<u8>,
}

/// What the statuses of a service's answers say: codes first, then classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes(pub Vec<(RawStatus, Said)>);

/// What an answer of a service says of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was done.
    Succeeded,
    /// It was done in a lesser way.
    Degraded,
    /// It was not done.
    Failed,
    /// The service does not know, or not yet.
    Unknown,
}

/// Where to look again.
#[derive(Clone, Debug)]
pub struct Poll {
    /// Path and query.
    pub path: Template,
    /// Where in the body the state stands, as a JSON pointer.
    pub field: String,
    /// The states that say that it was done.
    pub succeeded: Vec<String>,
    /// The states that say that it was not done.
    pub failed: Vec<String>,
    /// How long to wait before looking again.
    pub interval: Duration,
}

/// How it is seen that a service is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The path that then answers with 2xx; without one it is ready when it takes connections.
    pub path: Option<PathAndQuery>,
    /// How long it may take.
    pub within: Duration,
}

/// Why a request cannot be made of its templates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What was rendered is no path.
    #[error("`{0}` is no path; let it begin with `/`")]
    Path(String),
    /// What was rendered is no value of a header.
    #[error("the header `{name}` cannot be `{value}`")]
    Header {
        /// The header.
        name: HeaderName,
        /// What it was to be.
        value: String,
    },
}

impl Http {
    /// What an operation is called that names no route: method and path as the scenario writes them.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.request.method, self.request.path.source())
    }

    /// The request for an operation.
    ///
    /// # Errors
    ///
    /// When a template cannot be rendered, or gives what cannot be sent.
    pub fn ask(&self, operation: &Operation, trace: Digest16) -> Result<Ask, Unmade> {
        let known = Known::of(operation);
        let names = known.names();
        let mut ask = Ask {
            method: self.request.method.clone(),
            path: path_of(&self.request.path, &names)?,
            headers: self.headers(&names, trace)?,
            body: Vec::new(),
        };
        if let Some(json) = &self.request.json {
            ask.body = json.render(&names)?.to_string().into_bytes();
            let is_json = HeaderValue::from_static("application/json");
            ask.headers.entry(CONTENT_TYPE).or_insert(is_json);
        }
        Ok(ask)
    }

    /// The request by which it is looked what became of an operation, with the headers of the first.
    ///
    /// # Errors
    ///
    /// As [`Http::ask`]; also when the service's first answer lacks what the path asks for.
    pub fn look(
        &self,
        poll: &Poll,
        operation: &Operation,
        trace: Digest16,
        answer: &Value,
    ) -> Result<Ask, Unmade> {
        let known = Known::of(operation);
        let [n, submit, input, tenant, api_key] = known.names();
        let names = [n, submit, input, tenant, api_key, ("answer", answer)];
        Ok(Ask {
            method: Method::GET,
            path: path_of(&poll.path, &names)?,
            headers: self.headers(&names, trace)?,
            body: Vec::new(),
        })
    }

    /// True when the request says this of an operation, in path, header or body.
    #[must_use]
    pub fn tells(&self, name: &str) -> bool {
        let request = &self.request;
        let mut texts = request.headers.iter().map(|(_, template)| template).chain([&request.path]);
        texts.any(|text| text.names().contains(name))
            || request.json.iter().any(|body| body.asks_for(name))
    }

    fn headers(&self, names: &Names<'_>, trace: Digest16) -> Result<HeaderMap, Unmade> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&traceparent(trace)) {
            headers.insert(TRACEPARENT, value);
        }
        for (name, template) in &self.request.headers {
            let text = template.text(names)?;
            let value = HeaderValue::from_str(&text)
                .map_err(|_| Unmade::Header { name: name.clone(), value: text })?;
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }
}

/// What the templates of a request know of an operation.
pub(super) struct Known<'a> {
    n: Value,
    submit: Value,
    input: &'a Value,
    tenant: Value,
    api_key: Value,
}

impl<'a> Known<'a> {
    fn of(operation: &'a Operation) -> Self {
        Self {
            n: Value::from(operation.n),
            submit: Value::from(operation.submit),
            input: &operation.input,
            tenant: operation.tenant.as_deref().map_or(Value::Null, Value::from),
            api_key: Value::from(operation.api_key.as_str()),
        }
    }

    /// What is known of the first operation, to try templates with.
    pub(super) fn sample(input: &'a Value) -> Self {
        let one = Value::from(1);
        let (tenant, api_key) = (Value::from("tenant"), Value::from("key"));
        Self { n: one.clone(), submit: one, input, tenant, api_key }
    }

    /// The values by the names of [`REQUEST_NAMES`].
    pub(super) fn names(&self) -> [(&'static str, &Value); 5] {
        [
            ("n", &self.n),
            ("submit", &self.submit),
            ("input", self.input),
            ("tenant", &self.tenant),
            ("api_key", &self.api_key),
        ]
    }
}

impl Poll {
    /// What a state says; `None` for one that is not final.
    #[must_use]
    pub fn says(&self, body: &Value) -> Option<Claim> {
        let state = body.pointer(&self.field)?;
        let state = state.as_str().map_or_else(|| state.to_string(), str::to_owned);
        if self.succeeded.contains(&state) {
            Some(Claim::Succeeded)
        } else if self.failed.contains(&state) {
            Some(Claim::Failed)
        } else {
            None
        }
    }
}

impl Default for Outcomes {
    /// What statuses say that are used as the specification has it.
    fn default() -> Self {
        Self(vec![
            (RawStatus::Code(202), Said::Unknown),
            (RawStatus::Code(504), Said::Unknown),
            (RawStatus::Class(2), Said::Succeeded),
            (RawStatus::Class(4), Said::Failed),
            (RawStatus::Class(5), Said::Failed),
        ])
    }
}

impl Outcomes {
    /// What a status says; `None` for one that is not listed.
    #[must_use]
    pub fn of(&self, status: u16) -> Option<Said> {
        let said = |which| self.0.iter().find(|(one, _)| *one == which).map(|(_, said)| *said);
        said(RawStatus::Code(status)).or_else(|| said(RawStatus::Class(status / 100)))
    }
}

impl Said {
    /// The claim that it is.
    #[must_use]
    pub const fn claim(self) -> Claim {
        match self {
            Self::Succeeded | Self::Degraded => Claim::Succeeded,
            Self::Failed => Claim::Failed,
            Self::Unknown => Claim::Unknown,
        }
    }
}

/// The trace to which a submit belongs: a pure function of seed, number and submit. A run that raises its numbers
/// because the service remembers the run before has traces of its own, too.
#[must_use]
pub fn trace_of(seed: Seed, operation: &Operation) -> Digest16 {
    let (seed, n) = (seed.get().to_le_bytes(), operation.n.to_le_bytes());
    Digest16::of_parts([b"traceparent".as_slice(), &seed, &n, &operation.submit.to_le_bytes()])
}

/// A trace as the header has it: version, trace, the caller's own span, and that it is recorded.
fn traceparent(trace: Digest16) -> String {
    let span: String = Digest16::of(&trace.0).to_string().chars().take(16).collect();
    format!("00-{trace}-{span}-01")
}

/// Renders a path. What no path may hold as it stands is percent-encoded.
fn path_of(template: &Template, names: &Names<'_>) -> Result<PathAndQuery, Unmade> {
    let text = template.text(names)?;
    let encoded = |byte: u8| match byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let path: String = text.bytes().map(encoded).collect();
    if !path.starts_with('/') {
        return Err(Unmade::Path(text));
    }
    path.parse().map_err(|_| Unmade::Path(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::by_name::ByName;

    fn operation() -> Operation {
        Operation {
            id: Arc::from("op-0003"),
            n: 3,
            submit: 1,
            call: Arc::from("POST /orders"),
            steps: Vec::new(),
            input: json!({"order": "order 3/ä", "amount": 1999}),
            deadline_ms: 30_000,
            url: String::new(),
            api_key: String::new(),
            tenant: None,
            urls: ByName::default(),
            api_keys: ByName::default(),
        }
    }

    fn template(text: &str) -> Template {
        Template::compile(text).expect("a right template")
    }

    fn http() -> Http {
        Http {
            request: Request {
                method: Method::PUT,
                path: template("/orders/{{ input.order }}?n={{ n }}"),
                headers: vec![(HeaderName::from_static("x-n"), template("{{ n }}.{{ submit }}"))],
                json: None,
            },
            outcomes: Outcomes::default(),
            poll: None,
            ready: Ready { path: None, within: Duration::from_secs(30) },
            webhooks: None,
        }
    }

    fn poll() -> Poll {
        Poll {
            path: template("/orders/{{ answer.id }}"),
            field: "/status".to_owned(),
            succeeded: vec!["paid".to_owned()],
            failed: vec!["declined".to_owned(), "false".to_owned()],
            interval: Duration::from_millis(250),
        }
    }

    #[test]
    fn a_request_is_made_of_templates_and_belongs_to_a_trace() {
        let http = http();
        let seed = Seed::new(42).expect("in range");
        let trace = trace_of(seed, &operation());
        let ask = http.ask(&operation(), trace).expect("it renders");
        assert_eq!(ask.path.as_str(), "/orders/order%203/%C3%A4?n=3");
        assert_eq!(ask.headers["x-n"], "3.1");
        let parts: Vec<&str> =
            ask.headers["traceparent"].to_str().expect("text").split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert_eq!(parts[1], trace.to_string());
        assert_ne!(trace, trace_of(seed, &Operation { submit: 2, ..operation() }));
        assert_ne!(
            trace,
            trace_of(seed, &Operation { n: 1_000_003, ..operation() }),
            "another run"
        );
        assert_eq!(trace, trace_of(seed, &operation()));
        assert!(ask.body.is_empty() && !ask.headers.contains_key("content-type"));
        assert_eq!(http.name(), "PUT /orders/{{ input.order }}?n={{ n }}");
    }

    #[test]
    fn a_code_outranks_its_class_and_what_is_not_listed_says_nothing() {
        let outcomes = Outcomes::default();
        assert_eq!(outcomes.of(200), Some(Said::Succeeded));
        assert_eq!(outcomes.of(202), Some(Said::Unknown));
        assert_eq!(outcomes.of(404), Some(Said::Failed));
        assert_eq!(outcomes.of(504), Some(Said::Unknown));
        assert_eq!(outcomes.of(302), None);
        assert_eq!(Said::Degraded.claim(), Claim::Succeeded);
    }

    #[test]
    fn a_poll_knows_the_first_answer_and_final_states() {
        let (http, poll) = (http(), poll());
        let trace = trace_of(Seed::default(), &operation());
        let look = |answer| http.look(&poll, &operation(), trace, &answer);
        let ask = look(json!({"id": "o-7"})).expect("it renders");
        assert_eq!(ask.headers["x-n"], "3.1");
        assert_eq!((ask.method, ask.path.as_str()), (Method::GET, "/orders/o-7"));
        assert!(look(json!({})).is_err());
        assert_eq!(poll.says(&json!({"status": "paid"})), Some(Claim::Succeeded));
        assert_eq!(poll.says(&json!({"status": false})), Some(Claim::Failed));
        for open in [json!({"status": "pending"}), json!({}), json!([1])] {
            assert_eq!(poll.says(&open), None);
        }
    }
}
