/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verity-load: loads the gate at boot. It reads pins and bundle, puts the keys into the kernel,
 * hands the signed blobs to the gate, and seals. For the order see load().
 *
 * It decides nothing: what counts is what the gate verified. It starts no other program, reads
 * no environment, and leaves the host as it was when a step fails. Only the seal and kernel
 * lockdown, the last steps, can't be undone.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OBJECT_NAME "gate.bpf.o"

struct loader {
	struct options options;
	struct bytes pins[2];
	struct documents documents;
	struct place place;
	struct gate gate;
	struct keyrings keyrings;
	char object[4096];
};

/* Beside this program, by the kernel's word and not by argv[0]. */
static int find_object(struct loader *l, struct failure *f)
{
	ssize_t len;
	char *slash;

	if (l->options.object) {
		if (strlen(l->options.object) >= sizeof(l->object))
			return cannot(f, ENAMETOOLONG, "name a shorter path", "--object");
		strcpy(l->object, l->options.object);
		return 0;
	}
	len = readlink("/proc/self/exe", l->object, sizeof(l->object) - sizeof(OBJECT_NAME));
	if (len < 0)
		return cannot(f, errno, "mount /proc, or give --object",
			      "the folder of this program");
	l->object[len] = '\0';
	slash = strrchr(l->object, '/');
	strcpy(slash ? slash + 1 : l->object, OBJECT_NAME);
	return 0;
}

/* Roles that a `keys` blob fills: all but root, which comes from the pin. */
#define ROLES_OF_KEYS (((1u << VERITY_ROLES) - 1) & ~(1u << VERITY_ROLE_ROOT))

/*
 * Each blob in order, but the floors, which the gate has already; the keys of a `keys` go into
 * keyrings once the gate has accepted it.
 */
static int import_all(struct loader *l, struct failure *f)
{
	const struct bytes *bundle = &l->documents.bundle;
	struct bundle_cursor cursor = { 0 };
	struct blob blob;
	struct key_list list;
	int result, next, finished = 0;

	while ((next = bundle_next(bundle, &cursor, &blob, f)) > 0) {
		if (blob.kind == VERITY_RECORD_FLOORS)
			continue;
		if (blob.kind != VERITY_RECORD_KEYS && !finished) {
			result = keyrings_finish(&l->keyrings, f);
			if (result)
				return result;
			finished = 1;
		}
		result = gate_import(&blob, bundle->name, f);
		if (!result && blob.kind == VERITY_RECORD_POLICY)
			open_guarded(&blob);
		if (!result && blob.kind == VERITY_RECORD_KEYS)
			result = keys_parse(&blob, bundle->name, &list, f);
		if (!result && blob.kind == VERITY_RECORD_KEYS)
			result = keyrings_fill(&l->keyrings, &list, ROLES_OF_KEYS, f);
		if (result)
			return result;
	}
	return next || finished ? next : keyrings_finish(&l->keyrings, f);
}

/* 8. Sets *state to the word for what the gate is in now. */
static int seal(struct loader *l, const char **state, struct failure *f)
{
	struct gate_status status;
	int result = status_read(&status, f);
	int weak;

	if (result)
		return result;
	*state = "observe";
	if (!strcmp(status.policy_mode, "trial"))
		fprintf(stderr, "verity-load: warning: the policy's mode trial is not in this version:"
			" only observing\n  hint: sign the next policy serial with the mode sealed\n");
	if (l->options.observe || strcmp(status.policy_mode, "sealed") != 0) {
		if (status.anchors_lost)
			fprintf(stderr, "verity-load: warning: %llu guarded directories found no room\n"
				"  hint: guard fewer directories: with these it won't seal\n",
				(unsigned long long)status.anchors_lost);
		result = gate_set_state(&l->gate, VERITY_STATE_OBSERVE, f);
		return result ? result : gate_freeze(&l->gate, f);
	}
	/* Known before anything that can't be undone; the gate looks again when it seals. */
	if (!status.code_entries)
		return refuse(f, "put grants into the bundle",
			      "nothing is granted: a sealed gate would let no program start");
	if (status.revoked_documents)
		return refuse(f, "have them signed anew, with keys that still count",
			      "keys or policy are signed by too few keys that are not revoked");
	if (status.foreign_programs)
		return refuse(f, "see bpftool prog list; unload it, or load the gate first",
			      "%llu modify-return, extension, LSM cgroup or answering sysctl "
			      "programs are loaded",
			      (unsigned long long)status.foreign_programs);
	if (status.anchors_lost)
		return refuse(f, "guard fewer directories, or free some memory, and load it again",
			      "the gate remembers %llu guarded directories, and %llu found no room: "
			      "renamed, they would be guarded no more",
			      (unsigned long long)status.anchors,
			      (unsigned long long)status.anchors_lost);
	result = gate_freeze(&l->gate, f);
	if (result)
		return result;
	weak = lock_kernel_down();
	if (weak)
		fprintf(stderr, "verity-load: warning: the kernel can't be locked down: %s\n"
			"  hint: boot a kernel with CONFIG_SECURITY_LOCKDOWN_LSM and lockdown in "
			"lsm=\n", strerror(-weak));
	result = gate_seal(f);
	if (!result)
		result = canary(1, f);
	*state = weak ? "sealed-weak" : "sealed";
	return result;
}

