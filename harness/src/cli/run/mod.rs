//! `brownout run`: drives a client through scenarios and judges it.
//!
//! Everything is loaded, resolved and checked before the first run; what is wrong with any file is said at
//! once, and then nothing runs.
//! **Invariant:** standard output is the report and nothing else, and every failing seed is printed with the
//! command that repeats it.

pub mod arguments;
pub mod baseline;
pub mod control;
pub mod over_seeds;
pub mod plan;
pub mod single;

use std::sync::atomic::{AtomicBool, Ordering};

use brownout_provider::seed::Seed;

use self::arguments::RunArguments;
use self::baseline::Baseline;
use self::plan::{Plan, Planned};
use self::single::Single;
use super::exit::Exit;
use super::interrupt;
use super::out_dir::OutDir;
use super::progress::{PATIENCE, Progress};
use super::publish;
use super::refusal::Refusal;
use super::terminal::Terminal;
use crate::drive::speed::Speed;
use crate::drive::stop::Stop;
use crate::report::{Entry, Report, Trouble, human, registry};
use crate::search::batch::{Crew, News, in_parallel};
use crate::verdict::{ControlResult, Verdict};

/// Runs the command.
///
/// # Errors
/// Anything is wrong before the first run: arguments, scenarios, the command, the folder for traces.
pub fn run(arguments: RunArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let known = arguments.baseline.as_deref().map(|file| baseline::read(file, terminal));
    let baseline = known.transpose()?;
    let plan = plan::plan(&arguments, terminal)?;
    let out = OutDir::open(&arguments.out)?;
    let stop = Stop::new();
    interrupt::listen(&stop)?;
    let speed = plan.speed.clone();
    let context = Context { arguments, speed, out, stop, baseline, terminal };
    let (mut report, trouble) = context.run_all(&plan);
    report.trouble = context.in_the_way(&trouble);
    let format = registry::find(&context.arguments.format)
        .ok_or_else(|| Refusal::usage("no such format; `--help` names them all"))?;
    // For people, where not one run came to its end, what went wrong is all there is to say, and it
    // stands on standard error.
    let is_for_people = format.name == human::FORMAT.name;
    if !report.entries.is_empty() || report.trouble.is_none() || !is_for_people {
        publish(terminal, format, &report);
    }
    Ok(context.exit(&report, &trouble))
}

/// What all runs of an invocation share.
#[derive(Debug)]
pub struct Context {
    /// The raw arguments.
    pub arguments: RunArguments,
    /// Where traces go.
    pub out: OutDir,
    /// Ends all runs early.
    pub stop: Stop,
    /// The faster clock that the client is given.
    pub speed: Option<Speed>,
    /// The violations that are known, where a file lists them.
    pub baseline: Option<Baseline>,
    terminal: Terminal,
}

/// One main run to make.
struct Job<'a> {
    planned: &'a Planned,
    control: Option<&'a ControlResult>,
    seed: Seed,
}

impl Context {
    /// Makes all control runs, then all main runs.
    fn run_all(&self, plan: &Plan) -> (Report, Vec<Refusal>) {
        let controls = if self.arguments.no_control { 0 } else { plan.scenarios.len() };
        let mains: usize = plan.scenarios.iter().map(|planned| planned.seeds.len()).sum();
        let total = u64::try_from(controls + mains).unwrap_or(u64::MAX);
        let mut progress = Progress::new(self.terminal, total);
        let mut trouble = Vec::new();
        let controls = self.run_controls(plan, &mut progress, &mut trouble);
        let jobs: Vec<Job<'_>> = plan
            .scenarios
            .iter()
            .zip(&controls)
            .flat_map(|(planned, control)| {
                planned.seeds.iter().map(|&seed| Job { planned, control: control.as_ref(), seed })
            })
            .collect();
        let entries = if trouble.is_empty() {
            self.run_mains(&jobs, plan.jobs, &mut progress, &mut trouble)
        } else {
            Vec::new()
        };
        progress.end();
        let mut report = Report { entries, ..Report::default() };
        report.excuse_calm_seeds();
        report.baseline = self.baseline.as_ref().map(|baseline| baseline.compare(&report));
        if self.arguments.require_exercised {
            over_seeds::demand_exercise(&mut report);
        }
        (report, trouble)
    }

