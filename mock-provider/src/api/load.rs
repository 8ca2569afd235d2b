//! Where API files come from: shipped with the program, the user's own, or kept in a trace.
//!
//! **Invariant:** a wrong API file is never used; everything wrong with it is said.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::raw::RawApi;
use super::{Api, resolve};
use crate::document::{At, Diagnostic, Diagnostics, Document, MAX_BYTES, Source, decode};

/// The shipped APIs: name and file.
static SHIPPED: &[(&str, &str)] = &[
    ("payments", include_str!("../../apis/payments.yaml")),
    ("openai", include_str!("../../apis/openai.yaml")),
    ("stripe", include_str!("../../apis/stripe.yaml")),
    ("anthropic", include_str!("../../apis/anthropic.yaml")),
    ("dynamodb", include_str!("../../apis/dynamodb.yaml")),
    ("vision", include_str!("../../apis/vision.yaml")),
    ("queue", include_str!("../../apis/queue.yaml")),
];

/// The names of the shipped APIs.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// The text of a shipped API file.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The hosts of the real things behind all shipped APIs, each once: whoever calls one of them has gone
/// past the mock, whatever the scenario is about.
#[must_use]
pub fn shipped_hosts() -> Vec<String> {
    let problems = Diagnostics::new();
    let mut hosts: Vec<String> = SHIPPED
        .iter()
        .filter_map(|(name, text)| read(&format!("{name}.yaml"), text.as_bytes(), &problems.root()))
        .flat_map(|(api, _)| api.hosts.clone())
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The shipped API that names this host.
#[must_use]
pub fn of_host(host: &str) -> Option<Arc<Api>> {
    let problems = Diagnostics::new();
    SHIPPED
        .iter()
        .filter_map(|(name, text)| read(&format!("{name}.yaml"), text.as_bytes(), &problems.root()))
        .map(|(api, _)| api)
        .find(|api| api.hosts.iter().any(|one| one.eq_ignore_ascii_case(host)))
}

/// The API of that name or path (from `base_dir`), and its document as JSON; reports at `at` what is
/// wrong with it, each problem with its place in the API file.
#[must_use]
pub fn load(name_or_path: &str, base_dir: &Path, at: &At<'_>) -> Option<(Arc<Api>, Value)> {
    if let Some(text) = shipped(name_or_path) {
        return read(&format!("{name_or_path}.yaml"), text.as_bytes(), at);
    }
    let path = base_dir.join(name_or_path);
    let is_path = name_or_path.contains(['/', '\\', '.']);
    if !is_path && !path.is_file() {
        at.error(format!("there is no API `{name_or_path}`"), |d| {
            d.allowed(name_or_path, names())
                .cure("name a shipped API, or the path of an API file such as `./my-api.yaml`")
        });
        return None;
    }
    match read_file(&path) {
        Ok(bytes) => read(&path.display().to_string(), &bytes, at),
        Err(reason) => {
            at.error(format!("the API file `{}` cannot be read: {reason}", path.display()), |d| {
                d.cure("the path is taken from the folder of the file that names it")
            });
            None
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it is no file".to_owned());
    }
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    if kind.len() > most {
        return Err(format!("it has {} bytes, and {most} are allowed", kind.len()));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

fn read(file: &str, bytes: &[u8], at: &At<'_>) -> Option<(Arc<Api>, Value)> {
    let document = match Document::parse(file, bytes) {
        Ok(document) => document,
        Err(refusal) => {
            for problem in &refusal.diagnostics {
                forward(problem, &refusal.source, at);
            }
            return None;
        }
    };
    let problems = Diagnostics::new();
    let api = from_value(&document.value, &problems.root());
    let failed = problems.has_errors();
    for problem in problems.into_vec() {
        forward(&problem, &document.source, at);
    }
    let api = api.filter(|_| !failed)?;
    Some((api, document.value))
}

/// Says at a place of another file what is wrong with the API file.
fn forward(problem: &Diagnostic, source: &Source, at: &At<'_>) {
    let place = source.place_of(problem);
    let mut message = format!("{}:{}:{}: ", source.file, place.line, place.column);
    if !problem.path.is_empty() {
        message.extend(["`", &problem.path, "`: "]);
    }
    message.push_str(&problem.message);
    at.error(message, |mut d| {
        d.severity = problem.severity;
        d.allowed.clone_from(&problem.allowed);
        d.did_you_mean.clone_from(&problem.did_you_mean);
        d.cure.clone_from(&problem.cure);
        d
    });
}

/// The API of a document; reports below `at` all that is wrong with it. Judges what a trace kept as well.
#[must_use]
pub fn from_value(document: &Value, at: &At<'_>) -> Option<Arc<Api>> {
    resolve::all_or_nothing(at, |at| {
        let raw: RawApi = decode(document, at)?;
        resolve::resolve(&raw, at).map(Arc::new)
    })
}
