//! Whether the clients of a file system share locks on files, from the table of mounts. Pure.

use std::path::{Path, PathBuf};

/// Whether all clients of the file system share a lock on a file at this path. The path is absolute and has no links.
/// `mounts` is the text of /proc/self/mountinfo.
pub fn locks_are_shared(mounts: &str, path: &Path) -> bool {
    let mounts = mounts.lines().filter_map(Mount::parse).filter(|mount| path.starts_with(&mount.point));
    // If several are mounted at one point, the last hides the others.
    let mount = mounts.max_by_key(|mount| mount.point.components().count());
    mount.is_some_and(|mount| mount.shares_locks())
}

/// A mounted file system.
struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
    options: Vec<&'a str>,
}

/// File systems of one machine, and file systems whose clients share record locks under all mount options.
const LOCK_SHARING_FILE_SYSTEMS: [&str; 19] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat",
    "tmpfs", "ramfs", "rootfs", "overlay", "gpfs", "ceph",
];

impl<'a> Mount<'a> {
    /// Reads a line: ID PARENT DEVICE ROOT POINT OPTIONS [FIELD …] - TYPE SOURCE OPTIONS
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, what) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (point, options) = (mount.next()?, mount.next()?);
        let mut what = what.split(' ');
        let (kind, of_system) = (what.next()?, what.nth(1).unwrap_or_default());
        let options = options.split(',').chain(of_system.split(',')).collect();
        Some(Mount { point: unescaped(point).into(), kind, options })
    }

    fn shares_locks(&self) -> bool {
        let has = |option: &str| self.options.contains(&option);
        match self.kind {
            "nfs" | "nfs4" => !["nolock", "local_lock=posix", "local_lock=all"].into_iter().any(has),
            "lustre" => has("flock") && !has("localflock"),
            kind => LOCK_SHARING_FILE_SYSTEMS.contains(&kind),
        }
    }
}

/// Decodes a path. mountinfo writes a blank, a tab, a line feed and a backslash as \ and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, meant)| text.replace(code, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_shared_by_file_system_and_options() {
        let shares = |kind: &str, options: &str| {
            let mounts = format!(
                "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n30 22 0:40 / /scratch rw,noatime - {kind} server:/x {options}\n"
            );
            locks_are_shared(&mounts, Path::new("/scratch/logs"))
        };
        for (kind, options, expected) in [
            ("xfs", "rw", true),
            ("tmpfs", "rw,size=64k", true),
            ("gpfs", "rw", true),
            ("ceph", "rw", true),
            ("nfs4", "rw,vers=4.2,local_lock=none", true),
            ("nfs", "rw,vers=3,local_lock=none", true),
            ("nfs", "rw,vers=3,nolock,local_lock=all", false),
            ("nfs", "rw,vers=3,local_lock=posix", false),
            ("nfs", "rw,vers=3,local_lock=flock", true),
            ("lustre", "rw,flock,lazystatfs", true),
            ("lustre", "rw,localflock", false),
            ("lustre", "rw,noflock", false),
            ("lustre", "rw", false),
            ("beegfs", "rw", false),
            ("fuse.sshfs", "rw", false),
            ("9p", "rw", false),
            ("virtiofs", "rw", false),
            ("something", "rw", false),
        ] {
            assert_eq!(shares(kind, options), expected, "{kind} {options}");
        }
    }

    #[test]
    fn path_belongs_to_the_deepest_mount() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            23 22 0:40 / /a\\040b rw master:1 - beegfs none rw\n\
            24 23 0:41 / /a\\040b/c rw - tmpfs none rw\n\
            25 22 0:42 / /d rw - tmpfs none rw\n\
            26 22 0:43 / /d rw - fuse none rw\n\
            torn";
        for (path, expected) in
            [("/x", true), ("/a b", false), ("/a b/logs", false), ("/a b/c/x", true), ("/a bc", true), ("/d/x", false)]
        {
            assert_eq!(locks_are_shared(mounts, Path::new(path)), expected, "{path}");
        }
        assert!(!locks_are_shared("", Path::new("/x")));
    }
}
