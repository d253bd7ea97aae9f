//! Tests of the forecast messages and the verdict on budgets.

use super::*;
use crate::attribution::ledger::Mark;
use crate::clock::WallClock;
use crate::forecast::first_epoch::ProgressPoint;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;
use crate::options::Options;
use crate::units::ErrorBand;

/// A ledger of `epochs` epochs of 1 s at 100 W.
fn ledger(epochs: u64) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.add_channel(DeviceKind::Cpu);
    for n in 0..epochs {
        ledger.mark(Mark::Begin(MonoNs(n * 1_000_000_000)));
        ledger.mark(Mark::End(MonoNs((n + 1) * 1_000_000_000)));
    }
    ledger.credit(
        0,
        EnergyInterval {
            from: MonoNs(0),
            to: MonoNs(epochs * 1_000_000_000),
            joules: 100.0 * epochs as f64,
            measured: true,
        },
    );
    ledger.release_all();
    ledger
}

fn reviewed(alerts: &mut Alerts, options: &Options, ledger: &Ledger, settled: u64) -> Review {
    reviewed_with(alerts, options, ledger, settled, Uncertainty::default())
}

fn reviewed_with(
    alerts: &mut Alerts,
    options: &Options,
    ledger: &Ledger,
    settled: u64,
    uncertainty: Uncertainty,
) -> Review {
    reviewed_at(alerts, options, (ledger, settled), uncertainty, &FirstEpoch::default())
}

fn reviewed_at(
    alerts: &mut Alerts,
    options: &Options,
    at: (&Ledger, u64),
    uncertainty: Uncertainty,
    first_epoch: &FirstEpoch,
) -> Review {
    with_input(options, at, uncertainty, first_epoch, |input| alerts.review(input))
}

fn with_input<T>(
    options: &Options,
    (ledger, settled): (&Ledger, u64),
    uncertainty: Uncertainty,
    first_epoch: &FirstEpoch,
    call: impl FnOnce(&AlertInput) -> T,
) -> T {
    let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
    let clock = WallClock::default();
    let factors = EmissionFactors::new(&grid, &clock, options.carbon.pue);
    call(&AlertInput {
        ledger,
        settled,
        first_epoch,
        history: &Arc::default(),
        run_progress: &RunProgress::default(),
        is_divided: false,
        local: &LocalTime::default(),
        factors,
        uncertainty,
        now: MonoNs::NEVER,
    })
}

/// A forecast that takes long is not made again after each epoch. Then the old one is judged beside newer epochs.
#[test]
fn one_forecast_passes_no_budget_however_often_it_is_judged() {
    let options = Options::parse("epochs=100 budget_h=0.00035", |_| None).unwrap();
    let mut alerts = Alerts::new(options.alerts, options.epochs);
    let first = reviewed(&mut alerts, &options, &ledger(1), 1).forecast;
    assert!(first.unwrap().duration_s.unwrap().low > 1.26);
    let (uncertainty, none) = (Uncertainty::default(), FirstEpoch::default());
    let mut is_over = |settled: u64, forecast| {
        let judge = |input: &AlertInput| alerts.judge(forecast, input).over_budget;
        with_input(&options, (&ledger(1), settled), uncertainty, &none, judge)
    };
    assert!(!is_over(1, first) && !is_over(2, first) && !is_over(3, first));
    let second = first.map(|forecast| Forecast { after_epochs: 2, ..forecast });
    assert!(is_over(3, second));
}

/// Reviews after each epoch from `first` to `last`. Returns whether the last one passes a budget, and all messages.
fn review(options: &str, first: u64, last: u64) -> (bool, Vec<String>) {
    let options = Options::parse(options, |_| None).unwrap();
    let mut alerts = Alerts::new(options.alerts, options.epochs);
    let reviews: Vec<Review> =
        (first..=last).map(|epochs| reviewed(&mut alerts, &options, &ledger(epochs), epochs)).collect();
    let over = reviews.last().is_some_and(|last| last.over_budget);
    (over, reviews.into_iter().flat_map(|review| review.messages).collect())
}

