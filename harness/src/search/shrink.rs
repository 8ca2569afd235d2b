//! Shrinking: from a case that fails to the smallest one that still does, by delta debugging.
//!
//! Parts are taken away (operations, faults, what makes the client busy), what is left is made simpler
//! (earlier attempts, fewer parameters, shorter times), and simpler faults take the place of others. Knows nothing of runs: it asks whether a case
//! fails, each case once.
//! **Invariant:** whatever is returned as minimal has failed, and every case that is one step smaller has
//! been asked about and did not.

use std::collections::BTreeMap;

use brownout_provider::units::Period;
use serde_json::Value;

use super::case::{Case, Load};
use super::script::{Injection, fault};
use crate::scenario::entry::{name_of, parameters_of};

/// Cases that are asked about at most.
const MOST_TRIES: u64 = 2_000;

/// Lengths of time that are tried in the place of longer ones, in microseconds.
const ROUND_TIMES_US: [u64; 7] =
    [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 60_000_000, 3_600_000_000];

/// Numbers that are no amounts, so that a smaller one is not a simpler one.
const NO_AMOUNTS: [&str; 3] = ["code", "body", "headers"];

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest case found.
    pub case: Case,
    /// How many different cases were asked about.
    pub tried: u64,
    /// True when every case that is one step smaller does not fail.
    pub is_minimal: bool,
}

/// What is known of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It fails in the same way.
    Fails,
    /// It does not, or there is no such scenario.
    Holds,
    /// There is no time left to find out; nothing further is asked.
    Enough,
}

/// Shrinks a case that fails. The operations are made fewer only where they are handed to the client.
///
/// # Errors
///
/// Whatever asking gives.
pub fn shrink<E>(failing: Case, ask: impl FnMut(&Case) -> Result<Answer, E>) -> Result<Shrunk, E> {
    let is_driven = failing.is_driven;
    let mut search = Search { best: failing, known: BTreeMap::new(), ask, is_over: false };
    loop {
        let before = search.best.clone();
        if is_driven {
            search.fewer_operations()?;
        }
        search.fewer_faults()?;
        search.adopt_any(closed_up)?;
        search.adopt_any(replaced)?;
        if is_driven {
            search
                .adopt_any(|case| lighter(case.load).map(|load| case.with_load(load)).collect())?;
        }
        search.adopt_any(|case| each(case, earlier))?;
        search.adopt_any(|case| each(case, simpler))?;
        search.adopt_any(plainer)?;
        if search.best == before || search.is_over {
            let tried = search.tried();
            return Ok(Shrunk { case: search.best, tried, is_minimal: !search.is_over });
        }
    }
}

struct Search<F> {
    /// The smallest case that is known to fail.
    best: Case,
    /// By the text of its file, whether a case fails.
    known: BTreeMap<String, bool>,
    ask: F,
    is_over: bool,
}

impl<E, F: FnMut(&Case) -> Result<Answer, E>> Search<F> {
    fn tried(&self) -> u64 {
        u64::try_from(self.known.len()).unwrap_or(u64::MAX)
    }

    /// Takes a case for the best one if it fails.
    fn adopt(&mut self, case: Case) -> Result<bool, E> {
        if self.is_over {
            return Ok(false);
        }
        let key = case.to_value().to_string();
        let fails = match self.known.get(&key) {
            Some(known) => *known,
            None if self.tried() >= MOST_TRIES => {
                self.is_over = true;
                false
            }
            None => match (self.ask)(&case)? {
                Answer::Enough => {
                    self.is_over = true;
                    false
                }
                answer @ (Answer::Fails | Answer::Holds) => {
                    self.known.insert(key, answer == Answer::Fails);
                    answer == Answer::Fails
                }
            },
        };
        if fails {
            self.best = case;
        }
        Ok(fails)
    }

