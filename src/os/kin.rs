//! The parent, process group, program and script of this process.

use super::{hostname, pid_namespace, text, world};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The values by which processes that were started together are recognised.
#[derive(Clone, Debug, Default)]
pub struct Kin {
    /// Number of the parent process.
    pub parent: u32,
    /// Number of the process group, which a shell calls a job.
    pub group: u32,
    /// Device and inode of the program.
    pub program: (u64, u64),
    /// The script, if the program is an interpreter.
    pub script: Option<String>,
    /// The namespace that the process numbers belong to.
    pub namespace: u64,
    /// The machine's name.
    pub host: String,
    /// Parent of the session's leader. For a rank with its own session this is the launcher.
    pub launcher: Option<u32>,
}

/// Reads the values of this process; None if /proc cannot be read.
pub fn kin() -> Option<Kin> {
    if world::is_entered() {
        return None;
    }
    // SAFETY: these calls return numbers of this process and cannot fail.
    let (parent, group, session) = unsafe { (libc::getppid(), libc::getpgid(0), libc::getsid(0)) };
    let program = std::fs::metadata("/proc/self/exe").ok()?;
    let namespace = Some(pid_namespace()).filter(|namespace| *namespace > 0)?;
    let name = std::fs::read_link("/proc/self/exe").ok()?;
    let arguments = text::beginning(Path::new("/proc/self/cmdline"), text::MAX_PROC_BYTES).ok()?;
    let leader = text::read(Path::new(&format!("/proc/{session}/stat")), text::MAX_SYS_BYTES).ok();
    // The fields after the name, which is in parentheses and may contain any character: state, parent, …
    let launcher = leader.and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
    Some(Kin {
        parent: parent as u32,
        group: group as u32,
        program: (program.dev(), program.ino()),
        script: script(&name, &arguments),
        launcher,
        namespace,
        host: hostname(),
    })
}

/// The script that an interpreter of this path runs. NULs separate the arguments.
fn script(program: &Path, arguments: &[u8]) -> Option<String> {
    const INTERPRETERS: [&str; 6] = ["python", "julia", "lua", "perl", "ruby", "node"];
    let name = program.file_name()?.to_string_lossy();
    let is_script = |argument: &String| !argument.starts_with('-') && Path::new(argument).is_file();
    let mut arguments = arguments.split(|&byte| byte == 0).map(|one| String::from_utf8_lossy(one).into_owned()).skip(1);
    INTERPRETERS.iter().any(|one| name.starts_with(one)).then(|| arguments.find(is_script)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_has_a_script_and_a_program_has_none() {
        let this = file!();
        let arguments = format!("python3\0-u\0{this}\0--lr=1\0");
        assert_eq!(script(Path::new("/usr/bin/python3.11"), arguments.as_bytes()).as_deref(), Some(this));
        assert_eq!(script(Path::new("/home/solver"), arguments.as_bytes()), None, "its input file is no script");
        assert_eq!(script(Path::new("/usr/bin/lua5.4"), b"lua5.4\0-i\0"), None);
    }
}
