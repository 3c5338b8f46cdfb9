# SPDX-License-Identifier: Apache-2.0
"""`verity audit --evidence`, `--verify`, `--since`: from one machine to another, by files alone."""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.keyring_world import good, key_id
from tests.cli.program import Done, assert_clean_error, copy, needs_root, snapshot, verity
from tests.cli.worlds import REF, World, commit
from tests.evidence_world import GOOD, HOST, HOST_KEY, MADE, NONCE, Made, pins, sealed
from tests.world import OTHER, VENDOR
from verity.formats import evidence, statement
from verity.formats.grants import Party

MACHINE = "0123456789abcdef0123456789abcdef\n"
REQUEST = "00112233445566778899aabbccddeeff"
AUDIT = ("audit", "--root", "tree", "--repo", "repo", "--commit", REF, "--key", "vendor.pem.pub")
CHAIN = ("--key", "vendor.pem.pub", "--evidence-key", "host.pem.pub")


@pytest.fixture
def host(world: World) -> Path:
    """A tree that is a host: its id, both parties' keyrings, and a key of its own."""
    here = world.path
    for name in ("vroot", "uroot", "policy", "host", "host2"):
        good(here, "key", "generate", f"{name}.pem")
    vendor = ("--role", "root=vroot.pem.pub", "--role", "os=vendor.pem.pub", "--stream", "os=*")
    user = ("--role", "root=uroot.pem.pub", "--role", "policy=policy.pem.pub")
    evidence = ("--role", "evidence=host.pem.pub")
    good(here, "keyring", "init", "--party", "vendor", *vendor, "--key", "vroot.pem", "k")
    good(here, "keyring", "init", "--party", "user", *user, *evidence, "--key", "uroot.pem", "k")
    for party, below in (("vendor", "usr/lib/verity"), ("user", "etc/verity")):
        place = here / "tree" / below / "keyrings"
        place.mkdir(parents=True)
        copy(here / "k" / party, place / party)
    (here / "tree/etc/machine-id").write_text(MACHINE)
    return here


def pinned(here: Path, *parties: str) -> tuple[str, ...]:
    found: list[str] = []
    for party in parties or ("vendor", "user"):
        (record,) = good(here, "keyring", "show", "--json", f"k/{party}/1.keyring.json").records
        found += ["--pin", f"{party}={record['pin']}"]
    return tuple(found)


def capsule(here: Path, name: str, *more: str) -> Done:
    done = verity(*AUDIT, "--evidence", name, "--evidence-key", "host.pem", *more, cwd=here)
    assert done.status == 1, done.err  # nothing here has fs-verity
    assert f"verity: evidence: {name}, capsule sha256:" in done.err
    return done


def rows(done: Done) -> dict[str, tuple[str, str]]:
    return {one["what"]: (one["basis"], one["depends"]) for one in done.of_type("said")}


# --- the whole way


def test_made_here_and_verified_there(host: Path, tmp_path: Path) -> None:
    capsule(host, "c", "--nonce", REQUEST)
    assert (host / "c").stat().st_mode & 0o777 == 0o600
    there = tmp_path / "there"
    there.mkdir()
    copy(host / "c", there / "c")
    ask = ("audit", "--verify", "c", "--nonce", REQUEST, *pinned(host))
    done = verity(*ask, "--json", cwd=there)
    assert done.status == 1
    (said,) = done.of_type("capsule")
    assert said["signers"] == [key_id(host, "host")]
    assert said["nonce"] == REQUEST
    assert said["state"] is None
    table = rows(done)
    for what in ("keyring of the vendor", "keyring of the user", "statement of os os", "nonce"):
        assert table[what][0] == "signatures"
    assert table["what is signed of the findings' files"][0] == "host-key"
    assert table["host"] == ("host-key", "all of it")
    audited = verity(*AUDIT, "--json", cwd=host)
    names = sorted((one["check"], one["object"]) for one in audited.of_type("finding"))
    assert sorted((one["check"], one["object"]) for one in done.of_type("finding")) == names
    text = verity(*ask, cwd=there).out
    assert "proven by signatures:\n" in text
    assert "asserted by the host's key:\n" in text
    assert "the host's word is that it is what the host runs" in text


