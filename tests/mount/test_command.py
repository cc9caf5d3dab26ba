# SPDX-License-Identifier: MIT
"""guestmemfs, the operator's command, on real mounts: what it prints, what it refuses, and its exit codes."""

import errno
import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess

import pytest

from harness import OTHER, PLAIN, ROOT
from persona import as_user, errno_of, make_file
from processes import is_gone, wait_until

BLOCK = 2 << 20
SIZES = [1, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 12345]


def guestmemfs(instance, *words, stdin=subprocess.DEVNULL, data=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
               user=None):
    """Runs it as the instance's user, with bytes in and out."""
    user = user or instance.user
    argv = [*user.argv(), instance.tools.path('guestmemfs'), *words]
    options = {'stdin': stdin} if data is None else {'input': data}
    return subprocess.run(argv, env=user.environment(), stdout=stdout, stderr=stderr, timeout=60, check=False, cwd='/',
                          **options)


def ask(instance, *words):
    done = guestmemfs(instance, *words, '--json')
    assert done.returncode == 0 and done.stderr == b'', done.stderr
    return json.loads(done.stdout)


def failed(done, *parts):
    """Asserts that it failed with one sentence that has these parts."""
    text = done.stderr.decode() if isinstance(done.stderr, bytes) else done.stderr
    assert done.returncode == 1, (done.returncode, text)
    assert text.startswith('guestmemfs: ') and text.count('\n') == 1, text
    for part in parts:
        assert part in text
    return text


def make(instance, name, size=0):
    return as_user(instance.user, make_file, instance.path(name), size)


def size_of(instance, path):
    return as_user(instance.user, os.stat, path).st_size


def wait_unheld(instance):
    instance.wait_status(lambda s: not s['grants'])
    assert wait_until(lambda: not any(f['held'] for f in ask(instance, 'ls', instance.mount)['files']), 20)


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.file_digest(f, 'sha256').hexdigest()


# ---- status, ls, extents

@pytest.fixture
def busy(make_instance, make_agent, user):
    """An instance with a bit of everything: files, a directory, grants, an orphan."""
    instance = make_instance(user=user).start()
    vm, gone = make(instance, 'vm', BLOCK + 1), make(instance, 'gone', BLOCK)
    as_user(user, os.mkdir, instance.path('dir'), 0o750)
    make(instance, 'dir/below', 5)
    agent = make_agent(user=user)
    for path, mode in ((vm, 'r'), (gone, 'rw')):
        agent('attach', agent('open', path, mode)[0])
    as_user(user, os.unlink, gone)
    instance.agent = agent
    return instance


def test_status_tells_what_is_there(busy):
    status = ask(busy, 'status', busy.mount)
    assert (status['name'], status['mount_point']) == (busy.name, busy.mount)
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as f:
        assert status['boot_id'] == f.read().strip()
    assert status['pids']['supervisor'] == busy.process.pid
    for name, pid in status['pids'].items():
        with open(f'/proc/{pid}/cmdline', 'rb') as f:
            assert (b'fuse' if name == 'supervisor' else name.encode()) in f.read().split(b'\0')[0]
    blocks = status['blocks']
    assert blocks['used'] == 4 and blocks['free'] + blocks['used'] == blocks['data']
    assert status['files']['count'] == 5 and status['orphans'] == 1
    region = status['regions'][0]
    assert (region['kind'], region['name'], region['size']) == ('file', busy.region, os.path.getsize(busy.region))
    assert sorted((g['path'] or '', g['access'], g['pid'], g['uid'], g['state']) for g in status['grants']) == [
        ('', 'rw', busy.agent.pid, busy.user.uid, 'live'), ('/vm', 'r', busy.agent.pid, busy.user.uid, 'live')]
    assert ask(busy, 'status', busy.path('dir/below'))['uuid'] == status['uuid']


