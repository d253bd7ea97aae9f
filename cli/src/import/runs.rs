//! A file's events as runs: which of the trackers that wrote into one file each line is of. Pure; any events are read.
//!
//! In Carbontracker 1.x all trackers of a process share a logger. So a file holds the run it was made for and all that
//! came later, or several at a time where their trackers were alive together.

use super::events::{Event, Found, Grid, Power, What};

/// What the standard log, `*_carbontracker.log`, reports of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standard {
    pub version: Option<String>,
    /// Written by this library, in whose logs a power is the sum over the devices and times are UTC.
    pub is_ours: bool,
    /// Date and time of the first line, and of the last.
    pub started: Option<String>,
    pub last_at: Option<String>,
    pub pue: Option<f64>,
    pub components: Vec<Found>,
    pub epochs: Vec<Entry>,
    /// gCO2e/kWh, in the mean.
    pub intensity: Option<f64>,
    pub place: Option<String>,
    /// Epochs planned, where it was interrupted.
    pub planned: Option<u64>,
    pub is_interrupted: bool,
    pub is_ended: bool,
    /// Its last epoch was left out: the log breaks off within it.
    pub is_torn: bool,
    /// It has a line with its version; else the line is missing, or its tracker's is that of a run before it.
    pub has_head: bool,
    /// How often each of its lines is there.
    pub times: usize,
    /// Its first line in the file, and its last.
    pub lines: (usize, usize),
}

/// An epoch, or several that were taken together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub at: Option<String>,
    /// Number of the first, from 1.
    pub first: u64,
    pub last: u64,
    pub duration_s: f64,
    /// By component, W.
    pub powers: Vec<(String, Power)>,
}

/// Why a run cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    pub line: usize,
    pub what: String,
    /// Lines of several runs are mixed.
    pub is_mixed: bool,
}

impl Broken {
    /// A line that cannot be read.
    pub fn new(line: usize, what: String) -> Broken {
        Broken { line, what, is_mixed: false }
    }

    /// Lines that may be of several runs.
    fn mixed(line: usize, what: &str) -> Broken {
        const ADVICE: &str = "several runs wrote into this file at once and cannot be told apart. If their output logs \
            have lines 'Actual consumption', import these alone";
        Broken { line, what: format!("{what}: {ADVICE}"), is_mixed: true }
    }
}

/// The runs of a standard log, each read or refused.
pub fn standards(events: &[Event]) -> Vec<Result<Standard, Broken>> {
    Reader::read(events).runs.into_iter().map(Building::read).collect()
}

