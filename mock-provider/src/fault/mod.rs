//! Faults: what can go wrong with a request, one file each, and the few actions they all come down to.
//!
//! A fault is parsed and checked once, and turns a [`Draw`] into an [`Action`] when its rule strikes.
//! The provider knows actions only, never which fault asked for them; so a new fault is one new file
//! and one line in [`registry`].
//! **Invariant:** a fault decides from its parameters and its draw alone.

mod accept_then_drop;
mod bad_chunk;
mod ban;
mod clean_cut;
mod close;
mod close_idle;
mod conflict;
mod delayed_duplicate;
mod deprecated;
mod drip;
mod duplicate_request;
mod early_response;
mod expired_certificate;
mod forget_key;
mod garbage;
mod goaway;
mod greeting;
mod half_close;
mod handshake_reset;
mod hang;
mod ignore_key;
mod job;
mod job_fault;
mod key_fault;
mod key_required_late;
mod kill_client;
mod late_key;
mod latency;
mod limit_fault;
mod lognormal;
mod lying_limit;
mod malformed;
mod message;
mod mismatch_accepted;
mod mismatch_rejected;
mod noisy_neighbour;
mod order_fault;
mod partial_batch;
mod parts;
mod pause_client;
mod permanent_error;
mod rate_limited;
mod refuse;
pub mod registry;
mod reorder;
mod replay_altered;
mod replay_error;
mod replay_other;
mod replay_status;
mod reset;
mod rst_stream;
mod should_retry;
mod slow_commit;
mod slow_read;
mod slow_tokens;
mod stale_read;
mod status;
mod stream;
#[cfg(test)]
mod testing;
mod throttle_bandwidth;
mod tighten;
mod truncate;
mod truncated_key;
mod untrusted;
mod upload;
mod upload_fault;
pub mod variants;
mod webhook;
mod webhook_fault;
mod wrong_content_length;
mod wrong_host;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::api::{Api, Route};
use crate::coordinates::Coordinates;
use crate::document::At;
use crate::exchange::{ClientFault, End};
use crate::framing::Misframed;
pub use crate::hint::{HintSpec, LimitHeaders};
use crate::http2::GoAway;
use crate::seed::{Draw, RuleKey, Seed};
use crate::stream::Broken;
pub use deprecated::Deprecated;
pub use job_fault::JobFault;
pub use key_fault::KeyFault;
pub use limit_fault::{Lie, LimitFault};
pub use message::MessageFault;
pub use order_fault::OrderFault;
pub use partial_batch::BatchFault;
pub use upload_fault::UploadFault;
pub use webhook_fault::WebhookFault;

/// Which of the four groups a fault belongs to; the group says how faults that strike together combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// All apply, and add up.
    Delay,
    /// All apply.
    Provider,
    /// The first applies.
    Client,
    /// The first in file order applies; the others did not strike.
    Ending,
}

/// Where in the life of a request an ending strikes, in the order in which a request passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before anything is answered or done.
    Accept,
    /// Where the limiter stands, before the idempotency look-up: for all that throttles.
    Throttling,
    /// After look-up and validation, before the work is done.
    BeforeCommit,
    /// The work is done, the provider's own answer is ready and kept, and nothing of it was written.
    AfterCommit,
    /// The work is done, and the head and a part of the body are written.
    MidBody,
}

impl Point {
    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Throttling => "throttling",
            Self::BeforeCommit => "before_commit",
            Self::AfterCommit => "after_commit",
            Self::MidBody => "mid_body",
        }
    }
}

/// Where a delay is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DelayPoint {
    /// Before the work is done; the key is in flight meanwhile.
    BeforeCommit,
    /// After the work is done and the provider's own answer is kept, before the head.
    AfterCommit,
    /// Between the head and the body.
    Head,
    /// Before each piece of the body but the first (the body is cut into [`CHUNKS`] pieces).
    Chunk,
}

/// Into how many pieces a body is cut for a delay `at: chunk`.
pub const CHUNKS: usize = 4;

