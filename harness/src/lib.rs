//! brownout: a chaos harness for the code that *calls* APIs.
//!
//! Floors, from the bottom; a module imports only from its own floor and those below it:
//!
//! | floor | modules |
//! |---|---|
//! | data | `amount` `operation` `verdict` `scenario` `build` `trace` `invariant` |
//! | judges | `judge` `timeline` |
//! | drivers | `redact` `drive` `record` `run` |
//! | searches | `search` |
//! | reports | `report` |
//! | library | `harness` `strategy` |
//! | command line | `cli` |

pub mod amount;
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
pub mod drive;
pub mod harness;
pub mod invariant;
pub mod judge;
pub mod operation;
pub mod record;
pub mod redact;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod timeline;
pub mod trace;
pub mod verdict;

pub use drive::in_process::Connection;
pub use harness::{Finding, Harness, Judged, Prepared, WrongScenario, assert_holds};
pub use operation::{Operation, Outcome};
pub use scenario::Scenario;
pub use trace::Trace;
pub use verdict::Verdict;
