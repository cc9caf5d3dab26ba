# SPDX-License-Identifier: MIT
"""
The initramfs of the lab host: busybox, the script `init`, and the modules that mounting the machine's root takes. All
other modules are loaded from that root by modprobe.

The modules come with all that modules.dep says they need, not with what `modprobe --show-depends` says: that leaves
out what the running kernel has built in. They are unpacked, for busybox loads no compressed ones.
"""

import lzma
import os
import subprocess

NEEDED = ('virtio_pci', '9pnet_virtio', '9p', 'overlay')
BUSYBOX = '/bin/busybox'
DIRECTORIES = ('bin', 'dev', 'host', 'modules', 'new', 'proc', 'rw')


class InitramfsError(Exception):
    """Something that belongs into it is not there."""


def module_name(path):
    return os.path.basename(path).split('.ko')[0].replace('-', '_')


def read_lines(path):
    with open(path, encoding='utf-8') as f:
        return f.read().splitlines()


def modules_in_order(directory, needed):
    """Paths below directory, each after those that it needs."""
    depends = {}
    for line in read_lines(f'{directory}/modules.dep'):
        path, _, others = line.partition(':')
        depends[module_name(path)] = (path, others.split())
    builtin = {module_name(path) for path in read_lines(f'{directory}/modules.builtin')}
    ordered = []
    for name in needed:
        if name in builtin:
            continue
        if name not in depends:
            raise InitramfsError(f'{directory} has no module {name}')
        path, others = depends[name]
        # modules.dep names the direct need first and the one that stands on nothing last.
        ordered += [p for p in [*reversed(others), path] if p not in ordered]
    return ordered


def module_bytes(path):
    if path.endswith('.xz'):
        with lzma.open(path) as f:
            return f.read()
    if path.endswith('.zst'):
        return subprocess.run(['zstd', '-dc', path], stdout=subprocess.PIPE, check=True).stdout
    with open(path, 'rb') as f:
        return f.read()


class Archive:
    """A cpio archive of the kind `newc`, which the kernel unpacks."""

    def __init__(self, out):
        self._out = out
        self._ino = 0

    def add(self, name, mode, data=b''):
        self._ino += 1
        encoded = name.encode() + b'\0'
        fields = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self._padded(b'070701' + b''.join(b'%08x' % n for n in fields) + encoded)
        self._padded(data)

    def _padded(self, data):
        self._out.write(data + bytes(-len(data) % 4))

    def directory(self, name):
        self.add(name, 0o040755)

    def program(self, name, path):
        with open(path, 'rb') as f:
            self.add(name, 0o100755, f.read())

    def end(self):
        self.add('TRAILER!!!', 0)


def write_initramfs(path, modules):
    """modules: the directory of one kernel's modules, with modules.dep; its name is the kernel's release."""
    release = os.path.basename(os.path.realpath(modules))
    ordered = modules_in_order(modules, NEEDED)
    with open(path, 'wb') as out:
        archive = Archive(out)
        for name in (*DIRECTORIES, f'modules/{release}'):
            archive.directory(name)
        archive.program('bin/busybox', BUSYBOX)
        archive.program('init', os.path.join(os.path.dirname(__file__), 'init'))
        for module in ordered:
            archive.add(f'modules/{release}/{module_name(module)}.ko', 0o100644, module_bytes(f'{modules}/{module}'))
        listed = ''.join(f'{module_name(module)}.ko\n' for module in ordered)
        archive.add(f'modules/{release}/list', 0o100644, listed.encode())
        archive.end()
