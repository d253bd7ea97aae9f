//! Runs of hours and days, entered into the run's state without waiting, and their reports.
#![allow(dead_code)]

use carbontracker::attribution::ledger::Mark;
use carbontracker::carbon::intensity::curve::Curve;
use carbontracker::carbon::intensity::slot::{IntensityQuality, IntensitySlot};
use carbontracker::carbon::intensity::{GridIntensity, Hourly, Intensity, IntensityKind};
use carbontracker::carbon::select;
use carbontracker::carbon::what_if::Elsewhere;
use carbontracker::clock::{ClockSample, MonoNs, UnixS};
use carbontracker::forecast::forecast;
use carbontracker::forecast::history::History;
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::meter::EnergyInterval;
use carbontracker::measurement::source_name::SourceName;
use carbontracker::measurement::unavailable::Unavailable;
use carbontracker::options::Options;
use carbontracker::report::{Detail, Now, OpenEpoch, Report, ReportSettings};
use carbontracker::state::RunState;
use carbontracker::units::ErrorBand;
use serde_json::Value;
use std::sync::Arc;

/// 2026-03-02T12:00:00Z.
pub const NOON: f64 = 1_772_452_800.0;
const S: f64 = 1e9;

/// The power of a device, W, at a time, s from the run's begin.
pub type Watts = fn(f64) -> f64;

/// A run.
pub struct Staged {
    pub name: &'static str,
    pub options: &'static str,
    /// The number of ended epochs.
    pub epochs: usize,
    /// The duration of the n-th epoch, s.
    pub epoch_s: fn(usize) -> f64,
    /// The time between two epochs, s.
    pub gap_s: f64,
    pub devices: Vec<(DeviceKind, &'static str, Watts)>,
    /// The error interval of a kind's figures. None: they are measured.
    pub error: fn(DeviceKind) -> Option<ErrorBand>,
    /// gCO2e/kWh by the hour from noon. None: the yearly average.
    pub hourly: Option<fn(i32) -> f64>,
    /// An epoch is open for this time, s.
    pub open_s: f64,
}

impl Default for Staged {
    fn default() -> Self {
        Staged {
            name: "vgg16",
            options: "epochs=10 location=DK",
            epochs: 10,
            epoch_s: |n| if n == 0 { 150.0 } else { 100.0 + (n * 7 % 5) as f64 },
            gap_s: 4.0,
            devices: vec![
                (DeviceKind::Cpu, "package-0", |at| 60.0 + 15.0 * (at / 40.0).sin()),
                (DeviceKind::Gpu, "NVIDIA A100-SXM4-80GB", |at| {
                    if at % 104.0 < 90.0 { 310.0 + 20.0 * (at / 9.0).sin() } else { 95.0 }
                }),
                (DeviceKind::Dram, "package-0 dram", |_| 11.0),
            ],
            error: |_| None,
            hourly: None,
            open_s: 0.0,
        }
    }
}

/// A grid with sun at noon and wind at times. Its future hours are forecasts.
pub fn sunny(hour: i32) -> f64 {
    let of_day = f64::from((hour + 12).rem_euclid(24));
    280.0 - 160.0 * (-((of_day - 13.0) / 4.0).powi(2)).exp() + 40.0 * (f64::from(hour) / 17.0).sin()
}

impl Staged {
    /// The report of the run.
    pub fn report(&self) -> Report {
        let options = Options::parse(&format!("name='{}' {}", self.name.replace('\'', "\\'"), self.options), |_| None)
            .expect("options");
        let grid = select::choose(&options.carbon, |_| None).expect("a grid").grid;
        let mut state = RunState::new(grid, options.carbon.pue);
        state.carbon.clock.note(ClockSample { monotonic: MonoNs(0), boot_ns: 0, unix: UnixS(NOON) });
        if let Some(figure) = self.hourly {
            self.price(&mut state, figure);
        }
        state.metering.unavailable = unavailable();
        for (number, (kind, device, _)) in self.devices.iter().enumerate() {
            state.add(&estimated(channel(*kind, device, number), (self.error)(*kind)), None, None);
        }
        let at = self.play(&mut state);
        let settled = state.attribution.ledger.epochs();
        state.attribution.settled = settled;
        let (epochs, between) =
            (state.attribution.ledger.observed(settled), state.attribution.ledger.between_first(settled));
        state.forecasting.forecast = forecast(
            options.epochs,
            options.alerts.level,
            epochs,
            between,
            &state.forecasting.first_epoch,
            &History::default(),
        );
        let open = (self.open_s > 0.0).then_some(OpenEpoch { share: Some(0.4) });
        Report::new(&settings(options), &state, Now { at, whole: true, open }, Detail::Epochs)
    }

