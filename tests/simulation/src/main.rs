//! Runs simulated worlds: `carbontracker-simulation FIRST [COUNT]` runs the worlds of these seeds and prints what is
//! wrong. One seed alone also prints its world.

use carbontracker_simulation::application::Truth;
use carbontracker_simulation::scenario::Scenario;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let [first, count] = match numbers[..] {
        [first] => [first, 1],
        [first, count] => [first, count],
        _ => {
            eprintln!("usage: carbontracker-simulation FIRST_SEED [COUNT]");
            return ExitCode::from(2);
        }
    };
    keep_freed_memory();
    let began = Instant::now();
    let (mut failed, mut simulated_s, mut most_bytes) = (0_u64, 0.0, 0);
    for seed in first..first + count {
        let scenario = Scenario::new(seed);
        if count == 1 {
            println!("{scenario:#?}");
        }
        let outcome = scenario.run();
        simulated_s += outcome.simulated_ns as f64 * 1e-9;
        most_bytes = most_bytes.max(outcome.most_bytes);
        if count == 1 {
            outcome.lives.iter().for_each(print_life);
            outcome.journals.iter().for_each(|journal| println!("journal:\n{journal}"));
        }
        if let Some(why) = outcome.failure {
            failed += 1;
            println!("seed {seed}: {why}");
        }
    }
    let hours = simulated_s / 3600.0;
    let per_minute = hours / began.elapsed().as_secs_f64() * 60.0;
    let kib = most_bytes >> 10;
    println!(
        "{count} worlds, {failed} failed; {hours:.0} h simulated, {per_minute:.0} h a minute; {kib} KiB a process"
    );
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Each world takes and frees the same memory. Without this, the system would clear its pages again for each world.
fn keep_freed_memory() {
    // SAFETY: this only sets how malloc asks the system for memory. No other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 16 << 20);
    }
}

fn print_life((rank, truth): &(usize, Truth)) {
    let Truth { process, first_begin, has_cancelled, has_ended, refused, .. } = truth;
    let (count, last) = (truth.epochs.len(), truth.epochs.last());
    println!(
        "rank {rank}, process {process}: begins {first_begin:?}, {count} epochs, last {last:?}, cancelled {has_cancelled}, \
         ended {has_ended}, refused {refused:?}"
    );
    truth.messages.iter().for_each(|message| println!("  message: {message}"));
    if let Some((at, report)) = &truth.report {
        let phases = &report["phases"];
        let (first, last) = (truth.phases.first, truth.phases.last);
        println!("  phases from {first:?} to {last}: {} s, {} J", phases["duration_s"], phases["energy_j"]);
        for part in ["run", "usage", "components", "unavailable", "job", "notes"] {
            println!("  {part} at {at}: {}", report[part]);
        }
    }
}
