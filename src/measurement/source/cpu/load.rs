//! Pure arithmetic: how busy a processor's threads are → how busy its cores are → the power it draws.
//!
//! P = W × (idle + (full − idle) × busy cores). A package idles near a tenth of its TDP. A server's large package
//! fills its TDP under full load, because turbo uses what its power limit leaves; so does a laptop's. A package
//! between them is bounded by its frequencies and stays below. A core whose second hardware thread works draws little more than with one: so
//! cores are counted, not threads. This shape follows packages with RAPL and AWS's bare-metal servers.

/// The part of a core's load that any of its threads makes alone; the rest grows with the number of busy threads.
const FIRST_THREAD: f64 = 0.75;
/// TDP of a package, W, below which it is a laptop's: its power limit holds it there.
const LAPTOP_W: f64 = 60.0;
/// TDP of a package, W, up to which it is small, and from which on it is large.
const SMALL_W: f64 = 100.0;
const LARGE_W: f64 = 200.0;
/// The share of TDP that a small and a large package draw under full load.
const SMALL_FULL: f64 = 0.75;
const LARGE_FULL: f64 = 0.95;

/// What a processor draws of its figure in watts, idle and with all cores busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    idle: f64,
    full: f64,
}

impl Draw {
    /// A chip on a small board, whose figure is its measured power under full load.
    pub const BOARD: Draw = Draw { idle: 0.35, full: 1.0 };

    /// Intel's unlocked desktop processors: their boards hold them at turbo power, up to twice their TDP.
    pub const UNLOCKED: Draw = Draw { idle: 0.1, full: 1.5 };

    /// A package of this thermal design power, W.
    pub fn of_package(tdp_w: f64) -> Draw {
        if tdp_w < LAPTOP_W {
            return Draw { idle: 0.1, full: 1.0 };
        }
        let size = ((tdp_w - SMALL_W) / (LARGE_W - SMALL_W)).clamp(0.0, 1.0);
        Draw { idle: 0.1, full: SMALL_FULL + (LARGE_FULL - SMALL_FULL) * size }
    }

    /// Power, as a multiple of the figure: `share` of the processors is ours, and `busy` of all cores' time.
    pub fn of(self, share: f64, busy: f64) -> f64 {
        self.idle * share + (self.full - self.idle) * busy
    }
}

/// How busy a core is whose hardware threads are so busy, each 0 to 1. The threads' idle times are independent.
pub fn core_load(threads: &[f64]) -> f64 {
    let idle: f64 = threads.iter().map(|busy| 1.0 - busy).product();
    let mean = threads.iter().sum::<f64>() / threads.len().max(1) as f64;
    if threads.is_empty() { 0.0 } else { FIRST_THREAD * (1.0 - idle) + (1.0 - FIRST_THREAD) * mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_with_one_busy_thread_is_nearly_all_busy() {
        assert_eq!(core_load(&[0.0, 0.0]), 0.0);
        assert_eq!(core_load(&[1.0, 0.0]), 0.875);
        assert_eq!(core_load(&[1.0, 1.0]), 1.0);
        assert!((core_load(&[0.3]) - 0.3).abs() < 1e-12);
        assert!(core_load(&[0.5, 0.5]) > 0.6);
        assert!(core_load(&[1.0, 0.0, 0.0, 0.0]) > 0.75, "POWER's four threads");
        assert_eq!(core_load(&[]), 0.0);
    }

    #[test]
    fn power_rises_from_idle_to_full() {
        let large = Draw::of_package(280.0);
        assert_eq!(large.of(1.0, 0.0), 0.1);
        assert!((large.of(1.0, 1.0) - 0.95).abs() < 1e-12);
        assert!((large.of(0.25, 0.25) - 0.2375).abs() < 1e-12, "a quarter of the machine, all of it busy");
        assert!((Draw::of_package(65.0).of(1.0, 1.0) - 0.75).abs() < 1e-12);
        assert!((Draw::of_package(15.0).of(1.0, 1.0) - 1.0).abs() < 1e-12, "a laptop's");
    }
}
