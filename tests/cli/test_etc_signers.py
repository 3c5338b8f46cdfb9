# SPDX-License-Identifier: Apache-2.0
"""/etc signed by several people: prepared on the host, signed elsewhere, attached on the host."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.program import Done, assert_clean_error, copy, snapshot, verity
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, write
from verity.formats import grants, sign_bundle, statement
from verity.formats.dump import Entry
from verity.formats.sign_bundle import BundleKind
from verity.formats.sign_payloads import Opened
from verity.ports import keystore
from verity.ports.etc_state import Stored
from verity.values.errors import ContentError
from verity.verbs import documents, etc_sign, sign_add, sign_bundles, sign_proof, sign_serials
from verity.verbs.etc_intent import Host
from verity.verbs.sign_prepare import Spot

BOTH = ("--key", "etc.pem.pub", "--key", "other.pem.pub", "--threshold", "2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serial 1 by one key, and a bundle for serial 2 without signatures; for reading only."""
    world = make_etc_world(tmp_path_factory.mktemp("etc"), make_first)
    write(world.etc / "motd", "by both\n")
    assert prepare(world, "auto").status == 0
    return world


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def prepare(world: EtcWorld, serial: str, bundle: str = "b") -> Done:
    options = ("--root", "root", "--stream", STREAM, "--serial", serial, "--output", bundle)
    return verity("sign", "prepare", "etc", *options, cwd=world.path)


def add(world: EtcWorld, *keys: str) -> None:
    for key in keys:
        done = verity("sign", "add", "--key", f"{key}.pem", "--yes", "b", cwd=world.path)
        assert done.status == 0, done.err


def attach(world: EtcWorld, *options: str) -> Done:
    return verity("sign", "attach", *options, "--root", "root", "b", cwd=world.path)


def status(world: EtcWorld, *options: str) -> Done:
    return verity("etc", "status", "--root", "root", *options, cwd=world.path)


def test_two_of_two(world: EtcWorld) -> None:
    assert world.current() == "1"
    add(world, "etc", "other")
    done = attach(world, *BOTH)
    assert (done.status, done.err) == (0, "")
    assert f"as        stream {STREAM} serial 2\n" in done.out
    assert world.current() == "2"
    assert status(world, *BOTH).status == 0
    write(world.etc / "motd", "by nobody\n")
    back = verity("etc", "apply", "--root", "root", *BOTH, cwd=world.path)
    assert back.status == 0
    assert (world.etc / "motd").read_text() == "by both\n"


def test_what_the_signer_is_shown(world: EtcWorld) -> None:
    shown = verity("sign", "show", "b", cwd=world.path).out
    assert f"as        stream {STREAM} serial 2\n" in shown
    assert "config    8 paths, 1 of them links\n" in shown
    assert "signers   the user's role etc\n" in shown


def test_too_few(world: EtcWorld) -> None:
    add(world, "etc")
    done = attach(world, *BOTH)
    assert done.status == 1
    assert_clean_error(done, ["1 of 2 owners have signed"], hint=True)
    assert world.current() == "1"


def test_both_keys_in_one_process(world: EtcWorld) -> None:
    done = world.sign(2, "--key", "other.pem", "--threshold", "2")
    assert done.status == 0
    assert status(world, *BOTH).status == 0


def test_serial_auto(world: EtcWorld) -> None:
    options = ("--root", "root", "--key", "etc.pem", "--stream", STREAM, "--serial", "auto")
    done = verity("etc", "sign", *options, cwd=world.path)
    assert f"as        stream {STREAM} serial 2, for 365 days\n" in done.out
    add(world, "etc")
    late = attach(world, "--key", "etc.pem.pub")
    assert late.status == 2
    assert_clean_error(late, ["the serial 2 does not grow"], hint=True)


def test_the_same_times_give_the_same_bundle(world: EtcWorld) -> None:
    times = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2036-01-01T00:00:00Z")
    for name in ("one", "two"):
        options = ("--root", "root", "--stream", STREAM, "--serial", "5", "--output", name)
        done = verity("sign", "prepare", "etc", *options, *times, cwd=world.path)
        assert done.status == 0
    assert (world.path / "one").read_bytes() == (world.path / "two").read_bytes()