def test_the_manifest_proves_the_lines(host: Path) -> None:
    capsule(host, "c")
    good(host, "manifest", "make", "--repo=repo", "--output=m", REF)
    for way in (("--repo", "repo"), ("--manifest", "m")):
        done = verity("audit", "--verify", "c", *CHAIN, *way, "--json", cwd=host)
        assert rows(done)["what is signed of the findings' files"] == ("signatures", "")
    good(host, "manifest", "make", "--output=other", "tree")
    done = verity("audit", "--verify", "c", *CHAIN, "--manifest", "other", "--json", cwd=host)
    (error,) = done.of_type("error")
    assert (done.status, error["code"]) == (1, "wrong-manifest")


def test_a_chain_of_capsules(host: Path) -> None:
    capsule(host, "1")
    capsule(host, "2", "--previous", "1")
    capsule(host, "3", "--previous", "2")
    for one, before in (("2", "1"), ("3", "2")):
        done = verity("audit", "--verify", one, "--previous", before, *CHAIN, "--json", cwd=host)
        assert rows(done)["the capsule before"][0] == "signatures"
        assert not done.of_type("error")
    done = verity("audit", "--verify", "3", "--previous", "1", *CHAIN, "--json", cwd=host)
    (error,) = done.of_type("error")
    assert (done.status, error["code"]) == (1, "wrong-previous")


@needs_root
def test_what_cannot_be_read_is_said_to_be_left_out(host: Path) -> None:
    place = host / "tree/etc/verity/policy.json"
    place.mkdir()
    done = verity(*AUDIT, "--evidence", "c", "--evidence-key", "host.pem", cwd=host)
    assert "warning: the capsule has no policy: " in done.err
    checked = verity("audit", "--verify", "c", *CHAIN, "--json", cwd=host)
    gaps = [one for one in checked.of_type("not-evaluated") if one["check"] == "left-out"]
    assert [one["object"] for one in gaps] == ["policy"]


@pytest.mark.parametrize("what", ["text", "an envelope of another type"])
def test_a_link_to_a_file_of_the_auditors_is_not_taken_along(what: str, host: Path) -> None:
    """Whoever made the tree chooses where its links lead; a capsule leaves this machine."""
    secret = host / "secret"
    envelope = statement.parse_envelope(Made().capsule)
    secret.write_bytes(Made().capsule if "envelope" in what else b"root:$y$secret")
    for below, name in (
        ("etc/verity", "policy.json"),
        ("etc/verity/keyrings/user", "2.keyring.json"),
        ("var/lib/verity/floors", "vendor.os.os"),
    ):
        (host / "tree" / below).mkdir(parents=True, exist_ok=True)
        (host / "tree" / below / name).symlink_to(secret)
    capsule(host, "c")
    found = statement.parse_envelope((host / "c").read_bytes(), max_size=2**20).payload
    assert base64.b64encode(secret.read_bytes()) not in found
    assert b"secret" not in found.replace(b"/secret", b"")
    said = evidence.parse(found)
    assert set(said.left_out) >= {"policy", "keyring of the user"}
    assert (said.policy, Party.USER in said.keyrings, said.floors) == (None, False, ())
    assert envelope.payload not in found


# --- nothing half-written


WRITING: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no key": ((), 2, "nobody signs it"),
    "a public key": (("--evidence-key", "host.pem.pub"), 1, "host.pem.pub"),
    "a key that is not there": (("--evidence-key", "nowhere.pem"), 3, "nowhere.pem"),
    "one key twice": (("--evidence-key", "host.pem", "--evidence-key", "host.pem"), 2, "twice"),
    "a short nonce": (("--evidence-key", "host.pem", "--nonce", "00"), 2, "--nonce '00'"),
    "a previous one that is none": (
        ("--evidence-key", "host.pem", "--previous", "vendor.pem.pub"),
        1,
        "vendor.pem.pub: DSSE envelope",
    ),
}


@pytest.mark.parametrize("name", WRITING)
def test_nothing_is_written(name: str, host: Path) -> None:
    more, status, words = WRITING[name]
    before = snapshot(host)
    done = verity(*AUDIT, "--evidence", "c", *more, cwd=host)
    assert done.status == status, done.err
    assert words in done.err
    assert snapshot(host) == before


def test_nothing_is_overwritten(host: Path) -> None:
    (host / "c").write_text("mine")
    done = verity(*AUDIT, "--evidence", "c", "--evidence-key", "host.pem", cwd=host)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ["c: exists already"], hint=True)
    assert (host / "c").read_text() == "mine"
    done = verity(*AUDIT, "--evidence", "no/c", "--evidence-key", "host.pem", cwd=host)
    assert done.status == 3
    assert "no/c: does not exist" in done.err


