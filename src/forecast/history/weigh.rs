//! The parts of a forecast with earlier runs, and their weights after the epochs seen. Pure.
//!
//! A part's weight is its prior times its likelihood (Bayes' rule). Time and energy have the same cause, so they are
//! not independent: their likelihoods are not multiplied. A part has to explain both, so the lower one counts half, and
//! their geometric mean counts half. An epoch changes a likelihood by a factor of e⁶ at most. So one odd epoch, or one
//! gap in a recording, does not decide.

use super::follow::{Fit, Off, Prior};
use super::profile::Profile;
use super::scatter::Scatter;
use super::{ALIKE, History, Metric, Tuning};
use crate::forecast::alone::{self, First, Skew};
use crate::forecast::mixture::Part;
use crate::forecast::trend::EpochCost;
use std::f64::consts::SQRT_2;

/// Weight of the prior scatter, in runs.
const PRIOR_RUNS: f64 = 2.0;
/// Scatter of the level where the configuration differs, as a logarithm: a factor of e.
const OTHER_LEVEL: f64 = 1.0;
/// Of the prior of another level or shape, the share of another level with a known shape.
const KNOWN_SHAPE: f64 = 0.3;
/// Least prior of another level or shape.
const MIN_OTHER: f64 = 0.08;
/// Part of an earlier run's warm-up by which this run's may differ, as a logarithm.
const WARM_UP_SHARE: f64 = 0.5;
/// Most scatter of the level that follows from the scatter of epochs, as a logarithm.
const MAX_FOLLOWED: f64 = 0.004;
/// A run with earlier ones is longer than expected by this factor more than it is shorter: stalls lengthen it.
const UP: f64 = 1.5;
/// Prior of a run that repeats the earlier one epoch by epoch.
const REPEATS: f64 = 0.3;
/// Weight of the prior noise, in epochs.
const PRIOR_EPOCHS: f64 = 3.0;
/// Prior of a warm-up that repeats that of an earlier run. Its scatter is then this part of another one's.
const WARM_UP_REPEATS: f64 = 0.3;
const REPEATED_WARM_UP: f64 = 0.1;
/// Most probability of that: a cold cache may come at any time.
const MAX_REPEATS: f64 = 0.4;
/// Scatter of a first epoch whose warm-up repeats, as a logarithm.
const FIRST_NOISE: f64 = 0.02;
/// Where a run repeats an earlier one epoch by epoch, this part of the square of its stalls is taken for shape, such as
/// checkpoints. The others may not come again.
const STALLS_REPEAT: f64 = 0.7;
/// Where a run repeats an earlier one epoch by epoch, the difference of their shapes has this part.
const REPEATED_SHAPE: f64 = 0.22;
/// One epoch changes the logarithm of a likelihood by this much at most.
const MAX_EVIDENCE: f64 = 6.0;
/// Least number of epochs that are compared between runs.
const MIN_COMPARED: usize = 8;
/// Epochs of an earlier run that count in the mean square of the remaining ones.
const KNOWN_EPOCHS: f64 = 10.0;

/// The epochs of this run, as the model sees them.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its first epoch.
    pub first: Option<First>,
    /// The epochs used: the index of the first of each entry, and its cost. The first epoch is one of them.
    pub entries: &'a [(f64, EpochCost)],
    /// Number of epochs that ended.
    pub done: f64,
    /// Number of planned epochs.
    pub planned: f64,
    /// Number of remaining epochs, with those of unknown amount.
    pub left: f64,
}

/// An earlier run beside a number of planned epochs, with the scatter of the runs like it.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The place of the run in the history.
    pub run: usize,
    /// Its costs.
    pub profile: &'a Profile,
    /// Logarithm of the mean cost of an epoch.
    pub level: f64,
    /// Number of earlier runs of this level, with this one.
    pub alike: usize,
    /// Variance of the level of a run like it.
    scatter: f64,
    /// Variance of the first epoch.
    first: FirstScatter,
    /// Mean square of the stalls of a run like it, as a share of the run.
    stalls: f64,
}

/// What a part means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    /// Level and shape of an earlier run.
    Alike,
    /// The shape of an earlier run at another level.
    OtherLevel,
    /// No earlier run.
    Alone,
}

/// A part, with the logarithms of the densities of the epochs seen.
struct Weighed {
    case: Case,
    /// The place of its earlier run.
    earlier: Option<usize>,
    part: Part,
    densities: Vec<f64>,
}

