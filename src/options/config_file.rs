//! Configuration files: options for all users of a machine, of one user, and of the folder in which a program starts.
//!
//! A file has lines `key=value` and comments, which begin with `#`. It is untrusted: a line with an unknown key or an
//! invalid value, or a file that another user wrote, is left out, with a message that names it.

use super::environment::nearest;
use super::{key, keys};
use crate::os::{self, text};
use crate::sanitize;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file for all users.
const OF_MACHINE: &str = "/etc/carbontracker.conf";
/// The name of the other files.
const NAME: &str = "carbontracker.conf";
/// The most bytes of a file.
const MAX_BYTES: u64 = 64 << 10;
/// The most messages about the lines of one file.
const MAX_MESSAGES: usize = 8;
const ROOT_UID: u32 = 0;
const WRITABLE_BY_ALL: u32 = 0o002;
/// Options that the file of a folder cannot set. Who copies a folder from elsewhere must not load its libraries, send
/// keys to its addresses or replace files at its paths.
const NOT_OF_FOLDER: [&str; 8] =
    ["nvml", "sysroot", "intensity_url", "api_key", "marginal_key", "prometheus", "resume", "log"];

/// The programs that a file applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigScope {
    /// All users of the machine.
    Machine,
    /// One user.
    User,
    /// Programs that start in one folder.
    Folder,
}

/// One line of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConfigLine {
    pub key: String,
    pub value: String,
    /// The file and the number of the line.
    pub place: String,
}

/// The configuration files of a process, and what they set.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// The files that were read, those that win last.
    pub read: Vec<PathBuf>,
    /// Files and lines that are left out, each with the reason.
    pub messages: Vec<String>,
    pub(super) lines: Vec<ConfigLine>,
}

impl ConfigFiles {
    /// The paths at which files are looked for, those that win last. `folder`: the working folder; None: it is unknown.
    pub fn paths(
        environment: impl Fn(&str) -> Option<OsString>,
        folder: Option<PathBuf>,
    ) -> Vec<(ConfigScope, PathBuf)> {
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let of_user = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        // The user of a program with more rights must not choose its options.
        let folder = folder.filter(|_| !os::is_privileged());
        let found = [
            Some((ConfigScope::Machine, PathBuf::from(OF_MACHINE))),
            of_user.map(|folder| (ConfigScope::User, folder.join("carbontracker").join(NAME))),
            folder.map(|folder| (ConfigScope::Folder, folder.join(NAME))),
        ];
        found.into_iter().flatten().collect()
    }

    /// No files, because they could not be read in time.
    pub fn unread() -> ConfigFiles {
        let message = "the configuration files could not be read in time, so their options have no effect; check the file systems of /etc, the home folder and the working folder";
        ConfigFiles { messages: vec![message.into()], ..ConfigFiles::default() }
    }

    /// Reads the files at these paths. A missing file is no fault.
    pub fn read(paths: &[(ConfigScope, PathBuf)]) -> ConfigFiles {
        let mut files = ConfigFiles::default();
        for (scope, path) in paths {
            match read(*scope, path) {
                Ok(text) => {
                    files.take(*scope, path, &text);
                    files.read.push(path.clone());
                }
                Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => (),
                Err(error) => files
                    .messages
                    .push(sanitize::text(format!("{}: {error}; this configuration file is left out", path.display()))),
            }
        }
        files
    }

    /// Adds the lines of a file, the last one of each option.
    fn take(&mut self, scope: ConfigScope, path: &Path, text: &str) {
        let (mut lines, mut wrong): (Vec<ConfigLine>, Vec<String>) = Default::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{}:{}", path.display(), number + 1);
            match pair(scope, line) {
                Ok((key, value)) => {
                    lines.retain(|line| line.key != key);
                    lines.push(ConfigLine { key, value, place });
                }
                Err(why) => wrong.push(left_out(&place, &why)),
            }
        }
        self.lines.extend(lines);
        let more = wrong.len().saturating_sub(MAX_MESSAGES);
        self.messages.extend(wrong.into_iter().take(MAX_MESSAGES));
        if more > 0 {
            self.messages
                .push(format!("{}: {more} more lines are left out", sanitize::text(path.display().to_string())));
        }
    }
}

/// The message about a line without effect.
pub(super) fn left_out(place: &str, why: &str) -> String {
    sanitize::text(format!("{place}: {why}; this line is left out"))
}

