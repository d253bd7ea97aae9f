//! An application that follows orders (tests/applications/programs/application.c), for tests of misuse, and the files
//! of its runs.
#![allow(dead_code)] // each test program uses a part

use crate::install_tree::{checkout, command, outcome, pkg_config, prefix, run, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

pub const SIM: &str = "sim_cpu=A:100 job=off";
/// Whether the kernel refuses a separate descriptor table for a thread.
pub const EITHER_WAY: [bool; 2] = [false, true];
/// The variable that makes the kernel refuse it: see tests/applications/programs/refuse.h.
pub const REFUSE: &str = "CT_REFUSE";

/// Runs a test with every case, and reports all cases that failed.
pub fn each<T: Debug>(cases: impl IntoIterator<Item = T>, test: impl Fn(T)) {
    let attempt = |case: T| {
        let shown = format!("{case:?}");
        catch_unwind(AssertUnwindSafe(|| test(case))).err().map(|_| shown)
    };
    let failed: Vec<String> = cases.into_iter().filter_map(attempt).collect();
    assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed.join(", "));
}

/// All pairs.
pub fn by<A: Copy, B: Copy>(these: &[A], those: &[B]) -> Vec<(A, B)> {
    these.iter().flat_map(|&one| those.iter().map(move |&other| (one, other))).collect()
}

/// Builds a program of tests/applications/programs, once in a test program.
pub fn built(name: &str) -> PathBuf {
    built_as(name, &[])
}

/// Builds a shared library of tests/applications/programs, once in a test program.
pub fn built_plugin(name: &str) -> PathBuf {
    built_as(name, &["-shared", "-fPIC"])
}

fn built_as(name: &str, flags: &[&str]) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let build = || {
        let program = scratch(&format!("built-{name}")).join(name);
        let mut cc = command("cc");
        cc.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"])
            .args(flags)
            .arg("-I")
            .arg(checkout("tests/bindings/c"));
        cc.arg(checkout(&format!("tests/applications/programs/{name}.c"))).args(pkg_config(&["--cflags", "--libs"]));
        run(cc.args(["-ldl", "-o"]).arg(&program));
        program
    };
    built.entry(name.to_owned()).or_insert_with(build).clone()
}

/// A folder that an application works in.
pub struct Lab {
    pub dir: PathBuf,
    /// The folder of the library that it loads.
    lib: PathBuf,
    program: PathBuf,
    is_temporary: bool,
}

impl Lab {
    #[track_caller]
    pub fn new(name: &str) -> Lab {
        born();
        Lab { dir: scratch(name), lib: prefix().join("lib"), program: built("application"), is_temporary: false }
    }

    /// A folder that every user may read and write, with the application and the library in it.
    #[track_caller]
    pub fn for_all_users(name: &str) -> Lab {
        let caller = Path::new(std::panic::Location::caller().file()).file_stem().expect("a name").to_string_lossy();
        let dir = env::temp_dir().join(format!("ct-{caller}-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let lab = Lab { lib: dir.join("lib"), program: dir.join("lib/application"), dir, is_temporary: true };
        lab.folder("lib", 0o755);
        open_to(&lab.dir, 0o1777);
        fs::copy(prefix().join("lib/libcarbontracker.so.0"), lab.lib.join("libcarbontracker.so.0"))
            .expect("the library");
        fs::copy(built("application"), &lab.program).expect("the application");
        lab
    }

    /// Makes a folder in it, with this mode.
    pub fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).expect("a folder");
        open_to(&path, mode);
        path
    }

