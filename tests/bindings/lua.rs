//! The Lua binding, from the installed tree, with every interpreter and both backends. The programs are in
//! tests/bindings/lua.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::header::declarations;
use crate::install_tree::{by_hand, checkout, command, have, outcome, pkg_config, prefix, run, scratch, skipped};
use crate::{is_forecast_message, without_gaps};
use std::path::Path;
use std::process::Command;

/// An interpreter, the Lua version of its modules, and the backend.
#[derive(Clone, Copy, Debug)]
struct Lua {
    program: &'static str,
    version: &'static str,
    backend: &'static str,
}

const fn lua(program: &'static str, version: &'static str, backend: &'static str) -> Lua {
    Lua { program, version, backend }
}

const JIT_FFI: Lua = lua("luajit", "5.1", "ffi");
const LUA_54: Lua = lua("lua5.4", "5.4", "c");
const ALL: [Lua; 6] = [
    JIT_FFI,
    lua("luajit", "5.1", "c"),
    lua("lua5.1", "5.1", "c"),
    lua("lua5.2", "5.2", "c"),
    lua("lua5.3", "5.3", "c"),
    LUA_54,
];

impl Lua {
    /// The command of a user whose Lua paths name the installed tree. If a `tool` is given, it runs the command.
    fn command_under(self, tool: &[&str], prefix: &Path) -> Command {
        let words: Vec<&str> = tool.iter().copied().chain([self.program]).collect();
        let mut command = command(words[0]);
        command.args(&words[1..]);
        let (prefix, version) = (prefix.display(), self.version);
        let programs = checkout("tests/bindings/lua");
        for suffix in ["", "_5_2", "_5_3", "_5_4"] {
            for name in ["LUA_INIT", "LUA_PATH", "LUA_CPATH"] {
                command.env_remove(format!("{name}{suffix}"));
            }
        }
        command
            .env("LUA_PATH", format!("{prefix}/share/lua/{version}/?.lua;{}/?.lua", programs.display()))
            .env("LUA_CPATH", format!("{prefix}/lib/lua/{version}/?.so"))
            .env("CARBONTRACKER_LUA_BACKEND", self.backend)
            .current_dir(programs);
        command
    }

    fn command(self) -> Command {
        self.command_under(&[], prefix())
    }

    /// The modules that fail to load, and the error of `require`.
    fn refusal(self, prepare: impl FnOnce(&mut Command)) -> String {
        let mut command = self.command_under(&[], prefix());
        command.args(["-e", "local ok, why = pcall(require, 'carbontracker') assert(not ok) io.write(why)"]);
        prepare(&mut command);
        run(&mut command)
    }
}

fn all_here() -> bool {
    let headers = ["5.1", "5.2", "5.3", "5.4"].map(|version| format!("/usr/include/lua{version}/lua.h"));
    if let Some(absent) = headers.iter().find(|header| !Path::new(header).is_file()) {
        skipped(&format!("{absent} not here; tests/tools.sh installs it"));
        return false;
    }
    have(&["luajit", "lua5.1", "lua5.2", "lua5.3", "lua5.4"])
}

fn passes(luas: &[Lua], arguments: &[&str]) {
    for lua in luas {
        let text = run(lua.command().args(arguments));
        assert!(text.ends_with("passed\n"), "{lua:?} {arguments:?}: {text}");
    }
}

#[test]
fn interface_is_the_same_everywhere() {
    if all_here() {
        passes(&ALL, &["api.lua", env!("CARGO_PKG_VERSION")]);
    }
}

#[test]
fn to_be_closed_variables_end_or_cancel() {
    if all_here() {
        passes(&[LUA_54], &["scopes.lua"]);
    }
}

#[test]
fn hooks_of_torchnet_are_chained() {
    if all_here() {
        passes(&ALL, &["torchnet.lua"]);
    }
}

#[test]
fn forgotten_trackers_are_collected() {
    if all_here() {
        passes(&[LUA_54], &["forgotten.lua", "2000"]);
        passes(&ALL, &["forgotten.lua", "300"]);
    }
}

#[test]
fn forked_process_gets_an_error_and_can_make_its_own_tracker() {
    if all_here() {
        passes(&ALL[..2], &["fork.lua"]);
    }
}

