//! The judge: from a trace and what a scenario expects to a verdict.
//!
//! It runs the invariants, weighs guesses, and applies the rules of the verdict in their order. It knows
//! nothing about processes, reports or the command line.
//! **Invariant:** a pure function: the same trace and the same scenario always give the same verdict.

pub(crate) mod batch;
mod control;
mod counts;
mod each;
mod given_key;
mod guess;
mod misread;
mod no_strike;
mod strangers;
mod suite;
mod twice;
mod unmade;

use brownout_provider::event::{ClockKind, Mode, Recognized};

pub use control::judge_control;
pub use twice::{Comparison, compare};

use crate::amount::times;
use crate::invariant::{Judgement, too_busy};
use crate::scenario::{Expectation, Scenario};
use crate::trace::reading::Fate;
use crate::trace::{ClaimMade, Request, RequestId, Trace};
use crate::verdict::{ControlResult, InvariantResult, InvariantVerdict, ScenarioResult, Verdict};

/// Judges a run.
///
/// The caller fills in what a trace does not say: how to reproduce it, and where it stands.
#[must_use]
pub fn judge(trace: &Trace, scenario: &Scenario, control: Option<ControlResult>) -> ScenarioResult {
    let batch = batch::find(trace);
    let is_batch = batch.as_ref().is_some_and(|batch| batch.is_certain);
    let mut invariants = each::judge_each(trace, scenario);
    let mut doubt = doubt(trace, scenario, &invariants, control.as_ref());
    unmade::take_back(trace, &mut invariants);
    let mut batch_remark = None;
    match batch {
        Some(batch) if is_batch && !outranks_batch(doubt.as_ref()) => {
            let expected = invariants.iter_mut().zip(&scenario.expect);
            for (one, _) in expected.filter(|(_, one)| one.invariant.kind().needs_identity) {
                one.leave_unjudged("the program does more than the operation that it was given");
            }
            doubt = Some(Doubt::Batch(batch.remark));
        }
        Some(batch) => batch_remark = Some(batch.remark),
        None => {}
    }
    let mut notes = notes(trace, scenario, &invariants);
    notes.extend(suite::notes(trace, control.as_ref()));
    notes.extend(suite::misnamed(trace));
    notes.extend(misread::note(trace));
    notes.extend(given_key::note(trace, scenario));
    notes.extend(strangers::of_tenants(trace));
    notes.extend(strangers::of_copies(trace, scenario));
    notes.extend(batch_remark.clone());
    let no_strike = matches!(doubt, Some(Doubt::NoStrike(_)));
    let doubt = doubt.map(Doubt::sentence);
    let verdict = verdict(&invariants, doubt.as_deref());
    if verdict == Verdict::Failed {
        // What failed was over before; that the rest is not judged is said beside it.
        notes.extend(unmade::sentence(trace));
    }
    ScenarioResult {
        name: scenario.name.clone(),
        file: trace.run.file.clone(),
        seed: trace.run.seed,
        verdict,
        no_strike,
        reason: doubt.clone().filter(|_| verdict == Verdict::Inconclusive),
        doubt,
        control,
        schedule_hash: twice::schedule_hash(trace),
        faults: counts::strikes(trace, |_| true),
        operations: counts::operations(trace),
        requests: counts::requests(trace),
        retries: counts::retries(trace),
        effects: counts::effects(trace),
        money: counts::money(trace),
        providers: counts::by_provider(trace, scenario),
        tenants: counts::by_tenant(trace, scenario),
        recognized: counts::recognized(trace),
        mode: trace.mode(),
        notes,
        batch_remark,
        suite: suite::end(trace),
        invariants,
        reproduce: String::new(),
        trace: None,
        elapsed_ms: trace.busy_until_us / 1_000,
    }
}

/// Runs one invariant, and holds its violations against the other readings where guesses took part.
fn judge_one(
    trace: &Trace,
    expectation: &Expectation,
    readings: &guess::Readings<'_>,
) -> InvariantResult {
    let invariant = &*expectation.invariant;
    let kind = invariant.kind();
    let mut judgement = if kind.needs_identity && counts::requests(trace) == 0 {
        // Claims about work that never reached the mock prove nothing: it may have gone elsewhere.
        let why = "the client sent no request to the mock";
        Judgement { reason: Some(why.to_owned()), ..Judgement::default() }
    } else if kind.needs_one_client && trace.mode() == Mode::Exec {
        let why = "exec mode starts a process for each operation, and this needs one client that lives \
                   on; use `--mode stdio`";
        Judgement { reason: Some(why.to_owned()), ..Judgement::default() }
    } else {
        invariant.check(trace)
    };
    if kind.needs_identity && !judgement.violations.is_empty() {
        readings.clear(invariant, &mut judgement);
    }
    if TIMED.contains(&kind.name) && trace.was_too_busy() && !judgement.violations.is_empty() {
        judgement = Judgement {
            reason: Some(too_busy(trace, "something came too early")),
            ..Judgement::default()
        };
    }
    let verdict = if !judgement.violations.is_empty() {
        InvariantVerdict::Failed
    } else if judgement.exercised == 0 {
        InvariantVerdict::NotExercised
    } else {
        InvariantVerdict::Passed
    };
    InvariantResult {
        name: expectation.name,
        verdict,
        exercised: judgement.exercised,
        reason: judgement.reason,
        violations: judgement.violations,
        partial: verdict == InvariantVerdict::Passed && !trace.is_whole(),
    }
}

