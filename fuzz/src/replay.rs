//! Calls a target with its seeds and with mutations of them, by number. The same number always gives the same input.

use crate::{Target, mutate};
use fastrand::Rng;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

/// A target that is at one input for this long hangs.
const HANG: Duration = Duration::from_secs(60);
/// Most memory that the program may have used at any time, KiB.
const MAX_KIB: u64 = 2 << 20;
/// Most attempts to make a failing input shorter.
const MAX_CUTS: usize = 2000;

/// What a run of a target did.
pub struct Outcome {
    /// Seeds that were checked.
    pub seeds: usize,
    /// Mutated inputs that were checked.
    pub inputs: u64,
    /// Time of all inputs.
    pub took: Duration,
    /// The input that took longest, by its number, and its time.
    pub slowest: (u64, Duration),
}

/// Checks all seeds, then the mutations `from` to `from + runs`. A failure is a text with the way to repeat it; the
/// shortened input is written into `folder`.
pub fn run(target: &Target, from: u64, runs: u64, folder: &Path) -> Result<Outcome, String> {
    // A failing input panics many times while it is shortened. Only the first text is wanted.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|panic| PANIC.set(Some(panic.to_string())))));
    let seeds = seeds(target)?;
    let started = Instant::now();
    for (name, seed) in &seeds {
        checked(target, seed).map_err(|panic| format!("{name}: {panic}"))?;
    }
    let texts: Vec<Vec<u8>> = seeds.into_iter().map(|(_, seed)| seed).collect();
    let at = AtomicU64::new(from);
    let mut slowest = (from, Duration::ZERO);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(target, &at));
        let mut check = |number: u64| {
            at.store(number, Ordering::Relaxed);
            let input = input(target, &texts, number);
            let begin = Instant::now();
            let result = checked(target, &input).map_err(|panic| failure(target, number, input, &panic, folder));
            slowest = (number, begin.elapsed()).max_by_time(slowest);
            result
        };
        let done = (from..from.saturating_add(runs)).try_for_each(&mut check);
        at.store(u64::MAX, Ordering::Relaxed);
        watch.thread().unpark();
        done
    })?;
    let kib = peak_kib();
    if kib > MAX_KIB {
        return Err(format!("{}: the program used {kib} KiB of memory, more than {MAX_KIB}", target.name));
    }
    Ok(Outcome { seeds: texts.len(), inputs: runs, took: started.elapsed(), slowest })
}

trait MaxByTime {
    fn max_by_time(self, other: Self) -> Self;
}

impl MaxByTime for (u64, Duration) {
    fn max_by_time(self, other: Self) -> Self {
        if self.1 > other.1 { self } else { other }
    }
}

/// The mutation with this number.
fn input(target: &Target, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let name = carbontracker::os::stable_hash(target.name.bytes());
    mutate::mutated(seeds, target.tokens, &mut Rng::with_seed(name ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The seeds: the files of the corpus and the fixtures, sorted, each with its name.
fn seeds(target: &Target) -> Result<Vec<(String, Vec<u8>)>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures =
        target.fixtures.iter().map(|(folder, ending)| (root.join("../tests/fixtures").join(folder), *ending));
    let folders = std::iter::once((root.join("corpus").join(target.name), "")).chain(fixtures);
    let mut seeds = Vec::new();
    for (folder, ending) in folders {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        let entries = fs::read_dir(&folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.is_file() && path.to_string_lossy().ends_with(ending));
        paths.sort();
        for path in paths {
            let mut seed = fs::read(&path).map_err(failed)?;
            seed.truncate(mutate::MAX_BYTES);
            seeds.push((path.display().to_string(), seed));
        }
    }
    if seeds.is_empty() { Err(format!("{}: no seeds", target.name)) } else { Ok(seeds) }
}

thread_local! {
    /// Place and text of the thread's last panic.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Checks an input. The error is the text of its panic, with the place if the library has not replaced the hook.
fn checked(target: &Target, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        PANIC.take().unwrap_or_else(|| text.unwrap_or("a panic without a text").to_owned())
    })
}

/// The text of a failure. The input is shortened, and written into the folder.
fn failure(target: &Target, number: u64, mut input: Vec<u8>, panic: &str, folder: &Path) -> String {
    let before = input.len();
    let mut cuts = 0;
    let mut length = input.len() / 2;
    while length > 0 && cuts < MAX_CUTS {
        let mut at = 0;
        while at < input.len() && cuts < MAX_CUTS {
            let rest = [&input[..at], &input[(at + length).min(input.len())..]].concat();
            cuts += 1;
            if checked(target, &rest).is_err() { input = rest } else { at += length }
        }
        length /= 2;
    }
    let path = folder.join(format!("fuzz-{}-{number}", target.name));
    let written = fs::write(&path, &input).map_or_else(|error| error.to_string(), |()| path.display().to_string());
    format!(
        "{panic}\n\
         The input has number {number} and {before} bytes; {} of them fail too: {written}\n\
         {:?}\n\
         Again: CT_FUZZ_FROM={number} CT_FUZZ_RUNS=1 cargo test --locked -p carbontracker-fuzz --test fuzz {}\n\
         Once it is mended, copy that file into fuzz/corpus/{}/ with a name that states the fault.",
        input.len(),
        String::from_utf8_lossy(&input),
        target.name,
        target.name,
    )
}

/// Ends the program if the target hangs at one input.
fn watch(target: &Target, at: &AtomicU64) {
    let (mut seen, mut since) = (at.load(Ordering::Relaxed), Instant::now());
    while seen != u64::MAX {
        std::thread::park_timeout(HANG / 8);
        let now = at.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > HANG {
            eprintln!("{}: input {seen} takes longer than {HANG:?}", target.name);
            std::process::abort();
        }
    }
}

/// The most memory that this program has used, KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
