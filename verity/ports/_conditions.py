# SPDX-License-Identifier: Apache-2.0
"""What an errno of each system call means, and what can be done about it.

One table per call; a number that is not in the table becomes ``unexpected-errno``, never a
guess. This module knows words only: it calls nothing, prints nothing, raises nothing.

Families: ``CallerError`` where another argument would work, ``ContentError`` where the kernel
looked at what it was given and said no, ``HostError`` for all that this file, file system,
kernel or moment does not allow.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from verity.values.errors import CallerError, ContentError, HostError, VerityError

Family = type[CallerError] | type[ContentError] | type[HostError]


@dataclass(frozen=True)
class Condition:
    """One row: which family, which stable code, what is wrong, what to do."""

    family: Family
    code: str
    says: str
    hint: str


@dataclass(frozen=True)
class Call:
    """One system call: its verb for messages and its table."""

    verb: str
    table: Mapping[int, Condition]

    def error(self, number: int, label: str) -> VerityError:
        """The error to raise for ``number``, with the plain OSError as its cause."""
        row = self.table.get(number)
        text = f"cannot {self.verb} {shown(label)}: "
        error: VerityError
        if row is None:
            name = errno.errorcode.get(number, "not a known number")
            error = HostError(
                "unexpected-errno",
                f"{text}errno {number} ({name}: {os.strerror(number).lower()})",
                hint="the kernel log (dmesg) may say more; please report this number",
            )
        else:
            error = row.family(row.code, text + row.says, hint=row.hint)
        error.__cause__ = OSError(number, os.strerror(number), label)
        return error


def shown(label: str) -> str:
    r"""A path on one line of a terminal: what does not print, and the backslash, as ``\xHH``."""
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
        for char in label
    )


# --- rows that several calls share ---------------------------------------------------------

_NO_FILESYSTEM = Condition(
    HostError,
    "no-verity-filesystem",
    "it is no regular file, or its file system or this kernel has no fs-verity",
    "ext4, f2fs and btrfs have it where the kernel is built with CONFIG_FS_VERITY;"
    " tmpfs, overlayfs, xfs, squashfs and vfat do not; what FUSE says isn't the kernel's word",
)
_NO_FEATURE = Condition(
    HostError,
    "no-verity-feature",
    "its file system was made without the verity feature, or the kernel was built without it",
    "this ext4 was made without the verity feature: `tune2fs -O verity DEVICE` turns it on, for"
    " good, without a remount; f2fs wants `mkfs.f2fs -O verity`; `verity doctor` names the case",
)
_BAD_FD = Condition(
    CallerError,
    "bad-descriptor",
    "the descriptor is closed, or not open for reading",
    "open the file with O_RDONLY",
)
_IO = Condition(
    HostError,
    "io-error",
    "input/output error",
    "look at the kernel log (dmesg): a failing disk, or a block that contradicts the file's"
    " fs-verity tree (FILE CORRUPTED!)",
)
_NO_MEMORY = Condition(
    HostError, "no-memory", "the kernel is out of memory", "free some memory and run it again"
)
_NO_SPACE = Condition(
    HostError,
    "no-space",
    "no space is left",
    "free some space: a tree takes about 1/128 of its file",
)
_NO_QUOTA = Condition(
    HostError, "over-quota", "the disk quota is used up", "raise the quota or free some space"
)
_INTERRUPTED = Condition(
    HostError,
    "interrupted",
    "a signal stopped it",
    "run it again: what was begun has been rolled back",
)
_BAD_ADDRESS = Condition(
    HostError, "bad-address", "the kernel refused a buffer", "this is a defect, please report it"
)
_READ_ONLY = Condition(
    HostError,
    "read-only",
    "the file system is mounted read-only",
    "remount it writable for as long as this takes: mount -o remount,rw MOUNTPOINT",
)

# --- one table per call --------------------------------------------------------------------

ENABLE = Call(
    "enable fs-verity on",
    {
        errno.EEXIST: Condition(
            HostError,
            "already-verity",
            "it already has fs-verity",
            "measure it and compare: fs-verity is never turned on twice, nor off",
        ),
        errno.EBUSY: Condition(
            HostError,
            "enable-in-progress",
            "another process is enabling fs-verity on it right now",
            "wait for the other one, then measure and compare",
        ),
        errno.EACCES: Condition(
            HostError,
            "no-write-permission",
            "there is no write permission on the file",
            "run as its owner or as root: the descriptor is read-only, the permission is not",
        ),
        errno.ENOTTY: _NO_FILESYSTEM,
        errno.EROFS: _READ_ONLY,
        errno.EMSGSIZE: Condition(
            CallerError,
            "too-long",
            "the salt is longer than 32 bytes or the signature than 16128",
            "a detached PKCS#7 without certificates has 200 to 500 bytes",
        ),
        errno.ENOKEY: Condition(
            HostError,
            "no-verity-key",
            "the key of this signature is not in the kernel's .fs-verity keyring",
            "add its certificate: keyctl padd asymmetric '' %keyring:.fs-verity < CERT.der",
        ),
        errno.EPERM: Condition(
            HostError,
            "not-permitted",
            "the file is append-only, or the host requires built-in signatures and there is none",
            "look at lsattr FILE (the a flag) and at sysctl fs.verity.require_signatures",
        ),
        errno.ETXTBSY: Condition(
            HostError,
            "open-for-writing",
            "it is open for writing",
            "close every writer (fuser -v FILE names them) and use an O_RDONLY descriptor",
        ),
        errno.EBADF: _BAD_FD,
        errno.EOPNOTSUPP: _NO_FEATURE,
        errno.EISDIR: Condition(
            CallerError,
            "is-a-directory",
            "it is a directory",
            "fs-verity is for regular files: name the files in it",
        ),
        errno.EINVAL: Condition(
            HostError,
            "unsupported-parameters",
            "the kernel refuses these parameters for this file: an unknown hash algorithm, a block"
            " size beyond the page or the file system's block, or not a regular file",
            "an ext4 with 1 KiB blocks takes no 4096-byte Merkle blocks (stat -f FILE shows the"
            " block size): manifests need a file system with 4 KiB blocks",
        ),
        errno.EKEYREJECTED: Condition(
            ContentError,
            "bad-signature",
            "the signature does not match the file's digest",
            "sign this very file again, with the same hash algorithm, block size and salt",
        ),
        errno.EBADMSG: Condition(
            ContentError,
            "malformed-signature",
            "the signature is not a PKCS#7 message in DER",
            "make it with `fsverity sign` or `openssl smime -sign -outform DER -nocerts -noattr`",
        ),
        errno.ENOPKG: Condition(
            HostError,
            "unsupported-algorithm",
            "this kernel lacks the hash or signature algorithm",
            "built-in signatures work with RSA and ECDSA P-256, not with Ed25519; SHA-512 needs"
            " CONFIG_CRYPTO_SHA512",
        ),
        errno.EFBIG: Condition(
            HostError,
            "file-too-large",
            "it is too large for a Merkle tree with this block size",
            "use a larger block size",
        ),
        errno.EINTR: _INTERRUPTED,
        errno.ENOSPC: _NO_SPACE,
        errno.EDQUOT: _NO_QUOTA,
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

# ENODATA is no error here: ``measure`` answers None.
MEASURE = Call(
    "measure",
    {
        errno.ENODATA: Condition(
            HostError,
            "no-verity",
            "it has no fs-verity",
            "turn it on with `verity enable FILE`",
        ),
        errno.ENOTTY: _NO_FILESYSTEM,
        errno.EOPNOTSUPP: _NO_FEATURE,
        errno.EOVERFLOW: Condition(
            HostError,
            "digest-too-long",
            "its digest is longer than any that this version knows",
            "a newer hash algorithm than SHA-512: use a newer version",
        ),
        errno.EBADF: _BAD_FD,
        errno.EINTR: _INTERRUPTED,
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

READ_METADATA = Call(
    "read the fs-verity metadata of",
    {
        errno.ENODATA: Condition(
            HostError,
            "no-verity-metadata",
            "it has no fs-verity, or no built-in signature if that was asked for",
            "turn fs-verity on with `verity enable FILE`; a signature is stored only then",
        ),
        errno.ENOTTY: Condition(
            HostError,
            "no-verity-metadata-ioctl",
            "its file system, or this kernel, cannot show fs-verity metadata",
            "ext4 and f2fs can since Linux 5.12, btrfs cannot: `verity measure` works there too",
        ),
        errno.EOPNOTSUPP: _NO_FEATURE,
        errno.EINVAL: Condition(
            CallerError,
            "bad-metadata-range",
            "the kernel does not know this kind of metadata, or the range is out of bounds",
            "ask for the tree, the descriptor or the signature",
        ),
        errno.EOVERFLOW: _BAD_ADDRESS,
        errno.EBADF: _BAD_FD,
        errno.EINTR: _INTERRUPTED,
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

STATX = Call(
    "look at the attributes of",
    {
        errno.EBADF: _BAD_FD,
        errno.ENOSYS: Condition(
            HostError,
            "no-statx",
            "this kernel or sandbox has no statx",
            "statx came with Linux 4.11; a seccomp filter may hide it",
        ),
        errno.EACCES: Condition(
            HostError, "no-permission", "permission denied", "run as root or as the file's owner"
        ),
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

CACHED = Call(
    "look at the cached pages of",
    {
        errno.EBADF: _BAD_FD,
        errno.ENODEV: Condition(
            HostError,
            "no-page-cache",
            "its file system doesn't say what is cached",
            "reboot before relying on its contents: that empties the cache",
        ),
        errno.EACCES: Condition(
            HostError, "no-permission", "permission denied", "run as root or as the file's owner"
        ),
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

GETFLAGS = Call(
    "read the inode flags of",
    {
        errno.EBADF: _BAD_FD,
        errno.ENOTTY: Condition(
            HostError,
            "no-inode-flags",
            "its file system has no inode flags",
            "statx answers for fs-verity on every file system that has it",
        ),
        errno.EOPNOTSUPP: Condition(
            HostError,
            "no-inode-flags",
            "its file system has no inode flags for this kind of file",
            "statx answers for fs-verity on every file system that has it",
        ),
        errno.EIO: _IO,
        errno.EFAULT: _BAD_ADDRESS,
    },
)

SYNCFS = Call(
    "sync the file system of",
    {
        errno.EBADF: _BAD_FD,
        errno.EIO: Condition(
            HostError,
            "write-back-failed",
            "the disk did not take what was written since the last sync",
            "nothing of this batch is durable: look at the kernel log (dmesg), then run it again",
        ),
        errno.ENOSPC: _NO_SPACE,
        errno.EDQUOT: _NO_QUOTA,
        errno.EINTR: _INTERRUPTED,
    },
)

OPEN = Call(
    "open",
    {
        errno.ENOENT: Condition(HostError, "not-found", "it does not exist", "check the path"),
        errno.ENOTDIR: Condition(
            HostError, "not-found", "a part of the path is not a directory", "check the path"
        ),
        errno.EACCES: Condition(
            HostError, "no-permission", "permission denied", "run as root or as the file's owner"
        ),
        errno.EPERM: Condition(
            HostError, "no-permission", "the host does not permit it", "run as root"
        ),
        errno.ELOOP: Condition(
            CallerError,
            "not-a-regular-file",
            "it is a symbolic link",
            "name the file that the link points to: links are not followed",
        ),
        errno.ENXIO: Condition(
            CallerError,
            "not-a-regular-file",
            "it is a socket or a device without a driver",
            "only regular files have an fs-verity digest",
        ),
        errno.ENAMETOOLONG: Condition(
            CallerError, "bad-path", "the path is too long", "use a path relative to its directory"
        ),
        errno.EINVAL: Condition(
            CallerError, "bad-path", "the path is not valid here", "check the path"
        ),
        errno.EXDEV: Condition(
            HostError,
            "outside",
            "the path leads out of the directory that it was found in",
            "something moves directories meanwhile: stop that and run it again",
        ),
        errno.ENOSYS: Condition(
            HostError,
            "no-openat2",
            "this kernel or sandbox has no openat2",
            "openat2 came with Linux 5.6; a seccomp filter may hide it",
        ),
        errno.EMFILE: Condition(
            HostError, "too-many-files", "too many files are open", "raise ulimit -n"
        ),
        errno.ENFILE: Condition(
            HostError, "too-many-files", "the host has too many open files", "raise fs.file-max"
        ),
        errno.ENOKEY: Condition(
            HostError,
            "no-verity-key",
            "the key of its built-in signature is not in the kernel's .fs-verity keyring",
            "add its certificate: keyctl padd asymmetric '' %keyring:.fs-verity < CERT.der",
        ),
        errno.EKEYREJECTED: Condition(
            ContentError,
            "bad-signature",
            "its built-in signature does not match its digest",
            "restore the file from its source",
        ),
        errno.ENOMEM: _NO_MEMORY,
        errno.EIO: _IO,
    },
)

READ = Call(
    "read",
    {
        errno.EBADF: _BAD_FD,
        errno.EISDIR: Condition(
            CallerError,
            "not-a-regular-file",
            "it is a directory",
            "only regular files have an fs-verity digest",
        ),
        errno.EIO: _IO,
        errno.ENOMEM: _NO_MEMORY,
        errno.EACCES: Condition(
            HostError, "no-permission", "permission denied", "run as root or as the file's owner"
        ),
    },
)

# EINVAL is the kernel's answer to a command that it does not know and no gate answered.
GATE = Call(
    "call",
    {
        errno.EINVAL: Condition(
            HostError,
            "no-gate",
            "no gate is loaded",
            "`verity lockdown observe` loads it, `verity lockdown status` says what is missing",
        ),
        errno.ENOSYS: Condition(
            HostError,
            "no-bpf",
            "this kernel has no bpf(2)",
            "the gate needs CONFIG_BPF_SYSCALL and CONFIG_BPF_LSM; Debian's kernels have both",
        ),
        errno.EPERM: Condition(
            HostError,
            "not-permitted",
            "something other than the gate forbids bpf(2) here",
            "containers and seccomp filters do: run it as root on the host itself",
        ),
        errno.EMSGSIZE: Condition(
            ContentError,
            "too-long",
            "the blob has more than 5 MiB, or a signature more than 252 bytes",
            "a signature is one PKCS#7 in the template of docs/formats.md section 7",
        ),
        errno.E2BIG: Condition(
            ContentError,
            "too-many-signatures",
            "there are more than 8 signatures over one blob",
            "leave out those that the threshold does not need",
        ),
        errno.ENODATA: Condition(
            ContentError,
            "empty",
            "the blob or a signature is empty, or there is no signature",
            "a blob is followed by its signatures: docs/formats.md section 12",
        ),
        errno.ENOMEM: _NO_MEMORY,
        errno.EFAULT: _BAD_ADDRESS,
    },
)
