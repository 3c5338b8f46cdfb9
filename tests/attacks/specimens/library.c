/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library that attacks try to load: says that it ran from its constructor, and has the entry
 * points of an audit library, an NSS module and a PAM module so that those load it, too. `mapper`
 * looks for the bytes ANSWER42 and calls what stands behind them.
 */
#include <unistd.h>

__asm__(".text\n.ascii \"ANSWER42\"\nmov $42, %eax\nret\n");

__attribute__((constructor)) static void loaded(void)
{
	static const char line[] = "ran " MARK " library\n";

	if (write(1, line, sizeof(line) - 1) < 0)
		_exit(2);
}

unsigned int la_version(unsigned int version)
{
	return version;
}

/* NSS_STATUS_NOTFOUND */
int _nss_attack_getpwnam_r(const char *name, void *entry, char *buffer, unsigned long size, int *error)
{
	(void)name, (void)entry, (void)buffer, (void)size, (void)error;
	return 0;
}

/* PAM_SUCCESS */
int pam_sm_open_session(void *handle, int flags, int argc, const char **argv)
{
	(void)handle, (void)flags, (void)argc, (void)argv;
	return 0;
}

int pam_sm_close_session(void *handle, int flags, int argc, const char **argv)
{
	return pam_sm_open_session(handle, flags, argc, argv);
}
