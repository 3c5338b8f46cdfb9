/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_STAGED_H
#define VERITY_STAGED_H
/*
 * The staging area, where a blob is read, and what the tables of one import share. What an import
 * does, and in which order, is in grants.h.
 */
#include "object.h"

/* A global function's argument is of a size, to who calls it. */
#define AS_NAME(bytes) ((const struct stream_name *)(const void *)(bytes))

struct import {
	__u32 slot;
	__u32 half; /* to be filled */
	__u32 mask; /* flags that the role may grant */
	__u32 flags;
	__u32 added;
	__u32 wanted; /* new tuples of the digest at hand */
	__u64 base;   /* of the table in the staging area */
	int refusal;
};

static __always_inline void *staged_at(__u64 offset)
{
	struct staging *staged = THE(staging);

	/* The slack behind the largest blob is longer than any entry. */
	if (!staged || offset > VERITY_BLOB_MAX)
		return NULL;
	/* Or the compiler adds first and compares later, which the verifier doesn't follow. */
	asm volatile("" : "+r"(offset));
	return staged->blob + offset;
}

static __always_inline int stop(struct import *import, int refusal)
{
	import->refusal = refusal;
	return 1;
}

/* --- cells -------------------------------------------------------------------------------- */

static __always_inline __u32 with_flags(__u32 cell, const struct import *import, __u32 flags)
{
	return cell | CELL_USED | import->slot | flags << CELL_SHIFT(import->half);
}

struct sweep {
	__u32 slot;
	__u32 half;
};

static __always_inline __u32 without_half(__u32 cell, const struct sweep *sweep)
{
	if (!(cell & CELL_USED) || CELL_SLOT(cell) != sweep->slot)
		return cell;
	cell &= ~((__u32)VERITY_CODE_ALL << CELL_SHIFT(sweep->half));
	return CELL_FLAGS(cell, !sweep->half) ? cell : 0;
}

#endif