    /// Takes the first of these variations that fails, and asks again from there, until none does.
    fn adopt_any(&mut self, variations: impl Fn(&Case) -> Vec<Case>) -> Result<(), E> {
        'again: loop {
            for case in variations(&self.best) {
                if self.adopt(case)? {
                    continue 'again;
                }
            }
            return Ok(());
        }
    }

    /// One operation alone, else half of them, a quarter, and so on down to each.
    fn fewer_operations(&mut self) -> Result<(), E> {
        let mut struck: Vec<u64> = self.best.script.iter().map(|one| one.operation).collect();
        struck.dedup();
        for operation in struck {
            if self.best.load.operations > 1 && self.adopt(only(&self.best, operation))? {
                break;
            }
        }
        let mut size = self.best.load.operations / 2;
        while size > 0 {
            let mut from = 1;
            while from <= self.best.load.operations && self.best.load.operations > 1 {
                // Whatever follows moves into the place of what was taken away.
                if !self.adopt(without_operations(&self.best, from, size))? {
                    from += size;
                }
            }
            size /= 2;
        }
        Ok(())
    }

    /// Half of the faults away, a quarter, and so on down to each.
    fn fewer_faults(&mut self) -> Result<(), E> {
        let mut size = self.best.script.len();
        while size > 0 {
            let mut from = 0;
            while from < self.best.script.len() {
                let mut script = self.best.script.clone();
                script.drain(from..script.len().min(from + size));
                if !self.adopt(self.best.with_script(script))? {
                    from += size;
                }
            }
            size /= 2;
        }
        Ok(())
    }
}

/// One operation alone, under the number 1.
fn only(case: &Case, operation: u64) -> Case {
    let kept = case.script.iter().filter(|one| one.operation == operation);
    let script = kept.map(|one| Injection { operation: 1, ..one.clone() }).collect();
    let case = case.with_script(script);
    case.with_load(Load { operations: 1, ..case.load })
}

/// Without `size` operations from `from` on; those that follow are renumbered. At least one stays.
fn without_operations(case: &Case, from: u64, size: u64) -> Case {
    let size = size.min(case.load.operations - 1).min(case.load.operations + 1 - from);
    let gone = from..from + size;
    let kept = case.script.iter().filter(|one| !gone.contains(&one.operation));
    let script = kept
        .map(|one| {
            let after = one.operation >= gone.end;
            let operation = if after { one.operation - size } else { one.operation };
            Injection { operation, ..one.clone() }
        })
        .collect();
    let case = case.with_script(script);
    case.with_load(Load { operations: case.load.operations - size, ..case.load })
}

/// Less at the same time, boldest first.
fn lighter(load: Load) -> impl Iterator<Item = Load> {
    let concurrency = [1, load.concurrency / 2, load.concurrency.saturating_sub(1)]
        .into_iter()
        .filter(move |fewer| (1..load.concurrency).contains(fewer))
        .map(move |concurrency| Load { concurrency, ..load });
    let submits = [1, load.submits / 2, load.submits.saturating_sub(1)]
        .into_iter()
        .filter(move |fewer| (1..load.submits).contains(fewer))
        .map(move |submits| Load { submits, ..load });
    let at_once = (!load.at_once).then_some(Load { at_once: true, ..load });
    let together = (load.apart_us > 0 && load.submits > 1).then_some(Load { apart_us: 0, ..load });
    concurrency.chain(submits).chain(at_once).chain(together)
}

/// The case with one of its injections changed, for each injection and each change.
fn each(case: &Case, changes: impl Fn(&Injection) -> Vec<Injection>) -> Vec<Case> {
    let places = case.script.iter().enumerate();
    places
        .flat_map(|(place, one)| changes(one).into_iter().map(move |changed| (place, changed)))
        .map(|(place, changed)| {
            let mut script = case.script.clone();
            script[place] = changed;
            case.with_script(script)
        })
        .collect()
}

/// The same fault at every earlier attempt, and at the first submit.
fn earlier(one: &Injection) -> Vec<Injection> {
    let attempts = (1..one.attempt).map(|attempt| Injection { attempt, ..one.clone() });
    let submit = (one.submit > 1).then(|| Injection { submit: 1, ..one.clone() });
    attempts.chain(submit).collect()
}

