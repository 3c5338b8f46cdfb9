/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_PROGRAMS_H
#define VERITY_PROGRAMS_H
/*
 * Which BPF programs and links the kernel has: bpf(2), by their numbers (linux/bpf.h). Only looks.
 *
 * Every function returns a value >= 0 or -errno, keeps no state and no descriptor. An object may go
 * between two calls: -ENOENT.
 */
#include <stdint.h>

struct verity_program {
	uint32_t type;	  /* BPF_PROG_TYPE_* */
	uint32_t creator; /* uid */
	char name[16];	  /* may fill all of it */
};

struct verity_link {
	uint32_t type;	  /* BPF_LINK_TYPE_* */
	uint32_t program;
	uint32_t attach;  /* enum bpf_attach_type, for programs that trace and those of a cgroup */
};

#define VERITY_ATTACH_UNKNOWN UINT32_MAX

/* The next number above `id`; -ENOENT: there is none. */
int64_t verity_program_next(uint32_t id);
int64_t verity_link_next(uint32_t id);

int verity_program_read(uint32_t id, struct verity_program *program);
int verity_link_read(uint32_t id, struct verity_link *link);

#endif
