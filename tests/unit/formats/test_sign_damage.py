# SPDX-License-Identifier: Apache-2.0
"""Every payload of every kind of bundle, damaged: refused by a named error, or read as it is.

A damaged bundle must never end in anything but a ContentError: neither where it is shown, nor where
it is signed or attached.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.boot import keys_blob
from tests.bundles import BundleWorld
from tests.unit.formats.test_policy_document import POLICY
from tests.world import EXPIRES, FIRST_KEYRING, ISSUED, VENDOR
from verity.formats import (
    dump,
    keyring,
    policy_document,
    revoke,
    sign_bundle,
    sign_payloads,
    unlock,
    waiver,
)
from verity.formats.dump import Entry
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode
from verity.formats.policy import ModeLine, Policy, Reacts, StreamLine
from verity.formats.revoke import Revoke, StreamFloor
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.sign_payloads import Opened
from verity.formats.statement import Kind
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.waiver import Waiver
from verity.values.errors import ContentError
from verity.verbs import documents, sign_documents, sign_keyring, sign_summary
from verity.verbs.documents import Place
from verity.verbs.keyring_project import blob_of

ETC = (
    Entry(path=b"/", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/etc", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/etc/motd", mode=0o100644, uid=0, gid=0, size=5, digest=b"\x02" * 32),
    Entry(path=b"/root", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/root/.profile", mode=0o120777, uid=0, gid=0, size=1, target=b"x"),
)
TOOLS = (
    Entry(path=b"/", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/tool", mode=0o100755, uid=0, gid=0, size=3, digest=b"\x01" * 32),
)


def tree(kind: Kind, role: Role, entries: tuple[Entry, ...]) -> Opened:
    place = Place(
        party=Party.USER,
        role=role,
        kind=kind,
        stream="mine",
        serial=3,
        issued=ISSUED,
        expires=EXPIRES,
    )
    return documents.prepare(place, entries, {b"\x01" * 32: b"#!"}, subjects={})


def keyring_bundle() -> Bundle:
    payload, blob = keyring.encode(FIRST_KEYRING), blob_of(FIRST_KEYRING)
    return Bundle(kind=BundleKind.KEYRING, payload=payload, blob=blob)


REVOKE = Revoke(
    party=Party.VENDOR,
    role=Role.OS,
    serial=2,
    issued=ISSUED,
    keys=(b"\x01" * 32,),
    streams=(StreamFloor(stream="os", lowest=2),),
)
WAIVER = Waiver(
    host="*",
    check="mode",
    path=b"/etc/motd",
    digest=b"\x02" * 32,
    reason="why",
    issued=ISSUED,
    expires=EXPIRES,
)
TOKEN = UnlockToken(
    boot_nonce=b"\x11" * 32,
    token_id=b"\x22" * 16,
    host_id=b"\x33" * 32,
    policy_serial=4,
    scope=Scope.PATH_PREFIX,
    duration_s=900,
    apply_before_s=4500,
    reason=unlock.reason_sha256("why"),
    operand=b"/opt/x",
)
GOOD: dict[BundleKind, Bundle] = {
    BundleKind.COMMIT: BundleWorld().bundle(),
    BundleKind.EXTENSION: tree(Kind.EXTENSION, Role.EXTENSION, TOOLS).bundle,
    BundleKind.ETC: tree(Kind.ETC, Role.ETC, ETC).bundle,
    BundleKind.KEYRING: keyring_bundle(),
    BundleKind.KEYS: Bundle(
        kind=BundleKind.KEYS, blob=keys_blob(Party.VENDOR, {Role.OS: [VENDOR]})
    ),
    BundleKind.POLICY: sign_documents.policy(POLICY).bundle,
    BundleKind.REVOKE: Bundle(kind=BundleKind.REVOKE, blob=revoke.encode(REVOKE)),
    BundleKind.WAIVER: Bundle(kind=BundleKind.WAIVER, payload=waiver.encode(WAIVER)),
    BundleKind.UNLOCK: Bundle(kind=BundleKind.UNLOCK, blob=unlock.encode(TOKEN), reason="why"),
}
PAYLOADS = [
    (kind, name)
    for kind, bundle in GOOD.items()
    for name in ("blob", "payload", "manifest", "commit")
    if getattr(bundle, name) is not None
]


def test_every_kind_is_here() -> None:
    assert set(GOOD) == set(BundleKind)
    for bundle in GOOD.values():
        shown(bundle)
        assert sign_bundle.parse(sign_bundle.encode(bundle)) == bundle


def shown(bundle: Bundle) -> None:
    """All that a signer's machine does before it asks."""
    opened = Opened(bundle=bundle, said=sign_payloads.read(bundle))
    sign_keyring.check(opened)
    assert sign_summary.lines(opened)
    assert opened.signer


