//! `conflict`: the provider says that the first request with this key is still in progress.
//!
//! **Invariant:** the answer is the API's own for a key in progress, never one made up here.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, check_hint, hint_detail, listed, unusual};
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::api::Api;
use crate::document::{At, decode};
use crate::hint::{HintSpec, RetryAfter};
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static CONFLICT: FaultKind = FaultKind {
    name: "conflict",
    group: Group::Ending,
    summary: "The provider answers that the idempotency key is still in progress (409 in most APIs).",
    parameters: &[
        ("for", "how long the key stays in progress, whoever asks; default: this request alone"),
        ("retry_after", "a retry hint in the answer, as for `rate_limited`"),
        ("at", "`before_commit` (default) or `after_commit`: the work is done all the same"),
    ],
    mistake: "Taking the 409 for a failure and coming back with a new key, which does the work twice; or \
              for a success.",
    example: "conflict: {for: 2s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConflictFault")]
struct Parameters {
    /// How long the key stays in progress, whoever asks; without it, for this request alone.
    r#for: Option<Period>,
    /// A retry hint in the answer.
    retry_after: Option<RetryAfter>,
    /// Whether the work is done; `before_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Debug)]
struct Conflict {
    lasts: Option<Period>,
    hint: Option<HintSpec>,
    at: AnswerAt,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(Conflict {
        lasts: parameters.r#for,
        hint: parameters.retry_after.map(|hint| hint.0),
        at: parameters.at.unwrap_or_default(),
    }))
}

impl Fault for Conflict {
    fn kind(&self) -> &'static FaultKind {
        &CONFLICT
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let for_us = self.lasts.map_or(0, Period::micros);
        let ending = Ending::InFlight { for_us, hint: self.hint.clone() };
        Action::End { at: self.at.point(), ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at.point())
    }

    fn detail(&self) -> String {
        listed([
            self.lasts.map(|period| format!("for {period}")),
            hint_detail(self.hint.as_ref()),
            unusual(self.at.point()),
        ])
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        check_hint(self.hint.as_ref(), api, at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_key_is_in_progress_for_a_time() {
        let action = struck(&CONFLICT, &Value::Null);
        assert!(
            matches!(
                action,
                Action::End {
                    at: Point::BeforeCommit,
                    ending: Ending::InFlight { for_us: 0, hint: None }
                }
            ),
            "{action:?}"
        );
        let value = json!({"for": "2s", "retry_after": "1s", "at": "after_commit"});
        let action = struck(&CONFLICT, &value);
        assert!(
            matches!(
                &action,
                Action::End {
                    at: Point::AfterCommit,
                    ending: Ending::InFlight {
                        for_us: 2_000_000,
                        hint: Some(HintSpec::Seconds(_))
                    }
                }
            ),
            "{action:?}"
        );
        let fault = parsed(&CONFLICT, &value);
        assert_eq!(fault.detail(), "for 2s, retry_after 1s, after_commit");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&CONFLICT, &json!({"for": 2, "at": "accept"})), ["for", "at"]);
    }
}
