# SPDX-License-Identifier: MIT
"""What is in files, for files with content: reading, writing, mappings, copies, limits. What a row is, row.py says."""

TABLE = '''
write(2), pwrite(2)
open a RDWR; write abc              | file a                       | ok =3 a:size=3 a:times=mc .:times=
open a WRONLY; write abc            | file a 200                   | ok =3 | as plain
open a RDWR; write EMPTY            | file a                       | ok =0 a:size=0 a:times=
open a RDONLY; write x              | file a                       | EBADF
open a RDONLY+PATH; write x         | file a                       | EBADF
open a RDWR; write abc; write def; pread 0 9 | file a              | ok =abcdef
open a RDWR; write abc; lseek 1 SET; write x; pread 0 9 | file a   | ok =axc
open a RDWR; write abc; lseek 0 CUR | file a                       | ok =3
open a RDWR; pwrite 1 x             | file a                       | ok =1 a:size=2
open a RDWR; pwrite 5 x; lseek 0 CUR | file a                      | ok =0
open a RDWR; pwrite 4k xyz          | file a 644 8k                | ok =3 a:size=8192 a:times=mc
open a RDWR; pwrite 4095 xyz; pread 4093 6 | file a 644 8k         | ok =..xyz.
open a RDWR; pwrite 4k x; pread 4094 9 | file a                    | ok =..x
open a RDWR; pwrite 3 x; close; open a RDONLY; read 9 | file a     | ok =4
open a RDWR; pwrite -1 x            | file a                       | EINVAL
open a RDONLY; pwrite 0 x           | file a                       | EBADF
open a RDWR; pwrite 9223372036854775807 x | file a                 | EINVAL
open a RDWR; pwrite 9223372036854775806 x | file a                 | ok a:size=9223372036854775807
open a RDWR; writev abc def         | file a                       | ok =6 a:size=6
open a RDWR; write abc; unlink a; pread 0 9 | file a               | ok =abc
link a b; open b RDWR; write abc    | file a                       | ok a:size=3 b:size=3
open a RDWR; write abc; open a RDWR; pread 0 9 | file a            | ok =abc

read(2), pread(2)
open a RDONLY; read 10              | file a 644 4                 | ok =4 a:size=4
open a RDONLY; read 10              | file a                       | ok =0
open a RDONLY; read 0               | file a 644 4                 | ok =0
open a WRONLY; read 1               | file a                       | EBADF
open a RDONLY+PATH; read 1          | file a                       | EBADF
open a RDONLY; pread 1 2            | file a 644 4                 | ok =..
open a RDONLY; pread 3 9            | file a 644 4                 | ok =.
open a RDONLY; pread 4 9            | file a 644 4                 | ok =
open a RDONLY; pread -1 1           | file a 644 4                 | EINVAL
open a RDWR; write abc; lseek 0 SET; read 9; lseek 0 CUR | file a  | ok =3

O_APPEND, O_TRUNC
open a RDWR+APPEND; write x         | file a 644 4k                | ok =1 a:size=4097
open a RDWR+APPEND; pwrite 0 x      | file a 644 4k                | ok a:size=4097
open a RDWR+APPEND; write x; lseek 0 CUR | file a 644 4k           | ok =4097
open a WRONLY+APPEND; open a WRONLY+APPEND; write x; write y | file a | ok a:size=2
open a RDWR; write abc; open a RDWR+TRUNC; pread 0 9 | file a      | ok =
open a WRONLY+TRUNC                 | file a 644 4k                | ok a:size=0 a:times=mc

truncate(2)
open a RDWR; write abc; ftruncate 1; ftruncate 3; pread 0 9 | file a | ok =a..
open a RDWR; write abc; truncate a 1; pread 0 9 | file a           | ok =a
open a RDWR; pwrite 5000 x; ftruncate 4k; ftruncate 6k; pread 4999 3 | file a | ok =...
open a RDWR; write abc; ftruncate 1T; pread 1 4 | file a           | ok =bc..

lseek(2), fallocate(2)
open a RDWR; pwrite 1M x; lseek 0 DATA | file a                    | ok =1048576
open a RDWR; pwrite 1M x; lseek 0 HOLE | file a                    | ok =0
open a RDWR; pwrite 0 x; lseek 0 HOLE | file a                     | ok =1
open a RDWR; pwrite 0 x; pwrite 8k x; lseek 0 HOLE | file a        | ok =4096
open a RDWR; pwrite 0 x; pwrite 8k x; lseek 1 DATA | file a        | ok =1
open a RDWR; pwrite 0 x; pwrite 8k x; lseek 4k DATA | file a       | ok =8192
open a RDWR; pwrite 0 x; lseek 1 DATA | file a                     | ENXIO
open a RDWR; pwrite 8k x; fallocate PUNCH+KEEP 8k 4k; lseek 0 DATA | file a | ENXIO
open a RDWR; fallocate 0 0 8k; lseek 0 DATA | file a               | ENXIO
open a RDWR; write abcdef; fallocate PUNCH+KEEP 1 2; pread 0 9 | file a | ok =a..def
open a RDWR; write abc; fallocate 0 0 5; pread 0 9 | file a        | ok =abc..
open a RDWR; write abc; fallocate KEEP 0 8k | file a               | ok a:size=3 a:times=mc
open a RDWR; write abc; fallocate PUNCH+KEEP 0 8k; pread 0 9 | file a | ok =...

mmap(2), msync(2)
open a RDWR; write abcdef; mapwrite SHARED 1 xyz; pread 0 9 | file a | ok =axyzef
open a RDWR; write abcdef; mapwrite PRIVATE 1 xyz; pread 0 9 | file a | ok =abcdef
open a RDWR; mapwrite SHARED 100 x; pread 99 3 | file a 644 8k     | ok =.x.
open a RDWR; mapwrite SHARED 4000 x | file a 644 4k                | ok a:size=4096
open a RDONLY; mapwrite SHARED 0 x  | file a 644 4k                | EACCES
open a RDONLY; mapwrite PRIVATE 0 x | file a 644 4k                | ok
open a WRONLY; mapread 0 1          | file a 644 4k                | EACCES
open a RDWR; write abc; mapread 1 2 | file a                       | ok =bc
open a RDWR; write abc; fdatasync   | file a                       | ok

copy_file_range(2), sendfile(2), splice(2)
open a RDWR; write abc; open b RDWR; copyrange 0 9 | file a; file b | ok =3 b:size=3
open a RDWR; write abc; open b RDWR; copyrange 1 1; pread 0 9 | file a; file b | ok =b
open a RDWR; write abc; open b RDONLY; copyrange 0 9 | file a; file b | EBADF
open a RDWR; write abc; open b RDWR+APPEND; copyrange 0 9 | file a; file b | EBADF
open a WRONLY; open b RDWR; copyrange 0 9 | file a 644 4k; file b  | EBADF
opendir d; open b RDWR; copyrange 0 9 | dir d; file b              | EISDIR
open a RDWR; write abc; open b RDWR; sendfile 0 9; pread 0 9 | file a; file b | ok =abc
open a RDWR; write abc; open b RDWR; splice 0 9; pread 0 9 | file a; file b | ok =abc

O_DIRECT
open a RDWR+DIRECT; dwrite 0 4k; pread 0 3 | file a                | ok =ddd
open a RDWR+DIRECT; dwrite 4k 8k    | file a                       | ok =8192 a:size=12288
open a RDWR; write abc; open a RDWR+DIRECT; dread 0 4k | file a    | ok =abc
open a RDWR; pread 0 3; open a RDWR+DIRECT; dwrite 0 4k; close; pread 0 3 | file a 644 4k | ok =ddd

RLIMIT_FSIZE
open a RDWR; limit 4k; pwrite 4095 xyz | file a                    | ok =1 a:size=4096
open a RDWR; limit 4k; pwrite 4k x  | file a                       | EFBIG
open a RDWR+APPEND; limit 4k; write x | file a 644 4k              | EFBIG
open a RDWR; limit 4k; pwrite 4k x  | file a 644 8k                | EFBIG
open a RDWR; limit 4k; ftruncate 8k | file a                       | EFBIG
open a RDWR; limit 4k; ftruncate 0  | file a 644 8k                | ok a:size=0
open a RDWR; limit 4k; fallocate 0 0 8k | file a                   | EFBIG

set-id bits
open a RDWR; write x                | file a 6755                  | ok a:mode=755 | as plain
open a RDWR; write x                | file a 6644                  | ok a:mode=2644 | as plain
open a RDWR; pwrite 0 x             | file a 4755 4k               | ok a:mode=755 | as plain
open a RDWR; write x                | file a 6755                  | ok a:mode=6755
open a RDWR; write EMPTY            | file a 6755                  | ok a:mode=6755 | as plain
open a RDWR; fallocate 0 0 4k       | file a 6755                  | ok a:mode=755 | as plain
open a RDWR; fallocate PUNCH+KEEP 0 4k | file a 6755 4k            | ok a:mode=755 | as plain
open a WRONLY+TRUNC                 | file a 6755 4k               | ok a:mode=755 | as plain
'''
