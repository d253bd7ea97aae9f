//! Passes a program's outputs on, byte by byte, and knows where they stand. A text of this command comes between lines.

use carbontracker::os::child::is_readable_within;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Time between two looks whether the program has ended while it writes nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The longest wait for the rest of the output after the program's end.
const LAST_OUTPUT_WAIT: Duration = Duration::from_secs(10);

/// Where the bytes that were passed on end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OutputEnd {
    /// At the start of a line.
    #[default]
    Line,
    /// Within a line.
    Open,
    /// Within a character or an escape sequence.
    Within,
}

impl OutputEnd {
    fn of(piece: &[u8]) -> OutputEnd {
        const MAX_SEQUENCE_BYTES: usize = 64;
        let tail = piece.get(piece.len().saturating_sub(MAX_SEQUENCE_BYTES)..).unwrap_or(piece);
        match tail.last() {
            Some(b'\n') | None => OutputEnd::Line,
            Some(_) if is_in_character(tail) || is_in_sequence(tail) => OutputEnd::Within,
            Some(_) => OutputEnd::Open,
        }
    }
}

/// Whether the last character of UTF-8 lacks bytes.
fn is_in_character(tail: &[u8]) -> bool {
    let lead = tail.iter().rev().take(3).enumerate().find(|(_, byte)| **byte & 0xc0 != 0x80);
    lead.is_some_and(|(after, byte)| *byte >= 0xc0 && byte.leading_ones() as usize > after + 1)
}

/// Whether the last escape sequence of a terminal is not complete.
fn is_in_sequence(tail: &[u8]) -> bool {
    let Some(escape) = tail.iter().rposition(|byte| *byte == 0x1b) else { return false };
    match tail.get(escape + 1..).and_then(<[u8]>::split_first) {
        None => true,
        Some((b'[', rest)) => !rest.iter().any(|byte| (0x40..=0x7e).contains(byte)),
        Some((b']' | b'P', rest)) => !rest.contains(&0x07),
        Some((b'(' | b')' | b'#', rest)) => rest.is_empty(),
        Some(_) => false,
    }
}

/// What the thread of one output and the thread that waits for the program share.
#[derive(Default)]
struct PassedOutput {
    /// The program has ended.
    has_ended: AtomicBool,
    /// All that the program wrote until its end has been passed on.
    is_empty: AtomicBool,
    /// Held while a piece is written.
    end: Mutex<OutputEnd>,
}

/// The outputs of the program. Those that are not passed on count as being at the start of a line.
pub struct Outputs {
    output: PassedOutput,
    errors: PassedOutput,
    /// Both go to one terminal, file or pipe.
    is_one_place: bool,
}

impl Outputs {
    /// The outputs of a program that has not started.
    pub fn new() -> Outputs {
        let is_one_place = is_one_place(io::stdout().as_fd(), io::stderr().as_fd());
        Outputs { output: PassedOutput::default(), errors: PassedOutput::default(), is_one_place }
    }

