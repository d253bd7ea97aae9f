//! The two logs of a run as Carbontracker writes them, 1.x and 2.x, read. Pure; any text is either read or refused.

/// What the standard log, `*_carbontracker.log`, tells.
#[derive(Debug, Default, PartialEq)]
pub struct Standard {
    pub version: Option<String>,
    /// Written by this library, in whose logs a power is the sum over the devices and times are UTC.
    pub is_ours: bool,
    /// Date and time of the first line.
    pub started: Option<String>,
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
}

/// A component that was found.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// `gpu` or `cpu`.
    pub kind: String,
    pub devices: Vec<String>,
}

/// An epoch, or several that were taken together.
#[derive(Debug, Default, PartialEq)]
pub struct Entry {
    /// Number of the first, from 1.
    pub first: u64,
    pub last: u64,
    pub duration_s: f64,
    /// By component, W.
    pub powers: Vec<(String, Power)>,
}

/// A component's mean power over an epoch.
#[derive(Debug, PartialEq)]
pub enum Power {
    Unknown,
    One(f64),
    /// Of each device: 1.x.
    Each(Vec<f64>),
}

/// What the output log, `*_carbontracker_output.log`, tells.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    pub started: Option<String>,
    pub actual: Option<Consumption>,
    pub predicted: Option<Consumption>,
    pub is_ended: bool,
}

/// A block of it, PUE included.
#[derive(Debug, Default, PartialEq)]
pub struct Consumption {
    /// In the title, if it is.
    pub epochs: Option<u64>,
    pub duration_s: Option<f64>,
    pub kwh: Option<f64>,
    pub co2eq_g: Option<f64>,
    /// It says what that is equivalent to; without it Carbontracker does not read its own block.
    pub has_equivalents: bool,
}

/// Why a log cannot be read.
#[derive(Debug, PartialEq)]
pub struct Broken {
    pub line: usize,
    pub what: String,
}

/// What one logging call wrote: the lines from one date to the next.
struct Message<'a> {
    line: usize,
    at: &'a str,
    lines: Vec<&'a str>,
}

/// A number in a log; more would be no run's.
const MOST: f64 = 1e100;

/// Reads a standard log.
pub fn standard(text: &str) -> Result<Standard, Broken> {
    let messages = messages(text)?;
    let mut log = Standard { started: messages.first().map(|one| one.at.to_owned()), ..Standard::default() };
    let mut open: Option<Open> = None;
    let mut first = None;
    let mut intensities = Intensities::default();
    for message in &messages {
        let text = message.lines.join(" ");
        let broken = |what: String| Broken { line: message.line, what };
        if let Some((from, _)) = text.strip_prefix("Epochs ").and_then(|rest| rest.split_once(" to ")) {
            first = from.parse().ok();
        } else if let Some(number) = text.strip_prefix("Epoch ").and_then(|rest| rest.strip_suffix(':')) {
            log.epochs.extend(open.take().map(Open::closed).transpose()?);
            let last: u64 = number.parse().map_err(|_| broken(format!("epoch '{number}': expected a number")))?;
            let first = first.take().filter(|first| (1..=last).contains(first)).unwrap_or(last);
            let entry = Entry { first, last, ..Entry::default() };
            open = Some(Open { line: message.line, entry, has_duration: false });
        } else if let (Some(shown), Some(open)) = (text.strip_prefix("Duration: "), &mut open) {
            let duration = clock(shown).ok_or_else(|| broken(format!("duration '{shown}': expected H:MM:SS.ss")))?;
            (open.entry.duration_s, open.has_duration) = (duration, true);
        } else if let (Some(rest), Some(open)) = (text.strip_prefix("Average power usage (W) for "), &mut open) {
            open.entry.powers.push(power(rest).map_err(broken)?);
        } else if !intensities.take(&text) {
            log.take(&text).map_err(broken)?;
        }
    }
    let is_whole = |open: &Open| open.has_duration && log.components.len() <= open.entry.powers.len();
    match open {
        Some(last) if log.is_ended || is_whole(&last) => log.epochs.push(last.closed()?),
        last => log.is_torn = last.is_some(),
    }
    (log.intensity, log.place) = intensities.mean();
    if log.version.is_none() && log.components.is_empty() {
        return Err(Broken { line: 1, what: "no line tells Carbontracker's version or components".into() });
    }
    Ok(log)
}

