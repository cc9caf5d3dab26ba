#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a file as a C array: embed.py INPUT OUTPUT NAME."""

import sys

source, target, name = sys.argv[1:]
with open(source, 'rb') as f:
    data = f.read()
with open(target, 'w', encoding='ascii') as f:
    f.write(f'_Alignas(8) static const unsigned char {name}[] = {{\n')
    for at in range(0, len(data), 16):
        f.write(' '.join(f'{byte},' for byte in data[at:at + 16]) + '\n')
    f.write('};\n')