impl Entry {
    /// How many epochs it is.
    pub fn count(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// An epoch that is being read.
#[derive(Clone)]
struct Open {
    line: usize,
    times: usize,
    entry: Entry,
    has_duration: bool,
    broken: Option<Broken>,
    /// It has two durations, or two powers of one component.
    is_mixed: bool,
}

impl Open {
    fn new(event: &Event, last: u64, first: Option<u64>) -> Open {
        let first = first.filter(|first| (1..=last).contains(first)).unwrap_or(last);
        let entry = Entry { at: event.at.clone(), first, last, ..Entry::default() };
        Open { line: event.line, times: event.times, entry, has_duration: false, broken: None, is_mixed: false }
    }

    /// Whether an event is of an epoch, or may come between its lines from another thread.
    fn is_part(event: &Event) -> bool {
        matches!(event.what, What::Duration(_) | What::Power(..) | What::Broken(_) | What::Grid(_))
    }

    fn take(&mut self, event: &Event) {
        let number = self.entry.last;
        let mixed = match &event.what {
            What::Duration(shown) if self.has_duration => (self.entry.duration_s != *shown).then(|| "durations".into()),
            What::Duration(shown) => {
                (self.entry.duration_s, self.has_duration) = (*shown, true);
                None
            }
            What::Power(kind, power) => match self.entry.powers.iter().find(|(known, _)| known == kind) {
                Some((_, known)) => (known != power).then(|| format!("powers of the {kind}")),
                None => {
                    self.entry.powers.push((kind.clone(), power.clone()));
                    None
                }
            },
            What::Broken(what) => {
                self.broken.get_or_insert(Broken::new(event.line, what.clone()));
                None
            }
            _ => None,
        };
        if let Some(what) = mixed {
            self.is_mixed = true;
            self.broken.get_or_insert(Broken::mixed(event.line, &format!("epoch {number} has two {what}")));
        }
    }

    fn is_whole(&self, components: usize) -> bool {
        self.has_duration && components <= self.entry.powers.len()
    }

    /// Whether another is the same lines again.
    fn is_same(&self, other: &Open) -> bool {
        self.entry == other.entry && self.times == other.times
    }
}

/// Of so many runs that began last, one may go on that others began after.
const MOST_BEHIND: usize = 256;

#[derive(Default)]
struct Reader {
    runs: Vec<Building>,
    /// Places of those that may go on.
    alive: Vec<usize>,
    /// The run that the last lines were of.
    current: usize,
    /// Of an entry of several epochs that comes next, the first.
    first: Option<u64>,
}

impl Reader {
    fn read(events: &[Event]) -> Reader {
        let mut reader = Reader::default();
        let mut rest = events.iter().peekable();
        while let Some(event) = rest.next() {
            if let What::Epoch(number) = event.what {
                let mut epoch = Open::new(event, number, reader.first.take());
                let mut between = Vec::new();
                while let Some(next) = rest.next_if(|next| Open::is_part(next)) {
                    match next.what {
                        What::Grid(_) => between.push(next),
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

    fn take(&mut self, event: &Event) {
        match &event.what {
            What::Version { version, is_ours } => {
                self.begin(event);
                self.change(self.current, event, |run| {
                    (run.log.version, run.log.is_ours, run.log.has_head) = (version.clone(), *is_ours, true);
                });
            }
            What::Pue(pue) => self.head(event, |log| log.pue = *pue),
            What::Found(components) => self.head(event, |log| log.components.clone_from(components)),
            What::First(first) => self.first = Some(*first),
            What::Grid(grid) => self.change(self.current, event, |run| run.grid.take(grid)),
            What::Interrupted(planned) => self.change(self.current, event, |run| {
                (run.log.is_interrupted, run.log.planned) = (true, planned.or(run.log.planned));
            }),
            What::Ended => {
                self.change(self.current, event, |run| run.log.is_ended = true);
                self.alive.retain(|place| *place != self.current);
            }
            What::Broken(what) => {
                let broken = Broken::new(event.line, what.clone());
                self.change(self.current, event, |run| run.refuse(broken));
            }
            _ => (),
        }
    }

    /// A run begins.
    fn begin(&mut self, event: &Event) {
        self.leave_behind(|_| true);
        let lines = (event.line, event.line);
        let log = Standard { started: event.at.clone(), times: event.times, lines, ..Standard::default() };
        self.current = self.add(Building { log, ..Building::default() });
    }

    /// Another run begins, after those that are over by then. One that many began after does not go on.
    fn leave_behind(&mut self, is_over: impl Fn(&Building) -> bool) {
        let begun = self.runs.len();
        let runs = &mut self.runs;
        self.alive.retain(|place| {
            let Some(run) = runs.get_mut(*place) else { return false };
            run.is_behind |= is_over(run);
            !run.is_behind || begun - run.begun < MOST_BEHIND
        });
    }

    /// Its place.
    fn add(&mut self, mut run: Building) -> usize {
        run.begun = self.runs.len();
        self.runs.push(run);
        let place = self.runs.len() - 1;
        self.alive.push(place);
        place
    }

    /// Adds to the run that began last what a head holds. A run that has epochs has a head already: another begins.
    fn head(&mut self, event: &Event, change: impl FnOnce(&mut Standard)) {
        if self.runs.last().is_none_or(|newest| !newest.epochs.is_empty()) {
            self.begin(event);
        }
        self.change(self.runs.len().saturating_sub(1), event, |run| change(&mut run.log));
    }

    fn change(&mut self, place: usize, event: &Event, change: impl FnOnce(&mut Building)) {
        let begun = self.runs.len();
        if let Some(run) = self.runs.get_mut(place) {
            (run.log.last_at, run.log.lines.1, run.begun) = (event.at.clone(), event.line, begun);
            change(run);
        }
    }

    /// Gives an epoch to its run.
    fn epoch(&mut self, mut epoch: Open) {
        let place = match self.run_of(&epoch) {
            Ok(Some(place)) => place,
            Ok(None) => return,
            Err(places) => {
                let what = format!("epoch {} may be of either of two runs", epoch.entry.last);
                epoch.broken.get_or_insert(Broken::mixed(epoch.line, &what));
                epoch.is_mixed = true;
                places.first().copied().unwrap_or(self.current)
            }
        };
        if let Some(broken) = epoch.broken.clone().filter(|_| epoch.is_mixed) {
            // What each of them lacks is not known.
            for place in &self.alive {
                self.runs.get_mut(*place).into_iter().for_each(|run| run.refuse(broken.clone()));
            }
        }
        let begun = self.runs.len();
        if let Some(run) = self.runs.get_mut(place) {
            (run.log.last_at, run.log.lines.1, run.begun) = (epoch.entry.at.clone(), epoch.line, begun);
            run.broken = run.broken.take().or(epoch.broken.take());
            run.is_behind = false;
            run.epochs.push(epoch);
            self.current = place;
        }
    }

    /// The run whose next epoch this is, none for the same lines again, or several that it may be of.
    fn run_of(&mut self, epoch: &Open) -> Result<Option<usize>, Vec<usize>> {
        let alive = self.alive.iter().filter_map(|place| Some((*place, self.runs.get(*place)?)));
        let mut may_be: Vec<(usize, &Building)> =
            alive.filter(|(_, run)| run.last().saturating_add(1) == epoch.entry.first).collect();
        // A run that another began after is likely left, and a tracker does one epoch after the other.
        let likely: [fn(&Building, &Open) -> bool; 2] = [|run, _| !run.is_behind, Building::may_go_on];
        for is_likely in likely {
            if epoch.entry.first > 1 && may_be.len() > 1 && may_be.iter().any(|(_, run)| is_likely(run, epoch)) {
                may_be.retain(|(_, run)| is_likely(run, epoch));
            }
        }
        match may_be.as_slice() {
            [] => Ok(self.without_its_turn(epoch)),
            // Trackers without an epoch as yet differ in nothing.
            [(place, run), rest @ ..] if rest.is_empty() || run.epochs.is_empty() => Ok(Some(*place)),
            several => Err(several.iter().map(|(place, _)| *place).collect()),
        }
    }

    /// The run of an epoch whose number is no run's next: its log has a gap, ours was taken up, or a run begins without a
    /// head.
    fn without_its_turn(&mut self, epoch: &Open) -> Option<usize> {
        match self.runs.get(self.current) {
            Some(run) if epoch.entry.first > run.last() => Some(self.current),
            Some(run) if run.epochs.iter().any(|had| had.is_same(epoch)) => None,
            before => {
                let Building { log, broken, .. } = before.cloned().unwrap_or_default();
                let Standard { version, is_ours, pue, components, .. } = log;
                let (started, times, lines) = (epoch.entry.at.clone(), epoch.times, (epoch.line, epoch.line));
                let log = Standard { version, is_ours, pue, components, started, times, lines, ..Standard::default() };
                // Where a head is missing because lines were mixed, epochs may be too.
                let broken = broken.filter(|broken| broken.is_mixed);
                self.leave_behind(|run| run.may_go_on(epoch));
                Some(self.add(Building { log, broken, ..Building::default() }))
            }
        }
    }
}

/// A run that is being read.
#[derive(Clone, Default)]
struct Building {
    log: Standard,
    epochs: Vec<Open>,
    grid: Intensities,
    broken: Option<Broken>,
    /// Another run began since its last line.
    is_behind: bool,
    /// How many runs had begun by its last line.
    begun: usize,
}

impl Building {
    /// The first reason counts.
    fn refuse(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    fn last(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.entry.last)
    }

    /// Whether its last epoch was over when this one began, as far as seconds can show.
    fn may_go_on(&self, epoch: &Open) -> bool {
        const ROUNDED_S: f64 = 1.5;
        let seconds = |open: &Open| super::lines::seconds(open.entry.at.as_deref()?);
        let ended = self.epochs.last().and_then(seconds);
        let began = seconds(epoch).map(|at| at - epoch.entry.duration_s);
        ended.zip(began).is_none_or(|(ended, began)| ended <= began + ROUNDED_S)
    }

    fn read(self) -> Result<Standard, Broken> {
        let Building { mut log, mut epochs, grid, broken, .. } = self;
        let is_whole = |last: &Open| log.is_ended || last.is_whole(log.components.len());
        log.is_torn = epochs.last().is_some_and(|last| last.broken.is_none() && !is_whole(last));
        if log.is_torn {
            epochs.pop();
        }
        let of =
            |open: &Open| Broken::new(open.line, format!("epoch {} has no line with its duration", open.entry.last));
        let cut = epochs.iter().find(|epoch| !epoch.has_duration).map(of);
        if let Some(broken) = broken.or(cut) {
            return Err(broken);
        }
        log.epochs = epochs.into_iter().map(|open| open.entry).collect();
        (log.intensity, log.place) = grid.mean();
        Ok(log)
    }
}

/// What a log reports of the grid, from what counts most to what counts least.
#[derive(Clone, Default)]
struct Intensities {
    average: Option<(f64, Option<String>)>,
    list: Option<(f64, Option<String>)>,
    fetched: Vec<f64>,
    place: Option<String>,
}

impl Intensities {
    fn take(&mut self, grid: &Grid) {
        match grid {
            Grid::Average(mean, place) => self.average = Some((*mean, place.clone())),
            Grid::List(mean, place) => self.list = Some((*mean, place.clone())),
            Grid::Fetched(figure, place) => {
                self.fetched.push(*figure);
                self.place.clone_from(place);
            }
        }
    }

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

    /// Each line is compared with few runs, however many broke off before.
    #[test]
    fn runs_that_many_began_after_are_left() {
        let event = |line: usize, what: What| Event { line, at: None, what, times: 1 };
        let head = || What::Version { version: None, is_ours: false };
        let of_run = |n: usize| [event(2 * n, head()), event(2 * n + 1, What::Epoch(1))];
        let events: Vec<Event> = (0..2000).flat_map(of_run).collect();
        let reader = Reader::read(&events);
        assert_eq!(reader.runs.len(), 2000);
        assert!(reader.alive.len() <= MOST_BEHIND + 1, "{}", reader.alive.len());
    }
}
