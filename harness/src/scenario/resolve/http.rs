//! How a client that is a service is called.

use std::collections::BTreeMap;
use std::time::Duration;

use brownout_provider::api::Api;
use brownout_provider::document::At;
use brownout_provider::seed::Seed;
use brownout_provider::template::{Template, Tree};
use brownout_provider::units::Period;
use http::uri::PathAndQuery;
use http::{HeaderName, Method};
use serde_json::Value;

use crate::scenario::http::{
    Http, Known, Outcomes, POLL_NAMES, Poll, REQUEST_NAMES, Ready, Request, Said,
};
use crate::scenario::raw::{
    RawEvent, RawHttp, RawListens, RawMethod, RawOutcome, RawPoll, RawReady, RawRequest, RawStatus,
};
use crate::scenario::{PLANTED, Planted};

/// How long a service may take to be ready, where the file does not say.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait before looking again, where the file does not say.
const INTERVAL: Duration = Duration::from_millis(250);

/// How the service is called; `None` where something is wrong that cannot be done without.
pub(super) fn resolve(
    raw: &RawHttp,
    (input, apis): (Option<&Tree>, &[&Api]),
    at: &At<'_>,
) -> Option<Http> {
    let sample = input.and_then(sample);
    let request = raw.request.as_ref();
    let request =
        request.and_then(|request| self::request(request, sample.as_ref(), &at.key("request")));
    let poll = raw.poll.as_ref().map(|poll| self::poll(poll, sample.as_ref(), &at.key("poll")));
    let outcomes = raw
        .outcome
        .as_ref()
        .map_or_else(Outcomes::default, |outcome| outcomes(outcome, &at.key("outcome")));
    let asks_again = outcomes.0.iter().any(|(_, said)| *said == Said::Unknown);
    if raw.poll.is_some() && !asks_again && !at.key("outcome").is_wrong() {
        at.key("poll").error("no answer leads to this poll: none says `unknown`", |d| {
            d.key().cure("list a status under `unknown`, such as `unknown: [202]`")
        });
    }
    let ready = ready(raw.ready.as_ref(), &at.key("ready"));
    let webhooks = raw.webhooks.as_ref().and_then(|raw| listens(raw, apis, &at.key("webhooks")));
    Some(Http {
        request: request?,
        outcomes,
        poll: poll.map_or(Some(None), |it| it.map(Some))?,
        ready,
        webhooks,
    })
}

/// The input of the first operation, to try templates with.
fn sample(input: &Tree) -> Option<Value> {
    let one = Value::from(1);
    let planted = Planted::of(Seed::default()).value();
    input.render(&[("n", &one), ("submit", &one), (PLANTED, &planted)]).ok()
}

fn request(raw: &RawRequest, sample: Option<&Value>, at: &At<'_>) -> Option<Request> {
    let raw_method = raw.method.unwrap_or_default();
    let method = match raw_method {
        RawMethod::Get => Method::GET,
        RawMethod::Post => Method::POST,
        RawMethod::Put => Method::PUT,
        RawMethod::Patch => Method::PATCH,
        RawMethod::Delete => Method::DELETE,
    };
    if raw_method == RawMethod::Get && raw.json.is_some() {
        at.key("json").error("a GET request has no body", |d| {
            d.key().cure("use another `method`, or put what it says into the path")
        });
    }
    let path = raw.path.as_deref();
    let path =
        path.and_then(|path| template(path, (&REQUEST_NAMES, KNOWS), sample, &at.key("path")));
    if let Some(path) = &path {
        check_path(path, &at.key("path"));
    }
    let headers = headers(raw.headers.as_ref(), sample, &at.key("headers"));
    let json = raw.json.as_ref().map(|json| {
        let at = at.key("json");
        let tree = Tree::resolve(json, &REQUEST_NAMES, &at)?;
        if let Some(sample) = sample
            && let Err(error) = tree.render(&Known::sample(sample).names())
        {
            at.error(error.to_string(), |d| d.cure(KNOWS));
            return None;
        }
        Some(tree)
    });
    let json = json.map_or(Some(None), |tree| tree.map(Some));
    Some(Request { method, path: path?, headers: headers?, json: json? })
}

