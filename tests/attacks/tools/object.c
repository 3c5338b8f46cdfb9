/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object ACT ID|PATH: reaches for a BPF object of somebody else by its id or pin, with bpf(2) itself.
 *
 *   map-fd, map-update, map-delete, map-lookup, map-freeze ID
 *   prog-fd ID                       link-fd, link-detach, link-update ID (to a program of ours)
 *   get PATH                         BPF_OBJ_GET of a pin
 *   maps, progs, links               prints the ids of all, one a line
 *
 * The name of the step that failed tells a refused descriptor from a refused use of one.
 */
#include "tool.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int descriptor(int command, unsigned int id)
{
	union bpf_attr attr = { .map_id = id };

	return bpf(command, &attr);
}

static int list(int command)
{
	union bpf_attr attr = { 0 };

	while (bpf(command, &attr) == 0) {
		printf("%u\n", attr.next_id);
		attr.start_id = attr.next_id;
	}
	return errno == ENOENT ? 0 : refused("listing");
}

static int use_map(const char *act, unsigned int id)
{
	union bpf_attr attr = { 0 }, info = { 0 };
	struct bpf_map_info about = { 0 };
	int fd = descriptor(BPF_MAP_GET_FD_BY_ID, id), command;
	char *key, *value;

	if (fd < 0)
		return refused("BPF_MAP_GET_FD_BY_ID");
	if (!strcmp(act, "map-fd"))
		return succeeded();
	if (!strcmp(act, "map-freeze")) {
		attr.map_fd = fd;
		return bpf(BPF_MAP_FREEZE, &attr) < 0 ? refused("BPF_MAP_FREEZE") : succeeded();
	}
	info.info.bpf_fd = fd;
	info.info.info_len = sizeof(about);
	info.info.info = (uintptr_t)&about;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &info) < 0)
		return refused("BPF_OBJ_GET_INFO_BY_FD");
	/* A per-CPU value is as many times as long. */
	key = calloc(1, about.key_size + 8);
	value = calloc(1024, about.value_size + 8);
	command = !strcmp(act, "map-update") ? BPF_MAP_UPDATE_ELEM :
		  !strcmp(act, "map-delete") ? BPF_MAP_DELETE_ELEM :
					       BPF_MAP_LOOKUP_ELEM;
	attr.map_fd = fd;
	attr.key = (uintptr_t)key;
	attr.value = command == BPF_MAP_DELETE_ELEM ? 0 : (uintptr_t)value;
	return bpf(command, &attr) < 0 ? refused(act) : succeeded();
}

/* r0 = 1; exit */
static int program(void)
{
	static const struct bpf_insn one[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_SKB,
				.insns = (uintptr_t)one,
				.insn_cnt = 2,
				.license = (uintptr_t) "GPL" };
	int fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0)
		trouble("BPF_PROG_LOAD");
	return fd;
}

static int use_link(const char *act, unsigned int id)
{
	union bpf_attr attr = { 0 };
	int fd = descriptor(BPF_LINK_GET_FD_BY_ID, id);

	if (fd < 0)
		return refused("BPF_LINK_GET_FD_BY_ID");
	if (!strcmp(act, "link-fd"))
		return succeeded();
	if (!strcmp(act, "link-detach")) {
		attr.link_detach.link_fd = fd;
		return bpf(BPF_LINK_DETACH, &attr) < 0 ? refused("BPF_LINK_DETACH") : succeeded();
	}
	attr.link_update.link_fd = fd;
	attr.link_update.new_prog_fd = program();
	return bpf(BPF_LINK_UPDATE, &attr) < 0 ? refused("BPF_LINK_UPDATE") : succeeded();
}

int main(int argc, char **argv)
{
	const char *act = argc > 1 ? argv[1] : "usage", *on = argc > 2 ? argv[2] : "";

	if (!strcmp(act, "maps"))
		return list(BPF_MAP_GET_NEXT_ID);
	if (!strcmp(act, "progs"))
		return list(BPF_PROG_GET_NEXT_ID);
	if (!strcmp(act, "links"))
		return list(BPF_LINK_GET_NEXT_ID);
	if (!strncmp(act, "map-", 4))
		return use_map(act, strtoul(on, NULL, 0));
	if (!strncmp(act, "link-", 5))
		return use_link(act, strtoul(on, NULL, 0));
	if (!strcmp(act, "prog-fd"))
		return descriptor(BPF_PROG_GET_FD_BY_ID, strtoul(on, NULL, 0)) < 0 ?
			       refused("BPF_PROG_GET_FD_BY_ID") :
			       succeeded();
	if (!strcmp(act, "get")) {
		union bpf_attr attr = { .pathname = (uintptr_t)on };

		return bpf(BPF_OBJ_GET, &attr) < 0 ? refused("BPF_OBJ_GET") : succeeded();
	}
	errno = EINVAL;
	trouble(act);
}
