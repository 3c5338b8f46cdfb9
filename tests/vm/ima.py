# SPDX-License-Identifier: Apache-2.0
"""IMA appraisal with fs-verity signatures, in a machine: what the gate is compared with.

The kernel's own mechanism at its best for our purpose: what uid 0 executes or maps needs a
signature of its fs-verity digest (sigv3), a module or a kernel to boot one of its bytes (the older
form, the only one that the kernel takes there), and the keyring is closed. The files that the
grants name are signed on this host, with a key made here; nothing of verity is in the machine.
"""

from __future__ import annotations

import base64
import datetime
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from verity.formats.grant_rules import earned
from verity.formats.grants import Code
from verity.ports.content import digest_path
from verity.verbs.manifest import read_directory

from .machine import Machine

POLICY = """\
appraise func=BPRM_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=MMAP_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=CREDS_CHECK digest_type=verity appraise_type=sigv3 euid=0
appraise func=MODULE_CHECK appraise_type=imasig
appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig
appraise func=KEXEC_INITRAMFS_CHECK appraise_type=imasig
"""
_VERITY_SIGNATURE, _FILE_SIGNATURE = b"\x06\x03", b"\x03\x02"
_SHA256 = b"\x04"
_FROM = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(2045, 1, 1, tzinfo=datetime.UTC)
_AT = "/run/ima"
_TIMEOUT_S = 300.0


class Key:
    """A signing key and the certificate by which the kernel knows it."""

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attacks")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._private.public_key())
        self._number = identifier.digest[-4:]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            .serial_number(1)
            .not_valid_before(_FROM)
            .not_valid_after(_UNTIL)
            .add_extension(identifier, critical=False)
            .sign(self._private, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)

    def of_verity(self, digest: bytes) -> bytes:
        """The xattr security.ima for a file with this fs-verity digest."""
        return self._signature(_VERITY_SIGNATURE, _VERITY_SIGNATURE[:1] + _SHA256 + digest)

    def of_contents(self, data: bytes) -> bytes:
        """The xattr for a file with these contents."""
        return self._signature(_FILE_SIGNATURE, data)

    def _signature(self, head: bytes, message: bytes) -> bytes:
        made = self._private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return head + _SHA256 + self._number + struct.pack(">H", len(made)) + made


def signatures(tree: Path, key: Key, at: str = "") -> str:
    """What setfattr(1) restores: a signature for each file of `tree` that grants would name."""
    nodes = read_directory(tree)
    heads = {node.contents.digest: node.contents.head for node in nodes if node.contents}
    flags = {one.digest: one.flags for one in earned([one.entry for one in nodes], heads).code}
    found = {}
    for node in nodes:
        granted = flags.get(node.contents.digest) if node.contents else None
        if node.contents and granted:
            place = node.entry.path.decode()
            data = (tree / place.lstrip("/")).read_bytes() if granted & Code.MODULE else None
            made = key.of_verity(node.contents.digest) if data is None else key.of_contents(data)
            found[f"{at}{place}"] = made
    return "".join(_restored(found))


def of_files(folder: Path, key: Key, at: str) -> str:
    """The same for the files of a folder, whatever they are."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    made = {
        f"{at}/{path.relative_to(folder)}": key.of_verity(digest_path(path).value) for path in files
    }
    return "".join(_restored(made))


def start(machine: Machine, key: Key, signed: str) -> None:
    """Signs the files, closes the keyring, and has the kernel appraise until the reboot.

    Debian's kernel has no keyring of its own for it: it asks the process that is appraised first
    for one named _ima, and keeps that.
    """
    with machine.exchange() as (host, guest):
        (host / "signatures").write_text(signed)
        (host / "certificate").write_bytes(key.certificate)
        (host / "policy").write_text(POLICY)
        machine.run(f"mkdir {_AT} && cp {guest}/* {_AT}/")
    machine.run(
        f"cd / && setfattr --restore={_AT}/signatures && ring=$(keyctl newring _ima @s)"
        f" && keyctl padd asymmetric '' $ring <{_AT}/certificate && keyctl restrict_keyring $ring"
        f" && cat {_AT}/policy >/sys/kernel/security/ima/policy && /usr/bin/true",
        timeout_s=_TIMEOUT_S,
    )


def _restored(made: Mapping[str, bytes]) -> Iterator[str]:
    for place, value in made.items():
        escaped = place.lstrip("/").replace("\\", "\\134").replace("\n", "\\012")
        yield f"# file: {escaped}\nsecurity.ima=0s{base64.b64encode(value).decode()}\n\n"
