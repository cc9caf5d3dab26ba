# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # the lists are used by their names
# Sourced by the scripts: which Debian packages they need, and installing those that are missing.
#
#	packages_install demo|demo_local|test|analyze
#
# Nothing is asked of apt, and no root needed, where all are there already.

packages_demo_local=(
    gcc libc6-dev meson ninja-build pkg-config
    libfuse3-dev libxxhash-dev libjson-c-dev libcriterion-dev libdaxctl-dev libndctl-dev
    libcap-ng-dev libseccomp-dev
    fuse3 mount util-linux python3 attr
    qemu-system-x86 linux-image-amd64 cpio
)

# The lab, besides those, and what guestmemfs-counts is built with.
packages_demo=(
    "${packages_demo_local[@]}"
    clang libbpf-dev
    busybox-static kexec-tools ndctl daxctl kmod
)

packages_test=(
    "${packages_demo[@]}"
    g++ libclang-rt-14-dev
    python3-pytest python3-pytest-xdist gdb acl rsync
    systemd dbus
    cppcheck
)

# The tools of scripts/analyze.
packages_analyze=(
    "${packages_test[@]}"
    clang-tidy clang-tools llvm valgrind gcovr
)

packages_are_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

packages_apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# A mirror that hiccups is the usual failure: ask again, with fresh lists. What apt says matters only if it fails.
packages_apt_install() {
    local attempt log
    log=$(mktemp) || return 1
    for attempt in 1 2 3; do
        if packages_apt update >"$log" 2>&1 &&
            packages_apt install -y --no-install-recommends "$@" >>"$log" 2>&1; then
            rm -f "$log"
            return 0
        fi
        tail -n 30 "$log" >&2
        echo "apt-get failed (attempt $attempt of 3)" >&2
        sleep $((attempt * 5))
    done
    rm -f "$log"
    return 1
}

packages_install() {
    local -n wanted=packages_$1
    local missing=() package

    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is not a Debian system: install what scripts/lib/packages.sh lists by other means." >&2
        return 1
    fi
    for package in "${wanted[@]}"; do
        packages_are_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "All packages are installed."
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "These packages are missing, and only root can install them: ${missing[*]}" >&2
        return 1
    fi
    echo "Installing with apt-get, which takes a minute or two: ${missing[*]}"
    packages_apt_install "${missing[@]}" || {
        echo "apt-get could not install: ${missing[*]}" >&2
        return 1
    }
}
