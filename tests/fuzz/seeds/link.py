# SPDX-License-Identifier: MIT
"""Steps of fuzz_link.c."""
from kernel import *

def lk(request): return [1] + request
def lsay(*what): return [3] + list(what)
def lie(how, *numbers): return [5, how] + list(numbers)
LCONNECT = lsay(4, 0)
LHELD = [LCONNECT, lk(create(A)), lk(size(FIRST, S4M)), lk(ticket(FIRST)), lsay(1, 0)] + 12 * [lsay(4, HELD)]
INO, EPOCH, ID = 1, 2, 0  # numbers of the first that is held, or asked
def lexport(ino): return [16, ino]
def lunexport(ino): return [24, ino]
LHOLDERS, LFREEZE, LTHAW = [32], [40], [48]
def other(at, value, after=0): return [5, 96 + after, at, value]  # the next true message, or one after it, has this byte
def lie_any(opcode, body, *number): return [5, 159, *(number or (ID,)), 3, 3, 3, 3, 16 + len(body), opcode & 255, opcode >> 8] + body + 16 * [0]
DONE, OF_UNEXPORT = 6, 128  # the latter in the topmost byte of an id
LEXPORT = [LCONNECT, lk(create(A)), lk(size(FIRST, S4M)), lexport(FIRST)] + 4 * [lsay(4, HELD)]

LINK = {
    'nothing-but-truth': ops(RESERVED, *LHELD),
    'free-with-an-old-number': ops(RESERVED, *LHELD, lie(4, 3, INO, 7, 3, 3)),
    'free-of-what-is-granted': ops(RESERVED, *LHELD, lie(4, 3, INO, EPOCH, 3, 3), lk(create(B)), lk(size(SECOND, S18M)), lk(ticket(SECOND)), lsay(1, 1),
        12 * lsay(4, HELD)),
    'spare-of-what-is-granted': ops(RESERVED, *LHELD, lk(unlink(A)), lie(23, 3, INO, EPOCH, 11), lk(create(B)), lk(size(SECOND, S18M))),
    'done-before-the-order-is-read': ops(RESERVED, LCONNECT, lk(create(A)), lk(setxattr(FIRST, MARK, ONE)), lk(write(FIRST)), lsay(4, HELD), lsay(0, 0),
        lie(185, 4 * 2 + 3)),
    'free-before-the-grant-is-read': ops(RESERVED, *LHELD, lk(ticket(FIRST)), other(24, 2, 1), unread(lsay(1, 1)), lsay(3, 0), lk(unlink(A)), lk(release(FIRST))),
    'tickets-that-are-none': ops(FILE, LCONNECT, lie(2, 7, 7, 7), lie(2, 8, 7, 7)),
    'exported-and-back': ops(RESERVED, *LEXPORT[:4], 2 * lsay(12, 2), lunexport(FIRST), lsay(12, 2)),
    'export-that-fails': ops(RESERVED, *LEXPORT[:4], lsay(12, 2), lsay(12, 3)),
    'export-ends-while-frozen': ops(RESERVED, *LEXPORT[:4], 2 * lsay(12, 2), lunexport(FIRST), LFREEZE, lsay(12, 2), LTHAW),
    'export-fails-while-frozen': ops(RESERVED, *LEXPORT[:4], lsay(12, 2), LFREEZE, lsay(12, 3), LTHAW),
    'export-and-its-end-lose-their-helper': ops(RESERVED, *LEXPORT[:4], lsay(12, 2), LCONNECT, lsay(0, 0), LCONNECT, lsay(12, 2)),
    'should-fail-node-without-its-end': ops(RESERVED, LCONNECT, lk(create(A)), lexport(FIRST), lie_any(16, 8 * [0] + 64 * [47])),
    'should-fail-node-of-no-path': ops(RESERVED, LCONNECT, lk(create(A)), lexport(FIRST), lie_any(16, 72 * [0])),
    'should-fail-holder-of-another-size': ops(RESERVED, LCONNECT, LHOLDERS, lie_any(12, 224 * [65])),
    'should-fail-size-of-another': ops(RESERVED, LCONNECT, LHOLDERS, other(0, 99), lsay(4, 1)),
    'should-fail-reserved-in-the-header': ops(RESERVED, LCONNECT, LHOLDERS, other(6, 1), lsay(4, 0)),
    'should-fail-reserved-of-holders-end': ops(RESERVED, LCONNECT, LHOLDERS, other(20, 1), lsay(4, 0)),
    'should-fail-before-ready': ops(FILE, [0x83, 0, 0], lie(3, 0, 0, 0)),
    'should-fail-done-of-no-order': ops(FILE, LCONNECT, lie(3, 255, 9, 0, 0, 0, 0, 0, 0, 0, 0)),
    'should-fail-holders-nobody-asked-for': ops(FILE, LCONNECT, lie(6, 3, 3, 3)),
    'should-fail-exported-nobody-asked-for': ops(RESERVED, LCONNECT, lie(8, 3, 3, 3)),
    'should-fail-unknown-opcode': ops(FILE, LCONNECT, [5, 31 + 128, 3, 3, 3, 3, 16, 99, 0]),
    'should-fail-short': ops(FILE, LCONNECT, [5, 31 + 128, 3, 3, 3, 3, 7, 4, 0]),
}

