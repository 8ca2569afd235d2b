//! Workers of a queue as programs: a careful one holds, and each careless one is caught by what it breaks.

use std::ffi::OsString;

use brownout::run::{Client, RunOptions, run_main};
use brownout::scenario::{Apis, Overrides, read};
use brownout_provider::event::Mode;

use crate::brownout::{Run, effects, failed, program, python, root, run, verdict};

fn worker(bug: &[&str]) -> Vec<OsString> {
    let words = ["tests/clients/queue_worker.py"].iter().chain(bug);
    std::iter::once(python()).chain(words.map(OsString::from)).collect()
}

#[test]
fn a_careful_worker_holds_in_every_scenario() {
    for (name, operations) in
        [("calm", 10), ("lost-response", 6), ("at-least-once", 12), ("poison-message", 8)]
    {
        let scenario = format!("scenarios/queue/{name}.yaml");
        let run = run(&[&scenario], &worker(&[]), &[]);
        assert_eq!(run.code, Some(0), "{}", run.printed);
        let entry = run.only();
        let failed = u64::from(name == "poison-message") * 2;
        assert_eq!(entry["operations"]["failed"], failed, "{}", run.printed);
        assert_eq!(entry["operations"]["succeeded"], operations - failed, "{}", run.printed);
        assert_eq!(effects(entry), operations - failed, "{}", run.printed);
    }
}

#[test]
fn each_careless_worker_is_caught() {
    for (bug, scenario, caught) in [
        ("receipt", "at-least-once", "message_handled_once"),
        ("eager", "at-least-once", "no_lost_operations"),
        ("swallow", "poison-message", "poison_message_parked"),
        ("block", "poison-message", "poison_message_parked"),
        ("batch", "poison-message", "poison_message_parked"),
        ("abort", "poison-message", "poison_message_parked"),
    ] {
        let path = format!("scenarios/queue/{scenario}.yaml");
        let run = run(&[&path, "--no-control"], &worker(&[bug]), &[]);
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert_eq!(verdict(run.only(), caught), "failed", "{bug}: {}", run.printed);
        let others = failed(run.only());
        assert!(others.len() <= 5, "{bug}: {others:?}");
    }
}

