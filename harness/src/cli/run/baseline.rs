//! `--baseline FILE`: the violations that are known, so that only a new one fails.
//!
//! The file is YAML, read as scenarios are: every mistake at once, with its place and its cure.
//!
//! ```yaml
//! version: 1
//! known:
//!   - scenario: payments-lost-response
//!     invariant: no_double_charges
//!     reason: the checkout makes a new key for each attempt; the mending is planned
//!     date: 2026-11-20
//! ```
//!
//! **Invariant:** it hides nothing: a known violation is in every report, and a run that is inconclusive
//! stays so.

use std::collections::BTreeMap;
use std::path::Path;

use brownout_provider::document::{At, Diagnostic, Diagnostics, Document, Source, decode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cli::refusal::Refusal;
use crate::cli::sources;
use crate::cli::terminal::Terminal;
use crate::invariant::registry::{self, INVARIANTS};
use crate::report::baseline::{Compared, Known, Stale};
use crate::report::{Entry, PlacedDiagnostic, Report, diagnostics};
use crate::verdict::{InvariantVerdict, Verdict};

/// What an empty baseline is told.
const START: &str = "a baseline with nothing in it reads `{version: 1, known: []}`; each entry under \
                     `known` has a `scenario`, an `invariant`, a `reason` and a `date`";

/// A baseline as its author writes it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a baseline: a map with `version` and `known`")]
pub struct RawBaseline {
    /// The version of this format: 1.
    #[schemars(required, title = "the version of the format: `1`")]
    version: Option<u64>,
    /// The violations that are known.
    #[schemars(required, title = "a list of known violations")]
    known: Option<Vec<Option<RawKnown>>>,
}

/// One known violation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `scenario`, `invariant`, `reason` and `date`")]
struct RawKnown {
    /// The name of the scenario that shows it.
    #[schemars(required)]
    scenario: Option<String>,
    /// The invariant that is broken.
    #[schemars(required)]
    invariant: Option<String>,
    /// Why it is left as it is, for whoever reads the report.
    #[schemars(required)]
    reason: Option<String>,
    /// The day since when it is known: `2026-11-20`.
    #[schemars(required)]
    date: Option<String>,
}

/// The known violations of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    file: String,
    entries: Vec<Placed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    line: usize,
    scenario: String,
    known: Known,
}

/// Reads a baseline; prints all that is wrong with it.
///
/// # Errors
/// It cannot be read, or anything in it is wrong.
pub fn read(path: &Path, terminal: Terminal) -> Result<Baseline, Refusal> {
    let file = sources::read_file(path)?;
    parse(&path.to_string_lossy(), &file.bytes).map_err(|wrong| {
        let (source, problems) = *wrong;
        terminal.err(&diagnostics::render(&source, &problems));
        let placed = problems.iter().map(|one| PlacedDiagnostic::new(&source, one)).collect();
        Refusal::wrong_files(1, placed)
    })
}

fn parse(file: &str, bytes: &[u8]) -> Result<Baseline, Box<(Source, Vec<Diagnostic>)>> {
    let document = Document::parse(file, bytes).map_err(|refusal| {
        let mut refusal = *refusal;
        if let Some(only) = refusal.diagnostics.first_mut().filter(|_| refusal.is_empty) {
            // Whoever starts a baseline with an empty file wants to see what one looks like.
            only.cure = Some(START.to_owned());
        }
        Box::new((refusal.source, refusal.diagnostics))
    })?;
    let problems = Diagnostics::new();
    let entries = resolve(&document, &problems.root());
    let mut found = problems.into_vec();
    if found.is_empty() {
        return Ok(Baseline { file: file.to_owned(), entries });
    }
    found.sort_by_key(|one| document.source.place_of(one));
    Err(Box::new((document.source, found)))
}

fn resolve(document: &Document, root: &At<'_>) -> Vec<Placed> {
    let Some(raw) = decode::<RawBaseline>(&document.value, root) else { return Vec::new() };
    if let Some(version) = raw.version
        && version != 1
    {
        root.key("version").error(format!("version `{version}` of the format is not known"), |d| {
            d.cure("write `version: 1`, or use a newer brownout")
        });
    }
    let at = root.key("known");
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut entries = Vec::new();
    for (index, entry) in raw.known.into_iter().flatten().enumerate() {
        let at = at.index(index);
        let Some(placed) = entry.and_then(|entry| one(entry, &document.source, &at)) else {
            continue;
        };
        let key = (placed.scenario.clone(), placed.known.invariant.clone());
        if let Some(first) = seen.insert(key, index) {
            at.error(format!("it stands here twice, first as number {}", first + 1), |d| {
                d.cure("keep one of the two")
            });
        }
        entries.push(placed);
    }
    entries
}

fn one(raw: RawKnown, source: &Source, at: &At<'_>) -> Option<Placed> {
    let RawKnown { scenario, invariant, reason, date } = raw;
    if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        at.key("reason").error("the reason is empty", |d| {
            d.cure("say why it is left as it is, for whoever reads the report")
        });
    }
    let invariant = invariant?;
    if registry::find(&invariant).is_none() {
        let names: Vec<&str> = INVARIANTS.iter().map(|kind| kind.name).collect();
        at.key("invariant")
            .error(format!("there is no invariant `{}`", invariant.escape_debug()), |d| {
                d.allowed(&invariant, names).cure("`brownout list` shows every invariant")
            });
        return None;
    }
    let line = source.places.find(at.path()).map_or(1, |place| place.line);
    let date = date?;
    if let Err(why) = day(&date) {
        at.key("date").error(format!("`{}` is no day", date.escape_debug()), |d| d.cure(why));
    }
    let known = Known { invariant, reason: reason?, date };
    Some(Placed { line, scenario: scenario?, known })
}

