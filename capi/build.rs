//! Sets the SONAME of the shared library and keeps it mapped after `dlclose`. Its sampling thread may still be ending
//! then, and thread-local variables outlive that call.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcarbontracker.so.0");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
