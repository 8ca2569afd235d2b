//! A YAML document with its places, and what is wrong with it.
//!
//! Scenario files and API files are both read through here. Values always come from `serde_yaml`; the
//! scanner beside it only says where they stand. Knows nothing about what the keys mean.
//! **Invariant:** no bytes make it panic, and nothing it reports is lost: all problems at once.

mod diagnostic;

pub use diagnostic::{At, Diagnostic, Diagnostics, Place, Severity};
