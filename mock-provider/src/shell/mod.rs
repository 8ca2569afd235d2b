//! The shell of IO around the provider: the only place for sockets, clocks and hyper.
//!
//! `server` accepts, `connection` speaks HTTP and carries out exchanges, `wire` counts and cuts the
//! bytes, `clock` tells the time.
//! **Invariant:** nothing here chooses a fault, a status or a byte of an answer; it does what an
//! [`crate::exchange::Exchange`] says and reports what became of it.

mod body;
pub mod clock;
mod connection;
mod core;
pub mod handler;
pub mod lock;
mod open;
mod scan;
pub mod server;
mod sys;
mod wire;

#[cfg(test)]
mod tests;