def test_ls_and_extents_tell_what_is_there(busy):
    answer = ask(busy, 'ls', busy.mount)
    uid, gid = busy.user.uid, busy.user.gid
    seen = {f['path']: f for f in answer['files']}
    assert set(seen) == {'/vm', '/dir', '/dir/below', None}
    assert {(f['uid'], f['gid']) for f in seen.values()} == {(uid, gid)}
    assert (seen['/vm']['size'], seen['/vm']['blocks'], seen['/vm']['held']) == (BLOCK + 1, 2, True)
    assert (seen['/dir']['type'], seen['/dir']['mode'], seen['/dir']['links']) == ('directory', 0o40750, 2)
    assert (seen[None]['links'], seen[None]['held'], seen[None]['blocks']) == (0, True, 1)
    assert not seen['/dir/below']['held']
    assert [f['path'] for f in ask(busy, 'ls', busy.path('dir'))['files']] == ['/dir/below']

    answer = ask(busy, 'extents', busy.path('vm'))
    assert (answer['ino'], answer['size']) == (seen['/vm']['ino'], BLOCK + 1)
    assert sum(e['length'] for e in answer['extents']) == 2 * BLOCK and all(e['clean'] for e in answer['extents'])
    assert all(e['region_offset'] % BLOCK == 0 for e in answer['extents'])


def test_what_people_read_says_the_same(busy):
    status = guestmemfs(busy, 'status', busy.mount).stdout.decode()
    assert ask(busy, 'status', busy.mount)['uuid'] in status
    assert re.search(r'^used +8M \(4 blocks\)', status, re.MULTILINE)
    assert re.search(rf'^ *{busy.agent.pid} +{busy.user.uid} +r +live +\S+ +\S+ +\d+ +/vm$', status, re.MULTILINE)
    listing = guestmemfs(busy, 'ls', busy.mount).stdout.decode().splitlines()
    assert [line.split()[-1] for line in listing[1:4]] == ['/dir', '/dir/below', '/vm']
    assert re.search(rf'^-rw------- +1 +\S+ +\S+ +{BLOCK + 1} +\d+ +held +/vm$', listing[3])
    assert '(removed, inode' in listing[4] and len(listing) == 5
    extents = guestmemfs(busy, 'extents', busy.path('vm')).stdout.decode()
    assert re.search(r'^ +0 +4M +0 +0x[0-9a-f]+ +clean$', extents, re.MULTILINE)


def test_questions_about_other_places_and_from_other_users(instance):
    for command in ('status', 'ls', 'extents'):
        failed(guestmemfs(instance, command, '/dev/shm'), '/dev/shm is not on a guestmemfs mount')
        failed(guestmemfs(instance, command, instance.path('none')), 'none', 'No such file')
    failed(guestmemfs(instance, 'extents', instance.mount), 'not a regular file')
    for user in (OTHER, PLAIN):
        done = guestmemfs(instance, 'status', instance.mount, user=user)
        failed(done, 'no permission', 'root and the user who runs the mount')
        assert done.stdout == b''


# ---- load and dump

@pytest.mark.parametrize('size', SIZES)
def test_what_is_loaded_is_dumped(make_instance, size, workdir, user):
    instance = make_instance(user=user).start()
    data = random.Random(size).randbytes(size)
    by_pipe, by_file = instance.path('by-pipe'), instance.path('by-file')
    done = guestmemfs(instance, 'load', by_pipe, data=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b''), 'progress is for terminals'
    source = os.path.join(workdir, 'source')
    with open(source, 'wb+') as f:
        f.write(b'skipped' + data)
        f.flush()
        f.seek(7)
        os.lseek(f.fileno(), 7, os.SEEK_SET)
        assert guestmemfs(instance, 'load', by_file, stdin=f).returncode == 0
    for path in (by_pipe, by_file):
        st = as_user(user, os.stat, path)
        assert (st.st_size, st.st_mode & 0o777) == (size, 0o600)
        done = guestmemfs(instance, 'dump', path)
        assert done.returncode == 0 and done.stderr == b''
        assert done.stdout == data
    with open(source, 'wb') as out:
        assert guestmemfs(instance, 'dump', by_file, stdout=out).returncode == 0
    with open(source, 'rb') as f:
        assert f.read() == data


