//! Webhooks: a dialect, a secret that fits it, and routes that are there.

use std::sync::Arc;

use super::super::raw::RawWebhooks;
use super::super::route::Route;
use super::super::webhooks::{WEBHOOK_NAMES, Webhooks};
use super::required;
use crate::document::At;
use crate::signature::Dialect;
use crate::template::Tree;
use crate::units::Period;

/// The waits before a webhook is sent again, in seconds, where the file does not say.
const RETRY_S: [u64; 6] = [5, 300, 1_800, 7_200, 18_000, 36_000];

/// How long the sender waits for an answer, in microseconds, where the file does not say.
const TIMEOUT_US: u64 = 15_000_000;

pub(super) fn webhooks(raw: &RawWebhooks, routes: &[Arc<Route>], at: &At<'_>) -> Option<Webhooks> {
    let dialect = required(raw.signature, "signature", at);
    let secret = required(raw.secret.clone(), "secret", at);
    let body = required(raw.body.as_ref(), "body", at);
    let body = body.and_then(|body| Tree::resolve(body, &WEBHOOK_NAMES, &at.key("body")));
    let events = required(raw.events.as_ref(), "events", at)?;
    for route in events.keys() {
        if routes.iter().all(|one| *one.name != **route) {
            let names = routes.iter().map(|one| &*one.name);
            at.key("events")
                .key(route)
                .error(format!("there is no route `{route}`"), |d| d.key().allowed(route, names));
        }
    }
    let (dialect, secret) = (dialect?, secret?);
    let key = dialect.key(&secret).map_err(|error| {
        at.key("secret").error(error.to_string(), |d| {
            d.cure("write one such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`")
        });
    });
    let retry_us = match &raw.retry {
        Some(waits) => waits.iter().map(|wait| wait.micros()).collect(),
        None => RETRY_S.iter().map(|wait| wait * 1_000_000).collect(),
    };
    let prefix = match dialect {
        Dialect::Stripe => "evt_",
        Dialect::StandardWebhooks => "msg_",
    };
    Some(Webhooks {
        dialect,
        secret,
        key: key.ok()?,
        retry_us,
        timeout_us: raw.timeout.map_or(TIMEOUT_US, Period::micros),
        events: events
            .iter()
            .map(|(route, kind)| (route.as_str().into(), kind.as_str().into()))
            .collect(),
        body: body?,
        prefix: raw.id.clone().unwrap_or_else(|| prefix.to_owned()),
        collection: raw.collection.as_deref().map(Into::into),
    })
}
