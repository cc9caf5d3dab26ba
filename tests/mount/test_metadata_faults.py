# SPDX-License-Identifier: MIT
"""
Metadata whose memory is gone under a mount that runs: changes that need it are refused, all else goes on, and what was
answered is there afterwards. The region is a file, which is cut short, as in test_content_faults.py.
"""

import errno
import os
import struct

from damage import Damage
from evidence import refused
from persona import errno_of

VALUE = 60_000  # a record of that size fills the journal soon


def lose_slot_1(instance):
    """All but its first page, and whatever lies behind; call the result to have it back as it was."""
    with open(instance.region, 'rb') as region:
        cut = struct.unpack_from('<Q', region.read(128), 120)[0] + 4096
        region.seek(cut)
        rest = region.read()
    os.truncate(instance.region, cut)

    def give_back():
        with open(instance.region, 'r+b') as region:
            region.seek(cut)
            region.write(rest)

    return give_back


def fill_journal(instance, directory):
    """What the first change gets that finds no room there any more."""
    for n in range(1000):
        if error := errno_of(os.setxattr, directory, 'user.filler', bytes([n % 256]) * VALUE):
            return error
    return 0


def test_a_slot_that_is_gone_ends_changes_and_nothing_else(instance):
    os.mkdir(instance.path('before'))
    assert instance.status()['metadata_fault'] is None
    pids = instance.pids()
    give_back = lose_slot_1(instance)
    os.mkdir(instance.path('after'))
    assert fill_journal(instance, instance.path('after')) == errno.EIO
    made = 0
    while made < 1000 and not (error := errno_of(os.mkdir, instance.path('after', str(made)))):
        made += 1
    assert error == errno.EIO
    assert len(os.listdir(instance.path('after'))) == made, 'what was refused is not there'
    assert 'changes are refused (EIO)' in instance.log()
    assert 'changes are refused (EIO)' in instance.status()['metadata_fault']
    tree = instance.tree()
    assert instance.pids() == pids, 'nobody has died'
    refused = instance.tools.run('guestmemfs', 'freeze', instance.mount)
    assert refused.returncode == 1 and 'no checkpoint could be written' in refused.stderr

    give_back()
    assert instance.tree() == tree
    os.mkdir(instance.path('again'))
    assert instance.status()['metadata_fault'] is None
    tree = instance.tree()
    assert instance.stop() == 0
    assert instance.fsck().returncode == 0
    instance.start()
    assert instance.tree() == tree


def test_a_stamp_that_is_gone_ends_no_worker_that_comes(instance):
    """Whose the regions are was shown when they were mounted; the next mount wants to see it again."""
    os.mkdir(instance.path('before'))
    tree, damage = instance.tree(), Damage(instance.region)
    for place in ('first_stamp', 'last_stamp'):
        damage.flip(damage.place(place) + 30)
    for victims in (['worker'], ['helper'], ['worker', 'helper']):
        before = instance.pids()
        instance.kill(*victims)
        instance.wait_status(lambda s, before=before, victims=victims: all(s['pids'][name] not in (0, before[name]) for name in victims))
        assert instance.tree() == tree
    os.mkdir(instance.path('after'))
    tree = instance.tree()
    assert instance.stop() == 0
    assert 'the stamp in the first block of region 0' in refused(instance)
    done = instance.tools.run('guestmemfs', 'fsck', '--repair', '--yes', '--backup', f'{instance.directory}/damaged', '--region',
                              f'file:{instance.region}')
    assert done.returncode == 0, done.stderr
    instance.start()
    assert instance.tree() == tree
