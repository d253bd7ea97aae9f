//! A file of the kernel's that holds one number, kept open and read afresh each time.

use crate::clock::MonoNs;
use crate::measurement::reading::Fault;
use crate::os::{self, HeldFile};
use crate::sanitize;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An unsigned number in a file.
pub struct NumberFile {
    path: PathBuf,
    file: Option<HeldFile>,
    last: Option<u64>,
    /// The number read on opening and its instant, until it is asked for.
    first: Option<(MonoNs, u64)>,
    /// The least time a good reading took, ns.
    quickest: Option<u64>,
    /// From here on, ns, a number that has not moved is read again through its path; and how long after such a
    /// reading that is.
    doubted_at: MonoNs,
    trust_ns: u64,
}

/// A reading, the middle of the time it took, and that time, ns: when in it the number held nobody knows.
struct Timed {
    at: MonoNs,
    took: u64,
    number: Result<u64, Fault>,
}

/// A reading that took this much more than four times the quickest, ns, was interrupted: it is made again.
const SLOW_NS: u64 = 200_000;
/// How often at the most; the tightest counts.
const RETRIES: u32 = 2;
/// How long a program that writes a file anew may leave it empty.
const REWRITE: Duration = Duration::from_micros(50);
/// A counter that lives moves within this time, ns; one that has not moved is asked less and less often.
const LEAST_TRUST_NS: u64 = 1_000_000;
const MOST_TRUST_NS: u64 = 32_000_000;

impl NumberFile {
    /// Opens the file and reads it once.
    pub fn open(path: PathBuf) -> Result<Self, Fault> {
        let mut file = NumberFile::unopened(path);
        let before = os::monotonic_ns();
        let number = file.reopen()?;
        file.first = Some((middle(before, os::monotonic_ns()), number));
        file.last = Some(number);
        Ok(file)
    }

    /// A file that is opened once it can be.
    pub fn unopened(path: PathBuf) -> Self {
        let trust_ns = LEAST_TRUST_NS;
        NumberFile { path, file: None, last: None, first: None, quickest: None, doubted_at: MonoNs::ZERO, trust_ns }
    }

    /// The number and the instant it holds for. The first is the one that opening read: a slow device is
    /// not asked twice before the run begins.
    pub fn stamped(&mut self, clock: &dyn Fn() -> MonoNs) -> (MonoNs, Result<u64, Fault>) {
        if let Some((at, number)) = self.first.take() {
            return (at, Ok(number));
        }
        let mut best = self.timed(clock);
        for _ in 0..RETRIES {
            match best.number {
                Ok(_) if best.took <= self.quickest.map_or(u64::MAX, |quickest| 4 * quickest + SLOW_NS) => break,
                Ok(_) => (),
                Err(Fault::Empty) => os::pause(REWRITE),
                Err(_) => break,
            }
            let again = self.timed(clock);
            if again.number.is_ok() && (best.number.is_err() || again.took < best.took) {
                best = again;
            }
        }
        if best.number.is_ok() {
            self.quickest = Some(self.quickest.map_or(best.took, |quickest| quickest.min(best.took)));
        }
        (best.at, best.number)
    }

    fn timed(&mut self, clock: &dyn Fn() -> MonoNs) -> Timed {
        let before = clock();
        let number = self.read(before);
        let after = clock();
        Timed { at: middle(before, after), took: after.ns_since(before), number }
    }

    /// The number now. A descriptor held on a file that was replaced, or that a file system caches, answers
    /// the same for ever: so a number that does not move, like one that fails, is read again through the path.
    fn read(&mut self, now: MonoNs) -> Result<u64, Fault> {
        let held = self.file.as_ref().and_then(HeldFile::file).ok_or(Fault::Gone).and_then(read);
        let is_trusted = held.is_ok_and(|number| Some(number) != self.last || now < self.doubted_at);
        let number = if is_trusted { held } else { self.reopen() };
        if number.ok() != self.last {
            self.trust_ns = LEAST_TRUST_NS;
        } else if !is_trusted {
            self.trust_ns = (2 * self.trust_ns).min(MOST_TRUST_NS);
        }
        if !is_trusted {
            self.doubted_at = now + self.trust_ns;
        }
        self.last = number.ok();
        number
    }

    fn reopen(&mut self) -> Result<u64, Fault> {
        self.file = None;
        let file = self.file.insert(HeldFile::open(&self.path)?);
        file.file().ok_or(Fault::Gone).and_then(read)
    }
}

/// The instant a reading holds for, that took from `before` to `after`.
pub fn middle(before: MonoNs, after: MonoNs) -> MonoNs {
    before + after.ns_since(before) / 2
}

fn read(file: &File) -> Result<u64, Fault> {
    let mut text = [0u8; 32];
    let length = file.read_at(&mut text, 0)?;
    parse(text.get(..length).unwrap_or_default())
}

/// Digits, with white space around them: as the kernel writes a number.
fn parse(text: &[u8]) -> Result<u64, Fault> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let mut number = 0u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return Err(Fault::Garbage);
        }
        number = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0'))).ok_or(Fault::Garbage)?;
    }
    Ok(number)
}

/// A small text file in one line, without the white space around it.
pub fn text(path: &Path) -> std::io::Result<String> {
    Ok(sanitize::text(os::text::read(path, os::text::SMALL)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes_and_refuses_the_rest() {
        assert_eq!(parse(b"262143328850\n"), Ok(262_143_328_850));
        assert_eq!(parse(b" \n"), Err(Fault::Empty));
        for garbage in [&b"12x"[..], b"-5", b"1 2", b"99999999999999999999999", b"\0\0", b"1.5"] {
            assert_eq!(parse(garbage), Err(Fault::Garbage));
        }
    }

    #[test]
    fn follows_a_file_that_is_replaced_or_goes_and_comes_back() {
        let dir = std::env::temp_dir().join(format!("ct-number-file-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("energy_uj");
        let replace = |text: &str| {
            std::fs::write(dir.join("new"), text).unwrap();
            std::fs::rename(dir.join("new"), &path).unwrap();
        };
        replace("5\n");
        let mut file = NumberFile::open(path.clone()).unwrap();
        replace("6\n");
        assert_eq!(file.read(MonoNs(1_000_000_000)), Ok(6));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.read(MonoNs(2_000_000_000)), Err(Fault::Gone));
        assert_eq!(file.read(MonoNs(3_000_000_000)), Err(Fault::Gone));
        replace("7\n");
        assert_eq!(file.read(MonoNs(4_000_000_000)), Ok(7));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
