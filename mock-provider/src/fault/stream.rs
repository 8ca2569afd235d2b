//! `stream`: a stream of server-sent events goes wrong.
//!
//! **Invariant:** it strikes requests that are answered in a stream, and no others.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::listed;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::api::{Api, StreamSpec};
use crate::document::{At, ScalarOr, decode};
use crate::exchange::End;
use crate::seed::Draw;
use crate::stream::{Broken, Kind};

/// The registry's entry.
pub(super) static STREAM: FaultKind = FaultKind {
    name: "stream",
    group: Group::Ending,
    summary: "A stream of server-sent events breaks off, goes silent, or says something else than it should.",
    parameters: &[
        (
            "kind",
            "required; `cut`, `stall`, `garbage_event`, `error_event`, `no_terminator`, `duplicate_event`, \
             `reordered_events`, `split_utf8` or `length`; alone it may stand as `stream: KIND`",
        ),
        (
            "after",
            "events that come before it, from 0; half of them unless said; the last event, which says that \
             the answer is whole, is never among them",
        ),
        (
            "then",
            "for `cut`: `fin` (default) or `rst`, which break the framing, or `clean`, which ends the answer \
             in perfect order",
        ),
    ],
    mistake: "Taking the end of the connection for the end of the answer: most packages report a stream that \
              ends in order as whole, though its last event never came; or buying the answer again after half \
              of it was shown.",
    example: "stream: {kind: cut, after: 3, then: clean}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamFault")]
struct Parameters {
    /// In which way the stream goes wrong.
    #[schemars(required)]
    kind: Option<Kind>,
    /// Events that come before it; half of them unless said.
    after: Option<u64>,
    /// How a `cut` ends; `fin` unless said.
    then: Option<Then>,
}

/// How a stream that is cut ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StreamEnd")]
enum Then {
    /// The connection is closed in the middle of the framing.
    #[default]
    Fin,
    /// The connection is reset.
    Rst,
    /// The answer ends as HTTP wants it.
    Clean,
}

impl Then {
    const fn end(self) -> Option<End> {
        match self {
            Self::Fin => Some(End::Fin),
            Self::Rst => Some(End::Rst),
            Self::Clean => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Clean => "clean",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    kind: Kind,
    after: Option<u64>,
    then: Then,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => Parameters { kind: Some(kind), after: None, then: None },
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    if parameters.after.is_some() && !kind.has_place() {
        at.key("after").error(format!("`{}` happens at no one event", kind.name()), |d| {
            d.key().cure("leave `after` out")
        });
    }
    if parameters.then.is_some() && kind != Kind::Cut {
        at.key("then").error(format!("`{}` does not end the connection", kind.name()), |d| {
            d.key().cure("leave `then` out, or use the kind `cut`")
        });
    }
    let then = parameters.then.unwrap_or_default();
    Some(Arc::new(Stream { kind, after: parameters.after, then }))
}

impl Fault for Stream {
    fn kind(&self) -> &'static FaultKind {
        &STREAM
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let then = self.then.end();
        let how = Broken { kind: self.kind, after: self.after, then };
        Action::End { at: Point::MidBody, ending: Ending::Stream(how) }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::MidBody)
    }

    fn detail(&self) -> String {
        let events = |count: u64| if count == 1 { "event" } else { "events" };
        listed([
            Some(self.kind.name().to_owned()),
            self.after.map(|after| format!("after {after} {}", events(after))),
            (self.kind == Kind::Cut).then(|| self.then.name().to_owned()),
        ])
    }

    fn streams_only(&self) -> bool {
        true
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let streams = streams(api, route);
        check_streams(&streams, route, at);
        if self.kind == Kind::Length
            && streams.iter().all(|stream| stream.length.is_empty())
            && !streams.is_empty()
        {
            at.error(
                format!("the API `{}` does not say how an answer ends that is too long", api.name),
                |d| {
                    d.cure(
                        "add `length:` to the route's `stream`, or use `{kind: cut, then: clean}`",
                    )
                },
            );
        }
        let counted = streams.iter().any(|stream| stream.sequence.is_some());
        if matches!(self.kind, Kind::DuplicateEvent | Kind::ReorderedEvents)
            && !counted
            && !streams.is_empty()
        {
            at.note(
                format!(
                    "`{}` leaves the answer usable: nothing in the stream numbers the events",
                    self.kind.name()
                ),
                |d| {
                    d.cure(
                        "a client that takes it is right; use another kind to test what it checks",
                    )
                },
            );
        }
    }
}

/// The streams of a route, or of all routes.
pub(super) fn streams<'a>(api: &'a Api, route: Option<&str>) -> Vec<&'a StreamSpec> {
    let wanted = api.routes.iter().filter(|one| route.is_none_or(|name| *one.name == *name));
    wanted.filter_map(|one| one.stream.as_ref()).collect()
}

/// Reports that nothing is ever answered in a stream.
pub(super) fn check_streams(streams: &[&StreamSpec], route: Option<&str>, at: &At<'_>) {
    if streams.is_empty() {
        let who = route
            .map_or_else(|| "no route of the API".to_owned(), |name| format!("`{name}` never"));
        at.error(format!("{who} answers in a stream"), |d| {
            d.cure("strike a route that has `stream:` in its API file, or use `truncate`")
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn a_kind_may_stand_alone_or_in_a_map() {
        for kind in Kind::ALL {
            let action = struck(&STREAM, &json!(kind.name()));
            let Action::End { at: Point::MidBody, ending: Ending::Stream(how) } = action else {
                panic!("{action:?}")
            };
            assert_eq!((how.kind, how.after, how.then), (kind, None, Some(End::Fin)));
        }
        let value = json!({"kind": "cut", "after": 1, "then": "clean"});
        let action = struck(&STREAM, &value);
        assert!(matches!(
            action,
            Action::End { ending: Ending::Stream(Broken { after: Some(1), then: None, .. }), .. }
        ));
        assert_eq!(parsed(&STREAM, &value).detail(), "cut, after 1 event, clean");
        assert_eq!(parsed(&STREAM, &json!("no_terminator")).detail(), "no_terminator");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&STREAM, &json!("cutt")), [""]);
        assert_eq!(problems(&STREAM, &Value::Null), ["kind"]);
        assert_eq!(problems(&STREAM, &json!({"kind": "split_utf8", "after": 2})), ["after"]);
        assert_eq!(problems(&STREAM, &json!({"kind": "stall", "then": "rst"})), ["then"]);
    }
}
