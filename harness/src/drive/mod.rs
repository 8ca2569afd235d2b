//! Drivers: one way each to hand operations to a client and to hear what became of them.
//!
//! **Invariant:** a driver records what it sees and judges nothing. Whatever the client does, a driver
//! ends: every wait has a bound, and every process is ended with the run.

pub mod address;
pub mod claims;
pub mod connection;
#[cfg(feature = "connector")]
pub mod connector;
pub mod exec;
pub mod family;
pub mod fleet;
pub mod http;
pub mod in_process;
pub(crate) mod listen;
pub mod loopback;
pub mod nobody;
pub mod output;
pub mod plan;
pub mod process;
pub mod redacting;
pub mod scene;
pub mod schedule;
pub mod seen;
pub mod speed;
pub mod stdio;
pub mod stop;
pub mod strikes;
pub mod suite;
pub mod trap;
pub mod worker;
