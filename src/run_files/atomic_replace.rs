//! Replaces a whole file. A reader sees the old content or the new content, also after a power cut. Links of another
//! user are not followed.

use crate::os::{self, disk, text};
use std::cell::OnceCell;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Mode of a new file that another user's program reads, such as node_exporter. It holds under any umask.
const WORLD_READABLE_MODE: u32 = 0o644;
/// Longest chain of symbolic links that is followed.
const MAX_LINKS: usize = 8;
const ROOT_UID: u32 = 0;

/// Replaces a file whose name the library made. No link is followed. Fails if the file belongs to another user.
pub fn replace_own(path: &Path, content: impl AsRef<[u8]>, sync: Sync) -> io::Result<()> {
    is_own(path)?;
    put_in_place(path, content.as_ref(), sync, |_| Ok(()))
}

/// When the content must be on the disk.
#[derive(Clone, Copy, PartialEq)]
pub enum Sync {
    /// Before the file gets its final name.
    Now,
    /// Whenever the system writes it, because the file is renewed soon.
    Later,
}

/// The mode of a file that did not exist before.
#[derive(Clone, Copy, PartialEq)]
pub enum NewFile {
    /// By the user's umask.
    ByUmask,
    /// Readable by all users.
    Readable,
}

/// Replaces a file that the user named. Links of this user or root are followed. The mode and owner of an existing file
/// are kept.
pub fn replace_named(path: &Path, content: impl AsRef<[u8]>, new: NewFile, sync: Sync) -> io::Result<()> {
    let path = followed(path)?;
    let there = std::fs::symlink_metadata(&path).ok();
    there.as_ref().map_or(Ok(()), is_regular)?;
    put_in_place(&path, content.as_ref(), sync, |file| {
        let Some(there) = &there else {
            return match new {
                NewFile::ByUmask => Ok(()),
                NewFile::Readable => file.set_permissions(Permissions::from_mode(WORLD_READABLE_MODE)),
            };
        };
        let is_same = file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (there.uid(), there.gid()));
        if !is_same && fchown(file, Some(there.uid()), Some(there.gid())).is_err() && there.uid() != os::user() {
            return Err(foreign(there));
        }
        file.set_permissions(Permissions::from_mode(there.mode() & 0o7777))
    })
}

/// Replaces a report's file that the user named. The error is a message with a fix.
pub fn put(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    replace_named(path, content, NewFile::ByUmask, Sync::Now).map_err(|error| in_words(path, &error))
}

/// Writes a folder's entries to the disk. A failure is ignored.
pub fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Checks that a path is free, or is a regular file or link of this user.
pub fn is_own(path: &Path) -> io::Result<()> {
    let there = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !FileOwner::of(path.parent().unwrap_or(Path::new("/"))).is(there.uid()) {
        return Err(foreign(&there));
    }
    if there.is_symlink() { Ok(()) } else { is_regular(&there) }
}

/// The owner that this user's files have in a folder. Some file systems show all files, or root's, under another owner.
/// Then a probe file, made once, shows the owner.
pub struct FileOwner<'a> {
    folder: &'a Path,
    made: OnceCell<Option<u32>>,
}

impl FileOwner<'_> {
    /// For this folder.
    pub fn of(folder: &Path) -> FileOwner<'_> {
        FileOwner { folder, made: OnceCell::new() }
    }

    /// Whether a file of this owner in the folder belongs to this user.
    pub fn is(&self, owner: u32) -> bool {
        owner == os::user() || *self.made.get_or_init(|| made_in(self.folder).ok()) == Some(owner)
    }
}

fn made_in(folder: &Path) -> io::Result<u32> {
    let probe = folder.join(format!(".carbontracker.{:016x}.new", os::random_u64()));
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(os::NO_FOLLOW).open(&probe)?;
    let owner = file.metadata().map(|made| made.uid());
    std::fs::remove_file(&probe)?;
    owner
}

/// Checks that this is a regular file. A pipe could block forever, and a device has no end.
pub fn is_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidInput, text::NO_FILE)) }
}

fn foreign(metadata: &Metadata) -> io::Error {
    let what = if metadata.is_symlink() { "a link" } else { "a file" };
    let owner = os::user_name(metadata.uid());
    io::Error::new(ErrorKind::AlreadyExists, format!("{what} of {owner} is in its place"))
}

/// The target of a path that the user named, through links of this user or root.
pub fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = std::fs::symlink_metadata(&path) else { return Ok(path) };
        if !link.is_symlink() {
            return Ok(path);
        }
        if ![os::user(), ROOT_UID].contains(&link.uid()) {
            return Err(foreign(&link));
        }
        let target = std::fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(ErrorKind::InvalidInput.into())
}

