//! What the command needs to run a program as if that had been started in its place: signals that are heard, not
//! suffered, and a child that has signals as they were found.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

/// Signals that tell of a child, or may be meant for it.
const HEARD: [libc::c_int; 7] =
    [libc::SIGCHLD, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// The process that sent it, 0 where that is of another namespace; None: the kernel, as it does for a terminal.
    pub sender: Option<u32>,
}

impl Signal {
    /// A child of ours has ended, stopped or gone on.
    pub fn is_of_child(self) -> bool {
        self.number == libc::SIGCHLD
    }

    /// What Ctrl-C and Ctrl-\ send, to every process in the terminal's foreground.
    pub fn is_interrupt(self) -> bool {
        [libc::SIGINT, libc::SIGQUIT].contains(&self.number)
    }

    /// Sends it to a child, which is there until it is waited for.
    pub fn pass_to(self, child: &Child) {
        // SAFETY: two numbers. A refusal is the child's matter.
        unsafe { libc::kill(child.id() as libc::pid_t, self.number) };
    }
}

/// This thread's signals, held back until they are heard. Threads that are made meanwhile hold them back too.
pub struct HeldSignals {
    signals: libc::sigset_t,
    before: libc::sigset_t,
    /// Children were not to be waited for, as some parents leave it.
    ignored_children: bool,
}

impl HeldSignals {
    /// From here on.
    pub fn new() -> HeldSignals {
        let mut signals = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises `signals`, pthread_sigmask writes `before`; the rest is numbers.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            for number in HEARD {
                libc::sigaddset(signals.as_mut_ptr(), number);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr());
            let ignored_children = libc::signal(libc::SIGCHLD, libc::SIG_DFL) == libc::SIG_IGN;
            HeldSignals { signals: signals.assume_init(), before: before.assume_init(), ignored_children }
        }
    }

    /// Starts a program with the signals that this process was given.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let HeldSignals { before, ignored_children, .. } = *self;
        let as_found = move || {
            // SAFETY: `before` was filled by the kernel; both calls are async-signal-safe.
            unsafe {
                if ignored_children {
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                }
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            }
            Ok(())
        };
        // SAFETY: between fork and exec it makes those two calls and nothing else.
        unsafe { command.pre_exec(as_found) };
        command.spawn()
    }

    /// Waits for the next signal, so long at most.
    pub fn next(&self, patience: Duration) -> Option<Signal> {
        let patience = libc::timespec {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_nsec: patience.subsec_nanos() as libc::c_long,
        };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set was filled by `new`; `info` is zeroed, which is valid, and written where a signal came.
        let (number, info) =
            unsafe { (libc::sigtimedwait(&self.signals, info.as_mut_ptr(), &patience), info.assume_init()) };
        // SAFETY: a signal that a process sent tells which.
        let sender = || unsafe { info.si_pid() } as u32;
        (number > 0).then(|| Signal { number, sender: (info.si_code <= 0).then(sender) })
    }

    /// Lets them do to this process what they do to any, but for those that came before: they were the child's.
    pub fn release(&self) {
        while self.next(Duration::ZERO).is_some() {}
        // SAFETY: `before` was filled by `new`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

impl Default for HeldSignals {
    fn default() -> HeldSignals {
        HeldSignals::new()
    }
}

/// Ends this process by a signal, so that whoever waits for it sees that; without a core file, which would be of the wrong
/// process. Comes back where the signal does not end one.
pub fn die_by(number: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut this = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises `this`; the rest is numbers and a limit that is read.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(number, libc::SIG_DFL);
        libc::sigemptyset(this.as_mut_ptr());
        libc::sigaddset(this.as_mut_ptr(), number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, this.as_ptr(), std::ptr::null_mut());
        libc::raise(number);
    }
}
