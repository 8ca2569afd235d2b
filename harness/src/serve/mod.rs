//! The provider alone as a service for test suites in any language: one process, a fresh scenario for each
//! test, and the verdict as the assertion.
//!
//! A [`Session`] runs one scenario after another, always at the same address; [`Control`] is its control
//! API over HTTP, on a port of its own.
//! **Invariant:** one run at a time; whoever loads the next scenario, or asks for the verdict, ends the
//! present run, and a run that has ended is never added to.

mod control;
mod guard;
mod metrics;
mod routes;
mod session;

pub use control::Control;
pub use guard::Guard;
pub use routes::reached;
pub use session::{Loaded, Playing, Session, SessionError};

/// The description of the control API, as OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("openapi.json");
