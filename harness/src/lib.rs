//! brownout: a chaos harness for the code that *calls* APIs.
//!
//! Floors, from the bottom; a module imports only from its own floor and those below it:
//!
//! | floor | modules |
//! |---|---|
//! | data | `operation` `verdict` `scenario` `trace` |
//! | judges | `invariant` `judge` |
//! | drivers | `record` `drive` `run` |
//! | reports | `report` |
//! | command line | `cli` |

pub mod invariant;
pub mod operation;
pub mod report;
pub mod scenario;
pub mod trace;
pub mod verdict;
