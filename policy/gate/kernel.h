/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_KERNEL_H
#define VERITY_KERNEL_H
/*
 * The kernel's types and functions that the gate uses, with only the fields that it reads.
 *
 * CO-RE: fields are found in the running kernel's BTF by name when the program is loaded, so the
 * layouts here need not be the kernel's. Sources: include/linux and fs/mount.h of Linux 6.12.
 *
 * Not to be confused with vmlinux.h: nothing here is generated, and a field that a kernel doesn't
 * have makes the load fail, which is what should happen. Linux 6.18 or about is such a kernel: it
 * keeps the mounts of a super block (s_mounts, mnt_instance) in another kind of list.
 */
#include <linux/types.h>
#include <linux/bpf.h>
/* libbpf has the helper by this name, and the gate asks for the kernel's own function. */
#define bpf_set_retval bpf_set_retval_helper
#include <bpf/bpf_helpers.h>
#undef bpf_set_retval
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define VERITY_RELOCATED __attribute__((preserve_access_index))

/* linux/fs.h, linux/dcache.h, uapi/linux/magic.h, linux/mm.h, uapi/linux/fsverity.h,
 * uapi/linux/personality.h, linux/key.h, uapi/linux/sched.h, uapi/linux/stat.h, linux/ptrace.h,
 * uapi/linux/prctl.h, linux/kernel_read_file.h, linux/perf_event.h, linux/security.h */
#define FMODE_READ 1u
#define FMODE_WRITE 2u
#define FMODE_CREATED (1u << 20)
#define S_IFMT 0170000
#define S_IFBLK 0060000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_IFDIR 0040000
#define S_IFREG 0100000
#define S_IFLNK 0120000
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP2_SUPER_MAGIC 0x63677270
#define TRACEFS_MAGIC 0x74726163
#define EFIVARFS_MAGIC 0xde5e81e4
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define VM_WRITE 2ul
#define VM_EXEC 4ul
#define FS_IOC_ENABLE_VERITY 0x40806685u
#define FS_VERITY_HASH_ALG_SHA256 1
#define CAP_SYS_ADMIN 21
#define EPERM 1
#define EEXIST 17
#define ENOSYS 38
#define SIGKILL 9
#define S_VERITY (1u << 16)
#define DCACHE_OP_REVALIDATE 4u
#define DCACHE_MOUNTED 0x10000u
#define MS_REMOUNT 32ul
#define MS_BIND 4096ul
#define MS_UNBINDABLE (1ul << 17)
#define MS_PRIVATE (1ul << 18)
#define MS_SLAVE (1ul << 19)
#define MS_SHARED (1ul << 20)
#define READ_IMPLIES_EXEC 0x400000u
#define PERSONALITY_QUERY 0xffffffffu
#define CLONE_VM 0x100ul
#define CLONE_NEWUSER 0x10000000ul
#define PTRACE_MODE_ATTACH 2u
#define PR_SET_MM 35
#define PR_SET_MM_EXE_FILE 13u
#define PR_SET_MM_MAP 14u
#define KEY_NEED_VIEW 1
#define KEY_NEED_READ 2
#define KEY_NEED_SEARCH 4
#define KEY_DEFER_PERM_CHECK 10
#define PERF_SECURITY_OPEN 0u
#define PERF_SECURITY_KERNEL 2u

typedef struct {
	__u32 val;
} VERITY_RELOCATED kuid_t;

typedef struct {
	__u32 val;
} VERITY_RELOCATED kgid_t;

typedef struct {
	__u64 val;
} VERITY_RELOCATED kernel_cap_t;

struct user_namespace {
	int level;
} VERITY_RELOCATED;

struct group_info {
	int ngroups;
	kgid_t gid[];
} VERITY_RELOCATED;

struct cred {
	kuid_t uid, suid, euid, fsuid;
	kgid_t gid, sgid, egid, fsgid;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_ambient;
	struct user_namespace *user_ns;
	struct group_info *group_info;
} VERITY_RELOCATED;

typedef struct {
	int counter;
} VERITY_RELOCATED atomic_t;

struct mm_struct {
	atomic_t mm_users;
	struct file *exe_file;
} VERITY_RELOCATED;

struct vfsmount;
struct dentry;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} VERITY_RELOCATED;

/* fs/namei.c: a lookup, while it goes on */
struct nameidata {
	struct path path; /* how far it came */
} VERITY_RELOCATED;

struct fs_struct {
	struct path root;
} VERITY_RELOCATED;

struct task_struct {
	const struct cred *cred;      /* of what it does */
	const struct cred *real_cred; /* of what is done to it */
	unsigned int ptrace;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nameidata *nameidata;
	__u64 self_exec_id;
	int pid;
	char comm[16];
} VERITY_RELOCATED;

struct list_head {
	struct list_head *next;
} VERITY_RELOCATED;

/* What a seqlock_t begins with. */
struct seqcount {
	unsigned int sequence;
} VERITY_RELOCATED;

