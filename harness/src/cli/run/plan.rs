//! Resolved arguments of `brownout run`: which scenarios, which seeds, how many at the same time.
//!
//! **Invariant:** a plan that exists can run: every scenario is resolved, every name stands once, every seed
//! is in range, and the command can be started.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use brownout_provider::document::closest;
use brownout_provider::event::{ClockKind, Mode};
use brownout_provider::seed::Seed;

use super::arguments::{ClientWord, ModeWord, RunArguments};
use crate::cli::client::{Clients, Named};
use crate::cli::load::{self, Loaded};
use crate::cli::refusal::Refusal;
use crate::cli::sources::Source;
use crate::cli::terminal::Terminal;
use crate::cli::{sources, speed};
use crate::drive::speed::Speed;
use crate::incident::{self, BuiltIn, Incident, Side};
use crate::run::Client;
use crate::scenario::{Overrides, Scenario, policy};

/// So many choices are named.
const CHOICES: usize = 10;

/// How wide lines of choices are, in characters.
const WIDTH: usize = 96;

/// What will be run.
#[derive(Debug)]
pub struct Plan {
    /// The scenarios in the order of their files.
    pub scenarios: Vec<Planned>,
    /// How many runs at the same time.
    pub jobs: usize,
    /// The faster clock that the client is given.
    pub speed: Option<Speed>,
}

/// One scenario, ready to run.
#[derive(Debug)]
pub struct Planned {
    /// The file, as the user would write it.
    pub file: String,
    /// The scenario, with what the command line changed already applied.
    pub scenario: Arc<Scenario>,
    /// Its seeds.
    pub seeds: Vec<Seed>,
    /// The client, driven as this scenario asks for.
    pub client: Client,
    /// The incident whose built-in client it is, which is made anew for each run.
    pub incident: Option<(&'static Incident, Side)>,
    /// The clock: built-in clients run in virtual time.
    pub clock: ClockKind,
    /// What of the scenario or the command line plays no part in its runs.
    pub notes: Vec<String>,
}

/// Loads, chooses, and checks everything.
///
/// # Errors
/// Anything is wrong with a file, an argument or the command; all problems of all files have then been
/// printed.
pub fn plan(arguments: &RunArguments, terminal: Terminal) -> Result<Plan, Refusal> {
    let clients = Clients::new(Named {
        mode: arguments.mode,
        target: arguments.target.as_ref(),
        allow_network: &arguments.allow_network,
        command: &arguments.command,
    })?;
    if arguments.client.is_some() && !arguments.command.is_empty() {
        return Err(Refusal::usage(
            "`--client` brings a client that is built in, and a COMMAND is another one; leave one of them out",
        ));
    }
    let search_path = std::env::var_os("PATH");
    let overrides = Overrides {
        seed: arguments.seed.map(Seed::get),
        operations: arguments.operations,
        concurrency: arguments.concurrency,
        policy: arguments.policy.clone(),
        scale: arguments.scale,
        ..Overrides::default()
    };
    let loaded = load::all(&named(arguments)?, &overrides, terminal)?;
    one_of_each_name(&loaded)?;
    let chosen = choose(loaded, arguments)?;
    let scenarios: Vec<Planned> = chosen
        .into_iter()
        .map(|one| planned(one, arguments, &clients))
        .collect::<Result<_, _>>()?;
    // Last, because a wrong command line or scenario outranks what this machine lacks.
    if arguments.client.is_none() {
        clients.require(&arguments.command, search_path.as_deref())?;
    }
    let speed = arguments
        .speed
        .map(|factor| speed::prepare(factor, &arguments.command, search_path.as_deref()))
        .transpose()?;
    Ok(Plan { scenarios, jobs: jobs(arguments, &clients)?, speed })
}

/// The scenarios that are named, or else those that put the policy to the test.
fn named(arguments: &RunArguments) -> Result<Vec<Source>, Refusal> {
    let policy = arguments.policy.as_deref().and_then(policy::find);
    match policy.filter(|_| arguments.scenarios.is_empty()) {
        Some(policy) => {
            let lives = arguments.mode == Some(ModeWord::Stdio);
            let long_lived = policy.long_lived().filter(|_| lives);
            Ok(policy.scenarios().chain(long_lived).map(Source::shipped).collect())
        }
        None => sources::read(&arguments.scenarios),
    }
}

fn one_of_each_name(loaded: &[Loaded]) -> Result<(), Refusal> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for one in loaded {
        if let Some(first) = seen.insert(&one.scenario.name, &one.file) {
            return Err(Refusal::usage(format!(
                "two scenarios are named `{}`: `{first}` and `{}`; give one of them another `name`",
                one.scenario.name, one.file
            )));
        }
    }
    Ok(())
}

