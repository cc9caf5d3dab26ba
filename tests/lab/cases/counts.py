# SPDX-License-Identifier: MIT
"""What the kernel's reference counts say of a device in each state that it can be in: the table of docs/counts.md."""

import contextlib
import errno
import json
import os
import struct
import subprocess
import time

import hold
from case import Case
from counts import RANGES, Counts
from dax import BLOCK, DEVICES, GIB, MIB, make_device, put, ranges_of, remove_device, soft_region
from lab import HANGS, read_text

START = 4 * GIB
# Out of order, so that a block's place in the device is not its place in memory.
PARTS = [(START + 64 * MIB, 8 * MIB), (START + 8 * MIB, 4 * MIB)]

UNSAID = None  # whether a mapping counts at the pages differs between kernels

# way of holding, open files, pinned blocks
TABLE = [
    (hold.open_file, 1, []),
    (hold.path_file, 0, []),
    (hold.file_in_flight, 1, []),
    (hold.node_of_its_own, 1, []),
    (hold.fixed_file, 1, []),
    (hold.mapped, 1, []),
    (hold.touched, 1, UNSAID),
    (hold.mapped_by_child, 1, UNSAID),
    (hold.guest, 1, UNSAID),
    (hold.guest_without_memory, 0, []),
    (hold.spliced, 0, [hold.PINNED]),
    (hold.fixed_buffer, 0, [hold.PINNED]),
]


def shown(reading):
    pages = f'{reading.page_min}' if reading.page_min == reading.page_max else f'{reading.page_min} to {reading.page_max}'
    return f'device {reading.cdev}, pages {pages}, {reading.busy_pages} of them busy'


def learn(lab, counts, region):
    """Devices that nobody but the reader has had open."""
    readings = []
    for ranges, align in ((PARTS, BLOCK), ([(START + 80 * MIB, 2 * MIB)], BLOCK), ([(START + 2 * GIB, GIB)], GIB)):
        name = make_device(region, ranges, align)
        readings += [counts.read(name), counts.read(name)]
        remove_device(region, name)
    lab.check(len(set(readings)) == 1, 'fresh devices all have the same counts, of either page size', f'{readings}')
    lab.check(readings[0].page_min == readings[0].page_max, 'on every page', f'{readings}')
    lab.say(f'fresh: {shown(readings[0])}')
    return readings[0]


def idle_again(lab, counts, name, fresh, what):
    """The last put of a file, and io_uring's end, come a moment after the process's."""
    lab.wait_until(lambda: counts.read(name, fresh.page_max) == fresh, HANGS, f'{what}: idle again when that is over')


def check_row(lab, counts, row, fresh, blocks, name):
    way, files, pins = row
    what = way.__name__.replace('_', ' ')
    if way is hold.mapped_by_child:  # its parent takes its time to end
        lab.wait_until(lambda: counts.read(name).cdev == fresh.cdev + files, HANGS, f'{what}: its parent has ended')
    reading = counts.read(name, fresh.page_max)
    lab.check(reading.cdev == fresh.cdev + files, f'{what}: {files} open', shown(reading))
    if pins is not UNSAID:
        first = blocks[pins[0]] if pins else 0
        lab.check((reading.busy_pages, reading.first_busy) == (len(pins), first), f'{what}: {len(pins)} blocks pinned',
                  shown(reading))
    lab.say(f'{what}: {shown(reading)}')


def walk_table(lab, counts, region, fresh):
    name = make_device(region, PARTS)
    blocks = [at for start, size in ranges_of(name) for at in range(start, start + size, BLOCK)]
    for way, files, pins in TABLE:
        what = way.__name__.replace('_', ' ')
        try:
            with hold.held(way, f'/dev/{name}'):
                check_row(lab, counts, (way, files, pins), fresh, blocks, name)
        except hold.NotHeld as e:
            # Older kernels have no fixed buffers in the memory of files; none holds a device in some way that it refuses.
            lab.check(way is hold.fixed_buffer and os.strerror(errno.EOPNOTSUPP) in str(e), f'{what}: not on this kernel', str(e))
        idle_again(lab, counts, name, fresh, what)
    return name


def together(lab, counts, name, fresh):
    with contextlib.ExitStack() as stack:
        for way in (hold.open_file, hold.file_in_flight, hold.touched, hold.spliced):
            stack.enter_context(hold.held(way, f'/dev/{name}'))
        lab.check(counts.read(name).cdev == fresh.cdev + 3, 'what several hold adds up')
        lab.check(counts.read(name).busy_pages == 0, 'who does not know the idle count yet is told of no busy page')
    idle_again(lab, counts, name, fresh, 'several')


def refused(counts, *args):
    try:
        counts.read_ranges(*args)
    except OSError as e:
        return e
    return OSError(0, 'no error')


def refusals(lab, counts, region, name):
    def opened():
        return os.open(f'/dev/{name}', os.O_RDONLY)

    large = make_device(region, [(START + GIB, GIB)], GIB)
    # What lies beside a device may have struct pages of no use, or none: that is the kernel's affair.
    absent = {errno.EFAULT, errno.ENOTSUP}
    for what, args, errors in (
            ('a file that is no device', (os.open('/etc/passwd', os.O_RDONLY), PARTS, BLOCK), {errno.ENODEV}),
            ('memory that is not there', (opened(), [*PARTS, (START + 2 * GIB, BLOCK)], BLOCK), absent),
            ('memory that is no device\'s', (opened(), [(0, BLOCK)], BLOCK), {errno.ENOTSUP}),
            ('pages smaller than the device\'s', (opened(), [(START + GIB, 2 * BLOCK)], BLOCK), {errno.ENOTSUP}),
            ('pages larger than the device\'s', (opened(), [(START, GIB)], GIB), absent)):
        e = refused(counts, *args)
        lab.check(e.errno in errors, f'{what}: refused', str(e))
        lab.say(f'{what}: {e}')
    remove_device(region, large)


