# SPDX-License-Identifier: MIT
"""What the product notes of the devices of a soft region (src/region/soft_record.h), written as the product would."""

import ctypes
import os
import struct

from dax import BLOCK, DEVICES, device_number

XXHASH = ctypes.CDLL('libxxhash.so.0')
XXHASH.XXH3_64bits.restype = ctypes.c_uint64
XXHASH.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

MAGIC = b'gm-soft3'
SLOT = 32
RANGES_AT = 32768 * SLOT  # behind the last slot, which is none of a device


def _hash(*numbers):
    data = struct.pack(f'={len(numbers)}Q', *numbers)
    return XXHASH.XXH3_64bits(data, len(data))


def instance_of(name):
    """The device's own, whatever others have had its name."""
    return os.stat(f'{DEVICES}/{name}/').st_ino


def identity_of(name):
    mappings = [entry for entry in os.scandir(f'{DEVICES}/{name}/')
                if entry.name.startswith('mapping') and entry.name != 'mapping']
    total = sum(_hash(int(entry.name[len('mapping'):]), entry.inode()) for entry in mappings)
    driver = f'{DEVICES}/{name}/driver'
    bound = os.lstat(driver).st_ino if os.path.lexists(driver) else 0
    return _hash(instance_of(name), device_number(name, 'align'), device_number(name, 'size'), total & (1 << 64) - 1, bound) or 1


def _put(start, at, data):
    with open(f'/run/guestmemfs/.soft-0x{start:x}', 'r+b', buffering=0) as f:
        f.seek(at)
        f.write(data)


def _id_of(name):
    return int(name.split('.')[1])


def note_ours(start, name):
    """As if the product had made it."""
    _put(start, SLOT * _id_of(name), struct.pack('=4Q', identity_of(name), 0, 0, 0))


def note_half_made(start, name, instance, ranges):
    """As a process leaves it that dies while it makes a device over these ranges, (start, length) each."""
    _put(start, RANGES_AT, b''.join(struct.pack('=QI4x', (at - start) // BLOCK, length // BLOCK) for at, length in ranges))
    _put(start, 0, struct.pack('=8s3Q', MAGIC, _id_of(name), instance, len(ranges)))
