//! What the client is asked to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::api::{Api, Extractor, Pointer, Route};
use brownout_provider::document::{At, ScalarOr};
use brownout_provider::event::Mode;
use brownout_provider::seed::Seed;
use brownout_provider::template::Tree;
use brownout_provider::units::{Period, Rate};
use serde_json::{Map, Value};

use super::tenants;
use super::when::{self, Places};
use crate::operation::Step;
use crate::scenario::http::Http;
use crate::scenario::raw::{RawArrival, RawDeliverMap, RawExit0, RawMode, RawSubmits, RawWorkload};
use crate::scenario::{Arrival, INPUT_NAMES, PLANTED, Planted, Submits, Workload};

/// How many operations there are, where the file does not say.
const OPERATIONS: u64 = 10;
/// When the caller gives up, where the file does not say.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often an operation may be submitted.
const MAX_SUBMITS: u32 = 100;

/// The workload; `None` where something is wrong that it cannot do without.
pub(super) fn resolve(
    raw: Option<&RawWorkload>,
    source: &Value,
    places: &Places<'_>,
    at: &At<'_>,
) -> Option<Workload> {
    let raw = raw?;
    let mode = mode(raw, at);
    let steps = steps(raw, places, at);
    let call = call(raw, places, at).or_else(|| Some(Arc::clone(&steps.first()?.call)));
    let of_step = steps.first().and_then(|step| step.provider.as_deref());
    let route = call.as_deref().and_then(|call| {
        let own = places.apis(of_step).into_iter().find_map(|api| api.route_named(call));
        own.or_else(|| places.with_route(call)?.1.route_named(call))
    });
    let input = input(raw.input.as_ref(), route.map(AsRef::as_ref), &at.key("input"));
    let (event, told) = event(raw, places, at).unzip();
    let http = raw.http.as_ref().map(|http| {
        super::http::resolve(http, (input.as_ref(), &places.apis(None)), &at.key("http"))
            .map(Arc::new)
    });
    let http = http.or(told.map(|told| Some(Arc::new(told))));
    let deadline = raw.deadline.map_or(DEADLINE, Period::duration);
    if deadline.is_zero() {
        at.key("deadline").error("a deadline of zero leaves no time for anything", |d| {
            d.cure("use at least `1ms`, or leave it out for 30s")
        });
    }
    let (tenants, all) = tenants::resolve(raw, source, places, &at.key("tenants"));
    tenants::check_told(&tenants, http.as_ref().and_then(Option::as_deref), &at.key("tenants"));
    let operations = operations(raw, (!tenants.is_empty()).then_some(all), at);
    let exit_0 = raw.suite.and_then(|suite| suite.exit_0);
    Some(Workload {
        call,
        steps,
        http: http.map_or(Some(None), |http| http.map(Some))?,
        operations,
        exec_operations: raw.exec.and_then(|exec| exec.operations),
        concurrency: raw.concurrency.unwrap_or(1),
        clients: clients(raw, at),
        tenants,
        arrival: arrival(raw.arrival.as_ref(), &at.key("arrival")),
        input: Arc::new(input?),
        submits: submits(raw.submits.as_ref(), &at.key("submits")),
        deadline,
        operation_id: raw
            .operation_id
            .as_deref()
            .and_then(|text| extractor(text, &at.key("operation_id"))),
        mode,
        suite_exit_0_all_succeeded: exit_0 == Some(RawExit0::AllSucceeded),
        queue: queue(raw, places, at),
        event,
    })
}