/// What a strike does: the whole language between faults and provider.
#[derive(Clone, Debug)]
pub enum Action {
    /// Waits.
    Delay {
        /// Where.
        at: DelayPoint,
        /// How long, in microseconds.
        micros: u64,
    },
    /// The body drips out.
    Drip {
        /// Bytes a piece, at least 1.
        bytes: u64,
        /// The pause between pieces, in microseconds.
        every_us: u64,
    },
    /// The idempotency key is treated in another way than honestly.
    Key(KeyFault),
    /// The limit on requests is treated in another way than as its policy says.
    Limit(LimitFault),
    /// Something is out of its order: the request arrives late, or what it does or reads is.
    Order(OrderFault),
    /// The event that tells of the request is not sent as it should be.
    Webhook(WebhookFault),
    /// Some items of the request are not done, or nothing is said of them.
    Batch(BatchFault),
    /// The route goes out of use.
    Deprecated(Deprecated),
    /// The piece of a file that the request carries is not treated as it should be.
    Upload(UploadFault),
    /// The job that the request begins does not go as it should.
    Job(JobFault),
    /// A message that is about to be handed out is treated in another way than its queue says.
    Message(MessageFault),
    /// A gateway repeats the request `times` more times, `apart_us` apart; the client gets the
    /// original's answer.
    Duplicate {
        /// How many repeats, at least 1.
        times: u32,
        /// Microseconds between two of them.
        apart_us: u64,
    },
    /// The client itself is struck.
    Client {
        /// Where: before the work, after it, or over half of the answer.
        at: Point,
        /// How.
        does: ClientFault,
    },
    /// The request ends in another way than the provider's own answer.
    End {
        /// Where.
        at: Point,
        /// How.
        ending: Ending,
    },
    /// Strikes before any request is known: only time, and no coordinate, says when.
    Door(Door),
}

/// What happens to whoever comes to the provider's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nobody listens.
    Closed,
    /// The handshake of TLS is not what it should be.
    Greets(Greeting),
}

/// A handshake of TLS that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The certificate has expired.
    Expired,
    /// The certificate is another host's.
    WrongHost,
    /// The certificate is signed by an authority that the client has no reason to trust.
    Untrusted,
    /// The connection is reset in the middle of it.
    Reset,
}

/// How a fault ends a request.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Another answer takes the place of the provider's own.
    Answer(Substitute),
    /// The provider answers that the key is still in progress (its own in-flight error). With
    /// `for_us`, the key stays in progress that long from now, whoever asks.
    InFlight {
        /// How long the key stays in progress, in microseconds; 0 for this request alone.
        for_us: u64,
        /// A hint in the answer.
        hint: Option<HintSpec>,
    },
    /// The provider's own answer, and the whole head of an interim one (1xx) before it, as bytes.
    Interim(Bytes),
    /// 202 with an object that is still to be made, and it never is.
    Accepted,
    /// The provider's own answer, made unusable.
    Malformed(Malformed),
    /// The provider's own stream of events goes wrong. An answer that is no stream (an error) goes out as
    /// it is.
    Stream(Broken),
    /// Nothing is ever answered; in the middle of the body, nothing after half of it.
    Hang,
    /// The connection ends with nothing answered (`after_bytes` is `None`), or after the head and so
    /// many bytes of the body.
    Cut {
        /// Bytes of the body that go out; `None` for nothing at all, not even the head.
        after_bytes: Option<u64>,
        /// How the connection ends; over HTTP/2, the stream.
        then: End,
        /// Over HTTP/2 the whole connection ends, with all of its streams.
        connection: bool,
    },
    /// The provider takes its leave of the connection; strikes only over HTTP/2.
    GoAway(GoAway),
    /// As a [`Ending::Cut`] with no byte, if the connection has carried a request before this one; else the
    /// fault does not strike.
    CloseIdle,
    /// The answer's bytes are not those that HTTP would write.
    Misframed {
        /// Which bytes go out.
        how: Misframed,
        /// How the connection ends when they are out; `None` where it lives on.
        then: Option<End>,
    },
}

/// An answer that a fault puts in the place of the provider's own.
#[derive(Clone, Debug, Default)]
pub struct Substitute {
    /// The status; `None` for the API's own way of saying that this is too much.
    pub status: Option<u16>,
    /// Headers to add, in order; several of one name are legal. A `content-type` here takes the place of
    /// the body's own.
    pub headers: Vec<(String, String)>,
    /// The body; without one, the API's own error body for this status.
    pub body: Option<SubstituteBody>,
    /// The code in the API's own error body, where the fault names one; used only without `body`.
    pub code: Option<String>,
    /// The name of the API's error that is meant; where the API has none of that name, its error for the
    /// status, with the name as code. Used only without `body`.
    pub named: Option<&'static str>,
    /// What the API's should-retry header says (`x-should-retry` where the API has none).
    pub should_retry: Option<bool>,
    /// The headers that tell of the limit, instead of the API's own.
    pub limit: Option<LimitHeaders>,
    /// The retry hint.
    pub hint: Option<HintSpec>,
    /// True for an answer that stands for the provider's limiter, whatever its status.
    pub throttling: bool,
    /// True for an answer that the provider takes for its own and keeps under the key.
    pub kept: bool,
}

/// The body of a [`Substitute`].
#[derive(Clone, Debug)]
pub enum SubstituteBody {
    /// Written as JSON, with the JSON content type.
    Json(Value),
    /// Written as it is, with this content type.
    Raw(&'static str, Bytes),
}

/// A way of making an answer unusable, with all it needs: pure data to pure function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which way.
    pub kind: crate::malformed::Kind,
    /// The field that the kind is about, as a JSON pointer, where it needs one.
    pub field: Option<String>,
    /// How many bytes it is large, unpacked, where the kind has a size.
    pub size: u64,
    /// Random bits for kinds that make something up.
    pub bits: u64,
}

