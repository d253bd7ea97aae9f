#!/usr/bin/env bash
# Sees that Python's Carbontracker is at hand for the tests: a venv of its own, target/carbontracker, made by pip.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
version=2.4.7
mkdir -p "$target"
# At its place from the start: a venv knows its own path.
venv=$(realpath "$target")/carbontracker

works() {
    "$1/bin/python" - "$version" >/dev/null 2>&1 <<'PYTHON'
import sys, carbontracker.parser, carbontracker.report, reportlab
from importlib.metadata import version
sys.exit(version("carbontracker") != sys.argv[1])
PYTHON
}

absent() {
    rm -rf "$venv" # half of it would be taken for the whole
    echo "tests: no Carbontracker $version here: $1"
    exit 0 # no package of the system has it: what needs it is skipped, and says so
}

! works "$venv" || exit 0
echo "tests: installing Python's Carbontracker $version into $target/carbontracker"
rm -rf "$venv"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
python3 -m venv "$venv" >"$log" 2>&1 || absent "$(tail -n 3 "$log"); on Debian or Ubuntu: sudo apt-get install python3-venv"
"$venv/bin/pip" install --disable-pip-version-check "carbontracker==$version" reportlab >"$log" 2>&1 ||
    "$venv/bin/pip" install --disable-pip-version-check "carbontracker==$version" reportlab >"$log" 2>&1 ||
    absent "pip could not install it in two tries: $(tail -n 3 "$log")"
works "$venv" || absent "it does not start: $("$venv/bin/python" -c 'import carbontracker.report' 2>&1 | tail -n 3)"
