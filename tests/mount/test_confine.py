# SPDX-License-Identifier: MIT
"""
What each process can still do, as the kernel tells; what happens when one does more; and who may ask the worker.
/proc is read as root, whoever's instance it is.
"""

import errno
import os
import platform
import pwd
import re
import subprocess

import pytest

from debugger import system_call_in
from evidence import BLOCK, blocks_of, grant, make_region, must, refused, tree
from harness import OTHER, PLAIN, ROOT, User
from processes import wait_until

# linux/capability.h
DAC_READ_SEARCH, KILL, SYS_PTRACE, SYS_ADMIN = 2, 5, 19, 21
SECCOMP_FILTER = '2'
SETS = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')


@pytest.fixture
def instance(make_instance, user):
    return make_region(make_instance(user=user)).start()


@pytest.fixture(scope='session')
def sanitized(tools):
    """Such a build keeps its root directory and may map: docs/security.md."""
    with open(tools.path('guestmemfs-fuse'), 'rb') as f:
        return b'__asan_init' in f.read()


def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
        return [int(child) for child in f.read().split()]


def processes(instance):
    """
    Nobody waits for the keeper, which confines itself before it takes anything from anybody; its filter comes last.
    """
    pids = instance.status()['pids']
    assert wait_until(lambda: status_of(pids['keeper'])['Seccomp'] == SECCOMP_FILTER, 20)
    return pids | {'unmounter': children_of(pids['worker'])[0]}


def usual_user():
    for name in 'guestmemfs', 'nobody':
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise AssertionError('there is no nobody here')


def bits(*numbers):
    return sum(1 << n for n in numbers)


def capabilities(status):
    return {name: int(status[name], 16) for name in SETS}


def only(kept, bounding=None):
    return {'CapInh': 0, 'CapPrm': kept, 'CapEff': kept, 'CapAmb': 0, 'CapBnd': kept if bounding is None else bounding}


# -- what they have

KEPT = {'worker': 0, 'keeper': 0, 'helper': bits(DAC_READ_SEARCH, KILL, SYS_PTRACE),
        'unmounter': bits(SYS_ADMIN, DAC_READ_SEARCH)}


@pytest.mark.parametrize('user', [ROOT], ids=['root'])
def test_roots_processes_have_few_capabilities(instance):
    """As far as there are any: in a container root may have few."""
    pids = processes(instance)
    there = int(status_of(pids['supervisor'])['CapPrm'], 16)
    for name, kept in KEPT.items():
        assert capabilities(status_of(pids[name])) == only(kept & there), name


@pytest.mark.parametrize('user', [PLAIN], ids=['plain'])
def test_a_plain_users_processes_have_none(instance):
    pids = processes(instance)
    bounding = int(status_of(pids['supervisor'])['CapBnd'], 16)
    for name, pid in pids.items():
        assert capabilities(status_of(pid)) == only(0, bounding), name


def test_system_calls_are_filtered_and_nothing_comes_back(instance, user):
    """But for the plain user's unmounter, which runs fusermount3, and the supervisor, which starts the others."""
    confined = {'worker', 'helper', 'keeper'} | ({'unmounter'} if user == ROOT else set())
    for name, pid in processes(instance).items():
        status = status_of(pid)
        is_confined = status['NoNewPrivs'] == '1' and status['Seccomp'] == SECCOMP_FILTER
        assert is_confined == (name in confined), name


def test_every_thread_of_the_helper_is_confined(instance):
    pid = instance.pids()['helper']
    tasks = os.listdir(f'/proc/{pid}/task')
    assert len(tasks) > 1
    for task in tasks:
        status = status_of(f'{pid}/task/{task}')
        assert status['Seccomp'] == SECCOMP_FILTER
        assert capabilities(status)['CapEff'] == capabilities(status_of(pid))['CapEff']


