//! What happened so far, as numbers in the text format of Prometheus.
//!
//! **Invariant:** a pure function of a trace and of the verdicts before it; the same events always give the
//! same text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::Entry;
use crate::trace::Trace;

/// One family of counters: its name, what it counts, and the values by their labels.
struct Family {
    name: &'static str,
    help: &'static str,
    values: BTreeMap<String, u64>,
}

impl Family {
    fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, values: BTreeMap::new() }
    }

    fn count(&mut self, labels: &[(&str, &str)]) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        *self.values.entry(labels.join(",")).or_default() += 1;
    }
}

/// The numbers of the present run, or the latest, and the verdicts of all that have ended.
#[must_use]
pub(super) fn render(trace: Option<&Trace>, ended: &[Entry]) -> String {
    let mut runs = Family::new("brownout_runs_total", "Runs that have ended, by verdict.");
    for entry in ended {
        let verdict = entry.result.verdict.name();
        runs.count(&[("scenario", &entry.result.name), ("verdict", verdict)]);
    }
    let mut families = vec![runs];
    if let Some(trace) = trace {
        families.extend(of_trace(trace));
    }
    let mut text = String::new();
    for Family { name, help, values } in families {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    text
}

fn of_trace(trace: &Trace) -> [Family; 3] {
    let mut requests = Family::new(
        "brownout_requests_total",
        "Requests of the present run, by route and status; no status where none was answered.",
    );
    for (_, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
        let route = request.route.map_or("", |route| trace.text(route));
        let status = request.response.map_or(String::new(), |answer| answer.status.to_string());
        let provider = trace.text(request.provider);
        requests.count(&[("provider", provider), ("route", route), ("status", &status)]);
    }
    let mut faults = Family::new("brownout_faults_total", "Strikes of the present run, by rule.");
    for strike in trace.strikes() {
        faults.count(&[("rule", trace.text(strike.rule)), ("fault", trace.text(strike.fault))]);
    }
    let mut effects =
        Family::new("brownout_effects_total", "Effects that were committed, by kind.");
    for (_, effect) in trace.effects() {
        let provider = trace.text(effect.provider);
        effects.count(&[("provider", provider), ("kind", trace.text(effect.kind))]);
    }
    [requests, faults, effects]
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
