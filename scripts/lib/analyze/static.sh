# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $top, $out and $jobs are the caller's
# Sourced by scripts/analyze, and by scripts/test for cppcheck: the tools that read the source. Each is run at the top of
# the tree, prints what it finds, and fails if that is anything.

static_sources() {
    find src tests bench -name '*.c' ! -name '*.bpf.c' | sort
}

# A few seconds, and no build: of the system's headers it reads none but sys/queue.h, whose macros declare things.
static_cppcheck() {
    local lib=scripts/lib/analyze queue
    queue=$(echo '#include <sys/queue.h>' | gcc -E -x c - | grep -o -m 1 '/[^"]*sys/queue\.h') || return 1
    static_sources | cppcheck --quiet -j "$jobs" --platform=unix64 --std=c11 --file-list=- \
        --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --library="posix,$lib/cppcheck.cfg" --suppressions-list="$lib/cppcheck.suppressions" \
        --include="$queue" -D_GNU_SOURCE=1 -D__x86_64__=1 -Iinclude -Isrc -I. 2>&1
}

# Of the build it needs what tells how each file is compiled, and the headers that are generated.
static_clang_tidy() {
    local dir=$out/clang-tidy-build
    build_configure "$dir" clang && ninja -C "$dir" src/counts/counts_object.h src/counts/gate_object.h || return 1
    static_sources | xargs -P "$jobs" -n 4 clang-tidy -quiet -p "$dir" 2>/dev/null
}

# The objects of the product: to an analyzer an assertion of Criterion's is a call that returns.
static_product() {
    ninja -C "$1" -t targets all | sed -n 's/^\(src\/.*\.c\.o\):.*/\1/p'
}

# Every path through each function, and through those that it calls in the same file. No ccache: it would hand out again
# what was compiled without a look. deadcode.DeadStores is for `x = x_free(x)`, which leaves no stale pointer behind.
static_scan_build() {
    local dir=$out/scan-build-build
    local scan=(scan-build --use-cc=clang -disable-checker deadcode.DeadStores -o "$out/scan-build-reports")
    rm -rf "$dir" "$out/scan-build-reports"
    CCACHE_DISABLE=1 "${scan[@]}" meson setup --buildtype=debug "$dir" &&
        static_product "$dir" | CCACHE_DISABLE=1 xargs "${scan[@]}" ninja -C "$dir" -j "$jobs"
}

# Without optimization: what the compiler has rearranged, the analyzer misunderstands.
#
#   malloc-leak, file-leak    gcc 12 loses a pointer that is stored through another one. Leaks are looked for by scan-build
#                             and by the leak checkers of ASan and valgrind.
static_fanalyzer() {
    local dir=$out/fanalyzer-build
    build_configure "$dir" gcc --buildtype=debug \
        -Dc_args='-fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-file-leak' || return 1
    static_product "$dir" | xargs ninja -C "$dir" -k 0 -j "$jobs"
}
