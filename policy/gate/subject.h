/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_SUBJECT_H
#define VERITY_SUBJECT_H
/*
 * Who is privileged: any of the four user ids is 0, any capability that the policy names is
 * permitted, inheritable or ambient, or a group that it names is held. All are seen from the
 * initial user namespace: ids are the kernel's own, and capabilities of a child namespace count
 * for nothing there. Namespaces, cgroups and being in a container exempt from nothing.
 */
#include "maps.h"

/* More groups than this make a subject privileged: nobody looks through them all. */
#define MAX_GROUPS 2048

/* Of so many no callback is needed: nearly nobody has more. */
#define FEW_GROUPS 16

struct group_search {
	const struct group_info *info;
	const struct gate_policy *policy;
	__u32 found;
};

/* Global: the kernel's verifier looks through it once, and not once for each group of a subject. */
__noinline int is_listed_group(__u32 gid)
{
	const struct gate_policy *named = THE(policy);

	if (!named)
		return 1;
	for (__u32 i = 0; i < VERITY_GROUPS; i++) {
		if (i >= named->n_groups)
			return 0;
		if (named->groups[i] == gid)
			return 1;
	}
	return 0;
}

static __always_inline int is_named_group(const struct gate_policy *policy, __u32 gid)
{
	return (policy->group_bits & group_bit(gid)) && is_listed_group(gid);
}

static long search_group(__u32 index, struct group_search *search)
{
	const struct gate_policy *named = THE(policy);
	__u32 gid;

	if (!named || bpf_probe_read_kernel(&gid, sizeof(gid), &search->info->gid[index]) ||
	    is_named_group(named, gid)) {
		search->found = 1;
		return 1;
	}
	return 0;
}

static __noinline int has_named_group(const struct group_info *info)
{
	struct group_search search = {.info = info};
	int n;

	if (bpf_probe_read_kernel(&n, sizeof(n), &info->ngroups) || n > MAX_GROUPS)
		return 1;
	if (n > 0)
		bpf_loop(n, search_group, &search, 0);
	return search.found;
}

/* What is at the address is the task's own, and stays as long as it has these credentials. */
static __always_inline int has_one_of_few(const struct group_info *info, __u32 n,
					  const struct gate_policy *named)
{
	__u64 at = (__u64)info;

	/* From one that begins later: an index that isn't constant is none to the verifier. */
	for (__u32 i = 0; i < FEW_GROUPS && i < n; i++, at += sizeof(kgid_t))
		if (is_named_group(named, AS_KERNEL(struct group_info, at)->gid[0].val))
			return 1;
	return 0;
}

static __always_inline int has_root_id(const struct cred *cred)
{
	return !cred->uid.val || !cred->euid.val || !cred->suid.val || !cred->fsuid.val;
}

static __always_inline int has_named_gid(const struct cred *cred, const struct gate_policy *named)
{
	__u32 n;

	if (!named->n_groups)
		return 0;
	if (is_named_group(named, cred->gid.val) || is_named_group(named, cred->egid.val) ||
	    is_named_group(named, cred->sgid.val) || is_named_group(named, cred->fsgid.val))
		return 1;
	n = cred->group_info->ngroups;
	return n <= FEW_GROUPS ? has_one_of_few(cred->group_info, n, named)
			       : has_named_group(cred->group_info);
}

/* In any user namespace. */
static __always_inline int is_privileged_by_id(const struct cred *cred)
{
	const struct gate_policy *named = THE(policy);

	return !cred || !named || has_root_id(cred) || has_named_gid(cred, named);
}

static __always_inline int is_privileged(const struct cred *cred)
{
	const struct gate_policy *named = THE(policy);
	__u64 caps;

	if (!cred || !named || has_root_id(cred))
		return 1;
	caps = cred->cap_permitted.val | cred->cap_inheritable.val | cred->cap_ambient.val;
	if ((caps & named->privileged_caps) && !cred->user_ns->level)
		return 1;
	return has_named_gid(cred, named);
}

static __always_inline const struct cred *current_cred(void)
{
	return bpf_get_current_task_btf()->cred;
}

/* Whether the caller may talk to the gate. */
static __always_inline int is_admin(const struct cred *cred)
{
	return cred && (cred->cap_effective.val >> CAP_SYS_ADMIN & 1) && !cred->user_ns->level;
}

#endif
