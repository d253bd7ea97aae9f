//! The power of a processor from the load of its hardware threads. Pure arithmetic.
//!
//! P = W × (idle + (full − idle) × busy cores), where W is the rated power, and idle and full are shares of it.
//!
//! - An idle package draws about a tenth of its TDP.
//! - A large package of a server reaches its TDP under full load, because turbo uses the rest of the power limit. A
//!   laptop's package does too. A package of a size between them is limited by its frequencies and stays below.
//! - A core with two busy hardware threads draws little more than with one. So busy cores count, not busy threads.
//!
//! The values fit recordings of RAPL and of AWS's bare-metal servers.

/// The share of a core's full load that its first busy thread causes. The rest grows with the number of busy threads.
const FIRST_THREAD_SHARE: f64 = 0.75;
/// A package of a TDP below this, W, is a laptop's. It draws its TDP under full load.
const LAPTOP_TDP_W: f64 = 60.0;
/// A package of a TDP up to this, W, draws [`SMALL_FULL_SHARE`] of it under full load.
const SMALL_TDP_W: f64 = 100.0;
/// A package of a TDP from this on, W, draws [`LARGE_FULL_SHARE`] of it under full load.
const LARGE_TDP_W: f64 = 200.0;
/// The share of its TDP that a small package draws under full load.
const SMALL_FULL_SHARE: f64 = 0.75;
/// The share of its TDP that a large package draws under full load.
const LARGE_FULL_SHARE: f64 = 0.95;

/// The shares of its rated power that a processor draws when idle and with all cores busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    idle: f64,
    full: f64,
}

impl Draw {
    /// A chip on a small board. Its rated power is the measured power under full load.
    pub const BOARD: Draw = Draw { idle: 0.35, full: 1.0 };

    /// An unlocked desktop processor of Intel. Its board keeps it at turbo power, up to twice its TDP.
    pub const UNLOCKED: Draw = Draw { idle: 0.1, full: 1.5 };

    /// A package of this thermal design power, W.
    pub fn of_package(tdp_w: f64) -> Draw {
        if tdp_w < LAPTOP_TDP_W {
            return Draw { idle: 0.1, full: 1.0 };
        }
        let size = ((tdp_w - SMALL_TDP_W) / (LARGE_TDP_W - SMALL_TDP_W)).clamp(0.0, 1.0);
        Draw { idle: 0.1, full: SMALL_FULL_SHARE + (LARGE_FULL_SHARE - SMALL_FULL_SHARE) * size }
    }

    /// The power as a multiple of the rated power. This process may use `share` of the processors, and its work takes
    /// `busy` of all cores' time, each 0 to 1.
    pub fn of(self, share: f64, busy: f64) -> f64 {
        self.idle * share + (self.full - self.idle) * busy
    }
}

/// The load of a core, 0 to 1, from the load of each of its hardware threads. It assumes that the threads are idle
/// independently of each other.
pub fn core_load(threads: &[f64]) -> f64 {
    let idle: f64 = threads.iter().map(|busy| 1.0 - busy).product();
    let mean = threads.iter().sum::<f64>() / threads.len().max(1) as f64;
    if threads.is_empty() { 0.0 } else { FIRST_THREAD_SHARE * (1.0 - idle) + (1.0 - FIRST_THREAD_SHARE) * mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_with_one_busy_thread_is_nearly_fully_loaded() {
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
        assert!((Draw::of_package(15.0).of(1.0, 1.0) - 1.0).abs() < 1e-12, "a laptop");
    }
}
