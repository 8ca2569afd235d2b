//! `brownout init`: a scenario, a client to start from, and a CI job, in the user's folder.
//!
//! The client is one file a language under `templates/`, written for the API `payments` and run by tests as
//! it stands; for another API the constants at its top are written anew from the API's own file.
//! **Invariant:** nothing that is there is overwritten, and nothing is written unless all of it can be.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brownout_provider::api::{Api, Discriminator, Encoding, KeyCarrier, Need, Route, names};
use brownout_provider::document::closest;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::exit::Exit;
use super::reference;
use super::refusal::{Refusal, list_of};
use super::run::arguments::quoted;
use super::terminal::Terminal;
use crate::scenario::shipped::{self, Shipped};

/// The folder for scenarios and clients.
const FOLDER: &str = "brownout";

/// Where GitHub looks for jobs.
const JOB: &str = ".github/workflows/brownout.yml";

/// Writes a scenario, a client to start from, and a CI job.
///
/// All of it runs at once: the client calls the API of the scenario carefully, and is yours to change. Nothing
/// that is there already is overwritten.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout init --api payments
  brownout init --api openai --client node --dir checkout
  brownout init --api stripe --client rust

Exit codes:
  0 written   3 no such API, or a file is there already   4 the folder cannot be written")]
pub struct InitArguments {
    /// The API that the client calls; `brownout list apis` shows all.
    #[arg(long, value_name = "NAME")]
    api: String,
    /// The language of the client.
    #[arg(long, value_enum, default_value = "python")]
    client: Language,
    /// The folder to write into.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// The languages that there is a client in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// A program for Python 3, standard library only.
    Python,
    /// A program for Node 18 or later, nothing to install.
    Node,
    /// A test for cargo, in virtual time.
    Rust,
}

/// One file to write.
#[derive(Debug, PartialEq, Eq)]
struct Planned {
    path: PathBuf,
    text: String,
}

/// Runs the command.
///
/// # Errors
/// There is no such API, a file is in the way, or the folder cannot be written.
pub fn run(arguments: &InitArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let api = find(&arguments.api)?;
    let files = plan(&api, arguments.client)?;
    let in_the_way: Vec<String> = files
        .iter()
        .map(|file| arguments.dir.join(&file.path))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !in_the_way.is_empty() {
        return Err(Refusal::usage(format!(
            "{} would be overwritten, so nothing was written; move it away, or choose another folder with `--dir`",
            list_of(in_the_way)
        )));
    }
    for file in &files {
        write(&arguments.dir, file)?;
        terminal.out(&format!("wrote {}\n", arguments.dir.join(&file.path).display()));
    }
    terminal.out(&next(arguments, &api));
    Ok(Exit::Passed)
}

fn find(name: &str) -> Result<Arc<Api>, Refusal> {
    let known = names();
    reference::apis().into_iter().find(|api| &*api.name == name).ok_or_else(|| {
        let words: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
        let meant = closest(name, &words)
            .map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
        Refusal::usage(format!(
            "there is no API `{name}`; {meant}there is {}; for an API of your own write its file, as `brownout explain` shows",
            list_of(known)
        ))
    })
}

fn plan(api: &Api, language: Language) -> Result<Vec<Planned>, Refusal> {
    let (scenario, route) = first_scenario(api).ok_or_else(|| {
        Refusal::usage(format!(
            "there is no scenario for `{}` to start from; choose another API",
            api.name
        ))
    })?;
    // The schema stands beside the shipped files only.
    let text = scenario.text.lines().filter(|line| !line.starts_with("# yaml-language-server"));
    let text = text.map(|line| format!("{line}\n")).collect();
    let facts = Facts::new(api, route);
    let client = match language {
        Language::Python => facts.python(include_str!("../../templates/client.py")),
        Language::Node => facts.node(include_str!("../../templates/client.mjs")),
        Language::Rust => facts.rust(include_str!("../../templates/brownout.rs"), &api.name),
    };
    let job = match language {
        Language::Rust => include_str!("../../templates/github-rust.yml"),
        Language::Python | Language::Node => include_str!("../../templates/github.yml"),
    };
    let command = match command(language) {
        Some(client) => format!("brownout run {FOLDER} --format github -- {client}"),
        None => "cargo test --test brownout".to_owned(),
    };
    let job =
        job.replace("@REPOSITORY@", env!("CARGO_PKG_REPOSITORY")).replace("@COMMAND@", &command);
    Ok(vec![
        Planned { path: scenario_path(api), text },
        Planned { path: client_path(language), text: client },
        Planned { path: JOB.into(), text: job },
    ])
}