struct pid_namespace {
	struct task_struct *child_reaper;
} VERITY_RELOCATED;

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
	struct list_head s_mounts;
	struct dentry *s_root;
} VERITY_RELOCATED;

struct inode;

struct address_space {
	struct inode *host;
	unsigned long nrpages;
} VERITY_RELOCATED;

/* fs/verity/fsverity_private.h */
struct merkle_tree_params {
	unsigned int digest_size;
} VERITY_RELOCATED;

struct fsverity_info {
	struct merkle_tree_params tree_params;
	__u8 file_digest[64];
} VERITY_RELOCATED;

struct inode {
	__u16 i_mode;
	unsigned int i_flags;
	struct fsverity_info *i_verity_info; /* from the first open on, as long as it is in memory */
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_rdev;
	long long i_size;
	__u32 i_generation;
	char *i_link; /* the target of a symlink, where the file system has it in memory */
} VERITY_RELOCATED;

struct gendisk;

struct block_device {
	struct gendisk *bd_disk;
	void *bd_holder;
} VERITY_RELOCATED;

struct gendisk {
	struct block_device *part0;
} VERITY_RELOCATED;

/* block/bdev.c */
struct bdev_inode {
	struct block_device bdev;
	struct inode vfs_inode;
} VERITY_RELOCATED;

struct qstr {
	__u32 len;
	const unsigned char *name;
} VERITY_RELOCATED;

struct dentry {
	unsigned int d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode; /* NULL: the name isn't there */
	struct super_block *d_sb;
} VERITY_RELOCATED;

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
} VERITY_RELOCATED;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_mounts;
	struct list_head mnt_instance;
	struct mount *mnt_master;
	int mnt_group_id;
} VERITY_RELOCATED;

struct file {
	unsigned int f_mode;
	struct address_space *f_mapping;
	struct inode *f_inode;
	struct path f_path;
} VERITY_RELOCATED;

struct anon_vma;

struct vm_area_struct {
	unsigned long vm_flags;
	struct anon_vma *anon_vma;
	struct file *vm_file;
} VERITY_RELOCATED;

struct linux_binprm {
	struct file *file;
	struct cred *cred;
	const char *filename; /* what execve was asked for */
	const char *interp;   /* likewise, until an interpreter takes its place */
	char buf[256];	      /* what the file begins with */
} VERITY_RELOCATED;

/* Linux 6.14 and later only; asked for with bpf_core_field_exists. */
struct linux_binprm___checked {
	unsigned int is_check : 1;
} VERITY_RELOCATED;

struct bpf_map {
	__u32 id;
} VERITY_RELOCATED;

struct bpf_prog_aux {
	__u32 id;
} VERITY_RELOCATED;

struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	__u32 len;
	struct bpf_prog_aux *aux;
	struct bpf_insn insnsi[];
} VERITY_RELOCATED;

struct key {
	__s32 serial;
} VERITY_RELOCATED;

struct bpf_key {
	struct key *key;
	_Bool has_ref;
} VERITY_RELOCATED;

/* arch/x86/include/asm/ptrace.h: where a system call finds its first argument */
struct pt_regs {
	unsigned long di;
	unsigned long bx;
} VERITY_RELOCATED;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} VERITY_RELOCATED;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} VERITY_RELOCATED;

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} VERITY_RELOCATED;

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
} VERITY_RELOCATED;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} VERITY_RELOCATED;

enum kernel_read_file_id {
	READING_FIRMWARE = 1,
	READING_MODULE = 2,
	READING_KEXEC_IMAGE = 3,
	READING_KEXEC_INITRAMFS = 4,
};

enum lockdown_reason {
	LOCKDOWN_KPROBES = 21,
};

/* Addresses; 0 where the loader may not see them (kernel.kptr_restrict). */
extern const void bpf_set_retval __ksym __weak;
extern const void __bpf_call_base __ksym __weak;

/* kfuncs; all but those of files only from sleepable programs */
extern int bpf_get_fsverity_digest(struct file *file, struct bpf_dynptr *digest) __ksym;
extern struct file *bpf_get_task_exe_file(struct task_struct *task) __ksym;
extern void bpf_put_file(struct file *file) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void *bpf_rdonly_cast(const void *obj__ign, __u32 btf_id__k) __ksym;
extern int bpf_path_d_path(struct path *path, char *buf, __u64 size) __ksym;
extern struct bpf_key *bpf_lookup_user_key(__u32 serial, __u64 flags) __ksym;
extern void bpf_key_put(struct bpf_key *key) __ksym;
extern int bpf_verify_pkcs7_signature(struct bpf_dynptr *data, struct bpf_dynptr *signature,
				      struct bpf_key *keyring) __ksym;

/* An address whose memory may be gone: loads don't fault, and the kernel is given none of it. */
#define AS_KERNEL(type, address) \
	((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)))

#endif
