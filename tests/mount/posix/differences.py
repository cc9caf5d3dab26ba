# SPDX-License-Identifier: MIT
"""Where a mount does not do what tmpfs does, and why."""

# Everywhere: no access changes an atime (docs/files.md); the kernel asks a FUSE server for none when a directory is listed or
# a symlink or a file read.
ATIME_OF = ('dir', 'symlink')
CONTENT_ATIME_OF = ATIME_OF + ('file',)

# (call, set-up): (effect on the mount, why)
ROWS = {
    ('open . RDWR+TMPFILE 600', ''): ('EOPNOTSUPP', 'FUSE has a request for it from Linux 6.2 on only'),
    ('truncate a 4k', 'file a 644 4k'): ('ok a:times=mc', 'as on ext4, a truncate to the same size is one'),
    ('removexattr a system.posix_acl_access', 'file a'): ('ok a:times=', 'as on ext4, the end of a list that is not there changes nothing'),
    **{(f'open a RDWR; fallocate 0 0 4M; {rest}', 'file a 644 0'): (
        effect, 'blocks are memory as soon as they are allocated, and a guest may have written them unseen: they are data')
       for rest, effect in {'lseek 0 HOLE': 'ok =4194304', 'lseek 1 DATA': 'ok =1',
                            'fallocate PUNCH+KEEP 2M 2M; lseek 0 HOLE': 'ok =2097152',
                            'fallocate PUNCH+KEEP 0 2M; lseek 0 DATA': 'ok =2097152'}.items()},
}

# Of files with content.
CONTENT_ROWS = {
    ('open a RDWR; pwrite 9223372036854775806 x', 'file a'): ('EFBIG', 'a size is 2^62 at the most, so that sums of sizes are none beyond'),
    ('open a RDWR; fallocate 0 0 8k; lseek 0 DATA', 'file a'): (
        'ok =0', 'units are data as soon as they are allocated; nothing else is noted of them'),
}


def comparable(seen, atime_of=ATIME_OF):
    """What was seen without what differs everywhere."""
    objects = {name: dict(facts) for name, facts in seen['objects'].items()}
    for facts in objects.values():
        if facts['type'] in atime_of and facts['times'] != 'new':
            facts['times'] = facts['times'].replace('a', '')
    return {**seen, 'objects': objects}
