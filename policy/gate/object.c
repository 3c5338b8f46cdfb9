/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's object: checked against config.h, loaded, attached, pinned, frozen.
 *
 * The ids of maps and programs are told to the gate before its first program is attached, and
 * that of each link right behind its pin: from the first moment nobody else reaches them.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define HINT_INSTALL "install the package again: loader and object belong together"
#define HINT_KERNEL "boot a kernel that has it: Linux 6.8 or newer with CONFIG_BPF_LSM and "\
		    "CONFIG_FS_VERITY, such as Debian 13's"

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

static int with_detail(int result, struct failure *f)
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
	{ VERITY_MAP_OWN_IDS, BPF_MAP_TYPE_HASH, sizeof(struct verity_own_id), 4, 1 },
};

static const char *const needed_programs[] = { VERITY_PROGRAM_STATUS, VERITY_PROGRAM_DENIALS,
					       VERITY_PROGRAM_CENSUS, VERITY_PROGRAM_SYSCTL };

/* What the gate calls in the kernel; without one of them it would not load. */
static const char *const needed_functions[] = { "bpf_get_fsverity_digest",
						"bpf_lookup_user_key", "bpf_key_put",
						"bpf_verify_pkcs7_signature" };

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

static int check_functions(struct failure *f)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int result = 0;
	size_t i;

	if (!btf)
		return cannot(f, errno, HINT_KERNEL, "the kernel's BTF can't be read");
	for (i = 0; !result && i < sizeof(needed_functions) / sizeof(*needed_functions); i++)
		if (btf__find_by_name_kind(btf, needed_functions[i], BTF_KIND_FUNC) < 0)
			result = cannot(f, 0, HINT_KERNEL, "the kernel has no function %s",
					needed_functions[i]);
	btf__free(btf);
	return result;
}

static int ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* A program that may be missing is left out where the kernel lacks its hook; so are those for tests. */
static void leave_out(struct bpf_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		const char *hook = strchr(bpf_program__section_name(program), '/');

		if (hook && ends_with(bpf_program__name(program), VERITY_PROGRAM_MAYBE) &&
		    libbpf_find_vmlinux_btf_id(hook + 1, BPF_LSM_MAC) < 0)
			bpf_program__set_autoload(program, false);
		if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL)
			bpf_program__set_autoload(program, false);
	}
}

int gate_load(struct gate *gate, const char *path, struct failure *f)
{
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
	if (!gate->object)
		return with_detail(refuse(f, HINT_INSTALL, "the gate's object %s is damaged: %s",
					  path, strerror(errno)), f);
	/* 2. What it must have, and what the kernel must. */
	result = check_contract(gate->object, f);
	if (!result)
		result = check_functions(f);
	if (result)
		return result;
	leave_out(gate->object);
	/* 3. The kernel's verifier. */
	said[0] = '\0';
	result = bpf_object__load(gate->object);
	if (result)
		return with_detail(cannot(f, -result, HINT_KERNEL,
					  "the kernel does not take the gate's programs"), f);
	gate->config = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_CONFIG);
	gate->keyrings = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_KEYRINGS);
	gate->own_keys = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_OWN_KEYS);
	gate->own_ids = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_OWN_IDS);
	return 0;
}

/* The id is the first field of bpf_link_info, the second of bpf_map_info and bpf_prog_info. */
static int own(const struct gate *gate, uint32_t type, int fd, const char *name,
	       struct failure *f)
{
	union {
		struct bpf_map_info map;
		struct bpf_prog_info program;
		struct bpf_link_info link;
	} info;
	uint32_t size = type == VERITY_OWN_MAP	   ? sizeof(info.map) :
			type == VERITY_OWN_PROGRAM ? sizeof(info.program) :
						     sizeof(info.link);
	struct verity_own_id id = { .type = type };
	uint32_t one = 1;

	memset(&info, 0, sizeof(info));
	if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0)
		return cannot(f, errno, "look at the kernel's log", "the id of %s", name);
	id.id = type == VERITY_OWN_MAP	   ? info.map.id :
		type == VERITY_OWN_PROGRAM ? info.program.id :
					     info.link.id;
	if (bpf_map_update_elem(gate->own_ids, &id, &one, BPF_ANY) != 0)
		return cannot(f, errno, HINT_INSTALL,
			      "map " VERITY_MAP_OWN_IDS " does not take the id of %s", name);
	return 0;
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
			result = own(gate, VERITY_OWN_MAP, bpf_map__fd(map), bpf_map__name(map), f);
	}
	bpf_object__for_each_program(program, gate->object) {
		if (!result && bpf_program__fd(program) >= 0)
			result = own(gate, VERITY_OWN_PROGRAM, bpf_program__fd(program),
				     bpf_program__name(program), f);
	}
	return result;
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

