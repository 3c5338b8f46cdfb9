/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's object: checked against config.h and the kernel, loaded, told its configuration.
 *
 * The ids of maps and programs are told to the gate before its first program is attached: from
 * the first moment nobody else reaches them. links.c goes on from there.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

/* What libbpf said last: shown only if something failed. */
static char said[2048];

static int listen(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];
	size_t have = strlen(said), len;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	len = strlen(line);
	if (have + len + 1 > sizeof(said)) {
		size_t drop = have + len + 1 - sizeof(said);

		memmove(said, said + drop, have - drop + 1);
		have -= drop;
	}
	memcpy(said + have, line, len + 1);
	return 0;
}

int with_libbpf(int result, struct failure *f)
{
	snprintf(f->detail, sizeof(f->detail), "%s", said);
	return result;
}

struct needed_map {
	const char *name;
	enum bpf_map_type type;
	uint32_t key_size, value_size, least;
};

static const struct needed_map needed_maps[] = {
	{ VERITY_MAP_CONFIG, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct verity_config), 1 },
	{ VERITY_MAP_KEYRINGS, BPF_MAP_TYPE_ARRAY, 4, 4, VERITY_KEYRINGS },
	{ VERITY_MAP_OWN_KEYS, BPF_MAP_TYPE_HASH, 4, 8, VERITY_OWN_KEYS_MAX },
	{ VERITY_MAP_OWN_IDS, BPF_MAP_TYPE_HASH, sizeof(struct verity_id), 4, 1 },
	{ VERITY_MAP_BOOT, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct verity_boot), 1 },
	{ VERITY_MAP_FLOORS, BPF_MAP_TYPE_HASH, VERITY_STREAM_SIZE, 8, VERITY_FLOORS },
};

static const char *const needed_programs[] = { VERITY_PROGRAM_STATUS, VERITY_PROGRAM_DENIALS,
					       VERITY_PROGRAM_SYSCTL };

/*
 * What the gate calls in the kernel; without one of them it would not load. The last it doesn't call:
 * by it the verifier holds LSM programs to what their hook may return. A kernel without it takes one
 * that returns 1, which callers of security_bpf_map take as a permission.
 */
static const char *const needed_functions[] = { "bpf_get_fsverity_digest",
						"bpf_lookup_user_key", "bpf_key_put",
						"bpf_verify_pkcs7_signature",
						"bpf_lsm_get_retval_range" };

static int check_contract(const struct bpf_object *object, struct failure *f)
{
	size_t i;

	for (i = 0; i < sizeof(needed_maps) / sizeof(*needed_maps); i++) {
		const struct needed_map *want = &needed_maps[i];
		const struct bpf_map *map = bpf_object__find_map_by_name(object, want->name);

		if (!map)
			return refuse(f, HINT_INSTALL, "the gate's object has no map %s",
				      want->name);
		if (bpf_map__type(map) != want->type ||
		    bpf_map__key_size(map) != want->key_size ||
		    bpf_map__value_size(map) != want->value_size ||
		    bpf_map__max_entries(map) < want->least)
			return refuse(f, HINT_INSTALL,
				      "the gate's object: map %s is of another shape", want->name);
	}
	for (i = 0; i < sizeof(needed_programs) / sizeof(*needed_programs); i++)
		if (!bpf_object__find_program_by_name(object, needed_programs[i]))
			return refuse(f, HINT_INSTALL, "the gate's object has no program %s",
				      needed_programs[i]);
	return 0;
}

static int check_functions(const struct btf *btf, struct failure *f)
{
	size_t i;

	for (i = 0; i < sizeof(needed_functions) / sizeof(*needed_functions); i++)
		if (btf__find_by_name_kind(btf, needed_functions[i], BTF_KIND_FUNC) < 0)
			return cannot(f, 0, HINT_KERNEL, "the kernel has no function %s",
				      needed_functions[i]);
	return 0;
}

/* Whether the kernel can be asked to check an execve (AT_EXECVE_CHECK). */
static int has_checks(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "linux_binprm", BTF_KIND_STRUCT);
	const struct btf_type *type = id < 0 ? NULL : btf__type_by_id(btf, id);
	int i;

	for (i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), "is_check"))
			return 1;
	return 0;
}

static int ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/*
 * Left out: a program that may be missing where the kernel lacks its hook, what only a gate of an
 * initramfs needs, what would be called in each execve for nothing, and those for tests.
 */
static void leave_out(struct bpf_object *object, const struct btf *btf, int boot)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		const char *hook = strchr(bpf_program__section_name(program), '/');

		if (hook && ends_with(bpf_program__name(program), VERITY_PROGRAM_MAYBE) &&
		    libbpf_find_vmlinux_btf_id(hook + 1, BPF_LSM_MAC) < 0)
			bpf_program__set_autoload(program, false);
		if (!boot && !strncmp(bpf_program__name(program), VERITY_PROGRAM_BOOT,
				      sizeof(VERITY_PROGRAM_BOOT) - 1))
			bpf_program__set_autoload(program, false);
		if (!strcmp(bpf_program__name(program), VERITY_PROGRAM_CHECKED) && !has_checks(btf))
			bpf_program__set_autoload(program, false);
		if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL)
			bpf_program__set_autoload(program, false);
	}
}

