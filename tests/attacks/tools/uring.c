/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring ACT MODE [FILE]: an act whose open(2) is done by io_uring.
 *
 * MODE, which says in whose thread the kernel does it:
 *   sync     in the caller's              async   in a worker's (IOSQE_ASYNC)
 *   sqpoll   in the thread of a ring that polls (IORING_SETUP_SQPOLL), or a worker's after that
 * ACT:
 *   exec     opens FILE, and executes it by that descriptor
 *   map      opens FILE, and maps it executable by that descriptor
 *   read     opens FILE, and prints what it says
 *   write    opens FILE for writing
 *   memory   opens the memory of a child of the caller's for writing
 *   lent     a child that gave root up opens the caller's memory for writing, in a ring to which the
 *            caller has lent its credentials (IORING_REGISTER_PERSONALITY)
 *   discard  opens FILE, a block device, for writing, and has a block thrown away that nobody has
 *            cached: for those that somebody has, the kernel asks whose the device is
 */
#include "tool.h"
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define USER 1000u
#define ENTRIES 4
#define UNCACHED (40ul << 20)
/* linux/blkdev.h since Linux 6.12 */
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)

static struct {
	int fd;
	unsigned int *tail, *mask, *head, *cq_tail, *cq_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
	__u8 flags; /* of each entry */
} ring;

static void *mapped(size_t size, off_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
			offset);

	if (at == MAP_FAILED)
		trouble("mapping the ring");
	return at;
}

static void set_up(const char *mode)
{
	struct io_uring_params about = { 0 };
	char *sq, *cq;
	unsigned int *array;

	if (!strcmp(mode, "async"))
		ring.flags = IOSQE_ASYNC;
	else if (!strcmp(mode, "sqpoll"))
		about.flags = IORING_SETUP_SQPOLL;
	else if (strcmp(mode, "sync"))
		trouble("usage");
	ring.fd = syscall(SYS_io_uring_setup, ENTRIES, &about);
	if (ring.fd < 0)
		trouble("io_uring_setup");
	sq = mapped(about.sq_off.array + about.sq_entries * sizeof(*array), IORING_OFF_SQ_RING);
	cq = mapped(about.cq_off.cqes + about.cq_entries * sizeof(*ring.done), IORING_OFF_CQ_RING);
	ring.entries = mapped(about.sq_entries * sizeof(*ring.entries), IORING_OFF_SQES);
	ring.tail = (unsigned int *)(sq + about.sq_off.tail);
	ring.mask = (unsigned int *)(sq + about.sq_off.ring_mask);
	ring.head = (unsigned int *)(cq + about.cq_off.head);
	ring.cq_tail = (unsigned int *)(cq + about.cq_off.tail);
	ring.cq_mask = (unsigned int *)(cq + about.cq_off.ring_mask);
	ring.done = (struct io_uring_cqe *)(cq + about.cq_off.cqes);
	array = (unsigned int *)(sq + about.sq_off.array);
	for (unsigned int i = 0; i < about.sq_entries; i++)
		array[i] = i;
}

/* One entry, and its result; -1 and errno as system calls have it. */
static int done(const struct io_uring_sqe *entry)
{
	unsigned int tail = *ring.tail, head = *ring.head;
	struct io_uring_sqe *place = &ring.entries[tail & *ring.mask];
	int result;

	*place = *entry;
	place->flags |= ring.flags;
	__atomic_store_n(ring.tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 1,
		    IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0) < 0)
		trouble("io_uring_enter");
	if (head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE))
		trouble("no answer");
	result = ring.done[head & *ring.cq_mask].res;
	__atomic_store_n(ring.head, head + 1, __ATOMIC_RELEASE);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

static int opened(const char *path, int flags, int personality)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_OPENAT,
				      .fd = AT_FDCWD,
				      .addr = (uintptr_t)path,
				      .open_flags = flags | O_CLOEXEC,
				      .personality = personality };

	return done(&entry);
}

static int memory_of(pid_t pid, int personality)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return opened(path, O_RDWR, personality) < 0 ? refused("open") : succeeded();
}

static int child_memory(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		trouble("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	status = memory_of(pid, 0);
	kill(pid, SIGKILL);
	return status;
}

static int lent(void)
{
	int personality = syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PERSONALITY,
				  NULL, 0);
	pid_t parent = getpid(), pid;
	int status;

	if (personality < 0)
		trouble("io_uring_register");
	pid = fork();
	if (pid < 0)
		trouble("fork");
	if (!pid) {
		if (setgid(USER) < 0 || setuid(USER) < 0)
			trouble("setuid");
		_exit(memory_of(parent, personality));
	}
	if (waitpid(pid, &status, 0) != pid)
		trouble("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static int discard(const char *device)
{
	struct io_uring_sqe entry = { .opcode = IORING_OP_URING_CMD,
				      .fd = opened(device, O_RDWR, 0),
				      .cmd_op = BLOCK_URING_CMD_DISCARD,
				      .addr = UNCACHED };

	if (entry.fd < 0)
		return refused("open");
	entry.addr3 = 4096;
	return done(&entry) < 0 ? refused("discard") : succeeded();
}

int main(int argc, char **argv)
{
	const char *act = argc > 2 ? argv[1] : "usage";
	const char *file = argc > 3 ? argv[3] : NULL;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3)
		trouble(act);
	set_up(argv[2]);
	if (!strcmp(act, "memory"))
		return child_memory();
	if (!strcmp(act, "lent"))
		return lent();
	if (!file)
		trouble("usage");
	if (!strcmp(act, "discard"))
		return discard(file);
	if (!strcmp(act, "write"))
		return opened(file, O_RDWR, 0) < 0 ? refused("open") : succeeded();
	fd = opened(file, O_RDONLY, 0);
	if (fd < 0)
		return refused("open");
	if (!strcmp(act, "read")) {
		char text[256];
		ssize_t length = read(fd, text, sizeof(text));

		if (length < 0)
			trouble(file);
		write_all(STDOUT_FILENO, text, length);
		return 0;
	}
	if (!strcmp(act, "map"))
		return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ?
			       refused("mmap") :
			       succeeded();
	if (strcmp(act, "exec"))
		trouble(act);
	syscall(SYS_execveat, fd, "", (char *[]){ "uring", NULL }, environ, AT_EMPTY_PATH);
	return refused("execveat");
}
