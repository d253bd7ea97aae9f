#!/usr/bin/env bash
# Builds the test programs and runs them side by side. A failure stops no other test. The summary names each failed test
# and the command that repeats it.
#
#   tests/run.sh fast           no network, no root, no installed tools, no C library
#   tests/run.sh all            everything, with make clippy and make msrv
#   tests/run.sh PROGRAM...     a folder of tests/, or unit (src), unit-cli (cli/src), readme, clippy, msrv
#
# Variables: ONLY     runs only the tests with this text in their name, and shows all output
#            THREADS  tests at a time in one program
set -uo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cores=$(nproc)
# Property tests try this many cases each. tests/fuzz and simulated worlds try more.
export PROPTEST_CASES=${PROPTEST_CASES:-64}
# What 'carbontracker run' keeps by default. A developer's own runs are no history for a test.
export XDG_STATE_HOME=$target/state
# A developer's own configuration file has no effect on a test.
export XDG_CONFIG_HOME=$target/config
export CARGO=${CARGO:-cargo} ONLY=${ONLY:-} THREADS=${THREADS:-$((cores * 2))} LOGS=$target/test-logs

# Programs run side by side, one for each processor and one more, in this order. Many of them wait most of their time.
# Those after `alone` need the installed tree, which is built meanwhile. `applications` runs by itself: an application
# waits for its last files for a second at most, which a busy machine may need for other work.
export fast="virtual_time unit house live fuzz gpu concurrency library unit-cli"
# `make` runs these, which have no executable.
export checks="clippy msrv"
rest="$checks alone bindings cli jobs packaging readme applications"

# What a program runs: the name of its executable, and arguments that choose its tests.
executable_of() { case $1 in readme) echo library ;; *) echo "$1" ;; esac; }
choice_of() {
    case $1 in
    # These two compile C programs against the C library.
    library) echo --skip compiles_and_runs ;;
    readme) echo compiles_and_runs ;;
    esac
}

# Builds test programs. Prints a line for each: name, executable, and folder to run it in, with tabs between.
build() {
    "$CARGO" test --locked --no-run --message-format=json-render-diagnostics "$@" | sed -nE '
        /"profile":\{[^}]*"test":true/!d
        s/.*"manifest_path":"([^"]*)\/Cargo.toml".*"kind":\["([a-z]*)"\].*"name":"([^"]*)","src_path".*"executable":"([^"]*)".*/\2 \3\t\4\t\1/
        s/^lib carbontracker\t/unit\t/
        s/^bin carbontracker\t/unit-cli\t/
        s/^test //
        p'
}