/// Reads an output log.
pub fn output(text: &str) -> Result<Output, Broken> {
    let messages = messages(text)?;
    let mut log = Output { started: messages.first().map(|one| one.at.to_owned()), ..Output::default() };
    for (number, message) in messages.iter().enumerate() {
        // A log may break off within its last block.
        let is_last = number + 1 == messages.len();
        for (place, line) in message.lines.iter().enumerate() {
            let title = line.strip_prefix("CarbonTracker: ").unwrap_or(line);
            let read = || {
                consumption(title, message, place + 1)
                    .map(Some)
                    .or_else(|broken| if is_last { Ok(None) } else { Err(broken) })
            };
            if title.starts_with("Actual consumption") {
                log.actual = read()?;
            } else if title.starts_with("Predicted consumption") {
                log.predicted = read()?;
            } else if title.starts_with("Finished monitoring") {
                log.is_ended = true;
            }
        }
    }
    Ok(log)
}

/// The epoch whose lines are being read.
struct Open {
    line: usize,
    entry: Entry,
    has_duration: bool,
}

impl Open {
    fn closed(self) -> Result<Entry, Broken> {
        let Open { line, entry, has_duration } = self;
        if has_duration {
            Ok(entry)
        } else {
            Err(Broken { line, what: format!("epoch {} has no line with its duration", entry.last) })
        }
    }
}

impl Standard {
    /// What is no epoch's and no intensity.
    fn take(&mut self, text: &str) -> Result<(), String> {
        if let Some(version) = text.strip_prefix("carbontracker version ") {
            self.version = version.split_whitespace().next().map(str::to_owned);
            self.is_ours = version.ends_with("(the C library)");
        } else if let Some(components) = text.strip_prefix("The following components were found:") {
            self.components = found(components);
        } else if let Some((_, rest)) = text.split_once("PUE coefficient of ") {
            let shown = rest.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
            self.pue = Some(amount("PUE", shown)?.filter(|pue| *pue > 0.0).ok_or("PUE: expected more than 0")?);
        } else if let Some(rest) = text.strip_prefix("Training was interrupted before all ") {
            self.is_interrupted = true;
            self.planned = rest.split(' ').next().and_then(|epochs| epochs.parse().ok());
        } else if text.starts_with("Training was interrupted") {
            self.is_interrupted = true;
        } else if text.starts_with("Monitoring thread ended") {
            self.is_ended = true;
        }
        Ok(())
    }
}

/// What a log says of the grid, from what counts most to what counts least.
#[derive(Default)]
struct Intensities {
    average: Option<(f64, Option<String>)>,
    list: Option<(f64, Option<String>)>,
    fetched: Vec<f64>,
    place: Option<String>,
}

impl Intensities {
    fn take(&mut self, text: &str) -> bool {
        let place = || {
            let (_, place) = text.split_once("at detected location")?;
            let place = place.trim_start_matches([':', ' ']);
            Some(place.split(": [").next().unwrap_or(place).trim_end_matches('.').to_owned())
        };
        if let Some(rest) = text.strip_prefix("Average carbon intensity during training was ") {
            self.average = mean(rest.split(' ').take(1)).map(|mean| (mean, place()));
        } else if let Some((_, list)) = text.strip_prefix("Carbon intensities (").and_then(|rest| rest.rsplit_once('['))
        {
            self.list = mean(list.trim_end_matches(']').split(',')).map(|mean| (mean, place()));
        } else if let Some(rest) = text.strip_prefix("Carbon intensity fetched: ") {
            self.fetched.extend(mean(rest.split(' ').take(1)));
            self.place = rest.split_once(" at ").map(|(_, place)| place.to_owned());
        } else {
            return false;
        }
        true
    }

