//! The operations of a workload, one by one: names, numbers, inputs, addresses.
//!
//! **Invariant:** a pure function of the workload, the place in it and the submit: the same operation is
//! the same in every run, mode and process.

use std::sync::Arc;

use brownout_provider::template::{TemplateError, Tree};
use brownout_provider::units::micros;
use serde_json::Value;

use super::address::{Address, Addresses, Reach, by_name};
use super::schedule::Slot;
use crate::operation::{Operation, Step};
use crate::run::RunError;
use crate::scenario::tenants::Tenants;
use crate::scenario::{PLANTED, Planted, Workload};

/// The operations of a run.
#[derive(Debug)]
pub struct Plan {
    call: Arc<str>,
    steps: Vec<Step>,
    tenants: Tenants,
    input: Arc<Tree>,
    /// What is added to an operation's place to give its number: 0 in a main run.
    raise: u64,
    deadline_us: u64,
    /// What `planted` stands for.
    planted: Value,
}

impl Plan {
    /// The plan of a workload that calls `call`, with these markers planted in it. In a control run
    /// `raise` keeps the inputs apart from those of the main run.
    #[must_use]
    pub fn new(
        workload: &Workload,
        call: &Arc<str>,
        raise: u64,
        planted: Option<&Planted>,
    ) -> Self {
        Self {
            call: Arc::clone(call),
            steps: workload.steps.clone(),
            tenants: workload.tenants.clone(),
            input: Arc::clone(&workload.input),
            raise,
            deadline_us: micros(workload.deadline),
            planted: planted.map(Planted::value).unwrap_or_default(),
        }
    }

    /// When the caller gives up, in microseconds after the submit.
    #[must_use]
    pub fn deadline_us(&self) -> u64 {
        self.deadline_us
    }

    /// The operation at a place.
    ///
    /// # Errors
    ///
    /// When a template of the input cannot be rendered.
    pub fn operation(&self, slot: Slot, addresses: &Addresses) -> Result<Operation, RunError> {
        let id = format!("op-{:04}", slot.index);
        let n = slot.index + self.raise;
        let (number, submit) = (Value::from(n), Value::from(slot.submit));
        let input = self
            .input
            .render(&[("n", &number), ("submit", &submit), (PLANTED, &self.planted)])
            .map_err(|error| failed(&error))?;
        let token = Address::token(&id, slot.submit);
        let tenant = self.tenants.of(slot.index).cloned();
        let addresses = addresses.of_tenant(tenant.as_deref());
        let (urls, api_keys) = match addresses.are_several() {
            true => by_name(&addresses.reached(Some(&token))),
            false => Default::default(),
        };
        let Reach { url, key: api_key } = addresses.first().with(&token);
        Ok(Operation {
            url,
            api_key,
            urls,
            api_keys,
            tenant,
            id: Arc::from(id),
            n,
            submit: slot.submit,
            call: Arc::clone(&self.call),
            steps: self.steps.clone(),
            input,
            deadline_ms: self.deadline_us / 1_000,
        })
    }
}

fn failed(error: &TemplateError) -> RunError {
    RunError::Template { what: "the input of an operation".to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use brownout_provider::document::Diagnostics;
    use brownout_provider::seed::Seed;

    use crate::scenario::{Arrival, Submits, input_of};

    fn workload(input: &Value) -> Workload {
        workload_of(input_of(input).expect("right templates"))
    }

    fn workload_of(input: Arc<Tree>) -> Workload {
        Workload {
            call: Some(Arc::from("create_charge")),
            steps: Vec::new(),
            http: None,
            operations: 3,
            exec_operations: None,
            concurrency: 1,
            clients: 1,
            tenants: Tenants::default(),
            arrival: Arrival::AtOnce,
            input,
            submits: Submits { times: 1, apart: Duration::ZERO },
            deadline: Duration::from_secs(30),
            operation_id: None,
            mode: None,
            suite_exit_0_all_succeeded: false,
            queue: None,
            event: None,
        }
    }

    fn planted() -> Planted {
        Planted::of(Seed::default())
    }

    #[test]
    fn every_operation_carries_the_markers_that_its_input_asks_for() {
        let input = json!({"card": "{{ planted.card }}", "text": "about {{ planted.prompt }}"});
        let plan = Plan::new(&workload(&input), &Arc::from("c"), 0, Some(&planted()));
        let at = |index| {
            plan.operation(Slot { index, submit: 1 }, &address().into()).expect("it renders").input
        };
        let markers = planted().value();
        assert_eq!(at(1)["card"], markers["card"]);
        assert_eq!(at(1), at(2));
        assert!(at(1)["text"].as_str().is_some_and(|text| text.starts_with("about canary")));
    }

    fn address() -> Address {
        Address {
            provider: Arc::from("provider"),
            url: "http://127.0.0.1:9".to_owned(),
            key: "sk_test".to_owned(),
            token_in_key: true,
            tenants: Vec::new(),
        }
    }

    #[test]
    fn an_operation_is_named_numbered_and_addressed() {
        let workload = workload(
            &json!({"order": "order-{{ n }}", "n": "{{ n }}", "tags": ["s{{ submit }}", 1]}),
        );
        let call = Arc::from("create_charge");
        let plan = Plan::new(&workload, &call, 0, None);
        let operation =
            plan.operation(Slot { index: 3, submit: 2 }, &address().into()).expect("it renders");
        assert_eq!(
            serde_json::to_value(&operation).expect("plain data"),
            json!({
                "id": "op-0003", "n": 3, "submit": 2, "call": "create_charge",
                "input": {"order": "order-3", "n": 3, "tags": ["s2", 1]},
                "deadline_ms": 30_000,
                "url": "http://127.0.0.1:9/~op-0003.2", "api_key": "sk_test~op-0003.2",
            })
        );
    }

    #[test]
    fn a_control_run_has_inputs_of_its_own_and_the_same_names() {
        let plan = Plan::new(&workload(&json!("{{ n }}")), &Arc::from("c"), 1_000_000, None);
        let operation = plan
            .operation(
                Slot { index: 1, submit: 1 },
                &Address { token_in_key: false, ..address() }.into(),
            )
            .expect("it renders");
        assert_eq!((&*operation.id, operation.n), ("op-0001", 1_000_001));
        assert_eq!(operation.input, json!(1_000_001));
        assert_eq!(operation.api_key, "sk_test");
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error_of_the_scenario() {
        let problems = Diagnostics::new();
        let nobody = Tree::resolve(&json!("{{ nobody }}"), &["nobody"], &problems.root());
        let nobody = nobody.expect("a right template");
        let plan = Plan::new(&workload_of(Arc::new(nobody)), &Arc::from("c"), 0, None);
        let error = plan
            .operation(Slot { index: 1, submit: 1 }, &address().into())
            .expect_err("nobody is not there");
        assert_eq!(error.exit_code(), 3);
    }
}
