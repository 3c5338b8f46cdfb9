# SPDX-License-Identifier: Apache-2.0
"""Revocations, waivers, tokens and policies: prepared, signed by several people, attached."""

import json
import time
from pathlib import Path

import pytest

from tests.cli.keyring_world import good, key_id
from tests.cli.program import Done, assert_clean_error, copy, snapshot, verity
from verity.formats import bundle, revoke, sign_bundle, unlock, waiver
from verity.formats.grants import Party, Role
from verity.formats.records import Fragment, RecordKind
from verity.formats.revoke import StreamFloor
from verity.formats.unlock import Scope
from verity.ports import keystore
from verity.trust.trusted import TrustedKey, TrustedSet
from verity.trust.waivers import verify_waiver
from verity.verbs import keyring_change, keyring_make
from verity.verbs.keyring_change import NewKey, Rules, Times

KEYS = ("uroot", "uroot2", "ext", "pol", "pol2", "un", "un2", "vroot", "os", "stranger")
ROOTS = ("--role", "root:2=ann=uroot.pem.pub", "--role", "root=bob=uroot2.pem.pub")
ROLES = (
    *("--role", "extension=ext.pem.pub", "--stream", "extension=tools*"),
    *("--role", "policy:2=ann=pol.pem.pub", "--role", "policy=bob=pol2.pem.pub"),
    *("--role", "unlock:2=ann=un.pem.pub", "--role", "unlock=bob=un2.pem.pub"),
)
BOTH = ("--key", "uroot.pem", "--key", "uroot2.pem")
DIGEST = "sha256:3737aac92ee9bb5b4d6009de400a732410a17fa5472accd6bf7cf6e2f65cb9e5"
REVOKED = f"sha256:{'cd' * 32}"
WAIVER = (
    *("sign", "prepare", "waiver", "--host", "*", "--check", "mode", "--path", "/usr/bin/old"),
    *("--digest", DIGEST, "--reason", "ticket 4711", "-o", "b"),
)
CHALLENGE = (
    f"version 3\nboot_nonce {'5a' * 32}\nhost_id {'c3' * 32}\npolicy_serial 4\nboot_clock_s 900\n"
)
UNLOCK = (
    *("sign", "prepare", "unlock", "--challenge", "challenge", "--for", "30m"),
    *("--reason", "disk of rack 7", "-o", "b"),
)
POLICY = (
    *("sign", "prepare", "policy", "--mode", "sealed", "--serial", "2", "--root", "k"),
    *("--stream", "tools=user:extension", "-o", "b"),
)
LIST = ("sign", "prepare", "revoke", "--party", "user", "-o", "b")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, both parties' keyrings in `k`, of which the user's version 2 revokes; for reading."""
    path = tmp_path_factory.mktemp("documents")
    for name in KEYS:
        good(path, "key", "generate", f"{name}.pem")
    good(path, "keyring", "init", "--party", "user", *ROOTS, *ROLES, *BOTH, "k")
    vendor = ("--role", "root=vroot.pem.pub", "--role", "os=os.pem.pub", "--stream", "os=*")
    good(path, "keyring", "init", "--party", "vendor", *vendor, "--key", "vroot.pem", "k")
    what = ("--lowest", "tools:5", "--digest", REVOKED, "--revoke-key", "ab" * 32)
    good(path, "keyring", "revoke", "--party", "user", *what, *BOTH, "k")
    (path / "challenge").write_text(CHALLENGE)
    return path


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    return copy(made, tmp_path / "w")


def pins(world: Path) -> tuple[str, ...]:
    found: list[str] = ["--keyring", "k"]
    for party in ("user", "vendor"):
        (record,) = good(world, "keyring", "show", "--json", f"k/{party}/1.keyring.json").records
        found += ["--pin", f"{party}={record['pin']}"]
    return tuple(found)


def add(world: Path, *names: str) -> None:
    for name in names:
        good(world, "sign", "add", "--yes", "--key", f"{name}.pem", "b")


def attach(world: Path, *more: str) -> Done:
    return verity("sign", "attach", *(more or pins(world)), "b", "out", cwd=world)


def words_of(done: Done) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in done.out.splitlines():
        word, text = line.split(maxsplit=1)
        found.setdefault(word, []).append(text)
    return found


def fragment(world: Path, kind: RecordKind) -> Fragment:
    found = bundle.parse_fragment((world / "out").read_bytes(), label="out")
    assert found.kind is kind
    return found


# --- revocations


def test_what_the_keyring_revokes(world: Path) -> None:
    said = words_of(good(world, *LIST, "--keyring", "k"))
    assert said["serial"][0].startswith("2, issued ")
    assert said["revokes"] == [
        f"key {'ab' * 32}: whatever it signed",
        f"digest {'cd' * 32}: files of these contents",
        "stream tools: every serial below 5",
    ]
    assert said["signers"] == ["the user's role root"]
    add(world, "uroot", "uroot2", "stranger")
    done = attach(world)
    assert (done.status, f"key {key_id(world, 'stranger')} is left out" in done.err) == (0, True)
    found = fragment(world, RecordKind.REVOKE)
    assert len(found.signatures) == 2
    list_ = revoke.parse(found.blob)
    assert (list_.party, list_.role, list_.serial) == (Party.USER, Role.ROOT, 2)
    assert list_.streams == (StreamFloor(stream="tools", lowest=5),)
    # The same document as a file is a bundle again, without signatures.
    good(world, "sign", "prepare", "file", "-o", "again", "revoke", "out")
    assert sign_bundle.parse((world / "again").read_bytes()).blob == found.blob


def test_what_the_keyring_said_before(world: Path) -> None:
    good(world, *LIST, "--keyring", "k")
    add(world, "uroot", "uroot2")
    good(world, "keyring", "revoke", "--party", "user", "--lowest", "tools:6", *BOTH, "k")
    before = snapshot(world)
    done = attach(world)
    assert (done.status, done.out) == (1, "")
    words = ("its revocations, of serial 2, are not those of version 3",)
    assert_clean_error(done, words, hint=True)
    assert snapshot(world) == before
    # Whoever names the keys says what counts.
    named = ("--key", "uroot.pem.pub", "--key", "uroot2.pem.pub", "--threshold", "2")
    assert attach(world, *named).status == 0


@pytest.mark.parametrize(
    ("party", "role", "signer"), [("user", "extension", "ext"), ("vendor", "os", "os")]
)
def test_a_role_revokes_in_a_hurry(world: Path, party: str, role: str, signer: str) -> None:
    what = ("--role", role, "--serial", "7", "--revoke-key", "stranger.pem.pub", "--lowest", "x:9")
    done = good(world, "sign", "prepare", "revoke", "--party", party, *what, "-o", "b")
    assert words_of(done)["signers"] == [f"the {party}'s role {role}"]
    assert f"key {key_id(world, 'stranger')}: whatever it signed" in done.out
    add(world, signer)
    assert attach(world).status == 0
    list_ = revoke.parse(fragment(world, RecordKind.REVOKE).blob)
    assert (list_.party.name.lower(), list_.role.name.lower(), list_.serial) == (party, role, 7)


def test_a_vendors_root_by_its_keyring(world: Path) -> None:
    good(world, "sign", "prepare", "revoke", "--party", "vendor", "--keyring", "k", "-o", "b")
    assert "revokes   nothing at all\n" in good(world, "sign", "show", "b").out
    add(world, "vroot")
    assert attach(world).status == 0
    assert revoke.parse(fragment(world, RecordKind.REVOKE).blob).party is Party.VENDOR


# --- waivers


def test_a_waiver(world: Path) -> None:
    said = words_of(good(world, *WAIVER, "--days", "30"))
    assert said["host"] == ["EVERY HOST"]
    assert said["waives"] == ["findings of the check mode"]
    assert said["object"] == [f"/usr/bin/old with the digest {DIGEST}"]
    assert said["because"] == ["ticket 4711"]
    assert said["signers"] == ["the user's role policy"]
    add(world, "pol", "pol2")
    assert attach(world).status == 0
    keys = tuple(
        TrustedKey(key=keystore.load_public(world / f"{name}.pem.pub"), owner=name)
        for name in ("pol", "pol2")
    )
    trusted = TrustedSet(party=Party.USER, role=Role.POLICY, keys=keys, threshold=2)
    found = verify_waiver((world / "out").read_bytes(), trusted)
    assert found.waiver.path == b"/usr/bin/old"
    assert found.waiver.expires - found.waiver.issued == 30 * 86400
    document = json.loads((world / "out").read_bytes())
    assert document["payloadType"] == waiver.PAYLOAD_TYPE
    (record,) = good(world, "sign", "show", "--json", "b").records
    assert (record["kind"], record["blob_sha256"]) == ("waiver", None)


def test_a_path_of_other_bytes(world: Path) -> None:
    options = [*WAIVER]
    options[options.index("/usr/bin/old")] = "/usr/b\udcff n"
    said = words_of(good(world, *options))
    assert said["object"] == [f"/usr/b\\xff\\x20n with the digest {DIGEST}"]


def test_a_waiver_for_what_is_revoked(world: Path) -> None:
    good(world, *WAIVER, "--digest", REVOKED)
    add(world, "pol", "pol2")
    done = attach(world)
    assert (done.status, (world / "out").exists()) == (1, False)
    assert_clean_error(done, ("waiver: its object has the digest", "is revoked"), hint=True)


def test_a_waiver_that_has_expired(world: Path) -> None:
    times = ("--issued", "2020-01-01T00:00:00Z", "--expires", "2020-02-01T00:00:00Z")
    good(world, *WAIVER, *times)
    add(world, "pol", "pol2")
    done = attach(world)
    assert (done.status, (world / "out").exists()) == (1, False)
    assert_clean_error(done, ("expired at 2020-02-01T00:00:00Z, it is 2",), hint=True)


# --- unlock tokens


def test_a_token(world: Path) -> None:
    done = good(world, *UNLOCK, "--scope", "path-prefix", "--operand", "/opt/rescue")
    said = words_of(done)
    assert said["opens"] == ["what is at or below /opt/rescue may run and be mapped"]
    assert said["for"] == ["1800 seconds (30 min) once it is applied"]
    assert said["because"] == ["disk of rack 7"]
    assert said["host"] == ["c3" * 32]
    assert said["before"] == ["4500 seconds on the boot clock (1 h 15 min after the boot)"]
    assert said["signers"] == ["the user's role unlock"]
    assert (
        "because   disk of rack 7\n"
        in good(world, "sign", "add", "--yes", "--key", "un.pem", "b").out
    )
    add(world, "un2")
    assert attach(world).status == 0
    found = fragment(world, RecordKind.UNLOCK)
    token = unlock.parse(found.blob)
    assert (len(found.blob), len(found.signatures)) == (416, 2)
    assert (token.scope, token.operand) == (Scope.PATH_PREFIX, b"/opt/rescue")
    assert (token.boot_nonce, token.policy_serial) == (b"\x5a" * 32, 4)
    assert token.reason == unlock.reason_sha256("disk of rack 7")


SCOPES = {
    "digest": (("--operand", DIGEST), "the file of the digest sha256:3737aac9"),
    "config-path": (("--operand", "/etc/motd"), "the guarded configuration /etc/motd"),
    "session": ((), "one login session"),
    "observe-only": ((), "the WHOLE HOST: everything is still decided"),
    "off": ((), "the WHOLE HOST: nothing is refused"),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope(world: Path, scope: str) -> None:
    more, words = SCOPES[scope]
    values = ("--boot-nonce", "5a" * 32, "--host-id", "c3" * 32, "--policy-serial", "4")
    options = [word for word in UNLOCK if word not in ("--challenge", "challenge")]
    done = good(world, *options, *values, "--boot-clock", "900", "--scope", scope, *more)
    assert f"opens     {words}" in done.out


def test_no_two_tokens_have_one_id(world: Path) -> None:
    ids = set()
    for _ in range(2):
        ids.add(words_of(good(world, *UNLOCK, "--scope", "off"))["what"][0])
        (world / "b").unlink()
    assert len(ids) == 2


# --- enough signatures, of the right keys

PREPARED = {
    "revoke": (*LIST, "--keyring", "k"),
    "waiver": WAIVER,
    "unlock": (*UNLOCK, "--scope", "off"),
    "policy": POLICY,
}
SIGNERS = {
    "revoke": ("uroot", "uroot2"),
    "waiver": ("pol", "pol2"),
    "unlock": ("un", "un2"),
    "policy": ("pol", "pol2"),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_one_of_two(world: Path, kind: str) -> None:
    good(world, *PREPARED[kind])
    add(world, SIGNERS[kind][0])
    before = snapshot(world)
    done = attach(world)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("sign bundle: 1 of 2 owners have signed",), hint=True)
    assert snapshot(world) == before


@pytest.mark.parametrize("kind", PREPARED)
def test_keys_of_other_roles(world: Path, kind: str) -> None:
    good(world, *PREPARED[kind])
    others = {keys for keys in SIGNERS.values() if keys != SIGNERS[kind]}
    add(world, *(one for keys in others for one in keys))
    done = attach(world)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("none of its 4 signatures is by a key that counts",), hint=True)


@pytest.mark.parametrize("kind", PREPARED)
def test_altered_after_the_first_signed(world: Path, kind: str) -> None:
    good(world, *PREPARED[kind])
    add(world, SIGNERS[kind][0])
    found = json.loads((world / "b").read_bytes())
    signatures = found["signatures"]
    (world / "b").unlink()
    changed = {
        "revoke": (*LIST, "--serial", "9", "--lowest", "x:2"),
        "waiver": tuple("owner" if word == "mode" else word for word in WAIVER),
        "unlock": (*UNLOCK, "--scope", "session"),
        "policy": (*POLICY, "--mode", "observe"),
    }[kind]
    good(world, *changed)
    document = json.loads((world / "b").read_bytes())
    document["signatures"] = signatures
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (world / "b").write_text(f"{text}\n")
    for verb in (
        ("sign", "show", "b"),
        ("sign", "add", "--yes", "--key", f"{SIGNERS[kind][1]}.pem", "b"),
        ("sign", "attach", *pins(world), "b", "out"),
    ):
        done = verity(*verb, cwd=world)
        assert (done.status, done.out) == (1, "")
        assert_clean_error(done, ("is not over these payloads",), hint=True)


# --- time


def expire(world: Path) -> None:
    """The user's keyring, of the same keys, as one that was good until an hour ago."""
    before = good(world, "keyring", "show", "--json", "k/user/1.keyring.json").records[0]
    assert before["version"] == 1
    for file in (world / "k/user").iterdir():
        file.unlink()
    places = (
        *((Role.ROOT, "ann", "uroot"), (Role.ROOT, "bob", "uroot2"), (Role.EXTENSION, "", "ext")),
        *((Role.POLICY, "ann", "pol"), (Role.POLICY, "bob", "pol2")),
        *((Role.UNLOCK, "ann", "un"), (Role.UNLOCK, "bob", "un2")),
    )
    keys = [
        NewKey(role=role, owner=owner, key=keystore.load_public(world / f"{name}.pem.pub"))
        for role, owner, name in places
    ]
    two = {role: 2 for role in (Role.ROOT, Role.POLICY, Role.UNLOCK)}
    now = int(time.time())
    value = keyring_change.first(
        Party.USER,
        keys,
        Rules(thresholds=two, streams={Role.EXTENSION: ("tools*",)}),
        Times(issued=now - 7200, expires=now - 3600),
    )
    signers = [keystore.load_signer(str(world / f"{name}.pem")) for name in SIGNERS["revoke"]]
    keyring_make.init(world / "k", Party.USER, value, signers)