/// The shipped scenario of the API in which an answer is lost: what most clients get wrong.
fn first_scenario(api: &Api) -> Option<(&'static Shipped, &Arc<Route>)> {
    let scenario = shipped::find(&format!("{}/lost-response.yaml", api.name))?;
    let call = scenario.text.lines().find_map(|line| line.strip_prefix("  call: "))?;
    Some((scenario, api.route_named(call.trim())?))
}

fn scenario_path(api: &Api) -> PathBuf {
    Path::new(FOLDER).join(format!("{}.yaml", api.name))
}

fn client_path(language: Language) -> PathBuf {
    match language {
        Language::Python => Path::new(FOLDER).join("client.py"),
        Language::Node => Path::new(FOLDER).join("client.mjs"),
        Language::Rust => "tests/brownout.rs".into(),
    }
}

/// The command of the client, from the folder that was written into.
fn command(language: Language) -> Option<String> {
    let program = match language {
        Language::Python => "python3",
        Language::Node => "node",
        Language::Rust => return None,
    };
    Some(format!("{program} {}", client_path(language).display()))
}

/// What a client has to know of an API.
struct Facts {
    /// Names and texts.
    texts: [(&'static str, String); 5],
    form: bool,
    /// The headers that tell the route from others.
    headers: Vec<(String, String)>,
    /// What an answer must hold, as JSON on one line.
    receipt: String,
}

impl Facts {
    fn new(api: &Api, route: &Route) -> Self {
        let (header, scheme) = match &api.auth {
            Some(auth) => (auth.header.as_str(), auth.scheme.clone()),
            None => ("Authorization", None),
        };
        let key = match api.idempotency.as_ref().filter(|_| route.keyed).map(|it| &it.carrier) {
            Some(KeyCarrier::Header(name)) => name.as_str(),
            Some(KeyCarrier::Field(_)) | None => "",
        };
        Self {
            texts: [
                ("METHOD", route.method.to_string()),
                ("PATH", route.pattern.as_str().to_owned()),
                ("AUTH_HEADER", in_title_case(header)),
                ("AUTH_SCHEME", scheme.map_or(String::new(), |scheme| format!("{scheme} "))),
                ("KEY_HEADER", in_title_case(key)),
            ],
            form: api.encoding == Encoding::Form,
            headers: told_apart_by(route),
            receipt: receipt(route),
        }
    }

    fn python(&self, template: &str) -> String {
        let form = if self.form { "True" } else { "False" };
        let mut text = self.with_texts(template, "", " = ", "");
        text = with_line(&text, "FORM = ", form);
        text = with_line(&text, "HEADERS = ", &self.object());
        with_line(&text, "RECEIPT = ", &self.receipt.replace("null", "None"))
    }

    fn node(&self, template: &str) -> String {
        let mut text = self.with_texts(template, "const ", " = ", ";");
        text = with_line(&text, "const FORM = ", &format!("{};", self.form));
        text = with_line(&text, "const HEADERS = ", &format!("{};", self.object()));
        with_line(&text, "const RECEIPT = ", &format!("{};", self.receipt))
    }

    fn rust(&self, template: &str, api: &str) -> String {
        let mut text = self.with_texts(template, "const ", ": &str = ", ";");
        text = with_line(&text, "const FORM: bool = ", &format!("{};", self.form));
        let pairs: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| {
                format!("({}, {})", Value::from(name.as_str()), Value::from(value.as_str()))
            })
            .collect();
        let headers = format!("&[{}];", pairs.join(", "));
        text = with_line(&text, "const HEADERS: &[(&str, &str)] = ", &headers);
        text = with_line(&text, "const RECEIPT: &str = ", &format!("r#\"{}\"#;", self.receipt));
        let scenario = format!("\"{FOLDER}/{api}.yaml\";");
        with_line(&text, "const SCENARIO: &str = ", &scenario)
    }

    /// The headers as an object of JSON, which Python and JavaScript read as well.
    fn object(&self) -> String {
        let pairs: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| {
                format!("{}: {}", Value::from(name.as_str()), Value::from(value.as_str()))
            })
            .collect();
        format!("{{{}}}", pairs.join(", "))
    }

    fn with_texts(&self, template: &str, before: &str, between: &str, after: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.texts {
            let value = format!("{}{after}", Value::from(value.as_str()));
            text = with_line(&text, &format!("{before}{name}{between}"), &value);
        }
        text
    }
}

/// The headers by which a route is told from others with its method and path.
fn told_apart_by(route: &Route) -> Vec<(String, String)> {
    let headers = route.discriminators.iter().filter_map(|one| match one {
        Discriminator::Header(name, value) => Some((in_title_case(name.as_str()), value.clone())),
        Discriminator::Body(..) => None,
    });
    headers.collect()
}

