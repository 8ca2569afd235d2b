//! What the invariants mean by their words about trying again, each word in one place.
//!
//! - **own retry**: a retry that the client decided on: neither the transport's own repeat nor a request
//!   that was mended after a permanent answer.
//! - **row**: a first attempt and the own retries that follow it.
//! - **safe to repeat**: a failure after which the same request again can do no harm: a complete 429, 503
//!   or throttling, or a transient or ambiguous failure of a request with a key that the API honours.
//! - **spell**: a time in which so many attempts in a row had failed, until the next success: what opens
//!   a breaker, and spends a budget.
//!
//! **Invariant:** each reading is a pure function of the trace, and takes time that grows with the
//! number of requests and no faster.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use brownout_provider::event::Class;

use super::reading::Fate;
use super::{Name, RequestId, Trace};

/// How the reason begins for which a stream without its last event is unusable.
const TRUNCATED: &str = "the stream ended";

/// From the failure that made a row of failures long enough to the first success after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// When the client could know of the last of so many failures in a row.
    pub from_us: u64,
    /// When a success ended it; the largest number where none did.
    pub to_us: u64,
    /// The failure that completed the row.
    pub last: RequestId,
}

/// What a permanent answer means for a row of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permanent {
    /// Nothing: it is neither a failure of the provider nor a success.
    Ignored,
    /// The provider works, so the row ends.
    EndsRow,
}

impl Trace {
    /// True for a retry that the client decided on.
    #[must_use]
    pub fn is_own_retry(&self, id: RequestId) -> bool {
        !self.is_transport_repeat(id) && self.is_retry(id) && !self.is_mended(id)
    }

    /// The rows of attempts in a chain: a first attempt and the retries that follow it, without those
    /// that the transport made.
    #[must_use]
    pub fn rows(&self, chain: &[RequestId]) -> Vec<Vec<RequestId>> {
        let mut rows: Vec<Vec<RequestId>> = Vec::new();
        for id in chain.iter().filter(|id| !self.is_transport_repeat(**id)) {
            match rows.last_mut() {
                Some(row) if self.is_retry(*id) && !self.is_mended(*id) => row.push(*id),
                Some(_) | None => rows.push(vec![*id]),
            }
        }
        rows
    }

    /// When the client could know how an attempt ended: by the head of a failure, by the end of
    /// everything else. `None` while it is open.
    #[must_use]
    pub fn known_at_us(&self, id: RequestId) -> Option<u64> {
        let request = self.request(id);
        match (request.response, request.ended.as_deref()) {
            (Some(response), _) if response.class != Class::Success => Some(response.head_at_us),
            (Some(response), _) => Some(response.end_at_us),
            (None, ended) => ended.map(|ended| ended.at_us),
        }
    }

    /// True when an attempt failed in such a way that the same request again can do no harm.
    #[must_use]
    pub fn is_safe_to_repeat(&self, id: RequestId) -> bool {
        let request = self.request(id);
        if !self.failed(id) || self.ended_by_harness(request) {
            return false;
        }
        let is_protected = request.keyed && request.key.is_some();
        match request.response {
            Some(one) if one.should_retry == Some(false) => false,
            Some(one) if one.complete && one.class == Class::Permanent => false,
            Some(one) if one.complete && one.class == Class::Throttling => true,
            Some(one) if one.complete && matches!(one.status, 429 | 503) => true,
            Some(_) | None => is_protected && self.fate(id) == Fate::Ambiguous,
        }
    }

    /// True for the answer of a stream that ended without its last event.
    #[must_use]
    pub fn is_truncated_stream(&self, id: RequestId) -> bool {
        let response = self.request(id).response.filter(|one| one.class == Class::Success);
        let why = response.and_then(|one| one.unusable).map_or("", |why| self.text(why));
        why.starts_with(TRUNCATED)
    }

    /// The times in which at least `trip` of these attempts in a row had failed, by their beginnings.
    pub fn spells(
        &self,
        trip: u32,
        permanent: Permanent,
        attempts: impl IntoIterator<Item = RequestId>,
    ) -> Vec<Spell> {
        let mut spells: Vec<Spell> = Vec::new();
        let mut row: u32 = 0;
        for (at_us, id) in self.in_order_of_ends(attempts) {
            match self.counts_as(id, permanent) {
                None => {}
                Some(Outcome::Failure) => {
                    row = row.saturating_add(1);
                    if row == trip {
                        spells.push(Spell { from_us: at_us, to_us: u64::MAX, last: id });
                    }
                }
                Some(Outcome::Success) => {
                    if let Some(open) = spells.last_mut().filter(|one| one.to_us == u64::MAX) {
                        open.to_us = at_us;
                    }
                    row = 0;
                }
            }
        }
        spells
    }

    /// Attempts by when the client knew how they ended, each with that moment; those of which it never knew are
    /// left out. Keeps no more of them in mind than were under way at once.
    fn in_order_of_ends(
        &self,
        attempts: impl IntoIterator<Item = RequestId>,
    ) -> impl Iterator<Item = (u64, RequestId)> {
        let mut ids: Vec<RequestId> = attempts.into_iter().collect();
        ids.sort_unstable_by_key(|id| self.request(*id).at_us);
        let mut arriving = ids.into_iter().peekable();
        let mut under_way = BinaryHeap::new();
        std::iter::from_fn(move || {
            loop {
                let next_us = arriving.peek().map(|id| self.request(*id).at_us);
                let is_first = |Reverse((end_us, _, _)): &Reverse<(u64, u32, RequestId)>| {
                    next_us.is_none_or(|next_us| *end_us < next_us)
                };
                if under_way.peek().is_some_and(is_first) {
                    return under_way.pop().map(|Reverse((end_us, _, id))| (end_us, id));
                }
                let id = arriving.next()?;
                let request = self.request(id);
                // Nobody knows the end of what has not begun, whatever an edited file says.
                let end_us = self.known_at_us(id).map(|at_us| at_us.max(request.at_us));
                under_way.extend(end_us.map(|end_us| Reverse((end_us, request.seq, id))));
            }
        })
    }

    /// True when an attempt ended, and not as a failure that makes a row longer.
    #[must_use]
    pub fn ends_row(&self, id: RequestId, permanent: Permanent) -> bool {
        self.counts_as(id, permanent) == Some(Outcome::Success)
    }

    /// What an attempt means for a row of failures.
    fn counts_as(&self, id: RequestId, permanent: Permanent) -> Option<Outcome> {
        let response = self.request(id).response;
        let refused = response.is_some_and(|one| one.complete && one.class == Class::Permanent);
        match self.fate(id) {
            Fate::PassedOn => None,
            Fate::Usable => Some(Outcome::Success),
            Fate::Rejected | Fate::Ambiguous if refused => match permanent {
                Permanent::Ignored => None,
                Permanent::EndsRow => Some(Outcome::Success),
            },
            Fate::Rejected | Fate::Ambiguous => Some(Outcome::Failure),
        }
    }

    /// The providers that were asked, each once, in the order in which they first were.
    #[must_use]
    pub fn providers_asked(&self) -> Vec<Name> {
        let mut asked = Vec::new();
        for (_, request) in self.requests().filter(|(_, request)| request.by.is_client()) {
            if !asked.contains(&request.provider) {
                asked.push(request.provider);
            }
        }
        asked
    }
}

/// What an attempt means for a row of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Failure,
    Success,
}
