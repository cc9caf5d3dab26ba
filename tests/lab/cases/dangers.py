# SPDX-License-Identifier: MIT
"""What would lose guests is refused, by name, and nothing has changed then. Freezing, which changes nothing either."""

import contextlib
import ctypes
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time

from case import Case
from dax import BLOCK, GIB, MIB, device_names, make_device, put, ranges_of, soft_region
from lab import HANGS, read_text
from product import Attached, Library, Pool, device_of_number

START = 4 * GIB
MOUNT = '/mnt/gm'
RESERVATION = 'memmap=2G!4G,2G%4G-12+0xefffffff'
IDLE = 'dax_hmem.region_idle=1'

# (what is wrong, what stands there instead of RESERVATION and IDLE, the check that says so)
BAD_LINES = (
    ('there is no reservation', '', 'reservation'),
    ('the range begins elsewhere', f'memmap=2G!5G,2G%5G-12+0xefffffff {IDLE}', 'reservation'),
    ('the range is too short', f'memmap=1G!4G,1G%4G-12+0xefffffff {IDLE}', 'reservation'),
    ('it would be a pmem region', f'memmap=2G!4G {IDLE}', 'reservation'),
    ('% stands alone', f'memmap=2G%4G-12+0xefffffff {IDLE}', 'order'),
    ('% stands before !', f'memmap=2G%4G-12+0xefffffff,2G!4G {IDLE}', 'order'),
    ('there is no region_idle', RESERVATION, 'region-idle'),
    ('there are five memmap=', f'{RESERVATION} memmap=1M!16M memmap=1M!18M memmap=1M!20M memmap=1M!22M {IDLE}',
     'memmap-count'),
    ('KASLR may hit the region, the fifth', 'memmap=1M!16M memmap=1M!18M memmap=1M!20M memmap=1M!22M '
     f'{RESERVATION} {IDLE}', 'kaslr'),
    ('a driver is on the blacklist', f'{RESERVATION} {IDLE} modprobe.blacklist=dax_hmem', 'module-blacklist'),
)


def image_is_loaded():
    return read_text('/sys/kernel/kexec_loaded').strip() == '1'


def kexec(lab, *options, fails=True):
    return lab.run('guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs'], *options, fails=fails)


def nothing_changed(lab, pool, loaded=False):
    with open(pool.path('probe'), 'xb'):
        pass
    os.unlink(pool.path('probe'))
    lab.check(not pool.status()['frozen'] and image_is_loaded() == loaded, 'nothing is frozen, nothing is loaded',
              f'{pool.status()} loaded: {image_is_loaded()}')


def bad_command_lines(lab, pool):
    rest = lab.cmdline().replace(f'{RESERVATION} {IDLE}', '')
    lab.claim(rest != lab.cmdline(), 'this kernel has the reservation')
    for wrong, words, finding in BAD_LINES:
        line = f'{words} {rest}'
        found = json.loads(lab.run('guestmemfs', 'doctor', '--json', '--cmdline', '-', stdin=line, fails=True))
        dangers = {f['id']: f['text'] for f in found['findings'] if f['level'] == 'danger'}
        lab.check(finding in dangers, f'doctor, {wrong}: {finding}', str(dangers))
        text = kexec(lab, '--command-line', line)
        lab.check(any(said in text for said in dangers.values()), 'guestmemfs kexec refuses it with the same sentence',
                  text)
        text = kexec(lab, '--force', '--load-only', '--command-line', line)
        lab.check(any(said in text for said in dangers.values()), 'also with --force', text)
    nothing_changed(lab, pool)
    good = f'{lab.cmdline()} guestmemfs.succession={lab.run("guestmemfs", "token", MOUNT).strip()}'
    lab.run('guestmemfs', 'doctor', '--cmdline', '-', stdin=good)
    kexec(lab, '--load-only', fails=False)
    lab.check(image_is_loaded() and not pool.status()['frozen'], 'a good one is loaded; --load-only freezes nothing')


def somebody_elses_image(lab, pool):
    """What bad_command_lines() has left: whose it is can't be seen."""
    text = kexec(lab)
    lab.check('a kernel is loaded already' in text and 'kexec -u' in text, 'an image that is loaded already is refused', text)
    text = lab.run('guestmemfs', 'doctor', fails=True)
    lab.check('a kernel is loaded for kexec, and nothing tells who loaded it' in text, 'doctor names it', text)
    nothing_changed(lab, pool, loaded=True)
    lab.run('kexec', '-s', '-u')


