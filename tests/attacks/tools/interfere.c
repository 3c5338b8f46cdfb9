/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interfere modify-return FUNCTION | extension DIRECTORY | bystander: loads a BPF program of ours
 * beside the gate's.
 *
 *   modify-return  attached to FUNCTION with the return value 1, which callers that test for a
 *                  negative value take as permission
 *   extension      DIRECTORY/target.bpf.o, and DIRECTORY/extension.bpf.o in place of its function
 *   bystander      a socket filter: what must stay allowed
 */
#include "tool.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#endif

/* r0 = 1; exit */
static const struct bpf_insn one[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int modify_return(const char *function)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_MODIFY_RETURN);
	int id = libbpf_find_vmlinux_btf_id(function, BPF_MODIFY_RETURN), fd;

	if (id < 0) {
		errno = -id;
		trouble(function);
	}
	options.attach_btf_id = id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "attack", "GPL", one, ARRAY_SIZE(one), &options);
	if (fd < 0)
		return refused("BPF_PROG_LOAD");
	return bpf_raw_tracepoint_open(NULL, fd) < 0 ? refused("attach") : succeeded();
}

static struct bpf_object *opened(const char *directory, const char *name)
{
	char path[4096];
	struct bpf_object *object;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		trouble(path);
	return object;
}

static int extension(const char *directory)
{
	struct bpf_object *target = opened(directory, "target.bpf.o");
	struct bpf_object *other = opened(directory, "extension.bpf.o");
	struct bpf_program *program = bpf_object__next_program(other, NULL);
	int fd;

	if (bpf_object__load(target) < 0)
		trouble("the target");
	fd = bpf_program__fd(bpf_object__next_program(target, NULL));
	if (bpf_program__set_attach_target(program, fd, "answer") < 0)
		trouble("set_attach_target");
	return bpf_object__load(other) < 0 ? refused("BPF_PROG_LOAD") : succeeded();
}

static int bystander(void)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "bystander", "GPL", one,
			       ARRAY_SIZE(one), NULL);

	return fd < 0 ? refused("BPF_PROG_LOAD") : succeeded();
}

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	if (argc == 3 && !strcmp(argv[1], "modify-return"))
		return modify_return(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "extension"))
		return extension(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "bystander"))
		return bystander();
	errno = EINVAL;
	trouble("usage");
}