def test_the_worker_is_somebody_else(instance, user, sanitized):
    pid = instance.pids()['worker']
    status = status_of(pid)
    wanted = usual_user() if user == ROOT else None
    uid, gid = (wanted.pw_uid, wanted.pw_gid) if wanted else (user.uid, user.gid)
    assert status['Uid'].split() == [str(uid)] * 4
    assert status['Gid'].split() == [str(gid)] * 4
    assert not status['Groups'].split()
    if user == ROOT and not sanitized:
        assert os.listdir(f'/proc/{pid}/root') == []
        with pytest.raises(FileNotFoundError):
            os.mkdir(f'/proc/{pid}/root/x')
    else:
        assert os.path.samefile(f'/proc/{pid}/root', '/')
    assert not [name for name in os.listdir(instance.runtime_directory) if name.startswith('root')]


def test_the_worker_becomes_whom_it_is_told(make_instance):
    instance = make_region(make_instance(options=['--user', 'daemon'])).start()
    account = pwd.getpwnam('daemon')
    pids = instance.pids()
    for _ in range(2):
        status = status_of(pids['worker'])
        assert status['Uid'].split() == [str(account.pw_uid)] * 4
        assert status['Gid'].split() == [str(account.pw_gid)] * 4
        pids['worker'] = instance.wait_new('worker', *instance.kill('worker'))


@pytest.mark.parametrize('user, name, why', [
    (ROOT, 'nosuchuser', '--user nosuchuser: there is no such user'),
    (ROOT, '', '--user : there is no such user'),
    (ROOT, 'root', '--user root: the worker is to have no privileges, and this user has them all'),
    (PLAIN, 'daemon', "--user daemon: only root's processes can become another user; yours stay yours"),
])
def test_a_user_that_can_not_be_is_refused(make_instance, user, name, why):
    instance = make_instance(user=user)
    assert why in refused(instance, '--user', name, status=2, size='64M')
    assert not os.path.exists(instance.region)


# -- what they reach

def region_mappings(instance):
    """(offset, length) of what the worker maps of the region."""
    found = []
    with open(f'/proc/{instance.pids()["worker"]}/maps', encoding='utf-8') as f:
        for line in f:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5].rstrip('\n') == instance.region:
                start, end = (int(x, 16) for x in fields[0].split('-'))
                found.append((int(fields[2], 16), end - start))
    return found


def test_the_worker_maps_no_block_of_a_file(instance, make_agent, user):
    must(instance, 'truncate', '-s', 4 * BLOCK, instance.path('vm0'))
    grant(make_agent(user=user), instance.path('vm0'))
    mapped = region_mappings(instance)
    assert mapped
    for block in blocks_of(instance, 'vm0'):
        assert all(offset + length <= block or offset >= block + BLOCK for offset, length in mapped), (block, mapped)


