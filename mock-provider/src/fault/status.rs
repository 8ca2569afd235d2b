//! `status`: another status in the place of the provider's own answer.
//!
//! **Invariant:** the body is the API's own error for that status unless the scenario gives one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, check_hint, hint_detail, listed, unusual};
use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute, SubstituteBody};
use crate::api::Api;
use crate::document::{At, OneOrMany, decode};
use crate::hint::{HintSpec, RetryAfter};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static STATUS: FaultKind = FaultKind {
    name: "status",
    group: Group::Ending,
    summary: "The provider answers with another status than its own.",
    parameters: &[
        (
            "code",
            "required; 100 to 599, 529 for example. 1xx is an interim answer before the provider's own; \
             301, 302, 303, 307 and 308 lead to `location` in `headers`, without one to the request itself",
        ),
        ("body", "text, or a JSON value; default: the API's own error for that status"),
        ("headers", "headers by name; each a text or a list of texts"),
        (
            "retry_after",
            "a retry hint: `2s`, `{http_date: 3s}`, …, or a bad word such as `garbage`",
        ),
        (
            "at",
            "`before_commit` (default; what throttles strikes where the limiter stands) or \
             `after_commit`: the work is done all the same",
        ),
    ],
    mistake: "Treating every 5xx as `nothing happened`: after `at: after_commit` a repeat without a key \
              does the work twice. Retrying 4xx that can never succeed; not retrying 429 and 503.",
    example: "status: {code: 503, retry_after: 2s}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// Headers that belong to the connection and are written by whoever has the socket.
const OF_THE_CONNECTION: [&str; 5] =
    ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatusFault")]
struct Parameters {
    /// The status code.
    #[schemars(
        required,
        range(min = 100, max = 599),
        extend("examples" = [
            503, 500, 502, 504, 429, 408, 409, 425, 529, 400, 401, 402, 403, 404, 422, 200, 202, 204, 103
        ])
    )]
    code: Option<u16>,
    /// Text, or a JSON value. Without it the API's own error for that status.
    body: Option<Value>,
    /// Headers by name; each a text or a list of texts.
    headers: Option<BTreeMap<String, OneOrMany<String>>>,
    /// A retry hint in the answer.
    retry_after: Option<RetryAfter>,
    /// Whether the work is done; `before_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Debug)]
struct Status {
    code: u16,
    body: Option<Value>,
    headers: Vec<(String, String)>,
    hint: Option<HintSpec>,
    at: AnswerAt,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let code = parameters.code?;
    if code < 200 {
        check_interim(code, value, at);
    }
    let body = parameters.body.filter(|body| !body.is_null());
    if body.is_some() && (code == 204 || code == 304) {
        at.key("body").error(format!("an answer with status {code} has no body"), |d| {
            d.key().cure("leave `body` out, or use another status")
        });
    }
    let hint = parameters.retry_after.map(|hint| hint.0);
    if hint.as_ref().is_some_and(HintSpec::is_in_body)
        && body.as_ref().is_some_and(|body| !body.is_object())
    {
        at.key("retry_after").error("the hint stands in the body, which is no JSON object", |d| {
            d.cure("write `body` as a map, or leave it out")
        });
    }
    Some(Arc::new(Status {
        code,
        body,
        headers: headers(parameters.headers.unwrap_or_default(), &at.key("headers")),
        hint,
        at: parameters.at.unwrap_or_default(),
    }))
}

/// An interim answer is a head and nothing else, and what follows is the provider's own answer.
fn check_interim(code: u16, value: &Value, at: &At<'_>) {
    for key in ["body", "retry_after", "at"] {
        if value.get(key).is_some_and(|value| !value.is_null()) {
            at.key(key).error(format!("the interim answer {code} has no `{key}`"), |d| {
                d.key().cure(format!("leave `{key}` out, or use a status from 200 to 599"))
            });
        }
    }
}

/// The headers in the order of their names; reports what cannot stand on the wire.
fn headers(named: BTreeMap<String, OneOrMany<String>>, at: &At<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, texts) in named {
        let here = at.key(&name);
        let lower = name.to_ascii_lowercase();
        if HeaderName::try_from(&lower).is_err() {
            here.error(format!("`{name}` is no name of a header"), |d| {
                d.key().cure("use letters, digits and hyphens")
            });
        } else if OF_THE_CONNECTION.contains(&lower.as_str()) {
            here.error(format!("`{lower}` is written by the connection itself"), |d| {
                d.key().cure("leave it out; `truncate` and `close` break the framing")
            });
        }
        for (_, text) in texts.iter() {
            if HeaderValue::try_from(text).is_err() {
                here.error("the value cannot stand in a header", |d| {
                    d.cure("leave line breaks and control characters out")
                });
            }
            headers.push((lower.clone(), text.clone()));
        }
    }
    headers
}

impl Fault for Status {
    fn kind(&self) -> &'static FaultKind {
        &STATUS
    }

    fn strike(&self, _: &mut Draw) -> Action {
        if self.code < 200 {
            let ending = Ending::Interim(self.interim_head());
            return Action::End { at: Point::BeforeCommit, ending };
        }
        let body = self.body.as_ref().map(|body| match body.as_str() {
            Some(text) => SubstituteBody::Raw(
                "text/plain; charset=utf-8",
                Bytes::copy_from_slice(text.as_bytes()),
            ),
            None => SubstituteBody::Json(body.clone()),
        });
        let at = self.strikes_at();
        let ending = Ending::Answer(Substitute {
            status: Some(self.code),
            headers: self.headers.clone(),
            body,
            hint: self.hint.clone(),
            // A 429 need not throttle: the API's classes know a used-up quota by the code in its body.
            throttling: false,
            ..Substitute::default()
        });
        Action::End { at, ending }
    }

    fn point(&self) -> Option<Point> {
        (self.code >= 200).then(|| self.strikes_at())
    }

    fn detail(&self) -> String {
        listed([
            Some(self.code.to_string()),
            hint_detail(self.hint.as_ref()),
            unusual(self.at.point()),
        ])
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        check_hint(self.hint.as_ref(), api, at);
    }
}

