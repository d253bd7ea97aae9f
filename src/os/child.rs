//! Signals and child processes, for the command that runs a program.
//!
//! The command receives its signals one by one and passes them on. The program starts with the signal handling that the
//! command was started with.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

/// The signals that report on a child, that may be meant for it, or that stop this process.
const RECEIVED: [libc::c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
];

/// A received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The signal's number.
    pub number: i32,
    /// The process that sent it; 0 if that is in another namespace. None if the kernel sent it, for instance for a
    /// terminal.
    pub sender: Option<u32>,
}

impl Signal {
    /// Whether it reports that a child has ended, stopped or continued.
    pub fn is_of_child(self) -> bool {
        self.number == libc::SIGCHLD
    }

    /// Whether it is a signal of Ctrl-C or Ctrl-\, which every process in the terminal's foreground receives.
    pub fn is_interrupt(self) -> bool {
        [libc::SIGINT, libc::SIGQUIT].contains(&self.number)
    }

    /// Whether it is the signal of Ctrl-Z, which stops every process in the terminal's foreground.
    pub fn is_stop(self) -> bool {
        self.number == libc::SIGTSTP
    }

    /// Whether it asks a program to end. USR1 does too: srun passes it on, and kills its tasks at TERM.
    pub fn is_end(self) -> bool {
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1].contains(&self.number)
    }

    /// Sends it to a child that has not been waited for yet. Failures are ignored.
    pub fn pass_to(self, child: &Child) {
        // SAFETY: the call takes two numbers.
        unsafe { libc::kill(child.id() as libc::pid_t, self.number) };
    }
}

/// The signals of this thread, blocked until they are taken by [`HeldSignals::next`]. Threads started meanwhile block
/// them too.
pub struct HeldSignals {
    signals: libc::sigset_t,
    old_mask: libc::sigset_t,
    /// Whether SIGCHLD was ignored when the command started, as some parents leave it.
    ignored_children: bool,
}

impl HeldSignals {
    /// Blocks the signals from now on.
    pub fn new() -> HeldSignals {
        let mut signals = MaybeUninit::uninit();
        let mut old_mask = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises `signals` and pthread_sigmask writes `before`. The other arguments are
        // numbers.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            for number in RECEIVED {
                libc::sigaddset(signals.as_mut_ptr(), number);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), old_mask.as_mut_ptr());
            let ignored_children = libc::signal(libc::SIGCHLD, libc::SIG_DFL) == libc::SIG_IGN;
            HeldSignals { signals: signals.assume_init(), old_mask: old_mask.assume_init(), ignored_children }
        }
    }

    /// Starts a program with the signal handling that this process was started with.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let HeldSignals { old_mask, ignored_children, .. } = *self;
        let as_found = move || {
            // SAFETY: the kernel filled `before`. Both calls are async-signal-safe.
            unsafe {
                if ignored_children {
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                }
                libc::pthread_sigmask(libc::SIG_SETMASK, &old_mask, std::ptr::null_mut());
            }
            Ok(())
        };
        // SAFETY: between fork and exec, the closure makes those two calls and nothing else.
        unsafe { command.pre_exec(as_found) };
        command.spawn()
    }

    /// Waits for the next signal, at most `patience`.
    pub fn next(&self, patience: Duration) -> Option<Signal> {
        let patience = libc::timespec {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_nsec: patience.subsec_nanos() as libc::c_long,
        };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `new` filled the set. `info` is zeroed, which is valid, and the call writes it if a signal came.
        let (number, info) =
            unsafe { (libc::sigtimedwait(&self.signals, info.as_mut_ptr(), &patience), info.assume_init()) };
        // SAFETY: the sender's number is valid in a signal that a process sent, and is read for no other.
        let sender = || unsafe { info.si_pid() } as u32;
        (number > 0).then(|| Signal { number, sender: (info.si_code <= 0).then(sender) })
    }

    /// Stops this process, as the signal of Ctrl-Z does, until another process continues it. It goes on if that signal
    /// is ignored, or if no shell could continue it.
    pub fn stop(&self) {
        let mut stop = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises `stop`. The other arguments are numbers.
        unsafe {
            libc::sigemptyset(stop.as_mut_ptr());
            libc::sigaddset(stop.as_mut_ptr(), libc::SIGTSTP);
            libc::raise(libc::SIGTSTP);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, stop.as_ptr(), std::ptr::null_mut());
            libc::pthread_sigmask(libc::SIG_BLOCK, stop.as_ptr(), std::ptr::null_mut());
        }
    }

    /// Drops the signals that have come so far, which were for the child. Later signals act on this process as on any
    /// other.
    pub fn release(&self) {
        while self.next(Duration::ZERO).is_some() {}
        // SAFETY: `new` filled `before`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.old_mask, std::ptr::null_mut()) };
    }
}

impl Default for HeldSignals {
    fn default() -> HeldSignals {
        HeldSignals::new()
    }
}

/// Ends this process by a signal, so that its parent sees that signal. No core file is written: it would be one of the
/// wrong process. Returns if the signal does not end a process.
pub fn die_by(number: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut this = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises `this`. The other arguments are numbers and a limit that is only read.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(number, libc::SIG_DFL);
        libc::sigemptyset(this.as_mut_ptr());
        libc::sigaddset(this.as_mut_ptr(), number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, this.as_ptr(), std::ptr::null_mut());
        libc::raise(number);
    }
}
/// Whether a descriptor has something to read, or is closed at its other end, within this time. True if that is
/// unknown.
pub fn is_readable_within(descriptor: &impl AsFd, time: Duration) -> bool {
    let mut poll = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ms = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `poll` is one pollfd to read and write.
    unsafe { libc::poll(&mut poll, 1, ms) != 0 }
}
