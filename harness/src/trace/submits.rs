//! Submits and claims while a trace is being gathered, and in the order in which it keeps them.
//!
//! **Invariant:** a submit is gathered once for each operation and number, and the claims about it stay in the
//! order in which they were made.

use std::collections::BTreeMap;

use super::build::{extend, number};
use super::{ClaimMade, Operation, OperationId, Submit, place};

/// Where nothing stands.
const NONE: u32 = u32::MAX;

/// The submits of a trace that is being gathered.
#[derive(Debug, Default)]
pub(super) struct Submits {
    list: Vec<Submit>,
    /// Where the first submit of each operation stands, which is the only one nearly always.
    first: Vec<u32>,
    further: BTreeMap<(OperationId, u32), u32>,
    claims: Vec<(OperationId, u32, ClaimMade)>,
}

impl Submits {
    /// The submit of that number, from now on at the latest.
    pub(super) fn get(&mut self, operation: OperationId, submit: u32) -> &mut Submit {
        let next = number(self.list.len());
        let at = if submit == 1 {
            let operation = place(operation.0);
            if operation >= self.first.len() {
                self.first.resize(operation + 1, NONE);
            }
            let at = &mut self.first[operation];
            if *at == NONE {
                *at = next;
            }
            *at
        } else {
            *self.further.entry((operation, submit)).or_insert(next)
        };
        if at == next {
            self.list.push(Submit { operation, number: submit, submitted: None, claims: (0, 0) });
        }
        &mut self.list[place(at)]
    }

    /// Adds a claim about a submit.
    pub(super) fn claim(&mut self, operation: OperationId, submit: u32, claim: ClaimMade) {
        self.get(operation, submit);
        self.claims.push((operation, submit, claim));
    }

    /// Puts the claims about each submit in the order of their events.
    pub(super) fn order_claims(&mut self) {
        self.claims.sort_by_key(|(_, _, claim)| claim.seq);
    }

    /// Submits and claims as flat lists, by operation and number; each operation is told where its own stand.
    pub(super) fn flatten(self, operations: &mut [Operation]) -> (Vec<Submit>, Vec<ClaimMade>) {
        let Self { list: mut submits, mut claims, .. } = self;
        submits.sort_unstable_by_key(|submit| (submit.operation, submit.number));
        claims.sort_by_key(|(operation, submit, _)| (*operation, *submit));
        let mut from = 0;
        for (at, submit) in (0..).zip(&mut submits) {
            let its = |one: &&(OperationId, u32, ClaimMade)| {
                (one.0, one.1) == (submit.operation, submit.number)
            };
            let to = from + number(claims[place(from)..].iter().take_while(its).count());
            submit.claims = (from, to);
            from = to;
            extend(&mut operations[place(submit.operation.0)].submits, at);
        }
        (submits, claims.into_iter().map(|(_, _, claim)| claim).collect())
    }
}
