//! Programs that do more than the one operation that they were given: test suites and batches.
//!
//! Such a program looks like a careless client, because each of its pieces of work counts for the one
//! operation. What gives it away is that it goes on, after a success, with work of another name.
//! **Invariant:** a client that only tries its own operation again, under whatever name, never looks like
//! one: a retry does not come after a success.

use std::collections::{BTreeMap, BTreeSet};

use brownout_provider::event::Mode;

use crate::trace::reading::Fate;
use crate::trace::{Name, OperationId, Request, RequestId, Trace};

/// So many names are told.
const NAMES_TOLD: usize = 3;

/// A run whose programs do more than their operation.
pub(super) struct Batch {
    /// What is to be said of it.
    pub(super) remark: String,
    /// True when it can be nothing else: no request is about the operation that was asked for, most
    /// programs do several things, and they do the same things whatever they are asked for.
    pub(super) is_certain: bool,
}

/// What gives a batch away, where a program is given one operation.
pub(super) fn find(trace: &Trace) -> Option<Batch> {
    if !matches!(trace.mode(), Mode::Exec | Mode::Stdio) {
        return None;
    }
    let went_on = trace.requests().find(|(id, request)| goes_on(trace, *id, request))?.1;
    let mut names = BTreeMap::<OperationId, BTreeSet<Option<Name>>>::new();
    for (_, request) in trace.requests().filter(|(_, one)| one.by.is_client() && one.effectful) {
        if let Some(operation) = request.operation {
            names.entry(operation).or_default().insert(request.names);
        }
    }
    let told: Vec<String> = names
        .get(&went_on.operation?)?
        .iter()
        .flatten()
        .take(NAMES_TOLD)
        .map(|name| format!("`{}`", trace.text(*name)))
        .collect();
    let remark = format!(
        "the requests of `{}` name several things that nobody asked for ({}), and go on after a success; \
         this looks like a test suite or a batch: use `--mode suite`",
        trace.operation_name(went_on.operation?),
        told.join(", ")
    );
    Some(Batch { remark, is_certain: is_certain(&names) })
}

/// True for a request under another name than one of its operation that had succeeded before.
fn goes_on(trace: &Trace, id: RequestId, request: &Request) -> bool {
    let (Some(operation), Some(name), true) = (request.operation, request.names, request.effectful)
    else {
        return false;
    };
    let succeeded = |(before, one): (RequestId, &Request)| {
        one.at_us < request.at_us
            && one.effectful
            && one.names.is_some_and(|other| other != name)
            && trace.fate_at(before, request.at_us) == Some(Fate::Usable)
    };
    request.by.is_client() && trace.attempts_of(operation).any(|one| one.0 != id && succeeded(one))
}

/// By the names that the unsafe requests of each operation carry; `None` for a request about the input.
fn is_certain(all: &BTreeMap<OperationId, BTreeSet<Option<Name>>>) -> bool {
    let several = all.values().filter(|names| names.len() > 1).count();
    let shared = |of: &OperationId, names: &BTreeSet<Option<Name>>| {
        let mut others = all.iter().filter(|(other, _)| *other != of);
        others.any(|(_, other)| !other.is_disjoint(names))
    };
    all.len() > 1
        && several * 2 >= all.len()
        && all.values().all(|names| !names.contains(&None))
        && all.iter().all(|(of, each)| shared(of, each))
}
