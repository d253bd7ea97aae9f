#!/usr/bin/env bash
# Trains real programs and records what the library forecasts before and after each epoch: README.md explains it.
#   benches/live/run.sh [FOLDER]
# The environment may set:
#   PROGRAMS   those to run (xgboost lightgbm torch flux_like)
#   RUNS       runs with a budget of 1.5 times the pilot's use (3)
#   TIGHT      runs with a budget of 0.6 times the pilot's use (2)
#   EPOCHS     epochs of each run (each program has its own number)
#   CT_LIBDIR  folder of libcarbontracker.so (target/release, which `make lib` builds)
#   TORCH      folder of libtorch with include/ and lib/ (that of Debian's libtorch-dev)
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/live
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
build=$target/live
out=$(realpath -m "${1:-$build/$(date +%Y%m%d-%H%M%S)}")
rows=$out/rows.csv
[[ ! -e $rows ]] || { echo "live: $rows exists, so nothing runs; name another folder" >&2; exit 2; }
mkdir -p "$build" "$out"

# Releases of the wheels, so that a trial can be repeated.
xgboost_wheel=xgboost-cpu==3.2.0
lightgbm_wheel=lightgbm==4.7.0

declare -A epochs=([xgboost]=20 [lightgbm]=20 [torch]=15 [flux_like]=30)
programs=${PROGRAMS:-xgboost lightgbm torch flux_like}
if [[ -z ${CT_LIBDIR:-} ]]; then
    make --no-print-directory lib
    CT_LIBDIR=$target/release
fi
libraries=$(realpath "$CT_LIBDIR")
# The programs load the library by its SONAME.
mkdir -p "$build/lib"
ln -sf "$libraries/libcarbontracker.so" "$build/lib/libcarbontracker.so"
ln -sf libcarbontracker.so "$build/lib/libcarbontracker.so.0"

# One thread each, and none of the options that the caller's shell may have set for other runs.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 JULIA_NUM_THREADS=1
unset "${!CARBONTRACKER_@}"
export CARBONTRACKER_LIB=$build/lib/libcarbontracker.so.0 JULIA_LOAD_PATH=$PWD/bindings/julia/src:

skip() {
    echo "skipped: $1" >&2
    [[ ${CI:-} != true ]] || exit 1
}

