//! Closed sets of words in a report. JSON has them as strings.

use std::str::FromStr;

/// The state of a component: how its readings went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentStatus {
    /// All readings arrived.
    Ok,
    /// Readings are missing.
    Gap,
    /// The counter was reset, or it jumped.
    Reset,
    /// The device cannot be read any more.
    Lost,
    /// The meter shows no sign of life.
    Stalled,
    /// There is no real device.
    Simulated,
}

impl ComponentStatus {
    /// All states, in the order of the report's schema.
    pub const ALL: [ComponentStatus; 6] = [
        ComponentStatus::Ok,
        ComponentStatus::Gap,
        ComponentStatus::Reset,
        ComponentStatus::Lost,
        ComponentStatus::Stalled,
        ComponentStatus::Simulated,
    ];

    /// The state's name in reports and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            ComponentStatus::Ok => "ok",
            ComponentStatus::Gap => "gap",
            ComponentStatus::Reset => "reset",
            ComponentStatus::Lost => "lost",
            ComponentStatus::Stalled => "stalled",
            ComponentStatus::Simulated => "simulated",
        }
    }
}

impl FromStr for ComponentStatus {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<ComponentStatus, UnknownWord> {
        ComponentStatus::ALL.into_iter().find(|status| status.as_str() == name).ok_or(UnknownWord)
    }
}

/// How far a run is. JSON has it as `run.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// No epoch has begun.
    Waiting,
    /// An epoch is open.
    InEpoch,
    /// No epoch is open, and more may come.
    Between,
    /// The run has ended, or all planned epochs have.
    Done,
    /// The journal has no end: the process was killed, or it is still running.
    Unfinished,
}

impl RunPhase {
    /// All phases, in the order of the report's schema.
    pub const ALL: [RunPhase; 5] =
        [RunPhase::Waiting, RunPhase::InEpoch, RunPhase::Between, RunPhase::Done, RunPhase::Unfinished];

    /// The phase's name in reports and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            RunPhase::Waiting => "waiting",
            RunPhase::InEpoch => "in_epoch",
            RunPhase::Between => "between",
            RunPhase::Done => "done",
            RunPhase::Unfinished => "unfinished",
        }
    }
}

impl FromStr for RunPhase {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<RunPhase, UnknownWord> {
        RunPhase::ALL.into_iter().find(|phase| phase.as_str() == name).ok_or(UnknownWord)
    }
}

/// A word that the set does not have. Files of a newer version may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for status in ComponentStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for phase in RunPhase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
        assert_eq!("".parse::<RunPhase>(), Err(UnknownWord));
        assert_eq!("OK".parse::<ComponentStatus>(), Err(UnknownWord));
    }
}
