//! Parts of a scenario by chance: a fault, a rule, a script, a workload.
//!
//! **Invariant:** a part is drawn and shrunk as it would be within a whole scenario.

use brownout_provider::seed::Draw;
use serde_json::Value;

use super::Faults;
use super::drawn::Base;
use super::plan::{Plan, Room, fewer, lighter};
use super::tree::Model;
use crate::scenario::Scenario;

/// Which part.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Fault,
    Rule,
    Script,
    Workload,
}

/// Parts by chance, each as a plan of which one thing is shown.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    piece: Piece,
    place: Result<(Base, Room), String>,
}

impl Pieces {
    pub(super) fn new(base: &Scenario, faults: &Faults, piece: Piece) -> Self {
        Self { piece, place: place(base, faults, piece) }
    }
}

fn place(base: &Scenario, faults: &Faults, piece: Piece) -> Result<(Base, Room), String> {
    let base = Base::new(base);
    let catalog = match piece {
        Piece::Workload => Vec::new(),
        Piece::Fault | Piece::Rule | Piece::Script => faults.catalog(base.api(), &base.struck())?,
    };
    let room = Room::new(faults, catalog, base.load());
    Ok((base, room))
}

impl Model for Pieces {
    type Inner = Plan;
    type Shown = Value;

    fn draw(&self, draw: &mut Draw) -> Result<Plan, String> {
        let (_, room) = self.place.as_ref().map_err(String::clone)?;
        let load = match self.piece {
            Piece::Workload => room.load(draw),
            Piece::Fault | Piece::Rule | Piece::Script => room.most,
        };
        let strikes = match self.piece {
            Piece::Fault => {
                let mut strike = room.entry(load, draw);
                strike.variants.truncate(1);
                vec![strike]
            }
            Piece::Rule => vec![room.rule(load, draw)],
            Piece::Script => room.script(load, draw),
            Piece::Workload => Vec::new(),
        };
        Ok(Plan { load, strikes, seed: 0 })
    }

    fn simpler(&self, plan: &Plan) -> Vec<Plan> {
        let Ok((_, room)) = &self.place else { return Vec::new() };
        let fewer = match self.piece {
            Piece::Workload => return lighter(plan),
            Piece::Script => fewer(&plan.strikes),
            Piece::Fault | Piece::Rule => Vec::new(),
        };
        let some = fewer.into_iter().filter(|strikes| !strikes.is_empty());
        let with = |strikes| Plan { strikes, ..plan.clone() };
        some.map(with).chain(room.simpler_strikes(plan)).collect()
    }

    fn show(&self, plan: &Plan) -> Value {
        let (Ok((base, room)), first) = (&self.place, plan.strikes.first()) else {
            return Value::Null;
        };
        match (self.piece, first) {
            (Piece::Fault, Some(strike)) => room.inject(strike),
            (Piece::Rule, Some(strike)) => room.rule_value(strike, "rule-1"),
            (Piece::Script, _) => plan.strikes.iter().map(|one| room.entry_value(one)).collect(),
            (Piece::Workload, _) => base.workload(plan.load),
            (Piece::Fault | Piece::Rule, None) => Value::Null,
        }
    }
}
