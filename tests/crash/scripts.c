// SPDX-License-Identifier: MIT
#include "scripts.h"

#include "util/cleanup.h"

#define LONG_NAME "a-long-name-that-takes-more-than-one-line"

const struct crash_script crash_scripts[] = {
	/* names */
	{"create", "create a | create f; create " LONG_NAME},
	{"create in a directory", "mkdir d | create d/f"},
	{"mkdir", "create a | mkdir d; mkdir e"},
	{"unlink", "create f; size f 3; create g | unlink f; unlink g"},
	{"unlink a file in use", "create f; size f 2; open f | unlink f; close f"},
	{"unlink a held file", "create f; size f 2; hold f | unlink f; unhold f"},
	{"rmdir", "mkdir d; mkdir e | rmdir d; rmdir e"},
	{"rename", "create f; mkdir d | rename f g; rename g d/f; rename d/f f"},
	{"rename over a file", "create f; size f 2; create g; size g 3 | rename f g"},
	{"rename over a held file", "create f; create g; size g 3; hold g | rename f g; unhold g"},
	{"rename a directory", "mkdir d; mkdir e; create d/f | rename d e/d"},
	{"rename over a directory", "mkdir d; create d/f; mkdir e | rename d e"},
	{"exchange", "create f; mkdir d; create d/g | exchange f d/g; exchange f d"},
	{"rename without replacing", "create f; create g | noreplace f h; noreplace h g"},
	/* links, symlinks, nodes */
	{"link", "create f; size f 2; mkdir d | link f d/g; link f h; link h d/i"},
	{"unlink one name of several",
		"create f; size f 2; link f g; link f h | unlink f; unlink g; unlink h"},
	{"unlink the names of a held file", "create f; size f 2; link f g; hold f | unlink f; "
					    "unlink g; unhold f"},
	{"rename between and over links",
		"create f; size f 2; link f g; create h; size h 1 | rename f g; rename h g; "
		"exchange f g; rename f g"},
	{"symlink", "mkdir d | symlink s t; symlink d/s long; unlink s; rename d/s s"},
	{"mknod", "mkdir d | mknod p p; mknod s s; mknod d/c c; mknod d/b b; mknod f f"},
	{"every type moves and goes",
		"mkdir d; symlink d/s t; mknod p p; create f; size f 1 | exchange d/s p; "
		"rename f d/s; exchange p d; link d/p q; unlink d/p; unlink q; chown p"},
	{"a checkpoint of every type", "symlink s t; symlink r long; mknod c c; create f; "
				       "link f g | checkpoint; unlink r; checkpoint; mount"},
	{"symlinks in use",
		"symlink s t; open s; unlink s; symlink u v; open u | unlink u; close s; mount"},
	/* attributes and sizes */
	{"chmod, chown, times", "create f; mkdir d | chmod f; chown f; times f; chmod d"},
	{"attributes",
		"create f; mkdir d; attribute f y | attribute f x; attribute f x; attribute d x; "
		"no-attribute f y; no-attribute f x; attribute f trusted; unlink f"},
	{"access lists",
		"mkdir d; create f | attribute f acl; chmod f; attribute d default; create d/g; "
		"mkdir d/e; chmod d/g; no-attribute f acl; unlink d/g"},
	{"page size",
		"mkdir d; attribute d pages 2M | create d/f; size d/f 2; attribute d/f pages auto"},
	{"quota", "mkdir d; create d/f; size d/f 2; create g; size g 1 | attribute d quota 4M; "
		  "size d/f 3; rename g d/g; size d/f 1; rename g d/g; attribute d quota 2M; "
		  "no-attribute d quota; size d/f 3; checkpoint; mount"},
	{"attributes in a checkpoint",
		"create f; attribute f x; attribute f acl; mkdir d; attribute d default | "
		"checkpoint; attribute f x; checkpoint; mount"},
	{"grow a file", "create f | size f 1; size f 4; size f 4 100; size f 5 7"},
	{"shrink a file", "create f; size f 5 100 | size f 5; size f 3 9; size f 1; size f 0"},
	{"shrink and zero",
		"create f; size f 3; clean f | size f 1 17; stale f; size f 4; clean f"},
	{"fallocate",
		"create f | allocate f 0 3; allocate f 5 1; keep f 7 2; allocate f 0 8; size f 8"},
	{"punch",
		"create f; size f 6; clean f | punch f 1 1; punch f 4 1; punch f 3 9; punch f 0 9"},
	{"punch and refill",
		"create f; size f 3; clean f | punch f 1 1; keep f 0 3; allocate f 1 3"},
	{"punch blocks", "create f; size f 3; clean f | punch-blocks f 1 1; punch-blocks f 0 800"},
	{"punch a rest that is to be zeroed",
		"create f; size f 3; clean f; size f 2 99; size f 3 | punch f 2 1; stale f"},
	{"a held file gets what was a hole",
		"create f; size f 3; punch f 1 1; clean f; hold f | punch f 0 1; allocate f 0 3"},
	{"no space to allocate", "create f; size f 3; punch f 1 1 | keep f 0 40; allocate f 0 40"},
	{"no space", "create f; size f 9; create g | size g 40; size g 1"},
	/* files with content */
	{"mark", "create f; mkdir d | mark f; mark d; create d/g; unmark d; unmark d/g; mkdir d/e"},
	{"the content store",
		"mkdir d | contents; room 1; room 2; trim; room 1; checkpoint; mount"},
	{"write", "mkdir d; mark d; contents; room 1; create d/f | write d/f 0 1; write d/f 1 3; "
		  "write d/f 9 2; write d/f 3 7; write d/f 0 9"},
	{"two files side by side",
		"mkdir d; mark d; contents; room 2; create d/f; create d/g | write d/f 0 2; "
		"write d/g 0 2; write d/f 2 2; write d/g 500 20; unlink d/f; write d/g 5 9; trim"},
	{"cut, punch and remove content",
		"mkdir d; mark d; contents; room 2; create d/f; write d/f 0 600 | cut d/f 900000; "
		"cut d/f 5; cut d/f 70000; punch-units d/f 0 1; write d/f 2 40; punch-units d/f 7 "
		"9; allocate d/f 0 1; cut d/f 0; unlink d/f; trim"},
	{"content in a checkpoint",
		"mkdir d; mark d; contents; room 1; create d/f; write d/f 3 9; write d/f 1 1 | "
		"checkpoint; write d/f 0 20; checkpoint; unlink d/f; mount"},
	{"content in use",
		"mkdir d; mark d; contents; room 1; create d/f; write d/f 0 9; open d/f | "
		"unlink d/f; write d/f 9 2; close d/f; reboot"},
	{"content and a quota",
		"mkdir d; mark d; contents; room 1; create d/f | attribute d quota 2M; write d/f 0 "
		"512; write d/f 512 1; cut d/f 4096; write d/f 600 511"},
	/* grants */
	{"hold and let go", "create f; size f 3 | clean f; hold f; unhold f"},
	{"export", "create f; size f 2; clean f | export f; unexport f; unhold f"},
	{"memory of a removed file for another one", "create f; size f 3; clean f; hold f; unlink "
						     "f; spare f; create h; size h 6; create i; "
						     "size i 7; create g | size g 3; open g; "
						     "unlink g; close g; keep-spare g 1 2; mount"},
	{"a part of a GiB is not kept",
		"create f; size f 3; clean f; hold f; unlink f; spare f; create g; size g 3; open "
		"g; "
		"unlink g; close g | keep-spare g 0 1; keep-spare g 1 512; chmod g"},
	{"memory of a removed file, granted anew",
		"create f; size f 3; clean f; hold f; unlink f; spare f; create h; size h 6; "
		"create i; "
		"size i 7; create g | allocate g 0 3; clean g; hold g; unhold g; reboot"},
	{"reap an orphan after a thaw",
		"create f; size f 2; open f; unlink f | freeze; close f; thaw; reap"},
	/* states of blocks */
	{"scrub", "create f; size f 3; clean f; unlink f | scrub 2; scrub 9"},
	{"quarantine", "create f; size f 1 | quarantine 3; quarantine 5; release 3; reboot"},
	{"poison", "create f; size f 2 | poison 0; poison 4; unlink f; checkpoint; mount"},
	/* the store */
	{"checkpoint", "create f; size f 2; mkdir d; create d/g | checkpoint; checkpoint"},
	{"checkpoint, then changes", "create f | checkpoint; create g; checkpoint; unlink f"},
	{"a journal that is half full", "create f; brink f | chmod f; chmod f; chmod f"},
	{"a record larger than the journal", "create f; create g | huge f; create h; huge g"},
	{"freeze and thaw", "create f; size f 2 | freeze; thaw; chmod f"},
	{"freeze, then another kernel", "create f; size f 2; hold f | freeze; reboot; chmod f"},
	/* mounts */
	{"mount", "create f; size f 2; hold f | mount; mount"},
	{"another kernel", "create f; size f 2; hold f; unlink f; quarantine 6 | reboot; reboot"},
	{"a crash kernel", "create f; size f 2; hold f; create g; hold g; unlink g; quarantine 6 | "
			   "crash-kernel; chmod f; crash-kernel"},
	{"orphans at a mount", "create f; size f 2; open f; unlink f; mkdir d | mount"},
	{"a worker is replaced",
		"create f; size f 2; open f; unlink f; create g; open g; create h; size h 1; "
		"hold h; unlink h | replace; close f; unlink g; replace; close g; unhold h; mount"},
	{"a worker is replaced over content in use",
		"mkdir d; mark d; contents; room 1; create d/f; write d/f 0 9; open d/f; unlink "
		"d/f | replace; write d/f 9 2; checkpoint; replace; close d/f; trim"},
	{"heal the first superblock", "create f; rot super-a | mount; chmod f"},
	{"heal the second superblock", "create f; rot super-b | mount; chmod f"},
	{"heal the first slot word", "create f; checkpoint; rot word-a | mount; checkpoint"},
	{"heal the second slot word", "create f; checkpoint; rot word-b | mount; checkpoint"},
	{"heal both",
		"create f; rot super-a; rot word-a | reboot; rot super-b; rot word-b; reboot"},
	/* format and growth */
	{"format of blank memory", "blank | format; mount; create f"},
	{"format over a pool", "create f; size f 3; checkpoint; chmod f | format; mount"},
	{"format over a pool that was formatted anew", "create f; checkpoint; checkpoint; format; "
						       "mount; create g | format; mount; create f"},
	{"grow", "create f; size f 3 | grow 3; mount; size f 9; checkpoint; grow 5; mount"},
	{"grow with a damaged first superblock", "create f; rot super-a | grow 3; mount"},
	{"grow with a damaged second superblock", "create f; rot super-b | grow 3; mount"},
	{"grow with a full journal", "create f; size f 9; brink f | grow 3; mount; size f 12"},
};

const size_t crash_script_count = ARRAY_SIZE(crash_scripts);
