# SPDX-License-Identifier: Apache-2.0
"""What IMA appraisal reads: the xattr ``security.ima``, the X.509 of its key, and its policy.

Two forms of signature, as the kernel's integrity code has them (docs/formats.md section 26):

* ``VERITY``: over an fs-verity digest, IMA's signature version 3. What is signed is the *file id*:
  the type, the number of the digest's algorithm, and the digest.
* ``CONTENT``: over the contents, version 2. Kernel modules have this one: IMA takes no fs-verity
  digest for them.

Bytes and text only: it signs nothing, verifies nothing and asks no kernel. SHA-256 alone.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from verity.formats import pkcs7
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import ContentError

XATTR = "security.ima"
MAX_SIZE = 4096
KEY_ID_SIZE = 4
_SHA256 = 4  # hash_info.h of linux/uapi, HASH_ALGO_SHA256
_HEADER = struct.Struct(">BBB4sH")
_VERSIONS = {3: 2, 6: 3}


class Kind(IntEnum):
    """What is signed; the numbers are the kernel's (enum evm_ima_xattr_type)."""

    CONTENT = 3
    VERITY = 6


@dataclass(frozen=True, kw_only=True)
class ImaSignature:
    """One value of the xattr. ``key_id`` is the end of the certificate's subject key identifier."""

    kind: Kind
    key_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The xattr's bytes."""
        version = _VERSIONS[self.kind]
        head = _HEADER.pack(self.kind, version, _SHA256, self.key_id, len(self.signature))
        return head + self.signature


def parse(data: bytes, *, label: str) -> ImaSignature:
    """Read an xattr; ContentError ``bad-ima-signature`` for any form but these two."""
    if not _HEADER.size < len(data) <= MAX_SIZE:
        raise _bad(label, f"{len(data)} bytes")
    kind, version, algorithm, key_id, size = _HEADER.unpack_from(data)
    if _VERSIONS.get(kind) != version:
        raise _bad(label, f"type {kind} in version {version}")
    if algorithm != _SHA256:
        raise _bad(label, f"hash algorithm {algorithm}")
    if size != len(data) - _HEADER.size:
        raise _bad(label, f"{size} bytes of signature stated, {len(data) - _HEADER.size} are there")
    return ImaSignature(kind=Kind(kind), key_id=key_id, signature=data[_HEADER.size :])


def file_id(digest: Digest) -> bytes:
    """The bytes that are signed for an fs-verity digest."""
    if digest.algorithm is not HashAlgorithm.SHA256:
        raise ContentError(
            "other-digest", f"{digest}: expected a SHA-256 digest, which is what is signed for IMA"
        )
    return bytes((Kind.VERITY, _SHA256)) + digest.value


def subject_key_id(public_bits: bytes) -> bytes:
    """RFC 5280, 4.2.1.2 (1): SHA-1 of the subject public key's bits. A name, no protection."""
    return hashlib.sha1(public_bits, usedforsecurity=False).digest()


def certificate(*, key_id: str, spki: bytes, subject: bytes) -> bytes:
    """The X.509 for IMA's keyring, derived from the public key alone.

    It is the one of ``pkcs7`` with the one extension by which IMA finds a key, ``subject``.
    """
    return pkcs7.certificate(key_id=key_id, spki=spki, subject_key_id=subject)


def policy() -> str:
    """The policy that appraises what effective uid 0 runs, and what the kernel loads."""
    return _POLICY


_POLICY = """\
appraise func=BPRM_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=CREDS_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=MMAP_CHECK_REQPROT digest_type=verity appraise_type=sigv3 euid=0
appraise func=MMAP_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=FIRMWARE_CHECK digest_type=verity appraise_type=sigv3
appraise func=MODULE_CHECK appraise_type=imasig
appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig
appraise func=KEXEC_INITRAMFS_CHECK appraise_type=imasig
appraise func=POLICY_CHECK appraise_type=imasig
"""


def _bad(label: str, found: str) -> ContentError:
    return ContentError(
        "bad-ima-signature",
        f"{label}: {XATTR}: {found}, expected type 6 version 3 or 3 version 2, and SHA-256",
        hint="`verity lockdown ima sign` writes one",
    )
