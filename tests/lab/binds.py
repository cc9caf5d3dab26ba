# SPDX-License-Identifier: MIT
"""
How often each devdax device was bound to a driver, as the kernel itself tells: its uevents. A device's life goes from
"add" to "remove"; one that comes back under the same name lives anew.
"""

import collections
import re
import socket

UEVENT = re.compile(rb'(add|remove|bind|unbind)@\S*/(dax\d+\.\d+)')
NETLINK_KOBJECT_UEVENT = 15
BUFFER = 16 << 20


class BindWatch:
    """From here on. Nothing is lost without notice: an overflow of the socket is an OSError."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE
        self._socket.bind((0, 1))
        self._life = collections.Counter()
        self._binds = collections.Counter()

    def _take(self, event):
        found = UEVENT.match(event.split(b'\0')[0])
        if not found or b'SUBSYSTEM=dax' not in event.split(b'\0'):
            return
        action, name = (part.decode() for part in found.groups())
        self._life[name] += action == 'add'
        self._binds[name, self._life[name]] += action == 'bind'

    def binds(self):
        """{(name, its how-manieth life): how often it was bound}, of those that were."""
        while True:
            try:
                self._take(self._socket.recv(1 << 16))
            except BlockingIOError:
                return +self._binds
