/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_CALLS_H
#define VERITY_CALLS_H
/*
 * The calls into the gate: a blob is uploaded in parts, verified, and taken or refused.
 *
 * Rules:
 * - the caller's memory is copied into storage of the calling thread first; nothing is held while
 *   that may fault and sleep;
 * - the staging area belongs to one session: only its thread writes it, and from `commit` on nobody
 *   does until the answer is known, so what was verified is what is read;
 * - a new `begin` ends a session that is only open; a blob that is being committed can't be ended.
 */
#include "revocations.h"
#include "subject.h"
#include "token.h"

/* --- uploads ------------------------------------------------------------------------------ */

static __always_inline int move_upload(__u64 session, __u64 from, __u64 to)
{
	struct control *all = THE(control);
	__u64 old = session << 2 | from, new = session << 2 | to;

	return all && __sync_val_compare_and_swap(&all->upload, old, new) == old;
}

static __always_inline int call_begin(const struct verity_request *request)
{
	struct upload *upload = bpf_task_storage_get(&uploads, bpf_get_current_task_btf(), 0,
						     BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct control *all = THE(control);
	__u64 old, session;

	if (!upload || !all)
		return VERITY_REFUSED_NO_ROOM;
	upload->session = 0;
	if (request->len < sizeof(struct verity_keys_header) || request->len > VERITY_BLOB_MAX ||
	    request->data || request->nsig || request->sigs)
		return VERITY_REFUSED_REQUEST;
	session = __sync_fetch_and_add(&all->sessions, 1) + 1;
	old = all->upload;
	if ((old & 3) > UPLOAD_OPEN ||
	    __sync_val_compare_and_swap(&all->upload, old, session << 2 | UPLOAD_OPEN) != old)
		return VERITY_REFUSED_BUSY;
	upload->session = session;
	upload->len = request->len;
	upload->filled = 0;
	return 0;
}

static __always_inline int call_put(const struct verity_request *request)
{
	struct upload *upload = own_upload();
	struct staging *staged = THE(staging);
	__u32 len = request->len, filled;

	if (!upload || !upload->session || !staged)
		return VERITY_REFUSED_NO_UPLOAD;
	filled = upload->filled;
	if (!len || len > VERITY_PART_SIZE || filled > VERITY_BLOB_MAX ||
	    filled + len > upload->len || request->nsig || request->sigs)
		return VERITY_REFUSED_REQUEST;
	if (bpf_copy_from_user(upload->part, len, (const void *)request->data))
		return VERITY_REFUSED_MEMORY;
	if (!move_upload(upload->session, UPLOAD_OPEN, UPLOAD_WRITING))
		return VERITY_REFUSED_NO_UPLOAD;
	bpf_probe_read_kernel(staged->blob + filled, len, upload->part);
	move_upload(upload->session, UPLOAD_WRITING, UPLOAD_OPEN);
	upload->filled = filled + len;
	return 0;
}

/* --- grants ------------------------------------------------------------------------------- */

/*
 * 1. Well-formed, of a role that may grant, of a stream that the policy names for it.
 * 2. Newer than what the stream has, below neither the host's floor nor what is revoked, and not
 *    expired.
 * 3. Signed by the threshold of that role.
 * 4. Its tables hold what the role may grant; they replace the stream's older ones.
 */
__noinline int take_grants(__u32 nsig)
{
	struct upload *upload = own_upload();
	struct verity_grants_header *header = staged_at(0);
	struct gate_policy *named = THE(policy);
	struct import import = {};
	struct slot *slot;
	__u64 differs = 0, *floor;
	int refusal;

	if (!upload || !header || !named)
		return VERITY_REFUSED_NO_ROOM;
	if (!named->serial)
		return VERITY_REFUSED_ORDER;
	/* 1. */
	if (upload->len < sizeof(*header) || header->header_len != sizeof(*header) ||
	    header->total_len != upload->len || header->zero0 || header->zero1 ||
	    header->n_code > VERITY_CODE_CAPACITY || header->n_elevate > VERITY_CODE_CAPACITY ||
	    header->n_config > VERITY_CODE_CAPACITY ||
	    !is_serial(header->serial) || header->issued >= header->expires ||
	    header->expires >= 1ull << 53)
		return VERITY_REFUSED_HEADER;
	if (!may_grant(header->party, header->role))
		return VERITY_REFUSED_PARTY_ROLE;
	if ((header->n_config && header->role == VERITY_ROLE_EXTENSION) ||
	    (header->n_elevate && header->role != VERITY_ROLE_OS) ||
	    (header->n_code && header->role == VERITY_ROLE_ETC))
		return VERITY_REFUSED_TABLE;
	if (upload->len != sizeof(*header) + (__u64)header->n_code * sizeof(struct verity_code_entry) +
				   (__u64)header->n_elevate * sizeof(struct verity_elevate_entry) +
				   (__u64)header->n_config * sizeof(struct verity_config_entry))
		return VERITY_REFUSED_HEADER;
	import.slot = find_slot(AS_NAME(header->stream));
	slot = bpf_map_lookup_elem(&slots, &import.slot);
	if (!slot || slot->party != header->party || slot->role != header->role)
		return VERITY_REFUSED_STREAM;
	/* 2. */
	floor = bpf_map_lookup_elem(&floors, header->stream);
	for (int i = 0; i < VERITY_SHA256_SIZE; i++)
		differs |= slot->manifest[i] ^ header->manifest[i];
	if (slot->serial == header->serial && differs)
		refusal = VERITY_REFUSED_EQUIVOCATION;
	else if (slot->serial >= header->serial)
		refusal = VERITY_REFUSED_SERIAL;
	else if (floor && header->serial < *floor)
		refusal = VERITY_REFUSED_FLOOR;
	else if (header->serial < slot->lowest)
		refusal = VERITY_REFUSED_REVOKED_SERIAL;
	else
		refusal = is_expired(header->expires) ? VERITY_REFUSED_EXPIRED : 0;
	if (refusal)
		return refusal;
	/* 3. */
	refusal = check_signatures(nsig, header->party, header->role,
				   threshold_of(header->party, header->role));
	if (refusal)
		return refusal;
	/* 4. */
	import.half = !slot->active;
	import.mask = header->role == VERITY_ROLE_OS ? VERITY_CODE_ALL : EXTENSION_FLAGS;
	/* Judged here and not when one is loaded: what is granted then is a module like any other. */
	if (named->observed_acts & VERITY_OBSERVED_EXTENSION_MODULES)
		import.mask |= VERITY_CODE_MODULE;
	refusal = import_tables(header, &import);
	if (refusal)
		return refusal;
	switch_slot(slot, header, &import, &upload->signers);
	accept_issued(header->issued);
	return 0;
}

/* --- commit and seal ---------------------------------------------------------------------- */

static __always_inline int take_blob(__u32 nsig)
{
	__u8 *kind = staged_at(0);

	if (!kind)
		return VERITY_REFUSED_NO_ROOM;
	if (is_kind(kind, VERITY_KIND_KEYS))
		return take_keys(nsig);
	if (is_kind(kind, VERITY_KIND_POLICY))
		return take_policy(nsig);
	if (is_kind(kind, VERITY_KIND_GRANTS))
		return take_grants(nsig);
	if (is_kind(kind, VERITY_KIND_REVOKE))
		return take_revoke(nsig);
	if (is_kind(kind, VERITY_KIND_UNLOCK))
		return VERITY_REFUSED_UNSUPPORTED;
	return VERITY_REFUSED_KIND;
}

static __always_inline int call_commit(const struct verity_request *request)
{
	struct upload *upload = own_upload();
	__u32 nsig = request->nsig;
	int refusal;

	if (!upload || !upload->session)
		return VERITY_REFUSED_NO_UPLOAD;
	if (!nsig || nsig > VERITY_OWNERS || request->data || request->len)
		return VERITY_REFUSED_REQUEST;
	if (upload->filled != upload->len)
		return VERITY_REFUSED_REQUEST;
	if (bpf_copy_from_user(upload->signatures, nsig * sizeof(struct verity_signature),
			       (const void *)request->sigs))
		return VERITY_REFUSED_MEMORY;
	if (!move_upload(upload->session, UPLOAD_OPEN, UPLOAD_COMMITTING))
		return VERITY_REFUSED_NO_UPLOAD;
	refusal = take_blob(nsig);
	move_upload(upload->session, UPLOAD_COMMITTING, UPLOAD_FREE);
	upload->session = 0;
	return refusal;
}

static __always_inline int call_seal(const struct verity_request *request)
{
	struct verity_config *configured = THE(config);
	struct gate_policy *signed_policy = THE(policy);
	struct control *all = THE(control);

	if (!configured || !signed_policy || !all)
		return VERITY_REFUSED_NO_ROOM;
	if (request->data || request->len || request->nsig || request->sigs)
		return VERITY_REFUSED_REQUEST;
	if (configured->state >= VERITY_STATE_SEALED)
		return VERITY_REFUSED_SEALED;
	if (!signed_policy->serial || !all->code_entries || !all->counted || !configured->mount)
		return VERITY_REFUSED_NOT_READY;
	if (all->foreign)
		return VERITY_REFUSED_FOREIGN_PROGRAM;
	/* Whether a trial is this boot's is the loader's affair: what seals only tightens. */
	if (signed_policy->mode != VERITY_MODE_SEALED && signed_policy->mode != VERITY_MODE_TRIAL)
		return VERITY_REFUSED_MODE;
	if (!documents_stand(configured))
		return VERITY_REFUSED_REVOKED_KEY;
	remember_keyrings();
	all->sealed_ns = bpf_ktime_get_boot_ns();
	configured->state = trusts_initial() ? VERITY_STATE_BOOT : VERITY_STATE_SEALED;
	return 0;
}

/* What runs has been looked at (loader/enter.c), and the root is about to be entered. */
static __always_inline int call_enter(const struct verity_request *request)
{
	struct verity_boot *found = THE(boot);

	if (!found)
		return VERITY_REFUSED_NO_ROOM;
	if (request->data || request->nsig || request->sigs)
		return VERITY_REFUSED_REQUEST;
	if (!trusts_initial())
		return VERITY_REFUSED_NOT_BOOTING;
	found->survivors = request->len;
	return 0;
}

/* The answer to a bpf(2) with a command of ours, as the hook returns it. */
static __always_inline int answer_call(__u32 command, union bpf_attr *attr, __u32 size)
{
	struct verity_request request;
	int refusal = VERITY_REFUSED_UNSUPPORTED;

	if (!is_admin(current_cred()))
		return negative(VERITY_REFUSED_PERMISSION);
	if (size != sizeof(request) || bpf_probe_read_kernel(&request, sizeof(request), attr) ||
	    request.size != sizeof(request) || request.version != VERITY_REQUEST_VERSION)
		return negative(VERITY_REFUSED_REQUEST);
	if (command == VERITY_COMMAND_BEGIN)
		refusal = call_begin(&request);
	else if (command == VERITY_COMMAND_PUT)
		refusal = call_put(&request);
	else if (command == VERITY_COMMAND_COMMIT)
		refusal = call_commit(&request);
	else if (command == VERITY_COMMAND_SEAL)
		refusal = call_seal(&request);
	else if (command == VERITY_COMMAND_UNLOCK)
		refusal = call_unlock(&request);
	else if (command == VERITY_COMMAND_RELOCK)
		refusal = call_relock(&request);
	else if (command == VERITY_COMMAND_ENTER)
		refusal = call_enter(&request);
	if (refusal < 0 || refusal > VERITY_REFUSED_LAST)
		refusal = VERITY_REFUSED_UNSUPPORTED;
	return negative(refusal ? refusal : VERITY_ACCEPTED);
}

#endif
