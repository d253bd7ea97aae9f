//! Lines as events: what Carbontracker's lines report, without all others that may be between them. Pure.

use super::lines::Line;

/// What one of Carbontracker's messages reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub line: usize,
    pub at: Option<String>,
    pub what: What,
    /// How often it is there, one directly after the other.
    pub times: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The head of a standard log.
    Version {
        version: Option<String>,
        is_ours: bool,
    },
    Pue(Option<f64>),
    Found(Vec<Found>),
    /// The first of several epochs that are one in the log.
    First(u64),
    Epoch(u64),
    /// In s.
    Duration(f64),
    Power(String, Power),
    Grid(Grid),
    /// With the epochs that were planned.
    Interrupted(Option<u64>),
    Ended,
    /// A line of the standard log that cannot be read.
    Broken(String),
    /// The first line of an output log's run, and its last.
    Announced,
    Finished,
    Actual(Consumption),
    Predicted(Consumption),
    /// A block of the output log that cannot be read.
    BrokenBlock(String),
}

/// The devices of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// `gpu` or `cpu`.
    pub kind: String,
    pub devices: Vec<String>,
}

/// A component's mean power over an epoch, W.
#[derive(Clone, Debug, PartialEq)]
pub enum Power {
    Unknown,
    One(f64),
    /// Of each device: 1.x.
    Each(Vec<f64>),
}

/// The grid's intensity, gCO2e/kWh, and where that is.
#[derive(Clone, Debug, PartialEq)]
pub enum Grid {
    Average(f64, Option<String>),
    List(f64, Option<String>),
    Fetched(f64, Option<String>),
}

/// A block of the output log, PUE included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumption {
    /// In the title, if it is.
    pub epochs: Option<u64>,
    pub duration_s: Option<f64>,
    pub kwh: Option<f64>,
    /// Its last decimal, kWh: six of them by default in 1.x.
    pub step_kwh: f64,
    pub co2eq_g: Option<f64>,
    /// It has the line of equivalents; without it Carbontracker does not read its own block.
    pub has_equivalents: bool,
}

/// The line that both logs of a run begin with, the standard log after its version.
const ANNOUNCED: &str = "The following components were found:";
/// A number in a log; more would be no run's.
const MOST: f64 = 1e100;

/// The events of a file's lines, in order. The same one directly after itself is one: a logger with two handlers for one
/// file writes each line twice.
pub fn events(lines: &[Line]) -> Vec<Event> {
    let mut reader = Reader::default();
    lines.iter().for_each(|line| reader.take(line));
    reader.end_power();
    reader.end_block(true);
    reader.events
}

#[derive(Default)]
struct Reader {
    events: Vec<Event>,
    /// Date of the last line that had one.
    at: Option<String>,
    /// A list of powers that goes on in the next lines.
    power: Option<(usize, Option<String>, String)>,
    block: Option<Block>,
}

/// A block whose lines are being read.
struct Block {
    line: usize,
    at: Option<String>,
    is_actual: bool,
    title: String,
    read: Consumption,
    has_energy: bool,
    broken: Option<String>,
}

impl Reader {
    fn push(&mut self, line: usize, at: Option<String>, what: What) {
        match self.events.last_mut() {
            Some(last) if last.at == at && last.what == what => last.times += 1,
            _ => self.events.push(Event { line, at, what, times: 1 }),
        }
    }

