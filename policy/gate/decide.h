/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_DECIDE_H
#define VERITY_DECIDE_H
/*
 * The decision: facts in, a reason out; pure and total, no kernel in it.
 *
 * The same table as verity/trust/decide.py; tests/vectors/decisions.toml runs through both, and
 * in a test machine through the program that the kernel runs. The hooks gather facts, this
 * decides, and `verity_enforced` says whether a reason denies in the gate's state or is only
 * logged.
 *
 * Rules:
 * - what is not known to be granted is refused: an unknown act, a fact out of range;
 * - subjects that are not privileged are asked nothing but whether they try to raise privileges,
 *   to give code to the kernel, to write below a file system, to take away what must stay, or to
 *   touch the gate itself;
 * - the order of the tests is part of the table: the first one that refuses is the reason, but one
 *   that is only observed, or lifted by an unlock, hides none that denies;
 * - an unlock changes no reason: it lifts some, and which it may lift is in verity_lifted alone.
 */
#include "verity.h"

/* --- acts ------------------------------------------------------------------------------- */

#define VERITY_ACT_EXEC 1u    /* a file is started: program, script or interpreter */
#define VERITY_ACT_ELEVATE 2u /* execve ends with more than the subject had */
#define VERITY_ACT_MAP 3u     /* memory is mapped */
#define VERITY_ACT_PROTECT 4u /* memory that is mapped becomes executable */
#define VERITY_ACT_OBJECT 5u  /* a map, program or link of the gate is reached for */
#define VERITY_ACT_PIN 6u     /* a pin of the gate, or a mount that holds it, is changed */
#define VERITY_ACT_KEY 7u     /* a key or keyring of the gate */
#define VERITY_ACT_PROGRAM 8u /* a BPF program is loaded that could change what hooks return */
#define VERITY_ACT_FTRACE 9u  /* ftrace, through which the gate is called, is switched off */
#define VERITY_ACT_MODULE 10u /* the kernel takes a module or firmware */
#define VERITY_ACT_KEXEC 11u  /* a kernel to start next is loaded */
#define VERITY_ACT_TRACE 12u  /* a task's memory or files are reached into */
#define VERITY_ACT_DEVICE 13u /* a block device that is in use is opened for writing */
#define VERITY_ACT_CONFIG 14u /* a file is opened for reading, where configuration may be */
#define VERITY_ACT_LINK 15u   /* a symlink is followed or read, likewise */
#define VERITY_ACT_MOUNT 16u  /* something is mounted, likewise */
#define VERITY_ACT_USER_NAMESPACE 17u /* one is made */
#define VERITY_ACT_TRACING 18u	      /* the kernel or a program is traced: kprobes, perf, ftrace */
#define VERITY_ACT_BPF_PROGRAM 19u    /* any other BPF program is loaded */
#define VERITY_ACT_REMOVE 20u /* a name is taken away, or what it means is replaced */
#define VERITY_ACT_BOOT 21u /* what the machine boots from is changed */

/* --- facts ------------------------------------------------------------------------------ */

/* what is known of the object's fs-verity digest */
#define VERITY_DIGEST_NO_FILE 0u /* anonymous memory */
#define VERITY_DIGEST_NONE 1u	 /* no fs-verity */
#define VERITY_DIGEST_OTHER 2u	 /* not SHA-256: not a digest that grants name */
#define VERITY_DIGEST_STALE 3u	 /* enabled under the gate, and old pages may still be cached */
#define VERITY_DIGEST_KNOWN 4u	 /* `granted` is what the tables have for it, perhaps nothing */

#define VERITY_PROT_WRITE 2u /* as in mmap(2) */
#define VERITY_PROT_EXEC 4u

/* what memory is, for ACT_PROTECT */
#define VERITY_MAPPED_VERIFIED 1u /* its file was mapped executable before, and was granted */
#define VERITY_MAPPED_DIRTY 2u	  /* it has private pages, which may differ from the file */

