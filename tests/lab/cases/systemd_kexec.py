# SPDX-License-Identifier: MIT
"""
A host that systemd runs: guestmemfs-fuse is a service there, guestmemfs run makes scopes, the audit is in the journal;
and guestmemfs kexec leaves through systemd. The image is loaded, checked, before systemd is asked (it would load one
itself, by the call that loses guests); then it stops its units, and jumps into what is loaded.
"""

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess
import time

from actors import PINNED, Actor, vmm, vmsplice
from case import Case
from dax import BLOCK, pattern_block
from lab import HANGS, read_text
from product import Attached, Library, Pool
from service import FOREGROUND, MOUNT, REGION, SERVICE, Service
from units import UNITS, Journal, cgroup, prepare_services, properties, write_unit

BLOCKS = 8
CONTAINER = '/.dockerenv'
# Stopped before the case and what it uses, and not before the case wants that.
MARK = f'''[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
After=lab.service lab-gm.service
RequiresMountsFor=/lab {MOUNT}
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStopSec=infinity
ExecStart=/bin/true
ExecStop=/bin/sh -c 'until [ -e /run/lab-go ]; do sleep 0.1; done; touch /lab/stopped'
'''
# systemd ends what runs in the case's unit, its own client too: here always before that has seen the answer.
SLOW_CLIENT = '''#!/bin/sh
/bin/systemctl "$@" || exit
[ "$1" != kexec ] || exec sleep 600
'''
HOLDER = '''
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, os.fstat(fd).st_size)
memory[0] = 1
print(os.getpid(), flush=True)
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(600)
'''


# -- guestmemfs run

