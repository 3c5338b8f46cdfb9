/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's links: programs attached and pinned, and detached again if the load fails.
 *
 * The id of each link is told to the gate right behind its pin. What anybody may read is pinned
 * readable; the rest is in a folder that only root enters.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define END_TRIES 250
#define END_US 20000

/* An iterator over the elements of a map wants to know which. */
static struct bpf_link *attach_iterator(const struct gate *gate, struct bpf_program *program)
{
	union bpf_iter_link_info info = { 0 };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	int is_status = !strcmp(bpf_program__name(program), VERITY_PROGRAM_STATUS);
	int fd = bpf_object__find_map_fd_by_name(gate->object, is_status ? VERITY_MAP_UNLOCKS
									  : VERITY_MAP_DENIALS);

	if (strcmp(bpf_program__section_name(program), "iter/bpf_map_elem") != 0)
		return bpf_program__attach_iter(program, NULL);
	info.map.map_fd = fd < 0 ? 0 : (uint32_t)fd;
	return bpf_program__attach_iter(program, &opts);
}

static int attach_one(struct gate *gate, struct bpf_program *program, int cgroup,
		      struct failure *f)
{
	const char *name = bpf_program__name(program);
	int status = !strcmp(name, VERITY_PROGRAM_STATUS);
	int everybody = status || !strcmp(name, VERITY_PROGRAM_DENIALS);
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	struct bpf_link *link;
	char pin[256];

	if (gate->n_links == GATE_LINKS_MAX)
		return refuse(f, HINT_INSTALL, "the gate's object has more than %d programs",
			      GATE_LINKS_MAX);
	if (!strcmp(name, VERITY_PROGRAM_SYSCTL))
		link = bpf_program__attach_cgroup(program, cgroup);
	else if (!strncmp(bpf_program__section_name(program), "iter/", 5))
		link = attach_iterator(gate, program);
	else
		link = bpf_program__attach(program);
	if (!link)
		return with_libbpf(cannot(f, errno, HINT_KERNEL, "program %s can't be attached",
					  name), f);
	gate->links[gate->n_links++] = link;
	if (!strcmp(name, VERITY_PROGRAM_CENSUS))
		gate->census = link;
	if (everybody)
		snprintf(pin, sizeof(pin), "%s", status ? VERITY_PIN_STATUS : VERITY_PIN_DENIALS);
	else
		snprintf(pin, sizeof(pin), "%s/%s", VERITY_PIN_LINKS, name);
	if (bpf_link__pin(link, pin) != 0 || (everybody && chmod(pin, 0444) != 0))
		return with_libbpf(cannot(f, errno, HINT_LOG,
					  "%s can't be pinned", pin), f);
	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size) != 0)
		return cannot(f, errno, HINT_LOG, "the id of the link of %s", name);
	gate->link_ids[gate->n_links - 1] = info.id;
	return gate_own(gate, VERITY_ID_LINK, info.id, name, f);
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
		result = cannot(f, errno, HINT_LOG, VERITY_PINS " can't be made readable");
	return result;
}

int gate_census(const struct gate *gate, struct failure *f)
{
	char text[4096];
	ssize_t count;
	int fd, error;

	if (!gate->census)
		return 0;
	fd = bpf_iter_create(bpf_link__fd(gate->census));
	if (fd < 0)
		return cannot(f, errno, HINT_LOG,
			      "the census of programs can't be started");
	do {
		count = read(fd, text, sizeof(text));
	} while (count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN)));
	error = errno;
	close(fd);
	return count ? cannot(f, error, HINT_LOG,
			      "the census of programs can't be read") : 0;
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

/* The kernel lets go of a pinned link some time after its pin is gone. */
static int wait_for_end(uint32_t link_id)
{
	int tries, fd;

	for (tries = 0; tries < END_TRIES; tries++) {
		fd = bpf_link_get_fd_by_id(link_id);
		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd >= 0)
			close(fd);
		usleep(END_US);
	}
	return -EBUSY;
}

int gate_close(struct gate *gate)
{
	size_t i, count = gate->n_links;
	int result = 0;

	while (gate->n_links)
		bpf_link__destroy(gate->links[--gate->n_links]);
	bpf_object__close(gate->object);
	for (i = 0; !result && i < count; i++)
		if (gate->link_ids[i])
			result = wait_for_end(gate->link_ids[i]);
	memset(gate, 0, sizeof(*gate));
	return result;
}
