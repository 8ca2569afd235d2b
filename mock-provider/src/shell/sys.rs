//! The questions to the kernel that no safe interface answers.
//!
//! **Invariant:** the only file of the project with unsafe code; each call has its reason beside it.

use std::os::fd::{AsRawFd, BorrowedFd};

mod raw {
    /// `SIOCOUTQNSD` of Linux's `sockios.h`: the part of the send queue that was never sent.
    const UNSENT: nix::libc::c_ulong = 0x894B;

    nix::ioctl_read_bad!(unsent, UNSENT, nix::libc::c_int);
}

/// How the peer of a socket ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HungUp {
    /// Nothing more will come.
    Orderly,
    /// The connection was reset.
    Reset,
}

/// How many bytes of a TCP socket still wait to be sent; `None` if the kernel does not say. What was
/// sent over the loopback interface is with the peer, whether or not it has been acknowledged.
#[expect(unsafe_code, reason = "nix offers this ioctl as an unsafe function only")]
pub(super) fn unsent_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: nix::libc::c_int = 0;
    // SAFETY: the descriptor is borrowed, hence open, and the kernel writes one `c_int` to a valid
    // pointer to one.
    let asked = unsafe { raw::unsent(socket.as_raw_fd(), &raw mut bytes) };
    asked.ok().and_then(|_| u64::try_from(bytes).ok())
}

/// Whether the peer of a unix socket has ended its side, which bytes that lie unread would hide.
#[expect(unsafe_code, reason = "nix does not know the flag that tells of half an end")]
pub(super) fn hung_up(socket: BorrowedFd<'_>) -> Option<HungUp> {
    use nix::libc::{POLLERR, POLLHUP, POLLRDHUP, poll, pollfd};
    let mut asked = pollfd { fd: socket.as_raw_fd(), events: POLLRDHUP, revents: 0 };
    // SAFETY: the descriptor is borrowed, hence open, and the kernel is told of exactly one `pollfd`.
    if unsafe { poll(&raw mut asked, 1, 0) } < 1 {
        None
    } else if asked.revents & POLLERR != 0 {
        Some(HungUp::Reset)
    } else if asked.revents & (POLLHUP | POLLRDHUP) != 0 {
        Some(HungUp::Orderly)
    } else {
        None
    }
}
