# SPDX-License-Identifier: MIT
"""Pools that released versions of the format have written (tests/golden) are mounted, show what they held, and go on."""

import gzip
import os
import re
import stat

import pytest

from evidence import BLOCK, assert_clean, must

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), 'golden')
NAMES = ['everything', 'checkpoint', 'cut-short', 'frozen', 'grown', 'links', 'two-regions']


def read_listing(name):
    with open(os.path.join(GOLDEN, f'{name}.listing'), encoding='ascii') as listing:
        return listing.read()


def unpack(name, region, number=0):
    """The image has a region's first blocks and its last one; what lies between is left out."""
    blocks = int(re.search(rf'^region {number} blocks (\d+)', read_listing(name), re.MULTILINE).group(1))
    with gzip.open(os.path.join(GOLDEN, f'{name}.{number}.img.gz' if number else f'{name}.img.gz')) as image:
        data = image.read()
    with open(region, 'wb') as file:
        file.write(data[:-BLOCK])
        file.seek((blocks - 1) * BLOCK)
        file.write(data[-BLOCK:])


def expected_tree(name):
    """Each path below the root with what stat(2) says of it, from the listing."""
    inodes, entries = {}, {}
    for line in read_listing(name).splitlines():
        words = line.split(' ')
        if words[0] == 'inode':
            field = dict(zip(words[2::2], words[3::2]))
            uid, gid = field['owner'].split(':')
            inodes[words[1]] = (int(words[1]), int(field['mode'], 8), int(uid), int(gid), int(field['links']),
                                int(field['size']), nanoseconds(field['m']), nanoseconds(field['a']))
        elif words[0] == 'entry':
            raw = words[7].encode('ascii').decode('unicode_escape').encode('latin-1')
            entries.setdefault(words[1].split('/')[0], []).append((raw, words[5]))
    tree = {}

    def walk(directory, path):
        for raw, ino in entries.get(directory, []):
            tree[os.path.join(path, raw)] = inodes[ino]
            walk(ino, os.path.join(path, raw))

    walk('1', b'')
    return tree


def nanoseconds(text):
    seconds, fraction = text.split('.')
    return int(seconds) * 10 ** 9 + int(fraction)


def real_tree(mount):
    tree = {}
    for directory, names, files in os.walk(os.fsencode(mount)):
        for name in names + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
            tree[os.path.relpath(path, os.fsencode(mount))] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink,
                                                               size, st.st_mtime_ns, st.st_atime_ns)
    return tree


@pytest.mark.parametrize('name', NAMES)
def test_golden_image(make_instance, name):
    second = name == 'two-regions'
    instance = make_instance()
    more = ['--region', f'file:{instance.region}.1'] if second else []
    unpack(name, instance.region)
    if second:
        unpack(name, f'{instance.region}.1', 1)
    else:
        assert_clean(instance)
    instance.start(*more)
    assert real_tree(instance.mount) == expected_tree(name)
    must(instance, 'rm', instance.path('a'))  # makes room
    must(instance, 'mkdir', instance.path('new'))
    must(instance, 'truncate', '-s', BLOCK, instance.path('new/file'))
    tree = real_tree(instance.mount)
    assert instance.stop() == 0
    instance.start(*more)
    assert real_tree(instance.mount) == tree
    assert instance.stop() == 0
    if not second:
        assert_clean(instance)