    /// Makes a file in it, with this mode.
    pub fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        open_to(&path, mode);
        path
    }

    /// The command of an application with these orders.
    pub fn application(&self, orders: &[&str]) -> Command {
        self.application_under(&[], orders)
    }

    /// The command of an application that another program starts.
    pub fn application_under(&self, starter: &[&str], orders: &[&str]) -> Command {
        let mut words: Vec<PathBuf> = starter.iter().map(PathBuf::from).collect();
        words.push(self.program.clone());
        let mut application = command(&words[0]);
        application.args(&words[1..]).args(orders).current_dir(&self.dir).env("LD_LIBRARY_PATH", &self.lib);
        application.env("CT_OUT", self.dir.join("printed")).env("APPLICATION", &self.program);
        application
    }

    /// The command of an application of another user, by number; needs root.
    pub fn application_of(&self, user: u32, orders: &[&str]) -> Command {
        let [user, group] = ["--reuid", "--regid"].map(|option| format!("{option}={user}"));
        let mut application = self.application_under(&["setpriv", &user, &group, "--clear-groups"], orders);
        application.env_remove("CT_OUT"); // the output goes to standard output
        application
    }

    /// Runs an application with these orders, which must not be harmed.
    pub fn run(&self, orders: &[&str]) -> Printed {
        self.printed(&mut self.application(orders))
    }

    /// Runs an application, which must not be harmed, and may be refused separate descriptor tables.
    pub fn run_either_way(&self, is_refused: bool, orders: &[&str]) -> Printed {
        let mut application = self.application(orders);
        self.printed(if is_refused { application.env(REFUSE, "1") } else { &mut application })
    }

    /// Runs this application, which must not be harmed.
    pub fn printed(&self, application: &mut Command) -> Printed {
        let file = self.dir.join("printed");
        let _ = fs::remove_file(&file);
        let output = run(application);
        let printed = Printed(fs::read_to_string(file).unwrap_or_default() + &output);
        assert!(!printed.0.contains("harmed"), "{application:?}\n{}", printed.0);
        printed
    }

    pub fn logs(&self, name: &str) -> Logs {
        Logs(self.dir.join(name))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Sets a file's mode.
pub fn open_to(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Whether this process runs as root; prints that a test is skipped if not.
pub fn is_root_here() -> bool {
    if !is_root() {
        eprintln!("skipped: only root can be other users");
    }
    is_root()
}

/// The output of an application.
pub struct Printed(pub String);

impl Printed {
    fn after<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(label))
    }

    pub fn messages(&self) -> Vec<&str> {
        self.after("message: ").collect()
    }

    /// The message that contains these words; there must be exactly one.
    pub fn one_message(&self, words: &[&str]) -> &str {
        let about: Vec<&str> =
            self.messages().into_iter().filter(|text| words.iter().all(|word| text.contains(word))).collect();
        assert_eq!(about.len(), 1, "one message about {words:?}:\n{}", self.0);
        about[0]
    }

    pub fn value(&self, pointer: &str) -> f64 {
        let value = self.after(pointer).find_map(|rest| rest.strip_prefix(" = "));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{pointer}: {}", self.0))
    }

    pub fn report(&self) -> Value {
        let report = self.after("report: ").last().unwrap_or_else(|| panic!("no report: {}", self.0));
        serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"))
    }

    /// The number of epochs that the application had ended at its exit.
    pub fn ended(&self) -> u64 {
        self.after("ended ").last().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{}", self.0))
    }
}

/// A folder of logs.
pub struct Logs(pub PathBuf);

impl Logs {
    /// The files with this ending.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
        files.sort();
        files
    }

    /// The only file with this ending.
    pub fn file(&self, ending: &str) -> PathBuf {
        let mut files = self.files(ending);
        assert_eq!(files.len(), 1, "{ending} in {}: {files:?}", self.0.display());
        files.remove(0)
    }

    pub fn journal(&self) -> Journal {
        Journal::read(&self.file(".jsonl"))
    }

    pub fn journals(&self) -> Vec<Journal> {
        self.files(".jsonl").iter().map(|path| Journal::read(path)).collect()
    }

    /// The folder holds one complete run with this many epochs: all its files.
    pub fn check_whole(&self, epochs: u64) {
        let journal = self.journal();
        assert_eq!((journal.epochs(), journal.ends()), (epochs, 1), "{}", journal.shown());
        let report = json(&self.file(".json"));
        assert_eq!(
            (&report["run"]["state"], &report["run"]["epochs_done"]),
            (&"done".into(), &epochs.into()),
            "{report}"
        );
        let metrics = fs::read_to_string(self.file(".prom")).expect("metrics");
        assert!(metrics.contains(&format!("}} {epochs}\n")), "{metrics}");
        for log in ["_carbontracker.log", "_carbontracker_output.log"] {
            let text = fs::read(self.file(log)).expect("a log");
            assert!(!text.is_empty() && !text.contains(&0), "{}", String::from_utf8_lossy(&text));
        }
    }

    /// The numbers of epochs and of runs that `carbontracker aggregate` counts.
    pub fn aggregate(&self) -> (u64, u64) {
        let text = run(command(prefix().join("bin/carbontracker")).args(["aggregate", "--json"]).arg(&self.0));
        let totals = serde_json::from_str::<Value>(&text).expect("JSON")["totals"].take();
        let number = |name: &str| totals[name].as_u64().unwrap_or_else(|| panic!("{name}: {totals}"));
        (number("epochs"), number("runs"))
    }

    /// No file contains these words.
    pub fn check_no_words(&self, words: &str) {
        for path in self.files("") {
            let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
            assert!(!text.contains(words), "{}: {text}", path.display());
        }
    }
}

