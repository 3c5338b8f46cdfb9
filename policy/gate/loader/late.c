/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was started before the seal: every privileged process's executable mappings, put to the gate.
 *
 * 1. Each file that is mapped executable is mapped so once more, here, through /proc/PID/map_files:
 *    the gate judges that as it judges every mapping, by the digest that the kernel has now and by
 *    its own grants, and counts what it would refuse. So nothing but the gate is believed, not even
 *    the bundle that it was loaded with.
 * 2. Executable memory without a file can't be measured, and is refused, unless the policy only
 *    observes it.
 * 3. An interpreter that the policy lists is refused, unless the gate itself has let that process start
 *    it, for a script that is granted (scripts.h).
 *
 * Privileged is who has uid 0 in any place, any capability, or, by the policy's word, a group, in any
 * of its threads. What it maps is read from a thread that lives: /proc shows nothing of a process whose
 * first thread has ended, while others go on. It is done twice: what was started during the first round
 * is found by the second. Who had the time to go before isn't found; the gate has counted what was
 * refused to them since it was loaded.
 */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST 8192
#define SCRIPTS_SIZE 65536
#define INTERPRETER "interpreter" /* the reason */
#define MAPPED_FILE "/proc/%ld/map_files/%lx-%lx"
#define CAP_WAKE_ALARM_BIT (1ull << 35) /* makes nobody privileged: docs/adr/0012 */

struct seen_file {
	unsigned int major, minor;
	unsigned long long inode;
	int is_interpreter; /* refused, but for who runs a granted script by it */
};

struct search {
	struct seen_file *files;
	size_t n_files;
	unsigned long last; /* the last line of the gate's log that was ours */
	char *scripts;	    /* the gate's lines, each the number of a task, behind an empty one */
	const struct late_policy *policy;
	struct late *out;
};

/* A line of /proc/PID/maps. */
struct mapping {
	unsigned long start, end;
	char permissions[5];
	struct seen_file file;
	const char *name;
};

static int parse_mapping(const char *line, struct mapping *out)
{
	int at = 0;

	out->name = "";
	if (sscanf(line, "%lx-%lx %4s %*x %x:%x %llu %n", &out->start, &out->end,
		   out->permissions, &out->file.major, &out->file.minor, &out->file.inode, &at) < 6)
		return 0;
	if (at)
		out->name = line + at;
	return 1;
}

static const struct seen_file *find_known(const struct search *s, const struct seen_file *file)
{
	size_t i;

	for (i = 0; i < s->n_files; i++)
		if (s->files[i].major == file->major && s->files[i].minor == file->minor &&
		    s->files[i].inode == file->inode)
			return &s->files[i];
	return NULL;
}

/* Whether the signed policy lets this pass with a line in the log. */
static int is_only_observed(const char *reason)
{
	static char text[32768];
	char line[96];

	snprintf(line, sizeof(line), "\nobserves %s\n", reason);
	return read_text(VERITY_PIN_STATUS, text, sizeof(text)) > 0 && strstr(text, line);
}

static void found(struct search *s, long pid, const char *name, const char *reason)
{
	char path[64];

	if (is_only_observed(reason))
		return;
	if (s->out->count++)
		return;
	s->out->pid = pid;
	snprintf(s->out->file, sizeof(s->out->file), "%s", name);
	snprintf(s->out->reason, sizeof(s->out->reason), "%s", reason);
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	if (read_text(path, s->out->comm, sizeof(s->out->comm)) < 0)
		snprintf(s->out->comm, sizeof(s->out->comm), "?");
	s->out->comm[strcspn(s->out->comm, "\n")] = '\0';
}

/*
 * What the gate would refuse of it: 0 nothing, 1 and the reason, or -errno. A line of its log begins:
 * SEQ BOOT_MS OUTCOME REASON ACT UID PID.
 */
