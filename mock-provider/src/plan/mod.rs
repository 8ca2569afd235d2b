//! The fault plan: all rules and the seed, and the decision which of them strike.
//!
//! Knows nothing about what a fault does, only which group it belongs to.
//! **Invariant:** apart from `max_times`, `during` and what the request carries, a decision is a pure
//! function of seed, rule name and coordinates; the other rules of a plan and the order of arrival
//! change nothing about what a rule draws.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;

use crate::api::{FieldName, Pointer, Route};
use crate::coordinates::Coordinates;
use crate::exchange::End;
use crate::fault::{Action, Door, Ending, Fault, FaultKind, Group, OrderFault, Point};
use crate::rule::{Rule, Selector};
use crate::seed::{Draw, RuleKey, Seed};
use crate::units::in_words_exactly;

/// All rules and the seed, with the counts of a run.
#[derive(Debug)]
pub struct FaultPlan {
    rules: Vec<Armed>,
    /// Per route that some rule names, which rules can match there, in file order.
    by_route: BTreeMap<Arc<str>, Vec<usize>>,
    /// Which rules can match on every other route.
    elsewhere: Vec<usize>,
}

/// A rule with what it needs at every request worked out once.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    key: RuleKey,
    scheduled: bool,
    /// The name of each fault, and how many of that name stand before it in the list: what its
    /// stream of random numbers is named by.
    faults: Vec<(Arc<str>, u32)>,
    /// The headers that it asks for; `None` for a name that no header can have.
    headers: Vec<(Option<HeaderName>, String)>,
    /// The fields of a body that it asks for.
    fields: Vec<(FieldName, Value)>,
    struck: Arc<AtomicU64>,
}

/// How often each rule struck, for all plans of a run that count together; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<Arc<str>, Arc<AtomicU64>>>>);

impl Counts {
    fn of(&self, rule: &Arc<str>) -> Arc<AtomicU64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(Arc::clone(rule)).or_default())
    }
}

/// What a decision is taken on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The coordinates.
    pub at: Coordinates<'a>,
    /// The route, for faults that do not take all; `None` where that is not asked.
    pub route: Option<&'a Route>,
    /// The operation's number, from 1; `None` for one that no workload submitted.
    pub operation_number: Option<u64>,
    /// Where the number comes from.
    pub numbered: Numbered,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body as a JSON value (form fields as an object of strings); `None` when unread or neither.
    pub body: Option<&'a Value>,
    /// Microseconds since the first request of the run.
    pub since_first_us: u64,
    /// True when its connection has carried a request before.
    pub reused: bool,
    /// True when the request is answered in a stream.
    pub streamed: bool,
    /// True when it came over HTTP/2.
    pub http2: bool,
}

/// What may meet a fault: each meets only those that can do something to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Whatever there is: for looking ahead.
    All,
    /// A request.
    Request,
    /// A message of a queue that is about to be handed out.
    Message,
    /// An event that is about to be told of, without a request.
    Event,
}

impl Met {
    /// True when such an action does something to it.
    const fn meets(self, action: &Action) -> bool {
        match self {
            Self::All => true,
            Self::Request => !matches!(action, Action::Message(_)),
            Self::Message => matches!(action, Action::Message(_)),
            Self::Event => matches!(action, Action::Webhook(_)),
        }
    }
}

/// A rule that strikes at the door of a provider, where time alone is known.
#[derive(Clone, Debug)]
pub struct DoorRule {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The fault.
    pub fault: &'static FaultKind,
    /// The fault's parameters in a few words.
    pub detail: String,
    /// What it does.
    pub door: Door,
    /// When: microseconds since the first request, from (inclusive), to (exclusive).
    pub during_us: (u64, u64),
}

/// Where the number of an operation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// The workload submitted it under this number.
    BySubmit,
    /// Nobody submits operations here: it is the place in the order of first arrival. What a number of
    /// this kind decides stands outside the drawn schedule.
    ByArrival,
}

/// Which rules strike at a situation.
#[derive(Debug, Default)]
pub struct Decision {
    /// The drawn schedule here: `[rule, fault]` for every rule that depends on coordinates alone and
    /// whose conditions and draw came true, also where another rule took the ending.
    pub drawn: Vec<(Arc<str>, Arc<str>)>,
    /// What strikes, in file order.
    pub strikes: Vec<Strike>,
}

