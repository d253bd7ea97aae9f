# shellcheck shell=bash
# A system without Rust and the project's files, for scripts that source this file: Debian 11 (glibc 2.31), the oldest in
# Debian's archive. It is the folder target/bare/root with mounts of its own; debian.sh fetches its packages.

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
bare=$target/bare
bare_suite=bullseye
bare_packages="?essential gcc g++ gfortran libc6-dev libc-bin pkg-config lua5.1 lua5.2 lua5.3 lua5.4 luajit"
. tests/debian.sh

bare_absent() { # REASON
    echo "skipped: a bare system: $1"
    [[ ${CI:-} != true ]] || exit 1
    exit 0
}

# Packages are unpacked, not configured. So the links that their configuration makes are missing.
bare_fetch() {
    rm -rf "$bare"
    # shellcheck disable=SC2086 # a list
    debian_open "$bare" $bare_suite /dev/null &&
        debian_apt "$bare" install --download-only --no-install-recommends $bare_packages >/dev/null &&
        debian_unpack "$bare" || return
    ln -sf dash "$bare/root/bin/sh"
    ln -sf mawk "$bare/root/usr/bin/awk"
    ln -sf gcc "$bare/root/usr/bin/cc"
    ln -sf g++ "$bare/root/usr/bin/c++"
    echo "$bare_packages" >"$bare/complete"
}

# Makes the system, or ends the script if it cannot be made. Sets $home, the empty home folder in it.
bare_open() {
    local lacks
    lacks=$(debian_lacks)
    [[ -z $lacks ]] || bare_absent "fetching Debian 11 needs ${lacks//$'\n'/, }"
    [[ $(cat "$bare/complete" 2>/dev/null) == "$bare_packages" ]] || bare_fetch ||
        bare_absent "apt could not fetch Debian 11: $(tail -n 3 "$bare/log" 2>&1)"
    home=$bare/root/home/user
    rm -rf "$home" "$bare/root/opt/ct"
    mkdir -p "$home" "$bare"/root/{dev,proc,sys,tmp}
}

# Runs a script of the home folder in the system. The mounts are in a namespace of their own, so they end with it.
bare_run() { # SCRIPT ARGUMENT...
    local user=()
    [[ $EUID -eq 0 ]] || user=(--user --map-root-user)
    unshare "${user[@]}" --mount --pid --fork bash -euc '
        root=$1
        shift
        mount --rbind /dev "$root/dev"
        mount --rbind /sys "$root/sys"
        mount -t proc proc "$root/proc"
        exec chroot "$root" /usr/bin/env -i HOME=/home/user PATH=/usr/sbin:/usr/bin:/sbin:/bin sh "/home/user/$@"' \
        bash "$bare/root" "$@"
}

# The first program of a README in a language.
program() { # README LANGUAGE
    awk -v start="\`\`\`$2" '$0 == start && !n++ { inside = 1; next } /^```$/ { inside = 0 } inside' "$1"
}

# The system's C library, such as 2.31.
bare_glibc() {
    basename "$(find "$bare/root/lib" -name 'libc-2.*.so')" .so | cut -c 6-
}
