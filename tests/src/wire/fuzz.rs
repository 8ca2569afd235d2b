//! Conversations that nobody planned: pieces of requests and of frames, torn, repeated, spoiled and cut off,
//! under a fault. Whatever comes, the provider stays on its feet, and its books are right.

use std::collections::BTreeMap;
use std::time::Duration;

use brownout_provider::event::{Event, EventKind};
use brownout_provider::fault::registry::FAULTS;
use proptest::prelude::*;
use proptest::sample::select;

use super::http2::{BEGIN, frame, request};
use super::stage::{Stage, charge};

/// An API that speaks HTTP/1.1 alone, and one that speaks both.
const HTTP_1: &str = "payments";
const HTTP_2: &str = "payments, http2: true";

/// Longer than any fault below takes, in the provider's time.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// All faults, by their examples, that can strike a charge of this API.
fn faults(api: &'static str) -> impl Strategy<Value = &'static str> {
    let strikes = |inject: &&str| Stage::scenario(api, "create_charge", &struck(inject)).is_ok();
    select(FAULTS.iter().map(|kind| kind.example).filter(strikes).collect::<Vec<_>>())
}

/// A rule that strikes every charge.
fn struck(inject: &str) -> String {
    format!("faults:\n  - {{name: struck, when: {{route: create_charge}}, inject: {{{inject}}}}}\n")
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// The client says that nothing more will come, and listens to the end.
    Shut,
    /// It closes its end.
    Close,
    /// It resets the connection.
    Reset,
}

/// What a client says: bytes, torn into pieces of so many.
#[derive(Clone, Debug)]
struct Talk {
    bytes: Vec<u8>,
    piece: usize,
    leave: Leave,
}

/// What requests of HTTP/1.1 are made of.
const WORDS: [&str; 19] = [
    "GET /v1/charges?order=order-1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n",
    "POST /v1/charges HTTP/1.1\r\n",
    "POST /~op-0002.1/v1/refunds HTTP/1.0\r\n",
    "Host: a\r\n",
    "Authorization: Bearer sk\r\n",
    "Content-Length: 50\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "Expect: 100-continue\r\n",
    "Idempotency-Key: \"a\"\r\n",
    "Content-Type: application/json\r\n",
    "\r\n",
    "5\r\n{\"am\u{f6}\r\n",
    "0\r\n\r\n",
    "{\"amount\":1999,\"currency\":\"usd\",\"order\":\"order-1\"}",
    "{\"amount\":-1,\"amount\":1e400,\"order\":[[[[[]]]]]}",
    "\0\u{7f}\r",
];

/// A piece of a conversation of HTTP/1.1.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => ("op-000[123]", prop_oneof![Just(""), Just("Idempotency-Key: k\r\n")])
            .prop_map(|(operation, headers)| charge(&operation, headers).into_bytes()),
        3 => select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// What conversations of HTTP/2 are made of.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![4 => 0_u32..8, 1 => any::<u32>()];
    let body = prop::collection::vec(any::<u8>(), 0..24);
    prop_oneof![
        3 => (0_u32..4, 1_u8..4)
            .prop_map(|(nth, operation)| request(2 * nth + 1, &format!("op-000{operation}"))),
        3 => (0_u8..11, prop_oneof![Just(0_u8), Just(1), Just(4), Just(5), any::<u8>()], stream, body)
            .prop_map(|(kind, flags, stream, body)| frame((kind, flags, stream), &body)),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Some of these in a row, with a few bytes spoiled and the end cut off now and then.
fn talk(pieces: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Talk> {
    (
        prop::collection::vec(pieces, 0..8),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        prop::option::of(any::<prop::sample::Index>()),
        prop_oneof![Just(usize::MAX), 1_usize..40],
        select(&[Leave::Shut, Leave::Close, Leave::Reset][..]),
    )
        .prop_map(|(pieces, spoiled, cut, piece, leave)| {
            let mut bytes = pieces.concat();
            if !bytes.is_empty() {
                for (place, byte) in spoiled {
                    *place.get_mut(&mut bytes) = byte;
                }
                bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
            }
            Talk { bytes, piece, leave }
        })
}

/// Every effect was asked for, every request has come to one end, and nothing was counted twice.
fn check_books(events: &[Event]) -> Result<(), TestCaseError> {
    let mut asked: BTreeMap<u64, u32> = BTreeMap::new();
    let mut effects = 0;
    for event in events {
        if let EventKind::RequestReceived(request) = &event.kind {
            prop_assert!(asked.insert(request.request, 0).is_none(), "{event:?}");
        }
        if let EventKind::EffectCommitted(effect) = &event.kind {
            effects += 1;
            prop_assert_eq!(effect.effect, effects, "{:?}", event);
            prop_assert!(asked.contains_key(&effect.request), "{event:?}");
        }
        if let EventKind::ResponseSent(sent) = &event.kind {
            let Some(answers) = asked.get_mut(&sent.request) else { panic!("{event:?}") };
            *answers += 1;
        }
    }
    prop_assert!(asked.values().all(|answers| *answers <= 1), "{asked:?}");
    Ok(())
}

/// A conversation under a fault, and then somebody who asks as one should.
async fn converse(api: &str, inject: &str, talk: &Talk) -> Result<(), TestCaseError> {
    let stage = Stage::with(api, "create_charge", &struck(inject)).await;
    let mut raw = stage.connect().await;
    for piece in talk.bytes.chunks(talk.piece) {
        raw.send_as_far_as_taken(piece).await;
        stage.settle().await;
    }
    match talk.leave {
        Leave::Shut => {
            raw.shut_down().await;
            // A hang ends only when the client closes, which it does now.
            let _ = stage.clock.within(PATIENCE, raw.rest_or_reset()).await;
            drop(raw);
        }
        Leave::Close => drop(raw),
        Leave::Reset => raw.reset(),
    }
    let idle = stage.clock.within(PATIENCE, stage.server.idle()).await;
    prop_assert!(idle.is_some(), "something is left to do");
    let mut raw = stage.connect().await;
    raw.send("GET /v1/charges?order=none HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n")
        .await;
    let answer = stage.clock.within(PATIENCE, raw.answer()).await;
    prop_assert!(answer.as_ref().is_some_and(|answer| answer.status() == "200"), "{answer:?}");
    drop(raw);
    check_books(&stage.over().await)
}

fn run(api: &str, inject: &str, talk: &Talk) -> Result<(), TestCaseError> {
    let mut paused = tokio::runtime::Builder::new_current_thread();
    let runtime = paused.enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(converse(api, inject, talk))
}

proptest! {
    #![proptest_config(crate::fuzz::config(200))]

    #[test]
    fn no_conversation_of_http_1_upsets_the_provider(inject in faults(HTTP_1), talk in talk(text())) {
        run(HTTP_1, inject, &talk)?;
    }

    #[test]
    fn no_conversation_of_http_2_upsets_the_provider(
        inject in faults(HTTP_2),
        begins in prop::bool::weighted(0.9),
        talk in talk(frames()),
    ) {
        let begin = if begins { BEGIN } else { &[] };
        let talk = Talk { bytes: [begin, &talk.bytes].concat(), ..talk };
        run(HTTP_2, inject, &talk)?;
    }
}
