#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""seeds DIRECTORY: writes the first inputs of the targets that are told sequences of steps, each named for what it shows, and
some texts and edits besides. The corpus has them already; this is how they came about, and how a new one is made. Whoever
changes what a byte stands for in rig_*.c, scene_*.c or fuzz_*.c changes it here and runs it on tests/fuzz/corpus."""
import pathlib
import sys

from control import CONTROL
from helper import HELPER
from image import IMAGE
from link import LINK
from ops import OPS
from spec import SPEC
from wire import WIRE


def write_all(directory, inputs):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in inputs.items():
        (directory / name).write_bytes(bytes(content))


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, inputs in {'ops': OPS, 'link': LINK, 'wire': WIRE, 'helper': HELPER, 'control': CONTROL, 'spec': SPEC, 'image': IMAGE}.items():
        write_all(pathlib.Path(sys.argv[1]) / target, inputs)
