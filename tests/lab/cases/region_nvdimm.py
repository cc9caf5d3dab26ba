# SPDX-License-Identifier: MIT
"""
A pool on an NVDIMM: found like any pmem region, written back to, and mounted without a token after the machine was
reset. That bytes leave the processor's caches can't be seen here: an emulated processor has none.
"""

import json

from case import Case
from product import unmount

MOUNT = '/mnt/gm'
TEXT = 'what a VMM wrote\n'


def mount(lab):
    lab.run('mkdir', '-p', MOUNT)
    said = lab.run('guestmemfs-fuse', '--region', 'pmem:auto', MOUNT)
    lab.check('is persistent memory' in said, 'what is stored there is written back', said)
    status = json.loads(lab.run('guestmemfs', 'status', '--json', MOUNT))
    lab.check([r['kind'] for r in status['regions']] == ['pmem'], 'the region is a pmem one')


def tree(lab):
    return lab.run('ls', '-lR', '--full-time', MOUNT)


def make(lab):
    [bus] = json.loads(lab.run('ndctl', 'list', '-B'))
    lab.check(bus['provider'] == 'ACPI.NFIT', 'the memory is an NVDIMM', str(bus))
    lab.run('guestmemfs', 'format', '--region', 'pmem:auto')
    mount(lab)
    lab.run('truncate', '-s', '64M', f'{MOUNT}/vm0')
    lab.run('mkdir', f'{MOUNT}/state')
    lab.run('setfattr', '-n', 'user.guestmemfs.io', '-v', '1', f'{MOUNT}/state')
    with open(f'{MOUNT}/state/vm0', 'w', encoding='ascii') as f:
        f.write(TEXT)
    lab.remember(tree=tree(lab))
    lab.reset()


def again(lab):
    lab.run('guestmemfs', 'fsck', '--region', 'pmem:auto')
    mount(lab)
    lab.check(tree(lab) == lab.recall('tree'), 'after the reset, without a token, the files are there')
    with open(f'{MOUNT}/state/vm0', encoding='ascii') as f:
        lab.check(f.read() == TEXT, 'and so is what was written')
    unmount(lab, MOUNT)


CASE = Case(about='a pool on an NVDIMM is there after a reset, and no token is asked for',
            boots=(make, again), memory='3G,slots=1,maxmem=8G', needs=('product',),
            machine=('-machine', 'nvdimm=on', '-object', 'memory-backend-ram,id=nvdimm,size=1G,share=on',
                     '-device', 'nvdimm,memdev=nvdimm'),
            modules=('nfit', 'nd_pmem', 'dax_pmem', 'device_dax', 'fuse'))
