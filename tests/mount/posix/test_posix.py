# SPDX-License-Identifier: MIT
"""
What POSIX and the Linux manual pages say of each call, as tables; each row is acted out on tmpfs and on a mount. On tmpfs it
must come out as the row says, so that the tables are true; on the mount too, and in all else (attributes, and which times
change) as on tmpfs, but for what differences.py lists with its reason. What tmpfs has not, policies, the mount does as the row says.
"""

import dataclasses
import os
import shutil
import tempfile

import pytest

import acls
import table_acls
import table_attributes
import table_content
import table_files
import table_names
import table_policies
from differences import ATIME_OF, CONTENT_ATIME_OF, CONTENT_ROWS, ROWS, comparable
from harness import ROOT, Instance
from persona import as_user
from row import act, complaints, read_table

ALL = [row for module in (table_names, table_attributes, table_acls, table_files) for row in read_table(module.TABLE)]
CONTENT = read_table(table_content.TABLE)
POLICIES = read_table(table_policies.TABLE)


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


@pytest.fixture(scope='module')
def marked(mount):
    """A directory in which files have content."""
    path = mount.path('io')
    os.mkdir(path)
    os.setxattr(path, 'user.guestmemfs.io', b'1')
    return path


def act_below(row, parent):
    """In a directory of its own, and in a process of its own: rows change ids, and leave files open."""
    top = tempfile.mkdtemp(dir=parent)
    try:
        return as_user(ROOT, act, row, top)
    finally:
        shutil.rmtree(top)


def works_below(parent, row):
    """tmpfs has the attributes of users, and O_DIRECT, from Linux 6.6 on, and lists where the kernel was built with them."""
    path = os.path.join(parent, 'probe')
    try:
        if 'acl' in row.call + row.setup:
            os.setxattr(parent, acls.ATTRIBUTE['access'], acls.pack('u:rwx+g:rx+o:rx'))
        if 'xattr' in row.call:
            os.setxattr(parent, 'user.k', b'v')
        if 'DIRECT;' in row.call:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
            os.unlink(path)
    except OSError:
        return False
    return True


def compare(row, parent, reference_parent, differences, atime_of=ATIME_OF):
    effect, why = differences.get((row.call, row.setup), (row.effect, None))
    own_row = dataclasses.replace(row, effect=effect)
    if not works_below(reference_parent, row):  # nothing to compare with
        own = act_below(row, parent)
        assert not complaints(own_row, own), f'on the mount; what happened: {own}'
        return
    reference = act_below(row, reference_parent)
    assert not complaints(row, reference), f'on tmpfs; what happened: {reference}'
    own = act_below(row, parent)
    assert not complaints(own_row, own), f'on the mount, {"which differs: " + why if why else "as on tmpfs"}; what happened: {own}'
    if why:
        assert complaints(row, own), 'there is no difference any more'
    else:
        assert comparable(own, atime_of) == comparable(reference, atime_of)


@pytest.mark.parametrize('row', ALL, ids=str)
def test_row(row, mount, workdir):
    compare(row, mount.mount, workdir, ROWS)


@pytest.mark.parametrize('row', CONTENT, ids=str)
def test_row_of_content(row, marked, workdir):
    compare(row, marked, workdir, CONTENT_ROWS, CONTENT_ATIME_OF)


@pytest.mark.parametrize('row', POLICIES, ids=str)
def test_row_of_policies(row, mount):
    """tmpfs has none of them."""
    seen = act_below(row, mount.mount)
    assert not complaints(row, seen), seen


def test_every_difference_is_one_of_a_row():
    for rows, differences in ((ALL, ROWS), (CONTENT, CONTENT_ROWS)):
        calls = {(row.call, row.setup) for row in rows}
        assert not [key for key in differences if key not in calls]