/// A worker of this kind in a scenario that is written here: `rest` stands beside the workload's call, input and
/// queue.
fn worked(bug: &str, queue: &str, rest: &str) -> Run {
    let scenario = format!(
        "version: 1
name: worked
provider: {{api: queue, queue: {queue}}}
{rest}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("worked.yaml");
    std::fs::write(&path, scenario).expect("it is written");
    run(&[&path.to_string_lossy(), "--no-control"], &worker(&[bug]), &[])
}

/// A workload of so many messages.
fn messages(operations: u32, more: &str) -> String {
    format!(
        "workload: {{call: send_message, operations: {operations}, deadline: 8s, deliver: {{queue: messages}}, \
         input: {{order: 'order-{{{{ n }}}}', amount: 5}}{more}}}"
    )
}

#[test]
fn a_copy_that_is_on_its_way_when_all_is_claimed_is_waited_for() {
    let rest = format!(
        "faults: [{{name: twice, inject: {{message: duplicate}}, when: {{attempt: 1}}}}]
{}
expect: [message_handled_once]",
        messages(1, "")
    );
    for (bug, code, verdict_of) in [("receipt", 1, "failed"), ("", 0, "passed")] {
        let run = worked(bug, "{visibility: 2s}", &rest);
        assert_eq!(run.code, Some(code), "{}", run.printed);
        assert_eq!(verdict(run.only(), "message_handled_once"), verdict_of, "{}", run.printed);
    }
}

#[test]
fn a_message_that_is_never_deleted_is_somebodys_fault() {
    let rest = format!("{}\nexpect: [message_acknowledged]", messages(2, ", concurrency: 2"));
    let queue = "{visibility: 1500ms, max_receives: 2}";
    for (bug, code, verdict_of) in [("forget", 1, "failed"), ("", 0, "passed")] {
        let run = worked(bug, queue, &rest);
        assert_eq!(run.code, Some(code), "{}", run.printed);
        assert_eq!(verdict(run.only(), "message_acknowledged"), verdict_of, "{}", run.printed);
    }
}

#[test]
fn a_worker_that_asks_for_messages_as_long_as_it_lives_retries_nothing() {
    let rest = format!(
        "faults:
  - {{name: closed, when: {{route: receive_messages, attempt: {{to: 9}}}}, inject: {{status: {{code: 503}}}}}}
  - {{name: busy, when: {{route: do_work, attempt: 1}}, inject: {{status: {{code: 503}}}}}}
{}
expect: [{{bounded_retries: {{max_attempts: 2}}}}]",
        messages(2, "")
    );
    let run = worked("", "{visibility: 2s}", &rest);
    assert_eq!(run.code, Some(0), "{}", run.printed);
    assert_eq!(
        (run.only()["retries"].as_u64(), effects(run.only())),
        (Some(2), 2),
        "{}",
        run.printed
    );
}

#[test]
fn what_a_copy_that_died_was_handed_goes_to_the_others() {
    let workload = messages(6, ", concurrency: 6, clients: 2");
    let rest =
        format!("{workload}\nexpect: [{{no_lost_operations: {{all: true}}}}, no_double_charges]");
    let run = worked("mortal", "{visibility: 500ms}", &rest);
    assert_eq!(run.only()["operations"]["succeeded"], 6, "{}", run.printed);
    assert_eq!(effects(run.only()), 6, "{}", run.printed);
}

#[test]
fn a_delete_that_the_queue_refused_excuses_nothing() {
    let rest = format!(
        "faults: [{{name: refused, when: {{route: delete_message, attempt: 1}}, inject: {{status: {{code: 410}}}}}}]
{}
expect: [message_handled_once, message_acknowledged]",
        messages(2, "")
    );
    for (bug, code, verdict_of, work) in [("receipt", 1, "failed", 4), ("", 0, "passed", 2)] {
        let run = worked(bug, "{visibility: 1s}", &rest);
        assert_eq!(run.code, Some(code), "{}", run.printed);
        assert_eq!(verdict(run.only(), "message_handled_once"), verdict_of, "{}", run.printed);
        assert_eq!(verdict(run.only(), "message_acknowledged"), "passed", "{}", run.printed);
        assert_eq!(effects(run.only()), work, "{}", run.printed);
    }
}

#[test]
fn the_copy_that_asked_is_killed_and_none_where_nobody_knows_who_asked() {
    let text = format!(
        "version: 1
name: killed
provider: {{api: queue, queue: {{visibility: 1s}}}}
faults: [{{name: killed, when: {{route: do_work, operation: 1, attempt: 1}}, inject: {{kill_client: {{at: after_commit}}}}}}]
{}
expect: [no_double_charges]
",
        messages(3, ", concurrency: 3, clients: 2")
    );
    let checked = read("killed.yaml", text.as_bytes(), Apis::Beside(root()), &Overrides::default());
    let scenario = checked.scenario.expect("a right scenario");
    for (kind, second, struck_nobody) in [("second", 2, false), ("bare", 1, true)] {
        let command = worker(&[kind]).into_iter().map(|word| word.to_string_lossy().into_owned());
        let command = command.map(|word| match word.strip_prefix("tests/") {
            Some(rest) => root().join("tests").join(rest).display().to_string(),
            None => word,
        });
        let client = Client::Process { mode: Mode::Stdio, command: command.collect() };
        let run = run_main(&scenario, scenario.seed, &client, &RunOptions::default());
        let run = run.expect("it runs");
        let starts =
            |copy: u32| run.trace.clients().iter().filter(|one| one.client == copy).count();
        assert_eq!((starts(1), starts(2)), (1, second), "{kind}");
        let judged = run.judged(&scenario, None, String::new());
        let told = judged.notes.iter().any(|note| note.contains("`killed` struck nobody once"));
        assert_eq!(told, struck_nobody, "{kind}: {:?}", judged.notes);
    }
}

/// What the hash of a schedule is in which nothing was drawn: SHA-256 of nothing.
const NOTHING_DRAWN: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn what_strikes_messages_stands_in_the_drawn_schedule() {
    let rules = |rule: &str| {
        let workload = messages(3, "");
        format!("faults: [{rule}]\n{workload}\nexpect: [message_acknowledged]")
    };
    let late = "{name: late, when: {attempt: 1}, inject: {message: {kind: late, by: 50ms}}}";
    for (rule, struck, is_drawn) in [("", None, false), (late, Some(3), true)] {
        let run = worked("", "{visibility: 2s}", &rules(rule));
        assert_eq!(run.code, Some(0), "{}", run.printed);
        assert_eq!(run.only()["faults"]["late"].as_u64(), struck, "{}", run.printed);
        assert_eq!(run.only()["schedule_hash"] != NOTHING_DRAWN, is_drawn, "{}", run.printed);
    }
}

#[test]
fn a_worker_is_driven_in_one_way_alone() {
    let flags = ["run", "scenarios/queue/calm.yaml", "--mode", "exec", "--", "true"];
    let output = std::process::Command::new(program())
        .current_dir(root())
        .args(flags)
        .output()
        .expect("brownout starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("messages of a queue") && said.contains("use `--mode stdio`"), "{said}");
}
