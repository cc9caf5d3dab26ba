# SPDX-License-Identifier: MIT
"""Unmodified programs under the preload library: what they map is the memory itself, and all else is as it was."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest

from agent import AgentError
from harness import PLAIN
from persona import as_user, make_file
from processes import wait_until
from qmp import Qmp

pytestmark = pytest.mark.preload

BLOCK = 2 << 20
GUEST = 32 << 20
LOADED_AT, LOADED = 0x1234000, 0x1122334455667788
PYTHON = '/usr/bin/python3'


@pytest.fixture
def make_instance_with(make_instance):
    def make(user, name, size):
        instance = make_instance(user=user, size='160M').start()
        as_user(user, make_file, instance.path(name), size)
        return instance

    return make


@pytest.fixture
def library(tools):
    """Where `guestmemfs run` finds it."""
    done = tools.run('guestmemfs', 'run', '--', 'printenv', 'LD_PRELOAD')
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def vm(make_instance_with, user):
    return make_instance_with(user, 'vm', 4 * BLOCK)


@pytest.fixture
def preloaded(make_agent, library, user):
    return make_agent(user=user, environment={'LD_PRELOAD': library})


@pytest.fixture
def witness(vm, make_agent, user):
    """A client by the library's own calls, with the whole file full of a pattern. Returns (agent, mapping)."""
    agent = make_agent(user=user)
    file = agent('open', vm.path('vm'), 'rw')[0]
    agent('attach', file)
    memory = agent('map', file, 0, 4 * BLOCK, 'rw')[0]
    agent('fill', memory, 7)
    return agent, memory


def refused(function, *arguments):
    with pytest.raises(AgentError) as caught:
        function(*arguments)
    return caught.value.errno


@pytest.mark.parametrize('offset, length, how', [
    (0, 4 * BLOCK, ''), (0, 4 * BLOCK, 'fixed'), (BLOCK, BLOCK, ''), (BLOCK, BLOCK, 'fixed'), (4096, 3 * BLOCK, ''),
    (4096, 3 * BLOCK, 'fixed'), (4 * BLOCK - 4096, 4096, ''), (2 * BLOCK - 4096, 8192, 'fixed'), (8, 0, 'wrong')])
def test_mmap_of_any_part_gives_the_memory_itself(vm, preloaded, witness, offset, length, how):
    agent, memory = witness
    file = preloaded('open', vm.path('vm'), 'rw')[0]
    if how == 'wrong':
        assert refused(preloaded, 'pmap', file, offset, 4096, 'rw') == errno.EINVAL
        assert refused(preloaded, 'pmap', file, 0, length, 'rw') == errno.EINVAL
        assert refused(preloaded, 'pmap', file, 0, 4 * BLOCK + 4096, 'rw') == errno.ENXIO
        return
    part = preloaded('pmap', file, offset, length, 'rw', *([how] if how else []))[0]
    preloaded('check', part, 7)
    preloaded('poke', part, offset + length - 8, 0xabcdef)
    assert agent('peek', memory, offset + length - 8) == ['0000000000abcdef']
    agent('poke', memory, offset, 0x13579)
    assert preloaded('peek', part, offset) == ['0000000000013579']
    preloaded('close', file)
    preloaded('unmap', part)


def test_dup_fork_and_closed_files(vm, preloaded, witness):
    file = preloaded('open', vm.path('vm'), 'rw')[0]
    copy = preloaded('dup', file)[0]
    preloaded('close', file)
    part = preloaded('pmap', copy, BLOCK, BLOCK, 'rw')[0]
    preloaded('check', part, 7)
    preloaded('fork-check', part, 7)
    preloaded('fork-pmap', copy, BLOCK, 2 * BLOCK, 7)
    preloaded('close', copy)
    preloaded('check', part, 7)
    assert witness[0]('peek', witness[1], BLOCK) == preloaded('peek', part, BLOCK)


