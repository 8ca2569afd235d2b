//! `latency`: the provider takes its time.
//!
//! **Invariant:** a delay is drawn in whole microseconds, by integers alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::lognormal::Lognormal;
use super::parts::listed;
use super::{Action, DelayPoint, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::{Chance, Period};

/// The registry's entry.
pub(super) static LATENCY: FaultKind = FaultKind {
    name: "latency",
    group: Group::Delay,
    summary: "The answer is late.",
    parameters: &[
        ("fixed", "this long"),
        ("uniform", "`{min, max}`: any length between them, both included, each equally likely"),
        (
            "lognormal",
            "`{p50, p99}`: half are shorter than p50, one in a hundred is longer than p99; at most 24h",
        ),
        ("spike", "`{base, spike, chance}`: `base` as a rule, and `spike` with that chance"),
        (
            "ramp",
            "`{from, to, over}`: from `from` at the first request of the run, evenly, to `to` when `over` \
             has passed, and from then on",
        ),
        (
            "at",
            "`before_commit` (default), `after_commit` (slow, but done), `head` (between head and \
             body) or `chunk` (before each quarter of the body but the first)",
        ),
    ],
    mistake: "Having no time-out, or one on the connection alone; giving up on a slow answer and \
              repeating what was already done.",
    example: "latency: {lognormal: {p50: 50ms, p99: 800ms}, at: after_commit}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// The shapes, of which exactly one is given.
const SHAPES: [&str; 5] = ["fixed", "uniform", "lognormal", "spike", "ramp"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LatencyFault")]
struct Parameters {
    /// This long.
    fixed: Option<Period>,
    /// Any length between the two, each equally likely.
    uniform: Option<Uniform>,
    /// Half are shorter than `p50`, one in a hundred is longer than `p99`.
    lognormal: Option<Percentiles>,
    /// `base` as a rule, and `spike` with a chance.
    spike: Option<Spike>,
    /// From one length to another, evenly over a time.
    ramp: Option<Ramp>,
    /// Where the time is spent; `before_commit` unless said.
    at: Option<DelayAt>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Uniform {
    /// The shortest.
    #[schemars(required)]
    min: Option<Period>,
    /// The longest.
    #[schemars(required)]
    max: Option<Period>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Percentiles {
    /// The median.
    #[schemars(required)]
    p50: Option<Period>,
    /// The 99th percentile.
    #[schemars(required)]
    p99: Option<Period>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spike {
    /// The usual length.
    #[schemars(required)]
    base: Option<Period>,
    /// The length of a spike.
    #[schemars(required)]
    spike: Option<Period>,
    /// How often a spike comes.
    #[schemars(required)]
    chance: Option<Chance>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ramp {
    /// The length at the first request of the run.
    #[schemars(required)]
    from: Option<Period>,
    /// The length at the end.
    #[schemars(required)]
    to: Option<Period>,
    /// How long it takes to get there.
    #[schemars(required)]
    over: Option<Period>,
}

/// Where a delay is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DelayAt {
    /// Before the work is done.
    #[default]
    BeforeCommit,
    /// After the work is done, before the head.
    AfterCommit,
    /// Between head and body.
    Head,
    /// Before each quarter of the body but the first.
    Chunk,
}

impl DelayAt {
    const fn point(self) -> DelayPoint {
        match self {
            Self::BeforeCommit => DelayPoint::BeforeCommit,
            Self::AfterCommit => DelayPoint::AfterCommit,
            Self::Head => DelayPoint::Head,
            Self::Chunk => DelayPoint::Chunk,
        }
    }

    const fn unusual(self) -> Option<&'static str> {
        match self {
            Self::BeforeCommit => None,
            Self::AfterCommit => Some("after_commit"),
            Self::Head => Some("head"),
            Self::Chunk => Some("chunk"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Fixed(u64),
    Uniform(u64, u64),
    Lognormal(Lognormal),
    Spike { base: u64, spike: u64, chance_ppm: u32 },
    Ramp { from: u64, to: u64, over: u64 },
}

#[derive(Clone, Debug)]
struct Latency {
    shape: Shape,
    at: DelayAt,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let given = SHAPES.iter().filter(|shape| value.get(shape).is_some()).count();
    let parameters: Parameters = decode(value, at)?;
    if given != 1 {
        let message =
            if given == 0 { "how long is missing" } else { "more than one shape is given" };
        at.error(message, |d| {
            d.cure(
                "give exactly one of `fixed: 200ms`, `uniform: {min, max}`, `lognormal: {p50, p99}`, \
                 `spike: {base, spike, chance}`, `ramp: {from, to, over}`",
            )
        });
    }
    let at_word = parameters.at.unwrap_or_default();
    let shape = parameters
        .fixed
        .map(|fixed| Shape::Fixed(fixed.micros()))
        .or_else(|| parameters.uniform.and_then(|uniform| uniform.shape(&at.key("uniform"))))
        .or_else(|| parameters.lognormal.and_then(|both| both.shape(&at.key("lognormal"))))
        .or_else(|| parameters.spike.and_then(|spike| spike.shape()))
        .or_else(|| parameters.ramp.and_then(|ramp| ramp.shape(&at.key("ramp"))))?;
    Some(Arc::new(Latency { shape, at: at_word }))
}

impl Uniform {
    fn shape(&self, at: &At<'_>) -> Option<Shape> {
        let (min, max) = (self.min?, self.max?);
        if min > max {
            at.key("min").error(format!("`min` is {min} and longer than `max`, {max}"), |d| {
                d.cure("turn the two round")
            });
        }
        Some(Shape::Uniform(min.micros(), max.micros()))
    }
}

impl Percentiles {
    fn shape(&self, at: &At<'_>) -> Option<Shape> {
        let (p50, p99) = (self.p50?, self.p99?);
        if p50.micros() == 0 {
            at.key("p50").error("`p50` is 0", |d| d.cure("use at least `1us`"));
        } else if p50 > p99 {
            at.key("p50").error(format!("`p50` is {p50} and longer than `p99`, {p99}"), |d| {
                d.cure("turn the two round")
            });
        }
        Some(Shape::Lognormal(Lognormal::new(p50.micros(), p99.micros())))
    }
}

impl Spike {
    fn shape(&self) -> Option<Shape> {
        let (base, spike) = (self.base?.micros(), self.spike?.micros());
        Some(Shape::Spike { base, spike, chance_ppm: self.chance?.parts_per_million() })
    }
}

impl Ramp {
    fn shape(&self, at: &At<'_>) -> Option<Shape> {
        let (from, to, over) = (self.from?.micros(), self.to?.micros(), self.over?.micros());
        if over == 0 {
            at.key("over").error("`over` is 0, so that nothing rises", |d| {
                d.cure("use `fixed` instead, or a longer time")
            });
        }
        Some(Shape::Ramp { from, to, over })
    }
}

impl Shape {
    /// How long, so many microseconds after the first request.
    fn micros(self, draw: &mut Draw, since_first_us: u64) -> u64 {
        match self {
            Self::Fixed(micros) => micros,
            Self::Uniform(min, max) => draw.between(min, max),
            Self::Lognormal(lognormal) => lognormal.sample(draw.bits()),
            Self::Spike { base, spike, chance_ppm } => {
                if draw.happens(chance_ppm) {
                    spike
                } else {
                    base
                }
            }
            Self::Ramp { from, to, over } => {
                let part = |length: u64, weight: u64| u128::from(length) * u128::from(weight);
                let passed = since_first_us.min(over);
                let sum = part(from, over - passed) + part(to, passed);
                // Between the two, so it is in range.
                u64::try_from(sum / u128::from(over.max(1))).unwrap_or(to)
            }
        }
    }
}

impl Fault for Latency {
    fn kind(&self) -> &'static FaultKind {
        &LATENCY
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        let longest_at = match self.shape {
            Shape::Ramp { from, to, .. } if from > to => 0,
            Shape::Fixed(_)
            | Shape::Uniform(..)
            | Shape::Lognormal(_)
            | Shape::Spike { .. }
            | Shape::Ramp { .. } => u64::MAX,
        };
        self.strike_at(draw, longest_at)
    }

    fn strike_at(&self, draw: &mut Draw, since_first_us: u64) -> Action {
        Action::Delay { at: self.at.point(), micros: self.shape.micros(draw, since_first_us) }
    }

    fn detail(&self) -> String {
        let words = Period::from_micros;
        let shape = match self.shape {
            Shape::Fixed(micros) => words(micros).to_string(),
            Shape::Uniform(min, max) => format!("{} to {}", words(min), words(max)),
            Shape::Lognormal(both) => {
                format!("p50 {}, p99 {}", words(both.p50_us()), words(both.p99_us()))
            }
            Shape::Spike { base, spike, .. } => {
                format!("{}, spikes of {}", words(base), words(spike))
            }
            Shape::Ramp { from, to, over } => {
                format!("{} to {} over {}", words(from), words(to), words(over))
            }
        };
        listed([Some(shape), self.at.unusual().map(str::to_owned)])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{draw, parsed, problems, struck};
    use super::*;

    #[test]
    fn a_fixed_delay_is_what_it_says() {
        for (at, point) in [
            (json!(null), DelayPoint::BeforeCommit),
            (json!("before_commit"), DelayPoint::BeforeCommit),
            (json!("after_commit"), DelayPoint::AfterCommit),
            (json!("head"), DelayPoint::Head),
            (json!("chunk"), DelayPoint::Chunk),
        ] {
            let mut value = json!({"fixed": "120ms"});
            if !at.is_null() {
                value["at"] = at;
            }
            let action = struck(&LATENCY, &value);
            assert!(
                matches!(action, Action::Delay { at, micros: 120_000 } if at == point),
                "{action:?}"
            );
        }
    }

    /// The delays of 2,000 draws.
    fn delays(value: &Value) -> Vec<u64> {
        let fault = parsed(&LATENCY, value);
        let mut draw = draw();
        (0..2_000)
            .map(|_| {
                let Action::Delay { micros, .. } = fault.strike(&mut draw) else {
                    panic!("a latency delays")
                };
                micros
            })
            .collect()
    }

    #[test]
    fn a_uniform_delay_fills_its_range() {
        let delays = delays(&json!({"uniform": {"min": "5us", "max": "8us"}}));
        for micros in 5..=8 {
            let count = delays.iter().filter(|delay| **delay == micros).count();
            assert!((400..600).contains(&count), "{micros}: {count}");
        }
        assert!(delays.iter().all(|micros| (5..=8).contains(micros)));
    }

    #[test]
    fn a_lognormal_delay_has_its_percentiles() {
        let mut delays = delays(&json!({"lognormal": {"p50": "50ms", "p99": "800ms"}}));
        delays.sort_unstable();
        assert!((45_000..55_000).contains(&delays[1_000]), "{}", delays[1_000]);
        assert!((550_000..1_200_000).contains(&delays[1_980]), "{}", delays[1_980]);
    }

    #[test]
    fn a_spike_comes_as_often_as_it_is_said() {
        let spike = json!({"spike": {"base": "5ms", "spike": "2s", "chance": "10%"}});
        let delays = delays(&spike);
        let spikes = delays.iter().filter(|micros| **micros == 2_000_000).count();
        assert!((150..250).contains(&spikes), "{spikes}");
        assert!(delays.iter().all(|micros| [5_000, 2_000_000].contains(micros)));
    }

    #[test]
    fn a_ramp_rises_or_falls_evenly_and_then_stays() {
        for (from, to, expected) in [
            ("1s", "3s", [1_000_000, 1_500_000, 2_999_999, 3_000_000, 3_000_000]),
            ("3s", "1s", [3_000_000, 2_500_000, 1_000_000, 1_000_000, 1_000_000]),
            (
                "0s",
                "366d",
                [0, 7_905_600_000_000, 31_622_399_472_960, 31_622_400_000_000, 31_622_400_000_000],
            ),
        ] {
            let ramp = json!({"ramp": {"from": from, "to": to, "over": "1m"}});
            let fault = parsed(&LATENCY, &ramp);
            let at = |since_us| {
                let action = fault.strike_at(&mut draw(), since_us);
                let Action::Delay { micros, .. } = action else { panic!("{action:?}") };
                micros
            };
            let found = [0, 15_000_000, 59_999_999, 60_000_000, u64::MAX].map(at);
            assert_eq!(found, expected, "{from} {to}");
            let Action::Delay { micros, .. } = fault.strike(&mut draw()) else { panic!() };
            assert_eq!(Some(&micros), expected.iter().max(), "the most that it ever does");
        }
    }

    #[test]
    fn exactly_one_shape_is_asked_for() {
        assert_eq!(problems(&LATENCY, &json!({"at": "head"})), [""]);
        let both = json!({"fixed": "1s", "uniform": {"min": "1s", "max": "2s"}});
        assert_eq!(problems(&LATENCY, &both), [""]);
        assert_eq!(problems(&LATENCY, &json!({"fixed": "1"})), ["fixed"]);
        let spike = json!({"spike": {"base": "1s", "chance": "5"}, "at": "x"});
        assert_eq!(problems(&LATENCY, &spike), ["spike.spike", "at", "spike.chance"]);
        let ramp = json!({"ramp": {"from": "1s", "to": "2s", "over": "0s"}});
        assert_eq!(problems(&LATENCY, &ramp), ["ramp.over"]);
    }

    #[test]
    fn a_range_turned_round_is_refused() {
        let turned = json!({"uniform": {"min": "2s", "max": "1s"}});
        assert_eq!(problems(&LATENCY, &turned), ["uniform.min"]);
        let turned = json!({"lognormal": {"p50": "2s", "p99": "1s"}});
        assert_eq!(problems(&LATENCY, &turned), ["lognormal.p50"]);
        let zero = json!({"lognormal": {"p50": "0s", "p99": "1s"}});
        assert_eq!(problems(&LATENCY, &zero), ["lognormal.p50"]);
        assert_eq!(problems(&LATENCY, &json!({"uniform": {"min": "2s"}})), ["uniform.max"]);
    }

    #[test]
    fn the_detail_names_shape_and_place() {
        for (value, detail) in [
            (json!({"fixed": "1s"}), "1s"),
            (json!({"uniform": {"min": "10ms", "max": "1s"}, "at": "head"}), "10ms to 1s, head"),
            (
                json!({"lognormal": {"p50": "50ms", "p99": "800ms"}, "at": "after_commit"}),
                "p50 50ms, p99 800ms, after_commit",
            ),
        ] {
            assert_eq!(parsed(&LATENCY, &value).detail(), detail);
        }
    }
}