/// The earlier runs, for a run of `planned` epochs.
pub fn templates(history: &History, metric: Metric, planned: f64) -> Vec<Template<'_>> {
    let known = history.runs.iter().enumerate().filter_map(|(n, run)| Some((n, run.profile(metric)?)));
    let (places, profiles): (Vec<usize>, Vec<&Profile>) = known.unzip();
    let mut templates = of_profiles(&profiles, &history.tuning, metric, planned);
    templates.iter_mut().zip(places).for_each(|(template, run)| template.run = run);
    templates
}

/// The same for these profiles.
pub fn of_profiles<'a>(profiles: &[&'a Profile], tuning: &Tuning, metric: Metric, planned: f64) -> Vec<Template<'a>> {
    let prior = match metric {
        Metric::Energy => tuning.energy_scatter,
        Metric::Duration => tuning.time_scatter,
    };
    let level = |profile: &Profile| (profile.before(planned, planned) / planned).ln();
    let compared = profiles.iter().map(|one| one.compared()).min().unwrap_or(0).max(MIN_COMPARED);
    let known = |profile: &&'a Profile| Known {
        profile,
        level: level(profile),
        typical: profile.typical_of(compared),
        warm_up: profile.warm_up(),
    };
    let known: Vec<Known> = profiles.iter().map(known).collect();
    let template = |one: &Known<'a>| {
        let near: Vec<&Known> = known.iter().filter(|other| (other.level - one.level).abs() < ALIKE).collect();
        Template::of(one, &near, tuning, prior)
    };
    known.iter().map(template).collect()
}

/// An earlier run, and what is compared between runs, as logarithms.
struct Known<'a> {
    profile: &'a Profile,
    /// Mean cost of an epoch.
    level: f64,
    /// Cost of a usual one of the first epochs.
    typical: f64,
    /// First epoch over a usual one.
    warm_up: f64,
}

/// How much the first epochs of runs differ, as variances of the logarithm.
#[derive(Clone, Copy, Debug)]
struct FirstScatter {
    /// With the prior of any first epoch.
    variance: f64,
    /// As the warm-ups of the earlier runs show it.
    shown: f64,
    /// If the warm-up repeats that of the earlier run, and the probability of that.
    repeated: f64,
    repeats: f64,
}

impl FirstScatter {
    /// `warm_up` is the scatter of a warm-up that does not repeat.
    fn of(near: &[&Known], warm_up: f64, tuning: &Tuning) -> FirstScatter {
        let (sum, count) = (square(near, |one| one.warm_up), near.len() as f64 - 1.0);
        let wide = warm_up.hypot(tuning.first);
        let variance = (PRIOR_RUNS * wide * wide + sum) / (PRIOR_RUNS + count);
        let narrow = REPEATED_WARM_UP * warm_up;
        let scatter =
            Scatter { narrow: narrow * narrow, wide: warm_up * warm_up, repeats: WARM_UP_REPEATS, weight: PRIOR_RUNS };
        let repeats = scatter.repeats(sum, count);
        let shown = scatter.mean(repeats, sum, count);
        let repeated = 2.0 * narrow.hypot(FIRST_NOISE).powi(2);
        FirstScatter { variance: 2.0 * variance, shown: 2.0 * shown, repeated, repeats: repeats.min(MAX_REPEATS) }
    }
}

/// The sum of squares around the mean.
fn square(known: &[&Known], of: fn(&Known) -> f64) -> f64 {
    let mean = known.iter().map(|one| of(one)).sum::<f64>() / known.len() as f64;
    known.iter().map(|one| (of(one) - mean).powi(2)).sum()
}

