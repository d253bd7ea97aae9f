//! Web services of carbon intensity. The true intensity of each hour is known. The replies may be late, wrong or
//! missing.

use crate::kernel::Kernel;
use carbontracker::os::world::WebReply;
use carbontracker::units;
use fastrand::Rng;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 24.0 * HOUR_S;

/// The least true intensity, g/kWh.
pub const LEAST: f64 = 50.0;
/// The most true intensity, g/kWh.
pub const MOST: f64 = 649.0;
/// The intensity in a reply that the library must not use, g/kWh.
const FORBIDDEN: f64 = 5000.0;

/// A live service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    CarbonIntensityGb,
    ElectricityMaps,
    EnergyCharts,
}

impl Service {
    /// Its name in the options.
    pub fn name(self) -> &'static str {
        match self {
            Service::CarbonIntensityGb => "carbonintensity_gb",
            Service::ElectricityMaps => "electricitymaps",
            Service::EnergyCharts => "energycharts",
        }
    }

    /// The zone of the options.
    pub fn zone(self) -> &'static str {
        match self {
            Service::CarbonIntensityGb => "GB",
            Service::ElectricityMaps => "DK-DK1",
            Service::EnergyCharts => "DE",
        }
    }
}

/// How a service replies for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Works,
    /// It needs up to this time, ns.
    Late(u64),
    /// It never replies.
    Silent,
    /// No connection can be made.
    Refuses,
    /// The connection ends before the reply does.
    CutOff,
    Status(u16, Option<&'static str>),
    /// A page of a proxy, with status 200.
    Html,
    /// The beginning of a JSON text.
    HalfJson,
    /// A reply without figures.
    Empty,
    /// One figure is this, g/kWh.
    Absurd(f64),
    /// The figures are this old, s.
    Stale(f64),
    /// The figures are those of another zone.
    OtherZone,
}

impl Mood {
    fn any(rng: &mut Rng) -> Mood {
        const STATUS: [u16; 10] = [204, 302, 400, 401, 403, 404, 422, 429, 500, 503];
        match rng.u8(..14) {
            0 | 1 => Mood::Late(rng.u64(S..180 * S)),
            2 | 3 => Mood::Silent,
            4 => Mood::Refuses,
            5 => Mood::CutOff,
            6 | 7 => {
                let delays = [None, Some("1"), Some("100"), Some("Thu, 01 Jan 2026 00:02:00 GMT"), Some("soon")];
                let (status, delay) = (rng.usize(..STATUS.len()), rng.usize(..delays.len()));
                Mood::Status(STATUS.get(status).copied().unwrap_or(500), delays.get(delay).copied().flatten())
            }
            8 => Mood::Html,
            9 => Mood::HalfJson,
            10 => Mood::Empty,
            11 => Mood::Absurd([1e6, -1.0, -1e300, 1e19].get(rng.usize(..4)).copied().unwrap_or(-1.0)),
            12 => Mood::Stale([2.0 * DAY_S, 400.0 * DAY_S].get(rng.usize(..2)).copied().unwrap_or(DAY_S)),
            _ => Mood::OtherZone,
        }
    }
}

/// A service of one world.
#[derive(Clone, Debug)]
pub struct Grid {
    pub service: Service,
    seed: u64,
    /// How it replies from each instant on, ns since the world's boot.
    pub moods: Vec<(u64, Mood)>,
    /// Facility energy over IT energy, in the options.
    pub pue: f64,
    /// The user names a mirror of the service.
    has_mirror: bool,
}

impl Grid {
    /// A service with these moods, in a test.
    pub fn with(service: Service, moods: Vec<(u64, Mood)>) -> Grid {
        Grid { service, seed: 1, moods, pue: 1.0, has_mirror: false }
    }

    /// The service of a world that runs from `begin` for `span_ns`. None: the world has none.
    pub fn new(seed: u64, begin: u64, span_ns: u64) -> Option<Grid> {
        let mut rng = Rng::with_seed(seed ^ 0x6e1d);
        let rng = &mut rng;
        // A short run is over before a reply comes. A long one has thousands of replies.
        let of = match span_ns / S {
            0..10 => 24,
            10..100_000 => 3,
            _ => 10,
        };
        if rng.u8(..of) > 0 {
            return None;
        }
        let services = [Service::CarbonIntensityGb, Service::ElectricityMaps, Service::EnergyCharts];
        let service = services.get(rng.usize(..services.len())).copied().unwrap_or(Service::EnergyCharts);
        // Only one of the services names the zone in its reply.
        let any = |rng: &mut Rng| match Mood::any(rng) {
            Mood::OtherZone if service != Service::ElectricityMaps => Mood::Empty,
            mood => mood,
        };
        let mut moods = vec![(0, if rng.bool() { Mood::Works } else { any(rng) })];
        let mut at = begin;
        for _ in 0..rng.u32(0..6) {
            at += rng.u64(0..(span_ns / 3).max(S));
            moods.push((at, if rng.u8(..3) == 0 { Mood::Works } else { any(rng) }));
        }
        Some(Grid { service, seed, moods, pue: if rng.bool() { 1.0 } else { 1.37 }, has_mirror: rng.u8(..4) == 0 })
    }