struct verity_facts {
	__u32 act;
	__u32 state; /* VERITY_STATE_* */
	/* The subject; for ACT_ELEVATE with what it would have afterwards, and for ACT_MAP and
	 * ACT_PROTECT also one that gave it up and may share the memory with who didn't. For
	 * ACT_TRACE the task that is reached into; for ACT_TRACING also who isn't, where more is
	 * traced than what is theirs. */
	__u32 privileged;
	__u32 digest;
	__u32 granted; /* VERITY_CODE_* flags of the object */
	__u32 prot;    /* wanted: VERITY_PROT_* */
	__u32 mapped;  /* VERITY_MAPPED_* */
	__u32 jit;     /* the subject's program is granted anonymous executable memory */
	__u32 raises;  /* ACT_ELEVATE: more than before, in the initial user namespace */
	__u32 covered; /* ACT_ELEVATE: one granted elevation has all of it */
	__u32 chained; /* ACT_EXEC, ACT_ELEVATE: started for another file, which was granted;
			* ACT_MAP: the subject's own program */
	__u32 traced;  /* ACT_ELEVATE: another task has the subject in hand */
	__u32 revoked; /* a revocation names the digest, or took a grant of it away */
	__u32 observed; /* reasons that are logged and don't deny, a bit each */
	__u32 guarded;	/* ACT_CONFIG, ACT_LINK, ACT_MOUNT: VERITY_CLASS_* of the place; 0: none */
	__u32 placed;	/* likewise: grants put this here; ACT_MOUNT: it is mounted over itself */
	/* ACT_REMOVE: `guarded` is signed where the policy requires what is there, and `placed` that
	 * grants put it there, and put nothing there that takes its place. */
	__u32 unlocked; /* VERITY_UNLOCKED_*: what live tokens have to do with this act */
	__u32 trust;	/* the place is one of the trust files, or could not be found out */
};

/* 1 << the scope of a token that is live, and is about this object, this subject or everything */
#define VERITY_UNLOCKED_DIGEST 2u
#define VERITY_UNLOCKED_PATH_PREFIX 4u
#define VERITY_UNLOCKED_CONFIG_PATH 8u
#define VERITY_UNLOCKED_SESSION 16u
#define VERITY_UNLOCKED_OBSERVE_ONLY 32u
#define VERITY_UNLOCKED_OFF 64u
#define VERITY_UNLOCKED_OVER 128u /* the subject is of a session whose token is over */

/* --- states and reasons ----------------------------------------------------------------- */

#define VERITY_STATE_OFF 0u
#define VERITY_STATE_LOADING 1u /* programs are attached, nothing is enforced but self-protection */
#define VERITY_STATE_OBSERVE 2u
#define VERITY_STATE_SEALED 3u
#define VERITY_STATE_BOOT 4u /* sealed, and files of the initramfs still count as granted */

