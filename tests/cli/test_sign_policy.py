# SPDX-License-Identifier: Apache-2.0
"""A policy that two people sign: document and blob together, seen before, verified after."""

import json
from pathlib import Path

import pytest

from tests.cli.keyring_world import good
from tests.cli.policy_host import OBSERVED, STREAM, TIMES, Host, make_policy_host
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.test_sign_documents import words_of
from verity.formats import bundle, kernel_policy, policy_document, sign_bundle, statement

SERIAL = ("--serial", "7", *TIMES)
PREPARE = ("sign", "prepare", "policy", "--root", "root", *SERIAL)
BOTH = ("--key", "policy.pem.pub", "--key", "stranger.pem.pub", "--threshold", "2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy_host(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def host(made: Path, tmp_path: Path) -> Host:
    return Host(copy(made, tmp_path / "w"))


def attached(host: Host) -> None:
    """What two have signed, in `out` and `out.json`."""
    for key in ("policy.pem", "stranger.pem"):
        good(host.path, "sign", "add", "--yes", "--key", key, "b")
    done = good(host.path, "sign", "attach", *BOTH, "b", "out")
    assert done.out.startswith("what      policy sha256:")


def test_two_sign_what_one_compiles(host: Host) -> None:
    good(host.path, *PREPARE, "-o", "b")
    attached(host)
    compiled = host.compile("new")
    assert compiled.status == 0
    of_both, sizes = {}, {}
    for name in ("out", "new"):
        fragment = bundle.parse_fragment((host.path / name).read_bytes(), label=name)
        envelope = statement.parse_envelope((host.path / f"{name}.json").read_bytes())
        of_both[name] = (fragment.blob, envelope.payload)
        sizes[name] = (len(fragment.signatures), len(envelope.signatures))
    assert of_both["out"] == of_both["new"]
    assert sizes == {"out": (2, 2), "new": (1, 1)}
    (host.path / "out").rename(host.root / "etc/verity/policy.gate")
    (host.path / "out.json").rename(host.root / "etc/verity/policy.json")
    shown = host.run("show", *BOTH)
    assert shown.out.startswith("signed: serial 7, profile standard, by 2 owners, sha256:")


def test_a_document_that_exists(host: Host) -> None:
    assert host.compile("new").status == 0
    good(host.path, "sign", "prepare", "file", "-o", "b", "policy", "new.json")
    good(host.path, *PREPARE, "-o", "drop-ins")
    assert (host.path / "b").read_bytes() == (host.path / "drop-ins").read_bytes()
    attached(host)
    said = policy_document.parse(sign_bundle.parse((host.path / "b").read_bytes()).payload or b"")
    assert said.serial == 7


def test_what_it_says(host: Host) -> None:
    unlock = '[[unlock]]\nscope = "session"\nlongest = "90s"\nowners = 2\nreason = "r"\n'
    link = '[[link]]\npaths = ["/etc/mtab"]\nto = "/proc/self/mounts"\nreason = "r"\n'
    jit = '[[interpreters]]\nkind = "jit"\npaths = ["/opt/vm"]\nreason = "r"\n'
    host.own(STREAM + OBSERVED + unlock + link + jit)
    done = good(host.path, *PREPARE, "--mode", "sealed", "--group", "6", "-o", "b")
    said = words_of(done)
    assert said["mode"] == [
        "sealed: what isn't granted is refused to whoever is privileged, until reboot"
    ]
    assert said["serial"] == ["7"]
    assert said["valid"] == ["from 2026-01-01T00:00:00Z until 2096-01-01T00:00:00Z"]
    assert said["groups"] == ["privileged: 6"]
    assert said["caps"] == ["privileged: any but wake_alarm"]
    assert said["stream"] == ["os=vendor:os"]
    assert "anonymous: logged and not denied" in said["observed"]
    assert "session for at most 90 seconds, by 2 owners" in said["unlock"]
    assert "/etc/shadow: mutable" in said["guarded"]
    assert said["jit"][0].startswith("may have executable memory without a file: ")
    assert "/opt/vm" in said["jit"][0]
    assert "/etc/mtab may lead to /proc/self/mounts" in said["link"]
    assert said["signers"] == ["the user's role policy"]
    (record,) = good(host.path, "sign", "show", "--json", "b").records
    opened = sign_bundle.parse((host.path / "b").read_bytes())
    assert {record["blob_sha256"], record["payload_sha256"]} == {
        text.split("sha256:")[1] for text in (said["what"][0], said["document"][0])
    }
    told = kernel_policy.parse(opened.blob or b"")
    exempt = sum(": " in text for text in said["guarded"])
    assert said["guarded"][0] == f"{len(told.guarded) - exempt} paths signed"


def test_what_it_changes(host: Host) -> None:
    good(host.path, *PREPARE, "-o", "b")
    host.own('[[etc]]\nclass = "ignored"\npaths = ["/etc/shadow", "/etc/x"]\nreason = "r"\n')
    done = good(host.path, *PREPARE, "--stream", "other=vendor:os", "--since", "b", "-o", "later")
    changes = words_of(done)
    assert changes["since"] == ["4 lines differ from serial 7 of profile standard"]
    assert changes["removed"] == ["stream        name os, party vendor, role os"]
    assert changes["added"] == [
        "guarded       path /etc/x, class ignored",
        "stream        name other, party vendor, role os",
    ]
    (changed,) = changes["changed"]
    assert changed.startswith("guarded       path /etc/shadow, class mutable")
    assert changed.endswith(" -> guarded       path /etc/shadow, class ignored")
    assert changes["order"] == [
        "lines stand in another order, of which the last one about a path counts"
    ]
    same = words_of(good(host.path, "sign", "show", "--since", "later", "later"))
    assert same["since"] == ["0 lines differ from serial 7 of profile standard"]
    assert "order" not in same


NOT_PREPARED = {
    "the blob": ("new", 1, ("new: DSSE envelope: not UTF-8",)),
    "what is no policy": ("waiver", 1, ("the payload type is", "no policy's")),
    "nothing": ("nowhere", 3, ("nowhere",)),
}


@pytest.mark.parametrize("name", NOT_PREPARED)
def test_not_a_policy_document(host: Host, name: str) -> None:
    path, status, words = NOT_PREPARED[name]
    assert host.compile("new").status == 0
    envelope = json.loads((host.path / "new.json").read_bytes())
    envelope["payloadType"] = "application/vnd.verity.waiver.v1+json"
    (host.path / "waiver").write_text(json.dumps(envelope))
    before = snapshot(host.path)
    done = verity("sign", "prepare", "file", "-o", "x", "policy", path, cwd=host.path)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, words, hint="\n  hint: " in done.err)
    assert ("hint: the document is the OUT.json" in done.err) is (status == 1)
    assert snapshot(host.path) == before


@pytest.mark.parametrize("there", ["out", "out.json"])
def test_both_files_are_new_or_none_is_written(host: Host, there: str) -> None:
    good(host.path, *PREPARE, "-o", "b")
    for key in ("policy.pem", "stranger.pem"):
        good(host.path, "sign", "add", "--yes", "--key", key, "b")
    (host.path / there).write_text("mine")
    before = snapshot(host.path)
    done = verity("sign", "attach", *BOTH, "b", "out", cwd=host.path)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, (f"{there}: exists already",), hint=True)
    assert snapshot(host.path) == before


def test_no_stream_is_no_policy(host: Host) -> None:
    (host.root / "etc/verity/policy.d/50-own.toml").unlink()
    done = verity(*PREPARE, "-o", "b", cwd=host.path)
    assert (done.status, (host.path / "b").exists()) == (2, False)
    assert_clean_error(done, ("no stream, so nothing could be granted",), hint=True)
