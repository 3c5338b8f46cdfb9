/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of programs.h. */

struct verity_program {
	uint32_t type;
	uint32_t creator;
	char name[16];
	...;
};

struct verity_link {
	uint32_t type;
	uint32_t program;
	uint32_t attach;
	...;
};

int64_t verity_program_next(uint32_t id);
int64_t verity_link_next(uint32_t id);
int verity_program_read(uint32_t id, struct verity_program *program);
int verity_link_read(uint32_t id, struct verity_link *link);
