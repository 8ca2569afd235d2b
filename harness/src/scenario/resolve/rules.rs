//! The rules of a fault plan, written as rules or as a script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, Diagnostics, Named, OneOrMany};
use brownout_provider::fault::{Action, Door, Fault, Group, LimitFault, registry};
use brownout_provider::rule::{Rule, Selector, When};
use brownout_provider::seed::Seed;

use super::entry::{Registry, known};
use super::when::{self, Context, Places};
use super::workload::check_route;
use crate::scenario::later;
use crate::scenario::raw::{RawOperation, RawRule, RawScenario, RawScriptEntry};

/// A rule, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) rule: Rule,
    /// `faults` or `script`.
    key: &'static str,
    index: usize,
}

impl Placed {
    pub(super) fn at<'a>(&self, root: &At<'a>) -> At<'a> {
        root.key(self.key).index(self.index)
    }
}

/// The rules that can be read, and whether these are all.
pub(super) fn resolve(
    raw: &RawScenario,
    context: &Context<'_>,
    root: &At<'_>,
) -> (Vec<Placed>, bool) {
    if raw.faults.is_some() && raw.script.is_some() {
        root.key("script").error("`faults` and `script` contradict each other", |d| {
            d.key().cure("keep one: a script says exactly what strikes, rules may draw")
        });
    }
    let mut placed = Vec::new();
    let mut names = BTreeMap::new();
    for (index, rule) in raw.faults.iter().flatten().enumerate() {
        let at = root.key("faults").index(index);
        let rule = rule.as_ref().and_then(|rule| one_rule(rule, context, &at));
        let Some(rule) = rule else { continue };
        if let Some(first) = names.insert(Arc::clone(&rule.name), index) {
            let message = format!("the name `{}` is taken by rule {}", rule.name, first + 1);
            at.key("name").error(message, |d| {
                d.cure("give each rule a name of its own; it draws by its name")
            });
        }
        placed.push(Placed { rule, key: "faults", index });
    }
    for (index, entry) in raw.script.iter().flatten().enumerate() {
        let at = root.key("script").index(index);
        let rule = entry.as_ref().and_then(|entry| one_entry(entry, index, context, &at));
        placed.extend(rule.map(|rule| Placed { rule, key: "script", index }));
    }
    let written = raw.faults.as_ref().map_or(0, Vec::len) + raw.script.as_ref().map_or(0, Vec::len);
    let is_whole = placed.len() == written;
    (placed, is_whole)
}

fn one_rule(raw: &RawRule, context: &Context<'_>, at: &At<'_>) -> Option<Rule> {
    let name = raw.name.as_deref();
    if let Some(name) = name {
        super::check_name(name, "rule", &at.key("name"));
    }
    let when = raw
        .when
        .as_ref()
        .map_or_else(When::default, |when| when::resolve(when, context, &at.key("when")));
    let faults = inject(raw.inject.as_ref(), strikes_at(&when), context, &at.key("inject"))?;
    if faults.iter().any(|fault| fault.door().is_some()) {
        at_the_door(&faults, &when, context, at);
    }
    let bans = |fault: &Arc<dyn Fault>| {
        matches!(fault.looked_at(Seed::default()), Action::Limit(LimitFault::Ban { .. }))
    };
    if when != time_alone(&when) && faults.iter().any(bans) {
        at.key("when").note(
            "`ban` counts the refusals of these requests alone, and bans no others",
            |d| {
                d.key().cure(
                    "say `provider` and `during` alone, to ban whoever is refused from everything",
                )
            },
        );
    }
    Some(Rule { name: Arc::from(name?), when, faults })
}

/// The conditions that tell no request from another.
fn time_alone(when: &When) -> When {
    When { provider: when.provider.clone(), during_us: when.during_us, ..When::default() }
}

/// Reports what makes no sense of a rule that strikes before any request is known.
fn at_the_door(faults: &[Arc<dyn Fault>], when: &When, context: &Context<'_>, at: &At<'_>) {
    // What knows time alone reports a route by itself.
    let known = When { route: when.route.clone(), ..time_alone(when) };
    let name = faults.iter().find(|fault| fault.door().is_some()).map_or("", |it| it.kind().name);
    if *when != known {
        at.key("when").error(format!("`{name}` strikes before any request is known"), |d| {
            d.key().cure("say `provider` and `during` alone")
        });
    }
    if faults.len() > 1 {
        at.key("inject").error(format!("`{name}` strikes alone"), |d| {
            d.key().cure("give what strikes requests a rule of its own")
        });
    }
    let greets = faults.iter().any(|fault| matches!(fault.door(), Some(Door::Greets(_))));
    if greets && !context.places.has_tls(when.provider.as_deref()) {
        at.key("inject").error(format!("there is no handshake for `{name}`"), |d| {
            d.key().cure("let the provider answer over TLS: `provider: {tls: true}`")
        });
    }
    let is_shut = faults.iter().any(|fault| fault.door() == Some(Door::Closed));
    if is_shut && when.during_us.is_none() {
        at.error("nobody would ever listen", |d| {
            d.cure(
                "say for how long: `when: {during: {from: 1s, to: 3s}}`, since the first request",
            )
        });
    }
}

