# SPDX-License-Identifier: MIT
"""
What POSIX and the Linux manual pages say of each call, as tables; each row is acted out on tmpfs and on a mount. On tmpfs it
must come out as the row says, so that the tables are true; on the mount too, and in all else (attributes, and which times
change) as on tmpfs, but for what differences.py lists with its reason.
"""

import dataclasses
import os
import shutil
import tempfile

import pytest

import table_attributes
import table_files
import table_names
from differences import ROWS, comparable
from harness import ROOT, Instance
from persona import as_user
from row import act, complaints, read_table

ALL = [row for module in (table_names, table_attributes, table_files) for row in read_table(module.TABLE)]


@pytest.fixture(scope='module')
def mount(tools):
    """One instance for all rows: each has a directory of its own there."""
    with tempfile.TemporaryDirectory(prefix='guestmemfs-posix-', dir='/dev/shm') as directory:
        os.chmod(directory, 0o755)
        instance = Instance(tools, directory, size='128M')
        try:
            yield instance.start()
        finally:
            instance.clean_up()
        assert not instance.complaints()


def act_below(row, parent):
    """In a directory of its own, and in a process of its own: rows change ids, and leave files open."""
    top = tempfile.mkdtemp(dir=parent)
    try:
        return as_user(ROOT, act, row, top)
    finally:
        shutil.rmtree(top)


def has_xattrs(directory):
    """tmpfs has those of users from Linux 6.6 on."""
    try:
        os.setxattr(directory, 'user.k', b'v')
    except OSError:
        return False
    return True


@pytest.mark.parametrize('row', ALL, ids=str)
def test_row(row, mount, workdir):
    if 'xattr' in row.call and not has_xattrs(workdir):  # nothing to compare with
        own = act_below(row, mount.mount)
        assert not complaints(row, own), f'on the mount; what happened: {own}'
        return
    reference = act_below(row, workdir)
    assert not complaints(row, reference), f'on tmpfs; what happened: {reference}'
    own = act_below(row, mount.mount)
    if difference := ROWS.get((row.call, row.setup)):
        effect, why = difference
        assert not complaints(dataclasses.replace(row, effect=effect), own), f'where it differs, for {why}: {own}'
        assert complaints(row, own), 'there is no difference any more'
    else:
        assert not complaints(row, own), f'on the mount; what happened: {own}'
        assert comparable(own) == comparable(reference)


def test_every_difference_is_one_of_a_row():
    calls = {(row.call, row.setup) for row in ALL}
    assert not [key for key in ROWS if key not in calls]
