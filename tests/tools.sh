#!/usr/bin/env bash
# Ensures that the tools of the tests are installed: installs them (Debian, as root) or prints the command for that.
set -euo pipefail
cd "$(dirname "$0")"

# Each line has a file or command that shows that a package is installed, and the package.
needed() {
    cat <<'LIST'
cc gcc
c++ g++
make make
valgrind valgrind
pkg-config pkg-config
nm binutils
gfortran gfortran
cmake cmake
chromium chromium
pdftotext poppler-utils
ninja ninja-build
mpirun.openmpi openmpi-bin
mpicc.openmpi libopenmpi-dev
mpirun.mpich mpich
mpicc.mpich libmpich-dev
slurmctld slurmctld
slurmd slurmd
srun slurm-client
munged munge
strace strace
zsh zsh
fish fish
groff groff-base
setpriv util-linux
taskset util-linux
unshare util-linux
script bsdutils
luajit luajit
lua5.1 lua5.1
lua5.2 lua5.2
lua5.3 lua5.3
lua5.4 lua5.4
luarocks luarocks
/usr/include/lua5.1/lua.h liblua5.1-0-dev
/usr/include/lua5.2/lua.h liblua5.2-dev
/usr/include/lua5.3/lua.h liblua5.3-dev
/usr/include/lua5.4/lua.h liblua5.4-dev
python3 python3
/usr/share/doc/python3-venv python3-venv
/usr/share/i18n/locales/de_DE locales
/usr/include/torch/script.h libtorch-dev
/usr/include/dlib/dnn.h libdlib-dev
/usr/include/lammps/library.h liblammps-dev
/usr/include/trilinos/Kokkos_Core.hpp libtrilinos-kokkos-dev
LIST
}

absent() {
    local sign package
    while read -r sign package; do
        case $sign in
            /*) [[ -e $sign ]] || echo "$package" ;;
            *) command -v "$sign" >/dev/null || echo "$package" ;;
        esac
    done < <(needed)
}

mapfile -t packages < <(absent)
if [[ ${#packages[@]} -gt 0 && $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "tests: installing missing packages: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2 || true
    # If this release lacks some, the packages are installed one by one, because apt installs all of a list or none.
    apt-get install -q -y --no-install-recommends "${packages[@]}" >&2 || for package in "${packages[@]}"; do
        apt-get install -q -y --no-install-recommends "$package" >&2 || true
    done
    mapfile -t packages < <(absent)
fi
if [[ ${#packages[@]} -gt 0 ]]; then
    echo "tests: missing packages: ${packages[*]}"
    echo "on Debian or Ubuntu: sudo apt-get install ${packages[*]}"
    [[ ${CI:-} != true ]] || exit 1
fi
./julia.sh
./carbontracker.sh