/// The queue by which operations reach the client.
fn queue(raw: &RawWorkload, places: &Places<'_>, at: &At<'_>) -> Option<Arc<str>> {
    let Some(ScalarOr::Map(deliver)) = &raw.deliver else { return None };
    check_delivered(raw, deliver, at);
    let here = at.key("deliver");
    if deliver.webhook.is_some() {
        return None;
    }
    let Some(name) = &deliver.queue else {
        here.error("nothing says how operations are delivered", |d| {
            d.cure("write `deliver: {queue: messages}`, or leave it out")
        });
        return None;
    };
    let apis = places.apis(None);
    let queues: Vec<&str> =
        apis.iter().filter_map(|api| api.queue.as_ref().map(|policy| &*policy.messages)).collect();
    let has_it = |api: &&Api| api.queue.as_ref().is_some_and(|one| *one.messages == **name);
    let Some(api) = apis.iter().map(|api| &**api).find(has_it) else {
        if !apis.is_empty() {
            let message = format!("no provider has a queue `{}`", super::shown(name));
            here.key("queue").error(message, |d| {
                d.allowed(name, queues).cure("use an API with a queue, such as `queue`")
            });
        }
        return None;
    };
    let makes = |route: &&str| {
        let creates = api.route_named(route).and_then(|route| route.creates.as_ref());
        creates.is_some_and(|creates| *creates.collection == **name)
    };
    if raw.call.as_deref().filter(makes).is_none() {
        let known: Vec<&str> =
            api.routes.iter().map(|route| &*route.name).filter(|route| makes(route)).collect();
        at.key("call").error(
            "an operation that is a message is sent by a route that sends messages",
            |d| {
                d.allowed(raw.call.as_deref().unwrap_or_default(), known)
                    .cure("name it with `call`")
            },
        );
    }
    if !matches!(raw.mode, None | Some(RawMode::Stdio)) {
        at.key("mode").error("a client that receives messages is one long-lived program", |d| {
            d.cure("leave `mode` out, or write `mode: stdio`")
        });
    }
    Some(Arc::from(name.as_str()))
}

/// Reports what an operation that is delivered cannot be: asked for twice by one caller, or told of as a tenant's.
fn check_delivered(raw: &RawWorkload, deliver: &RawDeliverMap, at: &At<'_>) {
    let times = match &raw.submits {
        None => 1,
        Some(ScalarOr::Scalar(times)) => *times,
        Some(ScalarOr::Map(map)) => map.times.unwrap_or(1),
    };
    if times > 1 {
        let message =
            "two submits are two messages or events, and nothing says that they are one operation";
        at.key("submits").error(message, |d| {
            d.key().cure(
                "leave `submits` out; faults of `message` and `webhook` deliver one operation twice",
            )
        });
    }
    if raw.tenants.is_some() && deliver.queue.is_some() && deliver.webhook.is_none() {
        at.key("tenants").error("a message does not say whose operation it is", |d| {
            d.key().cure("leave `tenants` or `deliver` out")
        });
    }
}

/// The event as which operations reach the client, and how the service is reached.
fn event(raw: &RawWorkload, places: &Places<'_>, at: &At<'_>) -> Option<(Arc<str>, Http)> {
    let Some(ScalarOr::Map(RawDeliverMap { webhook: Some(event), queue })) = &raw.deliver else {
        return None;
    };
    let here = at.key("deliver");
    if queue.is_some() {
        here.key("queue").error("`queue` and `webhook` contradict each other", |d| {
            d.key().cure("keep one of them")
        });
    }
    if raw.http.is_some() {
        at.key("http").error("a service that is told of events is not asked for operations", |d| {
            d.key().cure("leave `http` out; `deliver: {webhook: {ready}}` says how it gets ready")
        });
    }
    let here = here.key("webhook");
    let name = event.event.as_deref()?;
    let apis = places.apis(None);
    let told = apis.iter().filter_map(|api| Some((api, api.webhooks.as_ref()?)));
    let told: Vec<_> = told
        .flat_map(|(api, one)| one.events.iter().map(move |(route, kind)| (api, route, kind)))
        .collect();
    match told.iter().find(|(_, _, kind)| ***kind == *name) {
        Some((api, route, _))
            if api.route_named(route).is_some_and(|route| route.creates.is_none()) =>
        {
            here.key("event")
                .error(format!("`{name}` tells of a change, and not of something new"), |d| {
                    d.cure("name an event of a route that makes an object")
                });
        }
        Some(_) => {}
        None if apis.is_empty() => {}
        None => {
            let message = format!("no provider tells of `{}`", super::shown(name));
            let known: Vec<&str> = told.iter().map(|(_, _, kind)| &***kind).collect();
            here.key("event").error(message, |d| {
                d.allowed(name, known)
                    .cure("name an event under `webhooks: {events}` of the API file")
            });
        }
    }
    let http = super::http::told(event, &here)?;
    Some((Arc::from(name), http))
}

