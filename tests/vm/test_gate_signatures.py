# SPDX-License-Identifier: Apache-2.0
"""Who must sign what, and in which bytes: each row is refused by the sealed gate itself.

The blobs are good. Each row has them signed by somebody who may not, by too few, or in PKCS#7
that the kernel by itself would take and the one template forbids; the control is the same blob,
signed as it should be, sent right behind it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.boot import EXTENSION, OS, POLICY, STRANGER, USER_ROOT, VENDOR_ROOT
from tests.world import Signer
from verity.formats import der
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Party, Role

from . import gate_blobs as g
from .gate_blobs import Blob, code_rows, fragment, serial_of, signature, signed, signer_info
from .gate_machine import ACCEPTED, Gate, serial
from .gate_world import ETC, ETC_SECOND_KEY

FIRST, SECOND, THIRD, *_ = ETC


@pytest.fixture(scope="module")
def serials() -> Iterator[int]:
    """Serials that no stream has had yet."""
    return itertools.count(1)


def blob(stream: str, number: int) -> bytes:
    """Good grants for one of these streams."""
    if stream == "config":
        return Blob(serial=number, role=Role.ETC, stream=b"config").encode()
    party, role = (Party.VENDOR, Role.OS) if stream == "spare" else (Party.USER, Role.EXTENSION)
    rows = code_rows(0, 2)
    return Blob(serial=number, party=party, role=role, stream=stream.encode(), code=rows).encode()


ENOUGH = {"tools": (EXTENSION,), "spare": (OS,), "config": (FIRST, SECOND)}


def refused_then_accepted(
    gate: Gate, stream: str, number: int, bad: bytes, refusal: Refusal
) -> None:
    """Refused without any change; signed as it should be, the same blob is accepted."""
    good = signed(blob(stream, number), *ENOUGH[stream])
    heard = gate.call("status", "next", "status", "next", fragments=bad + good)
    assert heard.answers == (refusal.number, ACCEPTED)
    assert heard.statuses[0] == heard.statuses[1]


WRONG_SIGNERS: dict[str, tuple[str, Sequence[Signer], Refusal]] = {
    "a foreign key": ("tools", [STRANGER], Refusal.THRESHOLD),
    "three foreign keys": ("tools", [STRANGER, Signer(90), Signer(91)], Refusal.THRESHOLD),
    "the policy's key": ("tools", [POLICY], Refusal.THRESHOLD),
    "a key of the user's etc": ("tools", [FIRST], Refusal.THRESHOLD),
    "the user's root": ("tools", [USER_ROOT], Refusal.THRESHOLD),
    "the vendor's root": ("tools", [VENDOR_ROOT], Refusal.THRESHOLD),
    "the vendor's os for the user": ("tools", [OS], Refusal.THRESHOLD),
    "the user's extension for the vendor": ("spare", [EXTENSION], Refusal.THRESHOLD),
    "the vendor's root for the vendor": ("spare", [VENDOR_ROOT], Refusal.THRESHOLD),
    "every other key": ("spare", [EXTENSION, POLICY, *ETC[:4], USER_ROOT], Refusal.THRESHOLD),
    "one owner of two": ("config", [FIRST], Refusal.THRESHOLD),
    "one owner with two keys": ("config", [FIRST, ETC_SECOND_KEY], Refusal.THRESHOLD),
    "one signature twice": ("config", [SECOND, SECOND], Refusal.THRESHOLD),
    "one signature eight times": ("config", [SECOND] * 8, Refusal.THRESHOLD),
    "one owner and a foreign key": ("config", [THIRD, STRANGER], Refusal.THRESHOLD),
    "no signature": ("tools", [], Refusal.REQUEST),
    "nine signatures": ("config", [*ETC, ETC_SECOND_KEY], Refusal.REQUEST),
}


@pytest.mark.parametrize("name", WRONG_SIGNERS)
def test_wrong_signers(sealed: Gate, serials: Iterator[int], name: str) -> None:
    stream, signers, refusal = WRONG_SIGNERS[name]
    number = next(serials)
    bad = signed(blob(stream, number), *signers)
    refused_then_accepted(sealed, stream, number, bad, refusal)


ENOUGH_SIGNERS: dict[str, tuple[str, Sequence[Signer]]] = {
    "two owners": ("config", [SECOND, THIRD]),
    "a second key counts for its owner": ("config", [ETC_SECOND_KEY, THIRD]),
    "the last two": ("config", ETC[6:]),
    "eight owners": ("config", ETC),
    "strangers before the one": ("tools", [STRANGER, OS, POLICY, EXTENSION]),
    "strangers between the two": ("config", [STRANGER, FIRST, OS, SECOND, POLICY]),
}


@pytest.mark.parametrize("name", ENOUGH_SIGNERS)
def test_enough_signers(sealed: Gate, serials: Iterator[int], name: str) -> None:
    stream, signers = ENOUGH_SIGNERS[name]
    number = next(serials)
    assert sealed.send(signed(blob(stream, number), *signers)) == (ACCEPTED,)
    assert serial(sealed.status(), stream) == number


def test_a_signature_over_another_blob(sealed: Gate, serials: Iterator[int]) -> None:
    number = next(serials)
    other = signature(EXTENSION, blob("tools", number + 1000))
    bad = fragment(blob("tools", number), other)
    refused_then_accepted(sealed, "tools", number, bad, Refusal.THRESHOLD)


# --- bytes that are not the template ------------------------------------------------------------


@dataclass(frozen=True)
class Signed:
    """A blob, and what its signer would put around a signature value."""

    data: bytes

    @property
    def value(self) -> bytes:
        return EXTENSION.sign(self.data)

    @property
    def good(self) -> bytes:
        return signature(EXTENSION, self.data)

    @property
    def info(self) -> bytes:
        return signer_info(serial_of(EXTENSION), self.value)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()

    def over_attributes(self) -> bytes:
        """As openssl signs: over the attributes, which name the blob's digest."""
        attributes = g.signed_attributes(self.sha256)
        value = EXTENSION.sign(b"\x31" + attributes[1:])
        return signer_info(serial_of(EXTENSION), value, attributes=attributes)

    @property
    def stranger(self) -> bytes:
        return signer_info(serial_of(STRANGER), STRANGER.sign(self.data))


