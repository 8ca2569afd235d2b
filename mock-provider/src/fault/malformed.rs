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
use crate::api::{Api, Pointer, Route};
use crate::document::{At, ScalarOr, decode};
use crate::malformed::{Kind, MOST_BYTES, is_undetectable};
use crate::seed::Draw;
use crate::units::Size;

/// How large something is unless the scenario says it.
const USUAL_BYTES: u64 = 1 << 20;

/// The registry's entry.
pub(super) static MALFORMED: FaultKind = FaultKind {
    name: "malformed",
    group: Group::Ending,
    summary: "The answer has a success status and a body that no client can use.",
    parameters: &[
        (
            "kind",
            "required; alone it may stand as `malformed: KIND`. No answer at all: `truncated_json`, \
             `invalid_utf8`, `html_page`, `html_as_json`, `empty_body`, `no_content` (204), `json_null`, \
             `empty_object`, `plain_text`, `error_in_200`. Another shape: `missing_field`, `null_field`, \
             `wrong_type`, `renamed_field`, `unknown_enum`, `extra_nesting`, `duplicate_keys`. Too much: \
             `huge_body`, `deep_nesting`, `gzip_bomb`. Wrongly labelled or packed: `wrong_content_type`, \
             `wrong_charset`, `byte_order_mark`, `bad_gzip`, `truncated_gzip`. Another content: \
             `someone_elses_answer`, `stale_answer`, `wrong_amount`",
        ),
        (
            "field",
            "a JSON pointer, for `missing_field`, `null_field`, `wrong_type` and `renamed_field` (default: \
             `/id`, else the first field that the route needs), `unknown_enum` (default: the first field \
             that only takes listed values) and `wrong_amount` (default: the first number that the route \
             echoes, else the first that it needs to be of a certain size, which is then too small)",
        ),
        ("size", "for `huge_body` and `gzip_bomb`, unpacked: `2B` to `64MiB`; default `1MiB`"),
        ("at", "`after_commit` (default; the work is done) or `before_commit` (nothing is done)"),
    ],
    mistake: "Reading the status alone and reporting success; crashing in the parser without saying what \
              became of the charge; retrying what was done; taking the answer of somebody else.",
    example: "malformed: {kind: missing_field, field: /id}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MalformedFault")]
struct Parameters {
    /// In which way the body is broken.
    #[schemars(required)]
    kind: Option<Kind>,
    /// The field that the kind is about, as a JSON pointer.
    field: Option<String>,
    /// How many bytes the body has, unpacked; `1MiB` unless said.
    size: Option<Size>,
    /// Whether the work is done; `after_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Debug)]
struct MalformedAnswer {
    kind: Kind,
    field: Option<String>,
    size: Option<Size>,
    at: Point,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => Parameters { kind: Some(kind), ..Parameters::default() },
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    if let Some(field) = &parameters.field {
        check_field(kind, field, &at.key("field"));
    }
    if let Some(size) = parameters.size {
        let here = at.key("size");
        if !kind.has_size() {
            here.error(format!("`{}` has no size", kind.name()), |d| {
                d.key().cure("leave `size` out, or use `huge_body` or `gzip_bomb`")
            });
        } else if !(2..=MOST_BYTES).contains(&size.bytes()) {
            let most = Size::from_bytes(MOST_BYTES);
            here.error(format!("`{size}` is not between `2B` and `{most}`"), |d| {
                d.cure(format!("use at most `{most}`, so that nobody's machine is hurt"))
            });
        }
    }
    let point = parameters.at.map_or(Point::AfterCommit, AnswerAt::point);
    let Parameters { field, size, .. } = parameters;
    Some(Arc::new(MalformedAnswer { kind, field, size, at: point }))
}

fn check_field(kind: Kind, field: &str, here: &At<'_>) {
    if !kind.has_field() {
        here.error(format!("`{}` is not about one field", kind.name()), |d| {
            d.key()
                .cure("leave `field` out, or use a kind such as `missing_field` or `wrong_amount`")
        });
    } else if field.is_empty() || Pointer::new(field).is_none() {
        here.error(format!("`{field}` is no JSON pointer to a field"), |d| {
            d.cure(format!("begin with a slash: `/{}`", field.trim_start_matches(['/', '$', '.'])))
        });
    }
}

impl Fault for MalformedAnswer {
    fn kind(&self) -> &'static FaultKind {
        &MALFORMED
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        Action::End { at: self.at, ending: Ending::Malformed(self.how(draw.bits())) }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at)
    }

    fn detail(&self) -> String {
        let at = (self.at != Point::AfterCommit).then(|| self.at.name().to_owned());
        let size = self.size.map(|size| size.to_string());
        listed([Some(self.kind.name().to_owned()), self.field.clone(), size, at])
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let mut routes =
            api.routes.iter().filter(|one| route.is_none_or(|name| *one.name == *name));
        let how = self.how(0);
        let Some(first) = routes.clone().next() else { return };
        // Without a route the rule meets all; one on which the fault can be seen is enough.
        if !routes.all(|route| is_undetectable(&how, api, route)) {
            return;
        }
        let (name, why) = (self.kind.name(), self.why(first));
        let place = route.map_or_else(|| "on any route".to_owned(), |name| format!("on `{name}`"));
        if self.kind.is_a_lie() {
            at.error(format!("nobody could detect `{name}` {place}: {why}"), |d| {
                d.cure("strike another route, or use another kind, such as `truncated_json`")
            });
        } else if self.at == Point::BeforeCommit && first.is_effectful() {
            at.error(
                format!(
                    "nobody could detect `{name}` {place}: {why}, and the answer tells of work that was \
                     not done"
                ),
                |d| d.cure("leave `at` out, so that the work is done"),
            );
        } else {
            at.note(format!("`{name}` leaves the answer usable {place}: {why}"), |d| {
                d.cure("a client that takes it is right; to test what it refuses, use another kind")
            });
        }
    }
}

