/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "programs.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t next(int command, uint32_t id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.start_id = id;
	if (syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0)
		return -errno;
	return attr.next_id;
}

/* What the kernel knows more than this header is not asked for. */
static int read_info(int command, uint32_t id, void *info, uint32_t size)
{
	union bpf_attr attr;
	int fd, result;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id; /* and link_id: the same place */
	fd = (int)syscall(SYS_bpf, command, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = size;
	attr.info.info = (uintptr_t)info;
	result = syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0 ? -errno : 0;
	close(fd);
	return result;
}

int64_t verity_program_next(uint32_t id)
{
	return next(BPF_PROG_GET_NEXT_ID, id);
}

int64_t verity_link_next(uint32_t id)
{
	return next(BPF_LINK_GET_NEXT_ID, id);
}

int verity_program_read(uint32_t id, struct verity_program *program)
{
	struct bpf_prog_info info;
	int result;

	if (!program)
		return -EFAULT;
	memset(&info, 0, sizeof(info));
	result = read_info(BPF_PROG_GET_FD_BY_ID, id, &info, sizeof(info));
	if (result < 0)
		return result;
	program->type = info.type;
	program->creator = info.created_by_uid;
	memcpy(program->name, info.name, sizeof(program->name));
	return 0;
}

int verity_link_read(uint32_t id, struct verity_link *link)
{
	struct bpf_link_info info;
	int result;

	if (!link)
		return -EFAULT;
	memset(&info, 0, sizeof(info));
	result = read_info(BPF_LINK_GET_FD_BY_ID, id, &info, sizeof(info));
	if (result < 0)
		return result;
	link->type = info.type;
	link->program = info.prog_id;
	link->attach = VERITY_ATTACH_UNKNOWN;
	if (info.type == BPF_LINK_TYPE_TRACING)
		link->attach = info.tracing.attach_type;
	else if (info.type == BPF_LINK_TYPE_CGROUP)
		link->attach = info.cgroup.attach_type;
	return 0;
}
