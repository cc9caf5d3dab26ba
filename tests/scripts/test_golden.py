# SPDX-License-Identifier: MIT
"""The golden images are what they were when their version of the format came out."""

import hashlib
import pathlib

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'


def test_sums():
    sums = dict(reversed(line.split()) for line in (GOLDEN / 'SHA256SUMS').read_text(encoding='ascii').splitlines())
    files = {path.name for pattern in ('*.gz', '*.listing') for path in GOLDEN.glob(pattern)}
    assert files == set(sums), 'an image without a sum, or a sum without an image'
    changed = [name for name in sums if hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() != sums[name]]
    assert not changed, 'these have changed; a released image never does'
