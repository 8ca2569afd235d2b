//! Searches: every schedule of faults, random ones, and from a failing one the smallest that still fails.
//!
//! A search varies a scenario, hands each variation to whoever runs it, and reads the verdict. It knows
//! nothing of processes, runtimes or clocks; the command line and the library use the same code.
//! **Invariant:** a search is a pure function of what it is given and of what the runs say.

pub mod batch;
pub mod case;
pub mod freeze;
pub mod script;
pub mod shrink;
pub mod walk;
pub mod yaml;
