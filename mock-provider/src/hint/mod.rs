//! Retry hints: what a fault asks for, how it is written into an answer, and how it is read back.
//!
//! A scenario names a hint in one of the forms of [`HintSpec`]; [`write`] puts it into headers and body
//! in the API's spelling; [`read`] finds every hint in an answer and says what it asks of a client.
//! Knows nothing about rules or about what a client makes of a hint.
//! **Invariant:** what `write` writes for a well-formed hint, `read` reads back as the same wait; a
//! date never asks for less than was meant.

mod form;
mod limit;
mod read;
mod write;

pub use form::{BAD_WORDS, RetryAfter};
pub use limit::{LimitHeaders, ResetForm, Says};
pub use read::read;
pub use write::write;

use std::borrow::Cow;
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
    /// `x-amz-retry-after` in milliseconds, rounded up.
    AmzMs(u64),
    /// The reset of a limit in the API's header, or `x-ratelimit-reset`, with no other hint.
    RateLimitReset {
        /// How far from now.
        in_us: u64,
        /// The spelling; `None` for the API's own, or seconds since 1970.
        form: Option<ResetForm>,
    },
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
    /// A date three seconds from now, in the obsolete form of RFC 850, which every client must read.
    Rfc850Date,
    /// The same in the form of C's `asctime`, which every client must read too.
    AsctimeDate,
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

    /// True when its text depends on the clock on the wall.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        match self {
            Self::HttpDate(_) | Self::PastDate | Self::Rfc850Date | Self::AsctimeDate => true,
            Self::RateLimitReset { form, .. } => form.is_none_or(ResetForm::is_instant),
            Self::Seconds(_)
            | Self::MsHeader(_)
            | Self::AmzMs(_)
            | Self::Body(_)
            | Self::Missing
            | Self::Zero
            | Self::Negative
            | Self::Fraction
            | Self::Huge
            | Self::Garbage
            | Self::TwoHeaders
            | Self::Contradictory => false,
        }
    }

    /// How long it asks for, in microseconds; `None` when it is broken, or there is none.
    #[must_use]
    pub const fn wait_us(&self) -> Option<u64> {
        match self {
            Self::Seconds(micros)
            | Self::HttpDate(micros)
            | Self::MsHeader(micros)
            | Self::AmzMs(micros)
            | Self::Body(micros)
            | Self::RateLimitReset { in_us: micros, .. } => Some(*micros),
            Self::Rfc850Date | Self::AsctimeDate => Some(OLD_DATE_US),
            Self::Contradictory => Some(1_000_000),
            Self::Missing
            | Self::Zero
            | Self::Negative
            | Self::Fraction
            | Self::Huge
            | Self::PastDate
            | Self::Garbage
            | Self::TwoHeaders => None,
        }
    }
}

/// The hint as it is spelled in a scenario.
impl fmt::Display for HintSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, micros) = match self {
            Self::Seconds(micros) => ("", *micros),
            Self::HttpDate(micros) => ("http_date: ", *micros),
            Self::MsHeader(micros) => ("ms_header: ", *micros),
            Self::AmzMs(micros) => ("amz_ms: ", *micros),
            Self::RateLimitReset { in_us, form } => {
                write!(f, "rate_limit_reset: {}", Period::from_micros(*in_us))?;
                return form.map_or(Ok(()), |form| write!(f, " as {}", form.name()));
            }
            Self::Body(micros) => ("body: ", *micros),
            Self::Missing => return f.write_str("missing"),
            Self::Zero => return f.write_str("zero"),
            Self::Negative => return f.write_str("negative"),
            Self::Fraction => return f.write_str("fraction"),
            Self::Huge => return f.write_str("huge"),
            Self::PastDate => return f.write_str("past_date"),
            Self::Rfc850Date => return f.write_str("rfc850_date"),
            Self::AsctimeDate => return f.write_str("asctime_date"),
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
    /// The header that says when a limit is fresh again, lower case, and its spelling. It counts in an
    /// answer that throttles.
    pub reset: Option<(String, ResetForm)>,
}

/// How far away the dates in obsolete forms are, in microseconds.
const OLD_DATE_US: u64 = 3_000_000;

impl Dialect {
    /// The header in milliseconds that a hint is written to.
    fn ms_header(&self) -> &str {
        self.ms_header.as_deref().unwrap_or("retry-after-ms")
    }

    /// The header and spelling of the reset of a limit.
    fn reset(&self) -> (&str, ResetForm) {
        let own = self.reset.as_ref();
        own.map_or(("x-ratelimit-reset", ResetForm::EpochS), |(name, form)| (name, *form))
    }

    /// The body field that a hint is written to.
    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or("/error/retry_after")
    }
}

/// The steps of a JSON pointer, unescaped.
fn steps(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(|step| match step.contains('~') {
        true => Cow::Owned(step.replace("~1", "/").replace("~0", "~")),
        false => Cow::Borrowed(step),
    })
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

/// An instant, rounded up to a second.
fn whole_second(exact: SystemTime) -> SystemTime {
    let part = exact.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let up = if part == 0 { 0 } else { 1_000_000_000 - part };
    exact + Duration::from_nanos(up.into())
}

#[cfg(test)]
mod tests;
