//! Names that the grammar has and this version does not carry out, and what to do instead.
//!
//! **Invariant:** no name stands here and in a registry.

/// Faults of the catalogue, by name.
const FAULTS: &[(&str, &str)] = &[
    ("cut", "use `stream: {kind: cut}`, or `truncate` where the answer is no stream"),
    ("stall", "use `stream: stall`, or `truncate: {then: stall}` where the answer is no stream"),
    ("garbage_event", "use `stream: garbage_event`"),
    ("error_event", "use `stream: error_event`"),
    ("no_terminator", "use `stream: no_terminator`"),
    ("duplicate_event", "use `stream: duplicate_event`"),
    ("reordered_events", "use `stream: reordered_events`"),
    ("split_utf8", "use `stream: split_utf8`"),
    ("finish_reason", "use `stream: length`"),
];

/// What to do instead of a fault that a later version brings.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    find(FAULTS, name)
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use brownout_provider::fault;

    use super::*;

    #[test]
    fn what_has_arrived_is_not_put_off() {
        let arrived = |table: &[(&'static str, &str)], has: &dyn Fn(&str) -> bool| {
            table.iter().map(|(name, _)| *name).filter(|name| has(name)).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(arrived(FAULTS, &|name| fault::registry::find(name).is_some()), none);
    }
}
