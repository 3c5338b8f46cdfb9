/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy/gate/decide.h as a program: reads struct verity_facts after struct verity_facts, writes
 * for each the reason, and whether it is enforced in that state (1) or only an unlock lets it through
 * (2), as two u32. It checks nothing else: what isn't a whole record at the end is an error.
 */
#include <stdio.h>

#include "decide.h"

int main(void)
{
	struct verity_facts facts;
	size_t size;

	while ((size = fread(&facts, 1, sizeof(facts), stdin)) == sizeof(facts)) {
		__u32 reason = verity_decide_unlocked(&facts);
		__u32 answer[2] = {reason, (__u32)verity_denies(&facts, reason) |
						   (verity_unlocks(&facts, reason) ? 2u : 0u)};

		if (fwrite(answer, sizeof(answer), 1, stdout) != 1)
			return 1;
	}
	return size != 0 || fflush(stdout) != 0;
}
