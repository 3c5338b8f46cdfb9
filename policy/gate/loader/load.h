/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_LOAD_H
#define VERITY_LOAD_H
/*
 * The loader's parts, as they see each other. load.c puts them in order.
 *
 * - Every function that can fail returns 0 or -errno and then has filled in the failure that
 *   was passed to it; nothing but load.c and options.c prints, nothing but main exits.
 * - bundle.c, floors.c, keylist.c, certificate.c and identity.c are pure: bytes in, values out, no
 *   system calls.
 * - Whatever a part does to the host it can undo, in any half-done state.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "verity.h"

/* --- failure.c -------------------------------------------------------------------------- */

#define STATUS_REFUSED 1 /* bundle, pin, object or signature: the gate or we say no */
#define STATUS_USAGE 2
#define STATUS_HOST 3 /* this host can't */

struct failure {
	int status;
	char message[512];
	char hint[256];
	char detail[2048]; /* lines of libbpf or the kernel's verifier, perhaps none */
};

/* Returns -EBADMSG. The hint says what to do. */
__attribute__((format(printf, 3, 4))) int refuse(struct failure *f, const char *hint,
						 const char *format, ...);
/* Returns -error; ": " and what errno means is appended unless error is 0 (then -ENOTSUP). */
__attribute__((format(printf, 4, 5))) int cannot(struct failure *f, int error,
						 const char *hint, const char *format, ...);

#define HINT_LOG "look at the kernel's log"
#define HINT_INSTALL "install the package again: loader and object belong together"
#define HINT_KERNEL \
	"boot a kernel that has it: Linux 6.12 or newer with CONFIG_BPF_LSM and CONFIG_FS_VERITY, " \
	"such as Debian 13's"

/* --- options.c -------------------------------------------------------------------------- */

struct options {
	const char *pins[2];
	const char *bundle;
	const char *object; /* NULL: beside this program */
	const char *host_id; /* NULL: no token is taken */
	int n_pins;
	int observe;
	int until_seal; /* load, and leave the seal to a later run */
	int seal;	/* seal the gate that is loaded */
	const char *root; /* --boot: where the root file system is mounted; NULL: not in an initramfs */
	const char *devices[VERITY_BOOT_PLACES];
	int n_devices;
	uint64_t least_policy; /* the lowest serial that counts */
	const char *enter; /* --enter: likewise, and nothing is loaded */
	const char *init;
	const char *attempt; /* --try: likewise */
	const char *stage; /* --stage: likewise, and nothing stays loaded */
	int mode; /* only say what the bundle asks for */
};

/* -1: go on; else exit with that status, everything is said. */
int options_parse(int argc, char **argv, struct options *out);

/* --- certificate.c ---------------------------------------------------------------------- */


#define CERTIFICATE_MAX 320

/* The X.509 of docs/formats.md section 7; returns its length. */
size_t certificate(const uint8_t key_id[VERITY_SHA256_SIZE],
		   const uint8_t spki[VERITY_SPKI_SIZE], uint8_t out[CERTIFICATE_MAX]);

/* The issuer of all of ours, and ecdsa-with-SHA256. */
extern const uint8_t der_issuer[19];
extern const uint8_t der_ecdsa[12];

/* --- bundle.c --------------------------------------------------------------------------- */

/* Where the bytes come from, for messages, and the bytes; `data` is the owner's to free. */
struct bytes {
	const char *name;
	uint8_t *data;
	size_t len;
};

/* Keys that were checked; `keys` points into the document. */
struct key_list {
	uint32_t party;
	uint32_t count;
	uint8_t thresholds[VERITY_ROLES];
	const struct verity_key_entry *keys;
};

struct blob {
	uint32_t kind;	/* VERITY_RECORD_* */
	uint32_t number; /* of the record, from 1 */
	uint32_t len;
	uint32_t nsig;
	const uint8_t *data;
	struct verity_signature sigs[VERITY_OWNERS];
};

struct bundle_cursor {
	size_t at;
	uint32_t number;
	uint32_t last_kind;
};

extern const char *const party_names[VERITY_PARTIES];
extern const char *const role_names[VERITY_ROLES];

/* The name of a kind of record, for messages. */
const char *record_name(uint32_t kind);

/* A pin, or the contents of a `keys` record. */
int pin_parse(const struct bytes *document, struct key_list *out, struct failure *f);
int keys_parse(const struct blob *blob, const char *name, struct key_list *out,
	       struct failure *f);

/* The next blob with its signatures: 1, or 0 at the end. Begin with a zeroed cursor. */
int bundle_next(const struct bytes *bundle, struct bundle_cursor *cursor, struct blob *out,
		struct failure *f);

/* --- floors.c --------------------------------------------------------------------------- */

