//! What several faults share: the words for points, hints in answers, and cuts of a connection.
//!
//! **Invariant:** a word in YAML means the same point in every fault that knows it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Ending, Fault, FaultKind, Point};
use crate::api::Api;
use crate::document::{At, decode};
use crate::exchange::End;
use crate::hint::HintSpec;
use crate::seed::Draw;

/// The routes that a fault takes, where it takes none of those that a rule can strike.
pub(super) fn taken_elsewhere<'a>(
    fault: &dyn Fault,
    api: &'a Api,
    route: Option<&str>,
) -> Option<Vec<&'a str>> {
    let mut routes = api.routes.iter().filter(|one| route.is_none_or(|name| *one.name == *name));
    if routes.clone().next().is_none() || routes.any(|one| fault.takes(one)) {
        return None;
    }
    Some(api.routes.iter().filter(|one| fault.takes(one)).map(|one| &*one.name).collect())
}

/// Where an answer takes the place of the provider's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnswerAt {
    /// Nothing was done.
    #[default]
    BeforeCommit,
    /// The work is done, and its answer is lost.
    AfterCommit,
}

impl AnswerAt {
    pub(super) const fn point(self) -> Point {
        match self {
            Self::BeforeCommit => Point::BeforeCommit,
            Self::AfterCommit => Point::AfterCommit,
        }
    }
}

/// Where the client is struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientAt {
    /// Nothing was done.
    #[default]
    BeforeCommit,
    /// The work is done, and nothing of its answer was written.
    AfterCommit,
    /// The work is done, and the head and half of the body were written.
    MidBody,
}

impl ClientAt {
    pub(super) const fn point(self) -> Point {
        match self {
            Self::BeforeCommit => Point::BeforeCommit,
            Self::AfterCommit => Point::AfterCommit,
            Self::MidBody => Point::MidBody,
        }
    }
}

/// Where a connection can go silent or end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireAt {
    /// Only the head of the request has been read.
    Accept,
    /// Nothing was done.
    #[default]
    BeforeCommit,
    /// The work is done, and nothing of its answer was written.
    AfterCommit,
    /// The work is done, and the head and a part of the body were written.
    MidBody,
}

impl WireAt {
    pub(super) const fn point(self) -> Point {
        match self {
            Self::Accept => Point::Accept,
            Self::BeforeCommit => Point::BeforeCommit,
            Self::AfterCommit => Point::AfterCommit,
            Self::MidBody => Point::MidBody,
        }
    }
}

/// What happens to a connection after its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    /// A polite close.
    #[default]
    Fin,
    /// A reset.
    Rst,
    /// Silence, until the client closes.
    Stall,
}

impl Then {
    pub(super) const fn end(self) -> End {
        match self {
            Self::Fin => End::Fin,
            Self::Rst => End::Rst,
            Self::Stall => End::Stall,
        }
    }
}

/// The end of a connection at some point: what `reset`, `close` and `half_close` do, each in its own way.
#[derive(Clone, Copy, Debug)]
struct WireEnd {
    kind: &'static FaultKind,
    at: WireAt,
    after_bytes: u64,
    then: End,
    connection: bool,
}

/// The parameters of `reset`, `close` and `half_close`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WireEndParameters {
    /// Where the connection ends; `before_commit` unless said.
    at: Option<WireAt>,
    /// With `at: mid_body`, how many bytes of the body go out first; 1 unless said. The last byte of the
    /// body never goes out.
    after_bytes: Option<u64>,
    /// Over HTTP/2: true for the whole connection, with all that goes on over it; else the stream alone.
    connection: Option<bool>,
}

/// The documentation of [`WireEndParameters`].
pub(super) const WIRE_END_PARAMETERS: &[(&str, &str)] = &[
    ("at", "`accept`, `before_commit` (default), `after_commit` or `mid_body`"),
    (
        "after_bytes",
        "with `at: mid_body`: bytes of the body that go out first, from 0; default 1; the last byte is \
         kept back however large the number",
    ),
    (
        "connection",
        "over HTTP/2: `true` for the whole connection, with every request that is under way over it; \
         default: the stream of this request alone",
    ),
];

/// Reads `reset`, `close` or `half_close`; `then` says in which way the connection ends.
pub(super) fn wire_end(
    kind: &'static FaultKind,
    then: End,
    value: &Value,
    here: &At<'_>,
) -> Option<Arc<dyn Fault>> {
    let parameters: WireEndParameters = decode(value, here)?;
    let at = parameters.at.unwrap_or_default();
    if parameters.after_bytes.is_some() && at != WireAt::MidBody {
        here.key("after_bytes")
            .error(format!("no byte of the body is written `at: {}`", at.point().name()), |d| {
                d.key().cure("say `at: mid_body`, or leave `after_bytes` out")
            });
    }
    let after_bytes = parameters.after_bytes.unwrap_or(1);
    let connection = parameters.connection == Some(true);
    Some(Arc::new(WireEnd { kind, at, after_bytes, then, connection }))
}

