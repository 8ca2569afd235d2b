//! Freezing: the faults that struck in a run become a script.
//!
//! What a rule drew by chance, by time or by count stands in the script at the very coordinates where it
//! struck, and a delay that was drawn as the delay that came out. What the provider's own policies did
//! (its limiter, for example) is no strike; the policies stay in the scenario.
//! **Invariant:** every strike of the trace is in the script, or a note says why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::event::Mode;
use brownout_provider::seed::Seed;
use brownout_provider::units::{Period, Scale};
use serde_json::{Map, Value};

use super::case::Case;
use super::script::{Injection, fault, injected_by, operation_number};
use crate::amount::times;
use crate::scenario::Scenario;
use crate::scenario::entry::{name_of, parameters_of};
use crate::scenario::resolve::PROVIDER;
use crate::trace::{Delivered, OperationId, Strike, Trace};

/// A run as a script.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The scenario of the run, with the script in the place of its rules.
    pub case: Case,
    /// What could not be written down, and why; for people.
    pub notes: Vec<String>,
}

/// Freezes a run of a scenario; `None` for a scenario that has no provider.
#[must_use]
pub fn freeze(trace: &Trace, scenario: &Scenario) -> Option<Frozen> {
    let calm = Case::calm(scenario);
    let seed = Seed::new(trace.run.seed)?;
    let freezer = Freezer::new(trace, scenario);
    let mut script = Vec::new();
    let mut left_out: BTreeMap<&str, u64> = BTreeMap::new();
    let strikes = trace.strikes();
    for (place, strike) in strikes.iter().enumerate() {
        let is_here = |one: &&Strike| {
            (one.request, trace.delivered(one)) == (strike.request, trace.delivered(strike))
        };
        let here = strikes[..place].iter().rev().take_while(is_here);
        let nth = here.filter(|one| (one.rule, one.fault) == (strike.rule, strike.fault)).count();
        match freezer.injection(strike, nth) {
            Some(injection) => script.push(injection),
            None => *left_out.entry(trace.text(strike.rule)).or_default() += 1,
        }
    }
    let notes = left_out.into_iter().map(|(rule, count)| {
        format!(
            "`{rule}` struck {} at requests that a script cannot name, because no operation of the \
             workload is behind them",
            times(count)
        )
    });
    let cut = (!trace.is_whole())
        .then(|| "what struck after the last line of the trace, which is cut short".to_owned());
    let notes = notes.chain(cut).collect();
    Some(Frozen { case: calm.with_script(script).with_seed(seed), notes })
}

/// What is needed to find the place and the fault of a strike.
struct Freezer<'a> {
    trace: &'a Trace,
    source: &'a Value,
    scale: Option<Scale>,
    numbers: Numbers<'a>,
}

/// The numbers that the operations of a run have in a script.
#[derive(Debug)]
pub struct Numbers<'a> {
    trace: &'a Trace,
    /// Those of operations that nobody submitted: the order of their arrival.
    by_arrival: BTreeMap<OperationId, u64>,
}

impl<'a> Numbers<'a> {
    /// The numbers of a run.
    #[must_use]
    pub fn of(trace: &'a Trace) -> Self {
        let mut by_arrival = BTreeMap::new();
        if matches!(trace.mode(), Mode::Suite | Mode::Serve) {
            for operation in trace.requests().filter_map(|(_, request)| request.operation) {
                let next = u64::try_from(by_arrival.len()).map_or(u64::MAX, |count| count + 1);
                by_arrival.entry(operation).or_insert(next);
            }
        }
        Self { trace, by_arrival }
    }

    /// The number of an operation, if it has one.
    #[must_use]
    pub fn number(&self, operation: OperationId) -> Option<u64> {
        if self.by_arrival.is_empty() {
            return operation_number(self.trace.operation_name(operation));
        }
        self.by_arrival.get(&operation).copied()
    }
}

impl<'a> Freezer<'a> {
    fn new(trace: &'a Trace, scenario: &'a Scenario) -> Self {
        let numbers = Numbers::of(trace);
        Self { trace, source: &scenario.source, scale: scenario.scale, numbers }
    }

    fn injection(&self, strike: &Strike, nth: usize) -> Option<Injection> {
        let provider = self.trace.text(strike.provider);
        let (operation, submit, route, attempt) = match self.trace.delivered(strike) {
            Some(Delivered { operation, submit, route, attempt, .. }) => {
                (operation, submit, route, attempt)
            }
            None => {
                let request = self.trace.request(strike.request?);
                (request.operation?, request.submit, request.route?, request.attempt)
            }
        };
        let rule = self.trace.text(strike.rule);
        let named = self.trace.text(strike.fault);
        let injected = injected_by(self.source, rule, named, nth)?;
        let detail = strike.detail.map_or("", |detail| self.trace.text(detail));
        Some(Injection {
            operation: self.numbers.number(operation)?,
            submit,
            provider: (provider != PROVIDER).then(|| Arc::from(provider)),
            route: Arc::from(self.trace.text(route)),
            attempt,
            fault: self.as_it_struck(named, injected, detail),
        })
    }

