//! The best start of a run by the forecast of the grid's intensity and the power of earlier runs.

use super::ahead::{RunAhead, RunForecast};
use super::grid::GridAhead;
use super::like::LikeArgs;
use crate::console::{Done, complain, print, refuse};
use carbontracker::carbon::intensity::curve::Curve;
use carbontracker::carbon::what_if::WhatIfStart;
use carbontracker::carbon::what_if::profile::{PowerProfile, best_start};
use carbontracker::clock::UnixS;
use carbontracker::forecast::{Estimate, Forecast};
use carbontracker::os;
use carbontracker::run_files::history::PastRun;
use carbontracker::units::{Amount, digits, duration, instant};
use serde_json::{Value, json};
use std::time::Duration;

/// A start is rounded up to this, s: a date that is past would not wait.
const MINUTE_S: f64 = 60.0;
/// The message if the earlier runs have no length.
const NO_TIMES: &str = "the earlier runs have no times; no start can be chosen; measure a run, such as by 'carbontracker run --name NAME -- CMD'";
/// Longest time in which a start is looked for. No service forecasts further.
const MAX_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

const HELP: &str = "\
The earlier runs give the run's length and its power over time. The power of a killed run does not count. The interval of
what is saved has the scatter of the earlier runs and the error of the grid's forecast. The intensity of the hours to come
is in a file, or a live service forecasts it. The start is now or at a later quarter of an hour. All of the run must be in
known hours.

  carbontracker when --like resnet --in logs --within 24h --intensity grid.csv
  carbontracker when --like resnet --in logs --location DE --intensity energycharts
  sbatch --begin=$(carbontracker when --like resnet --in logs --intensity grid.csv --format slurm) job.sh

With --format slurm only the date goes to standard output, in local time. If there is no answer, nothing does, and sbatch
refuses the empty date. Without the network, a file works (see docs/src/how-to/carbon-by-the-hour.md).

Exit status: 0 done; 1 no run fits, or the intensity of the hours to come is unknown: the message has the fix; 2 wrong
arguments or options.";

/// Find the best hour to start a run, by earlier runs and the grid's forecast
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct WhenArgs {
    #[command(flatten)]
    like: LikeArgs,
    /// Start within this time from now
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = within)]
    within: Duration,
    /// Intensity of the hours to come: a CSV file or a live service, the option intensity
    #[arg(long, value_name = "FILE|SERVICE")]
    intensity: Option<String>,
    /// Format of the answer
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "slurm", "json"])]
    format: String,
}

/// Parses the time within which to start.
fn within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).ok().filter(|within| *within <= MAX_WITHIN);
    within.ok_or_else(|| "expected a time up to 7 days, such as 24h or '1day 6h'".into())
}

impl WhenArgs {
    /// Prints the best start.
    pub fn call(self) -> Done {
        let ahead = match self.like.find(&[("intensity", self.intensity.as_deref())])? {
            Ok(ahead) => ahead,
            Err(refused) => return refuse(&refused),
        };
        let RunForecast { whole: forecast, why_unknown } = ahead.forecast()?;
        why_unknown.iter().for_each(|why| complain(why));
        let duration_s = forecast.duration_s.ok_or(NO_TIMES)?.value;
        let grid = GridAhead::find(&ahead.options)?;
        let now = os::unix_s().0;
        let curve = curve(&grid)?;
        let profile = PowerProfile::mean(ahead.runs.iter().filter(|past| past.run.is_whole).map(parts));
        let best = best_start(curve, &profile, now, self.within.as_secs_f64(), duration_s);
        let best = best.ok_or_else(|| unknown(curve, now, duration_s))?;
        let chosen = Chosen { best, savings: Savings::of(best, &forecast, &ahead, &grid), forecast, ahead: &ahead };
        print(&match self.format.as_str() {
            "slurm" => chosen.date()? + "\n",
            "json" => format!("{}\n", chosen.json()?),
            _ => chosen.text()?,
        })
    }
}

/// The figures by the hour. An error is the reason why there are none, and the fix.
fn curve(grid: &GridAhead) -> Result<&Curve, String> {
    let fix = "give --intensity FILE.csv with the hours to come, or a service that forecasts: --intensity energycharts for zones of Europe, carbonintensity_gb for Britain, energidataservice for Denmark, electricitymaps with a key";
    match &grid.intensity.hourly {
        Some(hourly) if !hourly.curve.is_empty() => Ok(&hourly.curve),
        Some(hourly) => {
            let why = hourly.failure.as_deref().unwrap_or("the service has not answered");
            Err(format!("the intensity of the hours to come is unknown: {why}; no start can be chosen; {fix}"))
        }
        None => Err(format!("the intensity of the hours to come is unknown; no start can be chosen; {fix}")),
    }
}

/// The message if no start lets the whole run be in known hours.
fn unknown(curve: &Curve, now: f64, duration_s: f64) -> String {
    let ends = curve.known_to().and_then(instant).unwrap_or_default();
    let from = instant(now).unwrap_or_default();
    format!(
        "the intensity is not known for all of the run, which takes {} from {from} on: its figures end at {ends}, or have a gap; no start can be chosen; give a file or service with more hours",
        duration(duration_s)
    )
}

