#!/bin/sh
# Installs carbontracker out of the folder that its archive was unpacked to. It needs no Rust, no make and, for a PREFIX
# of your own, no root.
#
#   ./install.sh PREFIX               such as /usr/local or ~/.local; first it compares each file with SHA256SUMS
#   ./install.sh --uninstall PREFIX   removes the same files
#
# The folder can also be used where it is: no file contains its place.
set -eu
fail() { # MESSAGE
    echo "install.sh: $1" >&2
    exit 1
}

verb=install
[ "${1:-}" != --uninstall ] || { verb=uninstall && shift; }
[ $# -eq 1 ] && [ -n "$1" ] || fail "the folder to install to is missing; nothing was changed; run: ./install.sh PREFIX, such as /usr/local"
case $1 in -*) fail "$1 is no option; nothing was changed; run: ./install.sh [--uninstall] PREFIX" ;; esac
case $1 in /*) prefix=$1 ;; *) prefix=$PWD/$1 ;; esac
cd "$(dirname "$0")"
machine=$(sed -n 's/^machine: //p' README)

if [ $verb = uninstall ]; then
    [ -e "$prefix/include/carbontracker.h" ] ||
        fail "carbontracker is not installed in $prefix; nothing was removed; give the folder that it was installed to"
    find bin include lib share ! -type d | while read -r file; do rm -f "$prefix/$file"; done
    find bin include lib share -mindepth 1 -depth -type d | while read -r folder; do
        rmdir "$prefix/$folder" 2>/dev/null || true # others may have files there
    done
    echo "carbontracker is removed from $prefix"
    exit 0
fi
[ "$(uname -s)-$(uname -m)" = "Linux-$machine" ] ||
    fail "this archive is for Linux on $machine, and this machine is $(uname -s) on $(uname -m); nothing was installed; take another archive, or build from source"
checked=$(sha256sum -c SHA256SUMS 2>&1) || {
    echo "$checked" | grep -v ': OK$' >&2
    fail "these files are missing or not as they were packed; nothing was installed; download and unpack the archive again"
}
found=$(bin/carbontracker --version 2>&1) ||
    fail "the command does not start here ($found); nothing was installed; it needs the GNU C library that README names, or build from source"
umask 022
mkdir -p "$prefix" && [ -w "$prefix" ] ||
    fail "$prefix cannot be written; nothing was installed; choose a folder of yours, or use sudo"
# A running program keeps the file that it has open, because a new file takes its place.
find bin include lib share -type d | while read -r folder; do mkdir -p "$prefix/$folder"; done
find bin include lib share ! -type d | while read -r file; do
    cp -P "$file" "$prefix/$file.new"
    mv -f "$prefix/$file.new" "$prefix/$file"
done
echo "carbontracker is installed in $prefix"
case :$PATH: in *":$prefix/bin:"*) ;; *) echo "to find the command: export PATH=$prefix/bin:\$PATH" ;; esac
case $prefix in
/usr | /usr/local) echo "to find the library: sudo ldconfig" ;;
*) echo "to find the library: export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib" ;;
esac
