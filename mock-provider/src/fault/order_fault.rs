//! What stands between the client and the work, or between the work and those who look at it: requests that
//! arrive late, work that is seen late, reads that lag behind.
//!
//! **Invariant:** nothing is done that the client did not ask for, and nothing is done twice.

use super::parts::taken_elsewhere;
use super::{Action, Fault, FaultKind, Group};
use crate::api::{Api, Route};
use crate::document::At;
use crate::seed::Draw;
use crate::units::Period;

/// How a request is treated out of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderFault {
    /// A gateway holds it back so many microseconds; what was sent later overtakes it.
    Held {
        /// How long.
        by_us: u64,
    },
    /// A read shows what was there so many microseconds ago.
    Stale {
        /// How far it lags behind.
        lag_us: u64,
    },
    /// What it does is answered at once and appears so many microseconds later.
    Slow {
        /// How much later.
        by_us: u64,
    },
    /// Its body is read slowly, so many bytes a second.
    Read {
        /// Bytes a second, at least 1.
        per_second: u64,
    },
}

/// A fault that does this to the order of things.
#[derive(Clone, Debug)]
pub(super) struct OrderRule {
    pub(super) kind: &'static FaultKind,
    pub(super) fault: OrderFault,
    pub(super) detail: String,
}

impl Fault for OrderRule {
    fn kind(&self) -> &'static FaultKind {
        self.kind
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Order(self.fault)
    }

    fn detail(&self) -> String {
        self.detail.clone()
    }

    fn takes(&self, route: &Route) -> bool {
        match self.fault {
            OrderFault::Held { .. } => true,
            OrderFault::Stale { .. } => route.only_reads(),
            OrderFault::Slow { .. } => route.does_work(),
            OrderFault::Read { .. } => route.request.body.is_some(),
        }
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        let name = self.kind.name;
        let why = match self.fault {
            OrderFault::Stale { .. } => "reads no object",
            OrderFault::Read { .. } => "takes no body",
            OrderFault::Held { .. } | OrderFault::Slow { .. } => "does nothing that could be seen",
        };
        let place = route.unwrap_or("no route of the API");
        let message = match route {
            Some(_) => format!("`{name}` can never strike: `{place}` {why}"),
            None => format!("`{name}` can never strike: every route {why}"),
        };
        at.error(message, |d| {
            d.allowed(route.unwrap_or_default(), known)
                .cure("name another route under `when`, or leave the fault out")
        });
    }
}

/// How long a fault has things come late: what is said, which must be some time, or what is usual.
pub(super) fn some_time(said: Option<Period>, usual: Period, (key, at): (&str, &At<'_>)) -> Period {
    let time = said.unwrap_or(usual);
    if time.micros() == 0 {
        at.key(key).error(format!("`{key}` is no time at all, so that nothing happens"), |d| {
            d.cure("use at least `1ms`, or leave the fault out")
        });
    }
    time
}

impl OrderFault {
    /// The group of the fault.
    #[must_use]
    pub const fn group(self) -> Group {
        match self {
            Self::Read { .. } => Group::Delay,
            Self::Held { .. } | Self::Stale { .. } | Self::Slow { .. } => Group::Provider,
        }
    }
}
