//! The cost of begin and end through each language's binding, compared with C: `make bench`.

#[path = "../tests/common/install_tree.rs"]
mod install_tree;

/// The root of the checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

use install_tree::{checkout, in_every_language, outcome, scratch};

/// The best of this many runs counts, since machines do other work too.
const RUNS: usize = 5;

fn main() {
    let dir = scratch("pairs");
    let mut programs = in_every_language(&checkout("benches/bindings/pairs"), &dir);
    let mut best = vec![f64::INFINITY; programs.len()];
    for _ in 0..RUNS {
        for ((_, program), best) in programs.iter_mut().zip(&mut best) {
            let output = outcome(program);
            match String::from_utf8_lossy(&output.stdout).trim().parse::<f64>() {
                Ok(ns) => *best = best.min(ns),
                Err(_) => eprintln!("{program:?}: {output:?}"),
            }
        }
    }
    println!("a call of begin or end, back to back, best of {RUNS} runs of a million pairs:");
    for ((language, _), ns) in programs.iter().zip(&best) {
        let over_c = ns - best.first().unwrap_or(ns);
        println!("  {language:<12} {ns:7.1} ns   {over_c:+7.1} ns over C");
    }
}
