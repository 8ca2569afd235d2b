//! What the provider has to tell its users: which events, signed with what, when, and when again.
//!
//! Knows nothing of sockets and of where its users listen.
//! **Invariant:** every event that is to be sent is sent until a success is heard or its schedule ends, and then
//! never again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::api::Webhooks;
use crate::exchange::Pace;
use crate::fault::WebhookFault;
use crate::signature::Flaw;

/// Something that happened, and its users are to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurred {
    /// The event's id, the same over all deliveries.
    pub id: Arc<str>,
    /// Its type: `charge.succeeded`.
    pub kind: Arc<str>,
    /// The operation that brought it about.
    pub operation: Arc<str>,
    /// Its submit.
    pub submit: u32,
    /// The body.
    pub body: Bytes,
}

/// A delivery that is due at a time, in microseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The number of the delivery.
    pub delivery: u64,
    /// When.
    pub at_us: u64,
}

/// A webhook, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Bytes,
    /// The body goes out in pieces.
    pub pace: Option<Pace>,
    /// The body ends after so many bytes, and the connection with it.
    pub cut: Option<usize>,
    /// How long to wait for an answer, in microseconds.
    pub timeout_us: u64,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

/// One delivery of an event, and the state that it is in.
#[derive(Debug)]
struct Delivery {
    event: Arc<Occurred>,
    is_signed: Signed,
    age_us: u64,
    unheard: u32,
    pace: Option<Pace>,
    /// `Some(None)` is half of the body.
    cut: Option<Option<usize>>,
    tries: u32,
    /// The last answer says that the service does not want it, and would say so again.
    is_refused: bool,
}

/// How old a timestamp may be that a service believes, in seconds; all the dialects recommend it.
const TOLERANCE_S: u64 = 300;

impl Delivery {
    /// What is wrong with it as it is sent.
    fn flaw(&self) -> Option<Flaw> {
        match self.is_signed {
            Signed::Wrongly => Some(Flaw::BadSignature),
            Signed::Not => Some(Flaw::NoSignature),
            Signed::Rightly if self.age_us / 1_000_000 > TOLERANCE_S => Some(Flaw::OldTimestamp),
            Signed::Rightly if self.cut.is_some() => Some(Flaw::Truncated),
            Signed::Rightly => self.pace.map(|_| Flaw::SlowSender),
        }
    }
}

/// With what a delivery is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signed {
    Rightly,
    Wrongly,
    Not,
}

/// The events of a provider that are still to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    open: BTreeMap<u64, Delivery>,
    last: u64,
}

/// What became of a delivery that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is over.
    Over,
    /// It is due again.
    Again(Due),
}

impl Outbox {
    /// An event has occurred: when it is to be sent, which is never or several times where a fault says so.
    pub fn occurred(&mut self, event: Occurred, faults: &[WebhookFault], now_us: u64) -> Vec<Due> {
        let event = Arc::new(event);
        let mut delivery = Delivery {
            event: Arc::clone(&event),
            is_signed: Signed::Rightly,
            age_us: 0,
            unheard: 0,
            pace: None,
            cut: None,
            tries: 0,
            is_refused: false,
        };
        let (mut at_us, mut repeats, mut is_dropped) = (now_us, (0, 0), false);
        for fault in faults {
            match *fault {
                WebhookFault::Duplicate { times, apart_us } => repeats = (times, apart_us),
                WebhookFault::Late { by_us } => at_us = at_us.saturating_add(by_us),
                WebhookFault::Burst { every_us } => {
                    at_us = at_us.div_ceil(every_us.max(1)).saturating_mul(every_us.max(1));
                }
                WebhookFault::Drop => is_dropped = true,
                WebhookFault::BadSignature => delivery.is_signed = Signed::Wrongly,
                WebhookFault::OldTimestamp { by_us } => delivery.age_us = by_us,
                WebhookFault::NoSignature => delivery.is_signed = Signed::Not,
                WebhookFault::Unheard { times } => delivery.unheard = times,
                WebhookFault::Slow { bytes, every_us } => {
                    delivery.pace = Some(Pace { bytes: bytes.max(1), every_us });
                }
                WebhookFault::Truncated { after_bytes } => delivery.cut = Some(after_bytes),
            }
        }
        if is_dropped {
            return Vec::new();
        }
        let (times, apart_us) = repeats;
        let due = (0..=times).map(|nth| {
            self.last += 1;
            let one = Delivery { event: Arc::clone(&event), ..delivery };
            self.open.insert(self.last, one);
            let later = apart_us.saturating_mul(u64::from(nth));
            Due { delivery: self.last, at_us: at_us.saturating_add(later) }
        });
        due.collect()
    }