def test_no_descriptor_is_left_behind(vm, preloaded):
    file = preloaded('open', vm.path('vm'), 'rw')[0]
    before = preloaded('fds')
    for offset in range(0, 4 * BLOCK, BLOCK // 4):
        preloaded('pmap', file, offset, 4096, 'rw')
    assert preloaded('fds') == before


def test_access_modes_hold(vm, preloaded, witness):
    reader = preloaded('open', vm.path('vm'), 'r')[0]
    assert refused(preloaded, 'pmap', reader, 0, BLOCK, 'rw') == errno.EACCES
    preloaded('check', preloaded('pmap', reader, 0, BLOCK, 'r')[0], 7)
    writer = preloaded('open', vm.path('vm'), 'w')[0]
    assert refused(preloaded, 'pmap', writer, 0, BLOCK, 'rw') == errno.EACCES
    assert witness[0]('check', witness[1], 7) == []


def test_private_mappings_are_the_kernels(vm, preloaded):
    file = preloaded('open', vm.path('vm'), 'rw')[0]
    assert preloaded('private-touch', file) == ['SIGBUS']


def test_other_files_are_left_alone(preloaded, workdir, user):
    path = os.path.join(workdir, 'ordinary')
    with open(path, 'wb') as f:
        f.truncate(BLOCK)
    os.chown(path, user.uid, user.gid)
    file = preloaded('open', path, 'rw')[0]
    part = preloaded('pmap', file, 4096, BLOCK - 4096, 'rw')[0]
    preloaded('poke', part, 8192, 0x4142434445464748)
    with open(path, 'rb') as f:
        assert f.read()[8192:8200] == b'HGFEDCBA'
    assert refused(preloaded, 'pmap', preloaded('open', '/dev/null', 'rw')[0], 0, 4096, 'rw') == errno.ENODEV


SCRIPT = '''
import errno, mmap, os, sys
path, other = sys.argv[1:]
fd = os.open(path, os.O_RDWR)
whole = mmap.mmap(fd, 0)                                       # Python asks fstat for the size, and maps a dup
part = mmap.mmap(fd, 8192, offset=2 << 20, access=mmap.ACCESS_READ)
os.close(fd)
assert len(whole) == os.stat(path).st_size, len(whole)
whole[(2 << 20) + 5:(2 << 20) + 10] = b'hello'
assert part[5:10] == b'hello'
assert part[4096:] == whole[(2 << 20) + 4096:(2 << 20) + 8192]
anonymous = mmap.mmap(-1, 1 << 20)                             # MAP_SHARED too
anonymous[:] = b'x' * (1 << 20)
assert whole[:5] == bytes(5)
with open(other, 'r+b') as f:
    ordinary = mmap.mmap(f.fileno(), 4096)
    ordinary[:3] = b'abc'
    private = mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_COPY)
    private[:3] = b'xyz'
assert open(other, 'rb').read(3) == b'abc'
print('all is well')
'''


def test_an_unmodified_python_under_run(make_instance_with, tools, workdir, user, make_agent):
    instance = make_instance_with(user, 'vm', 3 * BLOCK)
    script, other = (os.path.join(workdir, name) for name in ('script.py', 'other'))
    with open(script, 'w', encoding='ascii') as f:
        f.write(SCRIPT)
    with open(other, 'wb') as f:
        f.truncate(4096)
    os.chown(other, user.uid, user.gid)
    words = [PYTHON, script, instance.path('vm'), other]
    done = tools.run('guestmemfs', 'run', '--same-cgroup', '--', *words, user=user)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'all is well\n', '')
    agent = make_agent(user=user)
    file = agent('open', instance.path('vm'), 'r')[0]
    agent('attach', file)
    memory = agent('map', file, BLOCK, 4096, 'r')[0]
    assert agent('peek', memory, BLOCK) == [(bytes(5) + b'hel')[::-1].hex()]
    assert agent('peek', memory, BLOCK + 8) == [(b'lo' + bytes(6))[::-1].hex()]

    done = tools.run(*words, user=user)
    assert done.returncode == 1 and 'No such device' in done.stderr, 'it needs no library: nothing was shown'


def test_a_failed_mapping_says_why(make_instance, tools, library):
    instance = make_instance().start()
    make_file(instance.path('vm'), BLOCK)
    os.chmod(instance.path('vm'), 0o666)
    code = f"import mmap, os; mmap.mmap(os.open('{instance.path('vm')}', os.O_RDWR), {BLOCK})"
    done = tools.run('env', f'LD_PRELOAD={library}', PYTHON, '-c', code, user=PLAIN)
    assert done.returncode == 1 and 'Permission denied' in done.stderr
    assert instance.path('vm') in done.stderr and '--trusted-group' in done.stderr


