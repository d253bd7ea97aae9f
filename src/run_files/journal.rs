//! The journal of a run, JSON lines: what is written as the run goes, and how it is read again. Pure.
//!
//! A process that works on the run writes a line that opens its part (`"journal"`), one that names the components whenever
//! they change, and one for each epoch (`"index"`): the report's own, with the time before it. The last of several written
//! at once, and a line now and then while an epoch lasts, carries `so_far`: the report's numbers at that moment, from which
//! the next process goes on. A last line, `"end"`, says that the process ended in order.

use super::attempt::Process;
use super::crash_counter::Count;
use crate::attribution::account::Energy;
use crate::attribution::carried_over::{CarriedComponent, CarriedInterval, CarriedOver, LostEnergy};
use crate::attribution::epochs::{Epoch, PerKind, RecordedFigures};
use crate::attribution::ledger::Energies;
use crate::clock::{MonoNs, UnixS};
use crate::measurement::channel::{Channel, DeviceKind, ErrorBand, MeasuringMethod, Quantity};
use crate::measurement::source;
use crate::report::{Report, STATUSES, named};
use crate::sanitize;
use crate::units;
use serde_json::{Map, Value, json};

/// Version of the lines: grows when a name or meaning changes, not when something is added.
const VERSION: u64 = 1;
/// More lines than this that say nothing are counted only.
const MOST_FLAWS: usize = 5;

/// How a journal begins.
pub const OPENING: &[u8] = b"{\"journal\":";

/// What a process writes first: number `life` of those that worked on the run, which had done `before` epochs.
pub fn opening(report: &Report, life: u64, before: u64, process: &Process) -> Value {
    let mut line = Map::new();
    line.insert("journal".into(), json!(VERSION));
    line.insert("life".into(), json!(life));
    line.insert("before".into(), json!(before));
    line.insert("job".into(), json!(process.job));
    line.insert("rank".into(), json!(process.rank.number));
    line.insert("ranks".into(), json!(process.rank.of));
    line.insert("restarts".into(), json!(process.restarts));
    for section in ["schema", "run", "pue", "intensity"] {
        line.insert(section.into(), report.section(section));
    }
    Value::Object(line)
}

/// What is measured and what is not, and what it is priced by: the numbers of `so_far` come in this order.
pub fn components(report: &Report) -> Value {
    let named = |(channel, _, status): (&Channel, Energies, &str)| {
        let more = [("simulated", json!(channel.simulated)), ("status", json!(status))];
        let error = channel.error.map(|band| ("error", band.json()));
        Value::Object(named(channel, more.into_iter().chain(error)))
    };
    json!({
        "components": report.measured().map(named).collect::<Value>(),
        "unavailable": report.section("unavailable"),
        "intensity": some_of(report, "intensity", &["kind", "zone", "year", "basis", "use", "source"]),
        "pue": report.section("pue"),
        "facility": report.section("facility"),
        "job": shares(report),
    })
}

/// Who counts each device that the ranks of a job share; null if this process shares none.
fn shares(report: &Report) -> Value {
    let mut job = some_of(report, "job", &["agreed", "devices"]);
    for device in job.pointer_mut("/devices").and_then(Value::as_array_mut).into_iter().flatten() {
        // These change while the same process counts.
        let passing = ["since", "handed_over_j"];
        device
            .as_object_mut()
            .into_iter()
            .for_each(|device| passing.iter().for_each(|name| drop(device.remove(*name))));
    }
    job
}

/// The report's numbers at this moment, and what was used since this was said last.
pub fn so_far(report: &Report, at: UnixS, power: Option<CarriedInterval>) -> Value {
    let energy = |energy: Energy| json!([energy.joules, energy.credited_ns * 1e-9, energy.measured_ns * 1e-9]);
    let used = |(_, used, _): (&Channel, Energies, &str)| json!([energy(used.epochs), energy(used.between)]);
    let power = power.map(|power| {
        let joules = DeviceKind::ALL.map(|kind| (kind.joules(), json!(power.energy.get(kind))));
        let ends = [("from", json!(power.from)), ("to", json!(power.to))];
        ends.into_iter().chain(joules).map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()
    });
    json!({
        "unix_s": at.0,
        "run": some_of(report, "run", &["last_end_unix_s", "state", "epochs_done", "progress"]),
        "usage": some_of(report, "usage", &["duration_s", "energy_j", "co2eq_g", "coverage", "epochs", "between"]),
        "forecast": some_of(report, "forecast", &["after_epochs", "level", "duration_s", "energy_j", "co2eq_g"]),
        "g_per_kwh": report.section("intensity").get("g_per_kwh"),
        "marginal_g": report.section("extras").pointer("/marginal/co2eq_g"),
        "open": report.open_epoch().map(|(duration_s, energy_j)| json!({"duration_s": duration_s, "energy_j": energy_j})),
        "components": report.measured().map(used).collect::<Value>(),
        "power": power,
    })
}

