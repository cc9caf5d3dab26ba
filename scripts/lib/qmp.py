# SPDX-License-Identifier: MIT
"""QEMU's machine protocol, as much of it as saving and resuming a guest takes. No wait is without an end."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU refused a command, hung up, or did not answer in time."""


class Qmp:
    """A connection to the QMP server at a unix socket path."""

    def __init__(self, path, alive, timeout=60):
        """Waits until QEMU listens; alive() says whether that can still be hoped for."""
        deadline = time.monotonic() + timeout
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.settimeout(timeout)
                self._socket.connect(path)
                break
            except OSError as e:
                self._socket.close()
                if time.monotonic() > deadline or not alive():
                    raise QmpError(f'QEMU does not listen at {path}: {e}') from e
                time.sleep(0.05)
        self._buffer = b''
        self._read(deadline)  # the greeting
        self.command('qmp_capabilities')

    def close(self):
        self._socket.close()

    def _read(self, deadline):
        while b'\n' not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QmpError('QEMU did not answer in time')
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise QmpError('QEMU did not answer in time') from None
            except OSError as e:
                raise QmpError(f'the connection to QEMU broke: {e}') from e
            if not data:
                raise QmpError('QEMU hung up')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        return json.loads(line)

    def command(self, name, timeout=60, **arguments):
        """Runs one command and returns what it returns; events that come in between are dropped."""
        deadline = time.monotonic() + timeout
        request = {'execute': name, 'arguments': arguments}
        try:
            self._socket.sendall(json.dumps(request).encode() + b'\n')
        except OSError as e:
            raise QmpError(f'{name}: the connection to QEMU broke: {e}') from e
        while True:
            answer = self._read(deadline)
            if 'error' in answer:
                raise QmpError(f'{name}: {answer["error"]["desc"]}')
            if 'return' in answer:
                return answer['return']

    def wait_migration(self, timeout):
        """Until the migration that was started, outgoing or incoming, is complete."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.command('query-migrate')
            status = state.get('status')
            if status == 'completed':
                return
            if status in ('failed', 'cancelled'):
                raise QmpError(f'migration {status}: {state.get("error-desc", "no reason given")}')
            if time.monotonic() > deadline:
                raise QmpError(f'migration still {status} after {timeout} s')
            time.sleep(0.05)
