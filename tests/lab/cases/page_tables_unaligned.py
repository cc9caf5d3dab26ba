# SPDX-License-Identifier: MIT
"""A region that begins within a gigabyte: what is aligned in it is not aligned in memory."""

from case import Case
from dax import GIB, MIB, ranges_of
from product import Attached, Library, Pool, device_align, joined, memory_of

START = 4 * GIB + 512 * MIB


def look(lab):
    library = Library(lab.plan['prefix'])
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    pool.make('large', GIB + 6 * MIB)
    with Attached(library, pool.path('large')) as file:
        lab.check(memory_of(file, START) == joined(pool.extents('large')), "its devices' ranges are its extents")
        file.map()
        found = [(device_align(name), place) for name in file.devices() for place in ranges_of(name)]
        lab.check(all(start % align == 0 and length % align == 0 for align, (start, length) in found),
                  'every range begins and ends at a multiple of its page size in memory', f'{found}')


CASE = Case(about='a soft region that does not begin at a multiple of 1 GiB: no large page is made over others\' memory',
            boots=(look,), cmdline='memmap=2560M!4608M,2560M%4608M-12+0xefffffff dax_hmem.region_idle=1',
            needs=('product',))