/// The power of an earlier run by time. That of a killed run is not asked for: it lacks its end.
fn parts(past: &PastRun) -> Vec<(f64, f64, f64)> {
    past.power.iter().map(|part| (part.from, part.to, part.watts)).collect()
}

/// Emissions of the run, and what the best start saves, g CO2e. The intervals have the errors of all earlier runs and
/// of the grid's forecast. None: the energy is unknown.
struct Savings {
    then: Option<Estimate>,
    now: Option<Estimate>,
    saves: Option<Estimate>,
    energy_j: Option<Estimate>,
    is_estimated: bool,
}

impl Savings {
    fn of(best: WhatIfStart, forecast: &Forecast, ahead: &RunAhead, grid: &GridAhead) -> Savings {
        let (uncertainty, is_now) = (ahead.uncertainty(), best.delay_s <= 0.0);
        let energy_j = forecast.energy_j.map(|energy| uncertainty.of_total(energy));
        let curve = grid.intensity.hourly.as_ref().map(|hourly| &hourly.curve);
        let error = |begin: f64| {
            let duration_s = forecast.duration_s?.value;
            Some(grid.error_share(curve?, begin, duration_s, forecast.level))
        };
        let then = (best.g_per_kwh, error(best.at).unwrap_or(0.0));
        let now = (best.now_g_per_kwh, error(best.at - best.delay_s).unwrap_or(0.0));
        let of = |(g_per_kwh, error)| energy_j.map(|energy| grid.grams_at(energy, g_per_kwh, error));
        let saves = |energy| if is_now { Estimate::exactly(0.0) } else { grid.saved(energy, now, then) };
        let is_estimated = uncertainty.is_any();
        Savings { then: of(then), now: of(now), saves: energy_j.map(saves), energy_j, is_estimated }
    }

    /// What the best start saves: ", 5.8 kg CO2e (5.1 to 6.6 kg)".
    fn text(&self) -> String {
        let signed = |grams: f64| match grams < 0.0 {
            true => format!("-{}", Amount::Grams.exact(-grams)),
            false => Amount::Grams.exact(grams),
        };
        let shown = |saves: Estimate| match saves.low < 0.0 {
            true => format!("{} ({} to {})", signed(saves.value), signed(saves.low), signed(saves.high)),
            false => saves.amount(Amount::Grams, self.is_estimated),
        };
        self.saves.map_or(String::new(), |saves| format!(", CO2e {}", shown(saves)))
    }
}

/// The best start, as it is printed.
struct Chosen<'a> {
    best: WhatIfStart,
    savings: Savings,
    forecast: Forecast,
    ahead: &'a RunAhead,
}

impl Chosen<'_> {
    /// The start in local time, as Slurm takes it.
    fn date(&self) -> Result<String, String> {
        let at = (self.best.at / MINUTE_S).ceil() * MINUTE_S;
        let local = instant(at + f64::from(os::local_time().offset_s(UnixS(at))));
        let local = local.ok_or("the clock of this machine has no valid date; set it")?;
        Ok(local.trim_end_matches('Z').to_owned())
    }

    fn text(&self) -> Result<String, String> {
        let WhatIfStart { delay_s, g_per_kwh, now_g_per_kwh, .. } = self.best;
        let saves = self.savings.text();
        let share = self.best.saves_share().unwrap_or(0.0) * 100.0;
        let takes = self.forecast.duration_s.map_or(String::new(), |time| time.amount(Amount::Time, false));
        let date = self.date()?.replace('T', " ");
        let when = if delay_s > 0.0 { format!("in {}", duration(delay_s)) } else { "now".into() };
        let (best, now) = (digits(g_per_kwh), digits(now_g_per_kwh));
        Ok(format!(
            "start at {date} local time, {when}: {best} g/kWh, {now} g/kWh if it starts now; saves {share:.0} %{saves}\n  the run takes {takes}, {}; {:.0} % intervals\n",
            self.ahead.basis(&self.forecast),
            self.forecast.level * 100.0
        ))
    }

    fn json(&self) -> Result<Value, String> {
        let best = self.best;
        let estimate = |of: Option<Estimate>| of.map(|e| json!({"value": e.value, "low": e.low, "high": e.high}));
        let Savings { then, now, saves, energy_j, .. } = self.savings;
        let grams = [("co2eq", then), ("now_co2eq", now), ("saves", saves)].into_iter().flat_map(|(name, of)| {
            let ends = [("", of.map(|e| e.value)), ("_low", of.map(|e| e.low)), ("_high", of.map(|e| e.high))];
            ends.map(|(end, grams)| (format!("{name}{end}_g"), json!(grams)))
        });
        let mut answer = json!({
            "schema": 1,
            "name": self.ahead.name,
            "epochs": self.ahead.epochs,
            "level": self.forecast.level,
            "history": self.ahead.history_json(&self.forecast),
            "at": instant(best.at),
            "local": self.date()?,
            "unix_s": best.at,
            "delay_s": best.delay_s,
            "duration_s": estimate(self.forecast.duration_s),
            "energy_j": estimate(energy_j),
            "g_per_kwh": best.g_per_kwh,
            "now_g_per_kwh": best.now_g_per_kwh,
            "saves_share": best.saves_share(),
            "last": instant(best.last),
            "until": instant(best.until),
        });
        answer.as_object_mut().into_iter().for_each(|fields| fields.extend(grams.clone()));
        Ok(answer)
    }
}
