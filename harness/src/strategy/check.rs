//! One call that throws scenarios at a client until one breaks it.
//!
//! **Invariant:** it says that a client survived only if it worked in fair weather and faults did strike.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::drawn::Drawn;
use super::smallest::Quest;
use super::{Faults, regressions, scenario};
use crate::harness::{Judged, Prepared};
use crate::invariant::registry::INVARIANTS;
use crate::verdict::InvariantVerdict;

/// Throws scenarios by chance at a prepared client: as many as the configuration says, after all those that
/// stand in `folder` from earlier failures (they alone with `cases: 0`). The first that breaks the client is shrunk and kept there.
///
/// The prepared harness's own scenario is what is varied; see [`super::scenario`]. Of the configuration
/// everything counts but `failure_persistence`, `fork` and `max_shrink_time`.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::drive::loopback::{Call, post_over};
/// use brownout::harness::Harness;
/// use brownout::operation::Outcome;
/// use brownout::strategy::{Faults, check};
/// use proptest::prelude::ProptestConfig;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: any-weather
/// provider: {api: payments}
/// workload: {call: create_charge, operations: 3, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
/// expect: [no_double_charges]
/// ",
/// )
/// .expect("a right scenario");
/// // A client that tries three times, each time under another key.
/// let client = harness.virtual_time().prepare(|operation, connection| async move {
///     let url = format!("{}/v1/charges", operation.url);
///     for attempt in 1..=3 {
///         let call = Call {
///             url: &url,
///             api_key: &operation.api_key,
///             idempotency_key: Some(&format!("{}-{attempt}", operation.id)),
///             body: &operation.input,
///             timeout: Duration::from_secs(5),
///         };
///         match post_over(&connection, call).await {
///             Ok(answer) if answer.status == 201 => return Outcome::succeeded(),
///             _ => tokio::time::sleep(Duration::from_secs(1)).await,
///         }
///     }
///     Outcome::unknown("three attempts were not enough")
/// });
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let folder = folder.path();
/// let broken = check(&client, &Faults::any(), folder, ProptestConfig::with_cases(500))
///     .expect_err("an answer that is lost leads to a second charge");
/// assert_eq!(broken.violated(), ["no_double_charges"]);
/// let smallest = broken.scenario().expect("a scenario broke it");
/// assert_eq!(smallest.scenario().workload.operations, 1);
/// assert_eq!(smallest.faults(), 1, "one lost answer is enough");
/// ```
///
/// # Errors
///
/// When a scenario breaks the client; and when nothing can be said, because the client does not work in
/// fair weather, no fault ever struck, or a run could not be made.
pub fn check(
    client: &Prepared,
    faults: &Faults,
    folder: impl AsRef<Path>,
    config: Config,
) -> Result<Survived, Broken> {
    if let Some(control) = client.control().map_err(Broken::said)?
        && !control.passed
    {
        let why = control.reason.unwrap_or_default();
        return Err(Broken::said(format!("the client does not work in fair weather: {why}")));
    }
    let folder = folder.as_ref();
    let name = &client.scenario().name;
    let kept = regressions::load(folder, name).map_err(Broken::said)?;
    let mut survived = Survived { scenarios: 0, struck: 0, others: kept.others };
    for drawn in &kept.drawn {
        let judged =
            drawn.run(client).map_err(|error| Broken::by(drawn, &error, client, folder))?;
        let violated = survived.take(&judged);
        if !violated.is_empty() {
            // What was kept is as small as it gets.
            return Err(Broken::by(drawn, violated.join(", "), client, folder));
        }
    }
    if config.cases == 0 && kept.drawn.is_empty() {
        let others = strangers(kept.others, folder);
        return Err(Broken::said(format!(
            "`cases: 0` draws nothing, and nothing is kept for `{name}` either{others}; draw at least one case"
        )));
    }
    let survived = by_chance(client, faults, folder, config, survived)?;
    if survived.struck == 0 {
        let none = format!("in none of {} scenarios did a fault strike", survived.scenarios);
        return Err(Broken::said(format!("{none}; let them strike a route that the client calls")));
    }
    Ok(survived)
}

/// What is to be said of files of other scenarios in the folder: their scenario may have been renamed.
fn strangers(others: u64, folder: &Path) -> String {
    match others {
        0 => String::new(),
        1 => format!(" (1 file in `{}` belongs to a scenario of another name)", folder.display()),
        _ => format!(
            " ({others} files in `{}` belong to scenarios of other names)",
            folder.display()
        ),
    }
}

