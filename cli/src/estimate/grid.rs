//! The grid of a run to come: from a table, from a file, or asked of a live service.

use crate::console::complain;
use carbontracker::attribution::ledger::Ledger;
use carbontracker::carbon::emissions::EmissionFactors;
use carbontracker::carbon::intensity::GridIntensity;
use carbontracker::carbon::intensity::curve::Curve;
use carbontracker::carbon::select;
use carbontracker::clock::{MonoNs, WallClock};
use carbontracker::forecast::{Estimate, Forecast};
use carbontracker::options::Options;
use carbontracker::os;
use carbontracker::state::RunState;
use carbontracker::state::shared::SharedState;
use carbontracker::tracker::intensity_feed::IntensityFeeds;
use carbontracker::units::J_PER_KWH;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for the answer of a live service.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Time between two looks for its answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The grid, and the energy of the facility over that of its devices.
pub struct GridAhead {
    pub intensity: GridIntensity,
    pub pue: f64,
    clock: WallClock,
}

impl GridAhead {
    /// Finds the grid of these options. A live service is asked once.
    pub fn find(options: &Options) -> Result<GridAhead, String> {
        let variable = |name: &str| os::variable(name)?.into_string().ok();
        let choice = options.choice_as_set(select::choose(&options.carbon, variable)).map_err(|error| error.message)?;
        let caveats: Vec<String> = choice.caveats().collect();
        caveats.iter().for_each(|caveat| complain(caveat));
        let state = RunState::new(choice.grid, options.carbon.pue).within(choice.facility);
        let shared = Arc::new(SharedState::new(state));
        let is_live = !choice.feeds.iter().all(|feed| matches!(feed, select::Feed::File(..)));
        if is_live {
            let feeds = IntensityFeeds::start(choice.feeds, &shared);
            await_answer(&shared);
            feeds.stop();
            print_messages(&shared);
        }
        let carbon = &shared.state().carbon;
        let mut clock = WallClock::default();
        clock.note(os::clock_sample());
        Ok(GridAhead { intensity: carbon.grid.clone(), pue: carbon.pue, clock })
    }

    /// The emissions of a run that begins now, g CO2e.
    pub fn grams(&self, forecast: &Forecast) -> Option<Estimate> {
        let factors = EmissionFactors::new(&self.intensity, &self.clock, self.pue);
        factors.forecast(&factors.emissions(&Ledger::default(), self.now()), forecast)
    }

    /// The emissions of this energy at a mean intensity whose error is a share of it, g CO2e.
    pub fn grams_at(&self, energy_j: Estimate, g_per_kwh: f64, error_share: f64) -> Estimate {
        let grams = energy_j.scaled(self.pue / J_PER_KWH * g_per_kwh);
        let end = |end: f64, sign: f64| match (grams.value > 0.0, end > 0.0) {
            (true, true) => grams.value * (sign * (end / grams.value).ln().hypot(error_share)).exp(),
            _ => end,
        };
        Estimate { used: 0.0, low: end(grams.low, -1.0), high: end(grams.high, 1.0), ..grams }
    }

    /// What a later start saves, g CO2e: the difference of two mean intensities, `now` and `then`. With each comes its
    /// error, a share. The errors of the two count as independent, which is at most too wide.
    pub fn saved(&self, energy_j: Estimate, now: (f64, f64), then: (f64, f64)) -> Estimate {
        let kwh = energy_j.scaled(self.pue / J_PER_KWH);
        let (difference, error) = (now.0 - then.0, (now.0 * now.1).hypot(then.0 * then.1));
        let value = kwh.value * difference;
        let width = |end: f64| ((end - kwh.value) * difference).hypot(kwh.value * error);
        let (less, more) = if difference < 0.0 { (kwh.high, kwh.low) } else { (kwh.low, kwh.high) };
        Estimate { used: 0.0, value, low: value - width(less), high: value + width(more) }
    }

    /// Error of the forecast mean intensity of a run that begins at this time, s since 1970, as a share at this level.
    pub fn error_share(&self, curve: &Curve, begin: f64, duration_s: f64, level: f64) -> f64 {
        let factors = EmissionFactors::new(&self.intensity, &self.clock, self.pue);
        factors.error_at(curve, begin, begin + duration_s, level)
    }

    /// The present instant.
    fn now(&self) -> MonoNs {
        os::monotonic_ns()
    }

    /// The mean intensity that this mass and energy have, g/kWh.
    pub fn g_per_kwh(&self, grams: Option<Estimate>, energy_j: Option<Estimate>) -> Option<f64> {
        let kwh = energy_j?.value / J_PER_KWH * self.pue;
        Some(grams?.value / kwh).filter(|figure| figure.is_finite())
    }
}

/// Waits for figures by the hour, or for the reason why there are none.
fn await_answer(shared: &SharedState) {
    let deadline = Instant::now() + MAX_WAIT;
    let is_missing = || {
        let state = shared.state();
        let hourly = state.carbon.grid.hourly.as_ref();
        hourly.is_none_or(|hourly| hourly.curve.is_empty() && hourly.failure.is_none())
    };
    while is_missing() && Instant::now() < deadline {
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn print_messages(shared: &SharedState) {
    shared.messages().iter().for_each(|message| complain(message));
}
