# SPDX-License-Identifier: Apache-2.0
"""The few DER constructions that our two fixed templates need (ITU-T X.690).

It writes; the only thing it reads is an ECDSA-Sig-Value, and that strictly: the value must be
what this module would write. General ASN.1 belongs into ``cryptography``, which can build
neither template (it insists on signing certificates itself).
"""

from verity.values.errors import ContentError


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, definite length in its shortest form, and the joined parts."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF; the callers pass one element, so there is nothing to sort."""
    return tlv(0x31, *parts)


def explicit(number: int, *parts: bytes) -> bytes:
    """[number] EXPLICIT, constructed."""
    return tlv(0xA0 | number, *parts)


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = bytearray((first * 40 + second,))
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return tlv(0x06, bytes(body))


def utf8(text: str) -> bytes:
    """UTF8String."""
    return tlv(0x0C, text.encode())


def utc_time(text: str) -> bytes:
    """UTCTime, as YYMMDDhhmmssZ."""
    return tlv(0x17, text.encode())


def octets(data: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, data)


def bits(data: bytes) -> bytes:
    """BIT STRING of whole bytes."""
    return tlv(0x03, b"\0", data)


def check_ecdsa_signature(data: bytes) -> bytes:
    """Return ``data`` if it is the DER of a P-256 ECDSA-Sig-Value, else raise ContentError."""
    from cryptography.hazmat.primitives.asymmetric.utils import (
        decode_dss_signature,
        encode_dss_signature,
    )

    try:
        r, s = decode_dss_signature(data)
        good = 0 < r < 2**256 and 0 < s < 2**256 and encode_dss_signature(r, s) == data
    except ValueError:
        good = False
    if not good:
        raise ContentError("bad-signature-encoding", "not the DER of a P-256 ECDSA signature")
    return data