class Program:
    """Two processes that hold a file, started by a shell with guestmemfs run."""

    def __init__(self, lab, path):
        self.complaints = f'{lab.directory}/{os.path.basename(path)}.err'
        with open(self.complaints, 'wb') as err:
            self.shell = subprocess.Popen(
                ['sh', '-c', '"$@"; echo "exit status $?"', 'sh', 'guestmemfs', 'run', '--',
                 '/usr/bin/python3', '-I', '-S', '-c', HOLDER, path],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
        self.pids = [int(self.shell.stdout.readline() or 0) for _ in range(2)]
        lab.claim(all(self.pids), f'a program under guestmemfs run has the memory of {path}', read_text(self.complaints))
        self.cgroup = cgroup(self.pids[0])
        self.scope = os.path.basename(self.cgroup)

    def lives(self):
        return all(os.path.exists(f'/proc/{pid}') for pid in self.pids) and self.shell.poll() is None

    def end(self):
        """What its shell says, which has seen it end."""
        return self.shell.communicate(timeout=HANGS)[0].strip()


def run_without_a_bus(lab):
    """A host that systemd runs, and on which only systemctl can talk to it."""
    text = lab.run('guestmemfs', 'run', 'cat', '/proc/self/cgroup')
    lab.check('cat gets no cgroup of its own: systemd makes no scope' in text and cgroup() in text,
              'without the system bus guestmemfs run warns, and the program runs where its caller is', text)


def scopes(lab, pool):
    done = subprocess.run(['guestmemfs', 'run', 'sh', '-c', 'cat /proc/self/cgroup; exit 7'], capture_output=True, text=True,
                          timeout=HANGS, check=False)
    lab.check(done.returncode == 7 and not done.stderr and '.scope' in done.stdout,
              'guestmemfs run passes the exit code on', f'{done}')
    one, two = Program(lab, pool.make('one', BLOCK)), Program(lab, pool.make('two', BLOCK))
    found = properties(one.scope, 'ActiveState', 'ControlGroup', 'Transient', 'Slice')
    lab.check(found == ('active', one.cgroup, 'yes', 'system.slice') and one.scope.startswith('guestmemfs-run-'),
              'it makes a transient scope for a program', f'{found} {one.cgroup}')
    lab.check(one.scope != two.scope and cgroup(one.pids[1]) == one.cgroup and cgroup(one.shell.pid) == cgroup(),
              'each has its own, with all its processes, and without the shell that started it',
              f'{one.cgroup} {two.cgroup} {cgroup(one.pids[1])} {cgroup(one.shell.pid)}')
    lab.check(not read_text(one.complaints) and not read_text(two.complaints), 'and no warning')
    with subprocess.Popen(['systemd-run', '--scope', '--quiet', '--unit=lab-neighbour', 'sleep', '600']) as neighbour:
        lab.wait_until(lambda: cgroup(neighbour.pid).endswith('/lab-neighbour.scope'), HANGS, 'a neighbour is in the same slice')
        ino = os.stat(pool.path('one')).st_ino
        text = lab.run('guestmemfs', 'revoke', '--kill', pool.path('one'))
        lab.check(all(str(pid) in text for pid in one.pids) and one.cgroup in text, 'revoke --kill names them', text)
        lab.check(one.end() == 'exit status 137', 'their shell lives on, and knows how they have ended')
        lab.check(two.lives() and neighbour.poll() is None, 'and so does the other program, and a neighbour in the slice')
        neighbour.kill()
    lab.wait_until(lambda: properties(one.scope, 'LoadState') == ('not-found',), HANGS, 'the scope is gone')
    lab.check(not os.path.exists(f'/sys/fs/cgroup{one.cgroup}'), 'and its cgroup')
    lab.run('systemctl', 'stop', two.scope)
    lab.check(two.end() == 'exit status 143', 'systemctl stop ends a program by its scope')
    return one, ino


# -- the audit

WORDS = {
    'grant': 'PID UID CGROUP INO ACCESS RANGES FIRST DEVICES EPOCH',
    'refusal': 'PID UID CGROUP INO ERRNO REASON WHAT',
    'export': 'INO NODE UID GID MODE RANGES FIRST',
    'revocation': 'PID UID CGROUP INO RANGES FIRST WHAT',
    'quarantine': 'INO RANGES FIRST WHY',
}


def provoke(lab, pool):
    """A refusal, an export and a quarantine. Returns what to look for; the pipe ends the quarantine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(os.getxattr(MOUNT, 'user.guestmemfs.socket').decode())
        s.send(b'x')
        s.settimeout(HANGS)
        with contextlib.suppress(ConnectionError):
            while s.recv(4096):
                pass
    exported = os.stat(pool.make('exported', BLOCK)).st_ino
    node = pool.export('exported')
    pool.unexport('exported')
    pipe = os.pipe()
    pinned = os.stat(pool.make('pinned', BLOCK)).st_ino
    actor = Actor(vmm(Library(lab.plan['prefix']), pool.path('pinned'), 'pinned',
                      lambda file, address: vmsplice(pipe[1], address, PINNED)))
    actor.kill()
    os.unlink(pool.path('pinned'))
    return {'refusal': {'PID': f'{os.getpid()}', 'CGROUP': cgroup(), 'INO': '0'},
            'export': {'INO': f'{exported}', 'NODE': node}, 'quarantine': {'INO': f'{pinned}'}}, pipe


def audit(lab, pool, one, ino):
    """The program that revoke --kill has ended, and its file, are what it looks for first."""
    journal = Journal(lab)
    wanted, pipe = provoke(lab, pool)
    mine = {'PID': f'{one.pids[0]}', 'UID': '0', 'CGROUP': one.cgroup, 'INO': f'{ino}', 'RANGES': '1'}
    wanted.update(grant={**mine, 'ACCESS': 'rw', 'DEVICES': '1'}, revocation={**mine, 'CGROUP': None})
    helper = pool.process('guestmemfs-helper')
    for event, values in wanted.items():
        matches = [f'GUESTMEMFS_{key}={value}' for key, value in values.items() if value]
        entry = journal.wait_for(f'the {event} is in the journal', f'GUESTMEMFS_EVENT={event}', *matches)[0]
        missing = [word for word in WORDS[event].split() if f'GUESTMEMFS_{word}' not in entry]
        if values.get('CGROUP', '') is None:
            missing = [word for word in missing if word != 'CGROUP']  # of a process that has ended
        lab.check(not missing and entry['MESSAGE'].startswith(f'{event} '), f'with all its fields: {WORDS[event]}',
                  f'{missing} {entry}')
        whose = entry['_SYSTEMD_UNIT'], int(entry['_PID']), entry['SYSLOG_IDENTIFIER'], entry['PRIORITY']
        lab.check(whose == ('lab-gm.service', helper, 'guestmemfs-helper', '4' if event == 'refusal' else '6'),
                  'as one entry of the helper of that service', f'{whose}')
    for end in pipe:
        os.close(end)
    lab.wait_until(lambda: pool.status()['blocks']['quarantined'] == 0, HANGS, 'the quarantine ends')
    said = [entry['MESSAGE'] for entry in journal.entries('-u', 'lab-gm.service', 'SYSLOG_IDENTIFIER=guestmemfs-fuse')]
    lab.check(any('is mounted at' in text for text in said), "so is the daemon's log", f'{said}')


# -- guestmemfs kexec

def write_pattern(lab, path, seed):
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map()
        for n in range(BLOCKS):
            ctypes.memmove(address + n * BLOCK, pattern_block(seed, n), BLOCK)
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(file.size))


def pattern(lab, path, seed):
    """True if the file's memory is the pattern."""
    with Attached(Library(lab.plan['prefix']), path) as file:
        address = file.map()
        found = all(ctypes.string_at(address + n * BLOCK, BLOCK) == pattern_block(seed, n) for n in range(BLOCKS))
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(file.size))
    return found


