//! The provider's limit on requests: who shares it, what it says, and what faults make of it.
//!
//! **Invariant:** a request takes from the limit and from the quota, or from neither.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Provider;
use super::open::{Open, Own};
use super::struck::{Mark, Struck};
use crate::api::{Cost, LimitScope, LimitState, RateLimitPolicy, Standard, Told, Which};
use crate::event::{EventKind, RateLimited};
use crate::exchange::{End, Next};
use crate::fault::{Ending, Lie, LimitFault, Substitute};
use crate::hint::HintSpec;
use crate::rate_limit::{Admission, Limiter, Rate, registry};

/// How many requests of a neighbour are made up for at once; of more, the latest.
const MOST_OF_A_NEIGHBOUR: u64 = 100_000;

/// The limiters of a provider, and who has been refused how often.
#[derive(Debug)]
pub(super) struct Limits {
    limit: Limiter,
    quota: Option<Limiter>,
    scope: LimitScope,
    cost: Cost,
    /// By rule, which of its bans it is, and who has been refused.
    bans: BTreeMap<(Arc<str>, usize, Arc<str>), Refusals>,
    /// The next request of a neighbour, by whose limit it shares.
    neighbours: BTreeMap<Arc<str>, u64>,
}

/// The refusals of one client.
#[derive(Debug, Default)]
struct Refusals {
    at_us: VecDeque<u64>,
    banned_until_us: u64,
}

/// What becomes of a request at the limiter.
pub(super) enum Limited {
    /// It goes on.
    Passes,
    /// It goes on at this time.
    Held(u64),
    /// It is refused with this answer.
    Refused(Box<Own>),
}

/// What the limiters say of one request.
struct Said {
    /// What the limiter says that decides.
    deciding: Admission,
    told: Vec<Told>,
}

impl Limits {
    pub(super) fn new(policy: &RateLimitPolicy) -> Self {
        let quota = policy.quota.zip(registry::find("fixed_window"));
        Self {
            limit: Limiter::new(policy.algorithm, policy.rate),
            quota: quota.map(|(rate, algorithm)| Limiter::new(algorithm, rate)),
            scope: policy.scope,
            cost: policy.cost.clone(),
            bans: BTreeMap::new(),
            neighbours: BTreeMap::new(),
        }
    }

    /// Whose limit a request counts against.
    fn who(&self, open: &Open) -> Arc<str> {
        match self.scope {
            LimitScope::ApiKey => Arc::clone(&open.account),
            LimitScope::Ip => {
                open.peer.map_or_else(|| "".into(), |peer| Arc::from(peer.to_string()))
            }
            LimitScope::Global => "".into(),
            LimitScope::Route => {
                open.place.as_ref().map(|place| Arc::clone(&place.route.name)).unwrap_or_default()
            }
        }
    }

    /// Who is banned: one address where addresses are limited, else one account.
    fn banned(&self, open: &Open) -> Arc<str> {
        match self.scope {
            LimitScope::Ip => self.who(open),
            LimitScope::ApiKey | LimitScope::Global | LimitScope::Route => {
                Arc::clone(&open.account)
            }
        }
    }

    /// Lets a request through at this rate, or does not; both limiters agree before either is taken from.
    fn admit(&mut self, rate: Rate, who: &Arc<str>, (cost, now_us): (u64, u64)) -> Said {
        let window_us = if self.limit.algorithm().has_period { rate.per_us } else { 0 };
        let Some(quota) = &mut self.quota else {
            let limited = self.limit.admit_at(rate, who, (cost, now_us));
            return Said { deciding: limited, told: vec![told(limited, window_us)] };
        };
        let mut limited = self.limit.look(rate, who, (cost, now_us));
        let own = quota.rate();
        let mut counted = quota.look(own, who, (cost, now_us));
        if limited.admitted && counted.admitted {
            limited = self.limit.admit_at(rate, who, (cost, now_us));
            counted = quota.admit(who, cost, now_us);
        }
        let told = vec![told(limited, window_us), told(counted, own.per_us)];
        let decides = match (limited.admitted, counted.admitted) {
            (true, true) | (false, true) => limited,
            (true, false) => counted,
            (false, false) if limited.retry_after_us >= counted.retry_after_us => limited,
            (false, false) => counted,
        };
        Said { deciding: decides, told }
    }

    /// Takes what a neighbour has taken since it was last looked at. True when there is one.
    fn catch_up(
        &mut self,
        struck: &Struck,
        who: &Arc<str>,
        (first_us, now_us): (u64, u64),
    ) -> bool {
        let neighbour = struck.limit(|fault| {
            if let LimitFault::Neighbour { every_us } = fault { Some(*every_us) } else { None }
        });
        let Some((_, every_us)) = neighbour else { return false };
        let due = self.neighbours.entry(Arc::clone(who)).or_insert(first_us);
        let missed = now_us.saturating_sub(*due) / every_us;
        let skipped = missed.saturating_sub(MOST_OF_A_NEIGHBOUR);
        *due = due.saturating_add(skipped.saturating_mul(every_us));
        while *due <= now_us {
            let passed = self.limit.admit(who, 1, *due).admitted;
            if let Some(quota) = self.quota.as_mut().filter(|_| passed) {
                quota.admit(who, 1, *due);
            }
            *due = due.saturating_add(every_us);
        }
        true
    }

