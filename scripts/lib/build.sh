# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $top is the caller's
# Sourced by the scripts: builds in build/NAME and installs into PREFIX, so that the programs run with the paths that
# they were built with. Uses $top, the top of the source tree.
#
#	build_install NAME PREFIX COMPILER [MESON OPTION...]

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

build_install() {
    local dir=$top/build/$1 prefix=$2 compiler=$3
    shift 3
    mkdir -p "$top/build" &&
        build_configure "$dir" "$compiler" --prefix "$prefix" "$@" &&
        ninja -C "$dir" all tests/guest/initramfs.cpio &&
        rm -rf "$prefix" && # so that nothing of an older build is left in it
        meson install -C "$dir" --no-rebuild --quiet
}