def image_is_loaded():
    return read_text('/sys/kernel/kexec_loaded').strip() == '1'


def refused_in_a_container(lab, pool, command):
    with open(CONTAINER, 'x', encoding='ascii'):
        pass
    text = lab.run(*command, fails=True)
    lab.check(CONTAINER in text and not pool.status()['frozen'],
              'it is refused where systemd takes the host for a container, and would reboot', text)
    os.unlink(CONTAINER)


@contextlib.contextmanager
def inhibitor(lab):
    """Somebody who delays a shutdown, until he is killed."""
    lab.run('systemctl', 'start', 'systemd-logind.service')
    with subprocess.Popen(['systemd-inhibit', '--what=shutdown', '--mode=delay', '--who=lab', '--why=the case', 'sleep', '600'],
                          start_new_session=True) as child:
        try:
            lab.wait_until(lambda: 'lab' in lab.run('systemd-inhibit', '--list', told=False), HANGS, 'somebody delays a shutdown')
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, 15)


def systemd_is(word):
    return subprocess.run(['systemctl', 'is-system-running'], stdout=subprocess.PIPE, text=True,
                          check=False).stdout.strip() == word


def delayed_and_cancelled(lab, pool, command):
    """An order that logind's inhibitors delay; then systemd waits for a unit, and somebody cancels all of it."""
    log = f'{lab.directory}/kexec.log'
    with open(log, 'wb') as out, inhibitor(lab) as delay, \
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as child:
        lab.wait_until(lambda: 'logind has the order' in read_text(log) or child.poll() is not None, HANGS, 'an order is delayed')
        lab.check(child.poll() is None and pool.status()['frozen'] and image_is_loaded() and not systemd_is('stopping'),
                  'guestmemfs kexec waits for it, and nobody stops yet', read_text(log))
        os.killpg(delay.pid, 15)
        lab.wait_until(lambda: systemd_is('stopping'), HANGS, 'then systemd stops its units')
        lab.check(child.poll() is None and pool.status()['frozen'] and image_is_loaded(), 'and guestmemfs kexec waits on',
                  read_text(log))
        lab.run('systemctl', 'cancel')
        code = child.wait(HANGS)
        text = read_text(log)
        lab.check(code == 1 and 'systemd does not go into the next kernel' in text, 'a job that is cancelled is told', text)
        lab.check(not pool.status()['frozen'] and not image_is_loaded(), 'and all is as it was')


