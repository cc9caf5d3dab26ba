#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""seeds.py DIRECTORY: writes the first inputs of the targets that are told sequences of steps, each named for what it shows.
The corpus has them already; this is how they came about, and how a new one is made. Whoever changes what a byte stands for in
rig_*.c, scene_*.c or fuzz_*.c changes it here and runs it on tests/fuzz/corpus."""
import pathlib
import sys

A, B, C, D, EMPTY, DOT, DOTDOT = range(7)  # names
LONGEST, TOO_LONG = 249, 248
S0, S4K, S2M, S4M, S6M, S10M, S18M, S128M, S1G, S2G, S3G, S16T, SMAX = range(1, 14)  # sizes
ROOT, FIRST, SECOND, THIRD = range(4)  # inodes, in the order in which the kernel has heard of them
MARK, PAGESIZE, QUOTA, SOCKET, ACL, DEFAULT_ACL = 2, 3, 4, 5, 6, 7  # attributes
ONE, ONE_G, EIGHT_M = 0, 6, 15  # values
FILE, RESERVED, GROUPS = range(3)  # pools

# ---- requests of the kernel (rig_requests.c)

def create(name, dir=ROOT): return [0, 0o600 & 255, 1, dir, name]
def size(ino, to): return [1, 3, 0, ino, 0, 0, to]
def attributes(ino): return [1, 0x71, 0, ino, 0o644 & 255, 1] + 2 * [7, 0, 0, 0, 0, 0, 0, 0]
def mkdir(name, dir=ROOT): return [2, 0o755 & 255, 1, dir, name]
def unlink(name, dir=ROOT): return [3, dir, name]
def setxattr(ino, name, value, flags=0): return [4, flags, ino, name, value]
def write(ino, at=S0, count=4095): return [5, count & 255, count >> 8, ino, at]
def read(ino, at=S0): return [6, 1, ino, at]
def allocate(ino, at, length, mode=0): return [7, mode, ino, at, length]
def punch(ino, at, length): return allocate(ino, at, length, 2)
def ticket(ino): return [8, 6, ino]  # open for reading and writing
def revoke(ino, kill=0): return [8, 2 + 9 * kill, ino]
def open_(ino): return [9, 2, ino]
def opendir(ino): return [9, 3, ino]
def release(ino): return [10, 0, ino]
def rename(a, b, flags=0, dir=ROOT, to=ROOT): return [11, to, dir, a, flags, b]
def link(ino, name, dir=ROOT): return [12, ino, dir, name]
def symlink(name, length=9): return [13, ROOT, name, length] + length % 8 * [ord('/')]
def lookup(name, dir=ROOT): return [14, dir, name]
def mknod(name, mode): return [15, mode & 255, mode >> 8, ROOT, 3, 1, name]
def rmdir(name, dir=ROOT): return [16, dir, name]
def seek(ino, at, whence): return [17, whence, ino, at]
def readdir(ino, plus=0): return [18, 6 + 8 * plus, 100, ino, 0]
def getxattr(ino, name): return [19, 255, 0, ino, 1, name]
def listxattr(ino): return [19, 255, 0, ino, 0]
def removexattr(ino, name): return [20, ino, name]
def readlink(ino): return [22, ino]
def statfs(ino=ROOT): return [23, ino]
def forget(ino): return [24, ino, 1, ino]
def interrupt(n): return [25, n]

# ---- steps of fuzz_ops.c; the others have the same with other numbers

def ops(pool, *steps): return [pool] + [b for s in steps for b in s]
def k(request): return [6] + request
def restart(new_boot=0): return [0x20 if new_boot else 0]
def wait(exponent=6): return [1, exponent]
FREEZE, THAW, CHECKPOINT = [2], [0x12], [0x22]
def helper(*what): return [3] + list(what)
CONNECT = helper(4, 0)
def redeem(n=0): return helper(1, n)
def unread(step): return [step[0] + 128] + step[1:]
def let_go(n=0): return helper(3, n)
def answer(how=2, n=0): return helper(4 + 8 * n, how)
FREE, SPARE, HELD, FAIL = 0, 1, 2, 3  # answers
def clean(n=12): return n * answer()

OPS = {
    'names': ops(FILE, k(mkdir(A)), k(create(B, FIRST)), k(symlink(C)), k(readlink(THIRD)), k(link(SECOND, D)), k(rename(D, A, 0, ROOT, FIRST)),
        k(rename(A, C, 2)), k(mknod(D, 0o60600)), k(readdir(ROOT, 1)), k(readdir(ROOT)), k(unlink(D)), k(rmdir(C)), k(forget(FIRST))),
    'attributes': ops(FILE, k(create(A)), k(attributes(FIRST)), k(setxattr(FIRST, 0, ONE)), k(setxattr(FIRST, 0, ONE, 1)), k(getxattr(FIRST, 0)),
        k(listxattr(FIRST)), k(removexattr(FIRST, 0)), k(getxattr(FIRST, SOCKET)), k(setxattr(ROOT, DEFAULT_ACL, 1)), k(setxattr(ROOT, PAGESIZE, ONE_G))),
    'open-and-removed': ops(FILE, k(create(A)), k(size(FIRST, S4M)), k(open_(FIRST)), k(unlink(A)), k(release(FIRST)), k(release(FIRST))),
    'content': ops(FILE, CONNECT, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(write(FIRST)), clean(), k(read(FIRST)), k(size(FIRST, S4K)),
        k(allocate(FIRST, S0, S2M)), k(seek(FIRST, S0, 4)), k(punch(FIRST, S0, S4K)), restart(), k(read(FIRST))),
    'content-on-reserved-memory': ops(RESERVED, CONNECT, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(write(FIRST)), clean(), k(read(FIRST)), clean(),
        k(write(FIRST, S2M)), clean(), restart(1), CONNECT, k(read(FIRST)), clean()),
    'content-large': ops(GROUPS, CONNECT, k(mkdir(A)), k(setxattr(FIRST, MARK, ONE)), k(create(B, FIRST)), k(allocate(SECOND, S0, S128M)), clean(), wait(),
        clean(), k(unlink(B, FIRST)), clean()),
    # From 300 bytes below 64 blocks on, and 65235 bytes more than those: four steps, the last of them when the input is over.
    'content-goes-on-alone': ops(GROUPS, CONNECT, k(mkdir(A)), k(setxattr(FIRST, MARK, ONE)), k(create(B, FIRST)), k(write(SECOND)), clean(32),
        k([7, 0, SECOND, 128 + 8, 0, 0, 128 + 6, 255, 255])),
    'quota': ops(FILE, k(mkdir(A)), k(setxattr(FIRST, QUOTA, EIGHT_M)), k(create(B, FIRST)), k(size(SECOND, S6M)), k(size(SECOND, S10M)), k(statfs(FIRST))),
    'grant-and-its-end': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), clean(), k(size(FIRST, S0)), answer(HELD),
        k(size(FIRST, S2M)), answer(FREE), k(unlink(A)), let_go(), clean()),
    'held-over-restarts': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S6M)), k(ticket(FIRST)), redeem(), clean(), restart(), CONNECT, k(ticket(FIRST)),
        redeem(), clean(), k(unlink(A)), restart(), CONNECT, answer(FREE), restart(1), CONNECT),
    'helper-restarts-in-a-scrub': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S6M)), k(ticket(FIRST)), redeem(), answer(), helper(0, 0), CONNECT,
        redeem(), clean()),
    'scrub-fails': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S6M)), k(ticket(FIRST)), redeem(), answer(FAIL), answer(FAIL), wait(11), clean()),
    # The background rests after a failure: what the worker asks in its last turn is all that it asks.
    'redeemed-while-the-background-rests': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), answer(FAIL), unread(redeem())),
    'redeemed-by-more-than-are-read-at-a-time': ops(RESERVED, CONNECT, answer(FAIL), 100 * unread(redeem())),
    'memory-of-the-dead': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S18M)), k(ticket(FIRST)), redeem(), clean(), k(unlink(A)), answer(HELD),
        k(create(B)), k(size(SECOND, S18M)), answer(SPARE), answer(FREE), clean()),
    'handed-over': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S18M)), k(ticket(FIRST)), redeem(), clean(), k(unlink(A)), k(create(B)),
        k(size(SECOND, S10M)), k(create(C)), k(size(THIRD, S18M)), 12 * answer(4 | SPARE), k(ticket(THIRD)), redeem(1), clean()),
    'punched-ends': ops(FILE, CONNECT, k(create(A)), k(size(FIRST, S10M)), k([7, 2, FIRST, 128 + 5, 9, 9, 128 + 7, 8, 8]), answer(), answer(), k(seek(FIRST, S0, 3))),
    'revoked': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), clean(), k(revoke(FIRST)), answer(2), k(revoke(FIRST, 1)),
        answer(7), k(revoke(FIRST)), restart(), k(statfs())),
    'interrupted': ops(FILE, CONNECT, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(allocate(FIRST, S0, S10M)), k(interrupt(3)), wait(), clean()),
    'frozen': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(open_(FIRST)), k(unlink(A)), FREEZE, k(release(FIRST)), k(create(B)), restart(1), THAW, k(create(C))),
    'checkpoints': ops(FILE, k(create(A)), CHECKPOINT, k(size(FIRST, S4M)), CHECKPOINT, k(unlink(A)), CHECKPOINT),
    'should-fail-enospc': ops(FILE, k(create(A)), k(size(FIRST, S16T))),
    'should-fail-name-too-long': ops(FILE, k(create(TOO_LONG))),
    'should-fail-enotempty': ops(FILE, k(mkdir(A)), k(create(B, FIRST)), k(rmdir(A))),
    'should-fail-directory-into-itself': ops(FILE, k(mkdir(A)), k(mkdir(B, FIRST)), k(rename(A, C, 0, ROOT, SECOND))),
    'should-fail-size-of-no-whole-gib': ops(GROUPS, k(create(A)), k(size(FIRST, S6M))),
    'should-fail-ticket-of-content': ops(FILE, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(ticket(FIRST))),
}

# ---- steps of fuzz_link.c

def lk(request): return [1] + request
def lsay(*what): return [3] + list(what)
def lie(how, *numbers): return [5, how] + list(numbers)
LCONNECT = lsay(4, 0)
LHELD = [LCONNECT, lk(create(A)), lk(size(FIRST, S4M)), lk(ticket(FIRST)), lsay(1, 0)] + 12 * [lsay(4, HELD)]
INO, EPOCH, ID = 1, 2, 0  # numbers of the first that is held, or asked

LINK = {
    'nothing-but-truth': ops(RESERVED, *LHELD),
    'free-with-an-old-number': ops(RESERVED, *LHELD, lie(4, 3, INO, 7, 3, 3)),
    'free-of-what-is-granted': ops(RESERVED, *LHELD, lie(4, 3, INO, EPOCH, 3, 3), lk(create(B)), lk(size(SECOND, S18M)), lk(ticket(SECOND)), lsay(1, 1),
        12 * lsay(4, HELD)),
    'spare-of-what-is-granted': ops(RESERVED, *LHELD, lk(unlink(A)), lie(23, 3, INO, EPOCH, 11), lk(create(B)), lk(size(SECOND, S18M))),
    'tickets-that-are-none': ops(FILE, LCONNECT, lie(2, 7, 7, 7), lie(2, 8, 7, 7)),
    'should-fail-before-ready': ops(FILE, [0x83, 0, 0], lie(3, 0, 0, 0)),
    'should-fail-done-of-no-order': ops(FILE, LCONNECT, lie(3, 255, 9, 0, 0, 0, 0, 0, 0, 0, 0)),
    'should-fail-holders-nobody-asked-for': ops(FILE, LCONNECT, lie(6, 3, 3, 3)),
    'should-fail-exported-nobody-asked-for': ops(RESERVED, LCONNECT, lie(8, 3, 3, 3)),
    'should-fail-unknown-opcode': ops(FILE, LCONNECT, [5, 31 + 128, 3, 3, 3, 3, 16, 99, 0]),
    'should-fail-short': ops(FILE, LCONNECT, [5, 31 + 128, 3, 3, 3, 3, 7, 4, 0]),
}

# ---- steps of fuzz_wire.c and fuzz_helper.c

def scene(soft, reuse, *steps): return [soft + 2 * reuse] + [b for s in steps for b in s]
def come(person=0): return [0, 0, person]
def again(client=0): return [0, 2, client]
def take(client=0): return [0, 3, client]
def map_(person=0): return [0, 4 + 8 * person]
def close(person=0): return [0, 5 + 8 * person]
def unmap(person=0): return [0, 5 + 8 * (16 + person)]
def leave(client=0): return [0, 6, client]
def die(person=0): return [0, 7 + 8 * (24 + person)]  # 24 is a multiple of the persons
def worker(*what): return [4] + list(what)
def grant(file, *where): return worker(1, file, len(where), *where)
REFUSE, MEET = worker(132), worker(0)
def export(file, *where): return worker(4, file, len(where), *where)
def unexport(file): return worker(4, 192 + file)
def contents(*where): return worker(135, len(where), *where)
def scrub(block, region=0): return worker(5, block, region)
def zero(block, region=0): return worker(5, block, region + 2)
def check(file, flags=0): return worker(6, 8 + flags + file - (8 + flags) % 6 + (6 if file < (8 + flags) % 6 else 0))
HOLDERS = worker(6, 0)
def work(thread=0): return [6 + 8 * thread]
def later(exponent=5): return [7, exponent]
LOOKS = 4 * (later() + work(1))
SHOWN, SAME_OWNER, TRUSTING, NEVER = range(4)
PLAIN, SOFT = range(2)
def odd(how, *rest): return [2, how] + list(rest)

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
    'should-fail-no-ticket': scene(PLAIN, SHOWN, MEET, come(), REFUSE),
    'should-fail-not-trusted': scene(PLAIN, SHOWN, MEET, come(4)),
    'should-fail-attach-first': scene(PLAIN, SHOWN, MEET, odd(0x23, 0)),
    'should-fail-unknown-opcode': scene(PLAIN, SHOWN, MEET, odd(0x27, 0, 99, 0)),
    'should-fail-with-a-descriptor': scene(PLAIN, SHOWN, MEET, odd(0xf3, 0)),
    'should-fail-too-short': scene(PLAIN, SHOWN, MEET, odd(0x01, 0, 9)),
    'should-fail-no-hello': scene(PLAIN, SHOWN, MEET, odd(0x31, 0, 0), later(10)),
}

# In fuzz_helper.c 2 is the worker, and 4 its lies.
def hworker(*what): return [2] + list(what)
HMEET = hworker(0)
def hgrant(file, *where): return hworker(1, file, len(where), *where)
def hlie(how, fields, *numbers): return [4, how, fields] + list(numbers)

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
    'should-fail-hand-over-to-itself': scene(SOFT, TRUSTING, HMEET, work(), hlie(14, 4, 1, 1, 3, 3)),
    'should-fail-grant-nobody-asked-for': scene(PLAIN, SHOWN, HMEET, hlie(3 + 16, 6, 6, 1, 3, 3, 2, 2, 2)),
    'should-fail-extents-of-nothing': scene(PLAIN, SHOWN, HMEET, hlie(5, 6, 1, 2, 2, 2, 2, 2)),
    'should-fail-config-twice': scene(PLAIN, SHOWN, HMEET, hlie(0, 1, 1)),
    'should-fail-held-after-resumed': scene(PLAIN, SHOWN, HMEET, hlie(1, 3, 1, 2, 2)),
    'should-fail-scrub-of-no-block': scene(PLAIN, SHOWN, HMEET, hlie(6, 2, 2, 2)),
    'should-fail-longer-than-any': scene(PLAIN, SHOWN, HMEET, [4, 241, 0, 0, 255, 3]),
    'should-fail-unknown-opcode': scene(PLAIN, SHOWN, HMEET, [4, 241, 0, 16, 0] + 40 * [99]),
}

# ---- steps of fuzz_control.c

def asks(opcode, which=0, client=0): return [2, opcode - 1 + 9 * client, which]
STATUS, FILES, EXTENTS, CFREEZE, CTHAW, TOKEN, EXPORT, UNEXPORT = range(1, 9)
def ck(request): return [5] + request
def csay(*what): return [6] + list(what)
CCONNECT = csay(4, 0)

CONTROL = {
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

def write_all(directory, inputs):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in inputs.items():
        (directory / name).write_bytes(bytes(content))

if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, inputs in {'ops': OPS, 'link': LINK, 'wire': WIRE, 'helper': HELPER, 'control': CONTROL}.items():
        write_all(pathlib.Path(sys.argv[1]) / target, inputs)
