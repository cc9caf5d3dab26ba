# SPDX-License-Identifier: MIT
"""
The attributes that set policies (docs/attributes.md): who may set them, to what, and what they then refuse. tmpfs has none
of them, so these rows are acted out on a mount alone; what must fail must change nothing there, either. QUOTA, PAGES and IO
stand for their names. What a row is, row.py says.
"""

TABLE = '''
quota: who may set it, on what, to what
setxattr d QUOTA 8M                 | dir d                        | ok d:times=c .:times=
setxattr d QUOTA 8M                 | dir d                        | EPERM | as plain
setxattr d QUOTA 8M                 | dir d; owner d 0 0           | EACCES | as plain
setxattr d QUOTA 4M                 | dir d; setxattr d QUOTA 8M   | EPERM | as plain
removexattr d QUOTA                 | dir d; setxattr d QUOTA 8M   | EPERM | as plain
removexattr d QUOTA                 | dir d; setxattr d QUOTA 8M   | ok d:times=c
removexattr d QUOTA                 | dir d                        | ENODATA
removexattr a QUOTA                 | file a                       | ENODATA
getxattr d QUOTA                    | dir d; setxattr d QUOTA 8M   | ok =8388608 | as plain
getxattr d QUOTA                    | dir d                        | ENODATA
getxattr d/e QUOTA                  | dir d; setxattr d QUOTA 8M; dir d/e | ENODATA
listxattr d                         | dir d; setxattr d QUOTA 8M   | ok =
setxattr a QUOTA 8M                 | file a                       | ENOTDIR
setxattr f QUOTA 8M                 | mknod f fifo                 | EPERM
setxattr s QUOTA 8M                 | symlink x s                  | EPERM
setxattr d QUOTA 0                  | dir d                        | EINVAL
setxattr d QUOTA -1                 | dir d                        | EINVAL
setxattr d QUOTA EMPTY              | dir d                        | EINVAL
setxattr d QUOTA 4m                 | dir d                        | EINVAL
setxattr d QUOTA 9223372036854775808 | dir d                       | EINVAL
setxattr d QUOTA 0                  | dir d                        | EPERM | as plain
setxattr d QUOTA 8M CREATE          | dir d; setxattr d QUOTA 8M   | EEXIST
setxattr d QUOTA 8M REPLACE         | dir d                        | ENODATA
setxattr d QUOTA 4M; getxattr d QUOTA | dir d; setxattr d QUOTA 8M | ok =4194304
setxattr d QUOTA 4M                 | dir d; dir e; file d/a; link d/a e/a | EXDEV
setxattr d QUOTA 4M                 | dir d; file d/a; link d/a d/b | ok
setxattr d QUOTA 1                  | dir d; file d/a 644 4M       | ok d/a:size=4194304
setxattr d/e QUOTA 8M               | dir d; setxattr d QUOTA 4M; dir d/e | ok

quota: what it shows
room d                              | dir d; setxattr d QUOTA 8M   | ok =8388608,8388608
room d/e                            | dir d; setxattr d QUOTA 8M; dir d/e; file d/a 644 4M | ok =8388608,4194304
room d/a                            | dir d; setxattr d QUOTA 8M; file d/a 644 4M | ok =8388608,4194304
room d                              | dir d; file d/a 644 4M; setxattr d QUOTA 2M | ok =2097152,0
room d                              | dir d; setxattr d QUOTA 1    | ok =2097152,0
room d/e                            | dir d; setxattr d QUOTA 4M; dir d/e; setxattr d/e QUOTA 8M | ok =4194304,4194304
room d                              | dir d; setxattr d QUOTA 8M; file d/a 644 8M; truncate d/a 2M | ok =8388608,6291456

quota: what it refuses
truncate d/a 4M                     | dir d; setxattr d QUOTA 4M; file d/a | ok d/a:size=4194304
truncate d/a 4194305                | dir d; setxattr d QUOTA 4M; file d/a | EDQUOT
truncate d/a 6M                     | dir d; setxattr d QUOTA 4M; file d/a | EDQUOT | as plain
truncate d/a 1                      | dir d; setxattr d QUOTA 1M; file d/a | EDQUOT
truncate d/a 6M                     | dir d; setxattr d QUOTA 4M; file d/a 644 4M | EDQUOT
truncate d/a 2M                     | dir d; file d/a 644 6M; setxattr d QUOTA 1M | ok d/a:size=2097152
truncate d/e/a 6M                   | dir d; setxattr d QUOTA 4M; dir d/e; setxattr d/e QUOTA 8M; file d/e/a | EDQUOT
truncate d/e/a 6M                   | dir d; setxattr d QUOTA 8M; dir d/e; setxattr d/e QUOTA 4M; file d/e/a | EDQUOT
open d/a RDWR; fallocate 0 0 6M     | dir d; setxattr d QUOTA 4M; file d/a | EDQUOT
open d/a RDWR; fallocate KEEP 0 6M  | dir d; setxattr d QUOTA 4M; file d/a | EDQUOT
open d/a RDWR; fallocate PUNCH+KEEP 0 2M; truncate d/b 2M | dir d; setxattr d QUOTA 4M; file d/a 644 4M; file d/b | ok d/b:size=2097152
open d/a RDWR+CREAT 644             | dir d; setxattr d QUOTA 2M; file d/b 644 2M | ok d/a:size=0
mkdir d/e                           | dir d; setxattr d QUOTA 1    | ok
open d/a RDWR+TRUNC                 | dir d; file d/a 644 6M; setxattr d QUOTA 1M | ok d/a:size=0
truncate d/b 4M                     | dir d; setxattr d QUOTA 4M; file d/a 644 4M; unlink d/a; file d/b | ok
open d/a RDWR; unlink d/a; truncate d/b 4M | dir d; setxattr d QUOTA 4M; file d/a 644 4M; file d/b | EDQUOT

quota: names that come and go
rename a d/a                        | dir d; setxattr d QUOTA 4M; file a 644 4M | ok a:gone d/a:size=4194304
rename a d/a                        | dir d; setxattr d QUOTA 4M; file a 644 6M | EDQUOT
rename a d/b                        | dir d; setxattr d QUOTA 4M; file a 644 4M; file d/b 644 4M | ok d/b:size=4194304
rename a d/b                        | dir d; setxattr d QUOTA 4M; file a 644 6M; file d/b 644 4M | EDQUOT
rename a d/b EXCHANGE               | dir d; setxattr d QUOTA 4M; file a 644 4M; file d/b 644 2M | ok d/b:size=4194304 a:size=2097152
rename a d/b EXCHANGE               | dir d; setxattr d QUOTA 4M; file a 644 6M; file d/b 644 2M | EDQUOT
rename e d/e                        | dir d; setxattr d QUOTA 4M; dir e; file e/a 644 6M | EDQUOT
rename e d/e                        | dir d; setxattr d QUOTA 4M; dir e; file e/a 644 4M | ok e:gone
rename d/a b                        | dir d; setxattr d QUOTA 4M; file d/a 644 4M | ok b:size=4194304
rename d/a d/e/a                    | dir d; setxattr d QUOTA 4M; dir d/e; file d/a 644 4M | ok
rename d/a d/b                      | dir d; file d/a 644 6M; setxattr d QUOTA 4M | ok
rename a d/a                        | dir d; setxattr d QUOTA 1; file a | ok
rename d/a e/a                      | dir d; dir e; setxattr d QUOTA 4M; file d/a; link d/a d/b | EXDEV
rename d/e f                        | dir d; setxattr d QUOTA 4M; dir d/e; file d/a; link d/a d/e/a | EXDEV
link d/a b                          | dir d; setxattr d QUOTA 4M; file d/a | EXDEV
link a d/b                          | dir d; setxattr d QUOTA 4M; file a | EXDEV
link d/a d/e/b                      | dir d; setxattr d QUOTA 4M; dir d/e; file d/a 644 4M | ok d/a:nlink=2
link d/a d/e/b                      | dir d; setxattr d QUOTA 4M; dir d/e; setxattr d/e QUOTA 4M; file d/a | EXDEV
link d/f g                          | dir d; setxattr d QUOTA 4M; mknod d/f fifo | ok d/f:nlink=2

quota: files with content, in units of 4 KiB
open d/a RDWR; pwrite 4k x          | dir d; setxattr d IO 1; setxattr d QUOTA 4K; file d/a | ok d/a:size=4097
open d/a RDWR; pwrite 4k x; pwrite 0 x | dir d; setxattr d IO 1; setxattr d QUOTA 4K; file d/a | EDQUOT
open d/a RDWR; pwrite 0 x           | dir d; setxattr d IO 1; setxattr d QUOTA 1; file d/a | EDQUOT
open d/a RDWR+APPEND; write xyz; write xyz | dir d; setxattr d IO 1; setxattr d QUOTA 4K; file d/a 644 4095 | EDQUOT
open d/a RDWR; fallocate 0 0 8k     | dir d; setxattr d IO 1; setxattr d QUOTA 4K; file d/a | EDQUOT
truncate d/a 1T                     | dir d; setxattr d IO 1; setxattr d QUOTA 4K; file d/a | ok d/a:size=1099511627776
open a RDWR; pwrite 0 x; open a RDWR; pwrite 4k x; rename a d/a | dir d; setxattr d QUOTA 4K; setxattr . IO 1; file a | EDQUOT

page size
setxattr a PAGES 1G                 | file a                       | ok a:times=c
setxattr a PAGES 1G                 | file a                       | ok | as plain
setxattr a PAGES 1G                 | file a 444                   | EACCES | as plain
setxattr a PAGES 1G                 | file a; owner a 0 0          | EACCES | as plain
setxattr d PAGES 2M                 | dir d                        | ok
setxattr a PAGES 4K                 | file a                       | EINVAL
setxattr a PAGES 1g                 | file a                       | EINVAL
setxattr a PAGES EMPTY              | file a                       | EINVAL
setxattr a PAGES 1G                 | file a 644 2M                | EINVAL
setxattr a PAGES 2M                 | file a 644 2M                | ok
setxattr f PAGES 1G                 | mknod f fifo                 | EPERM
setxattr s PAGES 1G                 | symlink x s                  | EPERM
setxattr a PAGES 1G CREATE          | file a; setxattr a PAGES 2M  | EEXIST
setxattr a PAGES 1G REPLACE         | file a                       | ENODATA
setxattr a PAGES auto; getxattr a PAGES | file a; setxattr a PAGES 2M | ENODATA
removexattr a PAGES                 | file a; setxattr a PAGES 2M  | ok a:times=c
removexattr a PAGES                 | file a                       | ENODATA
getxattr d/a PAGES                  | dir d; setxattr d PAGES 1G; file d/a | ok =1G
getxattr d/e PAGES                  | dir d; setxattr d PAGES 1G; dir d/e | ok =1G
getxattr d/f PAGES                  | dir d; setxattr d PAGES 1G; mknod d/f fifo | ENODATA
rename a d/a; getxattr d/a PAGES    | dir d; setxattr d PAGES 1G; file a | ENODATA
truncate a 2M                       | file a; setxattr a PAGES 1G  | EINVAL
truncate a 1G                       | file a; setxattr a PAGES 1G  | ENOSPC
truncate a 0                        | file a; setxattr a PAGES 1G  | ok
open a RDWR; fallocate 0 0 2M       | file a; setxattr a PAGES 1G  | EINVAL
open a RDWR; fallocate 0 0 1G       | file a; setxattr a PAGES 1G  | ENOSPC
truncate a 1                        | file a; setxattr a PAGES 2M  | ok

the mark of files with content
setxattr a IO 1                     | file a                       | ok a:times=c
setxattr a IO 1                     | file a                       | ok | as plain
setxattr a IO 1                     | file a 444                   | EACCES | as plain
setxattr d IO 1                     | dir d; owner d 0 0           | EACCES | as plain
setxattr d IO 1                     | dir d                        | ok | as plain
setxattr a IO 0                     | file a                       | EINVAL
setxattr a IO EMPTY                 | file a                       | EINVAL
setxattr a IO 1                     | file a 644 1                 | ENOTEMPTY
setxattr a IO 1 CREATE              | file a; setxattr a IO 1      | EEXIST
setxattr a IO 1 REPLACE             | file a                       | ENODATA
setxattr f IO 1                     | mknod f fifo                 | EPERM
setxattr s IO 1                     | symlink x s                  | EPERM
removexattr a IO                    | file a                       | ENODATA
removexattr a IO                    | file a; setxattr a IO 1      | ok
removexattr a IO                    | file a; setxattr a IO 1; truncate a 1 | ENOTEMPTY
removexattr d IO                    | dir d; setxattr d IO 1; owner d 0 0 | EACCES | as plain
getxattr d/a IO                     | dir d; setxattr d IO 1; file d/a | ok =1
getxattr d/e IO                     | dir d; setxattr d IO 1; dir d/e | ok =1
getxattr d/f IO                     | dir d; setxattr d IO 1; mknod d/f fifo | ENODATA
listxattr d                         | dir d; setxattr d IO 1       | ok =
rename a d/a; getxattr d/a IO       | dir d; setxattr d IO 1; file a | ENODATA
open a RDWR; write x                | file a                       | EOPNOTSUPP
open a RDWR; read 1                 | file a 644 2M                | EOPNOTSUPP
open a RDWR; mapread 0 1            | file a 644 2M                | ENODEV

other names of ours
setxattr a user.guestmemfs.socket x | file a                       | EPERM
setxattr d user.guestmemfs.control x | dir d                       | EPERM
removexattr d user.guestmemfs.socket | dir d                       | EPERM
setxattr a user.guestmemfs.other x  | file a                       | EOPNOTSUPP
getxattr a user.guestmemfs.other    | file a                       | ENODATA
removexattr a user.guestmemfs.other | file a                       | ENODATA
'''
