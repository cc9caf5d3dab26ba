// SPDX-License-Identifier: MIT
#include "../crash/world.h"
#include "golden.h"
#include "util/cleanup.h"

#define TEN "0123456789"
#define LONG                                                                                       \
	TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN    \
		TEN TEN TEN "12345"

#define EVERYTHING                                                                                 \
	"mkdir d; mkdir e; mkdir e/sub; create a; size a 3 100; clean a; create b; size b 2; "     \
	"hold b;"                                                                                  \
	"create c; size c 1 5; create d/f; size d/f 1; rename d/f d/g; create o; size o 1; hold "  \
	"o;"                                                                                       \
	"unlink o; create x; size x 1; clean x; export x; quarantine 8; poison 9; times a; chown " \
	"c;"                                                                                       \
	"size a 2 77; create gr\xc3\xbc\xc3\x9f"                                                   \
	"e; create " LONG "; create \x01\xff; checkpoint;"

const struct golden golden_images[] = {
	/* every section, and behind it every kind of item and every state of blocks */
	{"everything", WORLD_FILE, false, false,
		EVERYTHING
		"create j; mkdir k; size j 1; dirty 10; clean j; size j 0; unlink c; rmdir k;"
		"rename b e/b; mount; quarantine 10; release 10; poison 10; chmod a; scrub 1"},
	/* the journal has been emptied by the checkpoint; an orphan of nobody, too */
	{"checkpoint", WORLD_FILE, false, false, EVERYTHING "open c; unlink c; checkpoint"},
	/* a crash between the two slot words, the first superblock damaged as well */
	{"cut-short", WORLD_FILE, false, true,
		EVERYTHING "create j; size j 1; rot super-a; checkpoint"},
	{"frozen", WORLD_FILE, false, false, EVERYTHING "create j; freeze"},
	/* the checkpoint's maps are smaller than the regions */
	{"grown", WORLD_FILE, false, false,
		EVERYTHING "grow 5; mount; size e/h 1; create z; size z 4"},
	{"two-regions", WORLD_RESERVED, true, false, "create a; size a 15 9; mkdir d; create d/b"},
	{"reserved-ram", WORLD_RESERVED, false, false, EVERYTHING "reboot; hold a; quarantine 3"},
	/* every kind of attribute, in the checkpoint and behind it */
	{"attributes", WORLD_FILE, false, false,
		"create a; mkdir d; attribute a x; attribute a acl; attribute a trusted; attribute "
		"d "
		"default; create d/b; mkdir d/e; attribute d quota 6M; attribute d pages 2M; "
		"create "
		"d/f; size d/f 2; attribute a y; checkpoint; attribute a x; no-attribute a y; "
		"chmod "
		"a; create d/g; create h; attribute h x; unlink h; no-attribute d default"},
	/* every type of inode and several names for one, in the checkpoint and behind it */
	{"links", WORLD_FILE, false, false,
		"create a; mkdir d; create f; size f 2; link f g; link f d/h; symlink s ../d/f; "
		"symlink d/l "
		"long; "
		"mknod p p; mknod q s; mknod c c; mknod d/b b; times s; symlink o t; open o; "
		"unlink o; "
		"checkpoint; link d/h i; unlink f; symlink t g; symlink u long; unlink s; mknod "
		"d/c c; "
		"link p d/p; unlink p; exchange t d/c; rename i g; chown u; mount"},
	/* files with content side by side, one in several pieces, a block that is empty by now */
	{"content", WORLD_FILE, false, false,
		"mkdir d; mark d; contents; room 1; create d/f; create d/g; write d/f 0 3; write "
		"d/g 0 2; write d/f 3 2; write d/f 20 1; create h; mark h; create m; size m 1; "
		"checkpoint; room 1; write d/g 5 600; cut d/f 9000; punch-units d/g 1 1; mkdir "
		"d/e; unmark d; create d/i; open d/g; unlink d/g; write h 0 1"},
	/* as 1.0 is: stamps tell how long the metadata are; all that is newer than "everything" */
	{"stamped", WORLD_FILE, false, false,
		"mkdir d; mark d; contents; room 1; create d/f; write d/f 0 3; create d/g; write "
		"d/g 0 2; unmark d; mkdir e; attribute e default; attribute e quota 4M; create "
		"e/f; size e/f 1; attribute e/f acl; link e/f n; symlink s e/f; mknod p p; "
		"checkpoint; write d/f 3 1; punch-units d/f 1 1; attribute n trusted; no-attribute "
		"e default; symlink t long; link n e/g; mknod c c; allocate e/f 0 2; unlink d/g; "
		"mkdir k; rmdir k; rename s d/s; hold n; unhold n; open p; unlink p; "
		"close p; scrub 1; mount"},
	{"groups", WORLD_GROUPS, false, false,
		"create a; size a 2; clean a; create b; checkpoint; size a 1"},
	/* holes, and blocks past the end, in the checkpoint and behind it */
	{"sparse", WORLD_FILE, false, false,
		"create a; size a 5; clean a; punch a 1 2; create b; keep b 3 2; create c; size c "
		"1 9; checkpoint; punch a 4 9; keep a 2 1; allocate b 0 1; punch b 4 1; punch c 0 "
		"2"},
	/* a part of a GiB is emptied, not freed */
	{"sparse-groups", WORLD_GROUPS, false, false,
		"create a; size a 2; clean a; punch a 0 1; create b; keep b 1 1; checkpoint; "
		"punch-blocks a 600 9; punch b 1 1"},
};

const size_t golden_image_count = ARRAY_SIZE(golden_images);
