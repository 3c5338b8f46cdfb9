/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The seal of a gate that is loaded and observes, and a word about it for whoever asks later.
 *
 * Everything that can say no comes before what can't be undone, in this order:
 *
 * 1. the gate is there, and not sealed;
 * 2. its policy asks for it: sealed, or a trial that was not yet;
 * 3. what the gate itself would refuse to seal for;
 * 4. nothing that runs already would be refused (late.c), where the seal comes later than the load;
 * 5. a trial is written down (trial.c);
 * 6. kernel lockdown, the seal, and whether it counts.
 *
 * A no of 2 and 5 is no failure: the host was told to observe. One of 4 is one, and the gate goes
 * on observing.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who is privileged by the policy of this bundle, if it is the one that the gate has. */
static void read_groups(const struct bytes *bundle, uint64_t serial, struct late_policy *out)
{
	struct bundle_cursor cursor = { 0 };
	struct verity_policy_header header;
	struct failure unused;
	struct blob blob;

	memset(out, 0, sizeof(*out));
	while (bundle && bundle->len && bundle_next(bundle, &cursor, &blob, &unused) > 0) {
		if (blob.kind != VERITY_RECORD_POLICY || blob.len < sizeof(header))
			continue;
		memcpy(&header, blob.data, sizeof(header));
		if (header.serial != serial || header.n_groups > VERITY_GROUPS)
			continue;
		out->known = 1;
		out->count = header.n_groups;
		memcpy(out->groups, header.groups, sizeof(header.groups));
	}
}

/* 3. The gate looks again when it seals; this is before anything that can't be undone. */
static int check_ready(const struct gate_status *status, struct failure *f)
{
	if (!status->code_entries)
		return refuse(f, "put grants into the bundle",
			      "nothing is granted: a sealed gate would let no program start");
	if (status->revoked_documents)
		return refuse(f, "have them signed anew, with keys that still count",
			      "keys or policy are signed by too few keys that are not revoked");
	if (status->foreign_programs)
		return refuse(f, "see bpftool prog list; unload it, or load the gate first",
			      "%llu modify-return, extension, LSM cgroup or answering sysctl "
			      "programs are loaded",
			      (unsigned long long)status->foreign_programs);
	if (status->anchors_lost)
		return refuse(f, "guard fewer directories, or free some memory, and load it again",
			      "the gate remembers %llu guarded directories, and %llu found no room: "
			      "renamed, they would be guarded no more",
			      (unsigned long long)status->anchors,
			      (unsigned long long)status->anchors_lost);
	return 0;
}

/* 4. */
static int check_running(const struct bytes *bundle, uint64_t serial, struct sealing *out,
			 struct failure *f)
{
	struct late_policy policy;
	int result;

	read_groups(bundle, serial, &policy);
	result = late_check(&policy, &out->late, f);
	if (result || !out->late.count)
		return result;
	out->why = "late";
	return refuse(f, "end it or have it signed (an interpreter: start it by a script that is "
		      "signed, once the gate is loaded), then systemctl restart verity-sealed.target",
		      "sealed-late: process %ld (%s) runs %.200s, which the gate refuses: %s; "
		      "%u such mappings", out->late.pid, out->late.comm, out->late.file,
		      out->late.reason, out->late.count);
}

int seal_gate(const struct bytes *bundle, struct sealing *out, struct failure *f)
{
	struct gate_status status;
	enum trial trial = TRIAL_BEGUN;
	int result, weak, is_trial;

	/* 1. */
	result = status_read(&status, f);
	if (result)
		return result;
	out->serial = status.policy_serial;
	is_trial = !strcmp(status.policy_mode, "trial");
	if (!strcmp(status.state, "sealed")) {
		/* An initramfs has done it: for what, is said as it was said then. */
		out->state = lock_kernel_down() ? "sealed-weak" : "sealed";
		out->why = is_trial ? "trial" : "sealed";
		return 0;
	}
	if (strcmp(status.state, "observe") != 0)
		return cannot(f, 0, "wait for the loader; if there is none, reboot",
			      "the gate's state is %s, expected observe", status.state);
	out->state = "observe";
	/* 2. */
	if (!is_trial && strcmp(status.policy_mode, "sealed") != 0) {
		out->why = "policy";
		return 0;
	}
	if (is_trial)
		trial = trial_look(out->root, out->serial, out->text, sizeof(out->text));
	if (trial == TRIAL_OVER) {
		/* What runs in this boot has nothing to do with it. */
		out->why = "trial-over";
		return 0;
	}
	/* 3. and 4. */
	out->why = "refused";
	result = check_ready(&status, f);
	if (!result && out->is_later)
		result = check_running(bundle, status.policy_serial, out, f);
	if (result)
		return result;
	/* 5. */
	if (is_trial)
		trial = trial_begin(out->root, out->serial, out->text, sizeof(out->text));
	if (trial != TRIAL_BEGUN) {
		out->why = "trial-unwritten";
		return 0;
	}
	/* 6. */
	weak = lock_kernel_down();
	if (weak)
		fprintf(stderr, "verity-load: warning: the kernel can't be locked down: %s\n"
			"  hint: boot a kernel with CONFIG_SECURITY_LOCKDOWN_LSM and lockdown in "
			"lsm=\n", strerror(-weak));
	result = gate_seal(f);
	if (!result)
		result = canary(1, f);
	if (result)
		return result;
	out->state = weak ? "sealed-weak" : "sealed";
	out->why = is_trial ? "trial" : "sealed";
	return 0;
}

/* One line's worth: what a process calls itself or a file is anybody's to choose. */
static void put_word(char *room, size_t size, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (; *text && at + 5 < size; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte > ' ' && byte < 0x7f && byte != '\\') {
			room[at++] = (char)byte;
			continue;
		}
		room[at++] = '\\';
		room[at++] = 'x';
		room[at++] = digits[byte >> 4];
		room[at++] = digits[byte & 15];
	}
	room[at] = '\0';
}

static int write_said(const char *folder, const char *path, const char *text, int len)
{
	char part[64];
	int fd, written;

	snprintf(part, sizeof(part), "%s.new", path);
	if (mkdir(folder, 0755) != 0 && errno != EEXIST)
		return -1;
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	written = write(fd, text, (size_t)len) == len && fchmod(fd, 0644) == 0;
	close(fd);
	return written ? rename(part, path) : -1;
}

void sealing_say(const struct sealing *out)
{
	char text[4096], reason[2048], comm[256], file[1024];
	int len;

	put_word(reason, sizeof(reason), out->text);
	put_word(comm, sizeof(comm), out->late.comm);
	put_word(file, sizeof(file), out->late.file);
	len = snprintf(text, sizeof(text), "verity-seal 1\nstate %s\nwhy %s\nserial %llu\ntext %s\n",
		       out->state, out->why, (unsigned long long)out->serial,
		       *reason ? reason : "-");
	if (out->late.count)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "late %ld %s %s %s\n",
				out->late.pid, *comm ? comm : "-", *file ? file : "-",
				out->late.reason);
	if (write_said(VERITY_RUN_DIR, VERITY_SAID, text, len) != 0)
		fprintf(stderr, "verity-load: warning: %s can't be written: %s\n", VERITY_SAID,
			strerror(errno));
	len = snprintf(text, sizeof(text),
		       "verity: the gate's state is %s (%s), policy serial %llu: "
		       "verity lockdown status\n",
		       out->state, out->why, (unsigned long long)out->serial);
	write_said(VERITY_MOTD_DIR, VERITY_MOTD, text, len);
}
