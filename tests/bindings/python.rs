//! The Python package: its own tests, the program of its README, and its wheel.

use crate::install_tree::{checkout, command, have, outcome, prefix, run, scratch, skipped};
use std::path::Path;
use std::process::Command;

/// Python with the installed package, which finds the library in its prefix.
fn python() -> Command {
    let mut python = command("python3");
    python.env_remove("LD_LIBRARY_PATH").env_remove("CARBONTRACKER_LIB").env("PYTHONDONTWRITEBYTECODE", "1");
    python.env("PYTHONPATH", prefix().join("share/carbontracker/python"));
    python
}

/// The first block of code of the README in this language.
fn example_of_the_readme() -> String {
    let readme = std::fs::read_to_string(checkout("bindings/python/README.md")).unwrap();
    readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program").to_owned()
}

#[test]
fn package_passes_its_own_tests() {
    if !have(&["python3"]) {
        return;
    }
    let mut tests = python();
    tests.args(["-W", "error::RuntimeWarning", "-m", "unittest", "discover", "--start-directory"]);
    tests.arg(checkout("bindings/python/tests")).env("CT_HEADER", prefix().join("include/carbontracker.h"));
    tests.env("CARBONTRACKER_LIB", prefix().join("lib/libcarbontracker.so.0"));
    let result = outcome(&mut tests);
    let printed = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success() && printed.contains("\nOK"), "{printed}");
}

#[test]
fn program_of_the_readme_runs_and_goes_on_without_the_library() {
    if !have(&["python3"]) {
        return;
    }
    let program = example_of_the_readme();
    let tracked = run(python().args(["-c", &program]).env("CARBONTRACKER_SIM_CPU", "x:100"));
    assert!(tracked.contains("10 of 10 epochs on ") && tracked.contains("epoch 10/10"), "{tracked}");
    let untracked = outcome(python().args(["-c", &program]).env("CARBONTRACKER_LIB", "/nowhere/lib.so"));
    let warning = String::from_utf8_lossy(&untracked.stderr);
    assert!(untracked.status.success() && warning.matches("cannot be loaded").count() == 1, "{warning}");
    assert!(warning.contains("/nowhere/lib.so") && warning.contains("set CARBONTRACKER_LIB"), "{warning}");
}

/// An environment in which the wheel's tools are; None: pip cannot get them.
fn environment(folder: &Path) -> Option<()> {
    run(command("python3").args(["-m", "venv"]).arg(folder));
    let mut pip = command(folder.join("bin/python3"));
    let got =
        outcome(pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "setuptools", "wheel"]));
    got.status.success().then_some(())
}

#[test]
fn wheel_installs_the_package_the_library_and_the_command() {
    if !have(&["python3", "readelf"]) {
        return;
    }
    let lab = scratch("wheel");
    let tools = lab.join("tools");
    if environment(&tools).is_none() {
        return skipped("pip cannot get setuptools and wheel");
    }
    let built = lab.join("built");
    std::fs::create_dir_all(&built).unwrap();
    for (file, name) in [("lib/libcarbontracker.so.0", "libcarbontracker.so"), ("bin/carbontracker", "carbontracker")] {
        std::fs::copy(prefix().join(file), built.join(name)).unwrap();
    }
    let path =
        std::env::join_paths([tools.join("bin"), "/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let listed = run(command(checkout("packaging/wheel.sh")).arg(&built).arg(lab.join("dist")).env("PATH", path));
    let wheel = listed.trim();
    let version = env!("CARGO_PKG_VERSION");
    assert!(wheel.contains(&format!("/libcarbontracker-{version}-py3-none-manylinux")), "{wheel}");
    let user = lab.join("user");
    run(command("python3").args(["-m", "venv"]).arg(&user));
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index", wheel];
    run(command(user.join("bin/python3")).args(pip));
    let plain = |program: &Path| {
        let mut command = command(program);
        command.env_remove("LD_LIBRARY_PATH").env_remove("CARBONTRACKER_LIB").current_dir(&lab);
        command
    };
    let printed = run(plain(&user.join("bin/python3"))
        .args(["-c", &example_of_the_readme()])
        .env("CARBONTRACKER_SIM_CPU", "x:100"));
    assert!(printed.contains("10 of 10 epochs on "), "{printed}");
    assert!(run(plain(&user.join("bin/ctrack")).arg("version")).contains(version));
    let places = "import libcarbontracker as c; print(c.get_library()); print(c.get_include()); print(c.version())";
    let places = run(plain(&user.join("bin/python3")).args(["-c", places]));
    let lines: Vec<&str> = places.lines().collect();
    assert!(Path::new(lines[0]).is_file() && Path::new(lines[1]).join("carbontracker.h").is_file(), "{places}");
    assert_eq!(lines[2], version);
}
