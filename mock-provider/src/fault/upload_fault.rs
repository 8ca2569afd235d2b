//! What can go wrong with a piece of an upload.
//!
//! **Invariant:** plain data; [`crate::resumable`] says what becomes of it.

/// A piece of an upload is not treated as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// Nothing of it is kept, and the answer says so.
    Lost,
    /// It is kept two times, one behind the other.
    Twice,
    /// Half of it is kept, and the answer says that all of it is.
    Lies,
    /// The upload has expired.
    Expires,
    /// Something else is kept than came.
    Spoils,
}

impl UploadFault {
    /// True when something of the piece is kept, be it right or not.
    #[must_use]
    pub const fn keeps(self) -> bool {
        match self {
            Self::Twice | Self::Lies | Self::Spoils => true,
            Self::Lost | Self::Expires => false,
        }
    }
}