    /// The options of a user of this service.
    pub fn options(&self) -> String {
        let (name, zone) = (self.service.name(), self.service.zone());
        let key = if self.service == Service::ElectricityMaps { " api_key=a-key" } else { "" };
        let mirror = if self.has_mirror { " intensity_url=https://mirror.example.org/grid/" } else { "" };
        format!("location={zone} intensity={name} pue={}{key}{mirror}", self.pue)
    }

    /// Puts the options of this service in the place of a location.
    pub fn choose(&self, options: &mut String) {
        *options = options.replace("location=DK", &self.options());
    }

    /// How the service replies at an instant.
    fn mood(&self, at: u64) -> Mood {
        self.moods.iter().rev().find(|(from, _)| *from <= at).map_or(Mood::Works, |(_, mood)| *mood)
    }

    /// The true intensity at a time in s since 1970, g/kWh. It is the same all through an hour.
    pub fn truth(&self, unix_s: f64) -> f64 {
        let hour = (unix_s / HOUR_S).floor() as u64;
        let mixed = (hour ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        LEAST + (mixed >> 40) as f64 % (MOST - LEAST + 1.0)
    }

    /// The figures of times in steps, as this mood has them.
    fn figures(&self, mood: Mood, from: f64, step_s: f64, count: usize) -> Vec<(f64, f64)> {
        let shift_s = if let Mood::Stale(age_s) = mood { age_s } else { 0.0 };
        let figure = |number: usize| {
            let at = (from / step_s).floor() * step_s + number as f64 * step_s - shift_s;
            let g_per_kwh = match mood {
                Mood::Absurd(figure) if number == 0 => figure,
                Mood::OtherZone => FORBIDDEN,
                // No run is near the figures of another year.
                Mood::Stale(age_s) if age_s > 300.0 * DAY_S => FORBIDDEN,
                _ => self.truth(at),
            };
            (at, g_per_kwh)
        };
        if mood == Mood::Empty { Vec::new() } else { (0..count).map(figure).collect() }
    }

    /// The body of a reply to a request at a time, s since 1970.
    fn body(&self, mood: Mood, url: &str, now: f64) -> Value {
        let time = |at: f64| units::instant(at).unwrap_or_default();
        let minute = |at: f64| format!("{}Z", time(at).get(..16).unwrap_or_default());
        match self.service {
            Service::CarbonIntensityGb => {
                let is_past = url.contains("pt24h");
                let figures = self.figures(mood, if is_past { now - DAY_S } else { now }, 1800.0, 48);
                let record = |(at, g): (f64, f64)| {
                    let actual = if is_past { json!(g) } else { Value::Null };
                    json!({"from": minute(at), "to": minute(at + 1800.0), "intensity": {"forecast": g, "actual": actual}})
                };
                json!({"data": figures.into_iter().map(record).collect::<Vec<_>>()})
            }
            Service::ElectricityMaps => {
                let zone = if mood == Mood::OtherZone { "FR" } else { "DK-DK1" };
                let record = |(at, g): (f64, f64)| json!({"zone": zone, "carbonIntensity": g, "datetime": time(at), "isEstimated": false});
                let (name, from) = match () {
                    () if url.contains("/history") => ("history", now - DAY_S + HOUR_S),
                    () if url.contains("/forecast") => ("forecast", now),
                    () => match self.figures(mood, now, HOUR_S, 1).pop() {
                        Some(figure) => return record(figure),
                        None => return json!({"zone": zone}),
                    },
                };
                let figures = self.figures(mood, from, HOUR_S, 24);
                json!({"zone": zone, name: figures.into_iter().map(record).collect::<Vec<_>>()})
            }
            Service::EnergyCharts => {
                let (times, figures): (Vec<f64>, Vec<f64>) =
                    self.figures(mood, now - DAY_S, HOUR_S, 48).into_iter().unzip();
                let is_past = |at: &f64| *at < now;
                let part = |is_in: &dyn Fn(&f64) -> bool| -> Vec<Option<f64>> {
                    times.iter().zip(&figures).map(|(at, g)| is_in(at).then_some(*g)).collect()
                };
                let (past, ahead) = (part(&is_past), part(&|at| !is_past(at)));
                json!({"unix_seconds": times, "co2eq": past, "co2eq_forecast": ahead})
            }
        }
    }

    /// Whether a request is the last of a round.
    fn is_last(&self, url: &str) -> bool {
        let mark = match self.service {
            Service::CarbonIntensityGb => "fw48h",
            Service::ElectricityMaps => "/forecast",
            Service::EnergyCharts => "/co2eq_forecast",
        };
        url.contains(mark)
    }
}

/// What a program has got from the service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Got {
    /// The first failure, ns since the world's boot.
    pub failed: Option<u64>,
    /// The end of the last round with true figures of now in each reply, ns since the world's boot.
    pub whole: Option<u64>,
    /// A reply of the current round had no such figures.
    is_broken: bool,
    /// A reply of the current round had figures.
    has_some: bool,
}