#[test]
fn first_forecast_message_comes_after_two_epochs_unless_an_option_sets_it() {
    let (over, messages) = review("epochs=100", 1, 3);
    assert!(
        !over
            && messages.len() == 1
            && messages[0].starts_with("forecast after 2 of 100 epochs, 90 % intervals: time 100 s ("),
        "{messages:?}"
    );
    assert!(messages[0].contains("energy") && messages[0].contains("CO2e"));
    assert!(messages[0].ends_with("; done at 1970-01-01 00:01 UTC"), "{messages:?}");
    let (_, messages) = review("epochs=100 forecast_after=1", 1, 3);
    assert!(messages.len() == 1 && messages[0].starts_with("forecast after 1 of"), "{messages:?}");
    assert_eq!(review("epochs=100 forecast_after=9", 1, 4).1.len(), 0);
    assert_eq!(review("", 1, 4).1.len(), 0);
    assert_eq!(review("epochs=2", 1, 2).1.len(), 0, "nothing is left to forecast");
}

/// A first epoch of 1 s: with a warm-up before steady batches, or steady throughout.
fn marked_first(warm_up_s: f64) -> FirstEpoch {
    let mut first_epoch = FirstEpoch::default();
    first_epoch.follow(Some(MonoNs(0)));
    for n in 1..=100 {
        let seconds = warm_up_s + (1.0 - warm_up_s) * f64::from(n) / 100.0;
        let at = MonoNs((seconds * 1e9) as u64);
        first_epoch.note(ProgressPoint { at, share: f64::from(n) / 100.0 });
        first_epoch.settle(at, at, |_| Some(100.0 * seconds));
    }
    first_epoch
}

#[test]
fn first_forecast_message_comes_after_one_epoch_if_marks_show_a_change_of_pace() {
    let options = Options::parse("epochs=100", |_| None).unwrap();
    for (warm_up_s, expected) in [(0.5, 1), (0.0, 0)] {
        let mut alerts = Alerts::new(options.alerts, options.epochs);
        let (one, first_epoch) = (ledger(1), marked_first(warm_up_s));
        let review = reviewed_at(&mut alerts, &options, (&one, 1), Uncertainty::default(), &first_epoch);
        assert_eq!(review.messages.len(), expected, "{warm_up_s}: {:?}", review.messages);
    }
}

/// A run whose epochs take `seconds` each. Reviews after each, and returns the messages.
fn messages_of(seconds: &[u64], planned: u64) -> Vec<String> {
    let options = Options::parse(&format!("epochs={planned}"), |_| None).unwrap();
    let mut alerts = Alerts::new(options.alerts, options.epochs);
    let (mut ledger, mut at, mut messages) = (Ledger::default(), 0, Vec::new());
    for (number, seconds) in (1..).zip(seconds) {
        ledger.mark(Mark::Begin(MonoNs(at)));
        at += seconds * 1_000_000_000;
        ledger.mark(Mark::End(MonoNs(at)));
        messages.extend(reviewed(&mut alerts, &options, &ledger, number).messages);
    }
    messages
}

#[test]
fn forecast_that_leaves_its_interval_makes_a_new_message() {
    let steps: Vec<u64> = (0..60).map(|n| if n < 10 { 10 } else { 30 }).collect();
    let messages = messages_of(&steps, 100);
    assert!(messages[0].starts_with("forecast after 2 of 100 epochs"), "{messages:?}");
    assert!(messages[1].starts_with("the forecast has changed, after 1"), "{messages:?}");
    assert!(
        messages[1].ends_with("; it has left the interval that was reported after 2 of 100 epochs"),
        "{messages:?}"
    );
    assert!(messages.len() <= 3, "{messages:?}");
    assert_eq!(messages_of(&[10; 60], 100).len(), 1);
}