/// The text with the one line that begins so ending in this.
///
/// # Panics
/// If a template has no such line; tests write every template.
fn with_line(text: &str, begin: &str, end: &str) -> String {
    let mut found = 0;
    let mut change = |line: &str| {
        if line.starts_with(begin) {
            found += 1;
            format!("{begin}{end}\n")
        } else {
            format!("{line}\n")
        }
    };
    let changed = text.lines().map(&mut change).collect();
    assert_eq!(found, 1, "a template has one line that begins with `{begin}`");
    changed
}

/// What an answer must hold at its top: the field, and its value where only one is right.
fn receipt(route: &Route) -> String {
    let mut fields = Map::new();
    for (pointer, need) in &route.needs {
        let (Some(field), 1) = (pointer.steps().first(), pointer.steps().len()) else { continue };
        let value = match need {
            Need::In(values) if values.len() == 1 => values[0].clone(),
            Need::Equals(value) => value.clone(),
            Need::Present | Need::Kind(_) | Need::In(_) | Need::Least(_) => Value::Null,
        };
        fields.insert(field.clone(), value);
    }
    let pairs: Vec<String> = fields
        .iter()
        .map(|(field, value)| format!("{}: {value}", Value::from(field.as_str())))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `idempotency-key` as `Idempotency-Key`.
fn in_title_case(header: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    header.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn write(dir: &Path, file: &Planned) -> Result<(), Refusal> {
    let path = dir.join(&file.path);
    let refuse = |error: std::io::Error| {
        Refusal::harness(format!(
            "cannot write `{}`: {error}; choose another folder with `--dir`",
            path.display()
        ))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(refuse)?;
    }
    let mut out = OpenOptions::new().write(true).create_new(true).open(&path).map_err(refuse)?;
    out.write_all(file.text.as_bytes()).map_err(refuse)
}

/// What to run now.
fn next(arguments: &InitArguments, api: &Api) -> String {
    let enter = if arguments.dir == Path::new(".") {
        String::new()
    } else {
        format!("  cd {}\n", quoted(&arguments.dir.display().to_string()))
    };
    let scenario = scenario_path(api);
    let scenario = scenario.display();
    match command(arguments.client) {
        Some(client) => format!(
            "\nnow run:\n{enter}  brownout run {FOLDER} -- {client}\n\nthen put your own client in the place of \
             `send`, and more faults into `{scenario}` (`brownout list faults`)\n"
        ),
        None => format!(
            "\nnow run, in a package of cargo:\n{enter}  cargo add --dev brownout --no-default-features --features reqwest --git {}\n  \
             cargo add --dev reqwest serde_json\n  cargo add --dev tokio --features time\n  \
             cargo test --test brownout\n\nthen put your own client in the place of `send`, and more faults into \
             `{scenario}` (`brownout list faults`)\n",
            env!("CARGO_PKG_REPOSITORY")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_payments_the_templates_are_written_as_they_stand() {
        let api = find("payments").expect("it is shipped");
        for (language, template) in [
            (Language::Python, include_str!("../../templates/client.py")),
            (Language::Node, include_str!("../../templates/client.mjs")),
            (Language::Rust, include_str!("../../templates/brownout.rs")),
        ] {
            let files = plan(&api, language).expect("there is a scenario");
            let client = files.iter().find(|file| file.path == client_path(language));
            assert_eq!(client.map(|file| file.text.as_str()), Some(template), "{language:?}");
        }
    }

    #[test]
    fn for_every_api_there_is_a_scenario_and_a_client_in_every_language() {
        for name in names() {
            let api = find(name).expect("it is shipped");
            for language in [Language::Python, Language::Node, Language::Rust] {
                let files = plan(&api, language).expect("there is a scenario");
                assert_eq!(files.len(), 3);
                for file in files {
                    assert!(!file.text.contains('@') || file.path == Path::new(JOB), "{file:?}");
                    assert!(!file.text.contains("@COMMAND@"), "{file:?}");
                }
            }
        }
    }

    #[test]
    fn the_constants_of_another_api_come_from_its_file() {
        let stripe = find("stripe").expect("it is shipped");
        let openai = find("openai").expect("it is shipped");
        let of =
            |api: &Api| plan(api, Language::Python).expect("there is a scenario")[1].text.clone();
        for line in
            ["PATH = \"/v1/payment_intents\"", "FORM = True", "KEY_HEADER = \"Idempotency-Key\""]
        {
            assert!(of(&stripe).contains(line), "{line}");
        }
        for line in ["KEY_HEADER = \"\"", "FORM = False", "RECEIPT = {\"choices\": None}"] {
            assert!(of(&openai).contains(line), "{line}");
        }
    }

    #[test]
    fn an_unknown_api_is_refused_with_the_one_that_was_meant() {
        let refusal = find("payment").expect_err("there is none");
        assert!(refusal.message.contains("did you mean `payments`?"), "{refusal}");
    }
}
