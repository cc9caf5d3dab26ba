# SPDX-License-Identifier: MIT
"""
How large the pages are that guest memory is mapped with. The region has one whole gigabyte that is free (its first has
the metadata, its last block is not data): the first file gets it, the second gets the same size in pieces.
"""

import mmap

from case import Case
from dax import BLOCK, GIB
from page import touch
from product import Attached, Library, Pool, blocks_of, device_align, page_size


def look_at(lab, library, path, page, text):
    with Attached(library, path) as file:
        names = file.devices()
        lab.check(all(device_align(name) == page for name in names) and file.align == page,
                  f'the file has {text}', f'{[(name, device_align(name)) for name in names]}')
        address = file.map()
        lab.check(address % page == 0 and page_size(address) == page, 'KernelPageSize says so', f'{page_size(address)}')
        cost = touch(address, GIB)
        lab.check(cost == GIB // page, f'a GiB touched costs {GIB // page} faults', f'{cost}')
        populated = file.map(flags=mmap.MAP_POPULATE)
        cost = touch(populated, GIB)
        lab.check(cost == 0, 'and none after MAP_POPULATE', f'{cost}')
        return set(blocks_of(names, 4 * GIB))


def whole_units(lab):
    library = Library(lab.plan['prefix'])
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    large = look_at(lab, library, pool.make('large', GIB), GIB, 'pages of 1 GiB')
    lab.check(min(large) * BLOCK % GIB == 0 and len(large) == GIB // BLOCK, 'its device is one unit, aligned in memory')
    small = look_at(lab, library, pool.make('small', GIB), BLOCK, 'pages of 2 MiB')
    lab.check(not large & small and len(small) == GIB // BLOCK, 'the other one is beside it')


CASE = Case(about='soft regions: page sizes and faults', boots=(whole_units,),
            cmdline='memmap=3G!4G,3G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',))
