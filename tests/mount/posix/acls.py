# SPDX-License-Identifier: MIT
"""
Access control lists as the kernel takes them, from and to words: u:rw is the owner's entry, u5:r that of user 5, g and g5
those of groups, m the mask, o all others; '+' between them. `u:` gives nothing. Words that make no list make no good value.
"""

import struct

VERSION = 2
NOBODY = 0xffffffff
ATTRIBUTE = {'access': 'system.posix_acl_access', 'default': 'system.posix_acl_default'}
TAGS = {('u', False): 1, ('u', True): 2, ('g', False): 4, ('g', True): 8, ('m', False): 0x10, ('o', False): 0x20}
PERMISSIONS = {'r': 4, 'w': 2, 'x': 1}


def pack(words):
    value = struct.pack('<I', VERSION)
    for word in words.split('+'):
        who, _, may = word.partition(':')
        value += struct.pack('<HHI', TAGS[who[0], len(who) > 1], sum(PERMISSIONS[letter] for letter in may),
                             int(who[1:]) if len(who) > 1 else NOBODY)
    return value


def unpack(value):
    names = {tag: letter for (letter, _), tag in TAGS.items()}
    return '+'.join(f'{names[tag]}{"" if ident == NOBODY else ident}:' + ''.join(
        letter for letter, bit in PERMISSIONS.items() if may & bit) for tag, may, ident in struct.iter_unpack('<HHI', value[4:]))
