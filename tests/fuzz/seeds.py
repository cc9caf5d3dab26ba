#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""seeds.py DIRECTORY: writes the first inputs of the targets that are told sequences of steps, each named for what it shows.
The corpus has them already; this is how they came about, and how a new one is made. Whoever changes what a byte stands for in
rig_*.c, scene_*.c or fuzz_*.c changes it here and runs it on tests/fuzz/corpus."""
import pathlib
import struct
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
def of_a_user(request): return [request[0] + 128] + request[1:]
def gone(request): return [request[0], request[1] + 128] + request[2:]  # the reply is not taken

# ---- steps of fuzz_ops.c; the others have the same with other numbers

def ops(pool, *steps): return [pool] + [b for s in steps for b in s]
def k(request): return [6] + request
def restart(new_boot=0): return [0x20 if new_boot else 0]
def wait(exponent=6): return [1, exponent]
AGAIN = [0x30]  # after a restart, what was asked last is asked again
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
        k(size(SECOND, S10M)), k(create(C)), k(size(THIRD, S18M)), 12 * answer(4), k(ticket(THIRD)), redeem(1), clean()),
    'punched-ends': ops(FILE, CONNECT, k(create(A)), k(size(FIRST, S10M)), k([7, 2, FIRST, 128 + 5, 9, 9, 128 + 7, 8, 8]), answer(), answer(), k(seek(FIRST, S0, 3))),
    'revoked': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), clean(), k(revoke(FIRST)), answer(2), k(revoke(FIRST, 1)),
        answer(7), k(revoke(FIRST)), restart(), k(statfs())),
    'interrupted': ops(FILE, CONNECT, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(allocate(FIRST, S0, S10M)), k(interrupt(3)), wait(), clean()),
    'frozen': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(open_(FIRST)), k(unlink(A)), FREEZE, k(release(FIRST)), k(create(B)), restart(1), THAW, k(create(C))),
    'checkpoints': ops(FILE, k(create(A)), CHECKPOINT, k(size(FIRST, S4M)), CHECKPOINT, k(unlink(A)), CHECKPOINT),
    'asked-again': ops(FILE, *[s for request in (create(A), mkdir(B), mknod(C, 0o60600), symlink(D), link(FIRST, 7), rename(7, A, 0), link(FIRST, C), unlink(C),
        mkdir(C, SECOND), rmdir(C, SECOND), setxattr(FIRST, 0, ONE), removexattr(FIRST, 0), attributes(FIRST), size(FIRST, S4M), allocate(FIRST, S2M, S4M),
        punch(FIRST, S0, S2M), open_(FIRST), readdir(ROOT), statfs()) for s in (k(request), AGAIN)]),
    'should-fail-asked-again-after-it-failed': ops(FILE, k(create(A)), k(mkdir(A)), AGAIN, k(size(FIRST, S16T)), AGAIN),
    'caller-gone-before-the-reply': ops(FILE, k(create(A)), k(gone(open_(FIRST))), k(gone(opendir(ROOT))), k([0, 0, 0x80, ROOT, B]), k(unlink(A)), k(gone(open_(FIRST))), k(unlink(B))),
    'read-that-the-kernel-can-t-copy': ops(FILE, CONNECT, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(write(FIRST)), clean(), k(gone(read(FIRST))), k(read(FIRST))),
    'should-fail-revoked-by-the-owner': ops(RESERVED, CONNECT, k(of_a_user(create(A))), k(of_a_user(revoke(FIRST))), answer(2), k(create(B)), k(of_a_user(revoke(SECOND)))),
    'revoked-while-others-wait': ops(RESERVED, CONNECT, k(create(A)), k(create(B)), k(size(FIRST, S4M)), k(size(SECOND, S4M)), k(ticket(FIRST)), k(ticket(SECOND)),
        unread(redeem()), redeem(1), k(revoke(FIRST, 1)), clean()),
    'revoked-with-many-holders': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), clean(), k(revoke(FIRST)), answer(249)),
    'revoked-when-a-helper-is-there-again': ops(RESERVED, CONNECT, k(create(A)), helper(0, 0), k(revoke(FIRST)), CONNECT, answer(2)),
    'should-fail-revoked-when-no-helper-comes': ops(RESERVED, CONNECT, k(create(A)), helper(0, 0), k(revoke(FIRST)), wait(8)),
    'should-fail-revoked-by-too-many': ops(RESERVED, CONNECT, k(create(A)), 17 * k(revoke(FIRST))),
    'should-fail-questions-of-other-sizes': ops(RESERVED, CONNECT, k(create(A)), *[k([8, how, FIRST]) for how in (248, 249, 250, 251, 253, 254, 255)]),
    'should-fail-quota-that-the-dead-fill': ops(RESERVED, CONNECT, k(mkdir(A)), k(setxattr(FIRST, QUOTA, EIGHT_M)), k(create(B, FIRST)), k(size(SECOND, S6M)), k(ticket(SECOND)),
        redeem(), clean(), k(unlink(B, FIRST)), k(create(C, FIRST)), k(size(THIRD, S4M)), answer(HELD), answer(FREE), clean()),
    'content-without-a-helper': ops(FILE, k(create(A)), k(setxattr(FIRST, MARK, ONE)), k(write(FIRST)), wait(11)),
    'punch-that-fails': ops(FILE, CONNECT, k(create(A)), k(size(FIRST, S10M)), k([7, 2, FIRST, 128 + 5, 9, 9, 128 + 7, 8, 8]), answer(FAIL), answer()),
    'should-fail-punch-in-a-frozen-pool': ops(FILE, CONNECT, k(create(A)), k(size(FIRST, S10M)), 4 * unread(answer(FAIL)), FREEZE, k([7, 2, FIRST, 128 + 5, 9, 9, 128 + 7, 8, 8]), THAW),
    'interrupted-while-it-goes-on': ops(GROUPS, CONNECT, k(mkdir(A)), k(setxattr(FIRST, MARK, ONE)), k(create(B, FIRST)), k(write(SECOND)), clean(32),
        k([7, 0, SECOND, 128 + 8, 0, 0, 128 + 6, 255, 255]), k(interrupt(5)), wait(), clean()),
    'values-too-long-for-who-asks': ops(FILE, k(create(A)), k(setxattr(FIRST, 0, 2 + 3 * 9)), k([19, 1, 0, FIRST, 1, 0]), k([19, 1, 0, FIRST, 0]), k(getxattr(FIRST, 13)),
        k([19, 255, 0, 255] + 8 * [9] + [0]), k([19, 0, 0, FIRST, 1, 0])),
    'yields': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), [0x40], redeem(), restart(), CONNECT, redeem(), clean()),
    'ticket-of-before-a-restart': ops(RESERVED, CONNECT, k(create(A)), k(create(B)), k(ticket(FIRST)), wait(3), k(ticket(SECOND)), restart(), CONNECT, redeem(), redeem(1), clean()),
    'in-a-crash-kernel': ops(130, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), clean(), k(unlink(A)), answer(FREE), let_go(), k(create(B)),
        k(size(SECOND, S18M)), answer(SPARE), clean()),
    'file-removed-while-it-is-waited-for': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S4M)), k(ticket(FIRST)), redeem(), k(release(FIRST)), k(unlink(A)), clean()),
    'names-that-are-too-many-for-who-asks': ops(FILE, k(create(A)), k(setxattr(FIRST, 0, ONE)), k([19, 1, 0, FIRST, 0]), k([19, 0, 0, FIRST, 0])),
    'should-fail-names-of-what-is-gone': ops(FILE, k(create(A)), k(release(FIRST)), k(unlink(A)), k(listxattr(FIRST)), k(getxattr(FIRST, 0)), k(revoke(FIRST))),
    'renamed-again-after-a-restart': ops(FILE, k(create(A)), k(rename(A, B)), AGAIN),
    'size-of-whole-gib': ops(GROUPS, k(create(A)), k(size(FIRST, S3G))),
    'should-fail-revoked-without-a-helper': ops(RESERVED, k(create(A)), k(revoke(FIRST))),
    'open-again-after-a-restart-and-unwanted': ops(FILE, k(create(A)), k(gone(open_(FIRST))), AGAIN, k(gone(opendir(ROOT))), AGAIN),
    'should-fail-revoked-with-unknown-flags': ops(RESERVED, CONNECT, k(create(A)), k([8, 2 + 18, FIRST])),
    'linked-again-after-a-restart': ops(FILE, k(create(A)), k(link(FIRST, B)), AGAIN),
    'ticket-after-others-have-expired': ops(RESERVED, CONNECT, k(create(A)), k(ticket(FIRST)), wait(11), k(ticket(FIRST)), redeem(), redeem(1), clean()),
    'should-fail-size-of-no-whole-gib-twice': ops(GROUPS, k(create(A)), k(size(FIRST, S6M)), k(size(FIRST, S6M))),
    'synced': ops(FILE, k(create(A)), k([26, 1, FIRST])),
    'listed-as-it-was-opened': ops(FILE, k(create(A)), k([18, 6, 4, ROOT, 0]), k(readdir(ROOT))),
    'should-fail-socket-removed': ops(FILE, k(create(A)), k(removexattr(FIRST, SOCKET))),
    'handed-over-and-not-granted': ops(RESERVED, CONNECT, k(create(A)), k(size(FIRST, S18M)), k(ticket(FIRST)), redeem(), clean(), k(unlink(A)), k(release(FIRST)), 12 * answer(4),
        k(create(B)), k(size(SECOND, S10M)), 4 * answer(4), k(create(C)), k(size(THIRD, S18M)), 12 * answer(4), restart(), CONNECT, clean()),
    'quota-that-is-full-while-it-waits': ops(RESERVED, CONNECT, k(mkdir(A)), k(setxattr(FIRST, QUOTA, EIGHT_M)), k(create(B, FIRST)), k(size(SECOND, S4M)), k(ticket(SECOND)),
        redeem(), clean(), k(unlink(B, FIRST)), k(create(C, FIRST)), k(size(THIRD, S6M)), k(mkdir(D, FIRST)), answer(FREE), let_go(), clean()),
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
def lexport(ino): return [16, ino]
def lunexport(ino): return [24, ino]
LHOLDERS, LFREEZE, LTHAW = [32], [40], [48]
def other(at, value, after=0): return [5, 96 + after, at, value]  # the next true message, or one after it, has this byte
def lie_any(opcode, body, number=ID): return [5, 159, number, 3, 3, 3, 3, len(body), opcode & 255, opcode >> 8] + body
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
    'should-fail-holder-without-an-end': ops(RESERVED, LCONNECT, LHOLDERS, lie_any(12, 255 * [65])),
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
def nearly(attach, at, value, client=0, greeted=0): return [2, 0x3a, client, 64 * greeted + 128 * attach + at, value]
def hand_over(a, b, at=0): return worker(7, a, b, at)
DEAF = worker(64)

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
    'worker-goes-without-reading': scene(PLAIN, SHOWN, MEET, come(), grant(0, 3), take(), DEAF, 30 * (worker(6, 8)), LOOKS, worker(192)),
    'supervisor-and-keeper': scene(PLAIN, SHOWN, MEET, worker(128), worker(136), come(), grant(0, 3)),
    'exported-and-another-owner': scene(SOFT, SHOWN, MEET, work(), export(0, 3), worker(4, 160), work(), work(), worker(4, 162), HOLDERS, LOOKS, unexport(0), work()),
    'contents-twice': scene(SOFT, SHOWN, MEET, work(), contents(3, 9), work(), work(), contents(3, 9, 12), work(), work()),
    'should-fail-hello-for-another-version': scene(PLAIN, SHOWN, MEET, odd(0x23, 0), odd(0x3b, 0, 16, 9)),
    'should-fail-second-hello': scene(PLAIN, SHOWN, MEET, come(), odd(0x02, 0)),
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
QUESTION = 19  # LINK_HOLDERS, which is as long as LINK_RESUMED
def htamper(at, value, after=0): return [4, 224 + after, at, value]
def hcheck(file, flags=0): return [2] + check(file, flags)[1:]

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
NODES = [HMEET, work()], [hworker(4, 160)]
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
HELPER['export-for-no-mode'] = scene(SOFT, SHOWN, HMEET, work(), htamper(48, 0), hworker(4, 0, 1, 3), work(), work(), hworker(4, 160), work())
HELPER['config-of-no-data'] = scene(PLAIN, SHOWN, htamper(48, 0), HMEET, later(3))

# What happens between a question of the worker's and its end. After a number that is asked for, numbers of a lie are: 1, 5, 9 inodes, 2 nothing, 202 a late epoch.
HSOFT = [HMEET, work()]
HOLD = HSOFT + [come(), hgrant(0, 3), work(), work(), take(), map_()]
SPARED = HOLD + [die(), LOOKS, hcheck(0, 64), LOOKS, work(), LOOKS]
EXPORTED = HSOFT + [hworker(4, 0, 1, 3), work(), work()]
STORE = 5  # the file that is the content store
for name, (reuse, steps) in {
    'refused-for-another-reason': (SHOWN, HSOFT + [come(), htamper(20, 3), hworker(132)]),
    'hand-over-to-who-holds-something': (TRUSTING, HSOFT + [come(1), hgrant(1, 9), work(), work(), take()] + SPARED[2:] + [hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'hand-over-past-any-file': (TRUSTING, SPARED + [hlie(14, 4, 1, 9, 202, 255, 255, 255, 255, 255, 255, 3, 0, 0), later(3)]),
    'hand-over-of-what-is-contradicted': (TRUSTING, SPARED + [come(2), htamper(48, 20, 1), hgrant(0), work(), hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'hand-over-of-what-was-not-offered': (TRUSTING, HOLD + [die(), LOOKS, hworker(64), hcheck(0, 32), LOOKS, work(), LOOKS, hworker(192), work(), hlie(14, 4, 1, 5, 202, 2), later(3)]),
    'removed-while-its-export-is-made': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hcheck(0, 64), work(), work(), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'removed-twice-with-its-export': (SHOWN, EXPORTED + [hcheck(0, 64), hcheck(0, 64), hworker(4, 160), LOOKS, hcheck(0, 64), work(), hcheck(0, 64), hworker(4, 160), LOOKS]),
    'taken-with-its-export': (TRUSTING, EXPORTED + [hcheck(0, 32), later(), hcheck(0, 64), hworker(4, 160), work(1), hworker(4, 160), hcheck(0, 64), LOOKS, work(), LOOKS]),
    'export-is-made-for-a-worker-before': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(192), hworker(4, 192), work(), work(), LOOKS]),
    'export-ends-before-it-is-made': (SHOWN, HSOFT + [hworker(4, 0, 1, 3), hworker(4, 192), work(), work(), LOOKS]),
    'node-and-end-of-what-is-being-granted': (SHOWN, HSOFT + [come(), hgrant(0, 3), hworker(4, 160), hworker(4, 192), work(), work(), hworker(4, 160), hworker(4, 192), LOOKS]),
    'node-of-two-devices': (SHOWN, HSOFT + [come(), hgrant(0, 3, 70), work(), work(), hworker(4, 160), LOOKS]),
    'node-of-nothing': (SHOWN, HSOFT + [hworker(4, 160), hworker(4, 192), LOOKS]),
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
    'scrub-of-what-is-spare-and-what-is-not': (TRUSTING, HSOFT + [come(1), hgrant(1, 4), work(), work(), take()] + SPARED[2:] + [hworker(5, 64 + 3, 1), hworker(5, 3, 1), work()]),
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

# The same of the helper's messages to the worker, in fuzz_link.c; what is not said to fail there is void.
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
    'should-fail-end-of-what-is-being-exported': LEXPORT[:4] + [lsay(12, 2), [5, 159, 255, 2, 0, 0, 0, 0, 0, 0, 128, 3, 3, 3, 3, 8, 6, 0] + 8 * [0]],
    'should-fail-end-of-the-export-of-nothing': LEXPORT[:4] + [[5, 159, 255, 0, 0, 0, 0, 0, 0, 0, 128, 3, 3, 3, 3, 8, 6, 0] + 8 * [0]],
}.items():
    LINK[name] = ops(RESERVED, *steps)

# And of a client's to the helper, in fuzz_wire.c.
for name, at, value in (('size', 0, 9), ('opcode', 4, 9), ('reserved-in-its-header', 6, 1), ('flag', 24, 1)):
    WIRE['should-fail-hello-with-another-' + name] = scene(PLAIN, SHOWN, MEET, come(), nearly(0, at, value), odd(0x3b, 1, at, value))
for name, at, value in (('size', 0, 9), ('reserved-in-its-header', 6, 1), ('flag', 32, 1)):
    WIRE['should-fail-attach-with-another-' + name] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 64 + 128 + at, value))
WIRE['should-fail-hello-of-a-version-before'] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 20, 0))
WIRE['should-fail-hello-of-a-version-to-come'] = scene(PLAIN, SHOWN, MEET, odd(0x3b, 1, 17, 9))

# ---- steps of fuzz_control.c

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

# ---- texts of fuzz_spec.c, besides those that are older

def text(kind, *words): return [kind] + list('\0'.join(words).encode())
REGION, SIZE, OPTIONS, NAME, KERNEL = range(5)
PAST_64_BITS = '18446744073709551616'  # the last digit is one too many

SPEC = {
    'should-fail-region-size-past-64-bits': text(REGION, 'file:/a,size=' + PAST_64_BITS),
    'should-fail-region-size-twice': text(REGION, 'file:/a,size=2M,size=4M'),
    'should-fail-region-size-past-any-file': text(REGION, 'file:/a,size=8388608T'),
    'should-fail-size-past-64-bits-in-its-last-digit': text(SIZE, PAST_64_BITS),
    'should-fail-align-twice': text(REGION, 'pmem:auto,align=2M,align=1G'),
    'should-fail-align-twice-of-soft': text(REGION, 'soft:auto,align=2M,align=1G'),
    'should-fail-group-that-is-none': text(OPTIONS, '--trusted-group', '4294967295', '/mnt'),
    'cmdline-no-limit': text(KERNEL, 'mem=0 mem=nopentium mem=1G'),
    'version': text(OPTIONS, '--version'),
    'options-socket-and-trust': text(OPTIONS, '--socket', '/s', '--trust-memory', '/mnt'),
    'options-group-by-number': text(OPTIONS, '--trusted-group', '4711', '/mnt'),
    'options-two-for-the-kernel': text(OPTIONS, '-o', 'ro,noatime', '/mnt'),
    'should-fail-devices': text(OPTIONS, '-o', 'dev', '/mnt'),
    'options-no-rate': text(OPTIONS, '--scrub-rate', 'none', '/mnt'),
    'options-allow-other': text(OPTIONS, '-o', 'allow_other', '/mnt'),
    'should-fail-user-root': text(OPTIONS, '--user', 'root', '/mnt'),
    'should-fail-65-regions': text(OPTIONS, *(65 * ['--region=soft:auto']), '/mnt'),
    'cmdline-longer-than-the-kernel-reads': text(KERNEL, 2048 * 'a' + ' nokaslr'),
    'cmdline-words-that-say-yes-and-no': text(KERNEL, 'dax_hmem.region_idle=on dax_hmem.region_idle=off nokaslr=1 =x "'),
    'cmdline-numbers-out-of-range': text(KERNEL, 'memmap=18446744073709551615!1,1G%4G-4294967296,1G%4G+4294967296,' + PAST_64_BITS + '!1'),
    'cmdline-blacklists': text(KERNEL, 'modprobe.blacklist=dax-pmem,kmem module_blacklist=nd_pmem'),
}

# ---- edits of fuzz_image.c, besides those that are older: more records behind the last one, each with one item

EVERYTHING, ATTRIBUTES, LINKS, CONTENTS = range(4)  # pools
def image(pool, *items): return [15, pool, 0, 0] + [b for i in items for b in [13, 0, 0, len(i)] + i]
def item(kind, payload):
    payload = bytes(payload) + bytes(-len(payload) % 8)
    return list(struct.pack('<HHI', kind, 0, 8 + len(payload)) + payload)
def inode_item(ino, mode, links=0, size=0, flags=0, stale=0, rdev=(0, 0), parent=0, next_cookie=0):
    return item(1, struct.pack('<QIIIIQQQQQQQIIIIQQII72x', ino, mode, 0, 0, links, size, parent, next_cookie, 1, 1, 1, 1, 0, 0, 0, 0, flags, stale, *rdev))
def dirent(parent, ino, cookie, name, type=8, cut=None): return item(3, (struct.pack('<QQQHB5x', parent, ino, cookie, len(name), type) + name)[:cut])
def xattr(ino, name, value=b'', n=None, v=None, reserved=0, more=b'', kind=9):
    return item(kind, struct.pack('<QIHH', ino, len(value) if v is None else v, len(name) if n is None else n, reserved) + name + value + more)
def target(ino, text, n=None, reserved=0, more=b''): return item(11, struct.pack('<QII', ino, len(text) if n is None else n, reserved) + text + more)
def extent(ino, at, block, count): return item(5, struct.pack('<QQQIHH', ino, at, block, count, 0, 0))
def blocks(block, state): return item(7, struct.pack('<QIHH', block, 1, 0, state))
def piece(ino, at, unit, count): return item(15, struct.pack('<QQQII', ino, at, unit, count, 0))
def section(pool, kind, at, *value): return [15, pool, 0, 0, 16 + kind, at, 0, len(value)] + list(value)  # kind 0: attributes, 1: targets
def record_field(at, value): return [10, at, 0, 1, value]  # of the first record
def edits(pool, *edited): return [15, pool, 0, 0] + [b for place, at, value in edited for b in [place, at & 255, at >> 8, len(value)] + list(value)]
SUPER, HEADER, INODES, DIRENTS, EXTENTS, RAW, XATTRS, PIECES = 0, 1, 2, 3, 4, 14, 16, 19  # places
def in_table(n, at): return 512 + 48 * n + at  # of the n-th section: 4: size of a record, 16: length, 24: count
def u64(n): return struct.pack('<Q', n)
REG, LNK, DIR, CHR, HELD_MARK, EXPORTED_MARK, IO, CONTENT_STORE = 0o100644, 0o120777, 0o040755, 0o020644, 1, 2, 8, 16
NEW, LAST_BLOCK, LAST_UNIT = 4096, 2 ** 42 - 1, 2 ** 51 - 1
SYMLINK = inode_item(NEW, LNK, size=3)

IMAGE = {
    'symlink': image(LINKS, SYMLINK, target(NEW, b'abc')),
    'should-fail-symlink-without-a-target': image(LINKS, SYMLINK),
    'should-fail-target-twice': image(LINKS, SYMLINK, target(NEW, b'abc'), target(NEW, b'abc')),
    'should-fail-target-of-no-length': image(LINKS, SYMLINK, target(NEW, b'', 0)),
    'should-fail-target-too-long': image(LINKS, SYMLINK, target(NEW, b'abc', 65535)),
    'should-fail-target-cut-off': image(LINKS, SYMLINK, target(NEW, b'abc', 99)),
    'should-fail-target-without-its-head': image(LINKS, SYMLINK, item(11, b'12345678')),
    'should-fail-target-reserved': image(LINKS, SYMLINK, target(NEW, b'abc', reserved=1)),
    'should-fail-target-padding': image(LINKS, SYMLINK, target(NEW, b'abc', more=b'x')),
    'should-fail-target-with-nul': image(LINKS, SYMLINK, target(NEW, b'a\0c')),
    'should-fail-target-of-nobody': image(LINKS, SYMLINK, target(NEW + 1, b'abc')),
    'should-fail-target-of-a-file': image(LINKS, SYMLINK, target(2, b'abc')),
    'should-fail-target-of-another-length': image(LINKS, SYMLINK, target(NEW, b'abcd')),
    'should-fail-target-longer-than-its-text': image(LINKS, SYMLINK, target(NEW, b'abc', more=bytes(13))),
    'should-fail-symlink-of-no-length': image(LINKS, inode_item(NEW, LNK)),
    'should-fail-symlink-too-long': image(LINKS, inode_item(NEW, LNK, size=4097)),
    'should-fail-symlink-of-another-mode': image(LINKS, inode_item(NEW, 0o120700, size=3)),
    'should-fail-symlink-with-stale-bytes': image(LINKS, inode_item(NEW, LNK, size=3, stale=1)),
    'should-fail-symlink-that-is-held': image(LINKS, inode_item(NEW, LNK, size=3, flags=HELD_MARK)),
    'should-fail-symlink-that-grows': image(LINKS, SYMLINK, inode_item(NEW, LNK, size=4)),
    'should-fail-device-with-a-size': image(LINKS, inode_item(NEW, CHR, size=3)),
    'should-fail-device-of-a-great-major': image(LINKS, inode_item(NEW, CHR, rdev=(4096, 0))),
    'should-fail-device-of-a-great-minor': image(LINKS, inode_item(NEW, CHR, rdev=(0, 2 ** 20))),
    'should-fail-device-that-changes': image(LINKS, inode_item(NEW, CHR, rdev=(1, 2)), inode_item(NEW, CHR, rdev=(1, 3))),
    'should-fail-inode-of-no-type': image(LINKS, inode_item(NEW, 0o644)),
    'should-fail-directory-that-is-held': image(LINKS, inode_item(NEW, DIR, flags=HELD_MARK, parent=1, next_cookie=9)),
    'should-fail-directory-with-stale-bytes': image(LINKS, inode_item(NEW, DIR, stale=1, parent=1, next_cookie=9)),
    'should-fail-inherited-and-not-held': image(LINKS, inode_item(NEW, REG, flags=4)),
    'should-fail-content-that-is-held': image(CONTENTS, inode_item(NEW, REG, flags=IO + HELD_MARK)),
    'should-fail-content-with-stale-bytes': image(CONTENTS, inode_item(NEW, REG, size=9, flags=IO, stale=1)),
    'should-fail-content-store-that-is-exported': image(LINKS, inode_item(NEW, REG, flags=CONTENT_STORE + HELD_MARK + EXPORTED_MARK)),
    'should-fail-content-store-with-a-name': image(LINKS, inode_item(NEW, REG, links=1, flags=CONTENT_STORE)),
    'should-fail-content-store-with-stale-bytes': image(LINKS, inode_item(NEW, REG, size=9, flags=CONTENT_STORE, stale=1)),
    'should-fail-content-store-twice': image(CONTENTS, inode_item(NEW, REG, flags=CONTENT_STORE)),
    'should-fail-file-becomes-the-content-store': image(LINKS, inode_item(NEW, REG), inode_item(NEW, REG, flags=CONTENT_STORE)),
    'should-fail-memory-becomes-content': image(LINKS, inode_item(NEW, REG, size=9), inode_item(NEW, REG, flags=IO)),
    'should-fail-content-with-a-size-at-once': image(LINKS, inode_item(NEW, REG), inode_item(NEW, REG, size=9, flags=IO)),
    'should-fail-held-memory-becomes-content': image(LINKS, inode_item(NEW, REG, flags=HELD_MARK), inode_item(NEW, REG, flags=IO)),
    'memory-becomes-content': image(LINKS, inode_item(NEW, REG), inode_item(NEW, REG, flags=IO)),
    'should-fail-entry-without-its-head': image(LINKS, dirent(1, 2, 999, b'x', cut=8)),
    'should-fail-entry-with-the-last-cookie': image(LINKS, dirent(1, 2, 2 ** 63 - 1, b'x')),
    'should-fail-entry-called-dot': image(LINKS, dirent(1, 2, 999, b'.')),
    'should-fail-entry-called-dot-dot': image(LINKS, dirent(1, 2, 999, b'..')),
    'should-fail-entry-of-a-name-that-is-there': image(ATTRIBUTES, dirent(1, 2, 999, b'a')),
    'should-fail-entry-removed-from-a-file': image(LINKS, item(4, struct.pack('<QQ', 2, 9))),
    'should-fail-root-has-a-name': image(LINKS, inode_item(1, DIR, links=9, parent=1, next_cookie=2000), dirent(1, 1, 1999, b'x', type=4)),
    'attribute': image(ATTRIBUTES, xattr(2, b'user.new', b'value')),
    'attribute-removed': image(ATTRIBUTES, xattr(2, b'user.new', b'value'), xattr(2, b'user.new', kind=10)),
    'should-fail-attribute-without-its-head': image(ATTRIBUTES, item(9, b'12345678')),
    'should-fail-attribute-of-no-name': image(ATTRIBUTES, xattr(2, b'', b'value')),
    'should-fail-attribute-of-a-long-name': image(ATTRIBUTES, xattr(2, b'user.new', b'value', n=300)),
    'should-fail-attribute-of-a-long-value': image(ATTRIBUTES, xattr(2, b'user.new', b'value', v=2 ** 31)),
    'should-fail-attribute-cut-off': image(ATTRIBUTES, xattr(2, b'user.new', b'value', v=99)),
    'should-fail-attribute-reserved': image(ATTRIBUTES, xattr(2, b'user.new', b'value', reserved=1)),
    'should-fail-attribute-padding': image(ATTRIBUTES, xattr(2, b'user.new', b'value', more=b'x')),
    'should-fail-attribute-of-no-kind': image(ATTRIBUTES, xattr(2, b'new', b'value')),
    'should-fail-attribute-of-nobody': image(ATTRIBUTES, xattr(NEW, b'user.new', b'value')),
    'should-fail-attribute-longer-than-its-value': image(ATTRIBUTES, xattr(2, b'user.new', b'value', more=bytes(11))),
    'should-fail-attribute-removed-and-not-there': image(ATTRIBUTES, xattr(2, b'user.new', kind=10)),
    'should-fail-attribute-removed-with-a-value': image(ATTRIBUTES, xattr(2, b'user.new', b'value', kind=10)),
    'should-fail-access-list-that-is-none': image(ATTRIBUTES, xattr(2, b'system.posix_acl_access', b'value')),
    'should-fail-default-list-of-a-file': image(ATTRIBUTES, xattr(2, b'system.posix_acl_default', struct.pack('<IHHIHHIHHI', 2, 1, 6, 2 ** 32 - 1, 4, 4, 2 ** 32 - 1, 32, 4, 2 ** 32 - 1))),
    'should-fail-extent-past-any-file': image(LINKS, inode_item(NEW, REG), extent(NEW, LAST_BLOCK, 100, 2)),
    'should-fail-piece-past-any-file': image(CONTENTS, inode_item(NEW, REG, flags=IO), piece(NEW, LAST_UNIT, 0, 2)),
    'should-fail-piece-past-any-content-store': image(CONTENTS, inode_item(NEW, REG, flags=IO), piece(NEW, 0, LAST_UNIT, 2)),
    'should-fail-extent-over-another': image(LINKS, inode_item(NEW, REG), extent(NEW, 0, 5, 2), extent(NEW, 1, 8, 2)),
    'should-fail-released-and-not-quarantined': image(LINKS, blocks(5, 5)),
    **{f'should-fail-checkpoint-{name}': section(pool, kind, at, *value) for name, pool, kind, at, value in (
        ('attribute-reserved', ATTRIBUTES, 0, 14, [1]), ('attribute-of-nobody', ATTRIBUTES, 0, 0, [99]), ('attribute-out-of-order', ATTRIBUTES, 0, 0, [3]),
        ('attribute-cut-off', ATTRIBUTES, 0, 9, [255]), ('attribute-of-no-name', ATTRIBUTES, 0, 12, [0]), ('target-reserved', LINKS, 1, 12, [1]),
        ('target-of-nobody', LINKS, 1, 0, [99]), ('target-of-a-file', LINKS, 1, 0, [2]), ('target-of-another-length', LINKS, 1, 8, [5]), ('target-with-nul', LINKS, 1, 16, [0]),
        ('target-cut-off', LINKS, 1, 9, [15]))},
    'should-fail-record-of-no-type': record_field(40, 0),
    'should-fail-record-of-a-type-to-come': record_field(40, 99),
    'should-fail-record-reserved': record_field(42, 1),
    'should-fail-record-reserved-at-its-end': record_field(48, 1),
    'should-fail-record-of-more-items': record_field(46, 1),
    'should-fail-record-of-no-items': record_field(44, 0),
    'should-fail-journal-past-its-end': [12, 255, 255, 0],
    'blocks-quarantined-and-released': image(LINKS, blocks(5, 4), blocks(5, 5)),
    'should-fail-blocks-of-no-state': image(LINKS, blocks(5, 0)),
    'should-fail-entry-in-a-file': image(LINKS, dirent(2, 2, 999, b'x')),
    'should-fail-entry-with-a-cookie-of-before': image(LINKS, dirent(1, 2, 3, b'x')),
    'entry-that-begins-with-a-dot': image(LINKS, inode_item(1, DIR, links=3, parent=1, next_cookie=17), inode_item(NEW, REG, links=1), dirent(1, NEW, 16, b'.x')),
    'should-fail-memory-with-a-block-becomes-content': image(LINKS, inode_item(NEW, REG), extent(NEW, 0, 5, 2), inode_item(NEW, REG, flags=IO)),
    'attribute-with-a-name-as-long-as-a-lists': image(ATTRIBUTES, xattr(2, b'user.' + 18 * b'n', b'value')),
    'directory-that-is-open-and-removed': image(LINKS, inode_item(NEW, DIR, parent=1, next_cookie=9)),
    'second-slot-word-damaged': edits(EVERYTHING, (RAW, 257, [0])),
    'should-fail-both-slot-words-damaged': edits(EVERYTHING, (RAW, 1, [0]), (RAW, 257, [0])),
    'region-of-persistent-memory': edits(EVERYTHING, (SUPER, 512, [2])),
    'should-fail-region-with-unknown-flags': edits(EVERYTHING, (SUPER, 514, [2])),
    'should-fail-region-of-two-blocks': edits(EVERYTHING, (SUPER, 528, [2])),
    'should-fail-region-blocks-huge': edits(EVERYTHING, (SUPER, 528, u64(2 ** 40 + 1))),
    'should-fail-files-huge': edits(EVERYTHING, (SUPER, 72, u64(2 ** 32 + 1))),
    'should-fail-section-of-type-0': edits(EVERYTHING, (HEADER, in_table(0, 0), [0])),
    'should-fail-section-of-another-record-size': edits(EVERYTHING, (HEADER, in_table(0, 4), [191])),
    'should-fail-section-of-more-records': edits(EVERYTHING, (HEADER, in_table(0, 24), [14])),
    'should-fail-section-missing': edits(EVERYTHING, (HEADER, 104, [7]), (HEADER, in_table(7, 0), 48 * [0])),
    'should-fail-section-of-a-map-that-is-empty': edits(EVERYTHING, (HEADER, in_table(3, 16), 16 * [0])),
    'should-fail-section-entries-go-on': edits(LINKS, (HEADER, in_table(1, 24), [10])),
    'should-fail-section-attributes-go-on': edits(ATTRIBUTES, (HEADER, in_table(8, 24), [11])),
    'should-fail-section-targets-go-on': edits(LINKS, (HEADER, in_table(8, 24), [2])),
    'should-fail-checkpoint-quota-of-a-file': edits(ATTRIBUTES, (XATTRS, 336, [4])),
    'should-fail-checkpoint-attribute-twice': edits(ATTRIBUTES, (XATTRS, 160 + 16 + 5, b'x')),
    'should-fail-checkpoint-entry-in-a-file': edits(LINKS, (DIRENTS, 0, [2])),
    'should-fail-checkpoint-entry-of-another-type': edits(LINKS, (DIRENTS, 26, [4])),
    'should-fail-checkpoint-entry-of-a-name-twice': edits(ATTRIBUTES, (DIRENTS, 120 + 32, b'b')),
    'should-fail-checkpoint-directory-with-two-entries': edits(EVERYTHING, (DIRENTS, 48, [2])),
    'should-fail-checkpoint-entry-of-what-has-no-links': edits(LINKS, (INODES, 192 + 20, [0])),
    'should-fail-checkpoint-root-is-a-file': edits(LINKS, (INODES, 8, struct.pack('<I', REG)), (INODES, 32, 16 * [0])),
    'should-fail-checkpoint-content-store-twice': edits(CONTENTS, (INODES, 6 * 192 + 20, [0]), (INODES, 6 * 192 + 96, [CONTENT_STORE])),
    'should-fail-checkpoint-content-store-begins-later': edits(CONTENTS, (EXTENTS, 8, [1])),
    'should-fail-checkpoint-content-with-an-extent': edits(CONTENTS, (EXTENTS, 32, [4])),
    'should-fail-slots-longer-than-the-metadata': edits(EVERYTHING, (SUPER, 120, u64(0xb00000) + u64(0x800000))),
    'should-fail-groups-of-fewer-blocks-than-one': edits(EVERYTHING, (SUPER, 56, [1])),
    'should-fail-inode-changes-its-type': image(LINKS, inode_item(2, CHR, links=1)),
    'should-fail-removed-directory-not-empty': image(LINKS, item(2, u64(3))),
    'should-fail-blocks-of-a-state-to-come': image(LINKS, blocks(5, 6)),
    'should-fail-directory-with-an-entry-and-no-links': image(LINKS, inode_item(3, DIR, parent=1, next_cookie=9)),
    'should-fail-record-of-no-length': edits(EVERYTHING, (10, 4, [0, 0])),
    'should-fail-checkpoint-target-twice': section(LINKS, 1, 24, 5),
    'should-fail-checkpoint-extent-over-another': edits(EVERYTHING, (EXTENTS, 32, [5])),
    'should-fail-checkpoint-extent-of-no-region': edits(EVERYTHING, (EXTENTS, 28, [9])),
    'should-fail-section-piece-of-a-directory': edits(CONTENTS, (PIECES, 0, [1])),
}

def write_all(directory, inputs):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in inputs.items():
        (directory / name).write_bytes(bytes(content))

if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, inputs in {'ops': OPS, 'link': LINK, 'wire': WIRE, 'helper': HELPER, 'control': CONTROL, 'spec': SPEC, 'image': IMAGE}.items():
        write_all(pathlib.Path(sys.argv[1]) / target, inputs)