impl MalformedAnswer {
    fn how(&self, bits: u64) -> Malformed {
        let size = self.size.map_or(USUAL_BYTES, Size::bytes);
        Malformed { kind: self.kind, field: self.field.clone(), size, bits }
    }

    /// Why a client cannot tell the malformed answer of this route from a good one.
    fn why(&self, route: &Route) -> String {
        match (self.kind, self.field.as_deref()) {
            (kind, _) if kind.stays_usable() => "what it says is right".to_owned(),
            (Kind::WrongAmount, Some(field)) => {
                format!("`{field}` repeats nothing that the request said, and may be of any size")
            }
            (Kind::WrongAmount, None) => {
                "no number in the answer repeats what the request said, or needs to be of a certain size".to_owned()
            }
            (Kind::SomeoneElsesAnswer, _) => {
                "nothing in the answer that tells operations apart repeats what the request said"
                    .to_owned()
            }
            (Kind::StaleAnswer | Kind::UnknownEnum, None) => {
                "no field of the answer needs a certain value".to_owned()
            }
            (_, Some(field)) => format!("`{field}` is not needed"),
            (_, None) if route.needs.is_empty() && route.echoes.is_empty() => {
                "nothing in the answer is needed".to_owned()
            }
            (_, None) => "what the route needs is still there".to_owned(),
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
        for size in ["1B", "65MiB", "0B"] {
            let value = json!({"kind": "gzip_bomb", "size": size});
            assert_eq!(problems(&MALFORMED, &value), ["size"], "{size}");
        }
        assert_eq!(problems(&MALFORMED, &json!({"kind": "html_page", "size": "1KiB"})), ["size"]);
        for field in ["id", "", "$.id"] {
            let value = json!({"kind": "wrong_amount", "field": field});
            assert_eq!(problems(&MALFORMED, &value), ["field"], "{field}");
        }
    }

    #[test]
    fn the_detail_names_kind_field_and_an_unusual_point() {
        let detail = |value: &Value| parsed(&MALFORMED, value).detail();
        assert_eq!(detail(&json!("html_page")), "html_page");
        assert_eq!(detail(&json!({"kind": "gzip_bomb", "size": "1024KiB"})), "gzip_bomb, 1MiB");
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
            ("null_field", "/status", false),
            ("wrong_type", "/id", false),
            // `"1999"` for 1999 is what a lenient reader takes.
            ("wrong_type", "/amount", true),
            ("unknown_enum", "/currency", false),
            ("unknown_enum", "/created", true),
        ] {
            let value = json!({"kind": kind, "field": field});
            assert_eq!(refused(&value, Some("create_charge")), expected, "{kind} {field}");
        }
        assert!(checked(&MALFORMED, &json!("html_page"), Some("create_charge")).is_empty());
        assert!(refused(&json!("someone_elses_answer"), Some("list_charges")));
    }

    #[test]
    fn what_stays_usable_is_noted_and_refused_where_nothing_was_done() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.stays_usable()) {
            let found = |value: &Value, route| checked(&MALFORMED, value, Some(route));
            let noted = found(&json!(kind.name()), "create_charge");
            assert_eq!(noted[0].severity, Severity::Note, "{noted:?}");
            assert!(noted[0].message.contains("leaves the answer usable"), "{noted:?}");
            let early = json!({"kind": kind.name(), "at": "before_commit"});
            assert_eq!(found(&early, "create_charge")[0].severity, Severity::Error);
            assert_eq!(found(&early, "get_charge")[0].severity, Severity::Note);
        }
    }
}
