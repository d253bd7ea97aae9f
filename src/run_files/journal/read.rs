//! Reads a journal: its lines, and from them the values that the next attempt starts from. Pure.

mod pieces;

use super::VERSION;
use crate::attribution::account::Energy;
use crate::attribution::carried_over::{CarriedComponent, CarriedInterval, CarriedOver, LostEnergy};
use crate::attribution::epochs::{Epoch, PerKind, RecordedFigures};
use crate::attribution::ledger::EnergySplit;
use crate::clock::{MonoNs, UnixS};
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::source_name::SourceName;
use crate::report::ComponentStatus;
use crate::run_files::attempt::Process;
use crate::run_files::crash_counter::Count;
use crate::sanitize;
use crate::units::{self, ErrorBand};
use serde_json::Value;

/// Most invalid lines that are reported one by one. Further lines are counted only.
const MAX_FLAWS: usize = 5;
/// Fields of a forecast that the list of earlier forecasts does not have.
const NOT_IN_EARLIER: [&str; 4] = ["basis", "after_share", "saved", "history"];

/// The content of a journal.
#[derive(Default)]
pub struct Journal {
    /// Identifier of the run.
    pub id: String,
    /// The user's label of the run.
    pub name: Option<String>,
    /// Time when the first attempt began, RFC 3339.
    pub started: String,
    /// Planned epochs. 0: unknown.
    pub planned: u64,
    /// The process of the last attempt.
    pub process: Process,
    /// Number of attempts.
    pub attempts: u64,
    /// The last attempt ended in order.
    pub is_ended: bool,
    /// The flaws of the file, as texts for the user.
    pub flaws: Vec<String>,
    /// The epochs that the last attempt ended, by its lines.
    attempt_count: Count,
    /// The epochs that the attempts before the last one ended.
    epochs_before: u64,
    /// The opening line of the last attempt.
    pub opening: Value,
    /// The last numbers, as [`super::so_far`] makes them.
    pub so_far: Value,
    /// Time of the first numbers of the last attempt, s since 1970.
    first_unix_s: Option<UnixS>,
    /// The newest phases; null: there are none.
    pub phases: Value,
    /// The forecasts after each epoch that has one.
    pub forecasts: Vec<Value>,
    /// The components that the last numbers are about.
    channels: Vec<(Channel, ComponentStatus)>,
    /// The components that the next numbers are about.
    named: Option<Vec<(Channel, ComponentStatus)>>,
    /// The devices that are not measured, with reasons.
    pub unavailable: Value,
    /// The processes that count the devices which the ranks of the job share.
    pub job: Value,
    /// The carbon intensity, as it was known last.
    pub intensity: Value,
    /// The PUE, as it was known last.
    pub pue: Value,
    /// The section `facility` of the report.
    pub facility: Value,
    /// The energy by time.
    pub power: Vec<CarriedInterval>,
    /// The epochs, and the time before each, ns. Epochs whose lines are missing have no time and no energy.
    epochs: Vec<(u64, Epoch)>,
    /// The number of epochs.
    pub epochs_done: u64,
    /// The first entry of the attempt's pieces of the run's progress; None: it has none.
    pieces_from: Option<usize>,
    /// The time of pieces that came before the first epoch, ns.
    pieces_ns: u64,
    lost: LostEnergy,
    /// The epoch that was open at the last numbers: its time so far, s, and its energy, J.
    open: Option<(f64, Option<f64>)>,
    /// Number of invalid lines.
    invalid: usize,
}

