//! `partial_batch`: of a request with many items some are done, some are not, and of some nothing is said.
//!
//! **Invariant:** which items it strikes depends on the draw and their number alone, and every item that is said to
//! be done is done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{listed, taken_elsewhere};
use super::{Action, Fault, FaultKind, Group};
use crate::api::{Api, Fate, Route};
use crate::document::{At, decode};
use crate::event::Digest16;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static PARTIAL_BATCH: FaultKind = FaultKind {
    name: "partial_batch",
    group: Group::Provider,
    summary: "Of a request with many items some are done, some are not, and of some the answer says nothing.",
    parameters: &[
        ("failed", "how many items are not done, and the answer says so; 0 to 1000, default 1"),
        (
            "silent",
            "of how many items the answer says nothing, be they done or not; 0 to 1000, default 0",
        ),
    ],
    mistake: "Taking 207 for success without a look at the items; repeating the whole request, so that what was \
              done is done again; repeating it under the same key, which gives the same answer for ever.",
    example: "partial_batch: {failed: 2, silent: 1}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// The most items of one kind.
const MOST: u32 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PartialBatchFault")]
struct Parameters {
    /// How many items are not done, and the answer says so; 1 unless said.
    #[schemars(range(min = 0, max = 1_000))]
    failed: Option<u32>,
    /// Of how many items the answer says nothing; none unless said.
    #[schemars(range(min = 0, max = 1_000))]
    silent: Option<u32>,
}

/// Some items of a request are not done, or nothing is said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFault {
    /// How many are not done.
    pub failed: u32,
    /// Of how many nothing is said.
    pub silent: u32,
    /// What chooses them.
    pub bits: u64,
}

impl BatchFault {
    /// What becomes of each of so many items.
    #[must_use]
    pub fn fates(&self, items: usize) -> Vec<Fate> {
        let lot = |index: usize| {
            let bytes = [self.bits.to_le_bytes(), u64::try_from(index).unwrap_or(0).to_le_bytes()];
            Digest16::of_parts(bytes.iter().map(<[u8; 8]>::as_slice))
        };
        let mut order: Vec<usize> = (0..items).collect();
        order.sort_by_key(|index| lot(*index));
        let mut fates = vec![Fate::Done; items];
        let failed = usize::try_from(self.failed).unwrap_or(usize::MAX);
        let silent = usize::try_from(self.silent).unwrap_or(usize::MAX);
        for (nth, index) in order.into_iter().enumerate().take(failed.saturating_add(silent)) {
            let done = lot(index).0[15] & 1 == 1;
            fates[index] = if nth < failed { Fate::Failed } else { Fate::Silent { done } };
        }
        fates
    }
}

#[derive(Clone, Copy, Debug)]
struct PartialBatch {
    failed: u32,
    silent: u32,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let (failed, silent) = (parameters.failed.unwrap_or(1), parameters.silent.unwrap_or(0));
    for (key, count) in [("failed", failed), ("silent", silent)] {
        if count > MOST {
            at.key(key)
                .error(format!("{count} is out of range"), |d| d.cure(format!("use 0 to {MOST}")));
        }
    }
    if failed == 0 && silent == 0 {
        at.error("every item is done, so that nothing happens", |d| {
            d.cure("use `failed: 1` or `silent: 1`, or leave the fault out")
        });
    }
    Some(Arc::new(PartialBatch { failed, silent }))
}

impl Fault for PartialBatch {
    fn kind(&self) -> &'static FaultKind {
        &PARTIAL_BATCH
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        let bits = draw.bits();
        Action::Batch(BatchFault { failed: self.failed, silent: self.silent, bits })
    }

    fn detail(&self) -> String {
        let some = |count: u32, word: &str| (count > 0).then(|| format!("{count} {word}"));
        listed([some(self.failed, "failed"), some(self.silent, "silent")])
    }

    fn takes(&self, route: &Route) -> bool {
        route.batch.is_some()
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        let place = route.map_or_else(
            || format!("no route of the API `{}`", api.name),
            |route| format!("`{route}`"),
        );
        let takes = if route.is_some() { "takes no" } else { "takes a" };
        at.error(format!("`partial_batch` can never strike: {place} {takes} list of items"), |d| {
            d.allowed(route.unwrap_or_default(), known).cure(
                "strike a route that has `batch:` in its API file, as `label_batch` of `vision`",
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn so_many_items_are_struck_as_it_says() {
        for (value, failed, silent, detail) in [
            (json!(null), 1, 0, "1 failed"),
            (json!({"failed": 2, "silent": 1}), 2, 1, "2 failed, 1 silent"),
            (json!({"failed": 0, "silent": 3}), 0, 3, "3 silent"),
        ] {
            let action = struck(&PARTIAL_BATCH, &value);
            let Action::Batch(fault) = action else { panic!("{action:?}") };
            assert_eq!((fault.failed, fault.silent), (failed, silent));
            assert_eq!(parsed(&PARTIAL_BATCH, &value).detail(), detail);
        }
        assert_eq!(problems(&PARTIAL_BATCH, &json!({"failed": 0})), [""]);
        assert_eq!(problems(&PARTIAL_BATCH, &json!({"failed": 1001})), ["failed"]);
    }

    #[test]
    fn only_a_route_with_items_is_struck() {
        assert_eq!(checked(&PARTIAL_BATCH, &Value::Null, Some("create_charge")).len(), 1);
        assert_eq!(checked(&PARTIAL_BATCH, &Value::Null, None).len(), 1);
    }

    proptest! {
        #[test]
        fn as_many_are_struck_as_there_are(
            (failed, silent, bits) in (0_u32..9, 0_u32..9, any::<u64>()),
            items in 0_usize..12,
        ) {
            let fault = BatchFault { failed, silent, bits };
            let fates = fault.fates(items);
            prop_assert_eq!(fates.len(), items);
            prop_assert_eq!(&fates, &fault.fates(items));
            let count = |wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count();
            let failed = usize::try_from(failed).expect("it is small").min(items);
            let silent = usize::try_from(silent).expect("it is small").min(items - failed);
            prop_assert_eq!(count(|fate| *fate == Fate::Failed), failed);
            prop_assert_eq!(count(|fate| matches!(fate, Fate::Silent { .. })), silent);
        }
    }
}
