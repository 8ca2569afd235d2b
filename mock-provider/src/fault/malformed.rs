//! `malformed`: the status says success and the body cannot be used.
//!
//! How a body is broken stands in [`crate::malformed`]; here is what a scenario says of it.
//! **Invariant:** a kind that nobody could detect on a route is refused by the checker, so that no
//! client is accused of taking what looks right in every respect.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, listed};
use super::{Action, Ending, Fault, FaultKind, Group, Malformed, Point};
use crate::api::{Api, Kind as FieldKind, Pointer, Route, Source};
use crate::document::{At, ScalarOr, decode};
use crate::malformed::Kind;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static MALFORMED: FaultKind = FaultKind {
    name: "malformed",
    group: Group::Ending,
    summary: "The answer has a success status and a body that no client can use.",
    parameters: &[
        (
            "kind",
            "required; `truncated_json`, `html_page`, `html_as_json`, `error_in_200`, `empty_body`, \
             `empty_object`, `missing_field` or `wrong_amount`; alone it may stand as `malformed: KIND`",
        ),
        (
            "field",
            "a JSON pointer, for `missing_field` (default: `/id`, else the first field that the route \
             needs) and `wrong_amount` (default: the first number that the route echoes)",
        ),
        ("at", "`after_commit` (default; the work is done) or `before_commit` (nothing is done)"),
    ],
    mistake: "Reading the status alone and reporting success; crashing in the parser without saying what \
              became of the charge; retrying what was done.",
    example: "malformed: {kind: missing_field, field: /id}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MalformedFault")]
struct Parameters {
    /// In which way the body is broken.
    #[schemars(required)]
    kind: Option<Kind>,
    /// The field that `missing_field` or `wrong_amount` is about, as a JSON pointer.
    field: Option<String>,
    /// Whether the work is done; `after_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Debug)]
struct MalformedAnswer {
    kind: Kind,
    field: Option<String>,
    at: Point,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => Parameters { kind: Some(kind), field: None, at: None },
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    if let Some(field) = &parameters.field {
        let here = at.key("field");
        if !kind.has_field() {
            here.error(format!("`{}` is not about one field", kind.name()), |d| {
                d.key().cure("leave `field` out, or use `missing_field` or `wrong_amount`")
            });
        } else if field.is_empty() || Pointer::new(field).is_none() {
            here.error(format!("`{field}` is no JSON pointer to a field"), |d| {
                d.cure(format!(
                    "begin with a slash: `/{}`",
                    field.trim_start_matches(['/', '$', '.'])
                ))
            });
        }
    }
    let point = parameters.at.map_or(Point::AfterCommit, AnswerAt::point);
    Some(Arc::new(MalformedAnswer { kind, field: parameters.field, at: point }))
}

impl Fault for MalformedAnswer {
    fn kind(&self) -> &'static FaultKind {
        &MALFORMED
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        let how = Malformed { kind: self.kind, field: self.field.clone(), bits: draw.bits() };
        Action::End { at: self.at, ending: Ending::Malformed(how) }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at)
    }

    fn detail(&self) -> String {
        let at = (self.at != Point::AfterCommit).then(|| self.at.name().to_owned());
        listed([Some(self.kind.name().to_owned()), self.field.clone(), at])
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let routes: Vec<&Route> = api
            .routes
            .iter()
            .filter(|one| route.is_none_or(|name| *one.name == *name))
            .map(|one| &**one)
            .collect();
        let mut problems = routes.iter().map(|route| self.undetectable(route));
        // Without a route the rule meets all; one on which the fault can be seen is enough.
        let Some(Some(why)) = problems.next() else { return };
        if problems.any(|problem| problem.is_none()) {
            return;
        }
        let place = route.map_or_else(|| "on any route".to_owned(), |name| format!("on `{name}`"));
        if self.kind.has_field() {
            at.error(format!("nobody could detect `{}` {place}: {why}", self.kind.name()), |d| {
                d.cure("strike another route, or use another kind, such as `truncated_json`")
            });
        } else {
            at.note(
                format!("`{}` leaves the answer usable {place}: {why}", self.kind.name()),
                |d| d.cure("a client that takes it is right; strike another route to test it"),
            );
        }
    }
}

