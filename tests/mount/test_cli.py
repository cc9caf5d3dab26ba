# SPDX-License-Identifier: MIT
"""The operator's command on a real mount: what goes in comes out, what is held stays, and what it prints is documented."""

import json
import os
import random
import re
import signal
import stat
import subprocess
import time

import pytest

from harness import OTHER, PLAIN, ROOT

MIB = 1 << 20
PROTOCOL = os.path.join(os.path.dirname(__file__), '../../docs/protocol.md')


@pytest.fixture
def large(make_instance):
    """With room for more than one step of load."""
    return make_instance(size='256M').start()


@pytest.fixture
def command(tools):
    """command('load', path, stdin=bytes): runs guestmemfs; output as bytes."""
    def run(*argv, stdin=b'', user=ROOT):
        return subprocess.run([*user.argv(), tools.path('guestmemfs'), *argv], input=stdin, timeout=60, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=user.environment(), cwd='/')

    return run


def hold(agent, path):
    """Maps the beginning of the file, and keeps it mapped."""
    (number,) = agent('open', path, 'rw')
    agent('attach', number)
    agent('map', number, 0, 4096, 'rw')


def start_load(tools, path):
    return subprocess.Popen([tools.path('guestmemfs'), 'load', path], stdin=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize('size', [0, 1, 2 * MIB - 1, 2 * MIB, 64 * MIB, 64 * MIB + 1, 100 * 1000 * 1000])
def test_what_was_loaded_is_dumped(large, command, seed, size):
    data = random.Random(seed).randbytes(size)
    loaded = command('load', large.path('f'), stdin=data)
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, b'', b'')
    st = os.stat(large.path('f'))
    assert (st.st_size, st.st_mode & 0o7777) == (size, 0o600)
    dumped = command('dump', large.path('f'))
    assert (dumped.returncode, dumped.stderr) == (0, b'')
    assert dumped.stdout == data


def test_load_takes_input_that_comes_in_pieces(instance, command, tools):
    with start_load(tools, instance.path('f')) as load:
        for piece in (b'a', b'bc' * 5000, b'd'):
            load.stdin.write(piece)
            load.stdin.flush()
            time.sleep(0.05)
        load.stdin.close()
        assert load.wait(30) == 0
    assert command('dump', instance.path('f')).stdout == b'a' + b'bc' * 5000 + b'd'


def test_load_replaces_a_longer_file_that_nobody_holds(instance, command):
    assert command('load', instance.path('f'), stdin=b'x' * (5 * MIB)).returncode == 0
    os.chmod(instance.path('f'), 0o640)
    instance.wait_status(lambda status: not status['grants'])
    assert command('load', instance.path('f'), stdin=b'short').returncode == 0
    assert command('dump', instance.path('f')).stdout == b'short'
    assert os.stat(instance.path('f')).st_mode & 0o7777 == 0o640
    # what lay behind the new end is not to be seen when the file grows again
    os.truncate(instance.path('f'), 4 * MIB)
    assert command('dump', instance.path('f')).stdout == b'short' + bytes(4 * MIB - 5)


def test_load_leaves_a_held_file_alone(instance, command, make_agent, seed):
    data = random.Random(seed).randbytes(3 * MIB)
    assert command('load', instance.path('f'), stdin=data).returncode == 0
    hold(make_agent(), instance.path('f'))
    refused = command('load', instance.path('f'), stdin=b'other')
    assert refused.returncode == 1
    assert b'is held: some process maps its memory' in refused.stderr
    assert command('dump', instance.path('f')).stdout == data


def test_load_of_too_much_leaves_nothing_behind(large, command):
    refused = command('load', large.path('f'), stdin=bytes(256 * MIB))
    assert refused.returncode == 1
    assert b'no space for' in refused.stderr
    assert not os.path.exists(large.path('f'))
    large.wait_status(lambda status: status['blocks']['used'] == 0)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_load_that_is_interrupted_leaves_nothing_behind(instance, tools, number):
    with start_load(tools, instance.path('f')) as load:
        load.stdin.write(b'x' * 100000)
        load.stdin.flush()
        while not os.path.exists(instance.path('f')):
            time.sleep(0.01)
        load.send_signal(number)
        assert load.wait(20) == -number
        assert b'interrupted' in load.stderr.read()
    assert not os.path.exists(instance.path('f'))


