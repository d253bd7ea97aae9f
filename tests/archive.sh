#!/usr/bin/env bash
# Installs the archive of `make dist` in a system without Rust, make and the project's files (bare.sh). There the
# programs of the READMEs in C, C++, Fortran and Lua are built and run, and the command measures a program.
# `make dist-check` calls it.
#
#   tests/archive.sh dist/carbontracker-*-x86_64-linux.tar.gz
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/bare.sh

archive=$(realpath "${1:?the archive is missing}")
name=$(basename "$archive" .tar.gz)
bare_open
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
bare_run check "$name"
echo "archive: it installs and runs with glibc $(bare_glibc)"
