//! What was done in a stranger's name: operations under another tenant's key, and work that nobody was handed.
//!
//! **Invariant:** nothing here changes a verdict; it is only ever told.

use std::collections::BTreeSet;

use brownout_provider::event::{Mode, Recognized};
use brownout_provider::fault::Group;

use crate::amount::{plural, times};
use crate::scenario::Scenario;
use crate::trace::{Delivers, Name, OperationId, Trace};

/// What is to be said where operations of one tenant were done under the key of another.
pub(super) fn of_tenants(trace: &Trace) -> Option<String> {
    let owner = |id: OperationId| -> Option<Name> {
        trace.submits_of(id).find_map(|(_, submit)| submit.submitted.as_ref()?.tenant)
    };
    let mixed = trace.requests().filter_map(|(id, request)| {
        let is_certain = request.by.is_client() && request.recognized != Recognized::Guess;
        let operation = request.operation.filter(|_| is_certain)?;
        let (whose, shown) = (owner(operation)?, request.tenant?);
        (whose != shown).then_some((id, operation, whose, shown))
    });
    let mixed: Vec<_> = mixed.collect();
    let (_, first, whose, shown) = *mixed.first()?;
    let requests: BTreeSet<_> = mixed.iter().map(|(id, ..)| *id).collect();
    let done = trace.effects().filter(|(_, effect)| {
        effect.request.is_some_and(|request| requests.contains(&request)) && effect.is_live()
    });
    let wrong = match done.count() {
        0 => String::new(),
        count => format!(", which left {} on the wrong account", plural(count, "effect")),
    };
    Some(format!(
        "an operation of one tenant was asked for with the key of another {} (first `{}` of `{}`, with the key of \
         `{}`){wrong}; use the key that comes with each operation",
        times(u64::try_from(mixed.len()).unwrap_or(u64::MAX)),
        trace.operation_name(first),
        trace.text(whose),
        trace.text(shown),
    ))
}

/// What is to be said where a fault was to strike the copy of the client that works on an operation, and that
/// was handed to none.
pub(super) fn of_copies(trace: &Trace, scenario: &Scenario) -> Option<String> {
    let copies: BTreeSet<u32> = trace.clients().iter().map(|client| client.client).collect();
    let is_one = match trace.mode() {
        Mode::Stdio => copies.len() < 2,
        Mode::Exec | Mode::InProcess => false,
        // A service is one client, and a suite is not struck.
        Mode::Http | Mode::Suite | Mode::Serve => true,
    };
    if is_one {
        return None;
    }
    let of_client = |fault: Name| {
        let mut faults = scenario.rules.iter().flat_map(|rule| &rule.faults);
        faults.any(|one| one.kind().group == Group::Client && one.kind().name == trace.text(fault))
    };
    let mut missed =
        trace.strikes().iter().filter(|strike| of_client(strike.fault)).filter_map(|strike| {
            let request = trace.request(strike.request?);
            let operation = request.operation?;
            let mut its =
                trace.submits_of(operation).filter(|(_, one)| one.number == request.submit);
            let is_known = match trace.delivers() {
                Delivers::Messages => trace.copies() == 1 || request.client.is_some(),
                Delivers::Calls | Delivers::Events => its.any(|(_, one)| one.submitted.is_some()),
            };
            (!is_known).then_some((strike.rule, operation))
        });
    let (rule, operation) = missed.next()?;
    let why = match trace.delivers() {
        Delivers::Messages => "a message is no copy's own",
        Delivers::Calls | Delivers::Events => "no copy of the client was handed it",
    };
    Some(format!(
        "`{}` struck nobody {}: nobody knows which copy of the client asked for `{}`, because {why}; a client that \
         uses the URL or the key it is given says it",
        trace.text(rule),
        times(1 + u64::try_from(missed.count()).unwrap_or(u64::MAX)),
        trace.operation_name(operation),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::{Apis, Overrides, read};
    use crate::trace::testing::{trace, trace_with};

    #[test]
    fn what_is_charged_to_another_tenant_is_told() {
        let own = r#"{"at_us":0,"event":"operation_submitted","tenant":"b"}
            {"at_us":1,"event":"request_received","request":1,"tenant":"b"}
            {"at_us":1,"event":"effect_committed","request":1}"#;
        assert_eq!(of_tenants(&trace(own)), None);
        let mixed = own.replace(r#""request":1,"tenant":"b""#, r#""request":1,"tenant":"a""#);
        let told = of_tenants(&trace(&mixed)).expect("it is told");
        assert!(told.contains("once (first `op-0001` of `b`, with the key of `a`)"), "{told}");
        assert!(told.contains("left 1 effect on the wrong account"), "{told}");
        let guessed = mixed.replace(r#""tenant":"a""#, r#""tenant":"a","recognized":"guess""#);
        assert_eq!(of_tenants(&trace(&guessed)), None);
    }

    #[test]
    fn a_death_over_work_that_no_copy_was_handed_is_told() {
        let text = "version: 1\nname: n\nprovider: {api: payments}\nfaults:\n  - {name: death, inject: \
                    kill_client}\nworkload: {call: create_charge, operations: 2, clients: 2, concurrency: 2}\n\
                    expect: [no_double_charges]\n";
        let checked =
            read("n.yaml", text.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        let scenario = checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
        let lines = r#"{"at_us":0,"event":"client_started","client":1}
            {"at_us":0,"event":"client_started","client":2,"pid":2}
            {"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"request_received","request":1,"operation":"own-7"}
            {"at_us":1,"event":"fault_injected","request":1,"rule":"death","fault":"kill_client"}"#;
        let told = of_copies(&trace(lines), &scenario).expect("it is told");
        assert!(told.contains("`death` struck nobody once") && told.contains("`own-7`"), "{told}");
        let handed = lines.replace("own-7", "op-0001");
        assert_eq!(of_copies(&trace(&handed), &scenario), None);
        let deliver = serde_json::json!({"scenario": {"workload": {"deliver": {"queue": "m"}}}});
        let message = trace_with(&deliver, &handed);
        let told = of_copies(&message, &scenario).expect("it is told");
        assert!(told.contains("a message is no copy's own"), "{told}");
        let named =
            handed.replace(r#""request":1,"operation""#, r#""request":1,"client":2,"operation""#);
        assert_eq!(of_copies(&trace_with(&deliver, &named), &scenario), None);
        let alone = lines.replace(r#""client":2"#, r#""client":1"#);
        assert_eq!(of_copies(&trace(&alone), &scenario), None, "the only client is the one");
    }
}
