# SPDX-License-Identifier: MIT
"""Names: creating, opening, removing, renaming, linking. What a row is, row.py says."""

TABLE = '''
open(2): existing files
open a RDONLY                       | file a                       | ok .:times= a:times=
open a RDWR                         | file a                       | ok a:times=
open a RDONLY                       |                              | ENOENT
open a/b RDONLY                     | file a                       | ENOTDIR
open d/a RDONLY                     | dir d                        | ENOENT
open d RDONLY                       | dir d                        | ok
open d WRONLY                       | dir d                        | EISDIR
open d RDWR                         | dir d                        | EISDIR
open d RDONLY+TRUNC                 | dir d                        | EISDIR
open d CREAT+RDWR 644               | dir d                        | EISDIR
open d RDONLY+CREAT 644             | dir d                        | EISDIR
open a RDONLY+DIRECTORY             | file a                       | ENOTDIR
open a RDWR+DIRECTORY               | dir a                        | EISDIR
open s RDONLY                       | file a; symlink a s          | ok
open s RDONLY+NOFOLLOW              | file a; symlink a s          | ELOOP
open s RDONLY+PATH+NOFOLLOW         | file a; symlink a s          | ok
open s RDONLY                       | symlink nowhere s            | ENOENT
open s RDONLY                       | symlink s s                  | ELOOP
open s RDONLY                       | symlink t s; symlink s t     | ELOOP
open s/x RDONLY                     | file a; symlink a s          | ENOTDIR
open NAME255 RDONLY                 | file NAME255                 | ok
open NAME256 RDONLY                 |                              | ENAMETOOLONG
open PATH4096 RDONLY                |                              | ENAMETOOLONG
open EMPTY RDONLY                   |                              | ENOENT
open a RDONLY+TRUNC                 | file a 644 4k                | ok a:size=0 a:times=mc
open a RDWR+TRUNC                   | file a 644 4k                | ok a:size=0 a:times=mc
open a RDWR+TRUNC                   | file a 644 0                 | ok a:size=0 a:times=mc
open a RDWR+TRUNC                   | file a 6755 4k               | ok a:size=0 a:mode=755 | as plain
open a RDWR+APPEND                  | file a                       | ok a:times=
open a RDONLY+NOATIME               | file a                       | ok
open a RDONLY+NOATIME               | file a 644; owner a 0 0      | EPERM | as plain
open a RDONLY                       | file a 0                     | EACCES | as plain
open a WRONLY                       | file a 400                   | EACCES | as plain
open a RDWR                         | file a 400                   | EACCES | as plain
open a RDONLY                       | file a 200                   | EACCES | as plain
open a WRONLY                       | file a 200                   | ok | as plain
open a RDONLY                       | file a 0                     | ok
open a RDWR                         | file a 0                     | ok
open a RDONLY                       | file a 4; owner a 0 0        | ok | as plain
open a RDONLY                       | file a 40; owner a 0 65534   | ok | as plain
open a RDONLY                       | file a 4; owner a 0 65534    | EACCES | as plain
open a RDONLY                       | file a 44; owner a 65534 0   | EACCES | as plain
open d/a RDONLY                     | dir d 600; file d/a          | EACCES | as plain
open d/a RDONLY                     | dir d 100; file d/a          | ok | as plain
open a RDONLY+PATH                  | file a 0                     | ok | as plain
open f RDWR                         | mknod f fifo                 | ok
open f WRONLY+NONBLOCK              | mknod f fifo                 | ENXIO
open f RDONLY+NONBLOCK              | mknod f fifo                 | ok
open f RDWR                         | bind f                       | ENXIO

open(2): creating
open a RDWR+CREAT 644               |                              | ok a:mode=644 a:nlink=1 a:size=0 a:type=file a:uid=0 a:gid=0 .:times=mc
open a RDWR+CREAT 644               |                              | ok a:mode=644 a:uid=65534 a:gid=65534 | as plain
open a RDWR+CREAT 666               |                              | ok a:mode=644
open a RDWR+CREAT 666               |                              | ok a:mode=600 | umask 077
open a RDWR+CREAT 777               |                              | ok a:mode=777 | umask 0
open a RDWR+CREAT 6755              |                              | ok a:mode=6755 | as plain
open a RDWR+CREAT 1644              |                              | ok a:mode=1644 | as plain
open a RDONLY+CREAT 0               |                              | ok a:mode=0 | as plain
open a RDWR+CREAT 0                 |                              | ok a:mode=0 | as plain
open a RDWR+CREAT 600               | file a 644                   | ok a:mode=644 a:times= .:times=
open a RDWR+CREAT+EXCL 644          |                              | ok a:mode=644
open a RDWR+CREAT+EXCL 644          | file a                       | EEXIST
open a RDWR+CREAT+EXCL 644          | dir a                        | EEXIST
open s RDWR+CREAT+EXCL 644          | file a; symlink a s          | EEXIST
open s RDWR+CREAT+EXCL 644          | symlink nowhere s            | EEXIST
open s RDWR+CREAT 644               | symlink a s                  | ok a:type=file
open s RDWR+CREAT+NOFOLLOW 644      | symlink a s                  | ELOOP
open a RDWR+CREAT+TRUNC 644         | file a 644 4k                | ok a:size=0 a:times=mc .:times=
open a/b RDWR+CREAT 644             | file a                       | ENOTDIR
open d/a RDWR+CREAT 644             |                              | ENOENT
open a/ RDWR+CREAT 644              |                              | EISDIR
open NAME255 RDWR+CREAT 644         |                              | ok
open NAME256 RDWR+CREAT 644         |                              | ENAMETOOLONG
open a RDWR+CREAT+DIRECTORY 644     |                              | EINVAL
open d/a RDWR+CREAT 644             | dir d 555                    | EACCES | as plain
open d/a RDWR+CREAT 644             | dir d 666                    | EACCES | as plain
open d/a RDWR+CREAT 644             | dir d 300                    | ok | as plain
open d/a RDWR+CREAT 600             | dir d 555; file d/a 644      | ok | as plain
open d/a RDWR+CREAT 600             | dir d 555; file d/a 444      | EACCES | as plain
open d/a RDWR+CREAT+EXCL 600        | dir d 555; file d/a 644      | EEXIST | as plain
open d/a RDWR+CREAT 644             | dir d 2777; owner d 0 7      | ok d/a:gid=7 d/a:mode=644 d/a:uid=65534 | as plain
open d/a RDWR+CREAT 2755            | dir d 2777; owner d 0 7      | ok d/a:gid=7 d/a:mode=755 | as plain
open d/a RDWR+CREAT 2745            | dir d 2777; owner d 0 7      | ok d/a:gid=7 d/a:mode=2745 | as plain
open d/a RDWR+CREAT 2755            | dir d 2777; owner d 0 7      | ok d/a:gid=7 d/a:mode=2755
open . RDWR+TMPFILE 600             |                              | ok .:times=

mkdir(2)
mkdir d                             |                              | ok d:type=dir d:mode=755 d:nlink=2 .:nlink=3 .:times=mc
mkdir d 1777                        |                              | ok d:mode=1755
mkdir d 6777                        |                              | ok d:mode=755
mkdir d 700                         |                              | ok d:mode=700 d:uid=65534 | as plain
mkdir d 777                         |                              | ok d:mode=777 | umask 0
mkdir d                             | file d                       | EEXIST
mkdir d                             | dir d                        | EEXIST
mkdir d                             | symlink nowhere d            | EEXIST
mkdir d/e                           |                              | ENOENT
mkdir d/e                           | file d                       | ENOTDIR
mkdir .                             |                              | EEXIST
mkdir d/..                          | dir d                        | EEXIST
mkdir d/                            |                              | ok
mkdir NAME256                       |                              | ENAMETOOLONG
mkdir EMPTY                         |                              | ENOENT
mkdir d/e                           | dir d 555                    | EACCES | as plain
mkdir d/e                           | dir d 555; dir d/e           | EEXIST | as plain
mkdir d/e 755                       | dir d 2777; owner d 0 7      | ok d/e:mode=2755 d/e:gid=7 | as plain
mkdir d/e 700                       | dir d 2755; owner d 0 7      | ok d/e:mode=2700 d/e:gid=7

mknod(2)
mknod f fifo 644                    |                              | ok f:type=fifo f:mode=644 f:nlink=1 .:times=mc
mknod f fifo 666                    |                              | ok f:type=fifo f:mode=644 f:uid=65534 | as plain
mknod f file 640                    |                              | ok f:type=file f:mode=640 f:size=0
mknod f socket 600                  |                              | ok f:type=socket f:mode=600
mknod f char 600 1:3                |                              | ok f:type=char f:rdev=1:3
mknod f block 600 259:1048575       |                              | ok f:type=block f:rdev=259:1048575
mknod f char 600 1:3                |                              | EPERM | as plain
mknod f block 600 7:0               |                              | EPERM | as plain
mknod f socket 600                  |                              | ok f:type=socket | as plain
mknod f dir 700                     |                              | EPERM
mknod f fifo                        | file f                       | EEXIST
mknod d/f fifo                      | dir d 555                    | EACCES | as plain
mknod d/f fifo                      |                              | ENOENT
mknod NAME256 fifo                  |                              | ENAMETOOLONG
mknod d/f fifo 660                  | dir d 2777; owner d 0 7      | ok d/f:gid=7 | as plain
bind s                              |                              | ok s:type=socket s:mode=755
unlink f                            | mknod f fifo                 | ok f:gone
unlink s                            | bind s                       | ok s:gone

unlink(2)
unlink a                            | file a                       | ok a:gone .:times=mc
unlink a                            | file a; link a b             | ok a:gone b:nlink=1 b:times=c
unlink a                            |                              | ENOENT
unlink d                            | dir d                        | EISDIR
unlink d                            | dir d                        | EISDIR | as plain
unlink a/b                          | file a                       | ENOTDIR
unlink a/                           | file a                       | ENOTDIR
unlink NAME256                      |                              | ENAMETOOLONG
unlink EMPTY                        |                              | ENOENT
unlink s                            | file a; symlink a s          | ok s:gone a:times=
unlink s                            | symlink nowhere s            | ok s:gone
unlink d/a                          | dir d 555; file d/a          | EACCES | as plain
unlink d/a                          | dir d 333; file d/a 0; owner d/a 0 0 | ok d/a:gone | as plain
unlink d/a                          | dir d 1777; owner d 0 0; file d/a; owner d/a 0 0 | EPERM | as plain
unlink d/a                          | dir d 1777; owner d 0 0; file d/a | ok d/a:gone | as plain
unlink d/a                          | dir d 1777; file d/a; owner d/a 0 0 | ok d/a:gone | as plain
unlink d/a                          | dir d 1777; owner d 5 5; file d/a; owner d/a 5 5 | ok d/a:gone
open a RDWR; unlink a; fnlink       | file a                       | ok =0
open a RDWR; unlink a; fstat        | file a 600                   | ok =100600
open a RDWR; unlink a; ftruncate 4k | file a                       | ok

rmdir(2)
rmdir d                             | dir d                        | ok d:gone .:nlink=2 .:times=mc
rmdir d                             |                              | ENOENT
rmdir d                             | file d                       | ENOTDIR
rmdir s                             | dir d; symlink d s           | ENOTDIR
rmdir d                             | dir d; file d/a              | ENOTEMPTY
rmdir d                             | dir d; dir d/e               | ENOTEMPTY
rmdir d/.                           | dir d                        | EINVAL
rmdir d/..                          | dir d                        | ENOTEMPTY
rmdir d/                            | dir d                        | ok
rmdir EMPTY                         |                              | ENOENT
rmdir NAME256                       |                              | ENAMETOOLONG
rmdir d/e                           | dir d 555; dir d/e           | EACCES | as plain
rmdir d/e                           | dir d 1777; owner d 0 0; dir d/e; owner d/e 0 0 | EPERM | as plain
opendir d; rmdir d; fnlink          | dir d                        | ok =0
opendir d; rmdir d; open d/x RDWR+CREAT 600 | dir d                | ENOENT
opendir d; rmdir d; flist           | dir d                        | ok =

rename(2)
rename a b                          | file a                       | ok a:gone b:type=file b:times=c .:times=mc
rename a a                          | file a                       | ok a:times= .:times=
rename a b                          |                              | ENOENT
rename a b                          | file a; file b 600 4k        | ok a:gone b:size=0
rename a b                          | file a; link a b             | ok a:nlink=2 b:nlink=2 a:times=
rename a b                          | file a; file b; link b c     | ok a:gone c:nlink=1 c:times=c
rename a d                          | file a; dir d                | EISDIR
rename d a                          | dir d; file a                | ENOTDIR
rename d e                          | dir d; dir e                 | ok d:gone e:type=dir .:nlink=3
rename d e                          | dir d; dir e; file e/x       | ENOTEMPTY
rename d d/e                        | dir d                        | EINVAL
rename d d/e/f                      | dir d; dir d/e               | EINVAL
rename d/e d                        | dir d; dir d/e               | ENOTEMPTY
rename a/x b                        | file a                       | ENOTDIR
rename a d/b                        | file a                       | ENOENT
rename a b/                         | file a                       | ENOTDIR
rename d e/                         | dir d                        | ok
rename . x                          |                              | EBUSY
rename d/.. x                       | dir d                        | EBUSY
rename a NAME256                    | file a                       | ENAMETOOLONG
rename NAME256 a                    |                              | ENAMETOOLONG
rename s t                          | file a; symlink a s          | ok s:gone t:type=symlink a:times=
rename a s                          | file a; symlink nowhere s    | ok s:type=file
rename d/x e/x                      | dir d; dir e; dir d/x        | ok d:nlink=2 e:nlink=3 d:times=mc e:times=mc .:times=
rename d/a e/a                      | dir d 555; dir e; file d/a   | EACCES | as plain
rename d/a e/a                      | dir d; dir e 555; file d/a   | EACCES | as plain
rename d/x e/x                      | dir d; dir e; dir d/x 555    | EACCES | as plain
rename d/x d/y                      | dir d; dir d/x 555           | ok | as plain
rename d/a e/a                      | dir d 1777; owner d 0 0; dir e; file d/a; owner d/a 0 0 | EPERM | as plain
rename a e/b                        | file a; dir e 1777; owner e 0 0; file e/b; owner e/b 0 0 | EPERM | as plain
rename f g                          | mknod f fifo; file g         | ok g:type=fifo
open b RDWR; rename a b; fnlink     | file a; file b               | ok =0

renameat2(2): flags
rename a b NOREPLACE                | file a                       | ok a:gone b:type=file
rename a b NOREPLACE                | file a; file b               | EEXIST
rename a a NOREPLACE                | file a                       | EEXIST
rename a b EXCHANGE                 | file a 600 4k; file b        | ok a:size=0 b:size=4096 a:times=c b:times=c .:times=mc
rename a b EXCHANGE                 | file a                       | ENOENT
rename a d EXCHANGE                 | file a; dir d; file d/x      | ok a:type=dir d:type=file a/x:type=file
rename a d/b EXCHANGE               | dir a; dir d; file d/b       | ok a:type=file d/b:type=dir .:nlink=3 d:nlink=3
rename d d/e EXCHANGE               | dir d; dir d/e               | EINVAL
rename d/e d EXCHANGE               | dir d; dir d/e               | EINVAL
rename a s EXCHANGE                 | file a; symlink x s          | ok a:type=symlink s:type=file
rename a b BOTH                     | file a; file b               | EINVAL

link(2)
link a b                            | file a                       | ok a:nlink=2 b:nlink=2 a:times=c .:times=mc
link a b                            |                              | ENOENT
link a b                            | file a; file b               | EEXIST
link a a                            | file a                       | EEXIST
link d e                            | dir d                        | EPERM
link a/x b                          | file a                       | ENOTDIR
link a d/b                          | file a                       | ENOENT
link a NAME256                      | file a                       | ENAMETOOLONG
link s t                            | file a; symlink a s          | ok t:type=symlink t:nlink=2 a:nlink=1
linkfollow s t                      | file a; symlink a s          | ok t:type=file a:nlink=2
linkfollow s t                      | symlink nowhere s            | ENOENT
link f g                            | mknod f fifo                 | ok f:nlink=2 g:type=fifo
link a d/b                          | file a; dir d 555            | EACCES | as plain
link d/a b                          | dir d 666; file d/a          | EACCES | as plain
link a b                            | file a 600 0; owner a 0 0    | EPERM | as plain
link a d/b                          | file a; dir d 2755; owner d 0 7 | ok d/b:gid=0 d/b:mode=644
unlink a; link b c                  | file a; link a b             | ok c:nlink=2

symlink(2), readlink(2)
symlink x s                         |                              | ok s:type=symlink s:mode=777 s:size=1 s:nlink=1 .:times=mc
symlink x s                         |                              | ok s:mode=777 s:uid=65534 | as plain, umask 077
symlink x s                         | file s                       | EEXIST
symlink x s                         | symlink y s                  | EEXIST
symlink EMPTY s                     |                              | ENOENT
symlink TARGET4095 s                |                              | ok s:size=4095
symlink TARGET4096 s                |                              | ENAMETOOLONG
symlink x NAME256                   |                              | ENAMETOOLONG
symlink x d/s                       |                              | ENOENT
symlink x d/s                       | dir d 555                    | EACCES | as plain
symlink x d/s                       | dir d 2777; owner d 0 7      | ok d/s:gid=7 | as plain
readlink s                          | symlink ../some/where s      | ok =../some/where
readlink a                          | file a                       | EINVAL
readlink d                          | dir d                        | EINVAL
readlink s                          |                              | ENOENT
chmod s 600                         | symlink nowhere s            | ENOENT
lchown s 5 6                        | symlink nowhere s            | ok s:uid=5 s:gid=6 s:times=c
stat s                              | dir d 700; symlink d s       | ok =40700
lstat s                             | symlink nowhere s            | ok =120777
'''