static int ask_gate(struct search *s, int fd, char *reason, size_t size)
{
	static char text[VERITY_DENIALS * 1536]; /* all of it: the last line may stand anywhere in it */
	struct failure unused;
	struct gate_status before, after;
	unsigned long seq, before_it = s->last;
	const char *line;
	char word[64];
	long pid;
	void *map;

	if (status_read(&before, &unused) != 0)
		return -EIO;
	map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (map != MAP_FAILED)
		munmap(map, 4096);
	else if (errno != EPERM && errno != EACCES)
		return -errno;
	if (status_read(&after, &unused) != 0)
		return -EIO;
	if (map != MAP_FAILED &&
	    after.observed + after.denied == before.observed + before.denied)
		return 0;
	/* Somebody's was counted: ours is the last line with our own number, if there is one. */
	snprintf(reason, size, "unknown");
	if (read_text(VERITY_PIN_DENIALS, text, sizeof(text)) < 0)
		return 1;
	for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (sscanf(line, "%lu %*u %*s %63s map %*u %ld", &seq, word, &pid) == 3 &&
		    pid == (long)getpid() && seq > s->last) {
			s->last = seq;
			snprintf(reason, size, "%s", word);
		}
	return map == MAP_FAILED || s->last > before_it;
}

/* What can't be read is an empty list: then each is refused. */
static void read_scripts(struct search *s)
{
	s->scripts[0] = '\n';
	if (read_text(VERITY_PIN_SCRIPTS, s->scripts + 1, SCRIPTS_SIZE - 1) < 0)
		s->scripts[1] = '\0';
}

/* Whether what is mapped is the task's program, and the gate says that it runs a granted script. */
static int runs_script(const struct search *s, long pid, const struct mapping *mapping)
{
	char line[32], exe[64], mapped[96];
	struct stat program, file;

	snprintf(line, sizeof(line), "\n%ld\n", pid);
	snprintf(exe, sizeof(exe), "/proc/%ld/exe", pid);
	snprintf(mapped, sizeof(mapped), MAPPED_FILE, pid, mapping->start, mapping->end);
	return strstr(s->scripts, line) && stat(exe, &program) == 0 && stat(mapped, &file) == 0 &&
	       program.st_dev == file.st_dev && program.st_ino == file.st_ino;
}

/* The gate is asked of each file once. Whether that is an interpreter, to be judged by who runs it. */
static int ask_of_file(struct search *s, long pid, struct mapping *mapping)
{
	char path[96], reason[64] = "";
	int fd, result;

	snprintf(path, sizeof(path), MAPPED_FILE, pid, mapping->start, mapping->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT && errno != ESRCH)
			found(s, pid, mapping->name, "unreadable");
		return 0;
	}
	result = ask_gate(s, fd, reason, sizeof(reason));
	close(fd);
	mapping->file.is_interpreter = result > 0 && !strcmp(reason, INTERPRETER);
	if (s->n_files < FILES_MOST)
		s->files[s->n_files++] = mapping->file;
	if (result && !mapping->file.is_interpreter)
		found(s, pid, mapping->name, result < 0 ? "unreadable" : reason);
	return mapping->file.is_interpreter;
}

static void check_file(struct search *s, long pid, struct mapping *mapping)
{
	const struct seen_file *known = find_known(s, &mapping->file);

	if (runs_script(s, pid, mapping) ||
	    !(known ? known->is_interpreter : ask_of_file(s, pid, mapping)))
		return;
	read_scripts(s); /* it may have begun since */
	if (!runs_script(s, pid, mapping))
		found(s, pid, mapping->name, INTERPRETER);
}

