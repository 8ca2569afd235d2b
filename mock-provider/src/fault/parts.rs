//! What several faults share: the words for points, hints in answers, and cuts of a connection.
//!
//! **Invariant:** a word in YAML means the same point in every fault that knows it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Ending, Point};
use crate::api::Api;
use crate::document::At;
use crate::exchange::End;
use crate::hint::{HintSpec, LATER_FORMS};

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

/// The end of a connection at some point: what `reset` and `close` do, each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireEnd {
    at: WireAt,
    after_bytes: u64,
    then: End,
}

/// The parameters of `reset` and `close`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WireEndParameters {
    /// Where the connection ends; `before_commit` unless said.
    at: Option<WireAt>,
    /// With `at: mid_body`, how many bytes of the body go out first; 1 unless said.
    after_bytes: Option<u64>,
}

/// The documentation of [`WireEndParameters`].
pub(super) const WIRE_END_PARAMETERS: &[(&str, &str)] = &[
    ("at", "`accept`, `before_commit` (default), `after_commit` or `mid_body`"),
    ("after_bytes", "with `at: mid_body`: bytes of the body that go out first, from 0; default 1"),
];

impl WireEnd {
    pub(super) fn new(parameters: &WireEndParameters, then: End, here: &At<'_>) -> Self {
        let at = parameters.at.unwrap_or_default();
        if parameters.after_bytes.is_some() && at != WireAt::MidBody {
            here.key("after_bytes").error(
                format!("no byte of the body is written `at: {}`", at.point().name()),
                |d| d.key().cure("say `at: mid_body`, or leave `after_bytes` out"),
            );
        }
        Self { at, after_bytes: parameters.after_bytes.unwrap_or(1), then }
    }

    pub(super) const fn point(&self) -> Point {
        self.at.point()
    }

    pub(super) fn ending(&self) -> Ending {
        let after_bytes = (self.at == WireAt::MidBody).then_some(self.after_bytes);
        Ending::Cut { after_bytes, then: self.then }
    }

    pub(super) fn detail(&self) -> String {
        match self.at {
            WireAt::MidBody => format!("mid_body after {}", bytes(self.after_bytes)),
            WireAt::Accept | WireAt::BeforeCommit | WireAt::AfterCommit => {
                self.point().name().to_owned()
            }
        }
    }
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

/// The parameters without a hint in a form that this version does not have, which is reported.
pub(super) fn without_later_hints(value: &Value, here: &At<'_>) -> Value {
    let mut value = value.clone();
    let Some(Value::Object(forms)) = value.get_mut("retry_after") else { return value };
    let mut later = false;
    for form in LATER_FORMS {
        if forms.shift_remove(form).is_some() {
            later = true;
            here.key("retry_after")
                .key(form)
                .error(format!("`{form}` is not available in this version"), |d| {
                    d.key().cure("use `seconds`, `http_date`, `ms_header` or `body`")
                });
        }
    }
    if later && forms.is_empty() {
        value.as_object_mut().map(|parameters| parameters.shift_remove("retry_after"));
    }
    value
}

/// Says so when the API does not know the spelling of a hint, so that no client is judged by it.
pub(super) fn check_hint(hint: Option<&HintSpec>, api: &Api, here: &At<'_>) {
    let unknown = match hint {
        Some(HintSpec::MsHeader(_)) if api.hint.ms_header.is_none() => "in milliseconds",
        Some(HintSpec::Body(_) | HintSpec::Contradictory) if api.hint.body.is_none() => {
            "in the body"
        }
        _ => return,
    };
    here.key("retry_after").note(
        format!("the API `{}` has no retry hint {unknown}, so no client is judged by it", api.name),
        |d| d.cure("use `seconds` or `http_date`, or add the spelling to the API's `hint`"),
    );
}
