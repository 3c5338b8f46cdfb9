/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "gate.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call(unsigned int command, struct verity_request *request)
{
	request->size = sizeof(*request);
	request->version = VERITY_REQUEST_VERSION;
	/* No command of the kernel has these numbers: it can't succeed. */
	if (syscall(SYS_bpf, VERITY_COMMAND(command), request, sizeof(*request)) != -1)
		return -EPROTO;
	if (errno >= VERITY_ACCEPTED && errno <= VERITY_REFUSED_LAST)
		return errno;
	return -errno;
}

int verity_gate_begin(uint32_t len)
{
	struct verity_request request = { .len = len };

	if (len == 0)
		return -ENODATA;
	if (len > VERITY_BLOB_MAX)
		return -EMSGSIZE;
	return call(VERITY_COMMAND_BEGIN, &request);
}

int verity_gate_put(const uint8_t *data, uint32_t len)
{
	struct verity_request request = { .data = (uintptr_t)data, .len = len };

	if (!data)
		return -EFAULT;
	if (len == 0)
		return -ENODATA;
	if (len > VERITY_PART_SIZE)
		return -EMSGSIZE;
	return call(VERITY_COMMAND_PUT, &request);
}

/* The signatures into slots: 0 or -errno. */
static int fill(struct verity_signature slots[VERITY_OWNERS], const uint8_t *sigs,
		const uint32_t *lens, uint32_t nsig)
{
	if (!sigs || !lens)
		return -EFAULT;
	if (nsig == 0)
		return -ENODATA;
	if (nsig > VERITY_OWNERS)
		return -E2BIG;

	memset(slots, 0, VERITY_OWNERS * sizeof(*slots));
	for (uint32_t i = 0; i < nsig; i++) {
		if (lens[i] == 0)
			return -ENODATA;
		if (lens[i] > VERITY_DER_SIZE)
			return -EMSGSIZE;
		slots[i].len = lens[i];
		memcpy(slots[i].der, sigs, lens[i]);
		sigs += lens[i];
	}
	return 0;
}

int verity_gate_commit(const uint8_t *sigs, const uint32_t *lens, uint32_t nsig)
{
	struct verity_signature slots[VERITY_OWNERS];
	struct verity_request request = { .nsig = nsig, .sigs = (uintptr_t)slots };
	int result = fill(slots, sigs, lens, nsig);

	return result ? result : call(VERITY_COMMAND_COMMIT, &request);
}

int verity_gate_seal(void)
{
	struct verity_request request = { .data = 0 };

	return call(VERITY_COMMAND_SEAL, &request);
}

int verity_gate_unlock(const uint8_t *token, const uint8_t *sigs, const uint32_t *lens,
		       uint32_t nsig)
{
	struct verity_signature slots[VERITY_OWNERS];
	struct verity_request request = { .data = (uintptr_t)token,
					  .len = VERITY_TOKEN_SIZE,
					  .nsig = nsig,
					  .sigs = (uintptr_t)slots };
	int result = token ? fill(slots, sigs, lens, nsig) : -EFAULT;

	return result ? result : call(VERITY_COMMAND_UNLOCK, &request);
}

int verity_gate_relock(const uint8_t *token_id)
{
	struct verity_request request = { .data = (uintptr_t)token_id,
					  .len = token_id ? VERITY_TOKEN_ID_SIZE : 0 };

	return call(VERITY_COMMAND_RELOCK, &request);
}

int verity_gate_probe(void)
{
	struct verity_request request = { .data = 0 };

	return call(VERITY_COMMAND_PUT, &request);
}