impl Journal {
    /// Reads the lines. Torn and invalid lines are left out and reported in `flaws`. Fails if no line opens a run.
    pub fn parse(text: &[u8]) -> Result<Journal, String> {
        let mut journal = Journal::default();
        let lines = text.split_inclusive(|&byte| byte == b'\n').enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            let mut value = serde_json::from_slice::<Value>(line).unwrap_or_default();
            sanitize::json(&mut value);
            if journal.take(&value) {
                continue;
            }
            journal.invalid += 1;
            if !line.ends_with(b"\n") {
                journal.flaws.push("its last line is torn and is left out".into());
            } else if journal.invalid <= MAX_FLAWS {
                journal.flaws.push(format!("its line {} is not a journal line and is left out", number + 1));
            }
        }
        if journal.invalid > MAX_FLAWS {
            journal.flaws.push(format!("in all {} of its lines are left out", journal.invalid));
        }
        if journal.so_far.is_null() {
            journal.channels = journal.named.take().unwrap_or_default();
        }
        if journal.attempts == 0 {
            return Err(
                "no line in it opens a run, so it is no journal; name a journal (NAME.jsonl) that this library wrote"
                    .into(),
            );
        }
        Ok(journal)
    }

    /// Reads a line. False: the line is invalid.
    fn take(&mut self, line: &Value) -> bool {
        if line.get("journal").is_some() {
            return self.open(line);
        }
        if self.attempts == 0 {
            return false;
        }
        if let Some(list) = line.get("components").and_then(Value::as_array) {
            self.intensity = line.get("intensity").cloned().unwrap_or_default();
            self.pue = line.get("pue").cloned().unwrap_or_default();
            self.facility = line.get("facility").cloned().unwrap_or_default();
            let channels = list.iter().map(|named| Some((channel(named)?, status(named)))).collect::<Option<Vec<_>>>();
            self.unavailable = line.get("unavailable").cloned().unwrap_or_default();
            self.job = line.get("job").cloned().unwrap_or_default();
            return channels.map(|channels| self.named = Some(channels)).is_some();
        }
        let is_epoch = line.get("index").is_some();
        if is_epoch && !self.add_epoch(line) {
            return false;
        }
        let so_far = line.get("so_far").filter(|so_far| so_far.is_object());
        if let Some(so_far) = so_far {
            self.read_so_far(so_far, is_epoch);
        }
        self.is_ended |= line.get("end").is_some();
        if let Some(phases) = line.get("phases").filter(|phases| phases.is_object()) {
            self.phases = phases.clone();
        }
        is_epoch || so_far.is_some() || ["end", "note", "phases"].iter().any(|name| line.get(*name).is_some())
    }

    /// Begins an attempt. False: the line is invalid, or of another run.
    fn open(&mut self, line: &Value) -> bool {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let id = text("/run/id").filter(|id| self.attempts == 0 || *id == self.id);
        let Some(id) = id.filter(|_| line.get("journal").and_then(Value::as_u64) == Some(VERSION)) else {
            return false;
        };
        let before = line.get("before").and_then(Value::as_u64).unwrap_or(0);
        if before > self.epochs_done.max(self.epochs_in_numbers()) {
            self.open = None; // it had ended, by the crash counter
        }
        self.lose_open();
        self.id = id;
        self.name = text("/run/name");
        self.started = text("/run/started").unwrap_or_default();
        self.planned = line.pointer("/run/epochs_planned").and_then(Value::as_u64).unwrap_or(0);
        self.process = Process::of_opening(line);
        self.first_unix_s = None;
        let attempt = line.get("life").and_then(Value::as_u64).unwrap_or(0);
        self.attempts = attempt.max(self.attempts + 1); // an attempt may have been killed before its first line
        self.is_ended = false;
        (self.attempt_count, self.pieces_from, self.pieces_ns) = (Count::default(), None, 0);
        self.epochs_before = before;
        self.opening = line.clone();
        true
    }

    /// Counts an open epoch as lost, because the next attempt repeats it.
    fn lose_open(&mut self) {
        if let Some((seconds, joules)) = self.open.take() {
            self.lost.times += 1;
            self.lost.seconds += seconds;
            self.lost.joules = units::sum([self.lost.joules, joules]);
        }
    }

    fn add_epoch(&mut self, line: &Value) -> bool {
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        let (Some(index), Some(count), Some(inside)) = (number("index"), number("count"), ns(line.get("duration_s")))
        else {
            return false;
        };
        let is_possible = count > 0 && index.checked_add(count).is_some();
        let is_piece = line.get("piece") == Some(&Value::Bool(true));
        if !is_piece {
            self.set_pieces_apart();
        }
        let Some(missing) = index.checked_sub(self.epochs_done).filter(|_| is_possible) else { return false };
        if is_piece {
            self.pieces_from.get_or_insert(self.epochs.len());
        }
        if missing > 0 {
            self.add(0, unmeasured(missing, 0));
        }
        let [co2eq_g, coverage] = ["co2eq_g", "coverage"].map(|name| line.get(name).and_then(amount));
        let recorded = Some(RecordedFigures { co2eq_g, coverage });
        let gap = ns(line.get("gap_s")).unwrap_or(0).saturating_add(std::mem::take(&mut self.pieces_ns));
        self.add(gap, Epoch { energy: per_kind(line), recorded, ..Epoch::unplaced(inside, count) });
        self.open = None;
        true
    }

    /// Adds an epoch. `gap` is the time, ns, between it and the epoch before.
    fn add(&mut self, gap: u64, epoch: Epoch) {
        // An attempt may first write epochs of the attempt before, which had no time to.
        if self.epochs_done >= self.epochs_before {
            self.attempt_count.epochs = self.attempt_count.epochs.saturating_add(epoch.count);
            self.attempt_count.inside = self.attempt_count.inside.saturating_add(epoch.inside);
            self.attempt_count.span = self.attempt_count.span.saturating_add(gap).saturating_add(epoch.inside);
        }
        self.epochs_done = self.epochs_done.saturating_add(epoch.count);
        self.epochs.push((gap, epoch));
    }

    fn read_so_far(&mut self, so_far: &Value, is_epoch: bool) {
        if so_far.pointer("/run/work/pieces") == Some(&Value::Bool(false)) {
            self.set_pieces_apart();
        }
        let open = so_far.get("open").filter(|open| open.is_object());
        self.open = open.map(|open| {
            (open.get("duration_s").and_then(amount).unwrap_or(0.0), open.get("energy_j").and_then(amount))
        });
        if let Some(power) = so_far.get("power").filter(|power| power.is_object()) {
            let [from, to] = ["from", "to"].map(|name| power.get(name).and_then(Value::as_f64));
            let ends = from.zip(to).filter(|(from, to)| from < to);
            self.power.extend(ends.map(|(from, to)| CarriedInterval { from, to, energy: per_kind(power) }));
        }
        if let Some(named) = self.named.take() {
            self.channels = named;
        }
        let forecast = so_far.get("forecast").and_then(Value::as_object).filter(|_| is_epoch);
        self.forecasts.extend(forecast.map(|forecast| {
            let is_kept = |(name, _): &(&String, &Value)| !NOT_IN_EARLIER.contains(&name.as_str());
            forecast.iter().filter(is_kept).map(|(name, value)| (name.clone(), value.clone())).collect::<Value>()
        }));
        self.so_far = so_far.clone();
        self.first_unix_s = self.first_unix_s.or_else(|| self.last_unix_s());
    }

    /// Time of the last numbers, s since 1970.
    pub fn last_unix_s(&self) -> Option<UnixS> {
        self.so_far.get("unix_s").and_then(amount).map(UnixS)
    }

    /// Time from the first to the last numbers of the last attempt, s.
    pub fn worked_s(&self) -> f64 {
        self.first_unix_s.zip(self.last_unix_s()).map_or(0.0, |(first, last)| last.s_since(first))
    }
}

