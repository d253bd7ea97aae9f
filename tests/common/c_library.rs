//! The C library that tests link programs to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of libcarbontracker.so and libcarbontracker.a: CT_LIBDIR, or else the folder in which cargo builds now.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("CT_LIBDIR") {
            return folder.into();
        }
        // No test can depend on a library that Rust programs cannot link, so cargo does not build it beside them.
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--locked", "--package", "carbontracker-capi"]).current_dir(crate::ROOT);
        let built = cargo.env("CARGO_TARGET_DIR", build).status().expect("cargo");
        assert!(built.success(), "{cargo:?}");
        build.join("debug")
    })
}