/// An estimate may be twice the truth, and the message shows that. The forecast must leave the interval that was shown.
#[test]
fn message_on_a_changed_forecast_compares_with_the_interval_that_was_shown() {
    let options = Options::parse("epochs=100", |_| None).unwrap();
    let band = Some(ErrorBand { low: 0.5, high: 2.0 });
    let run = |watts: f64, uncertainty: Uncertainty| {
        let (mut alerts, mut ledger, mut messages) = (Alerts::new(options.alerts, 100), Ledger::default(), Vec::new());
        ledger.add_channel(DeviceKind::Cpu);
        for n in 0..60 {
            let (from, to) = (MonoNs(n * 1_000_000_000), MonoNs((n + 1) * 1_000_000_000));
            ledger.mark(Mark::Begin(from));
            ledger.mark(Mark::End(to));
            let joules = if n < 10 { 100.0 } else { watts };
            ledger.credit(0, EnergyInterval { from, to, joules, measured: true });
            messages.extend(reviewed_with(&mut alerts, &options, &ledger, n + 1, uncertainty).messages);
        }
        messages
    };
    let estimated = Uncertainty { used: band, to_come: band };
    assert_eq!(run(150.0, Uncertainty::default()).len(), 2);
    assert_eq!(run(150.0, estimated).len(), 1, "{:?}", run(150.0, estimated));
    assert_eq!(run(400.0, estimated).len(), 2);
}

#[test]
fn end_before_the_planned_epochs_reports_what_it_saved() {
    let options = Options::parse("epochs=100", |_| None).unwrap();
    let grid = crate::carbon::select::choose(&options.carbon, |_| None).unwrap().grid;
    let clock = WallClock::default();
    let alerts = Alerts::new(options.alerts, 100);
    let end = |epochs: u64| {
        let ledger = ledger(epochs);
        let run = AlertInput {
            ledger: &ledger,
            settled: epochs,
            first_epoch: &FirstEpoch::default(),
            history: &Arc::default(),
            run_progress: &RunProgress::default(),
            is_divided: false,
            local: &LocalTime::default(),
            factors: EmissionFactors::new(&grid, &clock, 1.0),
            uncertainty: Uncertainty::default(),
            now: MonoNs::NEVER,
        };
        alerts.end(alerts.input(&run).forecast(), &run)
    };
    let message = end(40).unwrap();
    assert!(
        message.starts_with("the run ended after 40 of 100 epochs; by the forecast, this saved time 60 s (5"),
        "{message}"
    );
    assert!(message.contains(", energy 1.7 Wh (1.") && message.contains(", CO2e 760 mg (7"), "{message}");
    assert!(message.ends_with(" (90 % intervals); if it was to go on, continue it with resume="), "{message}");
    assert_eq!((end(0), end(100), end(101)), (None, None, None));
}

/// Epochs that get longer and longer leave every interval.
#[test]
fn number_of_messages_grows_with_the_logarithm_of_the_epochs() {
    let ever_longer: Vec<u64> = (1..=1000).map(|n| n * n).collect();
    let messages = messages_of(&ever_longer, 1001);
    assert!((3..=17).contains(&messages.len()), "{}", messages.len());
}

#[test]
fn budgets_are_judged_by_the_low_end_of_two_forecasts_or_by_the_use() {
    // 100 epochs of 100 J: 10 kJ = 2.78 Wh, 1.27 g at the world's 458.29 g/kWh, 100 s. The low end is 6 % below.
    assert!(!review("epochs=100 budget_kwh=0.0028 budget_g=1.3 budget_h=0.03", 2, 9).0);
    assert!(!review("epochs=100 budget_kwh=0.0027 budget_g=1.25 budget_h=0.0275", 2, 3).0, "in the interval");
    for passed in ["budget_kwh=0.0025", "budget_g=1.1", "budget_h=0.025", "budget_kwh=0.0028 pue=1.5"] {
        assert!(!review(&format!("epochs=100 {passed}"), 2, 2).0, "{passed}: once");
        let (over, messages) = review(&format!("epochs=100 {passed}"), 2, 4);
        assert!(over, "{passed}");
        assert_eq!(messages.iter().filter(|message| message.starts_with("budget_")).count(), 1, "{messages:?}");
    }
    let (_, messages) = review("epochs=100 budget_kwh=0.0025 budget_g=1.1 budget_h=1", 2, 4);
    assert_eq!(messages.iter().filter(|message| message.starts_with("budget_")).count(), 2, "{messages:?}");
    assert!(review("budget_kwh=0.00005", 2, 2).0 && !review("budget_kwh=0.00006", 2, 2).0);
}

