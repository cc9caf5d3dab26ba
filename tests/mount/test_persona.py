# SPDX-License-Identifier: MIT
"""What runs as another user must not keep others waiting."""

import errno
import os

from harness import PLAIN, ROOT
from persona import as_user, errno_of


def test_a_persona_has_no_pipe_but_its_own():
    """Or a thread that has just started a program would wait for the persona: subprocess waits until its pipe ends."""
    read_end, write_end = os.pipe()
    for user in (ROOT, PLAIN):
        assert as_user(user, errno_of, os.write, write_end, b'x') == errno.EBADF
        assert as_user(user, errno_of, os.write, write_end, b'x', pipes=[write_end]) == 0
    os.close(write_end)
    assert os.read(read_end, 10) == b'xx'
    os.close(read_end)