/// The same kind of fault with fewer parameters, shorter times and smaller numbers.
fn simpler(one: &Injection) -> Vec<Injection> {
    let Some(name) = name_of(&one.fault) else { return Vec::new() };
    let parameters = parameters_of(&one.fault);
    let mut variations = Vec::new();
    if let Value::Object(map) = parameters {
        variations.push(Value::Null);
        for key in map.keys() {
            let mut fewer = map.clone();
            fewer.shift_remove(key);
            variations.push(Value::Object(fewer));
        }
        variations.extend(smaller(parameters));
    }
    variations
        .into_iter()
        .map(|parameters| Injection { fault: fault(name, parameters), ..one.clone() })
        .filter(|changed| changed.fault != one.fault)
        .collect()
}

/// The value with one time in it shorter, or one number smaller.
fn smaller(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            let micros = text.parse::<Period>().map_or(0, Period::micros);
            let shorter = ROUND_TIMES_US.iter().filter(|round| **round < micros);
            shorter.map(|round| Value::from(Period::from_micros(*round).to_string())).collect()
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or(0);
            let mut fewer = vec![0, 1, number / 2, number.saturating_sub(1)];
            fewer.retain(|fewer| *fewer < number);
            fewer.dedup();
            fewer.into_iter().map(Value::from).collect()
        }
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !NO_AMOUNTS.contains(&key.as_str()))
            .flat_map(|(key, inner)| {
                smaller(inner).into_iter().map(|changed| {
                    let mut map = map.clone();
                    map.insert(key.clone(), changed);
                    Value::Object(map)
                })
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Array(_) => Vec::new(),
    }
}

/// Without one of the faults, and what struck later attempts strikes one attempt earlier: the attempt that
/// the fault caused is gone with it.
fn closed_up(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    for place in 0..case.script.len() {
        let mut script = case.script.clone();
        let gone = script.remove(place);
        let mut has_moved = false;
        for one in &mut script {
            let is_same = (one.operation, one.submit, &one.provider, &one.route)
                == (gone.operation, gone.submit, &gone.provider, &gone.route);
            if is_same && one.attempt > gone.attempt {
                one.attempt -= 1;
                has_moved = true;
            }
        }
        if has_moved {
            cases.push(case.with_script(script));
        }
    }
    cases
}

/// One simple fault in the place of several.
fn replaced(case: &Case) -> Vec<Case> {
    let scripts = case.simplest.instead_of_several(&case.script);
    scripts.into_iter().map(|script| case.with_script(script)).collect()
}

/// A simpler fault in the place of one.
fn plainer(case: &Case) -> Vec<Case> {
    each(case, |one| case.simplest.instead_of(one))
}

