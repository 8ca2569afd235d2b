//! Work of many items, files, and jobs: what became of the pieces, and what the client was told of them.
//!
//! **Invariant:** an item counts as done only by an effect that names it, and an end as known only by what reached
//! the client.

use std::collections::BTreeSet;

use brownout_provider::event::{Digest16, JobState, JobStep};
use serde_json::Value;

use super::reading::Fate;
use super::{JobSeen, OperationId, Trace};

impl Trace {
    /// True unless the operation calls a route whose items are done one by one, and some of them have no effect.
    pub(super) fn all_items_are_done(&self, id: OperationId) -> bool {
        let live = self.effects_of(id).filter(|(_, effect)| effect.is_live());
        let subjects: BTreeSet<&str> =
            live.filter_map(|(_, effect)| effect.subject).map(|name| self.text(name)).collect();
        // Without names nobody can say which of the items were done; most effects have none, so that is asked first.
        if subjects.is_empty() || !self.is_batch(id) {
            return true;
        }
        let lists = self.lists_that_hold(id, &subjects);
        let is_one = |item: &BTreeSet<String>| item.iter().any(|text| subjects.contains(&**text));
        lists.is_empty() || lists.iter().any(|items| items.iter().all(is_one))
    }

    /// True when the operation calls a route whose items are done one by one.
    fn is_batch(&self, id: OperationId) -> bool {
        self.submits_of(id).any(|(_, submit)| {
            submit.submitted.as_ref().is_some_and(|it| self.declared(None, it.call, &["batch"]))
        }) || self.requests_of(id).any(|(_, request)| {
            // A service is asked for something of its own, and calls what it likes.
            let its = |route| self.declared(Some(request.provider), route, &["batch"]);
            request.by.is_client() && request.route.is_some_and(its)
        })
    }

    /// The lists in the inputs of an operation that hold all these items, each item as the texts by which it
    /// can be known.
    fn lists_that_hold(&self, id: OperationId, items: &BTreeSet<&str>) -> Vec<Vec<Texts>> {
        let mut lists = Vec::new();
        for (_, submit) in self.submits_of(id) {
            if let Some(submitted) = &submit.submitted {
                collect_lists(&submitted.input(), &mut lists);
            }
        }
        lists.retain(|list| items.iter().all(|item| list.iter().any(|one| one.contains(*item))));
        lists
    }

    /// The checksum of what an operation is to upload: of the text `content` in its input.
    #[must_use]
    pub fn source_digest(&self, id: OperationId) -> Option<Digest16> {
        self.submits_of(id).find_map(|(_, submit)| {
            let input = submit.submitted.as_ref()?.input();
            input.get("content").and_then(Value::as_str).map(|text| Digest16::of(text.as_bytes()))
        })
    }

    /// True when by then a list or an event had told the client that a job has ended in one of these ways;
    /// `of_it` is all that was seen of the job.
    #[must_use]
    pub fn heard_of_end(
        &self,
        id: OperationId,
        of_it: &[&JobSeen],
        by_us: u64,
        is_meant: impl Fn(JobState) -> bool,
    ) -> bool {
        let Some(first) = of_it.first() else { return false };
        let provider = self.request(first.request).provider;
        let mut ends =
            of_it.iter().filter(|seen| seen.step == JobStep::Changed && is_meant(seen.state));
        ends.any(|end| {
            let told = self.webhooks_of(id).iter().any(|sent| {
                sent.provider == provider
                    && sent.flaw.is_none()
                    && (end.at_us..=by_us).contains(&sent.at_us)
            });
            told || self.requests_of(id).any(|(request, seen)| {
                let lists = |route| self.declared(Some(provider), route, &["lists"]);
                let heard = seen.response.is_some_and(|it| it.complete && it.head_at_us <= by_us);
                let since = seen.at_us >= end.at_us && seen.provider == provider;
                since
                    && heard
                    && seen.route.is_some_and(lists)
                    && self.fate(request) == Fate::Usable
            })
        })
    }
}

/// The texts by which an item of a list can be known: itself, and what stands in it.
type Texts = BTreeSet<String>;

/// An item as text, and every plain value in it, for an API names an item by whichever it likes.
fn texts(item: &Value) -> Texts {
    let mut found = BTreeSet::from([in_text(item)]);
    let mut left = vec![item];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                found.insert(in_text(value));
            }
        }
    }
    found
}

fn in_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// All lists in a value, each item once and as text.
fn collect_lists(value: &Value, lists: &mut Vec<Vec<Texts>>) {
    match value {
        Value::Array(list) => {
            lists.push(list.iter().map(texts).collect());
            list.iter().for_each(|item| collect_lists(item, lists));
        }
        Value::Object(fields) => fields.values().for_each(|item| collect_lists(item, lists)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