def many(lab, counts, region, fresh):
    """More ranges than a message has, and as many pages as half a tebibyte has."""
    ranges = [(START + 128 * MIB + 2 * i * BLOCK, BLOCK) for i in range(300)]
    name = make_device(region, ranges)
    lab.check(counts.read(name, fresh.page_max) == fresh, 'a device of 300 ranges')
    with hold.held(hold.spliced, f'/dev/{name}'):
        reading = counts.read(name, fresh.page_max)
    lab.check((reading.busy_pages, reading.first_busy) == (1, ranges[hold.PINNED][0]), 'one page of which is pinned',
              shown(reading))
    fd = os.open(f'/dev/{name}', os.O_RDONLY)
    began = time.monotonic()
    counts.read_ranges(fd, [ranges[i % 300] for i in range(1 << 16)], BLOCK, fresh.page_max)
    lab.figure('65,536 pages of as many ranges', time.monotonic() - began, 's')
    idle_again(lab, counts, name, fresh, 'many')
    remove_device(region, name)
    name = make_device(region, [(START + GIB, GIB)])
    began = time.monotonic()
    counts.read_ranges(os.open(f'/dev/{name}', os.O_RDONLY), [(START + GIB, GIB)] * 512, BLOCK, fresh.page_max)
    lab.figure('262,144 pages, 512 GiB', time.monotonic() - began, 's')
    remove_device(region, name)


def process(lab, counts):
    status = dict(line.split(':\t', 1) for line in read_text(f'/proc/{counts.process.pid}/status').splitlines() if ':\t' in line)
    for name, value in (('CapPrm', 0), ('CapEff', 0), ('CapInh', 0), ('CapAmb', 0), ('NoNewPrivs', 1), ('Seccomp', 2)):
        lab.check(int(status[name], 16) == value, f'the process that reads: {name} {value}', status[name])
    files = [os.readlink(f'/proc/{counts.process.pid}/fd/{fd}') for fd in os.listdir(f'/proc/{counts.process.pid}/fd')]
    lab.check(not [path for path in files if 'dax' in path], 'it keeps no device open', f'{files}')


def out_of_turn(lab):
    with Counts(lab.plan['prefix']) as counts:
        counts.sock.send(struct.pack('<IHHQII', 24 + 16 * 256, RANGES, 0, 1, 1, 0).ljust(24 + 16 * 256, b'\0'))
        packet = counts.sock.recv(4096)
        lab.check(struct.unpack_from('<IHHQI', packet) == (1024, 6, 0, 0, errno.EPROTO), 'a message out of turn is its end',
                  packet[:24].hex())
        lab.check(counts.sock.recv(4096) == b'' and counts.process.wait(20) == 1, 'of which it says so')


def doctor(lab, level, text):
    """What it says of them; other findings are not ours."""
    done = subprocess.run(['guestmemfs', 'doctor', '--json'], stdout=subprocess.PIPE, timeout=HANGS, check=False)
    found = [f for f in json.loads(done.stdout)['findings'] if f['id'] == 'reuse']
    lab.check(len(found) == 1 and found[0]['level'] == level and text in found[0]['text'], f'doctor: {level}, {text}', f'{found}')


def without_privileges(lab):
    program = f'{lab.plan["prefix"]}/libexec/guestmemfs-counts'
    lab.check('can be read' in lab.run(program, '--check'), '--check: it works here')
    done = subprocess.run([program, '--check'], user=65534, group=65534, extra_groups=[], stdout=subprocess.PIPE, text=True,
                          check=False)
    lab.check(done.returncode == 1 and 'CAP_BPF' in done.stdout, '--check of another user says what is missing', done.stdout)
    put('/proc/sys/kernel/kptr_restrict', '2')
    text = lab.run(program, '--check', fails=True)
    lab.check('kptr_restrict' in text, 'so it does where the kernel hides its addresses', text)
    doctor(lab, 'warning', 'kptr_restrict')
    put('/proc/sys/kernel/kptr_restrict', '0')
    doctor(lab, 'ok', 'is used again')


def look(lab):
    region = soft_region()
    put(f'{DEVICES}/dax0.0/size', '0')
    without_privileges(lab)
    with Counts(lab.plan['prefix']) as counts:
        process(lab, counts)
        fresh = learn(lab, counts, region)
        name = walk_table(lab, counts, region, fresh)
        together(lab, counts, name, fresh)
        refusals(lab, counts, region, name)
        remove_device(region, name)
        many(lab, counts, region, fresh)
        process(lab, counts)
    out_of_turn(lab)


CASE = Case(about="the kernel's reference counts tell of every way in which a device is held", boots=(look,), memory='8G',
            cmdline='memmap=3G!4G,3G%4G-12+0xefffffff dax_hmem.region_idle=1',
            modules=('device_dax', 'dax_hmem', 'kvm_amd'), needs=('product',), bzimage=True)
