# SPDX-License-Identifier: MIT
"""Access control lists: what makes one, who may, what it says, what inherits it. What a row is, row.py says; a list, acls.py."""

TABLE = '''
setxattr(2): lists
setacl a u:rw+u5:r+g:r+m:r+o:       | file a                       | ok a:mode=640 a:times=c .:times=
setacl a u:rw+u5:rw+g:r+m:rw+o:r    | file a                       | ok a:mode=664
setacl a u:rwx+g:rx+o:              | file a                       | ok a:mode=750
setacl a u:rw+g:r+o:; getacl a      | file a                       | ENODATA
setacl a u:rw+u5:r+g:r+m:r+o:; getacl a | file a                   | ok =u:rw+u5:r+g:r+m:r+o:
setacl a u:rw+u5:r+u6:rw+g:r+g7:x+g8:+m:rwx+o:; getacl a | file a  | ok =u:rw+u5:r+u6:rw+g:r+g7:x+g8:+m:rwx+o:
setacl a u:rw+u5:r+g:r+o:           | file a                       | EINVAL
setacl a u:rw+g:r                   | file a                       | EINVAL
setacl a u:rw+u:r+g:r+o:            | file a                       | EINVAL
setacl a g:r+u:rw+o:                | file a                       | EINVAL
setacl a u:rw+m:r+m:r+g:r+o:        | file a                       | EINVAL
setxattr a system.posix_acl_access x | file a                      | EINVAL
setacl s u:rw+u5:r+g:r+m:r+o:       | symlink x s                  | EOPNOTSUPP
setacl f u:rw+u5:r+g:r+m:r+o:       | mknod f fifo                 | ok f:mode=640
setacl d u:rwx+u5:rx+g:rx+m:rx+o:   | dir d                        | ok d:mode=750
setacl a u:rw+u5:r+g:r+m:r+o:       | file a                       | ok | as plain
setacl a u:rw+u5:r+g:r+m:r+o:       | file a; owner a 0 0          | EPERM | as plain
setacl a u:rw+u5:r+g:r+m:r+o:       | file a 666; owner a 0 0      | EPERM | as plain
setacl a u:rw+u5:r+g:r+m:r+o:       |                              | ENOENT
setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | dir d 755              | ok d:mode=755 d:times=c
setacl a u:rw+u5:r+g:r+m:r+o: default | file a                     | EACCES
setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | dir d; owner d 0 0     | EPERM | as plain
removexattr a system.posix_acl_access; getacl a | file a; setacl a u:rw+u5:r+g:r+m:r+o: | ENODATA
removexattr a system.posix_acl_access | file a; setacl a u:rw+u5:r+g:r+m:r+o: | ok a:mode=640
removexattr a system.posix_acl_access | file a                     | ok a:times=c
removexattr a system.posix_acl_access | file a; setacl a u:rw+u5:r+g:r+m:r+o:; owner a 0 0 | EPERM | as plain
listxattr a                         | file a; setacl a u:rw+u5:r+g:r+m:r+o: | ok =system.posix_acl_access
listxattr d                         | dir d; setacl d u:rwx+g:rx+o: default | ok =system.posix_acl_default
getacl d default                    | dir d                        | ENODATA
getacl a                            | file a 600; setacl a u:rw+u5:r+g:+m:r+o:; owner a 0 0 | ok =u:rw+u5:r+g:+m:r+o: | as plain

chmod(2) and the mask
chmod a 600                         | file a; setacl a u:rw+u5:rw+g:r+m:rw+o: | ok a:mode=600
chmod a 600; getacl a               | file a; setacl a u:rw+u5:rw+g:r+m:rw+o: | ok =u:rw+u5:rw+g:r+m:+o:
chmod a 754; getacl a               | file a; setacl a u:rw+u5:rw+g:r+m:rw+o: | ok =u:rwx+u5:rw+g:r+m:rx+o:r

who may
open a RDONLY                       | file a; setacl a u:rw+u65534:r+g:+m:r+o:; owner a 0 0 | ok | as plain
open a RDWR                         | file a; setacl a u:rw+u65534:r+g:+m:r+o:; owner a 0 0 | EACCES | as plain
open a RDWR                         | file a; setacl a u:rw+u65534:rw+g:+m:r+o:; owner a 0 0 | EACCES | as plain
open a RDONLY                       | file a; setacl a u:rw+u65534:+g:r+m:rw+o:r; owner a 0 0 | EACCES | as plain
open a RDONLY                       | file a; setacl a u:rw+g:+g65534:r+m:r+o:; owner a 0 0 | ok | as plain
open a RDONLY                       | file a; setacl a u:rw+g:r+g65534:+m:r+o:r; owner a 0 0 | EACCES | as plain
open a RDONLY                       | file a; setacl a u:+u65534:r+g:r+m:r+o:r | EACCES | as plain
open a RDONLY                       | file a; setacl a u:+u5:+g:+m:+o:   | ok
open d/a RDWR+CREAT 600             | dir d; setacl d u:rwx+u65534:rwx+g:+m:rwx+o:; owner d 0 0 | ok | as plain
open d/a RDWR+CREAT 600             | dir d; setacl d u:rwx+u65534:rx+g:+m:rwx+o:; owner d 0 0 | EACCES | as plain
list d                              | dir d; setacl d u:rwx+u65534:x+g:+m:rwx+o:; owner d 0 0 | EACCES | as plain
stat d/a                            | dir d; file d/a; setacl d u:rwx+u65534:x+g:+m:rwx+o:; owner d 0 0 | ok | as plain
setxattr a user.k v                 | file a; setacl a u:rw+u65534:w+g:+m:w+o:; owner a 0 0 | ok | as plain
truncate a 0                        | file a; setacl a u:rw+u65534:r+g:+m:r+o:; owner a 0 0 | EACCES | as plain

what inherits a default list
open d/a RDWR+CREAT 666             | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok d/a:mode=640
open d/a RDWR+CREAT 666; getacl d/a | dir d; setacl d u:rwx+u5:rwx+g:rx+m:rwx+o: default | ok =u:rw+u5:rwx+g:rx+m:rw+o:
open d/a RDWR+CREAT 666             | dir d; setacl d u:rwx+u5:rwx+g:rwx+m:rwx+o:rwx default | ok d/a:mode=666 | umask 077
open d/a RDWR+CREAT 600             | dir d; setacl d u:rwx+g:rwx+o:rwx default | ok d/a:mode=600
open d/a RDWR+CREAT 666; getacl d/a | dir d; setacl d u:rw+g:r+o: default | ENODATA
mkdir d/e 777                       | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok d/e:mode=750
mkdir d/e 777; getacl d/e default   | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok =u:rwx+u5:rx+g:rx+m:rx+o:
mkdir d/e 700; getacl d/e           | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok =u:rwx+u5:rx+g:rx+m:+o:
mknod d/f fifo 666; getacl d/f      | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok =u:rw+u5:rx+g:rx+m:r+o:
symlink x d/s                       | dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ok d/s:mode=777
rename a d/a; getacl d/a            | file a; dir d; setacl d u:rwx+u5:rx+g:rx+m:rx+o: default | ENODATA
link a b; getacl b                  | file a; setacl a u:rw+u5:r+g:r+m:r+o: | ok =u:rw+u5:r+g:r+m:r+o:
'''
