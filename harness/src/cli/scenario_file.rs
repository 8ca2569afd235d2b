//! Scenario files that brownout writes: where they go, and how they name an API file of the user's.
//!
//! **Invariant:** a file that is written reads the same API as the scenario it came from.

use std::path::{Path, PathBuf};

use super::refusal::Refusal;
use crate::scenario::Scenario;

/// Writes a scenario file.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, text: &str) -> Result<(), Refusal> {
    std::fs::write(file, text).map_err(|error| {
        Refusal::harness(format!(
            "cannot write `{}`: {error}; choose another file with `--write`",
            file.display()
        ))
    })
}

/// The API of a scenario that came from `file`, as a scenario in `folder` has to name it; `None` where
/// the scenario's own way leads there too.
#[must_use]
pub fn api_from(scenario: &Scenario, file: &Path, folder: &Path) -> Option<String> {
    let provider = scenario.providers.values().next()?;
    let beside = |folder: &Path| {
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
    };
    let from = beside(file.parent().unwrap_or(Path::new("")));
    let path = from.join(&provider.api_name);
    if brownout_provider::api::shipped(&provider.api_name).is_some() || !path.is_file() {
        return None;
    }
    let is_same = from.canonicalize().ok()? == beside(folder).canonicalize().ok()?;
    (!is_same).then(|| path.canonicalize().ok().map(|path| path.display().to_string())).flatten()
}
