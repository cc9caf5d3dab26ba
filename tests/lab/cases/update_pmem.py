# SPDX-License-Identifier: MIT
"""A guest on a pmem region lives through its host's kexec."""

from case import Case
from update import after, before

REGION = 'pmem:auto'


CASE = Case(about='the same on a pmem region',
            boots=(lambda lab: before(lab, REGION), lambda lab: after(lab, REGION)),
            cmdline='memmap=1G!4G',
            modules=('nd_e820', 'nd_pmem', 'dax_pmem', 'device_dax', 'fuse', 'kvm_amd'),
            needs=('product', 'guest'))