/// True when operations are events that a service is told of.
fn is_told(raw: &RawWorkload) -> bool {
    matches!(&raw.deliver, Some(ScalarOr::Map(RawDeliverMap { webhook: Some(_), .. })))
}

/// How the client is driven; a service is driven in one way alone.
fn mode(raw: &RawWorkload, at: &At<'_>) -> Option<Mode> {
    let is_service = raw.http.is_some() || is_told(raw) || at.key("http").is_wrong();
    let mode = match raw.mode {
        None if is_service => return Some(Mode::Http),
        None if matches!(raw.deliver, Some(ScalarOr::Map(_))) => return Some(Mode::Stdio),
        None => return None,
        Some(RawMode::Exec) => Mode::Exec,
        Some(RawMode::Stdio) => Mode::Stdio,
        Some(RawMode::Suite) => Mode::Suite,
        Some(RawMode::Http) => Mode::Http,
    };
    if is_service && mode != Mode::Http {
        at.key("mode").error("`http` says that the client is a service, which is driven in one way", |d| {
            d.cure("write `mode: http` or leave it out; else leave `http` out and name a route with `call`")
        });
    }
    if !is_service && mode == Mode::Http {
        at.key("mode").error("nothing says how the service is called", |d| {
            d.cure(
                "add `http: {request: {method: POST, path: /orders, json: {…}}}` to the workload",
            )
        });
    }
    Some(mode)
}

/// How many operations there are; tenants say how many each of them has.
fn operations(raw: &RawWorkload, of_tenants: Option<u64>, at: &At<'_>) -> u64 {
    let Some(all) = of_tenants else { return raw.operations.unwrap_or(OPERATIONS) };
    let said = raw.operations.unwrap_or(all);
    if said > all {
        at.key("operations")
            .error(format!("the tenants have only {all} operations together"), |d| {
                d.cure("leave `operations` out, or give the tenants more")
            });
    }
    said.min(all)
}

/// How many copies of the client there are.
fn clients(raw: &RawWorkload, at: &At<'_>) -> u32 {
    let clients = raw.clients.unwrap_or(1).max(1);
    let at_once = raw.concurrency.unwrap_or(1);
    let is_service = raw.http.is_some() || is_told(raw) || raw.mode == Some(RawMode::Http);
    if clients > 1 && (is_service || raw.mode == Some(RawMode::Suite)) {
        let message = "in this mode no operations are handed to copies of a client";
        at.key("clients")
            .error(message, |d| d.key().cure("leave `clients` out, or use `mode: stdio`"));
    } else if u64::from(clients) > at_once {
        let message =
            format!("of {clients} copies of the client only {at_once} can work at a time");
        at.key("clients").note(message, |d| d.key().cure(format!("set `concurrency: {clients}`")));
    }
    clients
}