/// Writes a file under a temporary name, prepares it with `dress`, and renames it.
fn put_in_place(
    path: &Path,
    content: &[u8],
    sync: Sync,
    dress: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
    // node_exporter reads *.prom, and `aggregate` reads *.json, so this name ends in neither. It is random, as other
    // processes may replace the same file.
    let new = path.with_file_name(format!(".{name}.{:016x}.new", os::random_u64()));
    disk::open(path)?;
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(os::NO_FOLLOW).open(&new)?;
    let write = |mut file: File| {
        disk::write_all(&mut file, &new, content)?;
        dress(&file)?;
        if sync == Sync::Now { synced(&file, &new) } else { Ok(()) }
    };
    let written = os::above_streams(file).and_then(write);
    written.and_then(|()| disk::rename(&new, path)).inspect_err(|_| drop(std::fs::remove_file(&new)))
}

/// Syncs a file. Some file systems have no sync and report that, which is no error here.
fn synced(file: &File, path: &Path) -> io::Result<()> {
    match disk::sync(file, path) {
        Err(error) if [ErrorKind::InvalidInput, ErrorKind::Unsupported].contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// The message for a file whose path leads elsewhere since a chroot.
pub fn other_root(path: &Path) -> String {
    format!(
        "{}: the application has changed its root folder (chroot). Create the tracker after that, with paths inside it",
        path.display()
    )
}

/// The message for a file that was not written: the path, the error and the fix.
pub fn in_words(path: &Path, error: &io::Error) -> String {
    let is_out_of_descriptors = error.raw_os_error().is_some_and(os::is_out_of_descriptors);
    let fix = match error.kind() {
        _ if is_out_of_descriptors => "Raise the limit on open files (ulimit -n)",
        ErrorKind::StorageFull => "Make room on that disk",
        ErrorKind::QuotaExceeded => "Make room within your quota there",
        ErrorKind::FileTooLarge => "Raise the limit on a file's size (ulimit -f)",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "Give this user the right to write there, or choose another folder"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "Create its folder, or choose another",
        ErrorKind::AlreadyExists => "Remove it, or choose another name or folder",
        _ => "Make it writable, or choose another folder",
    };
    format!("{}: {error}. {fix}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let folder = std::env::temp_dir().join(format!("carbontracker-replace-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            Scratch(folder)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn replace_own_follows_no_link() {
        let scratch = Scratch::new("own");
        let (path, precious) = (scratch.file("a", "one"), scratch.file("precious", "mine"));
        replace_own(&path, "two", Sync::Now).unwrap();
        assert_eq!(read(&path), "two");
        std::fs::remove_file(&path).unwrap();
        symlink(&precious, &path).unwrap();
        replace_own(&path, "three", Sync::Now).unwrap();
        assert_eq!((read(&path), read(&precious), path.is_symlink()), ("three".into(), "mine".into(), false));
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 2, "nothing is left over");
        assert!(replace_own(&scratch.0.join("no/such"), "x", Sync::Now).is_err());
    }

    #[test]
    fn replace_leaves_files_and_links_of_another_user() {
        if os::user() != ROOT_UID {
            return println!("skipped: only root can make another user's file");
        }
        let scratch = Scratch::new("foreign");
        let (path, precious) = (scratch.file("a", "theirs"), scratch.file("precious", "mine"));
        let other = Some(12345);
        std::os::unix::fs::chown(&path, other, None).unwrap();
        let error = replace_own(&path, "x", Sync::Now).unwrap_err();
        assert!(in_words(&path, &error).contains("a file of user 12345 is in its place. Remove it"), "{error}");
        let link = scratch.0.join("link");
        symlink(&precious, &link).unwrap();
        std::os::unix::fs::lchown(&link, other, None).unwrap();
        assert!(
            replace_own(&link, "x", Sync::Now).is_err()
                && replace_named(&link, "x", NewFile::Readable, Sync::Later).is_err()
        );
        assert_eq!((read(&path), read(&precious)), ("theirs".into(), "mine".into()));
        replace_named(&path, "x", NewFile::Readable, Sync::Later).unwrap();
        assert_eq!((read(&path), std::fs::metadata(&path).unwrap().uid()), ("x".into(), 12345), "root keeps the owner");
    }

    #[test]
    fn replace_named_follows_links_and_keeps_the_mode() {
        let scratch = Scratch::new("named");
        let (path, link) = (scratch.file("a", "one"), scratch.0.join("link"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("a", &link).unwrap();
        replace_named(&link, "two", NewFile::Readable, Sync::Later).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((link.is_symlink(), read(&path), mode(&path)), (true, "two".into(), 0o640));
        let new = scratch.0.join("new");
        replace_named(&new, "x", NewFile::Readable, Sync::Later).unwrap();
        assert_eq!(mode(&new), WORLD_READABLE_MODE);
        symlink("loop", scratch.0.join("loop")).unwrap();
        assert!(replace_named(&scratch.0.join("loop"), "x", NewFile::Readable, Sync::Later).is_err());
        assert_eq!(
            replace_named(Path::new("/dev/null"), "x", NewFile::Readable, Sync::Later).err().map(|error| error.kind()),
            Some(ErrorKind::InvalidInput)
        );
    }
}
