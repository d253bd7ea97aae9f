#!/usr/bin/env bash
# Makes Debian packages of what is built, in FOLDER: libcarbontracker0_*.deb has the library, libcarbontracker-dev_*.deb
# what programs are built with, carbontracker_*.deb the command and the documents. They run where the files run: Depends
# has the glibc whose symbols they need.
#
#   OUT=FOLDER BUILD=FOLDER packaging/deb.sh MACHINE FOLDER      OUT, BUILD and CT_COMMAND as for packaging/install.sh
#
# DEBFULLNAME and DEBEMAIL name the maintainer, as for Debian's own tools. It needs dpkg-deb, readelf, strip and Python.
set -euo pipefail
machine=$1
to=$(realpath -m "$2")
cd "$(dirname "$0")/.."
: "${DEBFULLNAME:=The carbontracker authors}" "${DEBEMAIL:=root@localhost}"
upstream=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
version=$upstream-1
multiarch=$machine-linux-gnu
case $machine in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) echo "deb: Debian's name of the architecture $machine is not known here; nothing was made; add it to packaging/deb.sh" >&2 && exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage/usr
lib=lib/$multiarch
# The same files give the same packages.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
umask 022

# Moves installed files to a package. Each file is in one package; a pattern without a file is an error.
move() { # PACKAGE PATH...
    local package=$1 path
    shift
    for path; do
        mkdir -p "$work/$package/usr/$(dirname "$path")"
        mv "$stage/$path" "$work/$package/usr/$path"
    done
}

split() {
    PREFIX=/usr LIBDIR=$lib DESTDIR=$work/stage packaging/install.sh install >/dev/null
    # Debian's zsh reads another folder. A module file is for a place that is not searched anyway.
    mkdir -p "$stage/share/zsh/vendor-completions"
    mv "$stage/share/zsh/site-functions/_carbontracker" "$stage/share/zsh/vendor-completions"
    rm -rf "$stage/share/modulefiles"
    strip --strip-debug "$stage/$lib/libcarbontracker.a" "$stage/$lib/carbontracker_auto.o"
    find "$stage/$lib" -type f -name '*.so*' -exec strip --strip-unneeded {} + -exec chmod 644 {} +
    find "$stage/share/man" -type f -exec gzip -9n {} +
    find "$stage/share/man" -type l | while read -r link; do
        ln -s "$(readlink "$link").gz" "$link.gz" && rm "$link"
    done
    # shellcheck disable=SC2046 # paths without spaces
    move libcarbontracker0 $(cd "$stage" && echo "$lib"/libcarbontracker.so.?*)
    move libcarbontracker-dev "$lib" include share/{carbontracker,fpm,julia,lua}
    move carbontracker bin share/{bash-completion,doc,fish,man,zsh}
    local left
    left=$(find "$stage" ! -type d)
    [[ -z $left ]] || { echo "deb: no package has these files; add them to packaging/deb.sh: $left" >&2 && return 1; }
}

# The packages with the libraries that a package's files need.
needs() { # PACKAGE
    local glibc
    glibc=$(packaging/archive/newest_glibc.sh 9.99 "$work/$1" | sed -n 's/^\([0-9.]*\) .*/\1/p' | sort -V | tail -n 1)
    find "$work/$1" -type f \( -perm -100 -o -name '*.so*' \) -exec readelf -d {} + 2>/dev/null |
        sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u | while read -r library; do
        case $library in
        libcarbontracker.so.0) echo "libcarbontracker0 (= $version)" ;;
        libgcc_s.so.1) echo "libgcc-s1 | libgcc1" ;;
        ld-linux* | lib[cm].so.6 | libpthread.so.0 | libdl.so.2 | librt.so.1 | libutil.so.1) echo "libc6 (>= $glibc)" ;;
        *) echo "deb: the package of $library is not known here; add it to packaging/deb.sh" >&2 && return 1 ;;
        esac
    done | sort -u | sed ':all; N; $!b all; s/\n/, /g'
}

describe() { # PACKAGE
    case $1 in
    libcarbontracker0)
        cat <<'TEXT'
Section: libs
Multi-Arch: same
Recommends: ca-certificates
Description: energy and CO2e of training and time loops (library)
TEXT
        ;;
    libcarbontracker-dev)
        cat <<'TEXT'