/// The route that is called.
fn call(raw: &RawWorkload, places: &Places<'_>, at: &At<'_>) -> Option<Arc<str>> {
    let others: Vec<&str> = [("steps", raw.steps.is_some()), ("http", raw.http.is_some())]
        .into_iter()
        .filter_map(|(key, is_used)| is_used.then_some(key))
        .collect();
    let is_suite = raw.mode == Some(RawMode::Suite);
    if let (Some(_), Some(_)) = (&raw.steps, &raw.http) {
        at.key("steps").error("`steps` and `http` contradict each other", |d| {
            d.key().cure("keep exactly one of `call`, `steps` and `http`")
        });
    }
    let Some(call) = &raw.call else {
        if let Some(calls) = raw.http.as_ref().and_then(|http| http.calls.as_deref()) {
            check_route(calls, &places.apis(None), &at.key("http").key("calls"));
            return Some(Arc::from(calls));
        }
        let is_service = raw.mode == Some(RawMode::Http) || at.key("http").is_wrong();
        if others.is_empty() && !is_service && !is_suite && !at.key("call").is_wrong() {
            at.key("call").error("nothing says what each operation does", |d| {
                d.cure("add `call: ROUTE` with a route of the API, or `mode: suite`")
            });
        }
        return None;
    };
    for other in others {
        at.key("call").error(format!("`call` and `{other}` contradict each other"), |d| {
            d.key().cure("keep exactly one of `call`, `steps` and `http`")
        });
    }
    if is_suite {
        at.key("call").error("in suite mode the command decides what is called", |d| {
            d.key().cure(
                "leave `call` out, or leave `mode` out and say `--mode suite` where you want it",
            )
        });
    }
    check_route(call, &places.apis(None), &at.key("call"));
    Some(Arc::from(call.as_str()))
}

/// The steps of each operation.
fn steps(raw: &RawWorkload, places: &Places<'_>, at: &At<'_>) -> Vec<Step> {
    let Some(raw_steps) = &raw.steps else { return Vec::new() };
    let at = at.key("steps");
    if raw.mode == Some(RawMode::Suite) {
        at.error("in suite mode the command decides what is called", |d| {
            d.key().cure("leave `steps` out")
        });
    }
    if raw_steps.is_empty() {
        at.error("an operation without a step does nothing", |d| {
            d.cure("name at least one, such as `[{call: authorize}, {call: capture, uses: {id: /id}}]`")
        });
    }
    let mut steps = Vec::new();
    for (index, step) in raw_steps.iter().enumerate() {
        let at = at.index(index);
        let named = step.provider.as_deref();
        let named = named.map(|name| when::provider(name, places, &at.key("provider")));
        check_route(&step.call, &places.apis(named.as_deref()), &at.key("call"));
        let mut uses = BTreeMap::new();
        for (name, place) in step.uses.iter().flatten() {
            let at = at.key("uses").key(name);
            match place.as_str() {
                Some(pointer) if pointer.starts_with('/') && index > 0 => {
                    uses.insert(name.clone(), pointer.to_owned());
                }
                Some(pointer) if pointer.starts_with('/') => {
                    at.error("the first step has no answer before it to take from", |d| {
                        d.key().cure("take it from the input, or make it a later step")
                    });
                }
                _ => at.error("this is no place in an answer", |d| {
                    d.cure("write a JSON pointer such as `/id`")
                }),
            }
        }
        let found = || places.with_route(&step.call).map(|(name, _)| Arc::from(name));
        let provider = named.or_else(found).filter(|_| places.are_several());
        steps.push(Step { call: Arc::from(step.call.as_str()), provider, uses });
    }
    steps
}

/// Reports a route that none of the APIs has; true when one has it. Without any API nothing is known.
pub(super) fn check_route(route: &str, apis: &[&Api], at: &At<'_>) -> bool {
    let is_known = apis.iter().any(|api| api.route_named(route).is_some());
    if !is_known && !apis.is_empty() {
        let mut names: Vec<&str> = apis.iter().map(|api| &*api.name).collect();
        names.dedup();
        let route = super::shown(route);
        let message = match names[..] {
            [name] => format!("the API `{name}` has no route `{route}`"),
            _ => format!("no provider has a route `{route}`"),
        };
        let routes: BTreeSet<&str> =
            apis.iter().flat_map(|api| &api.routes).map(|route| &*route.name).collect();
        let one = apis.len() == 1;
        at.error(message, |d| {
            if one {
                d.allowed(&route, apis.iter().flat_map(|api| &api.routes).map(|route| &*route.name))
            } else {
                d.allowed(&route, routes)
            }
        });
    }
    is_known
}

