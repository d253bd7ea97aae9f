//! Packages for communities: Debian's, Lua's source rock, CMake's FetchContent of the archive, module file, recipes.
//! Here they are made of what `make` has built. `make dist-check` installs those of `make dist`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::archive::packed;
use crate::build_systems::{Project, check_all, languages, text};
use crate::install::below;
use crate::install_tree::{by_hand, checkout, command, have, julia, outcome, prefix, run, scratch, skipped};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PACKAGES: [&str; 3] = ["libcarbontracker0", "libcarbontracker-dev", "carbontracker"];

/// The only file of a folder with this ending.
fn only(folder: &Path, ending: &str) -> PathBuf {
    let mut found = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let path = found.find(|path| path.to_string_lossy().ends_with(ending));
    path.unwrap_or_else(|| panic!("no {ending} in {}", folder.display()))
}

#[test]
fn each_installed_file_is_in_one_debian_package() {
    let machine = std::env::consts::ARCH;
    if !have(&["dpkg-deb", "readelf", "strip", "python3"]) || machine != "x86_64" {
        return;
    }
    prefix(); // builds what is packed
    let (debs, root) = (scratch("debs"), scratch("of debs"));
    let built = std::env::var_os("CT_LIBDIR").map_or_else(|| checkout("target/release"), PathBuf::from);
    let mut deb = Command::new(checkout("packaging/deb.sh"));
    deb.env("OUT", built).env("BUILD", checkout("build")).env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    run(by_hand(deb.env("DEBEMAIL", "packager@example.org").arg(machine).arg(&debs)));

    let mut all = BTreeSet::new();
    for package in PACKAGES {
        let file = debs.join(format!("{package}_{VERSION}-1_amd64.deb"));
        let field = |name: &str| run(Command::new("dpkg-deb").arg("-f").arg(&file).arg(name)).trim().to_owned();
        assert_eq!((&*field("Package"), &*field("Version")), (package, &*format!("{VERSION}-1")));
        assert!(field("Maintainer").ends_with("<packager@example.org>"));
        assert!(field("Depends").contains("libc6 (>= 2."), "{package} depends on {}", field("Depends"));
        let to = root.join(package);
        run(Command::new("dpkg-deb").arg("-R").arg(&file).arg(&to));
        for path in below(&to.join("usr")).into_iter().filter(|path| !to.join("usr").join(path).is_dir()) {
            assert!(all.insert(path.clone()), "{} is in two packages", path.display());
        }
        if package == "libcarbontracker-dev" {
            assert!(field("Depends").contains(&format!("libcarbontracker0 (= {VERSION}-1)")));
        }
    }
    let control = |file: &str| std::fs::read_to_string(root.join("libcarbontracker0/DEBIAN").join(file)).expect(file);
    assert_eq!(control("triggers"), "activate-noawait ldconfig\n");
    assert_eq!(control("shlibs"), format!("libcarbontracker 0 libcarbontracker0 (>= {VERSION})\n"));
    let names: BTreeSet<String> =
        all.iter().map(|path| path.file_name().expect("a name").to_string_lossy().replace(".gz", "")).collect();
    for path in below(prefix()).iter().filter(|path| prefix().join(path).is_file()) {
        let name = path.file_name().expect("a name").to_string_lossy();
        // These are in copyright, changelog.gz and the environment's own modules.
        let is_elsewhere = ["LICENSE", "CHANGELOG.md"].contains(&&*name) || path.starts_with("share/modulefiles");
        assert!(is_elsewhere || names.contains(&*name), "no package has {}", path.display());
    }
}

