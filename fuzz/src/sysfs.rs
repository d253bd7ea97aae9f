//! Trees of `/sys` and `/proc`: RAPL, hwmon, AMD and Intel GPUs, Cray's counters, batteries and cgroups.
//!
//! The input is a list of files: a line `==> PATH`, and the content up to the next such line. `==> PATH -> TARGET` is a
//! link. A line `==>` alone begins the next moment, at which files may have other contents or be gone (`==> PATH -`).

use crate::run::Run;
use crate::{Target, sound};
use carbontracker::measurement::sources::Sources;
use carbontracker::options::Options;
use carbontracker::report::Detail;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The target.
pub const TARGET: Target = Target {
    name: "sysfs",
    check,
    fixtures: &[],
    tokens: &[
        "\n==> ",
        "\n==>\n",
        " -> ",
        "sys/class/powercap/intel-rapl:0/",
        "energy_uj\n",
        "max_energy_range_uj\n",
        "name\n",
        "package-0",
        "dram",
        "psys",
        "sys/class/hwmon/hwmon0/",
        "power1_average\n",
        "power1_label\n",
        "energy1_input\n",
        "sys/class/drm/card0/device/",
        "0x1002",
        "sys/cray/pm_counters/",
        "freshness\n",
        "J 1234 us",
        "proc/cpuinfo\n",
        "proc/stat\n",
        "cpu  1 2 3 4 5 6 7 8 9 10\n",
        "sys/fs/cgroup/cpu.stat\n",
        "usage_usec ",
        "proc/meminfo\n",
    ],
    runs: 60,
};

/// Most files and most moments of a tree.
const MOST: usize = 64;
/// Most folders of a path.
const MAX_DEPTH: usize = 24;
/// The options of the run.
const OPTIONS: &str = "nvml=/none what_if=off location=DK epochs=4";

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let tree = Tree::new();
    let mut moments = moments(&text).into_iter();
    moments.next().into_iter().flatten().for_each(|entry| tree.set(entry));
    let options = format!("sysroot='{}' {OPTIONS}", tree.0.display());
    let found = Options::parse(&options, |_| None).unwrap_or_else(|error| panic!("{}", error.message));
    let Sources { sources, unavailable, .. } = Sources::discover(&found.measurement, &|_| ());
    let mut run = Run::new(OPTIONS, "sysfs", Default::default());
    for one in &unavailable {
        sound::message(&one.reason, data);
        one.cure.iter().for_each(|fix| sound::message(fix, data));
    }
    run.state.metering.unavailable = unavailable;
    sources.into_iter().for_each(|source| run.add(source));
    run.pass(0.0);
    run.mark();
    for moment in moments.chain([Vec::new(), Vec::new()]) {
        moment.into_iter().for_each(|entry| tree.set(entry));
        run.pass(1.0);
        run.mark();
    }
    run.state.finish();
    let report = run.report(Detail::Epochs).json();
    sound::report(&report);
    sound::amounts(&report);
    run.messages.iter().for_each(|message| sound::message(message, data));
}

/// A file: its path, and its content, a link, or nothing.
enum Entry<'a> {
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    Gone(&'a str),
}

/// The files by moment.
fn moments(text: &str) -> Vec<Vec<Entry<'_>>> {
    let text = text.strip_prefix("==>").unwrap_or(text);
    let mut moments = vec![Vec::new()];
    for part in text.split("\n==>").take(MOST) {
        let (head, content) = part.split_once('\n').unwrap_or((part, ""));
        let head = head.trim();
        if head.is_empty() {
            moments.push(Vec::new());
        } else if let Some(files) = moments.last_mut() {
            files.push(match (head.split_once(" -> "), head.strip_suffix(" -")) {
                (Some((path, target)), _) => Entry::Link(path, target),
                (None, Some(path)) => Entry::Gone(path),
                (None, None) => Entry::File(head, content),
            });
        }
    }
    moments
}

/// A folder for one tree.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Tree {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("ct-fuzz-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let in_memory = Path::new("/dev/shm");
        let parent = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
        let root = parent.join(name);
        let made = fs::create_dir_all(&root).and_then(|()| root.canonicalize());
        Tree(made.unwrap_or_else(|error| panic!("{}: {error}", root.display())))
    }

    /// Makes an entry. One that leads out of the tree, or that the file system refuses, is left out.
    fn set(&self, entry: Entry<'_>) {
        let (Entry::File(path, _) | Entry::Link(path, _) | Entry::Gone(path)) = entry;
        let Some(path) = self.place(path) else { return };
        if path.is_symlink() || matches!(entry, Entry::Gone(_)) {
            let _ = fs::remove_file(&path);
        }
        match entry {
            Entry::File(_, content) => drop(fs::write(&path, content)),
            Entry::Link(_, target) => {
                let _ = symlink(target, &path);
                if !self.has(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
            Entry::Gone(_) => (),
        }
    }

    /// A path in the tree. It makes the folder that the path is in.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let path = self.0.join(path);
        let folder = path.parent()?;
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        if !is_plain || path.components().count() > MAX_DEPTH || !self.has(existing) {
            return None;
        }
        fs::create_dir_all(folder).ok()?;
        self.has(folder).then_some(path)
    }

    /// True if the path exists and leads to a place in the tree, through all links.
    fn has(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| path.starts_with(&self.0))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
