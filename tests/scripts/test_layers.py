# SPDX-License-Identifier: MIT
"""Includes point down only: the picture of the layers in CONTRIBUTING.md, as a check of every #include in the tree."""

import pathlib
import re

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

# What each directory of src may include besides itself; `guestmemfs` are the public headers. A new directory or a new
# arrow is a decision: it belongs here, into CONTRIBUTING.md and into docs/architecture.md.
MAY_INCLUDE = {
    'util': {'guestmemfs'},
    'confine': {'util'},
    'proto': {'guestmemfs', 'util'},
    'alloc': {'guestmemfs', 'util'},
    'store': {'guestmemfs', 'util', 'alloc'},
    'region': {'guestmemfs', 'util'},
    'pool': {'guestmemfs', 'util', 'store', 'region'},
    'client': {'guestmemfs', 'util'},
    'counts': {'guestmemfs', 'util', 'confine'},
    'helper': {'guestmemfs', 'util', 'confine', 'counts', 'proto', 'region'},
    'fuse': {'guestmemfs', 'util', 'confine', 'proto', 'alloc', 'store', 'region', 'pool'},
    'doctor': {'guestmemfs', 'util', 'region'},
    'cli': {'guestmemfs', 'util', 'proto', 'store', 'region', 'pool', 'client', 'doctor'},
}

# Within src/fuse: the namespace knows nothing of the worker around it.
NAMESPACE_MAY_INCLUDE = {'fuse/content_memory.h', 'fuse/namespace.h', 'fuse/ns_content.h', 'fuse/ns_internal.h',
                         'fuse/open_table.h'}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def faults_of(path, text):
    """The includes of a file (path from the top of the tree) that it may not have."""
    parts = pathlib.PurePath(path).parts
    layer = parts[1]
    for quote, name in INCLUDE.findall(text):
        if layer == 'alloc' and name in ('stdio.h', 'unistd.h', 'fcntl.h'):
            yield f'{path}: {name}: alloc does no I/O'
        if quote == '<':
            if name.startswith('fuse') and parts[-1] not in ('ops.h', 'mount.c'):
                yield f'{path}: {name}: only the operations and the mount know libfuse'
            continue
        target = name.split('/')[0]
        if name == 'config.h':
            continue
        if '/' not in name:
            yield f'{path}: {name}: an include names its directory'
        elif parts[0] == 'include':
            if target != 'guestmemfs':
                yield f'{path}: {name}: a public header stands alone'
        elif target != layer and target not in MAY_INCLUDE[layer]:
            yield f'{path}: {name}: src/{layer} may not include src/{target}'
        elif re.match(r'ns_|namespace\.', parts[-1]) and target == layer and name not in NAMESPACE_MAY_INCLUDE:
            yield f'{path}: {name}: the namespace knows nothing of what is around it'


def sources():
    for root in 'src', 'include':
        for path in sorted((TOP / root).rglob('*.[ch]')):
            yield str(path.relative_to(TOP)), path.read_text()


def test_no_include_goes_up():
    faults = [fault for path, text in sources() for fault in faults_of(path, text)]
    assert not faults, '\n'.join(faults)


def test_every_directory_has_its_place():
    assert {path.name for path in (TOP / 'src').iterdir() if path.is_dir()} == set(MAY_INCLUDE)


@pytest.mark.parametrize('path, line, why', [
    ('src/alloc/plan.c', '#include "store/meta.h"', 'src/alloc may not include src/store'),
    ('src/alloc/plan.c', '#include <stdio.h>', 'no I/O'),
    ('src/helper/work.c', '# include "store/codec.h"', 'src/helper may not include src/store'),
    ('src/client/map.c', '#include "proto/link.h"', 'src/client may not include src/proto'),
    ('src/fuse/ns_names.c', '#include "fuse/worker.h"', 'the namespace knows nothing'),
    ('src/fuse/grants.c', '#include <fuse_lowlevel.h>', 'know libfuse'),
    ('src/store/txn.c', '#include "txn.h"', 'names its directory'),
    ('include/guestmemfs/types.h', '#include "util/le.h"', 'stands alone'),
])
def test_an_include_that_goes_up_is_noticed(path, line, why):
    found = list(faults_of(path, f'#include "guestmemfs/types.h"\n{line}\n'))
    assert len(found) == 1 and why in found[0]