# Unpacks a wheel of PyPI, and prints the folder.
wheel() {
    local folder=$build/wheels/$1
    if [[ ! -d $folder ]]; then
        rm -rf "$folder.part"
        python3 -m pip --quiet download --no-deps --only-binary :all: --dest "$folder.part" "$1" >&2 || return
        python3 -m zipfile -e "$folder.part"/*.whl "$folder.part" || return
        mv "$folder.part" "$folder"
    fi
    echo "$folder"
}

# Compiles a program: SOURCE, then flags of the compiler. $ct are the flags of every program.
ct=(-O2 -Wall -Wextra -Iinclude -L"$build/lib" -Wl,-rpath,"$build/lib")
compile() {
    local source=$here/$1 program=$build/${1%.*} compiler=(${CC:-cc} -std=c99 -D_DEFAULT_SOURCE)
    [[ $source != *.cpp ]] || compiler=(${CXX:-c++} -std=c++17)
    [[ $program -nt $source && $program -nt $here/trial.h ]] ||
        "${compiler[@]}" "${ct[@]}" "$source" -o "$program" "${@:2}" -lcarbontracker -lm || exit 1
}

ready_xgboost() {
    local folder
    folder=$(wheel $xgboost_wheel) || { skip "xgboost: pip cannot fetch $xgboost_wheel"; return 1; }
    local lib=$folder/xgboost/lib
    compile xgboost.c "$lib/libxgboost.so" -Wl,-rpath,"$lib" -Wl,-rpath-link,"$folder/xgboost_cpu.libs"
}

ready_lightgbm() {
    local folder
    folder=$(wheel $lightgbm_wheel) || { skip "lightgbm: pip cannot fetch $lightgbm_wheel"; return 1; }
    compile lightgbm.c "$folder/lightgbm/lib/lib_lightgbm.so" -Wl,-rpath,"$folder/lightgbm/lib"
}

ready_torch() {
    local include=/usr/include flags=()
    if [[ -n ${TORCH:-} ]]; then
        include=$TORCH/include
        flags=(-isystem "$include" -L"$TORCH/lib" -Wl,-rpath,"$TORCH/lib")
    fi
    [[ -f $include/torch/csrc/api/include/torch/torch.h ]] ||
        { skip "torch: $include has no libtorch; apt install libtorch-dev, or set TORCH"; return 1; }
    compile torch.cpp -isystem "$include/torch/csrc/api/include" ${flags[@]+"${flags[@]}"} \
        -ltorch -ltorch_cpu -lc10
}

ready_flux_like() {
    tests/julia.sh >&2
    [[ ! -x $target/julia/julia ]] || PATH=$target/julia:$PATH
    command -v julia >/dev/null || { skip "flux_like: no Julia"; return 1; }
    printf '#!/bin/sh\nexec julia --startup-file=no %s "$@"\n' "$PWD/$here/flux_like.jl" >"$build/flux_like"
    chmod +x "$build/flux_like"
}

# Runs a program once: PROGRAM, marks or plain, the label of the budget, the number of the run, then its options.
once() {
    local program=$1 marks=$2 label=$3,$4
    echo "$program, $marks, budget $3, run $4" >&2
    env TRIAL_CSV="$rows" TRIAL_LABEL="$label" CARBONTRACKER_EPOCHS="${EPOCHS:-${epochs[$program]}}" \
        CARBONTRACKER_NAME="$program" CARBONTRACKER_SIM_CPU=live:100 "${@:5}" \
        "$build/$program" "$marks" 2>>"$out/errors.txt" | sed "s/^/[$label] /" >>"$out/messages.txt"
}

# The pilot's use times a factor, as options. The pilot has no log, so it is no history. Fields 11 and 12 of a row are
# seconds and joules.
budget() {
    awk -F, -v factor="$2" -v program="$1" '$1 == program && $3 == "none" { s = $11; j = $12 }
        END { printf "CARBONTRACKER_BUDGET_H=%.9f CARBONTRACKER_BUDGET_KWH=%.12f", s * factor / 3600, j * factor / 3.6e6 }
    ' "$rows"
}

echo "program,marks,budget,run,epochs,after,over,messages,warnings,load,used_s,used_j,time_s,time_low_s,time_high_s,energy_j,\
energy_low_j,energy_high_j,budget_h,budget_kwh" >"$rows"
ready=()
for program in $programs; do
    if "ready_$program"; then
        ready+=("$program")
        once "$program" plain none 1
    fi
done

# Runs of one program are spread over the trial. A run has those before it of the same program, with the same marks and
# budget, as its history.
for run in $(seq $(( ${RUNS:-3} > ${TIGHT:-2} ? ${RUNS:-3} : ${TIGHT:-2} ))); do
    for kind in loose tight; do
        factor=1.5 last=${RUNS:-3}
        [[ $kind != tight ]] || factor=0.6 last=${TIGHT:-2}
        (( run <= last )) || continue
        for program in ${ready[@]+"${ready[@]}"}; do
            for marks in plain marks; do
                # shellcheck disable=SC2046 # two words: NAME=VALUE each
                once "$program" $marks $kind "$run" CARBONTRACKER_LOG_DIR="$out/logs/$program-$marks-$kind" \
                    $(budget "$program" $factor)
            done
        done
    done
done

{
    uname -srm
    grep -m 1 'model name' /proc/cpuinfo || true
    echo "processors: $(nproc --all)"
    sort -u "$out/errors.txt" | grep -E '^(XGBoost|libtorch|Julia) [0-9]' || true
    echo "wheels: $xgboost_wheel $lightgbm_wheel"
    echo "library: $libraries, tree: $(git describe --always --dirty 2>/dev/null || echo unknown)"
} >"$out/versions.txt"
python3 $here/table.py "$rows" | tee "$out/table.md"
echo "live: the table, the messages and the journals are in $out" >&2