impl Fault for WireEnd {
    fn kind(&self) -> &'static FaultKind {
        self.kind
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let after_bytes = (self.at == WireAt::MidBody).then_some(self.after_bytes);
        let (then, connection) = (self.then, self.connection);
        let ending = Ending::Cut { after_bytes, then, connection };
        Action::End { at: self.at.point(), ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at.point())
    }

    fn detail(&self) -> String {
        let connection = self.connection.then(|| "the whole connection".to_owned());
        let place = match self.at {
            WireAt::MidBody => format!("mid_body after {}", bytes(self.after_bytes)),
            WireAt::Accept | WireAt::BeforeCommit | WireAt::AfterCommit => {
                self.at.point().name().to_owned()
            }
        };
        listed([Some(place), connection])
    }

    fn http2_only(&self) -> bool {
        self.connection
    }
}

/// Reports that a fault at the door knows no route.
pub(super) fn only_time(route: Option<&str>, at: &At<'_>) {
    if let Some(route) = route {
        at.error(
            format!("this strikes before any request is known, and knows no route `{route}`"),
            |d| d.key().cure("under `when` say `provider` and `during` alone"),
        );
    }
}

/// One of these status codes, under the key `code`; reports any other.
pub(super) fn status_of(code: Option<u16>, allowed: &[u16], at: &At<'_>) -> Option<u16> {
    let status = code?;
    if allowed.contains(&status) {
        return Some(status);
    }
    let words: Vec<String> = allowed.iter().map(u16::to_string).collect();
    at.key("code").error(format!("`{status}` is not an answer to this"), |d| {
        d.cure(format!("use one of {}", words.join(", ")))
    });
    None
}

/// `1 byte`, `20 bytes`.
pub(super) fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// The words of a detail that are there, with commas between them.
pub(super) fn listed<const N: usize>(words: [Option<String>; N]) -> String {
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `after_commit`, where that is not what anybody would assume.
pub(super) fn unusual(point: Point) -> Option<String> {
    (point != Point::BeforeCommit).then(|| point.name().to_owned())
}

/// `retry_after 2s`, where there is a hint.
pub(super) fn hint_detail(hint: Option<&HintSpec>) -> Option<String> {
    hint.map(|hint| format!("retry_after {hint}"))
}

/// Says so when the API does not know the spelling of a hint, so that no client is judged by it.
pub(super) fn check_hint(hint: Option<&HintSpec>, api: &Api, here: &At<'_>) {
    let unknown = match hint {
        Some(HintSpec::MsHeader(_)) if api.hint.ms_header.is_none() => "in milliseconds",
        Some(HintSpec::Body(_) | HintSpec::Contradictory) if api.hint.body.is_none() => {
            "in the body"
        }
        Some(HintSpec::AmzMs(_)) if api.hint.ms_header.as_deref() != Some("x-amz-retry-after") => {
            "by that name"
        }
        Some(HintSpec::RateLimitReset { .. }) if api.hint.reset.is_none() => {
            "in the reset of a limit"
        }
        _ => return,
    };
    here.key("retry_after").note(
        format!("the API `{}` has no retry hint {unknown}, so no client is judged by it", api.name),
        |d| d.cure("use `seconds` or `http_date`, or add the spelling to the API's `hint`"),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::registry;
    use super::super::testing::{parsed, problems, struck};
    use super::*;

    /// The faults that end the connection, and how.
    fn wire_ends() -> [(&'static FaultKind, End); 3] {
        let kind = |name| registry::find(name).expect("it is registered");
        [(kind("close"), End::Fin), (kind("reset"), End::Rst), (kind("half_close"), End::Half)]
    }

    #[test]
    fn the_connection_ends_where_and_how_it_is_told_to() {
        for (kind, end) in wire_ends() {
            for (value, point, bytes, detail) in [
                (json!(null), Point::BeforeCommit, None, "before_commit"),
                (json!({"at": "accept"}), Point::Accept, None, "accept"),
                (json!({"at": "after_commit"}), Point::AfterCommit, None, "after_commit"),
                (json!({"at": "mid_body"}), Point::MidBody, Some(1), "mid_body after 1 byte"),
                (
                    json!({"at": "mid_body", "after_bytes": 20}),
                    Point::MidBody,
                    Some(20),
                    "mid_body after 20 bytes",
                ),
            ] {
                let action = struck(kind, &value);
                assert!(
                    matches!(
                        action,
                        Action::End { at, ending: Ending::Cut { after_bytes, then, .. } }
                            if at == point && after_bytes == bytes && then == end
                    ),
                    "{kind:?}: {action:?}"
                );
                let fault = parsed(kind, &value);
                assert_eq!(fault.kind().name, kind.name);
                assert_eq!(fault.point(), Some(point));
                assert_eq!(fault.detail(), detail);
            }
        }
    }

    #[test]
    fn bytes_are_counted_in_the_body_alone() {
        for (kind, _) in wire_ends() {
            for (value, wrong) in [
                (json!({"after_bytes": 3}), "after_bytes"),
                (json!({"at": "mid_body", "after_bytes": -3}), "after_bytes"),
                (json!({"at": "middle"}), "at"),
            ] {
                assert_eq!(problems(kind, &value), [wrong]);
            }
        }
    }
}