Section: libdevel
Multi-Arch: same
Suggests: carbontracker
Description: energy and CO2e of training and time loops (development files)
TEXT
        ;;
    carbontracker)
        cat <<'TEXT'
Section: science
Multi-Arch: foreign
Recommends: ca-certificates
Suggests: libcarbontracker-dev
Description: energy and CO2e of programs (command)
TEXT
        ;;
    esac
    cat <<'TEXT'
 carbontracker measures the energy of a training loop or HPC time loop inside
 the program, and forecasts energy, time and CO2e of the whole run. It reads
 the energy counters of processors, memory, GPUs and nodes.
 .
TEXT
    case $1 in
    libcarbontracker0) echo " This package has the shared library, which programs in all languages load." ;;
    libcarbontracker-dev) cat <<'TEXT' ;;
 This package has the headers of C and C++, the static library, the files for
 pkg-config and CMake, and the bindings of Fortran, MPI, Lua, Julia, Python and
 Kokkos.
TEXT
    carbontracker) cat <<'TEXT' ;;
 This package has the command. It measures any program, reports and compares
 runs, and shows what can be measured here.
TEXT
    esac
}

# The documents that Debian asks for, in the package's folder.
documents() { # PACKAGE
    local doc=$work/$1/usr/share/doc/$1
    mkdir -p "$doc"
    {
        cat LICENSE
        printf '\n'
        cat NOTICE
        printf '\n%s\n' "The licences of the crates that it is made of are in LICENCES.gz in this folder. Debian has the text of the
Apache License 2.0 in /usr/share/common-licenses/Apache-2.0."
    } >"$doc/copyright"
    gzip -9nc "$work/LICENCES" >"$doc/LICENCES.gz"
    gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
    gzip -9n >"$doc/changelog.Debian.gz" <<TEXT
carbontracker ($version) unstable; urgency=medium

  * Release $upstream. Its changes are in changelog.gz.

 -- $DEBFULLNAME <$DEBEMAIL>  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
TEXT
}

pack() { # PACKAGE
    local tree=$work/$1 control=$work/$1/DEBIAN depends
    mkdir "$control"
    depends=$(needs "$1")
    [[ $1 != *-dev || $depends == *libcarbontracker0* ]] || depends="libcarbontracker0 (= $version)${depends:+, $depends}"
    cat >"$control/control" <<TEXT
Package: $1
Source: carbontracker
Version: $version
Architecture: $architecture
Maintainer: $DEBFULLNAME <$DEBEMAIL>
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f 1)
Depends: $depends
Priority: optional
$(describe "$1")
TEXT
    (cd "$tree" && find usr -type f | LC_ALL=C sort | xargs -d '\n' md5sum >DEBIAN/md5sums)
    if [[ $1 == libcarbontracker0 ]]; then
        echo "activate-noawait ldconfig" >"$control/triggers"
        echo "libcarbontracker 0 libcarbontracker0 (>= $upstream)" >"$control/shlibs"
    fi
    dpkg-deb --root-owner-group --build "$tree" "$to/$1_${version}_$architecture.deb" >/dev/null
    ls -l "$to/$1_${version}_$architecture.deb"
}

split
mkdir -p "$work/carbontracker/usr/share/doc/carbontracker" "$to"
packaging/archive/sbom.py "$machine-unknown-linux-gnu" "$work/carbontracker/usr/share/doc/carbontracker"
mv "$work/carbontracker/usr/share/doc/carbontracker/LICENCES" "$work/LICENCES"
for document in LICENSE CHANGELOG.md; do # they are in copyright and changelog.gz
    rm "$work/carbontracker/usr/share/doc/carbontracker/$document"
done
for package in libcarbontracker0 carbontracker; do documents $package; done
mkdir -p "$work/libcarbontracker-dev/usr/share/doc"
ln -s libcarbontracker0 "$work/libcarbontracker-dev/usr/share/doc/libcarbontracker-dev"
# Lua and Kokkos load these by their path. They call no function of the C library themselves.
mkdir -p "$work/libcarbontracker-dev/usr/share/lintian/overrides"
cat >"$work/libcarbontracker-dev/usr/share/lintian/overrides/libcarbontracker-dev" <<'TEXT'
libcarbontracker-dev: library-not-linked-against-libc *core.so*
libcarbontracker-dev: sharedobject-in-library-directory-missing-soname *libkp_carbontracker.so*
TEXT
for package in libcarbontracker0 libcarbontracker-dev carbontracker; do pack $package; done
