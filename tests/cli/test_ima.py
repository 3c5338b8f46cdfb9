# SPDX-License-Identifier: Apache-2.0
"""lockdown ima and fanotify where a kernel can't: what is printed, refused, and left behind.

What they do in a kernel that can is in tests/vm/test_backends.py.
"""

from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import Done, assert_clean_error, snapshot, verity
from verity.formats import ima


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A tree, its manifest and grants, and a key."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/tool").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "tree/tool").chmod(0o755)
    (tmp_path / "tree/data").write_bytes(b"data\n")
    for command in (
        "key generate key.pem",
        "key generate other.pem",
        "extension sign --key key.pem --stream tools --serial 1 --tree tree out",
    ):
        done = verity(*command.split(), cwd=tmp_path)
        assert done.status == 0, done.err
    return tmp_path


def sign(cwd: Path, **changes: str) -> Done:
    options = {"key": "key.pem", "manifest": "out/manifest", "grants": "out/grants", **changes}
    named = [word for name, value in options.items() for word in (f"--{name}", value)]
    return verity("lockdown", "ima", "sign", *named, "tree", "--json", cwd=cwd)


def test_the_policy(tmp_path: Path) -> None:
    done = verity("lockdown", "ima", "policy", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, ima.policy(), "")
    write = ("lockdown", "ima", "policy", "--output", "out")
    assert verity(*write, cwd=tmp_path).status == 0
    assert (tmp_path / "out").read_text() == ima.policy()
    again = verity(*write, cwd=tmp_path)
    assert again.status == 3
    assert_clean_error(again, ("out: exists already",), hint=True)


def test_a_file_without_verity_is_not_signed(signed: Path) -> None:
    before = snapshot(signed)
    done = sign(signed)
    (error,) = done.records
    # Which of the two depends on the file system that the tests run on.
    assert error["code"] in ("no-verity", "no-verity-feature", "no-verity-filesystem")
    assert "/tool" in error["message"] and done.status == 3
    assert "1 files: 0 signed, 0 already, 1 failed" in done.err
    assert snapshot(signed) == before


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"grants": "out/manifest"}, 1, "out/manifest: "),
        ({"manifest": "out/grants"}, 1, "manifest"),
        ({"manifest": "nothing"}, 3, "nothing: does not exist"),
        ({"key": "nothing"}, 3, "nothing"),
    ],
)
def test_wrong_inputs(signed: Path, changes: dict[str, str], status: int, words: str) -> None:
    done = sign(signed, **changes)
    assert done.status == status
    assert words in done.err.splitlines()[0]


def test_grants_of_something_else(signed: Path) -> None:
    (signed / "tree/tool").write_bytes(b"#!/bin/sh\n# another\n")
    made = verity("manifest", "make", "tree", "--output", "another", cwd=signed)
    assert made.status == 0, made.err
    done = sign(signed, manifest="another")
    assert done.status == 1
    assert "out/grants: grants none of the files of another" in done.err


def backend(host: Host, name: str) -> dict[str, object]:
    (record,) = host.verity("lockdown", "status", "--json").of_type("lockdown")
    (found,) = (one for one in record["backends"] if one["name"] == name)
    return dict(found)


def test_what_the_kernel_shows_of_ima(host: Host) -> None:
    everything = list(range(1, 28))
    found = backend(host, "ima")
    assert (found["available"], found["attacks"]) == (False, {"unknown": everything})
    host.put("sys/kernel/security/lsm", "capability,bpf\n")
    found = backend(host, "ima")
    assert (found["available"], found["detail"]) == (False, "IMA is not active in this kernel")
    host.put("sys/kernel/security/lsm", "capability,bpf,ima\n")
    host.put("sys/kernel/security/ima/policy", "")
    found = backend(host, "ima")
    assert (found["available"], found["detail"]) == (True, "no policy is loaded")
    assert found["attacks"] == {"not-covered": everything}
    (host.root / "sys/kernel/security/ima/policy").unlink()
    assert backend(host, "ima")["attacks"] == {"unknown": everything}


def test_no_observer_runs(host: Host) -> None:
    assert backend(host, "fanotify")["detail"] == "no observer runs"
    host.put("run/verity/fanotify.lock", "")
    assert backend(host, "fanotify")["detail"] == "no observer runs"  # it died, and left its lock


def test_an_observer_needs_its_bundle(tmp_path: Path) -> None:
    done = verity("lockdown", "fanotify", "--bundle", "nothing", cwd=tmp_path)
    assert done.status == 3
    assert_clean_error(done, ("nothing: does not exist",), hint=True)
    one = verity("lockdown", "fanotify", "--pin", "user.pin", cwd=tmp_path)
    assert one.status == 2
    assert "1 pins, expected the vendor's and the user's" in one.err
