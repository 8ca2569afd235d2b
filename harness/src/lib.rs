//! brownout: a chaos harness for the code that *calls* APIs.
//!
//! A mock provider misbehaves on purpose, exactly as a seeded scenario says; a harness drives a client
//! against it and judges the client by what was on the wire, what stands in the provider's ledger, and what
//! the client told its caller. In a test all of it runs in virtual time: an hour of waiting takes
//! microseconds.
//!
//! # The first test
//!
//! ```
//! # #[cfg(feature = "reqwest")] {
//! use std::time::Duration;
//! use brownout::{Outcome, assert_holds};
//!
//! // #[test] fn a_lost_answer_charges_nobody_twice() {
//! assert_holds("../scenarios/payments/lost-response.yaml", |operation, connection| async move {
//!     let http = connection.reqwest().unwrap().build().unwrap();
//!     for _ in 0..3 {
//!         let asked = http
//!             .post(format!("{}/v1/charges", operation.url))
//!             .bearer_auth(&operation.api_key)
//!             .header("idempotency-key", &*operation.id)
//!             .header("content-type", "application/json")
//!             .body(operation.input.to_string());
//!         if asked.send().await.is_ok_and(|answer| answer.status() == 201) {
//!             return Outcome::succeeded();
//!         }
//!         tokio::time::sleep(Duration::from_secs(1)).await;
//!     }
//!     Outcome::unknown("three attempts came to nothing")
//! });
//! # }
//! ```
//!
//! The closure is the client's caller: it is given one operation and a way to the mock, does what the code
//! under test does, and says what became of it. Take the line with the key out, and the test panics with
//! the sentence "… customers would have been charged twice", the timeline of one of them, what was expected,
//! the cure, and how to repeat it.
//!
//! # Where to go from here
//!
//! | for | see |
//! |---|---|
//! | the seed, the real clock, other transports, fleets of clients, restarts | [`Harness`] |
//! | a client that receives messages of a queue | [`Harness::worker`] |
//! | what a client gets to reach the mock | [`Connection`] |
//! | the verdict, the report, the JSON document | [`Judged`] |
//! | rules of your own over the trace | [`Harness::expect`], [`Finding`], [`Trace`] |
//! | scenarios in Rust | the module [`build`] |
//! | the same faults in an axum app or in wiremock | the module `embed`, with a feature of those below |
//! | thousands of runs | [`Prepared`] |
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `reqwest` | `Connection::reqwest`, a builder that leads to the mock |
//! | `connector` | `Connection::connector`, for hyper-util's client and others with a tower connector |
//! | `service` | `Harness::service`: a client that is an axum router, called as http mode calls services |
//! | `tower` | `embed::Faults::layer`, for axum and others |
//! | `wiremock` | `embed::Faults::responder`, for existing wiremock tests |
//! | `proptest` | the module `strategy`: scenarios by chance |
//! | `tls` | `provider: {tls: true}`, with certificates made at start-up |
//! | `http2` | `provider: {http2: true}`, beside HTTP/1.1 |
//! | `serve` | the module `serve`: one provider for a test suite in any language, with its control API |
//! | `cli` (default) | the command line; a test does without: `default-features = false` |
//!
//! # The shape of the code
//!
//! Floors, from the bottom; a module imports only from its own floor and those below it:
//!
//! | floor | modules |
//! |---|---|
//! | data | `amount` `by_name` `operation` `verdict` `scenario` `build` `trace` `invariant` |
//! | judges | `judge` `timeline` |
//! | drivers | `redact` `drive` `record` `run` |
//! | searches | `search` |
//! | reports | `report` |
//! | library | `harness` `incident` `strategy` `embed` `serve` |
//! | command line | `cli` |

pub mod amount;
pub mod build;
pub mod by_name;
#[cfg(feature = "cli")]
pub mod cli;
pub mod drive;
#[cfg(any(feature = "tower", feature = "wiremock"))]
pub mod embed;
pub mod harness;
#[cfg(feature = "cli")]
pub mod incident;
pub mod invariant;
pub mod judge;
pub mod operation;
pub mod record;
pub mod redact;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod timeline;
pub mod trace;
pub mod verdict;

pub use drive::in_process::Connection;
pub use harness::{Finding, Harness, Judged, Prepared, WrongScenario, assert_holds};
pub use operation::{Operation, Outcome};
pub use scenario::Scenario;
pub use trace::Trace;
pub use verdict::Verdict;
