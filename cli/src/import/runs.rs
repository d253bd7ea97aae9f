//! Turns the events of a standard log into runs: finds the tracker that wrote each line. Pure; any events can be read.
//!
//! In Carbontracker 1.x all trackers of a process share a logger. So a file holds its own run and all later ones.
//! Trackers that overlap mix their lines.

use super::epochs::{BadLine, EpochReader, LoggedEpoch};
use super::events::{EventKind, FoundDevices, LogEvent, LoggedIntensity};

/// A run in a standard log, `*_carbontracker.log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandardRun {
    pub version: Option<String>,
    /// Written by this library: a power is the sum over the devices, and times are UTC.
    pub is_ours: bool,
    /// Date and time of the first line.
    pub started: Option<String>,
    /// Date and time of the last line.
    pub last_at: Option<String>,
    pub pue: Option<f64>,
    pub components: Vec<FoundDevices>,
    pub epochs: Vec<LoggedEpoch>,
    /// Mean carbon intensity, gCO2e/kWh.
    pub intensity: Option<f64>,
    pub place: Option<String>,
    /// Planned epochs, known if the run was interrupted.
    pub planned: Option<u64>,
    pub is_interrupted: bool,
    pub is_ended: bool,
    /// The log ends within the last epoch, which is left out.
    pub is_torn: bool,
    /// It has a line with its version. Without one, the version is that of the run before.
    pub has_head: bool,
    /// How often each of its lines is repeated.
    pub times: usize,
    /// Numbers of its first and last line in the file.
    pub lines: (usize, usize),
}

/// The runs of a standard log, each read or refused.
pub fn standards(events: &[LogEvent]) -> Vec<Result<StandardRun, BadLine>> {
    RunReader::read(events).runs.into_iter().map(RunBuilder::read).collect()
}

/// A run may continue after later runs began, but only if it is among the last 256 that did.
const MAX_RUNS_BEHIND: usize = 256;

#[derive(Default)]
struct RunReader {
    runs: Vec<RunBuilder>,
    /// Places of runs that may continue.
    alive: Vec<usize>,
    /// The run of the last lines.
    current: usize,
    /// The first epoch of the next entry, if it joins several.
    first: Option<u64>,
}

impl RunReader {
    fn read(events: &[LogEvent]) -> RunReader {
        let mut reader = RunReader::default();
        let mut rest = events.iter().peekable();
        while let Some(event) = rest.next() {
            if let EventKind::Epoch(number) = event.what {
                let mut epoch = EpochReader::new(event, number, reader.first.take());
                let mut between = Vec::new();
                while let Some(next) = rest.next_if(|next| EpochReader::is_part(next)) {
                    match next.what {
                        EventKind::Grid(_) => between.push(next),
                        _ => epoch.take(next),
                    }
                }
                reader.epoch(epoch);
                between.into_iter().for_each(|event| reader.take(event));
            } else {
                reader.take(event);
            }
        }
        reader
    }

    fn take(&mut self, event: &LogEvent) {
        match &event.what {
            EventKind::Version { version, is_ours } => {
                self.begin(event);
                self.change(self.current, event, |run| {
                    run.log.version.clone_from(version);
                    run.log.is_ours = *is_ours;
                    run.log.has_head = true;
                });
            }
            EventKind::Pue(pue) => self.head(event, |log| log.pue = *pue),
            EventKind::Found(components) => self.head(event, |log| log.components.clone_from(components)),
            EventKind::First(first) => self.first = Some(*first),
            EventKind::Grid(grid) => self.change(self.current, event, |run| run.grid.take(grid)),
            EventKind::Interrupted(planned) => self.change(self.current, event, |run| {
                run.log.is_interrupted = true;
                run.log.planned = planned.or(run.log.planned);
            }),
            EventKind::Ended => {
                self.change(self.current, event, |run| run.log.is_ended = true);
                self.alive.retain(|place| *place != self.current);
            }
            EventKind::Broken(what) => {
                let broken = BadLine::new(event.line, what.clone());
                self.change(self.current, event, |run| run.refuse(broken));
            }
            _ => (),
        }
    }

    /// Begins a run.
    fn begin(&mut self, event: &LogEvent) {
        self.leave_behind(|_| true);
        let lines = (event.line, event.line);
        let log = StandardRun { started: event.at.clone(), times: event.times, lines, ..StandardRun::default() };
        self.current = self.add(RunBuilder { log, ..RunBuilder::default() });
    }

