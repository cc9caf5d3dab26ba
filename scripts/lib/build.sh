# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $top is the caller's
# Sourced by the scripts: builds in build/NAME and installs into PREFIX, so that the programs run with the paths that
# they were built with. Uses $top, the top of the source tree.
#
#	build_install NAME PREFIX COMPILER [MESON OPTION...]	what is installed, and the guest
#	build_rest NAME						tests and benchmarks

# meson keeps the first compiler of a build directory for good, so another one, or other options, start anew; so does a
# directory that meson can't use because it was killed, or is of another version.
build_configure() {
    local dir=$1 compiler=$2 recipe="$*"
    shift 2
    if [ "$(cat "$dir/recipe" 2>/dev/null)" = "$recipe" ] && meson setup --reconfigure "$dir" "$top"; then
        return 0
    fi
    rm -rf "$dir"
    CC=$compiler meson setup "$@" "$dir" "$top" && printf '%s\n' "$recipe" >"$dir/recipe"
}

# The files of a build directory that are installed from there, as ninja calls them.
build_installed_files() {
    meson introspect --targets "$1" | /usr/bin/python3 -c 'import json, os, sys
for target in json.load(sys.stdin):
    for name in target["filename"] if target["installed"] else []:
        print(os.path.relpath(name, sys.argv[1]))' "$1"
}

build_install() {
    local dir=$top/build/$1 prefix=$2 compiler=$3 files
    shift 3
    mkdir -p "$top/build" && build_configure "$dir" "$compiler" --prefix "$prefix" "$@" || return 1
    mapfile -t files < <(build_installed_files "$dir")
    [ ${#files[@]} -gt 0 ] && ninja -C "$dir" "${files[@]}" tests/guest/initramfs.cpio &&
        rm -rf "$prefix" && # so that nothing of an older build is left in it
        meson install -C "$dir" --no-rebuild --quiet
}

build_rest() {
    ninja -C "$top/build/$1" all
}
