//! Adds up energy, CO2e and time by project, day, month or name.

use crate::aggregate::collected;
use crate::aggregate::run_entry::RunEntry;
use crate::aggregate::sum::Sum;
use crate::aggregate::totals::{Totals, grouped};
use crate::report_files;
use crate::table;
use carbontracker::clock::{LocalTime, UnixS};
use carbontracker::os::local_time;
use carbontracker::sanitize;
use carbontracker::units::{Amount, J_PER_KWH, instant};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Add up energy, CO2e and time by project, day, month or name
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct TotalsArgs {
    /// Folders of runs, or files [default: the folder that 'last' reads]
    #[arg(value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// What a row adds up
    #[arg(long, value_name = "WHAT", default_value = "month")]
    by: TotalsBy,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
The ranks of a job are one run. A run counts at the local day on which it began. The project of a run is the part of
its name before the first '/', as in --name vision/resnet; without one, the folder of its files. Energy includes the
PUE. Folders inside a folder are not searched: name them, DIR/*.

Exit status: 0 done; 1 no run could be read; 2 wrong arguments.";

/// Version of the JSON's layout.
const LAYOUT: u8 = 1;

/// What a row adds up.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TotalsBy {
    /// Runs of one project: the name before '/', or else the folder
    Project,
    /// Runs that began on one day
    Day,
    /// Runs that began in one month
    Month,
    /// Runs with one name
    Name,
}

/// Length of a date such as "2026-03-02".
const DAY: usize = 10;
/// Length of a month such as "2026-03".
const MONTH: usize = 7;

impl TotalsBy {
    fn word(self) -> &'static str {
        match self {
            TotalsBy::Project => "project",
            TotalsBy::Day => "day",
            TotalsBy::Month => "month",
            TotalsBy::Name => "name",
        }
    }

    /// The row of a run. None: it is unknown.
    fn of(self, run: &RunEntry, local: &LocalTime) -> Option<String> {
        let date = |length: usize| {
            let from = run.from?;
            Some(instant(from + f64::from(local.offset_s(UnixS(from))))?.get(..length)?.to_owned())
        };
        match self {
            TotalsBy::Project => project(run.name.as_deref(), Path::new(&run.file)),
            TotalsBy::Day => date(DAY),
            TotalsBy::Month => date(MONTH),
            TotalsBy::Name => run.name.clone(),
        }
    }
}

/// The name before the first slash, or else the folder of the file.
fn project(name: Option<&str>, file: &Path) -> Option<String> {
    if let Some((project, _)) = name.and_then(|name| name.split_once('/')).filter(|(project, _)| !project.is_empty()) {
        return Some(project.to_owned());
    }
    Some(sanitize::text(file.parent()?.file_name()?.to_string_lossy()))
}

/// The totals in the requested form.
pub fn text(args: &TotalsArgs) -> Result<String, String> {
    let paths = if args.paths.is_empty() { vec![report_files::default_folder()?] } else { args.paths.clone() };
    // So that a folder such as "." has a name.
    let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.canonicalize().unwrap_or(path)).collect();
    let found = collected(&paths)?;
    let local = local_time();
    let groups = grouped(found.rows.iter().map(|row| &row.run), |run| args.by.of(run, &local));
    let all = Totals::of(found.rows.iter().map(|row| &row.run));
    if args.json {
        let group = |(name, totals): &(Option<String>, Totals)| json!({"name": name, "totals": totals.json()});
        let groups: Vec<Value> = groups.iter().map(group).collect();
        let whole = json!({"schema": LAYOUT, "by": args.by.word(), "groups": groups, "totals": all.json(), "unread": found.broken});
        return Ok(format!("{whole:#}\n"));
    }
    let mut rows = vec![[args.by.word(), "runs", "time", "energy", "CO2e"].map(str::to_owned)];
    rows.extend(groups.iter().map(|(name, totals)| row(name.as_deref().unwrap_or("(unknown)"), totals)));
    rows.push(row("all", &all));
    Ok(table::text(&rows) + &notes(&all))
}

fn row(name: &str, totals: &Totals) -> [String; 5] {
    let shown = |sum: Sum, size: f64, amount: Amount| {
        sum.value().map_or("unknown".into(), |value| amount.alone(value * size, sum.error()))
    };
    [
        name.to_owned(),
        totals.runs.to_string(),
        totals.time(),
        shown(totals.facility_kwh, J_PER_KWH, Amount::Energy),
        shown(totals.co2eq_g, 1.0, Amount::Grams),
    ]
}

/// What the sums lack.
fn notes(all: &Totals) -> String {
    let lacks = [
        (all.without_duration, "time unknown, in no sum"),
        (all.without_energy, "energy unknown, in no sum"),
        (all.without_co2eq, "CO2e unknown, in no sum"),
        (all.unfinished, "killed or in progress, counted as far as the journal goes"),
    ];
    let lines = lacks.into_iter().filter(|(count, _)| *count > 0);
    lines.map(|(count, what)| format!("note: {count} of {} runs: {what}\n", all.runs)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_is_before_the_slash_or_the_folder() {
        let of = |name, file| project(name, Path::new(file));
        assert_eq!(of(Some("vision/resnet/50"), "/a/runs/x.json").as_deref(), Some("vision"));
        assert_eq!(of(Some("resnet"), "/a/runs/x.json").as_deref(), Some("runs"));
        assert_eq!(of(Some("/resnet"), "/a/runs/x.json").as_deref(), Some("runs"));
        assert_eq!(of(None, "x.json"), None);
    }
}