fn choose(loaded: Vec<Loaded>, arguments: &RunArguments) -> Result<Vec<Loaded>, Refusal> {
    let tags: Vec<String> = known(loaded.iter().flat_map(|one| one.scenario.tags.clone()));
    let apis: Vec<String> = known(loaded.iter().flat_map(|one| apis(&one.scenario)));
    let names: Vec<String> = known(loaded.iter().map(|one| one.scenario.name.clone()));
    let chosen: Vec<Loaded> = loaded
        .into_iter()
        .filter(|one| {
            let scenario = &one.scenario;
            arguments.tag.iter().all(|tag| scenario.tags.contains(tag))
                && arguments.api.as_ref().is_none_or(|api| apis_of(scenario, api))
                && arguments.filter.as_ref().is_none_or(|text| scenario.name.contains(text))
        })
        .collect();
    if chosen.is_empty() {
        return Err(Refusal::usage(nothing_left(arguments, &tags, &apis, &names)));
    }
    Ok(chosen)
}

/// What was asked for, what was probably meant, and what there is to choose from.
fn nothing_left(
    arguments: &RunArguments,
    tags: &[String],
    apis: &[String],
    names: &[String],
) -> String {
    let asked = arguments
        .tag
        .iter()
        .map(|tag| ("tag", tag, tags))
        .chain(arguments.api.iter().map(|api| ("api", api, apis)))
        .chain(arguments.filter.iter().map(|text| ("filter", text, names)));
    let asked: Vec<(&str, &String, &[String])> = asked.collect();
    let options: Vec<String> =
        asked.iter().map(|(option, word, _)| format!("`--{option} {word}`")).collect();
    let mut text = format!("no scenario is left to run with {}", options.join(" and "));
    let unknown = asked.iter().filter(|(option, word, all)| match *option {
        "filter" => !all.iter().any(|one| one.contains(word.as_str())),
        _ => !all.contains(word),
    });
    let mut alone = true;
    for (option, word, all) in unknown {
        alone = false;
        if let Some(meant) = closest(word, all) {
            text = format!("{text}; did you mean `--{option} {meant}`?");
        }
        text = format!("{text}\n{}", choices(option, all));
    }
    if alone {
        text.push_str(
            "; each of them matches some scenario, and no scenario matches all: leave one out",
        );
    }
    text
}

/// At most ten choices, in lines of a width that people read.
fn choices(option: &str, all: &[String]) -> String {
    let mut rows = vec![format!("  for --{option} there is:")];
    for word in all.iter().take(CHOICES) {
        let word = format!(" `{word}`");
        match rows.last_mut() {
            Some(row) if row.chars().count() + word.chars().count() <= WIDTH => row.push_str(&word),
            _ => rows.push(format!("   {word}")),
        }
    }
    if all.len() > CHOICES {
        let more = all.len() - CHOICES;
        rows.push(format!("    and {more} more, which `brownout list` shows"));
    }
    rows.join("\n")
}

fn known(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.collect();
    words.sort();
    words.dedup();
    words
}

fn apis(scenario: &Scenario) -> Vec<String> {
    scenario.providers.values().map(|provider| provider.api.name.to_string()).collect()
}

fn apis_of(scenario: &Scenario, api: &str) -> bool {
    apis(scenario).iter().any(|name| name == api)
}

fn planned(
    loaded: Loaded,
    arguments: &RunArguments,
    clients: &Clients,
) -> Result<Planned, Refusal> {
    let Loaded { file, scenario } = loaded;
    let seeds = seeds(scenario.seed, arguments.seeds)?;
    let (client, incident) = match arguments.client {
        Some(word) => {
            let (incident, client) = built_in(&scenario, word, &file)?;
            (client, Some((incident, word)))
        }
        None => (clients.of(&scenario).map_err(|refusal| of_file(&file, refusal))?, None),
    };
    let mut notes = without_a_part(&scenario, arguments, &client);
    if incident.is_some_and(|(incident, word)| incident.held() && word == ClientWord::Flawed) {
        let note = "nothing went wrong in this story: it has one client, and that was run";
        notes.push(note.to_owned());
    }
    let incident = incident.map(|(incident, word)| (incident, word.into()));
    let clock = if incident.is_some() { ClockKind::Virtual } else { ClockKind::Real };
    Ok(Planned { file, scenario: Arc::new(scenario), seeds, client, incident, clock, notes })
}

