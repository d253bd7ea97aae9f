#!/bin/sh
# Makes the wheel of bindings/python with the library, the command and the headers. Its platform is that of the highest
# GLIBC symbol that they need: 2.17 is manylinux2014.
#
#   packaging/wheel.sh [OUT [FOLDER]]      OUT: the folder of cargo's files; FOLDER: where the wheel goes
#
# It needs python3 with pip, setuptools and wheel, and readelf.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/release}
folder=${2:-dist}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
package=$stage/libcarbontracker

cp -R bindings/python/libcarbontracker bindings/python/pyproject.toml bindings/python/README.md LICENSE "$stage"
rm -rf "$package/__pycache__"
mkdir -p "$package/lib" "$package/bin" "$package/include" "$folder"
cp "$out/libcarbontracker.so" "$package/lib/libcarbontracker.so.0"
cp "$out/carbontracker" "$package/bin/carbontracker"
cp include/carbontracker.h include/carbontracker_dl.h bindings/cpp/carbontracker.hpp "$package/include"

newest=$(packaging/archive/newest_glibc.sh 9.99 "$package/lib" "$package/bin" | sed -n 's/^\([0-9.]*\) .*/\1/p' |
    sort -V | tail -n 1)
minor=${newest#2.}
platform=manylinux_2_${minor}_$(uname -m)
[ "$minor" -gt 17 ] || platform=manylinux2014_$(uname -m)
printf '[bdist_wheel]\npython_tag = py3\nplat_name = %s\n' "$platform" >"$stage/setup.cfg"
python3 -m pip --quiet --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir "$folder" "$stage"
ls "$folder"/libcarbontracker-*"$platform".whl