/// Splits a line into an option and its value.
fn pair(scope: ConfigScope, line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once('=').ok_or("expected key=value, or a comment that begins with #")?;
    let (name, value) = (name.trim(), unquoted(value.trim()));
    if !keys().any(|key| key == name) {
        let advice = match nearest(name, keys()) {
            Some(key) => format!("did you mean {key}?"),
            None => "see 'carbontracker help options'".into(),
        };
        return Err(format!("unknown option '{}': {advice}", key::shown(name, "")));
    }
    if scope == ConfigScope::Folder && NOT_OF_FOLDER.contains(&name) {
        return Err(format!(
            "{name} cannot be set by the file of a folder, which may come from elsewhere; set it in the user's file, by \
             the variable or by the option string"
        ));
    }
    if value.is_empty() {
        return Err(format!("{name} has no value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    within('\'').or_else(|| within('"')).unwrap_or(value)
}

/// The text of a file. A file of another user, or one that all users may write, is refused, unless it holds for the
/// whole machine.
fn read(scope: ConfigScope, path: &Path) -> io::Result<String> {
    let file = text::open_ordinary(path)?;
    if scope != ConfigScope::Machine {
        check_owner(&file)?;
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, text::TOO_LARGE));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not valid UTF-8"))
}

fn check_owner(file: &File) -> io::Result<()> {
    let there = file.metadata()?;
    if ![os::user(), ROOT_UID].contains(&there.uid()) {
        let owner = os::user_name(there.uid());
        return Err(io::Error::other(format!("it belongs to {owner}, not to {}", os::user_name(os::user()))));
    }
    if there.mode() & WRITABLE_BY_ALL != 0 {
        return Err(io::Error::other("all users may write it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use proptest::prelude::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with a file of each scope.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str, texts: [&str; 3]) -> Files {
            let dir = std::env::temp_dir().join(format!("ct-config-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).unwrap();
            let files = Files(dir);
            for ((_, path), text) in files.paths().iter().zip(texts).filter(|(_, text)| !text.is_empty()) {
                std::fs::write(path, text).unwrap();
                std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
            }
            files
        }

        fn paths(&self) -> Vec<(ConfigScope, PathBuf)> {
            [(ConfigScope::Machine, "machine"), (ConfigScope::User, "user"), (ConfigScope::Folder, "folder")]
                .map(|(scope, name)| (scope, self.0.join(name)))
                .into()
        }

        fn read(&self) -> ConfigFiles {
            ConfigFiles::read(&self.paths())
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn later_files_win_and_the_environment_wins_over_them() {
        let files = Files::new(
            "order",
            [
                "# all of us\npue=1.1\n location = DK \nname='two words'\nlevel=0.8",
                "pue=1.2\nlocation=SE\n",
                "pue=1.3\nepochs=7",
            ],
        );
        let read = files.read();
        assert_eq!((read.read.len(), &read.messages), (3, &Vec::new()));
        let of = |text: &str, variable: &str, value: &str| {
            let environment = |name: &str| (name == variable).then(|| OsString::from(value));
            let options = Options::parse_over(&read, text, environment).unwrap();
            assert!(options.config.messages.is_empty(), "{:?}", options.config.messages);
            (options.carbon.pue, options.carbon.location, options.epochs, options.alerts.level, options.files.name)
        };
        let name = Some("two words".to_owned());
        assert_eq!(of("", "", ""), (1.3, Some("SE".into()), 7, 0.8, name.clone()));
        assert_eq!(of("", "CARBONTRACKER_PUE", "1.4"), (1.4, Some("SE".into()), 7, 0.8, name.clone()));
        assert_eq!(of("pue=1.5 name=x", "CARBONTRACKER_PUE", "1.4").0, 1.5);
        // A variable that is there and empty: the option is not set, whatever the files have.
        assert_eq!(of("", "CARBONTRACKER_EPOCHS", "").2, 0);
    }

    #[test]
    fn bad_line_is_left_out_and_named() {
        let text = "locaton=DK\npue=half\njust words\napi_key two=words\nepochs=\nwhat_if=Atlantis\nlevel=0.7\n";
        let files = Files::new("lines", ["", text, ""]);
        let options = Options::parse_over(&files.read(), "", |_| None).unwrap();
        assert_eq!((options.alerts.level, options.carbon.pue, options.epochs), (0.7, 1.0, 0));
        let user = files.paths()[1].1.display().to_string();
        let all = options.config.messages.join("\n");
        for (line, why) in [
            (1, "did you mean location?"),
            (2, "expected"),
            (3, "key=value"),
            (4, "unknown option"),
            (5, "no value"),
            (6, "Atlantis"),
        ] {
            let message = options.config.messages.iter().find(|one| one.starts_with(&format!("{user}:{line}: ")));
            assert!(message.is_some_and(|one| one.contains(why) && one.ends_with("left out")), "{line}: {all}");
        }
        assert!(options.config.messages.len() == 6 && !all.contains("words\n"), "{all}");
        let many = Files::new("many", [&"nonsense\n".repeat(100), "", ""]);
        assert_eq!(many.read().messages.len(), MAX_MESSAGES + 1);
    }

    #[test]
    fn error_of_a_later_check_names_the_line() {
        let files = Files::new("late", ["", "\nlocation=Atlantis\n", ""]);
        let options = Options::parse_over(&files.read(), "", |_| None).unwrap();
        let choice = options.choice_as_set(crate::carbon::select::choose(&options.carbon, |_| None));
        let message = choice.err().unwrap().message;
        assert!(message.starts_with(&format!("{}:2: location='Atlantis'", files.paths()[1].1.display())), "{message}");
    }

    #[test]
    fn files_of_others_and_odd_files_are_left_out_and_named() {
        let files = Files::new("owner", ["", "pue=1.2", "pue=1.3"]);
        let [_, (_, user), (_, folder)] = <[(ConfigScope, PathBuf); 3]>::try_from(files.paths()).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o666)).unwrap();
        let read = files.read();
        assert_eq!(read.read, [user.as_path()]);
        assert!(read.messages.len() == 1 && read.messages[0].contains("all users may write it"), "{:?}", read.messages);
        std::fs::set_permissions(&folder, Permissions::from_mode(0o644)).unwrap();
        if os::user() == ROOT_UID {
            std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
            let read = files.read();
            assert!(read.read == [user.as_path()] && read.messages[0].contains("belongs to"), "{:?}", read.messages);
        }
        for content in [vec![b'#'; MAX_BYTES as usize + 1], vec![0xff, 0xfe]] {
            std::fs::write(&user, content).unwrap();
            assert!(files.read().messages.iter().any(|one| one.starts_with(&user.display().to_string())));
        }
        std::fs::remove_file(&user).unwrap();
        std::fs::create_dir(&user).unwrap();
        assert!(files.read().messages.iter().any(|one| one.contains(text::NO_FILE)));
    }

    #[test]
    fn file_of_a_folder_loads_no_library_and_sends_no_key() {
        let text: String = NOT_OF_FOLDER.iter().map(|key| format!("{key}=/tmp/x\n")).collect();
        let read = Files::new("risky", ["", "", &text]).read();
        assert_eq!((read.lines.len(), read.messages.len()), (0, NOT_OF_FOLDER.len()));
        assert!(NOT_OF_FOLDER.iter().all(|key| keys().any(|known| known == *key)));
        assert_eq!(Files::new("trusted", ["", &text, ""]).read().lines.len(), NOT_OF_FOLDER.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_text_is_read_and_long_messages_are_few(
            text in "(([a-z_]{0,9}|epochs|pue|api_key|what_if) ?= ?.{0,9}\n|.{0,20}\n){0,30}",
        ) {
            for scope in [ConfigScope::Machine, ConfigScope::User, ConfigScope::Folder] {
                let mut files = ConfigFiles::default();
                files.take(scope, Path::new("/x.conf"), &text);
                prop_assert!(files.messages.len() <= MAX_MESSAGES + 1);
                let read = Options::parse_over(&files, "", |_| None);
                prop_assert!(read.is_ok(), "{:?}", read.err().map(|error| error.message));
                prop_assert!(read.unwrap().config.messages.iter().all(|message| sanitize::is_clean(message)));
            }
        }
    }

    #[test]
    fn paths_follow_the_environment() {
        let of = |config: &str, home: &str| {
            let value = |name: &str| match name {
                "XDG_CONFIG_HOME" => Some(OsString::from(config)),
                "HOME" => Some(OsString::from(home)),
                _ => None,
            };
            let paths = ConfigFiles::paths(value, Some("/work".into()));
            paths.into_iter().map(|(_, path)| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let ends = ["/etc/carbontracker.conf", "/work/carbontracker.conf"];
        assert_eq!(of("/c", "/h"), format!("{} /c/carbontracker/carbontracker.conf {}", ends[0], ends[1]));
        assert_eq!(of("c", "/h"), format!("{} /h/.config/carbontracker/carbontracker.conf {}", ends[0], ends[1]));
        assert_eq!(of("", ""), ends.join(" "));
    }
}
