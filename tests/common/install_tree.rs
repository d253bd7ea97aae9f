//! The environment of a user: the tree of `make install`, moved afterwards, and the tools of each language. Nothing
//! here reads the checkout.
#![allow(dead_code)] // each test program uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The installed tree that CT_PREFIX names. Without it, each test program makes a tree once and moves it to another
/// place than the prefix of `make install`.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        if let Some(there) = std::env::var_os("CT_PREFIX") {
            return there.into();
        }
        let stage = scratch("installed");
        let mut make = Command::new("make");
        make.arg("-C").arg(crate::ROOT).args(["-s", "install", "PREFIX=/usr", "LIBDIR=lib"]);
        make.arg(format!("DESTDIR={}", stage.display()));
        run(by_hand(&mut make));
        let moved = stage.join("moved");
        std::fs::rename(stage.join("usr"), &moved).expect("moved");
        moved
    })
}

/// A build as a user starts it, without the variables of the make and the cargo that run these tests. Build scripts of
/// crates read cargo's variables, which would cause a second build.
pub fn by_hand(build: &mut Command) -> &mut Command {
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "OUT_DIR", "CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"] {
        build.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_BIN_") {
            build.env_remove(name);
        }
    }
    build
}

/// An empty folder for the calling test file, below the build folder.
#[track_caller]
pub fn scratch(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program's path");
    let program = program.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program).join(caller()).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("an empty folder");
    dir
}

/// The name of the calling test file, for folders: test files of one program may choose the same names.
#[track_caller]
fn caller() -> &'static str {
    let file = Path::new(std::panic::Location::caller().file());
    file.file_stem().and_then(|stem| stem.to_str()).expect("a name")
}

/// A file of the checkout, such as a program that a test builds against the installed tree.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(crate::ROOT).join(path)
}

/// Whether all these commands exist. If not, it prints a line, and the test must end. With CI=true it fails.
pub fn have(tools: &[&str]) -> bool {
    let is_absent = |tool: &&str| !on_path(tool);
    let absent: Vec<&str> = tools.iter().copied().filter(is_absent).collect();
    if !absent.is_empty() {
        skipped(&format!("{} not here; tests/tools.sh installs it", absent.join(", ")));
    }
    absent.is_empty()
}

/// The Julia on PATH, or else the one that tests/julia.sh has fetched. Prints a line if there is none.
pub fn julia() -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder").join("julia/julia");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).map(|folder| folder.join("julia"));
    let found = named.chain([fetched]).find(|julia| julia.is_file());
    if found.is_none() {
        skipped("julia not here; tests/julia.sh fetches it");
    }
    found
}

/// Prints that something was skipped. It bypasses the test harness, which hides the output of passing tests. With
/// CI=true it fails, because everything can be installed there.
pub fn skipped(why: &str) {
    use std::io::Write;
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// A command with the paths of the installed library, as a user sets them. It is ended if it hangs.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let lib = prefix().join("lib");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300"]).arg(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARBONTRACKER_")) {
        command.env_remove(name);
    }
    command.env("LD_LIBRARY_PATH", &lib).env("PKG_CONFIG_PATH", lib.join("pkgconfig"));
    command
}

/// The output of `pkg-config`, split into words.
pub fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let text = run(command("pkg-config").args(arguments).arg("carbontracker"));
    text.split_whitespace().map(str::to_owned).collect()
}

/// The command of a program in every installed language, built if necessary. The path is that of its sources without
/// their endings.
pub fn in_every_language(program: &Path, dir: &Path) -> Vec<(&'static str, Command)> {
    let source = |ending: &str| program.with_extension(ending);
    let built = |compiler: &str, sources: &[PathBuf]| {
        let out = dir.join(compiler);
        let mut build = command(compiler);
        build.current_dir(dir).arg("-O2").args(sources).arg("-o").arg(&out).args(pkg_config(&["--cflags", "--libs"]));
        run(&mut build);
        command(out)
    };
    let mut programs = vec![("C", built("cc", &[source("c")]))];
    if have(&["c++"]) {
        programs.push(("C++", built("c++", &[source("cpp")])));
    }
    if have(&["gfortran"]) {
        programs.push(("Fortran", built("gfortran", &[prefix().join("include/carbontracker.f90"), source("f90")])));
    }
    programs.extend(lua(&source("lua")));
    if let Some(julia) = julia() {
        let mut julia = command(julia);
        julia.args(["--startup-file=no", "--color=no"]).arg(source("jl"));
        julia.env("JULIA_LOAD_PATH", format!("{}:@stdlib", prefix().join("share/julia/dev").display()));
        programs.push(("Julia", julia));
    }
    programs
}

/// A Lua script, as each Lua that is here runs it.
pub fn lua(script: &Path) -> Vec<(&'static str, Command)> {
    let mut programs = Vec::new();
    let luas = [
        ("LuaJIT, ffi", "luajit", "5.1", "ffi"),
        ("LuaJIT, C", "luajit", "5.1", "c"),
        ("Lua 5.1", "lua5.1", "5.1", "c"),
        ("Lua 5.2", "lua5.2", "5.2", "c"),
        ("Lua 5.3", "lua5.3", "5.3", "c"),
        ("Lua 5.4", "lua5.4", "5.4", "c"),
    ];
    for (language, interpreter, version, backend) in luas.into_iter().filter(|lua| have(&[lua.1])) {
        if backend == "c" && !prefix().join(format!("lib/lua/{version}/carbontracker/core.so")).exists() {
            skipped(&format!("no headers of Lua {version}: its C module is not built"));
            continue;
        }
        let mut lua = command(interpreter);
        lua.arg(script).env("CARBONTRACKER_LUA_BACKEND", backend);
        lua.env("LUA_PATH", format!("{}/share/lua/{version}/?.lua", prefix().display()));
        lua.env("LUA_CPATH", format!("{}/lib/lua/{version}/?.so", prefix().display()));
        programs.push((language, lua));
    }
    programs
}

/// Runs a command that must succeed. Returns its standard output.
pub fn run(command: &mut Command) -> String {
    let output = outcome(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

/// Runs a command. It may fail.
pub fn outcome(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/tools.sh"))
}