int gate_load(struct gate *gate, const char *path, struct failure *f)
{
	char said[128]; /* libbpf has error numbers of its own */
	struct btf *btf;
	int result, fd;

	libbpf_set_print(listen);
	/* 1. The file. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cannot(f, errno,
			      "it is built where clang and libbpf-dev are: verity doctor says more",
			      "the gate's object %s can't be opened", path);
	close(fd);
	gate->object = bpf_object__open_file(path, NULL);
	if (!gate->object) {
		libbpf_strerror(errno, said, sizeof(said));
		return with_libbpf(refuse(f, HINT_INSTALL, "the gate's object %s is damaged: %s",
					  path, said), f);
	}
	/* 2. What it must have, and what the kernel must. */
	result = check_contract(gate->object, f);
	if (result)
		return result;
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return cannot(f, errno, HINT_KERNEL, "the kernel's BTF can't be read");
	result = check_functions(btf, f);
	if (!result)
		leave_out(gate->object, btf, gate->boot);
	btf__free(btf);
	if (result)
		return result;
	/* 3. The kernel's verifier. */
	said[0] = '\0';
	result = bpf_object__load(gate->object);
	if (result)
		return with_libbpf(cannot(f, -result, HINT_KERNEL,
					  "the kernel does not take the gate's programs"), f);
	gate->config = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_CONFIG);
	gate->keyrings = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_KEYRINGS);
	gate->own_keys = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_OWN_KEYS);
	gate->own_ids = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_OWN_IDS);
	gate->floors = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_FLOORS);
	return 0;
}

int gate_own(const struct gate *gate, uint32_t type, uint32_t id, const char *name,
	     struct failure *f)
{
	struct verity_id key = { .type = type, .id = id };
	uint32_t one = 1;

	if (bpf_map_update_elem(gate->own_ids, &key, &one, BPF_ANY) != 0)
		return cannot(f, errno, HINT_INSTALL,
			      "map " VERITY_MAP_OWN_IDS " does not take the id of %s", name);
	return 0;
}

static int own_map(const struct gate *gate, const struct bpf_map *map, struct failure *f)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &size) != 0)
		return cannot(f, errno, HINT_LOG, "the id of map %s", bpf_map__name(map));
	return gate_own(gate, VERITY_ID_MAP, info.id, bpf_map__name(map), f);
}

static int own_program(const struct gate *gate, const struct bpf_program *program,
		       struct failure *f)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0)
		return cannot(f, errno, HINT_LOG, "the id of program %s",
			      bpf_program__name(program));
	return gate_own(gate, VERITY_ID_PROGRAM, info.id, bpf_program__name(program), f);
}

int gate_configure(struct gate *gate, const struct verity_config *config, struct failure *f)
{
	struct bpf_program *program;
	struct bpf_map *map;
	uint32_t zero = 0;
	int result = 0;

	if (bpf_map_update_elem(gate->config, &zero, config, BPF_ANY) != 0)
		return cannot(f, errno, HINT_INSTALL, "map " VERITY_MAP_CONFIG);
	bpf_object__for_each_map(map, gate->object) {
		if (!result && bpf_map__fd(map) >= 0)
			result = own_map(gate, map, f);
	}
	bpf_object__for_each_program(program, gate->object) {
		if (!result && bpf_program__fd(program) >= 0)
			result = own_program(gate, program, f);
	}
	return result;
}

int gate_sees_backing(const struct gate *gate)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(gate->object, VERITY_PROGRAM_BACKING);

	return program && bpf_program__fd(program) >= 0;
}

int gate_set_floors(const struct gate *gate, const struct floors *floors, struct failure *f)
{
	struct verity_floor floor;
	uint32_t i;

	for (i = 0; i < floors->count; i++) {
		floor_at(floors, i, &floor);
		if (bpf_map_update_elem(gate->floors, floor.stream, &floor.serial, BPF_ANY) != 0)
			return cannot(f, errno, HINT_INSTALL,
				      "map " VERITY_MAP_FLOORS " does not take the floor of %s",
				      (const char *)floor.stream);
	}
	return 0;
}

int gate_set_state(struct gate *gate, uint32_t state, struct failure *f)
{
	struct verity_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(gate->config, &zero, &config) != 0)
		return cannot(f, errno, HINT_INSTALL, "map " VERITY_MAP_CONFIG);
	config.state = state;
	if (bpf_map_update_elem(gate->config, &zero, &config, BPF_EXIST) != 0)
		return cannot(f, errno, HINT_INSTALL, "map " VERITY_MAP_CONFIG);
	return 0;
}
