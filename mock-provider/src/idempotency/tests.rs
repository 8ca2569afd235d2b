//! Tests of the store: tables for its moments, a list that is searched for its whole life.

use proptest::prelude::*;

use super::*;

fn print(text: &str) -> Digest16 {
    Digest16::of(text.as_bytes())
}

/// An honest look-up.
fn look<A: Clone>(
    store: &mut IdempotencyStore<A>,
    slot: Slot,
    fingerprint: Digest16,
    asker: ExchangeId,
    now_us: u64,
) -> LookUp<A> {
    store.look_up(&Ask { slot, fingerprint, asker, now_us }, &Departure::default())
}

#[test]
fn a_key_in_flight_answers_in_flight_and_then_replays() {
    let mut store = IdempotencyStore::new(1_000);
    let key = slot(&["acct"], "k");
    assert_eq!(look(&mut store, key, print("a"), 1, 0), LookUp::New { expired: false });
    assert_eq!(look(&mut store, key, print("a"), 2, 1), LookUp::InFlight { first: 1 });
    assert_eq!(look(&mut store, key, print("b"), 3, 1), LookUp::Mismatch { first: 1 });
    store.store(key, 1, "done");
    assert_eq!(
        look(&mut store, key, print("a"), 4, 2),
        LookUp::Replay { first: 1, answer: "done" }
    );
    assert_eq!(look(&mut store, key, print("b"), 5, 2), LookUp::Mismatch { first: 1 });
}

#[test]
fn a_freed_key_is_new_again_and_a_stranger_cannot_free_it() {
    let mut store = IdempotencyStore::<()>::new(1_000);
    let key = slot(&["acct"], "k");
    look(&mut store, key, print("a"), 1, 0);
    store.free(key, 99, 0);
    assert_eq!(look(&mut store, key, print("a"), 2, 0), LookUp::InFlight { first: 1 });
    store.free(key, 1, 0);
    assert_eq!(look(&mut store, key, print("b"), 3, 0), LookUp::New { expired: false });
}

#[test]
fn a_key_is_forgotten_at_its_retention_and_not_a_microsecond_earlier() {
    let mut store = IdempotencyStore::new(1_000);
    let key = slot(&["acct"], "k");
    look(&mut store, key, print("a"), 1, 5);
    store.store(key, 1, ());
    assert!(matches!(look(&mut store, key, print("a"), 2, 1_004), LookUp::Replay { .. }));
    assert_eq!(look(&mut store, key, print("a"), 3, 1_005), LookUp::New { expired: true });
}

#[test]
fn a_held_key_is_in_progress_until_the_hold_ends() {
    let mut store = IdempotencyStore::new(1_000_000);
    let key = slot(&["acct"], "k");
    look(&mut store, key, print("a"), 1, 0);
    store.store(key, 1, "done");
    store.hold(key, 50);
    assert_eq!(look(&mut store, key, print("a"), 2, 49), LookUp::InFlight { first: 1 });
    assert!(matches!(look(&mut store, key, print("a"), 3, 50), LookUp::Replay { .. }));
}

#[test]
fn a_held_key_without_an_answer_is_new_when_the_hold_ends() {
    let mut store = IdempotencyStore::<()>::new(1_000_000);
    let key = slot(&["acct"], "k");
    look(&mut store, key, print("a"), 1, 0);
    store.hold(key, 50);
    store.free(key, 1, 10);
    assert_eq!(look(&mut store, key, print("a"), 2, 49), LookUp::InFlight { first: 1 });
    assert_eq!(look(&mut store, key, print("a"), 3, 50), LookUp::New { expired: false });
}

#[test]
fn scopes_and_keys_never_run_into_each_other() {
    assert_ne!(slot(&["ab"], "c"), slot(&["a"], "bc"));
    assert_ne!(slot(&["a", "b"], "c"), slot(&["a"], "bc"));
}

#[test]
fn forgotten_keys_give_their_memory_back() {
    let mut store = IdempotencyStore::new(10);
    for n in 0..1_000_u64 {
        let key = slot(&["acct"], &n.to_string());
        look(&mut store, key, print("a"), n, n);
        store.store(key, n, ());
    }
    assert!(store.len() <= 21, "{} keys are kept", store.len());
}

#[test]
fn a_departure_forgets_what_is_old_and_a_failover_what_is_in_progress_too() {
    let key = slot(&["acct"], "k");
    let ask = |asker, now_us| Ask { slot: key, fingerprint: print("a"), asker, now_us };
    let early = Departure { forget_after_us: Some(10), ..Departure::default() };
    let failover = Departure { forget_before_us: Some(5), ..Departure::default() };
    let mut store = IdempotencyStore::new(1_000);
    store.look_up(&ask(1, 0), &Departure::default());
    assert_eq!(store.look_up(&ask(2, 20), &early), LookUp::InFlight { first: 1 });
    assert_eq!(store.look_up(&ask(3, 20), &failover), LookUp::New { expired: true });
    assert!(!store.store(key, 1, "lost"), "the failover took the key from its first request");
    assert!(store.store(key, 3, "kept"));
    assert_eq!(store.look_up(&ask(4, 29), &early), LookUp::Replay { first: 3, answer: "kept" });
    assert_eq!(store.look_up(&ask(5, 30), &early), LookUp::New { expired: true });
}

