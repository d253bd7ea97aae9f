#!/usr/bin/env bash
# Prints the newest glibc whose symbols each program or shared library needs. Fails if that is newer than GLIBC.
#
#   packaging/archive/newest_glibc.sh GLIBC FILE|FOLDER...
set -euo pipefail
glibc=$1
shift
too_new=
while read -r file; do
    [[ $(head -c 4 "$file" | tr -d '\0') == $'\x7fELF' && $file != *.o ]] || continue
    # readelf also knows the files of other machines.
    needs=$(readelf --wide --version-info "$file" | sed -n 's/.* Name: GLIBC_\([0-9.]*\) .*/\1/p' | sort -uV | tail -n 1)
    printf '%-6s %s\n' "${needs:-any}" "$file"
    [[ $(printf '%s\n' "${needs:-0}" "$glibc" | sort -V | tail -n 1) == "$glibc" ]] || too_new=yes
done < <(find "$@" -type f | LC_ALL=C sort)
[[ -z $too_new ]] || {
    echo "a file of this list needs a newer glibc than $glibc; it would not run on old systems; build it with packaging/dist.sh" >&2
    exit 1
}