impl Planned {
    /// The client of one run. A built-in one is made for it, so that it draws by the seed of the run and
    /// remembers nothing of another.
    #[must_use]
    pub fn cast(&self, seed: Seed) -> BuiltIn {
        match self.incident {
            Some((incident, side)) => incident.client(side, seed),
            None => BuiltIn { client: self.client.clone(), reconciler: None },
        }
    }
}

fn of_file(file: &str, refusal: Refusal) -> Refusal {
    Refusal { message: format!("{file}: {}", refusal.message), ..refusal }
}

/// The incident of a scenario, and its built-in client.
fn built_in(
    scenario: &Scenario,
    word: ClientWord,
    file: &str,
) -> Result<(&'static Incident, Client), Refusal> {
    let Some(incident) = incident::registry::find(&scenario.name) else {
        return Err(of_file(
            file,
            Refusal::usage(format!(
                "`{}` is no incident, so no client is built in for it; write `-- COMMAND` instead of `--client`, \
                 or name one of `brownout list incidents`",
                scenario.name
            )),
        ));
    };
    let client = incident.client(word.into(), scenario.seed).client;
    client.check(scenario).map_err(|error| of_file(file, Refusal::usage(error.to_string())))?;
    Ok((incident, client))
}

/// What is asked for and plays no part, in the words of a note.
fn without_a_part(scenario: &Scenario, arguments: &RunArguments, client: &Client) -> Vec<String> {
    let workload = &scenario.workload;
    let mut notes = Vec::new();
    let asked = arguments.operations.filter(|asked| *asked > workload.operations);
    if let Some(asked) = asked.filter(|_| !workload.tenants.is_empty()) {
        notes.push(format!(
            "the tenants have only {} operations together, so `--operations {asked}` asks for more than there \
             are; let `tenants` say how many each has",
            workload.operations
        ));
    }
    if workload.clients > 1 && client.mode() == Mode::Suite {
        notes.push(format!(
            "`clients: {}` plays no part in suite mode, which starts the command once; use `--mode stdio`",
            workload.clients
        ));
    }
    notes
}

fn seeds(first: Seed, count: u64) -> Result<Vec<Seed>, Refusal> {
    let largest = Seed::MAX.get();
    (first.get()..first.get().saturating_add(count))
        .map(|seed| {
            Seed::new(seed).ok_or_else(|| {
                Refusal::usage(format!(
                    "{count} seeds from {first} pass the largest seed, {largest}; begin lower with `--seed`",
                    first = first.get()
                ))
            })
        })
        .collect()
}

fn jobs(arguments: &RunArguments, clients: &Clients) -> Result<usize, Refusal> {
    let asked = arguments.jobs.map(|jobs| usize::try_from(jobs).unwrap_or(usize::MAX));
    if let Some(why) = clients.alone() {
        return match asked {
            Some(jobs) if jobs > 1 => Err(Refusal::usage(format!("{why}; use `--jobs 1`"))),
            _ => Ok(1),
        };
    }
    match (arguments.port, asked) {
        (Some(port), Some(jobs)) if jobs > 1 => Err(Refusal::usage(format!(
            "port {port} serves one run at a time; leave out `--port`, or use `--jobs 1`"
        ))),
        (Some(_), _) => Ok(1),
        (None, Some(jobs)) => Ok(jobs),
        (None, None) => Ok(available_parallelism().map_or(1, NonZero::get)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_choices_ten_are_named_in_lines_of_bounded_width() {
        let names: Vec<String> =
            (0..14).map(|number| format!("a-rather-long-name-{number}")).collect();
        let text = choices("filter", &names);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.chars().count() <= 96));
        assert!(text.contains("`a-rather-long-name-9`") && !text.contains("name-10`"), "{text}");
        assert!(text.ends_with("and 4 more, which `brownout list` shows"), "{text}");
    }

    #[test]
    fn seeds_follow_the_first_and_never_pass_the_largest() {
        let first = Seed::new(42).expect("in range");
        let numbers: Vec<u64> =
            seeds(first, 3).expect("in range").into_iter().map(Seed::get).collect();
        assert_eq!(numbers, [42, 43, 44]);
        let refusal = seeds(Seed::MAX, 2).expect_err("one too many");
        assert!(refusal.message.contains("begin lower with `--seed`"), "{refusal}");
    }
}
