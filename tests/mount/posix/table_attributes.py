# SPDX-License-Identifier: MIT
"""Attributes: mode, owner, size, times, access. What a row is, row.py says."""

TABLE = '''
chmod(2)
chmod a 600                         | file a                       | ok a:mode=600 a:times=c .:times=
chmod a 644                         | file a 644                   | ok a:mode=644 a:times=c
chmod a 7777                        | file a                       | ok a:mode=7777
chmod a 4755                        | file a                       | ok a:mode=4755 | as plain
chmod d 1777                        | dir d                        | ok d:mode=1777 d:times=c
chmod a 600                         |                              | ENOENT
chmod a/b 600                       | file a                       | ENOTDIR
chmod EMPTY 600                     |                              | ENOENT
chmod NAME256 600                   |                              | ENAMETOOLONG
chmod s 600                         | file a; symlink a s          | ok a:mode=600 s:mode=777
chmod a 600                         | file a; owner a 0 0          | EPERM | as plain
chmod a 2755                        | file a; owner a 65534 7      | ok a:mode=755 | as plain
chmod a 2755                        | file a                       | ok a:mode=2755 | as plain
chmod d 2755                        | dir d; owner d 65534 7       | ok d:mode=755 | as plain
chmod d/a 600                       | dir d 0; file d/a            | EACCES | as plain
chmod f 600                         | mknod f fifo                 | ok f:mode=600 f:times=c
open a RDONLY; fchmod 600           | file a                       | ok a:mode=600
open a RDONLY; fchmod 600           | file a; owner a 0 0          | EPERM | as plain
opendir d; fchmod 700               | dir d                        | ok d:mode=700
open a RDONLY+PATH; fchmod 600      | file a                       | EBADF

chown(2)
chown a 5 6                         | file a                       | ok a:uid=5 a:gid=6 a:times=c
chown a -1 6                        | file a                       | ok a:uid=0 a:gid=6 a:times=c
chown a 5 -1                        | file a                       | ok a:uid=5 a:gid=0
chown a -1 -1                       | file a 644                   | ok a:uid=0 a:gid=0 a:mode=644
chown a 5 6                         | file a 6755                  | ok a:mode=755
chown a 5 6                         | file a 2644                  | ok a:mode=2644
chown a 5 6                         | file a 4644                  | ok a:mode=644
chown a 5 6                         | file a 1644                  | ok a:mode=1644
chown d 5 6                         | dir d 6755                   | ok d:mode=6755
chown a -1 65534                    | file a 6755                  | ok a:mode=755 | as plain
chown a -1 -1                       | file a 6755                  | ok a:mode=755 | as plain
chown a 65534 65534                 | file a 644                   | ok | as plain
chown a 5 -1                        | file a                       | EPERM | as plain
chown a -1 7                        | file a                       | EPERM | as plain
chown a 65534 -1                    | file a; owner a 0 0          | EPERM | as plain
chown a 5 6                         |                              | ENOENT
chown a/b 5 6                       | file a                       | ENOTDIR
chown s 5 6                         | file a; symlink a s          | ok a:uid=5 s:uid=0
chown f 5 6                         | mknod f fifo                 | ok f:uid=5
chown a 4294967294 4294967294       | file a                       | ok a:uid=4294967294
open a RDONLY; fchown 5 6           | file a                       | ok a:uid=5 a:times=c
opendir d; fchown 5 6               | dir d                        | ok d:uid=5

truncate(2)
truncate a 0                        | file a 644 4k                | ok a:size=0 a:times=mc .:times=
truncate a 4k                       | file a 644 0                 | ok a:size=4096 a:times=mc
truncate a 4k                       | file a 644 4k                | ok a:times=
truncate a 1                        | file a 644 4k                | ok a:size=1
truncate a -1                       | file a                       | EINVAL
truncate a 0                        |                              | ENOENT
truncate d 0                        | dir d                        | EISDIR
truncate a/b 0                      | file a                       | ENOTDIR
truncate a/ 0                       | file a                       | ENOTDIR
truncate s 0                        | file a 644 4k; symlink a s   | ok a:size=0 a:times=mc
truncate NAME256 0                  |                              | ENAMETOOLONG
truncate f 0                        | mknod f fifo                 | EINVAL
truncate a 0                        | file a 444 4k                | EACCES | as plain
truncate a 0                        | file a 444 4k                | ok a:size=0
truncate a 0                        | file a 6755 4k               | ok a:mode=755 a:size=0 | as plain
truncate a 0                        | file a 6644 4k               | ok a:size=0 | as plain
truncate a 0                        | file a 6755 4k               | ok a:mode=6755 a:size=0
open a RDWR; ftruncate 0            | file a 644 4k                | ok a:size=0 a:times=mc
open a RDWR; ftruncate 4k           | file a 644 4k                | ok a:size=4096 a:times=mc
open a WRONLY; ftruncate 1          | file a 644 4k                | ok a:size=1
open a RDONLY; ftruncate 0          | file a 644 4k                | EINVAL
open a RDWR; ftruncate -1           | file a                       | EINVAL
opendir d; ftruncate 0              | dir d                        | EINVAL
open a RDWR; chmod a 0; ftruncate 1 | file a 600 4k                | ok a:size=1 | as plain

utimensat(2)
utimens a 1 2                       | file a                       | ok a:times=amc
utimens a 1.5 omit                  | file a                       | ok a:times=ac
utimens a omit 2.000000001          | file a                       | ok a:times=mc
utimens a now omit                  | file a                       | ok a:times=ac
utimens a omit now                  | file a                       | ok a:times=mc
utimens a now now                   | file a                       | ok a:times=amc
utimens a omit omit                 | file a                       | ok a:times=
utimens a -1 -2                     | file a                       | ok a:times=amc
utimens a 1 2                       |                              | ENOENT
utimens a 1 2                       | file a; owner a 0 0          | EPERM | as plain
utimens a now now                   | file a 666; owner a 0 0      | ok a:times=amc | as plain
utimens a now omit                  | file a 666; owner a 0 0      | EPERM | as plain
utimens a now now                   | file a 444; owner a 0 0      | EACCES | as plain
utimens a 1 2                       | file a 0                     | ok | as plain
utimens s 1 2                       | symlink nowhere s            | ok s:times=amc
utimens d 1 2                       | dir d                        | ok d:times=amc
utimens a 1.2000000000 2            | file a                       | EINVAL
utimed a 1.123456789 2              | file a                       | ok =1123456789,2000000000
utimed a 1 2.987654321              | file a                       | ok =1000000000,2987654321
utimed a 1 -1.5                     | file a                       | ok =1000000000,-500000000
utimed a 1 4294967296               | file a                       | ok =1000000000,4294967296000000000

access(2), stat(2)
access a F                          | file a 0                     | ok | as plain
access a R                          | file a 444                   | ok | as plain
access a W                          | file a 444                   | EACCES | as plain
access a X                          | file a 644                   | EACCES | as plain
access a X                          | file a 644                   | EACCES
access a X                          | file a 100                   | ok
access a RW                         | file a 0                     | ok
access d X                          | dir d 0                      | ok
access d X                          | dir d 600                    | EACCES | as plain
stat a                              | file a 640                   | ok =100640
stat a                              |                              | ENOENT
stat a/                             | file a                       | ENOTDIR
stat a/b                            | file a                       | ENOTDIR
stat d/.                            | dir d 700                    | ok =40700
stat d/a                            | dir d 0; file d/a            | EACCES | as plain
stat NAME256                        |                              | ENAMETOOLONG
stat EMPTY                          |                              | ENOENT
'''
