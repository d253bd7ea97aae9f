//! Turns lines into events: the messages of Carbontracker, without other lines between them. Pure.

use super::lines::LogLine;

/// One message of Carbontracker.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    pub line: usize,
    pub at: Option<String>,
    pub what: EventKind,
    /// How often the message was repeated in a row.
    pub times: usize,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The first line of a standard log.
    Version {
        version: Option<String>,
        is_ours: bool,
    },
    Pue(Option<f64>),
    Found(Vec<FoundDevices>),
    /// The first number of several epochs in one entry.
    First(u64),
    Epoch(u64),
    /// Duration of an epoch, s.
    Duration(f64),
    Power(String, LoggedPower),
    Grid(LoggedIntensity),
    /// The run was interrupted; with the number of planned epochs.
    Interrupted(Option<u64>),
    Ended,
    /// A line of the standard log that cannot be read.
    Broken(String),
    /// The first line of a run in an output log.
    Announced,
    /// The last line of a run in an output log.
    Finished,
    Actual(Consumption),
    Predicted(Consumption),
    /// A block of the output log that cannot be read.
    BrokenBlock(String),
}

/// The devices of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundDevices {
    /// `gpu` or `cpu`.
    pub kind: String,
    pub devices: Vec<String>,
}

/// A component's mean power over an epoch, W. 1.x logs it for each device.
#[derive(Clone, Debug, PartialEq)]
pub enum LoggedPower {
    Unknown,
    One(f64),
    Each(Vec<f64>),
}

/// A logged carbon intensity, gCO2e/kWh, with its place.
#[derive(Clone, Debug, PartialEq)]
pub enum LoggedIntensity {
    Average(f64, Option<String>),
    List(f64, Option<String>),
    Fetched(f64, Option<String>),
}

/// A block of the output log. Its energy includes PUE.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumption {
    /// The number in the title, if any.
    pub epochs: Option<u64>,
    pub duration_s: Option<f64>,
    pub kwh: Option<f64>,
    /// The value of the last decimal of `kwh`, kWh.
    pub step_kwh: f64,
    pub co2eq_g: Option<f64>,
    /// The block has the line of equivalents. Carbontracker's aggregate skips blocks without it.
    pub has_equivalents: bool,
}

/// The first line of both logs of a run; in the standard log after the version.
const ANNOUNCED: &str = "The following components were found:";
/// Largest number that is accepted in a log.
const MAX_VALUE: f64 = 1e100;

/// The events of a file's lines, in order. Repeated messages are one event: a logger with two handlers for one file
/// writes each line twice.
pub fn events(lines: &[LogLine]) -> Vec<LogEvent> {
    let mut reader = EventReader::default();
    lines.iter().for_each(|line| reader.take(line));
    reader.end_power();
    reader.end_block(true);
    reader.events
}

#[derive(Default)]
struct EventReader {
    events: Vec<LogEvent>,
    /// Date of the last dated line.
    at: Option<String>,
    /// A list of powers that continues on the next lines: line, date, text.
    power: Option<(usize, Option<String>, String)>,
    block: Option<OpenBlock>,
}

/// A block whose lines are being read.
struct OpenBlock {
    line: usize,
    at: Option<String>,
    is_actual: bool,
    title: String,
    read: Consumption,
    has_energy: bool,
    broken: Option<String>,
}

impl EventReader {
    fn push(&mut self, line: usize, at: Option<String>, what: EventKind) {
        match self.events.last_mut() {
            Some(last) if last.at == at && last.what == what => last.times += 1,
            _ => self.events.push(LogEvent { line, at, what, times: 1 }),
        }
    }

