//! The provider's queue against a simple model of its own: what is written down of it in words.
//!
//! The model keeps a list of everything that was ever handed out, and works each answer out from that list anew.
//! It looks at the queue as a client does, over requests; the messages of every other operation come twice.
//! **Invariant:** the model shares no code with the queue.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Provider, Setup};
use crate::api::{self, Api};
use crate::document::Diagnostics;
use crate::exchange::{Finish, Next};
use crate::fault::registry;
use crate::hint::WallClock;
use crate::recognition::Submitted;
use crate::request::Request;
use crate::rule::{Rule, Selector, When};
use crate::seed::Seed;

/// How long a message is hidden, in microseconds.
const VISIBILITY_US: u64 = 1_000;

/// How often a message is handed out at most.
const MAX_RECEIVES: usize = 3;

/// What somebody does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Send,
    Receive(usize),
    /// Deletes what was handed out so many times ago.
    Delete(usize),
    LookAtTheDead,
}

fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let act = prop_oneof![
        2 => Just(Act::Send),
        5 => (1..4_usize).prop_map(Act::Receive),
        4 => (0..4_usize).prop_map(Act::Delete),
        1 => Just(Act::LookAtTheDead),
    ];
    proptest::collection::vec((0..700_u64, act), 1..60)
}

/// A time that a message was handed out.
#[derive(Clone, Debug)]
struct HandedOut {
    order: usize,
    /// Which of its copies, from 0.
    copy: usize,
    id: String,
    receipt: String,
    at_us: u64,
}

/// What is known of the queue, in words.
#[derive(Default)]
struct Model {
    /// How many messages were sent; each is known by its place.
    sent: usize,
    handed_out: Vec<HandedOut>,
    /// Message and copy.
    deleted: Vec<(usize, usize)>,
    dead: Vec<usize>,
}

impl Model {
    fn times(&self, order: usize) -> usize {
        self.handed_out.iter().filter(|one| one.order == order).count()
    }

    /// The copies that there are: every other message has a second one from its first time on.
    fn copies(&self, order: usize) -> Vec<usize> {
        let is_doubled = order.is_multiple_of(2) && self.times(order) > 0;
        let all = if is_doubled { vec![0, 1] } else { vec![0] };
        let is_left =
            |copy: &usize| !self.dead.contains(&order) && !self.deleted.contains(&(order, *copy));
        all.into_iter().filter(is_left).collect()
    }

    fn latest(&self, order: usize, copy: usize) -> Option<&HandedOut> {
        self.handed_out.iter().rev().find(|one| (one.order, one.copy) == (order, copy))
    }

    /// The messages that are handed out now, each with its copy; what was handed out too often dies.
    fn receives(&mut self, max: usize, now_us: u64) -> Vec<(usize, usize)> {
        let mut given = Vec::new();
        for order in 1..=self.sent {
            let is_hidden = |copy: &usize| {
                self.latest(order, *copy).is_some_and(|last| last.at_us + VISIBILITY_US > now_us)
            };
            let Some(copy) = self.copies(order).into_iter().find(|copy| !is_hidden(copy)) else {
                continue;
            };
            if given.len() == max {
                break;
            }
            if self.times(order) == MAX_RECEIVES {
                self.dead.push(order);
            } else {
                given.push((order, copy));
            }
        }
        given
    }

    /// The status of a delete with the receipt of a time that a message was handed out.
    fn deletes(&mut self, one: &HandedOut) -> u16 {
        let copies = self.copies(one.order);
        let is_latest =
            self.latest(one.order, one.copy).map(|last| &last.receipt) == Some(&one.receipt);
        if copies.is_empty() {
            return 200;
        }
        if !copies.contains(&one.copy) || !is_latest {
            return 410;
        }
        self.deleted.push((one.order, one.copy));
        200
    }
}

static API: LazyLock<Arc<Api>> = LazyLock::new(|| {
    let problems = Diagnostics::new();
    let (api, _) = api::load("queue", Path::new("."), &problems.root()).expect("shipped");
    let mut api = Arc::unwrap_or_clone(api);
    let policy = api.queue.as_mut().expect("it has a queue");
    policy.visibility_us = VISIBILITY_US;
    policy.max_receives = u32::try_from(MAX_RECEIVES).expect("it is small");
    Arc::new(api)
});

