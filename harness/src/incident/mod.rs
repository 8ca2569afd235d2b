//! Incidents that happened to others: the story, the scenario that replays it, the client that caused it and the
//! one that survives it.
//!
//! **Invariant:** an incident is one entry of the registry and one scenario of the same name; both clients are
//! data, and what they do is written in `client`, one file for each kind.

mod backends;
pub mod client;
mod functions;
pub mod habits;
mod home;
pub mod page;
pub mod programs;
mod prompts;
pub mod registry;
mod vision;

use std::sync::Arc;

use brownout_provider::seed::Seed;

use self::client::batches::{self, Batches};
use self::client::caller::Caller;
use self::client::jobs::{self, Waits};
use self::client::keeper::{Keepers, Keeps};
use self::client::listener::{Listeners, Listens};
use self::client::pages::{Pages, Shows};
use self::client::stream::{self, Reads};
use self::client::taker::{Takers, Takes};
use self::client::uploads::{self, Uploads};
use self::client::worker::{self, Receives};
use self::habits::Habits;
use crate::drive::in_process::Reconciler;
use crate::run::Client;

/// An incident.
#[derive(Clone, Copy, Debug)]
pub struct Incident {
    /// The name: that of its scenario.
    pub name: &'static str,
    /// Where such things happen.
    pub family: Family,
    /// What happened, in at most twelve words.
    pub happened: &'static str,
    /// The story.
    pub story: &'static str,
    /// What the client did wrong; of a story that held, what it did right.
    pub mistake: &'static str,
    /// What would have kept it from happening.
    pub remedy: &'static str,
    /// The invariants that the client with the mistake breaks; none where the story held.
    pub caught_by: &'static [&'static str],
    /// What the client with the mistake breaks beside these, and why.
    pub also: &'static [(&'static str, &'static str)],
    /// The client with the mistake; `None` where the story held.
    pub flawed: Option<Habit>,
    /// The client that survives it.
    pub fixed: Habit,
}

/// Where an incident happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// In front of a model that answers prompts.
    Prompts,
    /// In a back end that pays, ships or talks to partners.
    Backends,
    /// In functions in a cloud, and queues.
    Functions,
    /// In front of services that look at pictures.
    Vision,
    /// In retry code that somebody wrote at home.
    Home,
}

impl Family {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 5] =
        [Self::Prompts, Self::Backends, Self::Functions, Self::Vision, Self::Home];

    /// The tag of its scenarios.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Backends => "backends",
            Self::Functions => "functions",
            Self::Vision => "vision",
            Self::Home => "home-made",
        }
    }

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Prompts => "Prompts",
            Self::Backends => "Payments and partners",
            Self::Functions => "Functions and queues",
            Self::Vision => "Pictures",
            Self::Home => "Home-made retries",
        }
    }
}

/// A client as data, of one of the kinds there are.
#[derive(Clone, Copy, Debug)]
pub enum Habit {
    /// It calls a provider.
    Calls(Habits),
    /// It is told of events.
    Listens(Listens),
    /// It orders, and keeps how far its orders are as events tell it.
    Keeps(Keeps),
    /// It receives messages of a queue.
    Receives(Receives),
    /// It begins jobs and waits for them.
    Waits(Waits),
    /// It shows pages of what a provider knows.
    Shows(Shows),
    /// It reads streams.
    Reads(Reads),
    /// It takes work with a promise.
    Takes(Takes),
    /// It uploads files in pieces.
    Uploads(Uploads),
    /// It sends many items in one request.
    Batches(Batches),
}

/// Which of the two clients of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that caused it.
    Flawed,
    /// The one that survives it.
    Fixed,
}

/// A client that is ready to run.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    /// The client.
    pub client: Client,
    /// Asked in the end about what it called `unknown`.
    pub reconciler: Option<Reconciler>,
}

impl Incident {
    /// True for a story in which nothing went wrong.
    #[must_use]
    pub const fn held(&self) -> bool {
        self.flawed.is_none()
    }

    /// One of its clients; a story that held has one client for both. The seed makes what it draws repeatable.
    #[must_use]
    pub fn client(&self, side: Side, seed: Seed) -> BuiltIn {
        match (side, self.flawed) {
            (Side::Flawed, Some(flawed)) => flawed.build(seed),
            (Side::Flawed | Side::Fixed, _) => self.fixed.build(seed),
        }
    }
}

impl Habit {
    fn build(self, seed: Seed) -> BuiltIn {
        match self {
            Self::Calls(habits) => BuiltIn {
                client: Client::InProcess(Arc::new(Caller::factory(habits, seed))),
                reconciler: Caller::reconciler(habits, seed),
            },
            Self::Listens(habits) => alone(Client::ServiceInProcess(Arc::new(Listeners(habits)))),
            Self::Keeps(habits) => alone(Client::ServiceInProcess(Arc::new(Keepers(habits)))),
            Self::Receives(habits) => alone(Client::WorkerInProcess(Arc::new(move |connection| {
                worker::work(habits, connection)
            }))),
            Self::Shows(habits) => alone(Client::ServiceInProcess(Arc::new(Pages(habits)))),
            Self::Waits(habits) => alone(Client::in_process(move |operation, connection| {
                jobs::serve(habits, operation, connection)
            })),
            Self::Takes(habits) => alone(Client::ServiceInProcess(Arc::new(Takers::new(habits)))),
            Self::Uploads(habits) => alone(Client::in_process(move |operation, connection| {
                uploads::serve(habits, operation, connection)
            })),
            Self::Batches(habits) => alone(Client::in_process(move |operation, connection| {
                batches::serve(habits, operation, connection)
            })),
            Self::Reads(habits) => alone(Client::in_process(move |operation, connection| {
                stream::serve(habits, operation, connection)
            })),
        }
    }
}

/// A client behind which nobody sweeps up.
fn alone(client: Client) -> BuiltIn {
    BuiltIn { client, reconciler: None }
}