/// Whether it is a day of the calendar, such as `2026-11-20`; what to write instead where it is none.
fn day(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        let is_plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_plain { part.parse::<u32>().ok() } else { None }
    };
    let form = || "write year, month and day in digits: `2026-11-20`".to_owned();
    let [year, month, day] = parts.as_slice() else { return Err(form()) };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return Err(form());
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return Err(format!("a year has the months 01 to 12; {}", form())),
    };
    match (1..=days).contains(&day) {
        true => Ok(()),
        false => Err(format!("month {month:02} of {year:04} has the days 01 to {days}")),
    }
}

impl Baseline {
    /// Marks what is known among the violations of a run, and judges the run without it.
    pub fn forgive(&self, entry: &mut Entry) {
        let of_scenario = self.entries.iter().filter(|one| one.scenario == entry.result.name);
        entry.known = of_scenario.map(|one| one.known.clone()).collect();
        if entry.result.verdict != Verdict::Failed || entry.broken().next().is_some() {
            return;
        }
        entry.result.reason = entry.result.doubt.clone();
        entry.result.verdict = match entry.result.reason {
            Some(_) => Verdict::Inconclusive,
            None => Verdict::Passed,
        };
    }

    /// What came of it in all runs together.
    #[must_use]
    pub fn compare(&self, report: &Report) -> Compared {
        let mut compared = Compared {
            file: self.file.clone(),
            entries: self.entries.len(),
            ..Compared::default()
        };
        for placed in &self.entries {
            let runs: Vec<&Entry> =
                report.entries.iter().filter(|one| one.result.name == placed.scenario).collect();
            let verdicts: Vec<InvariantVerdict> = runs
                .iter()
                .flat_map(|entry| &entry.result.invariants)
                .filter(|one| one.name == placed.known.invariant)
                .map(|one| one.verdict)
                .collect();
            if runs.is_empty() {
                compared.not_run += 1;
            }
            let is_unexpected = verdicts.is_empty();
            let held = verdicts.contains(&InvariantVerdict::Passed)
                && !verdicts.contains(&InvariantVerdict::Failed);
            if !runs.is_empty() && (is_unexpected || held) {
                compared.stale.push(Stale {
                    file: self.file.clone(),
                    line: placed.line,
                    scenario: placed.scenario.clone(),
                    invariant: placed.known.invariant.clone(),
                    is_unexpected,
                });
            }
        }
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let (source, problems) = *parse("known.yaml", text.as_bytes()).expect_err("it is wrong");
        for one in &problems {
            let helps = one.cure.is_some() || one.did_you_mean.is_some() || !one.allowed.is_empty();
            assert!(helps, "no way out of: {one:?}");
        }
        diagnostics::render_plain(&source, &problems)
    }

    #[test]
    fn every_mistake_of_a_baseline_is_said_at_once_with_its_place() {
        insta::assert_snapshot!(wrong(
            "version: 2
known:
  - {scenario: a, invariant: no_double_charge, reason: x, date: 2026-11-20}
  - {scenario: a, invariant: no_double_charges, reason: ' ', date: 20 Nov}
  - {scenario: b, invariant: no_double_charges, reason: x, date: 2026-02-29}
  - {scenario: a, invariant: no_double_charges, reason: x, date: 2026-11-20}
  - {scenario: a, invariant: no_lost_operations, raison: x}
"
        ));
        for empty in ["", "\n\n", "# known violations\n"] {
            let said = wrong(empty);
            assert!(said.contains("the file is empty") && said.contains("known: []"), "{said}");
            assert!(!said.contains("brownout init"), "{said}");
        }
        assert!(wrong("version: 1\n").contains("`known`"), "{}", wrong("version: 1\n"));
        assert!(wrong("known: [").contains("--> known.yaml:"), "{}", wrong("known: ["));
    }

    #[test]
    fn a_right_baseline_knows_its_entries_and_their_lines() {
        let text = "version: 1\nknown:\n  - scenario: a\n    invariant: no_double_charges\n    \
                    reason: planned\n    date: 2026-02-28\n";
        let baseline = parse("known.yaml", text.as_bytes()).expect("it is right");
        let [one] = baseline.entries.as_slice() else { panic!("one entry: {baseline:?}") };
        assert_eq!((one.line, &*one.scenario, &*one.known.date), (3, "a", "2026-02-28"));
        assert_eq!(parse("k.yaml", b"version: 1\nknown: []\n").expect("right").entries, []);
    }

    #[test]
    fn a_day_has_a_year_a_month_and_a_day() {
        for (text, expected) in [
            ("2026-11-20", true),
            ("2026-13-20", false),
            ("2026-11-31", false),
            ("2026-11-00", false),
            ("2026-00-10", false),
            ("2026-02-29", false),
            ("2028-02-29", true),
            ("2000-02-29", true),
            ("2100-02-29", false),
            ("2026-11", false),
            ("26-11-20", false),
            ("2026-11-2x", false),
            ("+026-11-20", false),
        ] {
            assert_eq!(day(text).is_ok(), expected, "{text}");
        }
    }
}
