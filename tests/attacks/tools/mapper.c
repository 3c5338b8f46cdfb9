/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapper HOW FILE: makes code that FILE holds executable in one of many ways, and calls it. FILE is
 * a library with the bytes ANSWER42 before a function that returns 42. Prints `ran` if it did.
 *
 *   rx            mapped readable and executable
 *   protect       mapped readable, then made executable
 *   dirty         mapped privately, changed, then made executable
 *   write-exec    mapped privately, writable and executable
 *   implies       mapped readable under READ_IMPLIES_EXEC
 *   implies-heap  brk(2) under READ_IMPLIES_EXEC, which asks nobody
 *   memfd         a memfd with FILE's contents mapped executable
 *   shm           System V shared memory attached read-only with SHM_EXEC
 *   shm-write     the same, writable
 *   anonymous     anonymous memory, writable and executable
 *   anonymous-protect, stack, heap: such memory written, then made executable
 */
#include "tool.h"
#include <sys/personality.h>
#include <sys/shm.h>

static size_t size;
static char *bytes;

static int call(char *base)
{
	char *found = memmem(bytes, size, "ANSWER42", 8);
	int (*answer)(void);

	if (!found)
		trouble("no ANSWER42");
	answer = (int (*)(void))(base + (found - bytes) + 8);
	if (answer() != 42)
		trouble("the wrong answer");
	puts("ran");
	return 0;
}

static char *mapped(int fd, int prot, int flags)
{
	return mmap(NULL, size, prot, flags, fd, 0);
}

static int made_executable(char *base)
{
	if (mprotect(base, size, PROT_READ | PROT_EXEC) < 0)
		return refused("mprotect");
	return call(base);
}

static int shared(int flags)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0700);
	char *first = id < 0 ? (void *)-1 : shmat(id, NULL, 0), *second;

	if (first == (void *)-1)
		trouble("shmget");
	memcpy(first, bytes, size);
	second = shmat(id, NULL, SHM_EXEC | flags);
	shmctl(id, IPC_RMID, NULL);
	return second == (void *)-1 ? refused("shmat") : call(second);
}

static int on_the_stack(void)
{
	char *room = alloca(size + 2 * 4096);
	char *base = (char *)(((uintptr_t)room + 4095) & ~4095ul);

	memcpy(base, bytes, size);
	return made_executable(base);
}

static char *on_the_heap(void)
{
	char *room = sbrk(size + 2 * 4096);
	char *base = (char *)(((uintptr_t)room + 4095) & ~4095ul);

	if (room == (void *)-1)
		trouble("sbrk");
	memcpy(base, bytes, size);
	return base;
}

static void imply_exec(void)
{
	if (personality(READ_IMPLIES_EXEC) < 0)
		trouble("personality");
}

int main(int argc, char **argv)
{
	const char *how = argc == 3 ? argv[1] : "usage";
	int fd = argc == 3 ? open(argv[2], O_RDONLY) : -1;
	char *base;

	if (fd < 0)
		trouble(how);
	bytes = contents(argv[2], &size);
	if (!strcmp(how, "rx")) {
		base = mapped(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	} else if (!strcmp(how, "write-exec")) {
		base = mapped(fd, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
	} else if (!strcmp(how, "protect")) {
		base = mapped(fd, PROT_READ, MAP_PRIVATE);
		return base == MAP_FAILED ? refused("mmap") : made_executable(base);
	} else if (!strcmp(how, "dirty")) {
		base = mapped(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		if (base == MAP_FAILED)
			return refused("mmap");
		memcpy(base, bytes, size);
		return made_executable(base);
	} else if (!strcmp(how, "implies")) {
		imply_exec();
		base = mapped(fd, PROT_READ, MAP_PRIVATE);
	} else if (!strcmp(how, "implies-heap")) {
		imply_exec();
		base = on_the_heap();
	} else if (!strcmp(how, "memfd")) {
		fd = memfd_create("attack", 0);
		write_all(fd, bytes, size);
		base = mapped(fd, PROT_READ | PROT_EXEC, MAP_SHARED);
	} else if (!strcmp(how, "anonymous")) {
		base = mapped(-1, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS);
		if (base != MAP_FAILED)
			memcpy(base, bytes, size);
	} else if (!strcmp(how, "anonymous-protect")) {
		base = mapped(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		if (base == MAP_FAILED)
			trouble("mmap");
		memcpy(base, bytes, size);
		return made_executable(base);
	} else if (!strcmp(how, "shm")) {
		return shared(SHM_RDONLY);
	} else if (!strcmp(how, "shm-write")) {
		return shared(0);
	} else if (!strcmp(how, "stack")) {
		return on_the_stack();
	} else if (!strcmp(how, "heap")) {
		return made_executable(on_the_heap());
	} else {
		errno = EINVAL;
		trouble(how);
	}
	return base == MAP_FAILED ? refused("mmap") : call(base);
}