    /// Marks runs that are over when another begins. A run with many later runs does not continue.
    fn leave_behind(&mut self, is_over: impl Fn(&RunBuilder) -> bool) {
        let begun = self.runs.len();
        let runs = &mut self.runs;
        self.alive.retain(|place| {
            let Some(run) = runs.get_mut(*place) else { return false };
            run.is_behind |= is_over(run);
            !run.is_behind || begun - run.begun < MAX_RUNS_BEHIND
        });
    }

    /// Adds a run. Returns its place.
    fn add(&mut self, mut run: RunBuilder) -> usize {
        run.begun = self.runs.len();
        self.runs.push(run);
        let place = self.runs.len() - 1;
        self.alive.push(place);
        place
    }

    /// Sets a value of a head on the newest run. If that run has epochs already, a new run begins.
    fn head(&mut self, event: &LogEvent, change: impl FnOnce(&mut StandardRun)) {
        if self.runs.last().is_none_or(|newest| !newest.epochs.is_empty()) {
            self.begin(event);
        }
        self.change(self.runs.len().saturating_sub(1), event, |run| change(&mut run.log));
    }

    /// Changes a run and notes the line as its last.
    fn change(&mut self, place: usize, event: &LogEvent, change: impl FnOnce(&mut RunBuilder)) {
        let begun = self.runs.len();
        if let Some(run) = self.runs.get_mut(place) {
            run.last_line(event.at.clone(), event.line, begun);
            change(run);
        }
    }

    /// Adds an epoch to its run.
    fn epoch(&mut self, mut epoch: EpochReader) {
        let place = match self.run_of(&epoch) {
            Ok(Some(place)) => place,
            Ok(None) => return,
            Err(places) => {
                let what = format!("epoch {} may belong to either of two runs", epoch.entry.last);
                epoch.broken.get_or_insert(BadLine::mixed(epoch.line, &what));
                epoch.is_mixed = true;
                places.first().copied().unwrap_or(self.current)
            }
        };
        if let Some(broken) = epoch.broken.clone().filter(|_| epoch.is_mixed) {
            // Each open run may lack lines.
            for place in &self.alive {
                self.runs.get_mut(*place).into_iter().for_each(|run| run.refuse(broken.clone()));
            }
        }
        let begun = self.runs.len();
        if let Some(run) = self.runs.get_mut(place) {
            run.last_line(epoch.entry.at.clone(), epoch.line, begun);
            run.broken = run.broken.take().or(epoch.broken.take());
            run.is_behind = false;
            run.epochs.push(epoch);
            self.current = place;
        }
    }

    /// The run whose next epoch this is. None if the lines are repeated. An error lists the runs if several are
    /// possible.
    fn run_of(&mut self, epoch: &EpochReader) -> Result<Option<usize>, Vec<usize>> {
        let alive = self.alive.iter().filter_map(|place| Some((*place, self.runs.get(*place)?)));
        let mut may_be: Vec<(usize, &RunBuilder)> =
            alive.filter(|(_, run)| run.last().saturating_add(1) == epoch.entry.first).collect();
        // A run is probably over if another began after it. A tracker's epochs do not overlap.
        let likely: [fn(&RunBuilder, &EpochReader) -> bool; 2] = [|run, _| !run.is_behind, RunBuilder::may_go_on];
        for is_likely in likely {
            if epoch.entry.first > 1 && may_be.len() > 1 && may_be.iter().any(|(_, run)| is_likely(run, epoch)) {
                may_be.retain(|(_, run)| is_likely(run, epoch));
            }
        }
        match may_be.as_slice() {
            [] => Ok(self.without_its_turn(epoch)),
            // Trackers without epochs are alike.
            [(place, run), rest @ ..] if rest.is_empty() || run.epochs.is_empty() => Ok(Some(*place)),
            several => Err(several.iter().map(|(place, _)| *place).collect()),
        }
    }

    /// The run of an epoch with an unexpected number: its log has a gap, this library resumed it, or a run begins
    /// without a head.
    fn without_its_turn(&mut self, epoch: &EpochReader) -> Option<usize> {
        match self.runs.get(self.current) {
            Some(run) if epoch.entry.first > run.last() => Some(self.current),
            Some(run) if run.epochs.iter().any(|had| had.is_same(epoch)) => None,
            before => {
                let RunBuilder { log, broken, .. } = before.cloned().unwrap_or_default();
                let StandardRun { version, is_ours, pue, components, .. } = log;
                let (started, times, lines) = (epoch.entry.at.clone(), epoch.times, (epoch.line, epoch.line));
                let log =
                    StandardRun { version, is_ours, pue, components, started, times, lines, ..StandardRun::default() };
                // If the head is missing because lines were mixed, epochs may be missing too.
                let broken = broken.filter(|broken| broken.is_mixed);
                self.leave_behind(|run| run.may_go_on(epoch));
                Some(self.add(RunBuilder { log, broken, ..RunBuilder::default() }))
            }
        }
    }
}

