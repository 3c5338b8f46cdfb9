# SPDX-License-Identifier: Apache-2.0
"""The few DER constructions that our two fixed templates need (ITU-T X.690).

It writes. Of what it reads, an ECDSA-Sig-Value must be what this module would write, and of a
PKCS#7 that somebody else made for the kernel it sees the frame only. General ASN.1 belongs into
``cryptography``, which can build neither template (it insists on signing certificates itself).
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


def raw_ecdsa(data: bytes) -> bytes:
    """r and s of a P-256 ECDSA-Sig-Value, 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(check_ecdsa_signature(data))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def of_raw_ecdsa(data: bytes) -> bytes:
    """The ECDSA-Sig-Value of r and s."""
    return sequence(
        integer(int.from_bytes(data[:32], "big")), integer(int.from_bytes(data[32:], "big"))
    )


def check_signed_data(data: bytes, *, label: str) -> bytes:
    """Return ``data`` if it is framed as one PKCS#7 SignedData in DER, else raise ContentError.

    The kernel judges what is inside; this tells a signature from a file named by mistake.
    """
    found = f"{len(data)} bytes"
    if data.lstrip().startswith(b"-----BEGIN"):
        found = "PEM"
    elif data[:1] == b"\x30":
        size_bytes = max(data[1] - 0x80, 0) if len(data) > 1 else 0
        body = data[2 + size_bytes :]
        if data == sequence(body) and body.startswith(oid("1.2.840.113549.1.7.2")):
            return data
        found = "other or damaged DER"
    raise ContentError(
        "malformed-signature",
        f"{label}: {found}, expected a PKCS#7 signature in DER",
        hint="make it with `fsverity sign`, or convert it: openssl pkcs7 -outform DER",
    )