/* Floors that were checked; `data` points into the bundle, at any address. */
struct floors {
	const uint8_t *data;
	uint32_t count; /* 0: the bundle has none */
};

int floors_parse(const struct blob *blob, const char *name, struct floors *out, struct failure *f);
void floor_at(const struct floors *floors, uint32_t index, struct verity_floor *out);

/* --- bundle.c again --------------------------------------------------------------------- */

/* All of it: the pins by party, and a bundle whose keys go with them. */
struct documents {
	struct bytes bundle;
	struct key_list pins[VERITY_PARTIES];
	struct key_list keys[VERITY_PARTIES]; /* count 0: the bundle has none */
	struct floors floors;
	uint32_t blobs;
};

int documents_check(const struct bytes pins[2], struct documents *out, struct failure *f);

/* --- host.c ----------------------------------------------------------------------------- */

/* A whole regular file; free(out->data). */
int read_file(const char *path, size_t most, struct bytes *out, struct failure *f);
void free_bytes(struct bytes *bytes);
/* A small text file of the kernel's into room, with a NUL: its length or -errno. */
ssize_t read_text(const char *path, char *room, size_t size);
int write_text(const char *path, const char *text);

int host_check(struct failure *f);

/* Who a token must name: the host, from its file, and this boot. 1: there is no such file. */
int host_id_read(const char *path, uint8_t out[VERITY_HOST_ID_SIZE], struct failure *f);
int boot_nonce_draw(uint8_t out[VERITY_NONCE_SIZE], struct failure *f);

/* --- identity.c ------------------------------------------------------------------------- */

/* The text of the file: not zero, which would be nobody's. */
int host_id_parse(const struct bytes *text, uint8_t out[VERITY_HOST_ID_SIZE], struct failure *f);

/* --- mount.c ---------------------------------------------------------------------------- */

struct place {
	int made;
	int mounted;
	int opened;	/* the mode of /sys/fs/bpf was changed */
	mode_t old_mode;
	uint32_t dev; /* VERITY_KERNEL_DEV */
};

int place_make(struct place *place, struct failure *f);
int place_remove(struct place *place);
int drop_caches(struct failure *f);
/* 0, or -errno when the kernel is not locked down afterwards. */
int lock_kernel_down(void);

/* --- programs.c --------------------------------------------------------------------------- */

#define GATE_LINKS_MAX 96

struct bpf_object;
struct bpf_link;

struct gate {
	struct bpf_object *object;
	struct bpf_link *links[GATE_LINKS_MAX];
	uint32_t link_ids[GATE_LINKS_MAX]; /* 0: not known yet */
	size_t n_links;
	struct bpf_link *census; /* one of links, or NULL */
	int config, keyrings, own_keys, own_ids, floors; /* descriptors of maps, owned by object */
	int boot; /* an initramfs loads it: with the programs that only then are needed */
};

/* Open and check the object, and load it into the kernel; nothing is attached yet. */
int gate_load(struct gate *gate, const char *path, struct failure *f);
int gate_configure(struct gate *gate, const struct verity_config *config, struct failure *f);
/* What the gate refuses from now on; before it gets any grants. */
int gate_set_floors(const struct gate *gate, const struct floors *floors, struct failure *f);
/* Whether the kernel has the hook that judges files below an overlay. */
int gate_sees_backing(const struct gate *gate);
int gate_set_state(struct gate *gate, uint32_t state, struct failure *f);
/* Tell the gate that an object is its own; type: VERITY_ID_*. */
int gate_own(const struct gate *gate, uint32_t type, uint32_t id, const char *name,
	     struct failure *f);
/* Passes result on, with what libbpf said last as the failure's detail. */
int with_libbpf(int result, struct failure *f);

/* --- links.c ---------------------------------------------------------------------------- */

/* Attach every program and pin its link. */
int gate_attach(struct gate *gate, struct failure *f);
/* Has the gate count the programs that could change what it answers. */
int gate_census(const struct gate *gate, struct failure *f);
int gate_freeze(struct gate *gate, struct failure *f);
/* The pins must be gone. 0: every program is detached now; -EBUSY: not after 5 seconds. */
int gate_close(struct gate *gate);

/* --- anchors.c -------------------------------------------------------------------------- */

/*
 * Opens what a policy guards, and what leads there: so the gate learns which directories these are.
 * root: where the root file system is, or NULL for /.
 */
int open_guarded(const struct blob *policy, const char *root, struct failure *f);

/* --- keyrings.c ------------------------------------------------------------------------- */

struct keyrings {
	int32_t parent; /* 0: none yet */
	int32_t serials[VERITY_OWN_KEYS_MAX];
	uint32_t count;
	int map, own_keys; /* descriptors of the gate's maps */
};

