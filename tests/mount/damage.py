# SPDX-License-Identifier: MIT
"""A pool that something has happened to."""

import json
import os
import subprocess


class Damage:
    """Changes a region: bytes by their places, and what needs a checksum by tests/mount/damage.c."""

    def __init__(self, region):
        self.region = region
        self.program = os.path.join(os.environ['GM_BUILD'], 'tests/mount/damage')

    def __call__(self, *words):
        done = subprocess.run([self.program, words[0], self.region, *map(str, words[1:])], stdout=subprocess.PIPE,
                              timeout=20, check=True)
        return done.stdout

    def place(self, name):
        return json.loads(self('places'))[name]

    def flip(self, offset, count=1):
        with open(self.region, 'r+b') as f:
            bad = bytes(byte ^ 0xff for byte in os.pread(f.fileno(), count, offset))
            os.pwrite(f.fileno(), bad, offset)
