//! What can go wrong when the provider tells of an event by a webhook.
//!
//! **Invariant:** plain data; who sends decides what it comes to.

/// A webhook is not sent as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFault {
    /// It is sent so many times more, so far apart (in microseconds).
    Duplicate {
        /// How often more, at least 1.
        times: u32,
        /// Microseconds from one to the next.
        apart_us: u64,
    },
    /// It is sent so much later, in microseconds.
    Late {
        /// How much.
        by_us: u64,
    },
    /// It is held until the next full stretch of time is over, and goes out with all others of it.
    Burst {
        /// How long a stretch is, in microseconds.
        every_us: u64,
    },
    /// It is never sent.
    Drop,
    /// Its signature is made with another secret.
    BadSignature,
    /// Its time is so much in the past (in microseconds), and signed as such.
    OldTimestamp {
        /// How much.
        by_us: u64,
    },
    /// It is not signed.
    NoSignature,
    /// The sender overlooks so many successes, and sends again by its schedule.
    Unheard {
        /// How many, at least 1.
        times: u32,
    },
    /// Its body goes out in pieces.
    Slow {
        /// Bytes a piece, at least 1.
        bytes: usize,
        /// The pause before each piece but the first, in microseconds.
        every_us: u64,
    },
    /// Its body ends after so many bytes, and the connection with it.
    Truncated {
        /// How many; half of the body, unless said.
        after_bytes: Option<usize>,
    },
}