/// Some of a section's fields.
fn some_of(report: &Report, section: &str, names: &[&str]) -> Value {
    let section = report.section(section);
    let some = names.iter().filter_map(|name| Some(((*name).to_owned(), section.get(name)?.clone())));
    if section.is_null() { section } else { Value::Object(some.collect()) }
}

/// A journal that was read.
#[derive(Default)]
pub struct Journal {
    /// The run's identifier.
    pub id: String,
    /// Its label.
    pub name: Option<String>,
    /// When its first process began, RFC 3339.
    pub started: String,
    /// Epochs planned; 0: unknown.
    pub planned: u64,
    /// The last process that worked on it.
    pub process: Process,
    /// How many processes have worked on it.
    pub lives: u64,
    /// The last of them ended in order.
    pub is_ended: bool,
    /// What is wrong with it, in words.
    pub flaws: Vec<String>,
    /// What the last process ended, by the lines.
    life: Count,
    /// Epochs of those before it.
    before: u64,
    /// The line that opened the last process's part.
    pub opening: Value,
    /// The last numbers.
    pub so_far: Value,
    /// When the last process wrote its first numbers, s since 1970.
    first_unix_s: Option<UnixS>,
    /// Forecasts as they were after epochs.
    pub forecasts: Vec<Value>,
    /// What was measured, by the last numbers.
    channels: Vec<(Channel, &'static str)>,
    /// What the numbers to come are about.
    named: Option<Vec<(Channel, &'static str)>>,
    /// What is not, and why.
    pub unavailable: Value,
    /// Who counts the devices that it shares with other ranks of its job.
    pub job: Value,
    /// What its energy was priced by, as far as it was known last.
    pub intensity: Value,
    /// Its PUE, as far as it was known last.
    pub pue: Value,
    /// The cloud region's halls.
    pub facility: Value,
    /// Energy by time.
    pub power: Vec<CarriedInterval>,
    /// Epochs, and the time before each, ns; where lines are missing they have no time and no energy.
    epochs: Vec<(u64, Epoch)>,
    /// How many they are.
    pub epochs_done: u64,
    lost: LostEnergy,
    /// An epoch that was open at the last numbers: how long, s, and its energy, J.
    open: Option<(f64, Option<f64>)>,
    strange: usize,
}

impl Journal {
    /// Reads the lines. What is torn, or none of a journal's, is left out and noted; without an opening there is no run.
    pub fn parse(text: &[u8]) -> Result<Journal, String> {
        let mut journal = Journal::default();
        let lines = text.split_inclusive(|&byte| byte == b'\n').enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            let mut value = serde_json::from_slice::<Value>(line).unwrap_or_default();
            sanitize::json(&mut value);
            if journal.take(&value) {
                continue;
            }
            journal.strange += 1;
            if !line.ends_with(b"\n") {
                journal.flaws.push("its last line is torn and left out".into());
            } else if journal.strange <= MOST_FLAWS {
                journal.flaws.push(format!("its line {} is none of a journal's and left out", number + 1));
            }
        }
        if journal.strange > MOST_FLAWS {
            journal.flaws.push(format!("in all {} of its lines are left out", journal.strange));
        }
        if journal.so_far.is_null() {
            journal.channels = journal.named.take().unwrap_or_default();
        }
        if journal.lives == 0 {
            return Err("no line in it opens a run, as a journal's (NAME.jsonl) does".into());
        }
        Ok(journal)
    }

    /// Takes a line in; false where it says nothing.
    fn take(&mut self, line: &Value) -> bool {
        if line.get("journal").is_some() {
            return self.open(line);
        }
        if self.lives == 0 {
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
        so_far.into_iter().for_each(|so_far| self.go_on(so_far, is_epoch));
        self.is_ended |= line.get("end").is_some();
        is_epoch || so_far.is_some() || ["end", "note"].iter().any(|name| line.get(*name).is_some())
    }

    /// Another process took the run up, or the first began.
    fn open(&mut self, line: &Value) -> bool {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let id = text("/run/id").filter(|id| self.lives == 0 || *id == self.id);
        let Some(id) = id.filter(|_| line.get("journal").and_then(Value::as_u64) == Some(VERSION)) else {
            return false;
        };
        self.lose_open();
        self.id = id;
        self.name = text("/run/name");
        self.started = text("/run/started").unwrap_or_default();
        self.planned = line.pointer("/run/epochs_planned").and_then(Value::as_u64).unwrap_or(0);
        self.process = Process::of_opening(line);
        self.first_unix_s = None;
        let life = line.get("life").and_then(Value::as_u64).unwrap_or(0);
        self.lives = life.max(self.lives + 1); // some may have been killed before they wrote a line
        (self.is_ended, self.life) = (false, Count::default());
        self.before = line.get("before").and_then(Value::as_u64).unwrap_or(0);
        self.opening = line.clone();
        true
    }

    /// An epoch that was open is begun anew.
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
        let Some(missing) = index.checked_sub(self.epochs_done).filter(|_| is_possible) else { return false };
        if missing > 0 {
            self.add(0, unmeasured(missing, 0));
        }
        let [co2eq_g, coverage] = ["co2eq_g", "coverage"].map(|name| line.get(name).and_then(amount));
        let recorded = Some(RecordedFigures { co2eq_g, coverage });
        let gap = ns(line.get("gap_s")).unwrap_or(0);
        self.add(gap, Epoch { energy: per_kind(line), recorded, ..Epoch::unplaced(inside, count) });
        self.open = None;
        true
    }

    /// Adds an epoch after so much time between it and the one before.
    fn add(&mut self, gap: u64, epoch: Epoch) {
        // The last process may write first what the one before it had no time to.
        if self.epochs_done >= self.before {
            self.life.epochs = self.life.epochs.saturating_add(epoch.count);
            self.life.inside = self.life.inside.saturating_add(epoch.inside);
            self.life.span = self.life.span.saturating_add(gap).saturating_add(epoch.inside);
        }
        self.epochs_done = self.epochs_done.saturating_add(epoch.count);
        self.epochs.push((gap, epoch));
    }

    fn go_on(&mut self, so_far: &Value, is_epoch: bool) {
        let open = so_far.get("open").filter(|open| open.is_object());
        self.open = open.map(|open| {
            (open.get("duration_s").and_then(amount).unwrap_or(0.0), open.get("energy_j").and_then(amount))
        });
        if let Some(power) = so_far.get("power").filter(|power| power.is_object()) {
            let [from, to] = ["from", "to"].map(|name| power.get(name).and_then(Value::as_f64));
            let ends = from.zip(to).filter(|(from, to)| from < to);
            self.power.extend(ends.map(|(from, to)| CarriedInterval { from, to, energy: per_kind(power) }));
        }
        self.named.take().into_iter().for_each(|named| self.channels = named);
        let forecast = so_far.get("forecast").filter(|forecast| is_epoch && forecast.is_object());
        self.forecasts.extend(forecast.cloned());
        self.so_far = so_far.clone();
        self.first_unix_s = self.first_unix_s.or_else(|| self.last_unix_s());
    }

    /// When numbers were written last, s since 1970.
    pub fn last_unix_s(&self) -> Option<UnixS> {
        self.so_far.get("unix_s").and_then(amount).map(UnixS)
    }

    /// Time from the last process's first numbers to its last ones, s.
    pub fn worked_s(&self) -> f64 {
        self.first_unix_s.zip(self.last_unix_s()).map_or(0.0, |(first, last)| last.s_since(first))
    }
}

impl Journal {
    /// What the next process has to know. `counted` is what the last one has ended, if it left a tally, and those after it
    /// that were killed before their first line: the newest epochs may have no line.
    pub fn into_past(mut self, counted: impl IntoIterator<Item = Count>) -> CarriedOver {
        let mut past = self.told();
        let (told, by_lines) = (self.epochs_told(), self.epochs_done);
        if told > by_lines {
            let inside = self.epochs.iter().fold(0u64, |sum, (_, epoch)| sum.saturating_add(epoch.inside));
            self.add(0, unmeasured(told - by_lines, past.inside_ns.saturating_sub(inside)));
        }
        let mut count = 0u64;
        for (gap, epoch) in &self.epochs {
            count = count.saturating_add(epoch.count);
            if count > told {
                past.add(*gap, epoch); // its line is there, and the numbers that should have followed are not
            }
        }
        for counted in counted {
            if let Some(more) = counted.beyond(std::mem::take(&mut self.life)) {
                let (gap, epoch) = (more.span.saturating_sub(more.inside), unmeasured(more.epochs, more.inside));
                past.add(gap, &epoch);
                self.epochs.push((gap, epoch));
                self.open = None;
            }
        }
        self.lose_open();
        CarriedOver { epochs: self.placed(MonoNs(past.duration_ns)), lost: self.lost, power: self.power, ..past }
    }

