# SPDX-License-Identifier: MIT
"""A pmem region: what format makes of a raw namespace, what it leaves alone, and a pool that is there after a kexec."""

import json
import subprocess

from case import Case
from damage import journal_lost, superblocks_lost
from dax import BLOCK, device_names, is_bound
from lab import HANGS, read_text
from product import unmount

MOUNT = '/mnt/gm'


def namespace(lab):
    [found] = json.loads(lab.run('ndctl', 'list', '-N', '-i'))
    return found


def refused(lab, sentence, *argv):
    text = lab.run(*argv, fails=True)
    lab.check(sentence in text, f'{" ".join(argv)} is refused: {sentence}', text)


def check_foreign(lab):
    """A file system on the raw namespace, then an fsdax one."""
    lab.run('mkfs.ext2', '-q', '/dev/pmem0')
    refused(lab, 'is not blank', 'guestmemfs', 'format', '--region', 'pmem:auto')
    lab.run('fsck.ext2', '-n', '-f', '/dev/pmem0')
    lab.run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', 'fsdax')
    uuid = namespace(lab)['uuid']
    refused(lab, 'there is no pmem namespace', 'guestmemfs', 'format', '--region', 'pmem:auto')
    refused(lab, 'fsdax namespace', 'guestmemfs', 'format', '--region', 'pmem:namespace0.0')
    lab.check(namespace(lab)['uuid'] == uuid, 'the fsdax namespace is as it was')
    lab.run('mkfs.ext2', '-q', '/dev/pmem0')
    lab.run('mount', '/dev/pmem0', '/mnt')
    refused(lab, 'is in use', 'guestmemfs', 'format', '--region', 'pmem:namespace0.0', '--force')
    lab.run('umount', '/mnt')


def make(lab):
    refused(lab, 'is no devdax namespace yet', 'guestmemfs-fuse', '/mnt')
    lab.run('guestmemfs', 'format')
    lab.claim(device_names() == ['dax0.0'] and is_bound('dax0.0'), 'format makes a raw namespace devdax')
    made = namespace(lab)
    lab.check((made['mode'], made['map'], made['align']) == ('devdax', 'mem', BLOCK),
              'with pages of 2M, and struct pages in RAM', str(made))
    refused(lab, 'too small for pages of 1G', 'guestmemfs', 'format', '--force', '--region', 'pmem:auto,align=1G')
    lab.check(namespace(lab)['uuid'] == made['uuid'], 'and nothing is undone before')
    lab.run('guestmemfs', 'fsck')
    lab.run('ndctl', 'destroy-namespace', '-f', 'namespace0.0')
    lab.run('ndctl', 'enable-namespace', 'namespace0.0')
    check_foreign(lab)
    lab.run('guestmemfs', 'format', '--region', 'pmem:namespace0.0', '--force')
    made = namespace(lab)
    lab.check(made['mode'] == 'devdax' and made['align'] == BLOCK, '--force makes devdax of it')
    lab.run('mkdir', '-p', MOUNT)
    lab.run('guestmemfs-fuse', '--region', 'pmem:/dev/dax0.0', MOUNT)
    lab.run('truncate', '-s', '100M', f'{MOUNT}/vm0')
    lab.remember(uuid=made['uuid'], tree=lab.run('ls', '-l', '--full-time', MOUNT))
    token = lab.run('guestmemfs', 'token', MOUNT).strip()
    unmount(lab, MOUNT)
    lab.kexec(token=token)


def without_memory(lab):
    """libndctl ends by a signal where it has none, so it is asked only when what it takes is there."""
    outcomes = set()
    for kilobytes in range(256, 4096, 128):
        done = subprocess.run(['prlimit', f'--data={kilobytes << 10}', 'guestmemfs', 'fsck', '--region', 'pmem:auto'], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANGS, check=False)
        outcomes.add((done.returncode, done.stdout if done.returncode else ''))
    lab.say(f'{outcomes}')
    lab.check({code for code, _ in outcomes} <= {0, 1, 127}, 'without memory no command ends by a signal', f'{outcomes}')
    lab.check(any(code == 1 and 'Cannot allocate memory' in said for code, said in outcomes), 'but with a sentence', f'{outcomes}')


def again(lab):
    lab.check(namespace(lab)['uuid'] == lab.recall('uuid'), 'after the kexec the namespace is the same')
    lab.run('guestmemfs', 'fsck')
    without_memory(lab)
    lab.run('mkdir', '-p', MOUNT)
    lab.run('guestmemfs-fuse', MOUNT)
    lab.check(lab.run('ls', '-l', '--full-time', MOUNT) == lab.recall('tree'), 'and the files are there')
    status = json.loads(lab.run('guestmemfs', 'status', '--json', MOUNT))
    lab.check([r['kind'] for r in status['regions']] == ['pmem'], 'found without --region')
    unmount(lab, MOUNT)
    lab.check('Soft Reserved' not in read_text('/proc/iomem'), 'there was no other region')
    superblocks_lost(lab, lambda: 'dax0.0', MOUNT)
    journal_lost(lab, 'dax0.0', MOUNT)


CASE = Case(about='a pmem region: format makes the namespace, spares what others have made, and the pool survives a kexec',
            boots=(make, again), cmdline='memmap=3G!4G', memory='8G', needs=('product',))
