# SPDX-License-Identifier: MIT
"""What is said to a keeper, and by it (src/proto/keeper.h)."""

import contextlib
import os
import socket
import struct


LOOK, TAKE, KEEP = 3, 5, 1
KEPT, END, REFUSED = 2, 4, 6
INSTANCE, CONNECTION, WORKER, HELPER = range(4)
VERSION = 1


def message(opcode, slot=0, value=VERSION, size=16):
    return struct.pack('<IHHQ', size, opcode, slot, value)


def keeper_socket(instance):
    return os.path.join(instance.runtime_directory, 'keeper.sock')


class Asker:
    """Who talks to the keeper."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(path)

    def take(self, data):
        """The messages that follow, as (opcode, slot, value, descriptors); ends with the connection's end."""
        answers = []
        try:
            self.sock.send(data)
            while not answers or answers[-1][0] == KEPT:
                text, fds, _, _ = socket.recv_fds(self.sock, 64, 64)
                if not text:
                    break
                answers.append((*struct.unpack('<IHHQ', text)[1:], fds))
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answers

    def ask(self, data):
        """The same with the number of descriptors, which are closed."""
        answers = self.take(data)
        close_all(answers)
        return [(*answer[:3], len(answer[3])) for answer in answers]

    def close(self):
        self.sock.close()


def close_all(answers):
    for answer in answers:
        for fd in answer[3]:
            os.close(fd)


class Listener:
    """Who listens where the keeper of this instance would, for one start after the other."""

    def __init__(self, instance):
        self.instance = instance
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.bind(keeper_socket(instance))
        self.sock.listen()
        self.sock.settimeout(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def refused(self, *answers):
        """A start that ends with exit code 1: what it says. answers: what is said to LOOK, to TAKE, each of (text, descriptors)."""
        self.instance.launch(size=self.instance.size)
        asker, _ = self.sock.accept()
        with asker:
            asker.settimeout(20)
            for question, said in zip((LOOK, TAKE), answers):
                assert asker.recv(64) == message(question)
                with contextlib.suppress(BrokenPipeError):  # it may hang up before it has all
                    for text, fds in said:
                        socket.send_fds(asker, [text], fds)
            assert self.instance.process.wait(20) == 1, self.instance.log()
        return self.instance.log(self.instance.log_start)