int keyrings_begin(struct keyrings *rings, const struct gate *gate, struct failure *f);
/* Make and fill the keyrings of the roles whose bits (1 << role) are set. */
int keyrings_fill(struct keyrings *rings, const struct key_list *list, uint32_t roles,
		  struct failure *f);
int keyrings_finish(struct keyrings *rings, struct failure *f);
/* The gate must be detached. */
void keyrings_remove(struct keyrings *rings);

/* --- import.c ---------------------------------------------------------------------------- */

/* Whether a gate answers: 1, 0, or -errno when the answer says neither. */
int gate_answers(void);
int gate_import(const struct blob *blob, const char *name, struct failure *f);
int gate_seal(struct failure *f);
struct token;
int gate_unlock(const struct token *token, struct failure *f);
/* One token by its id, or all of them: NULL. */
int gate_relock(const struct token *token, struct failure *f);

int gate_enter(uint32_t survivors, struct failure *f);

/* --- boot.c ------------------------------------------------------------------------------- */

/* What the initial root is, and what is booted from. */
int boot_find(const struct options *options, struct verity_boot *out, struct failure *f);
int boot_configure(const struct gate *gate, const struct verity_boot *boot, struct failure *f);
/* The mode that a bundle's policy names; nothing of it is verified. */
int boot_mode(const char *path, const char **mode, uint64_t *serial, struct failure *f);

/* --- enter.c ------------------------------------------------------------------------------ */

int enter(const struct options *options, struct failure *f);

/* --- stage.c ------------------------------------------------------------------------------ */

/* 0: nothing is staged, 1: but for the last step it is in place, 2: it is to be looked at. */
int stage_state(const char *root, struct failure *f);
/* What the present bundle has is the least that the staged one must have. */
int stage_raise(const struct gate *gate, const struct bytes *present,
		const struct bytes *staged, uint64_t *least_policy, struct failure *f);
/* Puts it into place; a gate has taken its bundle. Again after a power cut: until stage_move. */
int stage_apply(const char *root, const struct bytes *bundle, struct failure *f);
int stage_move(const char *root, const char *to, struct failure *f);
/* A directory of the state gets another name, and what has that makes way: 0 or -errno. */
int stage_away(int root, const char *from, const char *to);

/* Makes the names in a folder durable: 0 or -errno. */
int folder_sync(int folder, const char *name);

#define HINT_STAGE "stage it anew: verity lockdown stage"

/* --- attempts.c --------------------------------------------------------------------------- */

/* One boot less that may begin what is staged; refused if there is none. Before it is looked at. */
int stage_attempt(const char *root, struct failure *f);
/* Refused, or in the last of these boots: it is put away. What can't be done is left to the next one. */
void stage_failed(const char *root, const struct failure *f);

/* --- fallback.c --------------------------------------------------------------------------- */

#define BOOT_TRIES 3	    /* boots that what was staged gets to come up */
#define KEPT ".verity-old" /* behind the name of an entry that was replaced */

/* Below the root: */
#define STATE "var/lib/verity"
#define BUNDLE STATE "/boot.bundle"
#define PREVIOUS STATE "/previous/boot.bundle"
#define PREVIOUS_NONE STATE "/previous/none" /* there was no bundle */
#define BEGUN(stage) STATE "/" stage "/begun" /* what is booted from is changed from then on */

/* A small file becomes this text, whole or not at all: 0 or -errno. */
int text_put(int root, const char *name, const char *text);
/* A count of boots in a file: -1 if that is none; and 0 or -errno. */
int count_of(int root, const char *name);
int count_put(int root, const char *name, int count);

/* Boots that are left to what was staged, or -1: all that is there was confirmed. */
int tries_left(int root);
/* All of them; and the boot loader's. 0 or -errno */
int tries_begin(int root);
/* Entries that were kept for the way back go: what took their place was confirmed. 0 or -errno */
int kept_forget(int root);
/* A directory of the state becomes what was refused, with the reason for `verity lockdown status`. */
int refused_put(int root, const char *stage, const char *why);
/* Whether what is staged was begun; all of it is taken back by --try, for this reason. */
int is_begun(int root);
int take_back(int root, const char *why);
/* One boot less; or back to what was there before. *what: a word for which, and lines behind it. */
int try_boot(const char *root, const char **what, struct failure *f);

/* --- bootcount.c -------------------------------------------------------------------------- */

#define LOADER_NONE '\0' /* the boot loader doesn't count: it has no block for that */
#define LOADER_IDLE '-'	 /* it has nothing to count */
#define LOADER_FELL 'f'	 /* its count is used up: it starts what was there before */

