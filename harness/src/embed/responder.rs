//! The fault engine as a responder of wiremock.
//!
//! **Invariant:** without a strike the answer is the one of the responder inside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::exchange::{Answer, Next};
use brownout_provider::provider::OwnAnswer;
use bytes::Bytes;
use http::{HeaderMap, header};
use wiremock::{Request, Respond, ResponseTemplate};

use super::engine::Engine;
use super::{Faults, NotHere, refuse};

/// How long an answer that never comes is away: longer than any test.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A responder that answers as the one inside does, unless a rule strikes; see [`Faults::responder`].
pub struct FaultResponder<R> {
    inner: R,
    engine: Arc<Engine>,
}

impl<R> fmt::Debug for FaultResponder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultResponder").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Faults {
    /// Puts these rules around a responder of wiremock: a `ResponseTemplate`, a closure, or any other.
    ///
    /// wiremock waits only before the head of an answer, so a delay before the work is spent after the
    /// responder inside was asked. It is not asked at all where a fault ends the request before the work.
    ///
    /// ```
    /// use brownout::build::{fault, rule};
    /// use brownout::embed::Faults;
    /// use wiremock::matchers::{method, path};
    /// use wiremock::{Mock, MockServer, ResponseTemplate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let faults = Faults::on_routes([("create_order", "POST", "/orders")])
    ///     .rule(rule("busy").attempt(1).inject(fault::status(503)))
    ///     .finish()
    ///     .expect("right rules");
    /// let server = MockServer::start().await;
    /// Mock::given(method("POST"))
    ///     .and(path("/orders"))
    ///     .respond_with(faults.responder(ResponseTemplate::new(201)).expect("wiremock can do that"))
    ///     .mount(&server)
    ///     .await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a rule injects what wiremock cannot do: it ends no connection (`reset`, `close`, `truncate`),
    /// sends head and body at once (`drip`, `latency` at `head` or `chunk`, `hang` at `mid_body`), and
    /// shows nobody the answer that it is about to send (`malformed` of the kinds that are made of it, such
    /// as `truncated_json`, `missing_field` and `wrong_amount`). What a layer refuses as the provider's own or
    /// the client's is refused too (see [`super::Faults::layer`]); each refusal says what to use instead.
    pub fn responder<R: Respond>(&self, inner: R) -> Result<FaultResponder<R>, NotHere> {
        refuse::check("wiremock", &self.rules, refuse::in_a_responder)?;
        Ok(FaultResponder { inner, engine: Arc::clone(&self.engine) })
    }
}

impl<R: Respond> Respond for FaultResponder<R> {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let body = Bytes::copy_from_slice(&request.body);
        let asked = (&request.method, target.as_str());
        let Some(struck) = self.engine.arrive(asked, &request.headers, &body) else {
            return self.inner.respond(request);
        };
        let faults = struck.faults();
        let own = faults.is_served().then(|| self.inner.respond(request));
        let after_us = if own.is_some() { faults.after_us() } else { 0 };
        let wait = Duration::from_micros(faults.before_us().saturating_add(after_us));
        let (ends, spoils) = (faults.ends(), faults.spoils());
        let template = match (own, ends) {
            (Some(own), false) => delayed(own, wait),
            (own, _) => {
                let blank = own.is_some().then(blank);
                match struck.answer(blank) {
                    Next::Answer(answer) => match own {
                        Some(own) if spoils => delayed(spoiled(own, *answer), wait),
                        Some(_) | None => delayed(whole(*answer), wait),
                    },
                    // What ends a connection was refused, so that silence is all that is left.
                    Next::Silence
                    | Next::Drop(_)
                    | Next::GoAway(_)
                    | Next::Wait { .. }
                    | Next::Done => ResponseTemplate::new(500).set_delay(NEVER),
                }
            }
        };
        struck.end(!ends);
        template
    }
}

/// The status of an answer that a fault only changes.
const BLANK_STATUS: u16 = 200;

fn blank() -> OwnAnswer {
    OwnAnswer { status: BLANK_STATUS, headers: HeaderMap::new(), body: Bytes::new() }
}

/// A wait that the template has of its own stays where none is injected.
fn delayed(template: ResponseTemplate, wait: Duration) -> ResponseTemplate {
    if wait.is_zero() { template } else { template.set_delay(wait) }
}

/// The answer of the responder inside with another body.
fn spoiled(own: ResponseTemplate, answer: Answer) -> ResponseTemplate {
    if answer.status != BLANK_STATUS {
        return whole(answer);
    }
    let own = match answer.headers.get(header::CONTENT_ENCODING) {
        Some(encoding) => own.insert_header(header::CONTENT_ENCODING, encoding.clone()),
        None => own,
    };
    match media_type(&answer.headers) {
        Some(media_type) => own.set_body_raw(answer.body.clone(), media_type),
        None => own.set_body_bytes(answer.body.clone()),
    }
}

/// An answer that takes the place of the responder's.
fn whole(answer: Answer) -> ResponseTemplate {
    let Answer { status, headers, body, .. } = answer;
    let media_type = media_type(&headers).unwrap_or_default().to_owned();
    let mut template = ResponseTemplate::new(status);
    for (name, value) in headers.iter().filter(|(name, _)| **name != header::CONTENT_TYPE) {
        template = template.append_header(name.clone(), value.clone());
    }
    if media_type.is_empty() {
        template.set_body_bytes(body)
    } else {
        template.set_body_raw(body, &media_type)
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}