#define VERITY_ALLOW 0u
#define VERITY_NO_DIGEST 1u	/* no fs-verity: nobody vouches for its contents */
#define VERITY_OTHER_DIGEST 2u	/* a digest of another algorithm */
#define VERITY_STALE 3u		/* digest and cached pages may differ */
#define VERITY_NOT_GRANTED 4u	/* no signed grants name this digest */
#define VERITY_WRONG_USE 5u	/* granted, but not for this */
#define VERITY_ANONYMOUS 6u	/* executable memory without a file */
#define VERITY_WRITABLE 7u	/* writable and executable at once */
#define VERITY_DIRTY 8u		/* private pages, which may have been written, made executable */
#define VERITY_UNVERIFIED 9u	/* made executable later, and never verified as code */
#define VERITY_NOT_ELEVATED 10u /* raises privileges without a grant that covers it */
#define VERITY_GATE_OBJECT 11u
#define VERITY_GATE_PIN 12u
#define VERITY_GATE_KEY 13u
#define VERITY_FOREIGN_PROGRAM 14u
#define VERITY_FTRACE 15u
#define VERITY_REVOKED 16u	/* not granted any more: digest, serial or signing key is revoked */
#define VERITY_TRACED 17u	/* a privileged task would be in another one's hand */
#define VERITY_DEVICE 18u	/* writing below what is mounted or otherwise in use */
#define VERITY_INTERPRETER 19u	/* runs what it is told, and was not started by a granted script */
#define VERITY_UNDECIDED 20u	/* the gate could not find out: no memory, or a fact out of range */
#define VERITY_CONFIG_UNSIGNED 21u /* no signed grants put these contents at this guarded path */
#define VERITY_CONFIG_LINK 22u /* nor this symlink, with this target */
#define VERITY_CONFIG_MOUNT 23u /* mounted over guarded configuration, or over what leads there */
#define VERITY_USER_NAMESPACE 24u /* in one, much more of the kernel can be reached */
#define VERITY_TRACING 25u	  /* reads what privileged programs and the kernel keep to themselves */
#define VERITY_BPF_PROGRAM 26u	  /* a program in the kernel, of whatever kind */
#define VERITY_CONFIG_REMOVED 27u /* what grants put there, and the policy requires */
#define VERITY_SESSION_OVER 28u	  /* the unlock that this session was for is over */
#define VERITY_BOOT_CHAIN 29u  /* the next boot would be another one */
#define VERITY_REASONS 30u
/* What a policy may have logged and not denied: never what protects the gate, nor not knowing. */
#define VERITY_OBSERVABLE \
	(((2ull << VERITY_NOT_ELEVATED) - 2) | 7ull << VERITY_CONFIG_UNSIGNED | \
	 1ull << VERITY_CONFIG_REMOVED)

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline __u32 verity_decide_digest(const struct verity_facts *facts, __u32 use)
{
	if (facts->digest == VERITY_DIGEST_NONE)
		return VERITY_NO_DIGEST;
	if (facts->digest == VERITY_DIGEST_OTHER)
		return VERITY_OTHER_DIGEST;
	if (facts->digest == VERITY_DIGEST_STALE)
		return VERITY_STALE;
	if (facts->digest != VERITY_DIGEST_KNOWN)
		return VERITY_UNDECIDED;
	if (!facts->granted)
		return facts->revoked ? VERITY_REVOKED : VERITY_NOT_GRANTED;
	return facts->granted & use ? VERITY_ALLOW : VERITY_WRONG_USE;
}

static __always_inline int verity_observes(const struct verity_facts *facts, __u32 reason)
{
	return facts->observed >> (reason & 31) & 1;
}

/* --- unlocks ------------------------------------------------------------------------------ */

#define VERITY_BIT(reason) (1u << (reason))
/* What a digest that is granted as a program, a script and a library would not be refused for. */
#define VERITY_LIFTED_DIGEST (VERITY_BIT(VERITY_NOT_GRANTED) | VERITY_BIT(VERITY_WRONG_USE))
#define VERITY_LIFTED_FILE \
	(VERITY_LIFTED_DIGEST | VERITY_BIT(VERITY_NO_DIGEST) | VERITY_BIT(VERITY_OTHER_DIGEST) | \
	 VERITY_BIT(VERITY_STALE))
#define VERITY_LIFTED_CONFIG (VERITY_BIT(VERITY_CONFIG_UNSIGNED) | VERITY_BIT(VERITY_CONFIG_LINK))
#define VERITY_LIFTED_SESSION \
	(VERITY_LIFTED_FILE | VERITY_LIFTED_CONFIG | VERITY_BIT(VERITY_ANONYMOUS) | \
	 VERITY_BIT(VERITY_WRITABLE) | VERITY_BIT(VERITY_DIRTY) | VERITY_BIT(VERITY_UNVERIFIED) | \
	 VERITY_BIT(VERITY_INTERPRETER))
