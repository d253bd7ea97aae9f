#!/bin/sh
# Makes the source rock of bindings/lua, FOLDER/carbontracker-VERSION-1.src.rock, and the rockspec that is in it.
# `luarocks install` builds its C module against the installed library, without network.
#
#   packaging/rock.sh FOLDER
#
# It needs python3. `luarocks pack` would write the path of this folder into the rock.
set -eu
mkdir -p "$1"
to=$(realpath "$1")
cd "$(dirname "$0")/.."
rockspec=$(basename bindings/lua/*.rockspec)
name=${rockspec%-*.rockspec}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
# The same files give the same rock.
time=$(git log -1 --format=%ct 2>/dev/null || echo 315532800)
mkdir -p "$work/$name/carbontracker"
cp bindings/lua/*.lua bindings/lua/README.md bindings/lua/LICENSE "$work/$name"
cp bindings/lua/carbontracker/*.lua bindings/lua/carbontracker/core.c "$work/$name/carbontracker"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" -C "$work" -cf - "$name" | gzip -9n >"$work/$name.tar.gz"
sed "s|^  url = \".\",.*|  url = \"file://$name.tar.gz\", -- in this rock|" "bindings/lua/$rockspec" >"$to/$rockspec"
cp "$to/$rockspec" "$work"
touch -d "@$time" "$work/$rockspec" "$work/$name.tar.gz"
rock=$to/${rockspec%.rockspec}.src.rock
rm -f "$rock"
(cd "$work" && TZ=UTC python3 -m zipfile -c "$rock" "$rockspec" "$name.tar.gz")
ls -l "$rock"