impl Journal {
    /// The values that the next attempt starts from. `counted` has the crash counters of the last attempt, and of later
    /// attempts that were killed before their first line. They also count epochs that have no line.
    pub fn into_carried_over(mut self, counted: impl IntoIterator<Item = Count>) -> CarriedOver {
        let mut carried_over = self.last_numbers();
        let by_numbers = self.epochs_in_numbers();
        let by_lines = self.epochs_done;
        if by_numbers > by_lines {
            let inside = self.epochs.iter().fold(0u64, |sum, (_, epoch)| sum.saturating_add(epoch.inside));
            self.add(0, unmeasured(by_numbers - by_lines, carried_over.inside_ns.saturating_sub(inside)));
        }
        let mut count = 0u64;
        for (gap, epoch) in &self.epochs {
            count = count.saturating_add(epoch.count);
            if count > by_numbers {
                // The epoch has a line, but the numbers that should follow it are missing.
                carried_over.add(*gap, epoch);
            }
        }
        // A kill may have torn the lines that followed the last opening line.
        if self.epochs_before > self.epochs_done {
            self.add(0, unmeasured(self.epochs_before - self.epochs_done, 0));
        }
        for counted in counted {
            if let Some(more) = counted.beyond(std::mem::take(&mut self.attempt_count)) {
                let (gap, epoch) = (more.span.saturating_sub(more.inside), unmeasured(more.epochs, more.inside));
                carried_over.add(gap, &epoch);
                self.epochs.push((gap, epoch));
                self.open = None;
            }
        }
        self.lose_open();
        CarriedOver {
            epochs: self.placed(MonoNs(carried_over.duration_ns)),
            lost: self.lost,
            power: self.power,
            phases: self.phases,
            ..carried_over
        }
    }