/// The input: the scenario's own, or the route's.
fn input(raw: Option<&Map<String, Value>>, route: Option<&Route>, at: &At<'_>) -> Option<Tree> {
    let value = match (raw, route) {
        (Some(raw), _) => Value::Object(raw.clone()),
        (None, Some(route)) => route.input.source(),
        (None, None) => Value::Object(Map::new()),
    };
    let tree = Tree::resolve(&value, &INPUT_NAMES, at)?;
    let one = Value::from(1);
    let planted = Planted::of(Seed::default()).value();
    if let Err(error) = tree.render(&[("n", &one), ("submit", &one), (PLANTED, &planted)]) {
        at.error(error.to_string(), |d| {
            d.cure(
                "an input knows `{{ n }}`, the operation's number, `{{ submit }}`, `{{ planted.card }}` \
                 and `{{ planted.prompt }}`",
            )
        });
        return None;
    }
    Some(tree)
}

fn arrival(raw: Option<&RawArrival>, at: &At<'_>) -> Arrival {
    let map = match raw {
        None | Some(ScalarOr::Scalar(_)) => return Arrival::AtOnce,
        Some(ScalarOr::Map(map)) => map,
    };
    let message = match (map.every, map.rate, map.burst) {
        (Some(every), None, None) => return Arrival::Every(every.duration()),
        (None, Some(rate), None) => return Arrival::Every(Rate::interval(rate).duration()),
        (Some(every), None, Some(burst)) => return Arrival::Burst(burst, every.duration()),
        (None, None, Some(_)) => "a burst says how many, and not how often",
        (_, Some(_), _) => "`rate` stands alone: it already says how often",
        (None, None, None) => "nothing says when operations arrive",
    };
    if at.is_wrong() {
        return Arrival::AtOnce;
    }
    at.error(message, |d| {
        d.cure(
            "use exactly one of `at_once`, `{every: 50ms}`, `{rate: 50/s}`, `{burst: 10, every: 1s}`",
        )
    });
    Arrival::AtOnce
}

fn submits(raw: Option<&RawSubmits>, at: &At<'_>) -> Submits {
    let (times, apart, at) = match raw {
        None => (1, Duration::ZERO, at.clone()),
        Some(ScalarOr::Scalar(times)) => (*times, Duration::ZERO, at.clone()),
        Some(ScalarOr::Map(map)) => {
            let apart = map.apart.map_or(Duration::ZERO, Period::duration);
            (map.times.unwrap_or(1), apart, at.key("times"))
        }
    };
    if times == 0 || times > MAX_SUBMITS {
        at.error(format!("an operation cannot be submitted {times} times"), |d| {
            d.cure(format!("use 1 to {MAX_SUBMITS}"))
        });
    }
    Submits { times: times.clamp(1, MAX_SUBMITS), apart }
}

/// Where requests carry the operation.
fn extractor(text: &str, at: &At<'_>) -> Option<Extractor> {
    let found = match text.split_once(':') {
        None if text == "traceparent" => Some(Extractor::Traceparent),
        Some(("header", name)) if http::HeaderName::try_from(name).is_ok() => {
            Some(Extractor::Header(name.to_ascii_lowercase()))
        }
        Some(("json", pointer)) if Pointer::new(pointer).is_some() => {
            Some(Extractor::Json(pointer.to_owned()))
        }
        Some(("form", field)) if !field.is_empty() => Some(Extractor::Form(field.to_owned())),
        Some(("query", name)) if !name.is_empty() => Some(Extractor::Query(name.to_owned())),
        _ => None,
    };
    if found.is_none() {
        let forms = ["header:NAME", "json:/POINTER", "form:FIELD", "query:NAME", "traceparent"];
        at.error(format!("`{}` names no place in a request", super::shown(text)), |d| {
            d.allowed(text, forms)
        });
    }
    found
}