/// The web of a world, and what it has replied.
#[derive(Default)]
pub struct Web {
    pub grid: Option<Grid>,
    /// By program.
    got: RefCell<BTreeMap<u64, Got>>,
    /// The first reply with figures, ns since the world's boot.
    first: RefCell<Option<u64>>,
    /// The instants of all requests, ns since the world's boot.
    asked: RefCell<Vec<u64>>,
}

impl Web {
    /// The web of a world with this service.
    pub fn new(grid: Option<Grid>) -> Web {
        Web { grid, ..Web::default() }
    }

    /// What a program has got.
    pub fn got(&self, program: u64) -> Got {
        self.got.borrow().get(&program).copied().unwrap_or_default()
    }

    /// The first reply with figures, ns since the world's boot.
    pub fn first(&self) -> Option<u64> {
        *self.first.borrow()
    }

    /// The instants of all requests, ns since the world's boot.
    pub fn asked(&self) -> Vec<u64> {
        self.asked.borrow().clone()
    }

    /// The reply to a request, or why there is none.
    pub fn fetch(&self, kernel: &Kernel, url: &str, within: Duration) -> io::Result<WebReply> {
        self.asked.borrow_mut().push(kernel.now());
        let Some(grid) = &self.grid else { return Err(ErrorKind::ConnectionRefused.into()) };
        let mood = grid.mood(kernel.now());
        let within = within.as_nanos() as u64;
        let late = match mood {
            Mood::Silent => u64::MAX,
            Mood::Late(most) => kernel.rng.borrow_mut().u64(0..=most),
            _ => kernel.rng.borrow_mut().u64(MS..500 * MS),
        };
        // The program may have changed when the thread runs again: then this call does not return.
        kernel.sleep(late.min(within));
        let program = kernel.program();
        let reply = if late > within { Err(ErrorKind::TimedOut.into()) } else { self.reply(kernel, grid, mood, url) };
        let is_true = reply.is_ok() && matches!(mood, Mood::Works | Mood::Late(_));
        let mut all = self.got.borrow_mut();
        let got = all.entry(program).or_default();
        let has_figures = is_true || matches!(mood, Mood::Stale(_));
        let (is_broken, is_last) = (got.is_broken || !is_true, grid.is_last(url));
        got.has_some |= has_figures;
        // A round fails with a list that is empty if none of its lists has figures.
        let fails = if mood == Mood::Empty { is_last && !got.has_some } else { !has_figures };
        if has_figures {
            self.first.borrow_mut().get_or_insert(kernel.now());
        } else if fails {
            got.failed.get_or_insert(kernel.now());
        }
        if is_last && !is_broken {
            got.whole = Some(kernel.now());
        }
        // A failure ends a round. An empty list does not.
        let goes_on = !is_last && (has_figures || mood == Mood::Empty);
        (got.is_broken, got.has_some) = (is_broken && goes_on, got.has_some && goes_on);
        reply
    }

    fn reply(&self, kernel: &Kernel, grid: &Grid, mood: Mood, url: &str) -> io::Result<WebReply> {
        let ok = |body: Vec<u8>| Ok(WebReply { status: 200, retry_after: None, body });
        let now = kernel.sample().unix.0;
        let whole = || grid.body(mood, url, now).to_string().into_bytes();
        match mood {
            Mood::Refuses => Err(ErrorKind::ConnectionRefused.into()),
            Mood::CutOff => Err(ErrorKind::UnexpectedEof.into()),
            Mood::Status(status, retry_after) => {
                Ok(WebReply { status, retry_after, body: b"{\"message\": \"no\"}".to_vec() })
            }
            Mood::Html => ok(b"<html><title>Sign in</title></html>".to_vec()),
            Mood::HalfJson => {
                let mut body = whole();
                body.truncate(kernel.rng.borrow_mut().usize(0..body.len()));
                ok(body)
            }
            _ => ok(whole()),
        }
    }
}