#[test]
fn fetch_content_takes_the_archive_and_notices_damage() {
    if !crate::archive::is_here() || !have(&["cmake", "gfortran"]) {
        return;
    }
    let archive = only(packed(), ".tar.gz");
    let hash = std::fs::read_to_string(only(packed(), ".sha256")).expect("read");
    let hash = hash.split(' ').next().expect("a checksum").to_owned();
    let (url, languages) = (format!("file://{}", archive.display()), languages());
    let definitions = [("FROM", "archive"), ("SOURCE", &*url), ("LANGUAGES", &*languages), ("HASH", &*hash)];
    let project = Project::new(scratch("from the archive"), "Unix Makefiles", &definitions);
    project.make();
    check_all(&project, &languages, true);

    let damaged = scratch("a damaged download").join("archive.tar.gz");
    let mut bytes = std::fs::read(&archive).expect("read");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&damaged, bytes).expect("written");
    let mut cmake = Project::tool();
    cmake.arg("-S").arg(checkout("tests/packaging")).arg("-B").arg(scratch("from a damaged archive"));
    cmake.args(["-DFROM=archive", "-DLANGUAGES=C", &format!("-DHASH={hash}")]);
    let refused = outcome(cmake.arg(format!("-DSOURCE=file://{}", damaged.display())));
    let printed = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(!refused.status.success() && printed.contains("hash"), "{printed}");
}

#[test]
fn source_rock_is_built_and_installed_from_its_archive() {
    if !have(&["luarocks", "python3", "lua5.4"]) || !Path::new("/usr/include/lua5.4/lua.h").exists() {
        return;
    }
    let dir = scratch("a source rock");
    run(Command::new(checkout("packaging/rock.sh")).arg(&dir));
    let (rock, tree) = (only(&dir, ".src.rock"), dir.join("tree"));
    let mut luarocks = command("luarocks");
    luarocks.current_dir(&dir).env("HOME", &dir).args(["--lua-version=5.4", "--tree"]).arg(&tree);
    run(luarocks.arg("install").arg(&rock).arg(format!("CARBONTRACKER_DIR={}", prefix().display())));
    let script = "local c = require 'carbontracker' \
                  local t = c.new { sim_cpu = 'x:100', epochs = 3 } \
                  for _ in t:epochs(3) do end print(t:report())";
    let mut lua = command("lua5.4");
    lua.env("LUA_PATH", format!("{}/share/lua/5.4/?.lua", tree.display()));
    lua.env("LUA_CPATH", format!("{}/lib/lua/5.4/?.so", tree.display()));
    let printed = run(lua.args(["-e", script]));
    assert!(printed.contains("3 of 3 epochs"), "{printed}");
    // What is published is the rockspec in the rock; it names no folder of this machine.
    let rockspec = std::fs::read_to_string(only(&dir, ".rockspec")).expect("read");
    assert!(rockspec.contains(&format!("url = \"file://carbontracker-{VERSION}.tar.gz\"")), "{rockspec}");
}

#[test]
fn module_file_finds_the_tree_in_its_place() {
    let lmod = Path::new("/usr/share/lmod/lmod/libexec/lmod");
    if !lmod.exists() {
        return skipped("Lmod is missing");
    }
    // Lmod loads no Tcl module from a path with a space.
    let dir = scratch("moved");
    let tree = dir.join("tree");
    run(Command::new("cp").arg("-rs").arg(prefix()).arg(&tree));
    let script = r#"
        eval "$("$1" bash --ignore_cache use "$2/share/modulefiles")"
        eval "$("$1" bash load carbontracker)"
        command -v carbontracker && pkg-config --variable=libdir carbontracker && echo "$LD_LIBRARY_PATH" "$PYTHONPATH"
        eval "$("$1" bash unload carbontracker)"
        echo "after: ${LD_LIBRARY_PATH:-none}""#;
    let mut shell = Command::new("bash");
    shell.env_remove("LD_LIBRARY_PATH").env_remove("PYTHONPATH").env_remove("PKG_CONFIG_PATH").env("HOME", &dir);
    let printed = run(shell.args(["-euc", script, "bash"]).arg(lmod).arg(&tree));
    let place = text(&tree);
    assert!(printed.starts_with(&format!("{place}/bin/carbontracker\n")), "{printed}");
    assert!(printed.contains(&format!("{place}/lib {place}/share/carbontracker/python\n")), "{printed}");
    assert!(printed.ends_with("after: none\n"), "{printed}");
}