    /// The last numbers.
    fn told(&self) -> CarriedOver {
        let usage = |pointer: &str| self.so_far.pointer(&format!("/usage/{pointer}"));
        CarriedOver {
            attempts: self.lives,
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

    /// What was measured, and how it stood.
    pub fn measured(&self) -> impl Iterator<Item = (CarriedComponent, &'static str)> {
        self.channels.iter().enumerate().map(|(place, (channel, status))| {
            let used = self.so_far.pointer(&format!("/components/{place}")).map(energies);
            (CarriedComponent { channel: channel.clone(), used: used.unwrap_or_default() }, *status)
        })
    }

    /// Epochs that the last numbers are about.
    fn epochs_told(&self) -> u64 {
        self.so_far.pointer("/run/epochs_done").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The epochs, the last of them ending here.
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

/// Epochs of which nothing but their number and time is known.
fn unmeasured(count: u64, inside: u64) -> Epoch {
    Epoch { recorded: Some(RecordedFigures::default()), ..Epoch::unplaced(inside, count) }
}

/// What is measured, as a line names it.
fn channel(named: &Value) -> Option<Channel> {
    let text = |name: &str| named.get(name).and_then(Value::as_str);
    let kind = DeviceKind::ALL.into_iter().find(|kind| text("kind") == Some(kind.name()))?;
    let source = source::NAMES.into_iter().find(|name| text("source") == Some(name))?;
    let method = MeasuringMethod::ALL.into_iter().find(|method| text("method") == Some(method.name()))?;
    let (device, id) = (text("device")?, text("id")?);
    let simulated = named.get("simulated").and_then(Value::as_bool).unwrap_or(false);
    let quantity = Quantity::Power { max_watts: 0.0 }; // nothing is read of it any more
    let error = ErrorBand::of_component(named);
    Some(Channel { simulated, error, ..Channel::new((kind, source), device, id, method, quantity) })
}

fn status(named: &Value) -> &'static str {
    let told = named.get("status").and_then(Value::as_str);
    STATUSES.into_iter().find(|status| told == Some(status)).unwrap_or("ok")
}

fn energies(used: &Value) -> Energies {
    let energy = |place: usize| {
        let part = |n: usize| used.pointer(&format!("/{place}/{n}")).and_then(amount);
        let ns = |n: usize| part(n).unwrap_or(0.0) * 1e9;
        Energy { joules: part(0), credited_ns: ns(1), measured_ns: ns(2) }
    };
    Energies { epochs: energy(0), between: energy(1) }
}

fn per_kind(of: &Value) -> PerKind {
    let mut energy = PerKind::default();
    for kind in DeviceKind::ALL {
        of.get(kind.joules()).and_then(amount).into_iter().for_each(|joules| energy.add(kind, joules));
    }
    energy
}

/// A number that can be one of energy, mass or time.
fn amount(value: &Value) -> Option<f64> {
    value.as_f64().filter(|amount| (0.0..=f64::MAX).contains(amount))
}

/// Seconds as nanoseconds, up to 30 years.
fn ns(seconds: Option<&Value>) -> Option<u64> {
    const MOST_S: f64 = 1e9;
    amount(seconds?).filter(|seconds| *seconds < MOST_S).map(|seconds| (seconds * 1e9).round() as u64)
}

#[cfg(test)]
mod tests;
