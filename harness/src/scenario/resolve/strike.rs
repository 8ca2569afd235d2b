//! Rules that can never strike because an earlier one always takes the request.

use brownout_provider::document::At;
use brownout_provider::fault::{Action, Ending, Fault, Group};
use brownout_provider::rule::{Rule, Selector, When};
use brownout_provider::seed::Seed;

use super::rules::Placed;

/// How many numbers of a range are looked at one by one.
const MAX_ENUMERATED: u64 = 1_000;
/// How many rules are compared with each other; a long script is compared with none.
const MAX_COMPARED: usize = 2_000;

/// Reports every rule of endings that an earlier ending always comes before.
pub(super) fn check(rules: &[Placed], root: &At<'_>) {
    for (index, later) in rules.iter().enumerate().take(MAX_COMPARED) {
        if !later.rule.faults.iter().all(|fault| fault.kind().group == Group::Ending) {
            continue;
        }
        let earlier = rules[..index].iter().find(|earlier| shadows(&earlier.rule, &later.rule));
        if let Some(earlier) = earlier {
            let message = format!(
                "this can never strike: `{}` comes first and ends every request that `{}` is about",
                earlier.rule.name, later.rule.name
            );
            later.at(root).error(message, |d| {
                d.cure("put the narrower rule first, or give the earlier one a chance or attempts")
            });
        }
    }
}

/// True when `earlier` ends every request that `later` could.
fn shadows(earlier: &Rule, later: &Rule) -> bool {
    earlier.faults.iter().any(|fault| always_ends(&**fault))
        && is_certain(&earlier.when)
        && same_or_open(earlier.when.route.as_ref(), later.when.route.as_ref())
        && same_or_open(earlier.when.provider.as_ref(), later.when.provider.as_ref())
        && same_or_open(earlier.when.tenant.as_ref(), later.when.tenant.as_ref())
        && same_or_open(earlier.when.method.as_ref(), later.when.method.as_ref())
        && covers(&earlier.when.attempt, &later.when.attempt)
        && covers(&earlier.when.operation, &later.when.operation)
        && covers(&earlier.when.submit, &later.when.submit)
}

/// True when a fault ends every request that its rule is about.
fn always_ends(fault: &dyn Fault) -> bool {
    fault.kind().group == Group::Ending
        && fault.door().is_none()
        && !matches!(
            fault.looked_at(Seed::default()),
            Action::End { ending: Ending::CloseIdle, .. }
        )
}

/// True when only coordinates decide, without a draw.
pub(super) fn is_certain(when: &When) -> bool {
    when.chance_ppm.is_none_or(|chance| chance == 1_000_000) && when.is_scheduled()
}

fn same_or_open<T: PartialEq>(wide: Option<&T>, narrow: Option<&T>) -> bool {
    wide.is_none() || wide == narrow
}

/// True when `wide` takes every number from 1 that `narrow` takes; false also where it is not sure.
fn covers(wide: &Selector, narrow: &Selector) -> bool {
    match (wide, narrow) {
        (Selector::Any, _) => true,
        (_, Selector::List(numbers)) => {
            numbers.iter().all(|number| *number == 0 || wide.takes(*number))
        }
        (Selector::Range(from, to), _) => {
            let (lowest, highest) = match narrow {
                Selector::Any | Selector::List(_) => (1, None),
                Selector::Range(from, to) => (from.unwrap_or(1).max(1), *to),
                Selector::Every(k) => (*k, None),
            };
            from.unwrap_or(1) <= lowest
                && to.is_none_or(|to| highest.is_some_and(|highest| highest <= to))
        }
        (_, Selector::Range(from, Some(to))) => {
            let from = from.unwrap_or(1).max(1);
            to.saturating_sub(from) < MAX_ENUMERATED
                && (from..=*to).all(|number| wide.takes(number))
        }
        (Selector::Every(k), Selector::Every(m)) => *k > 0 && m.is_multiple_of(*k),
        (Selector::Every(k), Selector::Any | Selector::Range(_, None)) => *k == 1,
        (Selector::List(_), Selector::Any | Selector::Range(_, None) | Selector::Every(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selector() -> impl Strategy<Value = Selector> {
        prop_oneof![
            Just(Selector::Any),
            proptest::collection::vec(0..8_u64, 1..4).prop_map(Selector::List),
            (proptest::option::of(0..8_u64), proptest::option::of(0..8_u64))
                .prop_map(|(from, to)| Selector::Range(from, to)),
            (1..5_u64).prop_map(Selector::Every),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_covered_is_taken(wide in selector(), narrow in selector()) {
            if covers(&wide, &narrow) {
                for number in 1..200 {
                    prop_assert!(!narrow.takes(number) || wide.takes(number), "{}", number);
                }
            }
        }
    }

    #[test]
    fn plain_cases_are_recognised() {
        let range = Selector::Range;
        assert!(covers(&range(None, Some(3)), &range(Some(2), Some(3))));
        assert!(covers(&range(Some(1), None), &Selector::Any));
        assert!(covers(&Selector::Every(2), &Selector::Every(4)));
        assert!(covers(&Selector::List(vec![1, 2, 3]), &range(Some(2), Some(3))));
        assert!(!covers(&range(None, Some(3)), &Selector::Any));
        assert!(!covers(&Selector::List(vec![1]), &Selector::Any));
    }
}