/// A first epoch of 20 s is mostly compilation; the other 19 take 0.05 s. The budget is 60 s.
#[test]
fn slow_first_epoch_does_not_stop_a_run_that_stays_in_its_budget() {
    let options = Options::parse("epochs=20 budget_h=0.0166", |_| None).unwrap();
    let mut alerts = Alerts::new(options.alerts, options.epochs);
    let (mut ledger, mut at) = (Ledger::default(), 0);
    for epoch in 1..=20 {
        ledger.mark(Mark::Begin(MonoNs(at)));
        at += if epoch == 1 { 20_000_000_000 } else { 50_000_000 };
        ledger.mark(Mark::End(MonoNs(at)));
        let review = reviewed(&mut alerts, &options, &ledger, epoch);
        assert!(!review.over_budget, "{epoch}: {:?}", review.messages);
    }
}

#[test]
fn messages_show_the_interval_of_estimated_energy() {
    let options = Options::parse("epochs=100 budget_kwh=0.001 budget_g=1.3 budget_h=0.025", |_| None).unwrap();
    let band = Some(ErrorBand { low: 0.5, high: 2.0 });
    let uncertainty = Uncertainty { used: band, to_come: band };
    let mut alerts = Alerts::new(options.alerts, options.epochs);
    let messages = reviewed_with(&mut alerts, &options, &ledger(2), 2, uncertainty).messages;
    assert!(messages[0].contains("energy ≈ 2.8 Wh (1.3 to "), "{messages:?}");
    assert!(
        messages[0].contains("CO2e ≈ 1.3 g (0.") && messages[0].ends_with("the error of the estimates"),
        "{messages:?}"
    );
    let messages = reviewed_with(&mut alerts, &options, &ledger(3), 3, uncertainty).messages;
    assert!(
        messages[0].starts_with("budget_kwh=0.001 is passed: the forecast is ≈ 0.0028 kWh (0.0013 to "),
        "{messages:?}"
    );
    assert!(messages[1].starts_with("budget_h=0.025 is passed: the forecast is 0.028 h (0.02"), "{messages:?}");
    let low = Options::parse("epochs=100 budget_kwh=0.0025", |_| None).unwrap();
    let mut alerts = Alerts::new(low.alerts, low.epochs);
    let is_over = (2..9).any(|n| reviewed_with(&mut alerts, &low, &ledger(n), n, uncertainty).over_budget);
    assert!(!is_over, "the estimate may be twice the truth");
    let options = Options::parse("budget_kwh=0.00005", |_| None).unwrap();
    let messages =
        reviewed_with(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger(2), 2, uncertainty).messages;
    assert_eq!(messages, ["budget_kwh=0.00005 is passed: the use is ≈ 0.000056 kWh (0.000028 to 0.00011)"]);
}

/// A device that is lost in the first epoch leaves no epoch fully measured.
#[test]
fn budget_is_judged_by_the_use_without_an_energy_forecast() {
    let options = Options::parse("epochs=10 budget_kwh=0.00006", |_| None).unwrap();
    let mut ledger = ledger(3);
    ledger.add_channel(DeviceKind::Gpu);
    ledger.credit(1, EnergyInterval { from: MonoNs(0), to: MonoNs(1_000), joules: 1.0, measured: true });
    let review = reviewed(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger, 3);
    assert!(review.forecast.unwrap().energy_j.is_none() && review.over_budget, "{:?}", review.messages);
    assert!(review.messages.iter().any(|text| text.contains("the use is")), "{:?}", review.messages);
}

#[test]
fn unsettled_epochs_count_once() {
    let options = Options::parse("epochs=10", |_| None).unwrap();
    let mut ledger = ledger(2);
    for n in 2..6 {
        ledger.mark(Mark::Begin(MonoNs(n * 1_000_000_000)));
        ledger.mark(Mark::End(MonoNs((n + 1) * 1_000_000_000)));
    }
    let forecast = reviewed(&mut Alerts::new(options.alerts, options.epochs), &options, &ledger, 2).forecast.unwrap();
    let (seconds, joules) = (forecast.duration_s.unwrap().value, forecast.energy_j.unwrap().value);
    assert!((seconds - 10.0).abs() < 1e-9 && (joules - 1000.0).abs() < 1e-9, "{forecast:?}");
}
