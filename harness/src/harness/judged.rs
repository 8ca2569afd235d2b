//! A run that was judged, and how a test reads it.
//!
//! **Invariant:** a test that passes here has been judged: a run of which nothing can be said panics too.

use std::fmt::Write as _;
use std::sync::Arc;

use brownout_provider::seed::Seed;

use crate::report::{Entry, Report, human, json, story, style};
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::verdict::{InvariantResult, ScenarioResult, Verdict};

/// A run that was judged.
#[derive(Debug)]
pub struct Judged {
    /// The verdict, with every invariant's own.
    pub result: ScenarioResult,
    /// What happened.
    pub trace: Trace,
    /// What was run and expected.
    pub scenario: Arc<Scenario>,
}

impl Judged {
    /// Panics unless the verdict is [`Verdict::Passed`], with the whole report: the sentence that says
    /// what the client did, the timeline of the violation, what was expected, what was seen, the cure, the
    /// seed, and how to repeat it.
    ///
    /// A run of which nothing can be said (no request arrived, no fault struck, the client does not work
    /// in fair weather either) panics too, with the reason.
    ///
    /// ```should_panic
    /// use brownout::{Harness, Outcome};
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: a-liar
    /// provider: {api: payments}
    /// workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// expect: [no_phantom_success]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// // A client that sends nothing and says that all is well.
    /// let judged = harness.virtual_time().run(|_, _| async { Outcome::succeeded() });
    /// judged.expect("it runs").assert();
    /// ```
    ///
    /// # Panics
    ///
    /// When the client was caught, or nothing can be said of it.
    #[track_caller]
    pub fn assert(&self) {
        if self.result.verdict != Verdict::Passed {
            panic!("{}", self.panic_message());
        }
    }

    /// The report for people, as `brownout run` prints it, without colours.
    #[must_use]
    pub fn report(&self) -> String {
        style::plain(&(human::FORMAT.render)(&self.as_report()))
    }

    /// The report for programs, as `brownout run --format json` prints it.
    #[must_use]
    pub fn to_json(&self) -> String {
        (json::FORMAT.render)(&self.as_report())
    }

    /// What was said of one invariant, built in or of the test's own; `None` for one that is not expected.
    #[must_use]
    pub fn invariant(&self, name: &str) -> Option<&InvariantResult> {
        self.result.invariants.iter().find(|one| one.name == name)
    }

    fn as_report(&self) -> Report {
        let stories = story::stories(&self.scenario, &self.trace, &self.result);
        let entry =
            Entry { stories, result: self.result.clone(), excused: false, known: Vec::new() };
        Report { entries: vec![entry], ..Report::default() }
    }

    fn panic_message(&self) -> String {
        let mut text = self.report();
        // The report begins with the sentence; a panic's own words stand on the line above it.
        text.insert(0, '\n');
        if self.result.verdict == Verdict::Inconclusive {
            write!(text, "\nnothing was shown, for or against the client, so the test fails\n")
                .expect("a string takes every line");
        }
        text
    }
}

/// How a run in a test is repeated: the test by its name, where the thread says it, and the seed.
pub(super) fn reproduce(scenario: &Scenario, seed: Seed) -> String {
    let thread = std::thread::current();
    let is_test = |name: &&str| {
        let letter = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        name.contains("::") && name.chars().all(letter)
    };
    let test = match thread.name().filter(is_test) {
        Some(name) => format!("cargo test -- --exact {name}"),
        None => "run the test again".to_owned(),
    };
    if seed == scenario.seed {
        format!("{test} (seed {}, the scenario's own)", seed.get())
    } else {
        format!("{test} (seed {}, which `Harness::seed` sets)", seed.get())
    }
}
