//! What `make install` lays down is what a user needs: the examples build against it, and it alone.

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn tool(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.into())
}

/// Installs below a folder of the tests' own, moved afterwards: nothing may remember where it was.
fn installed() -> PathBuf {
    let stage = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{}", std::process::id()));
    let moved = stage.join("moved");
    std::fs::create_dir_all(&stage).expect("a folder to install in");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(Command::new("make")
        .arg("-C")
        .arg(source)
        .args(["-s", "install", "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", stage.display())));
    std::fs::rename(stage.join("usr"), &moved).expect("moved");
    moved
}

#[test]
fn the_examples_build_and_run_against_the_installed_tree() {
    let prefix = installed();
    let lib = prefix.join("lib");
    let links =
        ["libcarbontracker.so", "libcarbontracker.so.0"].map(|name| std::fs::read_link(lib.join(name)).expect(name));
    let version = concat!("libcarbontracker.so.", env!("CARGO_PKG_VERSION"));
    assert_eq!(links, [PathBuf::from("libcarbontracker.so.0"), PathBuf::from(version)]);
    assert!(lib.join(version).is_file() && lib.join("libcarbontracker.a").is_file());
    let command = run(Command::new(prefix.join("bin/carbontracker")).arg("--version"));
    assert_eq!(command.trim(), concat!("carbontracker ", env!("CARGO_PKG_VERSION")));

    let pkg_config = |arguments: &[&str]| {
        let text = run(Command::new("pkg-config")
            .args(arguments)
            .arg("carbontracker")
            .env("PKG_CONFIG_PATH", lib.join("pkgconfig")));
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let flags = pkg_config(&["--cflags", "--libs"]);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let build = |compiler: &str, standard: &str, source: &str| {
        let program = prefix.join(source.replace('.', "-"));
        let warnings = ["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
        run(Command::new(compiler)
            .arg(standard)
            .args(warnings)
            .arg(examples.join(source))
            .arg("-o")
            .arg(&program)
            .args(&flags));
        program
    };
    let heat = run(Command::new(build(&tool("CC", "cc"), "-std=c99", "loop.c")).env("LD_LIBRARY_PATH", &lib));
    assert!(heat.contains("heat: 20 of 20 epochs"), "{heat}");
    let train = build(&tool("CXX", "c++"), "-std=c++11", "train.cpp");
    let digits = run(Command::new(train).arg(examples.join("digits.csv")).env("LD_LIBRARY_PATH", &lib));
    assert!(digits.contains("forecast after 1 of 20 epochs") && digits.contains("digits: 20 of 20 epochs"), "{digits}");
    let mut accuracy =
        digits.lines().filter_map(|line| line.split("test accuracy ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    assert!(accuracy.next_back().is_some_and(|percent| percent > 95.0), "it learns:\n{digits}");
    std::fs::remove_dir_all(prefix.parent().expect("a parent")).expect("tidied");
}
