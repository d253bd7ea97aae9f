//! A file of the kernel with one number. It stays open and is read anew each time.

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
    /// The instant, ns, and the number of the reading on opening, until it is returned.
    first: Option<(MonoNs, u64)>,
    /// The shortest time that a good reading took, ns.
    quickest: Option<u64>,
    /// The instant, ns, from which on an unchanged number is read again through its path.
    doubted_at: MonoNs,
    /// The time from a reading through the path to the next one, ns.
    trust_ns: u64,
}

/// A reading, the middle of the time that it took, ns, and that time, ns. The number is valid at an unknown instant
/// inside.
struct Timed {
    at: MonoNs,
    took: u64,
    number: Result<u64, Fault>,
}

/// A reading that takes this much longer than four times the quickest, ns, was interrupted. It is repeated.
const SLOW_NS: u64 = 200_000;
/// The most repetitions of a reading. The quickest counts.
const RETRIES: u32 = 2;
/// The wait before an empty file is read again. A program that rewrites a file leaves it empty for a moment.
const REWRITE: Duration = Duration::from_micros(50);
/// The first time from a reading through the path to the next one, ns. A working counter changes within it. The time
/// doubles while the number stays the same.
const MIN_TRUST_NS: u64 = 1_000_000;
/// The longest time from a reading through the path to the next one, ns.
const MAX_TRUST_NS: u64 = 32_000_000;

impl NumberFile {
    /// Opens the file and reads it once. Fails if it does not contain a number.
    pub fn open(path: PathBuf) -> Result<Self, Fault> {
        let mut file = NumberFile::unopened(path);
        let before = os::monotonic_ns();
        let number = file.reopen()?;
        file.first = Some((middle(before, os::monotonic_ns()), number));
        file.last = Some(number);
        Ok(file)
    }

    /// A file that is opened at the first reading that can open it.
    pub fn unopened(path: PathBuf) -> Self {
        let trust_ns = MIN_TRUST_NS;
        NumberFile { path, file: None, last: None, first: None, quickest: None, doubted_at: MonoNs::ZERO, trust_ns }
    }

    /// The number and the instant, ns, at which it is valid. The first call returns the reading of `open`, so that a
    /// slow device is not read twice before the run begins.
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

    /// The number now. A descriptor of a file that was replaced, or that a file system caches, always returns the same
    /// number. So after a failure, or if the number stays the same, the file is opened again by its path.
    fn read(&mut self, now: MonoNs) -> Result<u64, Fault> {
        let held = self.file.as_ref().and_then(HeldFile::file).ok_or(Fault::Gone).and_then(read);
        let is_trusted = held.is_ok_and(|number| Some(number) != self.last || now < self.doubted_at);
        let number = if is_trusted { held } else { self.reopen() };
        if number.ok() != self.last {
            self.trust_ns = MIN_TRUST_NS;
        } else if !is_trusted {
            self.trust_ns = (2 * self.trust_ns).min(MAX_TRUST_NS);
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

/// The instant of a reading that took from `before` to `after`, ns.
pub fn middle(before: MonoNs, after: MonoNs) -> MonoNs {
    before + after.ns_since(before) / 2
}

fn read(file: &File) -> Result<u64, Fault> {
    let mut text = [0u8; 32];
    let length = file.read_at(&mut text, 0)?;
    parse(text.get(..length).unwrap_or_default())
}

/// The number in a text of digits with white space around them.
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

/// The text of a small file in one line, without the white space around it.
pub fn text(path: &Path) -> std::io::Result<String> {
    Ok(sanitize::text(os::text::read(path, os::text::MAX_SYS_BYTES)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse(b"262143328850\n"), Ok(262_143_328_850));
        assert_eq!(parse(b" \n"), Err(Fault::Empty));
        for garbage in [&b"12x"[..], b"-5", b"1 2", b"99999999999999999999999", b"\0\0", b"1.5"] {
            assert_eq!(parse(garbage), Err(Fault::Garbage));
        }
    }

    #[test]
    fn file_that_is_replaced_or_comes_back_is_read_again() {
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
