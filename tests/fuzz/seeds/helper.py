# SPDX-License-Identifier: MIT
"""Steps of fuzz_helper.c, in which 2 is the worker, and 4 its lies."""
import struct

from scene import *

def hworker(*what): return [2] + list(what)
HMEET = hworker(0)
def hgrant(file, *where): return hworker(1, file, len(where), *where)
def hlie(how, fields, *numbers): return [4, how, fields] + list(numbers)
QUESTION = 19  # LINK_HOLDERS, which is as long as LINK_RESUMED
def htamper(at, value, after=0): return [4, 224 + after, at, value]
def hcheck(file, flags=0): return [2] + check(file, flags)[1:]
def hnode(file): return hworker(4, 162 + file)
AGAIN = hworker(192)  # a new link
NOTHING, TICKET = 2, 6  # numbers: 0 and 1, which the first ticket has
def hexact(opcode, body, id=NOTHING):  # all of a message but its header
    return [4, 240, 0, id] + list(struct.pack('<HB', 16 + len(body), opcode) + body + bytes(16))
def hextents(opcode, ino, *extents):  # the same, and what follows it: place in the file, region, block, count
    head, epoch, more = opcode
    return hexact(head, struct.pack('<QQ', ino, epoch) + more(extents[-1][0] + extents[-1][3], len(extents)), TICKET) + hexact(11, struct.pack('<QII', ino, len(extents), 0) +
        b''.join(struct.pack('<QQQIHH', ino, at, block, count, region, 0) for at, region, block, count in extents), TICKET)
GRANT = 7, 98, lambda blocks, count: struct.pack('<QQII', blocks << 21, count, 3, 0)
EXPORT = 21, 99, lambda blocks, count: struct.pack('<QIIIIII', count, 0, 0, 0o600, 0, 0, 0)

HELPER = {
    'two-files': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), come(1), hgrant(1, 7), take(), take(1), map_(), map_(1)),
    'block-of-another': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), take(), map_(), come(1), hgrant(1, 3), take(1), map_(1)),
    'block-of-another-device': scene(SOFT, SHOWN, HMEET, work(), come(), hgrant(0, 3), work(), take(), map_(), come(1), hgrant(1, 3), work(), take(1)),
    'scrub-of-what-is-held': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), take(), map_(), hworker(5, 3, 1), work(), work()),
    'zero-of-what-is-held': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), take(), map_(), hworker(5, 3, 3), work(), work()),
    'free-asked-for': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), take(), map_(), hworker(6, 12), LOOKS, LOOKS),
    'worker-forgets': scene(PLAIN, SHOWN, HMEET, come(), hgrant(0, 3), take(), map_(), hworker(192), LOOKS),
    'granted-on-a-device': scene(SOFT, SHOWN, HMEET, work(), come(3), hgrant(0, 3, 70), work(), work(), take(), map_(3), close(3), hworker(192), work()),
    'taken-back': scene(SOFT, SHOWN, HMEET, work(), come(), hgrant(0, 3), work(), work(), take(), map_(), unmap(), close(), hworker(6, 110), LOOKS, work(), LOOKS),
    'exported': scene(SOFT, SHOWN, HMEET, work(), hworker(4, 0, 1, 3), work(), work(), hworker(6, 0), LOOKS, hworker(4, 192), work()),
    'contents': scene(SOFT, SHOWN, HMEET, work(), hworker(135, 2, 3, 9), work(), work(), hworker(192), work()),
    'revoked': scene(SOFT, SHOWN, HMEET, work(), come(3), hgrant(0, 3), work(), work(), take(), map_(3), hworker(6, 0xd2), later(8), LOOKS, work(), later(10)),
    'hand-over-of-what-is-gone': scene(SOFT, TRUSTING, HMEET, work(), hlie(14, 4, 1, 5, 3, 3)),
    'grant-without-its-extents': scene(PLAIN, SHOWN, come(), HMEET, hlie(3 + 16, 6)),
    'handed-over': scene(SOFT, TRUSTING, HMEET, work(), come(), hgrant(0, 3), work(), work(), take(), map_(), die(), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS,
        hworker(7, 0, 1, 0), come(1), hgrant(1), work(), work(), take(1), take(2), map_(1), hworker(192), work(), LOOKS),
    'supervisor-says-anything': scene(PLAIN, SHOWN, HMEET, hworker(192), [4, 192, 6, 6, 9]),
    'told-to-yield': scene(PLAIN, SHOWN, HMEET, come(), [4, 192, 6, 17, 0]),
    'should-fail-config-of-another-version': scene(PLAIN, SHOWN, htamper(16, 9), HMEET),
    'should-fail-config-of-other-regions': scene(PLAIN, SHOWN, htamper(20, 9), HMEET),
    'should-fail-config-reserved': scene(PLAIN, SHOWN, htamper(6, 9), HMEET),
    'should-fail-config-another-one': scene(PLAIN, SHOWN, HMEET, htamper(32, 9), hworker(192)),
    'should-fail-held-of-nothing': scene(PLAIN, SHOWN, come(), HMEET, hgrant(0, 3), take(), htamper(16, 0, 1), hworker(192)),
    'should-fail-extents-reserved': scene(PLAIN, SHOWN, come(), HMEET, htamper(28, 1, 1), hgrant(0, 3)),
    'should-fail-hand-over-to-itself': scene(SOFT, TRUSTING, HMEET, work(), hlie(14, 4, 1, 1, 3, 3)),
    'should-fail-grant-nobody-asked-for': scene(PLAIN, SHOWN, HMEET, hlie(3 + 16, 6, 6, 1, 3, 3, 2, 2, 2)),
    'should-fail-extents-of-nothing': scene(PLAIN, SHOWN, HMEET, hlie(5, 6, 1, 2, 2, 2, 2, 2)),
    'should-fail-config-twice': scene(PLAIN, SHOWN, HMEET, hlie(0, 1, 1)),
    'should-fail-held-after-resumed': scene(PLAIN, SHOWN, HMEET, hlie(1, 3, 1, 2, 2)),
    'should-fail-scrub-of-no-block': scene(PLAIN, SHOWN, HMEET, hlie(6, 2, 2, 2)),
    'should-fail-longer-than-any': scene(PLAIN, SHOWN, HMEET, [4, 241, 0, 0, 255, 3]),
    'should-fail-unknown-opcode': scene(PLAIN, SHOWN, HMEET, [4, 241, 0, 16, 0] + 40 * [99]),
}

