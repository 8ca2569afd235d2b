//! The shell of IO around the provider: the only place for sockets, clocks and hyper.
//!
//! `transport` listens and connects, `server` accepts, `connection` speaks HTTP and carries out
//! exchanges, `wire` counts and cuts the bytes (`streams` and `tap` do so over HTTP/2), `clock` tells the time.
//! **Invariant:** nothing here chooses a fault, a status or a byte of an answer; it does what an
//! [`crate::exchange::Exchange`] says and reports what became of it.

mod body;
mod chunked;
pub mod clock;
mod connection;
mod core;
pub mod handler;
mod held;
pub mod lock;
mod open;
mod pipe;
mod scan;
pub mod sender;
pub mod server;
pub mod stream;
#[cfg(feature = "http2")]
mod streams;
mod sys;
#[cfg(feature = "http2")]
mod tap;
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;
mod wire;

#[cfg(test)]
mod tests;
