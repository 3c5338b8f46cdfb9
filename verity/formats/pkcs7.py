# SPDX-License-Identifier: Apache-2.0
"""The one PKCS#7 template and the one X.509 form that the kernel gets from us.

Detached SignedData, one ECDSA P-256 signer by issuer and serial, no certificates, CRLs or
attributes (docs/formats.md, section 7). The kernel by itself would accept much more: several
signers of which one matches, embedded chains, signed attributes. So a blob is compared with the
template byte for byte, here as in the gate, before anything else looks at it.

This module neither signs nor verifies: it places a signature value into the template and takes
one out.
"""

from dataclasses import dataclass

from verity.formats import der
from verity.values.errors import ContentError

MAX_SIZE = 512
ISSUER = "verity"

_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
_ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
_COMMON_NAME = der.oid("2.5.4.3")
_SUBJECT_KEY_ID = der.oid("2.5.29.14")


def _name(common_name: str) -> bytes:
    return der.sequence(der.set_of(der.sequence(_COMMON_NAME, der.utf8(common_name))))


def serial_of(key_id: str) -> int:
    """Certificate serial of a key: the first 16 bytes of its id, the top bit cleared."""
    return int.from_bytes(bytes.fromhex(key_id)[:16], "big") & (2**127 - 1)


@dataclass(frozen=True)
class BlobSignature:
    """One detached signature: whose it says it is, and the ECDSA-Sig-Value in DER."""

    serial: int
    value: bytes

    def encode(self) -> bytes:
        """The template, filled in."""
        return der.sequence(
            der.oid("1.2.840.113549.1.7.2"),
            der.explicit(
                0,
                der.sequence(
                    der.integer(1),
                    der.set_of(_SHA256),
                    der.sequence(der.oid("1.2.840.113549.1.7.1")),
                    der.set_of(
                        der.sequence(
                            der.integer(1),
                            der.sequence(_name(ISSUER), der.integer(self.serial)),
                            _SHA256,
                            _ECDSA_SHA256,
                            der.octets(self.value),
                        )
                    ),
                ),
            ),
        )


def encode(*, key_id: str, signature: bytes) -> bytes:
    """PKCS#7 around an ECDSA-Sig-Value made by the key ``key_id`` over the whole blob."""
    return BlobSignature(serial_of(key_id), der.check_ecdsa_signature(signature)).encode()


def parse(data: bytes) -> BlobSignature:
    """Take serial and signature out; anything but the exact template is a ContentError.

    It searches no structure: it reads the two values from where the template has them, fills a
    new template with them and compares.
    """
    refused = ContentError(
        "bad-pkcs7",
        f"signature of {len(data)} bytes: not the one PKCS#7 template that the kernel is given",
        hint="docs/formats.md section 7; certificates, attributes and further signers are refused",
    )
    if len(data) > MAX_SIZE:
        raise refused
    marker = _name(ISSUER) + b"\x02"
    start = data.find(marker) + len(marker)
    if start < len(marker) or start >= len(data):
        raise refused
    size = data[start]
    serial = int.from_bytes(data[start + 1 : start + 1 + size], "big")
    # OCTET STRING header is two bytes: a P-256 value is at most 72 bytes long.
    value_at = start + 1 + size + len(_SHA256) + len(_ECDSA_SHA256) + 2
    if size > 16 or value_at > len(data):
        raise refused
    try:
        found = BlobSignature(serial, der.check_ecdsa_signature(data[value_at:]))
    except ContentError as error:
        raise refused from error
    if found.encode() != data:
        raise refused
    return found


def certificate(*, key_id: str, spki: bytes, subject_key_id: bytes = b"") -> bytes:
    """The X.509 that add_key(2) takes, derived from the DER SubjectPublicKeyInfo alone.

    ``subject_key_id`` is that extension, by which IMA finds a key; the gate's keys have none.
    """
    identified = der.sequence(_SUBJECT_KEY_ID, der.octets(der.octets(subject_key_id)))
    to_be_signed = der.sequence(
        der.explicit(0, der.integer(2)),
        der.integer(serial_of(key_id)),
        _ECDSA_SHA256,
        _name(ISSUER),
        der.sequence(der.utc_time("200101000000Z"), der.utc_time("491231235959Z")),
        _name(key_id),
        spki,
        der.explicit(3, der.sequence(identified)) if subject_key_id else b"",
    )
    nobody_signed = der.sequence(der.integer(1), der.integer(1))
    return der.sequence(to_be_signed, _ECDSA_SHA256, der.bits(nobody_signed))