/// Throws as many scenarios by chance as the configuration says.
fn by_chance(
    client: &Prepared,
    faults: &Faults,
    folder: &Path,
    config: Config,
    survived: Survived,
) -> Result<Survived, Broken> {
    if config.cases == 0 {
        return Ok(survived);
    }
    let strategy = scenario(client.scenario(), faults);
    let most = config.max_shrink_iters();
    // What struck is known once it has failed, and is made smaller faster and further than what was drawn.
    let config = Config { failure_persistence: None, max_shrink_iters: 0, ..config };
    let mut runner = TestRunner::new(config);
    let survived = Cell::new(survived);
    let target = Cell::new(None);
    let tried = runner.run(&strategy, |drawn| {
        let judged = drawn.run(client).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut so_far = survived.get();
        let violated = so_far.take(&judged);
        survived.set(so_far);
        let Some(gravest) = gravest(&violated) else { return Ok(()) };
        // While it is shrunk, a failure must stay the one that was found, and not become a lesser one.
        target.set(Some(gravest));
        Err(TestCaseError::fail(violated.join(", ")))
    });
    match tried {
        Ok(()) => Ok(survived.get()),
        Err(TestError::Abort(why)) => Err(Broken::said(why)),
        Err(TestError::Fail(why, drawn)) => {
            let drawn = match target.get() {
                Some(target) => {
                    Quest { client, target, most }.smallest(&drawn, strategy.simplest())
                }
                // What could not be run has no smaller form.
                None => drawn,
            };
            Err(Broken::by(&drawn, why, client, folder))
        }
    }
}

/// The invariants that failed.
pub(super) fn violated(judged: &Judged) -> Vec<&'static str> {
    let failed = |verdict| verdict == InvariantVerdict::Failed;
    judged.result.invariants.iter().filter(|one| failed(one.verdict)).map(|one| one.name).collect()
}

/// The gravest of them; what is the test's own comes last.
fn gravest(violated: &[&'static str]) -> Option<&'static str> {
    let grave = |name: &&str| INVARIANTS.iter().position(|kind| kind.name == *name);
    violated.iter().copied().min_by_key(|name| grave(name).unwrap_or(usize::MAX))
}

/// What a client survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survived {
    /// How many scenarios.
    pub scenarios: u64,
    /// In how many of them a fault struck.
    pub struck: u64,
    /// How many files in the folder belong to scenarios of other names, and were not replayed: the scenario
    /// may have been renamed since.
    pub others: u64,
}

impl Survived {
    /// Counts one more, and says what it violated.
    fn take(&mut self, judged: &Judged) -> Vec<&'static str> {
        self.scenarios += 1;
        self.struck += u64::from(!judged.result.faults.is_empty());
        violated(judged)
    }
}

/// Why a client did not survive, or why nothing can be said. Its debug form, which `unwrap` and `expect`
/// print, is the whole story.
#[derive(thiserror::Error)]
#[error("{story}")]
pub struct Broken {
    story: String,
    violated: Vec<&'static str>,
    drawn: Option<Drawn>,
    judged: Option<Box<Judged>>,
    file: Option<PathBuf>,
}

impl Broken {
    fn said(why: impl fmt::Display) -> Self {
        let story = why.to_string();
        Self { story, violated: Vec::new(), drawn: None, judged: None, file: None }
    }

    fn by(drawn: &Drawn, why: impl fmt::Display, client: &Prepared, folder: &Path) -> Self {
        let Ok(judged) = drawn.run(client) else {
            return Self { drawn: Some(drawn.clone()), ..Self::said(why) };
        };
        let names = violated(&judged);
        let mut comments = Vec::new();
        for one in &judged.result.invariants {
            comments.extend(one.violations.iter().map(|violation| {
                let operation = violation.operation.as_deref().unwrap_or("the run");
                format!("{}: {operation}: {}", one.name, violation.message)
            }));
        }
        // A smaller scenario may violate less than the one that was found.
        let why = if names.is_empty() { why.to_string() } else { names.join(", ") };
        let mut story = vec![format!("a scenario breaks the client: {why}"), judged.report()];
        let file = match regressions::save(folder, &drawn.to_yaml(), &comments) {
            Ok(path) => {
                story.push(format!("kept as {} and replayed first from now on:\n", path.display()));
                Some(path)
            }
            Err(error) => {
                story.push(format!("it cannot be kept in {}: {error}\n", folder.display()));
                None
            }
        };
        story.push(drawn.to_yaml());
        Self {
            story: story.join("\n"),
            violated: names,
            drawn: Some(drawn.clone()),
            judged: Some(Box::new(judged)),
            file,
        }
    }

    /// The names of the invariants that failed; none where nothing can be said.
    #[must_use]
    pub fn violated(&self) -> &[&'static str] {
        &self.violated
    }

    /// The smallest scenario that breaks the client.
    #[must_use]
    pub fn scenario(&self) -> Option<&Drawn> {
        self.drawn.as_ref()
    }

    /// The run in it, with its trace.
    #[must_use]
    pub fn judged(&self) -> Option<&Judged> {
        self.judged.as_deref()
    }

    /// Where it is kept.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story)
    }
}
