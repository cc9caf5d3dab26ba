# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $top, $out, $jobs and $python are the caller's
# Sourced by scripts/analyze: the tools that look at programs at work. Each prints a line with "finding:" for what it has
# found. Tests that fail here are no findings: some of them measure time, or look for what valgrind and gcov can't have. Tests
# that did not run at all are the tool's failure.

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
    [ $? -le 1 ] # 1: some have failed
}

# dynamic_units TOOL NAME MESON-ARGUMENT...: meson's tests on its build; NAME is what meson calls its log of them.
dynamic_units() {
    local dir=$out/$1-build log=$out/$1-build/meson-logs/$2.json
    shift 2
    rm -f "$log"
    meson test -C "$dir" --no-rebuild --num-processes "$jobs" "$@"
    [ -s "$log" ]
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

# What memcheck says of itself is no report: that it has no such system call, that a name in /tmp was somebody else's.
# A unit test that failed, for want of that call, has left in its middle: what it still had is no leak.
dynamic_memcheck_reports() {
    local reports=$1 log=$2 test
    find "$reports" -type f -size +0 -exec sed -i -E '/^--[0-9]+-- |could not unlink/d' {} +
    "$python" -c 'import json, sys
for line in open(sys.argv[1]):
    test = json.loads(line)
    if test["result"] != "OK":
        print(test["name"].split(" / ")[-1])' "$log" | while read -r test; do
        # records are parted by lines with nothing but the number of the process
        find "$reports" -type f -size +0 -name "test_$test.*" -exec \
            perl -0777 -pi -e 's/^==\d+== [^\n]* (definitely|indirectly) lost in loss record.*?^==\d+== $//msg; s/^\s+\z//' {} +
    done
}

# The unit tests, and the command at work on mounts. valgrind 3.19 has no pidfd_open(2), without which no daemon starts:
# those are looked at under ASan and UBSan, by scripts/test. A report is of one process. Left out: content_faults and sigbus,
# whose memory errors end valgrind itself, and static_exit, which has no C library that valgrind could stand in for. Of hostile
# pools that are repaired there are fewer: one is like the next.
dynamic_valgrind() {
    local reports=$out/valgrind-reports bin=$out/valgrind-prefix/bin memcheck=$out/memcheck tests ended=0
    dynamic_build valgrind gcc || return 1
    dynamic_reports "$reports"
    cat >"$memcheck" <<TEXT
#!/bin/sh
exec valgrind --quiet --vgdb=no --trace-children=yes '--trace-children-skip=/bin/*,/usr/*,*/static_exit' \\
    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \\
    --log-file="$reports/\${1##*/}.%p" "\$@"
TEXT
    chmod 755 "$memcheck"
    mapfile -t tests < <(meson test -C "$out/valgrind-build" --list --suite unit | sed -n 's#.* / ##p' | grep -v -x -e content_faults -e sigbus)
    GM_REPAIR_ROUNDS=20 dynamic_units valgrind testlog-memcheck --timeout-multiplier 30 --wrapper "$memcheck" "${tests[@]}" || return 1
    dynamic_memcheck_reports "$reports" "$out/valgrind-build/meson-logs/testlog-memcheck.json"
    mv "$bin/guestmemfs" "$bin/command" &&
        printf '#!/bin/sh\nexec %s %s "$@"\n' "$memcheck" "$bin/command" >"$bin/guestmemfs" &&
        chmod 755 "$bin/guestmemfs"
    dynamic_mounts valgrind -k 'not plain' tests/mount/test_command.py || ended=1
    dynamic_memcheck_reports "$reports" /dev/null
    dynamic_show "$reports"
    return "$ended"
}

# A detector of races sees what threads do, so it is given the program that has them: the helper of mounts where clients come
# and go, and blocks are zeroed meanwhile.
dynamic_tsan() {
    local reports=$out/tsan-reports ended=0
    dynamic_build tsan clang -Db_sanitize=thread -Db_lundef=false || return 1
    dynamic_reports "$reports"
    TSAN_OPTIONS=log_path=$reports/report dynamic_mounts tsan \
        tests/mount/test_{grants,scrub}.py || ended=1
    dynamic_show "$reports"
    return "$ended"
}

# Whoever a program runs as counts into the same files, so all of them are there before anybody has made his own.
dynamic_coverage_files() {
    local notes
    find "$1" -name '*.gcda' -delete
    find "$1" -name '*.gcno' | while read -r notes; do
        : >"${notes%.gcno}.gcda"
    done
    chmod -R a+rwX "$1"
}

# What the unit tests, the golden images, the corpus of the fuzzers and the mount tests reach. What only the lab does is not
# counted: it runs on a root directory that it can't write to.
dynamic_coverage() {
    local dir=$out/coverage-build
    dynamic_build coverage gcc -Db_coverage=true --buildtype=debug || return 1
    dynamic_coverage_files "$dir"
    LD_PRELOAD=$unconfined dynamic_units coverage testlog --suite unit --suite golden --suite fuzz \
        --timeout-multiplier 5 || return 1
    meson test -C "$dir" --no-rebuild confine cli_run # which are about just what is taken away there
    dynamic_mounts coverage tests/mount || return 1
    find "$dir" -name '*.gcda' -empty -delete
    gcovr --root "$top" "$dir" --filter "$top/src/" -j "$jobs" --json "$out/coverage.json" &&
        "$python" -B scripts/lib/analyze/coverage.py "$out/coverage.json" >"$out/coverage.md"
}