    fn take(&mut self, line: &LogLine) {
        if let Some(at) = &line.at {
            self.at = Some(at.clone());
            self.end_power();
        }
        let text = unlabelled(&line.text);
        let message = text.strip_prefix("CarbonTracker:").map(str::trim);
        let title = message.unwrap_or(text);
        let is_actual = title.starts_with("Actual consumption");
        if (is_actual || title.starts_with("Predicted consumption")) && title.ends_with(':') {
            self.end_block(false);
            self.block = Some(OpenBlock::new(line.number, self.at.clone(), is_actual, title));
        } else if let Some(message) = message {
            let is_begin = message.starts_with(ANNOUNCED);
            self.end_block(is_begin);
            if is_begin {
                self.push(line.number, line.at.clone(), EventKind::Announced);
            } else if message.starts_with("Finished monitoring") {
                self.push(line.number, line.at.clone(), EventKind::Finished);
            }
        } else if line.at.is_some() {
            self.standard(line, text);
        } else if let Some((_, _, list)) = self.power.as_mut().filter(|_| is_of_a_list(text)) {
            *list = format!("{list} {text}");
            if text.contains(']') {
                self.end_power();
            }
        } else if let Some(block) = &mut self.block {
            block.take(text);
        }
    }

    fn standard(&mut self, line: &LogLine, text: &str) {
        const POWER: &str = "Average power usage (W) for ";
        if let Some(rest) = text.strip_prefix(POWER) {
            self.power = Some((line.number, line.at.clone(), rest.to_owned()));
            if !rest.contains('[') || rest.contains(']') {
                self.end_power();
            }
        } else if let Some(what) = standard(text) {
            self.end_block(matches!(what, EventKind::Version { .. }));
            self.push(line.number, line.at.clone(), what);
        }
    }

    fn end_power(&mut self) {
        if let Some((line, at, text)) = self.power.take() {
            let what = power(&text).map_or_else(EventKind::Broken, |(kind, power)| EventKind::Power(kind, power));
            self.push(line, at, what);
        }
    }

    /// Ends the open block. A log may end within its last block: if it is the last, it is dropped.
    fn end_block(&mut self, is_last: bool) {
        let Some(block) = self.block.take() else { return };
        let OpenBlock { line, at, is_actual, title, read, has_energy, broken } = block;
        let what = match broken {
            Some(broken) => EventKind::BrokenBlock(broken),
            None if has_energy && is_actual => EventKind::Actual(read),
            None if has_energy => EventKind::Predicted(read),
            None if is_last => return,
            None => EventKind::BrokenBlock(format!("{}: no line with its energy", title.trim_end_matches(':'))),
        };
        self.push(line, at, what);
    }
}

impl OpenBlock {
    fn new(line: usize, at: Option<String>, is_actual: bool, title: &str) -> OpenBlock {
        let digits = title.split_once(" for ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        let read = Consumption { epochs: digits.and_then(|digits| digits.parse().ok()), ..Consumption::default() };
        OpenBlock { line, at, is_actual, title: title.to_owned(), read, has_energy: false, broken: None }
    }

    /// Takes a line of the block. Lines without the expected key and unit belong to other programs and are skipped.
    fn take(&mut self, text: &str) {
        let Some((key, value)) = text.split_once(':') else { return };
        let mut words = value.split_whitespace();
        let (shown, unit) = (words.next().unwrap_or_default(), words.next());
        let result = match (key.trim(), unit) {
            ("Time", None) if self.read.duration_s.is_none() => {
                self.read.duration_s = clock(shown);
                Ok(())
            }
            ("Energy", Some("kWh")) if !self.has_energy => {
                self.has_energy = true;
                let decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                self.read.step_kwh = 10f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX));
                amount("energy", shown).map(|kwh| self.read.kwh = kwh)
            }
            ("CO2eq", Some("g")) if self.read.co2eq_g.is_none() => {
                amount("CO2eq", shown).map(|grams| self.read.co2eq_g = grams)
            }
            ("This is equivalent to", None) => {
                self.read.has_equivalents = true;
                Ok(())
            }
            _ => Ok(()),
        };
        self.broken = self.broken.take().or(result.err());
    }
}

