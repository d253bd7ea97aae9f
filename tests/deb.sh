#!/usr/bin/env bash
# Installs the packages of packaging/deb.sh with dpkg in a bare Debian 11 (bare.sh), and uses and removes them there.
# `make dist-check` calls it.
#
#   tests/deb.sh dist/*.deb
#
# It needs root, because dpkg gives files to other users.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/bare.sh
[[ $# -eq 3 ]] || { echo "deb: three packages are needed, these were given: $*" >&2 && exit 2; }
[[ $EUID -eq 0 ]] || bare_absent "dpkg needs root"
bare_open

if command -v lintian >/dev/null; then
    # The maintainer's address and the report of the first upload are for the one who publishes them.
    lintian --allow-root --fail-on error --tag-display-limit 0 \
        --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact,initial-upload-closes-no-bugs "$@"
else
    echo "skipped: lintian on the packages: install lintian"
fi
mkdir -p "$home/system" "$home/packages"
cp "$@" "$home/packages"
program README.md c >"$home/quick.c"
program bindings/lua/README.md lua >"$home/quick.lua"
program bindings/fortran/README.md fortran >"$home/loop.f90"
# What apt has unpacked is registered and configured once.
if [[ ! -e $bare/configured ]]; then
    cp "$bare"/archives/*.deb "$home/system"
    cat >"$home/configure" <<'CONFIGURE'
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C
mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates
: >/var/lib/dpkg/status
exec dpkg --force-depends --force-unsafe-io --install /home/user/system/*.deb
CONFIGURE
    bare_run configure >"$bare/configured.log" 2>&1 || { tail -n 20 "$bare/configured.log" >&2 && exit 1; }
    touch "$bare/configured"
fi
cat >"$home/check" <<'CHECK'
set -eux
cd /home/user/packages
# Without the library, dpkg leaves the development files unconfigured.
! dpkg --install libcarbontracker-dev_*.deb || exit 1
dpkg --purge libcarbontracker-dev
dpkg --install *.deb
dpkg --audit
[ -z "$(dpkg --audit)" ]
dpkg --verify libcarbontracker0 libcarbontracker-dev carbontracker
cd ..
# No variable names a folder: dpkg has run ldconfig, and all other tools search Debian's folders.
ldconfig -p | grep libcarbontracker.so.0
export CARBONTRACKER_SIM_CPU=x:100
cc quick.c $(pkg-config --cflags --libs carbontracker) -o quick
./quick | grep 'of 10 epochs'
cc -static quick.c $(pkg-config --static --cflags --libs carbontracker) -o static 2>/dev/null
./static | grep 'of 10 epochs'
gfortran -O2 /usr/include/carbontracker.f90 loop.f90 $(pkg-config --libs carbontracker) -o loop
./loop | grep 'of 10 epochs'
for lua in lua5.1 lua5.2 lua5.3 lua5.4 luajit; do
    $lua quick.lua | grep 'of 10 epochs'
done
carbontracker run -- sleep 1 2>&1 | grep energy
ctrack --version
gzip -dc /usr/share/man/man1/ctrack.1.gz | grep -q carbontracker
# The newer release of a package takes the place of the older one, and removal leaves nothing.
dpkg --install packages/libcarbontracker0_*.deb
dpkg --purge carbontracker libcarbontracker-dev libcarbontracker0
[ -z "$(find /usr /etc /var/lib/dpkg/info -name '*carbontracker*')" ]
! ldconfig -p | grep carbontracker || exit 1
CHECK
bare_run check
echo "deb: the packages install, run and are removed with glibc $(bare_glibc)"
