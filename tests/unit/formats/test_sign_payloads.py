# SPDX-License-Identifier: Apache-2.0
"""What a signer's machine sees before it signs: payloads that contradict each other are refused."""

import hashlib
from dataclasses import replace

import pytest

from tests.bundles import COMMIT, BundleWorld
from tests.unit.formats.test_policy_document import POLICY
from tests.world import ENTRIES, EXPIRES, ISSUED, JUST_VENDOR, VENDOR
from verity.formats import dump, grant_limits, kernel_keys, sign_bundle
from verity.formats.dump import Entry
from verity.formats.grants import (
    Code,
    CodeEntry,
    ConfigEntry,
    ConfigKind,
    ElevateEntry,
    Grants,
    Party,
    Role,
)
from verity.formats.kernel_keys import KernelKeys
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.sign_payloads import Opened, TreeSaid, open_bundle, read
from verity.formats.statement import Kind
from verity.values.errors import ContentError
from verity.verbs import sign_documents

CAPABLE = bytes.fromhex("0100000200200000" + "00" * 12)
DIGESTS = [bytes([number]) * 32 for number in range(9)]


def test_a_good_bundle_says_what_it_holds() -> None:
    opened = open_bundle(sign_bundle.encode(BundleWorld().bundle(VENDOR)))
    assert isinstance(opened.said, TreeSaid)
    assert opened.said.entries == ENTRIES
    assert (opened.said.statement.stream, opened.said.statement.serial) == ("os", 5)
    assert opened.said.commit is not None
    assert opened.said.commit.subject == "weekly"
    assert opened.signer == (JUST_VENDOR.party, JUST_VENDOR.role)


def altered_manifest(bundle: Bundle) -> Bundle:
    entries = (ENTRIES[0], ENTRIES[1]._replace(mode=0o104755))
    return replace(bundle, manifest=dump.serialise(entries))


WORLD = BundleWorld()
DIFFER = {
    "another manifest": (altered_manifest(WORLD.bundle()), "the SHA-256 of the manifest is"),
    "another commit object": (
        replace(WORLD.bundle(), commit=COMMIT.replace(b"weekly", b"WEEKLY")),
        "the SHA-256 of the commit is",
    ),
    "grants of another time": (
        replace(WORLD.bundle(), blob=BundleWorld(grants_changes={"serial": 6}).grants),
        "the SHA-256 of the grants is",
    ),
    **{
        f"grants of another {name}": (
            BundleWorld(grants_changes={name: value}).bundle(),
            f"the {name} of the grants is",
        )
        for name, value in {
            "party": Party.USER,
            "role": Role.EXTENSION,
            "stream": "other",
            "serial": 6,
            "issued": ISSUED + 1,
            "expires": EXPIRES + 1,
        }.items()
    },
    "grants of another manifest": (
        BundleWorld(grants_changes={"manifest_sha256": bytes(32)}).bundle(),
        "the manifest of the grants is",
    ),
    "a statement of another kind": (
        replace(WORLD.bundle(), payload=BundleWorld(kind=Kind.EXTENSION).statement),
        "the kind of the statement is extension",
    ),
    "another boot list": (
        BundleWorld(
            statement_changes={
                "subjects": {
                    "manifest": hashlib.sha256(WORLD.manifest).digest(),
                    "grants": hashlib.sha256(WORLD.grants).digest(),
                    "commit": WORLD.commit,
                    "boot": bytes(32),
                }
            }
        ).bundle(),
        "the SHA-256 of the boot list is",
    ),
}


@pytest.mark.parametrize("name", DIFFER)
def test_payloads_that_differ(name: str) -> None:
    bundle, reason = DIFFER[name]
    with pytest.raises(ContentError) as caught:
        read(bundle)
    assert caught.value.code == "payloads-differ"
    assert reason in caught.value.message
    # The same out of a file: nothing is shown of it.
    with pytest.raises(ContentError):
        open_bundle(sign_bundle.encode(bundle))


def code(**flags: Code) -> tuple[CodeEntry, ...]:
    numbered = sorted((DIGESTS[int(name[1:])], flag) for name, flag in flags.items())
    return tuple(CodeEntry(digest, flag) for digest, flag in numbered)


