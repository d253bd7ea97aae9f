//! A terminal that a program shares with the programs it has started.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether this process may write beside the programs on a terminal: it is in the foreground, and the terminal reads
/// whole lines. An editor or a pager reads single keys, and owns the screen.
pub fn is_shared(terminal: BorrowedFd<'_>) -> bool {
    let fd = terminal.as_raw_fd();
    // SAFETY: both calls only read the state of this process and its terminal.
    let is_in_foreground = unsafe { libc::tcgetpgrp(fd) == libc::getpgrp() };
    let mut state = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `state` has room for the terminal's settings.
    let is_known = unsafe { libc::tcgetattr(fd, state.as_mut_ptr()) } == 0;
    // SAFETY: the call above has filled it.
    is_in_foreground && is_known && unsafe { state.assume_init() }.c_lflag & libc::ICANON != 0
}