/// A run that is being read.
#[derive(Clone, Default)]
struct RunBuilder {
    log: StandardRun,
    epochs: Vec<EpochReader>,
    grid: LoggedIntensities,
    broken: Option<BadLine>,
    /// Another run began after its last line.
    is_behind: bool,
    /// The number of runs that had begun at its last line.
    begun: usize,
}

impl RunBuilder {
    /// Notes the time and number of its last line so far.
    fn last_line(&mut self, at: Option<String>, line: usize, begun: usize) {
        self.log.last_at = at;
        self.log.lines.1 = line;
        self.begun = begun;
    }

    /// Refuses the run. The first reason is kept.
    fn refuse(&mut self, broken: BadLine) {
        self.broken.get_or_insert(broken);
    }

    /// Number of the last epoch, 0 if there is none.
    fn last(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.entry.last)
    }

    /// True if its last epoch was over when this one began. Times have whole seconds.
    fn may_go_on(&self, epoch: &EpochReader) -> bool {
        const ROUNDED_S: f64 = 1.5;
        let seconds = |open: &EpochReader| super::lines::seconds(open.entry.at.as_deref()?);
        let ended = self.epochs.last().and_then(seconds);
        let began = seconds(epoch).map(|at| at - epoch.entry.duration_s);
        ended.zip(began).is_none_or(|(ended, began)| ended <= began + ROUNDED_S)
    }

    /// The complete run, or the line because of which it is refused.
    fn read(self) -> Result<StandardRun, BadLine> {
        let RunBuilder { mut log, mut epochs, grid, broken, .. } = self;
        let is_whole = |last: &EpochReader| log.is_ended || last.is_whole(log.components.len());
        log.is_torn = epochs.last().is_some_and(|last| last.broken.is_none() && !is_whole(last));
        if log.is_torn {
            epochs.pop();
        }
        let of = |open: &EpochReader| {
            BadLine::new(open.line, format!("epoch {} has no line with its duration", open.entry.last))
        };
        let cut = epochs.iter().find(|epoch| !epoch.has_duration).map(of);
        if let Some(broken) = broken.or(cut) {
            return Err(broken);
        }
        log.epochs = epochs.into_iter().map(|open| open.entry).collect();
        (log.intensity, log.place) = grid.mean();
        Ok(log)
    }
}

/// The carbon intensities of a log, the most reliable first.
#[derive(Clone, Default)]
struct LoggedIntensities {
    average: Option<(f64, Option<String>)>,
    list: Option<(f64, Option<String>)>,
    fetched: Vec<f64>,
    place: Option<String>,
}

impl LoggedIntensities {
    fn take(&mut self, grid: &LoggedIntensity) {
        match grid {
            LoggedIntensity::Average(mean, place) => self.average = Some((*mean, place.clone())),
            LoggedIntensity::List(mean, place) => self.list = Some((*mean, place.clone())),
            LoggedIntensity::Fetched(figure, place) => {
                self.fetched.push(*figure);
                self.place.clone_from(place);
            }
        }
    }

    /// The mean intensity, gCO2e/kWh, and its place.
    fn mean(self) -> (Option<f64>, Option<String>) {
        let count = self.fetched.len() as f64;
        let fetched = (count > 0.0).then(|| (self.fetched.iter().sum::<f64>() / count, None));
        let listed = self.list.as_ref().and_then(|(_, place)| place.clone());
        let (mean, place) = self.average.or(self.list).or(fetched).unzip();
        (mean, place.flatten().or(listed).or(self.place).filter(|place| !place.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is compared with few runs, even if many runs broke off before.
    #[test]
    fn old_runs_are_dropped() {
        let event = |line: usize, what: EventKind| LogEvent { line, at: None, what, times: 1 };
        let head = || EventKind::Version { version: None, is_ours: false };
        let of_run = |n: usize| [event(2 * n, head()), event(2 * n + 1, EventKind::Epoch(1))];
        let events: Vec<LogEvent> = (0..2000).flat_map(of_run).collect();
        let reader = RunReader::read(&events);
        assert_eq!(reader.runs.len(), 2000);
        assert!(reader.alive.len() <= MAX_RUNS_BEHIND + 1, "{}", reader.alive.len());
    }
}