# One byte of a true message is another: of which (they are counted from 0), where, what, and the steps to which it belongs.
GRANTED = [come(), HMEET], [hgrant(0, 3)]
EXPORTS = [HMEET, work()], [hworker(4, 0, 1, 3)]
NODES = [HMEET, work()], [hnode(0)]
ENDS = [HMEET, work()], [hworker(4, 192)]
CHECKS, REVOKES = ([HMEET], [hworker(6, 8)]), ([HMEET], [hworker(6, 16)])
SCRUBS, ZEROES = ([HMEET], [hworker(5, 30, 0)]), ([HMEET], [hworker(5, 30, 2)])
REFUSES = [come(), HMEET], [hworker(132)]
CONFIGS = [], [HMEET]
CHANGED = {
    'grant-larger-than-any': (0, 39, 255, GRANTED), 'grant-of-nothing': (0, 16, 0, GRANTED), 'grant-of-more-extents-than-blocks': (0, 47, 255, GRANTED),
    'grant-for-writing-only': (0, 48, 2, GRANTED), 'extents-of-another': (1, 16, 9, GRANTED), 'extents-that-are-none': (1, 24, 0, GRANTED),
    'extents-past-those-announced': (1, 24, 2, GRANTED), 'extents-past-a-message': (1, 25, 9, GRANTED), 'extents-with-another-id': (1, 8, 99, GRANTED),
    'extent-of-another': (1, 32, 9, GRANTED), 'extent-reserved': (1, 62, 1, GRANTED), 'extents-of-another-size': (1, 0, 9, GRANTED),
    'config-of-blocks-far-away': (0, 47, 255, CONFIGS), 'config-of-more-than-there-is': (0, 55, 255, CONFIGS), 'config-of-the-last-block': (0, 48, 60, CONFIGS),
    'config-of-the-first-block': (0, 40, 0, CONFIGS),
    'export-of-a-great-mode': (0, 49, 255, EXPORTS), 'export-reserved': (0, 52, 1, EXPORTS), 'export-asked-by-no-process': (0, 59, 255, EXPORTS),
    'export-of-nothing': (0, 16, 0, EXPORTS), 'node-asked-by-a-process': (0, 56, 1, NODES), 'node-asked-by-a-user': (0, 60, 1, NODES),
    'node-with-a-number': (0, 24, 1, NODES), 'node-with-extents': (0, 32, 1, NODES), 'node-with-an-id': (0, 8, 1, NODES), 'end-with-an-owner': (0, 40, 1, ENDS),
    'end-with-a-group': (0, 44, 1, ENDS), 'end-with-a-mode': (0, 48, 1, ENDS), 'check-with-a-process': (0, 32, 1, CHECKS), 'check-with-unknown-flags': (0, 37, 1, CHECKS),
    'check-of-nothing': (0, 16, 0, CHECKS), 'check-that-keeps-only': (0, 36, 2, CHECKS), 'revoke-with-unknown-flags': (0, 24, 8, REVOKES), 'revoke-of-nothing': (0, 16, 0, REVOKES),
    'scrub-of-many': (0, 26, 1, SCRUBS), 'zero-of-more-than-a-block': (0, 27, 1, ZEROES),    'zero-of-nothing': (0, 24, 0, ([HMEET], [hworker(5, 0, 2)])), 'refusal-of-no-reason': (0, 20, 99, REFUSES),
    'refusal-of-no-errno': (0, 17, 255, REFUSES), 'refusal-without-an-error': (0, 16, 0, REFUSES), 'refusal-of-another': (0, 8, 77, REFUSES),
}
for name, (message, at, value, (before, then)) in CHANGED.items():
    HELPER['should-fail-' + name] = scene(SOFT if then[0][0] == 2 and then[0][1] % 8 == 4 and then[0][1] < 128 else PLAIN, SHOWN, *before, htamper(at, value, message), *then, later(3))

