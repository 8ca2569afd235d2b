//! The control API's routes: what a test suite may ask of the provider, in HTTP and JSON.
//!
//! It reads requests, asks the [`Session`], and writes answers; it decides nothing.
//! **Invariant:** every route stands in [`ROUTES`] and in the OpenAPI document, every error answers with a
//! sentence under `error`, and no path of the file system is ever taken from a request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use brownout_provider::document::Severity;
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::guard::Guard;
use super::session::{Loaded, Playing, Session, SessionError};
use super::{OPENAPI, metrics};
use crate::drive::claims::Statement;
use crate::report::{Entry, Format, PlacedDiagnostic, Report, json, registry};
use crate::scenario::shipped;
use crate::scenario::{Apis, Checked, Overrides, read};
use crate::trace;

/// The most bytes of a request.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// How often a trace that is followed is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of a trace that are sent at once.
const CHUNK: usize = 64 * 1024;

/// What a route is called, and who answers it.
type Route = (&'static str, fn() -> MethodRouter<Shared>);

/// Every route.
const ROUTES: &[Route] = &[
    ("/v1/openapi.json", || get(openapi)),
    ("/v1/scenario", || put(load).get(present)),
    ("/v1/reset", || post(reset)),
    ("/v1/outcomes", || post(outcome)),
    ("/v1/verdict", || post(finish).get(verdict)),
    ("/v1/trace", || get(follow)),
    ("/v1/metrics", || get(numbers)),
];

/// What all routes share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    session: Arc<Mutex<Session>>,
    guard: Arc<Guard>,
}

/// The routes over this session, behind this guard.
pub(super) fn router(session: Arc<Mutex<Session>>, guard: Guard) -> Router {
    let shared = Shared { session, guard: Arc::new(guard) };
    let mut router = Router::new();
    for (path, methods) in ROUTES {
        router = router.route(path, methods());
    }
    router
        .fallback(|| async {
            refusal(StatusCode::NOT_FOUND, "there is no such route; see /v1/openapi.json")
        })
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(from_fn_with_state(shared.clone(), guarded))
        .with_state(shared)
}

async fn guarded(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match shared.guard.check(request.headers()) {
        Ok(()) => in_words(next.run(request).await),
        Err(denied) => {
            let status = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::FORBIDDEN);
            refusal(status, &denied.to_string())
        }
    }
}

/// What the router refuses by itself, with a sentence.
fn in_words(response: Response) -> Response {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "there is no such method here; see /v1/openapi.json",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            let why = format!("the body is longer than {MOST_BYTES} bytes");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, &why)
        }
        _ => response,
    }
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NothingLoaded | Self::Replaced { .. } => StatusCode::CONFLICT,
            Self::Place(_) | Self::Run(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refusal(status, &self.to_string())
    }
}

/// Asks the session on a thread that may wait: runs are started and ended there.
async fn ask<T: Send + 'static>(
    shared: Shared,
    what: impl FnOnce(&mut Session) -> T + Send + 'static,
) -> T {
    apart(move || what(&mut lock(&shared.session))).await
}

/// Does what takes a while on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work);
    done.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// What the query of a request may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The seed of a scenario that is loaded.
    seed: Option<Seed>,
    /// The run that is meant.
    run: Option<u64>,
    /// The format of a verdict.
    format: Option<String>,
    /// Whether a trace is followed to the end of its run.
    #[serde(default)]
    follow: bool,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Self::read(parts.uri.query().unwrap_or_default()).map_err(|why| bad(&why))
    }
}

impl Asked {
    /// Reads `run=3&format=json`. No name and no value that means anything here has to be escaped.
    fn read(query: &str) -> Result<Self, String> {
        let mut said = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            if said.insert(name.to_owned(), value).is_some() {
                return Err(format!("`{name}` stands twice in the query; say it once"));
            }
        }
        let asked = serde_json::from_value(Value::Object(said));
        asked.map_err(|error| format!("the query `{query}` is not understood: {error}"))
    }
}

/// A request that cannot be understood.
fn bad(why: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, why)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// How the provider of a run is reached, in JSON.
#[must_use]
pub fn reached(playing: Playing<'_>) -> Map<String, Value> {
    let Playing { run, served, scenario, seed } = playing;
    let environment: Map<String, Value> = served
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let mut told = Map::new();
    told.insert("run".to_owned(), run.into());
    told.insert("scenario".to_owned(), scenario.name.clone().into());
    told.insert("seed".to_owned(), seed.get().into());
    told.insert("url".to_owned(), served.url.clone().into());
    told.insert("api_key".to_owned(), served.api_key.clone().into());
    for (key, named) in [("urls", &served.urls), ("api_keys", &served.api_keys)] {
        if !named.is_empty() {
            told.insert(key.to_owned(), json!(named));
        }
    }
    told.insert("env".to_owned(), environment.into());
    let trace = served.trace.as_ref().map(|path| path.display().to_string());
    told.insert("trace".to_owned(), trace.into());
    told
}

