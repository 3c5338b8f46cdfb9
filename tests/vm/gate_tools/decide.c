/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision as the kernel runs it: decide OBJECT PROGRAM reads struct verity_facts after struct
 * verity_facts from standard input and writes what the program answers to each, a u32.
 *
 * Of the object it loads this one program, and attaches nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "decide.h"

static void trouble(const char *what)
{
	fprintf(stderr, "trouble: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int loaded(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;
	int fd = -1;

	if (!object)
		trouble(path);
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), name));
	bpf_object__for_each_map(map, object)
		bpf_map__set_autocreate(map, false);
	if (bpf_object__load(object))
		trouble("load");
	program = bpf_object__find_program_by_name(object, name);
	if (program)
		fd = bpf_program__fd(program);
	if (fd < 0)
		trouble(name);
	return fd;
}

int main(int argc, char **argv)
{
	struct verity_facts facts;
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &facts, .ctx_size_in = sizeof(facts));
	int fd;

	if (argc != 3) {
		errno = EINVAL;
		trouble("arguments");
	}
	fd = loaded(argv[1], argv[2]);
	while (fread(&facts, sizeof(facts), 1, stdin) == 1) {
		if (bpf_prog_test_run_opts(fd, &options))
			trouble("run");
		if (fwrite(&options.retval, sizeof(options.retval), 1, stdout) != 1)
			trouble("write");
	}
	return fflush(stdout) ? 2 : 0;
}
