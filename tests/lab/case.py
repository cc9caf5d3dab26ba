# SPDX-License-Identifier: MIT
"""
What a lab case is. A file cases/NAME.py defines one as CASE; tests/lab/run reads its needs from there, and the lab
host runs its steps. So that file is imported on both sides, and on the outside nothing of it is run.
"""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable

LAB = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.realpath(f'{LAB}/../..')
CASES = f'{LAB}/cases'
sys.path[:0] = [path for path in (LAB, f'{TOP}/scripts/lib') if path not in sys.path]


@dataclasses.dataclass(frozen=True)
class Case:
    about: str  # one line, for --list
    # What each boot of the lab host does, a function of the Lab (lab.py) each. All but the last end by one of the ways
    # into the next boot: Lab.kexec(), Lab.reset(), or the product's own kexec after Lab.next_boot_comes_by().
    boots: tuple[Callable, ...]
    cmdline: str = ''  # what the kernel gets besides the usual: the reservation above all
    memory: str = '6G'  # of the lab host: 3 GiB end at 3 GiB, the rest begins at 4 GiB
    machine: tuple[str, ...] = ()  # what else QEMU is told of it
    # Two where what happens at the same time matters. On a machine that is busy each waits for the other's turn, and spins:
    # a host of one takes less than half the time then.
    cpus: int = 1
    seconds: int = 600  # limit of one boot, from the kernel's start to the next: past it, it hangs
    modules: tuple[str, ...] = ('nd_e820', 'nd_pmem', 'dax_pmem', 'device_dax', 'dax_hmem', 'fuse')
    needs: tuple[str, ...] = ()  # of: product (--prefix), guest (--guest)
    bzimage: bool = False  # the firmware boots it as it came: with KASLR and its page tables, after each reset too (vmlinux.py)
    systemd: bool = False  # PID 1 is systemd, and the case a service of it


class CaseError(Exception):
    """There is no such case, or its file is no good."""


def case_names():
    return sorted(name[:-3].replace('_', '-') for name in os.listdir(CASES) if name.endswith('.py'))


def load_case(name):
    if name not in case_names():
        raise CaseError(f'there is no case {name}; --list names them')
    path = f'{CASES}/{name.replace("-", "_")}.py'
    spec = importlib.util.spec_from_file_location(f'case_{name.replace("-", "_")}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not isinstance(getattr(module, 'CASE', None), Case):
        raise CaseError(f'{path} defines no CASE')
    return module.CASE
