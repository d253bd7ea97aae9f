#!/usr/bin/env bash
# Builds the archive that installs without Rust and make, dist/carbontracker-VERSION-MACHINE-linux.tar.gz, Debian packages
# (deb.sh), the wheel for Python (wheel.sh) and the source rock for Lua (rock.sh). `make dist` calls it. Zig links all of
# it against the symbols of an old glibc, so it runs with that one and all later ones.
#
#   packaging/dist.sh [MACHINE]      x86_64; or aarch64, after x86_64, if Rust's library for it is installed
#
# It needs Rust, make, binutils, Lua's headers, and Python 3 with pip, which fetches Zig into target/tools.
# cargo-zigbuild is built there.
set -euo pipefail
cd "$(dirname "$0")/.."
machine=${1:-x86_64}
glibc=2.17
zigbuild=0.24.1
zig=0.17.1
: "${CARGO:=cargo}"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools=$target/tools
out=$target/dist/$machine-unknown-linux-gnu/release
build=$target/dist/$machine-connectors

tools() {
    [[ $("$tools/bin/cargo-zigbuild" --version 2>/dev/null) == *" $zigbuild" ]] ||
        "$CARGO" install --quiet --locked --root "$tools" --version $zigbuild cargo-zigbuild
    "$tools/zig/bin/python" -c "import ziglang, setuptools, wheel" 2>/dev/null &&
        [[ $("$tools/zig/bin/python" -m ziglang version) == "$zig" ]] || {
        python3 -m venv "$tools/zig"
        "$tools/zig/bin/pip" install --quiet ziglang==$zig setuptools wheel
    }
    mkdir -p "$build"
    # Debian's headers of Lua include one from a second folder, which also has those of a newer glibc.
    cat >"$build/cc" <<CC
#!/bin/sh
exec "$tools/zig/bin/python" -m ziglang cc -target $machine-linux-gnu.$glibc -g0 "\$@" -idirafter /usr/include/x86_64-linux-gnu
CC
    chmod +x "$build/cc"
}

build() {
    PATH=$tools/zig/bin:$tools/bin:$PATH "$CARGO" zigbuild --locked --release --target-dir "$target/dist" \
        --target "$machine-unknown-linux-gnu.$glibc" -p carbontracker -p carbontracker-capi -p carbontracker-cli \
        --no-default-features --features live --lib --bin carbontracker
    ln -sf libcarbontracker.so "$out/libcarbontracker.so.0"
    # The library is there, so make builds none.
    make --no-print-directory --assume-old="$out/libcarbontracker.so" OUT="$out" BUILD="$build" CC="$build/cc" lua connectors
    for lua in 5.1 5.2 5.3 5.4; do
        [[ -f $build/lua/$lua/core.so ]] || {
            echo "dist: the headers of Lua $lua are missing, so the archive would lack its module; install liblua$lua-dev (liblua5.1-0-dev)" >&2
            return 1
        }
    done
}

tools
build
# The static library has no versions of symbols, but a program that is linked with it has.
"$build/cc" -Iinclude -o "$build/static" tests/packaging/use.c "$out/libcarbontracker.a" -lunwind -lpthread -ldl -lm
packaging/archive/newest_glibc.sh $glibc "$build/static"
# The command of another machine does not run here. That of this machine prints the same pages.
command=$out/carbontracker
[[ $machine == "$(uname -m)" ]] || command=$target/dist/$(uname -m)-unknown-linux-gnu/release/carbontracker
OUT=$out CT_COMMAND=$command BUILD=$build packaging/archive/pack.sh "$machine" $glibc dist
if command -v dpkg-deb >/dev/null; then
    OUT=$out CT_COMMAND=$command BUILD=$build packaging/deb.sh "$machine" dist
else
    echo "dist: dpkg-deb is missing, so the Debian packages are not made" >&2
fi
[[ $machine != "$(uname -m)" ]] || {
    PATH=$tools/zig/bin:$PATH packaging/wheel.sh "$out" dist
    packaging/rock.sh dist
}
