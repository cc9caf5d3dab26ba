# SPDX-License-Identifier: MIT
"""What a soft region rests on, without a line of the product: devices made anew at the same ranges have the bytes."""

import errno

from case import Case
from dax import (BLOCK, DEVICES, DRIVER, GIB, MIB, Mapped, device_names, device_number, is_bound, make_device, put,
                 ranges_of, remove_device, soft_region)
from lab import read_text

START, SIZE = 4 * GIB, 2 * GIB
# In several parts, one of them the region's last block, and out of order.
PARTS = {'one': [(START + 64 * MIB, 32 * MIB), (START, 16 * MIB), (START + SIZE - BLOCK, BLOCK)],
         'two': [(START + 16 * MIB, 32 * MIB), (START + GIB, 16 * MIB)]}


def check_idle(lab):
    lab.check('100000000-17fffffff : Soft Reserved' in read_text('/proc/iomem'), 'the range is soft reserved')
    lab.check(device_names() == ['dax0.0'] and not is_bound('dax0.0') and device_number('dax0.0', 'size') == 0,
              'the region comes up idle: dax0.0 alone, empty and unbound')
    region = soft_region()
    lab.check(int(read_text(f'{region}/available_size')) == SIZE, 'all of it is available')
    return region


def refused(path, text):
    try:
        put(path, text)
    except OSError as e:
        return errno.errorcode[e.errno]
    return 'no error'


def fill(lab):
    region = check_idle(lab)
    names = {}
    for seed, ranges in PARTS.items():
        names[seed] = make_device(region, ranges)
        lab.check(ranges_of(names[seed]) == ranges, f'{names[seed]} has the ranges that were asked for, in that order')
        with Mapped(names[seed]) as memory:
            memory.fill(seed)
    lab.run('daxctl', 'list', '-R', '-D', '-M')
    # Each of these is left to us to prevent, or to rely on.
    lab.check(refused(f'{region}/delete', names['one']) == 'EBUSY', 'a bound device is not deleted')
    lab.check(refused(f'{region}/delete', 'dax0.0') == 'EBUSY', 'dax0.0 is never deleted')
    put(f'{region}/create', '1')
    spare = read_text(f'{region}/create').strip()
    mapping = f'{DEVICES}/{spare}/mapping'
    lab.check(refused(mapping, f'{START:x}-{START + BLOCK - 1:x}') == 'ENOMEM', 'a range that another device has is refused')
    lab.check(refused(mapping, f'{START + SIZE:x}-{START + SIZE + BLOCK - 1:x}') == 'ENOMEM', 'so is one outside')
    lab.check(refused(mapping, f'{START + GIB // 2:x}-{START + GIB // 2 + MIB - 1:x}') != 'no error'
              or device_number(spare, 'size') == 0, 'a range of half a block adds nothing')
    put(f'{region}/delete', spare)
    lab.kexec()


def compare(lab):
    region = check_idle(lab)
    made = []
    for seed, ranges in reversed(PARTS.items()):
        made.append(make_device(region, ranges))
        with Mapped(made[-1]) as memory:
            wrong = memory.wrong_blocks(seed)
            lab.check(not wrong, f'every block of {made[-1]}, {memory.size // MIB} MiB in {len(ranges)} ranges, is as it was',
                      f'wrong: {[hex(at) for at in wrong]}')
    for name in made:
        remove_device(region, name)
    lab.check(device_names() == ['dax0.0'] and int(read_text(f'{region}/available_size')) == SIZE,
              'the devices removed, the region is as it was')
    lab.check(refused(f'{DRIVER}/bind', 'dax0.0') != 'no error', 'an empty device is not bound')


CASE = Case(about='without the product: devices on a soft region, made anew after kexec -s, have every byte',
            boots=(fill, compare), cpus=2, cmdline='memmap=2G!4G,2G%4G-12+0xefffffff dax_hmem.region_idle=1')