USAGE: dict[str, tuple[str, ...]] = {
    "both": ("--evidence", "c", "--verify", "c"),
    "a host without a capsule": ("--host", HOST),
    "an age without a capsule": ("--max-age", "1d"),
    "a manifest without a capsule": ("--manifest", "m"),
    "a nonce without a capsule": ("--nonce", REQUEST),
    "one before without a capsule": ("--previous", "c"),
    "a key without a capsule": ("--evidence-key", "host.pem"),
    "a host by name": ("--verify", "c", "--host", "web-1"),
    "a nonce in words": ("--verify", "c", "--nonce", "now"),
    "an age in words": ("--verify", "c", "--max-age", "long"),
    "an age without a unit": ("--verify", "c", "--max-age", "10"),
    "two capsules": ("--verify", "c", "--verify", "d"),
    "keys and pins": ("--verify", "c", "--key", "k.pub", "--pin", f"user=sha256:{'0' * 64}"),
}


@pytest.mark.parametrize("name", USAGE)
def test_options_that_make_no_sense(name: str, forged: Path) -> None:
    (forged / "c").write_bytes(Made().capsule)
    (forged / "k.pub").write_text(VENDOR.public.pem)
    done = verity("audit", *USAGE[name], cwd=forged)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("verity: error: ")


# --- refused, each with a code of its own


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """An auditor's: capsules of a host that is nowhere, and public keys."""
    for name, signer in (("host", HOST_KEY), ("vendor", VENDOR), ("other", OTHER)):
        (tmp_path / f"{name}.pub").write_text(signer.public.pem)
    (tmp_path / "c").write_bytes(Made().capsule)
    return tmp_path


def flipped(data: bytes) -> bytes:
    fields = json.loads(data)
    text = fields["payload"]
    return json.dumps({**fields, "payload": text[:-9] + "AAAA" + text[-5:]}).encode()


