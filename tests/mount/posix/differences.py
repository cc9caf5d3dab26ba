# SPDX-License-Identifier: MIT
"""Where a mount does not do what tmpfs does, and why."""

# Everywhere: the kernel asks a FUSE server for no atime when a directory is listed or a symlink read, so these keep theirs.
ATIME_OF = ('dir', 'symlink')

# (call, set-up): (effect on the mount, why)
ROWS = {
    ('open . RDWR+TMPFILE 600', ''): ('EOPNOTSUPP', 'FUSE has a request for it from Linux 6.2 on only'),
    ('truncate a 4k', 'file a 644 4k'): ('ok a:times=mc', 'as on ext4, a truncate to the same size is one'),
    **{(f'open a RDWR; fallocate 0 0 4M; {rest}', 'file a 644 0'): (
        effect, 'blocks are memory as soon as they are allocated, and a guest may have written them unseen: they are data')
       for rest, effect in {'lseek 0 HOLE': 'ok =4194304', 'lseek 1 DATA': 'ok =1',
                            'fallocate PUNCH+KEEP 2M 2M; lseek 0 HOLE': 'ok =2097152',
                            'fallocate PUNCH+KEEP 0 2M; lseek 0 DATA': 'ok =2097152'}.items()},
}


def comparable(seen):
    """What was seen without what differs everywhere."""
    objects = {name: dict(facts) for name, facts in seen['objects'].items()}
    for facts in objects.values():
        if facts['type'] in ATIME_OF and facts['times'] != 'new':
            facts['times'] = facts['times'].replace('a', '')
    return {**seen, 'objects': objects}
