//! What HTTP/2 says about the end of a stream or of a connection: error codes, and the frame by which a
//! server takes its leave.
//!
//! Knows no sockets. **Invariant:** a frame that is written here is whole, and has the numbers of RFC 9113.

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;

/// The type of a frame of type GOAWAY.
const GOAWAY: u8 = 7;

/// Why a stream or a connection ends, in the words of RFC 9113, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Http2Code")]
pub enum ErrorCode {
    /// Nothing is wrong.
    NoError,
    /// The other side broke the protocol.
    ProtocolError,
    /// Something broke here.
    InternalError,
    /// The other side sent more than it was allowed to.
    FlowControlError,
    /// The other side did not acknowledge the settings in time.
    SettingsTimeout,
    /// A frame came for a stream that is closed.
    StreamClosed,
    /// A frame has a wrong size.
    FrameSizeError,
    /// Nothing was done: the request can be sent again as it is.
    RefusedStream,
    /// The stream is not needed any more.
    Cancel,
    /// The headers cannot be read any more.
    CompressionError,
    /// The tunnel broke.
    ConnectError,
    /// The other side asks for too much.
    EnhanceYourCalm,
    /// The encryption is too weak.
    InadequateSecurity,
    /// Only HTTP/1.1 will do.
    #[serde(rename = "http_1_1_required")]
    Http11Required,
}

impl ErrorCode {
    /// All codes, by number.
    pub const ALL: [Self; 14] = [
        Self::NoError,
        Self::ProtocolError,
        Self::InternalError,
        Self::FlowControlError,
        Self::SettingsTimeout,
        Self::StreamClosed,
        Self::FrameSizeError,
        Self::RefusedStream,
        Self::Cancel,
        Self::CompressionError,
        Self::ConnectError,
        Self::EnhanceYourCalm,
        Self::InadequateSecurity,
        Self::Http11Required,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        Self::ALL.iter().zip(0..).find(|(code, _)| **code == self).map_or(2, |(_, number)| number)
    }

    /// The code of a number; what nobody knows counts as an internal error.
    #[must_use]
    pub fn of(number: u32) -> Self {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(place).copied().unwrap_or(Self::InternalError)
    }

    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoError => "no_error",
            Self::ProtocolError => "protocol_error",
            Self::InternalError => "internal_error",
            Self::FlowControlError => "flow_control_error",
            Self::SettingsTimeout => "settings_timeout",
            Self::StreamClosed => "stream_closed",
            Self::FrameSizeError => "frame_size_error",
            Self::RefusedStream => "refused_stream",
            Self::Cancel => "cancel",
            Self::CompressionError => "compression_error",
            Self::ConnectError => "connect_error",
            Self::EnhanceYourCalm => "enhance_your_calm",
            Self::InadequateSecurity => "inadequate_security",
            Self::Http11Required => "http_1_1_required",
        }
    }
}

/// A server takes its leave of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Why.
    pub code: ErrorCode,
    /// The last stream that it says it has begun.
    pub last: LastStream,
    /// What it says beside, for whoever debugs.
    pub debug: String,
}

/// The last stream that was begun, as it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LastStream {
    /// The one before the request that is struck.
    #[default]
    Before,
    /// The request that is struck, which is answered.
    This,
}

impl GoAway {
    /// The frame, where `last` is the number of that stream.
    #[must_use]
    pub fn frame(&self, last: u32) -> Bytes {
        let length = u32::try_from(8 + self.debug.len()).unwrap_or(8).to_be_bytes();
        let mut frame = BytesMut::with_capacity(17 + self.debug.len());
        frame.put_slice(&length[1..]);
        frame.put_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
        frame.put_u32(last);
        frame.put_u32(self.code.number());
        frame.put_slice(self.debug.as_bytes());
        frame.freeze()
    }
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHead {
    /// How many bytes follow.
    pub length: u32,
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it is about; 0 for the connection.
    pub stream: u32,
}

impl FrameHead {
    /// How many bytes it has.
    pub const BYTES: usize = 9;
    /// Bytes of a body.
    pub const DATA: u8 = 0;
    /// Headers.
    pub const HEADERS: u8 = 1;
    /// The end of a stream in disorder.
    pub const RST_STREAM: u8 = 3;
    /// The flag of what ends its side of the stream in order.
    pub const END_STREAM: u8 = 1;

    /// Reads it.
    #[must_use]
    pub const fn read(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7F, e, f, g]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_numbers_and_words_of_the_standard() {
        for (number, code) in (0..).zip(ErrorCode::ALL) {
            assert_eq!((code.number(), ErrorCode::of(number)), (number, code));
            let read: ErrorCode = serde_json::from_value(code.name().into()).expect("its word");
            assert_eq!(read, code);
        }
        assert_eq!(ErrorCode::RefusedStream.number(), 7);
        assert_eq!(ErrorCode::Http11Required.number(), 0xD);
        assert_eq!(ErrorCode::of(99), ErrorCode::InternalError);
    }

    #[test]
    fn a_goaway_is_one_frame_about_the_connection() {
        let leave = GoAway {
            code: ErrorCode::EnhanceYourCalm,
            last: LastStream::Before,
            debug: "too_many_pings".to_owned(),
        };
        let frame = leave.frame(5);
        let head = FrameHead::read(frame[..9].try_into().expect("nine bytes"));
        assert_eq!(head, FrameHead { length: 22, kind: 7, flags: 0, stream: 0 });
        assert_eq!(&frame[9..17], [0, 0, 0, 5, 0, 0, 0, 11]);
        assert_eq!(&frame[17..], b"too_many_pings");
    }
}
