#!/usr/bin/env bash
# Checks that the oldest Rust of Cargo.toml (rust-version), which Debian 13 has, compiles the three packages that are
# shipped. debian.sh fetches that compiler into target/msrv. It runs there with its own C library.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
home=$target/msrv
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
suite=trixie
. tests/debian.sh

absent() {
    echo "skipped: Rust $oldest: $1"
    [[ ${CI:-} != true ]] || exit 1
    exit 0
}

works() {
    [[ $("$home/rustc" --version 2>&1) == "rustc $oldest."* ]]
}

# The compiler's packages and those that they need, without a C compiler: that of this machine links.
fetch() {
    debian_open "$work" $suite /dev/null || return
    local packages
    mapfile -t packages < <(debian_apt "$work" install --print-uris --no-install-recommends rustc cargo |
        sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | grep -Ev '^(gcc|cpp|binutils|lib.*san[0-9]|lib.*-dev)(-|$)|^libc6-dev|^linux-libc')
    debian_apt "$work" download "${packages[@]}" libstd-rust-dev >/dev/null
}

# Starts a tool with the loader and the libraries that were fetched with it.
wrap() { # TOOL
    cat >"$home/$1" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$(readlink -f "\$0")")/root/usr
exec "\$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "\$root/lib/x86_64-linux-gnu" "\$root/bin/$1" "\$@"
WRAPPER
    chmod +x "$home/$1"
}

if ! works; then
    lacks=$(debian_lacks)
    [[ -z $lacks ]] || absent "fetching that of Debian 13 needs ${lacks//$'\n'/, }"
    [[ $(uname -m) == x86_64 ]] || absent "it is fetched for x86_64 only"
    rm -rf "$home"
    mkdir -p "$home"
    work=$(mktemp -d "$home/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch || absent "apt could not fetch that of Debian 13: $(tail -n 3 "$work/log" 2>&1)"
    debian_unpack "$work"
    mv "$work/root" "$home/root"
    wrap rustc
    wrap cargo
    works || absent "that of Debian 13 does not run: $("$home/rustc" --version 2>&1)"
fi
# A check without debug information, in a folder of its own, because cargo would build all again for another compiler.
check() {
    env -u RUSTUP_TOOLCHAIN RUSTC="$home/rustc" CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        "$home/cargo" check --locked --target-dir "$home/build" -p carbontracker -p carbontracker-capi -p carbontracker-cli "$@"
}
check
# The build without live services has less code, so it may have unused code.
check --no-default-features 2>&1 | tee "$home/log"
if grep -q '^warning' "$home/log"; then
    echo "msrv: the build without live services has warnings; mend them, or mark what only a part of the features needs" >&2
    exit 1
fi
