# SPDX-License-Identifier: MIT
"""What mapped memory costs in page faults."""

import ctypes
import resource

from dax import BLOCK


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def touch(address, size):
    """Writes a byte into each block of it; how many faults that took. The loop runs on warm memory before."""
    spare = ctypes.create_string_buffer(1)
    for round_over in (False, True):
        before = faults()
        for at in range(0, size, BLOCK):
            ctypes.memset(address + at if round_over else ctypes.addressof(spare), 1, 1)
    return faults() - before
