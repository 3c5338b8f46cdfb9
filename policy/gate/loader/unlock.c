/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verity-unlock: the way in where nothing else runs. Static, for an initramfs or a rescue shell: it
 * needs /sys/fs/bpf, and neither Python, network, clock nor /var.
 *
 * It judges no token: the gate verifies it. What was done goes to the kernel's log; what the gate has
 * taken, `verity unlock` adds to the ledger from its status.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What who logs in reads; verity-unlock.timer keeps it up to date once it is there. */
#define NOTICE "/run/motd.d/verity-unlock"

static const char usage[] =
	"usage: verity-unlock                 prints this host's challenge, for `verity unlock sign`\n"
	"       verity-unlock TOKEN           hands a token to the gate; a session gets a shell\n"
	"       verity-unlock --typed         the same, typed in or from a pipe\n"
	"       verity-unlock --relock [ID]   ends all unlocks, or one\n"
	"\n"
	"Exit status: 0 done, 1 refused, 2 bad arguments, 3 this host can't.\n";

static int read_challenge(struct challenge *out, struct failure *f)
{
	static char text[512 * 1024];
	ssize_t len = read_text(VERITY_PIN_STATUS, text, sizeof(text));

	if (len < 0)
		return cannot(f, (int)-len, "no gate is loaded, or: mount -t bpf bpf " VERITY_BPFFS,
			      VERITY_PIN_STATUS " can't be read");
	return challenge_parse(text, out, f);
}

static char *hex_put(char *room, const uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(room + 2 * i, "%02x", data[i]);
	return room;
}

static int print_challenge(const struct challenge *here, struct failure *f)
{
	char nonce[2 * VERITY_NONCE_SIZE + 1], id[2 * VERITY_HOST_ID_SIZE + 1];

	printf("boot_nonce %s\nhost_id %s\npolicy_serial %llu\nboot_clock_s %llu\n",
	       hex_put(nonce, here->boot_nonce, VERITY_NONCE_SIZE),
	       hex_put(id, here->host_id, VERITY_HOST_ID_SIZE),
	       (unsigned long long)here->policy_serial, (unsigned long long)here->boot_clock_s);
	return fflush(stdout) ? cannot(f, errno, HINT_LOG, "the challenge can't be printed") : 0;
}

/* Group by group: what is wrong is typed again, and all of it is there before it goes on. */
static int ask(const struct challenge *here, struct token *token, struct failure *f)
{
	static char text[TYPED_MAX];
	char line[TYPED_LINE];
	size_t len = 0;

	fputs("type the token, a group a line:\n", stderr);
	while (len + sizeof(line) < sizeof(text) && fgets(line, sizeof(line), stdin)) {
		if (typed_check(line, f) != 0) {
			fprintf(stderr, "%s: %s\n", f->message, f->hint);
			continue;
		}
		len += (size_t)sprintf(text + len, "%s", line);
		if (typed_decode(text, len, here, token, f) != -ENODATA)
			break;
		fprintf(stderr, "%s\n", f->message);
	}
	return typed_decode(text, len, here, token, f);
}

static int read_token(const char *path, const struct challenge *here, struct token *token,
		      struct failure *f)
{
	static char text[TYPED_MAX + 1];
	struct bytes file;
	int result;

	if (!path && isatty(0))
		return ask(here, token, f);
	if (!path)
		return typed_decode(text, fread(text, 1, sizeof(text), stdin), here, token, f);
	result = read_file(path, TYPED_MAX, &file, f);
	if (!result)
		result = token_parse(&file, token, f);
	free(file.data);
	return result;
}

static int log_it(const char *what, const struct token *token)
{
	char line[160], id[2 * VERITY_TOKEN_ID_SIZE + 1] = "all";

	if (token)
		hex_put(id, token->token.token_id, VERITY_TOKEN_ID_SIZE);
	snprintf(line, sizeof(line), "<4>verity-unlock: %s %s\n", what, id);
	if (write_text("/dev/kmsg", line) != 0)
		fprintf(stderr, "verity-unlock: warning: /dev/kmsg can't be written\n");
	return printf("%s %s\n", what, id) < 0 ? -EIO : 0;
}

/* Whoever can't be told isn't told: that is no reason to fail. */
static void write_new_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		unlink(path);
	if (fd >= 0)
		close(fd);
}

static int apply(const char *path, struct failure *f)
{
	struct challenge here;
	struct token token;
	int result = read_challenge(&here, f);

	if (!result)
		result = read_token(path, &here, &token, f);
	if (result)
		return result;
	log_it("applying", &token); /* before the effect */
	result = gate_unlock(&token, f);
	log_it(result ? "refused" : "unlocked", &token);
	if (!result && token.token.duration_s) {
		mkdir("/run/motd.d", 0755);
		write_new_text(NOTICE, "*** verity: this host is UNLOCKED\n");
	}
	if (result || token.token.scope != VERITY_UNLOCK_SESSION || !token.token.duration_s)
		return result;
	/* Whoever applied it is the session, with all that it begins. */
	fflush(NULL);
	execl("/bin/sh", "sh", (char *)NULL);
	return cannot(f, errno, HINT_LOG, "unlocked, and /bin/sh can't be started");
}

static int relock(const char *id, struct failure *f)
{
	struct token token = { .nsig = 0 };
	int result;

	if (id && !hex_parse(id, token.token.token_id, VERITY_TOKEN_ID_SIZE))
		return refuse(f, "`cat " VERITY_PIN_STATUS "` shows the ids", "%s: no id", id);
	result = gate_relock(id ? &token : NULL, f);
	return result ? result : log_it("relocked", id ? &token : NULL);
}

int main(int argc, char **argv)
{
	struct failure f = { .status = STATUS_HOST };
	struct challenge here;
	const char *what = argc > 1 ? argv[1] : "";
	int result;

	if (argc == 2 && !strcmp(what, "--help"))
		return fputs(usage, stdout) < 0 ? STATUS_HOST : 0;
	if (argc > 3 || (argc == 3 && strcmp(what, "--relock")) ||
	    (*what == '-' && strcmp(what, "--relock") && strcmp(what, "--typed"))) {
		fputs(usage, stderr);
		return STATUS_USAGE;
	}
	if (argc == 1) {
		result = read_challenge(&here, &f);
		if (!result)
			result = print_challenge(&here, &f);
	} else if (!strcmp(what, "--relock")) {
		result = relock(argc == 3 ? argv[2] : NULL, &f);
	} else {
		result = apply(strcmp(what, "--typed") ? what : NULL, &f);
	}
	if (!result)
		return 0;
	fprintf(stderr, "verity-unlock: error: %s\n  hint: %s\n", f.message, f.hint);
	return f.status;
}