@pytest.mark.parametrize("kind", PREPARED)
def test_an_expired_keyring_accepts_nothing_new_but_stops_no_unlock(world: Path, kind: str) -> None:
    expire(world)
    good(world, *PREPARED[kind])
    add(world, *SIGNERS[kind])
    done = attach(world)
    if kind in ("waiver", "policy"):
        assert (done.status, (world / "out").exists()) == (1, False)
        assert_clean_error(done, ("the newest keyring has expired",), hint=True)
    else:
        assert (done.status, done.err) == (0, "")


# --- arguments

USAGE: dict[str, tuple[str, ...]] = {
    "nothing revoked": LIST,
    "a list without a serial": (*LIST, "--lowest", "x:2"),
    "a serial without a list": (*LIST, "--serial", "2"),
    "a keyring and a list": (*LIST, "--keyring", "k", "--lowest", "x:2"),
    "a keyring and a serial": (*LIST, "--keyring", "k", "--serial", "2"),
    "a keyring that isn't there": (*LIST, "--keyring", "nowhere"),
    "a role that may not revoke": (*LIST, "--serial", "2", "--lowest", "x:2", "--role", "policy"),
    "a role that nobody has": (*LIST, "--serial", "2", "--lowest", "x:2", "--role", "king"),
    "a lowest serial of 1": (*LIST, "--serial", "2", "--lowest", "x:1"),
    "a digest of another kind": (*LIST, "--serial", "2", "--digest", "sha512:" + "ab" * 64),
    "a digest of three digits": (*WAIVER, "--digest", "sha256:abc"),
    "a waiver without a reason": tuple(w for w in WAIVER if w not in ("--reason", "ticket 4711")),
    "a scope that isn't one": (*UNLOCK, "--scope", "everything"),
    "a digest without which": (*UNLOCK, "--scope", "digest"),
    "a digest that is a path": (*UNLOCK, "--scope", "digest", "--operand", "/etc"),
    "off, for one path": (*UNLOCK, "--scope", "off", "--operand", "/etc"),
    "no challenge": (*UNLOCK[:3], *UNLOCK[5:], "--scope", "off"),
    "half a challenge": (*UNLOCK[:3], *UNLOCK[5:], "--scope", "off", "--boot-clock", "7"),
    "two challenges": (*UNLOCK, "--scope", "off", "--boot-clock", "7"),
    "a duration without a unit": (*UNLOCK, "--scope", "off", "--for", "30"),
    "no duration": (*UNLOCK, "--scope", "off", "--for", "0s"),
    "a duration of 200 years": (*UNLOCK, "--scope", "off", "--for", "73000d"),
}
CONTENT: dict[str, tuple[tuple[str, ...], str]] = {
    "a host by name": ((*WAIVER, "--host", "db-1"), "the host 'db-1' is neither 64 lower-case hex"),
    "a check that can't be one": ((*WAIVER, "--check", "Mode!"), "the check 'Mode!'"),
    "a relative path": ((*WAIVER, "--path", "old"), "the path 'old' is not absolute"),
    "an empty reason": ((*WAIVER, "--reason", ""), "the reason is not one line"),
    "a reason that is no text": ((*WAIVER, "--reason", "a\udcff"), "the reason is not one line"),
    "a token without a reason": ((*UNLOCK, "--scope", "off", "--reason", " "), "not one line of"),
    "the path of everything": (
        (*UNLOCK, "--scope", "path-prefix", "--operand", "/"),
        "unlock token: the operand is not an absolute path",
    ),
    "a challenge that is none": (
        (*UNLOCK, "--scope", "off", "--challenge", "un.pem.pub"),
        "un.pem.pub: challenge: the key boot_nonce is missing",
    ),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(made: Path, name: str) -> None:
    before = snapshot(made)
    done = verity(*USAGE[name], cwd=made)
    assert (done.status, done.out) == (2, ""), done
    assert "verity: error: " in done.err
    assert snapshot(made) == before


@pytest.mark.parametrize("name", CONTENT)
def test_values_that_no_document_may_have(made: Path, name: str) -> None:
    command, words = CONTENT[name]
    before = snapshot(made)
    done = verity(*command, cwd=made)
    assert (done.status, done.out) == (1, ""), done
    assert_clean_error(done, (words,), hint=False)
    assert snapshot(made) == before
