# SPDX-License-Identifier: MIT
"""Requests of the kernel (rig_requests.c), and what the targets that stand on rig.h have in common."""
A, B, C, D, EMPTY, DOT, DOTDOT = range(7)  # names
LONGEST, TOO_LONG = 249, 248
S0, S4K, S2M, S4M, S6M, S10M, S18M, S128M, S1G, S2G, S3G, S16T, SMAX = range(1, 14)  # sizes
ROOT, FIRST, SECOND, THIRD = range(4)  # inodes, in the order in which the kernel has heard of them
MARK, PAGESIZE, QUOTA, SOCKET, ACL, DEFAULT_ACL = 2, 3, 4, 5, 6, 7  # attributes
ONE, ONE_G, EIGHT_M = 0, 6, 15  # values
FILE, RESERVED, GROUPS = range(3)  # pools

def create_of(letter): return [0, 0o600 & 255, 1, ROOT, 7, letter]
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

def ops(pool, *steps): return [pool] + [b for s in steps for b in s]
def unread(step): return [step[0] + 128] + step[1:]
FREE, SPARE, HELD, FAIL = 0, 1, 2, 3  # answers
