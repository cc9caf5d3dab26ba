# SPDX-License-Identifier: MIT
"""What a pmem region rests on, without a line of the product: persistent memory lives through `kexec -s`."""

import json
import os

from case import Case
from dax import MIB, Mapped, device_number, is_bound
from lab import read_text

SEED = 'kexec-plain'


def fill(lab):
    lab.claim('100000000-11fffffff : Persistent Memory (legacy)' in read_text('/proc/iomem'),
              'memmap=512M!4G makes legacy persistent memory')
    lab.run('ndctl', 'list', '-R', '-N', '-i')
    lab.check(not os.path.exists('/dev/dax0.0') and os.path.exists('/dev/pmem0'), 'which comes up as a block device')
    made = json.loads(lab.run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', 'devdax', '-a', '2M',
                              '--map=mem'))
    lab.claim(made['mode'] == 'devdax' and is_bound('dax0.0'), 'ndctl makes a bound dax0.0 of it')
    lab.check(device_number('dax0.0', 'size') == 510 * MIB, 'the info block costs 2 MiB at the start')
    lab.run('daxctl', 'list', '-R', '-D', '-M', '-i')
    with Mapped('dax0.0') as memory:
        memory.fill(SEED)
    lab.remember(uuid=made['uuid'])
    lab.kexec()


def compare(lab):
    lab.claim(is_bound('dax0.0'), 'after the kexec dax0.0 is there at once')
    lab.check(not os.path.exists('/dev/pmem0'), 'and there is no block device')
    lab.check(lab.recall('uuid') in lab.run('ndctl', 'list', '-N'), 'it has the same uuid')
    with Mapped('dax0.0') as memory:
        wrong = memory.wrong_blocks(SEED)
        lab.check(not wrong, f'every block of {memory.size // MIB} MiB is as it was',
                  f'wrong: {[hex(at) for at in wrong]}')


CASE = Case(about='without the product: a pmem devdax device keeps every byte through kexec -s',
            boots=(fill, compare), cpus=2, cmdline='memmap=512M!4G')
