# SPDX-License-Identifier: MIT
"""The lab itself: whatever fails here, nothing else in the lab can be believed."""

import os

from case import TOP, Case
from lab import read_text


def look_round(lab):
    lab.check(os.cpu_count() == 2, f'{os.cpu_count()} CPUs')
    kib = int(read_text('/proc/meminfo').split('MemTotal:')[1].split()[0])
    lab.check(kib > 5 << 20, f'{kib >> 10} MiB of RAM')
    lab.check(os.path.exists(f'{TOP}/meson.build'), "the machine's root is there, with the source tree")
    marker = '/etc/lab-was-here'
    with open(marker, 'w', encoding='ascii') as f:
        f.write('x')
    lab.check(read_text(marker) == 'x', 'the root takes writes')
    lab.remember(marker=marker)
    lab.figure('uptime at the first step', float(read_text('/proc/uptime').split()[0]), 's')
    lab.kexec()


def after_kexec(lab):
    lab.check(not os.path.exists(lab.recall('marker')), 'after a kexec the root is as it was: the share alone remembers')
    lab.figure('uptime at the second step', float(read_text('/proc/uptime').split()[0]), 's')
    lab.reset()


def after_reset(lab):
    lab.check(int(read_text('/proc/sys/kernel/bootloader_type')) != 208, 'after a reset the boot loader is another one')


CASE = Case(about='the lab host boots, is kexeced, is reset; its root and its share are what they should be',
            boots=(look_round, after_kexec, after_reset), cpus=2)
