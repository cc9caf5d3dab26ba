# SPDX-License-Identifier: MIT
"""
One row of the tables, read, and acted out in a directory. A row is

    call | set-up | errno or effect [| as USER, umask OCTAL]

call: one or more steps, separated by ';'. What the last one does is judged, the others must work. set-up: steps too, done
by root. The words of the steps are in steps.py. The effect is an errno, after which nothing may have changed (but
the atime of what was walked through), or `ok` and

    =VALUE           what the call returns
    a:mode=644       of an object in the directory (`.` is the directory itself): mode (octal), nlink, uid, gid, size,
                     rdev, type (file, dir, symlink, fifo, socket, char, block), or times: those of a, m, c that change, `new` if
                     the object is
    a:gone           it is not there any more

Everything in the directory belongs to the user of the row at first. Lines without '|' are headings.
"""

import dataclasses
import os
import stat
import time

from harness import ROOT, User
from steps import Steps

TYPES = {stat.S_IFREG: 'file', stat.S_IFDIR: 'dir', stat.S_IFLNK: 'symlink', stat.S_IFIFO: 'fifo',
         stat.S_IFSOCK: 'socket', stat.S_IFCHR: 'char', stat.S_IFBLK: 'block'}
USERS = {'root': ROOT, 'plain': User(65534, 65534), 'other': User(65533, 65533)}
LONG_AGO = 10**18  # ns
TICK = 0.012  # more than one of the kernel's coarse clock


@dataclasses.dataclass(frozen=True)
class Row:
    call: str
    setup: str
    effect: str
    user: object = ROOT
    umask: int = 0o022

    def __str__(self):
        return f'{self.call} [{self.setup}]' + ('' if self.user is ROOT else f' as {self.user.uid}')


def split_steps(text):
    return [step.split() for step in text.split(';') if step.strip()]


def read_row(line):
    columns = [column.strip() for column in line.split('|')]
    if not 3 <= len(columns) <= 4:
        raise ValueError(f'not a row: {line}')
    options = dict(option.split() for option in columns[3].split(',')) if len(columns) == 4 else {}
    return Row(*columns[:3], user=USERS[options.get('as', 'root')], umask=int(options.get('umask', '022'), 8))


def read_table(text):
    rows = [read_row(line) for line in text.splitlines() if '|' in line]
    if len(set(rows)) != len(rows):
        raise ValueError(f'twice: {[str(row) for row in set(rows) if rows.count(row) > 1]}')
    return rows


# -- what there is in a directory


def _names(top):
    """Of all objects below, and '.'; this reads directories, and so may change their atime."""
    names = ['.']
    for path, directories, files in os.walk(top):
        names += [os.path.relpath(os.path.join(path, name), top) for name in directories + files]
    return names


def _attributes(top, names):
    found = {}
    for name in names:
        try:
            found[name] = os.lstat(os.path.join(top, name))
        except (FileNotFoundError, NotADirectoryError):
            pass
    return found


def _moved(old, new):
    return ''.join(letter for letter in 'amc'
                   if getattr(old, f'st_{letter}time_ns') != getattr(new, f'st_{letter}time_ns'))


def _facts(old, new):
    kind = TYPES[stat.S_IFMT(new.st_mode)]
    facts = {'mode': f'{stat.S_IMODE(new.st_mode):o}', 'nlink': str(new.st_nlink), 'uid': str(new.st_uid),
             'gid': str(new.st_gid), 'type': kind, 'times': _moved(old, new) if old else 'new'}
    if kind in ('file', 'symlink'):
        facts['size'] = str(new.st_size)
    if kind in ('char', 'block'):
        facts['rdev'] = f'{os.major(new.st_rdev)}:{os.minor(new.st_rdev)}'
    return facts


# -- acting


def act(row, top):
    """What happens in the empty directory top: {'outcome': errno or ok, 'value', 'objects', 'gone'}. In a process of its own."""
    os.umask(0)
    steps = Steps(top, row.user)
    steps.run(split_steps(row.setup))
    steps.settle()
    *first, last = split_steps(row.call)
    with steps.as_user(row.umask):
        steps.run(first)
    names = _names(top)
    for name in names:
        os.utime(os.path.join(top, name), ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
    before = _attributes(top, names)
    time.sleep(TICK)
    with steps.as_user(row.umask):
        outcome, value = steps.judge(last)
    after = _attributes(top, names)  # before directories are read
    after.update(_attributes(top, [name for name in _names(top) if name not in after]))
    known = {st.st_ino: st for st in before.values()}
    return {'outcome': outcome, 'value': value,
            'objects': {name: _facts(known.get(st.st_ino), st) for name, st in after.items()},
            'gone': sorted(set(before) - set(after))}


def complaints(row, seen):
    """Where what was seen is not what the row says; none: []."""
    wanted, *effects = row.effect.split()
    if seen['outcome'] != wanted:
        return [f'{wanted} expected, {seen["outcome"]} came']
    if wanted != 'ok':
        changed = [f'{name}: {facts["times"]}' for name, facts in seen['objects'].items() if facts['times'] not in ('', 'a')]
        return [f'it failed, but changed {changed} {seen["gone"]}'] if changed or seen['gone'] else []
    return [wrong for effect in effects if (wrong := _complaint(effect, seen))]


def _complaint(effect, seen):
    if effect.startswith('='):
        return f'{effect[1:]} expected, {seen["value"]} returned' if str(seen['value']) != effect[1:] else None
    name, _, fact = effect.partition(':')
    if fact == 'gone':
        return f'{name} is still there' if name in seen['objects'] else None
    key, _, value = fact.partition('=')
    real = seen['objects'].get(name, {}).get(key)
    return f'{effect} expected, {real} is there' if real != value else None
