# BinaryBuilder's recipe of the package CarbonTracker_jll, with which Julia downloads the library and the command. It is
# untried: BinaryBuilder needs Julia 1.7 and its own image of a system. A source without target/ and .git builds faster:
#
#   git archive --prefix=carbontracker/ HEAD | tar x -C /tmp
#   CARBONTRACKER_SOURCE=/tmp julia packaging/julia/build_tarballs.jl --verbose x86_64-linux-gnu
#
# Replace the source by a GitSource or ArchiveSource when the project is published.
using BinaryBuilder

name = "CarbonTracker"
version = v"0.1.0"
sources = [DirectorySource(get(ENV, "CARBONTRACKER_SOURCE", "/tmp"))]

script = raw"""
cd ${WORKSPACE}/srcdir/carbontracker
cargo build --locked --release -p carbontracker-capi -p carbontracker-cli
install -Dm755 target/${rust_target}/release/libcarbontracker.so ${libdir}/libcarbontracker.so.0
install -Dm755 target/${rust_target}/release/carbontracker ${bindir}/carbontracker
install -Dm644 include/carbontracker.h ${includedir}/carbontracker.h
install_license LICENSE NOTICE
"""

platforms = [Platform("x86_64", "linux"; libc = "glibc"), Platform("aarch64", "linux"; libc = "glibc")]
products = [
    LibraryProduct("libcarbontracker", :libcarbontracker),
    ExecutableProduct("carbontracker", :carbontracker),
]
dependencies = Dependency[]

build_tarballs(ARGS, name, version, sources, script, platforms, products, dependencies;
    compilers = [:c, :rust], julia_compat = "1.6")
