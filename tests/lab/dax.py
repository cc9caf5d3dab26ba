# SPDX-License-Identifier: MIT
"""
devdax by hand, straight through sysfs, so that cases depend on nothing that they are to test; and patterns that show
each block that has been moved, lost or mixed up.
"""

import errno
import hashlib
import mmap
import os

from lab import read_text

MIB = 1 << 20
GIB = 1 << 30
BLOCK = 2 * MIB
DEVICES = '/sys/bus/dax/devices'
DRIVER = '/sys/bus/dax/drivers/device_dax'


def put(path, text):
    """One write, as sysfs wants it."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def device_names():
    """Read until nothing is new: sysfs leaves names out while others go (src/util/dir_names.h)."""
    seen, found = set(), set(os.listdir(DEVICES))
    while not found <= seen:
        seen |= found
        found = set(os.listdir(DEVICES))
    return sorted(name for name in seen if os.path.exists(f'{DEVICES}/{name}'))


def device_number(name, attribute):
    return int(read_text(f'{DEVICES}/{name}/{attribute}'), 0)


def is_bound(name):
    return os.path.exists(f'{DEVICES}/{name}/driver')


def ranges_of(name):
    """(start, length) of each range in the device's own order. None of one that is taken away meanwhile, as a window is."""
    found = []
    try:
        for entry in os.listdir(f'{DEVICES}/{name}'):
            if entry.startswith('mapping') and entry != 'mapping':
                start, end, offset = (int(read_text(f'{DEVICES}/{name}/{entry}/{part}'), 0)
                                      for part in ('start', 'end', 'page_offset'))
                found.append((offset, start, end + 1 - start))
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return []
    return [(start, length) for _, start, length in sorted(found)]


def soft_region():
    """The directory dax_region of the one soft region there is; it has another path on other kernels."""
    [first] = [name for name in device_names() if name.endswith('.0')]
    return os.path.realpath(f'{DEVICES}/{first}/../dax_region')


def put_device(region):
    """An empty device, bound to nothing; its name."""
    put(f'{region}/create', '1')
    return read_text(f'{region}/create').strip()


def make_device(region, ranges, align=BLOCK):
    """A bound device over these ranges, (start, length) each, in this order; its name."""
    name = put_device(region)
    put(f'{DEVICES}/{name}/align', str(align))
    for start, length in ranges:
        put(f'{DEVICES}/{name}/mapping', f'{start:x}-{start + length - 1:x}')
    put(f'{DRIVER}/bind', name)
    return name


def remove_device(region, name):
    put(f'{DRIVER}/unbind', name)
    put(f'{DEVICES}/{name}/size', '0')
    put(f'{region}/delete', name)


def pattern_block(seed, index):
    return hashlib.sha256(f'{seed} {index}'.encode()).digest() * (BLOCK // 32)


class Mapped:
    """The whole of a device, mapped."""

    def __init__(self, name):
        self.size = device_number(name, 'size')
        fd = os.open(f'/dev/{name}', os.O_RDWR)
        self._map = mmap.mmap(fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()

    def fill(self, seed):
        for at in range(0, self.size, BLOCK):
            self._map[at:at + BLOCK] = pattern_block(seed, at // BLOCK)

    def wrong_blocks(self, seed):
        """The offsets of the blocks that are not what fill(seed) has written."""
        return [at for at in range(0, self.size, BLOCK)
                if self._map[at:at + BLOCK] != pattern_block(seed, at // BLOCK)]