fn provider() -> Provider {
    let problems = Diagnostics::new();
    let kind = registry::find("message").expect("it is a fault");
    let fault = (kind.parse)(&json!("duplicate"), &problems.root()).expect("it is right");
    let (operation, attempt) = (Selector::Every(2), Selector::List(vec![1]));
    let twice = Rule {
        name: "twice".into(),
        when: When { operation, attempt, ..When::default() },
        faults: vec![fault],
    };
    let mut provider = Provider::new(Setup {
        name: "provider".into(),
        api: Arc::clone(&API),
        rules: vec![twice],
        seed: Seed::default(),
        wall: WallClock::Beside(SystemTime::UNIX_EPOCH),
        operation_id: None,
        limits: true,
        http2: false,
        webhooks: false,
    });
    assert!(provider.deliver_by("messages", "send_message"), "it has a queue");
    provider
}

fn ask(
    provider: &mut Provider,
    (method, target): (Method, &str),
    body: &Value,
    now_us: u64,
) -> (u16, Value) {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer qk_test"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let request = Request::sent((method, target), headers, body, now_us);
    let exchange = provider.handle(request, now_us);
    let Next::Answer(answer) = exchange.next else { panic!("no answer but {:?}", exchange.next) };
    let finish = Finish {
        head_at_us: Some(now_us),
        end_at_us: now_us,
        body_bytes: u64::try_from(answer.body.len()).unwrap(),
        complete: true,
        ended: None,
    };
    provider.finish(exchange.id, finish);
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn order_of(message: &Value) -> usize {
    let order = message["body"]["order"].as_str().expect("it says whose it is");
    order.parse().expect("the order is a number")
}

fn agree(acts: &[(u64, Act)]) -> Result<(), TestCaseError> {
    let (mut provider, mut model, mut now_us) = (provider(), Model::default(), 0);
    for (later_us, act) in acts {
        now_us += later_us;
        match *act {
            Act::Send => {
                model.sent += 1;
                let n = u64::try_from(model.sent).unwrap();
                let submitted = Submitted {
                    id: format!("op-{n:04}").into(),
                    n,
                    submit: 1,
                    call: "send_message".into(),
                    input: json!({"order": n.to_string(), "amount": 5}),
                    trace: None,
                };
                provider.register(&submitted, now_us);
            }
            Act::Receive(max) => {
                let place = (Method::POST, "/v1/messages/receive");
                let (status, answer) = ask(&mut provider, place, &json!({"max": max}), now_us);
                let expected = model.receives(max, now_us);
                let found = answer["messages"].as_array().expect("it lists them");
                let orders: Vec<usize> = found.iter().map(order_of).collect();
                let wanted: Vec<usize> = expected.iter().map(|(order, _)| *order).collect();
                prop_assert_eq!((status, orders), (200, wanted), "at {}", now_us);
                for ((order, copy), message) in expected.into_iter().zip(found) {
                    prop_assert_eq!(&message["receives"], model.times(order) + 1);
                    let text = |key: &str| message[key].as_str().unwrap().to_owned();
                    let (id, receipt) = (text("id"), text("receipt"));
                    model.handed_out.push(HandedOut { order, copy, id, receipt, at_us: now_us });
                }
            }
            Act::Delete(ago) => {
                let Some(one) = model.handed_out.iter().rev().nth(ago).cloned() else { continue };
                let target = format!("/v1/messages/{}?receipt={}", one.id, one.receipt);
                let place = (Method::DELETE, &*target);
                let (status, _) = ask(&mut provider, place, &Value::Null, now_us);
                prop_assert_eq!(status, model.deletes(&one), "{:?} at {}", one, now_us);
            }
            Act::LookAtTheDead => {
                let place = (Method::GET, "/v1/dead-letters");
                let (_, answer) = ask(&mut provider, place, &Value::Null, now_us);
                let mut found: Vec<usize> =
                    answer["messages"].as_array().unwrap().iter().map(order_of).collect();
                let mut dead = model.dead.clone();
                found.sort_unstable();
                dead.sort_unstable();
                prop_assert_eq!(found, dead);
            }
        }
    }
    let settled = provider.take_settled();
    let dead = settled.iter().filter(|one| !one.done).count();
    prop_assert_eq!((dead, settled.len() - dead), (model.dead.len(), model.deleted.len()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_queue_does_what_the_model_says(acts in acts()) {
        agree(&acts)?;
    }
}