EVIDENCE_KEY = ("--evidence-key", "host.pub")
BY_PINS = tuple(
    f"--pin={party.name.lower()}=sha256:{one.fingerprint}" for party, one in pins().items()
)
WRONG_PIN = ("--pin=vendor=sha256:" + "0" * 64, "--pin=user=sha256:" + "0" * 64)
AHEAD = Made(changes={"issued": 4_000_000_000})
REFUSALS: dict[str, tuple[bytes, tuple[str, ...], int, str]] = {
    "altered": (flipped(Made().capsule), EVIDENCE_KEY, 1, "bad-document"),
    "altered, and valid JSON": (
        sealed(Made().payload, OTHER).replace(
            OTHER.public.key_id.encode(), HOST_KEY.public.key_id.encode()
        ),
        EVIDENCE_KEY,
        1,
        "bad-signature",
    ),
    "truncated": (Made().capsule[:-40], EVIDENCE_KEY, 1, "bad-document"),
    "empty": (b"", EVIDENCE_KEY, 1, "bad-document"),
    "a replay": (Made().capsule, (*EVIDENCE_KEY, "--nonce", REQUEST), 1, "wrong-nonce"),
    "an old one": (Made().capsule, (*EVIDENCE_KEY, "--max-age", "7d"), 1, "too-old"),
    "one from the future": (AHEAD.capsule, EVIDENCE_KEY, 1, "issued-ahead"),
    "another host": (Made().capsule, (*EVIDENCE_KEY, "--host", "0" * 64), 1, "wrong-host"),
    "another host's key": (Made().capsule, ("--evidence-key", "other.pub"), 1, "bad-signature"),
    "other roots": (Made().capsule, WRONG_PIN, 1, "wrong-pin"),
    "a vendor's pin alone": (Made().capsule, BY_PINS[:1], 2, "no-user-pin"),
    "nobody's key": (Made().capsule, (), 3, "no-evidence-key"),
    "another chain": (
        Made().capsule,
        (*EVIDENCE_KEY, "--previous", "before"),
        1,
        "wrong-previous",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(name: str, desk: Path) -> None:
    data, more, status, code = REFUSALS[name]
    (desk / "c").write_bytes(data)
    (desk / "before").write_bytes(Made(changes={"issued": MADE - 9}).capsule)
    before = snapshot(desk)
    done = verity("audit", "--verify", "c", *more, "--json", cwd=desk)
    assert done.status == status
    (error,) = done.records
    assert (error["type"], error["code"]) == ("error", code)
    assert_clean_error(done, [], hint=bool(error["hint"]))
    assert snapshot(desk) == before


def test_the_controls_of_these(desk: Path) -> None:
    """The same capsule with what is right: whatever is missing then, none of these."""
    more = ("--nonce", NONCE.hex(), "--host", HOST)
    for accepted in (BY_PINS, (*EVIDENCE_KEY, "--key", "vendor.pub")):
        done = verity("audit", "--verify", "c", *accepted, *more, "--json", cwd=desk)
        assert not done.of_type("error")
        assert not [one for one in done.of_type("finding") if "expired" not in one["check"]]
    assert verity("audit", "--verify", "c", *BY_PINS, cwd=desk).status == 0


def test_example_keys_are_refused(desk: Path) -> None:
    example = Path("keys-example/user-evidence.pem.pub").absolute()
    done = verity("audit", "--verify", "c", "--evidence-key", example, "--json", cwd=desk)
    (error,) = done.records
    assert (done.status, error["code"]) == (1, "example-key")
    allowed = (*("audit", "--verify", "c"), "--allow-example-keys")
    done = verity(*allowed, "--evidence-key", example, "--json", cwd=desk)
    (error,) = done.records
    assert error["code"] == "bad-signature"
    assert "warning: --allow-example-keys" in done.err


def test_what_a_capsule_says_moves_no_cursor(desk: Path) -> None:
    head = replace(GOOD.head, host_name="\x1b[2Jgood: all is well\n", boot_id="\x07")
    audit = replace(GOOD, head=head)
    (desk / "c").write_bytes(Made(audit=audit).capsule)
    done = verity("audit", "--verify", "c", *BY_PINS, cwd=desk)
    assert "\x1b" not in done.out
    assert "\\x1b[2Jgood: all is well\\x0a" in done.out


# --- since


def test_what_changed_since_a_report_and_since_a_capsule(host: Path) -> None:
    (host / "report").write_text(verity(*AUDIT, "--json", cwd=host).out)
    capsule(host, "c")
    script, empty = host / "tree/usr/bin/script", host / "tree/usr/share/empty"
    os.setxattr(script, "user.note", b"x")
    empty.unlink()
    (host / "tree/usr/bin/new").write_text("#!/bin/sh\n")
    same: dict[str, Any] | None = None
    for since in (("report",), ("c", "--evidence-key", "host.pem.pub")):
        done = verity(*AUDIT, "--since", *since, "--json", cwd=host)
        assert done.status == 1
        found = {(one["what"], one["check"], one["object"]) for one in done.of_type("change")}
        assert found == {
            ("new", "missing", "/usr/share/empty"),
            ("gone", "no-verity", "/usr/share/empty"),
            ("changed", "no-verity", "/usr/bin/script"),
            ("new", "unsigned-file", "/usr/bin/new"),
        }
        (summary,) = done.of_type("summary")
        assert same is None or {**same, "same_host": True} == summary
        same = summary
        assert (summary["new"], summary["gone"], summary["changed"]) == (2, 1, 1)
        assert summary["unchanged"] > 9
    text = verity(*AUDIT, "--since", "report", cwd=host)
    assert "NEW      missing  /usr/share/empty: it is signed and isn't there\n" in text.out
    assert "GONE     no-verity  /usr/share/empty: " in text.out
    assert "note: report: a report, which nobody signs" in text.err
    assert "/usr/bin/tool" not in text.out  # what is known floods nothing


def test_what_changed_between_two_capsules_of_two_hosts(host: Path) -> None:
    capsule(host, "c1")
    (host / "tree/etc/machine-id").write_text(MACHINE.replace("0", "f"))
    good(
        host,
        "commit",
        "sign",
        "--repo=repo",
        "--key=vendor.pem",
        "--stream=os",
        "--serial=9",
        "--replace",
        REF,
    )
    capsule(host, "c2")
    done = verity("audit", "--verify", "c2", "--since", "c1", *CHAIN, "--json", cwd=host)
    (summary,) = done.of_type("summary")
    assert (summary["same_host"], summary["new"], summary["gone"]) == (False, 0, 0)
    (serial,) = done.of_type("serial-change")
    assert (serial["name"], serial["before"], serial["after"]) == ("stream os", 1, 9)
    text = verity("audit", "--verify", "c2", "--since", "c1", *CHAIN, cwd=host)
    assert "two hosts\n" in text.out
    assert "SERIAL   stream os: 1, now 9\n" in text.out


def test_what_a_verification_finds_is_not_hidden_by_a_comparison(desk: Path) -> None:
    lying = Made(audit=replace(GOOD, state="0" * 64))
    (desk / "c2").write_bytes(lying.capsule)
    ask = ("audit", "--verify", "c2", "--since", "c", *BY_PINS)
    done = verity(*ask, "--json", cwd=desk)
    assert done.status == 1
    assert [(one["what"], one["check"]) for one in done.of_type("change")] == [
        ("new", "contradiction")
    ]
    assert done.of_type("summary")[0]["exit_status"] == 1


def test_the_report_is_there_if_the_capsule_cannot_be(host: Path) -> None:
    done = verity(*AUDIT, "--evidence", "no/c", "--evidence-key", "host.pem", cwd=host)
    assert done.status == 3
    assert "state: differs" in done.out


def test_since_something_that_cannot_be_compared(host: Path) -> None:
    report = verity(*AUDIT, "--json", cwd=host).out
    cut = "\n".join(report.splitlines()[:-1])
    first = next(line for line in report.splitlines() if '"type": "finding"' in line)
    fewer = report.replace(f"{first}\n", "")
    capsule(host, "c")
    for name, text, words in (
        ("cut", cut, "it was cut off"),
        ("fewer", fewer, "it was cut off"),
        ("text", "hello\n", "DSSE envelope: not JSON"),
        ("nothing", "", "DSSE envelope: not JSON"),
        ("version", report.replace('"v": 1', '"v": 2'), "line 1: another version"),
    ):
        (host / name).write_text(text)
        done = verity(*AUDIT, "--since", name, "--json", cwd=host)
        assert done.status == 1
        (error,) = done.of_type("error")
        assert (error["code"], words in error["message"]) == ("bad-document", True), error
    done = verity(*AUDIT, "--since", "c", "--evidence-key", "host2.pem.pub", "--json", cwd=host)
    (error,) = done.of_type("error")
    assert (done.status, error["code"]) == (1, "bad-signature")
    done = verity(*AUDIT, "--since", "nowhere", cwd=host)
    assert (done.status, "nowhere: does not exist" in done.err) == (3, True)


def test_a_capsule_that_nobody_can_verify_is_said_to_be_unverified(host: Path) -> None:
    capsule(host, "c")
    done = verity(*AUDIT, "--since", "c", cwd=host)
    assert "note: c: its signature is not verified: " in done.err
    assert "0 new, 0 gone, 0 changed" in done.out


# --- the same state from outside


@needs_root
def test_a_snapshot_elsewhere_has_the_same_state(host: Path) -> None:
    """Of links and directories alone, which need no fs-verity; of files: tests/vm."""
    tree = host / "links"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/sh").symlink_to("dash")
    commit(host / "repo", tree, "links")
    good(
        host,
        "commit",
        "sign",
        "--repo=repo",
        "--key=vendor.pem",
        "--stream=os",
        "--serial=20",
        "links",
    )
    copy(tree, host / "snapshot")
    states = []
    for root in ("links", "snapshot"):
        ask = ("audit", "--root", root, "--repo=repo", "--commit=links", "--key=vendor.pem.pub")
        done = verity(*ask, "--evidence", f"{root}.c", "--evidence-key=host.pem", cwd=host)
        assert done.status == 0, done.out
        states.append(done.out.splitlines()[-1])
        checked = verity("audit", "--verify", f"{root}.c", *CHAIN, "--json", cwd=host)
        assert checked.status == 0
        assert rows(checked)["state checksum"][0] == "signatures"
        (said,) = checked.of_type("capsule")
        assert f"state: sha256:{said['state']}" == states[-1]
    assert states[0] == states[1]
    done = verity("audit", "--verify", "snapshot.c", "--since", "links.c", *CHAIN, cwd=host)
    assert (done.status, "0 new, 0 gone, 0 changed, 0 unchanged" in done.out) == (0, True)
    (host / "snapshot/usr/bin/sh").unlink()
    (host / "snapshot/usr/bin/sh").symlink_to("bash")
    again = ("audit", "--root=snapshot", "--repo=repo", "--commit=links", "--key=vendor.pem.pub")
    done = verity(*again, cwd=host)
    assert done.status == 1
    assert done.out.splitlines()[-1].startswith("state: differs (1 finding")
