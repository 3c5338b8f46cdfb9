/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_CONFIG_H
#define VERITY_CONFIG_H
/*
 * What the loader tells the gate through maps, before the seal: the contract of load.c and
 * gate.bpf.c. Not to be confused with verity.h, which holds what is signed or called from
 * outside; nothing here is ever written to a disk.
 *
 * The loader looks maps and programs up by these names and refuses an object that lacks one,
 * or whose map has other sizes.
 */
#include "decide.h"

/* --- maps ------------------------------------------------------------------------------- */

#define VERITY_MAP_CONFIG "config"     /* array, one struct verity_config */
#define VERITY_MAP_KEYRINGS "keyrings" /* array, VERITY_KEYRING(...) -> serial, 0: none */
#define VERITY_MAP_OWN_KEYS "own_keys" /* hash, serial -> address (the loader puts 0) */
#define VERITY_MAP_OWN_IDS "own_ids"   /* hash, struct verity_id -> 1 */
#define VERITY_MAP_FLOORS "floors"     /* hash, a stream's name -> lowest serial to take */
#define VERITY_MAP_DENIALS "denials"   /* what VERITY_PROGRAM_DENIALS is attached to */
#define VERITY_MAP_UNLOCKS "unlocks"   /* what VERITY_PROGRAM_STATUS is attached to */
#define VERITY_MAP_BOOT "boot"         /* array, one struct verity_boot */

struct verity_config {
	__u32 state;	/* VERITY_STATE_*; the gate itself sets SEALED */
	__u32 gate_dev; /* the kernel's dev_t of the bpffs that holds the pins */
	__u64 mount;	/* struct vfsmount of the pins, filled in by the gate */
	__u8 root_threshold[VERITY_PARTIES]; /* from the pins, by party */
	__u8 backing; /* the hook for files below an overlay is there, and attached */
	__u8 zero[4];
	/* Who a token must name; nobody writes them after the seal. */
	__u8 boot_nonce[VERITY_NONCE_SIZE];
	__u8 host_id[VERITY_HOST_ID_SIZE]; /* zero: it isn't known, and no token is taken */
};

#define VERITY_BOOT_PLACES 8

/* A directory of what the machine boots from, in a file system that holds other things, too. */
struct verity_boot_place {
	__u64 inode; /* 0: none */
	__u32 device; /* VERITY_KERNEL_DEV of its file system */
	__u32 zero;
};

/* A gate that an initramfs loads (boot.h); all zero: it is loaded in the running system. */
struct verity_boot {
	__u32 initial; /* VERITY_KERNEL_DEV of the initial root */
	__u32 survivors; /* from here on filled in by the gate: what `enter` was told */
	__u64 entered_ns; /* when the trust in the initial root ended, on the boot clock; 0: not yet */
	struct verity_boot_place places[VERITY_BOOT_PLACES];
	__u32 devices[VERITY_BOOT_PLACES]; /* block devices that are booted from; 0: none */
};

/* dev_t as the kernel has it in memory, not as stat(2) encodes it */
#define VERITY_KERNEL_DEV(major, minor) ((__u32)(major) << 20 | (__u32)(minor))

#define VERITY_KEYRING(party, role, owner) \
	(((party) * VERITY_ROLES + (role)) * VERITY_OWNERS + (owner))
#define VERITY_KEYRINGS (VERITY_PARTIES * VERITY_ROLES * VERITY_OWNERS)

/* Everything in own_keys: a keyring each, the keys of two pins and two `keys`, the parent. */
#define VERITY_OWN_KEYS_MAX (VERITY_KEYRINGS + 4 * VERITY_KEYS_MAX + 1)

#define VERITY_ID_MAP 1u
#define VERITY_ID_PROGRAM 2u
#define VERITY_ID_LINK 3u

struct verity_id {
	__u32 type;
	__u32 id;
};

/* Map `denials`: a ring of the last ones, then the first one of each reason. */
#define VERITY_DENIALS_RING 256u
#define VERITY_DENIALS (VERITY_DENIALS_RING + VERITY_REASONS)

/* --- programs --------------------------------------------------------------------------- */

#define VERITY_PROGRAM_STATUS "verity_status"
#define VERITY_PROGRAM_DENIALS "verity_denials"
#define VERITY_PROGRAM_SYSCTL "verity_sysctl"
/* An iterator that counts foreign programs when it is read; where there is none, status does. */
#define VERITY_PROGRAM_CENSUS "verity_census"
/* The name of a program ends so if a kernel without its hook is good enough. */
#define VERITY_PROGRAM_MAYBE "_maybe"
#define VERITY_PROGRAM_BACKING "verity_mmap_backing_maybe"
/* Needed where an execve can be asked to check only (Linux 6.14), and there alone. */
#define VERITY_PROGRAM_CHECKED "verity_bprm_for_exec"
/* It begins so if only a gate that an initramfs loads needs it. */
#define VERITY_PROGRAM_BOOT "verity_boot_"

/* --- places ----------------------------------------------------------------------------- */

#define VERITY_BPFFS "/sys/fs/bpf"
#define VERITY_PINS "/sys/fs/bpf/verity"
#define VERITY_PIN_LINKS "/sys/fs/bpf/verity/links"
#define VERITY_PIN_STATUS "/sys/fs/bpf/verity/status"
#define VERITY_PIN_DENIALS "/sys/fs/bpf/verity/denials"
#define VERITY_PIN_SCRIPTS "/sys/fs/bpf/verity/links/verity_scripts"

/* Nobody's uid ("veri"): the keyrings hang under its user keyring. */
#define VERITY_KEYRING_UID 0x76657269u

/* --- pinned ----------------------------------------------------------------------------- */

VERITY_SIZE_IS(verity_config, 88);
VERITY_AT(verity_config, state, 0);
VERITY_AT(verity_config, gate_dev, 4);
VERITY_AT(verity_config, mount, 8);
VERITY_AT(verity_config, root_threshold, 16);
VERITY_AT(verity_config, backing, 19);
VERITY_AT(verity_config, zero, 20);
VERITY_AT(verity_config, boot_nonce, 24);
VERITY_AT(verity_config, host_id, 56);
VERITY_SIZE_IS(verity_boot_place, 16);
VERITY_AT(verity_boot_place, inode, 0);
VERITY_AT(verity_boot_place, device, 8);
VERITY_AT(verity_boot_place, zero, 12);
VERITY_SIZE_IS(verity_boot, 176);
VERITY_AT(verity_boot, initial, 0);
VERITY_AT(verity_boot, survivors, 4);
VERITY_AT(verity_boot, entered_ns, 8);
VERITY_AT(verity_boot, places, 16);
VERITY_AT(verity_boot, devices, 144);
VERITY_SIZE_IS(verity_id, 8);
VERITY_AT(verity_id, type, 0);
VERITY_AT(verity_id, id, 4);
_Static_assert(VERITY_KEYRING(VERITY_PARTIES - 1, VERITY_ROLES - 1, VERITY_OWNERS - 1) ==
		       VERITY_KEYRINGS - 1,
	       "keyrings are numbered without gaps");

#endif
