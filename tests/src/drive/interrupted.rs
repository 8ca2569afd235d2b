//! Runs that are stopped from outside: by Ctrl-C on the built program, or by whoever holds the word.

use std::process::{Command, Stdio};

use brownout::drive::stop::Stop;
use brownout::run::{Client, RunOptions, run_main};
use brownout_provider::event::{EventKind, Mode};

use super::{Beacon, events, hostile, scenario};
use crate::brownout::{program, root};

#[test]
fn a_stop_ends_the_client_and_leaves_a_whole_trace() {
    for mode in [Mode::Stdio, Mode::Exec, Mode::Suite] {
        let beacon = Beacon::new();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let stop = Stop::new();
        let options = RunOptions {
            dir: Some(dir.path().to_owned()),
            stop: stop.clone(),
            ..RunOptions::default()
        };
        let command = hostile("ignores_sigterm.py", &[beacon.port()]);
        let run = std::thread::spawn(move || {
            let scenario = scenario(2);
            run_main(&scenario, scenario.seed, &Client::Process { mode, command }, &options)
        });
        let light = beacon.lit();
        stop.stop();
        let run = run.join().expect("no panic").expect("an interruption is no error");
        assert!(run.interrupted);
        light.goes_out();
        let text = std::fs::read_to_string(run.path.expect("a file")).expect("it is there");
        let events = events(&text);
        let EventKind::RunFinished(finished) = &events.last().expect("events").kind else {
            panic!("the trace has no end: {text}")
        };
        assert_eq!(&*finished.reason, "interrupted");
        let signal = events.iter().find_map(|event| {
            let EventKind::ClientEnded(ended) = &event.kind else { return None };
            ended.signal
        });
        assert_eq!(signal, Some(9), "it ignores every polite signal");
    }
}

#[test]
fn ctrl_c_leaves_a_readable_trace_and_no_orphan() {
    for bare in [false, true] {
        let beacon = Beacon::new();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let script = if bare { "escapes.py" } else { "ignores_sigterm.py" };
        let mut arguments = vec![beacon.port()];
        if bare {
            arguments.push("bare".to_owned());
        }
        let child = Command::new(program())
            .current_dir(root())
            .args(["run", "scenarios/payments/calm.yaml", "--no-control", "--mode", "stdio"])
            .arg("--out")
            .arg(dir.path())
            .arg("--")
            .args(hostile(script, &arguments))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("brownout starts");
        let light = beacon.lit();
        // The process may be over by itself: escapes.py leaves at once, and takes the run with it.
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        interrupt.expect("there is a kill");
        let output = child.wait_with_output().expect("it ends");
        light.goes_out();
        let trace = find(dir.path(), "trace.jsonl").expect("a trace was written");
        let text = std::fs::read_to_string(trace).expect("it is readable");
        let all = events(&text);
        assert!(matches!(all.last().expect("events").kind, EventKind::RunFinished(_)));
        assert!(output.status.code().is_some_and(|code| code != 0), "{output:?}");
    }
}

fn find(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == name {
                return Some(entry.path());
            }
        }
    }
    None
}