def entry(
    path: bytes,
    number: int,
    mode: int = 0o644,
    *,
    uid: int = 0,
    xattrs: tuple[tuple[bytes, bytes], ...] = (),
) -> Entry:
    return Entry(
        path=path,
        mode=0o100000 | mode,
        uid=uid,
        gid=0,
        size=9,
        digest=DIGESTS[number],
        xattrs=xattrs,
    )


TREE = (
    entry(b"/data", 1),
    entry(b"/lib.so", 2),
    entry(b"/m.ko", 3),
    entry(b"/ping", 5, 0o755, xattrs=((b"security.capability", CAPABLE),)),
    entry(b"/su", 4, 0o4755, uid=7),
    entry(b"/su-data", 6, 0o4644),
    entry(b"/tool", 7, 0o755),
    Entry(path=b"/to", mode=0o120777, uid=0, gid=0, size=1, target=b"x"),
)
SU = ElevateEntry(digest=DIGESTS[4], set_bits=0o4000, uid=7, gid=0, capabilities=0)
PING = ElevateEntry(digest=DIGESTS[5], set_bits=0, uid=0, gid=0, capabilities=1 << 13)
BASE = Grants(
    party=Party.VENDOR,
    role=Role.OS,
    stream="os",
    serial=5,
    issued=ISSUED,
    expires=EXPIRES,
    manifest_sha256=bytes(32),
)
GOOD = replace(
    BASE,
    code=code(_2=Code.LIBRARY, _3=Code.MODULE, _4=Code.EXEC, _5=Code.SCRIPT),
    elevate=(SU, PING),
)

LISTED_LIBRARY = Code.LIBRARY | Code.INTERPRETER


def test_grants_that_a_tree_may_earn() -> None:
    grant_limits.check(GOOD, TREE)


@pytest.mark.parametrize(
    "flags", [Code.EXEC | Code.INTERPRETER | Code.JIT, Code.SCRIPT | Code.INTERPRETER]
)
def test_interpreters_and_jit_that_a_policy_may_list(flags: Code) -> None:
    """No file says so: the signer is shown jit by name."""
    listed = replace(GOOD, code=(*GOOD.code, *code(_7=flags)))
    grant_limits.check(listed, TREE)
    jit = ("/tool",) if flags & Code.JIT else ()
    assert grant_limits.jit_paths(listed, TREE) == jit


@pytest.mark.parametrize("path", [b"/usr/lib/firmware/a.bin", b"/lib/firmware/a.bin"])
def test_firmware_is_granted_as_a_module(path: bytes) -> None:
    tree = (*TREE, entry(path, 8))
    grant_limits.check(replace(GOOD, code=(*GOOD.code, *code(_8=Code.MODULE))), tree)
    with pytest.raises(ContentError, match="is not granted as one"):
        grant_limits.check(GOOD, tree)


