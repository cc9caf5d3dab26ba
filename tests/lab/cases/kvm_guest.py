# SPDX-License-Identifier: MIT
"""What the guests of the lab rest on: KVM in the lab host, with the guest's RAM on a devdax device."""

import time

from case import Case
from dax import GIB, MIB, make_device, soft_region
from guest import READY, TICK
from lab import HANGS

VM_MIB = 256
PATTERN = 2 * MIB * (VM_MIB * 60 // 200)
SEED = 0x6c61622d6b766d21


def run_guest(lab):
    start = 4 * GIB
    # Not in order, so that a mistake in the ranges would show.
    name = make_device(soft_region(), [(start + 128 * MIB, 128 * MIB), (start, 128 * MIB)])
    began = time.monotonic()
    guest = lab.start_guest(f'/dev/{name}', VM_MIB, SEED, PATTERN)
    _, place = guest.wait(READY, 0, timeout=HANGS)
    lab.figure('guest boot', time.monotonic() - began, 's')
    first, place = guest.wait(TICK, place, timeout=HANGS)
    second, _ = guest.wait(TICK, place, timeout=HANGS)
    lab.check(int(second['n']) == int(first['n']) + 1, 'the guest ticks')
    lab.check(int(guest.check_pattern()['bytes']) == PATTERN, f'its pattern of {PATTERN // MIB} MiB is whole')
    state = lab.share.path('state')
    guest.save(state)
    guest.quit()
    resumed = lab.start_guest(f'/dev/{name}', VM_MIB, SEED, PATTERN, '-incoming', 'defer')
    resumed.take_in(state)
    resumed.go_on()
    tick, _ = resumed.wait(TICK, 0, timeout=HANGS)
    lab.check(tick['boot_id'] == first['boot_id'], 'saved and taken in again it goes on: same boot id')
    lab.check(int(resumed.check_pattern()['bytes']) == PATTERN, 'its pattern is whole')
    resumed.quit()


CASE = Case(about='a KVM guest in the lab, its RAM on a devdax device, ticks, is saved and goes on',
            boots=(run_guest,), cpus=2, cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'kvm_amd'), needs=('guest',))