def is_refused(bundle: Bundle) -> bool:
    """Whether it is refused, which must be by our own error."""
    try:
        shown(bundle)
    except ContentError as error:
        assert "\n" not in error.message
        return True
    return False


def put(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """The same with one payload replaced."""
    changes = {name: data}
    return replace(bundle, **changes)  # type: ignore[arg-type]  # the payloads are bytes


def cuts(data: bytes) -> Iterator[bytes]:
    step = max(1, len(data) // 200)
    yield from (data[:size] for size in range(0, len(data), step))
    yield data[:-1]
    yield data + b"\0"
    yield bytes(len(data))


@pytest.mark.parametrize(("kind", "name"), PAYLOADS)
def test_cut(kind: BundleKind, name: str) -> None:
    data: bytes = getattr(GOOD[kind], name)
    for other in cuts(data):
        assert is_refused(put(GOOD[kind], name, other)), other


@given(data=st.data())
def test_a_changed_byte(data: st.DataObject) -> None:
    kind, name = data.draw(st.sampled_from(PAYLOADS))
    before: bytes = getattr(GOOD[kind], name)
    at = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255))
    after = before[:at] + bytes([byte]) + before[at + 1 :]
    refused = is_refused(put(GOOD[kind], name, after))
    # Of what the other payloads name by its digest no byte can change.
    if after != before and name in ("manifest", "commit"):
        assert refused


@pytest.mark.parametrize(("kind", "name"), PAYLOADS)
def test_the_payload_of_another_kind(kind: BundleKind, name: str) -> None:
    for other, bundle in GOOD.items():
        data = getattr(bundle, name)
        if {kind, other} == {BundleKind.KEYS, BundleKind.KEYRING} and name == "blob":
            continue  # these are of one kind
        if data is not None and data != getattr(GOOD[kind], name):
            assert is_refused(put(GOOD[kind], name, data)), other


def test_a_statement_of_another_kind() -> None:
    for kind, other in (
        (BundleKind.ETC, BundleKind.EXTENSION),
        (BundleKind.COMMIT, BundleKind.ETC),
    ):
        assert is_refused(replace(GOOD[other], kind=kind))


ANOTHER: dict[str, tuple[Policy, str]] = {
    "a looser mode": (
        replace(
            POLICY,
            lines=(ModeLine(mode=Mode.OBSERVE, reason="a", origin="here 1"), *POLICY.lines[1:]),
        ),
        "another mode",
    ),
    "another serial": (replace(POLICY, serial=5), "another serial"),
    "a reaction less": (
        replace(POLICY, lines=tuple(one for one in POLICY.lines if not isinstance(one, Reacts))),
        "another observed",
    ),
}


@pytest.mark.parametrize("name", ANOTHER)
def test_a_policy_beside_the_blob_of_another(name: str) -> None:
    other, words = ANOTHER[name]
    good = GOOD[BundleKind.POLICY]
    for bundle in (
        put(good, "payload", policy_document.encode(other)),
        put(good, "blob", sign_documents.policy(other).bundle.blob or b""),
    ):
        with pytest.raises(ContentError) as caught:
            shown(bundle)
        assert caught.value.code == "payloads-differ"
        assert f"not what follows from its policy ({words})" in caught.value.message


