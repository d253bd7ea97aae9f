//! The forecast of a live run, its first epoch warming up and marking its progress.
mod served;
mod steady;

use carbontracker::tracker::Tracker;
use served::{Counter, Tree};
use std::time::Duration;
use steady::{now, steadily};

const BATCHES: u64 = 60;
const BATCH: Duration = Duration::from_millis(10);
const EPOCHS: u64 = 6;

/// A run whose first batches are so much slower.
struct Load {
    cold: u64,
    slower: u32,
}

/// What the forecast said, against the run's total in the end.
struct Told {
    at_a_twentieth: f64,
    at_half: (f64, f64),
    after_one: (f64, f64),
    after_two: (f64, f64),
}

impl Load {
    fn run(&self, options: &str) -> Told {
        let tree = Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))]);
        let options = format!("sysroot={} epochs={EPOCHS} {options}", tree.root().display());
        let tracker = Tracker::create(&options).unwrap().unwrap();
        let value = |pointer: &str| tracker.value(pointer);
        let both = || (value("/forecast/duration_s/value").unwrap(), value("/forecast/energy_j/value").unwrap());
        let mut told = Vec::new();
        for epoch in 0..EPOCHS {
            tracker.begin().unwrap();
            let mut until = now();
            for batch in 0..BATCHES {
                let is_cold = epoch == 0 && batch < self.cold;
                until += (BATCH * if is_cold { self.slower } else { 1 }).as_nanos() as u64;
                std::thread::sleep(Duration::from_nanos(until.saturating_sub(now())));
                tracker.progress(batch + 1, BATCHES).unwrap();
                match (epoch, batch + 1) {
                    (0, 2) => assert!(value("/forecast/energy_j/value").is_err(), "a thirtieth is too little"),
                    (0, 3) | (0, 30) => told.push(both()),
                    _ => (),
                }
            }
            tracker.end().unwrap();
            if epoch < 2 {
                told.push(both());
            }
        }
        let total = (value("/usage/duration_s").unwrap(), value("/usage/energy_j").unwrap());
        assert!((value("/forecast/energy_j/value").unwrap() / total.1 - 1.0).abs() < 1e-6);
        tracker.destroy();
        let off = |n: usize| (told[n].0 / total.0 - 1.0, told[n].1 / total.1 - 1.0);
        Told { at_a_twentieth: off(0).0, at_half: off(1), after_one: off(2), after_two: off(3) }
    }

    fn check(&self, options: &str) {
        let Told { at_a_twentieth, at_half, after_one, after_two } = self.run(options);
        let shown = |(time, energy): (f64, f64)| format!("{:+.1} / {:+.1} %", time * 100.0, energy * 100.0);
        println!(
            "{} of {BATCHES} batches {} times slower, time / energy off: at a twentieth {:+.0} %, at half {}, after one {}, after two {}",
            self.cold,
            self.slower,
            at_a_twentieth * 100.0,
            shown(at_half),
            shown(after_one),
            shown(after_two)
        );
        let within = |(time, energy): (f64, f64), most: f64| time.abs() < most && energy.abs() < most;
        assert!(within(at_half, 0.1) && within(after_one, 0.05) && within(after_two, 0.05));
    }
}

#[test]
fn a_first_epoch_that_starts_slowly() {
    steadily(|| {
        Load { cold: 6, slower: 10 }.check("");
        Load { cold: 12, slower: 5 }.check("");
        Load { cold: 15, slower: 3 }.check("interval=10");
    });
}

#[test]
fn a_first_epoch_like_the_others() {
    steadily(|| Load { cold: 0, slower: 1 }.check("interval=0.1"));
}
