/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_STAMP_H
#define VERITY_STAMP_H
/*
 * Which sources the extension was built from. verity/ports/kernel.py compares both at import.
 *
 * VERITY_INTERFACE: raise it together with verity/ports/kernel.py whenever a cdef changes.
 * VERITY_VERSION comes from the build: the version of the distribution.
 */
#define VERITY_INTERFACE 10

#ifndef VERITY_VERSION
#error "VERITY_VERSION is set by CMakeLists.txt"
#endif

static const char *const verity_version = VERITY_VERSION;

#endif