    /// A request that was let through is over.
    pub(super) fn ended(&mut self, who: &str) {
        self.limit.ended(who);
    }

    /// Counts a refusal, and bans who has had too many.
    fn refused(&mut self, who: &Arc<str>, struck: &Struck, now_us: u64) {
        for (nth, mark, fault) in numbered(struck) {
            let LimitFault::Ban { after, within_us, for_us, .. } = fault else { continue };
            let by_whom = (Arc::clone(&mark.rule), nth, Arc::clone(who));
            let refusals = self.bans.entry(by_whom).or_default();
            refusals.at_us.push_back(now_us);
            while refusals
                .at_us
                .front()
                .is_some_and(|at_us| now_us.saturating_sub(*at_us) > *within_us)
            {
                refusals.at_us.pop_front();
            }
            if refusals.at_us.len() >= *after {
                refusals.at_us.clear();
                refusals.banned_until_us = now_us.saturating_add(*for_us);
            }
        }
    }

    /// The ban of this request that lasts, and whether it resets connections.
    fn ban(&self, open: &Open) -> Option<(Mark, bool)> {
        let who = self.banned(open);
        numbered(&open.struck).find_map(|(nth, mark, fault)| {
            let LimitFault::Ban { resets, .. } = fault else { return None };
            let refusals = self.bans.get(&(Arc::clone(&mark.rule), nth, Arc::clone(&who)))?;
            (open.now_us < refusals.banned_until_us).then(|| (mark.clone(), *resets))
        })
    }
}

/// What strikes the limit, each with its place among the faults of its rule.
fn numbered(struck: &Struck) -> impl Iterator<Item = (usize, &Mark, &LimitFault)> {
    let limits = &struck.limits;
    limits.iter().enumerate().map(|(at, (mark, fault))| {
        let before = limits[..at].iter().filter(|(other, _)| other.rule == mark.rule);
        (before.count(), mark, fault)
    })
}

fn told(admission: Admission, window_us: u64) -> Told {
    let Admission { limit, remaining, reset_us, .. } = admission;
    Told { limit, remaining, reset_us, window_us }
}

impl Provider {
    /// Turns the banned away.
    pub(super) fn turn_away(&mut self, open: &mut Open) -> Option<Next> {
        if open.struck.limits.is_empty() {
            return None;
        }
        let (mark, resets) = self.limits.as_ref()?.ban(open)?;
        self.emit_strike(open, &mark);
        let ending = if resets {
            Ending::Cut { after_bytes: None, then: End::Rst, connection: false }
        } else {
            Ending::Answer(Substitute { status: Some(403), ..Substitute::default() })
        };
        Some(self.end(open, &mark, ending, None))
    }

    /// What the provider's own limit makes of a request.
    pub(super) fn limit(&mut self, open: &mut Open) -> Limited {
        let first_us = self.common.first_us().unwrap_or(open.now_us);
        let tightened = self.tightened(open, first_us);
        let Some(limits) = self.limits.as_mut() else { return Limited::Passes };
        let (who, cost) = (limits.who(open), limits.cost.of(&open.call));
        let has_neighbour = limits.catch_up(&open.struck, &who, (first_us, open.now_us));
        let own = limits.limit.rate();
        let rate = tightened.as_ref().map_or(own, |(_, rate, _)| *rate);
        let mut said = limits.admit(rate, &who, (cost, open.now_us));
        if let Some((_, _, false)) = &tightened
            && let Some(first) = said.told.first_mut()
        {
            // The new limit is kept quiet: what is told is what the old one would say.
            let quiet = limits.limit.look(own, &who, (1, open.now_us));
            *first = told(quiet, first.window_us);
        }
        let admitted = said.deciding.admitted;
        if admitted {
            open.counted = Some(who);
        } else {
            let banned = limits.banned(open);
            limits.refused(&banned, &open.struck, open.now_us);
        }
        let scope = limits.scope;
        if let Some((mark, ..)) = &tightened {
            self.emit_strike(open, mark);
        }
        if has_neighbour && !admitted {
            self.emit_neighbour(open);
        }
        let deciding = said.deciding;
        self.tell(open, said);
        if admitted {
            return match deciding.delay_us {
                0 => Limited::Passes,
                delay_us => Limited::Held(open.now_us.saturating_add(delay_us)),
            };
        }
        let Admission { limit, retry_after_us, .. } = deciding;
        let event = RateLimited {
            provider: Arc::clone(&self.name),
            request: open.id,
            scope: scope.name().into(),
            limit,
            retry_after_us,
        };
        self.emit(open.now_us, EventKind::RateLimited(event));
        // Nobody knows when a place becomes free.
        let hint = (retry_after_us > 0).then_some(HintSpec::Seconds(retry_after_us));
        let which = Which::Standard(Standard::RateLimited);
        Limited::Refused(Box::new(self.refuse(open, which, hint.as_ref())))
    }

