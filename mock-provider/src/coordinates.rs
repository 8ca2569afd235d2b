//! Where a decision is taken: the coordinates of one request.

/// The coordinates of a request, on which alone a drawn decision depends (with the seed and the name
/// of the rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coordinates<'a> {
    /// The provider's name in the scenario.
    pub provider: &'a str,
    /// The route's name in the API.
    pub route: &'a str,
    /// The operation's name, such as `op-0001`.
    pub operation: &'a str,
    /// Which submit of the operation, from 1.
    pub submit: u32,
    /// Which attempt, counted from 1 per operation, submit, provider and route.
    pub attempt: u32,
}

impl Coordinates<'static> {
    /// The coordinates of nothing in particular: for draws that belong to a run, and for looking at a fault.
    pub const NOWHERE: Self =
        Self { provider: "", route: "", operation: "", submit: 1, attempt: 1 };
}