def call(pid, expression):
    """Has the process call a function; what gdb says of it."""
    done = subprocess.run(
        ['gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-p', str(pid),
         '-ex', 'handle all nostop noprint pass', '-ex', f'print {expression}'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=50, check=False,
        cwd='/')
    return done.stdout


def assert_dies_of(instance, which, expression, name):
    """It says why, so does the supervisor, and another one is started."""
    before, pid = tree(instance), instance.pids()[which]
    said = call(pid, expression)
    assert re.search('SIGSYS|no longer exists|[Tt]he program', said), said
    instance.wait_new(which, pid)
    log = instance.log()
    assert re.search(rf'guestmemfs-{which}: has made the system call {name}, which it is not allowed', log), log
    assert re.search(rf'the {which} was ended by signal \d+ \(Bad system call\): the {which} has made the system call '
                     rf'{name}, ', log), log
    assert tree(instance) == before


@pytest.mark.parametrize('which, expression, name', [
    ('worker', '(int)mkdir(0, 0)', r'mkdir(?:at)?'),
    ('worker', '(int)setuid(0)', 'setuid'),
    ('helper', '(int)socket(2, 1, 0)', 'socket'),
    ('helper', '(int)mount(0, 0, 0, 0, 0)', 'mount'),
], ids=['worker-mkdir', 'worker-setuid', 'helper-network', 'helper-mount'])
def test_a_violation_is_named_and_ends_the_process(instance, which, expression, name):
    assert_dies_of(instance, which, expression, name)


def region_descriptor(instance):
    """The number that the worker's descriptor of the region has."""
    directory = f'/proc/{instance.pids()["worker"]}/fd'
    return next(int(fd) for fd in os.listdir(directory) if os.readlink(f'{directory}/{fd}') == instance.region)


@pytest.mark.parametrize('expression, name', [
    ('(long)mmap(0, 4096, 1, 1, {fd}, 0)', 'mmap'),
    ('(long)read({fd}, 0, 0)', 'read'),
    ('(long)pread({fd}, 0, 0, 0)', 'pread64'),
    ('(long)syscall(0, {fd} + 4294967296, 0, 0)', 'read'),
    ('(int)dup({fd})', 'dup'),
    ('(int)fcntl({fd}, 0, 0)', 'fcntl'),
], ids=['map', 'read', 'pread', 'read-high-bits', 'dup', 'fcntl-dup'])
def test_the_workers_descriptor_of_the_region_reaches_nothing(instance, sanitized, expression, name):
    if sanitized and name in ('mmap', 'pread64', 'fcntl'):
        pytest.skip('a sanitizer needs this call itself')
    if expression.startswith('(long)syscall(') and platform.machine() != 'x86_64':
        pytest.skip('the number of read(2) is another one on this machine')
    assert_dies_of(instance, 'worker', expression.format(fd=region_descriptor(instance)), name)


def test_what_the_worker_maps_does_not_grow(instance, sanitized):
    if sanitized:
        pytest.skip('a sanitizer needs this call itself')
    pid = instance.pids()['worker']
    with open(f'/proc/{pid}/maps', encoding='utf-8') as f:
        start, end = next(line.split()[0].split('-') for line in f if line.rstrip('\n').endswith(instance.region))
    length = int(end, 16) - int(start, 16)
    assert system_call_in(pid, 'mremap', int(start, 16), length, 2 * length, 1) == -errno.EPERM
    assert instance.is_serving() and instance.pids()['worker'] == pid


# -- who may ask

@pytest.mark.parametrize('user', [ROOT], ids=['root'])
@pytest.mark.parametrize('asker', [User(usual_user().pw_uid, usual_user().pw_gid), OTHER], ids=['whom-the-worker-is', 'another'])
def test_only_root_may_ask_roots_worker(instance, tools, asker):
    """The mode of the socket keeps others out; the worker does where that was changed, its own user too."""
    socket = os.path.join(instance.runtime_directory, 'control.sock')
    status = os.stat(socket)
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    done = tools.run('guestmemfs', 'status', instance.mount, user=asker)
    assert done.returncode == 1 and 'no permission to ask' in done.stderr, done.stderr
    os.chmod(socket, 0o666)
    done = tools.run('guestmemfs', 'status', instance.mount, user=asker)
    assert done.returncode == 1 and 'only root and the user of the mount may ask' in done.stderr, done.stderr
    assert instance.is_serving()


@pytest.mark.parametrize('user', [PLAIN], ids=['plain'])
def test_a_plain_users_worker_answers_him(instance):
    socket = os.path.join(instance.runtime_directory, 'control.sock')
    status = os.stat(socket)
    assert (status.st_uid, status.st_mode & 0o777) == (PLAIN.uid, 0o600)
    assert instance.is_serving()  # which he has asked


# -- their ends

def test_the_unmounter_ends_with_its_worker(instance):
    pids = processes(instance)
    instance.wait_new('worker', *instance.kill('worker'))
    assert wait_until(lambda: not os.path.exists(f'/proc/{pids["unmounter"]}') or
                      status_of(pids['unmounter'])['State'].startswith('Z'), 20)


def test_an_instance_without_its_unmounter_ends_in_good_order(instance):
    """The supervisor unmounts; the unmounter is for when there is none."""
    pids = processes(instance)
    os.kill(pids['unmounter'], 9)
    assert instance.stop() == 0, instance.log()
    assert not instance.is_mounted()