    /// The last numbers, as the next attempt needs them.
    fn last_numbers(&self) -> CarriedOver {
        let usage = |pointer: &str| self.so_far.pointer(&format!("/usage/{pointer}"));
        CarriedOver {
            attempts: self.attempts,
            inside_ns: ns(usage("epochs/duration_s")).unwrap_or(0),
            duration_ns: ns(usage("duration_s")).unwrap_or(0),
            components: self.measured().map(|(component, _)| component).collect(),
            energy_j: usage("energy_j").and_then(amount),
            co2eq_g: usage("co2eq_g").and_then(amount),
            marginal_g: self.so_far.get("marginal_g").and_then(amount),
            coverage: usage("coverage").and_then(amount),
            ..CarriedOver::default()
        }
    }

    /// The measured components, each with its energy and status.
    pub fn measured(&self) -> impl Iterator<Item = (CarriedComponent, ComponentStatus)> {
        self.channels.iter().enumerate().map(|(index, (channel, status))| {
            let used = self.so_far.pointer(&format!("/components/{index}")).map(energies);
            (CarriedComponent { channel: channel.clone(), used: used.unwrap_or_default() }, *status)
        })
    }

    /// The number of epochs that the last numbers cover.
    fn epochs_in_numbers(&self) -> u64 {
        self.so_far.pointer("/run/epochs_done").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The epochs with instants, so that the last one ends at `end`.
    pub fn placed(&self, end: MonoNs) -> Vec<Epoch> {
        let mut end = end;
        let mut placed: Vec<Epoch> = Vec::with_capacity(self.epochs.len());
        for (gap, epoch) in self.epochs.iter().rev() {
            let begin = end - epoch.inside;
            placed.push(Epoch { begin, end, ..*epoch });
            end = begin - *gap;
        }
        placed.reverse();
        placed
    }
}

/// Epochs with only a count and a time in them, ns.
fn unmeasured(count: u64, inside: u64) -> Epoch {
    Epoch { recorded: Some(RecordedFigures::default()), ..Epoch::unplaced(inside, count) }
}

/// A component of a line `"components"`. None: a field is missing or unknown.
fn channel(named: &Value) -> Option<Channel> {
    let text = |name: &str| named.get(name).and_then(Value::as_str);
    let kind = DeviceKind::ALL.into_iter().find(|kind| text("kind") == Some(kind.name()))?;
    let source: SourceName = text("source")?.parse().ok()?;
    let method = MeasuringMethod::ALL.into_iter().find(|method| text("method") == Some(method.name()))?;
    let (device, id) = (text("device")?, text("id")?);
    let simulated = named.get("simulated").and_then(Value::as_bool).unwrap_or(false);
    let quantity = Quantity::Power { max_watts: 0.0 }; // it is not read any more
    let error = ErrorBand::of_component(named);
    Some(Channel { simulated, error, ..Channel::new((kind, source), device, id, method, quantity) })
}

fn status(named: &Value) -> ComponentStatus {
    let name = named.get("status").and_then(Value::as_str);
    name.and_then(|name| name.parse().ok()).unwrap_or(ComponentStatus::Ok)
}

fn energies(used: &Value) -> EnergySplit {
    let energy = |index: usize| {
        let part = |n: usize| used.pointer(&format!("/{index}/{n}")).and_then(amount);
        let ns = |n: usize| part(n).unwrap_or(0.0) * 1e9;
        Energy { joules: part(0), credited_ns: ns(1), measured_ns: ns(2), by_time_j: [0.0; 2] }
    };
    EnergySplit { epochs: energy(0), between: energy(1) }
}

fn per_kind(of: &Value) -> PerKind {
    let mut energy = PerKind::default();
    for kind in DeviceKind::ALL {
        if let Some(joules) = of.get(kind.joules()).and_then(amount) {
            energy.add(kind, joules);
        }
    }
    energy
}

/// A finite number, 0 or more, such as an energy, a mass or a time.
fn amount(value: &Value) -> Option<f64> {
    value.as_f64().filter(|amount| (0.0..=f64::MAX).contains(amount))
}

/// Seconds as nanoseconds. None: more than 30 years, or no valid number.
fn ns(seconds: Option<&Value>) -> Option<u64> {
    const MAX_S: f64 = 1e9;
    amount(seconds?).filter(|seconds| *seconds < MAX_S).map(|seconds| (seconds * 1e9).round() as u64)
}