/// What the templates of a request know.
const KNOWS: &str = "a request knows `{{ n }}`, the operation's number, `{{ submit }}`, `{{ tenant }}`, \
                     `{{ api_key }}`, and the fields of the workload's `input` as `{{ input.… }}`";

/// What the path of a poll knows beside that.
const POLL_KNOWS: &str = "a poll knows `{{ n }}`, `{{ submit }}`, `{{ tenant }}`, `{{ api_key }}`, \
                          `{{ input.… }}`, and the body of the service's first answer as `{{ answer.… }}`";

/// A template that can be rendered for the input at hand; what an answer holds nobody knows beforehand.
fn template(
    text: &str,
    (names, knows): (&[&str], &str),
    sample: Option<&Value>,
    at: &At<'_>,
) -> Option<Template> {
    let template = Template::resolve(text, names, at)?;
    if let Some(sample) = sample
        && !template.names().contains("answer")
        && let Err(error) = template.text(&Known::sample(sample).names())
    {
        at.error(error.to_string(), |d| d.cure(knows));
        return None;
    }
    Some(template)
}

/// Reports a path that does not begin as one.
fn check_path(path: &Template, at: &At<'_>) {
    let source = path.source();
    let may_begin = source.starts_with('/') || source.trim_start().starts_with("{{");
    if !may_begin {
        at.error(format!("`{}` is no path", super::shown(source)), |d| {
            d.cure("begin it with `/`; where the service stands says the command line")
        });
    }
}

fn headers(
    raw: Option<&BTreeMap<String, String>>,
    sample: Option<&Value>,
    at: &At<'_>,
) -> Option<Vec<(HeaderName, Template)>> {
    let headers = raw.into_iter().flatten().map(|(name, value)| {
        let at = at.key(name);
        let header = HeaderName::try_from(name.as_str()).ok();
        let framing = ["host", "content-length", "transfer-encoding", "connection"];
        if header.as_ref().is_none_or(|header| framing.contains(&header.as_str())) {
            at.error(format!("`{}` is no header to be set", super::shown(name)), |d| {
                d.key().cure("leave it out: what frames a request is the driver's own")
            });
            return None;
        }
        Some((header?, template(value, (&REQUEST_NAMES, KNOWS), sample, &at)?))
    });
    // All of them are looked at, also behind one that is wrong.
    let headers: Vec<_> = headers.collect();
    headers.into_iter().collect()
}

/// Which statuses say what; reports those that stand in two lists.
fn outcomes(raw: &RawOutcome, at: &At<'_>) -> Outcomes {
    let lists = [
        ("succeeded", Said::Succeeded, &raw.succeeded),
        ("degraded", Said::Degraded, &raw.degraded),
        ("failed", Said::Failed, &raw.failed),
        ("unknown", Said::Unknown, &raw.unknown),
    ];
    let mut seen: BTreeMap<RawStatus, &str> = BTreeMap::new();
    let mut all = Vec::new();
    for (key, said, list) in lists {
        for (index, status) in list.iter().flatten().enumerate() {
            let Some(status) = status else { continue };
            if let Some(first) = seen.insert(*status, key) {
                at.key(key).index(index).error(
                    format!("{status} stands under `{first}` already"),
                    |d| d.cure("let each status and each class stand in one list; a code outranks its class"),
                );
            }
            all.push((*status, said));
        }
    }
    let can_succeed = all
        .iter()
        .any(|(_, said)| matches!(said, Said::Succeeded | Said::Degraded | Said::Unknown));
    if !can_succeed && !at.is_wrong() {
        at.error("no answer can say that an operation succeeded", |d| {
            d.key().cure("list what says so, such as `succeeded: [200, 201]`")
        });
    }
    Outcomes(all)
}

