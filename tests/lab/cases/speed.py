# SPDX-License-Identifier: MIT
"""
What the product adds to the blackout of a kexec, for 1, 16 and 64 files, and what the kernel itself takes. All figures
are of an emulated machine: they say how the parts compare.
"""

import os
import re
import subprocess
import time

from case import Case
from dax import GIB, MIB, device_names, make_device, ranges_of, remove_device, soft_region
from product import Attached, Library, Pool

SIZE = 32 * MIB  # of each file
COUNTS = (1, 16, 64)


def kernel_boot_time():
    """From the beginning of its log to its first process."""
    log = subprocess.run(['dmesg'], stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(re.search(r'^\[ *([\d.]+)\] Run /init as init process', log, re.M)[1])


def attach_all(lab, pool, count):
    library = Library(lab.plan['prefix'])
    began = time.monotonic()
    attached = [Attached(library, pool.path(f'vm{n}')) for n in range(count)]
    for file in attached:
        file.map()
    spent = time.monotonic() - began
    again = time.monotonic()
    for n in range(count):
        with Attached(library, pool.path(f'vm{n}')) as file:
            file.map()
    again = time.monotonic() - again
    for file in attached:
        file.__exit__()
    return spent, again


def grow(lab, pool, count):
    """To this many files, each with a device, as of VMs that run."""
    for n in range(count):
        if not os.path.exists(pool.path(f'vm{n}')):
            pool.make(f'vm{n}', SIZE)
    pool.settle()
    attach_all(lab, pool, count)


def go_on(lab, pool):
    """With the pool mounted and its devices there, as an update leaves it."""
    token = lab.run('guestmemfs', 'token', pool.mount).strip()
    line = re.sub(r' guestmemfs\.succession=\w+', '', lab.cmdline())
    lab.kexec(cmdline=f'{line} guestmemfs.succession={token}')


def begin(lab):
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    grow(lab, pool, COUNTS[0])
    go_on(lab, pool)


def read_programs(lab):
    """So that it is not the lab's way to its root, 9p in an emulated machine, that is measured."""
    for directory, _, names in os.walk(lab.plan['prefix']):
        for program in (f'{directory}/{name}' for name in names if name.startswith(('guestmemfs', 'libguestmemfs'))):
            found = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   check=False).stdout
            for path in [program, *re.findall(r'(/\S+) \(0x', found)]:
                with open(path, 'rb') as f:
                    while f.read(MIB):
                        pass


def made_by_hand(lab, name):
    """What one device costs through sysfs alone: the kernel's part."""
    used = [piece for device in device_names() for piece in ranges_of(device)]
    free = next(at for at in range(4 * GIB, 7 * GIB, SIZE)
                if all(start + size <= at or at + SIZE <= start for start, size in used))
    began = time.monotonic()
    device = make_device(soft_region(), [(free, SIZE)])
    spent = time.monotonic() - began
    remove_device(soft_region(), device)
    lab.figure(f'{name}: one more device, by hand in sysfs', spent, 's')


def start(lab):
    began = time.monotonic()
    pool = Pool(lab, 'soft:auto')
    return pool, time.monotonic() - began


def measure(lab, count):
    name = f'{count} file{"s" if count > 1 else ""}'
    kernel = kernel_boot_time()
    read_programs(lab)
    pool, first = start(lab)
    attach, again = attach_all(lab, pool, count)
    made = [name for name in device_names() if sum(size for _, size in ranges_of(name)) == SIZE]
    lab.check(len(made) == count, f'{count} devices were made', f'{made}')
    lab.figure(f'{name}: kernel, to its first process', kernel, 's')
    lab.figure(f'{name}: the host, to the first of our programs', lab.start, 's')
    lab.figure(f'{name}: start, recovery, mount', first, 's')
    lab.figure(f'{name}: devices, attach, map', attach, 's')
    lab.figure(f'{name}: attach and map alone, the devices there', again, 's')
    made_by_hand(lab, name)
    lab.figure(f"{name}: added to the kernel's time", (first + attach) / kernel * 100, '%')
    pool.unmount()
    pool, restart = start(lab)
    lab.figure(f'{name}: a start in the same boot, the devices there', restart, 's')
    return pool


def step(number):
    """The boot that measures COUNTS[number], and prepares the next one."""
    def run(lab):
        pool = measure(lab, COUNTS[number])
        if number + 1 < len(COUNTS):
            grow(lab, pool, COUNTS[number + 1])
            go_on(lab, pool)
    return run


CASE = Case(about='what is added to the blackout of a kexec',
            boots=(begin, *map(step, range(len(COUNTS)))), cpus=2, seconds=240,
            cmdline='memmap=3G!4G,3G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',))
