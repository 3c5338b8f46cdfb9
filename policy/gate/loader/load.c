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
	struct bytes present; /* --stage: the bundle that counts so far, perhaps none */
	struct verity_boot boot; /* all zero: not in an initramfs */
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
			result = open_guarded(&blob, l->options.root, f);
		if (!result && blob.kind == VERITY_RECORD_KEYS)
			result = keys_parse(&blob, bundle->name, &list, f);
		if (!result && blob.kind == VERITY_RECORD_KEYS)
			result = keyrings_fill(&l->keyrings, &list, ROLES_OF_KEYS, f);
		if (result)
			return result;
	}
	return next || finished ? next : keyrings_finish(&l->keyrings, f);
}

/* 8. From here on the gate only observes; then the seal, where it is asked for now. */
static int finish(struct loader *l, struct sealing *out, struct failure *f)
{
	struct gate_status status;
	int result = status_read(&status, f);

	if (!result && status.policy_serial < l->options.least_policy)
		return refuse(f, "boot with a bundle of the policy that this initramfs was made for, or "
			      "make the initramfs anew", "the policy has the serial %llu, expected %llu "
			      "or more", (unsigned long long)status.policy_serial,
			      (unsigned long long)l->options.least_policy);
	if (!result)
		result = gate_set_state(&l->gate, VERITY_STATE_OBSERVE, f);
	if (!result)
		result = gate_freeze(&l->gate, f);
	if (result)
		return result;
	out->state = "observe";
	out->serial = status.policy_serial;
	out->root = l->options.root;
	if (status.anchors_lost && !l->options.stage)
		fprintf(stderr, "verity-load: warning: %llu guarded directories found no room\n"
			"  hint: guard fewer directories: with these it won't seal\n",
			(unsigned long long)status.anchors_lost);
	if (l->options.observe || l->options.until_seal) {
		out->why = l->options.observe ? "asked" : "not-yet";
		return 0;
	}
	return seal_gate(&l->documents.bundle, out, f);
}

static int load(struct loader *l, struct sealing *out, struct failure *f)
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
		result = host_id_read(l->options.host_id, config.host_id, f);
	if (result > 0) {
		fprintf(stderr, "verity-load: warning: %s is missing: no unlock token is taken\n"
			"  hint: verity lockdown init makes it\n", l->options.host_id);
		result = 0;
	}
	if (!result)
		result = host_check(f);
	if (!result && l->options.root)
		result = boot_find(&l->options, &l->boot, f);
	if (!result)
		result = boot_nonce_draw(config.boot_nonce, f);
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
	l->gate.boot = l->options.root != NULL;
	result = gate_load(&l->gate, l->object, f);
	if (!result) {
		config.backing = gate_sees_backing(&l->gate) ? 1 : 0;
		result = gate_configure(&l->gate, &config, f);
	}
	if (!result && l->gate.boot)
		result = boot_configure(&l->gate, &l->boot, f);
	if (!result)
		result = gate_set_floors(&l->gate, &l->documents.floors, f);
	if (!result && l->options.stage)
		result = stage_raise(&l->gate, &l->present, &l->documents.bundle,
				     &l->options.least_policy, f);
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
	return result ? result : finish(l, out, f);
}

/*
 * The gate was loaded earlier in this boot; the bundle only says who is privileged. One that an initramfs
 * has sealed needs it no more, and may have come from another one, where this one is gone.
 */
static int seal_loaded(struct loader *l, struct sealing *out, struct failure *f)
{
	struct gate_status status;
	int result = gate_answers();

	if (result <= 0)
		return cannot(f, result < 0 ? -result : 0, "verity-gate.service loads it",
			      "no gate is loaded, so there is nothing to seal");
	result = status_read(&status, f);
	if (!result && l->options.bundle && strcmp(status.state, "sealed") != 0)
		result = read_file(l->options.bundle, VERITY_BUNDLE_MAX, &l->documents.bundle, f);
	out->is_later = 1;
	return result ? result : seal_gate(&l->documents.bundle, out, f);
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

static int stage_done(struct loader *l, struct failure *f)
{
	int result = stage_move(l->options.stage, "applied", f);

	if (!result)
		printf("stage applied\n");
	return result;
}

/*
 * The staged bundle is put to a gate that only observes and is gone afterwards; then it is put into
 * place.
 */
static int stage(struct loader *l, struct failure *f)
{
	static char staged[4096], present[4096];
	struct sealing unsaid = { .state = "none" };
	struct failure unused;
	int result = stage_state(l->options.stage, f);

	if (!result)
		printf("stage none\n");
	if (result <= 0)
		return result;
	if (result == 1)
		return stage_done(l, f);
	snprintf(staged, sizeof(staged), "%s/var/lib/verity/next/boot.bundle", l->options.stage);
	snprintf(present, sizeof(present), "%s/var/lib/verity/boot.bundle", l->options.stage);
	l->options.bundle = staged;
	l->options.observe = 1;
	/* One that is damaged or missing is what a stage may mend. */
	if (read_file(present, VERITY_BUNDLE_MAX, &l->present, &unused) != 0)
		free_bytes(&l->present);
	result = stage_attempt(l->options.stage, f);
	if (!result) {
		result = load(l, &unsaid, f);
		undo(l);
	}
	if (!result)
		result = stage_apply(l->options.stage, &l->documents.bundle, f);
	if (!result)
		return stage_done(l, f);
	stage_failed(l->options.stage, f);
	return result;
}

/* What loads nothing: -1 if something is to be loaded, else the exit status. */
static int only_look(const struct options *options, struct failure *f)
{
	const char *mode = "";
	uint64_t serial;
	int result;

	if (!options->enter && !options->attempt && !options->mode)
		return -1;
	if (options->attempt)
		result = try_boot(options->attempt, &mode, f);
	else
		result = options->enter ? enter(options, f) :
					  boot_mode(options->bundle, &mode, &serial, f);
	if (result)
		print_failure(f);
	else if (options->enter)
		printf("entering\n");
	else if (options->attempt)
		printf("%s\n", mode);
	else
		printf("%s %llu\n", mode, (unsigned long long)serial);
	return result ? f->status : 0;
}

int main(int argc, char **argv)
{
	struct failure failure = { .status = STATUS_HOST };
	struct loader loader = { 0 };
	struct sealing sealing = { .state = "none", .why = "refused" };
	sigset_t interruptions;
	int status = options_parse(argc, argv, &loader.options);

	if (status < 0)
		status = only_look(&loader.options, &failure);
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
	if (loader.options.stage) {
		status = stage(&loader, &failure) ? failure.status : 0;
		if (status)
			print_failure(&failure);
		return status;
	}
	if (loader.options.seal ? seal_loaded(&loader, &sealing, &failure) :
				  load(&loader, &sealing, &failure)) {
		/* What runs already is no fault of the gate: it stays, and goes on observing. */
		if (!loader.options.seal && (!sealing.late.count || loader.options.root)) {
			undo(&loader);
			sealing.state = "none";
		}
		snprintf(sealing.text, sizeof(sealing.text), "%s", failure.message);
		print_failure(&failure);
		status = failure.status;
	} else {
		printf("state %s\n", sealing.state);
		if (*sealing.text)
			fprintf(stderr, "verity-load: note: %s\n", sealing.text);
	}
	sealing_say(&sealing);
	free(loader.pins[0].data);
	free(loader.pins[1].data);
	free(loader.documents.bundle.data);
	return status;
}