fn poll(raw: &RawPoll, sample: Option<&Value>, at: &At<'_>) -> Option<Poll> {
    let path = raw.path.as_deref();
    let path =
        path.and_then(|path| template(path, (&POLL_NAMES, POLL_KNOWS), sample, &at.key("path")));
    if let Some(path) = &path {
        check_path(path, &at.key("path"));
    }
    let field = raw.field.as_deref();
    if let Some(field) = field
        && !field.starts_with('/')
    {
        at.key("field").error(format!("`{}` is no place in an answer", super::shown(field)), |d| {
            d.cure("write a JSON pointer such as `/status`")
        });
    }
    let words = |list: &Option<Vec<Option<String>>>| -> Vec<String> {
        list.iter().flatten().flatten().cloned().collect()
    };
    let (succeeded, failed) = (words(&raw.succeeded), words(&raw.failed));
    if let Some(both) = succeeded.iter().find(|state| failed.contains(state)) {
        at.key("failed").error(
            format!("`{}` says both that it was done and that it was not", super::shown(both)),
            |d| d.key().cure("let each state stand in one list"),
        );
    }
    if raw.succeeded.is_some() && succeeded.is_empty() && !at.key("succeeded").is_wrong() {
        at.key("succeeded").error("no state says that it was done", |d| {
            d.key().cure("list at least one, such as `succeeded: [paid]`")
        });
    }
    let interval = raw.interval.map_or(INTERVAL, Period::duration);
    if interval.is_zero() {
        at.key("interval").error("looking again without a pause leaves the service no time", |d| {
            d.cure("use at least `1ms`, or leave it out for 250ms")
        });
    }
    Some(Poll { path: path?, field: field?.to_owned(), succeeded, failed, interval })
}

fn ready(raw: Option<&RawReady>, at: &At<'_>) -> Ready {
    let path = raw.and_then(|raw| raw.path.as_deref());
    let path = path.and_then(|text| plain_path(text, "/health", &at.key("path")));
    let within = raw.and_then(|raw| raw.within).map_or(READY_WITHIN, Period::duration);
    if within.is_zero() {
        at.key("within").error("no service is ready within no time", |d| {
            d.cure("use at least `1s`, or leave it out for 30s")
        });
    }
    Ready { path, within }
}

/// Where the service listens to webhooks.
fn listens(raw: &RawListens, apis: &[&Api], at: &At<'_>) -> Option<PathAndQuery> {
    if let (Some(api), true) = (apis.first(), apis.iter().all(|api| api.webhooks.is_none())) {
        at.error(format!("the API `{}` sends no webhooks", api.name), |d| {
            d.key().cure("leave `webhooks` out, or use an API whose file has `webhooks:`")
        });
    }
    plain_path(raw.path.as_deref()?, "/webhooks", &at.key("path"))
}

/// How a service is reached that is told of events.
pub(super) fn told(raw: &RawEvent, at: &At<'_>) -> Option<Http> {
    let path = plain_path(raw.path.as_deref()?, "/webhooks", &at.key("path"))?;
    let template = Template::resolve(path.as_str(), &REQUEST_NAMES, &at.key("path"))?;
    Some(Http {
        request: Request { method: Method::POST, path: template, headers: Vec::new(), json: None },
        outcomes: Outcomes::default(),
        poll: None,
        ready: ready(raw.ready.as_ref(), &at.key("ready")),
        webhooks: Some(path),
    })
}

/// A path without templates.
fn plain_path(text: &str, example: &str, at: &At<'_>) -> Option<PathAndQuery> {
    let path = text.starts_with('/').then(|| text.parse().ok()).flatten();
    if path.is_none() {
        at.error(format!("`{}` is no path", super::shown(text)), |d| {
            d.cure(format!("begin it with `/`, such as `{example}`"))
        });
    }
    path
}
