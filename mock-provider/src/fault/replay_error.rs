//! `replay_error`: an error is stored under the key, and comes back for ever.
//!
//! **Invariant:** the stored error is the answer that this request got, and no repeat does the work.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, listed, unusual};
use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static REPLAY_ERROR: FaultKind = FaultKind {
    name: "replay_error",
    group: Group::Ending,
    summary: "The provider answers with an error, stores it under the idempotency key, and replays it to \
              every repeat.",
    parameters: &[
        ("code", "400 to 599; default 500"),
        ("at", "`before_commit` (default) or `after_commit`: the work is done all the same"),
    ],
    mistake: "Repeating for ever with a key that can only give the stored error; making a new key without \
              looking up whether the work was done.",
    example: "replay_error: {code: 500, at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayErrorFault")]
struct Parameters {
    /// The status; 500 unless said.
    #[schemars(range(min = 400, max = 599), extend("examples" = [500, 503]))]
    code: Option<u16>,
    /// Whether the work is done; `before_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Copy, Debug)]
struct ReplayError {
    status: u16,
    at: AnswerAt,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let status = parameters.code.unwrap_or(500);
    if !(400..=599).contains(&status) {
        at.key("code").error(format!("`{status}` is no error"), |d| d.cure("use 400 to 599"));
        return None;
    }
    Some(Arc::new(ReplayError { status, at: parameters.at.unwrap_or_default() }))
}

impl Fault for ReplayError {
    fn kind(&self) -> &'static FaultKind {
        &REPLAY_ERROR
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let ending = Ending::Answer(Substitute {
            status: Some(self.status),
            kept: true,
            ..Substitute::default()
        });
        Action::End { at: self.at.point(), ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at.point())
    }

    fn detail(&self) -> String {
        listed([Some(self.status.to_string()), unusual(self.at.point())])
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let keyed = match route {
            Some(name) => api.route_named(name).is_none_or(|route| route.keyed),
            None => api.routes.iter().any(|route| route.keyed),
        };
        if !keyed {
            at.note("there are no idempotency keys here under which an error could be kept", |d| {
                d.cure("strike a route on which the API honors keys, or use `status`")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn an_error_is_answered_and_kept() {
        for (value, point, code, detail) in [
            (Value::Null, Point::BeforeCommit, 500, "500"),
            (
                json!({"code": 402, "at": "after_commit"}),
                Point::AfterCommit,
                402,
                "402, after_commit",
            ),
        ] {
            let action = struck(&REPLAY_ERROR, &value);
            let Action::End { at, ending: Ending::Answer(answer) } = action else {
                panic!("{action:?}")
            };
            assert_eq!((at, answer.status, answer.kept), (point, Some(code), true));
            assert_eq!(parsed(&REPLAY_ERROR, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for code in [200, 399, 600] {
            assert_eq!(problems(&REPLAY_ERROR, &json!({"code": code})), ["code"]);
        }
        assert_eq!(checked(&REPLAY_ERROR, &Value::Null, Some("get_charge")).len(), 1);
    }
}