TWICE = [come(), HMEET, hgrant(0, 3), take(), come(1)]  # a second grant of a file must have what the first one had
for name, steps in {
    'refused-past-the-size': [come(), HMEET, htamper(34, 0), hgrant(0, 3)],
    'refused-partly-past-the-size': [come(), HMEET, htamper(34, 32), hgrant(0, 3, 70)],
    'refused-extents-in-disorder': [come(), HMEET, htamper(72, 0, 1), hgrant(0, 3, 70)],
    'refused-extent-far-away': [come(), HMEET, htamper(47, 127, 1), hgrant(0, 3)],
    'refused-extent-of-nothing': [come(), HMEET, htamper(56, 0, 1), hgrant(0, 3)],
    'refused-extent-of-no-region': [come(), HMEET, htamper(60, 9, 1), hgrant(0, 3)],
    'refused-block-that-has-changed': TWICE + [htamper(48, 20, 1), hgrant(0)],
    'refused-region-that-has-changed': TWICE + [htamper(60, 0, 1), hgrant(0)],
    'refused-block-that-has-moved': TWICE + [htamper(40, 1, 1), hgrant(0)],
    'refused-number-of-before': TWICE + [htamper(24, 0), hgrant(0)],
    'refused-part-that-is-missing': [come(), HMEET, hgrant(0, 3, 70), take(), come(1), htamper(40, 9, 1), hgrant(0)],
}.items():
    HELPER[name] = scene(PLAIN, SHOWN, *steps, take(), take(1))
HELPER['should-fail-question-before-resumed'] = scene(PLAIN, SHOWN, htamper(4, QUESTION, 1), HMEET, later(3))
HELPER['export-for-no-mode'] = scene(SOFT, SHOWN, HMEET, work(), htamper(48, 0), hworker(4, 0, 1, 3), work(), work(), hnode(0), work())
HELPER['config-of-no-data'] = scene(PLAIN, SHOWN, htamper(48, 0), HMEET, later(3))

