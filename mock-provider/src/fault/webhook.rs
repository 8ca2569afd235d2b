//! `webhook`: an event is told of twice, late, never, or so that nobody can trust it.
//!
//! **Invariant:** it strikes requests whose work the API tells of by a webhook, and leaves their answer alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::listed;
use super::webhook_fault::WebhookFault;
use super::{Action, Fault, FaultKind, Group};
use crate::api::Api;
use crate::document::{At, ScalarOr, decode};
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static WEBHOOK: FaultKind = FaultKind {
    name: "webhook",
    group: Group::Provider,
    summary: "The event of a request is told of twice, late, never, or so that it cannot be trusted.",
    parameters: &[
        (
            "kind",
            "required; `duplicate`, `reorder`, `delay`, `drop`, `burst`, `bad_signature`, `old_timestamp`, \
             `no_signature`, `retry_until_2xx`, `slow_sender` or `truncated`; alone it may stand as `webhook: \
             KIND`",
        ),
        ("times", "for `duplicate` and `retry_until_2xx`: how often more, 1 to 10; default 1"),
        ("apart", "for `duplicate`: the time from one to the next; default 0ms: all at once"),
        (
            "by",
            "for `delay` and `reorder`: how much later (default 5s and 1s, so that what happens after it is told \
             of before it); for `old_timestamp`: how old (default 10m)",
        ),
        (
            "every",
            "for `burst`: how long events are gathered (default 5s); for `slow_sender`: the pause between \
             two pieces (default 1s)",
        ),
        (
            "bytes",
            "for `slow_sender`: bytes a piece, default 16; for `truncated`: bytes that come, half of the \
             body unless said",
        ),
    ],
    mistake: "Taking an event for new because it has just come, or for the latest because it came last; and \
              believing a body before its signature and its time were looked at.",
    example: "webhook: {kind: duplicate, times: 2, apart: 50ms}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

/// In which way a webhook goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookKind")]
enum Kind {
    /// It is sent more than once.
    Duplicate,
    /// It is sent after events that came after it.
    Reorder,
    /// It is sent late.
    Delay,
    /// It is never sent.
    Drop,
    /// It is sent together with all others of a stretch of time.
    Burst,
    /// Its signature is made with another secret.
    BadSignature,
    /// It is signed with a time long ago.
    OldTimestamp,
    /// It is not signed.
    NoSignature,
    /// The sender overlooks that it was taken, and sends it again by its schedule.
    #[serde(rename = "retry_until_2xx")]
    RetryUntil2xx,
    /// Its body comes in small pieces.
    SlowSender,
    /// Its body ends too soon.
    Truncated,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Delay => "delay",
            Self::Drop => "drop",
            Self::Burst => "burst",
            Self::BadSignature => "bad_signature",
            Self::OldTimestamp => "old_timestamp",
            Self::NoSignature => "no_signature",
            Self::RetryUntil2xx => "retry_until_2xx",
            Self::SlowSender => "slow_sender",
            Self::Truncated => "truncated",
        }
    }

    /// The parameters that it has.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Duplicate => &["times", "apart"],
            Self::Reorder | Self::Delay | Self::OldTimestamp => &["by"],
            Self::Burst => &["every"],
            Self::RetryUntil2xx => &["times"],
            Self::SlowSender => &["bytes", "every"],
            Self::Truncated => &["bytes"],
            Self::Drop | Self::BadSignature | Self::NoSignature => &[],
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookFault")]
struct Parameters {
    /// In which way it goes wrong.
    #[schemars(required)]
    kind: Option<Kind>,
    /// How often more; 1 unless said.
    #[schemars(range(min = 1, max = 10))]
    times: Option<u32>,
    /// The time from one to the next; none unless said.
    apart: Option<Period>,
    /// How much later, or how old.
    by: Option<Period>,
    /// How long events are gathered, or the pause between two pieces.
    every: Option<Period>,
    /// Bytes a piece, or bytes that come.
    #[schemars(range(min = 1, max = 1_000_000))]
    bytes: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Webhook {
    kind: Kind,
    does: WebhookFault,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let bare = |kind| Parameters {
        kind: Some(kind),
        times: None,
        apart: None,
        by: None,
        every: None,
        bytes: None,
    };
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => bare(kind),
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    for (name, is_given) in [
        ("times", parameters.times.is_some()),
        ("apart", parameters.apart.is_some()),
        ("by", parameters.by.is_some()),
        ("every", parameters.every.is_some()),
        ("bytes", parameters.bytes.is_some()),
    ] {
        if is_given && !kind.takes().contains(&name) {
            at.key(name).error(format!("`{}` has no `{name}`", kind.name()), |d| {
                d.key().cure(format!("leave `{name}` out"))
            });
        }
    }
    let us =
        |period: Option<Period>, seconds: u64| period.map_or(seconds * 1_000_000, Period::micros);
    let bytes = parameters.bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let does = match kind {
        Kind::Duplicate => WebhookFault::Duplicate {
            times: parameters.times.unwrap_or(1),
            apart_us: us(parameters.apart, 0),
        },
        Kind::Reorder => WebhookFault::Late { by_us: us(parameters.by, 1) },
        Kind::Delay => WebhookFault::Late { by_us: us(parameters.by, 5) },
        Kind::Drop => WebhookFault::Drop,
        Kind::Burst => WebhookFault::Burst { every_us: us(parameters.every, 5).max(1) },
        Kind::BadSignature => WebhookFault::BadSignature,
        Kind::OldTimestamp => WebhookFault::OldTimestamp { by_us: us(parameters.by, 600) },
        Kind::NoSignature => WebhookFault::NoSignature,
        Kind::RetryUntil2xx => WebhookFault::Unheard { times: parameters.times.unwrap_or(1) },
        Kind::SlowSender => {
            WebhookFault::Slow { bytes: bytes.unwrap_or(16), every_us: us(parameters.every, 1) }
        }
        Kind::Truncated => WebhookFault::Truncated { after_bytes: bytes },
    };
    Some(Arc::new(Webhook { kind, does }))
}

impl Fault for Webhook {
    fn kind(&self) -> &'static FaultKind {
        &WEBHOOK
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Webhook(self.does)
    }

