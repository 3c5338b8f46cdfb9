/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls into the gate (docs/formats.md section 11), and what its refusals mean.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct refusal {
	int number;
	const char *what;
	const char *hint;
};

#define HINT_OURS "loader and gate are of different versions: install the package again"
#define HINT_SIGNER "whoever signed it must make and sign it anew"
#define HINT_CHALLENGE "print a challenge here, and have that one signed"
#define HINT_BUNDLE "make the bundle anew from the signed documents"

static const struct refusal refusals[] = {
	{ VERITY_REFUSED_PERMISSION, "permission: not CAP_SYS_ADMIN on the host", "run it as root" },
	{ VERITY_REFUSED_REQUEST, "request: size, version or length", HINT_OURS },
	{ VERITY_REFUSED_MEMORY, "memory: it could not be read", "try again" },
	{ VERITY_REFUSED_BUSY, "busy: another upload is being committed", "try again" },
	{ VERITY_REFUSED_NO_UPLOAD, "no-upload: another begin ended this one", "try again" },
	{ VERITY_REFUSED_NO_ROOM, "no-room: no memory for the upload", "free memory" },
	{ VERITY_REFUSED_SEALED, "sealed: only before the seal", "reboot" },
	{ VERITY_REFUSED_ORDER, "order: keys, then policy, then revocations and grants", HINT_BUNDLE },
	{ VERITY_REFUSED_UNSUPPORTED, "unsupported: a kind of another version", HINT_OURS },
	{ VERITY_REFUSED_KIND, "kind: not a kind of ours", HINT_BUNDLE },
	{ VERITY_REFUSED_HEADER, "header: lengths, reserved bytes or numbers", HINT_SIGNER },
	{ VERITY_REFUSED_PARTY_ROLE, "party-role: may not sign this", HINT_SIGNER },
	{ VERITY_REFUSED_STREAM, "stream: the policy names none of this party and role",
	  "add the stream to the policy, sign it, and make the bundle anew" },
	{ VERITY_REFUSED_SERIAL, "serial: not newer than what the gate has", HINT_BUNDLE },
	{ VERITY_REFUSED_EQUIVOCATION, "equivocation: the same serial with other contents",
	  "find out which of the two its signer means; the next serial settles it" },
	{ VERITY_REFUSED_EXPIRED, "expired", HINT_SIGNER },
	{ VERITY_REFUSED_UNSORTED, "unsorted: a table is not sorted or repeats", HINT_SIGNER },
	{ VERITY_REFUSED_FLAGS, "flags: unknown, or more than the role may grant", HINT_SIGNER },
	{ VERITY_REFUSED_TABLE, "table: the role may not fill it", HINT_SIGNER },
	{ VERITY_REFUSED_ENTRY, "entry: no blob may hold such an entry", HINT_SIGNER },
	{ VERITY_REFUSED_FULL, "full: more digests than there is room for",
	  "grant fewer files: take a stream out of the bundle" },
	{ VERITY_REFUSED_TUPLES, "tuples: too many elevations of one digest", HINT_SIGNER },
	{ VERITY_REFUSED_FIFTH_STREAM, "fifth-stream: four streams grant a digest already",
	  "take a stream out of the bundle" },
	{ VERITY_REFUSED_FLOOR, "floor: older than what this host had before",
	  "find out who put an old one there; get the newest grants of the stream" },
	{ VERITY_REFUSED_REVOKED_SERIAL, "revoked-serial: its signer says that it counts no more",
	  "get newer grants of the stream" },
	{ VERITY_REFUSED_THIRD_STREAM, "third-stream: two streams grant a configuration path already",
	  "take a stream out of the bundle" },
	{ VERITY_REFUSED_PATHS, "paths: more configuration paths than there is room for",
	  "grant fewer files: take a stream out of the bundle" },
	{ VERITY_REFUSED_TEMPLATE, "template: a signature is not the one PKCS#7",
	  "sign it anew with verity" },
	{ VERITY_REFUSED_NO_KEYS, "no-keys: the gate has no keys of this party and role",
	  "put the keys of that party into the bundle, signed by the root of its pin" },
	{ VERITY_REFUSED_THRESHOLD, "threshold: fewer trusted owners signed than must",
	  "check pin and signers: is it altered, or signed by keys that are not trusted?" },
	{ VERITY_REFUSED_REVOKED_KEY, "revoked-key: too few signed it with keys that are not revoked",
	  "have it signed anew, with keys that still count" },
	{ VERITY_REFUSED_NOT_READY, "not-ready: no keys, no policy or no grants",
	  "put keys, policy and grants into the bundle" },
	{ VERITY_REFUSED_FOREIGN_PROGRAM,
	  "foreign-program: a modify-return, extension, LSM cgroup or answering sysctl program is loaded",
	  "see bpftool prog list; unload it, or load the gate before what loads it" },
	{ VERITY_REFUSED_NOT_BOOTING, "not-booting: no initramfs loaded it, or the root was entered",
	  "--enter is for an initramfs that has loaded the gate with --boot" },
	{ VERITY_REFUSED_MODE, "mode: the signed policy does not say sealed",
	  "give --observe, or sign the next policy serial with the mode sealed" },
	{ VERITY_REFUSED_NOT_SEALED, "not-sealed: there is nothing to unlock", "see verity lockdown status" },
	{ VERITY_REFUSED_NONCE, "nonce: for another boot", HINT_CHALLENGE },
	{ VERITY_REFUSED_HOST, "host: for another host", HINT_CHALLENGE },
	{ VERITY_REFUSED_POLICY_SERIAL, "policy-serial: for another policy", HINT_CHALLENGE },
	{ VERITY_REFUSED_SCOPE, "scope: the policy never opens it", "have a narrower one signed" },
	{ VERITY_REFUSED_OPERAND, "operand: not of this scope, or of the trust files",
	  "no token opens keys, policy, ledger and what boots" },
	{ VERITY_REFUSED_DURATION, "duration: longer than the policy allows",
	  "have one for less time signed" },
	{ VERITY_REFUSED_APPLY_BEFORE, "apply-before: too late", HINT_CHALLENGE },
	{ VERITY_REFUSED_APPLY_AHEAD, "apply-ahead: it lies ready for more than a day",
	  "have one signed that must be applied sooner" },
	{ VERITY_REFUSED_USED, "used: this token was taken before", HINT_CHALLENGE },
	{ VERITY_REFUSED_USED_FULL, "used-full: this boot has taken as many as it can", "reboot" },
	{ VERITY_REFUSED_NO_UNLOCK, "no-unlock: no live token has this id",
	  "cat " VERITY_PIN_STATUS },
};

