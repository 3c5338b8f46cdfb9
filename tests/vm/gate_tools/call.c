/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls into the gate, step by step, with nothing of ours in between: for the tests.
 *
 *     call STEP...
 *
 * A step that calls the gate prints the errno of the call, one line each: 3000 is "accepted". It
 * checks nothing of what it sends; a file that isn't made of records ends it with 2.
 *
 *     from=FILE      reads records (docs/formats.md section 12); - is standard input
 *     take           the next blob of it, with its signatures, is the one that is sent
 *     begin[=LEN] put[=OFFSET,LEN] commit[=NSIG]   by default the whole blob, in as many parts as
 *                    it takes, and all its signatures
 *     send           begin, put, commit; prints the first answer that isn't 3000, or the last
 *     next           take, send
 *     unlock         hands the blob over as a token, with its signatures, in one call
 *     token          take, unlock
 *     race=N         N threads hand it over at once; prints their answers, the lowest first
 *     relock[=ID]    all tokens, or the one with this id, in hex
 *     run=COMMAND    a shell does it; prints nothing of its own
 *     call=COMMAND,ATTR,SIZE,VERSION,DATA,LEN,NSIG,SIGS   any request: numbers, or blob, sigs, edge
 *                    (the last byte that can be read) and nowhere for a pointer; ATTR is what bpf(2)
 *                    is told that the request's size is
 *     thread=STEP    does the step in another thread
 *     stall          another thread's put, and another's commit, wait for memory that never comes
 *     user=UID       drops root; groups stay
 *     namespace      becomes root of a user namespace of its own
 *     status         prints the gate's status between lines of dashes
 */
#define _GNU_SOURCE /* setresuid, unshare */
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <linux/userfaultfd.h>

#include "upload.h"

static struct stream input;
static struct upload current;
static uint8_t *edge; /* a page that nobody may read follows */

/* --- the caller ----------------------------------------------------------------------------- */

static void make_edge(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (two == MAP_FAILED || mprotect(two + page, page, PROT_NONE))
		trouble("edge");
	edge = two + page - 1;
}

static void *put_forever(void *never)
{
	begin(current.len);
	put(never, 1);
	return NULL;
}

static void *commit_forever(void *never)
{
	begin(current.len);
	put_all(&current);
	call(VERITY_COMMAND_COMMIT,
	     (struct verity_request){ .nsig = 1, .sigs = (uintptr_t)never });
	return NULL;
}

/* The page is missing, and nobody answers the fault: the thread waits inside the call. */
static void stall(void *(*how)(void *))
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct uffdio_api api = { .api = UFFD_API };
	void *never = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = { .range = { (uintptr_t)never, page },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg message;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	pthread_t thread;

	if (never == MAP_FAILED || fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		trouble("userfaultfd");
	if (pthread_create(&thread, NULL, how, never))
		trouble("thread");
	if (read(fd, &message, sizeof(message)) != sizeof(message))
		trouble("userfaultfd");
}

static void become(uid_t uid)
{
	/* Or /proc/self would still be root's. */
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1))
		trouble("user");
}

static void enter_namespace(void)
{
	uid_t uid = getuid();
	char map[64];
	int fd;

	if (unshare(CLONE_NEWUSER))
		trouble("unshare");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	fd = open("/proc/self/uid_map", O_WRONLY);
	if (fd < 0 || write(fd, map, strlen(map)) < 0 || setresuid(0, 0, 0))
		trouble("uid_map");
	close(fd);
}

/* --- steps ---------------------------------------------------------------------------------- */

static uint64_t number(char **text)
{
	static const char *const names[] = { "blob", "sigs", "edge", "nowhere" };
	const uint64_t values[] = { (uintptr_t)current.blob, (uintptr_t)current.sigs,
				    (uintptr_t)edge, 0xdead000 };
	char *word = strsep(text, ",");

	if (!word)
		trouble("a number is missing");
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		if (!strcmp(word, names[i]))
			return values[i];
	return strtoull(word, NULL, 0);
}

static int any_call(char *text)
{
	struct verity_request request = { 0 };
	uint32_t command = (uint32_t)number(&text), attr = (uint32_t)number(&text);

	request.size = (uint32_t)number(&text);
	request.version = (uint32_t)number(&text);
	request.data = number(&text);
	request.len = (uint32_t)number(&text);
	request.nsig = (uint32_t)number(&text);
	request.sigs = number(&text);
	return syscall(SYS_bpf, VERITY_COMMAND(command), &request, attr) < 0 ? errno : 0;
}

