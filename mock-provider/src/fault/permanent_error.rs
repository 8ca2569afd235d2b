//! `permanent_error`: a refusal that no repeat will ever change.
//!
//! **Invariant:** it is told by the API's own error of that name, where there is one, so that a client can
//! know it by what the vendor's documentation says.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute};
use crate::api::{Api, ErrorContext, Which};
use crate::document::{At, ScalarOr, decode};
use crate::event::Class;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static PERMANENT_ERROR: FaultKind = FaultKind {
    name: "permanent_error",
    group: Group::Ending,
    summary: "The provider refuses for good, in the API's own words.",
    parameters: &[(
        "kind",
        "required; `validation` (400), `auth` (401), `forbidden` (403), `not_found` (404), `too_large` \
         (413), `unsupported_media` (415), `insufficient_quota` or `spend_limit` (429s that never heal); \
         alone it may stand as `permanent_error: KIND`",
    )],
    mistake: "Repeating what can never work, above all a 429 that says that the quota is used up: the \
              status is that of a limit, and only the code in the body tells the two apart.",
    example: "permanent_error: {kind: insufficient_quota}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PermanentErrorFault")]
struct Parameters {
    /// Why it is refused.
    #[schemars(required)]
    kind: Option<Kind>,
}

/// Why a request is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PermanentErrorKind")]
enum Kind {
    /// The request is not as the API demands.
    Validation,
    /// No key, or a wrong one.
    Auth,
    /// The key does not allow this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The request is too large.
    TooLarge,
    /// The body is of a type that the API does not read.
    UnsupportedMedia,
    /// What was paid for is used up.
    InsufficientQuota,
    /// The account may spend no more.
    SpendLimit,
}

impl Kind {
    /// The word in YAML, the name of the error in API files, and the status where an API has none.
    const fn spelled(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Validation => ("validation", "invalid_request", 400),
            Self::Auth => ("auth", "unauthorized", 401),
            Self::Forbidden => ("forbidden", "forbidden", 403),
            Self::NotFound => ("not_found", "not_found", 404),
            Self::TooLarge => ("too_large", "too_large", 413),
            Self::UnsupportedMedia => ("unsupported_media", "unsupported_media", 415),
            Self::InsufficientQuota => ("insufficient_quota", "insufficient_quota", 429),
            Self::SpendLimit => ("spend_limit", "spend_limit", 429),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct PermanentError {
    kind: Kind,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let kind = match decode(value, at)? {
        ScalarOr::Scalar(kind) => kind,
        ScalarOr::Map(Parameters { kind }) => kind?,
    };
    Some(Arc::new(PermanentError { kind }))
}

impl Fault for PermanentError {
    fn kind(&self) -> &'static FaultKind {
        &PERMANENT_ERROR
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let (_, name, status) = self.kind.spelled();
        let ending = Ending::Answer(Substitute {
            status: Some(status),
            named: Some(name),
            ..Substitute::default()
        });
        Action::End { at: self.strikes_at(), ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.strikes_at())
    }

    fn detail(&self) -> String {
        self.kind.spelled().0.to_owned()
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        let (word, name, status) = self.kind.spelled();
        let which = api.named_or(Some(name), Which::Status(status));
        let context = ErrorContext { code: api.code_of(Some(name)), ..ErrorContext::default() };
        let Ok(rendered) = api.errors.render(which, &context) else { return };
        let body = rendered.body.unwrap_or_default().to_string();
        let class = api.class(rendered.status, &rendered.headers, body.as_bytes());
        if class != Class::Permanent {
            at.note(
                format!(
                    "nothing tells `{word}` of the API `{}` from an error that heals, so no client is \
                     judged by it",
                    api.name
                ),
                |d| d.cure(format!("give the API an error `{name}`, and its code to `classes: codes`")),
            );
        }
    }
}

impl PermanentError {
    /// A 429 comes from where the limiter stands.
    fn strikes_at(self) -> Point {
        if self.kind.spelled().2 == 429 { Point::Throttling } else { Point::BeforeCommit }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn each_kind_is_an_error_of_the_api_by_its_name() {
        for (word, name, status, at) in [
            ("validation", "invalid_request", 400, Point::BeforeCommit),
            ("auth", "unauthorized", 401, Point::BeforeCommit),
            ("forbidden", "forbidden", 403, Point::BeforeCommit),
            ("not_found", "not_found", 404, Point::BeforeCommit),
            ("too_large", "too_large", 413, Point::BeforeCommit),
            ("unsupported_media", "unsupported_media", 415, Point::BeforeCommit),
            ("insufficient_quota", "insufficient_quota", 429, Point::Throttling),
            ("spend_limit", "spend_limit", 429, Point::Throttling),
        ] {
            for value in [json!(word), json!({"kind": word})] {
                let action = struck(&PERMANENT_ERROR, &value);
                let Action::End { at: found, ending: Ending::Answer(answer) } = action else {
                    panic!("{action:?}")
                };
                assert_eq!((answer.status, answer.named, found), (Some(status), Some(name), at));
            }
            assert_eq!(parsed(&PERMANENT_ERROR, &json!(word)).detail(), word);
            let noted = checked(&PERMANENT_ERROR, &json!(word), Some("create_charge"));
            assert!(noted.is_empty(), "{word}: {noted:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&PERMANENT_ERROR, &json!("quota")), [""]);
        assert_eq!(problems(&PERMANENT_ERROR, &Value::Null), [""]);
        assert_eq!(problems(&PERMANENT_ERROR, &json!({"kind": "auth", "at": "accept"})), ["at"]);
    }
}
