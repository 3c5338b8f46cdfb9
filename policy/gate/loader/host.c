/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files, who an unlock token must name, and whether this host can run the gate. It changes nothing.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/magic.h>

int read_file(const char *path, size_t most, struct bytes *out, struct failure *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int result = 0;

	memset(out, 0, sizeof(*out));
	out->name = path;
	if (fd < 0)
		return cannot(f, errno,
			      errno == EACCES ? "run it as root" :
						"name an existing file, and no symbolic link",
			      "%s can't be opened", path);
	if (fstat(fd, &st) != 0)
		result = cannot(f, errno, HINT_LOG, "%s can't be read", path);
	else if (!S_ISREG(st.st_mode))
		result = refuse(f, "name a plain file", "%s: not a plain file", path);
	else if (st.st_size <= 0 || (uint64_t)st.st_size > most)
		result = refuse(f, "it is not what verity makes: make it anew",
				"%s: %lld bytes, expected 1 to %zu", path, (long long)st.st_size,
				most);
	if (!result) {
		out->data = malloc((size_t)st.st_size);
		if (!out->data)
			result = cannot(f, ENOMEM, "free memory", "%s: reading it", path);
	}
	while (!result && out->len < (size_t)st.st_size) {
		ssize_t count = read(fd, out->data + out->len, (size_t)st.st_size - out->len);

		if (count > 0)
			out->len += (size_t)count;
		else if (!count)
			result = refuse(f, "something writes to it: try again",
					"%s became shorter while it was read", path);
		else if (errno != EINTR)
			result = cannot(f, errno, HINT_LOG,
					"%s can't be read", path);
	}
	close(fd);
	return result;
}

void free_bytes(struct bytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof(*bytes));
}

ssize_t read_text(const char *path, char *room, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len + 1 < size) {
		ssize_t count = read(fd, room + len, size - 1 - len);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			int error = errno;

			close(fd);
			return -error;
		}
		if (!count)
			break;
		len += (size_t)count;
	}
	close(fd);
	room[len] = '\0';
	return (ssize_t)len;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		result = errno ? -errno : -EIO;
	close(fd);
	return result;
}

/* --- who a token must name ---------------------------------------------------------------- */

int host_id_read(const char *path, uint8_t out[VERITY_HOST_ID_SIZE], struct failure *f)
{
	struct bytes text;
	int result = 0;

	memset(out, 0, VERITY_HOST_ID_SIZE);
	if (!path)
		return 0;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return 1;
	result = read_file(path, 4096, &text, f);
	if (!result)
		result = host_id_parse(&text, out, f);
	free(text.data);
	return result;
}

int boot_nonce_draw(uint8_t out[VERITY_NONCE_SIZE], struct failure *f)
{
	ssize_t len;

	/* At most 256 bytes come whole, unless a signal comes first: all that could are blocked. */
	do {
		len = getrandom(out, VERITY_NONCE_SIZE, 0);
	} while (len < 0 && errno == EINTR);
	return len == VERITY_NONCE_SIZE
		       ? 0
		       : cannot(f, len < 0 ? errno : EIO, HINT_LOG, "a boot nonce can't be drawn");
}

/* --- the host ------------------------------------------------------------------------------ */

static int has_capabilities(void)
{
	/*
	 * The first stands for CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, too. The last is to look at
	 * PID 1 from a service that has fewer capabilities than it.
	 */
	static const unsigned int needed[] = { CAP_SYS_ADMIN, CAP_SETUID, CAP_SYS_PTRACE };
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	size_t i;

	if (syscall(SYS_capget, &header, data) != 0)
		return 0;
	for (i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!(data[needed[i] / 32].effective & 1u << (needed[i] % 32)))
			return 0;
	return 1;
}

