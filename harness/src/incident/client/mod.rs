//! The clients of incidents: one file for each kind, and what they share.
//!
//! **Invariant:** whatever a client draws depends on the seed and on what it works on, and its waits take
//! virtual time.

mod answer;
pub mod batches;
pub mod caller;
pub mod jobs;
pub mod keeper;
pub mod listener;
mod memory;
pub mod pages;
mod routes;
pub mod stream;
pub mod taker;
pub mod uploads;
pub mod worker;