def test_empty_files_and_empty_input(instance):
    path = make(instance, 'empty')
    done = guestmemfs(instance, 'dump', path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')
    assert guestmemfs(instance, 'load', instance.path('new'), data=b'').returncode == 0
    assert os.stat(instance.path('new')).st_size == 0
    assert guestmemfs(instance, 'load', make(instance, 'was-long', BLOCK), data=b'').returncode == 0
    assert os.stat(instance.path('was-long')).st_size == 0


def test_a_held_file_is_not_loaded_but_dumped(instance, make_agent):
    path = make(instance, 'vm', BLOCK)
    agent = make_agent()
    file = agent('open', path, 'rw')[0]
    agent('attach', file)
    memory = agent('map', file, 0, BLOCK, 'rw')[0]
    agent('fill', memory, 1)
    failed(guestmemfs(instance, 'load', path, data=b'x'), 'vm is held', 'status', 'a new file')
    assert os.stat(path).st_size == BLOCK
    agent('check', memory, 1)
    done = guestmemfs(instance, 'dump', path)
    assert done.returncode == 0 and len(done.stdout) == BLOCK
    assert done.stdout[:8] == bytes.fromhex(agent('peek', memory, 0)[0])[::-1]


@pytest.mark.parametrize('existing', [False, True], ids=['new', 'existing'])
def test_load_into_a_pool_that_is_full(make_instance, user, existing):
    instance = make_instance(user=user, size='192M').start()  # load goes by steps of 64 MiB: the third one fails
    before = ask(instance, 'status', instance.mount)
    path = instance.path('f')
    if existing:
        make(instance, 'f', BLOCK)
    with open('/dev/zero', 'rb') as zeros:
        failed(guestmemfs(instance, 'load', path, stdin=zeros), 'no space', path, 'bytes read so far')
    wait_unheld(instance)
    if existing:
        size = size_of(instance, path)
        assert 0 < size <= before['blocks']['free'] * BLOCK
        assert instance.wait_status(lambda s: s['orphans'] == 0)['blocks']['used'] == -(-size // BLOCK)
        as_user(instance.user, os.unlink, path)
    after = instance.wait_status(lambda s: s['blocks']['free'] == before['blocks']['free'])
    assert after['files'] == before['files'] and after['orphans'] == 0
    assert as_user(user, os.listdir, instance.mount) == []


def test_load_and_dump_elsewhere(instance, workdir):
    failed(guestmemfs(instance, 'load', os.path.join(workdir, 'new'), data=b'x'), 'not be on a guestmemfs mount')
    assert not os.path.exists(os.path.join(workdir, 'new'))
    failed(guestmemfs(instance, 'load', instance.region, data=b'x'), 'not a file of a guestmemfs mount')
    failed(guestmemfs(instance, 'dump', instance.region), 'not a file of a guestmemfs mount')
    failed(guestmemfs(instance, 'dump', instance.mount), 'not a file of a guestmemfs mount')
    failed(guestmemfs(instance, 'load', instance.mount, data=b'x'), 'Is a directory')
    failed(guestmemfs(instance, 'load', instance.path('none/f'), data=b'x'), 'No such file')
    failed(guestmemfs(instance, 'dump', instance.path('none')), 'No such file')
    assert instance.fsck().returncode == 1  # the region is in use: also shows that it is still one


def on_terminal(argv, stdin, stdout):
    """What it writes to a terminal as stderr, and its exit status."""
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=slave, cwd='/') as process:
            os.close(slave)
            text = b''
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # EIO: the other side is closed
                    break
                if not part:
                    break
                text += part
            return text.decode(), process.wait(20)
    finally:
        os.close(master)


def test_progress_is_shown_on_a_terminal(instance, workdir):
    source = os.path.join(workdir, 'source')
    with open(source, 'wb') as f:
        f.truncate(4 * BLOCK)
    load = [instance.tools.path('guestmemfs'), 'load', instance.path('f')]
    with open(source, 'rb') as f:
        text, status = on_terminal(load, f, subprocess.DEVNULL)
    assert status == 0
    assert re.search(r'\r.*8M of 8M, 100 %.*\n$', text), repr(text)
    dump = [instance.tools.path('guestmemfs'), 'dump', instance.path('f')]
    with open(source, 'wb') as f:
        text, status = on_terminal(dump, subprocess.DEVNULL, f)
    assert status == 0 and re.search(r'\r.*8M of 8M, 100 %.*\n$', text), repr(text)

    master, slave = pty.openpty()
    done = guestmemfs(instance, 'dump', instance.path('f'), stdout=slave)
    os.set_blocking(master, False)
    assert done.returncode == 2 and b'terminal' in done.stderr
    assert errno_of(os.read, master, 1) == errno.EAGAIN, 'bytes of a guest on a terminal'
    os.close(master)
    os.close(slave)


# ---- run, format, fsck

@pytest.mark.preload
def test_run_has_the_exit_code_of_its_program(tools, workdir):
    plain_file = os.path.join(workdir, 'not-executable')
    with open(plain_file, 'w', encoding='ascii') as f:
        f.write('text')
    assert tools.run('guestmemfs', 'run', '--', 'sh', '-c', 'exit 7').returncode == 7
    assert tools.run('guestmemfs', 'run', 'true').returncode == 0
    assert tools.run('guestmemfs', 'run', 'sh', '-c', 'kill -9 $$').returncode == -signal.SIGKILL
    done = tools.run('guestmemfs', 'run', '--', '/none/such')
    assert done.returncode == 127 and '/none/such' in done.stderr
    assert tools.run('guestmemfs', 'run', '--', 'no-such-program-here').returncode == 127
    done = tools.run('guestmemfs', 'run', '--', plain_file)
    assert done.returncode == 126 and plain_file in done.stderr
    assert tools.run('guestmemfs', 'run').returncode == 2
    done = tools.run('guestmemfs', 'run', '--', 'sh', '-c', 'echo $LD_PRELOAD; echo "$@"', 'sh', '--json', '-x')
    assert re.fullmatch(r'/\S+/libguestmemfs-preload\.so\n--json -x\n', done.stdout)


def own_cgroup():
    """The directory of this process's cgroup of version 2; None if there is none."""
    with open('/proc/self/mountinfo', encoding='utf-8') as table:
        mounts = [line.split() for line in table if ' - cgroup2 ' in line and line.split()[3] == '/']
    with open('/proc/self/cgroup', encoding='utf-8') as lines:
        paths = [line[3:].rstrip('\n') for line in lines if line.startswith('0::')]
    return mounts[0][4] + paths[0].rstrip('/') if mounts and paths else None


def can_make_cgroup():
    """Tried, since nothing else tells: what a container may do about cgroups varies."""
    directory = own_cgroup()
    try:
        path = os.path.join(directory, f'guestmemfs-test-{os.getpid()}')
        os.mkdir(path)
    except (OSError, TypeError):
        return False
    try:
        done = subprocess.run(['sh', '-c', f'echo $$ >{path}/cgroup.procs'], check=False, stderr=subprocess.DEVNULL)
        return done.returncode == 0
    finally:
        os.rmdir(path)


@pytest.mark.preload
@pytest.mark.parametrize('user', [ROOT, PLAIN], ids=['root', 'plain'])
def test_run_gives_its_program_a_cgroup_of_its_own_or_says_why_not(tools, user):
    script = 'grep ^0:: /proc/self/cgroup; cat /proc/$$/cgroup | wc -l; sleep 0 & wait; true'
    done = tools.run('guestmemfs', 'run', '--', 'sh', '-c', script, user=user)
    assert done.returncode == 0, done.stderr
    print(done.stdout, done.stderr)
    if re.search(r'^0::/(.*/)?guestmemfs-run-[0-9]+-[0-9a-f]{8}(\.scope)?$', done.stdout, re.MULTILINE):
        assert done.stderr == ''
    else:
        assert user == PLAIN or not can_make_cgroup(), 'root could have made one'
        assert 'sh gets no cgroup of its own: ' in done.stderr and 'revoke --kill' in done.stderr
    done = tools.run('guestmemfs', 'run', '--same-cgroup', 'grep', '^0::', '/proc/self/cgroup', user=user)
    assert 'guestmemfs-run' not in done.stdout and done.stderr == ''


@pytest.fixture
def parent():
    """A cgroup for what guestmemfs run makes: whoever else runs it would remove what is left over there."""
    if not can_make_cgroup() or os.path.exists('/run/systemd/system'):
        pytest.skip('no cgroup of version 2 can be made here, or systemd makes them')
    path = os.path.join(own_cgroup(), f'guestmemfs-test-{os.getpid()}')
    os.mkdir(path)
    yield path
    for name in os.listdir(path):
        if os.path.isdir(os.path.join(path, name)):
            os.rmdir(os.path.join(path, name))
    os.rmdir(path)


WHERE = 'grep ^0:: /proc/self/cgroup'


def in_cgroup(parent, *argv):
    """A program that is not alone in there: the shell waits for it."""
    return ['sh', '-c', 'echo $$ >"$0/cgroup.procs"; "$@"; exit $?', parent, *argv]


@pytest.mark.preload
def test_who_is_alone_in_a_cgroup_stays_there(tools, parent):
    """As the program of a unit is; and a cgroup that is empty goes when the next one is made."""
    run = tools.path('guestmemfs')
    # grep is the second process in the first cgroup, but alone once exec has replaced the shell.
    done = tools.run(*in_cgroup(parent, run, 'run', '--', 'sh', '-c', f'{WHERE}; exec {run} run {WHERE}'))
    first, second = done.stdout.split()
    assert first == second and done.stderr == ''
    left_over = os.path.join(parent, os.path.basename(first))
    assert os.path.isdir(left_over)
    third = tools.run(*in_cgroup(parent, run, 'run', '--', 'sh', '-c', WHERE)).stdout.strip()
    assert third != first and not os.path.exists(left_over)


@pytest.mark.preload
def test_many_that_run_at_once_get_a_cgroup_each(tools, parent):
    """What others have just made looks like what they have left over; who finds his own removed makes it again."""
    script = f'for n in $(seq 40); do {tools.path("guestmemfs")} run {WHERE} & done; wait'
    done = tools.run(*in_cgroup(parent, 'sh', '-c', script))
    assert done.stderr == ''
    assert len(set(re.findall('/guestmemfs-run-[0-9]+-[0-9a-f]{8}$', done.stdout, re.MULTILINE))) == 40


def test_wrong_usage_is_told_apart_from_failure(tools):
    for words in ([], ['nonsense'], ['status'], ['status', '/a', '/b'], ['status', '--nonsense', '/a'], ['load'],
                  ['dump'], ['ls'], ['extents'], ['format', '--region', 'file:/x', 'word'],
                  ['format', '--region', 'file:/x', '--max-files', '0'], ['fsck', '--region']):
        done = tools.run('guestmemfs', *words)
        assert done.returncode == 2 and done.stderr and not done.stdout, words
    for words in (['--help'], ['--version'], *([command, '--help'] for command in (
            'format', 'status', 'ls', 'extents', 'load', 'dump', 'run', 'fsck', 'export', 'unexport', 'revoke', 'freeze', 'thaw', 'token',
            'upgrade', 'doctor', 'kexec'))):
        done = tools.run('guestmemfs', *words)
        assert done.returncode == 0 and done.stdout and not done.stderr, words


def test_fsck_of_a_clean_region_and_of_one_in_use(instance, tools):
    make(instance, 'f', BLOCK)
    os.mkdir(instance.path('d'))
    failed(instance.fsck(), instance.region)
    assert instance.status()['files']['count'] == 3
    instance.stop()
    before = digest(instance.region)
    done = instance.fsck()
    assert done.returncode == 0 and done.stdout.endswith(': clean\n') and not done.stderr
    assert 'looked at 3 files and directories, 2 entries, 1 extents' in done.stdout
    done = tools.run('guestmemfs', 'fsck', '--region', f'file:{instance.region}', '--json')
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer['clean'] is True and answer['errors'] == 0
    assert (answer['inodes'], answer['entries'], answer['extents']) == (3, 2, 1)
    assert digest(instance.region) == before, 'fsck changes nothing'
    failed(tools.run('guestmemfs', 'fsck', '--region', 'file:/dev/shm/none-such'), '/dev/shm/none-such')


def test_format_makes_a_pool_and_spares_what_is_there(make_instance, tools, workdir):
    region = os.path.join(workdir, 'region')
    spec = f'file:{region},size=64M'
    done = tools.run('guestmemfs', 'format', '--region', spec, '--label', 'for people', '--max-files', 100)
    assert done.returncode == 0 and 'for people' in done.stdout and 'for up to 100 files' in done.stdout, done.stderr
    before = digest(region)
    failed(tools.run('guestmemfs', 'format', '--region', spec), region, '--force')
    assert digest(region) == before, 'a refusal that has written'
    foreign = os.path.join(workdir, 'foreign')
    with open(foreign, 'wb') as f:
        f.write(b'somebody needs this' * 100)
        f.truncate(64 << 20)
    text = failed(tools.run('guestmemfs', 'format', '--region', f'file:{foreign}'), foreign, '--force')
    assert region not in text
    with open(foreign, 'rb') as f:
        assert f.read(19) == b'somebody needs this'

    uuid = re.search(r'^uuid +(\S+)$', done.stdout, re.MULTILINE)[1]
    instance = make_instance()
    os.rename(region, instance.region)
    instance.start()
    status = instance.status()
    assert (status['uuid'], status['label'], status['files']['max']) == (uuid, 'for people', 100)
    for n in range(99):
        os.mkdir(instance.path(str(n)))
    assert errno_of(os.mkdir, instance.path('one too many')) == errno.ENOSPC
    assert os.statvfs(instance.mount).f_ffree == 0

    failed(tools.run('guestmemfs', 'format', '--region', f'file:{instance.region}', '--force'), instance.region)
    os.rmdir(instance.path('0'))
    instance.stop()
    done = tools.run('guestmemfs', 'format', '--region', f'file:{instance.region}', '--force')
    assert done.returncode == 0 and uuid not in done.stdout
    instance.restart()
    assert os.listdir(instance.mount) == []


def test_format_that_fails_leaves_no_file(tools, workdir):
    region = os.path.join(workdir, 'small')
    failed(tools.run('guestmemfs', 'format', '--region', f'file:{region},size=4M'), region, 'too small')
    assert not os.path.exists(region)


@pytest.mark.preload
def test_killing_the_cgroup_of_a_program_hits_all_of_it_and_nobody_else(tools):
    if not can_make_cgroup() or not os.path.exists(f'{own_cgroup()}/cgroup.procs'):
        pytest.skip('no cgroup of version 2 can be made here')
    script = 'sleep 100 & echo $!; grep ^0:: /proc/self/cgroup; wait'
    with subprocess.Popen([tools.path('guestmemfs'), 'run', '--', 'sh', '-c', script], stdout=subprocess.PIPE,
                          text=True) as program:
        pid, path = int(program.stdout.readline()), program.stdout.readline()[3:].strip()
        directory = os.path.join(own_cgroup(), os.path.basename(path))
        if not os.path.exists(f'{directory}/cgroup.kill'):
            program.kill()
            os.kill(pid, signal.SIGKILL)
            pytest.skip('this kernel has no cgroup.kill, or systemd has made the cgroup elsewhere')
        with open(f'{directory}/cgroup.kill', 'w', encoding='ascii') as kill:
            kill.write('1')
        assert program.wait(20) == -signal.SIGKILL
    assert wait_until(lambda: is_gone(pid), 20)
    assert wait_until(lambda: not os.path.exists(directory) or rmdir(directory), 20)


def rmdir(path):
    """True when it has gone; a cgroup is in use until the last of its processes has been waited for."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
