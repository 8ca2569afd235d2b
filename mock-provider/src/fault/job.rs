//! `job`: work that goes on behind its answer is stuck, jumps back, fails, is forgotten, or comes back to life.
//!
//! **Invariant:** it strikes requests that begin a job, and leaves their answer alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::job_fault::JobFault;
use super::parts::{AnswerAt, hint_detail, listed, taken_elsewhere, unusual};
use super::{Action, Fault, FaultKind, Group};
use crate::api::{Api, Route};
use crate::document::{At, ScalarOr, decode};
use crate::hint::{HintSpec, RetryAfter};
use crate::seed::Draw;

/// How long a poll is asked to wait, unless said, in microseconds.
const USUAL_WAIT_US: u64 = 2_000_000;

/// The registry's entry.
pub(super) static JOB: FaultKind = FaultKind {
    name: "job",
    group: Group::Provider,
    summary: "The job that a request began is stuck, jumps back, fails half-way, is forgotten, or comes back to life.",
    parameters: &[
        (
            "kind",
            "required; `stays_pending`, `jumps_back` (from running to pending; done in one and a half times its \
             time), `fails_half_way` (with what there is of its output), `disappears` (404 from its time on), \
             `succeeds_after_failure` (fails in its time, done in twice of it) or `asks_to_wait` (every look is \
             told when to come back); alone it may stand as `job: KIND`",
        ),
        (
            "at",
            "for `stays_pending`, `fails_half_way` and `disappears`: `before_commit` (default; nothing is done, of \
             a list of items the first half) or `after_commit`: the work is done all the same",
        ),
        ("retry_after", "for `asks_to_wait`: the hint; default `2s`"),
    ],
    mistake: "Polling for ever, or in a tight loop; beginning the job anew, under another key, because it is slow; \
              taking `accepted` for done, or a failure half-way for nothing done.",
    example: "job: {kind: fails_half_way, at: after_commit}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

/// In which way a job goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobKind")]
enum Kind {
    /// It is never seen to run.
    StaysPending,
    /// It runs, waits again, and is done late.
    JumpsBack,
    /// It fails with half of its output.
    FailsHalfWay,
    /// It runs, and then nobody knows it.
    Disappears,
    /// It fails, and is done later all the same.
    SucceedsAfterFailure,
    /// Whoever looks at it is told when to come back.
    AsksToWait,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::StaysPending => "stays_pending",
            Self::JumpsBack => "jumps_back",
            Self::FailsHalfWay => "fails_half_way",
            Self::Disappears => "disappears",
            Self::SucceedsAfterFailure => "succeeds_after_failure",
            Self::AsksToWait => "asks_to_wait",
        }
    }

    /// The parameters that it has.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::StaysPending | Self::FailsHalfWay | Self::Disappears => &["at"],
            Self::AsksToWait => &["retry_after"],
            Self::JumpsBack | Self::SucceedsAfterFailure => &[],
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobFault")]
struct Parameters {
    /// In which way it goes wrong.
    #[schemars(required)]
    kind: Option<Kind>,
    /// Whether its work is done all the same; `before_commit` unless said.
    at: Option<AnswerAt>,
    /// What a look is told; `2s` unless said.
    retry_after: Option<RetryAfter>,
}

#[derive(Clone, Debug)]
struct Job {
    kind: Kind,
    at: AnswerAt,
    does: JobFault,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => Parameters { kind: Some(kind), at: None, retry_after: None },
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    for (name, is_given) in
        [("at", parameters.at.is_some()), ("retry_after", parameters.retry_after.is_some())]
    {
        if is_given && !kind.takes().contains(&name) {
            at.key(name).error(format!("`{}` has no `{name}`", kind.name()), |d| {
                d.key().cure(format!("leave `{name}` out"))
            });
        }
    }
    let hint = parameters.retry_after.map_or(HintSpec::Seconds(USUAL_WAIT_US), |hint| hint.0);
    if hint.is_in_body() {
        at.key("retry_after").error("what a look shows is the job, and holds no hint", |d| {
            d.cure("use a hint in a header, such as `retry_after: 2s`")
        });
    }
    let when = parameters.at.unwrap_or_default();
    let done = when == AnswerAt::AfterCommit;
    let does = match kind {
        Kind::StaysPending => JobFault::StaysPending { done },
        Kind::JumpsBack => JobFault::JumpsBack,
        Kind::FailsHalfWay => JobFault::FailsHalfWay { done },
        Kind::Disappears => JobFault::Disappears { done },
        Kind::SucceedsAfterFailure => JobFault::SucceedsAfterFailure,
        Kind::AsksToWait => JobFault::AsksToWait { hint },
    };
    Some(Arc::new(Job { kind, at: when, does }))
}

impl Fault for Job {
    fn kind(&self) -> &'static FaultKind {
        &JOB
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Job(self.does.clone())
    }

    fn detail(&self) -> String {
        let hint = match &self.does {
            JobFault::AsksToWait { hint } => hint_detail(Some(hint)),
            JobFault::StaysPending { .. }
            | JobFault::JumpsBack
            | JobFault::FailsHalfWay { .. }
            | JobFault::Disappears { .. }
            | JobFault::SucceedsAfterFailure => None,
        };
        listed([Some(self.kind.name().to_owned()), hint, unusual(self.at.point())])
    }

    fn takes(&self, route: &Route) -> bool {
        route.job.is_some()
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        let message = match route {
            Some(route) => format!("`job` can never strike: `{route}` begins no job"),
            None => {
                format!("`job` can never strike: no route of the API `{}` begins one", api.name)
            }
        };
        at.error(message, |d| {
            d.allowed(route.unwrap_or_default(), known)
                .cure("strike a route that has `job:` in its API file, as `create_job` of `vision`")
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn a_kind_may_stand_alone_or_in_a_map() {
        for (value, expected, detail) in [
            (json!("stays_pending"), JobFault::StaysPending { done: false }, "stays_pending"),
            (json!({"kind": "jumps_back"}), JobFault::JumpsBack, "jumps_back"),
            (
                json!({"kind": "fails_half_way", "at": "after_commit"}),
                JobFault::FailsHalfWay { done: true },
                "fails_half_way, after_commit",
            ),
            (json!("disappears"), JobFault::Disappears { done: false }, "disappears"),
            (
                json!("asks_to_wait"),
                JobFault::AsksToWait { hint: HintSpec::Seconds(2_000_000) },
                "asks_to_wait, retry_after 2s",
            ),
        ] {
            let action = struck(&JOB, &value);
            assert!(matches!(&action, Action::Job(does) if *does == expected), "{action:?}");
            assert_eq!(parsed(&JOB, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&JOB, &json!("slow")), [""]);
        assert_eq!(problems(&JOB, &Value::Null), ["kind"]);
        assert_eq!(problems(&JOB, &json!({"kind": "jumps_back", "at": "after_commit"})), ["at"]);
        assert_eq!(
            problems(&JOB, &json!({"kind": "asks_to_wait", "retry_after": {"body": "1s"}})),
            ["retry_after"]
        );
    }

    #[test]
    fn only_a_route_that_begins_a_job_is_struck() {
        assert_eq!(checked(&JOB, &json!("disappears"), Some("create_charge")).len(), 1);
        assert_eq!(checked(&JOB, &json!("disappears"), None).len(), 1);
    }
}