/// The invariants that ask for a wait.
const TIMED: [&str; 6] = [
    "honors_retry_after",
    "survives_bad_retry_after",
    "min_gap",
    "backs_off",
    "spreads_retries",
    "waits_for_reset",
];

/// Why nothing can be said.
enum Doubt {
    /// The run was cut short.
    Cut(String),
    /// The client went past the mock.
    Stray(String),
    /// The mock did not make every answer.
    Unmade(String),
    /// The client never came.
    NoRequest(String),
    /// Each program does more than one operation, so that nothing can be told apart.
    Batch(String),
    /// The client does not work in fair weather either.
    Control(String),
    /// No rule struck.
    NoStrike(String),
    /// Nothing that is expected was exercised.
    NothingExercised(String),
}

impl Doubt {
    fn sentence(self) -> String {
        match self {
            Self::Cut(text)
            | Self::Stray(text)
            | Self::Unmade(text)
            | Self::NoRequest(text)
            | Self::Batch(text)
            | Self::Control(text)
            | Self::NoStrike(text)
            | Self::NothingExercised(text) => text,
        }
    }
}

fn verdict(invariants: &[InvariantResult], doubt: Option<&str>) -> Verdict {
    if invariants.iter().any(|one| one.verdict == InvariantVerdict::Failed) {
        return Verdict::Failed;
    }
    if doubt.is_some() { Verdict::Inconclusive } else { Verdict::Passed }
}

/// True for what is said rather than that a program does more than its operation.
fn outranks_batch(doubt: Option<&Doubt>) -> bool {
    matches!(doubt, Some(Doubt::Stray(_) | Doubt::Cut(_) | Doubt::Unmade(_)))
}

/// The first reason to say nothing; of those that come together, the one that helps most comes first.
fn doubt(
    trace: &Trace,
    scenario: &Scenario,
    invariants: &[InvariantResult],
    control: Option<&ControlResult>,
) -> Option<Doubt> {
    if let Some(stray) = control::stray(trace, scenario) {
        return Some(Doubt::Stray(stray));
    }
    if trace.is_interrupted() {
        return Some(Doubt::Cut(control::interrupted(trace)));
    }
    if let Some(unmade) = unmade::sentence(trace) {
        return Some(Doubt::Unmade(unmade));
    }
    if counts::requests(trace) == 0 {
        return Some(Doubt::NoRequest(control::no_request(trace, scenario)));
    }
    if let Some(control) = control.filter(|control| !control.passed) {
        let why = control.reason.as_deref().unwrap_or("the client does not work in fair weather");
        return Some(Doubt::Control(format!("the control run, without faults, failed: {why}")));
    }
    if !trace.is_whole() {
        let why = trace.cut.clone().unwrap_or_else(|| {
            let reason = trace.end.map_or("cut short", |end| trace.text(end.reason));
            format!("the run did not come to its end ({reason})")
        });
        return Some(Doubt::Cut(why));
    }
    let has_rules = scenario.rules.iter().any(|rule| rule.when.chance_ppm != Some(0));
    if has_rules && trace.strikes().is_empty() {
        return Some(Doubt::NoStrike(no_strike::sentence(trace, scenario)));
    }
    let exercised = |one: &InvariantResult| one.verdict != InvariantVerdict::NotExercised;
    if !invariants.iter().any(exercised) {
        let why = invariants
            .iter()
            .find_map(|one| Some(format!("`{}`: {}", one.name, one.reason.as_deref()?)));
        let why = why.map_or_else(
            || "the scenario expects nothing".to_owned(),
            |why| format!("nothing that the scenario expects was exercised ({why})"),
        );
        return Some(Doubt::NothingExercised(why));
    }
    None
}

/// What cannot be told where a value of the request names an operation that was submitted several times.
fn unnamed_submits(trace: &Trace) -> Option<String> {
    let is_unnamed = |request: &Request| {
        request.recognized == Recognized::Extractor
            && request.operation.is_some_and(|id| trace.submits_of(id).count() > 1)
    };
    let unnamed = trace.requests().filter(|(_, request)| is_unnamed(request)).count();
    (unnamed > 0).then(|| {
        format!(
            "{unnamed} of {} requests named their operation and not which submit of it they are for, and \
             count for the first; a client that uses the URL or the key it is given says it",
            counts::requests(trace)
        )
    })
}

