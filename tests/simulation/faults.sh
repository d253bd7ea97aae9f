#!/usr/bin/env bash
# Puts old faults back, one by one, and runs simulated worlds until one of them fails. A fault that 1,000 worlds do not
# find is a failure of this script.
#
#   tests/simulation/faults.sh              all patches in tests/simulation/faults
#   tests/simulation/faults.sh NAME...      these
#
# A patch changes a copy of the tree in target/faults. Each one needs a build of the core, of one to two minutes.
set -uo pipefail
cd "$(dirname "$0")/../.."
patches=$PWD/tests/simulation/faults
place=$(realpath -m "${CARGO_TARGET_DIR:-target}")/faults
tree=$place/tree seeds=1000 step=50

if [[ $# -eq 0 ]]; then
    for patch in "$patches"/*.patch; do set -- "$@" "$(basename "$patch" .patch)"; done
fi

rm -rf "$tree"
mkdir -p "$tree"
# Files get a new time: cargo must not take a build of an earlier tree for a build of this one.
tar -c --exclude=./target --exclude=./build --exclude=./.git . | tar -xm -C "$tree" || exit

# Prints the first failure. The status is 1 if there is none.
first_failure() {
    local first line
    for ((first = 0; first < seeds; first += step)); do
        line=$("$place/target/simulation/carbontracker-simulation" "$first" "$step" | awk '/^seed / && !found++')
        [[ -z $line ]] || { echo "$line"; return 0; }
    done
    return 1
}

failed=0
for name; do
    if ! patch -d "$tree" -p1 --quiet --no-backup-if-mismatch <"$patches/$name.patch"; then
        echo "$name: the patch does not apply"
        exit 1
    fi
    # The core without optimisation takes half the time to build, and most faults need few worlds.
    if ! "${CARGO:-cargo}" build --quiet --locked --profile simulation -p carbontracker-simulation \
        --config 'profile.simulation.package.carbontracker.opt-level=0' \
        --manifest-path "$tree/Cargo.toml" --target-dir "$place/target" 2>"$place/$name.log"; then
        cat "$place/$name.log"
        exit 1
    fi
    if line=$(first_failure); then
        line=${line#seed }
        echo "$name: found at seed ${line%%:*}:${line#*:}"
    else
        echo "$name: not found in $seeds seeds"
        failed=1
    fi
    patch -d "$tree" -p1 --quiet --reverse --no-backup-if-mismatch <"$patches/$name.patch" || exit
done
exit "$failed"