impl MalformedAnswer {
    /// Why a client cannot tell the malformed answer of this route from a good one.
    fn undetectable(&self, route: &Route) -> Option<String> {
        let needs = |field: &str| {
            route.needs.iter().any(|(need, _)| {
                need.as_str()
                    .strip_prefix(field)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let mut echoes = route.echoes.iter().map(|(echo, _)| echo.as_str());
        match (self.kind, self.field.as_deref()) {
            (Kind::WrongAmount, Some(field)) => (!echoes.any(|echo| echo == field))
                .then(|| format!("`{field}` repeats nothing that the request said")),
            (Kind::WrongAmount, None) => {
                (!route.echoes.iter().any(|(_, from)| may_be_number(route, from)))
                    .then(|| "no number in the answer repeats what the request said".to_owned())
            }
            (Kind::MissingField, Some(field)) => {
                (!needs(field)).then(|| format!("`{field}` is not needed"))
            }
            (Kind::TruncatedJson | Kind::HtmlPage | Kind::HtmlAsJson | Kind::EmptyBody, _) => {
                (route.needs.is_empty() && route.echoes.is_empty())
                    .then(|| "nothing in the answer is needed".to_owned())
            }
            (Kind::MissingField, None) | (Kind::ErrorIn200 | Kind::EmptyObject, _) => {
                route.needs.is_empty().then(|| "nothing in the answer is needed".to_owned())
            }
        }
    }
}

/// True unless the API says that what the request said there is no number.
fn may_be_number(route: &Route, from: &Source) -> bool {
    match from {
        Source::Path(_) | Source::Query(_) => false,
        Source::Body(pointer) => {
            let rule = route.fields.iter().find(|(field, _)| field == pointer);
            let kind = rule.and_then(|(_, rule)| rule.kind);
            kind.is_none_or(|kind| matches!(kind, FieldKind::Integer | FieldKind::Number))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;
    use crate::document::Severity;

    fn answer(value: &Value) -> (Point, Malformed) {
        let action = struck(&MALFORMED, value);
        let Action::End { at, ending: Ending::Malformed(how) } = action else {
            panic!("{action:?}")
        };
        (at, how)
    }

    #[test]
    fn a_kind_may_stand_alone_or_in_a_map() {
        for kind in Kind::ALL {
            let (at, how) = answer(&json!(kind.name()));
            assert_eq!((at, how.kind, how.field), (Point::AfterCommit, kind, None));
        }
        let (at, how) =
            answer(&json!({"kind": "missing_field", "field": "/id", "at": "before_commit"}));
        assert_eq!(
            (at, how.kind, how.field.as_deref()),
            (Point::BeforeCommit, Kind::MissingField, Some("/id"))
        );
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&MALFORMED, &json!("html")), [""]);
        assert_eq!(problems(&MALFORMED, &Value::Null), ["kind"]);
        assert_eq!(problems(&MALFORMED, &json!({"kind": "html", "at": "accept"})), ["kind", "at"]);
        assert_eq!(problems(&MALFORMED, &json!({"kind": "html_page", "field": "/id"})), ["field"]);
        for field in ["id", "", "$.id"] {
            let value = json!({"kind": "wrong_amount", "field": field});
            assert_eq!(problems(&MALFORMED, &value), ["field"], "{field}");
        }
    }

    #[test]
    fn the_detail_names_kind_field_and_an_unusual_point() {
        let detail = |value: &Value| parsed(&MALFORMED, value).detail();
        assert_eq!(detail(&json!("html_page")), "html_page");
        assert_eq!(
            detail(&json!({"kind": "missing_field", "field": "/id", "at": "before_commit"})),
            "missing_field, /id, before_commit"
        );
    }

    #[test]
    fn what_nobody_could_detect_is_refused() {
        let refused = |value: &Value, route: Option<&str>| {
            let found = checked(&MALFORMED, value, route);
            found.iter().any(|problem| problem.severity == Severity::Error)
        };
        let amount = json!("wrong_amount");
        for (route, expected) in [
            (Some("create_charge"), false),
            (Some("get_charge"), true),
            (Some("list_charges"), true),
            (Some("notify"), true),
            (None, false),
        ] {
            assert_eq!(refused(&amount, route), expected, "{route:?}");
        }
        for (kind, field, expected) in [
            ("wrong_amount", "/amount", false),
            ("wrong_amount", "/created", true),
            ("missing_field", "/id", false),
            ("missing_field", "/created", true),
        ] {
            let value = json!({"kind": kind, "field": field});
            assert_eq!(refused(&value, Some("create_charge")), expected, "{kind} {field}");
        }
        assert!(checked(&MALFORMED, &json!("html_page"), Some("create_charge")).is_empty());
    }
}