impl<'a> Template<'a> {
    /// `near` are the earlier runs of its level, with this one. `prior` is the scatter before any is known.
    fn of(one: &Known<'a>, near: &[&Known], tuning: &Tuning, prior: f64) -> Template<'a> {
        let Known { profile, level, warm_up, .. } = *one;
        let count = near.len() as f64;
        // Where epochs scatter, levels do: both come from what else the machine does.
        let prior = prior.hypot((tuning.follows * profile.core.sqrt()).min(MAX_FOLLOWED));
        let scatter = (PRIOR_RUNS * prior * prior + square(near, |one| one.typical)) / (PRIOR_RUNS + count - 1.0);
        // One run beside one other differs twice as much. The parts of several runs differ themselves, so each may be
        // narrower, like the kernels of a density (Silverman, Density Estimation, 1986, ch. 3).
        let is_single = near.len() == 1;
        let kernel = if is_single { 2.0 } else { 1.06 * count.powf(-0.4) };
        let own_warm_up = WARM_UP_SHARE * warm_up.clamp(-1.0, 1.0) / SQRT_2;
        let stalls = near.iter().map(|one| one.profile.stalls.powi(2)).sum::<f64>() / count;
        Template {
            run: 0,
            profile,
            level,
            alike: near.len(),
            scatter: kernel * scatter,
            first: FirstScatter::of(near, own_warm_up, tuning),
            stalls: if is_single { 2.0 * stalls } else { stalls },
        }
    }

    /// The part of this case.
    fn weighed(&self, case: Case, seen: &Seen, tuning: &Tuning) -> Weighed {
        let profile = self.profile;
        let offs: Vec<Off> = seen.entries.iter().enumerate().map(|(n, one)| self.off(n, *one, seen)).collect();
        let is_near = case == Case::Alike;
        let prior = Prior {
            offset: if is_near { self.scatter } else { OTHER_LEVEL * OTHER_LEVEL },
            noise: Scatter {
                narrow: 2.0 * profile.core.min(tuning.noise * tuning.noise),
                wide: 2.0 * profile.core,
                repeats: REPEATS,
                weight: PRIOR_EPOCHS,
            },
            is_near,
        };
        let mut densities = Vec::with_capacity(offs.len());
        let Fit { offset, variance, square, repeats, noise: regular } = prior.follow(&offs, &mut densities);
        // Before the first epoch, nothing shows that this run repeats the earlier one.
        let repeats = if offs.is_empty() { 0.0 } else { repeats };
        let later = offs.len().saturating_sub(1) as f64;
        // The mean square of an epoch around the shape: of the earlier run's epochs, and of this run's.
        let noise = (KNOWN_EPOCHS * 2.0 * profile.noise + later * square) / (KNOWN_EPOCHS + later);
        let odd = 2.0 * (profile.noise - profile.core).max(0.0);
        let noise = (repeats * (regular + odd).min(noise).sqrt() + (1.0 - repeats) * noise.sqrt()).powi(2);
        let unknown = (seen.left - (seen.planned - seen.done)).max(0.0);
        let rest = profile.before(seen.planned, seen.planned) - profile.before(seen.done, seen.planned)
            + unknown * profile.typical().exp();
        let unseen = if is_near {
            let fading = alone::fading(seen.left);
            let shape = tuning.shape * (1.0 - repeats * (1.0 - REPEATED_SHAPE));
            let both = (shape * shape * self.scatter + (1.0 - STALLS_REPEAT * repeats) * self.stalls).sqrt() * fading;
            Skew { down: both, up: UP * both }
        } else {
            alone::unseen(seen.left)
        };
        let share = if seen.entries.is_empty() { profile.first / rest } else { 0.0 };
        let common = variance + noise / seen.left.max(1.0) + (self.first.shown + self.scatter) * share * share;
        let scale = |unseen: f64| (common + unseen * unseen).sqrt();
        let part = Part::new(rest * offset.exp(), scale(unseen.down), scale(unseen.up));
        Weighed { case, earlier: Some(self.run), part, densities }
    }

    /// Scatter of the level of a run like it.
    pub fn scatter(&self) -> f64 {
        self.scatter.sqrt()
    }

    /// The scale of a run like it before its first epoch.
    pub fn at_start(&self, planned: f64) -> f64 {
        let share = self.profile.first / self.profile.before(planned, planned);
        let first = (self.first.shown + self.scatter) * share * share;
        (self.scatter + 2.0 * self.profile.noise / planned + self.stalls + first).sqrt()
    }

    /// An epoch beside that of the earlier run. `n` is its place among those seen.
    fn off(&self, n: usize, (from, cost): (f64, EpochCost), seen: &Seen) -> Off {
        let there = self.profile.before(from + cost.count, seen.planned) - self.profile.before(from, seen.planned);
        let off = (cost.each * cost.count / there).ln();
        if n > 0 || seen.first.is_none() {
            return Off { off, more: 0.0, repeated: 0.0, repeats: 0.0 };
        }
        Off { off, more: self.first_variance(seen, off), repeated: self.first.repeated, repeats: self.first.repeats }
    }

    /// The variance of the first epoch, which is `off` above the earlier run's. What is above may be a warm-up that the
    /// earlier run did not have. That is likelier if epochs are short.
    fn first_variance(&self, seen: &Seen, off: f64) -> f64 {
        let seconds = seen.first.and_then(|first| first.seconds).map(|seconds| seconds * (-off).exp());
        let more = off.clamp(0.0, alone::after_one(seconds).down);
        self.first.variance + more * more
    }
}

/// The parts of the remaining cost of one quantity, and how likely each makes the epochs seen.
pub struct Comparison {
    /// The places of the earlier runs in the history.
    runs: Vec<usize>,
    all: Vec<Weighed>,
    log_likelihoods: Vec<f64>,
    /// Prior of another level or shape.
    other: f64,
}

impl Comparison {
    /// Compares the run with earlier ones. `alone` is the part without them.
    pub fn of(templates: &[Template], seen: &Seen, tuning: &Tuning, alone: Option<Part>) -> Comparison {
        let all = weighed(templates, seen, tuning, alone);
        let other = other(templates, tuning);
        let runs = templates.iter().map(|one| one.run).collect();
        Comparison { runs, log_likelihoods: log_likelihoods(&all), all, other }
    }