/* All but what protects the gate and its trust files, what is revoked, and not knowing. */
#define VERITY_LIFTED_HOST \
	((VERITY_BIT(VERITY_REASONS) - 1) & \
	 ~(VERITY_BIT(VERITY_ALLOW) | VERITY_BIT(VERITY_GATE_OBJECT) | VERITY_BIT(VERITY_GATE_PIN) | \
	   VERITY_BIT(VERITY_GATE_KEY) | VERITY_BIT(VERITY_FOREIGN_PROGRAM) | \
	   VERITY_BIT(VERITY_FTRACE) | VERITY_BIT(VERITY_REVOKED) | VERITY_BIT(VERITY_DEVICE) | \
	   VERITY_BIT(VERITY_UNDECIDED) | VERITY_BIT(VERITY_SESSION_OVER) | \
	   VERITY_BIT(VERITY_BOOT_CHAIN)))

/*
 * The reasons that don't count for this act because of an unlock. None for what becomes part of the
 * kernel, which could change the gate itself, and none at a place of the trust files.
 */
static __always_inline __u32 verity_lifted(const struct verity_facts *facts)
{
	__u32 unlocked = facts->unlocked, act = facts->act, lifted = 0;

	if (!unlocked || facts->trust || act == VERITY_ACT_MODULE || act == VERITY_ACT_KEXEC)
		return 0;
	if (unlocked & (VERITY_UNLOCKED_OBSERVE_ONLY | VERITY_UNLOCKED_OFF))
		lifted |= VERITY_LIFTED_HOST;
	if (unlocked & VERITY_UNLOCKED_SESSION)
		lifted |= VERITY_LIFTED_SESSION;
	if (unlocked & VERITY_UNLOCKED_DIGEST)
		lifted |= VERITY_LIFTED_DIGEST;
	if (unlocked & VERITY_UNLOCKED_PATH_PREFIX)
		lifted |= VERITY_LIFTED_FILE;
	if (unlocked & VERITY_UNLOCKED_CONFIG_PATH)
		lifted |= VERITY_LIFTED_CONFIG;
	return lifted;
}

/* Whether the reason doesn't deny here: the policy only observes it, or an unlock lifts it. */
static __always_inline int verity_lets(const struct verity_facts *facts, __u32 reason)
{
	return (facts->observed | verity_lifted(facts)) >> (reason & 31) & 1;
}

/* Refuse for this reason, unless it is only observed: then go on, and remember the first such. */
#define VERITY_REFUSE(facts, reason, seen) \
	do { \
		__u32 refusal_ = (reason); \
\
		if (refusal_ && !verity_observes(facts, refusal_)) \
			return refusal_; \
		if (!(seen)) \
			(seen) = refusal_; \
	} while (0)

static __always_inline __u32 verity_decide_exec(const struct verity_facts *facts, __u32 seen)
{
	VERITY_REFUSE(facts, verity_decide_digest(facts, VERITY_CODE_EXEC | VERITY_CODE_SCRIPT), seen);
	if (facts->granted & VERITY_CODE_INTERPRETER && !facts->chained)
		VERITY_REFUSE(facts, VERITY_INTERPRETER, seen);
	return seen;
}

static __always_inline __u32 verity_decide_memory(const struct verity_facts *facts)
{
	__u32 seen = VERITY_ALLOW;

	if (!(facts->prot & VERITY_PROT_EXEC) || !facts->privileged)
		return VERITY_ALLOW;
	if (facts->digest == VERITY_DIGEST_NO_FILE)
		return facts->jit ? VERITY_ALLOW : VERITY_ANONYMOUS;
	if (facts->prot & VERITY_PROT_WRITE)
		VERITY_REFUSE(facts, VERITY_WRITABLE, seen);
	if (facts->act == VERITY_ACT_MAP) {
		VERITY_REFUSE(facts,
			      verity_decide_digest(facts, VERITY_CODE_EXEC | VERITY_CODE_LIBRARY),
			      seen);
		/* The dynamic linker would start it as a library. */
		if (facts->granted & VERITY_CODE_INTERPRETER && !facts->chained)
			VERITY_REFUSE(facts, VERITY_INTERPRETER, seen);
		return seen;
	}
	if (facts->mapped & VERITY_MAPPED_DIRTY)
		VERITY_REFUSE(facts, VERITY_DIRTY, seen);
	if (!(facts->mapped & VERITY_MAPPED_VERIFIED))
		VERITY_REFUSE(facts, VERITY_UNVERIFIED, seen);
	return seen;
}

