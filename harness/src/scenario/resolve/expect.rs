//! What is expected of the client.

use std::collections::BTreeMap;

use brownout_provider::document::{At, Named};

use super::entry::{Registry, known};
use crate::invariant::registry;
use crate::scenario::{Expectation, later};

/// The expectations that can be read, each with its index in the file.
pub(super) fn resolve(raw: Option<&[Option<Named>]>, at: &At<'_>) -> Vec<(usize, Expectation)> {
    let names: Vec<&'static str> = registry::INVARIANTS.iter().map(|kind| kind.name).collect();
    let invariants = Registry { noun: "invariant", names: &names, later: later::invariant };
    let mut expect = Vec::new();
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    if raw.is_some_and(<[_]>::is_empty) {
        at.error("nothing is expected, so nothing can be judged", |d| {
            d.cure("expect at least one invariant, such as `no_double_charges`")
        });
    }
    for (index, entry) in raw.unwrap_or_default().iter().enumerate() {
        let at = at.index(index);
        let Some(entry) = entry else { continue };
        let Some((name, parameters, at_entry)) = known(entry, &invariants, &at) else { continue };
        let Some(kind) = registry::find(name) else { continue };
        if let Some(first) = seen.insert(kind.name, index) {
            at.error(format!("`{name}` is expected twice, first as number {}", first + 1), |d| {
                d.cure("keep one of the two")
            });
            continue;
        }
        if let Some(invariant) = (kind.parse)(parameters, &at_entry) {
            expect.push((index, Expectation { name: kind.name, invariant }));
        }
    }
    expect
}