/// Reads a line of the standard log, except powers. None if it is not Carbontracker's, or not needed.
fn standard(text: &str) -> Option<EventKind> {
    let number = |shown: &str| shown.parse::<u64>().ok();
    // Lines of other programs may have the same dates, but longer texts.
    let is_word = |shown: &str| !shown.contains(' ');
    if let Some(version) = text.strip_prefix("carbontracker version ") {
        let is_ours = version.ends_with("(the C library)");
        return Some(EventKind::Version { version: version.split_whitespace().next().map(str::to_owned), is_ours });
    }
    if let Some(components) = text.strip_prefix(ANNOUNCED) {
        return Some(EventKind::Found(found(components)));
    }
    if let Some((_, rest)) = text.split_once("PUE coefficient of ") {
        return Some(pue(rest).map_or_else(EventKind::Broken, EventKind::Pue));
    }
    if let Some((first, _)) = text.strip_prefix("Epochs ").and_then(|rest| rest.split_once(" to ")) {
        return number(first).map(EventKind::First);
    }
    if let Some(shown) = text.strip_prefix("Epoch ").and_then(|rest| rest.strip_suffix(':')) {
        let broken = || EventKind::Broken(format!("epoch '{shown}': expected a number"));
        return is_word(shown).then(|| number(shown).map_or_else(broken, EventKind::Epoch));
    }
    if let Some(shown) = text.strip_prefix("Duration: ") {
        let broken = || EventKind::Broken(format!("duration '{shown}': expected H:MM:SS.ss"));
        return is_word(shown).then(|| clock(shown).map_or_else(broken, EventKind::Duration));
    }
    if let Some(rest) = text.strip_prefix("Training was interrupted") {
        let planned = rest.strip_prefix(" before all ").and_then(|rest| rest.split(' ').next());
        return Some(EventKind::Interrupted(planned.and_then(number)));
    }
    match text {
        "Session ended by user." => Some(EventKind::Interrupted(None)),
        _ if text.starts_with("Monitoring thread ended") => Some(EventKind::Ended),
        _ => grid(text).map(EventKind::Grid),
    }
}

/// Reads the number after "PUE coefficient of".
fn pue(text: &str) -> Result<Option<f64>, String> {
    let shown = text.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
    let pue = amount("PUE", shown)?.filter(|pue| *pue > 0.0).ok_or("PUE: expected more than 0")?;
    Ok(Some(pue))
}

/// Reads a line with a carbon intensity.
fn grid(text: &str) -> Option<LoggedIntensity> {
    let place = || {
        let (_, place) = text.split_once("at detected location")?;
        let place = place.trim_start_matches([':', ' ']);
        Some(place.split(": [").next().unwrap_or(place).trim_end_matches('.').to_owned())
    };
    if let Some(rest) = text.strip_prefix("Average carbon intensity during training was ") {
        mean(rest.split(' ').take(1)).map(|mean| LoggedIntensity::Average(mean, place()))
    } else if let Some((_, list)) = text.strip_prefix("Carbon intensities (").and_then(|rest| rest.rsplit_once('[')) {
        mean(list.trim_end_matches(']').split(',')).map(|mean| LoggedIntensity::List(mean, place()))
    } else {
        let rest = text.strip_prefix("Carbon intensity fetched: ")?;
        let place = rest.split_once(" at ").map(|(_, place)| place.to_owned());
        mean(rest.split(' ').take(1)).map(|mean| LoggedIntensity::Fetched(mean, place))
    }
}

/// A line without the labels of consoles and mails: `0:` of srun, `[rank0]`, `>`, `|`.
fn unlabelled(line: &str) -> &str {
    let mut text = line.trim();
    loop {
        let bare = text.trim_start_matches(['>', '|', '#', ' ']);
        let in_brackets = bare.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(_, rest)| rest);
        let digits = bare.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_numbered = digits.len() < bare.len();
        let after_number = digits.strip_prefix(": ").filter(|_| is_numbered);
        match in_brackets.filter(|_| !is_of_a_list(bare)).or(after_number) {
            Some(rest) => text = rest,
            None => return bare,
        }
    }
}

