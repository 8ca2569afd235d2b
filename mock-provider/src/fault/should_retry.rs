//! `should_retry`: the provider says by a header whether a repeat makes sense, whatever the status says.
//!
//! **Invariant:** whose header it is stands in the API's file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, listed, unusual};
use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute};
use crate::api::Api;
use crate::document::{At, ScalarOr, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static SHOULD_RETRY: FaultKind = FaultKind {
    name: "should_retry",
    group: Group::Ending,
    summary: "A header of the answer overrides what its status says of a repeat.",
    parameters: &[
        (
            "value",
            "required; `false`: do not repeat what the status calls transient; `true`: repeat what it \
             calls permanent; alone it may stand as `should_retry: false`",
        ),
        ("code", "the status, 400 to 599; default 503 for `false` and 400 for `true`"),
        ("at", "`before_commit` (default) or `after_commit`: the work is done all the same"),
    ],
    mistake: "Looking at the status alone: a 503 that says `do not retry` is repeated, a 400 or 409 that \
              says `retry` is given up.",
    example: "should_retry: {value: false}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<bool, Parameters>>(),
    parse,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ShouldRetryFault")]
struct Parameters {
    /// What the header says.
    #[schemars(required)]
    value: Option<bool>,
    /// The status code.
    #[schemars(range(min = 400, max = 599), extend("examples" = [503, 400, 409, 500]))]
    code: Option<u16>,
    /// Whether the work is done; `before_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Copy, Debug)]
struct ShouldRetry {
    value: bool,
    code: u16,
    at: AnswerAt,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(value) => Parameters { value: Some(value), ..Parameters::default() },
        ScalarOr::Map(parameters) => parameters,
    };
    let value = parameters.value?;
    let code = parameters.code.unwrap_or(if value { 400 } else { 503 });
    Some(Arc::new(ShouldRetry { value, code, at: parameters.at.unwrap_or_default() }))
}

impl Fault for ShouldRetry {
    fn kind(&self) -> &'static FaultKind {
        &SHOULD_RETRY
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let ending = Ending::Answer(Substitute {
            status: Some(self.code),
            should_retry: Some(self.value),
            ..Substitute::default()
        });
        Action::End { at: self.at.point(), ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at.point())
    }

    fn detail(&self) -> String {
        let said = format!("{} on {}", self.value, self.code);
        listed([Some(said), unusual(self.at.point())])
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        if api.classes.should_retry.is_none() {
            at.note(
                format!(
                    "the API `{}` has no header that says whether to retry, so no client is judged by \
                     `x-should-retry`",
                    api.name
                ),
                |d| d.cure("name the header in `classes: {should_retry: …}` of the API"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn the_header_says_the_contrary_of_the_status() {
        for (value, said, code, point, detail) in [
            (json!(false), false, 503, Point::BeforeCommit, "false on 503"),
            (json!({"value": true}), true, 400, Point::BeforeCommit, "true on 400"),
            (
                json!({"value": false, "code": 500, "at": "after_commit"}),
                false,
                500,
                Point::AfterCommit,
                "false on 500, after_commit",
            ),
        ] {
            let action = struck(&SHOULD_RETRY, &value);
            let Action::End { at, ending: Ending::Answer(answer) } = action else {
                panic!("{action:?}")
            };
            let found = (answer.should_retry, answer.status, at);
            assert_eq!(found, (Some(said), Some(code), point), "{value}");
            assert_eq!(parsed(&SHOULD_RETRY, &value).detail(), detail);
        }
        let noted = checked(&SHOULD_RETRY, &json!(false), Some("create_charge"));
        assert!(noted[0].message.contains("has no header"), "{noted:?}");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&SHOULD_RETRY, &Value::Null), ["value"]);
        assert_eq!(problems(&SHOULD_RETRY, &json!("no")), [""]);
        assert_eq!(problems(&SHOULD_RETRY, &json!({"value": true, "code": 200})), ["code"]);
    }
}