impl Status {
    fn interim_head(&self) -> Bytes {
        let reason = StatusCode::from_u16(self.code).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or("Interim");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.code);
        for (name, text) in &self.headers {
            head.extend([name.as_str(), ": ", text, "\r\n"]);
        }
        head.push_str("\r\n");
        Bytes::from(head)
    }

    /// A limiter refuses before anything is looked up or done.
    fn strikes_at(&self) -> Point {
        match self.at {
            AnswerAt::BeforeCommit if self.code == 429 => Point::Throttling,
            AnswerAt::BeforeCommit | AnswerAt::AfterCommit => self.at.point(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    fn answer(value: &Value) -> (Point, Substitute) {
        let action = struck(&STATUS, value);
        let Action::End { at, ending: Ending::Answer(answer) } = action else {
            panic!("{action:?}")
        };
        (at, answer)
    }

    #[test]
    fn an_answer_takes_the_place_of_the_providers_own() {
        let (at, plain) = answer(&json!({"code": 503}));
        assert_eq!((at, plain.status, plain.throttling), (Point::BeforeCommit, Some(503), false));
        assert!(plain.body.is_none() && plain.headers.is_empty() && plain.hint.is_none());
        let (at, late) = answer(&json!({"code": 500, "at": "after_commit", "retry_after": "2s"}));
        assert_eq!((at, late.hint), (Point::AfterCommit, Some(HintSpec::Seconds(2_000_000))));
    }

    #[test]
    fn a_429_strikes_where_the_limiter_stands_unless_the_work_is_done() {
        assert_eq!(answer(&json!({"code": 429})).0, Point::Throttling);
        assert_eq!(answer(&json!({"code": 429, "at": "before_commit"})).0, Point::Throttling);
        assert_eq!(answer(&json!({"code": 429, "at": "after_commit"})).0, Point::AfterCommit);
    }

    #[test]
    fn an_interim_answer_is_a_head_before_the_providers_own() {
        for (code, head) in [
            (103, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
            (100, "HTTP/1.1 100 Continue\r\nlink: </a>\r\n\r\n"),
            (199, "HTTP/1.1 199 Interim\r\nlink: </a>\r\n\r\n"),
        ] {
            let value = json!({"code": code, "headers": {"Link": "</a>"}});
            let action = struck(&STATUS, &value);
            assert!(
                matches!(&action, Action::End { ending: Ending::Interim(found), .. } if found == head),
                "{action:?}"
            );
            assert_eq!(parsed(&STATUS, &value).point(), None);
        }
    }

    #[test]
    fn a_body_is_text_or_json() {
        let (_, text) = answer(&json!({"code": 502, "body": "Bad Gateway"}));
        assert!(matches!(&text.body, Some(SubstituteBody::Raw(media, body))
            if media.starts_with("text/plain") && &body[..] == b"Bad Gateway"));
        let (_, map) = answer(&json!({"code": 502, "body": {"error": "x"}}));
        assert!(
            matches!(&map.body, Some(SubstituteBody::Json(body)) if *body == json!({"error": "x"}))
        );
    }

    #[test]
    fn a_header_may_stand_twice() {
        let (_, answer) =
            answer(&json!({"code": 503, "headers": {"X-A": "1", "set-cookie": ["a", "b"]}}));
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            answer.headers,
            [pair("x-a", "1"), pair("set-cookie", "a"), pair("set-cookie", "b")]
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_eq!(
            problems(&STATUS, &json!({"code": 600, "att": "after_commit", "retry_after": "soon"})),
            ["code", "att", "retry_after"]
        );
        assert_eq!(problems(&STATUS, &json!({"body": 1})), ["code"]);
        assert_eq!(problems(&STATUS, &json!({"code": 99})), ["code"]);
        assert_eq!(
            problems(&STATUS, &json!({"code": 103, "at": "after_commit", "body": "x"})),
            ["body", "at"]
        );
        assert_eq!(problems(&STATUS, &json!({"code": 204, "body": "x"})), ["body"]);
        assert_eq!(
            problems(
                &STATUS,
                &json!({"code": 503, "headers": {"a b": "x", "Content-Length": "9", "c": "\n"}})
            ),
            ["headers.Content-Length", "headers.a b", "headers.c"]
        );
        assert_eq!(
            problems(&STATUS, &json!({"code": 503, "body": "x", "retry_after": {"body": "1s"}})),
            ["retry_after"]
        );
    }

    #[test]
    fn the_detail_names_what_is_not_usual() {
        let detail = |value: &Value| parsed(&STATUS, value).detail();
        assert_eq!(detail(&json!({"code": 503})), "503");
        assert_eq!(
            detail(&json!({"code": 500, "at": "after_commit", "retry_after": {"http_date": "3s"}})),
            "500, retry_after http_date: 3s, after_commit"
        );
    }
}