    fn mean(self) -> (Option<f64>, Option<String>) {
        let count = self.fetched.len() as f64;
        let fetched = (count > 0.0).then(|| (self.fetched.iter().sum::<f64>() / count, None));
        let listed = self.list.as_ref().and_then(|(_, place)| place.clone());
        let (mean, place) = self.average.or(self.list).or(fetched).unzip();
        (mean, place.flatten().or(listed).or(self.place).filter(|place| !place.is_empty()))
    }
}

/// The messages of a log. A last line without an end is torn, and left out unless it is the last there can be.
fn messages(text: &str) -> Result<Vec<Message<'_>>, Broken> {
    let mut messages: Vec<Message> = Vec::new();
    for (number, raw) in text.split_inclusive('\n').enumerate() {
        let line = raw.trim_end();
        let is_torn = !raw.ends_with('\n') && !line.ends_with("Monitoring thread ended.");
        match (dated(line), messages.last_mut()) {
            (Some((at, text)), _) if !is_torn => messages.push(Message { line: number + 1, at, lines: vec![text] }),
            (None, Some(message)) if !is_torn => message.lines.push(line),
            _ => (),
        }
    }
    let no_date = || Broken { line: 1, what: "no line begins with date and time, as in Carbontracker's logs".into() };
    if messages.is_empty() { Err(no_date()) } else { Ok(messages) }
}

/// `2026-11-28 19:18:38 - text`, in two.
fn dated(line: &str) -> Option<(&str, &str)> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let (at, rest) = line.split_at_checked(SHAPE.len())?;
    let fits = |(&byte, &shape): (&u8, &u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let text = rest.strip_prefix(" -")?;
    at.as_bytes().iter().zip(SHAPE).all(fits).then(|| (at, text.trim_start()))
}

/// ` GPU with device(s) A, B. CPU with device(s) C.`; names may hold points.
fn found(text: &str) -> Vec<Found> {
    let parts: Vec<&str> = text.split(" with device(s) ").collect();
    let pairs = parts.iter().zip(parts.iter().skip(1)).enumerate();
    let read = |(place, (before, after)): (usize, (&&str, &&str))| {
        let kind = before.rsplit(' ').next().unwrap_or(before).to_lowercase();
        let is_last = place + 2 == parts.len();
        let names = if is_last { after } else { after.rsplit_once(' ').map_or("", |(names, _)| names) };
        let names = names.trim().strip_suffix('.').unwrap_or(names.trim());
        Found { kind, devices: names.split(", ").map(|name| name.trim().to_owned()).collect() }
    };
    pairs.map(read).collect()
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
            let each = list.trim_end_matches(']').split([' ', ',']).filter(|shown| !shown.is_empty()).map(number);
            let each: Option<Vec<f64>> = each.collect::<Result<_, _>>()?;
            each.filter(|each| !each.is_empty()).map_or(Power::Unknown, Power::Each)
        }
    };
    Ok((kind.to_lowercase(), power))
}

/// A block of the output log, its title among the message's lines before `from`.
fn consumption(title: &str, message: &Message, from: usize) -> Result<Consumption, Broken> {
    let digits = title.split_once(" for ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
    let mut read = Consumption { epochs: digits.and_then(|digits| digits.parse().ok()), ..Consumption::default() };
    let mut has_energy = false;
    for (place, line) in message.lines.iter().enumerate().skip(from) {
        let broken = |what| Broken { line: message.line + place, what };
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let shown = value.split_whitespace().next().unwrap_or_default();
        match key {
            "Time" => read.duration_s = clock(shown),
            "Energy" => (read.kwh, has_energy) = (amount("energy", shown).map_err(broken)?, true),
            "CO2eq" => read.co2eq_g = amount("CO2eq", shown).map_err(broken)?,
            "This is equivalent to" => read.has_equivalents = true,
            _ if key.contains(" consumption") => break,
            _ => (),
        }
    }
    let title = title.trim_end_matches(':');
    if has_energy {
        Ok(read)
    } else {
        Err(Broken { line: message.line + from - 1, what: format!("{title}: no line with its energy") })
    }
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
