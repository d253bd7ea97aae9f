#!/bin/sh
# Installs or removes the library, the command and all bindings. `make install`, `make uninstall` and CMake's install
# call it.
#
#   packaging/install.sh install|uninstall [PART...]      prints where things are; with V=1 each file instead
#
# The environment sets PREFIX; LIBDIR, absolute or below PREFIX; DESTDIR, which is put before both; OUT, the folder of
# cargo's files; BUILD, the folder of the compiler's files; and CT_COMMAND, the command that prints the man pages, by
# default that in OUT. The functions below list all files by part. A folder `lib` means LIBDIR, all others are below
# PREFIX. No installed file contains its own path.
set -eu
verb=$1
shift
: "${DESTDIR:=}" "${LIBDIR:=lib}"
case $PREFIX in /*) ;; *) echo "PREFIX must be an absolute path; use DESTDIR= to stage the files" >&2 && exit 2 ;; esac
case $LIBDIR in /*) ;; *) LIBDIR=$PREFIX/$LIBDIR ;; esac
case $DESTDIR in '' | /*) ;; *) DESTDIR=$PWD/$DESTDIR ;; esac
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
doc=share/doc/carbontracker
parts="core $([ ! -d bindings ] || ls bindings)"

core() {
    put bin "$OUT/carbontracker"
    link bin ctrack carbontracker # where another program has the longer name
    show share/man/man1 carbontracker.1 man
    link share/man/man1 ctrack.1 carbontracker.1
    for page in run doctor estimate when last watch report compare aggregate totals import export replay score options \
        zones version completion man; do
        show share/man/man1 "carbontracker-$page.1" man $page
    done
    show share/bash-completion/completions carbontracker completion bash
    link share/bash-completion/completions ctrack carbontracker
    show share/zsh/site-functions _carbontracker completion zsh
    show share/fish/vendor_completions.d carbontracker.fish completion fish
    link share/fish/vendor_completions.d ctrack.fish carbontracker.fish
    put include include/carbontracker.h
    put include include/carbontracker_dl.h
    put lib "$OUT/libcarbontracker.a"
    put lib "$OUT/libcarbontracker.so" "libcarbontracker.so.$version"
    link lib libcarbontracker.so.0 "libcarbontracker.so.$version"
    link lib libcarbontracker.so libcarbontracker.so.0
    fill lib/pkgconfig packaging/carbontracker.pc.in
    put lib/cmake/CarbonTracker packaging/cmake/CarbonTrackerTargets.cmake
    fill lib/cmake/CarbonTracker packaging/cmake/CarbonTrackerConfig.cmake.in
    fill lib/cmake/CarbonTracker packaging/cmake/CarbonTrackerConfigVersion.cmake.in
    fill share/modulefiles/carbontracker packaging/modulefile.in "$version"
    each "$doc" README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md CITATION.cff LICENSE NOTICE
    tree "$doc/docs" docs
    each "$doc/packaging" packaging/README.md
    each "$doc/packaging/grafana" packaging/grafana/*.json
    each "$doc/examples" examples/*
}

cpp() {
    each include bindings/cpp/*.hpp
    page cpp
}

fortran() {
    each include bindings/fortran/src/*.f90
    each share/fpm/carbontracker bindings/fortran/fpm.toml bindings/fortran/README.md LICENSE
    each share/fpm/carbontracker/src bindings/fortran/src/*.f90
    page fortran
}

mpi() {
    each include bindings/mpi/*.h bindings/mpi/*.c bindings/mpi/*.f90
    page mpi
}

julia() {
    tree share/julia/dev/CarbonTracker bindings/julia
    page julia
}

lua() {
    for lua in 5.1 5.2 5.3 5.4; do
        put share/lua/$lua bindings/lua/carbontracker.lua
        each share/lua/$lua/carbontracker bindings/lua/carbontracker/*.lua
        each lib/lua/$lua/carbontracker "$BUILD/lua/$lua/core.so" # built if that Lua's headers are installed
    done
    tree share/carbontracker/lua bindings/lua # for luarocks
    page lua
}

python() {
    tree share/carbontracker/python/libcarbontracker bindings/python/libcarbontracker
    page python
}

kokkos() {
    each lib "$BUILD/libkp_carbontracker.so"
    page kokkos
}

relink() {
    each lib "$BUILD/carbontracker_auto.o"
    page relink
}

# The functions below install a file or remove it.

put() { # FOLDER FILE [NAME]
    if installing "$1" "${3:-${2##*/}}"; then
        mode=644
        [ ! -x "$2" ] || mode=755
        install -D -m $mode "$2" "$at"
    fi
}

