//! The one question to the kernel that no safe interface answers.
//!
//! **Invariant:** the only file of the project with unsafe code; one call, and its reason beside it.

use std::os::fd::{AsRawFd, BorrowedFd};

mod raw {
    nix::ioctl_read_bad!(unsent_and_unacknowledged, nix::libc::TIOCOUTQ, nix::libc::c_int);
}

/// How many bytes of a TCP socket the peer's kernel has not yet acknowledged; `None` if the kernel does
/// not say.
#[expect(unsafe_code, reason = "nix offers this ioctl as an unsafe function only")]
pub(super) fn send_queue_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: nix::libc::c_int = 0;
    // SAFETY: the descriptor is borrowed, hence open, and the kernel writes one `c_int` to a valid
    // pointer to one.
    let asked = unsafe { raw::unsent_and_unacknowledged(socket.as_raw_fd(), &raw mut bytes) };
    asked.ok().and_then(|_| u64::try_from(bytes).ok())
}
