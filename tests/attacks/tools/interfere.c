/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interfere ACT ARGUMENT: loads a BPF program of ours beside the gate's.
 *
 *   modify-return FUNCTION   attached to FUNCTION with the return value 1, which callers that test
 *                            for a negative value take as permission; gone when this ends
 *   cgroup HOOK [PROGRAM...] a program of the root cgroup on the LSM's hook, with the return value 1,
 *                            too, and PROGRAM run under it
 *   sysctl PROGRAM...        a program of the root cgroup on sysctl, with bpf_set_retval(0), which
 *                            allows what others refuse, and PROGRAM run under it
 *   pinned PATH              a program of the first kind, attached to nothing, pinned at PATH
 *   pinned-sysctl PATH       likewise of the third
 *   extension DIRECTORY      DIRECTORY/target.bpf.o, and DIRECTORY/extension.bpf.o in place of its
 *                            function
 *   link PATH                a program of the root cgroup, its link pinned at PATH: what must stay
 *   watch PATH               as the policy says; and one on sysctl that only watches
 *   load KIND                a program of a kind that traces, attached to nothing
 */
#include "tool.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/wait.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#endif

/* r0 = 1; exit */
static const struct bpf_insn one[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int modify_return(const char *function, const char *pin)
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
	if (pin)
		return bpf_obj_pin(fd, pin) < 0 ? refused("BPF_OBJ_PIN") : succeeded();
	return bpf_raw_tracepoint_open(NULL, fd) < 0 ? refused("attach") : succeeded();
}

/* bpf_set_retval(value); r0 = 1, which leaves the value as it was set; exit */
#define SET(value) \
	{ \
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = value }, \
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_set_retval }, \
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 }, \
		{ .code = BPF_JMP | BPF_EXIT }, \
	}
static const struct bpf_insn set_one[] = SET(1), set_zero[] = SET(0);

static int root_cgroup(void)
{
	int cgroup = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (cgroup < 0)
		trouble("the root cgroup");
	return cgroup;
}

static int run(char **program)
{
	pid_t child = fork();
	int status;

	if (!child) {
		execvp(*program, program);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		trouble("fork");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int of_cgroup(const char *hook, char **program)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_LSM_CGROUP);
	int id = libbpf_find_vmlinux_btf_id(hook, BPF_LSM_CGROUP), fd;

	if (id < 0) {
		errno = -id;
		trouble(hook);
	}
	options.attach_btf_id = id;
	fd = bpf_prog_load(BPF_PROG_TYPE_LSM, "attack", "GPL", set_one, ARRAY_SIZE(set_one),
			   &options);
	if (fd < 0)
		return refused("BPF_PROG_LOAD");
	if (bpf_link_create(fd, root_cgroup(), BPF_LSM_CGROUP, NULL) < 0)
		return refused("BPF_LINK_CREATE");
	return *program ? run(program) : succeeded();
}

static int on_sysctl(const struct bpf_insn *program, size_t len)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_SYSCTL);

	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SYSCTL, "attack", "GPL", program, len, &options);
}

static int under_sysctl(char **program)
{
	int fd = on_sysctl(set_zero, ARRAY_SIZE(set_zero));

	if (fd < 0)
		return refused("BPF_PROG_LOAD");
	if (bpf_link_create(fd, root_cgroup(), BPF_CGROUP_SYSCTL, NULL) < 0)
		return refused("BPF_LINK_CREATE");
	return run(program);
}

static int pinned_sysctl(const char *pin)
{
	int fd = on_sysctl(set_zero, ARRAY_SIZE(set_zero));

	if (fd < 0)
		return refused("BPF_PROG_LOAD");
	return bpf_obj_pin(fd, pin) < 0 ? refused("BPF_OBJ_PIN") : succeeded();
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

static int pinned_link(int program, enum bpf_attach_type type, const char *pin)
{
	int link;

	if (program < 0)
		return refused("BPF_PROG_LOAD");
	link = bpf_link_create(program, root_cgroup(), type, NULL);
	if (link < 0)
		return refused("BPF_LINK_CREATE");
	return bpf_obj_pin(link, pin) < 0 ? refused("BPF_OBJ_PIN") : succeeded();
}

static int on_packets(void)
{
	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "bystander", "GPL", one, ARRAY_SIZE(one),
			     NULL);
}

static const struct {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
} tracing[] = {
	{ "kprobes", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI },
	{ "tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0 },
	{ "raw-tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0 },
	{ "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY },
};

static int load_tracing(const char *kind)
{
	static const struct bpf_insn zero[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options);

	for (size_t i = 0; i < ARRAY_SIZE(tracing); i++) {
		if (strcmp(tracing[i].name, kind) != 0)
			continue;
		options.expected_attach_type = tracing[i].attach;
		if (tracing[i].type == BPF_PROG_TYPE_TRACING)
			options.attach_btf_id = libbpf_find_vmlinux_btf_id("security_bpf_map",
									   tracing[i].attach);
		return bpf_prog_load(tracing[i].type, "attack", "GPL", zero, ARRAY_SIZE(zero),
				     &options) < 0 ? refused("BPF_PROG_LOAD") : succeeded();
	}
	errno = EINVAL;
	trouble(kind);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

int main(int argc, char **argv)
{
	const char *act = argc >= 3 ? argv[1] : "usage";

	libbpf_set_print(quiet);
	if (!strcmp(act, "cgroup"))
		return of_cgroup(argv[2], argv + 3);
	if (!strcmp(act, "modify-return"))
		return modify_return(argv[2], NULL);
	if (!strcmp(act, "pinned"))
		return modify_return("security_bpf_map", argv[2]);
	if (!strcmp(act, "extension"))
		return extension(argv[2]);
	if (!strcmp(act, "load"))
		return load_tracing(argv[2]);
	if (!strcmp(act, "link"))
		return pinned_link(on_packets(), BPF_CGROUP_INET_EGRESS, argv[2]);
	if (!strcmp(act, "watch"))
		return pinned_link(on_sysctl(one, ARRAY_SIZE(one)), BPF_CGROUP_SYSCTL, argv[2]);
	if (!strcmp(act, "sysctl"))
		return under_sysctl(argv + 2);
	if (!strcmp(act, "pinned-sysctl"))
		return pinned_sysctl(argv[2]);
	errno = EINVAL;
	trouble(act);
}
