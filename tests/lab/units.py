# SPDX-License-Identifier: MIT
"""systemd in a lab host that it runs: units, the bus, the journal. Nothing of it is there before it is asked for."""

import json
import os
import subprocess

from lab import HANGS, read_text

UNITS = '/run/systemd/system'
# Without what these wait for on a whole host, and without the namespaces of their own, which cost seconds here.
BARE = '''[Unit]
DefaultDependencies=no
[Service]
PrivateTmp=no
ProtectSystem=no
ProtectHome=no
ProtectControlGroups=no
ProtectKernelLogs=no
'''


def write_unit(name, text):
    """After the last of them comes a daemon-reload."""
    path = f'{UNITS}/{name}'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='ascii') as f:
        f.write(text)


def prepare_services():
    for name in ('dbus.service', 'systemd-logind.service'):
        write_unit(f'{name}.d/lab.conf', BARE)
    write_unit('dbus.socket.d/lab.conf', '[Unit]\nDefaultDependencies=no\n')


def properties(unit, *names):
    """As systemctl show has them, in this order."""
    out = subprocess.run(['systemctl', 'show', unit, '-p', ','.join(names)], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = dict(line.split('=', 1) for line in out.splitlines())
    return tuple(found[name] for name in names)


def cgroup(pid='self'):
    return read_text(f'/proc/{pid}/cgroup').strip().removeprefix('0::')


class Journal:
    def __init__(self, lab):
        self.lab = lab

    def entries(self, *matches):
        out = self.lab.run('journalctl', '--quiet', '--output=json', *matches, told=False)
        return [json.loads(line) for line in out.splitlines()]

    def wait_for(self, text, *matches):
        """The entries, of which there is at least one. A claim."""
        found = []

        def look():
            found[:] = self.entries(*matches)
            return found
        self.lab.wait_until(look, HANGS, text)
        return found
