//! `brownout run`.

pub mod arguments;