/* 0, or the errno of the answer: 3000 and more are the gate's own. */
static int call(unsigned int command, const struct verity_request *request)
{
	return syscall(SYS_bpf, VERITY_COMMAND(command), request, sizeof(*request)) < 0 ? errno : 0;
}

static int refused(int answer, const char *what, struct failure *f)
{
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		if (refusals[i].number == answer)
			return refuse(f, refusals[i].hint, "the gate refused %s: %d %s", what,
				      answer, refusals[i].what);
	if (answer >= VERITY_ACCEPTED && answer <= VERITY_REFUSED_LAST)
		return refuse(f, HINT_OURS, "the gate refused %s: %d", what, answer);
	return cannot(f, answer, "the gate is not called: see sysctl kernel.ftrace_enabled",
		      "no gate answered to %s", what);
}

int gate_answers(void)
{
	static const struct verity_request none;
	int answer = call(VERITY_COMMAND_ENTER, &none);

	if (answer == EINVAL)
		return 0;
	if (answer >= VERITY_ACCEPTED && answer <= VERITY_REFUSED_LAST)
		return 1;
	return answer ? -answer : -EPROTO;
}

int gate_import(const struct blob *blob, const char *name, struct failure *f)
{
	struct verity_request request = { .size = sizeof(request),
					  .version = VERITY_REQUEST_VERSION,
					  .len = blob->len };
	char what[256];
	uint32_t at;
	int answer;

	snprintf(what, sizeof(what), "%s (record %u of %s)", record_name(blob->kind),
		 blob->number, name);
	answer = call(VERITY_COMMAND_BEGIN, &request);
	for (at = 0; answer == VERITY_ACCEPTED && at < blob->len; at += request.len) {
		request.len = blob->len - at < VERITY_PART_SIZE ? blob->len - at :
								  VERITY_PART_SIZE;
		request.data = (uintptr_t)(blob->data + at);
		answer = call(VERITY_COMMAND_PUT, &request);
	}
	if (answer == VERITY_ACCEPTED) {
		request.data = request.len = 0;
		request.nsig = blob->nsig;
		request.sigs = (uintptr_t)blob->sigs;
		answer = call(VERITY_COMMAND_COMMIT, &request);
	}
	return answer == VERITY_ACCEPTED ? 0 : refused(answer, what, f);
}

int gate_enter(uint32_t survivors, struct failure *f)
{
	struct verity_request request = { .size = sizeof(request),
					  .version = VERITY_REQUEST_VERSION,
					  .len = survivors };
	int answer = call(VERITY_COMMAND_ENTER, &request);

	return answer == VERITY_ACCEPTED ? 0 : refused(answer, "to enter", f);
}

int gate_seal(struct failure *f)
{
	struct verity_request request = { .size = sizeof(request),
					  .version = VERITY_REQUEST_VERSION };
	int answer = call(VERITY_COMMAND_SEAL, &request);

	return answer == VERITY_ACCEPTED ? 0 : refused(answer, "the seal", f);
}

int gate_unlock(const struct token *token, struct failure *f)
{
	struct verity_request request = { .size = sizeof(request),
					  .version = VERITY_REQUEST_VERSION,
					  .data = (uintptr_t)&token->token,
					  .len = sizeof(token->token),
					  .nsig = token->nsig,
					  .sigs = (uintptr_t)token->sigs };
	int answer = call(VERITY_COMMAND_UNLOCK, &request);

	return answer == VERITY_ACCEPTED ? 0 : refused(answer, "the token", f);
}

int gate_relock(const struct token *token, struct failure *f)
{
	struct verity_request request = { .size = sizeof(request),
					  .version = VERITY_REQUEST_VERSION };
	int answer;

	if (token) {
		request.data = (uintptr_t)token->token.token_id;
		request.len = VERITY_TOKEN_ID_SIZE;
	}
	answer = call(VERITY_COMMAND_RELOCK, &request);
	return answer == VERITY_ACCEPTED ? 0 : refused(answer, "the relock", f);
}
