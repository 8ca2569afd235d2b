//! The mock provider of brownout: a server that misbehaves on purpose, deterministically.
//!
//! Floors, from the bottom; a module imports only from its own floor and those below it:
//!
//! | floor | modules |
//! |---|---|
//! | words | `seed` `coordinates` `schedule` `units` `request` `exchange` `base64` `hex` `http2` `json` `event` `document` `hint` `template` `sse` `signature` |
//! | data | `api` `fault` `framing` `malformed` `rate_limit` `stream` `rule` |
//! | decisions | `plan` `ledger` `idempotency` `queue` `recognition` `webhook` `job` `resumable` |
//! | state machine | `provider` |
//! | shell | `shell` (the only place for sockets, clocks and hyper) |

pub mod api;
pub mod base64;
pub mod coordinates;
pub mod document;
pub mod event;
pub mod exchange;
pub mod fault;
pub mod framing;
mod hex;
pub mod hint;
pub mod http2;
pub mod idempotency;
pub mod job;
pub mod json;
pub mod ledger;
pub mod malformed;
pub mod plan;
pub mod provider;
pub mod queue;
pub mod rate_limit;
pub mod recognition;
pub mod request;
pub mod resumable;
pub mod rule;
pub mod schedule;
pub mod seed;
pub mod shell;
pub mod signature;
pub mod sse;
pub mod stream;
pub mod template;
pub mod units;
pub mod webhook;