each() { # FOLDER FILE...; missing files are skipped
    folder=$1
    shift
    for file; do
        absent "$file" || put "$folder" "$file"
    done
}

page() { # LANGUAGE; installed in the same relative place, so that links between pages stay valid
    each "$doc/bindings/$1" "bindings/$1/README.md"
}

absent() { # FILE; never true for uninstall, because an earlier install may have had the file
    [ "$verb" = install ] && [ ! -f "$1" ]
}

tree() { # FOLDER SOURCE
    find "$2" -type f ! -name 'Manifest*.toml' ! -name '*.pyc' | sort | while read -r file; do
        within=${file#"$2"}
        put "$1${within%/*}" "$file"
    done
}

show() { # FOLDER NAME ARGUMENT...: the output of the command
    folder=$1
    name=$2
    shift 2
    if installing "$folder" "$name"; then
        text=$("${CT_COMMAND:-$OUT/carbontracker}" "$@")
        printf '%s\n' "$text" | install -D -m 644 /dev/stdin "$at"
    fi
}

link() { # FOLDER NAME TARGET
    if installing "$1" "$2"; then
        ln -sf "$3" "$at"
    fi
}

fill() { # FOLDER TEMPLATE [NAME]: filled with the version, the path from FOLDER up to PREFIX, and from PREFIX to LIBDIR
    template=${2##*/}
    if installing "$1" "${3:-${template%.in}}"; then
        up=$(realpath -m --relative-to="$(place "$1")" "$PREFIX")
        lib=$(realpath -m --relative-to="$PREFIX" "$LIBDIR")
        sed -e "s|@VERSION@|$version|" -e "s|@UP@|$up|" -e "s|@LIB@|$lib|" "$2" | install -D -m 644 /dev/stdin "$at"
    fi
}

# FOLDER NAME: sets $at, the path. True for install; else removes the file and the folders that become empty.
installing() {
    at=$DESTDIR$(place "$1")/$2
    [ -z "${V:-}" ] || echo "${at#"$DESTDIR"}"
    [ "$verb" != install ] || return 0
    rm -f "$at"
    below=$1
    while [ "$below" != "${below%/*}" ]; do # bin, include, lib and share stay
        rmdir "$DESTDIR$(place "$below")" 2>/dev/null || break
        below=${below%/*}
    done
    return 1
}

place() { # FOLDER
    case $1 in
        lib | lib/*) echo "$LIBDIR${1#lib}" ;;
        *) echo "$PREFIX/$1" ;;
    esac
}

is_all=no
[ $# -gt 0 ] || is_all=yes
[ $is_all = no ] || set -- $parts
for part; do
    "$part"
done

if [ -n "${V:-}" ]; then
    exit 0
elif [ "$verb" = install ] && [ $is_all = yes ]; then
    cat <<END
carbontracker $version is installed below $PREFIX${DESTDIR:+, staged in $DESTDIR}
  command    bin/carbontracker, also as ctrack; 'man carbontracker'; first: carbontracker doctor
  library    ${LIBDIR#"$PREFIX/"}/libcarbontracker.so and .a, include/carbontracker.h; pkg-config, CMake
  bindings   $doc/bindings, with a README for each language
  documents  $doc; 'make install V=1' lists all files
END
else
    echo "carbontracker $version: ${verb}ed below $PREFIX: $*"
fi
