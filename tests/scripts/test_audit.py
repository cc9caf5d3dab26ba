# SPDX-License-Identifier: MIT
"""docs/audit.md has the limits that the code has, and every event and word."""

import os
import re

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


def text(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as f:
        return f.read()


def number(path, name):
    return int(re.search(rf'#define {name}\s+(\d+)U', text(path)).group(1))


def limits_of_document():
    """The table, as (lines, of) -> number; an empty first column is that of the row before."""
    rows, last = {}, None
    for line in text('docs/audit.md').split('| lines | of | at most |')[1].splitlines()[2:]:
        if not line.startswith('|'):
            break
        lines, of, most = (cell.strip() for cell in line.strip('|').split('|'))
        last = lines or last
        rows[last, of] = int(most)
    return rows


def test_limits():
    user, everybody, grants = (number('src/helper/audits.h', name)
                               for name in ('AUDITS_USER_LINES', 'AUDITS_LINES', 'AUDITS_GRANT_LINES'))
    worker = number('src/fuse/refusals.h', 'REFUSALS_LINES')
    assert limits_of_document() == {
        ('refusals by the helper', 'one user'): user,
        ('refusals by the helper', 'all users'): everybody,
        ("refusals of the worker's messages", 'the worker'): user,
        ('refusals by the worker', 'all who ask through the mount'): worker,
        ('refusals by the worker', 'all who ask by the control socket'): worker,
        ('grants', 'one process'): grants,
        ('grants', 'one user'): everybody,
        ('exports', 'one inode'): grants,
        ('exports', 'all inodes'): everybody,
    }
    assert f'In {number("src/util/limiter.h", "LIMITER_PERIOD") // 1000} seconds at most' in text('docs/audit.md')


def test_words():
    document = text('docs/audit.md')
    words = set()
    for path in ('src/helper/audits.c', 'src/fuse/refusals.c', 'src/util/audit.c'):
        words |= set(re.findall(r'audit_add\(&?a, "(\w+)"', text(path)))
    assert {'pid', 'by_pid', 'epoch', 'request'} <= words
    assert [word for word in sorted(words) if f'`{word}`' not in document and f'`{word}=' not in document] == []
    for event in re.findall(r'\[AUDIT_\w+\] = "(\w+)"', text('src/util/audit.c')):
        assert f'| `{event}` |' in document
