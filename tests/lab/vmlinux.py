# SPDX-License-Identifier: MIT
"""
The kernel out of its bzImage. An emulated processor takes some five seconds to unpack what is packed with xz, as Debian's
kernels are, at each boot of a lab host and of a guest in it. QEMU enters an ELF file directly, by the PVH note that the
kernel carries for that (CONFIG_PVH). It is then where it was linked to be, with page tables of four levels: random places
and a fifth level are the work of what unpacks. What is loaded with kexec stays the bzImage as it came.
"""

import hashlib
import lzma
import os
import struct

SETUP_SECTS, MAGIC, PAYLOAD = 0x1f1, 0x202, 0x248  # Documentation/arch/x86/boot.rst
XEN_ELFNOTE_PHYS32_ENTRY = 18  # include/xen/interface/elfnote.h of the kernel
ENTRIES = [struct.pack('<III4s', 4, size, XEN_ELFNOTE_PHYS32_ENTRY, b'Xen') for size in (4, 8)]


def payload(image):
    """What the bzImage unpacks; nothing if it is none."""
    if image[MAGIC:MAGIC + 4] != b'HdrS':
        return b''
    offset, length = struct.unpack_from('<II', image, PAYLOAD)
    start = ((image[SETUP_SECTS] or 4) + 1) * 512 + offset
    return image[start:start + length]


def unpack(packed):
    """The ELF file, if it is whole and has an entry for QEMU; nothing else."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        elf = decompressor.decompress(packed)
    except lzma.LZMAError:
        return b''
    return elf if decompressor.eof and any(entry in elf for entry in ENTRIES) else b''


def for_direct_boot(kernel, directory):
    """The file that QEMU is to boot: the ELF file, which stays in the directory, or the kernel itself if it has none so."""
    with open(kernel, 'rb') as f:
        packed = payload(f.read())
    path = f'{directory}/vmlinux.{hashlib.sha256(packed).hexdigest()[:16]}'
    if os.path.exists(path):
        return path
    elf = unpack(packed)
    if not elf:
        return kernel
    with open(f'{path}.{os.getpid()}', 'wb') as f:
        f.write(elf)
    os.rename(f.name, path)
    return path