    /// The parts with their weights. `twin` is the other quantity. It counts if as much is known of it.
    pub fn parts(&self, twin: Option<&Comparison>) -> Vec<Part> {
        let twin = twin.filter(|twin| twin.runs == self.runs && twin.all.len() == self.all.len()).unwrap_or(self);
        let runs = self.all.iter().filter(|one| one.case == Case::Alike).count() as f64;
        let likelihoods = self.log_likelihoods.iter().zip(&twin.log_likelihoods);
        let weigh = |(one, (own, other)): (&Weighed, (&f64, &f64))| {
            let prior = match one.case {
                Case::Alike => (1.0 - self.other) / runs,
                Case::OtherLevel => self.other * KNOWN_SHAPE / runs,
                Case::Alone => self.other * (1.0 - KNOWN_SHAPE),
            };
            let log_likelihood = 0.5 * own.min(*other) + 0.25 * (own + other);
            Part { log_weight: prior.ln() + log_likelihood, earlier: one.earlier, ..one.part }
        };
        let parts = self.all.iter().zip(likelihoods).map(weigh);
        parts.filter(|part| part.cost > 0.0 && part.cost.is_finite()).collect()
    }
}

/// The prior of another level or shape, by a rule of succession, so one run alone decides little (Good, Biometrika 40,
/// 1953, for the share of new kinds). A run of no other one's level speaks for it once for each of the others.
fn other(templates: &[Template], tuning: &Tuning) -> f64 {
    let others = templates.len() as f64 - 1.0;
    let single = others * templates.iter().filter(|one| one.alike == 1).count() as f64;
    let alike = templates.iter().filter(|one| one.alike > 1).count() as f64;
    ((single + tuning.other) / (single + alike + 1.0 + tuning.other)).max(MIN_OTHER)
}

/// All parts. Before the first epoch, there is no level but that of the earlier runs.
fn weighed(templates: &[Template], seen: &Seen, tuning: &Tuning, alone: Option<Part>) -> Vec<Weighed> {
    let is_start = seen.entries.is_empty();
    let cases: &[Case] = if is_start { &[Case::Alike] } else { &[Case::Alike, Case::OtherLevel] };
    let mut all: Vec<Weighed> = Vec::with_capacity(2 * templates.len() + 1);
    for template in templates {
        all.extend(cases.iter().map(|case| template.weighed(*case, seen, tuning)));
    }
    if let Some(part) = alone.filter(|_| !is_start) {
        let later: Vec<EpochCost> =
            seen.entries.iter().skip(usize::from(seen.first.is_some())).map(|(_, cost)| *cost).collect();
        let expected = templates.iter().map(|one| one.profile.first.ln()).sum::<f64>() / templates.len() as f64;
        all.push(Weighed {
            case: Case::Alone,
            earlier: None,
            part,
            densities: alone::log_densities(seen.first, &later, expected),
        });
    }
    all
}

/// The logarithm of the likelihood of each part. It is relative to the best of each epoch.
fn log_likelihoods(all: &[Weighed]) -> Vec<f64> {
    let epochs = all.iter().map(|one| one.densities.len()).min().unwrap_or(0);
    let mut sums = vec![0.0; all.len()];
    for n in 0..epochs {
        let at = |one: &Weighed| one.densities.get(n).copied().unwrap_or(f64::NEG_INFINITY);
        let best = all.iter().map(at).fold(f64::NEG_INFINITY, f64::max);
        sums.iter_mut().zip(all).for_each(|(sum, one)| *sum += (at(one) - best).max(-MAX_EVIDENCE));
    }
    sums
}
