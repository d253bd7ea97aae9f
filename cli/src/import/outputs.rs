//! Turns the events of an output log, or of text from a console, into runs. Pure.

use super::events::{Consumption, EventKind, LogEvent};

/// A run in an output log, `*_carbontracker_output.log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputRun {
    pub started: Option<String>,
    pub actual: Option<Consumption>,
    pub actual_at: Option<String>,
    pub predicted: Option<Consumption>,
    pub predicted_at: Option<String>,
    pub is_ended: bool,
    /// How often its total is repeated in a row.
    pub times: usize,
}

impl OutputRun {
    /// True if another has the same content. Repetitions do not matter.
    pub fn is_same(&self, other: &OutputRun) -> bool {
        *self == OutputRun { times: self.times, ..other.clone() }
    }
}

/// The runs of an output log. A run without total and prediction is left out, unless it is the only one.
pub fn outputs(events: &[LogEvent]) -> Vec<OutputRun> {
    let mut runs: Vec<OutputRun> = Vec::new();
    let mut current = 0;
    for event in events {
        let place = match (&event.what, runs.get(current)) {
            (EventKind::Announced, _) => runs.len(),
            // If trackers overlap, the total belongs to a run that has its prediction but no total yet.
            (EventKind::Actual(_), now) if now.is_none_or(|now| now.is_ended || now.actual.is_some()) => {
                let lacks_total = |run: &OutputRun| !run.is_ended && run.predicted.is_some() && run.actual.is_none();
                runs.iter().position(lacks_total).unwrap_or(runs.len())
            }
            (EventKind::Predicted(_), now) if now.is_none_or(|now| now.is_ended || now.predicted.is_some()) => {
                runs.len()
            }
            (EventKind::Actual(_) | EventKind::Predicted(_) | EventKind::Finished, _) => current,
            _ => continue,
        };
        if place == runs.len() {
            runs.push(OutputRun { started: event.at.clone(), ..OutputRun::default() });
        }
        current = place;
        let Some(run) = runs.get_mut(current) else { continue };
        match &event.what {
            EventKind::Actual(actual) => {
                run.actual = Some(actual.clone());
                run.actual_at.clone_from(&event.at);
                run.times = event.times;
            }
            EventKind::Predicted(block) => {
                run.predicted = Some(block.clone());
                run.predicted_at.clone_from(&event.at);
            }
            EventKind::Finished => run.is_ended = true,
            _ => (),
        }
    }
    if runs.len() > 1 {
        runs.retain(|run| run.actual.is_some() || run.predicted.is_some());
    }
    runs
}
