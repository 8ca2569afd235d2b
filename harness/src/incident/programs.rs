//! Incidents whose clients also exist as programs of their own, for the real clock.
//!
//! **Invariant:** a program is named after its incident and takes one word, `flawed` or `fixed`; all that stands
//! here is how it is run.

/// Where the programs stand, from the root of the repository.
pub const FOLDER: &str = "tests/clients/incidents";

/// A program in Python that plays both clients of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The incident, which names the file too.
    pub incident: &'static str,
    /// By what the times of the story are divided, so that nobody waits for long; `None` where they are short.
    pub scale: Option<&'static str>,
    /// What must be installed beside Python.
    pub needs: Option<&'static str>,
    /// True: it is a service that is told of events, and not one that is handed operations.
    pub listens: bool,
}

impl Program {
    /// The file of the program, from the root of the repository.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{FOLDER}/{}.py", self.incident)
    }

    /// The flags of `brownout run` with which it is driven.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mode: &[&str] = if self.listens { &[] } else { &["--mode", "stdio"] };
        let scale = self.scale.into_iter().flat_map(|scale| ["--scale", scale]);
        mode.iter().copied().chain(scale).collect()
    }
}

/// The program of an incident.
#[must_use]
pub fn find(incident: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.incident == incident)
}

const fn program(incident: &'static str, scale: Option<&'static str>) -> Program {
    Program { incident, scale, needs: None, listens: false }
}

/// All of them, in the order of the page.
pub static PROGRAMS: &[Program] = &[
    Program { needs: Some("requests"), ..program("slow-summaries", Some("1/30")) },
    program("parallel-batch", Some("1/10")),
    program("ok-but-error", Some("1/10")),
    program("optional-key", Some("1/10")),
    program("vague-processor", Some("1/10")),
    Program { needs: Some("requests"), ..program("slow-not-failed", Some("1/10")) },
    Program { listens: true, ..program("webhook-twice", None) },
    Program { needs: Some("requests"), ..program("ten-percent-throttled", Some("1/4")) },
    program("throttled-with-400", Some("1/10")),
    Program { needs: Some("openai"), ..program("truncated-stream", None) },
    Program { needs: Some("requests"), ..program("naive-call", Some("1/4")) },
    program("swallow-everything", Some("1/10")),
    program("fixed-delay", Some("1/2")),
    program("backoff-and-jitter", Some("1/2")),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::incident::registry;

    #[test]
    fn each_program_is_that_of_an_incident_and_stands_there_once() {
        let named: BTreeSet<&str> = PROGRAMS.iter().map(|program| program.incident).collect();
        assert_eq!(named.len(), PROGRAMS.len());
        for program in PROGRAMS {
            let incident = registry::find(program.incident);
            assert!(incident.is_some_and(|one| !one.held()), "{}", program.incident);
        }
    }
}