    /// A delivery is sent now: its event, which time it is (from 1), and what goes out; `at_s` is the second
    /// since 1970. `None` for a delivery that is over.
    pub fn send(
        &mut self,
        delivery: u64,
        api: &Webhooks,
        at_s: u64,
    ) -> Option<(Arc<Occurred>, u32, Parcel)> {
        let one = self.open.get_mut(&delivery)?;
        one.tries += 1;
        let (id, body) = (&one.event.id, &one.event.body);
        let at_s = at_s.saturating_sub(one.age_us / 1_000_000);
        let key = match one.is_signed {
            Signed::Rightly => Some(api.key.clone()),
            Signed::Wrongly => Some(api.key.iter().map(|byte| byte ^ 0xff).collect()),
            Signed::Not => None,
        };
        let parcel = Parcel {
            headers: api.dialect.headers(key.as_deref(), id, at_s, body),
            body: body.clone(),
            pace: one.pace,
            cut: one.cut.map(|after| after.unwrap_or(body.len() / 2).min(body.len())),
            timeout_us: api.timeout_us,
            flaw: one.flaw(),
        };
        Some((Arc::clone(&one.event), one.tries, parcel))
    }

    /// A delivery was answered with this status, or not at all.
    pub fn answered(
        &mut self,
        delivery: u64,
        status: Option<u16>,
        api: &Webhooks,
        now_us: u64,
    ) -> After {
        let Some(one) = self.open.get_mut(&delivery) else { return After::Over };
        let mut taken = status.is_some_and(|status| (200..300).contains(&status));
        if taken && one.unheard > 0 {
            one.unheard -= 1;
            taken = false;
        }
        let may_pass = |status: u16| matches!(status, 408 | 425 | 429);
        one.is_refused =
            status.is_some_and(|status| (400..500).contains(&status) && !may_pass(status));
        // 410 says that nobody listens there any more.
        let is_over = taken || status == Some(410);
        let tries = usize::try_from(one.tries).unwrap_or(usize::MAX);
        let wait_us = api.retry_us.get(tries.saturating_sub(1)).filter(|_| !is_over);
        match wait_us {
            Some(wait_us) => After::Again(Due { delivery, at_us: now_us.saturating_add(*wait_us) }),
            None => {
                self.open.remove(&delivery);
                After::Over
            }
        }
    }

    /// What a delivery tells of, while it is not over.
    #[must_use]
    pub fn event_of(&self, delivery: u64) -> Option<Arc<Occurred>> {
        self.open.get(&delivery).map(|one| Arc::clone(&one.event))
    }

    /// True while some delivery of an event is not over.
    #[must_use]
    pub fn tells_of(&self, event: &str) -> bool {
        self.open.values().any(|one| *one.event.id == *event)
    }

