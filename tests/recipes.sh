#!/usr/bin/env bash
# Builds and installs the archive of `make dist` by the recipes of packaging/ with the tools of their communities, and runs
# a program against each installed tree: EasyBuild with Lmod, conda by rattler-build. Then fpm builds the Fortran package
# and makes what it would publish, without sending it. `make dist-check` calls it.
#
#   tests/recipes.sh dist/carbontracker-*-x86_64-linux.tar.gz
#
# pip fetches the tools into target/recipes.
set -euo pipefail
cd "$(dirname "$0")/.."
archive=$(realpath "${1:?the archive is missing}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools=$target/recipes
versions="easybuild-framework==5.4.1 easybuild-easyblocks==5.4.1 py-rattler-build==0.73.0 fpm==0.12.0"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

absent() { # TEST REASON
    echo "skipped: $1: $2"
    [[ ${CI:-} != true ]] || exit 1
}

# Builds tests/packaging/use.c against a tree that was installed there, by its pkg-config file, and runs it.
use() { # PREFIX
    PKG_CONFIG_PATH=$1/lib/pkgconfig
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046 # words
    cc tests/packaging/use.c $(pkg-config --cflags --libs carbontracker) -o "$work/use"
    [[ $(LD_LIBRARY_PATH=$1/lib "$work/use") == "$version 100.0 W" ]]
    CARBONTRACKER_SIM_CPU=x:100 "$1/bin/carbontracker" run -- sleep 0.5 2>&1 | grep energy
}

easybuild() {
    local lmod=/usr/share/lmod/lmod/libexec/lmod root=()
    [[ -x $lmod ]] || { absent "EasyBuild" "install lmod" && return; }
    [[ $EUID -ne 0 ]] || root=(--allow-use-as-root-and-accept-consequences)
    export LMOD_CMD=$lmod EASYBUILD_PREFIX=$work/easybuild
    PATH=$tools/bin:$PATH eb "${root[@]}" --modules-tool=Lmod --sourcepath="$(dirname "$archive")" \
        "packaging/easybuild/carbontracker-$version.eb" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2 && return 1; }
    use "$work/easybuild/software/carbontracker/$version"
    # The module that EasyBuild has written.
    bash -euc 'eval "$("$1" bash --ignore_cache use "$2")"; eval "$("$1" bash load carbontracker)"
        [[ $(command -v carbontracker) == "$3"/* ]] && carbontracker --version' \
        bash $lmod "$work/easybuild/modules/all" "$work/easybuild/software"
    echo "EasyBuild: built and installed"
}

conda() {
    # rattler-build runs the recipe's tests on the package in a new environment.
    ARCHIVE=$archive "$tools/bin/python" -W ignore -c 'import sys; from rattler_build import cli_api
cli_api.build_recipes(["packaging/conda/recipe.yaml"], output_dir=sys.argv[1], test="native", channel=[])' "$work/conda" \
        >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2 && return 1; }
    local package
    package=$(echo "$work"/conda/linux-64/carbontracker-"$version"-*.conda)
    command -v zstd >/dev/null || { absent "files of the conda package" "install zstd" && return; }
    mkdir "$work/env"
    python3 -m zipfile -e "$package" "$work/unpacked"
    tar --zstd -xf "$work"/unpacked/pkg-*.tar.zst -C "$work/env"
    use "$work/env"
    echo "conda: built, tested and unpacked"
}

fortran() {
    command -v gfortran >/dev/null || { absent "fpm" "install gfortran" && return; }
    local tree=$work/tree package=$work/package manifest fpm=$tools/bin/fpm
    mkdir "$tree"
    tar xzf "$archive" --strip-components=1 -C "$tree"
    cp -r "$tree/share/fpm/carbontracker" "$package"
    export LIBRARY_PATH=$tree/lib
    manifest=$package/fpm.toml
    git -C "$package" init -q
    git -C "$package" add .
    git -C "$package" -c user.name=test -c user.email=test@localhost commit -qm package
    # fpm's registry reads the model, and `fpm publish` of 0.12 adds it only if it is there.
    (cd "$package" && "$fpm" build --dump fpm_model.json && "$fpm" publish --dry-run --token none) >"$work/log" 2>&1 &&
        grep -q 'Dry run successful' "$work/log" || { tail -n 40 "$work/log" >&2 && return 1; }
    # The check of names is at work: a module of another name is refused.
    sed -i 's/^module-naming = .*/module-naming = "another"/' "$manifest"
    ! (cd "$package" && "$fpm" build) >"$work/log" 2>&1
    grep -i 'naming\|module name' "$work/log" | head -n 1
    echo "fpm: built, and ready to publish"
}

command -v python3 >/dev/null || { absent "recipes" "install python3" && exit 0; }
if [[ $(cat "$tools/complete" 2>/dev/null) != "$versions" ]]; then
    rm -rf "$tools"
    # shellcheck disable=SC2086 # a list
    python3 -m venv "$tools" && "$tools/bin/pip" --quiet --disable-pip-version-check install $versions ||
        { absent "recipes" "pip could not fetch $versions" && exit 0; }
    echo "$versions" >"$tools/complete"
fi
easybuild
conda
fortran
