# SPDX-License-Identifier: MIT
"""Steps of fuzz_control.c."""
from kernel import *

def asks(opcode, which=0, client=0): return [2, opcode - 1 + 9 * client, which]
STATUS, FILES, EXTENTS, CFREEZE, CTHAW, TOKEN, EXPORT, UNEXPORT = range(1, 9)
def ck(request): return [5] + request
def csay(*what): return [6] + list(what)
CCONNECT = csay(4, 0)

CONTROL = {
    'should-fail-extents-and-export-of-content': ops(RESERVED, CCONNECT, ck(create(A)), ck(setxattr(FIRST, MARK, ONE)), asks(EXTENTS, FIRST), asks(EXPORT, FIRST)),
    'should-fail-export-of-a-file-with-a-hole': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S6M)), ck(punch(FIRST, S2M, S2M)), asks(EXPORT, FIRST)),
    'should-fail-file-removed-before-its-export': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), ck(release(FIRST)), ck(unlink(A)), 4 * csay(4, 2)),
    'should-fail-export-of-what-can-t-be-scrubbed': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), 4 * csay(4, 3)),
    'exported-file-shrinks': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), 14 * csay(4, 2), ck(size(FIRST, S2M)), ck(attributes(FIRST)),
        asks(EXPORT, FIRST), 4 * csay(4, 2), ck(unlink(A)), ck(attributes(FIRST))),
    'should-fail-upgrades-at-once': ops(FILE, [1], [9], unread(asks(9)), asks(9, 0, 1)),
    'many-holders': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(STATUS), csay(4, 249), csay(4, 249)),
    'thawed-again-by-two': ops(RESERVED, CCONNECT, ck(create(A)), asks(CFREEZE), asks(CFREEZE, 0, 1), asks(EXPORT, FIRST), asks(UNEXPORT, FIRST), asks(CTHAW)),
    'should-fail-size-of-no-request': ops(FILE, [4, 72, 25, 0, 0, 0, 1, 0, 0, 0, 1] + 13 * [0]),
    'should-fail-export-of-what-is-gone': ops(RESERVED, CCONNECT, ck(create(A)), ck(release(FIRST)), ck(unlink(A)), asks(EXPORT, FIRST)),
    'should-fail-end-that-fails': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), 14 * csay(4, 2), asks(UNEXPORT, FIRST), 3 * csay(4, 3)),
    'files': ops(FILE, ck(create(A)), ck(size(FIRST, S4M)), ck(mkdir(B)), asks(FILES), asks(EXTENTS, FIRST), asks(TOKEN)),
    'status': ops(RESERVED, CCONNECT, asks(STATUS), asks(STATUS, 0, 1), csay(4, 3), csay(4, 3)),
    'status-of-a-silent-helper': ops(RESERVED, CCONNECT, asks(STATUS), [7, 9]),
    'freeze': ops(RESERVED, ck(create(A)), asks(CFREEZE), ck(create(B)), asks(CTHAW)),
    'exported-and-back': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), 14 * csay(4, 2), asks(UNEXPORT, FIRST), 3 * csay(4, 2)),
    'helper-goes-during-an-export': ops(RESERVED, CCONNECT, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST), csay(0, 0), asks(TOKEN)),
    'should-fail-export-of-a-file-region': ops(FILE, ck(create(A)), ck(size(FIRST, S4M)), asks(EXPORT, FIRST)),
    'should-fail-extents-of-a-directory': ops(FILE, asks(EXTENTS, ROOT)),
    'should-fail-unexport-of-nothing': ops(RESERVED, CCONNECT, ck(create(A)), asks(UNEXPORT, FIRST)),
    'should-fail-no-request': ops(FILE, [4, 4 + 128] + [9] + 10 * [255]),
    'should-fail-another-version': ops(FILE, [4, 64 + 4] + 24 * [7]),
    'should-fail-too-many': ops(FILE, *[[1 + 8 * n] for n in range(20)]),
}
