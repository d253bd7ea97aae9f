#!/usr/bin/env bash
# Sees that the tools the tests call are here: installs them (Debian, as root) or says what to run.
set -euo pipefail

tools=(cc c++ make valgrind pkg-config nm readelf)
packages=(gcc g++ make valgrind pkg-config binutils libc6-dev)

missing() {
    local tool
    for tool in "${tools[@]}"; do
        command -v "$tool" >/dev/null || printf '%s ' "$tool"
    done
}

absent=$(missing)
if [[ -n $absent && $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "tests: installing what is not here: $absent"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends "${packages[@]}"; } >&2 || true
    absent=$(missing)
fi
if [[ -n $absent ]]; then
    echo "tests: not here: $absent"
    echo "on Debian or Ubuntu: sudo apt-get install ${packages[*]}"
    [[ ${CI:-} != true ]] || exit 1
fi