# A signer so small that two fit where one may be.
TINY = der.sequence(
    *(der.integer(1), der.sequence(der.sequence(), der.integer(1))),
    *(
        der.sequence(der.oid("2.16.840.1.101.3.4.2.1")),
        der.sequence(der.oid("1.2.840.10045.4.3.2")),
    ),
    der.octets(b""),
)


def lengthened(data: bytes) -> bytes:
    """The same with the outermost length in a longer form than it needs."""
    return data[:1] + b"\x82\0" + data[2:]


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """With one thing in another's place; lengths are not mended."""
    assert data.count(old) == 1
    return data.replace(old, new)


def padded_serial(data: bytes) -> bytes:
    """The serial with a zero that it doesn't need; every length mended."""
    number = serial_of(EXTENSION)
    name = g.NAME
    long = der.tlv(0x02, b"\0\0" + number.to_bytes(16, "big").lstrip(b"\0"))
    return g.signed_data(signer_info(number, data, issuer_and_serial=der.sequence(name, long)))


def padded_value(value: bytes) -> bytes:
    """An ECDSA value whose first number has a zero that it doesn't need."""
    size = value[3]
    first, rest = value[4 : 4 + size], value[4 + size :]
    return der.sequence(der.tlv(0x02, b"\0" + first.rjust(33, b"\0")), rest)


def negative_value(value: bytes) -> bytes:
    """An ECDSA value whose first number has lost the zero that makes it positive."""
    size = value[3]
    first, rest = value[4 : 4 + size].lstrip(b"\0"), value[4 + size :]
    return der.sequence(der.tlv(0x02, b"\x80" + first[1:]), rest)


