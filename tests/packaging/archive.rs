//! The archive of `make dist`: what is in it, and its install.sh. It has the programs of `make` here. `make dist-check`
//! installs those of the archive, on an old system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install::below;
use crate::install_tree::{by_hand, checkout, command, have, outcome, prefix, run, scratch};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A glibc that is newer than any.
const ANY: &str = "99";

fn script(name: &str) -> Command {
    Command::new(checkout("packaging/archive").join(name))
}

pub fn is_here() -> bool {
    have(&["readelf", "strip", "python3", "sha256sum", "tar"])
}

/// The folder with the archive.
pub fn packed() -> &'static Path {
    static PACKED: OnceLock<PathBuf> = OnceLock::new();
    PACKED.get_or_init(|| {
        prefix(); // builds what is packed
        let dir = scratch("packed");
        let built = std::env::var_os("CT_LIBDIR").map_or_else(|| checkout("target/release"), PathBuf::from);
        let mut pack = script("pack.sh");
        pack.env("OUT", built).env("BUILD", checkout("build")).args([std::env::consts::ARCH, ANY]);
        run(by_hand(pack.arg(&dir)));
        run(command("sh").current_dir(&dir).args(["-c", "sha256sum -c *.sha256"]));
        dir
    })
}

/// The archive, unpacked for one test.
fn unpacked(name: &str) -> PathBuf {
    let dir = scratch(name);
    run(command("sh").current_dir(&dir).args(["-c", "tar xzf \"$1\"/*.tar.gz", "sh"]).arg(packed()));
    dir.join(format!("carbontracker-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))
}

fn install(tree: &Path, arguments: &[&str], to: &Path) -> Output {
    outcome(Command::new(tree.join("install.sh")).args(arguments).arg(to))
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn archive_installs_what_make_installs_and_removes_it() {
    if !is_here() {
        return;
    }
    let tree = unpacked("an archive");
    let to = scratch("from an archive").join("a prefix");
    let installed = install(&tree, &[], &to);
    assert!(installed.status.success(), "{}", printed(&installed));
    let mut expected = below(prefix());
    expected.extend(["LICENCES", "sbom.cdx.json"].map(|name| Path::new("share/doc/carbontracker").join(name)));
    assert_eq!(below(&to), expected);
    assert_eq!(run(Command::new(to.join("bin/carbontracker")).arg("--version")), version());

    std::fs::write(to.join("lib/another"), "of another program").expect("written");
    assert!(install(&tree, &["--uninstall"], &to).status.success());
    let left = below(&to).into_iter().filter(|path| !to.join(path).is_dir()).collect::<Vec<_>>();
    assert_eq!(left, [Path::new("lib/another")]);
}

fn version() -> String {
    run(Command::new(prefix().join("bin/carbontracker")).arg("--version"))
}

#[test]
fn damaged_archive_is_refused_and_nothing_is_installed() {
    if !is_here() {
        return;
    }
    let tree = unpacked("a damaged archive");
    let to = scratch("not installed").join("a prefix");
    let header = tree.join("include/carbontracker.h");
    let good = std::fs::read(&header).expect("read");
    let check = |what: &str| {
        let refused = install(&tree, &[], &to);
        assert!(!refused.status.success(), "{what}");
        let printed = printed(&refused);
        assert!(printed.contains("carbontracker.h") && printed.contains("nothing was installed"), "{what}: {printed}");
        assert!(!to.exists(), "{what}");
    };
    std::fs::write(&header, good.get(..good.len() / 2).expect("half")).expect("cut off");
    check("cut off");
    std::fs::remove_file(&header).expect("removed");
    check("missing");
    std::fs::write(&header, &good).expect("restored");
    let readme = std::fs::read_to_string(tree.join("README")).expect("read");
    std::fs::write(tree.join("README"), readme.replace("machine: ", "machine: not-")).expect("written");
    let refused = install(&tree, &[], &to);
    assert!(printed(&refused).contains("this archive is for Linux on not-"), "{}", printed(&refused));
    for wrong in [&[][..], &["--help"], &["a", "b"]] {
        let refused = outcome(Command::new(tree.join("install.sh")).args(wrong));
        assert!(!refused.status.success() && printed(&refused).contains("nothing was changed"), "{wrong:?}");
    }
}

#[test]
fn file_that_needs_a_newer_glibc_is_refused() {
    if !is_here() {
        return;
    }
    let library = prefix().join("lib/libcarbontracker.so.0");
    let library = library.canonicalize().expect("a library");
    let refused = outcome(script("newest_glibc.sh").arg("2.2").arg(&library));
    assert!(!refused.status.success() && printed(&refused).contains("newer glibc than 2.2"), "{refused:?}");
    let listed = run(script("newest_glibc.sh").arg(ANY).arg(&library));
    assert!(listed.starts_with("2."), "{listed}");
}

#[test]
fn archive_lists_what_it_is_made_of() {
    if !is_here() {
        return;
    }
    let doc = unpacked("a listed archive").join("share/doc/carbontracker");
    let sbom = std::fs::read(doc.join("sbom.cdx.json")).expect("read");
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).expect("JSON");
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = sbom["components"].as_array().expect("components");
    let named = |name: &str| components.iter().find(|one| one["name"] == name);
    let ring = named("ring").expect("what TLS uses");
    assert!(ring["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64), "{ring}");
    assert!(components.iter().all(|one| one["licenses"][0]["expression"].is_string()), "each has a licence");
    assert!(named("proptest").is_none() && named("serde_derive").is_none(), "tests and macros are not shipped");
    let licences = std::fs::read_to_string(doc.join("LICENCES")).expect("read");
    for one in components {
        let (name, version) = (one["name"].as_str().expect("a name"), one["version"].as_str().expect("a version"));
        assert!(name == "rust-std" || licences.contains(&format!("{name} {version}")), "{name} has no licence text");
    }
}