# What happens between a question of the worker's and its end. After a number that is asked for, numbers of a lie are: 1, 5, 9 inodes, 2 nothing, 202 a late epoch.
HSOFT = [HMEET, work()]
HOLD = HSOFT + [come(), hgrant(0, 3), work(), work(), take(), map_()]
UNREAD = HSOFT + [come(), hgrant(0, 3), work(), work(), die(), LOOKS]  # so that its device is not idle
SPARED = UNREAD + [hcheck(0, 64), LOOKS, work(), LOOKS]
EXPORTED = HSOFT + [hworker(4, 0, 1, 3), work(), work()]
STORE = 5  # the file that is the content store
for name, (reuse, steps) in {
    'refused-for-another-reason': (SHOWN, HSOFT + [come(), htamper(20, 3), hworker(132)]),
    'hand-over-to-who-holds-something': (TRUSTING, HSOFT + [come(1), hgrant(1, 9), work(), work(), take()] + SPARED[2:] + [hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'hand-over-past-any-file': (TRUSTING, SPARED + [hlie(14, 4, 1, 9, 202, 255, 255, 255, 255, 255, 255, 3, 0, 0), later(3)]),
    'hand-over-of-what-is-contradicted': (TRUSTING, SPARED + [come(2), htamper(48, 20, 1), hgrant(0), work(), hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'hand-over-of-what-was-not-offered': (TRUSTING, HOLD + [die(), LOOKS, hworker(64), hcheck(0, 32), LOOKS, work(), LOOKS, hworker(192), work(), hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'removed-while-its-export-is-made': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hcheck(0, 64), work(), work(), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'removed-twice-with-its-export': (SHOWN, EXPORTED + [hcheck(0, 64), hcheck(0, 64), hnode(0), LOOKS, hcheck(0, 64), work(), hcheck(0, 64), hnode(0), LOOKS]),
    'taken-with-its-export': (TRUSTING, EXPORTED + [hcheck(0, 32), later(), hcheck(0, 64), hnode(0), work(1), hnode(0), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'export-is-made-for-a-worker-before': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(192), hworker(4, 192), work(), work(), LOOKS]),
    'export-ends-before-it-is-made': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(4, 192), work(), work(), LOOKS]),
    'node-and-end-of-what-is-being-granted': (SHOWN, HSOFT + [come(), hgrant(0, 3), hnode(0), hworker(4, 192), work(), work(), hnode(0), hworker(4, 192), LOOKS]),
    'node-of-two-devices': (SHOWN, HSOFT + [come(), hgrant(0, 3, 70), work(), work(), hnode(0), LOOKS]),
    'node-of-nothing': (SHOWN, HSOFT + [hnode(0), hworker(4, 192), LOOKS]),
    'export-of-the-content-store': (SHOWN, HSOFT + [hworker(135, 2, 3, 9), work(), work(), hworker(4, STORE, 0), work(), LOOKS]),
    'contents-of-another': (SHOWN, HSOFT + [hworker(135, 2, 3, 9), work(), work(), hlie(31, 4, 38, 1, 202, 2, 2), later(3)]),
    'contents-of-what-is-being-granted': (SHOWN, HSOFT + [come(), hgrant(STORE, 3), hworker(135, 0), work(), work(), LOOKS]),
    'contents-of-what-is-held': (SHOWN, HSOFT + [come(), hgrant(STORE, 3), work(), work(), take(), hworker(135, 0), work(), LOOKS]),
    'contents-of-what-a-client-had': (SHOWN, HSOFT + [come(), hgrant(STORE, 3), work(), work(), take(), die(), hworker(135, 0), LOOKS, hworker(135, 0), LOOKS]),
    'contents-of-what-is-exported': (SHOWN, HSOFT + [hworker(4, STORE, 1, 3), work(), work(), hworker(135, 0), work(), LOOKS]),
    'contents-of-what-is-spare': (TRUSTING, HSOFT + [come(), hgrant(STORE, 3), work(), work(), take(), map_(), die(), LOOKS, hcheck(STORE, 64), LOOKS, work(), LOOKS, hworker(135, 0), work(), LOOKS]),
    'spare-that-was-exported': (SAME_OWNER, EXPORTED + [hcheck(0, 64), LOOKS, work(), LOOKS, work()]),
    'spare-of-several-users': (SAME_OWNER, HOLD + [come(4), hgrant(0), work(), take(1), map_(4), die(), die(4), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS]),
    'spare-while-somebody-lives': (TRUSTING, HOLD + [hcheck(0, 64), LOOKS, work(), LOOKS]),
    'spare-when-a-worker-has-not-told': (TRUSTING, HOLD + [die(), LOOKS, hcheck(0, 64), hworker(192), LOOKS, work(), LOOKS]),
    'scrub-of-what-is-spare-and-what-is-not': (TRUSTING, HSOFT + [come(1), hgrant(1, 120), work(), work(), take()] + SPARED[2:] + [hworker(5, 61, 1), hworker(5, 3, 1), work()]),
    'revoked-twice': (SHOWN, HOLD + [hworker(6, 0xd2), hworker(6, 0xd3), hworker(6, 0xd4), later(3), hworker(192), LOOKS, work()]),
}.items():
    HELPER[name] = scene(SOFT, reuse, *steps)
HELPER['revoked-and-nobody-killed'] = scene(SOFT, SHOWN, *HOLD, hworker(6, 18), later(3))
HELPER['contents-asked-for-twice-at-once'] = scene(SOFT, SHOWN, HMEET, work(), hworker(135, 1, 3), hworker(135, 1), 3 * work())
HELPER['should-fail-link-lost-while-contents-are-given'] = scene(SOFT, SHOWN, HMEET, work(), hworker(135, 1, 3), hlie(0, 1, 1), work(), work())
HELPER['told-to-yield-before-there-is-a-worker'] = scene(PLAIN, SHOWN, come(), [4, 192, 6, 17, 0])
HELPER['refused-extent-past-the-data'] = scene(PLAIN, SHOWN, come(), HMEET, htamper(55, 127, 1), hgrant(0, 3), take())
HELPER['granted-to-several-users'] = scene(SOFT, SAME_OWNER, HMEET, work(), come(), hgrant(0, 3), work(), work(), take(), *[b for n in (1, 2, 3, 4, 5) for b in (come(n), hgrant(0), work(), take(n))])
HELPER['supervisor-says-too-little'] = scene(PLAIN, SHOWN, HMEET, [4, 192, 64, 20, 0, 9])
HELPER['contents-of-no-soft-region'] = scene(PLAIN, SHOWN, HMEET, hlie(31, 4, 38, 1, 202, 2, 2), later(3))
HELPER['export-of-no-soft-region'] = scene(PLAIN, SHOWN, HMEET, hlie(26, 3, 38, 1, 202, 2), later(3))
HELPER['spare-of-no-soft-region'] = scene(PLAIN, TRUSTING, HMEET, come(), hgrant(0, 3), take(), die(), hcheck(0, 64), LOOKS)
HELPER['granted-behind-what-is-zeroed'] = scene(PLAIN, SHOWN, HMEET, come(), hworker(5, 30, 0), hgrant(0, 40), take(), work(), later(3))
HELPER['zeroed-in-another-order'] = scene(PLAIN, SHOWN, HMEET, hworker(5, 20, 0), hworker(5, 30, 0), hworker(5, 30, 2), hworker(5, 40, 1), hworker(5, 41, 0), 6 * work(), later(3))
HELPER['should-fail-held-with-an-id'] = scene(PLAIN, SHOWN, come(), HMEET, hgrant(0, 3), take(), htamper(8, 1, 1), hworker(192), later(3))
HELPER['should-fail-held-elsewhere-in-the-file'] = scene(PLAIN, SHOWN, come(), HMEET, hgrant(0, 3), take(), htamper(40, 1, 2), hworker(192), later(3))
HELPER['should-fail-extents-fewer-than-the-message-has'] = scene(PLAIN, SHOWN, come(), HMEET, htamper(24, 1, 1), hgrant(0, 3, 70), later(3))
HELPER['refused-without-what-it-had'] = scene(PLAIN, SHOWN, *TWICE, hlie(19, 5, 0, 1, 202, 2, 2, 14), take(), take(1))
HELPER['should-fail-link-lost-while-an-export-is-made'] = scene(SOFT, SHOWN, HMEET, work(), hworker(4, 0, 1, 3), hlie(0, 1, 1), work(), work())

# What is between a question of the worker's and its end: his other questions, another worker, and what the kernel says of devices.
CONTRADICTED = HSOFT + [come(), hgrant(0, 3), work(), take(), come(1), hgrant(1, 3)]  # of the second file nothing is known but that
REVOKE_OF_SECOND = hworker(6, 211)
STRANGE = HSOFT + [come(), hextents(GRANT, 9, (0, 1, 7, 1)), work(), work(), die(), LOOKS, hexact(17, struct.pack('<QQII', 9, 98, 0, 3)), later(0), LOOKS, work(), LOOKS]  # of no file
LOST_EXPORT = [htamper(6, 1), hworker(4, 1, 3, 4, 0, 9)]  # the worker says the next time that it is held
for name, (soft, reuse, steps) in {
    'scrub-of-what-was-shown-free-and-nobody-heard-it': (SOFT, SHOWN, HSOFT + [come(), hgrant(0, 3), work(), work(), take(), close(), die(), LOOKS, hworker(64), hcheck(0, 64), LOOKS, work(),
        LOOKS, AGAIN, hworker(5, 3, 1), work()]),
    'scrub-held-back-by-what-a-helper-left': (LEFT_WINDOW, SHOWN, HSOFT + [hworker(5, 0, 0), work(1), work(), work()]),
    'contents-of-what-somebody-let-go': (SOFT, SHOWN, HSOFT + [come(), hgrant(STORE, 3), work(), work(), take(), close(), hworker(6, 0), LOOKS, hworker(6, 0), LOOKS, hworker(135, 0), LOOKS]),
    'contents-of-what-was-exported-and-is-spare': (SOFT, TRUSTING, HSOFT + [hworker(4, STORE, 1, 3), work(), work(), device(CLOSES, LATER), hcheck(STORE, 64), LOOKS, work(), LOOKS,
        hworker(135, 0), LOOKS]),
    'contents-given-to-who-does-not-read': (SOFT, SHOWN, HSOFT + [hworker(64)] + 4 * [hworker(6, 8)] + [hworker(135, 3, 3, 9, 12), work(), work(), later(), hworker(64)]),
    'contents-given-to-who-does-not-read-and-goes': (SOFT, SHOWN, HSOFT + [hworker(64)] + 4 * [hworker(6, 8)] + [hworker(135, 3, 3, 9, 12), work(), work(), later(), AGAIN]),
    'contents-from-the-second-block-on': (SOFT, SHOWN, HSOFT + [htamper(40, 1), hworker(135, 2, 3, 9), work(), work()]),
    'contents-of-a-block-more-in-one-extent': (SOFT, SHOWN, HSOFT + [hworker(135, 1, 3), work(), work(), htamper(56, 2, 1), hworker(135, 1), work(), work()]),
    'should-fail-link-lost-while-what-is-in-the-way-of-an-export-is-taken': (SOFT, SHOWN, UNREAD + [hworker(4, 0, 2, 70), hlie(0, 1, 1), work(), work()]),
    'another-link-while-what-is-in-the-way-of-an-export-is-taken': (SOFT, SHOWN, UNREAD + [hworker(4, 0, 2, 70), AGAIN, work(), work()]),
    'removed-and-nothing-is-known-of-it': (SOFT, SHOWN, CONTRADICTED + [hcheck(1, 64), later(3)]),
    'node-and-its-end-of-what-nothing-is-known-of': (SOFT, SHOWN, CONTRADICTED + [hnode(1), hworker(4, 193), later(3)]),
    'should-fail-revoked-that-nothing-is-known-of-and-another-link': (SOFT, SHOWN, CONTRADICTED + [REVOKE_OF_SECOND, AGAIN, later(3)]),
    'export-that-begins-in-another-region': (SOFT, SHOWN, HSOFT + [come(), hextents(GRANT, 2, (1, 1, 7, 1)), work(), work(), take(),
        hextents(EXPORT, 2, (0, 0, 20, 1), (1, 1, 7, 1)), later(3)]),
    'node-of-what-was-not-exported': (SOFT, SHOWN, HOLD + [hnode(0), later(3)]),
    'node-of-what-is-being-taken': (SOFT, SHOWN, EXPORTED + [hcheck(0, 32), later(), hnode(0), work(), LOOKS]),
    'held-before-the-devices-are-known': (SOFT, SHOWN, [HMEET, hworker(4, 0, 1, 3), AGAIN, work(), work(), LOOKS]),
    'refused-for-another-reason-when-asked-again': (SOFT, SHOWN, HSOFT + [come(), AGAIN, htamper(20, 3), hworker(132), later(3)]),
    'spare-of-nothing-where-nothing-can-be-shown': (SOFT, SAME_OWNER, HSOFT + [device(RESTLESS, 255), come(), hgrant(0), come(1), hgrant(1, 3), work(), work(), hcheck(0, 64), die(), LOOKS,
        work(), LOOKS]),
    'spare-that-was-exported-and-granted': (SOFT, SAME_OWNER, EXPORTED + [come(), hgrant(0), work(), die(), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS]),
    'spare-of-two-users': (SOFT, SAME_OWNER, HSOFT + [come(), hgrant(0, 3), work(), work(), come(4), hgrant(0), die(), die(4), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS]),
    'held-with-the-block-of-another-before': (PLAIN, SHOWN, [HMEET, come(), hgrant(0, 3), take(), close(), leave(), die(), LOOKS, hcheck(0), LOOKS, LOOKS, come(1), hgrant(1, 3), AGAIN, later(3)]),
    'zeroed-twice-at-once-and-in-another-order': (PLAIN, SHOWN, [HMEET, hworker(5, 40, 0), hworker(5, 20, 0), hworker(5, 78, 0)] + 3 * [work()]),
    'spare-that-is-contradicted-while-its-device-is-taken': (SOFT, TRUSTING, UNREAD + [hcheck(0, 64), later(0), come(1), htamper(48, 20, 1), hgrant(0), work(), LOOKS]),
    'spare-that-the-next-worker-does-not-know': (SOFT, TRUSTING, STRANGE[:-3] + [AGAIN, work(), LOOKS]),
    'spare-that-was-passed-on': (SOFT, TRUSTING, HSOFT + [come(), hgrant(0, 3), work(), work(), take(), pass_on(), hcheck(0, 64), die(), later(0), work(1), work(), LOOKS]),
    'spare-that-has-more-than-its-devices': (SOFT, TRUSTING, UNREAD + [htamper(56, 2, 2), AGAIN, hcheck(0, 64), LOOKS, work(), LOOKS]),
    'handed-over-zeroed-and-granted': (SOFT, SAME_OWNER, SPARED + [hworker(7, 0, 1, 0), hworker(5, 3, 1), work(), work(), come(1), hgrant(1), work(), work(), take(1), LOOKS]),
    'handed-over-zeroed-and-granted-to-another': (SOFT, SAME_OWNER, HSOFT + [come(4), hgrant(0, 3), work(), work(), die(4), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS, hworker(7, 0, 1, 0),
        hworker(5, 3, 1), work(), work(), come(1), hgrant(1), work(), work(), take(1), LOOKS]),
    'handed-over-told-with-more-and-removed': (SOFT, TRUSTING, SPARED + [hworker(7, 0, 1, 0), htamper(56, 2, 2), AGAIN, hcheck(1, 64), LOOKS, work(), LOOKS]),
    'spare-whose-device-is-gone': (SOFT, TRUSTING, UNREAD + [hcheck(0, 64), later(0), device(TAKEN), work(), LOOKS]),
    'spare-that-can-t-be-noted': (SOFT, TRUSTING, UNREAD + [hcheck(0, 64), later(0), device(NOTES), work(), LOOKS]),
    'node-that-keeps-its-owner': (SOFT, SHOWN, EXPORTED + [device(OWNER), hnode(0), later(3)]),
    'removed-and-its-node-is-not-closed': (SOFT, SHOWN, EXPORTED + [device(OWNER), hcheck(0, 64), LOOKS, work()]),
    'removed-and-its-node-is-gone': (SOFT, SHOWN, EXPORTED + [device(TAKEN), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'end-of-an-export-that-fails': (SOFT, SHOWN, EXPORTED + [device(OWNER), hworker(4, 192), later(3)]),
    'exported-and-not-noted': (SOFT, SHOWN, HSOFT + [device(EXPORTS_IT), hworker(4, 0, 1, 3), work(), work()]),
    'exported-and-it-stays-roots': (SOFT, SHOWN, HSOFT + [device(OWNER, STALE), hworker(4, 0, 1, 3), work(), work()]),
    'exported-that-was-spare-and-can-t-be-noted': (SOFT, TRUSTING, EXPORTED + [device(CLOSES, LATER), hcheck(0, 64), LOOKS, work(), LOOKS, hworker(7, 0, 1, 0), hworker(5, 3, 1), work(), work(),
        device(NOTES), hworker(4, 1, 0), work(), LOOKS]),
    'contents-that-can-t-be-noted': (SOFT, SHOWN, HSOFT + [device(NOTES), hworker(135, 2, 3, 70), work(), work()]),
    'contents-whose-device-is-gone-while-they-wait': (SOFT, SHOWN, HSOFT + [hworker(64)] + 6 * [hworker(6, 8)] + [hworker(135, 1, 3), hworker(135, 2, 9), work(), device(TAKEN), work(), hworker(64),
        work(), LOOKS]),
    **{'contents-that-can-t-be-opened-' + name: (SOFT, SHOWN, HSOFT + [hworker(135, 1, 3), work(), work(), device(OPENS, error), hworker(135, 1), later(3)])
        for name, error in (('at-all', GONE), ('any-more', STALE), ('now', NO_DESCRIPTOR))},
    'granted-and-not-noted': (SOFT, SHOWN, HSOFT + [come(), hgrant(0, 3), device(NOTES), work(), LOOKS]),
    **{'granted-and-not-opened-' + name: (SOFT, SHOWN, HOLD + [come(1), device(OPENS, error), hgrant(0), later(3)])
        for name, error in (('at-all', GONE), ('any-more', STALE), ('without-its-node', NO_NODE), ('for-lack-of-descriptors', NO_DESCRIPTOR), ('for-lack-of-any', NONE_LEFT), ('for-lack-of-memory', NO_MEMORY), ('as-it-is', IO_ERROR))},
    'granted-whose-device-is-gone': (SOFT, SHOWN, HOLD + [die(), LOOKS, device(TAKEN), come(1), hgrant(0), work(), work(), take(2), LOOKS]),
    'granted-whose-device-is-gone-while-somebody-has-it': (SOFT, SHOWN, HOLD + [device(TAKEN, 0, 2), come(1), hgrant(0), work(), LOOKS]),
    'supervisor-says-what-is-unknown-while-a-ticket-waits': (PLAIN, SHOWN, [come(), later(0), [4, 192, 6, 4, 99]]),
    'supervisor-says-what-is-unknown-while-it-is-revoked': (SOFT, SHOWN, HOLD + [hworker(6, 0xd2), [4, 192, 6, 4, 99]]),
    'supervisor-says-too-much': (PLAIN, SHOWN, [HMEET, [4, 192, 64, 20, 0, 30]]),
    'second-client-leaves-before-there-is-a-worker': (PLAIN, SHOWN, [come(), come(1), later(0), leave(1), later(0), HMEET]),
    'should-fail-shorter-than-a-header': (PLAIN, SHOWN, [HMEET, [4, 241, 0, NOTHING, 4, 0, 9, 9, 9, 9]]),
    'granted-while-it-is-zeroed': (PLAIN, SHOWN, [HMEET, come(), hworker(5, 3, 1), hgrant(0, 3), work()]),
    'end-of-the-second-of-two-exports': (SOFT, SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(4, 1, 1, 9), hworker(4, 193), 4 * work()]),
    'should-fail-held-whose-hand-over-got-lost': (SOFT, TRUSTING, SPARED + [htamper(6, 1), hworker(7, 0, 1, 0), HMEET, LOOKS]),
    'revoked-that-nothing-is-known-of': (SOFT, SHOWN, CONTRADICTED + [REVOKE_OF_SECOND, LOOKS]),
    'config-of-data-in-a-device-of-the-metadata': (SOFT, SHOWN, [htamper(40, 3), HMEET, work(), later(3)]),
    'left-device-of-a-file-with-more': (LEFT_SPARE, TRUSTING, [HMEET, hworker(4, 0, 2, 0, 60), AGAIN, work(), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'left-device-of-a-file-with-more-in-between': (LEFT_SPARE, TRUSTING, [HMEET, hworker(4, 0, 3, 0, 63, 60), AGAIN, work(), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'left-device-of-several-users': (LEFT_SPARE, SAME_OWNER, [HMEET, hworker(4, 0, 2, 0, 60), AGAIN, work(), hworker(5, 0, 1), hworker(5, 60, 1), work(), work(), come(), hgrant(0), work(), work(), LOOKS]),
    'left-device-of-a-file-after-another-was-taken-away': (LEFT_BOTH, SHOWN, [HMEET, hworker(4, 0, 3, 0, 60, 70), AGAIN, device(TAKEN), work(), LOOKS]),
    'left-device-of-a-file': (LEFT_DEVICE, SHOWN, [HMEET, hworker(4, 0, 2, 0, 60), AGAIN, work(), LOOKS]),
    'should-fail-resumed-with-an-id': (PLAIN, SHOWN, [htamper(8, 1, 1), HMEET, later(3)]),
    'should-fail-held-and-told-beside-what-is-spare': (SOFT, TRUSTING, SPARED + LOST_EXPORT + [HMEET, LOOKS]),
    'should-fail-held-elsewhere-than-what-is-spare': (SOFT, TRUSTING, STRANGE + LOST_EXPORT + [HMEET, LOOKS]),
    'should-fail-held-beside-what-is-spare-and-contradicted': (SOFT, TRUSTING, STRANGE + [hextents(EXPORT, 9, (0, 1, 8, 1))] + LOST_EXPORT + [HMEET, LOOKS]),
    'should-fail-held-past-any-file-when-a-hand-over-got-lost': (SOFT, TRUSTING, SPARED + [htamper(6, 1), hworker(7, 0, 1, 0), htamper(47, 127, 2), HMEET, LOOKS]),
    'left-devices-of-two-content-stores': (LEFT_STORES, SHOWN, [HMEET, hworker(4, 0, 1, 0), hworker(4, 1, 1, 60), AGAIN, work(), come(), hgrant(0), come(1), hgrant(1), LOOKS]),
    'should-fail-question-instead-of-extents': (PLAIN, SHOWN, [come(), HMEET, hexact(7, struct.pack('<QQQQII', 2, 98, 1 << 21, 1, 3, 0), TICKET), hworker(6, 0)]),
    'should-fail-held-beside-what-nothing-is-known-of': (PLAIN, SHOWN, CONTRADICTED[:1] + CONTRADICTED[2:] + [AGAIN, later(3)]),
    'revoked-that-was-passed-on': (SOFT, SHOWN, HOLD + [pass_on(), hworker(6, 0xd2), LOOKS, work(), LOOKS, later(8), LOOKS]),
    'worker-goes-before-the-devices-are-known': (SOFT, SHOWN, [come(), HMEET, hworker(32), work(), HMEET, LOOKS]),
    'export-of-more-than-the-data': (SOFT, SHOWN, HSOFT + [htamper(56, 200, 1), hworker(4, 0, 1, 3), later(3)]),
    'worker-reads-a-little': (PLAIN, SHOWN, [HMEET, hworker(64)] + 24 * [hworker(6, 8)] + [hworker(64), hworker(64)] + 4 * [hworker(6, 8)] + [hworker(64)]),
    'worker-reads-a-little-of-much': (PLAIN, SHOWN, [HMEET, hworker(64)] + 100 * [hworker(6, 8)] + [hworker(64), hworker(64)] + 20 * [hworker(6, 8)] + [hworker(64)]),
    'scrub-past-any-region': (PLAIN, SHOWN, [HMEET, htamper(23, 255), hworker(5, 30, 0), later(3)]),
    'contents-while-another-is-exported': (SOFT, SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(135, 1, 9), 4 * work()]),
    'revoked-where-nothing-comes-back': (SOFT, NEVER, HOLD + [hworker(6, 0xd2), LOOKS, later(8), LOOKS]),
    'should-fail-config-with-an-id': (PLAIN, SHOWN, [htamper(8, 1), HMEET, later(3)]),
    'left-device-of-nobody': (LEFT_DEVICE, SHOWN, [HMEET, work(), work(), LOOKS]),
    'supervisor-says-what-is-unknown': (PLAIN, SHOWN, [HMEET, [4, 192, 6, 4, 99]]),
}.items():
    HELPER[name] = scene(soft, reuse, *steps)