#[test]
fn state_may_end_in_any_way_with_epochs_open() {
    if !all_here() {
        return;
    }
    for lua in ALL {
        for (way, status) in [("return", 0), ("exit", 7), ("close", 7), ("error", 1), ("epoch", 1), ("loop", 1)] {
            let output = outcome(lua.command().args(["exit.lua", way]));
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{lua:?} {way}: {errors}");
            assert_eq!(
                errors.contains("exit.lua:") && errors.contains(": lost"),
                status == 1,
                "{lua:?} {way}: {errors}"
            );
        }
        let text = run(lua.command().args(["exit.lua", "finalizer"]));
        assert!(text.ends_with("finalized\n"), "{lua:?}: {text}");
    }
}

#[test]
fn numbers_do_not_depend_on_the_locale() {
    if !all_here() || !have(&["localedef"]) {
        return;
    }
    let locales = scratch("locales");
    let made = outcome(command("localedef").args(["-i", "de_DE", "-f", "UTF-8"]).arg(locales.join("de_DE.UTF-8")));
    if !made.status.success() {
        return skipped("no German locale to try; the package locales has it");
    }
    for lua in ALL {
        run(lua.command().arg("locale.lua").env("LOCPATH", &locales));
    }
}

/// The lines of training, and the lines of the report without figures of time and energy.
fn training_and_report(text: &str) -> (Vec<&str>, Vec<String>) {
    let (training, report): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("epoch "));
    let is_figure = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | 'T' | 'Z');
    let words = |line: &str| {
        line.split_whitespace()
            .filter(|word| !word.trim_start_matches('(').starts_with(is_figure))
            .collect::<Vec<_>>()
            .join(" ")
    };
    // Units depend on the size of a figure. A slower language gets the forecast after another epoch.
    // A small run has no everyday equivalent.
    let depends = |line: &str| ["time", "like"].iter().any(|start| line.trim_start().starts_with(start));
    let is_same_in_all = |line: &&str| !is_forecast_message(line) && !depends(line);
    let units = [(" mWh", " Wh"), (" mJ", " J"), (" kJ", " J"), (" mg", " g")];
    let plain =
        |line: &str| units.iter().fold(words(without_gaps(line)), |line, (small, unit)| line.replace(small, unit));
    (training, report.into_iter().filter(is_same_in_all).map(plain).collect())
}

#[test]
fn example_prints_what_the_c_program_prints() {
    if !all_here() || !have(&["cc"]) {
        return;
    }
    let data = checkout("examples/digits.csv");
    let program = scratch("digits").join("digits");
    run(command("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(checkout("examples/digits.c"))
        .args(pkg_config(&["--cflags", "--libs"]))
        .arg("-lm"));
    let options = "epochs=10 name=digits sim_cpu=x:100 components=cpu location=DK";
    let expected = run(command(&program).arg(&data).arg(options));
    let expected = training_and_report(&expected);
    let untracked = run(command(&program).arg(&data).arg("epoch=10"));
    assert_eq!(expected.0.len(), 10);
    for lua in ALL {
        let text = run(lua.command().arg(checkout("examples/digits.lua")).arg(&data).arg(options));
        assert_eq!(training_and_report(&text), expected, "{lua:?}");
        let text = run(lua.command().arg(checkout("examples/digits.lua")).arg(&data).arg("epoch=10"));
        assert_eq!(text, untracked, "{lua:?}");
    }
    let output = outcome(LUA_54.command().arg(checkout("examples/digits.lua")));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("digits.lua digits.csv [OPTIONS]\n"));
}

#[test]
fn ffi_declares_what_the_header_declares() {
    let header = std::fs::read_to_string(checkout("include/carbontracker.h")).unwrap();
    let module = std::fs::read_to_string(checkout("bindings/lua/carbontracker/ffi.lua")).unwrap();
    let declared = module.split("ffi.cdef [[").nth(1).unwrap().split("]]").next().unwrap();
    assert_eq!(declarations(declared), declarations(&header));
    assert_eq!(declarations(declared).len(), 19);
    let number =
        |text: &str, before: &str| text.split(before).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(number(&module, "local CT_ABI_VERSION = "), number(&header, "#define CT_ABI_VERSION "));
    assert!(module.contains("local CT_OK, CT_ERANGE = 0, -3\n"));
    assert!(header.contains("CT_OK = 0,") && header.contains("CT_ERANGE = -3,"));
}

