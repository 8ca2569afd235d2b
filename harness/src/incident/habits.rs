//! What a client that calls a provider does, habit by habit, as plain data.
//!
//! One client plays most of the stories: what differs between the one that caused an incident and the one that
//! would have survived it is a habit or two.
//! **Invariant:** plain data; what a habit leads to is written where the client is.

use std::time::Duration;

/// What a client that calls a provider does.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// What its idempotency keys are made of.
    pub key: Key,
    /// Which failures it tries again.
    pub retries: Retries,
    /// How often it tries, at least 1.
    pub attempts: u32,
    /// How many layers of retries lie around each other, at least 1: each tries `attempts` times what the one
    /// below it has given up.
    pub layers: u32,
    /// How long it waits between two attempts.
    pub wait: Wait,
    /// Which retry hints it reads.
    pub hints: Hints,
    /// True: it tells failures apart by the code in the body where the status misleads.
    pub reads_codes: bool,
    /// How long it waits for an answer; `None` for ever.
    pub timeout: Option<Duration>,
    /// What it takes for a success.
    pub belief: Belief,
    /// What it tells its caller when it may have happened.
    pub doubt: Tells,
    /// What it tells its caller when it did not happen.
    pub failure: Tells,
    /// True: it writes into each attempt's body which one it is.
    pub counts_in_body: bool,
    /// True: it stops in time to tell its caller what became of it.
    pub minds_deadline: bool,
    /// What it writes.
    pub logs: Logs,
    /// When it looks up what stands before it tries again.
    pub reads: Reads,
    /// What all its operations share to spare the provider.
    pub restraint: Restraint,
    /// When it turns to the provider `backup`.
    pub fallback: Fallback,
    /// It sends the next attempt so soon, while the last one is still running.
    pub impatient: Option<Duration>,
    /// What it does when a step of several fails.
    pub steps: Steps,
    /// What it does afterwards about operations of which it does not know what became.
    pub sweep: Sweep,
}

/// What an idempotency key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It sends none.
    None,
    /// Drawn anew for each attempt.
    Attempt,
    /// Drawn anew for each submit: each click, each run of a job.
    Submit,
    /// Of the operation, which is the same for ever.
    Operation,
    /// Of these fields of the input.
    Fields(&'static [&'static str]),
    /// Of the time, in steps of this length.
    Time(Duration),
}

/// Which failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// None.
    Nothing,
    /// What may pass: throttling, 5xx, answers that never came.
    Transient,
    /// All of them, also what was refused for good.
    Everything,
}

/// How long to wait between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    None,
    /// Always the same.
    Fixed(Duration),
    /// Twice as long each time, up to a cap; and up to so much more, by chance.
    Growing {
        /// The first wait.
        first: Duration,
        /// The longest wait, without what chance adds.
        cap: Duration,
        /// What chance adds at most.
        jitter: Jitter,
    },
}

/// What chance adds to a wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Nothing.
    None,
    /// So much.
    Upto(Duration),
    /// As much again.
    AsMuchAgain,
    /// Any part of the wait, down to none of it, in the place of the wait itself.
    Full,
    /// Anything from the first wait to three times the wait before this one, up to the cap, in the place of the
    /// wait itself.
    Decorrelated,
}

/// Which retry hints are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// None.
    Ignored,
    /// `Retry-After` and its like.
    Headers,
    /// These, and `retry_after` in the body of an error.
    HeadersAndBody,
}

/// What is taken for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// A status of 2xx.
    Status,
    /// A body of the right shape: it says that this very work is done.
    Shape,
    /// The same, and the result in it is good enough to be used.
    Body,
}

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// That it is done.
    Success,
    /// That it failed.
    Failure,
    /// That nobody knows.
    Doubt,
    /// Nothing at all.
    Nothing,
}

/// What a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// Nothing.
    Nothing,
    /// A line for each success, and none for what came before it.
    Successes,
    /// A line for each failure.
    Failures,
    /// Each request, whole: with its key and its body.
    Requests,
}

/// When a client looks up what stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Never.
    Never,
    /// Before it tries again what may have happened.
    BeforeRetry,
    /// The same, and it asks for so long until it believes that nothing stands.
    Patiently(Duration),
}

/// What all operations of a client share to spare the provider.
#[derive(Clone, Copy, Debug)]
pub struct Restraint {
    /// After some failures in a row, rest before a single probe.
    pub breaker: Option<Breaker>,
    /// How fast it sends at most.
    pub pace: Pace,
    /// How many retries there may be: ten for free, and for each hundred first attempts so many.
    pub budget: Option<u64>,
    /// How many requests may be under way at once.
    pub in_flight: Option<u32>,
    /// True: a refusal with a hint, and an answer that says that nothing is left, hold all operations back.
    pub holds: bool,
    /// True: all tenants share this; false: each of them has its own.
    pub shared: bool,
    /// True: who waits for the next attempt keeps its place among those that are under way.
    pub keeps_place: bool,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// It opens after so many failures in a row.
    pub trip: u32,
    /// It lets a probe through after this long.
    pub rest: Duration,
}

/// How fast a client sends at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    Free,
    /// One request every so often.
    Every(Duration),
    /// One request every so often, or more seldom: half as many after each refusal, and a little more after each
    /// success.
    Adaptive(Duration),
    /// So many in each period of the client's own clock, as fast as it can.
    Window {
        /// How many.
        limit: u64,
        /// The length of a period.
        per: Duration,
    },
}

/// When a client turns to another provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Never.
    None,
    /// When the first one did not say yes.
    OnDoubt,
    /// When the first one has said no, or that nothing stands.
    OnFailure,
}

/// What a client does when one of several steps fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// It leaves what was done as it is.
    Leaves,
    /// It leaves what was done as it is, and calls the whole a success.
    Ignores,
    /// It begins again with the first step.
    Restarts,
    /// It undoes what was done.
    Compensates,
}

/// What a client does afterwards about operations of which it does not know what became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Nothing.
    None,
    /// It calls them failed, without a look.
    Denies,
    /// It does them once more, as it did before.
    Repeats,
}

/// No restraint at all.
pub const UNRESTRAINED: Restraint = Restraint {
    breaker: None,
    pace: Pace::Free,
    budget: None,
    in_flight: None,
    holds: false,
    shared: false,
    keeps_place: false,
};

/// Waits of 0.5, 1, 2, … seconds up to 30, and as much again by chance.
pub const GROWING: Wait = Wait::Growing {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(30),
    jitter: Jitter::AsMuchAgain,
};

/// The client on which all others are built: nothing is wrong with it. It retries what may pass, under one key
/// for the operation, waits longer each time and as long as it is asked to, believes no answer that does not say
/// that the work is done, and says `unknown` when it does not know.
pub const CAREFUL: Habits = Habits {
    key: Key::Operation,
    retries: Retries::Transient,
    attempts: 5,
    layers: 1,
    wait: GROWING,
    hints: Hints::HeadersAndBody,
    reads_codes: true,
    timeout: Some(Duration::from_secs(10)),
    belief: Belief::Body,
    doubt: Tells::Doubt,
    failure: Tells::Failure,
    counts_in_body: false,
    minds_deadline: true,
    logs: Logs::Failures,
    reads: Reads::Never,
    restraint: UNRESTRAINED,
    fallback: Fallback::None,
    impatient: None,
    steps: Steps::Compensates,
    sweep: Sweep::None,
};