fn one_entry(
    raw: &RawScriptEntry,
    index: usize,
    context: &Context<'_>,
    at: &At<'_>,
) -> Option<Rule> {
    let route = raw.route.as_deref();
    let apis = context.places.apis(raw.provider.as_deref());
    if let Some(route) = route {
        check_route(route, &apis, &at.key("route"));
    }
    let provider = raw
        .provider
        .as_deref()
        .map(|name| when::provider(name, context.places, &at.key("provider")));
    let operation =
        raw.operation.as_ref().and_then(|one| operation(one, context, &at.key("operation")));
    let submit = raw.submit.unwrap_or(1);
    when::check_number(submit, context.submits(), &at.key("submit"));
    let struck = Struck { provider: raw.provider.as_deref(), route };
    let faults = inject(raw.inject.as_ref(), struck, context, &at.key("inject"));
    Some(Rule {
        name: format!("script-{}", index + 1).into(),
        when: When {
            route: Some(Arc::from(route?)),
            provider,
            operation: Selector::List(vec![operation?]),
            submit: Selector::List(vec![submit]),
            attempt: Selector::List(vec![raw.attempt?]),
            ..When::default()
        },
        faults: faults?,
    })
}

/// The number of the operation that an entry of a script names.
fn operation(raw: &RawOperation, context: &Context<'_>, at: &At<'_>) -> Option<u64> {
    let number = match raw {
        RawOperation::Number(number) => Some(*number),
        RawOperation::Name(name) => name.strip_prefix("op-").and_then(|digits| digits.parse().ok()),
    };
    let Some(number) = number.filter(|number| *number > 0) else {
        at.error("this names no operation", |d| {
            d.cure("use its number, or a name such as `op-0003`")
        });
        return None;
    };
    when::check_number(number, context.operations(), at);
    Some(number)
}

/// What a rule is about; all of it where nothing is named.
#[derive(Clone, Copy)]
struct Struck<'a> {
    provider: Option<&'a str>,
    route: Option<&'a str>,
}

fn strikes_at(when: &When) -> Struck<'_> {
    Struck { provider: when.provider.as_deref(), route: when.route.as_deref() }
}

impl Struck<'_> {
    /// Reports what is wrong with a fault wherever it may strike, once.
    fn check(self, fault: &dyn Fault, places: &Places<'_>, at: &At<'_>) {
        let mut told = BTreeSet::new();
        for api in places.apis(self.provider) {
            if self.route.is_some_and(|route| api.route_named(route).is_none()) {
                continue;
            }
            let problems = Diagnostics::new();
            fault.check(api, self.route, &problems.root());
            for problem in problems.into_vec() {
                if told.insert((problem.path.clone(), problem.message.clone())) {
                    at.adopt(problem);
                }
            }
        }
    }
}

/// Reports a fault that the versions of HTTP do not know that its providers speak.
fn over_http2(fault: &dyn Fault, struck: Struck<'_>, places: &Places<'_>, at: &At<'_>) {
    let (name, spoken) = (fault.kind().name, places.has_http2(struck.provider));
    if fault.http2_only() && !spoken {
        at.error(format!("this `{name}` strikes over HTTP/2 alone"), |d| {
            d.cure("let the provider speak it: `provider: {http2: true}`")
        });
    }
    if let Some(why) = fault.not_over_http2().filter(|_| spoken) {
        let (why, instead) = why.split_once("; ").unwrap_or((why, "leave it out"));
        at.error(format!("there is no `{name}` over HTTP/2: {why}"), |d| d.cure(instead));
    }
}

/// The faults that strike together; `None` where one of them is wrong.
fn inject(
    raw: Option<&OneOrMany<Named>>,
    struck: Struck<'_>,
    context: &Context<'_>,
    at: &At<'_>,
) -> Option<Vec<Arc<dyn Fault>>> {
    let raw = raw?;
    let names: Vec<&'static str> = registry::FAULTS.iter().map(|kind| kind.name).collect();
    let known_faults = Registry { noun: "fault", names: &names, later: later::fault };
    let mut faults: Vec<Arc<dyn Fault>> = Vec::new();
    let mut is_whole = !matches!(raw, OneOrMany::Many(many) if many.contains(&None));
    let mut ending: Option<&'static str> = None;
    for (index, entry) in raw.iter() {
        let at = index.map_or_else(|| at.clone(), |index| at.index(index));
        let fault = known(entry, &known_faults, &at).and_then(|(name, parameters, at)| {
            let kind = registry::find(name)?;
            Some(((kind.parse)(parameters, &at)?, at))
        });
        let Some((fault, at_fault)) = fault else {
            is_whole = false;
            continue;
        };
        let name = fault.kind().name;
        if fault.kind().group == Group::Ending
            && let Some(first) = ending.replace(name)
        {
            at.error(format!("`{first}` and `{name}` both end the request"), |d| {
                d.cure("keep one of them here, and give the other a rule of its own")
            });
        }
        struck.check(&*fault, context.places, &at_fault);
        over_http2(&*fault, struck, context.places, &at_fault);
        faults.push(fault);
    }
    (is_whole && !faults.is_empty()).then_some(faults)
}
