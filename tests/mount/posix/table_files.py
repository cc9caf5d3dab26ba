# SPDX-License-Identifier: MIT
"""Open files and directories: seek, fallocate, locks, listings; extended attributes. What a row is, row.py says."""

TABLE = '''
lseek(2)
open a RDONLY; lseek 0 END          | file a 644 4k                | ok =4096
open a RDONLY; lseek 10 SET         | file a 644 4k                | ok =10
open a RDONLY; lseek -1 SET         | file a                       | EINVAL
open a RDONLY; lseek 8k SET         | file a 644 4k                | ok =8192
open a RDONLY; lseek 0 DATA         | file a 644 0                 | ENXIO
open a RDONLY; lseek 0 HOLE         | file a 644 0                 | ENXIO
open a RDONLY; lseek 4k HOLE        | file a 644 4k                | ENXIO
open a RDONLY; lseek 4k DATA        | file a 644 4k                | ENXIO
open a RDONLY; lseek -1 HOLE        | file a 644 4k                | ENXIO
open a RDWR; fallocate 0 0 4M; lseek 0 HOLE | file a 644 0         | ok =0
open a RDWR; fallocate 0 0 4M; lseek 1 DATA | file a 644 0         | ENXIO
open a RDWR; fallocate 0 0 4M; fallocate PUNCH+KEEP 2M 2M; lseek 0 HOLE | file a 644 0 | ok =0
open a RDWR; fallocate 0 0 4M; fallocate PUNCH+KEEP 0 2M; lseek 0 DATA | file a 644 0 | ENXIO
open a RDWR; fallocate 0 0 4M; fallocate PUNCH+KEEP 0 4M; lseek 0 DATA | file a 644 0 | ENXIO
open a RDWR; fallocate 0 0 4M; fallocate PUNCH+KEEP 0 4M; lseek 0 HOLE | file a 644 0 | ok =0

fallocate(2)
open a RDWR; fallocate 0 0 4M       | file a                       | ok a:size=4194304 a:times=mc
open a RDWR; fallocate 0 0 1        | file a                       | ok a:size=1
open a RDWR; fallocate 0 0 1        | file a 644 2M                | ok a:size=2097152
open a RDWR; fallocate KEEP 0 4M    | file a                       | ok a:size=0
open a RDWR; fallocate PUNCH+KEEP 0 2M | file a 644 4M             | ok a:size=4194304 a:times=mc
open a RDWR; fallocate PUNCH+KEEP 8M 2M | file a 644 4M            | ok a:size=4194304
open a RDWR; fallocate PUNCH 0 2M   | file a 644 4M                | EOPNOTSUPP
open a RDWR; fallocate COLLAPSE 0 2M | file a 644 4M               | EOPNOTSUPP
open a RDWR; fallocate INSERT 0 2M  | file a 644 4M                | EOPNOTSUPP
open a RDWR; fallocate ZERO 0 2M    | file a 644 4M                | EOPNOTSUPP
open a RDWR; fallocate UNSHARE 0 2M | file a 644 4M                | EOPNOTSUPP
open a RDWR; fallocate 0 0 0        | file a                       | EINVAL
open a RDWR; fallocate 0 -1 1       | file a                       | EINVAL
open a RDWR; fallocate 0 0 -1       | file a                       | EINVAL
open a RDONLY; fallocate 0 0 1      | file a                       | EBADF
open a RDONLY+PATH; fallocate 0 0 1 | file a                       | EBADF
open f RDWR; fallocate 0 0 1        | mknod f fifo                 | ESPIPE
opendir d; fallocate 0 0 1          | dir d                        | EBADF
open a RDWR; fallocate 0 9223372036854775807 1 | file a            | EFBIG
open a RDWR; fallocate 0 0 64T      | file a                       | ENOSPC
open a RDWR; fallocate 0 0 4k       | file a 6755                  | ok a:mode=755 | as plain

fsync(2), flock(2), fcntl(2)
open a RDWR; fsync                  | file a                       | ok
opendir d; fsync                    | dir d                        | ok
open a RDWR; flock EX               | file a                       | ok
open a RDONLY; flock EX             | file a                       | ok
open a RDWR; flock EX; open a RDWR; flock EX | file a              | EAGAIN
open a RDWR; flock EX; open a RDWR; flock SH | file a              | EAGAIN
open a RDWR; flock SH; open a RDWR; flock SH | file a              | ok
open a RDWR; flock EX; flock UN; open a RDWR; flock EX | file a    | ok
open a RDWR; flock EX; close; open a RDWR; flock EX | file a       | ok
opendir d; flock EX                 | dir d                        | ok
open a RDWR; lock EX 0 1            | file a                       | ok
open a RDONLY; lock EX 0 1          | file a                       | EBADF
open a RDONLY; lock SH 0 1          | file a                       | ok
open a WRONLY; lock SH 0 1          | file a                       | EBADF

directories
list d                              | dir d; file d/b; dir d/a; symlink x d/c | ok =a+b+c
list d                              | dir d                        | ok =
list d                              | file d                       | ENOTDIR
list d                              |                              | ENOENT
list d                              | dir d 100                    | EACCES | as plain
list d                              | dir d 400; file d/a          | ok =a | as plain
opendir d; read                     | dir d                        | EISDIR
opendir d; write                    | dir d                        | EBADF
opendir d; open d/x RDWR+CREAT 600; close; flist | dir d; file d/a | ok =a+x
opendir d; unlink d/a; flist        | dir d; file d/a; file d/b    | ok =b

setxattr(2), getxattr(2), listxattr(2), removexattr(2)
setxattr a user.k v                 | file a                       | ok a:times=c
setxattr a user.k EMPTY             | file a                       | ok
setxattr a user.k v CREATE          | file a                       | ok
setxattr a user.k v CREATE          | file a; setxattr a user.k w  | EEXIST
setxattr a user.k v REPLACE         | file a                       | ENODATA
setxattr a user.k v REPLACE         | file a; setxattr a user.k w  | ok
setxattr a user. v                  | file a                       | EINVAL
setxattr a nonsense v               | file a                       | EOPNOTSUPP
setxattr a nonsense.k v             | file a                       | EOPNOTSUPP
setxattr a user.k *65537            | file a                       | E2BIG
setxattr a user.NAME v              |                              | ENOENT
setxattr d user.k v                 | dir d                        | ok d:times=c
setxattr d user.k v                 | dir d 1777; owner d 0 0      | EPERM | as plain
setxattr s user.k v                 | symlink nowhere s            | EPERM
setxattr f user.k v                 | mknod f fifo                 | EPERM
setxattr a user.k v                 | file a 444                   | EACCES | as plain
setxattr a user.k v                 | file a 666; owner a 0 0      | ok | as plain
getxattr a user.k                   | file a; setxattr a user.k value | ok =value a:times=
getxattr a user.k                   | file a; setxattr a user.k v; setxattr a user.k w | ok =w
getxattr a user.k                   | file a; setxattr a user.k EMPTY | ok =
getxattr a user.k                   | file a                       | ENODATA
getxattr a user.k                   |                              | ENOENT
getxattr a user.                    | file a                       | EINVAL
getxattr a nonsense                 | file a                       | EOPNOTSUPP
getxattr a nonsense.k               | file a                       | EOPNOTSUPP
getxattr a system.nonsense          | file a                       | EOPNOTSUPP
getxattr a security.capability      | file a                       | ENODATA
getxattr a trusted.k                | file a; setxattr a trusted.k v | ok =v
getxattr a trusted.k                | file a; setxattr a trusted.k v | ENODATA | as plain
setxattr a trusted.k v              | file a                       | EPERM | as plain
listxattr a                         | file a; setxattr a trusted.k v; setxattr a user.k v | ok =user.k | as plain
getxattr a user.k                   | file a 200; setxattr a user.k v | EACCES | as plain
getxattr f user.k                   | mknod f fifo                 | ENODATA
listxattr a                         | file a; setxattr a user.b v; setxattr a user.a v | ok =user.a+user.b
listxattr a                         | file a                       | ok =
listxattr a                         | file a 0; setxattr a user.a v | ok =user.a | as plain
removexattr a user.k                | file a; setxattr a user.k v  | ok a:times=c
removexattr a user.k                | file a                       | ENODATA
removexattr a user.                 | file a                       | EINVAL
removexattr a nonsense              | file a                       | EOPNOTSUPP
removexattr a system.nonsense       | file a                       | EOPNOTSUPP
removexattr a trusted.k             | file a                       | ENODATA
removexattr a trusted.k             | file a; setxattr a trusted.k v | EPERM | as plain
removexattr a user.k; listxattr a   | file a; setxattr a user.k v; setxattr a user.l w | ok =user.l
removexattr a user.k                | file a 444; setxattr a user.k v | EACCES | as plain
link a b; getxattr b user.k         | file a; setxattr a user.k v  | ok =v
rename a b; getxattr b user.k       | file a; setxattr a user.k v  | ok =v
'''
