#!/usr/bin/env bash
# Packs what is built into FOLDER/carbontracker-VERSION-MACHINE-linux.tar.gz, with licences, a list of what it is made
# of (SBOM) and checksums. Fails if a file needs a newer glibc than GLIBC.
#
#   OUT=FOLDER BUILD=FOLDER packaging/archive/pack.sh MACHINE GLIBC FOLDER      as for packaging/install.sh
set -euo pipefail
machine=$1 glibc=$2
to=$(realpath -m "$3")
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=carbontracker-$version-$machine-linux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name

umask 022
PREFIX=/usr LIBDIR=lib DESTDIR=$work packaging/install.sh install >/dev/null
mv "$work/usr" "$tree"
strip --strip-debug "$tree/lib/libcarbontracker.a" # what it has of Rust's standard library
packaging/archive/newest_glibc.sh "$glibc" "$tree"
packaging/archive/sbom.py "$machine-unknown-linux-gnu" "$tree/share/doc/carbontracker"
cp packaging/archive/install.sh LICENSE NOTICE "$tree"
sed -e "s/@VERSION@/$version/" -e "s/@MACHINE@/$machine/" -e "s/@GLIBC@/$glibc/" packaging/archive/README >"$tree/README"
sed "s/@VERSION@/$version/" packaging/archive/CMakeLists.txt >"$tree/CMakeLists.txt"
(cd "$tree" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS)
# The same files give the same archive.
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
mkdir -p "$to"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" -C "$work" -cf - "$name" | gzip -9n >"$to/$name.tar.gz"
(cd "$to" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
ls -l "$to/$name.tar.gz"
