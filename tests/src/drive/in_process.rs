//! A closure as the client: claims, deadlines, panics, its log.

use std::sync::Arc;
use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::operation::{Operation, Outcome};
use brownout::run::{Client, Run, RunOptions, run_main};
use brownout::scenario::Scenario;
use brownout_provider::event::{Claim, ClaimBy, Mode};
use tokio::sync::Barrier;

use super::scenario;

fn run<F, W>(scenario: &Scenario, client: F) -> Run
where
    F: Fn(Operation, Connection) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let client = Client::in_process(client);
    run_main(scenario, scenario.seed, &client, &RunOptions::default()).expect("it runs")
}

/// Claim, author and detail of each submit's last record.
fn claims(run: &Run) -> Vec<(Claim, ClaimBy, String)> {
    run.trace
        .submits()
        .map(|(_, submit)| {
            let last = run.trace.claims(submit).last().expect("each submit has a record");
            let detail = last.detail.map_or("", |detail| run.trace.text(detail));
            (last.claim, last.by, detail.to_owned())
        })
        .collect()
}

#[test]
fn outcomes_are_claims_and_silence_is_the_drivers() {
    let mut scenario = scenario(5);
    scenario.workload.concurrency = 5;
    scenario.workload.deadline = Duration::from_millis(500);
    let run = run(&scenario, |operation: Operation, connection: Connection| async move {
        match operation.n {
            1 => Outcome::succeeded(),
            2 => Outcome::failed(format!("401 for {}", connection.api_key)),
            3 => Outcome::unknown("timed out"),
            4 => panic!("a bug of the client"),
            _ => std::future::pending().await,
        }
    });
    assert_eq!(
        claims(&run),
        [
            (Claim::Succeeded, ClaimBy::Client, String::new()),
            (Claim::Failed, ClaimBy::Client, "401 for ⟦secret:api_key:plain⟧".to_owned()),
            (Claim::Unknown, ClaimBy::Client, "timed out".to_owned()),
            (Claim::Unknown, ClaimBy::Driver, "the client panicked".to_owned()),
            (Claim::Unknown, ClaimBy::Driver, "deadline".to_owned()),
        ]
    );
    assert_eq!(run.trace.mode(), Mode::InProcess);
    assert!(run.path.is_none() && !run.interrupted);
}

#[test]
fn what_it_logs_is_its_output_with_secrets_marked() {
    let run = run(&scenario(1), |_: Operation, connection: Connection| async move {
        connection.log(&format!("calling with {}", connection.api_key));
        Outcome::succeeded()
    });
    let output = run.trace.outputs();
    assert_eq!(output.len(), 1);
    assert_eq!(&*output[0].text, "calling with ⟦secret:api_key:plain⟧");
}

#[test]
fn many_runs_at_once_do_not_meet() {
    const RUNS: usize = 8;
    let scenario = scenario(3);
    // All providers stand at once, however late a thread begins: a run that is over gives its
    // port back, and whoever comes later may be given it again.
    let all_stand = Arc::new(Barrier::new(RUNS));
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..RUNS)
            .map(|_| {
                let all_stand = Arc::clone(&all_stand);
                let client = move |operation: Operation, _: Connection| {
                    let all_stand = Arc::clone(&all_stand);
                    async move {
                        if operation.n == 1 {
                            all_stand.wait().await;
                        }
                        Outcome::failed(operation.url)
                    }
                };
                scope.spawn(|| run(&scenario, client))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut urls: Vec<String> = runs.iter().flat_map(claims).map(|(_, _, detail)| detail).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 3 * RUNS, "each run has a port of its own, each operation a token");
}
