//! Every fault as a raw socket sees it: bytes, framing, order in time, and how the connection ends;
//! and beside it what the provider says that it did.
//!
//! Nothing here is an HTTP client, so the provider is not checked by code that forgives. Time is paused:
//! it moves only when both sides wait, so moments are exact and an hour takes no time.

mod answers;
mod batches;
mod delays;
mod door;
mod endings;
mod framing;
mod fuzz;
mod hostile;
mod http2;
mod input;
mod jobs;
mod keys;
mod limits;
mod malformed;
mod order;
mod queue;
pub(crate) mod stage;
mod streams;
mod tls;
mod uploads;
