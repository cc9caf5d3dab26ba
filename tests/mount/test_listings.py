# SPDX-License-Identifier: MIT
"""Listings of directories: complete, without repetition, and stable while the directory changes under them."""

import ctypes
import os

from persona import make_file

SEEK_ENTRIES = 40
FILES = 5000


def test_five_thousand_files_are_listed_once_each(mounted, inside):
    def body(mount):
        names = {f'file-{n:05}' for n in range(FILES)}
        for name in names:
            os.close(os.open(f'{mount}/{name}', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        listed = os.listdir(mount)
        assert len(listed) == FILES and set(listed) == names
        inodes = {entry.inode() for entry in os.scandir(mount) if entry.stat().st_size == 0}
        assert len(inodes) == FILES
        for name in names:
            os.unlink(f'{mount}/{name}')
        assert os.listdir(mount) == []

    inside(body, timeout=50)
    assert mounted.status()['files']['count'] == 1


class Stream:
    """opendir(3) with places, which Python does not have."""

    class Entry(ctypes.Structure):
        _fields_ = [('ino', ctypes.c_uint64), ('place', ctypes.c_int64), ('length', ctypes.c_uint16),
                    ('type', ctypes.c_uint8), ('name', ctypes.c_char * 256)]

    def __init__(self, path):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.opendir.restype = ctypes.c_void_p
        self._libc.telldir.restype = ctypes.c_long
        self._libc.readdir.restype = ctypes.POINTER(self.Entry)
        self._dir = ctypes.c_void_p(self._libc.opendir(os.fsencode(path)))
        assert self._dir

    def read(self):
        entry = self._libc.readdir(self._dir)
        return entry.contents.name.decode() if entry else None

    def tell(self):
        return self._libc.telldir(self._dir)

    def seek(self, place):
        self._libc.seekdir(self._dir, ctypes.c_long(place))

    def rewind(self):
        self._libc.rewinddir(self._dir)

    def rest(self):
        names = []
        while (name := self.read()) is not None:
            names.append(name)
        return names


def test_places_in_a_listing_stay_good_while_it_changes(inside):
    def body(mount):
        for n in range(SEEK_ENTRIES):
            make_file(f'{mount}/f{n:02}')
        stream = Stream(mount)
        places = {}
        while True:
            place, name = stream.tell(), stream.read()
            if name is None:
                break
            places[name] = place
        assert set(places) == {'.', '..'} | {f'f{n:02}' for n in range(SEEK_ENTRIES)}
        order = sorted(places, key=places.get)
        for name in reversed(order):
            stream.seek(places[name])
            assert stream.rest() == order[order.index(name):]

        # Half of them go, others come: the places of those that stay are good.
        gone = set(order[3::2])
        for name in gone:
            os.unlink(f'{mount}/{name}')
        for n in range(SEEK_ENTRIES):
            make_file(f'{mount}/new{n:02}')
        left = [name for name in order if name not in gone]
        for name in left:
            stream.seek(places[name])
            assert [found for found in stream.rest() if not found.startswith('new')] == left[left.index(name):]
        for name in gone:
            stream.seek(places[name])
            following = [other for other in left if places[other] > places[name]]
            assert [found for found in stream.rest() if not found.startswith('new')] == following
        stream.rewind()
        assert sorted(stream.rest()) == sorted(os.listdir(mount) + ['.', '..'])

    inside(body)


def test_a_listing_that_renames_and_removes_what_it_finds_ends_and_finds_all(inside):
    def body(mount):
        count = 600  # several getdents64(2), several READDIRs
        for n in range(count):
            make_file(f'{mount}/old{n}')
        seen = []
        with os.scandir(mount) as entries:
            for entry in entries:
                seen.append(entry.name)
                assert len(seen) <= count, 'what was renamed came again'
                if len(seen) % 2:
                    os.rename(entry.path, f'{mount}/renamed{len(seen)}')
                else:
                    os.unlink(entry.path)
        assert sorted(seen) == sorted(f'old{n}' for n in range(count))
        assert len(os.listdir(mount)) == count // 2

    inside(body)