/* Root, with its capabilities, where PID 1 is: nobody else's mounts and users. */
static int check_privilege(struct failure *f)
{
	struct stat own, first;
	char map[128];
	unsigned int inside, outside, count;

	if (getuid() != 0 || geteuid() != 0)
		return cannot(f, EPERM, "run it as root", "loading the gate");
	if (read_text("/proc/self/uid_map", map, sizeof(map)) < 0 ||
	    sscanf(map, "%u %u %u", &inside, &outside, &count) != 3 || inside || outside ||
	    count != 4294967295u)
		return cannot(f, 0, "run it on the host itself, not in a container",
			      "not in the initial user namespace, or /proc is not mounted");
	if (!has_capabilities())
		return cannot(f, EPERM,
			      "it needs CAP_SYS_ADMIN, CAP_SYS_PTRACE and CAP_SETUID: mind "
			      "CapabilityBoundingSet= of its unit",
			      "loading the gate without its capabilities");
	if (stat("/proc/self/ns/mnt", &own) != 0 || stat("/proc/1/ns/mnt", &first) != 0)
		return cannot(f, errno, "mount /proc", "the mount namespace can't be told");
	if (own.st_ino != first.st_ino || own.st_dev != first.st_dev)
		return cannot(f, 0,
			      "run it where PID 1 runs: no PrivateMounts=, ProtectSystem= or unshare",
			      "not in the mount namespace of PID 1: nobody would see the gate");
	return 0;
}

static int has_word(const char *list, const char *word)
{
	size_t len = strlen(word);
	const char *at;

	for (at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ',') &&
		    (at[len] == ',' || at[len] == '\n' || !at[len]))
			return 1;
	return 0;
}

static int check_kernel(struct failure *f)
{
	char text[1024];
	ssize_t len = read_text("/sys/kernel/security/lsm", text, sizeof(text));

	if (len < 0)
		return cannot(f, (int)-len,
			      "mount -t securityfs securityfs /sys/kernel/security",
			      "/sys/kernel/security/lsm can't be read");
	if (!has_word(text, "bpf"))
		return cannot(f, 0,
			      "boot with lsm=LIST where LIST is what is there now and ,bpf behind "
			      "it; the kernel needs CONFIG_BPF_LSM",
			      "the BPF LSM is not active: /sys/kernel/security/lsm says %.*s",
			      (int)strcspn(text, "\n"), text);
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
		return cannot(f, errno, "boot a kernel with CONFIG_DEBUG_INFO_BTF",
			      "/sys/kernel/btf/vmlinux can't be read");
	len = read_text("/proc/sys/kernel/ftrace_enabled", text, sizeof(text));
	if (len < 0)
		return cannot(f, (int)-len, "boot a kernel with CONFIG_DYNAMIC_FTRACE",
			      "/proc/sys/kernel/ftrace_enabled can't be read");
	if (strcmp(text, "1\n") != 0)
		return cannot(f, 0, "sysctl kernel.ftrace_enabled=1",
			      "ftrace is switched off: the kernel would not call the gate");
	return 0;
}

static int check_file_system(const char *path, uint64_t magic, const char *hint,
			     struct failure *f)
{
	struct statfs st;

	if (statfs(path, &st) != 0)
		return cannot(f, errno, hint, "%s can't be examined", path);
	if ((uint64_t)st.f_type != magic)
		return cannot(f, 0, hint, "%s is another kind of file system", path);
	return 0;
}

int host_check(struct failure *f)
{
	int result = check_privilege(f);

	if (!result)
		result = check_kernel(f);
	if (!result)
		result = check_file_system(VERITY_BPFFS, BPF_FS_MAGIC,
					   "mount -t bpf bpf " VERITY_BPFFS, f);
	if (!result)
		result = check_file_system("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC,
					   "mount -t cgroup2 cgroup2 /sys/fs/cgroup", f);
	if (result)
		return result;
	result = gate_answers();
	if (result > 0)
		return refuse(f, "verity lockdown status shows it; another one needs a reboot",
			      "a gate is loaded already");
	if (result < 0)
		return cannot(f, -result, "see which other LSM refuses bpf(2)",
			      "the kernel can't be asked for a gate");
	return 0;
}
