//! The cost of begin and end through each language's binding, compared with C: `make bench`.

#[path = "../tests/common/install_tree.rs"]
mod install_tree;

/// The root of the checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

use install_tree::{checkout, command, have, in_every_language, lua, outcome, pkg_config, run, scratch};
use std::path::Path;

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
    ways(&dir);
}

/// Prints the cost of each way to mark an epoch in C++, and of each call in Lua.
fn ways(dir: &Path) {
    if have(&["c++", "pkg-config"]) {
        let program = dir.join("ways");
        let mut compile = command("c++");
        compile.args(["-std=c++17", "-O2"]).arg(checkout("benches/bindings/ways.cpp")).arg("-o").arg(&program);
        run(compile.args(pkg_config(&["--cflags", "--libs"])));
        print!("C++, {}", run(&mut command(program)));
    }
    for (language, mut calls) in lua(&checkout("benches/bindings/calls.lua")) {
        println!("{language}:\n{}", run(calls.arg("100000")));
    }
}