FORMS: dict[str, Callable[[Signed], bytes]] = {
    "two signers, the first trusted": lambda s: g.signed_data(s.info, s.stranger),
    "two signers, the second trusted": lambda s: g.signed_data(s.stranger, s.info),
    "two signers that fit": lambda s: g.signed_data(s.info, TINY),
    "two signers that fit, the other first": lambda s: g.signed_data(TINY, s.info),
    "no signer": lambda s: g.signed_data(),
    "a chain under a signing key": lambda s: g.signed_data(
        s.stranger, certificates=g.certificate(STRANGER)
    ),
    "a certificate of the signer": lambda s: g.signed_data(
        s.info, certificates=g.certificate(EXTENSION)
    ),
    "an empty list of certificates": lambda s: g.signed_data(s.info, certificates=b"\xa0\0"),
    "an empty list of revocations": lambda s: g.signed_data(s.info, certificates=b"\xa1\0"),
    "signed attributes": lambda s: g.signed_data(s.over_attributes()),
    "an empty list of attributes": lambda s: g.signed_data(
        signer_info(serial_of(EXTENSION), s.value, attributes=b"\xa0\0")
    ),
    "attributes that nobody signed": lambda s: g.signed_data(
        signer_info(serial_of(EXTENSION), s.value, behind=b"\xa1\0")
    ),
    "the content inside": lambda s: g.signed_data(
        s.info, content=der.explicit(0, der.octets(b"x"))
    ),
    "another algorithm": lambda s: replaced(
        s.good, der.oid("1.2.840.10045.4.3.2"), der.oid("1.2.840.10045.4.3.4")
    ),
    "another algorithm name": lambda s: g.signed_data(
        signer_info(
            serial_of(EXTENSION), s.value, algorithm=der.sequence(der.oid("1.2.840.10045.2.1"))
        )
    ),
    "another issuer": lambda s: replaced(s.good, b"verity", b"Verity"),
    "a byte behind the end": lambda s: s.good + b"\0",
    "a byte missing": lambda s: s.good[:-1],
    "nothing": lambda s: b"",
    "a length in its long form": lambda s: lengthened(s.good),
    "an indefinite length": lambda s: b"\x30\x80" + s.good[3:] + b"\0\0",
    "a serial with a zero too many": lambda s: padded_serial(s.value),
    "a value with a zero too many": lambda s: g.signed_data(
        signer_info(serial_of(EXTENSION), padded_value(s.value))
    ),
    "a negative value": lambda s: g.signed_data(
        signer_info(serial_of(EXTENSION), negative_value(s.value))
    ),
    "bytes behind the value's numbers": lambda s: g.signed_data(
        signer_info(serial_of(EXTENSION), der.sequence(s.value[2:], b"\5\0"))
    ),
    "the value alone": lambda s: s.value,
    "a slot full of zeros": lambda s: bytes(252),
}


@pytest.mark.parametrize("name", FORMS)
def test_not_the_template(sealed: Gate, serials: Iterator[int], name: str) -> None:
    number = next(serials)
    data = blob("tools", number)
    bad = fragment(data, FORMS[name](Signed(data)))
    refused_then_accepted(sealed, "tools", number, bad, Refusal.TEMPLATE)


def test_one_bad_form_spoils_the_good_ones(sealed: Gate, serials: Iterator[int]) -> None:
    number = next(serials)
    data = blob("config", number)
    forms = [signature(FIRST, data), signature(SECOND, data), signature(THIRD, data) + b"\0"]
    for order in itertools.permutations(forms):
        bad = fragment(data, *order)
        heard = sealed.call("status", "next", "status", fragments=bad)
        assert heard.answers == (Refusal.TEMPLATE.number,)
        assert heard.statuses[0] == heard.statuses[1]
    assert sealed.send(fragment(data, *forms[:2])) == (ACCEPTED,)
