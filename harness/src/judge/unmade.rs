//! Answers that the mock did not make, because they would have been larger than it makes any.
//!
//! **Invariant:** nobody is judged by what they did with such an answer, nor by anything after it: no provider
//! gives it. What was over before the first of them stands.

use crate::amount::plural;
use crate::trace::Trace;
use crate::verdict::{InvariantResult, Violation};

/// Takes back what such answers may have led to.
pub(super) fn take_back(trace: &Trace, invariants: &mut [InvariantResult]) {
    let Some(first) = trace.unmade.iter().map(|(request, _)| trace.request(*request).seq).min()
    else {
        return;
    };
    for one in invariants {
        one.violations.retain(|violation| was_over(trace, violation, first));
        if one.violations.is_empty() {
            one.leave_unjudged("the mock did not make every answer that it was asked for");
        }
        // Each that stands was a situation; which others were over is not known.
        one.exercised = u64::try_from(one.violations.len()).unwrap_or(u64::MAX);
    }
}

/// True when the client had said how it ended, and all that proves the violation had happened, before this event.
fn was_over(trace: &Trace, violation: &Violation, event: u32) -> bool {
    let operation = violation.operation.as_deref().and_then(|name| trace.find_operation(name));
    let is_claimed = operation.is_some_and(|operation| {
        let mut submits = trace.submits_of(operation).peekable();
        submits.peek().is_some()
            && submits.all(|(_, submit)| {
                trace.claims(submit).first().is_some_and(|claim| claim.seq < event)
            })
    });
    is_claimed && violation.evidence.iter().all(|proof| *proof < u64::from(event))
}

/// What to say of a run with such answers.
pub(super) fn sentence(trace: &Trace) -> Option<String> {
    let (request, why) = trace.unmade.first()?;
    let request = trace.request(*request);
    let route = request.route.map_or("", |route| trace.text(route));
    let operation = request
        .operation
        .map_or(String::new(), |operation| format!(" for `{}`", trace.operation_name(operation)));
    Some(format!(
        "the mock refused {} that a provider may well answer (first `{route}`{operation}: {}); let the client ask \
         for less, or the API file make less of it",
        plural(trace.unmade.len(), "request"),
        trace.text(*why),
    ))
}

#[cfg(test)]
mod tests {
    use crate::trace::testing::trace;

    #[test]
    fn what_the_mock_did_not_make_is_told_with_its_reason() {
        let made = r#"{"at_us":1,"event":"request_received","request":1,"operation":"op-0001","route":"embed"}
            {"at_us":2,"event":"response_sent","request":1,"status":400}"#;
        assert_eq!(super::sentence(&trace(made)), None);
        let unmade = made.replace("400}", r#"400,"unmade":"too many values"}"#);
        let sentence = super::sentence(&trace(&unmade)).expect("it was not made");
        assert!(
            sentence.starts_with(
                "the mock refused 1 request that a provider may well answer (first `embed` for `op-0001`: \
                 too many values); "
            ),
            "{sentence}"
        );
    }
}
