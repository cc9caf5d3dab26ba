# SPDX-License-Identifier: MIT
"""A guest on a soft region lives through its host's kexec."""

from case import Case
from update import after, before

REGION = 'soft:auto'


CASE = Case(about='a host goes into its next kernel, and its guest, on a soft region, goes on',
            boots=(lambda lab: before(lab, REGION), lambda lab: after(lab, REGION)),
            cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'fuse', 'kvm_amd'),
            needs=('product', 'guest'))
