//! A file replaced at once: who reads it sees the old one or the new one, also after a power cut. Links are not followed to
//! where another user wants us to write.

use crate::os::{self, text};
use std::cell::OnceCell;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A user's own file that others read, such as node_exporter, has this mode under any umask.
const READABLE: u32 = 0o644;
/// Links followed one after the other.
const MOST_LINKS: usize = 8;
const ROOT: u32 = 0;

/// Replaces a file under a name of the library's own making: no link is followed, and what another user has put there
/// stays.
pub fn replace_own(path: &Path, content: impl AsRef<[u8]>, sync: Sync) -> io::Result<()> {
    is_own(path)?;
    put_in_place(path, content.as_ref(), sync, |_| Ok(()))
}

/// When a file is to be on the disk.
#[derive(Clone, Copy, PartialEq)]
pub enum Sync {
    /// Before its name is another's.
    Now,
    /// Whenever the system writes it: it is renewed soon.
    Later,
}

/// Who may read a file that was not there yet.
#[derive(Clone, Copy, PartialEq)]
pub enum NewFile {
    /// As the user's umask has it.
    ByUmask,
    /// All.
    Readable,
}

/// Replaces a file that the user named: through links of this user or root, with the mode and owner of the file that is
/// there.
pub fn replace_named(path: &Path, content: impl AsRef<[u8]>, new: NewFile, sync: Sync) -> io::Result<()> {
    let path = followed(path)?;
    let there = std::fs::symlink_metadata(&path).ok();
    there.as_ref().map_or(Ok(()), is_regular)?;
    put_in_place(&path, content.as_ref(), sync, |file| {
        let Some(there) = &there else {
            let readable = || file.set_permissions(Permissions::from_mode(READABLE));
            return if new == NewFile::Readable { readable() } else { Ok(()) };
        };
        let is_same = file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (there.uid(), there.gid()));
        if !is_same && fchown(file, Some(there.uid()), Some(there.gid())).is_err() && there.uid() != os::user() {
            return Err(foreign(there));
        }
        file.set_permissions(Permissions::from_mode(there.mode() & 0o7777))
    })
}

/// Replaces a report's file that the user named; an error says what helps.
pub fn put(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    replace_named(path, content, NewFile::ByUmask, Sync::Now).map_err(|error| in_words(path, &error))
}

/// Has the system put a folder's names on the disk.
pub fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Whether what stands at a path, if anything, is a regular file or a link of this user.
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

/// Who this user is in a folder. Some file systems show all files, or root's, as another user's: there a file that is made
/// just now shows it, once.
pub struct FileOwner<'a> {
    folder: &'a Path,
    made: OnceCell<Option<u32>>,
}

impl FileOwner<'_> {
    /// In this folder.
    pub fn of(folder: &Path) -> FileOwner<'_> {
        FileOwner { folder, made: OnceCell::new() }
    }

    /// Whether a file of this owner there is this user's.
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

/// A pipe would be waited for, and a device has no end.
pub fn is_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidInput, text::NO_FILE)) }
}

fn foreign(metadata: &Metadata) -> io::Error {
    let what = if metadata.is_symlink() { "a link" } else { "a file" };
    let owner = os::user_name(metadata.uid());
    io::Error::new(ErrorKind::AlreadyExists, format!("{what} of {owner} is in its place"))
}

/// Where a path that the user named leads, through links of this user or root.
pub fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(link) = std::fs::symlink_metadata(&path) else { return Ok(path) };
        if !link.is_symlink() {
            return Ok(path);
        }
        if ![os::user(), ROOT].contains(&link.uid()) {
            return Err(foreign(&link));
        }
        let target = std::fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(ErrorKind::InvalidInput.into())
}

/// Writes under another name, and renames once it is on the disk.
fn put_in_place(
    path: &Path,
    content: &[u8],
    sync: Sync,
    dress: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
    // node_exporter reads *.prom, and aggregate *.json: this ends otherwise. Others may replace the same file.
    let new = path.with_file_name(format!(".{name}.{:016x}.new", os::random_u64()));
    let mut file = OpenOptions::new().write(true).create_new(true).custom_flags(os::NO_FOLLOW).open(&new)?;
    let written = file
        .write_all(content)
        .and_then(|()| dress(&file))
        .and_then(|()| if sync == Sync::Now { synced(&file) } else { Ok(()) });
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| drop(std::fs::remove_file(&new)))
}

/// Some file systems have nothing to sync, and say so.
fn synced(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if [ErrorKind::InvalidInput, ErrorKind::Unsupported].contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// Why a file was not written whose path leads elsewhere by now.
pub fn other_root(path: &Path) -> String {
    format!(
        "{}: the application has changed its root folder (chroot) since. Create the tracker after that, with paths inside",
        path.display()
    )
}

/// Why a file was not written, and what helps.
pub fn in_words(path: &Path, error: &io::Error) -> String {
    let is_out_of_descriptors = error.raw_os_error().is_some_and(os::is_out_of_descriptors);
    let cure = match error.kind() {
        _ if is_out_of_descriptors => "Raise the limit on open files (ulimit -n)",
        ErrorKind::StorageFull => "Make room on that disk",
        ErrorKind::QuotaExceeded => "Make room within your quota there",
        ErrorKind::FileTooLarge => "Raise the limit on a file's size (ulimit -f)",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "See that this user may write there, or choose another folder"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "See that its folder is there, or choose another",
        ErrorKind::AlreadyExists => "Remove it, or choose another name or folder",
        _ => "See that it can be written, or choose another folder",
    };
    format!("{}: {error}. {cure}", path.display())
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
    fn a_name_of_our_own_is_never_followed() {
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
    fn a_file_or_link_of_another_user_stays() {
        if os::user() != ROOT {
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
    fn a_name_of_the_users_is_followed_and_keeps_its_mode() {
        let scratch = Scratch::new("named");
        let (path, link) = (scratch.file("a", "one"), scratch.0.join("link"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("a", &link).unwrap();
        replace_named(&link, "two", NewFile::Readable, Sync::Later).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((link.is_symlink(), read(&path), mode(&path)), (true, "two".into(), 0o640));
        let new = scratch.0.join("new");
        replace_named(&new, "x", NewFile::Readable, Sync::Later).unwrap();
        assert_eq!(mode(&new), READABLE);
        symlink("loop", scratch.0.join("loop")).unwrap();
        assert!(replace_named(&scratch.0.join("loop"), "x", NewFile::Readable, Sync::Later).is_err());
        assert_eq!(
            replace_named(Path::new("/dev/null"), "x", NewFile::Readable, Sync::Later).err().map(|error| error.kind()),
            Some(ErrorKind::InvalidInput)
        );
    }
}