static int unlock(const struct upload *token)
{
	return call(VERITY_COMMAND_UNLOCK,
		    (struct verity_request){ .data = (uintptr_t)token->blob,
					     .len = token->len,
					     .nsig = token->nsig,
					     .sigs = (uintptr_t)token->sigs });
}

static int relock(const char *hex)
{
	struct verity_request request = { 0 };
	uint8_t id[VERITY_TOKEN_ID_SIZE];

	if (hex) {
		for (size_t i = 0; i < sizeof(id); i++)
			if (sscanf(hex + 2 * i, "%2hhx", &id[i]) != 1)
				trouble("an id in hex");
		request.data = (uintptr_t)id;
		request.len = sizeof(id);
	}
	return call(VERITY_COMMAND_RELOCK, request);
}

static pthread_barrier_t start_line;

static void *compete(void *answer)
{
	pthread_barrier_wait(&start_line);
	*(int *)answer = unlock(&current);
	return NULL;
}

static int compare(const void *left, const void *right)
{
	return *(const int *)left - *(const int *)right;
}

static void race(unsigned int count)
{
	pthread_t threads[64];
	int answers[64];

	if (!count || count > 64 || pthread_barrier_init(&start_line, NULL, count))
		trouble("race");
	for (unsigned int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, compete, &answers[i]))
			trouble("thread");
	for (unsigned int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	qsort(answers, count, sizeof(*answers), compare);
	for (unsigned int i = 0; i < count; i++)
		printf("%d\n", answers[i]);
}

static void print_status(void)
{
	char text[16384];
	int fd = open("/sys/fs/bpf/verity/status", O_RDONLY);
	ssize_t count;

	puts("---");
	fflush(stdout);
	if (fd < 0)
		trouble("status");
	while ((count = read(fd, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)count, stdout);
	if (count < 0)
		trouble("status");
	close(fd);
	puts("---");
}

static void *step(void *argument)
{
	char *word = argument, *value = strchr(word, '=');
	int answer = -1;

	if (value)
		*value++ = '\0';
	if (!strcmp(word, "from"))
		input = read_stream(value);
	else if (!strcmp(word, "take") && !take(&input, &current))
		trouble("no blob is left");
	else if (!strcmp(word, "begin"))
		answer = begin(value ? (uint32_t)strtoul(value, NULL, 0) : current.len);
	else if (!strcmp(word, "put") && !value)
		answer = put_all(&current);
	else if (!strcmp(word, "put")) {
		uint64_t offset = number(&value);

		answer = put(current.blob + offset, (uint32_t)number(&value));
	} else if (!strcmp(word, "commit"))
		answer = commit(&current, value ? (uint32_t)strtoul(value, NULL, 0) : current.nsig);
	else if (!strcmp(word, "send"))
		answer = send(&current);
	else if (!strcmp(word, "next"))
		answer = take(&input, &current) ? send(&current) : (trouble("no blob is left"), 0);
	else if (!strcmp(word, "unlock"))
		answer = unlock(&current);
	else if (!strcmp(word, "token"))
		answer = take(&input, &current) ? unlock(&current)
						: (trouble("no token is left"), 0);
	else if (!strcmp(word, "race"))
		race((unsigned int)strtoul(value, NULL, 0));
	else if (!strcmp(word, "relock"))
		answer = relock(value);
	else if (!strcmp(word, "run")) {
		fflush(stdout);
		if (system(value) < 0)
			trouble(value);
	} else if (!strcmp(word, "call"))
		answer = any_call(value);
	else if (!strcmp(word, "stall"))
		stall(put_forever), stall(commit_forever);
	else if (!strcmp(word, "user"))
		become((uid_t)strtoul(value, NULL, 0));
	else if (!strcmp(word, "namespace"))
		enter_namespace();
	else if (!strcmp(word, "status"))
		print_status();
	else if (strcmp(word, "take")) {
		errno = EINVAL;
		trouble(word);
	}
	if (answer >= 0)
		printf("%d\n", answer);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	make_edge();
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "thread=", 7)) {
			step(argv[i]);
			continue;
		}
		if (pthread_create(&thread, NULL, step, argv[i] + 7))
			trouble("thread");
		pthread_join(thread, NULL);
	}
	fflush(stdout);
	_exit(0); /* a thread that stalls is left behind */
}