    fn take(&mut self, line: &Line) {
        if let Some(at) = &line.at {
            self.at = Some(at.clone());
            self.end_power();
        }
        let text = unlabelled(&line.text);
        let said = text.strip_prefix("CarbonTracker:").map(str::trim);
        let title = said.unwrap_or(text);
        let is_actual = title.starts_with("Actual consumption");
        if (is_actual || title.starts_with("Predicted consumption")) && title.ends_with(':') {
            self.end_block(false);
            self.block = Some(Block::new(line.number, self.at.clone(), is_actual, title));
        } else if let Some(said) = said {
            let is_begin = said.starts_with(ANNOUNCED);
            self.end_block(is_begin);
            if is_begin {
                self.push(line.number, line.at.clone(), What::Announced);
            } else if said.starts_with("Finished monitoring") {
                self.push(line.number, line.at.clone(), What::Finished);
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

    fn standard(&mut self, line: &Line, text: &str) {
        const POWER: &str = "Average power usage (W) for ";
        if let Some(rest) = text.strip_prefix(POWER) {
            self.power = Some((line.number, line.at.clone(), rest.to_owned()));
            if !rest.contains('[') || rest.contains(']') {
                self.end_power();
            }
        } else if let Some(what) = standard(text) {
            self.end_block(matches!(what, What::Version { .. }));
            self.push(line.number, line.at.clone(), what);
        }
    }

    fn end_power(&mut self) {
        if let Some((line, at, text)) = self.power.take() {
            let what = power(&text).map_or_else(What::Broken, |(kind, power)| What::Power(kind, power));
            self.push(line, at, what);
        }
    }

    /// A log may break off within its last block, and another log follow in the same file.
    fn end_block(&mut self, is_last: bool) {
        let Some(block) = self.block.take() else { return };
        let Block { line, at, is_actual, title, read, has_energy, broken } = block;
        let what = match broken {
            Some(broken) => What::BrokenBlock(broken),
            None if has_energy && is_actual => What::Actual(read),
            None if has_energy => What::Predicted(read),
            None if is_last => return,
            None => What::BrokenBlock(format!("{}: no line with its energy", title.trim_end_matches(':'))),
        };
        self.push(line, at, what);
    }
}

impl Block {
    fn new(line: usize, at: Option<String>, is_actual: bool, title: &str) -> Block {
        let digits = title.split_once(" for ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        let read = Consumption { epochs: digits.and_then(|digits| digits.parse().ok()), ..Consumption::default() };
        Block { line, at, is_actual, title: title.to_owned(), read, has_energy: false, broken: None }
    }

    /// A line of it, or a foreign one: its own has key and unit, and comes once.
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

/// A line of the standard log but a power's; None for one that is not Carbontracker's or reports nothing of use.
fn standard(text: &str) -> Option<What> {
    let number = |shown: &str| shown.parse::<u64>().ok();
    // Other programs' logs may have the same dates, and longer sentences.
    let is_word = |shown: &str| !shown.contains(' ');
    if let Some(version) = text.strip_prefix("carbontracker version ") {
        let is_ours = version.ends_with("(the C library)");
        return Some(What::Version { version: version.split_whitespace().next().map(str::to_owned), is_ours });
    }
    if let Some(components) = text.strip_prefix(ANNOUNCED) {
        return Some(What::Found(found(components)));
    }
    if let Some((_, rest)) = text.split_once("PUE coefficient of ") {
        return Some(pue(rest).map_or_else(What::Broken, What::Pue));
    }
    if let Some((first, _)) = text.strip_prefix("Epochs ").and_then(|rest| rest.split_once(" to ")) {
        return number(first).map(What::First);
    }
    if let Some(shown) = text.strip_prefix("Epoch ").and_then(|rest| rest.strip_suffix(':')) {
        let broken = || What::Broken(format!("epoch '{shown}': expected a number"));
        return is_word(shown).then(|| number(shown).map_or_else(broken, What::Epoch));
    }
    if let Some(shown) = text.strip_prefix("Duration: ") {
        let broken = || What::Broken(format!("duration '{shown}': expected H:MM:SS.ss"));
        return is_word(shown).then(|| clock(shown).map_or_else(broken, What::Duration));
    }
    if let Some(rest) = text.strip_prefix("Training was interrupted") {
        let planned = rest.strip_prefix(" before all ").and_then(|rest| rest.split(' ').next());
        return Some(What::Interrupted(planned.and_then(number)));
    }
    match text {
        "Session ended by user." => Some(What::Interrupted(None)),
        _ if text.starts_with("Monitoring thread ended") => Some(What::Ended),
        _ => grid(text).map(What::Grid),
    }
}

fn pue(text: &str) -> Result<Option<f64>, String> {
    let shown = text.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
    let pue = amount("PUE", shown)?.filter(|pue| *pue > 0.0).ok_or("PUE: expected more than 0")?;
    Ok(Some(pue))
}

fn grid(text: &str) -> Option<Grid> {
    let place = || {
        let (_, place) = text.split_once("at detected location")?;
        let place = place.trim_start_matches([':', ' ']);
        Some(place.split(": [").next().unwrap_or(place).trim_end_matches('.').to_owned())
    };
    if let Some(rest) = text.strip_prefix("Average carbon intensity during training was ") {
        mean(rest.split(' ').take(1)).map(|mean| Grid::Average(mean, place()))
    } else if let Some((_, list)) = text.strip_prefix("Carbon intensities (").and_then(|rest| rest.rsplit_once('[')) {
        mean(list.trim_end_matches(']').split(',')).map(|mean| Grid::List(mean, place()))
    } else {
        let rest = text.strip_prefix("Carbon intensity fetched: ")?;
        let place = rest.split_once(" at ").map(|(_, place)| place.to_owned());
        mean(rest.split(' ').take(1)).map(|mean| Grid::Fetched(mean, place))
    }
}

/// A line without what consoles and mails put before it: `0:` of srun, `[rank0]`, `>`, `|`.
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

/// Whether a line is a part of a list of numbers.
fn is_of_a_list(text: &str) -> bool {
    let is_number = |word: &str| word.is_empty() || word.parse::<f64>().is_ok();
    !text.is_empty() && text.split([' ', ',', '[', ']']).all(is_number)
}

/// ` GPU with device(s) A, B. CPU with device(s) C.`; names may hold points. A kind counts once.
fn found(text: &str) -> Vec<Found> {
    let parts: Vec<&str> = text.split(" with device(s) ").collect();
    let pairs = parts.iter().zip(parts.iter().skip(1)).enumerate();
    let mut all: Vec<Found> = Vec::new();
    for (place, (before, after)) in pairs {
        let kind = before.rsplit(' ').next().unwrap_or(before).to_lowercase();
        let is_last = place + 2 == parts.len();
        let names = if is_last { after } else { after.rsplit_once(' ').map_or("", |(names, _)| names) };
        let names = names.trim().strip_suffix('.').unwrap_or(names.trim());
        let devices: Vec<String> = names.split(", ").map(|name| name.trim().to_owned()).collect();
        match all.iter_mut().find(|found| found.kind == kind) {
            Some(same) if same.devices == devices => (),
            Some(same) => same.devices.extend(devices),
            None => all.push(Found { kind, devices }),
        }
    }
    all
}

/// `gpu: 400.0`, `gpu: [400.0 399.5]` or `gpu: None`.
fn power(text: &str) -> Result<(String, Power), String> {
    let (kind, shown) = text.rsplit_once(": ").ok_or_else(|| format!("power '{text}': expected a component's"))?;
    let number = |shown: &str| amount("power", shown);
    let power = match (shown.strip_prefix('['), shown.strip_suffix(']')) {
        (None, _) if shown == "None" => Power::Unknown,
        (None, _) => number(shown)?.map_or(Power::Unknown, Power::One),
        (Some(_), None) => Power::Unknown, // the log breaks off within the list
        (Some(list), Some(_)) => {
            let each = list.split([' ', ',', '[', ']']).filter(|shown| !shown.is_empty()).map(number);
            let each: Option<Vec<f64>> = each.collect::<Result<_, _>>()?;
            each.filter(|each| !each.is_empty()).map_or(Power::Unknown, Power::Each)
        }
    };
    Ok((kind.to_lowercase(), power))
}

/// `H:MM:SS.ss` in seconds.
fn clock(shown: &str) -> Option<f64> {
    let mut parts = shown.split(':');
    let [hours, minutes, seconds] = [parts.next()?, parts.next()?, parts.next()?];
    let whole = |part: &str| part.parse::<u64>().ok().map(|part| part as f64);
    let starts_with_digit = seconds.starts_with(|c: char| c.is_ascii_digit());
    let seconds: f64 = seconds.parse().ok().filter(|seconds| starts_with_digit && (0.0..61.0).contains(seconds))?;
    parts.next().is_none().then_some(whole(hours)? * 3600.0 + whole(minutes)? * 60.0 + seconds)
}

/// What is not a number in the log is not known.
fn amount(name: &str, shown: &str) -> Result<Option<f64>, String> {
    let refused = || format!("{name} '{shown}': expected a number from 0 to {MOST:e}");
    let amount: f64 = shown.parse().map_err(|_| refused())?;
    if amount.is_nan() {
        Ok(None)
    } else {
        Some(amount).filter(|amount| (0.0..=MOST).contains(amount)).map(Some).ok_or_else(refused)
    }
}

fn mean<'a>(shown: impl Iterator<Item = &'a str>) -> Option<f64> {
    let numbers: Option<Vec<f64>> = shown.map(|one| amount("", one.trim()).ok().flatten()).collect();
    numbers.filter(|numbers| !numbers.is_empty()).map(|numbers| numbers.iter().sum::<f64>() / numbers.len() as f64)
}
