//! `early_response`: the provider answers before it has read the upload, and closes.
//!
//! **Invariant:** the body of the request is never read, so nothing is done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute};
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static EARLY_RESPONSE: FaultKind = FaultKind {
    name: "early_response",
    group: Group::Ending,
    summary: "The provider answers when it has seen the head of the request, and closes without the body.",
    parameters: &[(
        "code",
        "the status, 400 to 599; default 503; the body is the API's own error for it",
    )],
    mistake: "Writing all of an upload before reading anything, so that the write fails or goes on for \
              nothing, and the answer that says why is lost.",
    example: "early_response: {code: 413}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EarlyResponseFault")]
struct Parameters {
    /// The status; 503 unless said.
    #[schemars(range(min = 400, max = 599), extend("examples" = [503, 413, 401, 429]))]
    code: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct EarlyResponse(u16);

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let code = parameters.code.unwrap_or(503);
    if !(400..=599).contains(&code) {
        at.key("code").error(format!("{code} does not refuse an upload"), |d| {
            d.cure("use a status from 400 to 599")
        });
    }
    Some(Arc::new(EarlyResponse(code)))
}

impl Fault for EarlyResponse {
    fn kind(&self) -> &'static FaultKind {
        &EARLY_RESPONSE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let ending = Ending::Answer(Substitute {
            status: Some(self.0),
            headers: vec![("connection".to_owned(), "close".to_owned())],
            ..Substitute::default()
        });
        Action::End { at: Point::Accept, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::Accept)
    }

    fn detail(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_answer_comes_at_the_door() {
        for (value, code) in [(json!(null), 503), (json!({"code": 413}), 413)] {
            let action = struck(&EARLY_RESPONSE, &value);
            assert!(
                matches!(
                    &action,
                    Action::End { at: Point::Accept, ending: Ending::Answer(answer) }
                        if answer.status == Some(code)
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&EARLY_RESPONSE, &value).detail(), code.to_string());
        }
        for code in [200, 399, 600] {
            assert_eq!(problems(&EARLY_RESPONSE, &json!({"code": code})), ["code"]);
        }
    }
}