static __always_inline __u32 verity_decide_elevation(const struct verity_facts *facts)
{
	__u32 seen = VERITY_ALLOW;

	if (facts->raises && !facts->covered)
		VERITY_REFUSE(facts, facts->revoked ? VERITY_REVOKED : VERITY_NOT_ELEVATED, seen);
	if (!facts->privileged)
		return seen;
	if (facts->traced)
		VERITY_REFUSE(facts, VERITY_TRACED, seen);
	return verity_decide_exec(facts, seen);
}

/* A class that nobody knows counts as signed. */
static __always_inline int verity_is_signed(const struct verity_facts *facts)
{
	return facts->guarded == VERITY_CLASS_SIGNED || facts->guarded > VERITY_CLASS_IGNORED;
}

/* Whether what is there must be signed. */
static __always_inline int verity_must_be_placed(const struct verity_facts *facts)
{
	return facts->privileged && verity_is_signed(facts);
}

/*
 * A path is granted to contents, so what else is known of a digest is no reason of its own: whoever
 * has no-digest observed for programs did not mean configuration.
 */
static __always_inline __u32 verity_decide_config(const struct verity_facts *facts)
{
	if (!verity_must_be_placed(facts))
		return VERITY_ALLOW;
	if (facts->digest == VERITY_DIGEST_NO_FILE || facts->digest > VERITY_DIGEST_KNOWN)
		return VERITY_UNDECIDED;
	if (facts->digest == VERITY_DIGEST_KNOWN && facts->placed)
		return VERITY_ALLOW;
	return facts->revoked ? VERITY_REVOKED : VERITY_CONFIG_UNSIGNED;
}

static __always_inline __u32 verity_decide_link(const struct verity_facts *facts)
{
	if (!verity_must_be_placed(facts) || facts->placed)
		return VERITY_ALLOW;
	return facts->revoked ? VERITY_REVOKED : VERITY_CONFIG_LINK;
}

static __always_inline __u32 verity_decide_mount(const struct verity_facts *facts)
{
	return !verity_must_be_placed(facts) || facts->placed ? VERITY_ALLOW : VERITY_CONFIG_MOUNT;
}

/* Whoever may take the name away by the file's permissions is asked. */
static __always_inline __u32 verity_decide_removal(const struct verity_facts *facts)
{
	if (!verity_is_signed(facts))
		return VERITY_ALLOW;
	if (facts->digest > VERITY_DIGEST_KNOWN)
		return VERITY_UNDECIDED;
	return facts->placed ? VERITY_CONFIG_REMOVED : VERITY_ALLOW;
}

/* A session that is over does nothing more that the gate is asked about, whatever it is. */
static __always_inline int verity_ends(const struct verity_facts *facts)
{
	__u32 act = facts->act;

	return facts->unlocked & VERITY_UNLOCKED_OVER &&
	       (act == VERITY_ACT_EXEC || act == VERITY_ACT_ELEVATE || act == VERITY_ACT_MAP ||
		act == VERITY_ACT_PROTECT || act == VERITY_ACT_CONFIG || act == VERITY_ACT_LINK);
}

