//! Ctrl-C, SIGTERM and a terminal that is closed: the word to end early, given once.
//!
//! A file that grows beyond a limit of the shell (`ulimit -f`) raises a signal as well, which would end the
//! program without a word; once it is listened to, the write fails instead, and that is told.
//!
//! **Invariant:** the first signal ends the runs in order, with readable traces and no orphan; the program
//! then ends by itself.

use crate::drive::stop::Stop;

use super::refusal::Refusal;

/// Listens for SIGINT, SIGTERM and, unless it is ignored (`nohup`), SIGHUP from now on, in a thread of its own, and sets `stop` at the first one.
///
/// # Errors
/// The operating system gives no handler.
pub fn listen(stop: &Stop) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| Refusal::because(&error))?;
    let stop = stop.clone();
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        let _entered = runtime.enter();
        let too_large = SignalKind::from_raw(nix::libc::SIGXFSZ);
        signal(SignalKind::interrupt())
            .and_then(|one| {
                let hangup =
                    (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose()?;
                Ok((one, signal(SignalKind::terminate())?, hangup, signal(too_large)?))
            })
            .map_err(|error| Refusal::because(&error))?
    };
    let (mut interrupt, mut terminate, mut hangup, _too_large) = signals;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    true = async {
                        let Some(hangup) = &mut hangup else { return false };
                        hangup.recv().await;
                        true
                    } => {}
                }
            });
            stop.stop();
        })
        .map_err(|error| Refusal::because(&error))?;
    Ok(())
}

/// True when whoever started this program wants it to outlive the terminal, as `nohup` does.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}