BEYOND = {
    "a digest that no file has": (
        replace(GOOD, code=code(_3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC, _8=Code.EXEC)),
        "which no file of the manifest has",
    ),
    "exec for data": (
        replace(GOOD, code=code(_1=Code.EXEC, _3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC)),
        "flags 1 for",
    ),
    "module for what isn't named so": (
        replace(GOOD, code=code(_2=Code.MODULE, _3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC)),
        "flags 4 for",
    ),
    "interpreter for what can't run": (
        replace(
            GOOD,
            code=code(_2=LISTED_LIBRARY, _3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC),
        ),
        "flags 10 for",
    ),
    "interpreter for what isn't granted to run": (
        replace(
            GOOD,
            code=code(_3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC, _7=LISTED_LIBRARY),
        ),
        "flags 10 for",
    ),
    "jit for a script": (
        replace(GOOD, code=code(_3=Code.MODULE, _4=Code.EXEC, _5=Code.SCRIPT | Code.JIT)),
        "flags 48 for",
    ),
    "jit for data": (
        replace(GOOD, code=code(_1=Code.JIT, _3=Code.MODULE, _4=Code.EXEC, _5=Code.EXEC)),
        "flags 16 for",
    ),
    "a module left out": (
        replace(GOOD, code=code(_4=Code.EXEC, _5=Code.EXEC)),
        "is not granted as",
    ),
    "an elevation left out": (replace(GOOD, elevate=(SU,)), "0 elevations that no file has, and 1"),
    "an elevation to another user": (
        replace(GOOD, elevate=(replace(SU, uid=0), PING)),
        "1 elevations that no file has, and 1 missing",
    ),
    "more capabilities": (
        replace(GOOD, elevate=(SU, replace(PING, capabilities=1 << 21))),
        "1 elevations that no file has",
    ),
    "an elevation of what doesn't run": (
        replace(GOOD, elevate=(SU, PING, replace(SU, digest=DIGESTS[6]))),
        "1 elevations that no file has, and 0 missing",
    ),
    "configuration that isn't there": (
        replace(GOOD, config=(ConfigEntry(path=b"/etc/x", kind=ConfigKind.SYMLINK, target=b"x"),)),
        "configuration /etc/x",
    ),
    "configuration of other contents": (
        replace(
            GOOD,
            config=(ConfigEntry(path=b"/data", kind=ConfigKind.FILE, digest=DIGESTS[2]),),
        ),
        "configuration /data",
    ),
    "configuration to another target": (
        replace(GOOD, config=(ConfigEntry(path=b"/to", kind=ConfigKind.SYMLINK, target=b"y"),)),
        "configuration /to",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_grants_that_no_contents_would_earn(name: str) -> None:
    grants, reason = BEYOND[name]
    with pytest.raises(ContentError) as caught:
        grant_limits.check(grants, TREE)
    assert caught.value.code == "grants-differ"
    assert reason in caught.value.message


def test_configuration_as_it_is() -> None:
    config = (
        ConfigEntry(path=b"/data", kind=ConfigKind.FILE, digest=DIGESTS[1]),
        ConfigEntry(path=b"/to", kind=ConfigKind.SYMLINK, target=b"x"),
    )
    grant_limits.check(replace(BASE, role=Role.ETC, config=config), TREE)


def test_more_granted_than_the_manifest_earns_is_seen_in_the_bundle() -> None:
    greedy = BundleWorld(
        grants_changes={"code": (CodeEntry(b"\x01" * 32, Code.EXEC | Code.MODULE),)}
    )
    with pytest.raises(ContentError) as caught:
        read(greedy.bundle())
    assert caught.value.code == "grants-differ"


def test_grants_beyond_the_role_are_seen_in_the_bundle() -> None:
    item = ConfigEntry(path=b"/tool", kind=ConfigKind.FILE, digest=b"\x01" * 32)
    world = BundleWorld(
        kind=Kind.EXTENSION,
        grants_changes={"party": Party.USER, "role": Role.EXTENSION, "config": (item,)},
    )
    with pytest.raises(ContentError) as caught:
        read(replace(world.bundle(), kind=BundleKind.EXTENSION, commit=None))
    assert caught.value.code == "beyond-role"
    # The vendor's may grant it; that it is what the manifest has is asked all the same.
    read(BundleWorld(grants_changes={"config": (item,)}).bundle())
    other = replace(item, digest=b"\x02" * 32)
    with pytest.raises(ContentError) as caught:
        read(BundleWorld(grants_changes={"config": (other,)}).bundle())
    assert caught.value.code == "grants-differ"


def test_blobs_say_who_signs_them() -> None:
    made = sign_documents.policy(POLICY).bundle
    assert Opened(bundle=made, said=read(made)).signer == (Party.USER, Role.POLICY)
    keys = KernelKeys(
        party=Party.VENDOR,
        version=1,
        issued=ISSUED,
        expires=EXPIRES,
        thresholds={Role.OS: 1},
        keys=kernel_keys.sorted_keys({Role.OS: {"v": [VENDOR.public.spki]}}),
    )
    made = Bundle(kind=BundleKind.KEYS, blob=kernel_keys.encode_keys(keys))
    assert Opened(bundle=made, said=read(made)).signer == (Party.VENDOR, Role.ROOT)
