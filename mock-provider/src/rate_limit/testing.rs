//! What the tests of the algorithms share: arrivals by chance, and promises that every meter with a clock
//! keeps whatever its algorithm.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Admission, Algorithm, Limiter, Rate};

/// Pauses before requests, in microseconds, and what each costs: bursts, trickles and long silences.
pub(super) fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let gap = prop_oneof![3 => Just(0_u64), 4 => 1_u64..40, 1 => 40_u64..500];
    let cost = prop_oneof![5 => Just(1_u64), 1 => 2_u64..6];
    prop::collection::vec((gap, cost), 1..60)
}

pub(super) fn rates() -> impl Strategy<Value = Rate> {
    (1_u64..12, 1_u64..300, 1_u64..10).prop_map(|(limit, per_us, burst)| Rate {
        limit,
        per_us,
        burst,
    })
}

/// What an independent model says of one request: admitted, remaining, reset.
pub(super) type Said = (bool, u64, u64);

/// Plays arrivals against a limiter and a model, and holds the limiter to what it publishes.
pub(super) fn agrees(
    algorithm: &'static Algorithm,
    rate: Rate,
    arrivals: Vec<(u64, u64)>,
    mut model: impl FnMut(u64, u64) -> Said,
) -> Result<(), TestCaseError> {
    let mut limiter = Limiter::new(algorithm, rate);
    let who = Arc::from("a");
    let mut now = 1_000;
    for (gap, cost) in arrivals {
        now += gap;
        let seen = limiter.admit(&who, cost, now);
        prop_assert_eq!((seen.admitted, seen.remaining, seen.reset_us), model(now, cost));
        keeps_its_word(&mut limiter, &who, (cost, now), seen)?;
    }
    Ok(())
}

/// Asks the limiter about other requests at the same moment: what it published is what passes. A look takes
/// nothing, so one limiter can be asked as often as there is something to compare.
fn keeps_its_word(
    limiter: &mut Limiter,
    who: &Arc<str>,
    (cost, now): (u64, u64),
    seen: Admission,
) -> Result<(), TestCaseError> {
    let rate = limiter.rate();
    let passes = |limiter: &mut Limiter, cost, at| limiter.look(rate, who, (cost, at)).admitted;
    prop_assert_eq!(seen.remaining > 0, passes(limiter, 1, now), "remaining is what passes now");
    if seen.remaining > 0 {
        prop_assert!(passes(limiter, seen.remaining, now));
    }
    prop_assert!(!passes(limiter, seen.remaining + 1, now));
    if cost <= seen.limit {
        prop_assert_eq!(seen.retry_after_us == 0, passes(limiter, cost, now));
    }
    Ok(())
}

/// The same, some time ahead, on a limiter that is not asked again.
pub(super) fn ahead(
    algorithm: &'static Algorithm,
    rate: Rate,
    arrivals: Vec<(u64, u64)>,
) -> Result<(), TestCaseError> {
    let who: Arc<str> = Arc::from("a");
    let replay = || {
        let mut limiter = Limiter::new(algorithm, rate);
        let (mut now, mut last) = (1_000, None);
        for (gap, cost) in &arrivals {
            now += gap;
            last = Some((*cost, limiter.admit(&who, *cost, now)));
        }
        (limiter, now, last)
    };
    let (_, now, last) = replay();
    let Some((cost, seen)) = last else { return Ok(()) };
    let look = |at: u64, cost: u64| {
        let (mut limiter, ..) = replay();
        limiter.look(rate, &who, (cost, at))
    };
    if cost <= seen.limit {
        prop_assert!(look(now + seen.retry_after_us, cost).admitted, "{seen:?}");
        if seen.retry_after_us > 0 {
            prop_assert!(!look(now + seen.retry_after_us - 1, cost).admitted, "{seen:?}");
        }
    } else {
        prop_assert!(!seen.admitted && seen.retry_after_us == seen.reset_us);
    }
    let fresh = look(now + seen.reset_us, 1);
    prop_assert_eq!((fresh.remaining, fresh.reset_us), (seen.limit, 0));
    if seen.reset_us > 0 {
        prop_assert!(look(now + seen.reset_us - 1, 1).reset_us > 0);
    }
    Ok(())
}
