# SPDX-License-Identifier: MIT
"""Steps of fuzz_wire.c, in which 2 is a client that keeps to nothing, and 4 the worker."""
from scene import *

WIRE = {
    'granted': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3, 70), take(), map_(), close(), leave()),
    'granted-on-a-device': scene(SOFT, SHOWN, MEET, work(), come(3), grant(0, 3, 70), work(), work(), take(), map_(3), close(3)),
    'two-of-one-file': scene(PLAIN, SHOWN, MEET, come(), come(1), grant(0, 3), grant(0), take(), take(1), map_(), map_(1), die(), LOOKS),
    'held-till-shown-free': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), take(), map_(), close(), die(), LOOKS, LOOKS),
    'taken-back': scene(SOFT, SHOWN, MEET, work(), come(), grant(0, 3), work(), work(), take(), map_(), unmap(), close(), worker(6, 110), LOOKS, work(), LOOKS),
    'worker-goes': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), take(), map_(), worker(192), come(1), scrub(30), work(), LOOKS),
    'ticket-before-the-worker': scene(PLAIN, SHOWN, come(), MEET, grant(0, 3), take()),
    'exported': scene(SOFT, SHOWN, MEET, work(), export(0, 3), work(), work(), HOLDERS, LOOKS, unexport(0), work()),
    'contents': scene(SOFT, SHOWN, MEET, work(), contents(3, 9), work(), work(), worker(192), work()),
    'dies-with-the-grant-unread': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), die(), LOOKS, LOOKS),
    'empty-file-with-the-grant-unread': scene(SOFT, SHOWN, MEET, work(), come(), grant(0), odd(0, 0, 1, 0), check(0, 64), LOOKS, work()),
    'handed-over': scene(SOFT, TRUSTING, MEET, work(), come(), grant(0, 3), work(), work(), take(), map_(), die(), LOOKS, check(0, 64), LOOKS, work(), LOOKS,
        hand_over(0, 1), come(1), grant(1), work(), work(), take(1), take(2), map_(1), LOOKS),
    'should-fail-handed-over-and-not-zeroed': scene(SOFT, SAME_OWNER, MEET, work(), come(), grant(0, 3), work(), work(), die(), LOOKS, check(0, 64), LOOKS, work(), LOOKS,
        hand_over(0, 1), come(2), grant(1), work(), work(), take(1), map_(2), LOOKS),
    'not-handed-over-to-another-user': scene(SOFT, SAME_OWNER, MEET, work(), come(), come(4), grant(0, 3), grant(0, 3), work(), work(), take(1), die(), die(4), LOOKS,
        check(0, 64), LOOKS, work(), LOOKS),
    'scrubbed-after-it-was-handed-over': scene(SOFT, TRUSTING, MEET, work(), come(), grant(0, 3), work(), work(), take(), map_(), die(), LOOKS, check(0, 64), LOOKS, work(), LOOKS,
        hand_over(0, 1), scrub(3, 1), work(), come(1), grant(1), work(), work(), take(1), take(2)),
    'worker-does-not-read': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), take(), DEAF, 30 * (worker(6, 8)), 8 * HOLDERS, LOOKS, DEAF, LOOKS),
    'worker-goes-and-none-comes': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), AWAY, later(), take(), MEET, LOOKS),
    'worker-goes-without-reading': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), take(), DEAF, 30 * (worker(6, 8)), LOOKS, worker(192)),
    'supervisor-and-keeper': scene(PLAIN, SHOWN, MEET, worker(128), worker(136), come(), grant(0, 3)),
    'exported-and-another-owner': scene(SOFT, SHOWN, MEET, work(), export(0, 3), worker(4, 160), work(), work(), node(0), HOLDERS, LOOKS, unexport(0), work()),
    'contents-twice': scene(SOFT, SHOWN, MEET, work(), contents(3, 9), work(), work(), contents(3, 9, 12), work(), work()),
    'should-fail-hello-for-another-version': scene(PLAIN, SHOWN, MEET, odd(0x23, 0), odd(0x3b, 0, 16, 9)),
    'should-fail-second-hello': scene(PLAIN, SHOWN, MEET, come(), odd(0x02, 0)),
    'should-fail-no-ticket': scene(PLAIN, SHOWN, MEET, come(), REFUSE),
    'should-fail-not-trusted': scene(PLAIN, SHOWN, MEET, come(4)),
    'should-fail-attach-first': scene(PLAIN, SHOWN, MEET, odd(0x23, 0)),
    'should-fail-unknown-opcode': scene(PLAIN, SHOWN, MEET, odd(0x27, 0, 99, 0)),
    'should-fail-with-a-descriptor': scene(PLAIN, SHOWN, MEET, odd(0xf3, 0)),
    'should-fail-too-short': scene(PLAIN, SHOWN, MEET, odd(0x01, 0, 9)),
    'should-fail-two-that-say-no-hello': scene(PLAIN, SHOWN, MEET, odd(0x31, 0, 0), later(), odd(0x31, 1, 0), later(10)),
    'should-fail-no-hello': scene(PLAIN, SHOWN, MEET, odd(0x31, 0, 0), later(10)),
}

for name, at, value in (('size', 0, 9), ('opcode', 4, 9), ('reserved-in-its-header', 6, 1), ('flag', 24, 1)):
    WIRE['should-fail-hello-with-another-' + name] = scene(PLAIN, SHOWN, MEET, come(), nearly(0, at, value), odd(0x3b, 1, at, value))
for name, at, value in (('size', 0, 9), ('reserved-in-its-header', 6, 1), ('flag', 32, 1)):
    WIRE['should-fail-attach-with-another-' + name] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 64 + 128 + at, value))
WIRE['should-fail-hello-of-a-version-before'] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 20, 0))
WIRE['should-fail-hello-of-a-version-to-come'] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 17, 9))