#[test]
fn statuses_are_those_of_the_header() {
    let header = std::fs::read_to_string(checkout("include/carbontracker.h")).unwrap();
    let module = std::fs::read_to_string(checkout("bindings/lua/carbontracker.lua")).unwrap();
    let table = module.split("local STATUS = {").nth(1).unwrap().split('}').next().unwrap();
    let entries = |text: &str| text.split(',').map(|entry| entry.trim().to_owned()).collect::<Vec<_>>();
    let statuses = header.lines().filter_map(|line| line.trim().strip_prefix("CT_"));
    let expected: Vec<String> = statuses
        .filter_map(|line| line.trim_end_matches(',').split_once(" = "))
        .map(|(name, number)| format!("[{number}] = \"{}\"", name.to_lowercase()))
        .collect();
    assert_eq!(entries(table.trim().trim_end_matches(',')), expected);
}

#[test]
fn loop_of_the_readme_runs() {
    if !all_here() {
        return;
    }
    let readme = std::fs::read_to_string(checkout("bindings/lua/README.md")).unwrap();
    let mut blocks = readme.split("```lua\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let dir = scratch("readme");
    let program = dir.join("loop.lua");
    let (quick, untracked) = (blocks.next().unwrap(), blocks.next().unwrap());
    std::fs::write(&program, format!("{quick}\nlocal ct = require 'carbontracker'\n{untracked}\nprint(t)")).unwrap();
    for lua in ALL {
        let text = run(lua.command().arg(&program).env("CARBONTRACKER_SIM_CPU", "x:100"));
        assert!(text.contains("10 of 10 epochs on") && text.contains("forecast after"), "{lua:?}: {text}");
        assert!(text.contains("carbontracker: 0 of 10"), "{lua:?}: {text}");
    }
}

#[test]
fn backend_is_chosen_or_forced() {
    if !all_here() {
        return;
    }
    for lua in ALL {
        let print = "print(require 'carbontracker'.backend)";
        let chosen = run(lua.command().env_remove("CARBONTRACKER_LUA_BACKEND").args(["-e", print]));
        assert_eq!(chosen.trim(), if lua.program == "luajit" { "ffi" } else { "c" });
        assert!(
            lua.refusal(|command| {
                command.env("CARBONTRACKER_LUA_BACKEND", "gpu");
            })
            .contains("expected ffi or c")
        );
    }
    // In a moved tree the C module finds the library relative to its own folder. The FFI finds none.
    let print = "print(require 'carbontracker'.backend)";
    let mut moved = JIT_FFI.command();
    moved.env_remove("CARBONTRACKER_LUA_BACKEND").env_remove("LD_LIBRARY_PATH").args(["-e", print]);
    assert_eq!(run(&mut moved).trim(), "c");
}

#[test]
fn environment_turns_tracking_off() {
    if !all_here() {
        return;
    }
    let program = "local t = require 'carbontracker'.new { epochs = 3 }
        for _ in t:epochs(3) do assert(t:progress(1, 2) == 'disabled') end
        assert(t:value '/run/epochs_done' == nil and t:report() == '' and not t:message())
        t:close() print 'passed'";
    for lua in ALL {
        run(lua.command().env("CARBONTRACKER_DISABLE", "1").args(["-e", program]));
    }
}

#[test]
fn missing_library_is_named_with_its_fix() {
    if !all_here() {
        return;
    }
    for lua in ALL {
        let text = lua.refusal(|command| {
            command.env("LUA_CPATH", "/nowhere/?.so").env_remove("LD_LIBRARY_PATH");
        });
        let missing = if lua.backend == "ffi" { "libcarbontracker.so.0: cannot open" } else { "carbontracker.core" };
        assert!(
            text.contains(missing) && text.contains("LD_LIBRARY_PATH") && text.contains("ldconfig"),
            "{lua:?}: {text}"
        );
    }
    let library = prefix().join("lib/libcarbontracker.so.0");
    let mut named = JIT_FFI.command();
    named.env_remove("LD_LIBRARY_PATH").env("CARBONTRACKER_LIB", &library);
    passes_with(named);
    let text = JIT_FFI.refusal(|command| {
        command.env("CARBONTRACKER_LIB", "/nowhere/lib.so");
    });
    assert!(text.contains("/nowhere/lib.so: cannot open"), "{text}");
}

fn passes_with(mut command: Command) {
    assert!(run(command.args(["api.lua", env!("CARGO_PKG_VERSION")])).ends_with("passed\n"));
}

#[test]
fn library_of_another_abi_is_refused() {
    if !all_here() || !have(&["cc"]) {
        return;
    }
    let dir = scratch("abi");
    let header = std::fs::read_to_string(checkout("include/carbontracker.h")).unwrap();
    let names = declarations(&header);
    let names = names.iter().map(|text| text.split('(').next().unwrap().rsplit([' ', '*']).next().unwrap());
    let source: String =
        names.filter(|name| *name != "ct_abi_version").map(|name| format!("void {name}(void) {{}}\n")).collect();
    std::fs::write(dir.join("other.c"), source + "unsigned ct_abi_version(void) { return 7; }\n").unwrap();
    let library = dir.join("libcarbontracker.so.0");
    run(command("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(dir.join("other.c")));
    for lua in ALL {
        let text = lua.refusal(|command| {
            command.env("LD_LIBRARY_PATH", &dir);
        });
        assert!(text.contains("ABI 7, its Lua module 0: install the two together"), "{lua:?}: {text}");
    }
}

#[test]
fn c_module_compiles_without_a_warning_and_runs_clean_under_valgrind() {
    if !all_here() || !have(&["cc", "valgrind"]) {
        return;
    }
    let object = scratch("object").join("core.o");
    for version in ["5.1", "5.2", "5.3", "5.4"] {
        for standard in ["c99", "c11", "c17"] {
            let mut cc = command("cc");
            cc.args(["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wstrict-prototypes", "-Werror", "-O2", "-c"]);
            cc.arg(format!("-std={standard}")).arg(format!("-I/usr/include/lua{version}"));
            run(cc
                .args(pkg_config(&["--cflags"]))
                .arg(checkout("bindings/lua/carbontracker/core.c"))
                .arg("-o")
                .arg(&object));
        }
    }
    let valgrind = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"];
    for lua in [ALL[2], LUA_54] {
        passes_with(lua.command_under(&valgrind, prefix()));
    }
}

#[test]
fn luarocks_builds_the_rock_in_a_copy_of_the_installed_folder() {
    if !all_here() || !have(&["luarocks", "cc"]) {
        return;
    }
    let source = scratch("rock");
    run(Command::new("cp").arg("-r").arg(prefix().join("share/carbontracker/lua")).arg(&source));
    let tree = source.join("tree");
    let rockspec = format!("carbontracker-{}-1.rockspec", env!("CARGO_PKG_VERSION"));
    for lua in [ALL[2], LUA_54] {
        let mut luarocks = command("luarocks");
        luarocks.current_dir(source.join("lua")).env("HOME", &source).arg(format!("--lua-version={}", lua.version));
        luarocks
            .args(["make", &rockspec, "--tree"])
            .arg(&tree)
            .arg(format!("CARBONTRACKER_DIR={}", prefix().display()));
        run(&mut luarocks);
        passes_with(lua.command_under(&[], &tree));
    }
}

#[test]
fn without_lua_headers_the_rest_is_installed() {
    let stage = scratch("headless");
    let mut make = Command::new("make");
    make.arg("-C").arg(checkout(".")).args(["-s", "install-lua", "PREFIX=/usr", "LUA_CORES=", "BUILD=built-nowhere"]);
    run(by_hand(make.arg(format!("DESTDIR={}", stage.display()))));
    for version in ["5.1", "5.2", "5.3", "5.4"] {
        let modules = stage.join("usr/share/lua").join(version);
        assert!(modules.join("carbontracker.lua").is_file() && modules.join("carbontracker/ffi.lua").is_file());
        assert!(!stage.join("usr/lib/lua").exists());
    }
    if have(&["luajit"]) {
        passes_with(JIT_FFI.command_under(&[], &stage.join("usr")));
    }
}
