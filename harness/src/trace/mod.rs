//! A trace in compact form, as invariants read it.

/// A run, ready to be judged.
#[derive(Debug)]
pub struct Trace {}
