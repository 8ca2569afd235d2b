//! Other readings of a trace: what it looks like if the guesses about its operations were wrong.
//!
//! Requests that nothing names are assigned to operations by guess. A violation that disappears when
//! the guess is turned round proves nothing about the client, so the judge asks both other readings.
//! **Invariant:** a reading changes only to which operation a guessed request belongs; the events, and
//! with them the evidence of a violation, stay what they are.