class Qemu:
    """An unmodified QEMU whose RAM is a file of the mount; its guest is not started."""

    def __init__(self, instance, directory, *options):
        self.qmp_path = os.path.join(directory, 'qmp')
        ram = f'memory-backend-file,id=ram,mem-path={instance.path("vm")},size={GUEST},align=2M,share=on'
        argv = [*instance.user.argv(), instance.tools.path('guestmemfs'), 'run', '--',
                'qemu-system-x86_64', '-S', '-accel', 'tcg', '-nodefaults', '-display', 'none',
                '-machine', 'pc,memory-backend=ram', '-m', f'{GUEST >> 20}M', '-object', ram,
                '-qmp', f'unix:{self.qmp_path},server,nowait', *options]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stdout.fileno(),
                                        stderr=subprocess.STDOUT, env=instance.user.environment(), cwd='/')

    def connect(self):
        return Qmp(self.qmp_path, alive=lambda: self.process.poll() is None)


@pytest.fixture
def run_qemu(capfd, make_instance):  # pylint: disable=unused-argument
    made = []

    def run(*arguments):
        made.append(Qemu(*arguments))
        return made[-1], made[-1].connect()

    yield run
    for qemu in made:
        qemu.process.kill()
        qemu.process.wait(20)


def test_qemu_and_other_clients_see_each_others_bytes(make_instance_with, make_agent, run_qemu, user):
    instance = make_instance_with(user, 'vm', GUEST)
    agent = make_agent(user=user)
    file = agent('open', instance.path('vm'), 'rw')[0]
    agent('attach', file)
    upper = agent('map', file, 2 * BLOCK, GUEST - 2 * BLOCK, 'rw')[0]
    with tempfile.TemporaryDirectory(dir='/dev/shm', prefix='guestmemfs-test-') as directory:
        os.chown(directory, user.uid, user.gid)
        loader = f'loader,addr={LOADED_AT:#x},data={LOADED:#x},data-len=8'
        qemu, qmp = run_qemu(instance, directory, '-device', loader)
        assert agent('peek', upper, LOADED_AT) == [f'{LOADED:016x}'], 'QEMU has written elsewhere'
        assert instance.wait_status(lambda s: qemu.process.pid in {g['pid'] for g in s['grants']})

        agent('fill', upper, 11)
        saved = os.path.join(directory, 'saved')
        qmp.command('pmemsave', val=2 * BLOCK, size=GUEST - 2 * BLOCK, filename=saved)
        with open(saved, 'rb') as f:
            content = f.read()
        assert len(content) == GUEST - 2 * BLOCK
        for offset in (2 * BLOCK, 3 * BLOCK - 8, LOADED_AT, GUEST - 8):
            at = offset - 2 * BLOCK
            assert content[at:at + 8][::-1].hex() == agent('peek', upper, offset)[0]
        shown = qmp.command('human-monitor-command', **{'command-line': f'xp /1gx {LOADED_AT:#x}'})
        assert shown.split()[1] == '0x' + agent('peek', upper, LOADED_AT)[0]
        assert hash_of(agent, content, user) == agent('hash', upper)

        # Its RAM is the guest's, not the daemons': it lives on without them.
        instance.kill()
        agent('fill', upper, 12)
        qmp.command('pmemsave', val=GUEST - 4096, size=4096, filename=saved)
        with open(saved, 'rb') as f:
            assert f.read(8)[::-1].hex() == agent('peek', upper, GUEST - 4096)[0]
        instance.restart()
        agent('check', upper, 12)
        qmp.command('quit')
        qmp.close()
        assert qemu.process.wait(20) == 0
    agent.kill()
    assert wait_until(lambda: not instance.status()['grants'], 20)


def hash_of(agent, content, user):
    """The agent's own hash of these bytes."""
    with tempfile.NamedTemporaryFile(dir='/dev/shm', prefix='guestmemfs-test-') as f:
        f.write(content)
        f.flush()
        os.fchmod(f.fileno(), 0o644)
        os.fchown(f.fileno(), user.uid, user.gid)
        file = agent('open', f.name, 'r')[0]
        return agent('hash', agent('pmap', file, 0, len(content), 'r')[0])
