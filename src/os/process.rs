//! Users, and processes by their numbers.

use super::affinity::is_own_thread;
use super::{text, world};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The number of this process.
pub fn process_id() -> u32 {
    world::ask(|world| world.process()).unwrap_or_else(std::process::id)
}

/// The number of the effective user of this process.
pub fn user() -> u32 {
    // SAFETY: the call takes nothing, returns a number and cannot fail.
    unsafe { libc::geteuid() }
}

/// A user for messages: "user name (number)", or "user number" if /etc/passwd has no name for it.
pub fn user_name(user: u32) -> String {
    let users = text::read(Path::new("/etc/passwd"), text::MAX_TABLE_BYTES).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user) && name.chars().all(|c| c.is_ascii_graphic())).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("user {user}"), |name| format!("user {name} ({user})"))
}

/// The start of a process in clock ticks since boot; None if it is dead or unknown.
///
/// Process number and start together identify a process. A process without its main thread lives while another thread
/// does.
pub fn process_start(process: u32) -> Option<u64> {
    if let Some(start) = world::ask(|world| world.process_start(process)) {
        return start;
    }
    let stat = text::read(Path::new(&format!("/proc/{process}/stat")), text::MAX_SYS_BYTES).ok()?;
    // Fields 3, 20 and 22. Field 2, the name, is in parentheses and may contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [state, threads, start] = [0, 17, 19].map(|index| fields.get(index).copied().unwrap_or_default());
    let is_dead = ["Z", "X", ""].contains(&state) && threads.parse().unwrap_or(0) <= 1;
    Some(start).filter(|_| !is_dead)?.parse().ok()
}

/// Whether a process has a thread of this library. An exec ends them, but keeps the process's number and start. True if
/// the threads cannot be listed.
pub fn has_own_thread(process: u32) -> bool {
    if let Some(has) = world::ask(|world| world.has_own_thread(process)) {
        return has;
    }
    let mut threads = text::entries(Path::new(&format!("/proc/{process}/task"))).peekable();
    threads.peek().is_none() || threads.any(|thread| is_own_thread(&thread))
}

/// Whether process numbers here are the machine's, as drivers use them. A container has its own.
pub fn is_first_pid_namespace() -> bool {
    const FIRST_INODE: u64 = 0xEFFF_FFFC; // PROC_PID_INIT_INO
    pid_namespace() == FIRST_INODE
}

/// The kernel's clock ticks in a second, the unit of processor times in /proc.
pub fn ticks_per_second() -> f64 {
    // SAFETY: the call takes and returns a number; -1 means failure.
    match unsafe { libc::sysconf(libc::_SC_CLK_TCK) } {
        ticks if ticks > 0 => ticks as f64,
        _ => 100.0,
    }
}

/// The size of a page of memory, bytes.
pub fn page_bytes() -> u64 {
    // SAFETY: the call takes and returns a number; -1 means failure.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Whether the process lives that started at `started`, in clock ticks since boot; 0 if its start is unknown.
/// Without /proc, the process number alone decides.
pub fn is_alive(process: u32, started: u64) -> bool {
    match process_start(process) {
        Some(start) => start == started || started == 0,
        None => process_start(process_id()).is_none() && is_number_in_use(process),
    }
}

fn is_number_in_use(process: u32) -> bool {
    // SAFETY: the call takes two numbers, and signal 0 is delivered to no process.
    let is_permitted = unsafe { libc::kill(process as libc::pid_t, 0) } == 0;
    is_permitted || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// The number of this process's pid namespace; 0 if it is unknown.
pub fn pid_namespace() -> u64 {
    if world::is_entered() {
        return 1;
    }
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}
