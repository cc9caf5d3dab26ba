# SPDX-License-Identifier: MIT
"""Steps that fuzz_wire.c and fuzz_helper.c have in common, which stand on scene.h."""
def scene(soft, reuse, *steps): return [soft + 2 * reuse] + [b for s in steps for b in s]
def come(person=0): return [0, 0, person]
def again(client=0): return [0, 2, client]
def take(client=0): return [0, 3, client]
def map_(person=0): return [0, 4 + 8 * person]
def close(person=0): return [0, 5 + 8 * person]
def unmap(person=0): return [0, 5 + 8 * (18 + person)]  # 18 is a multiple of the persons
def leave(client=0): return [0, 6, client]
def die(person=0): return [0, 7 + 8 * (24 + person)]  # 24 too; his connections are another's
def pass_on(person=0): return [0, 7 + 8 * person]  # to the next one
def worker(*what): return [4] + list(what)
def grant(file, *where): return worker(1, file, len(where), *where)
REFUSE, MEET = worker(132), worker(0)
def export(file, *where): return worker(4, file, len(where), *where)
def unexport(file): return worker(4, 192 + file)
def node(file): return worker(4, 162 + file)
def contents(*where): return worker(135, len(where), *where)
def scrub(block, region=0): return worker(5, block, region)
def zero(block, region=0): return worker(5, block, region + 2)
def check(file, flags=0): return worker(6, 8 + flags + file - (8 + flags) % 6 + (6 if file < (8 + flags) % 6 else 0))
HOLDERS = worker(6, 0)
def work(thread=0): return [6 + 8 * thread]
def later(exponent=5): return [7, exponent]
OPENS, OWNER, NOTES, EXPORTS_IT, COUNTS, CLOSES, RESTLESS, TAKEN = range(8)  # of the kernel's devices
IO_ERROR, NO_DESCRIPTOR, GONE, NO_NODE, LATER, NONE_LEFT, STALE, NO_MEMORY, UNKNOWN = range(9)  # why
def device(what, how=0, times=1): return [7 + 8 * 24, what + 8 * (times - 1), how]  # it fails so often
LOOKS = 4 * (later() + work(1))
SHOWN, SAME_OWNER, TRUSTING, NEVER = range(4)
PLAIN, SOFT = range(2)
LEFT_WINDOW, LEFT_DEVICE, LEFT_BOTH, LEFT_STORES, LEFT_SPARE = SOFT + 32, SOFT + 64, SOFT + 96, SOFT + 128, SOFT + 128 + 64  # by a helper before
def odd(how, *rest): return [2, how] + list(rest)
def nearly(attach, at, value, client=0, greeted=0): return [2, 0x3a, client, 64 * greeted + 128 * attach + at, value]
def hand_over(a, b, at=0): return worker(7, a, b, at)
DEAF, AWAY = worker(64), worker(32)
