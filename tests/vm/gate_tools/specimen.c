/* SPDX-License-Identifier: Apache-2.0 */
/* Says its name: each name is a file with contents, and so a digest, of its own. */
#include <stdio.h>

int main(void)
{
	return puts("ran " NAME) < 0;
}