/// The rules that struck a request of which only the head is there.
#[derive(Debug)]
pub struct Reserved(Vec<usize>);

/// One fault of one rule strikes.
#[derive(Debug)]
pub struct Strike {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The fault.
    pub fault: &'static FaultKind,
    /// The fault's parameters in a few words.
    pub detail: String,
    /// True when it stands in the drawn schedule.
    pub scheduled: bool,
    /// What it does.
    pub action: Action,
}

impl FaultPlan {
    /// A plan of these rules under this seed.
    #[must_use]
    pub fn new(rules: Vec<Rule>, seed: Seed) -> Self {
        Self::counting(rules, seed, &Counts::default())
    }

    /// As [`FaultPlan::new`], for one of several providers: what a rule may do so many times in a run is
    /// counted over all of them.
    #[must_use]
    pub fn counting(rules: Vec<Rule>, seed: Seed, counts: &Counts) -> Self {
        let rules: Vec<Armed> = rules
            .into_iter()
            // A chance of 0 is no rule at all, so that it costs and changes nothing.
            .filter(|rule| rule.when.chance_ppm != Some(0))
            .map(|rule| Armed::new(rule, seed, counts))
            .collect();
        let can_match = |route: Option<&str>| -> Vec<usize> {
            let takes = |armed: &Armed| {
                armed.rule.when.route.as_deref().is_none_or(|wanted| Some(wanted) == route)
            };
            (0..rules.len()).filter(|index| takes(&rules[*index])).collect()
        };
        let by_route = rules
            .iter()
            .filter_map(|armed| armed.rule.when.route.clone())
            .map(|route| (Arc::clone(&route), can_match(Some(&route))))
            .collect();
        let elsewhere = can_match(None);
        Self { rules, by_route, elsewhere }
    }

    /// True when some rule looks at the number of an operation.
    #[must_use]
    pub fn asks_for_numbers(&self) -> bool {
        self.rules.iter().any(|armed| armed.rule.when.operation != Selector::Any)
    }

    /// True when some rule has an ending at `accept`, so that heads must be looked at before bodies.
    #[must_use]
    pub fn strikes_at_accept(&self) -> bool {
        self.rules
            .iter()
            .flat_map(|armed| &armed.rule.faults)
            .any(|fault| fault.point() == Some(Point::Accept))
    }

    /// True when some rule has the provider read a body slowly, so that heads must be looked at before
    /// bodies.
    #[must_use]
    pub fn reads_slowly(&self) -> bool {
        self.actions().any(|action| matches!(action, Action::Order(OrderFault::Read { .. })))
    }

    /// True when some rule strikes messages of a queue.
    #[must_use]
    pub fn strikes_messages(&self) -> bool {
        self.actions().any(|action| matches!(action, Action::Message(_)))
    }