#[test]
fn a_late_key_is_kept_when_it_is_told_to_and_never_takes_one_away() {
    let key = slot(&["acct"], "k");
    let ask = |asker, now_us| Ask { slot: key, fingerprint: print("a"), asker, now_us };
    let late = Departure { late: true, ..Departure::default() };
    let mut store = IdempotencyStore::new(1_000);
    for asker in [1, 2] {
        assert_eq!(store.look_up(&ask(asker, 0), &late), LookUp::New { expired: false });
    }
    assert!(store.store_late(&ask(2, 5), "second"));
    assert!(!store.store_late(&ask(1, 6), "first"));
    let replay = LookUp::Replay { first: 2, answer: "second" };
    assert_eq!(store.look_up(&ask(3, 1_004), &late), replay);
    assert_eq!(store.look_up(&ask(4, 1_005), &late), LookUp::New { expired: true });
}

#[test]
fn a_name_belongs_to_its_first_key_for_as_long_as_that_is_remembered() {
    let (name, one, two) = (slot(&[], "n"), slot(&["a"], "n"), slot(&["b"], "n"));
    let mut store = IdempotencyStore::<()>::new(10);
    look(&mut store, one, print("a"), 1, 0);
    store.alias(name, one, 0);
    look(&mut store, two, print("a"), 2, 0);
    store.alias(name, two, 0);
    assert_eq!(store.behind(name), Some(one));
    store.free(one, 1, 1);
    assert_eq!(store.behind(name), None);
    store.alias(name, two, 1);
    assert_eq!(store.behind(name), Some(two));
    store.free(two, 2, 1);
    for n in 0..4 {
        look(&mut store, slot(&["c"], &n.to_string()), print("a"), 3, 100);
    }
    assert_eq!(store.aliases.len(), 0, "names give their memory back as keys do");
}

/// Key, body, since when, by whom, the answer, and whether it is in flight.
type Row = (u8, u8, u64, ExchangeId, Option<&'static str>, bool);

/// The model: a list of everything that happened, searched from the end.
#[derive(Default)]
struct Model {
    log: Vec<Row>,
}

#[derive(Clone, Debug)]
enum Step {
    Ask { key: u8, body: u8 },
    Finish { nth: usize },
    Free { nth: usize },
    Pass { us: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            4 => (0_u8..3, 0_u8..2).prop_map(|(key, body)| Step::Ask { key, body }),
            2 => (0_usize..4).prop_map(|nth| Step::Finish { nth }),
            1 => (0_usize..4).prop_map(|nth| Step::Free { nth }),
            2 => (0_u64..60).prop_map(|us| Step::Pass { us }),
        ],
        1..80,
    )
}

proptest! {
    #[test]
    fn it_agrees_with_a_list_that_is_searched_from_the_end(steps in steps()) {
        const RETENTION: u64 = 100;
        let mut store = IdempotencyStore::new(RETENTION);
        let mut model = Model::default();
        let (mut now, mut next) = (0, 1);
        for step in steps {
            match step {
                Step::Pass { us } => now += us,
                Step::Ask { key, body } => {
                    let scoped = slot(&["acct"], &key.to_string());
                    let seen = look(&mut store, scoped, print(&body.to_string()), next, now);
                    let known = model.log.iter().rev().find(|row| row.0 == key);
                    let expected = match known {
                        Some(&(_, old_body, since, first, answer, open)) => {
                            let alive = open || (answer.is_some() && now - since < RETENTION);
                            match (alive, old_body == body, answer) {
                                (false, _, answer) => LookUp::New { expired: answer.is_some() },
                                (true, false, _) => LookUp::Mismatch { first },
                                (true, true, Some(answer)) => LookUp::Replay { first, answer },
                                (true, true, None) => LookUp::InFlight { first },
                            }
                        }
                        None => LookUp::New { expired: false },
                    };
                    // A key that was swept away is new without having expired.
                    let swept = known.is_some_and(|row| now - row.2 >= 2 * RETENTION);
                    if swept && matches!(seen, LookUp::New { .. }) {
                        let new = matches!(expected, LookUp::New { .. });
                        prop_assert!(new, "a swept key was still known");
                    } else {
                        prop_assert_eq!(&seen, &expected);
                    }
                    if matches!(seen, LookUp::New { .. }) {
                        model.log.push((key, body, now, next, None, true));
                    }
                    next += 1;
                }
                Step::Finish { nth } | Step::Free { nth } => {
                    let finish = matches!(step, Step::Finish { .. });
                    let Some(row) = model.log.iter_mut().rev().filter(|row| row.5).nth(nth)
                    else {
                        continue;
                    };
                    row.5 = false;
                    let scoped = slot(&["acct"], &row.0.to_string());
                    if finish {
                        row.4 = Some("done");
                        store.store(scoped, row.3, "done");
                    } else {
                        store.free(scoped, row.3, now);
                    }
                }
            }
        }
    }
}
