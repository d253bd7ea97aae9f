#!/usr/bin/env bash
# Installs the archive of `make dist` in a system without Rust, make and the project's files: Debian 11 (glibc 2.31),
# the oldest in Debian's archive. There the programs of the READMEs in C, C++, Fortran and Lua are built and run, and
# the command measures a program. `make dist-check` calls it.
#
#   tests/archive.sh dist/carbontracker-*-x86_64-linux.tar.gz
#
# debian.sh fetches the packages into target/bare. The system is a folder with mounts of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
bare=$target/bare
suite=bullseye
packages="gcc g++ gfortran libc6-dev libc-bin pkg-config lua5.1 lua5.2 lua5.3 lua5.4 luajit
    dash mawk coreutils sed grep findutils tar gzip"
. tests/debian.sh

absent() {
    echo "skipped: a bare system: $1"
    [[ ${CI:-} != true ]] || exit 1
    exit 0
}

# Packages are unpacked, not configured. So the links that their configuration makes are missing.
fetch() {
    rm -rf "$bare"
    # shellcheck disable=SC2086 # a list
    debian_open "$bare" $suite /dev/null &&
        debian_apt "$bare" install --download-only --no-install-recommends $packages >/dev/null &&
        debian_unpack "$bare" || return
    ln -sf dash "$bare/root/bin/sh"
    ln -sf mawk "$bare/root/usr/bin/awk"
    ln -sf gcc "$bare/root/usr/bin/cc"
    ln -sf g++ "$bare/root/usr/bin/c++"
    echo "$packages" >"$bare/complete"
}

# The first program of a README in a language.
program() { # README LANGUAGE
    awk -v start="\`\`\`$2" '$0 == start && !n++ { inside = 1; next } /^```$/ { inside = 0 } inside' "$1"
}

archive=$(realpath "${1:?the archive is missing}")
name=$(basename "$archive" .tar.gz)
lacks=$(debian_lacks)
[[ -z $lacks ]] || absent "fetching Debian 11 needs ${lacks//$'\n'/, }"
[[ $(cat "$bare/complete" 2>/dev/null) == "$packages" ]] || fetch || absent "apt could not fetch Debian 11: $(tail -n 3 "$bare/log" 2>&1)"
home=$bare/root/home/user
rm -rf "$home" "$bare/root/opt/ct"
mkdir -p "$home" "$bare"/root/{dev,proc,sys,tmp}
cp "$archive" "$home"
program README.md c >"$home/quick.c"
program bindings/cpp/README.md cpp >"$home/quick.cpp"
program bindings/fortran/README.md fortran >"$home/loop.f90"
program bindings/lua/README.md lua >"$home/quick.lua"
cat >"$home/check" <<'CHECK'
set -eux
cd /home/user
tar xzf "$1.tar.gz"
# A damaged file is noticed, and nothing is installed.
printf x >>"$1/include/carbontracker.h"
! "$1/install.sh" /opt/ct || exit 1
[ ! -e /opt/ct ]
rm -r "$1"
tar xzf "$1.tar.gz"
"$1/install.sh" /opt/ct
rm -r "$1"
export PATH=/opt/ct/bin:$PATH PKG_CONFIG_PATH=/opt/ct/lib/pkgconfig LD_LIBRARY_PATH=/opt/ct/lib
export CARBONTRACKER_SIM_CPU=x:100
cc quick.c $(pkg-config --cflags --libs carbontracker) -o quick
./quick | grep 'of 10 epochs'
cc quick.c $(pkg-config --cflags carbontracker) /opt/ct/lib/libcarbontracker.a -lpthread -ldl -lm -o static
LD_LIBRARY_PATH= ./static | grep 'of 10 epochs'
c++ -std=c++11 -O2 quick.cpp $(pkg-config --cflags --libs carbontracker) -o quick++
./quick++ | grep 'of 10 epochs'
gfortran -O2 $(pkg-config --variable=includedir carbontracker)/carbontracker.f90 loop.f90 $(pkg-config --libs carbontracker) -o loop
./loop | grep 'of 10 epochs'
for lua in lua5.1 lua5.2 lua5.3 lua5.4 luajit; do
    version=${lua#lua}
    [ $lua != luajit ] || version=5.1
    export LUA_PATH="/opt/ct/share/lua/$version/?.lua;;" LUA_CPATH="/opt/ct/lib/lua/$version/?.so;;"
    $lua quick.lua | grep 'of 10 epochs'
done
carbontracker run -- sleep 1 2>&1 | grep 'energy'
carbontracker doctor | grep 'glibc\|measured\|estimated'
tar xzf "$1.tar.gz"
"$1/install.sh" --uninstall /opt/ct
[ -z "$(find /opt/ct ! -type d)" ]
CHECK
# Mounts are in a namespace of their own, so they end with it.
user=()
[[ $EUID -eq 0 ]] || user=(--user --map-root-user)
unshare "${user[@]}" --mount --pid --fork bash -euc '
    mount --rbind /dev "$1/dev"
    mount --rbind /sys "$1/sys"
    mount -t proc proc "$1/proc"
    exec chroot "$1" /usr/bin/env -i HOME=/home/user PATH=/usr/bin:/bin sh /home/user/check "$2"' \
    bash "$bare/root" "$name"
echo "archive: it installs and runs with glibc $(basename "$(find "$bare/root/lib" -name 'libc-2.*.so')" .so | cut -c 6-)"