    /// Starts a thread for each output of the child. Each calls its function with the pieces that it has written.
    pub fn pass_on<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        child: &mut Child,
        [each_output, each_error]: [impl FnMut(&[u8]) + Send + 's; 2],
    ) -> Vec<ScopedJoinHandle<'s, ()>> {
        // If an output has no reader any more, the program sees it: its next write fails.
        let output = child
            .stdout
            .take()
            .map(|from| scope.spawn(move || drop(self.output.hand_on(from, &io::stdout().as_fd(), each_output))));
        let errors = child
            .stderr
            .take()
            .map(|from| scope.spawn(move || drop(self.errors.hand_on(from, &io::stderr().as_fd(), each_error))));
        output.into_iter().chain(errors).collect()
    }

    /// Waits until what the program has written is passed on. Processes that it started may keep its outputs open for
    /// ever, so their end is not awaited.
    pub fn drain(&self, watching: &[ScopedJoinHandle<'_, ()>]) {
        let all = [&self.output, &self.errors];
        all.iter().for_each(|one| one.has_ended.store(true, Ordering::SeqCst));
        let is_read = |(thread, one): (&ScopedJoinHandle<'_, ()>, &&PassedOutput)| {
            thread.is_finished() || one.is_empty.load(Ordering::SeqCst)
        };
        let deadline = Instant::now() + LAST_OUTPUT_WAIT;
        while !watching.iter().zip(&all).all(is_read) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Calls `print`, which writes lines to standard error, if the outputs there are at the start of a line. False:
    /// they are not, and it was not called.
    pub fn between_lines(&self, print: impl FnOnce()) -> bool {
        self.while_at(|end| end == OutputEnd::Line, print)
    }

    /// Calls `draw`, which writes to another row of the terminal, if no output stands within a character or an escape
    /// sequence. False: one does, and it was not called.
    pub fn between_characters(&self, draw: impl FnOnce()) -> bool {
        self.while_at(|end| end != OutputEnd::Within, draw)
    }

    /// It never waits for an output that has no room.
    fn while_at(&self, fits: impl Fn(OutputEnd) -> bool, write: impl FnOnce()) -> bool {
        let mut held = Vec::new();
        for one in std::iter::once(&self.errors).chain(self.is_one_place.then_some(&self.output)) {
            match one.end.try_lock() {
                Ok(end) if fits(*end) => held.push(end),
                _ => return false,
            }
        }
        write();
        true
    }
}

/// Whether two descriptors lead to one terminal, file or pipe.
fn is_one_place(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let of = |fd: BorrowedFd<'_>| File::from(fd.try_clone_to_owned()?).metadata().map(|file| (file.dev(), file.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

impl PassedOutput {
    /// Copies `from` to `to` until either is closed. Calls `each` with every piece after it was written. In the end
    /// `from` is closed, so that the next write to it fails.
    fn hand_on(&self, mut from: impl Read + AsFd, to: &impl AsFd, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut to = File::from(to.as_fd().try_clone_to_owned()?);
        let mut buffer = vec![0; 64 << 10];
        loop {
            // The order matters: what the program wrote before its end is readable after its end.
            let has_ended = self.has_ended.load(Ordering::SeqCst);
            if !is_readable_within(&from, LOOK_INTERVAL) {
                self.is_empty.store(has_ended, Ordering::SeqCst);
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let piece = buffer.get(..length).unwrap_or_default();
                    self.pass(&mut to, piece)?;
                    each(piece);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }

    fn pass(&self, to: &mut File, piece: &[u8]) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        write(to, piece)?;
        *end = OutputEnd::of(piece);
        Ok(())
    }
}

/// Writes a piece whole, even if another process made the descriptor non-blocking.
fn write(to: &mut File, mut piece: &[u8]) -> io::Result<()> {
    const RETRY_INTERVAL: Duration = Duration::from_millis(1);
    while !piece.is_empty() {
        match to.write(piece) {
            Ok(length) => piece = piece.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY_INTERVAL),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_piece_is_known() {
        use OutputEnd::{Line, Open, Within};
        for (piece, expected) in [
            (&b""[..], Line),
            (b"epoch 1\n", Line),
            (b"epoch", Open),
            (b"\x1b[31mred\x1b[0m", Open),
            (b"50 %\r", Open),
            (b"\x1b", Within),
            (b"red \x1b[3", Within),
            (b"\x1b]0;tit", Within),
            (b"\x1b]0;title\x07", Open),
            (b"\x1b]0;title\x1b\\", Open),
            (b"\x1b(", Within),
            ("ä €".as_bytes(), Open),
            (&"€".as_bytes()[..2], Within),
            (&"a€".as_bytes()[..2], Within),
            (&[0xff, 0x80, 0x80, 0x80], Open),
        ] {
            assert_eq!(OutputEnd::of(piece), expected, "{piece:?}");
        }
    }

    #[test]
    fn lines_come_between_lines_only() {
        let outputs = |output, errors, is_one_place| {
            let of = |end| PassedOutput { end: Mutex::new(end), ..PassedOutput::default() };
            Outputs { output: of(output), errors: of(errors), is_one_place }
        };
        use OutputEnd::{Line, Open, Within};
        for (one, lines, characters) in [
            (outputs(Line, Line, true), true, true),
            (outputs(Open, Line, true), false, true),
            (outputs(Open, Line, false), true, true),
            (outputs(Line, Open, false), false, true),
            (outputs(Within, Line, true), false, false),
        ] {
            let mut printed = [false; 2];
            assert_eq!((one.between_lines(|| printed[0] = true), printed[0]), (lines, lines));
            assert_eq!((one.between_characters(|| printed[1] = true), printed[1]), (characters, characters));
        }
        let busy = outputs(Line, Line, true);
        let _held = busy.output.end.lock();
        assert!(!busy.between_lines(|| panic!("an output has no room")));
    }
}