/* The reason against it where nothing is unlocked, or VERITY_ALLOW. */
static __always_inline __u32 verity_decide(const struct verity_facts *facts)
{
	if (verity_ends(facts))
		return VERITY_SESSION_OVER;
	switch (facts->act) {
	case VERITY_ACT_OBJECT:
		return VERITY_GATE_OBJECT;
	case VERITY_ACT_PIN:
		return VERITY_GATE_PIN;
	case VERITY_ACT_KEY:
		return VERITY_GATE_KEY;
	case VERITY_ACT_PROGRAM:
		return VERITY_FOREIGN_PROGRAM;
	case VERITY_ACT_FTRACE:
		return VERITY_FTRACE;
	case VERITY_ACT_EXEC:
		return facts->privileged ? verity_decide_exec(facts, VERITY_ALLOW) : VERITY_ALLOW;
	case VERITY_ACT_ELEVATE:
		return verity_decide_elevation(facts);
	case VERITY_ACT_MAP:
	case VERITY_ACT_PROTECT:
		return verity_decide_memory(facts);
	case VERITY_ACT_MODULE:
		if (facts->digest == VERITY_DIGEST_NO_FILE)
			return VERITY_ANONYMOUS;
		return verity_decide_digest(facts, VERITY_CODE_MODULE);
	case VERITY_ACT_KEXEC:
		/* No grant is for this. */
		if (facts->digest == VERITY_DIGEST_NO_FILE)
			return VERITY_ANONYMOUS;
		return verity_decide_digest(facts, 0);
	case VERITY_ACT_TRACE:
		return facts->privileged ? VERITY_TRACED : VERITY_ALLOW;
	case VERITY_ACT_DEVICE:
		return VERITY_DEVICE;
	case VERITY_ACT_CONFIG:
		return verity_decide_config(facts);
	case VERITY_ACT_LINK:
		return verity_decide_link(facts);
	case VERITY_ACT_MOUNT:
		return verity_decide_mount(facts);
	case VERITY_ACT_USER_NAMESPACE:
		return VERITY_USER_NAMESPACE;
	case VERITY_ACT_TRACING:
		return facts->privileged ? VERITY_TRACING : VERITY_ALLOW;
	case VERITY_ACT_BPF_PROGRAM:
		return VERITY_BPF_PROGRAM;
	case VERITY_ACT_REMOVE:
		return verity_decide_removal(facts);
	case VERITY_ACT_BOOT:
		return VERITY_BOOT_CHAIN;
	}
	return VERITY_UNDECIDED;
}

/* The same with what is unlocked: what is lifted counts as if it were only observed. */
static __always_inline __u32 verity_decide_unlocked(const struct verity_facts *facts)
{
	struct verity_facts lifted = *facts;

	lifted.observed |= verity_lifted(facts);
	return verity_decide(&lifted);
}

/*
 * Whether a reason denies in this state. The gate's objects, keys, foreign programs and ftrace
 * are guarded from load on: whoever could reach them before the seal would decide what is sealed.
 * Its pins are not: before the seal, removing them is how the owner switches the gate off.
 */
static __always_inline int verity_enforced(__u32 state, __u32 reason)
{
	switch (reason) {
	case VERITY_ALLOW:
		return 0;
	case VERITY_GATE_OBJECT:
	case VERITY_GATE_KEY:
	case VERITY_FOREIGN_PROGRAM:
	case VERITY_FTRACE:
		return state != VERITY_STATE_OFF;
	}
	/* A state that isn't known is no reason to let anything through. */
	return state != VERITY_STATE_OFF && state != VERITY_STATE_LOADING &&
	       state != VERITY_STATE_OBSERVE;
}

/* Whether this decision denies. */
static __always_inline int verity_denies(const struct verity_facts *facts, __u32 reason)
{
	return verity_enforced(facts->state, reason) && !verity_lets(facts, reason);
}

/* Whether it would deny, were it not for an unlock. */
static __always_inline int verity_unlocks(const struct verity_facts *facts, __u32 reason)
{
	return verity_enforced(facts->state, reason) && !verity_observes(facts, reason) &&
	       verity_lets(facts, reason);
}

#endif