    /// The report's JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.report().render("json").expect("JSON")).expect("JSON")
    }

    fn price(&self, state: &mut RunState, figure: fn(i32) -> f64) {
        let mut curve = Curve::default();
        curve.take((-6..240).map(|hour| IntensitySlot {
            from: NOON + f64::from(hour) * 3600.0,
            to: NOON + f64::from(hour + 1) * 3600.0,
            g_per_kwh: figure(hour),
            quality: IntensityQuality::Actual,
        }));
        let about = Intensity {
            kind: IntensityKind::File,
            year: None,
            source: "grid.csv".into(),
            ..state.carbon.grid.flat.clone()
        };
        state.carbon.grid =
            GridIntensity { hourly: Some(Hourly { about, curve, failure: None }), ..state.carbon.grid.clone() };
    }

    /// Enters marks and readings. Returns the present time.
    fn play(&self, state: &mut RunState) -> MonoNs {
        let mut at = S;
        for n in 0..self.epochs {
            let end = at + (self.epoch_s)(n) * S;
            state.attribution.ledger.mark(Mark::Begin(MonoNs(at as u64)));
            state.attribution.ledger.mark(Mark::End(MonoNs(end as u64)));
            self.draw(state, at, end);
            if n + 1 < self.epochs || self.open_s > 0.0 {
                self.draw(state, end, end + self.gap_s * S);
            }
            at = end + self.gap_s * S;
        }
        if self.open_s > 0.0 {
            state.attribution.ledger.mark(Mark::Begin(MonoNs(at as u64)));
            self.draw(state, at, at + self.open_s * S);
            at += self.open_s * S;
        }
        state.attribution.ledger.release_all();
        MonoNs(at as u64)
    }

    /// Readings at intervals.
    fn draw(&self, state: &mut RunState, from: f64, to: f64) {
        let parts = (((to - from) / S).ceil() as usize).clamp(1, 40);
        let step = (to - from) / parts as f64;
        for (number, (_, _, watts)) in self.devices.iter().enumerate() {
            for n in 0..parts {
                let (from, to) = (from + n as f64 * step, from + (n + 1) as f64 * step);
                let joules = watts((from + to) / 2.0 / S) * (to - from) / S;
                let [from, to] = [from, to].map(|ns| MonoNs(ns as u64));
                state.attribution.ledger.credit(number, EnergyInterval { from, to, joules, measured: true });
            }
        }
    }
}

fn channel(kind: DeviceKind, device: &str, number: usize) -> Channel {
    let (source, id) = match kind {
        DeviceKind::Gpu => (SourceName::Nvml, format!("GPU-{number:08x}-5b1c-4f6e-9d7a-0242ac120002")),
        _ => (SourceName::Rapl, format!("intel-rapl:{number}")),
    };
    let quantity = Quantity::Counter { joules_per_unit: 1e-6, range: None, max_watts: 2000.0 };
    Channel { id, ..Channel::new((kind, source), device, "", MeasuringMethod::Counter, quantity) }
}

/// A channel as an estimate, if it is one.
fn estimated(channel: Channel, error: Option<ErrorBand>) -> Channel {
    match error {
        Some(_) => Channel {
            source: SourceName::CpuModel,
            method: MeasuringMethod::Estimate,
            may_rest: true,
            error,
            ..channel
        },
        None => channel,
    }
}

fn unavailable() -> Vec<Unavailable> {
    let closed = Unavailable { source: SourceName::Amdgpu, reason: "no AMD GPU here".into(), cure: None };
    let open = Unavailable {
        source: SourceName::PerfRapl,
        reason: "kernel.perf_event_paranoid is 4".into(),
        cure: Some("sudo sysctl kernel.perf_event_paranoid=0".into()),
    };
    vec![closed, open]
}

fn settings(options: Options) -> Arc<ReportSettings> {
    Arc::new(ReportSettings {
        id: "0123456789abcdef".into(),
        name: options.files.name,
        host: "node0117".into(),
        job: None,
        rank: Default::default(),
        started: "2026-03-02T11:59:58Z".into(),
        interval_s: options.interval.as_secs_f64(),
        planned: options.epochs,
        level: options.alerts.level,
        budgets: carbontracker::state::config::Budgets::default(),
        prints: false,
        monitored: options.monitor_epochs,
        elsewhere: Elsewhere::find(&options.carbon.what_if).expect("zones"),
        rates: options.carbon.rates,
    })
}
