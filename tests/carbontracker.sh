#!/usr/bin/env bash
# Ensures that the tests have Python's Carbontracker: pip installs it into a venv, target/carbontracker.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
version=2.4.7
mkdir -p "$target"
# The venv is created at its final path, because its files contain that path.
venv=$(realpath "$target")/carbontracker

works() {
    "$1/bin/python" - "$version" >/dev/null 2>&1 <<'PYTHON'
import sys, carbontracker.parser, carbontracker.report, reportlab
from importlib.metadata import version
sys.exit(version("carbontracker") != sys.argv[1])
PYTHON
}

absent() {
    rm -rf "$venv" # an incomplete venv must not be used
    echo "tests: no Carbontracker $version: $1"
    exit 0 # the system has no package of it, so the tests that need it are skipped with a message
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
