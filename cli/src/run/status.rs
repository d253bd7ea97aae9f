//! What `run` shows while the program runs. On a terminal it is a status line in the last row, and the title. Elsewhere
//! it is a line now and then.

use super::outputs::Outputs;
use crate::console::complain;
use carbontracker::os::terminal;
use console::{Term, truncate_str};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Time between two updates of the last row.
const ROW_PACE: Duration = Duration::from_secs(1);
/// Time between two updates of the title.
const TITLE_PACE: Duration = Duration::from_secs(5);
/// When a line is printed where there is no terminal, min after the start; then every hour.
const FIRST_LINES_MIN: [u64; 4] = [1, 5, 15, 30];
/// The shortest time that a user may choose.
const MIN_PACE: Duration = Duration::from_millis(100);

/// How often the status is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Never.
    Off,
    /// Each second on a terminal, ever more seldom elsewhere.
    Usual,
    /// At this interval.
    Every(Duration),
}

/// Reads the text of --status.
pub fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "off" => Ok(Pace::Off),
        "auto" => Ok(Pace::Usual),
        _ => match humantime::parse_duration(text) {
            Ok(every) if every >= MIN_PACE => Ok(Pace::Every(every)),
            _ => Err("expected auto, off, or a time from 100ms on, such as 10s or 5min".into()),
        },
    }
}

/// The time after the start at which the line after this one is due.
fn next_line(pace: Pace, gone: Duration) -> Option<Duration> {
    const HOUR: Duration = Duration::from_secs(3600);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let times = |every: Duration| every * (gone.as_nanos() / every.as_nanos() + 1).try_into().unwrap_or(u32::MAX);
    match pace {
        Pace::Off => None,
        Pace::Usual => Some(FIRST_LINES_MIN.map(minutes).into_iter().find(|at| *at > gone).unwrap_or(times(HOUR))),
        Pace::Every(every) => Some(times(every)),
    }
}

/// The status of a program that runs.
pub struct StatusLine {
    pace: Pace,
    /// The terminal of standard error; None: it is no terminal, or one that cannot move its cursor.
    terminal: Option<Term>,
    began: Instant,
    /// Time after the start at which the next update is due; None: there is none.
    due: Option<Duration>,
    titled: Option<Instant>,
    /// The rows of the terminal whose last one is kept for the status.
    rows: Option<u16>,
}

impl StatusLine {
    /// The status of a program that begins now.
    pub fn new(pace: Pace) -> StatusLine {
        let terminal = Some(Term::stderr()).filter(|terminal| {
            terminal.is_term() && std::env::var_os("TERM").is_some_and(|name| name != "dumb" && !name.is_empty())
        });
        let first = if terminal.is_some() { Some(ROW_PACE) } else { next_line(pace, Duration::ZERO) };
        let due = first.filter(|_| pace != Pace::Off);
        StatusLine { pace, terminal, began: Instant::now(), due, titled: None, rows: None }
    }

    /// Shows the status if that is due. `line` makes its text.
    pub fn update(&mut self, outputs: &Outputs, line: impl FnOnce() -> Option<String>) {
        let gone = self.began.elapsed();
        if self.due.is_none_or(|due| gone < due) {
            return;
        }
        let Some(terminal) = self.terminal.clone() else {
            if outputs.between_lines(|| line().into_iter().for_each(|line| complain(&line))) {
                self.due = next_line(self.pace, gone);
            }
            return;
        };
        let is_shared = terminal::is_shared(std::io::stderr().as_fd());
        let draw = || line().into_iter().for_each(|line| self.draw(&terminal, &line));
        if !is_shared || outputs.between_characters(draw) {
            self.due = gone.checked_add(if let Pace::Every(every) = self.pace { every } else { ROW_PACE });
        }
    }

    fn draw(&mut self, terminal: &Term, line: &str) {
        let (rows, columns) = terminal.size();
        if rows < 3 {
            return;
        }
        let mut text = String::new();
        if self.rows.replace(rows) != Some(rows) {
            text += "\x1bD\x1b[1A"; // the cursor leaves the last row
        }
        if self.titled.is_none() {
            text += "\x1b[22;2t"; // the terminal keeps its title until the end
        }
        if self.titled.is_none_or(|at| at.elapsed() >= TITLE_PACE) {
            text += &format!("\x1b]2;{line}\x07");
            self.titled = Some(Instant::now());
        }
        let shown = truncate_str(line, usize::from(columns.saturating_sub(1)), "…");
        // The rows above the last one scroll. A program may have changed that, so it is said each time.
        let scroll = rows - 1;
        let _ = terminal.write_str(&format!("{text}\x1b7\x1b[1;{scroll}r\x1b[{rows};1H\x1b[2K{shown}\x1b8"));
    }

    /// Gives the last row and the title back. The next update takes them again.
    pub fn give_back(&mut self) {
        self.titled = None;
        let is_drawn = self.rows.take().is_some() && terminal::is_shared(std::io::stderr().as_fd());
        if let Some(terminal) = self.terminal.as_ref().filter(|_| is_drawn) {
            let (rows, _) = terminal.size();
            let _ = terminal.write_str(&format!("\x1b7\x1b[r\x1b[{rows};1H\x1b[2K\x1b8\x1b[23;2t"));
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_ever_more_seldom_or_at_the_users_pace() {
        let minutes = |pace, gone: u64| next_line(pace, Duration::from_secs(60 * gone)).map(|at| at.as_secs() / 60);
        assert_eq!([0, 1, 7, 16, 30, 61].map(|gone| minutes(Pace::Usual, gone)), [1, 5, 15, 30, 60, 120].map(Some));
        let ten = Pace::Every(Duration::from_secs(600));
        assert_eq!([0, 9, 10].map(|gone| minutes(ten, gone)), [10, 10, 20].map(Some));
        assert_eq!(minutes(Pace::Off, 5), None);
    }

    #[test]
    fn pace_is_a_time_or_a_word() {
        assert_eq!((pace("off"), pace("auto")), (Ok(Pace::Off), Ok(Pace::Usual)));
        assert_eq!(pace("10s"), Ok(Pace::Every(Duration::from_secs(10))));
        assert!(["", "0s", "1ms", "often"].iter().all(|text| pace(text).is_err()));
    }
}
