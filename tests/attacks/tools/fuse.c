/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse DIRECTORY FILE: serves, over /dev/fuse and without any library, a file system at DIRECTORY
 * whose only file `program` has FILE's contents. Goes into the background when it is mounted; ends
 * when it is unmounted.
 */
#include "tool.h"
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/uio.h>

#define PROGRAM 2 /* inode number; the root has FUSE_ROOT_ID, 1 */

static size_t size;
static char *bytes;
static int device;

static void answer(uint64_t unique, int error, const void *body, size_t length)
{
	struct fuse_out_header head = {
		.unique = unique, .error = -error, .len = sizeof(head) + length
	};
	struct iovec parts[] = { { &head, sizeof(head) }, { (void *)body, length } };

	if (writev(device, parts, length ? 2 : 1) < 0 && errno != ENOENT)
		exit(2);
}

static struct fuse_attr attributes(uint64_t node)
{
	if (node == PROGRAM)
		return (struct fuse_attr){
			.ino = node, .size = size, .mode = S_IFREG | 0755, .nlink = 1
		};
	return (struct fuse_attr){ .ino = node, .mode = S_IFDIR | 0755, .nlink = 2 };
}

static void serve(const struct fuse_in_header *in)
{
	const void *body = in + 1;

	switch (in->opcode) {
	case FUSE_INIT: {
		const struct fuse_init_in *init = body;
		struct fuse_init_out out = {
			.major = FUSE_KERNEL_VERSION, .minor = init->minor, .max_write = 65536
		};

		answer(in->unique, 0, &out, sizeof(out));
		return;
	}
	case FUSE_LOOKUP: {
		struct fuse_entry_out out = {
			.nodeid = PROGRAM, .attr_valid = 60, .entry_valid = 60, .attr = attributes(PROGRAM)
		};

		if (strcmp(body, "program"))
			answer(in->unique, ENOENT, NULL, 0);
		else
			answer(in->unique, 0, &out, sizeof(out));
		return;
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = { .attr_valid = 60, .attr = attributes(in->nodeid) };

		answer(in->unique, 0, &out, sizeof(out));
		return;
	}
	case FUSE_OPEN: {
		struct fuse_open_out out = { .fh = 0 };

		answer(in->unique, 0, &out, sizeof(out));
		return;
	}
	case FUSE_READ: {
		const struct fuse_read_in *read_in = body;
		size_t from = read_in->offset < size ? read_in->offset : size;
		size_t room = size - from;

		answer(in->unique, 0, bytes + from, read_in->size < room ? read_in->size : room);
		return;
	}
	case FUSE_RELEASE:
	case FUSE_FLUSH:
		answer(in->unique, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	answer(in->unique, ENOSYS, NULL, 0);
}

int main(int argc, char **argv)
{
	static char buffer[FUSE_MIN_READ_BUFFER + 65536] __attribute__((aligned(8)));
	char options[128];

	if (argc != 3)
		trouble("usage");
	bytes = contents(argv[2], &size);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		trouble("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other",
		 device);
	if (mount("attack", argv[1], "fuse", 0, options) < 0)
		trouble("mount");
	if (daemon(1, 0) < 0)
		trouble("daemon");
	for (;;) {
		ssize_t got = read(device, buffer, sizeof(buffer));

		if (got < 0 && (errno == ENODEV || errno == EIO))
			return 0;
		if (got >= (ssize_t)sizeof(struct fuse_in_header))
			serve((struct fuse_in_header *)buffer);
	}
}