def restart_mark(lab):
    """It has been told to stop, and goes on with that."""
    with open('/run/lab-go', 'x', encoding='ascii'):
        pass
    lab.wait_until(lambda: os.path.exists('/lab/stopped'), HANGS, 'the unit that was waited for stops')
    os.unlink('/lab/stopped')
    lab.run('systemctl', 'start', 'lab-mark.service')


def timed(lab, part, *args):
    began = time.monotonic()
    result = part(lab, *args)
    lab.say(f'{part.__name__}: {time.monotonic() - began:.1f} s')
    return result


def begin(lab):
    lab.claim(read_text('/proc/1/comm').strip() == 'systemd', 'systemd is PID 1')
    prepare_services()
    write_unit('lab-mark.service', MARK)
    write_unit('../logind.conf.d/lab.conf', '[Login]\nInhibitDelayMaxSec=1h\n')
    os.symlink('/dev/null', f'{UNITS}/modprobe@drm.service')
    lab.run('systemctl', 'daemon-reload')
    lab.run('systemctl', 'start', 'systemd-journald.service', 'systemd-journald-dev-log.socket')
    run_without_a_bus(lab)
    lab.run('systemctl', 'start', 'dbus.service')


def leave(lab):
    timed(lab, begin)
    pool = Service(lab, SERVICE)
    one, ino = timed(lab, scopes, pool)
    timed(lab, audit, pool, one, ino)
    pool.stop('a service that forks')
    pool = Service(lab, FOREGROUND, foreground=True)
    seed = secrets.randbits(64)
    write_pattern(lab, pool.make('vm0', BLOCKS * BLOCK), seed)
    pool.stop('one in the foreground')
    pool.start(foreground=True)
    grants = Journal(lab).wait_for('its audit is in the journal too', '_SYSTEMD_UNIT=lab-gm.service', 'GUESTMEMFS_EVENT=grant',
                                   f'GUESTMEMFS_INO={os.stat(pool.path("vm0")).st_ino}', f'GUESTMEMFS_PID={os.getpid()}')
    lab.check(len(grants) == 1, 'once', f'{grants}')
    lab.remember(seed=seed, uuid=pool.status()['uuid'])
    lab.run('systemctl', 'start', 'lab-mark.service')
    lab.check(not image_is_loaded(), 'no kernel is loaded')
    command = 'guestmemfs', 'kexec', lab.plan['kernel'], '--initrd', lab.plan['initramfs']
    refused_in_a_container(lab, pool, command)
    timed(lab, delayed_and_cancelled, pool, command)
    restart_mark(lab)
    with open(f'{lab.directory}/systemctl', 'x', encoding='ascii') as f:
        os.fchmod(f.fileno(), 0o755)
        f.write(SLOW_CLIENT)
    os.environ['PATH'] = f'{lab.directory}:{os.environ["PATH"]}'
    lab.leave('kexec', *command)


def arrive(lab):
    lab.check(os.path.exists('/lab/stopped'), 'systemd stopped its units before the jump')
    lab.check('guestmemfs.succession=' in lab.cmdline(), 'and jumped into the image that guestmemfs kexec had loaded')
    pool = Pool(lab, REGION)
    lab.check(pool.status()['uuid'] == lab.recall('uuid'), 'the pool is there')
    lab.check(pattern(lab, pool.path('vm0'), lab.recall('seed')), "and the guest's memory, to the last byte")
    pool.unmount()
    lab.run('guestmemfs', 'fsck')


CASE = Case(about='a host that runs systemd: a service, scopes, the journal; guestmemfs kexec goes through systemctl kexec',
            boots=(leave, arrive), cmdline='memmap=1G!4G,1G%4G-12+0xefffffff dax_hmem.region_idle=1', needs=('product',),
            systemd=True, modules=('device_dax', 'dax_hmem', 'fuse'))