/// True if a line is part of a list of numbers.
fn is_of_a_list(text: &str) -> bool {
    let is_number = |word: &str| word.is_empty() || word.parse::<f64>().is_ok();
    !text.is_empty() && text.split([' ', ',', '[', ']']).all(is_number)
}

/// Reads ` GPU with device(s) A, B. CPU with device(s) C.`. Names may contain full stops. A kind counts once.
fn found(text: &str) -> Vec<FoundDevices> {
    let parts: Vec<&str> = text.split(" with device(s) ").collect();
    let pairs = parts.iter().zip(parts.iter().skip(1)).enumerate();
    let mut all: Vec<FoundDevices> = Vec::new();
    for (place, (before, after)) in pairs {
        let kind = before.rsplit(' ').next().unwrap_or(before).to_lowercase();
        let is_last = place + 2 == parts.len();
        let names = if is_last { after } else { after.rsplit_once(' ').map_or("", |(names, _)| names) };
        let names = names.trim().strip_suffix('.').unwrap_or(names.trim());
        let devices: Vec<String> = names.split(", ").map(|name| name.trim().to_owned()).collect();
        match all.iter_mut().find(|found| found.kind == kind) {
            Some(same) if same.devices == devices => (),
            Some(same) => same.devices.extend(devices),
            None => all.push(FoundDevices { kind, devices }),
        }
    }
    all
}

/// Reads `gpu: 400.0`, `gpu: [400.0 399.5]` or `gpu: None`.
fn power(text: &str) -> Result<(String, LoggedPower), String> {
    let (kind, shown) = text.rsplit_once(": ").ok_or_else(|| format!("power '{text}': expected a component's"))?;
    let number = |shown: &str| amount("power", shown);
    let power = match (shown.strip_prefix('['), shown.strip_suffix(']')) {
        (None, _) if shown == "None" => LoggedPower::Unknown,
        (None, _) => number(shown)?.map_or(LoggedPower::Unknown, LoggedPower::One),
        (Some(_), None) => LoggedPower::Unknown, // the log ends within the list
        (Some(list), Some(_)) => {
            let each = list.split([' ', ',', '[', ']']).filter(|shown| !shown.is_empty()).map(number);
            let each: Option<Vec<f64>> = each.collect::<Result<_, _>>()?;
            each.filter(|each| !each.is_empty()).map_or(LoggedPower::Unknown, LoggedPower::Each)
        }
    };
    Ok((kind.to_lowercase(), power))
}

/// Reads `H:MM:SS.ss`, in seconds.
fn clock(shown: &str) -> Option<f64> {
    let mut parts = shown.split(':');
    let [hours, minutes, seconds] = [parts.next()?, parts.next()?, parts.next()?];
    let whole = |part: &str| part.parse::<u64>().ok().map(|part| part as f64);
    let starts_with_digit = seconds.starts_with(|c: char| c.is_ascii_digit());
    let seconds: f64 = seconds.parse().ok().filter(|seconds| starts_with_digit && (0.0..61.0).contains(seconds))?;
    parts.next().is_none().then_some(whole(hours)? * 3600.0 + whole(minutes)? * 60.0 + seconds)
}

/// Reads a number from 0 to `MAX_VALUE`. `nan` is unknown.
fn amount(name: &str, shown: &str) -> Result<Option<f64>, String> {
    let refused = || format!("{name} '{shown}': expected a number from 0 to {MAX_VALUE:e}");
    let amount: f64 = shown.parse().map_err(|_| refused())?;
    if amount.is_nan() {
        Ok(None)
    } else {
        Some(amount).filter(|amount| (0.0..=MAX_VALUE).contains(amount)).map(Some).ok_or_else(refused)
    }
}

/// The mean of numbers; None if one cannot be read.
fn mean<'a>(shown: impl Iterator<Item = &'a str>) -> Option<f64> {
    let numbers: Option<Vec<f64>> = shown.map(|one| amount("", one.trim()).ok().flatten()).collect();
    numbers.filter(|numbers| !numbers.is_empty()).map(|numbers| numbers.iter().sum::<f64>() / numbers.len() as f64)
}