/* An iterator; that of the denials walks their map. */
static struct bpf_link *attach_iterator(struct gate *gate, struct bpf_program *program,
					const char *name)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	union bpf_iter_link_info walked = { 0 };

	if (strcmp(name, VERITY_PROGRAM_DENIALS) != 0)
		return bpf_program__attach_iter(program, NULL);
	walked.map.map_fd = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_DENIALS);
	options.link_info = &walked;
	options.link_info_len = sizeof(walked);
	return bpf_program__attach_iter(program, &options);
}

static int attach_one(struct gate *gate, struct bpf_program *program, int cgroup,
		      struct failure *f)
{
	const char *name = bpf_program__name(program);
	int status = !strcmp(name, VERITY_PROGRAM_STATUS);
	int everybody = status || !strcmp(name, VERITY_PROGRAM_DENIALS);
	int census = !strcmp(name, VERITY_PROGRAM_CENSUS);
	struct bpf_link *link;
	char pin[256];

	if (gate->n_links == GATE_LINKS_MAX)
		return refuse(f, HINT_INSTALL, "the gate's object has more than %d programs",
			      GATE_LINKS_MAX);
	if (!strcmp(name, VERITY_PROGRAM_SYSCTL))
		link = bpf_program__attach_cgroup(program, cgroup);
	else if (everybody || census)
		link = attach_iterator(gate, program, name);
	else
		link = bpf_program__attach(program);
	if (!link)
		return with_detail(cannot(f, errno, HINT_KERNEL, "program %s can't be attached",
					  name), f);
	gate->links[gate->n_links++] = link;
	if (census)
		gate->census = link;
	if (everybody)
		snprintf(pin, sizeof(pin), "%s", status ? VERITY_PIN_STATUS : VERITY_PIN_DENIALS);
	else
		snprintf(pin, sizeof(pin), "%s/%s", VERITY_PIN_LINKS, name);
	if (bpf_link__pin(link, pin) != 0 || (everybody && chmod(pin, 0444) != 0))
		return with_detail(cannot(f, errno, "look at the kernel's log",
					  "%s can't be pinned", pin), f);
	return own(gate, VERITY_OWN_LINK, bpf_link__fd(link), name, f);
}

int gate_attach(struct gate *gate, struct failure *f)
{
	int cgroup = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct bpf_program *program;
	int result = 0;

	if (cgroup < 0)
		return cannot(f, errno, "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
			      "the root cgroup can't be opened");
	bpf_object__for_each_program(program, gate->object) {
		if (!result && bpf_program__autoload(program))
			result = attach_one(gate, program, cgroup, f);
	}
	close(cgroup);
	/* By this the gate learns which mount it has to keep. */
	if (!result && chmod(VERITY_PINS, 0755) != 0)
		result = cannot(f, errno, "look at the kernel's log", VERITY_PINS);
	return result;
}

/* The gate counts while its census is read to the end. */
int gate_count_foreign(const struct gate *gate, struct failure *f)
{
	char text[256];
	ssize_t len;
	int fd = bpf_iter_create(bpf_link__fd(gate->census));

	if (fd < 0)
		return cannot(f, errno, "look at the kernel's log", "the census of programs");
	do
		len = read(fd, text, sizeof(text));
	while (len > 0 || (len < 0 && errno == EAGAIN));
	close(fd);
	if (len < 0)
		return cannot(f, errno, "look at the kernel's log", "the census of programs");
	return 0;
}

/* libbpf freezes .rodata by itself, and a second time is refused: the kernel's word counts. */
static int frozen(int fd)
{
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return read_text(path, text, sizeof(text)) > 0 && strstr(text, "frozen:\t1\n");
}

int gate_freeze(struct gate *gate, struct failure *f)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, gate->object) {
		int fd = bpf_map__fd(map);

		if (fd < 0 || frozen(fd))
			continue;
		if (bpf_map_freeze(fd) != 0)
			return cannot(f, errno, "report this", "map %s can't be frozen",
				      bpf_map__name(map));
	}
	return 0;
}

void gate_close(struct gate *gate)
{
	while (gate->n_links)
		bpf_link__destroy(gate->links[--gate->n_links]);
	bpf_object__close(gate->object);
	memset(gate, 0, sizeof(*gate));
}
