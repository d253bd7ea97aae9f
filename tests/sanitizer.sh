#!/usr/bin/env bash
# Runs unit tests and the program `library` under ThreadSanitizer, which finds data races. It needs a nightly compiler with
# the component rust-src. Reports are in the output; the first ends the script.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/sanitizer
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$target"

# ThreadSanitizer takes equal numbers of descriptors for one file, and a thread with a table of its own has no standard
# error. So all threads share one table here.
cat >"$target/one_table.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
int unshare(int flags) { (void)flags; errno = EPERM; return -1; }
long syscall(long n, long a, long b, long c, long d, long e, long f) {
    if (n == SYS_close_range && c == 2) { errno = EPERM; return -1; }
    return ((long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall"))(n, a, b, c, d, e, f);
}
C
"${CC:-cc}" -shared -fPIC -O1 -o "$target/one_table.so" "$target/one_table.c"

build() {
    RUSTFLAGS="-Zsanitizer=thread ${RUSTFLAGS:-}" cargo +nightly test --locked --no-run -Zbuild-std --target "$host" \
        --target-dir "$target" -p carbontracker --message-format=json-render-diagnostics "$@" |
        sed -nE '/"test":true\}/s/.*"executable":"([^"]*)".*/\1/p'
}
run() { # PROGRAM ARGUMENT...
    LD_PRELOAD=$target/one_table.so RUST_BACKTRACE=0 TSAN_OPTIONS='exitcode=66 allocator_may_return_null=1' "$@"
}
unit=$(build --lib)
library=$(build --test library)
# Property tests of one thread take minutes here.
run "$unit" state:: coordination:: os:: --skip table:: --skip no_moment_is --skip all_is_counted
# These compile C programs, read documents only, or limit the size of all files, of the sanitizer too.
run "$library" --skip compiles_and_runs --skip docs:: --skip readme:: --skip a_limit_on_file_sizes --skip read_only
