//! Retry hints: what a fault asks for, how it is written into an answer, and how it is read back.
//!
//! A scenario names a hint in one of the forms of [`HintSpec`]; [`write`] puts it into headers and body
//! in the API's spelling; [`read`] finds every hint in an answer and says what it asks of a client.
//! Knows nothing about rules or about what a client makes of a hint.
//! **Invariant:** what `write` writes for a well-formed hint, `read` reads back as the same wait; a
//! date never asks for less than was meant.

mod form;
mod read;
mod write;

pub use form::{BAD_WORDS, LATER_FORMS, RetryAfter};
pub use read::read;
pub use write::write;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::units::Period;

/// A retry hint, as a scenario asks for it: well-formed or one of the bad words. Every length of time
/// is in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HintSpec {
    /// `Retry-After` in whole seconds, rounded up.
    Seconds(u64),
    /// `Retry-After` as an HTTP-date that far from now, rounded up to a second.
    HttpDate(u64),
    /// The API's header in milliseconds, or `retry-after-ms`; rounded up.
    MsHeader(u64),
    /// The API's body field, or `/error/retry_after`, in whole seconds, rounded up.
    Body(u64),
    /// The answer has no hint, even where the API would give one.
    Missing,
    /// `Retry-After: 0`.
    Zero,
    /// `Retry-After: -5`.
    Negative,
    /// `Retry-After: 1.5`.
    Fraction,
    /// `Retry-After: 1000000000000`.
    Huge,
    /// An HTTP-date an hour ago.
    PastDate,
    /// `Retry-After: soon`.
    Garbage,
    /// Two `Retry-After` headers that differ: 1 and 3.
    TwoHeaders,
    /// `Retry-After: 1` in the header and 5 in the body.
    Contradictory,
}

impl HintSpec {
    /// True when the hint stands in the body, at least in part.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Body(_) | Self::Contradictory)
    }
}

/// The hint as it is spelled in a scenario.
impl fmt::Display for HintSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, micros) = match self {
            Self::Seconds(micros) => ("", *micros),
            Self::HttpDate(micros) => ("http_date: ", *micros),
            Self::MsHeader(micros) => ("ms_header: ", *micros),
            Self::Body(micros) => ("body: ", *micros),
            Self::Missing => return f.write_str("missing"),
            Self::Zero => return f.write_str("zero"),
            Self::Negative => return f.write_str("negative"),
            Self::Fraction => return f.write_str("fraction"),
            Self::Huge => return f.write_str("huge"),
            Self::PastDate => return f.write_str("past_date"),
            Self::Garbage => return f.write_str("garbage"),
            Self::TwoHeaders => return f.write_str("two_headers"),
            Self::Contradictory => return f.write_str("contradictory"),
        };
        write!(f, "{form}{}", Period::from_micros(micros))
    }
}

/// How an API spells retry hints beside `Retry-After`, which always belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The header that counts milliseconds, lower case: `retry-after-ms`.
    pub ms_header: Option<String>,
    /// The JSON pointer of the field of an error body that counts seconds.
    pub body: Option<String>,
}

impl Dialect {
    /// The header in milliseconds that a hint is written to.
    fn ms_header(&self) -> &str {
        self.ms_header.as_deref().unwrap_or("retry-after-ms")
    }

    /// The body field that a hint is written to.
    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or("/error/retry_after")
    }
}

/// Where a provider learns the wall clock that its client has.
#[derive(Clone, Copy, Debug)]
pub enum WallClock {
    /// It runs beside the clock of the run, and showed this time at the start.
    Beside(SystemTime),
    /// It goes its own way and must be asked: in virtual time the client's wall clock is the machine's,
    /// which stands almost still while the run's own clock jumps.
    Apart(fn() -> SystemTime),
}

impl WallClock {
    /// The wall clock at a moment of the run.
    #[must_use]
    pub fn at(self, now_us: u64) -> Wall {
        let at_start = match self {
            Self::Beside(at_start) => at_start,
            Self::Apart(now) => {
                now().checked_sub(Duration::from_micros(now_us)).unwrap_or(SystemTime::UNIX_EPOCH)
            }
        };
        Wall { at_start, now_us }
    }
}

/// The wall clock that a client has, against the clock of a run. Dates are written and read by it. With
/// a start on a whole second, equal runs read equal hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// The wall clock's time when the run started.
    pub at_start: SystemTime,
    /// Microseconds since the start of the run.
    pub now_us: u64,
}

impl Wall {
    /// The wall clock's time now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.after(0)
    }

    /// The wall clock's time so many microseconds from now; never past the year 9999, the last that an
    /// HTTP-date can name.
    fn after(&self, micros: u64) -> SystemTime {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let ahead = Duration::from_micros(self.now_us.saturating_add(micros));
        self.at_start.checked_add(ahead).map_or(last, |time| time.min(last))
    }

    /// An instant in microseconds since the start of the run, negative before it.
    fn since_start_us(&self, instant: SystemTime) -> i64 {
        match instant.duration_since(self.at_start) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        }
    }
}

#[cfg(test)]
mod tests;
