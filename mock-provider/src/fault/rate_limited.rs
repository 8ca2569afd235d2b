//! `rate_limited`: the provider says that this is too much, in the API's own way or in disguise.
//!
//! **Invariant:** it strikes where the limiter stands: nothing is looked up, done or kept.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{check_hint, hint_detail, listed};
use super::{Action, Ending, Fault, FaultKind, Group, Point, Substitute};
use crate::api::Api;
use crate::document::{At, decode};
use crate::hint::{HintSpec, LimitHeaders, RetryAfter};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static RATE_LIMITED: FaultKind = FaultKind {
    name: "rate_limited",
    group: Group::Ending,
    summary: "The provider refuses because of too many requests, whether or not there were.",
    parameters: &[
        (
            "retry_after",
            "a retry hint: `2s`, `{seconds: 2s}`, `{http_date: 3s}`, `{ms_header: 1500ms}`, `{amz_ms: \
             1500ms}`, `{body: 45s}`, `{rate_limit_reset: {in: 30s, as: epoch_s}}` (or `delta_s`, \
             `delta_ms`, `rfc3339`, `go_duration`), or one of the words `missing` `zero` `negative` \
             `fraction` `huge` `past_date` `rfc850_date` `asctime_date` `garbage` `two_headers` \
             `contradictory`; default: what the API itself would say",
        ),
        (
            "dialect",
            "the headers that tell of the limit, instead of the API's own: `x_ratelimit`, `ratelimit` \
             (draft 11), `openai`, `anthropic`, `github` or `none`; nothing remains, and the reset is when \
             the hint is over",
        ),
        (
            "disguise",
            "a limit that does not look like one: `{status: 500}`, `{status: 403}`, \
             `{status: 400, code: ThrottlingException}`",
        ),
    ],
    mistake: "Retrying before the hint is over, reading only one of its spellings, crashing or sleeping \
              for a year at a broken one, and taking a limit in disguise for a permanent error.",
    example: "rate_limited: {retry_after: 2s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimitedFault")]
struct Parameters {
    /// The retry hint; without it what the API itself would say.
    retry_after: Option<RetryAfter>,
    /// The headers that tell of the limit, instead of the API's own.
    dialect: Option<LimitHeaders>,
    /// A limit that does not look like one.
    disguise: Option<Disguise>,
}

/// A limit that does not look like one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Disguise {
    /// The status code.
    #[schemars(required, range(min = 400, max = 599), extend("examples" = [500, 403, 400, 503]))]
    status: Option<u16>,
    /// The code in the API's error body.
    #[schemars(extend("examples" = ["ThrottlingException"]))]
    code: Option<String>,
}

#[derive(Clone, Debug)]
struct RateLimited {
    hint: Option<HintSpec>,
    dialect: Option<LimitHeaders>,
    disguise: Option<Disguise>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(RateLimited {
        hint: parameters.retry_after.map(|hint| hint.0),
        dialect: parameters.dialect,
        disguise: parameters.disguise,
    }))
}

impl Fault for RateLimited {
    fn kind(&self) -> &'static FaultKind {
        &RATE_LIMITED
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let ending = Ending::Answer(Substitute {
            status: self.disguise.as_ref().and_then(|disguise| disguise.status),
            code: self.disguise.as_ref().and_then(|disguise| disguise.code.clone()),
            hint: self.hint.clone(),
            limit: self.dialect,
            throttling: true,
            ..Substitute::default()
        });
        Action::End { at: Point::Throttling, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::Throttling)
    }

    fn detail(&self) -> String {
        let disguise = self.disguise.as_ref().and_then(|disguise| {
            let status = disguise.status?.to_string();
            Some(match &disguise.code {
                Some(code) => format!("as {status} {code}"),
                None => format!("as {status}"),
            })
        });
        let dialect = self.dialect.map(|dialect| format!("by {}", dialect.name()));
        listed([disguise, hint_detail(self.hint.as_ref()), dialect])
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        check_hint(self.hint.as_ref(), api, at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    fn answer(value: &Value) -> Substitute {
        let action = struck(&RATE_LIMITED, value);
        let Action::End { at: Point::Throttling, ending: Ending::Answer(answer) } = action else {
            panic!("{action:?}")
        };
        answer
    }

    #[test]
    fn the_api_says_it_in_its_own_way() {
        let own = answer(&Value::Null);
        assert_eq!((own.status, own.code, own.hint, own.throttling), (None, None, None, true));
        let hinted = answer(&json!({"retry_after": {"ms_header": "1500ms"}}));
        assert_eq!(hinted.hint, Some(HintSpec::MsHeader(1_500_000)));
    }

    #[test]
    fn a_limit_can_hide_behind_another_status() {
        let hidden = answer(&json!({"disguise": {"status": 400, "code": "ThrottlingException"}}));
        assert_eq!(
            (hidden.status, hidden.code.as_deref()),
            (Some(400), Some("ThrottlingException"))
        );
        assert!(hidden.throttling);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(
            problems(
                &RATE_LIMITED,
                &json!({"retry_after": {"amz": "1s"}, "disguise": {"status": 200}, "dialect": "x"})
            ),
            ["retry_after.amz", "disguise.status", "dialect"]
        );
        assert_eq!(problems(&RATE_LIMITED, &json!({"disguise": {}})), ["disguise.status"]);
    }

    #[test]
    fn the_detail_names_disguise_and_hint() {
        let detail = |value: &Value| parsed(&RATE_LIMITED, value).detail();
        assert_eq!(detail(&Value::Null), "");
        assert_eq!(
            detail(&json!({"disguise": {"status": 400, "code": "X"}, "retry_after": "garbage"})),
            "as 400 X, retry_after garbage"
        );
        assert_eq!(detail(&json!({"dialect": "github"})), "by github");
    }
}