/// A fault with its parameters, ready to strike.
pub trait Fault: fmt::Debug + Send + Sync {
    /// Which entry of the registry it is.
    fn kind(&self) -> &'static FaultKind;

    /// What it does when its rule strikes; of a fault that changes with time, the most that it ever does.
    fn strike(&self, draw: &mut Draw) -> Action;

    /// What it does when its rule strikes so many microseconds after the first request of the run.
    fn strike_at(&self, draw: &mut Draw, since_first_us: u64) -> Action {
        let _ = since_first_us;
        self.strike(draw)
    }

    /// The point at which it strikes, for the checker; `None` for faults that strike at no one point.
    fn point(&self) -> Option<Point> {
        None
    }

    /// Its parameters in a few words for the schedule table and the trace: `503`, `after_commit`.
    fn detail(&self) -> String {
        String::new()
    }

    /// What it does at the door, if it strikes there: time alone says when.
    fn door(&self) -> Option<Door> {
        None
    }

    /// True when it strikes only requests that are answered in a stream.
    fn streams_only(&self) -> bool {
        false
    }

    /// True when it strikes only requests that come over HTTP/2.
    fn http2_only(&self) -> bool {
        false
    }

    /// True when it can strike requests of this route; it never strikes others.
    fn takes(&self, route: &Route) -> bool {
        let _ = route;
        true
    }

    /// Reports what cannot work on this route of this API (`wrong_amount` where nothing is echoed), or on
    /// any of its routes without one; `at` is where the parameters stand, as for `parse`.
    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let _ = (api, route, at);
    }
}

impl dyn Fault + '_ {
    /// Why there is no such thing over HTTP/2, with what to use instead; `None` where there is.
    #[must_use]
    pub fn not_over_http2(&self) -> Option<&'static str> {
        let Action::End { ending, .. } = self.looked_at(Seed::default()) else { return None };
        match ending {
            Ending::Misframed { .. } => Some(
                "HTTP/2 frames every answer by itself; use `truncate`, `close` or `rst_stream`",
            ),
            Ending::Interim(_) => {
                Some("interim answers go out over HTTP/1.1 alone; use a status from 200 on")
            }
            Ending::CloseIdle => Some("a server takes its leave there by a word; use `goaway`"),
            Ending::Cut { then: End::Half, .. } => {
                Some("a stream ends in both directions there; use `close` or `rst_stream`")
            }
            Ending::Answer(_)
            | Ending::InFlight { .. }
            | Ending::Malformed(_)
            | Ending::Stream(_)
            | Ending::Hang
            | Ending::Accepted
            | Ending::Cut { .. }
            | Ending::GoAway(_) => None,
        }
    }

    /// What it does, looked at without a request: which action it asks for depends on no draw, only its numbers
    /// do.
    ///
    /// ```
    /// use brownout_provider::document::Diagnostics;
    /// use brownout_provider::fault::{Action, Ending, registry};
    ///
    /// let hang = registry::find("hang").expect("it is registered");
    /// let problems = Diagnostics::new();
    /// let hang = (hang.parse)(&serde_json::Value::Null, &problems.root()).expect("bare is legal");
    /// let action = hang.action();
    /// assert!(matches!(action, Action::End { ending: Ending::Hang, .. }));
    /// ```
    #[must_use]
    pub fn action(&self) -> Action {
        self.strike(&mut Draw::of_nobody())
    }

    /// The same under one of many draws: for the numbers that depend on it.
    #[must_use]
    pub fn looked_at(&self, look: Seed) -> Action {
        self.strike(&mut RuleKey::new(look, self.kind().name).draw(&Coordinates::NOWHERE))
    }
}

/// An entry of the registry: everything that `list`, `explain`, the schema and the docs say of a fault.
pub struct FaultKind {
    /// The name in YAML, in the trace and in the docs.
    pub name: &'static str,
    /// How it combines with others.
    pub group: Group,
    /// One sentence: what happens.
    pub summary: &'static str,
    /// Its parameters with units, ranges and defaults, one a line: `name: text`.
    pub parameters: &'static [(&'static str, &'static str)],
    /// What clients typically get wrong.
    pub mistake: &'static str,
    /// A piece of YAML that stands under `inject:` and is a test.
    pub example: &'static str,
    /// True when the bare word is legal (nothing is required).
    pub bare: bool,
    /// The JSON Schema of the parameters.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Reads the parameters (`null` for the bare word) and reports all that is wrong with them.
    pub parse: fn(&Value, &At<'_>) -> Option<Arc<dyn Fault>>,
}

impl fmt::Debug for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultKind").field(&self.name).finish()
    }
}