    /// The rate that holds for a request instead of the limit's own: who says so, and whether headers tell
    /// of it.
    fn tightened(&self, open: &Open, first_us: u64) -> Option<(Mark, Rate, bool)> {
        let own = self.limits.as_ref()?.limit.rate();
        let since_us = open.now_us.saturating_sub(first_us);
        // The request itself is not in the table while it is being worked on.
        let under_way = u64::try_from(self.open.len()).unwrap_or(u64::MAX).saturating_add(1);
        let (mark, (limit, announced)) = open.struck.limit(|fault| match fault {
            LimitFault::Tighten { limit, after_us, above, announced }
                if since_us >= *after_us && under_way > *above =>
            {
                Some((*limit, *announced))
            }
            LimitFault::Tighten { .. }
            | LimitFault::Lie(_)
            | LimitFault::Ban { .. }
            | LimitFault::Neighbour { .. } => None,
        })?;
        Some((mark, Rate { limit, burst: own.burst.min(limit), ..own }, announced))
    }

    fn emit_neighbour(&mut self, open: &Open) {
        let is = |fault: &LimitFault| matches!(fault, LimitFault::Neighbour { .. }).then_some(());
        if let Some((mark, ())) = open.struck.limit(is) {
            self.emit_strike(open, &mark);
        }
    }

    /// What headers and bodies will tell of the limit.
    fn tell(&mut self, open: &mut Open, Said { deciding, mut told }: Said) {
        let mut reset_ago_s = None;
        for (mark, fault) in open.struck.limits.clone() {
            let LimitFault::Lie(lie) = fault else { continue };
            match lie {
                Lie::Remaining if deciding.admitted => continue,
                Lie::Remaining | Lie::Stuck => {
                    for one in &mut told {
                        one.remaining = one.limit;
                    }
                }
                Lie::PastReset => reset_ago_s = Some(60),
            }
            self.emit_strike(open, &mark);
        }
        let epoch_us = self.epoch_us(open.now_us);
        let said = LimitState { told, now_us: epoch_us, reset_ago_s };
        let tightest = said.tightest();
        if tightest.remaining == 0 && tightest.reset_us > 0 && reset_ago_s.is_none() {
            open.exhausted_until_us = Some(open.now_us.saturating_add(tightest.reset_us));
        }
        open.limit = Some(said);
    }

    /// A request is over, and with it its place at the limiter.
    pub(super) fn leave_limiter(&mut self, open: &mut Open) {
        if let (Some(who), Some(limits)) = (open.counted.take(), self.limits.as_mut()) {
            limits.ended(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::Bench;
    use super::*;
    use crate::rate_limit::registry::ALGORITHMS;

    fn limited(algorithm: usize, scope: LimitScope) -> Bench {
        Bench::with(Vec::new(), |api| {
            api.rate_limit = Some(RateLimitPolicy {
                algorithm: ALGORITHMS[algorithm],
                rate: Rate { limit: 2, per_us: 1_000, burst: 2 },
                scope,
                cost: Cost::Units(1),
                quota: Some(Rate { limit: 9, per_us: 20_000, burst: 1 }),
            });
        })
    }

    /// What two tenants are answered: each of them with a bench of its own, and both at one.
    fn answers(
        algorithm: usize,
        scope: LimitScope,
        arrivals: &[(u64, bool)],
    ) -> (Vec<String>, Vec<String>) {
        let mut alone = [limited(algorithm, scope), limited(algorithm, scope)];
        let mut both = limited(algorithm, scope);
        let mut now = 0;
        let (mut apart, mut together) = (Vec::new(), Vec::new());
        for (gap, second) in arrivals {
            now += gap;
            let who = if *second { "Bearer b" } else { "Bearer a" };
            apart.push(alone[usize::from(*second)].told(who, now));
            together.push(both.told(who, now));
        }
        (apart, together)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn two_tenants_never_touch_each_other(
            algorithm in 0..ALGORITHMS.len(),
            arrivals in prop::collection::vec((0_u64..800, any::<bool>()), 1..30),
        ) {
            let (apart, together) = answers(algorithm, LimitScope::ApiKey, &arrivals);
            prop_assert_eq!(apart, together);
        }
    }

    #[test]
    fn unless_the_scope_says_so() {
        for scope in [LimitScope::Global, LimitScope::Route, LimitScope::Ip] {
            let arrivals = [(0, false), (0, false), (0, true)];
            let (apart, together) = answers(0, scope, &arrivals);
            assert_ne!(apart, together, "{scope:?}");
        }
    }
}
