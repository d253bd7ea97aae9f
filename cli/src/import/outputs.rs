//! A file's events as the runs of an output log, or of a console's text. Pure.

use super::events::{Consumption, Event, What};

/// What the output log, `*_carbontracker_output.log`, reports of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub started: Option<String>,
    pub actual: Option<Consumption>,
    pub actual_at: Option<String>,
    pub predicted: Option<Consumption>,
    pub predicted_at: Option<String>,
    pub is_ended: bool,
    /// How often its total is there, one directly after the other.
    pub times: usize,
}

impl Output {
    /// Whether another reports the same, however often.
    pub fn is_same(&self, other: &Output) -> bool {
        *self == Output { times: self.times, ..other.clone() }
    }
}

/// The runs of an output log. One without a total or a prediction is left out, unless it is alone.
pub fn outputs(events: &[Event]) -> Vec<Output> {
    let mut runs: Vec<Output> = Vec::new();
    let mut current = 0;
    for event in events {
        let place = match (&event.what, runs.get(current)) {
            (What::Announced, _) => runs.len(),
            // Of trackers that are alive together one had its prediction before.
            (What::Actual(_), now) if now.is_none_or(|now| now.is_ended || now.actual.is_some()) => {
                let waits = |run: &Output| !run.is_ended && run.predicted.is_some() && run.actual.is_none();
                runs.iter().position(waits).unwrap_or(runs.len())
            }
            (What::Predicted(_), now) if now.is_none_or(|now| now.is_ended || now.predicted.is_some()) => runs.len(),
            (What::Actual(_) | What::Predicted(_) | What::Finished, _) => current,
            _ => continue,
        };
        if place == runs.len() {
            runs.push(Output { started: event.at.clone(), ..Output::default() });
        }
        current = place;
        let Some(run) = runs.get_mut(current) else { continue };
        match &event.what {
            What::Actual(actual) => {
                (run.actual, run.actual_at, run.times) = (Some(actual.clone()), event.at.clone(), event.times);
            }
            What::Predicted(block) => (run.predicted, run.predicted_at) = (Some(block.clone()), event.at.clone()),
            What::Finished => run.is_ended = true,
            _ => (),
        }
    }
    if runs.len() > 1 {
        runs.retain(|run| run.actual.is_some() || run.predicted.is_some());
    }
    runs
}
