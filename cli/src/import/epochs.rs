//! Epochs of a standard log: complete, or being read. Pure.

use super::events::{EventKind, LogEvent, LoggedPower};

/// An epoch, or several epochs in one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedEpoch {
    pub at: Option<String>,
    /// Number of the first epoch, from 1.
    pub first: u64,
    /// Number of the last epoch.
    pub last: u64,
    pub duration_s: f64,
    /// Mean power by kind of device.
    pub powers: Vec<(String, LoggedPower)>,
}

impl LoggedEpoch {
    /// The number of epochs.
    pub fn count(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// A kind's mean power.
    pub fn power_of(&self, kind: &str) -> Option<&LoggedPower> {
        self.powers.iter().find(|(name, _)| name == kind).map(|(_, power)| power)
    }

    /// True if a kind's power is known.
    pub fn is_known(&self, kind: &str) -> bool {
        self.joules_of(kind).is_some()
    }

    /// A kind's energy, J.
    pub fn joules_of(&self, kind: &str) -> Option<f64> {
        let watts = match self.power_of(kind)? {
            LoggedPower::Unknown => return None,
            LoggedPower::One(watts) => *watts,
            LoggedPower::Each(each) => each.iter().sum(),
        };
        Some(watts * self.duration_s)
    }

    /// The energy of all kinds, J. None if one is unknown.
    pub fn joules(&self) -> Option<f64> {
        let joules: Option<Vec<f64>> = self.powers.iter().map(|(kind, _)| self.joules_of(kind)).collect();
        joules.filter(|joules| !joules.is_empty()).map(|joules| joules.iter().sum())
    }
}

/// The line because of which a run cannot be read, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct BadLine {
    pub line: usize,
    pub what: String,
    /// The lines of several runs are mixed.
    pub is_mixed: bool,
}

impl BadLine {
    /// A line of wrong form.
    pub fn new(line: usize, what: String) -> BadLine {
        BadLine { line, what, is_mixed: false }
    }

    /// A line that may belong to several runs.
    pub fn mixed(line: usize, what: &str) -> BadLine {
        const ADVICE: &str = "several runs wrote into this file at once and cannot be separated. If their output logs \
            have lines 'Actual consumption', import these alone";
        BadLine { line, what: format!("{what}: {ADVICE}"), is_mixed: true }
    }
}

/// An epoch that is being read.
#[derive(Clone)]
pub struct EpochReader {
    pub line: usize,
    pub times: usize,
    pub entry: LoggedEpoch,
    pub has_duration: bool,
    pub broken: Option<BadLine>,
    /// It has two durations, or two powers of one kind.
    pub is_mixed: bool,
}

impl EpochReader {
    /// Begins an epoch, or an entry of epochs from `first` to `last`.
    pub fn new(event: &LogEvent, last: u64, first: Option<u64>) -> EpochReader {
        let first = first.filter(|first| (1..=last).contains(first)).unwrap_or(last);
        let entry = LoggedEpoch { at: event.at.clone(), first, last, ..LoggedEpoch::default() };
        EpochReader { line: event.line, times: event.times, entry, has_duration: false, broken: None, is_mixed: false }
    }

    /// True if an event belongs to an epoch, or may be written between its lines by another thread.
    pub fn is_part(event: &LogEvent) -> bool {
        matches!(event.what, EventKind::Duration(_) | EventKind::Power(..) | EventKind::Broken(_) | EventKind::Grid(_))
    }

    /// Takes a line of the epoch. A second, different value means that runs are mixed.
    pub fn take(&mut self, event: &LogEvent) {
        let number = self.entry.last;
        let mixed = match &event.what {
            EventKind::Duration(shown) if self.has_duration => {
                (self.entry.duration_s != *shown).then(|| "durations".into())
            }
            EventKind::Duration(shown) => {
                self.entry.duration_s = *shown;
                self.has_duration = true;
                None
            }
            EventKind::Power(kind, power) => match self.entry.powers.iter().find(|(known, _)| known == kind) {
                Some((_, known)) => (known != power).then(|| format!("powers of the {kind}")),
                None => {
                    self.entry.powers.push((kind.clone(), power.clone()));
                    None
                }
            },
            EventKind::Broken(what) => {
                self.broken.get_or_insert(BadLine::new(event.line, what.clone()));
                None
            }
            _ => None,
        };
        if let Some(what) = mixed {
            self.is_mixed = true;
            self.broken.get_or_insert(BadLine::mixed(event.line, &format!("epoch {number} has two {what}")));
        }
    }

    /// True if it has a duration and the power of every component.
    pub fn is_whole(&self, components: usize) -> bool {
        self.has_duration && components <= self.entry.powers.len()
    }

    /// True if another epoch has the same lines.
    pub fn is_same(&self, other: &EpochReader) -> bool {
        self.entry == other.entry && self.times == other.times
    }
}
