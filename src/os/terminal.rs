//! A terminal that a program shares with the programs it has started, and text for it.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether this process may write beside the programs on a terminal: it is in the foreground, and the terminal reads
/// whole lines. An editor or a pager reads single keys, and owns the screen.
pub fn is_shared(terminal: BorrowedFd<'_>) -> bool {
    let fd = terminal.as_raw_fd();
    // SAFETY: both calls only read the state of this process and its terminal.
    let is_in_foreground = unsafe { libc::tcgetpgrp(fd) == libc::getpgrp() };
    let mut state = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `state` has room for the terminal's settings.
    let is_known = unsafe { libc::tcgetattr(fd, state.as_mut_ptr()) } == 0;
    // SAFETY: the call above has filled it.
    is_in_foreground && is_known && unsafe { state.assume_init() }.c_lflag & libc::ICANON != 0
}

/// Writes a text in one piece, if that needs no wait. False: the reader is slow, and nothing was written. A reader that
/// has gone away loses the text, and the process gets no SIGPIPE.
pub fn write_if_ready(to: BorrowedFd<'_>, text: &str) -> bool {
    let mut poll = libc::pollfd { fd: to.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `poll` is one entry, and the call does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if ready == 0 {
        return false;
    }
    if ready < 0 || poll.revents & libc::POLLOUT == 0 {
        return true;
    }
    without_sigpipe(|| {
        // SAFETY: the text is valid for its length.
        unsafe { libc::write(to.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    });
    true
}

/// Runs `write`, and takes the SIGPIPE that it raises. A signal that was pending before stays pending.
fn without_sigpipe(write: impl FnOnce()) {
    let (mut pipe, mut old, mut pending) = (MaybeUninit::uninit(), MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: each set is filled by the call that gets it first. The mask is that of this thread, and is restored.
    unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        if libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), old.as_mut_ptr()) != 0 {
            return;
        }
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        write();
        if !was_pending {
            let no_wait = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(pipe.as_ptr(), std::ptr::null_mut(), &raw const no_wait);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut());
    }
}
