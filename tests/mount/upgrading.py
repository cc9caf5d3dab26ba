# SPDX-License-Identifier: MIT
"""guestmemfs upgrade, of programs that a test can replace."""

import json
import os
import shutil
import time

from evidence import daemons_of
from harness import Tools

AS_WORKER = '#!/bin/sh\n[ "$1" = --version ] && exit 0\n'  # it can be run, but then:


class OwnTools(Tools):
    """guestmemfs-fuse is a copy, in the place of which a test can put something else."""

    def __init__(self, tools, directory):
        super().__init__(tools.prefix)
        self.fuse = os.path.join(directory, 'guestmemfs-fuse')
        self.good = tools.path('guestmemfs-fuse')
        self.install_good()
        self.version = self.version_of(self.fuse)

    def version_of(self, program):
        return self.run(program, '--version').stdout.split()[1]

    def path(self, name):
        return self.fuse if name == 'guestmemfs-fuse' else super().path(name)

    def install(self, program):
        """As package managers do it: the running file stays what it is."""
        with open(self.fuse + '.new', 'wb') as new:
            new.write(program if isinstance(program, bytes) else program.encode())
        os.chmod(self.fuse + '.new', 0o755)
        os.rename(self.fuse + '.new', self.fuse)

    def install_version(self, version):
        """Another build: it says another version, which must be as long."""
        with open(self.good, 'rb') as good:
            program = good.read().replace(self.version.encode() + b'\0', version.encode() + b'\0')
        self.install(program)

    def install_good(self):
        shutil.copy(self.good, self.fuse + '.new')
        os.rename(self.fuse + '.new', self.fuse)


def start_own(instance, workdir):
    """Starts it with a guestmemfs-fuse of its own."""
    instance.tools = OwnTools(instance.tools, workdir)
    return instance.start()


def upgrade(instance, user=None, timeout=100):
    return instance.tools.run('guestmemfs', 'upgrade', instance.mount, '--json', user=user or instance.user,
                              timeout=timeout)


def upgrade_once_started(instance, seconds=30):
    """A worker that answers already may have a helper, or a supervisor, that has not heard so: asked again then, as it says."""
    deadline = time.monotonic() + seconds
    while 'is just being started: try again' in (done := upgrade(instance)).stderr and time.monotonic() < deadline:
        time.sleep(0.1)
    return done


def upgraded(instance):
    """The answer of one that must succeed, after which all three are others."""
    before = daemons_of(instance.process.pid)
    done = upgrade_once_started(instance)
    assert (done.returncode, done.stderr) == (0, ''), instance.log()
    answer = json.loads(done.stdout)
    after = daemons_of(instance.process.pid)
    assert not set(before.values()) & set(after.values())
    assert after == {name: answer[name]['pid'] for name in after}
    return answer


def refused(instance, *words, user=None):
    done = upgrade(instance, user)
    assert (done.returncode, done.stdout) == (1, ''), instance.log()
    assert all(word in done.stderr for word in words), done.stderr
