# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $top, $out, $jobs and $python are the caller's
# Sourced by scripts/analyze: the tools that look at programs at work. Each prints a line with "finding:" for what it has
# found. Tests that fail here are no findings: some of them measure time, or look for what valgrind and gcov can't have.

# dynamic_build TOOL COMPILER [MESON OPTION...]: in $out/TOOL-build, installed in $out/TOOL-prefix; $unconfined beside them.
dynamic_build() {
    local dir=$out/$1-build prefix=$out/$1-prefix compiler=$2
    shift 2
    unconfined=$out/unconfined.so
    cc -shared -fPIC -Wall -Wextra -Werror -o "$unconfined" scripts/lib/analyze/unconfined.c &&
        build_configure "$dir" "$compiler" --prefix "$prefix" "$@" &&
        ninja -C "$dir" -j "$jobs" && rm -rf "$prefix" && meson install -C "$dir" --no-rebuild --quiet
}

# dynamic_mounts TOOL PYTEST-ARGUMENT...: the mount tests on its build, with daemons that are not confined. They must not be
# below a directory that is root's alone.
dynamic_mounts() {
    local tool=$1
    shift
    GM_PREFIX=$out/$tool-prefix GM_BUILD=$out/$tool-build LD_PRELOAD=$unconfined \
        "$python" -B -m pytest -q -p no:cacheprovider -m 'not preload' "$@"
}

# Empties the directory of a tool's reports, which all users may write to.
dynamic_reports() {
    rm -rf "$1"
    mkdir -p "$1" && chmod 1777 "$1"
}

# One finding for each report.
dynamic_show() {
    local report
    find "$1" -type f -size +0 | sort | while read -r report; do
        printf 'finding: %s: %s\n' "$(basename "$report")" "$(grep -m 1 -E '[A-Za-z]{4}' "$report")"
        cat "$report"
    done
}

# The unit tests, and the command at work on mounts. valgrind 3.19 has no pidfd_open(2), without which no daemon starts:
# those are looked at under ASan and UBSan, by scripts/test. A report is of one process.
dynamic_valgrind() {
    local reports=$out/valgrind-reports bin=$out/valgrind-prefix/bin
    local memcheck=(valgrind --quiet --trace-children=yes '--trace-children-skip=/bin/*,/usr/*'
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "--log-file=$reports/%p")
    dynamic_build valgrind gcc || return 1
    dynamic_reports "$reports"
    meson test -C "$out/valgrind-build" --no-rebuild --suite unit --num-processes "$jobs" --timeout-multiplier 30 \
        --wrapper "${memcheck[*]}"
    mv "$bin/guestmemfs" "$bin/command" &&
        printf '#!/bin/sh\nexec %s %s "$@"\n' "${memcheck[*]}" "$bin/command" >"$bin/guestmemfs" &&
        chmod 755 "$bin/guestmemfs"
    dynamic_mounts valgrind -k 'not plain' tests/mount/test_command.py
    dynamic_show "$reports"
}

# A detector of races sees what threads do, so it is given the program that has them: the helper of mounts where clients come
# and go, and blocks are zeroed meanwhile.
dynamic_tsan() {
    local reports=$out/tsan-reports
    dynamic_build tsan clang -Db_sanitize=thread -Db_lundef=false || return 1
    dynamic_reports "$reports"
    TSAN_OPTIONS=log_path=$reports/report dynamic_mounts tsan \
        tests/mount/test_{grants,held,revoke,scrub,kill}.py
    dynamic_show "$reports"
}
