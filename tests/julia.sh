#!/usr/bin/env bash
# Ensures that the tests have a Julia: the one on PATH, otherwise target/julia/julia, which this script creates.
#
# Debian 12 has no Julia, Debian 11 has 1.5. debian.sh fetches its packages, and they are unpacked into a folder.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
suite=bullseye
. tests/debian.sh

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

fetch() {
    debian_open "$work" $suite &&
        debian_apt "$work" install --download-only --no-install-recommends julia &&
        # Exceptions crash with the libunwind of Debian 12, although it satisfies julia's dependencies.
        debian_apt "$work" download "libunwind8/$suite"
} >/dev/null

# Unpacks the packages so that they find each other after the folder is moved.
unpack() {
    local link libraries
    debian_unpack "$work"
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
lacks=$(debian_lacks)
[[ -z $lacks ]] || absent "fetching that of Debian 11 needs ${lacks//$'\n'/, }"
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
