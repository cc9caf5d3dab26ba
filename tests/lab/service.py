# SPDX-License-Identifier: MIT
"""guestmemfs-fuse as a service of systemd, in forms that docs/boot.md has."""

import os
import subprocess

from lab import HANGS
from product import Pool
from units import properties, write_unit

REGION = 'soft:auto'
MOUNT = '/mnt/gm'
# As docs/boot.md has it; but a host without sysinit.target has no default dependencies.
SERVICE = f'''[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
Type=forking
KillMode=mixed
OOMPolicy=continue
ExecStart={{fuse}} --region {REGION} --format=blank {MOUNT}
ExecReload={{command}} upgrade {MOUNT}
'''
# The bare one that nobody has thought about: every process of it is told to end at once.
FOREGROUND = f'''[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
Type=exec
ExecStart={{fuse}} -f --region {REGION} {MOUNT}
'''


class Service(Pool):
    """The instance as lab-gm.service."""

    def __init__(self, lab, text, foreground=False):  # pylint: disable=super-init-not-called
        self.lab, self.mount = lab, MOUNT
        os.makedirs(MOUNT, exist_ok=True)
        write_unit('lab-gm.service', text.format(fuse=f'{lab.plan["prefix"]}/bin/guestmemfs-fuse',
                                                command=f'{lab.plan["prefix"]}/bin/guestmemfs'))
        lab.run('systemctl', 'daemon-reload')
        self.start(foreground)
        self.check_main('it')

    def start(self, foreground):
        """A service that forks is there when the start job is done; one in the foreground soon after."""
        self.lab.run('systemctl', 'start', 'lab-gm.service')
        if foreground:
            self.lab.wait_until(self._is_there, HANGS, 'a service that stays in the foreground mounts the pool')

    def check_main(self, what):
        state, pid = properties('lab-gm.service', 'ActiveState', 'MainPID')
        pids = self.status()['pids']
        self.lab.check((state, int(pid)) == ('active', pids['supervisor']),
                       f'{what}: the service is active, and the supervisor is its main process', f'{state} {pid} {pids}')

    def _is_there(self):
        return subprocess.run(['guestmemfs', 'status', self.mount], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    def reload(self):
        before = self.status()['pids']
        self.lab.run('systemctl', 'reload', 'lab-gm.service')
        after = self.status()['pids']
        state, = properties('lab-gm.service', 'ActiveState')
        self.lab.check(state == 'active' and after['supervisor'] == before['supervisor']
                       and not any(after[name] in (0, before[name]) for name in ('worker', 'helper', 'keeper')),
                       'systemctl reload replaces worker, helper and keeper', f'{state} {before} {after}')

    def stop(self, how, region=REGION):
        pids = [pid for pid in self.status()['pids'].values() if pid]
        self.lab.run('systemctl', 'stop', 'lab-gm.service')
        state = properties('lab-gm.service', 'ActiveState', 'Result', 'ExecMainStatus')
        self.lab.check(state == ('inactive', 'success', '0') and not os.path.ismount(MOUNT)
                       and not any(os.path.exists(f'/proc/{pid}') for pid in pids),
                       f'systemctl stop ends {how} in good order, with all its processes', f'{state}')
        text = self.lab.run('guestmemfs', 'fsck', '--region', region)
        self.lab.check(' 0 journal records: clean' in text, 'and a checkpoint was its last act', text)