static void check_mapping(struct search *s, long pid, struct mapping *mapping)
{
	static const char *const kernels[] = { "[vdso]", "[vsyscall]", "[uprobes]" };
	size_t i;

	if (mapping->permissions[2] != 'x')
		return;
	if (mapping->file.inode) {
		check_file(s, pid, mapping);
		return;
	}
	for (i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
		if (!strcmp(mapping->name, kernels[i]))
			return;
	found(s, pid, *mapping->name ? mapping->name : "memory without a file", "anonymous");
}

/* Whether one of the numbers behind `key` is among those that count. */
static int has_number(const char *status, const char *key, const uint32_t *counting, size_t count)
{
	const char *at = strstr(status, key);
	char *end;
	size_t i;

	if (!at)
		return 1;
	for (at += strlen(key);; at = end) {
		unsigned long number = strtoul(at, &end, 10);

		if (end == at || memchr(at, '\n', (size_t)(end - at)))
			return 0;
		for (i = 0; i < count; i++)
			if (number == counting[i])
				return 1;
	}
}

static int is_privileged(const char *status, const struct late_policy *policy)
{
	static const char *const sets[] = { "\nCapInh:", "\nCapPrm:", "\nCapAmb:" };
	static const uint32_t root;
	size_t i;

	if (has_number(status, "\nUid:", &root, 1))
		return 1;
	for (i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		const char *at = strstr(status, sets[i]);

		if (!at || strtoull(at + strlen(sets[i]), NULL, 16) & ~CAP_WAKE_ALARM_BIT)
			return 1;
	}
	return !policy->known || has_number(status, "\nGid:", policy->groups, policy->count) ||
	       has_number(status, "\nGroups:", policy->groups, policy->count);
}

static int is_privileged_thread(struct search *s, long pid, long tid)
{
	char path[96], status[4096];

	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/status", pid, tid);
	return read_text(path, status, sizeof(status)) > 0 && is_privileged(status, s->policy);
}

/* 0 if it has nothing mapped any more: it has ended. */
static int check_thread(struct search *s, long pid, long tid)
{
	struct mapping mapping = { 0 };
	char path[96], *line = NULL;
	int count = 0;
	size_t room = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/maps", pid, tid);
	maps = fopen(path, "re");
	if (!maps) {
		if (errno != ENOENT && errno != ESRCH)
			found(s, pid, path, "unreadable");
		return 0;
	}
	for (; getline(&line, &room, maps) > 0; count++) {
		line[strcspn(line, "\n")] = '\0';
		if (parse_mapping(line, &mapping))
			check_mapping(s, tid, &mapping);
	}
	free(line);
	fclose(maps);
	return count;
}

/* Whether one of the threads says yes; the others aren't asked then. */
static int ask_threads(struct search *s, long pid, int (*ask)(struct search *, long, long))
{
	char path[64], *end;
	struct dirent *entry;
	DIR *threads;
	int answer = 0;

	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	threads = opendir(path);
	if (!threads && errno != ENOENT && errno != ESRCH)
		found(s, pid, path, "unreadable");
	while (threads && !answer && (entry = readdir(threads))) {
		long tid = strtol(entry->d_name, &end, 10);

		if (end != entry->d_name && !*end)
			answer = ask(s, pid, tid);
	}
	if (threads)
		closedir(threads);
	return answer;
}

/* Each thread has ids of its own, and all of them have what one has mapped. */
static void check_process(struct search *s, long pid)
{
	if (ask_threads(s, pid, is_privileged_thread))
		ask_threads(s, pid, check_thread);
}

static int one_round(struct search *s, struct failure *f)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	char *end;
	long pid;

	if (!processes)
		return cannot(f, errno, "mount /proc", "the processes can't be listed");
	while ((entry = readdir(processes))) {
		pid = strtol(entry->d_name, &end, 10);
		if (end != entry->d_name && !*end && pid > 0 && pid != (long)getpid())
			check_process(s, pid);
	}
	closedir(processes);
	return 0;
}

int late_check(const struct late_policy *policy, struct late *out, struct failure *f)
{
	struct search search = { .policy = policy, .out = out };
	int result;

	memset(out, 0, sizeof(*out));
	search.files = calloc(FILES_MOST, sizeof(*search.files));
	search.scripts = malloc(SCRIPTS_SIZE);
	result = search.files && search.scripts
			 ? 0
			 : cannot(f, ENOMEM, "free memory", "what runs can't be looked at");
	if (!result) {
		read_scripts(&search);
		result = one_round(&search, f);
	}
	if (!result && !out->count)
		result = one_round(&search, f);
	free(search.files);
	free(search.scripts);
	return result;
}