/// A journal. Each of its lines must be JSON.
pub struct Journal {
    pub path: PathBuf,
    pub lines: Vec<Value>,
}

impl Journal {
    pub fn read(path: &Path) -> Journal {
        let text = String::from_utf8_lossy(&fs::read(path).expect("a journal")).into_owned();
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line:.300}", path.display()))
        };
        Journal { path: path.to_owned(), lines: text.lines().map(parse).collect() }
    }

    /// The number of epochs that have a line. None may have two.
    pub fn epochs(&self) -> u64 {
        let lines = self.lines.iter().filter_map(|line| Some((line["index"].as_u64()?, line["count"].as_u64()?)));
        lines.fold(0, |done, (index, count)| {
            assert!(index >= done, "epoch {index} after {done}: {}", self.shown());
            done + count
        })
    }

    /// The number of "end" lines.
    pub fn ends(&self) -> usize {
        self.lines.iter().filter(|line| !line["end"].is_null()).count()
    }

    /// The run's identifier.
    pub fn id(&self) -> &str {
        self.lines.first().and_then(|line| line["run"]["id"].as_str()).unwrap_or_else(|| panic!("{}", self.shown()))
    }

    pub fn shown(&self) -> String {
        let brief = |line: &Value| line.to_string().chars().take(120).chain(['\n']).collect::<String>();
        format!("{}\n{}", self.path.display(), self.lines.iter().map(brief).collect::<String>())
    }
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file"))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The leftovers of these runs in shared memory: files in /dev/shm named after a run, and System V segments that one of
/// these processes created.
pub fn left_in_memory(ids: &[String], processes: &[u32]) -> Vec<String> {
    let files =
        fs::read_dir("/dev/shm").into_iter().flatten().flatten().map(|entry| entry.path().display().to_string());
    let mut left: Vec<String> = files.filter(|path| ids.iter().any(|id| path.contains(id.as_str()))).collect();
    let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    // A killed process of an earlier test may have had the same number: its segment is older than this program.
    let born = born();
    let number = |line: &str, place: usize| line.split_whitespace().nth(place)?.parse::<u64>().ok();
    let is_of = |maker: u64| processes.iter().any(|&process| u64::from(process) == maker);
    let is_theirs = |line: &&str| number(line, 4).is_some_and(is_of) && number(line, 13).is_some_and(|at| at >= born);
    left.extend(segments.lines().skip(1).filter(is_theirs).map(|line| format!("segment {line}")));
    left
}

/// When this program began to make applications, s since 1970.
fn born() -> u64 {
    static BORN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let now = || std::time::UNIX_EPOCH.elapsed().expect("a date").as_secs();
    *BORN.get_or_init(now)
}

/// The processes of these runs, from the names of their files: PREFIX_HOST_PID_DATE_ID.
pub fn processes(journals: &[Journal]) -> Vec<u32> {
    let process = |journal: &Journal| {
        let name = journal.path.file_stem()?.to_str()?;
        name.rsplit('_').nth(2)?.parse().ok()
    };
    journals.iter().map(|journal| process(journal).unwrap_or_else(|| panic!("{}", journal.path.display()))).collect()
}

/// Makes a tree for `sysroot=` with the energy counter of one processor, at 1 J.
pub fn powercap(lab: &Lab, name: &str) -> PathBuf {
    for (file, text) in [("name", "package-0\n"), ("max_energy_range_uj", "262143328850\n"), ("energy_uj", "1000000\n")]
    {
        lab.file(&format!("{name}/sys/class/powercap/intel-rapl:0/{file}"), text, 0o644);
    }
    lab.dir.join(name)
}

/// Whether a command succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    outcome(command).status.success()
}