/* What the boot loader has counted: one of these, or a digit. */
char loader_count(int root);
/* 0 or -errno; without a block nothing is done. */
int loader_count_set(int root, char value);

/* --- status_text.c ---------------------------------------------------------------------- */

/* The rest of the line of the status that begins with key and a space, or NULL. */
const char *value_of(const char *text, const char *key);
/* The first number of a line: 1, or 0 if there is none. */
int number_of(const char *text, const char *key, uint64_t *out);

/* --- canary.c --------------------------------------------------------------------------- */

struct gate_status {
	uint64_t version;
	uint64_t policy_serial;
	uint64_t code_entries; /* digests that are granted */
	uint64_t foreign_programs;
	uint64_t anchors, anchors_lost; /* guarded directories that it remembers, or couldn't */
	uint64_t revoked_documents; /* 1: keys or policy rest on keys that are revoked */
	uint64_t denied;
	uint64_t observed;
	char state[16];
	char policy_mode[16];
};

int status_read(struct gate_status *status, struct failure *f);
/* An exec that no gate would allow. sealed: it must be refused; else it must be counted. */
int canary(int sealed, struct failure *f);

/* --- trial.c ---------------------------------------------------------------------------- */

#ifndef VERITY_STATE_DIR /* a test has one of its own */
#define VERITY_STATE_DIR "/var/lib/verity"
#endif
#define VERITY_TRIAL VERITY_STATE_DIR "/trial"

enum trial { TRIAL_BEGUN, TRIAL_OVER, TRIAL_UNWRITTEN };

/* Whether there was a trial of this policy already, and why not another one; changes nothing. */
enum trial trial_look(const char *root, uint64_t serial, char *why, size_t size);
/* Whether this boot may enforce for the trial of a policy; if not, why. Written before the seal. */
enum trial trial_begin(const char *root, uint64_t serial, char *why, size_t size);

/* --- late.c ----------------------------------------------------------------------------- */

/* Who is privileged by the policy's word; not known: everybody is. */
struct late_policy {
	int known;
	size_t count;
	uint32_t groups[VERITY_GROUPS];
};

/* How many mappings a sealed gate would have refused, and the first of them. */
struct late {
	unsigned int count;
	long pid;
	char comm[64];
	char file[512];
	char reason[64];
};

int late_check(const struct late_policy *policy, struct late *out, struct failure *f);

/* --- seal.c ----------------------------------------------------------------------------- */

/* What came of it, for `verity lockdown status`: said where it is found until the next boot. */
#define VERITY_RUN_DIR "/run/verity"
#define VERITY_SAID VERITY_RUN_DIR "/seal"
#define VERITY_MOTD_DIR "/run/motd.d"
#define VERITY_MOTD VERITY_MOTD_DIR "/verity" /* the same for who logs in */

struct sealing {
	int is_later;	   /* in: the gate was loaded earlier, and things were started since */
	const char *state; /* what the gate is in now */
	const char *why;   /* a word, docs/formats.md "What came of the seal" */
	uint64_t serial;
	const char *root; /* where the root file system is, in an initramfs; or NULL */
	char text[512];
	struct late late;
};

/* Seal the gate that is loaded, as its policy says; the bundle may be empty. */
int seal_gate(const struct bytes *bundle, struct sealing *out, struct failure *f);
/* Writes it down; a warning if it can't. */
void sealing_say(const struct sealing *out);

/* --- unlock_parse.c, typed.c, pkcs7.c: for verity-unlock ------------------------------------ */

/* Public state of this boot, which a token must name. */
struct challenge {
	uint8_t boot_nonce[VERITY_NONCE_SIZE];
	uint8_t host_id[VERITY_HOST_ID_SIZE];
	uint64_t policy_serial;
	uint64_t boot_clock_s;
};

struct token {
	struct verity_unlock_token token;
	struct verity_signature sigs[VERITY_OWNERS];
	uint32_t nsig;
};

#define TYPED_MAX (16 * 1024)
#define TYPED_LINE 512

/* So many bytes of lower-case hex, to the end of the text or line: 1, or 0 if it is something else. */
int hex_parse(const char *text, uint8_t *out, size_t len);
/* Out of the gate's status. */
int challenge_parse(const char *text, struct challenge *out, struct failure *f);
/* A file with one token and its signatures. */
int token_parse(const struct bytes *file, struct token *out, struct failure *f);
/* One group: whether it is right by itself. */
int typed_check(const char *line, struct failure *f);
/* All of them; -ENODATA: some are missing yet. */
int typed_decode(const char *text, size_t len, const struct challenge *here, struct token *out,
		 struct failure *f);
/* Of 16 bytes of serial, 32 of r, 32 of s. */
void pkcs7(const uint8_t typed[80], struct verity_signature *out);

#endif