    fn detail(&self) -> String {
        let period = |us: u64| Period::from_micros(us).to_string();
        let more = match self.does {
            WebhookFault::Duplicate { times, apart_us: 0 } => Some(format!("{times} more")),
            WebhookFault::Duplicate { times, apart_us } => {
                Some(format!("{times} more, {} apart", period(apart_us)))
            }
            WebhookFault::Late { by_us } => Some(format!("+{}", period(by_us))),
            WebhookFault::Burst { every_us } => Some(format!("every {}", period(every_us))),
            WebhookFault::OldTimestamp { by_us } => Some(format!("{} old", period(by_us))),
            WebhookFault::Unheard { times } => Some(format!("{times} unheard")),
            WebhookFault::Slow { bytes, every_us } => {
                Some(format!("{bytes} bytes every {}", period(every_us)))
            }
            WebhookFault::Truncated { after_bytes } => {
                after_bytes.map(|bytes| format!("after {bytes} bytes"))
            }
            WebhookFault::Drop | WebhookFault::BadSignature | WebhookFault::NoSignature => None,
        };
        listed([Some(self.kind.name().to_owned()), more])
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let tells = |route: &str| {
            api.webhooks.as_ref().is_some_and(|webhooks| webhooks.events.contains_key(route))
        };
        match route {
            Some(route) if !tells(route) => {
                at.error(format!("nothing tells of `{route}` by a webhook"), |d| {
                    d.cure("strike a route that stands under `webhooks: {events}` in the API file")
                });
            }
            None if api.webhooks.is_none() => {
                at.error(format!("the API `{}` sends no webhooks", api.name), |d| {
                    d.cure("use an API whose file has `webhooks:`, such as `stripe` or `payments`")
                });
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn a_kind_may_stand_alone_or_in_a_map() {
        for (value, expected, detail) in [
            (json!("drop"), WebhookFault::Drop, "drop"),
            (
                json!({"kind": "duplicate", "times": 2, "apart": "50ms"}),
                WebhookFault::Duplicate { times: 2, apart_us: 50_000 },
                "duplicate, 2 more, 50ms apart",
            ),
            (json!("reorder"), WebhookFault::Late { by_us: 1_000_000 }, "reorder, +1s"),
            (
                json!({"kind": "retry_until_2xx", "times": 3}),
                WebhookFault::Unheard { times: 3 },
                "retry_until_2xx, 3 unheard",
            ),
            (
                json!("slow_sender"),
                WebhookFault::Slow { bytes: 16, every_us: 1_000_000 },
                "slow_sender, 16 bytes every 1s",
            ),
            (json!("truncated"), WebhookFault::Truncated { after_bytes: None }, "truncated"),
        ] {
            let action = struck(&WEBHOOK, &value);
            assert!(matches!(action, Action::Webhook(does) if does == expected), "{action:?}");
            assert_eq!(parsed(&WEBHOOK, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&WEBHOOK, &json!("twice")), [""]);
        assert_eq!(problems(&WEBHOOK, &Value::Null), ["kind"]);
        assert_eq!(problems(&WEBHOOK, &json!({"kind": "drop", "by": "1s"})), ["by"]);
        assert_eq!(problems(&WEBHOOK, &json!({"kind": "duplicate", "times": 0})), ["times"]);
    }
}