/// How the present provider is reached.
fn told(session: &Session) -> Response {
    match session.present() {
        Some(playing) => axum::Json(reached(playing)).into_response(),
        None => SessionError::NothingLoaded.into_response(),
    }
}

async fn present(State(shared): State<Shared>) -> Response {
    ask(shared, |session| told(session)).await
}

/// A scenario that is sent with what belongs to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// YAML in a text, the name of a shipped scenario, or the scenario itself.
    scenario: Value,
    /// APIs of one's own, by the name that the scenario uses: documents, or YAML in texts.
    #[serde(default)]
    apis: BTreeMap<String, Value>,
    #[serde(default)]
    seed: Option<Seed>,
}

impl Sent {
    fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, String> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mut sent =
            if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
                serde_json::from_slice(body).map_err(|error| {
                    format!("the body is no {{\"scenario\": …, \"apis\": …, \"seed\": …}}: {error}")
                })?
            } else {
                let text = std::str::from_utf8(body)
                    .map_err(|_| "the scenario is not UTF-8; send YAML as text".to_owned())?;
                Self { scenario: text.into(), apis: BTreeMap::new(), seed: None }
            };
        for (name, api) in &mut sent.apis {
            if let Some(text) = api.as_str() {
                let value = serde_yaml::from_str(text);
                *api = value.map_err(|error| format!("the API `{name}` is no YAML: {error}"))?;
            }
        }
        Ok(sent)
    }

    fn check(&self) -> Checked {
        let overrides = Overrides { seed: self.seed.map(Seed::get), ..Overrides::default() };
        let apis = Apis::Sent(&self.apis);
        match self.scenario.as_str() {
            Some(text) => match shipped::find(text.trim()) {
                Some(shipped) => read(shipped.path, shipped.text.as_bytes(), apis, &overrides),
                None => read("scenario.yaml", text.as_bytes(), apis, &overrides),
            },
            None => {
                // JSON is YAML.
                let text = format!("{:#}", self.scenario);
                read("scenario.json", text.as_bytes(), apis, &overrides)
            }
        }
    }
}

async fn load(
    State(shared): State<Shared>,
    headers: HeaderMap,
    asked: Asked,
    body: Bytes,
) -> Response {
    let mut sent = match Sent::read(&headers, &body) {
        Ok(sent) => sent,
        Err(why) => return bad(&why),
    };
    sent.seed = asked.seed.or(sent.seed);
    let checked = sent.check();
    let Some(scenario) = checked.scenario else {
        let wrong: Vec<PlacedDiagnostic> = checked
            .diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .map(|one| PlacedDiagnostic::new(&checked.source, one))
            .collect();
        let said: Vec<String> = wrong.iter().map(PlacedDiagnostic::in_one_line).collect();
        let answer = json!({ "error": said.join("\n"), "diagnostics": wrong });
        return (StatusCode::BAD_REQUEST, axum::Json(answer)).into_response();
    };
    let seed = scenario.seed;
    let reproduce = format!("load the same scenario again, with seed {}", seed.get());
    let loaded = Loaded { file: checked.source.file, scenario, reproduce };
    ask(shared, move |session| match session.start(loaded, seed) {
        Ok(_) => told(session),
        Err(error) => error.into_response(),
    })
    .await
}

/// What a reset may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    #[serde(default)]
    seed: Option<Seed>,
}

async fn reset(State(shared): State<Shared>, body: Bytes) -> Response {
    let again = if body.is_empty() { Ok(Again::default()) } else { serde_json::from_slice(&body) };
    let again: Again = match again {
        Ok(again) => again,
        Err(error) => {
            let why = format!("the body is neither empty nor {{\"seed\": N}}: {error}");
            return bad(&why);
        }
    };
    ask(shared, move |session| match session.restart(again.seed) {
        Ok(_) => told(session),
        Err(error) => error.into_response(),
    })
    .await
}

async fn outcome(State(shared): State<Shared>, asked: Asked, body: Bytes) -> Response {
    let named = |it: &Statement| it.operation.as_deref().is_some_and(|name| !name.is_empty());
    let statement = std::str::from_utf8(&body).ok().and_then(Statement::from_report);
    let Some(statement) = statement.filter(|it| named(it) && it.submit > 0) else {
        let why = "the body is no {\"operation\": NAME, \"outcome\": \"succeeded\"|\"failed\"|\"unknown\"}, \
                   with a `submit` from 1";
        return bad(why);
    };
    let said = ask(shared, move |session| {
        session.check(asked.run)?;
        session.say(statement)
    });
    match said.await {
        Err(error) => error.into_response(),
        Ok(told) => axum::Json(json!({ "taken": told.await.unwrap_or(false) })).into_response(),
    }
}

async fn finish(State(shared): State<Shared>, asked: Asked) -> Response {
    ask(shared, move |session| answered(session, &asked, |session| session.end().map(|_| ()))).await
}

async fn verdict(State(shared): State<Shared>, asked: Asked) -> Response {
    ask(shared, move |session| answered(session, &asked, |_| Ok(()))).await
}

