# SPDX-License-Identifier: MIT
"""What the kernel's page structures for a GiB of soft-reserved memory cost, as long as a device is bound over it."""

import re

from case import Case
from dax import BLOCK, GIB, MIB, make_device, remove_device, soft_region
from lab import read_text

PAGE = 4096


def free_memory():
    """What nobody uses, with what the processors have put aside for themselves: thousands of pages, on some kernels."""
    with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as f:
        f.write('3')
    return sum(map(int, re.findall(r'(?:nr_free_pages|count:) +(\d+)', read_text('/proc/zoneinfo')))) * PAGE


def look(lab):
    cost = {}
    # Each in memory that no device has had, in case that something stays.
    for align, start in ((GIB, 5 * GIB), (BLOCK, 6 * GIB)):
        free_memory()
        before = free_memory()
        name = make_device(soft_region(), [(start, GIB)], align)
        cost[align] = before - free_memory()
        lab.figure(f'memory lost for 1 GiB of pages of {align // MIB} MiB', cost[align] / MIB, 'MiB')
        remove_device(soft_region(), name)
        lab.say(f'{before - free_memory()} bytes stay lost without the device')
    lab.check(3 * MIB < cost[BLOCK] < 8 * MIB, 'pages of 2 MiB cost some 4 MiB a GiB', str(cost))
    lab.check(cost[GIB] < 2 * MIB, 'pages of 1 GiB cost next to nothing', str(cost))


CASE = Case(about='what page structures cost', boots=(look,),
            cmdline='memmap=3G!4G,3G%4G-12+0xefffffff dax_hmem.region_idle=1', modules=('device_dax', 'dax_hmem'))