    /// How many deliveries are still owed to the service: never sent, or to be sent again although it did not refuse
    /// them. What it refused, as it should what is forged, is sent again by the schedule and tells it nothing new.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.open.values().filter(|one| !one.is_refused).count()
    }

    /// How many deliveries are not over.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::signature::Dialect;
    use crate::template::Tree;

    use super::*;

    fn api() -> Webhooks {
        Webhooks {
            dialect: Dialect::Stripe,
            secret: "whsec_a".to_owned(),
            key: b"whsec_a".to_vec(),
            retry_us: vec![5_000_000, 60_000_000],
            timeout_us: 15_000_000,
            events: BTreeMap::new(),
            body: Tree::Constant(serde_json::Value::Null),
            prefix: "evt_".to_owned(),
            collection: None,
        }
    }

    fn event() -> Occurred {
        Occurred {
            id: "evt_1".into(),
            kind: "charge.succeeded".into(),
            operation: "op-0001".into(),
            submit: 1,
            body: Bytes::from_static(b"{\"id\":\"evt_1\"}"),
        }
    }

    fn sent(fault: WebhookFault) -> (u64, Parcel, Parcel) {
        let mut outbox = Outbox::default();
        let due = outbox.occurred(event(), &[fault], 1_000_000);
        let honest = Outbox::default().occurred(event(), &[], 1_000_000);
        assert_eq!(honest, [Due { delivery: 1, at_us: 1_000_000 }]);
        let mut calm = Outbox::default();
        let _ = calm.occurred(event(), &[], 0);
        let (_, _, parcel) = outbox.send(1, &api(), 1_700_000_000).expect("it is open");
        let (_, _, right) = calm.send(1, &api(), 1_700_000_000).expect("it is open");
        (due[0].at_us, parcel, right)
    }

    #[test]
    fn an_event_is_sent_until_a_success_is_heard_or_its_schedule_ends() {
        let mut outbox = Outbox::default();
        let _ = outbox.occurred(event(), &[], 0);
        let mut at_us = 0;
        for (status, expected) in [(Some(500), 5_000_000), (None, 65_000_000)] {
            let (_, _, _) = outbox.send(1, &api(), 0).expect("it is open");
            let After::Again(due) = outbox.answered(1, status, &api(), at_us) else {
                panic!("it is sent again")
            };
            assert_eq!((due.delivery, due.at_us), (1, expected));
            at_us = due.at_us;
        }
        let (_, tries, _) = outbox.send(1, &api(), 0).expect("it is open");
        assert_eq!(tries, 3);
        assert_eq!(outbox.answered(1, Some(500), &api(), at_us), After::Over);
        assert_eq!((outbox.pending(), outbox.send(1, &api(), 0)), (0, None));

        let _ = outbox.occurred(event(), &[], 0);
        let _ = outbox.send(2, &api(), 0);
        assert_eq!(outbox.answered(2, Some(204), &api(), 0), After::Over);
        let _ = outbox.occurred(event(), &[], 0);
        let _ = outbox.send(3, &api(), 0);
        assert_eq!(outbox.answered(3, Some(410), &api(), 0), After::Over);
    }

    #[test]
    fn what_a_service_refused_is_not_owed_to_it() {
        for (status, owed) in [(Some(400), 0), (Some(429), 1), (Some(503), 1), (None, 1)] {
            let mut outbox = Outbox::default();
            let _ = outbox.occurred(event(), &[], 0);
            assert_eq!(outbox.owed(), 1, "it was never sent");
            let _ = outbox.send(1, &api(), 0);
            let _ = outbox.answered(1, status, &api(), 0);
            assert_eq!((outbox.pending(), outbox.owed()), (1, owed), "{status:?}");
        }
    }

    #[test]
    fn a_success_may_go_unheard() {
        let mut outbox = Outbox::default();
        let _ = outbox.occurred(event(), &[WebhookFault::Unheard { times: 1 }], 0);
        let _ = outbox.send(1, &api(), 0);
        assert!(matches!(outbox.answered(1, Some(200), &api(), 0), After::Again(_)));
        let _ = outbox.send(1, &api(), 0);
        assert_eq!(outbox.answered(1, Some(200), &api(), 0), After::Over);
    }

    #[test]
    fn times_and_numbers_are_as_the_faults_say() {
        let mut outbox = Outbox::default();
        let twice = WebhookFault::Duplicate { times: 2, apart_us: 50 };
        let due = outbox.occurred(event(), &[twice, WebhookFault::Late { by_us: 1_000 }], 10);
        let at: Vec<(u64, u64)> = due.iter().map(|due| (due.delivery, due.at_us)).collect();
        assert_eq!(at, [(1, 1_010), (2, 1_060), (3, 1_110)]);
        assert_eq!(outbox.occurred(event(), &[WebhookFault::Drop], 0), []);
        let burst = WebhookFault::Burst { every_us: 5_000_000 };
        assert_eq!(outbox.occurred(event(), &[burst], 1)[0].at_us, 5_000_000);
        assert_eq!(outbox.occurred(event(), &[burst], 5_000_000)[0].at_us, 5_000_000);
        assert_eq!(outbox.pending(), 5);
    }

    #[test]
    fn signatures_bodies_and_paces_are_as_the_faults_say() {
        let (_, parcel, right) = sent(WebhookFault::BadSignature);
        assert_ne!(parcel.headers, right.headers);
        assert_eq!((parcel.headers.len(), &parcel.body), (1, &right.body));
        assert_eq!((parcel.flaw, right.flaw), (Some(Flaw::BadSignature), None));
        let (_, bare, _) = sent(WebhookFault::NoSignature);
        assert_eq!((bare.headers.len(), bare.flaw), (0, Some(Flaw::NoSignature)));
        let (_, old, _) = sent(WebhookFault::OldTimestamp { by_us: 600_000_000 });
        assert!(old.headers[0].1.starts_with("t=1699999400,v1="), "{old:?}");
        for (by_us, flaw) in [(300_999_999, None), (301_000_000, Some(Flaw::OldTimestamp))] {
            assert_eq!(sent(WebhookFault::OldTimestamp { by_us }).1.flaw, flaw, "{by_us} µs");
        }
        assert_eq!(sent(WebhookFault::Truncated { after_bytes: None }).1.cut, Some(7));
        assert_eq!(sent(WebhookFault::Truncated { after_bytes: Some(99) }).1.cut, Some(14));
        let (_, slow, _) = sent(WebhookFault::Slow { bytes: 0, every_us: 9 });
        assert_eq!(slow.pace, Some(Pace { bytes: 1, every_us: 9 }));
    }
}