def test_contents_that_are_not_on_this_host(world: EtcWorld) -> None:
    add(world, "etc")
    shutil.rmtree(world.store)
    done = attach(world, "--key", "etc.pem.pub")
    assert done.status == 3
    assert_clean_error(done, ["its contents", "are not in the store"], hint=True)
    assert world.current() == "1"


def test_options_of_other_kinds(world: EtcWorld) -> None:
    done = attach(world, "--key", "etc.pem.pub", "--tree", "root/etc")
    assert done.status == 2
    assert_clean_error(done, ["--tree is not for a bundle of the kind etc"], hint=False)


def test_prepare_leaves_the_intent_alone(world: EtcWorld) -> None:
    before = sorted(path.name for path in world.state.iterdir())
    assert prepare(world, "7", "c").status == 0
    assert prepare(world, "1", "d").status == 2
    assert sorted(path.name for path in world.state.iterdir()) == before
    assert not (world.path / "d").exists()


def test_grants_that_leave_out_what_the_manifest_has(world: EtcWorld) -> None:
    opened = sign_bundles.load(world.path / "b").opened
    said = sign_serials.tree_of(opened)
    fewer = replace(said.grants, config=said.grants.config[1:])
    blob = grants.encode(fewer)
    subjects = {**said.statement.subjects, "grants": hashlib.sha256(blob).digest()}
    told = replace(said.statement, subjects=subjects)
    bundle = replace(opened.bundle, blob=blob, payload=statement.encode(told))
    (world.path / "b").unlink()
    changed = Opened(bundle=bundle, said=replace(said, statement=told, grants=fewer))
    sign_bundles.write(world.path / "b", changed)
    add(world, "etc")
    done = attach(world, "--key", "etc.pem.pub")
    assert done.status == 1
    assert_clean_error(done, ["configuration is not what the manifest gives"], hint=True)
    assert world.current() == "1"


# --- what a signer is shown


def test_every_path_on_request(world: EtcWorld) -> None:
    shown = verity("sign", "show", "--paths", "b", cwd=world.path).out.splitlines()
    at = shown.index("what      etc")
    manifest = sign_bundle.parse((world.path / "b").read_bytes()).manifest
    assert "\n".join([*shown[:at], ""]).encode() == manifest
    inside = sum(line.startswith("/etc/") for line in shown[:at])
    assert f"paths     {inside} in /etc; --paths lists every one" in shown
    added = verity("sign", "add", "--yes", "--paths", "--key", "etc.pem", "b", cwd=world.path)
    assert added.out.splitlines()[:at] == shown[:at]
    records = verity("sign", "show", "--paths", "--json", "b", cwd=world.path).records
    assert [one["line"] for one in records if one["type"] == "entry"] == shown[:at]


def test_homes_by_name(world: EtcWorld) -> None:
    for name in ("root", "home/ann"):
        write(world.path / f"root/{name}/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")
    homes = ("--home", "/root", "--home", "/home/ann")
    assert prepare(world, "auto", "c").status == 0
    assert "home " not in verity("sign", "show", "c", cwd=world.path).out
    options = ("--root", "root", "--stream", STREAM, "--serial", "auto", "--output", "d", *homes)
    shown = verity("sign", "prepare", "etc", *options, cwd=world.path).out
    assert "home      /home/ann: 2 dotfiles and what is in them\n" in shown
    assert "home      /root: 2 dotfiles and what is in them\n" in shown