# One byte of a true message is another: of which (they are counted from 0), where, what, and the steps to which it belongs. What is not
# said to fail is void.
FILE_OF_ONE = [LCONNECT, lk(create(A)), lk(size(FIRST, S4M)), lk(ticket(FIRST))]
REDEEMS, DONES, FREES = (FILE_OF_ONE, lsay(1, 0)), (FILE_OF_ONE + [lsay(1, 0)], lsay(4, HELD)), (LHELD, lsay(3, 0))
ORPHAN = LHELD + [lk(unlink(A)), lk(release(FIRST))]
PUNCHED = LHELD + [lsay(3, 0), lk(punch(FIRST, S4K, S2M))], lsay(4, HELD)
BUSIES, SPARES, HOLDERS_ENDS = (ORPHAN, lsay(4, HELD)), (ORPHAN, lsay(4, SPARE)), ([LCONNECT, LHOLDERS], lsay(4, 0))
EXPORTEDS, UNEXPORTEDS, REVOKEDS = (LEXPORT[:4], 2 * lsay(12, 2)), (LEXPORT[:4] + [2 * lsay(12, 2), lunexport(FIRST)], lsay(12, 2)), (FILE_OF_ONE + [lk(revoke(FIRST))], lsay(12, 0))
CONTENT = [LCONNECT, lk(create(A)), lk(setxattr(FIRST, MARK, ONE)), lk(write(FIRST))], 2 * lsay(12, HELD)
for name, (message, at, value, (before, then)) in {
    'should-fail-redeem-reserved': (0, 44, 1, REDEEMS), 'should-fail-done-reserved': (0, 20, 1, DONES), 'done-with-a-great-errno': (0, 17, 255, DONES),
    'should-fail-punch-done-reserved': (0, 20, 1, PUNCHED), 'punch-fails-as-the-protocol-does': (0, 16, 71, PUNCHED), 'punch-fails-with-no-errno-of-fuse': (0, 17, 2, PUNCHED),
    'should-fail-done-of-another': (0, 8, 99, DONES), 'should-fail-free-with-a-process': (0, 32, 1, FREES), 'should-fail-free-with-flags': (0, 36, 1, FREES),
    'free-of-another-number': (0, 24, 99, FREES), 'should-fail-busy-with-flags': (0, 36, 1, BUSIES), 'should-fail-spare-with-unknown-flags': (0, 52, 2, SPARES),
    'should-fail-spare-with-an-id': (0, 8, 1, SPARES), 'spare-of-another-number': (0, 24, 99, SPARES), 'spare-of-fewer-blocks': (0, 32, 1, SPARES),
    'spare-of-a-part-elsewhere': (0, 40, 9, SPARES), 'spare-of-a-stranger': (0, 16, 99, SPARES), 'should-fail-holders-end-reserved': (0, 20, 1, HOLDERS_ENDS),
    'should-fail-exported-with-no-errno': (1, 19, 255, EXPORTEDS), 'exported-with-an-error': (1, 16, 5, EXPORTEDS), 'should-fail-exported-at-no-path': (1, 24, 65, EXPORTEDS),
    'should-fail-exported-of-nothing': (1, 8, 0, EXPORTEDS), 'should-fail-end-with-no-errno': (0, 19, 255, UNEXPORTEDS), 'should-fail-end-reserved': (0, 20, 1, UNEXPORTEDS),
    'should-fail-end-of-another': (0, 8, 99, UNEXPORTEDS), 'end-with-an-error': (0, 16, 5, UNEXPORTEDS), 'should-fail-revoked-to-no-state': (0, 16, 9, REVOKEDS),
    'should-fail-revoked-reserved': (0, 20, 1, REVOKEDS), 'should-fail-revoked-without-an-id': (0, 8, 0, REVOKEDS), 'should-fail-revoked-to-come': (0, 8, 99, REVOKEDS),
    'should-fail-part-of-another': (1, 8, 99, CONTENT), 'should-fail-part-far-away': (1, 39, 255, CONTENT), 'should-fail-part-empty': (1, 32, 0, CONTENT),
    'should-fail-part-past-any-file': (1, 23, 255, CONTENT), 'should-fail-part-past-any-device': (1, 31, 255, CONTENT), 'should-fail-given-reserved': (2, 20, 1, CONTENT),
    'should-fail-given-with-no-errno': (2, 17, 255, CONTENT), 'should-fail-given-of-another': (2, 8, 99, CONTENT), 'given-with-an-error': (2, 16, 5, CONTENT),
}.items():
    LINK[name] = ops(RESERVED, *before, other(at, value, message), then)

