#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries show their users exactly what the header promises, and nothing of our own.
# usage: exports.sh HEADER SHARED-LIBRARY ARCHIVE PRELOAD-LIBRARY
set -eu

promised=$(sed -n 's/^GM_API .*[ *]\(gm_[a-z_]*\)(.*/\1/p' "$1" | sort)
status=0

# compare NUMBER NAME EXPECTED ACTUAL
compare() {
    if [ "$3" = "$4" ]; then
        echo "ok $1 - $2"
    else
        printf 'not ok %s - %s\n# expected: %s\n# exported: %s\n' "$1" "$2" "$(echo $3)" "$(echo $4)"
        status=1
    fi
}

# Sanitizers add symbols of theirs, all with a double underscore.
names() {
    awk 'NF == 3 && $3 !~ /^_/ { print $3 }' | sort
}

echo 1..4
if [ -n "$promised" ]; then echo "ok 1 - the header promises functions"; else echo "not ok 1 - no function found in $1"; status=1; fi
compare 2 "the shared library" "$promised" "$(nm -D --defined-only "$2" | names)"
compare 3 "the archive" "$promised" "$(nm -g --defined-only "$3" | names)"
compare 4 "the preload library" "$(printf 'mmap\nmmap64')" "$(nm -D --defined-only "$4" | names)"
exit $status