# Builds the executables of these programs and lists them in the file $LOGS/built.
build_all() { # PROGRAM...
    local program parts=()
    for program; do
        case $program in
        unit) parts+=(--lib) ;;
        unit-cli) parts+=(--bins) ;;
        concurrency) ;;
        *) [[ " $checks " == *" $program "* ]] || parts+=(--test "$(executable_of "$program")") ;;
        esac
    done
    : >"$LOGS/built"
    # All packages are named, so that each choice of programs shares one build of their crates.
    [[ ${#parts[@]} -eq 0 ]] || build -p carbontracker -p carbontracker-cli -p carbontracker-fuzz -p carbontracker-simulation \
        "${parts[@]}" >>"$LOGS/built" || return
    # Its library compiles files of the core, whose unit tests need the real std.
    [[ " $* " != *" concurrency "* ]] || build -p carbontracker-concurrency --test concurrency >>"$LOGS/built"
}

# Runs a program and prints its result in one line: name, time, time of processors, what libtest prints.
run_one() { # PROGRAM
    local name=$1 folder executable log=$LOGS/$1.log began status result how=(--test-threads="$THREADS")
    if [[ " $checks " == *" $name "* ]]; then
        executable=make folder=$PWD how=(--no-print-directory "$name")
    else
        IFS=$'\t' read -r _ executable folder < <(grep -m 1 "^$(executable_of "$name")"$'\t' "$LOGS/built")
    fi
    [[ " $fast $checks alone " == *" $name "* ]] || until [[ -e $LOGS/installed ]]; do sleep 0.2; done
    began=$SECONDS
    cd "$folder" || return
    set -o pipefail # of the shell that xargs started
    # shellcheck disable=SC2046 # the words of a choice
    if [[ -n $ONLY ]]; then
        "$executable" --nocapture "$ONLY" </dev/null 2>&1 | tee "$log"
    else
        TIMEFORMAT='%0U+%0S'
        { time timeout --foreground --kill-after=10 1800 "$executable" "${how[@]}" $(choice_of "$name") \
            </dev/null >"$log" 2>&1; } 2>"$LOGS/$name.time"
    fi
    status=$?
    echo $status >"$LOGS/$name.status"
    [[ -z $ONLY ]] || return 0
    result=$(sed -n 's/^test result: //p' "$log" | tail -n 1)
    [[ $status -ne 0 ]] || result=${result:-ok.}
    [[ $status -ne 124 ]] || result="FAILED. It was ended after 1800 s."
    printf '%-12s %4d s, of processors %4d s  %s\n' "$name" $((SECONDS - began)) $(($(tail -n 1 "$LOGS/$name.time"))) \
        "${result:-FAILED. It ended with status $status.}"
}
export -f executable_of choice_of run_one

# Runs programs side by side, and `applications` after them.
run_all() { # PROGRAM...
    printf '%s\n' "$@" | grep -v '^applications$' | xargs -r -n 1 -P $((cores + 1)) bash -c 'run_one "$1"' run_one
    [[ " $* " != *" applications "* ]] || (run_one applications)
}

# Builds all that `make` builds, installs it once for all programs, and moves the tree. The links of the C library and of
# the command keep both processors busy for two minutes.
install_tree() {
    local stage=$target/test-prefix
    rm -rf "$stage"
    make --no-print-directory all && make --no-print-directory -s install PREFIX=/usr LIBDIR=lib DESTDIR="$stage" &&
        mv "$stage/usr" "$stage/moved"
}

# The tests that a program lists as failed at its end.
failed_tests() { # PROGRAM
    awk '/^failures:$/ { names = "" }
        /^    [a-z][A-Za-z0-9_:]*$/ { names = names $1 "\n" }
        /^test result: FAILED/ { printf "%s", names }' "$LOGS/$1.log"
}

# Prints the output of failed tests, what was skipped, and the commands that repeat the failed tests.
summary() { # PROGRAM...
    local program name failed=() logs=()
    for program; do
        logs+=("$LOGS/$program.log")
        [[ $(cat "$LOGS/$program.status" 2>/dev/null) == 0 ]] || failed+=("$program")
    done
    [[ -n $ONLY ]] || for program in "${failed[@]}"; do
        printf '\n---- %s: %s\n' "$program" "$LOGS/$program.log"
        if grep -qs '^failures:$' "$LOGS/$program.log"; then
            sed -n '/^failures:$/,$p' "$LOGS/$program.log"
        else
            tail -n 40 "$LOGS/$program.log" # it crashed or was ended
        fi
    done
    if grep -qs '^.*skipped: ' "${logs[@]}"; then
        printf '\nskipped, with the number of tests:\n'
        grep -ohs 'skipped: .*' "${logs[@]}" | sort | uniq -c | sed 's/skipped: //'
    fi
    [[ ${#failed[@]} -gt 0 ]] || return 0
    printf '\nfailed, with the command that repeats it:\n'
    for program in "${failed[@]}"; do
        mapfile -t names < <(failed_tests "$program")
        [[ ${#names[@]} -gt 0 ]] || echo "  make test-$program"
        for name in "${names[@]}"; do echo "  make test-$program ONLY=$name"; done
    done
    return 1
}

case ${1:-} in
fast) chosen=$fast ;;
all) chosen="$fast $rest" ;;
*) chosen=$* ;;
esac
for program in ${chosen:-none}; do
    [[ " $fast $rest " != *" $program "* ]] || continue
    echo "tests: no program has the name $program; nothing was run; choose from: fast all $fast $rest" >&2
    exit 2
done
mkdir -p "$LOGS"
for program in $chosen; do rm -f "$LOGS/$program".{log,status,time}; done
began=$SECONDS
# The tree is built beside the test programs, because the longest of them wait for it.
if [[ " $chosen " =~ \ (bindings|jobs|cli|applications|packaging|readme)\  ]]; then
    rm -f "$LOGS/installed"
    { install_tree >"$LOGS/make.log" 2>&1 || cat "$LOGS/make.log"; touch "$LOGS/installed"; } &
    export CT_LIBDIR=$target/release CT_PREFIX=$target/test-prefix/moved
    trap 'kill $(jobs -p) 2>/dev/null' INT TERM EXIT
fi
# shellcheck disable=SC2086 # lists of names
build_all $chosen || { echo "tests: the build failed, so no test was run" >&2; exit 1; }
echo "tests: built in $((SECONDS - began)) s"
run_all $chosen
summary $chosen || exit 1
echo "tests: all passed after $((SECONDS - began)) s"