def test_what_changed_since_the_bundle_that_was_kept(world: EtcWorld) -> None:
    write(world.etc / "motd", "by others\n")
    write(world.etc / "sudoers.d/mallory", "mallory ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    (world.etc / "link").unlink()
    assert prepare(world, "auto", "c").status == 0
    shown = verity("sign", "show", "--since", "b", "c", cwd=world.path).out
    lines = shown[shown.index("since ") :].splitlines()
    assert lines[0] == f"since     4 paths differ from stream {STREAM} serial 2"
    assert lines[1] == "removed   /etc/link"
    assert lines[2].startswith("changed   /etc/motd: digest ")
    assert lines[3:] == ["added     /etc/sudoers.d", "added     /etc/sudoers.d/mallory"]
    (world.path / "b").rename(world.path / "kept")
    (world.path / "c").rename(world.path / "b")
    asked = ("sign", "add", "--yes", "--since", "kept", "--key", "etc.pem", "b")
    assert "added     /etc/sudoers.d/mallory\n" in verity(*asked, cwd=world.path).out
    records = verity("sign", "show", "--json", "--since", "kept", "b", cwd=world.path).records
    assert {"v": 1, "type": "change", "what": "removed", "text": "/etc/link"} in records


def test_another_stream_is_said_to_be_one(world: EtcWorld) -> None:
    options = ("--root", "root", "--stream", "other", "--serial", "7", "--output", "c")
    # Another host's is prepared there; on this one its own stream is known.
    (world.path / "root/var/lib/verity/etc/stream").unlink()
    assert verity("sign", "prepare", "etc", *options, cwd=world.path).status == 0
    shown = verity("sign", "show", "--since", "b", "c", cwd=world.path).out
    assert (
        "since     0 paths differ from stream etc-test serial 2, which is ANOTHER stream\n" in shown
    )


# --- what is no /etc, and what has expired


def rewritten(world: EtcWorld, change: Callable[[Entry], Entry | None]) -> Opened:
    """The bundle as a preparer without scruples makes it: all payloads agree."""
    said = sign_serials.tree_of(sign_bundles.load(world.path / "b").opened)
    at = said.statement
    spot = Spot(stream=at.stream, serial=at.serial, issued=at.issued, expires=at.expires)
    entries = [found for entry in said.entries if (found := change(entry)) is not None]
    place = spot.place(BundleKind.ETC, at.serial)
    made = documents.prepare(place, entries, {}, subjects={})
    (world.path / "b").unlink()
    sign_bundles.write(world.path / "b", made)
    return made


NO_ETC: dict[str, Callable[[Entry], Entry | None]] = {
    "has no directory /etc": lambda one: one if one.path == b"/" else None,
    "/ is not a directory 40755": lambda one: (
        one._replace(mode=0o40777) if one.path == b"/" else one
    ),
    "/lib is not a directory 40755": lambda one: (
        one._replace(path=b"/lib") if one.path == b"/etc/motd" else one
    ),
}


@pytest.mark.parametrize("words", NO_ETC)
def test_a_manifest_of_something_else(world: EtcWorld, words: str) -> None:
    rewritten(world, NO_ETC[words])
    before = snapshot(world.path)
    for verb in (
        ("sign", "show", "b"),
        ("sign", "add", "--yes", "--key", "etc.pem", "b"),
        ("sign", "attach", "--key", "etc.pem.pub", "--root", "root", "b"),
    ):
        done = verity(*verb, cwd=world.path)
        assert (done.status, done.out) == (1, "")
        assert_clean_error(done, ["b: manifest: of the kind etc, but ", words], hint=True)
    assert snapshot(world.path) == before


def test_an_intent_that_is_none_of_etc(world: EtcWorld) -> None:
    """Signed long ago by a program that didn't look: refused where it is read, too."""
    opened = rewritten(world, NO_ETC["has no directory /etc"])
    key = keystore.load_signer(str(world.path / "etc.pem"))
    signed = sign_add.add(opened, key)
    trusted = sign_proof.trusted_set(signed, [key.public], 1)
    host = Host.at(world.path / "root", None)
    with pytest.raises(ContentError, match="of the kind etc, but it has no directory /etc"):
        etc_sign.attach(signed, trusted, host)  # nor is it written by who read no bundle
    proven = sign_proof.prove(signed, trusted)
    host.state.add(
        2,
        Stored(
            statement=proven.envelope,
            manifest=signed.bundle.manifest or b"",
            grants=sign_proof.fragment_bytes(proven),
        ),
    )
    for verb in ("status", "apply"):
        done = world.run(verb)
        assert (done.status, done.out) == (1, "")
        assert_clean_error(done, ["manifest: of the kind etc, but it has no directory"], hint=True)


def test_what_has_expired_is_not_attached(world: EtcWorld) -> None:
    (world.path / "b").unlink()
    times = ("--issued", "2020-01-01T00:00:00Z", "--expires", "2020-02-01T00:00:00Z")
    options = ("--root", "root", "--stream", STREAM, "--serial", "auto", "--output", "b")
    assert verity("sign", "prepare", "etc", *options, *times, cwd=world.path).status == 0
    add(world, "etc")
    done = attach(world, "--key", "etc.pem.pub")
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ["what it holds expired at 2020-02-01T00:00:00Z"], hint=True)
    assert world.current() == "1"