@contextlib.contextmanager
def process(lab, code):
    """Another process, a Python one, that has said it is ready."""
    with subprocess.Popen([sys.executable, '-B', '-c', code], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, PYTHONPATH=':'.join(sys.path))) as child:
        try:
            lab.claim(child.stdout.readline() == 'ready\n', 'a holder is ready')
            yield child.pid
        finally:
            child.kill()


def holders(lab, pool):
    pool.make('vm0', 16 * MIB)
    attach = (f'from product import *; import time; a = Attached(Library({lab.plan["prefix"]!r}), {pool.path("vm0")!r}); '
              'm = a.map(); print("ready", flush=True); time.sleep(600)')
    with process(lab, attach) as pid:
        text = kexec(lab)
        lab.check('/vm0 by process' in text and f'process {pid} (python' in text,
                  'a process with guest memory is named, with its file', text)
        nothing_changed(lab, pool)
    with Attached(Library(lab.plan['prefix']), pool.path('vm0')) as file:
        name = device_of_number(os.fstat(file.fd(0)).st_rdev)
    # Not a client of ours at all (that has let go of it): without a grant, and in its second thread alone.
    thread = (f'import ctypes, os, threading, time\nd = os.open("/dev/{name}", os.O_RDWR)\n'
              'def stay():\n first = f"/proc/self/task/{os.getpid()}/stat"\n'
              ' while open(first).read().split()[2] != "Z":\n  time.sleep(0.01)\n'
              ' print("ready", flush=True)\n time.sleep(600)\n'
              'threading.Thread(target=stay).start()\nctypes.CDLL(None).syscall(60, 0)')  # exit, of this thread alone
    with process(lab, thread) as pid:
        text = kexec(lab)
        lab.check(f'by process {pid} (python' in text, 'so is one that has a device open, though its first thread is gone',
                  text)
        nothing_changed(lab, pool)
    by_another_name(lab, pool, name)
    kexec(lab, '--load-only', fails=False)
    lab.check(image_is_loaded(), 'who had guest memory and has let go of it is in nobody\'s way')
    lab.run('kexec', '-s', '-u')


def by_another_name(lab, pool, name):
    """As a jailer makes nodes, and mapped alone: no descriptor is left."""
    node = f'{lab.directory}/memory'
    os.mknod(node, 0o600 | stat.S_IFCHR, os.stat(f'/dev/{name}').st_rdev)
    code = (f'import mmap, os, time\nd = os.open("{node}", os.O_RDWR)\nm = mmap.mmap(d, {BLOCK})\nos.close(d)\n'
            'print("ready", flush=True)\ntime.sleep(600)')
    with process(lab, code) as pid:
        text = kexec(lab)
        lab.check(f'by process {pid} (python' in text, 'so is one that maps a device by another node than that in /dev', text)
        nothing_changed(lab, pool)
    os.unlink(node)


@contextlib.contextmanager
def instead_of(lab, name, script):
    """A program of that name that is found first."""
    directory = f'{lab.directory}/bin'
    os.makedirs(directory, exist_ok=True)
    with open(f'{directory}/{name}', 'w', encoding='ascii') as f:
        f.write(f'#!/bin/sh\n{script}\n')
    os.chmod(f'{directory}/{name}', 0o755)
    before = os.environ['PATH']
    os.environ['PATH'] = f'{directory}:{before}'
    try:
        yield
    finally:
        os.environ['PATH'] = before
        os.unlink(f'{directory}/{name}')


def failing_jump(lab, pool):
    """kexec -e fails after the freeze."""
    with instead_of(lab, 'kexec', '[ "$1" != -e ] || { echo "it does not work today"; exit 1; }\nexec /sbin/kexec "$@"'):
        text = kexec(lab)
    lab.check('it does not work today' in text, 'a jump that fails is told', text)
    nothing_changed(lab, pool)


@contextlib.contextmanager
def kexec_under_way(lab, marker):
    """guestmemfs kexec that has frozen the pool, and come to where the marker is made."""
    with subprocess.Popen(['guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs']],
                          stderr=subprocess.PIPE, text=True) as child:
        try:
            lab.wait_until(lambda: os.path.exists(marker), HANGS, 'a kexec is under way')
            yield child
        finally:
            child.kill()
    os.unlink(marker)


def interrupted_jump(lab, pool):
    """After the freeze, by whatever would end it; kexec -e itself is not told."""
    marker = f'{lab.directory}/jumping'
    script = f'[ "$1" != -e ] || {{ touch {marker}; sleep 600; exit 1; }}\nexec /sbin/kexec "$@"'
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        with instead_of(lab, 'kexec', script), kexec_under_way(lab, marker) as child:
            lab.check(pool.status()['frozen'] and image_is_loaded(), 'the pool is frozen, the kernel is loaded')
            text = kexec(lab)
            lab.check('another guestmemfs kexec' in text and image_is_loaded(), 'a second one is refused, and undoes nothing',
                      text)
            child.send_signal(number)
            text = child.communicate(timeout=HANGS)[1]
            lab.check(child.returncode == -number and 'interrupted' in text, f'{number.name} ends it in good order',
                      f'{child.returncode} {text}')
        nothing_changed(lab, pool)


