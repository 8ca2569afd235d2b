//! Several of everything in one scenario: providers, and what a client does between them.
//!
//! **Invariant:** clients are told apart by one thing only: what they do when the first provider fails.

mod fallback;
mod fifty;
mod fleet;
mod providers;
mod shipped;
mod tenants;

use std::path::Path;

use brownout::scenario::{Apis, Overrides, Scenario, read};

/// The scenario of this text, which must be right.
pub(crate) fn scenario(text: &str) -> Scenario {
    let apis = Apis::Beside(Path::new("."));
    let checked = read("several.yaml", text.as_bytes(), apis, &Overrides::default());
    checked.scenario.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}