/// Every case that is one step smaller: one operation, fault, parameter or bit of load less, one fault
/// one attempt earlier, or a simpler fault in the place of others. Of a minimal case none fails.
#[must_use]
pub fn one_step_smaller(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    if case.is_driven && case.load.operations > 1 {
        smaller.extend(
            (1..=case.load.operations).map(|operation| without_operations(case, operation, 1)),
        );
    }
    smaller.extend((0..case.script.len()).map(|place| {
        let mut script = case.script.clone();
        script.remove(place);
        case.with_script(script)
    }));
    if case.is_driven {
        smaller.extend(lighter(case.load).map(|load| case.with_load(load)));
    }
    smaller.extend(each(case, earlier));
    smaller.extend(each(case, simpler));
    smaller.extend(closed_up(case));
    smaller.extend(replaced(case));
    smaller.extend(plainer(case));
    smaller
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;
    use std::path::Path;
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::script::NamedFault;
    use super::super::simplest::Simplest;
    use super::*;
    use crate::scenario::{Apis, Overrides, read};

    const TEXT: &str = "version: 1
name: base
provider: {api: payments}
workload:
  call: create_charge
  operations: 20
  concurrency: 4
  arrival: {every: 50ms}
  submits: {times: 2, apart: 1s}
  input: {amount: 1, currency: usd, order: 'o-{{ n }}'}
expect: [no_double_charges]
";

    fn calm() -> Case {
        let apis = Apis::Beside(Path::new("."));
        let checked = read("<test>", TEXT.as_bytes(), apis, &Overrides::default());
        Case::calm(&checked.scenario.expect("right"))
    }

    fn injection(operation: u64, attempt: u32, fault: Value) -> Injection {
        let route = "create_charge".into();
        Injection { operation, submit: 1, provider: None, route, attempt, fault }
    }

    fn reset() -> Value {
        json!({"reset": {"at": "after_commit"}})
    }

    fn conflict() -> Value {
        json!({"status": {"code": 409, "retry_after": "7s"}})
    }

    /// A client that breaks when one operation meets a reset after the commit and a 409 after it.
    fn breaks(case: &Case) -> bool {
        let is_status = |one: &Injection| one.fault["status"]["code"] == 409;
        let resets = case.script.iter().filter(|one| one.fault == reset());
        resets.clone().any(|first| {
            case.script.iter().any(|then| {
                is_status(then) && then.operation == first.operation && then.attempt > first.attempt
            })
        })
    }

    fn whether(fails: impl Fn(&Case) -> bool) -> impl FnMut(&Case) -> Result<Answer, Infallible> {
        move |case| Ok(if fails(case) { Answer::Fails } else { Answer::Holds })
    }

    fn faults() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            reset(),
            conflict(),
            json!("hang"),
            json!({"latency": {"fixed": "40s", "at": "head"}}),
            json!({"duplicate_request": {"times": 3, "apart": "2s"}}),
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn of_any_script_exactly_the_two_faults_are_left_that_break_the_client(
            noise in prop::collection::vec((1..=20_u64, 1..6_u32, faults()), 0..40),
            operation in 1..=20_u64,
            (first, apart) in (1..4_u32, 1..3_u32),
        ) {
            let mut script: Vec<Injection> =
                noise.into_iter().map(|(n, attempt, fault)| injection(n, attempt, fault)).collect();
            script.push(injection(operation, first, reset()));
            script.push(injection(operation, first + apart, conflict()));
            let case = calm().with_script(script);
            let mut asked = BTreeSet::new();
            let shrunk = shrink(case, |case| {
                assert!(asked.insert(case.to_value().to_string()), "asked twice");
                Ok::<_, Infallible>(if breaks(case) { Answer::Fails } else { Answer::Holds })
            }).expect("it never errs");
            prop_assert!(shrunk.is_minimal);
            prop_assert_eq!(&shrunk.case.script, &vec![
                injection(1, 1, reset()),
                injection(1, 2, json!({"status": {"code": 409}})),
            ]);
            let load = shrunk.case.load;
            prop_assert_eq!((load.operations, load.concurrency, load.submits), (1, 1, 1));
            prop_assert!(load.at_once);
            for smaller in one_step_smaller(&shrunk.case) {
                prop_assert!(!breaks(&smaller), "{:?}", smaller);
            }
        }

        #[test]
        fn two_operations_that_need_each_other_both_stay(
            (one, other) in (1..=20_u64, 1..=20_u64).prop_filter("two", |(one, other)| one != other),
        ) {
            let case = calm().with_script(vec![
                injection(one, 1, json!("hang")),
                injection(other, 1, json!("hang")),
            ]);
            let two = |case: &Case| {
                case.script.len() == 2 && case.script[0].operation != case.script[1].operation
                    && case.load.concurrency >= 3
            };
            let shrunk = shrink(case, whether(two)).expect("it never errs");
            prop_assert_eq!(shrunk.case.load.operations, 2);
            prop_assert_eq!(shrunk.case.load.concurrency, 3);
        }
    }

    #[test]
    fn a_client_that_breaks_in_fair_weather_is_left_without_a_fault() {
        let case = calm().with_script(vec![injection(3, 1, reset()), injection(4, 2, conflict())]);
        let shrunk = shrink(case, whether(|_| true)).expect("it never errs");
        assert_eq!((shrunk.case.script.len(), shrunk.case.load.operations), (0, 1));
    }

    #[test]
    fn times_and_numbers_shrink_to_round_ones() {
        let fault = json!({"duplicate_request": {"times": 9, "apart": "40s"}});
        let case = calm().with_script(vec![injection(1, 1, fault)]);
        let enough = |case: &Case| {
            let Some(one) = case.script.first() else { return false };
            let parameters = parameters_of(&one.fault);
            let apart = parameters["apart"].as_str().and_then(|text| text.parse::<Period>().ok());
            parameters["times"].as_u64() >= Some(3)
                && apart.is_some_and(|apart| apart.micros() > 20_000)
        };
        let shrunk = shrink(case, whether(enough)).expect("it never errs");
        let smallest = json!({"duplicate_request": {"times": 3, "apart": "100ms"}});
        assert_eq!(shrunk.case.script[0].fault, smallest);
    }

    fn named(fault: Value) -> NamedFault {
        NamedFault { provider: None, route: None, fault }
    }

    #[test]
    fn two_faults_give_way_to_a_single_one_that_breaks_the_client_too() {
        let lost = json!({"status": {"code": 503, "at": "after_commit"}});
        let mut case = calm().with_script(vec![
            injection(1, 2, json!({"status": {"code": 503}})),
            injection(1, 2, json!("duplicate_request")),
        ]);
        case.simplest = Arc::new(Simplest::of([named(lost.clone()), named(reset())]));
        // An answer is lost after the work was done, whoever did it.
        let is_lost = |case: &Case| {
            case.script.iter().any(|one| one.fault == lost || one.fault == reset())
                || case.script.len() == 2
        };
        let shrunk = shrink(case, whether(is_lost)).expect("it never errs");
        assert!(shrunk.is_minimal);
        assert_eq!(shrunk.case.script, [injection(1, 1, lost.clone())]);
        assert!(one_step_smaller(&shrunk.case).iter().all(|case| !is_lost(case)));
        // A later kind gives way to an earlier one, and never the other way round.
        let mut case = calm().with_script(vec![injection(1, 1, reset())]);
        case.simplest = shrunk.case.simplest;
        let shrunk = shrink(case, whether(is_lost)).expect("it never errs");
        assert_eq!(shrunk.case.script, [injection(1, 1, lost)]);
    }

    #[test]
    fn what_struck_later_closes_up_when_an_earlier_fault_goes() {
        let case = calm().with_script(vec![
            injection(1, 1, conflict()),
            injection(1, 2, conflict()),
            injection(1, 3, reset()),
        ]);
        // There is no further attempt after one that meets nothing, and a first one does not break it.
        let breaks = |case: &Case| {
            let is_reached = |(one, nth): (&Injection, u32)| one.attempt == nth;
            case.script.last().is_some_and(|last| last.fault == reset() && last.attempt > 1)
                && case.script.iter().zip(1..).all(is_reached)
        };
        let shrunk = shrink(case, whether(breaks)).expect("it never errs");
        assert_eq!(shrunk.case.script.len(), 2);
        assert_eq!(shrunk.case.script[1], injection(1, 2, reset()));
    }

    #[test]
    fn when_there_is_no_time_left_nothing_is_called_minimal() {
        let case = calm().with_script(vec![injection(3, 1, reset()), injection(4, 2, conflict())]);
        let mut asked = 0;
        let shrunk = shrink(case, |_| {
            asked += 1;
            Ok::<_, Infallible>(if asked > 1 { Answer::Enough } else { Answer::Fails })
        });
        let shrunk = shrunk.expect("it never errs");
        assert!(!shrunk.is_minimal);
        assert_eq!((shrunk.tried, asked), (1, 2));
    }

    #[test]
    fn a_suite_keeps_its_operations() {
        let case = calm().with_script(vec![injection(7, 1, reset()), injection(9, 1, reset())]);
        let mut case = case;
        case.is_driven = false;
        let shrunk =
            shrink(case.clone(), whether(|case| case.script.iter().any(|one| one.operation == 7)));
        let shrunk = shrunk.expect("it never errs").case;
        assert_eq!(shrunk.load, case.load);
        assert_eq!(shrunk.script.len(), 1);
    }
}