# What changes between a question to the helper and its answer. A range whose ends are to be zeroed lies in memory that was granted.
RANGE = lk([7, 2, FIRST, 128 + S2M, 9, 9, 128 + S4M, 8, 8])
LET_GO = [LCONNECT, lk(create(A)), lk(size(FIRST, S10M)), lk(ticket(FIRST)), lsay(1, 0)] + 12 * [lsay(4, HELD)] + [lsay(3, 0)]
GONE = [lk(release(FIRST)), lk(unlink(A))]
NODE = LEXPORT[:4] + [2 * lsay(12, 2)]
for name, steps in {
    'punched-in-what-was-granted': LET_GO + [RANGE, 4 * lsay(4, 2)],
    'punched-and-the-helper-goes': LET_GO + [RANGE, lsay(0, 0), LCONNECT, 4 * lsay(4, 2)],
    'punched-without-a-helper-and-frozen': LET_GO + [[3, 0, 0], RANGE, LFREEZE, LCONNECT, LTHAW],
    'punched-without-a-helper-and-emptied': LET_GO + [[3, 0, 0], RANGE, lk(size(FIRST, S0)), LCONNECT],
    'punched-without-a-helper-and-removed': LET_GO + [[3, 0, 0], RANGE] + GONE + [LCONNECT],
    'punched-and-not-answered-in-time': LET_GO + [RANGE, [56, 10], [56, 10], 4 * lsay(4, 2)],
    'punched-while-others-are-scrubbed': LET_GO + [lk(create(B)), lk(size(SECOND, S18M)), lk(ticket(SECOND)), lsay(1, 1), RANGE, lk(create(C)), lk(ticket(THIRD)), lsay(1, 2), 9 * lsay(4, 2)],
    'mode-while-it-is-exported': LEXPORT[:4] + [lsay(12, 2), lk(attributes(FIRST)), lsay(12, 2)],
    'exported-again-and-the-helper-goes': NODE + [lexport(FIRST), lsay(0, 0), LCONNECT],
    'punched-and-redeemed': LET_GO + [lk(ticket(FIRST)), RANGE, lsay(1, 1), 6 * lsay(4, 2)],
    'punched-by-two': LET_GO + [RANGE, lk([7, 2, FIRST, 128 + S4M, 9, 9, 128 + S2M, 8, 8]), 8 * lsay(4, 2)],
    'punched-and-the-zeroing-fails': LET_GO + [RANGE, 4 * lsay(4, 3)],
    'shrunk-within-a-block-and-granted': LET_GO + [lk([1, 3, 0, FIRST, 0, 0, 128 + 5, 9, 9]), lk(ticket(FIRST)), lsay(1, 1), 16 * lsay(4, 2)],
    'redeemed-while-frozen': FILE_OF_ONE + [LFREEZE, lsay(1, 0), LTHAW],
    'frozen-while-it-is-scrubbed': FILE_OF_ONE + [lsay(1, 0), LFREEZE, 4 * lsay(4, 2), LTHAW],
    'removed-while-it-is-scrubbed': FILE_OF_ONE + [lsay(1, 0)] + GONE + [4 * lsay(4, 2)],
    'granted-with-memory-past-its-size': [LCONNECT, lk(create(A)), lk(size(FIRST, S2M)), lk(allocate(FIRST, S0, S6M, 1)), lk(allocate(FIRST, S10M, S2M, 1)), lk(ticket(FIRST)), lsay(1, 0)] + 12 * [lsay(4, HELD)] + [LCONNECT],
    'held-and-grown': LHELD + [lk(size(FIRST, S18M)), LCONNECT, 4 * lsay(4, 2)],
    'scrubbed-for-some-seconds': FILE_OF_ONE + [lsay(4, 2), [56, 5], lsay(4, 2), lsay(4, 2), [56, 5], lsay(4, 2), lsay(4, 2), [56, 4], lsay(4, 2), lsay(4, 2), [56, 8], lsay(4, 2)],
    'exported-by-two': LEXPORT[:4] + [lexport(FIRST), 6 * lsay(4, HELD)],
    'exported-while-it-ends': NODE + [lunexport(FIRST), lexport(FIRST), 4 * lsay(4, HELD)],
    'ends-while-it-is-exported': LEXPORT[:4] + [lsay(12, 2), lunexport(FIRST), lk(revoke(FIRST, 1)), lsay(12, 2)],
    'ends-twice': NODE + [lunexport(FIRST), lunexport(FIRST), lsay(12, 2)],
    'exported-again-and-that-fails': NODE + [lexport(FIRST), 4 * lsay(4, 3)],
    'revoked-with-its-node': NODE + [lk(revoke(FIRST, 1)), 4 * lsay(4, 2)],
    'removed-while-its-node-ends': NODE + [lunexport(FIRST)] + GONE + [lsay(3, 0), 4 * lsay(4, 2)],
    'removed-while-its-node-ends-and-the-helper-goes': NODE + [lunexport(FIRST)] + GONE + [lsay(0, 0), 2 * lsay(4, 0), LCONNECT, 4 * lsay(4, 0)],
    'should-fail-exported-while-it-ends': NODE + [lunexport(FIRST), lie_any(16, 8 * [0] + list(b'/dev/dax0.1') + 53 * [0], INO)],
    'should-fail-end-of-what-is-being-exported': LEXPORT[:4] + [lsay(12, 2), lie_any(DONE, 8 * [0], 255, 2, 0, 0, 0, 0, 0, 0, OF_UNEXPORT)],
    'should-fail-end-of-the-export-of-nothing': LEXPORT[:4] + [lie_any(DONE, 8 * [0], 255, 0, 0, 0, 0, 0, 0, 0, OF_UNEXPORT)],
    'export-fails-of-what-is-free-and-gone': LEXPORT[:4] + [lsay(12, 2)] + GONE + [lsay(3, 0)] + 4 * [lsay(4, 3)],
    'exported-and-gone-and-the-helper-too': LEXPORT[:4] + [lsay(12, 2)] + GONE + [lsay(3, 0), lsay(0, 0), LCONNECT],
    'end-of-what-is-free-and-gone': NODE + [lunexport(FIRST)] + GONE + [lie(4, 3, INO, EPOCH, 3, 3)] + 4 * [lsay(4, 2)],
    'holders-asked-for-twice': [LCONNECT, LHOLDERS, LHOLDERS, lsay(4, 0)],
    'scrub-fails-of-what-is-gone': FILE_OF_ONE + [lsay(1, 0), *[unread(s) for s in GONE], lsay(4, FAIL)],
    'granted-over-blocks-that-are-scrubbed-behind': LHELD + [lk(create(B)), lk(size(SECOND, S6M)), lk(ticket(SECOND)), lsay(1, 1), 12 * lsay(4, HELD), lsay(3, 1), lk(release(SECOND)), lk(unlink(B)), lsay(3, 0)]
        + GONE + [lk(create(C)), lk(size(THIRD, S18M)), lk(create(D)), lk(size(4, S18M)), lk(ticket(4)), lsay(1, 2), 8 * lsay(4, 2)],
    'punched-after-it-was-let-go-and-not-in-time': LHELD + [lk(create(B)), lk(size(SECOND, S10M)), lk(punch(FIRST, S4K, S2M)), lk([7, 2, SECOND, 128 + S2M, 9, 9, 128 + S4M, 8, 8]), lsay(3, 0), [56, 10]],
    'contents-while-the-rest-is-scrubbed': [LCONNECT, lk(create(A)), lk(setxattr(FIRST, MARK, ONE)), lk(write(FIRST)), 2 * lsay(12, 2), lk(create(B)), lk(size(SECOND, S18M)), lk(allocate(FIRST, S0, S6M)), 8 * lsay(4, 2)],
    'contents-let-go-and-begun-anew': [LCONNECT, lk(create(A)), lk(setxattr(FIRST, MARK, ONE)), lk(write(FIRST)), *12 * [lsay(4, 2)], lk(allocate(FIRST, S0, S4M)), lie(4, 3, INO, EPOCH, 3, 3), [56, 10]]
        + GONE + [lk(create(B)), lk(setxattr(SECOND, MARK, ONE)), lk(write(SECOND))],
    'revoked-while-as-many-exports-begin-as-can': LEXPORT[:4] + [2 * lsay(12, 2), *[s for n in range(16) for s in (lk(create_of(ord('e') + n)), lexport(SECOND + n))], lk(revoke(FIRST, 1))],
}.items():
    LINK[name] = ops(RESERVED, *steps)
LINK['spare-in-a-crash-kernel'] = ops(RESERVED + 128, *LHELD, lie(23, 3, INO, EPOCH, 11))
