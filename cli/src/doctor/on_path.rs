//! Which program the shell starts by this command's name. Python's Carbontracker installs one of the same name.

use carbontracker::os;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name that both commands have.
const NAME: &str = "carbontracker";
/// The second name of this command.
pub const SECOND_NAME: &str = "ctrack";
/// Bytes of a file's first line that are read.
const FIRST_LINE: u64 = 256;

/// What the name leads to.
#[derive(Debug, PartialEq)]
pub enum OnPath {
    /// This command.
    This(PathBuf),
    /// Another program. `is_python`: it is a script for Python.
    Other { path: PathBuf, is_python: bool },
    /// No program.
    Missing,
}

impl OnPath {
    /// Looks the name up in a list of folders, as a shell does. `this`: the program that runs.
    pub fn find(folders: &OsStr, this: &Path) -> OnPath {
        let first = std::env::split_paths(folders).map(|folder| folder.join(NAME)).find(|path| is_program(path));
        let Some(path) = first else { return OnPath::Missing };
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if whole(&path) == whole(this) {
            return OnPath::This(path);
        }
        let is_python = is_python(&path);
        OnPath::Other { path, is_python }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
}

/// Whether the first line of a file names Python.
fn is_python(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = os::text::open_ordinary(path).and_then(|file| file.take(FIRST_LINE).read_to_end(&mut first));
    let line = String::from_utf8_lossy(first.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    read.is_ok() && line.starts_with("#!") && line.contains("python")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn first_program_of_the_name_is_found() {
        let root = std::env::temp_dir().join(format!("ct-on-path-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let put = |folder: &str, content: &str, mode: u32| {
            let path = root.join(folder).join(NAME);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        put("data", "no program", 0o644);
        let python = put("venv", "#!/venv/bin/python3\nimport carbontracker\n", 0o755);
        let (other, this) = (put("other", "#!/bin/sh\n# python\n", 0o755), put("own", "ELF", 0o755));
        let find = |folders: &[&str]| {
            let folders = std::env::join_paths(folders.iter().map(|folder| root.join(folder))).unwrap();
            OnPath::find(&folders, &this)
        };
        assert_eq!(find(&["none", "data"]), OnPath::Missing);
        assert_eq!(find(&["data", "own", "venv"]), OnPath::This(this.clone()));
        assert_eq!(find(&["venv", "own"]), OnPath::Other { path: python, is_python: true });
        assert_eq!(find(&["other", "own"]), OnPath::Other { path: other, is_python: false });
        std::fs::remove_dir_all(&root).unwrap();
    }
}