def test_a_policy_that_the_gate_can_not_be_told() -> None:
    lines = tuple(one for one in POLICY.lines if not isinstance(one, StreamLine))
    data = policy_document.encode(replace(POLICY, lines=lines))
    with pytest.raises(ContentError, match="no streams") as caught:
        shown(put(GOOD[BundleKind.POLICY], "payload", data))
    assert caught.value.code == "bad-policy"


def test_another_reason() -> None:
    with pytest.raises(ContentError) as caught:
        shown(replace(GOOD[BundleKind.UNLOCK], reason="a harmless one"))
    assert caught.value.code == "payloads-differ"
    assert "the SHA-256 of the reason is" in caught.value.message
    for text in ("", "a\nb", "\x1b[2J"):
        assert is_refused(replace(GOOD[BundleKind.UNLOCK], reason=text))


Change = Callable[[tuple[Entry, ...]], tuple[Entry, ...]]


def with_one(path: bytes, **changes: object) -> Change:
    def change(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        there = {entry.path: entry for entry in entries}
        base = there.get(path, Entry(path=path, mode=0o40755, uid=0, gid=0))
        there[path] = base._replace(**changes)  # type: ignore[arg-type]  # fields of an Entry
        return tuple(there[name] for name in sorted(there))

    return change


NO_ETC: dict[str, tuple[Change, str]] = {
    "without /etc": (lambda entries: entries[:1], "no directory /etc"),
    "with /etc a file": (
        lambda entries: (
            entries[0],
            ETC[2]._replace(path=b"/etc"),
        ),
        "no directory /etc",
    ),
    "a frame for everybody": (with_one(b"/", mode=0o40777), "/ is not a directory 40755"),
    "a home that is somebody's": (with_one(b"/root", uid=4242), "/root is not a directory 40755"),
    "a home that is a link": (
        lambda entries: tuple(
            ETC[4]._replace(path=b"/root") if entry.path == b"/root" else entry
            for entry in entries[:4]
        ),
        "/root is not a directory 40755",
    ),
    "a home with an xattr": (
        with_one(b"/root", xattrs=((b"user.a", b"b"),)),
        "/root is not a directory 40755",
    ),
    "a program": (
        lambda entries: (*entries, ETC[2]._replace(path=b"/usr")),
        "/usr is not a directory 40755",
    ),
    "a dotfile of no home": (
        with_one(b"/.bashrc"),
        "/.bashrc is neither in /etc nor a dotfile of a home",
    ),
}


@pytest.mark.parametrize("name", NO_ETC)
def test_a_manifest_that_is_none_of_etc(name: str) -> None:
    change, words = NO_ETC[name]
    made = tree(Kind.ETC, Role.ETC, change(ETC))
    with pytest.raises(ContentError) as caught:
        shown(made.bundle)
    assert caught.value.code == "not-etc"
    assert words in caught.value.message


def test_the_manifest_of_etc_is_the_one_that_is_named() -> None:
    manifest = dump.serialise((*ETC[:2], *ETC[3:]))
    found = hashlib.sha256(manifest).hexdigest()
    with pytest.raises(ContentError, match=found):
        shown(replace(GOOD[BundleKind.ETC], manifest=manifest))


def test_in_step_with_its_keyring() -> None:
    said = sign_documents.revoke_of(FIRST_KEYRING)
    opened = sign_documents.revocations(said)
    sign_documents.check_in_step(opened, FIRST_KEYRING)
    sign_documents.check_in_step(opened, None)
    with pytest.raises(ContentError) as caught:
        sign_documents.check_in_step(opened, replace(FIRST_KEYRING, version=2))
    assert caught.value.code == "not-in-step"
    # A role's own list is no projection of a keyring.
    sign_documents.check_in_step(sign_documents.revocations(REVOKE), FIRST_KEYRING)