def test_dump_into_a_pipe_that_is_closed(instance, tools, command):
    assert command('load', instance.path('f'), stdin=bytes(8 * MIB)).returncode == 0
    with subprocess.Popen([tools.path('guestmemfs'), 'dump', instance.path('f')],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        assert dump.stdout.read(10) == bytes(10)
        dump.stdout.close()
        assert dump.wait(20) == 1
        assert b'nobody reads standard output' in dump.stderr.read()


def test_ls_shows_the_tree_as_the_kernel_does(instance, command):
    for path in ('b', 'dir/a', 'dir/sub/c', 'dirt'):
        os.makedirs(os.path.dirname(instance.path(path)), exist_ok=True)
        assert command('load', instance.path(path), stdin=path.encode()).returncode == 0
    os.chmod(instance.path('dirt'), 0o4711)

    def listed(path):
        return json.loads(command('ls', path, '--json').stdout)['files']

    files = listed(instance.mount)
    assert [f['path'] for f in files] == ['/b', '/dir', '/dir/a', '/dir/sub', '/dir/sub/c', '/dirt']
    for f in files:
        st = os.lstat(instance.mount + f['path'])
        assert (f['ino'], f['mode'], f['uid'], f['gid'], f['size']) == (
            st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size)
        assert f['type'] == ('directory' if os.path.isdir(instance.mount + f['path']) else 'file')
    assert [f['path'] for f in listed(instance.path('dir'))] == ['/dir/a', '/dir/sub', '/dir/sub/c']
    assert [f['path'] for f in listed(instance.path('dir/sub'))] == ['/dir/sub/c']
    assert [f['path'] for f in listed(instance.path('b'))] == ['/b']
    table = command('ls', instance.mount).stdout.decode().splitlines()
    assert table[0].split() == ['MODE', 'LINKS', 'OWNER', 'GROUP', 'SIZE', 'EXTENTS', 'HELD', 'PATH']
    assert [line.split()[-1] for line in table[1:]] == [f['path'] for f in files]
    assert table[-1].startswith('-rws--x--x')


def test_a_name_that_could_steer_a_terminal_does_not(instance, command):
    with open(os.path.join(instance.mount.encode(), b'\x1b[2J\xff'), 'xb'):
        pass
    table = command('ls', instance.mount).stdout
    assert b'\x1b' not in table and rb'/\033[2J' in table
    assert json.loads(command('ls', instance.mount, '--json').stdout)['files'][0]['path'] == '/\x1b[2J\ufffd'


def test_extents_cover_the_file(instance, command):
    assert command('load', instance.path('f'), stdin=b'x' * (5 * MIB)).returncode == 0
    answer = json.loads(command('extents', instance.path('f'), '--json').stdout)
    assert (answer['ino'], answer['size']) == (os.stat(instance.path('f')).st_ino, 5 * MIB)
    at = 0
    with open(instance.region, 'rb') as region:
        for e in answer['extents']:
            assert e['file_offset'] == at and e['clean'] and e['region'] == 0
            region.seek(e['region_offset'])
            wanted = min(e['length'], 5 * MIB - at)
            assert region.read(e['length']) == b'x' * wanted + bytes(e['length'] - wanted)
            at += e['length']
    assert at == 6 * MIB


def documented_keys(section):
    """The keys of a table of docs/protocol.md, as it writes them: 'pids.worker', 'files[].path'."""
    with open(PROTOCOL, encoding='utf-8') as text:
        part = text.read().split(f'### {section}:')[1].split('\n### ')[0]
    rows = re.findall(r'^\| (`[^|]*) \|', part, re.M)
    return {key.removesuffix('[]') for row in rows for key in re.findall(r'`([^`]+)`', row)}


def used_keys(value, prefix=''):
    keys = set()
    for key, inner in value.items():
        name = f'{prefix}{key}'
        if isinstance(inner, dict):
            keys |= used_keys(inner, f'{name}.')
            continue
        keys.add(name)
        if isinstance(inner, list):
            keys |= set().union(*(used_keys(element, f'{name}[].') for element in inner))
    return keys


def test_json_has_the_documented_keys_and_no_others(instance, command, make_agent):
    assert command('load', instance.path('f'), stdin=b'x').returncode == 0
    hold(make_agent(), instance.path('f'))
    os.symlink('f', instance.path('s'))
    os.mknod(instance.path('n'), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mkdir(instance.path('d'))
    os.setxattr(instance.path('d'), 'user.guestmemfs.io', b'1')
    with open(instance.path('d', 'c'), 'wb') as f:
        f.write(b'content')
    for section, argv in (('STATUS', ('status', instance.mount)), ('FILES', ('ls', instance.mount)),
                          ('EXTENTS', ('extents', instance.path('f')))):
        answer = json.loads(command(*argv, '--json').stdout)
        wanted = documented_keys(section)
        if section == 'FILES':
            wanted.add('files')
        assert used_keys(answer) == wanted, section


def test_only_root_and_the_owner_may_ask(make_instance, command):
    instance = make_instance().start()
    assert command('status', instance.mount, user=ROOT).returncode == 0
    refused = command('status', instance.mount, user=OTHER)
    assert refused.returncode == 1 and b'that is for root and the user who runs the mount' in refused.stderr


def test_a_plain_user_has_it_all_to_himself(make_instance, command):
    instance = make_instance(user=PLAIN).start()
    assert command('load', instance.path('f'), stdin=b'mine', user=PLAIN).returncode == 0
    assert command('dump', instance.path('f'), user=PLAIN).stdout == b'mine'
    assert command('status', instance.mount, user=PLAIN).returncode == 0


def test_offline_commands_are_locked_out_while_it_serves(instance, command):
    spec = f'file:{instance.region}'
    for argv in (('fsck', '--region', spec), ('format', '--region', spec, '--force')):
        refused = command(*argv)
        assert refused.returncode == 1 and b'is in use by another' in refused.stderr, argv
    instance.stop()
    assert command('fsck', '--region', spec).returncode == 0


@pytest.mark.preload
def test_run_gives_a_program_the_memory(instance, command):
    assert command('load', instance.path('f'), stdin=b'seen').returncode == 0
    script = f'''
import mmap
with open({instance.path("f")!r}, "r+b") as f, mmap.mmap(f.fileno(), 4) as m:
    print(m[:], flush=True)
    m[:] = b"left"
'''
    done = command('run', '--', '/usr/bin/python3', '-c', script)
    assert (done.returncode, done.stdout) == (0, b"b'seen'\n"), done.stderr
    assert command('dump', instance.path('f')).stdout == b'left'