static int load(struct loader *l, const char **state, struct failure *f)
{
	struct verity_config config = { .state = VERITY_STATE_LOADING };
	uint32_t party;
	int result;

	/* 0. The documents, then the host: nothing is changed before both are good. */
	result = find_object(l, f);
	for (party = 0; !result && party < 2; party++)
		result = read_file(l->options.pins[party], 65536, &l->pins[party], f);
	if (!result)
		result = read_file(l->options.bundle, VERITY_BUNDLE_MAX, &l->documents.bundle, f);
	if (!result)
		result = documents_check(l->pins, &l->documents, f);
	if (!result)
		result = host_check(f);
	if (result)
		return result;
	/* 1. A bpffs of the gate's own. */
	result = place_make(&l->place, f);
	if (result)
		return result;
	/* 2. The programs: loaded, told what is theirs, attached, pinned. */
	config.gate_dev = l->place.dev;
	for (party = VERITY_PARTY_VENDOR; party < VERITY_PARTIES; party++)
		config.root_threshold[party] =
			l->documents.pins[party].thresholds[VERITY_ROLE_ROOT];
	result = gate_load(&l->gate, l->object, f);
	if (!result) {
		config.backing = gate_sees_backing(&l->gate) ? 1 : 0;
		result = gate_configure(&l->gate, &config, f);
	}
	if (!result)
		result = gate_set_floors(&l->gate, &l->documents.floors, f);
	if (!result)
		result = gate_attach(&l->gate, f);
	/* 3. The root keys, from the pins. */
	if (!result)
		result = keyrings_begin(&l->keyrings, &l->gate, f);
	for (party = VERITY_PARTY_VENDOR; !result && party < VERITY_PARTIES; party++)
		result = keyrings_fill(&l->keyrings, &l->documents.pins[party],
				       1u << VERITY_ROLE_ROOT, f);
	/* 4. Pages of before the gate, which nobody has verified. */
	if (!result)
		result = drop_caches(f);
	/* 5. What is signed. */
	if (!result)
		result = import_all(l, f);
	/* 6. Who else could change an answer; 7. whether answers are asked for at all. */
	if (!result)
		result = gate_census(&l->gate, f);
	if (!result)
		result = canary(0, f);
	return result ? result : seal(l, state, f);
}

/*
 * Pins first: a link that is pinned stays attached when its descriptor is closed. Keyrings last:
 * as long as it is attached the gate guards them.
 */
static void undo(struct loader *l)
{
	int result = place_remove(&l->place);
	int detached = gate_close(&l->gate);

	keyrings_remove(&l->keyrings);
	if (!result)
		result = detached;
	if (result)
		fprintf(stderr, "verity-load: warning: the gate can't be removed again: %s\n"
			"  hint: reboot\n", strerror(-result));
}

static void print_failure(const struct failure *f)
{
	const char *line = f->detail;

	fprintf(stderr, "verity-load: error: %s\n  hint: %s\n", f->message, f->hint);
	while (*line) {
		int len = (int)strcspn(line, "\n");

		fprintf(stderr, "  %.*s\n", len, line);
		line += len + (line[len] == '\n');
	}
}

int main(int argc, char **argv)
{
	struct failure failure = { .status = STATUS_HOST };
	struct loader loader = { 0 };
	const char *state = "";
	sigset_t interruptions;
	int status = options_parse(argc, argv, &loader.options);

	if (status >= 0)
		return status;
	/* Not between two steps: what is half-done would stay. */
	sigemptyset(&interruptions);
	sigaddset(&interruptions, SIGINT);
	sigaddset(&interruptions, SIGTERM);
	sigaddset(&interruptions, SIGHUP);
	sigaddset(&interruptions, SIGPIPE);
	sigprocmask(SIG_BLOCK, &interruptions, NULL);
	status = 0;
	if (load(&loader, &state, &failure) != 0) {
		undo(&loader);
		print_failure(&failure);
		status = failure.status;
	} else {
		printf("state %s\n", state);
	}
	free(loader.pins[0].data);
	free(loader.pins[1].data);
	free(loader.documents.bundle.data);
	return status;
}