    fn run_controls(
        &self,
        plan: &Plan,
        progress: &mut Progress,
        trouble: &mut Vec<Refusal>,
    ) -> Vec<Option<ControlResult>> {
        if self.arguments.no_control {
            return plan.scenarios.iter().map(|_| None).collect();
        }
        progress.now("control runs");
        let results = in_parallel(
            &plan.scenarios,
            Crew { jobs: plan.jobs, patience: PATIENCE },
            || !self.stop.is_stopped(),
            |planned| control::run(self, planned),
            |news| match news {
                News::Done(planned, result) => {
                    progress.finished(&control::line(planned, result.as_ref().ok(), &self.stop));
                }
                News::Still(running, quiet) => {
                    let runs = running.into_iter().map(|planned| (planned, None)).collect();
                    progress.still(&single::still(runs), quiet);
                }
            },
        );
        results.into_iter().map(|result| kept(result, trouble)).collect()
    }

    fn run_mains(
        &self,
        jobs: &[Job<'_>],
        threads: usize,
        progress: &mut Progress,
        trouble: &mut Vec<Refusal>,
    ) -> Vec<Entry> {
        progress.now("main runs");
        let failed = AtomicBool::new(false);
        let gives_up = || self.arguments.fail_fast && failed.load(Ordering::Relaxed);
        let goes_on = || !self.stop.is_stopped() && !gives_up();
        let work = |job: &Job<'_>| {
            let single = Single { context: self, planned: job.planned, control: job.control };
            let result = single.run(job.seed);
            let broke = match &result {
                Ok(entry) => entry.result.verdict == Verdict::Failed,
                // Without room for traces or a port there is nothing to gain from further runs.
                Err(_) => true,
            };
            failed.fetch_or(broke, Ordering::Relaxed);
            result
        };
        let crew = Crew { jobs: threads, patience: PATIENCE };
        let results = in_parallel(jobs, crew, goes_on, work, |news| match news {
            News::Done(job, result) => {
                progress.finished(&single::line(job.planned, job.seed, result.as_ref().ok()));
            }
            News::Still(running, quiet) => {
                let runs = running.into_iter().map(|job| (job.planned, Some(job.seed))).collect();
                progress.still(&single::still(runs), quiet);
            }
        });
        results.into_iter().filter_map(|result| kept(result, trouble)).collect()
    }

    /// What kept the invocation from its end, all of it in one message.
    fn in_the_way(&self, trouble: &[Refusal]) -> Option<Trouble> {
        let mut said: Vec<String> = Vec::new();
        for refusal in trouble {
            if !said.contains(&refusal.message) {
                said.push(refusal.message.clone());
            }
        }
        let mut exit = trouble.iter().map(|refusal| refusal.exit).max();
        if self.stop.is_stopped() {
            said.push("it was interrupted; start it again and let it come to its end".to_owned());
            exit = exit.max(Some(Exit::Harness));
        }
        exit.map(|exit| Trouble {
            exit_code: exit.code(),
            message: said.join(". "),
            diagnostics: Vec::new(),
        })
    }

    /// The exit code, after everything that went wrong with the harness has been said.
    fn exit(&self, report: &Report, trouble: &[Refusal]) -> Exit {
        let mut said: Vec<&str> = Vec::new();
        for refusal in trouble {
            if !said.contains(&refusal.message.as_str()) {
                said.push(&refusal.message);
                self.terminal.refuse(refusal);
            }
        }
        let mut exit = trouble.iter().map(|it| it.exit).max().unwrap_or(Exit::Passed);
        if self.stop.is_stopped() {
            self.terminal.err(&format!(
                "interrupted; the traces written so far are whole and stand in `{}`; exit code 4 says that \
                 not everything was run, whatever the runs that came to their end say\n",
                self.arguments.out.display()
            ));
            exit = exit.max(Exit::Harness);
        }
        exit.max(if report.entries.is_empty() && !trouble.is_empty() {
            exit
        } else {
            report.verdict().into()
        })
    }
}

/// The result of a run that was begun and came to its end; what went wrong is kept aside.
fn kept<T>(result: Option<Result<T, Refusal>>, trouble: &mut Vec<Refusal>) -> Option<T> {
    match result? {
        Ok(value) => Some(value),
        Err(refusal) => {
            trouble.push(refusal);
            None
        }
    }
}