def jump_through_systemd(lab, pool):
    """One that is asked and does nothing more: its job is cancelled; its turn comes to end guestmemfs kexec."""
    marker, state = f'{lab.directory}/waiting', f'{lab.directory}/state'
    asked = 'exit 0'
    script = 'case $1 in kexec) {} ;; is-system-running) ' + f'cat {state}; touch {marker} ;; esac'
    with contextlib.suppress(FileNotFoundError):
        os.unlink('/.dockerenv')  # by which systemd would be one that reboots
    os.makedirs('/run/systemd/system')

    def systemd_is(word):
        with open(f'{state}.new', 'w', encoding='ascii') as f:
            f.write(f'{word}\n')
        os.rename(f'{state}.new', state)

    systemd_is('stopping')
    with instead_of(lab, 'systemctl', script.format(asked)), kexec_under_way(lab, marker) as child:
        systemd_is('running')
        text = child.communicate(timeout=HANGS)[1]
        lab.check(child.returncode == 1 and 'systemd does not go into the next kernel' in text,
                  'when systemd does not jump any more, that is told', f'{child.returncode} {text}')
    nothing_changed(lab, pool)
    # systemd is quick: its own client may be ended, with all of the unit, before it has seen the answer.
    for client, what in ((asked, 'a signal undoes nothing'), ('kill -TERM $$', 'nor does the end of its client')):
        systemd_is('stopping')
        with instead_of(lab, 'systemctl', script.format(client)), kexec_under_way(lab, marker) as child:
            child.send_signal(signal.SIGTERM)
            text = child.communicate(timeout=HANGS)[1]
            lab.check(child.returncode == -signal.SIGTERM and pool.status()['frozen'] and image_is_loaded(),
                      f'while systemd is on its way, {what}', f'{child.returncode} {text}')
        lab.run('guestmemfs', 'thaw', MOUNT)
        lab.run('kexec', '-s', '-u')
        nothing_changed(lab, pool)
    systemd_is('running')
    with instead_of(lab, 'systemctl', script.format('echo "the operation is inhibited"; exit 1')):
        text = kexec(lab)
    lab.check('the operation is inhibited' in text, 'what systemd refuses is told', text)
    os.unlink(marker)
    os.rmdir('/run/systemd/system')
    nothing_changed(lab, pool)


def refused_with(number, act):
    try:
        act()
    except OSError as e:
        return e.errno == number
    return False


def freezing(lab, pool):
    library = Library(lab.plan['prefix'])
    path = pool.path('vm0')
    changes = {
        'truncate': lambda: os.truncate(path, 32 * MIB),
        'create': lambda: os.close(os.open(pool.path('new'), os.O_CREAT | os.O_RDWR, 0o600)),
        'mkdir': lambda: os.mkdir(pool.path('d')),
        'rename': lambda: os.rename(path, pool.path('vm1')),
        'unlink': lambda: os.unlink(path),
        'chmod': lambda: os.chmod(path, 0o600),
        'utime': lambda: os.utime(path, (1, 1)),
        'attach': lambda: Attached(library, path),
    }
    with Attached(library, path) as before:
        address = before.map()
        lab.run('guestmemfs', 'freeze', MOUNT)
        lab.check(pool.status()['frozen'], 'status says that the pool is frozen')
        for name, act in changes.items():
            lab.check(refused_with(errno.EBUSY, act), f'frozen: {name} is EBUSY')
        text = lab.run('guestmemfs', 'export', path, fails=True)
        lab.check('frozen' in text, 'and so is an export', text)
        lab.check(os.stat(path).st_size == 16 * MIB and os.listdir(MOUNT) == ['vm0'], 'reading goes on')
        ctypes.memset(address, 7, BLOCK)
        lab.check(ctypes.string_at(address, 1) == b'\7', 'memory that was mapped before is not touched')
    os.kill(pool.process('guestmemfs-fuse'), signal.SIGTERM)
    lab.wait_until(lambda: not os.path.ismount(MOUNT) and not pool.processes('guestmemfs-fuse'), HANGS, 'the instance ends')
    again = Pool(lab, 'soft:auto')
    lab.check(again.status()['frozen'] and refused_with(errno.EBUSY, changes['mkdir']),
              'mounted again in this boot it is frozen still')
    lab.run('guestmemfs', 'thaw', MOUNT)
    changes['mkdir']()
    changes['truncate']()
    with Attached(library, path):
        lab.check(not again.status()['frozen'], 'after the thaw everything works again')
    os.rmdir(pool.path('d'))