/// Remarks that belong beside every verdict.
fn notes(trace: &Trace, scenario: &Scenario, invariants: &[InvariantResult]) -> Vec<String> {
    let mut notes: Vec<String> = trace.cut.iter().cloned().collect();
    notes.extend(missing(trace));
    notes.extend(stood_still(trace));
    notes.extend(control::fell(trace));
    notes.extend(control::refused_strays(trace));
    notes.extend(control::refused_bytes(trace));
    notes.extend(shared_operation(trace));
    if !trace.judges_upper_bounds() {
        notes.push(format!(
            "the clock of this run went {} times as fast as the machine's, so no upper bound on time was judged",
            trace.run.speed
        ));
    }
    notes.extend(unscheduled(trace));
    let guessed = counts::guessed(trace);
    if guessed > 0 {
        notes.push(format!(
            "{guessed} of {} requests did not say which operation they are for, and were told apart by \
             what they asked for; {}",
            counts::requests(trace),
            guess::cure(scenario)
        ));
    }
    notes.extend(unnamed_submits(trace));
    let repeats = trace.requests().filter(|(id, _)| trace.is_transport_repeat(*id)).count();
    if repeats > 0 {
        let (were, they) = match repeats {
            1 => ("request was a repeat", "it is"),
            _ => ("requests were repeats", "they are"),
        };
        notes.push(format!(
            "{repeats} {were} of the kind that an HTTP stack makes by itself, once for an operation, where a \
             kept connection ends without an answer; {they} counted, and not judged as a retry"
        ));
    }
    let skipped =
        invariants.iter().filter(|one| one.verdict == InvariantVerdict::NotExercised).count();
    // Where the mock did not make every answer, each says so itself.
    if skipped > 0 && skipped < invariants.len() && trace.unmade.is_empty() {
        let were = if skipped == 1 { "was" } else { "were" };
        notes.push(format!(
            "{skipped} of {} expectations {were} not exercised: the run never met what they are about",
            invariants.len()
        ));
    }
    notes
}

/// What is to be said of deadlines that were missed in virtual time, where a clock of the client's own may be
/// the reason.
fn stood_still(trace: &Trace) -> Option<String> {
    if trace.run.clock != ClockKind::Virtual {
        return None;
    }
    let is_late = |claim: &ClaimMade| claim.is_late(trace);
    let late =
        trace.submits().flat_map(|(_, submit)| trace.claims(submit)).filter(|one| is_late(one));
    let late = u64::try_from(late.count()).unwrap_or(u64::MAX);
    (late > 0).then(|| {
        let missed = if late == 1 { "1 deadline was".to_owned() } else { format!("{late} deadlines were") };
        format!(
            "{missed} missed in virtual time; if your client measures time by `std::time::Instant`, that \
             clock stood still while it waited: use `tokio::time::Instant`, or leave virtual time out"
        )
    })
}

/// What is to be said of events that a file left out.
fn missing(trace: &Trace) -> Option<String> {
    const TOLD: usize = 3;
    let range = |&(first, last): &(u64, u64)| match first == last {
        true => format!("{first}"),
        false => format!("{first} to {last}"),
    };
    let mut told: Vec<String> = trace.missing.iter().take(TOLD).map(range).collect();
    if trace.missing.len() > TOLD {
        told.push(format!("and {} more gaps", trace.missing.len() - TOLD));
    }
    let is_one = matches!(trace.missing.as_slice(), [(first, last)] if first == last);
    let what = if is_one { "event" } else { "events" };
    let verb = if is_one { "is" } else { "are" };
    (!told.is_empty()).then(|| {
        format!(
            "{what} {} {verb} missing from the trace, so what is said rests on the others alone",
            told.join(", ")
        )
    })
}

/// The rules that struck by more than the seed, all in one remark.
fn unscheduled(trace: &Trace) -> Option<String> {
    let strikes = counts::strikes(trace, |strike| !strike.scheduled);
    let (which, them) = match strikes.len() {
        0 => return None,
        1 => {
            let (rule, count) = strikes.first_key_value()?;
            (format!("`{rule}` struck {}", times(*count)), "it")
        }
        _ => {
            let each = strikes.iter().map(|(rule, count)| format!("`{rule}` ({})", times(*count)));
            (format!("{} struck", each.collect::<Vec<_>>().join(", ")), "them")
        }
    };
    Some(format!(
        "{which} by what happened in this run and not by the seed alone, so another run of the same seed \
         may meet {them} elsewhere"
    ))
}

/// A word of caution where a suite seems to use one operation's name for several.
fn shared_operation(trace: &Trace) -> Option<String> {
    let again = |id: RequestId, request: &Request| {
        request.effectful
            && request.recognized == Recognized::Extractor
            && trace.previous(id).is_some_and(|before| {
                trace.fate_at(before, request.at_us) == Some(Fate::Usable)
                    && trace.request(before).response.is_some_and(|one| one.complete)
            })
    };
    let shared = trace.mode() == Mode::Suite
        && trace.requests().any(|(id, request)| request.by.is_client() && again(id, request));
    shared.then(|| {
        "requests that carry the same name of an operation (the same order, for example) were taken for \
         one operation, and one was sent again after a complete success; give each test a name of its own"
            .to_owned()
    })
}

#[cfg(test)]
mod tests;
