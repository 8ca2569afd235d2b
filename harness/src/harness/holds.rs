//! The shortest test: a scenario, a client, and a panic that says what went wrong.
//!
//! **Invariant:** it does nothing that [`Harness`] does not do; it only asks for all of it at once.

use std::future::Future;
use std::path::Path;

use super::Harness;
use crate::drive::in_process::Connection;
use crate::operation::{Operation, Outcome};

/// Runs a client through a scenario file in virtual time, and panics unless everything that the scenario
/// expects holds. The path counts from the folder of the package, where `cargo test` runs; one
/// that comes with brownout (`scenarios/payments/lost-response.yaml`) needs no file there.
///
/// Only tokio's clock is virtual: a client that measures its waits or its own time-out by
/// `std::time::Instant` sees a clock that stands still; see [`Harness::virtual_time`].
///
/// Over the unix socket that virtual time takes by itself a client needs a connection of its own: see the
/// table at [`Connection`] for which helper suits. A client that can be given nothing but a URL takes
/// [`Harness::transport`] with TCP, and one that is to be built anew [`Harness::run_with`]:
/// `Harness::from_file(…)?.virtual_time().run_with(…)?.assert()`.
///
/// ```no_run
/// # #[cfg(feature = "reqwest")] {
/// use brownout::{Outcome, assert_holds};
///
/// # async fn charge(_: reqwest::Client, _: &str, _: &str) -> Result<(), String> { Ok(()) }
/// #[test]
/// fn nobody_is_charged_twice() {
///     assert_holds("scenarios/response-lost.yaml", |operation, connection| async move {
///         let http = connection.reqwest().unwrap().build().unwrap();
///         match charge(http, &operation.url, &operation.api_key).await {
///             Ok(()) => Outcome::succeeded(),
///             Err(error) => Outcome::failed(error),
///         }
///     });
/// }
/// # }
/// ```
///
/// # Panics
///
/// With every mistake when the scenario is wrong; with the reason when it cannot run; with the whole
/// report when the client is caught, and when nothing can be said of it.
#[track_caller]
pub fn assert_holds<F, W>(scenario: impl AsRef<Path>, client: F)
where
    F: Fn(Operation, Connection) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let harness = match Harness::from_file(scenario) {
        Ok(harness) => harness,
        Err(wrong) => panic!("{wrong:?}"),
    };
    match harness.virtual_time().run(client) {
        Ok(judged) => judged.assert(),
        Err(error) => panic!("the scenario could not be run: {error}"),
    }
}