def file_pool(lab, pool):
    os.makedirs('/mnt/file', exist_ok=True)
    lab.run('guestmemfs-fuse', '--region', 'file:/dev/shm/region,size=64M', '/mnt/file')
    text = kexec(lab)
    lab.check('/mnt/file is on a file, which does not survive' in text, 'a pool on a file is named and refused', text)
    nothing_changed(lab, pool)
    lab.run('umount', '/mnt/file')
    lab.wait_until(lambda: len(pool.processes('guestmemfs-fuse')) == 1, HANGS, 'the pool on a file is gone')


def hung_worker(lab, pool):
    """One instance of two does not answer: the other one is looked at all the same, and no kexec goes on."""
    os.makedirs('/mnt/file', exist_ok=True)
    lab.run('guestmemfs-fuse', '--region', 'file:/dev/shm/region,size=64M', '/mnt/file')
    worker = pool.status()['pids']['worker']
    os.kill(worker, signal.SIGSTOP)
    os.environ['GUESTMEMFS_WAIT'] = '10'  # instead of 30 s; the other pool's worker, which does answer, needs some of it
    try:
        doctor = subprocess.Popen(['guestmemfs', 'doctor', '--json'], stdout=subprocess.PIPE, text=True)
        text = kexec(lab)
        lab.check("can't be asked" in text and 'did not answer' in text and 'kill -CONT' in text,
                  'a kexec is refused while a worker hangs', text)
        found = json.loads(doctor.communicate(timeout=HANGS)[0])['findings']
        said = [f['text'] for f in found if f['id'] == 'pool']
        lab.check(any('/mnt/file' in text for text in said) and any('could be asked' in text for text in said),
                  'doctor names it, and looks at the other pool', f'{said}')
    finally:
        del os.environ['GUESTMEMFS_WAIT']
        os.kill(worker, signal.SIGCONT)
    nothing_changed(lab, pool)
    lab.run('umount', '/mnt/file')
    lab.wait_until(lambda: len(pool.processes('guestmemfs-fuse')) == 1, HANGS, 'the pool on a file is gone')


def taken_by_kmem(lab, pool):
    """A piece of the region, given to kmem by hand, as a driver would that is let loose on it."""
    used = {block for name in device_names() for start, length in ranges_of(name)
            for block in range(start // BLOCK, (start + length) // BLOCK)}
    piece = next(at for at in range(START + GIB, START + 2 * GIB, 128 * MIB)
                 if not used & set(range(at // BLOCK, (at + 128 * MIB) // BLOCK)))
    name = make_device(soft_region(), [(piece, 128 * MIB)])
    put('/sys/bus/dax/drivers/device_dax/unbind', name)
    lab.run('modprobe', 'kmem')
    with contextlib.suppress(OSError):
        put('/sys/bus/dax/drivers/kmem/new_id', name)
    with contextlib.suppress(OSError):
        put('/sys/bus/dax/drivers/kmem/bind', name)
    lab.claim('System RAM (kmem)' in read_text('/proc/iomem'), f'kmem has {name}', read_text('/proc/iomem'))
    text = lab.run('guestmemfs', 'doctor', fails=True)
    lab.check('kmem has taken memory of region 0x100000000' in text, 'doctor sees that kmem has memory of the region', text)
    text = kexec(lab)
    lab.check('kmem has taken memory of region 0x100000000' in text, 'guestmemfs kexec refuses', text)
    nothing_changed(lab, pool)
    pool.unmount()
    for argv in (('guestmemfs-fuse', MOUNT), ('guestmemfs', 'format', '--force')):
        text = lab.run(*argv, fails=True)
        lab.check(f'{name} is bound to kmem' in text, f'{argv[0]} refuses the region', text)


def look(lab):
    pool = Pool(lab, 'soft:auto', options=('--format=blank',))
    pool.settle()
    for part in (bad_command_lines, somebody_elses_image, holders, failing_jump, interrupted_jump, jump_through_systemd,
                 freezing, file_pool, hung_worker, taken_by_kmem):
        began = time.monotonic()
        part(lab, pool)
        lab.say(f'{part.__name__}: {time.monotonic() - began:.0f} s')


CASE = Case(about='bad command lines, holders, kmem, foreign images, a pool on a file: refused; freeze and thaw',
            boots=(look,), cmdline=f'{RESERVATION} {IDLE}', needs=('product',))
