/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_CALLS_H
#define VERITY_CALLS_H
/*
 * The calls into the gate (docs/formats.md section 11): bpf(2) with commands of its own.
 *
 * Every function returns the gate's answer, VERITY_ACCEPTED or one of the refusals of
 * policy/gate/verity.h, or else -errno: -EINVAL is the kernel's own answer where no gate is
 * loaded. Nothing is retried, kept or allocated. All calls for one blob come from one thread.
 */
#include <stddef.h>
#include <stdint.h>

#include "verity.h"

#define VERITY_TOKEN_SIZE sizeof(struct verity_unlock_token)

int verity_gate_begin(uint32_t len);

/* The next part, at most VERITY_PART_SIZE bytes. */
int verity_gate_put(const uint8_t *data, uint32_t len);

/* `nsig` signatures, end to end, the length of each in `lens`; at most VERITY_OWNERS. */
int verity_gate_commit(const uint8_t *sigs, const uint32_t *lens, uint32_t nsig);

int verity_gate_seal(void);

/* A token, VERITY_TOKEN_SIZE bytes, and signatures as for a commit. */
int verity_gate_unlock(const uint8_t *token, const uint8_t *sigs, const uint32_t *lens,
		       uint32_t nsig);

/* All tokens, or the one with this id of VERITY_TOKEN_ID_SIZE bytes. */
int verity_gate_relock(const uint8_t *token_id);

/* An empty part that belongs to no upload: any gate refuses it, and no state changes. */
int verity_gate_probe(void);

#endif