/// `make dist-check` builds them with the tools of their communities.
#[test]
fn recipes_have_the_version_and_name_files_that_are_installed() {
    let read = |path: &str| std::fs::read_to_string(checkout(path)).expect(path);
    let easyconfig = read(&format!("packaging/easybuild/carbontracker-{VERSION}.eb"));
    assert!(easyconfig.contains(&format!("\nversion = '{VERSION}'\n")), "{easyconfig}");
    let conda = read("packaging/conda/recipe.yaml");
    assert!(conda.contains(&format!("version: \"{VERSION}\"")), "{conda}");
    let named = easyconfig.split('\'').chain(conda.split([' ', '[', ']', ',', '\n']));
    let named: BTreeSet<&str> =
        named.filter(|word| ["bin/", "lib/", "include/"].iter().any(|start| word.starts_with(start))).collect();
    assert!(named.len() > 5, "{named:?}");
    for path in named {
        assert!(prefix().join(path).exists(), "{path} is not installed");
    }
}

#[test]
fn crate_has_its_sources_and_no_tests() {
    let list = ["package", "--list", "--offline", "--locked", "--allow-dirty", "--quiet", "-p", "carbontracker"];
    let listed = run(by_hand(command("cargo").current_dir(checkout("")).args(list)));
    let files: BTreeSet<&str> = listed.lines().collect();
    for file in ["src/lib.rs", "src/report/pointers.txt", "README.md", "LICENSE", "NOTICE", "Cargo.lock"] {
        assert!(files.contains(file), "{file} is missing");
    }
    let is_expected = |file: &&&str| file.starts_with("src/") || !file.contains('/');
    assert_eq!(files.iter().find(|file| !is_expected(file)), None);
    // What the libraries and the command need of it has a version, as a registry asks.
    let manifest = std::fs::read_to_string(checkout("Cargo.toml")).expect("read");
    assert!(manifest.contains(&format!("carbontracker = {{ path = \".\", version = \"{VERSION}\"")), "{manifest}");
}

/// A package that has the name and the path of the one that packaging/julia builds.
#[test]
fn julia_takes_the_library_of_its_artifact_first() {
    let Some(julia) = julia() else { return };
    let dir = scratch("a depot");
    let library = dir.join("lib/libcarbontracker.so.0");
    std::fs::create_dir_all(dir.join("CarbonTracker_jll/src")).expect("made");
    std::fs::create_dir_all(dir.join("lib")).expect("made");
    std::fs::copy(prefix().join("lib/libcarbontracker.so.0"), &library).expect("copied");
    let load = |path: &Path| {
        let module = format!("module CarbonTracker_jll\nconst libcarbontracker_path = {:?}\nend\n", text(path));
        std::fs::write(dir.join("CarbonTracker_jll/src/CarbonTracker_jll.jl"), module).expect("written");
        let mut julia = command(&julia);
        julia.env(
            "JULIA_LOAD_PATH",
            format!("{}:{}:@stdlib", dir.display(), prefix().join("share/julia/dev").display()),
        );
        julia.env("JULIA_DEPOT_PATH", dir.join("compiled"));
        let script = "using CarbonTracker; print(CarbonTracker.version(), \" \"); \
                      foreach(println, filter(contains(\"libcarbontracker\"), CarbonTracker.Libdl.dllist()))";
        run(julia.args(["--startup-file=no", "--color=no", "-e", script]))
    };
    assert_eq!(load(&library).trim(), format!("{VERSION} {}", library.display()));
    // A library that is missing there is searched in the other places.
    let other = load(&dir.join("missing.so"));
    assert!(other.starts_with(VERSION) && other.contains("/lib/libcarbontracker.so"), "{other}");
}
