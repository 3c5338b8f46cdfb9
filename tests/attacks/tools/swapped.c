/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swapped DEVICE FILE: changes the memory of a child by way of swap on a loop device, whose FILE is
 * written. The child keeps a secret page and says what is in it at last.
 */
#include "tool.h"
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define SIZE (1 << 20)
static const char was[] = "victim says: what it was told", now[] = "victim says: what it's not told";

static int victim(char *page, int go)
{
	char c;
	if (read(go, &c, 1) < 0)
		return 2;
	for (int i = 0; i < SIZE; i += 4096)
		if (memcmp(page + i, was, sizeof(was))) {
			printf("page %d: %s\n", i / 4096, page + i);
			return 0;
		}
	puts("unchanged");
	return 1;
}

int main(int argc, char **argv)
{
	char *page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int go[2], fd, pid, pidfd, found = 0;
	struct iovec range = {page, SIZE};
	static char block[4096];
	if (argc != 3 || page == MAP_FAILED || pipe(go))
		trouble("usage");
	if (swapon(argv[1], SWAP_FLAG_PREFER | 32767) < 0)
		return refused("swapon");
	pid = fork();
	if (!pid) {
		for (int i = 0; i < SIZE; i += 4096)
			memcpy(page + i, was, sizeof(was));
		exit(victim(page, go[0]));
	}
	sleep(1);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	for (int i = 0; i < 4; i++) {
		if (syscall(SYS_process_madvise, pidfd, &range, 1, MADV_PAGEOUT, 0) < 0)
			printf("madvise: %s\n", strerrorname_np(errno));
		sleep(1);
	}
	fd = open(argv[2], O_RDWR);
	for (off_t at = 0; pread(fd, block, 4096, at) == 4096; at += 4096)
		if (!memcmp(block, was, sizeof(was))) {
			memcpy(block, now, sizeof(now));
			if (pwrite(fd, block, 4096, at) != 4096)
				trouble("pwrite");
			found++;
		}
	fsync(fd);
	printf("changed %d\n", found);
	fflush(stdout);
	if (write(go[1], "x", 1) < 0)
		trouble("go");
	wait(NULL);
	swapoff(argv[1]);
	return 0;
}
