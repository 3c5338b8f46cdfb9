/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of gate.h and of policy/gate/verity.h; "..." is filled in by the compiler. */

#define VERITY_PART_SIZE ...
#define VERITY_TOKEN_ID_SIZE ...
#define VERITY_TOKEN_SIZE ...

int verity_gate_begin(uint32_t len);
int verity_gate_put(const uint8_t *data, uint32_t len);
int verity_gate_commit(const uint8_t *sigs, const uint32_t *lens, uint32_t nsig);
int verity_gate_seal(void);
int verity_gate_unlock(const uint8_t *token, const uint8_t *sigs, const uint32_t *lens,
                       uint32_t nsig);
int verity_gate_relock(const uint8_t *token_id);
int verity_gate_probe(void);