    /// True when some rule has reads show what was there before, or work seen late.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        let looks = |fault| matches!(fault, OrderFault::Stale { .. } | OrderFault::Slow { .. });
        self.actions().any(|action| matches!(action, Action::Order(fault) if looks(fault)))
    }

    /// What each fault of the plan does, looked at without a request.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let faults = self.rules.iter().flat_map(|armed| &armed.rule.faults);
        faults.map(|fault| fault.action())
    }

    /// What strikes at the door of this provider, in file order.
    #[must_use]
    pub fn doors(&self, provider: &str) -> Vec<DoorRule> {
        let here = |armed: &&Armed| {
            armed.rule.when.provider.as_deref().is_none_or(|wanted| wanted == provider)
        };
        let rules = self.rules.iter().filter(here);
        rules
            .flat_map(|armed| armed.rule.faults.iter().map(move |fault| (armed, fault)))
            .filter_map(|(armed, fault)| {
                Some(DoorRule {
                    rule: Arc::clone(&armed.rule.name),
                    fault: fault.kind(),
                    detail: fault.detail(),
                    door: fault.door()?,
                    during_us: armed.rule.when.during_us.unwrap_or((0, u64::MAX)),
                })
            })
            .collect()
    }

    /// True when [`FaultPlan::decide`] would end this request at `accept`; counts nothing. Asked when
    /// only the head has been read, where a rule that looks at the body cannot match.
    #[must_use]
    pub fn ends_at_accept(&self, situation: &Situation<'_>) -> bool {
        self.weigh(situation, Met::Request)
            .0
            .strikes
            .iter()
            .any(|strike| matches!(strike.action, Action::End { at: Point::Accept, .. }))
    }

    /// How many bytes a second of this request's body are to be read, where that is slowed down. Asked when
    /// only the head has been read; the strikes of the rules are then counted, and to be given back when
    /// the whole request is decided upon.
    pub fn slows_upload(&self, situation: &Situation<'_>) -> Option<(u64, Reserved)> {
        let (decision, struck) = self.weigh(situation, Met::Request);
        let rates = decision.strikes.iter().filter_map(|strike| {
            let Action::Order(OrderFault::Read { per_second }) = strike.action else { return None };
            Some(per_second)
        });
        let slowest = rates.min()?;
        self.count(&struck);
        Some((slowest, Reserved(struck)))
    }

    /// The rule did not strike in the end.
    pub fn did_not_strike(&self, rule: &str) {
        for armed in self.rules.iter().filter(|armed| *armed.rule.name == *rule) {
            let less = |count: u64| Some(count.saturating_sub(1));
            let _ = armed.struck.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Strikes that were counted are to be decided upon again.
    pub fn give_back(&self, Reserved(struck): Reserved) {
        for index in struck {
            self.rules[index].struck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn count(&self, struck: &[usize]) {
        for index in struck {
            self.rules[*index].struck.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Decides, and counts the strikes of rules with `max_times`.
    pub fn decide(&mut self, situation: &Situation<'_>) -> Decision {
        self.decide_for(Met::All, situation)
    }

    /// As [`FaultPlan::decide`], of what can do something to this alone; nothing else strikes or is counted.
    pub fn decide_for(&mut self, met: Met, situation: &Situation<'_>) -> Decision {
        let (decision, struck) = self.weigh(situation, met);
        self.count(&struck);
        decision
    }

    /// The decision, and the rules of which at least one fault strikes.
    fn weigh(&self, situation: &Situation<'_>, met: Met) -> (Decision, Vec<usize>) {
        let mut decision = Decision::default();
        let mut struck = Vec::new();
        let mut taken = Taken::default();
        for &index in self.by_route.get(situation.at.route).unwrap_or(&self.elsewhere) {
            let armed = &self.rules[index];
            let Some(draw) = armed.comes_true(situation) else { continue };
            let before = decision.strikes.len();
            armed.strike(&draw, (situation, met), &mut taken, &mut decision);
            if decision.strikes.len() > before {
                struck.push(index);
            }
        }
        (decision, struck)
    }
}

/// Which of the groups that only the first may take are taken.
#[derive(Debug, Default)]
struct Taken {
    client: bool,
    ending: bool,
}

impl Taken {
    /// True when a fault of this group can still strike.
    const fn admits(&self, group: Group) -> bool {
        match group {
            Group::Delay | Group::Provider => true,
            Group::Client => !self.client,
            Group::Ending => !self.ending,
        }
    }

    /// A fault of this group strikes.
    const fn take(&mut self, group: Group) {
        match group {
            Group::Delay | Group::Provider => {}
            Group::Client => self.client = true,
            Group::Ending => self.ending = true,
        }
    }
}

impl Armed {
    fn new(rule: Rule, seed: Seed, counts: &Counts) -> Self {
        let names: Vec<&'static str> = rule.faults.iter().map(|fault| fault.kind().name).collect();
        let faults = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let earlier = names[..index].iter().filter(|other| *other == name).count();
                (Arc::from(*name), u32::try_from(earlier).unwrap_or(u32::MAX))
            })
            .collect();
        Self {
            key: RuleKey::new(seed, &rule.name),
            scheduled: rule.when.is_scheduled(),
            faults,
            headers: (rule.when.headers.iter())
                .map(|(name, value)| (HeaderName::try_from(name).ok(), value.clone()))
                .collect(),
            fields: (rule.when.body.iter())
                .map(|(field, value)| (in_body(field), value.clone()))
                .collect(),
            struck: counts.of(&rule.name),
            rule,
        }
    }

    /// The draw of this rule here, if all its conditions hold and its chance came true.
    fn comes_true(&self, situation: &Situation<'_>) -> Option<Draw> {
        let when = &self.rule.when;
        if !self.holds(situation)
            || when.max_times.is_some_and(|most| self.struck.load(Ordering::Relaxed) >= most)
        {
            return None;
        }
        let mut draw = self.key.draw(&situation.at);
        when.chance_ppm.is_none_or(|chance| draw.happens(chance)).then_some(draw)
    }

    /// True when all conditions but the counted and the drawn one hold; the cheapest are asked first.
    fn holds(&self, situation: &Situation<'_>) -> bool {
        let when = &self.rule.when;
        let is = |wanted: &Option<Arc<str>>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        when.attempt.takes(u64::from(situation.at.attempt))
            && when.submit.takes(u64::from(situation.at.submit))
            && match situation.operation_number {
                Some(number) => when.operation.takes(number),
                None => when.operation == Selector::Any,
            }
            && is(&when.route, Some(situation.at.route))
            && is(&when.provider, Some(situation.at.provider))
            && is(&when.tenant, situation.tenant)
            && when.method.as_deref().is_none_or(|wanted| wanted == situation.method.as_str())
            && when
                .during_us
                .is_none_or(|(from, to)| (from..to).contains(&situation.since_first_us))
            && self.headers.iter().all(|(name, wanted)| {
                let mut values = name.iter().flat_map(|name| situation.headers.get_all(name));
                values.any(|value| value.as_bytes() == wanted.as_bytes())
            })
            && self.fields.iter().all(|(field, wanted)| {
                let found = situation.body.and_then(|body| field.find(body));
                found.is_some_and(|found| same(wanted, found))
            })
    }

    /// Adds what this rule drew and what of it strikes.
    fn strike(
        &self,
        draw: &Draw,
        (situation, met): (&Situation<'_>, Met),
        taken: &mut Taken,
        decision: &mut Decision,
    ) {
        let by_arrival =
            situation.numbered == Numbered::ByArrival && self.rule.when.operation != Selector::Any;
        let by_coordinates = self.scheduled && !by_arrival;
        for (fault, (name, nth)) in self.rule.faults.iter().zip(&self.faults) {
            let is_taken = situation.route.is_none_or(|route| fault.takes(route));
            if !is_taken
                || (fault.streams_only() && !situation.streamed)
                || (fault.http2_only() && !situation.http2)
            {
                continue;
            }
            let (kind, door) = (fault.kind(), fault.door());
            let scheduled = by_coordinates && door.is_none();
            if scheduled {
                decision.drawn.push((Arc::clone(&self.rule.name), Arc::clone(name)));
            }
            if !taken.admits(kind.group) {
                continue;
            }
            let action = match door {
                Some(door) => met_inside(door),
                None => Some(fault.strike_at(&mut draw.fork(name, *nth), situation.since_first_us)),
            };
            let Some(action) = action.filter(|action| met.meets(action)) else { continue };
            let is_idle = matches!(action, Action::End { ending: Ending::CloseIdle, .. });
            if is_idle && !situation.reused {
                continue;
            }
            taken.take(kind.group);
            decision.strikes.push(Strike {
                rule: Arc::clone(&self.rule.name),
                fault: kind,
                detail: detail(&**fault, &action),
                scheduled,
                action,
            });
        }
    }
}

/// What a request meets that came through the door before it was closed.
fn met_inside(door: Door) -> Option<Action> {
    match door {
        Door::Closed => {
            let ending = Ending::Cut { after_bytes: None, then: End::Rst, connection: true };
            Some(Action::End { at: Point::Accept, ending })
        }
        Door::Greets(_) => None,
    }
}

/// What struck, in a few words: a drawn delay, else the fault's own parameters.
fn detail(fault: &dyn Fault, action: &Action) -> String {
    let Action::Delay { micros, .. } = action else { return fault.detail() };
    format!("+{}", in_words_exactly(*micros))
}

/// Where a field of a body stands: a JSON pointer, or the name of a form field (or top-level field).
fn in_body(field: &str) -> FieldName {
    Pointer::new(field).map_or_else(|| FieldName::new(field), FieldName::from)
}

/// Equal, where a form knows texts only: `amount: 1999` takes the field `amount=1999`.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(number), Value::String(text)) => number.to_string() == *text,
        (Value::Bool(truth), Value::String(text)) => truth.to_string() == *text,
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests;
