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

/* Calls with signatures in their slots. */
static int call_signed(unsigned int command, struct verity_request *request, const uint8_t *sigs,
		       const uint32_t *lens, uint32_t nsig)
{
	struct verity_signature slots[VERITY_OWNERS];

	request->nsig = nsig;
	request->sigs = (uintptr_t)slots;
	if (!sigs || !lens)
		return -EFAULT;
	if (nsig == 0)
		return -ENODATA;
	if (nsig > VERITY_OWNERS)
		return -E2BIG;

	memset(slots, 0, sizeof(slots));
	for (uint32_t i = 0; i < nsig; i++) {
		if (lens[i] == 0)
			return -ENODATA;
		if (lens[i] > VERITY_DER_SIZE)
			return -EMSGSIZE;
		slots[i].len = lens[i];
		memcpy(slots[i].der, sigs, lens[i]);
		sigs += lens[i];
	}
	return call(command, request);
}

int verity_gate_commit(const uint8_t *sigs, const uint32_t *lens, uint32_t nsig)
{
	struct verity_request request = { .data = 0 };

	return call_signed(VERITY_COMMAND_COMMIT, &request, sigs, lens, nsig);
}

int verity_gate_unlock(const uint8_t *token, uint32_t len, const uint8_t *sigs,
		       const uint32_t *lens, uint32_t nsig)
{
	struct verity_request request = { .data = (uintptr_t)token, .len = len };

	if (!token)
		return -EFAULT;
	return call_signed(VERITY_COMMAND_UNLOCK, &request, sigs, lens, nsig);
}

int verity_gate_relock(const uint8_t *id, uint32_t len)
{
	struct verity_request request = { .data = len ? (uintptr_t)id : 0, .len = len };

	return call(VERITY_COMMAND_RELOCK, &request);
}

int verity_gate_seal(void)
{
	struct verity_request request = { .data = 0 };

	return call(VERITY_COMMAND_SEAL, &request);
}

int verity_gate_probe(void)
{
	struct verity_request request = { .data = 0 };

	return call(VERITY_COMMAND_PUT, &request);
}