    /// The fault with what was drawn for it written out.
    fn as_it_struck(&self, named: &str, injected: &Value, detail: &str) -> Value {
        let parameters = parameters_of(injected);
        let is_drawn = named == "latency" && parameters.get("fixed").is_none();
        let Some(micros) = drawn_us(detail).filter(|_| is_drawn) else { return injected.clone() };
        // The file's durations are written before they are shortened.
        let micros = self.scale.map_or(micros, |scale| {
            let whole = u128::from(micros) * u128::from(scale.denominator);
            u64::try_from(whole / u128::from(scale.numerator.max(1))).unwrap_or(u64::MAX)
        });
        let fixed = Value::from(Period::from_micros(micros).to_string());
        let mut written = Map::from_iter([("fixed".to_owned(), fixed)]);
        if let Some(at) = parameters.get("at") {
            written.insert("at".to_owned(), at.clone());
        }
        fault(named, Value::Object(written))
    }
}

/// Microseconds of a delay as a strike tells of it: `+1.5 ms`.
fn drawn_us(detail: &str) -> Option<u64> {
    let (number, unit) = detail.strip_prefix('+')?.split_once(' ')?;
    let micros_per_unit = match unit {
        "s" => 1_000_000,
        "ms" => 1_000,
        "µs" => 1,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some(whole * micros_per_unit + thousandths * micros_per_unit / 1_000)
}

/// The faults of a script as a list, for people: `reset {at: after_commit} at attempt 1 of operation 1`.
#[must_use]
pub fn in_words(script: &[Injection]) -> Vec<String> {
    let line = |one: &Injection| {
        let parameters = parameters_of(&one.fault);
        let name = name_of(&one.fault).unwrap_or_default();
        let parameters = match parameters.is_null() {
            true => String::new(),
            false => format!(" {}", super::yaml::flow(parameters)),
        };
        let submit =
            if one.submit == 1 { String::new() } else { format!(", submit {}", one.submit) };
        format!(
            "`{name}{parameters}` at attempt {} of `{}` of operation {}{submit}",
            one.attempt, one.route, one.operation
        )
    };
    script.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use brownout_provider::units::in_words_exactly;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::scenario::{Apis, Overrides, read};
    use crate::search::script;
    use crate::trace::testing::trace_with;

    const TEXT: &str = "version: 1
name: base
scale: 1/10
provider: {api: payments}
faults:
  - {name: slow, inject: [{latency: {uniform: {min: 1s, max: 9s}}}, {latency: {fixed: 1s, at: head}}]}
  - {name: lost, when: {chance: 10%}, inject: {reset: {at: after_commit}}}
workload: {call: create_charge, input: {amount: 1, currency: usd, order: 'o-{{ n }}'}}
expect: [no_double_charges]
";

    fn scenario() -> Scenario {
        let checked =
            read("<test>", TEXT.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    }

    #[test]
    fn strikes_become_a_script_at_their_coordinates() {
        let lines = r#"
            {"at_us":1,"event":"request_received","request":1,"operation":"op-0003","attempt":2}
            {"at_us":1,"event":"fault_injected","request":1,"rule":"slow","fault":"latency","detail":"+123.5 ms"}
            {"at_us":1,"event":"fault_injected","request":1,"rule":"slow","fault":"latency","detail":"+100 ms"}
            {"at_us":2,"event":"request_received","request":2,"operation":"op-0001","attempt":1}
            {"at_us":2,"event":"fault_injected","request":2,"rule":"lost","fault":"reset","detail":"after_commit"}
            {"at_us":3,"event":"request_received","request":3,"operation":"ghost","attempt":1}
            {"at_us":3,"event":"fault_injected","request":3,"rule":"lost","fault":"reset","detail":"after_commit"}"#;
        let trace = trace_with(&json!({"seed": 7}), lines);
        let frozen = freeze(&trace, &scenario()).expect("it has a provider");
        assert_eq!(frozen.case.seed.get(), 7);
        let route = trace.text(trace.requests().next().expect("one").1.route.expect("one"));
        assert_eq!(
            script::to_value(&frozen.case.script),
            json!([
                {"operation": 1, "route": route, "attempt": 1, "inject": {"reset": {"at": "after_commit"}}},
                {"operation": 3, "route": route, "attempt": 2, "inject": [
                    {"latency": {"fixed": "1s 235ms"}}, {"latency": {"fixed": "1s", "at": "head"}}]},
            ])
        );
        assert_eq!(frozen.notes.len(), 1, "{:?}", frozen.notes);
    }

    #[test]
    fn operations_that_nobody_submitted_are_numbered_as_they_came() {
        let lines = r#"
            {"at_us":1,"event":"request_received","request":1,"operation":"order-9","attempt":1}
            {"at_us":2,"event":"request_received","request":2,"operation":"order-1","attempt":1}
            {"at_us":2,"event":"fault_injected","request":2,"rule":"lost","fault":"reset"}"#;
        let trace = trace_with(&json!({"mode": "suite"}), lines);
        let frozen = freeze(&trace, &scenario()).expect("it has a provider");
        assert_eq!(frozen.case.script[0].operation, 2);
    }

    proptest! {
        #[test]
        fn a_delay_is_read_as_it_was_told(micros in 0..10_000_000_000_u64) {
            prop_assert_eq!(drawn_us(&format!("+{}", in_words_exactly(micros))), Some(micros));
        }
    }
}