/// The verdict that is asked for, after `before`, which takes place only if it can be answered.
fn answered(
    session: &mut Session,
    asked: &Asked,
    before: impl FnOnce(&mut Session) -> Result<(), SessionError>,
) -> Response {
    let name = asked.format.as_deref().unwrap_or(json::FORMAT.name);
    let Some(format) = registry::find(name) else {
        let known: Vec<&str> = registry::FORMATS.iter().map(|format| format.name).collect();
        return bad(&format!("there is no format `{name}`; there is {}", known.join(", ")));
    };
    match session.check(asked.run).and_then(|()| before(session)) {
        Ok(()) => judged(session, format),
        Err(error) => error.into_response(),
    }
}

/// The verdict of the run that ended last.
fn judged(session: &Session, format: &Format) -> Response {
    let Some(entry) = session.entries().last() else {
        return refusal(StatusCode::CONFLICT, "no run has ended yet; POST /v1/verdict ends one");
    };
    let report = Report { entries: vec![Entry::clone(entry)], ..Report::default() };
    let kind = if format.name == json::FORMAT.name {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let text = anstream::adapter::strip_str(&(format.render)(&report)).to_string();
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn follow(State(shared): State<Shared>, asked: Asked) -> Response {
    let Some(path) = ask(shared.clone(), |session| session.trace()).await else {
        return SessionError::NothingLoaded.into_response();
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            let why = format!("the trace `{}` cannot be read: {error}", path.display());
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, &why);
        }
    };
    let following = Following { file, path, follows: asked.follow, shared };
    let lines = futures_util::stream::unfold(Some(following), |following| async {
        following?.next().await
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// A trace that is being sent.
struct Following {
    file: File,
    path: PathBuf,
    follows: bool,
    shared: Shared,
}

impl Following {
    /// The next piece, and what comes after it; `None` at the end.
    async fn next(mut self) -> Option<(io::Result<Vec<u8>>, Option<Self>)> {
        loop {
            // What has ended before the file is read is read whole.
            let ended = !self.follows || self.has_ended().await;
            let mut chunk = vec![0; CHUNK];
            match self.file.read(&mut chunk) {
                Err(error) => return Some((Err(error), None)),
                Ok(0) if ended => return None,
                Ok(0) => Clock::real().sleep(LOOK).await,
                Ok(read) => {
                    chunk.truncate(read);
                    return Some((Ok(chunk), Some(self)));
                }
            }
        }
    }

    async fn has_ended(&self) -> bool {
        let path = self.path.clone();
        ask(self.shared.clone(), move |session| {
            session.present().is_none_or(|it| it.served.trace.as_ref() != Some(&path))
        })
        .await
    }
}

async fn numbers(State(shared): State<Shared>) -> Response {
    let (path, ended) = ask(shared, |session| (session.trace(), session.entries().to_vec())).await;
    // A long trace takes a while, and nobody waits for it but who asked.
    let text = apart(move || {
        let trace = path.and_then(|path| {
            trace::read::read(BufReader::new(File::open(path).ok()?), |_| {}).ok()
        });
        metrics::render(trace.as_ref(), &ended)
    })
    .await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_names_every_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
        let told: BTreeSet<&str> =
            document["paths"].as_object().expect("an object").keys().map(String::as_str).collect();
        let there: BTreeSet<&str> = ROUTES.iter().map(|(path, _)| *path).collect();
        assert_eq!(told, there);
    }

    #[test]
    fn a_query_is_read_or_refused_with_a_reason() {
        let asked = Asked::read("run=3&seed=7&format=json&follow=true").expect("right");
        assert_eq!((asked.run, asked.seed.map(Seed::get)), (Some(3), Some(7)));
        assert_eq!((asked.format.as_deref(), asked.follow), (Some("json"), true));
        assert!(Asked::read("").expect("nothing is asked").run.is_none());
        for wrong in ["run=abc", "run=-1", "run", "run=1&run=2", "what=1", "seed=1.5", "follow=yes"]
        {
            assert!(Asked::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_document_names_every_method_and_every_format() {
        let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
        let known: Vec<&str> = registry::FORMATS.iter().map(|format| format.name).collect();
        for (path, methods) in ROUTES {
            let told = document["paths"][path].as_object().expect("an object");
            // The router says which methods it takes, in the form in which it answers a wrong one.
            let allowed = format!("{:?}", methods());
            for method in ["get", "put", "post", "delete", "patch"] {
                let takes = !allowed.contains(&format!("{method}: None"));
                assert_eq!(told.contains_key(method), takes, "{method} {path}: {allowed}");
            }
            for (method, one) in told {
                let parameters = one["parameters"].as_array().into_iter().flatten();
                for format in parameters.filter(|one| one["name"] == "format") {
                    assert_eq!(format["schema"]["enum"], json!(known), "{method} {path}");
                }
                for status in ["401", "403"] {
                    assert!(one["responses"][status].is_object(), "{status} at {method} {path}");
                }
            }
        }
    }
}
