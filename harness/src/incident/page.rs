//! Incidents in words: the page of all of them, and one by itself.
//!
//! **Invariant:** everything comes from the registry.

use std::fmt::Write as _;

use super::programs::{self, PROGRAMS};
use super::registry::all;
use super::{Family, Incident};

const TOP: &str = "\
# Incidents

Written by `brownout list incidents --markdown`; do not edit.

What happened to others, each as a scenario with the numbers of its story and two built-in clients: the one that
caused it, and the one that would have survived it.
They run in virtual time, so a story of three days takes no longer than one of three seconds.

```sh
brownout explain slow-summaries                                        # the story, and who catches it
brownout run scenarios/incidents/slow-summaries.yaml --client flawed   # the client that caused it: caught
brownout run scenarios/incidents/slow-summaries.yaml --client fixed    # the client that survives it: passed
brownout run scenarios/incidents/slow-summaries.yaml -- ./client       # yours
brownout run scenarios/incidents --client fixed                        # all of them
```
";

/// The page of all incidents, in Markdown.
#[must_use]
pub fn all_in_markdown() -> String {
    let mut page = String::from(TOP);
    for family in Family::ALL {
        let its: Vec<&Incident> = all().filter(|one| one.family == family).collect();
        if its.is_empty() {
            continue;
        }
        let title = family.title();
        write!(page, "\n## {title}\n\n| name | what happened | caught by |\n|---|---|---|\n")
            .expect("a string takes every line");
        for one in its {
            writeln!(
                page,
                "| [{name}]({name}.yaml) | {} | {} |",
                one.happened,
                caught(one),
                name = one.name
            )
            .expect("a string takes every line");
        }
    }
    page + &all_programs()
}

/// The programs that play incidents on the real clock.
fn all_programs() -> String {
    let number = PROGRAMS.len();
    let mut page = format!(
        "\n## As programs\n\n\
         {number} of them also have both clients as a program in Python, which takes the word `flawed` or `fixed` \
         and is run on the real clock:\n\
         `--scale` divides the times of the story, and the program reads in `BROWNOUT_SCALE` by how much.\n\n\
         | name | how it is run |\n|---|---|\n"
    );
    for program in PROGRAMS {
        let needs = program.needs.map_or(String::new(), |package| format!(" (needs `{package}`)"));
        writeln!(page, "| {} | `{}`{needs} |", program.incident, played(program, "flawed"))
            .expect("a string takes every line");
    }
    page
}

/// The command that runs a program.
fn played(program: &programs::Program, side: &str) -> String {
    let (name, file, flags) = (program.incident, program.file(), program.flags().join(" "));
    let flags = if flags.is_empty() { flags } else { format!("{flags} ") };
    format!("brownout run scenarios/incidents/{name}.yaml {flags}-- python3 {file} {side}")
}

/// Who catches it, in a few words.
fn caught(incident: &Incident) -> String {
    if incident.held() {
        return "nothing: it held".to_owned();
    }
    let names: Vec<String> = incident.caught_by.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// One incident: its story, who catches it, and how it is replayed.
#[must_use]
pub fn one_in_markdown(incident: &Incident) -> String {
    let Incident { name, story, mistake, remedy, .. } = incident;
    let file = format!("scenarios/incidents/{name}.yaml");
    let mut text = format!("## {name}\n\n{story}\n\n");
    let (label, cure) = if incident.held() {
        ("What was done right", "What to do")
    } else {
        ("The mistake", "The remedy")
    };
    let mut fact = |name: &str, what: &str| {
        writeln!(text, "- **{name}:** {what}.").expect("a string takes every line");
    };
    fact(label, mistake);
    fact(cure, remedy);
    fact("Caught by", &caught(incident));
    for (name, why) in incident.also {
        fact("Broken too", &format!("`{name}`, because {why}"));
    }
    let replay = if incident.held() {
        format!("brownout run {file} --client fixed    # the client of the story: passed\n")
    } else {
        format!(
            "brownout run {file} --client flawed   # the client that caused it: caught\n\
             brownout run {file} --client fixed    # the client that survives it: passed\n"
        )
    };
    write!(text, "\n```sh\n{replay}brownout run {file} -- ./client         # yours\n```\n")
        .expect("a string takes every line");
    if let Some(program) = programs::find(name) {
        let needs = program.needs.map_or(String::new(), |package| format!(", with `{package}`"));
        let (flawed, fixed) = (played(program, "flawed"), played(program, "fixed"));
        write!(
            text,
            "\nOn the real clock, as a program in Python{needs}:\n\n```sh\n{flawed}\n{fixed}\n```\n"
        )
        .expect("a string takes every line");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_said_in_at_most_twelve_words() {
        let long: Vec<&str> = all()
            .filter(|one| one.happened.split_whitespace().count() > 12)
            .map(|it| it.name)
            .collect();
        assert!(long.is_empty(), "{long:?}");
    }
}
