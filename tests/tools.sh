#!/usr/bin/env bash
# Ensures that the tools of the tests are installed. On Debian, as root, it installs them after it has asked. Elsewhere it
# prints which tests will be skipped, and the command that installs their tools.
set -euo pipefail
cd "$(dirname "$0")"

# Each line has a file or command that shows that a package is installed, the package, and the tests that call it.
needed() {
    cat <<'LIST'
cc gcc all of C
c++ g++ all of C++
make make installation
valgrind valgrind memory of the C programs
pkg-config pkg-config builds against the installed library
nm binutils symbols of the library
gfortran gfortran Fortran
cmake cmake builds by CMake
chromium chromium HTML reports in a browser
pdftotext poppler-utils HTML reports on paper
ninja ninja-build builds by CMake
mpirun.openmpi openmpi-bin Open MPI
mpicc.openmpi libopenmpi-dev Open MPI
mpirun.mpich mpich MPICH
mpicc.mpich libmpich-dev MPICH
slurmctld slurmctld jobs of Slurm
slurmd slurmd jobs of Slurm
srun slurm-client jobs of Slurm
munged munge jobs of Slurm
strace strace system calls
zsh zsh completion in shells
fish fish completion in shells
groff groff-base man pages
promtool prometheus metrics of Prometheus
prometheus-node-exporter prometheus-node-exporter metrics of Prometheus
setpriv util-linux other users and processors
taskset util-linux other users and processors
unshare util-linux other users and processors
script bsdutils the command on a terminal
luajit luajit Lua
lua5.1 lua5.1 Lua
lua5.2 lua5.2 Lua
lua5.3 lua5.3 Lua
lua5.4 lua5.4 Lua
luarocks luarocks Lua's package
/usr/include/lua5.1/lua.h liblua5.1-0-dev Lua's C module
/usr/include/lua5.2/lua.h liblua5.2-dev Lua's C module
/usr/include/lua5.3/lua.h liblua5.3-dev Lua's C module
/usr/include/lua5.4/lua.h liblua5.4-dev Lua's C module
lintian lintian Debian packages
/usr/share/lmod lmod modules of Lmod, EasyBuild
zstd zstd conda's package
python3 python3 Carbontracker's logs, Spack's recipe
/usr/share/doc/python3-venv python3-venv Carbontracker's logs
/usr/share/i18n/locales/de_DE locales numbers in other languages
/usr/include/torch/script.h libtorch-dev a training with libtorch
/usr/include/dlib/dnn.h libdlib-dev a training with dlib
/usr/include/lammps/library.h liblammps-dev a time loop of LAMMPS
/usr/include/trilinos/Kokkos_Core.hpp libtrilinos-kokkos-dev the Kokkos connector
LIST
}

# Prints the packages that are missing, a line each: the package, a tab, the tests that call it.
absent() {
    local sign package tests
    while read -r sign package tests; do
        case $sign in
        /*) [[ -e $sign ]] ;;
        *) command -v "$sign" >/dev/null ;;
        esac || printf '%s\t%s\n' "$package" "$tests"
    done < <(needed)
}

# Whether the packages may be installed now. A terminal is asked; elsewhere, root agrees by running this.
may_install() {
    local answer
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null || return
    if [[ ${CI:-} != true && -t 0 && -t 1 ]]; then
        read -r -p "tests: install these packages by apt-get now? Without them their tests are skipped. [y/N] " answer
        [[ $answer == [yY]* ]]
    fi
}

# Another apt may be at work, on a new machine for minutes.
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" >&2
}

mapfile -t lines < <(absent)
if [[ ${#lines[@]} -gt 0 ]]; then
    mapfile -t packages < <(printf '%s\n' "${lines[@]%%$'\t'*}" | sort -u)
    echo "tests: packages are missing: ${packages[*]}"
    if may_install; then
        echo "tests: installing them by apt-get, which changes this system and takes some minutes"
        apt update || echo "tests: apt-get could not renew its lists; it installs what the old lists have"
        # If this release lacks some, the packages are installed one by one, because apt installs all of a list or none.
        apt install --no-install-recommends "${packages[@]}" || for package in "${packages[@]}"; do
            apt install --no-install-recommends "$package" || true
        done
    fi
    mapfile -t lines < <(absent)
fi
if [[ ${#lines[@]} -gt 0 ]]; then
    echo "tests: these tests will be skipped, because their package is missing:"
    printf '%s\n' "${lines[@]}" | sort -u | while IFS=$'\t' read -r package tests; do
        printf '  %-28s %s\n' "$package" "$tests"
    done
    mapfile -t packages < <(printf '%s\n' "${lines[@]%%$'\t'*}" | sort -u)
    echo "to run them, on Debian or Ubuntu: sudo apt-get install ${packages[*]}"
    [[ ${CI:-} != true ]] || { echo "tests: with CI=true nothing may be skipped" >&2; exit 1; }
fi
./julia.sh &
julia=$!
./carbontracker.sh
wait $julia
