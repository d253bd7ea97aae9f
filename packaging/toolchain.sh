#!/bin/sh
# Checks that Rust and a C compiler are here, and prints about how long the build takes. The Makefile calls it before it
# calls cargo, so that what is missing is reported at once and with its fix.
#
#   packaging/toolchain.sh WHAT SECONDS      SECONDS: the time of the first build on two processors
#
# CARGO, CC and CXX name the tools. Without CXX no C++ compiler is needed.
cd "$(dirname "$0")/.." || exit 1
: "${CARGO:=cargo}" "${CC:=cc}" "${CXX:=}"
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
missing=

lacks() { # MESSAGE
    echo "carbontracker: $1" >&2
    missing=yes
}

has() { # COMMAND, which may have arguments
    command -v "${1%% *}" >/dev/null 2>&1
}

if ! has "$CARGO"; then
    lacks "$CARGO is not on PATH; the library is written in Rust; install Rust $needed or newer from https://rustup.rs, or set CARGO=/path/to/cargo"
elif ! found=$($CARGO --version 2>&1); then
    lacks "$CARGO does not start ($(echo "$found" | head -n 1)); nothing can be built; run: rustup toolchain install stable, or choose an installed release: RUSTUP_TOOLCHAIN=$needed make"
else
    found=$(echo "$found" | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
    oldest=$(printf '%s\n%s\n' "$needed" "${found:-0.0}" | sort -t . -k 1,1n -k 2,2n | head -n 1)
    [ "$oldest" = "$needed" ] ||
        lacks "Rust $found is too old; the library needs $needed or newer; run: rustup update stable, or install it from https://rustup.rs"
fi
# Rust calls cc to link. A crate of the live services has C sources, for which CC is called.
for tool in cc "$CC"; do
    has "$tool" || { lacks "$tool is not on PATH; nothing can be linked; install a C compiler (Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc)" && break; }
done
[ -z "$CXX" ] || has "$CXX" ||
    lacks "$CXX is not on PATH; the C++ example cannot be built; install a C++ compiler (Debian: apt-get install g++; Fedora: dnf install gcc-c++), or set CXX"
[ -z "$missing" ] || exit 1

cores=$(nproc 2>/dev/null || echo 1)
case $cores in
1) seconds=$(($2 * 2)) ;;
2 | 3) seconds=$2 ;;
*) seconds=$(($2 * 7 / 10)) ;; # linking uses two processors at most
esac
echo "carbontracker: building $1; from nothing this takes about $(((seconds + 59) / 60)) min on this machine's $cores processors, if they are idle"
