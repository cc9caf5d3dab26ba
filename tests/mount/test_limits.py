# SPDX-License-Identifier: MIT
"""What grows: files of many extents, the metadata area with the number of files. And what does not: the worker's threads."""

import hashlib
import json
import os
import subprocess

from evidence import as_user, fill_to_the_end, must

BLOCK = 2 << 20
INLINE = 32  # extents that a grant's message carries itself; more come in a memfd


def scattered(instance, name):
    """A file of every other block of the pool."""
    fill_to_the_end(instance)
    singles = sorted(os.listdir(instance.mount), key=lambda n: os.stat(instance.path(n)).st_ino)
    for single in singles[::2]:
        must(instance, 'rm', instance.path(single))
    free = instance.status()['blocks']['free']
    must(instance, 'truncate', '-s', free * BLOCK, instance.path(name))
    return free


def test_a_file_of_many_extents_is_mapped_in_its_order(make_instance, make_agent, tools):
    instance, agent = make_instance(size='256M').start(), make_agent()
    blocks = scattered(instance, 'vm')
    ident = agent('open', instance.path('vm'), 'rw')[0]
    size, extents = map(int, agent('attach', ident)[:2])
    assert size == blocks * BLOCK and extents > INLINE
    mapping = agent('map', ident, 0, size, 'rw')[0]
    agent('fill', mapping, 5)
    agent('check', mapping, 5)
    # Read back in two other ways: through the command's own mappings, and from the region by the extents.
    dumped = subprocess.run([tools.path('guestmemfs'), 'dump', instance.path('vm')], stdout=subprocess.PIPE, timeout=60,
                            check=True).stdout
    places = json.loads(must(instance, 'guestmemfs', 'extents', instance.path('vm'), '--json'))['extents']
    with open(instance.region, 'rb') as region:
        pieces = []
        for extent in places:
            region.seek(extent['region_offset'])
            pieces.append(region.read(extent['length']))
    assert hashlib.sha256(dumped).digest() == hashlib.sha256(b''.join(pieces)).digest()
    assert len(dumped) == size


def test_the_metadata_area_grows_with_the_number_of_files(tools, workdir):
    sizes = []
    for files in (100, 10000, 100000):
        region = os.path.join(workdir, f'region{files}')
        done = tools.run('guestmemfs', 'format', '--region', f'file:{region},size=256M', '--max-files', files)
        assert done.returncode == 0, done.stderr
        instance_free = [line for line in done.stdout.splitlines() if line.startswith('metadata')]
        assert f'for up to {files} files' in instance_free[0]
        sizes.append(int(instance_free[0].split()[1].rstrip('M,')))
        os.unlink(region)
    assert sizes == sorted(set(sizes)), sizes


def test_a_long_list_of_files_is_whole_the_first_time(instance):
    """Longer than what the worker's memory grows by in one piece."""
    for n in range(3000):
        os.mknod(instance.path(f'file {n}'))
    lines = must(instance, 'guestmemfs', 'ls', instance.mount).splitlines()
    assert sum('/file ' in line for line in lines) == 3000, lines[:3]


def test_the_worker_has_one_thread(instance, make_agent):
    must(instance, 'truncate', '-s', 4 * BLOCK, instance.path('vm'))
    agent = make_agent()
    agent('attach', agent('open', instance.path('vm'), 'rw')[0])
    assert len(os.listdir(f'/proc/{instance.pids()["worker"]}/task')) == 1


def test_a_read_only_mount_takes_no_change(make_instance):
    instance = make_instance().start()
    must(instance, 'truncate', '-s', BLOCK, instance.path('vm'))
    assert instance.stop() == 0
    instance.restart('-o', 'ro,noatime')
    with open('/proc/mounts', encoding='utf-8') as f:
        [options] = [line.split()[3].split(',') for line in f if line.split()[1] == instance.mount]
    assert {'ro', 'noatime', 'nosuid', 'nodev', 'default_permissions', 'allow_other'} <= set(options)
    refused = as_user(instance, 'truncate', '-s', 0, instance.path('vm'))
    assert refused.returncode != 0 and 'Read-only file system' in refused.stderr
    assert os.stat(instance.path('vm')).st_size == BLOCK
