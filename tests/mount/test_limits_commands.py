# SPDX-License-Identifier: MIT
"""
A command that has no memory, at any call for it, in json-c, libguestmemfs or libc as well: it ends by itself, done and with
all that it has to say, or with a sentence and 1, and has changed nothing.
"""

import errno
import os
import re
import subprocess
import time

import pytest

from evidence import BLOCK, must
from memory import ALONE, run_short_of_memory

pytestmark = pytest.mark.preload


def wait_for_rest(instance, timeout=30):
    """Until what status says does not change by itself."""
    deadline, last = time.monotonic() + timeout, None
    while last != (last := instance.status()):
        assert time.monotonic() < deadline, f'it changes all the time: {last}'
        time.sleep(1)


def check(whole, runs, least, random=False):
    """Every run has ended by itself: done, with all its output, or with a sentence."""
    assert whole.signal == 0 and whole.code in (0, 1), whole
    for run in runs:
        assert run.signal == 0 and run.code in (0, 1), run
        assert run.code == 1 or (whole.code == 0 and (run.same or random)), run
        assert run.code == 0 or run.said.startswith('guestmemfs: '), run
    refused = [run for run in runs if run.code == 1 and re.search('Cannot allocate memory|no memory for', run.said)]
    assert len(refused) >= least, f'{len(refused)} of {len(runs)} were refused'


def test_what_only_asks_says_all_or_nothing(instance, tools):
    must(instance, 'truncate', '-s', 2 * BLOCK, instance.path('vm'))
    must(instance, 'mkdir', instance.path('directory'))
    must(instance, 'ln', '-s', 'some\twhere', instance.path('directory', 'link'))
    wait_for_rest(instance)
    for least, *argv in ((100, 'status', instance.mount), (100, 'status', instance.mount, '--json'),
                         (100, 'ls', instance.mount), (100, 'ls', instance.mount, '--json'),
                         (20, 'extents', instance.path('vm')), (20, 'extents', instance.path('vm'), '--json'),
                         (1, 'revoke', instance.path('vm')), (4, 'token', instance.mount), (1, 'export', instance.path('vm')),
                         (3, 'run', '--same-cgroup', '--', '/bin/true'),
                         # The last: a moment after its end, revoke still tells of who held the memory.
                         (2, 'dump', instance.path('vm'))):
        check(*run_short_of_memory(tools, *argv), least)


def test_a_freeze_that_fails_has_not_frozen(instance, tools):
    for argv, undo, done, refused in (('freeze', 'thaw', errno.EBUSY, 0), ('thaw', 'freeze', 0, errno.EBUSY)):
        whole, runs = run_short_of_memory(tools, argv, instance.mount, undo=undo, probe=instance.path('probe'))
        check(whole, runs, 2)
        assert whole.code == 0
        for run in [whole, *runs]:
            assert run.probed == (refused if run.code else done), run


def test_a_load_that_fails_leaves_no_file(instance, tools, workdir):
    with open(os.path.join(workdir, 'data'), 'w+b') as data:
        data.write(os.urandom(BLOCK + 1))
        data.flush()
        path = instance.path('loaded')
        whole, runs = run_short_of_memory(tools, 'load', path, makes=path, data=data)
    check(whole, runs, 4)
    for run in [whole, *runs]:
        assert run.made == (run.code == 0), run


def test_a_format_that_fails_leaves_no_region(tools, workdir):
    region = os.path.join(workdir, 'region')
    whole, runs = run_short_of_memory(tools, 'format', '--region', f'file:{region},size=16M', '--max-files', 100,
                                      makes=region, step=2)
    check(whole, runs, 10, random=True)  # each pool has a UUID of its own
    for run in [whole, *runs]:
        assert run.made == (run.code == 0), run


def test_fsck_finds_a_pool_clean_or_could_not_look(tools, workdir):
    region = f'file:{workdir}/region,size=64M'
    assert tools.run('guestmemfs', 'format', '--region', region).returncode == 0
    for more in ((), ('--json',)):
        whole, runs = run_short_of_memory(tools, 'fsck', '--region', region, *more)
        assert whole.code == 0
        check(whole, runs, 20)


def refused_of(runs):
    """Those that were: a run without memory has nothing to say but that."""
    return [run for run in runs if run.code == 1 and run.said.startswith('guestmemfs: ') and run.said.endswith('Cannot allocate memory')]


@pytest.mark.limit(900)
def test_doctor_has_all_facts_or_none(tools):
    """Never a fact less, which might have been a danger."""
    for more in ((), ('--json',)):
        whole, runs = run_short_of_memory(tools, 'doctor', *more, step=5, alone=True)
        assert whole.code in (0, 1) and not whole.said
        refused = refused_of(runs)
        for run in runs:
            assert run in refused or (run.same and run.code == whole.code and not run.said), run
        assert len(refused) > 1, runs


def test_doctor_without_descriptors_has_no_facts(tools):
    outcomes = []
    for most in (1024, 4, 5, 6, 7, 8):  # 4: it can open one file at a time
        argv = [*ALONE, '', 'prlimit', f'--nofile={most}', tools.path('guestmemfs'), 'doctor']
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    for code, said, refusal in outcomes[1:]:
        assert (code, said, refusal) == outcomes[0] or (code == 1 and not said and refusal.endswith('Too many open files\n')), outcomes


def test_doctor_ends_by_itself(instance, tools):
    """A pool that it has no memory to ask is a finding; a run may take a tenth of a second."""
    whole, runs = run_short_of_memory(tools, 'doctor', step=29, beside=instance)
    assert whole.code in (0, 1) and not whole.said
    refused = refused_of(runs)
    for run in runs:
        assert run.signal == 0 and run.code in (0, 1), run
        assert run in refused or ((run.mode == 'once' or run.same) and not run.said), run
    assert len(refused) > 1, runs
