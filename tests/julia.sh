#!/usr/bin/env bash
# Ensures that the tests have a Julia: the one on PATH, otherwise target/julia/julia, which this script creates.
#
# Debian 12 has no Julia, Debian 11 has 1.5. The machine's own apt fetches the packages of Debian 11 from the machine's
# own archive, and they are unpacked into a folder. Nothing is installed, apt's settings stay, and root is not needed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
suite=bullseye
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Whether a Julia runs and survives an exception. With the wrong libunwind it does not.
works() {
    "$1" --startup-file=no -e 'try [1][2] catch end; exit(VERSION >= v"1.5" ? 0 : 1)' >/dev/null 2>&1
}

absent() {
    echo "tests: no Julia: $1"
    echo "put a julia of version 1.5 or newer on PATH"
    [[ ${CI:-} != true ]] || exit 1
    exit 0
}

# The archives of this machine's packages, from apt's sources in any format. Archives of updates are left out; their
# suites have a dash.
archives() {
    apt-get -o Dir::State="$work/sources" update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/[a-z]*/InRelease'.*|\1|p" | uniq
}

# Runs apt with separate lists and downloads, and with Debian 11 as the only source.
apt() {
    APT_CONFIG=$work/apt.conf apt-get -q -y "$@" >>"$work/log" 2>&1
}

fetch_from() {
    local site=$1
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    echo "deb [signed-by=$keyring] $site $suite main" >"$work/sources.list"
    cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Debug::NoLocking "true";
CONF
    apt update && apt install --download-only --no-install-recommends julia || return
    # Exceptions crash with the libunwind of Debian 12, although it satisfies julia's dependencies.
    (cd "$work/archives" && apt download "libunwind8/$suite")
}

fetch() {
    local site
    for site in $(archives); do
        ! fetch_from "$site" || return 0
    done
    return 1
}

# Unpacks the packages so that they find each other after the folder is moved.
unpack() {
    local package link libraries
    for package in "$work"/archives/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    libraries=$(dirname "$(find "$work/root" -name 'libjulia.so.1' -print -quit)")
    # Replaces broken links by links to the libraries of this machine. Packages of these were not fetched.
    find "$libraries/julia" -xtype l -printf '%l\n' | while read -r link; do
        ln -sf "/usr/lib/${libraries##*/}/${link##*/}" "$libraries/${link##*/}"
    done
    cat >"$work/julia" <<WRAPPER
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
lib="\$here/${libraries#"$work"/}"
LD_LIBRARY_PATH="\$lib:\$lib/julia\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "\$here/root/usr/bin/julia" "\$@"
WRAPPER
    chmod +x "$work/julia"
    find "$work" -mindepth 1 -maxdepth 1 ! -name root ! -name julia -exec rm -rf {} +
}

! works julia || exit 0
! works "$target/julia/julia" || exit 0
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || absent "fetching that of Debian 11 needs $tool"
done
[[ -r $keyring ]] || absent "fetching that of Debian 11 needs Debian's keyring, $keyring"
echo "tests: fetching the Julia of Debian 11 into $target/julia"
mkdir -p "$target"
work=$(mktemp -d "$(realpath "$target")/julia.XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch || absent "apt could not fetch that of Debian 11: $(tail -n 3 "$work/log" 2>&1)"
unpack
works "$work/julia" || absent "that of Debian 11 does not run: $("$work/julia" --startup-file=no -e 0 2>&1)"
rm -rf "$target/julia"
mv "$work" "$target/julia"
chmod 755 "$target/julia"
