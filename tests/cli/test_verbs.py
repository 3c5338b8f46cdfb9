# SPDX-License-Identifier: Apache-2.0
"""What every verb does when all is well: output, JSON, exit status, files."""

import base64
import os
import stat
import subprocess
from pathlib import Path

from tests.cli.program import needs_root, snapshot, stock, verity
from tests.cli.worlds import BIG, NAMES, OTHER_REF, REF, UNSIGNED_REF, World
from verity import __version__
from verity.formats import dump
from verity.formats.fsverity import digest_bytes

KEY = ("--key", "vendor.pem.pub")
CHAIN = ("--repo", "repo", "--commit", REF, *KEY)


def test_version(tmp_path: Path) -> None:
    assert verity("--version", cwd=tmp_path).out == f"verity, version {__version__}\n"


def test_help_lists_the_verbs_and_the_statuses(tmp_path: Path) -> None:
    done = verity("--help", cwd=tmp_path)
    assert done.status == 0
    assert "Exit status: 0 " in done.out
    assert done.raw_err == b""
    for verb in ("audit", "commit", "digest", "explain", "objects"):
        assert f"\n  {verb} " in done.out


def test_every_help_ends_with_an_example(tmp_path: Path) -> None:
    for command in ("audit", "commit sign"):  # the others: tests/quality/test_help.py
        done = verity(*command.split(), "--help", cwd=tmp_path)
        assert done.status == 0
        assert f"Example: verity {command} " in " ".join(done.out.split())


def test_digest_is_what_stock_fsverity_prints(bare: World) -> None:
    names = ["tree/usr/share/big", "tree/usr/share/empty", "tree/usr/bin/tool"]
    expected = stock("fsverity", "digest", *names, cwd=bare.path)
    done = verity("digest", *names, cwd=bare.path)
    assert (done.status, done.out, done.err) == (0, expected, "")


def test_digest_with_other_parameters(bare: World) -> None:
    options = ("--hash-alg=sha512", "--block-size=1024", "--salt=00ff")
    name = "tree/usr/share/big"
    expected = stock("fsverity", "digest", *options, name, cwd=bare.path)
    assert verity("digest", *options, name, cwd=bare.path).out == expected


def test_digest_as_json_has_exact_names(bare: World) -> None:
    names = [f"tree/usr/share/names/{name}" for name in NAMES]
    done = verity("digest", "--json", *names, cwd=bare.path)
    assert done.status == 0
    assert [record["path"] for record in done.of_type("file")] == names
    assert [record["digest"] for record in done.records] == [
        str(digest_bytes(name.encode())) for name in NAMES
    ]


def test_names_are_escaped_in_text(bare: World) -> None:
    names = [f"tree/usr/share/names/{name}" for name in NAMES]
    done = verity("digest", *names, cwd=bare.path)
    shown = [line.split(" ", 1)[1] for line in done.out.splitlines()]
    assert shown == [dump.printable(name.encode()) for name in names]
    assert "\x1b" not in done.out


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9 \xff"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    assert verity("digest", name, cwd=tmp_path).out.split()[1] == r"caf\xe9\x20\xff"
    done = verity("digest", "--json", name, cwd=tmp_path)
    assert [record["path_base64"] for record in done.records] == ["Y2Fm6SD/"]
    missing = verity("digest", "--json", name + b"?", cwd=tmp_path)
    assert (missing.status, missing.records[0]["path_base64"]) == (3, "Y2Fm6SD/Pw==")
    assert missing.err.startswith("verity: error: ")


def test_a_batch_reports_every_file_then_fails(bare: World) -> None:
    names = ("tree/usr/share/big", "tree/nothing", "tree/usr", "tree/usr/share/empty")
    done = verity("digest", *names, cwd=bare.path)
    assert done.status == 3
    assert [line.split()[1] for line in done.out.splitlines()] == [names[0], names[3]]
    errors = [line for line in done.err.splitlines() if line.startswith("verity: error: ")]
    assert len(errors) == 2
    assert "tree/nothing" in errors[0]
    assert "tree/usr is a directory" in errors[1]
    as_json = verity("digest", "--json", *names, cwd=bare.path)
    assert as_json.status == 3
    assert [record["type"] for record in as_json.records] == ["file", "error", "error", "file"]
    assert as_json.records[2]["code"] == "not-a-regular-file"


def test_enable_and_measure_without_fs_verity(tmp_path: Path) -> None:
    name = "/proc/self/status"  # a regular file that has no fs-verity on any kernel
    for verb in ("enable", "measure"):
        done = verity(verb, "--json", name, cwd=tmp_path)
        assert done.status == 3, done.err
        assert [record["type"] for record in done.records] == ["error"]
        assert done.records[0]["path"] == name
        assert done.records[0]["hint"]
        assert name in done.err
        assert "Traceback" not in done.err


def test_key_generate(tmp_path: Path) -> None:
    done = verity("key", "generate", "k.pem", cwd=tmp_path)
    assert done.status == 0
    assert sorted(os.listdir(tmp_path)) == ["k.pem", "k.pem.pub"]
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k.pem.pub").stat().st_mode) == 0o644
    der = subprocess.run(
        ["openssl", "pkey", "-in", "k.pem", "-pubout", "-outform", "DER"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "der").write_bytes(der)
    key_id = stock("sha256sum", "der", cwd=tmp_path).split()[0]
    assert done.out == (
        f"key id     {key_id}\nalgorithm  ecdsa-p256\n"
        f"spki       sha256//{base64.b64encode(bytes.fromhex(key_id)).decode()}\n"
        "private    k.pem\npublic     k.pem.pub\n"
    )
    for name in ("k.pem", "k.pem.pub"):
        shown = verity("key", "show", "--json", name, cwd=tmp_path)
        assert shown.status == 0
        assert shown.records[0]["key_id"] == key_id
        assert shown.records[0]["public_key"] == (tmp_path / "k.pem.pub").read_text()
        assert "PRIVATE" not in shown.out
    assert f"key id     {key_id}\n" in verity("key", "show", "k.pem", cwd=tmp_path).out
    again = verity("key", "generate", "--json", "second.pem", cwd=tmp_path)
    assert again.records[0]["private_file"] == "second.pem"
    assert again.records[0]["key_id"] != key_id


def test_commit_sign_says_what_it_signed(world: World) -> None:
    done = verity(
        *("commit", "sign", "--repo", "repo", "--key", "file:vendor.pem"),
        *("--stream", "sid", "--serial", "9", "--days", "30", "--json", UNSIGNED_REF),
        cwd=world.path,
    )
    assert done.status == 0
    (record,) = done.records
    assert record["type"] == "signed"
    assert record["checksum"] == world.checksum(UNSIGNED_REF)
    assert (record["code"], record["elevate"], record["gpg"]) == (3, 1, False)
    counted = f"{record['files']} files, {record['objects']} objects"
    verified = verity("commit", "verify", "--repo", "repo", *KEY, UNSIGNED_REF, cwd=world.path)
    signed = f"as signed in the stream sid, serial 9, by key {record['key_id']}"
    assert verified.out == f"good: {UNSIGNED_REF} is {signed} ({counted})\n"
    text = verity(
        *("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--replace"),
        *("--stream", "sid", "--serial", "10", UNSIGNED_REF),
        cwd=world.path,
    )
    assert text.out.splitlines()[0] == f"signed    commit {world.checksum(UNSIGNED_REF)}"
    assert "as        stream sid serial 10, for 365 days" in text.out
    assert not list((world.repo / "tmp").glob("verity-*"))


def test_commit_verify_in_every_mode(any_world: World) -> None:
    before = snapshot(any_world.path)
    for revision in (REF, any_world.checksum()):
        done = verity("commit", "verify", "--repo", "repo", *KEY, revision, cwd=any_world.path)
        assert done.out.startswith(f"good: {revision} is as signed in the stream os, serial ")
        assert (done.status, done.err) == (0, "")
    as_json = verity("commit", "verify", "--repo", "repo", *KEY, "--json", REF, cwd=any_world.path)
    statement, note, summary = as_json.records
    assert note["text"] == "no floor was compared: no host's state is here"
    (signer,) = statement["signers"]
    said = (statement["type"], statement["stream"], statement["serial"], signer["owner"])
    assert said == ("statement", "os", 1, signer["key_id"])
    assert (summary["findings"], summary["not_evaluated"], summary["exit_status"]) == (0, 0, 0)
    assert snapshot(any_world.path) == before


def test_the_manifest_is_the_same_in_every_mode(any_world: World, bare: World) -> None:
    def sha256(world: World) -> str:
        done = verity("commit", "show", "--repo", "repo", "--json", REF, cwd=world.path)
        found: str = done.records[0]["statements"][0]["subjects"]["manifest"]
        return found

    assert sha256(any_world) == sha256(bare)


def test_commit_show_says_that_it_verifies_nothing(bare: World) -> None:
    done = verity("commit", "show", "--repo", "repo", REF, cwd=bare.path)
    assert done.status == 0
    assert done.out.startswith(f"commit    {bare.checksum()}\n")
    assert "statement os stream os serial 1 " in done.out
    assert done.out.count("(unverified)") == 2
    assert "attached  vendor.note (" in done.out
    (record,) = verity("commit", "show", "--repo", "repo", "--json", REF, cwd=bare.path).records
    assert record["verified"] is False
    assert record["statements"][0]["serial"] == 1
    unsigned = verity("commit", "show", "--repo", "repo", UNSIGNED_REF, cwd=bare.path)
    assert (unsigned.status, unsigned.out.splitlines()[-1]) == (0, "statement none")


@needs_root
def test_manifest_of_a_tree_and_of_its_commit_are_equal(bare: World, tmp_path: Path) -> None:
    of_tree = verity("manifest", "make", bare.path / "tree", cwd=tmp_path)
    options = ("--repo", bare.repo, "--output", "commit.manifest")
    of_commit = verity("manifest", "make", *options, REF, cwd=tmp_path)
    assert (of_tree.status, of_commit.status, of_commit.raw_out) == (0, 0, b"")
    assert os.listdir(tmp_path) == ["commit.manifest"]
    assert (tmp_path / "commit.manifest").read_bytes() == of_tree.raw_out
    paths = [entry.path for entry in dump.parse(of_tree.raw_out)]
    assert {f"/usr/share/names/{name}".encode() for name in NAMES} <= set(paths)


def test_manifest_show_and_diff(bare: World, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    stock("cp", "-a", bare.path / "tree", tree, cwd=tmp_path)
    verity("manifest", "make", "--output", "old", "tree", cwd=tmp_path)
    (tree / "usr/share/empty").write_bytes(b"no longer")
    (tree / "usr/bin/script").chmod(0o700)
    (tree / "usr/bin/sudo").unlink()
    (tree / "usr/new").symlink_to("nowhere")
    verity("manifest", "make", "--output", "new", "tree", cwd=tmp_path)
    shown = verity("manifest", "show", "old", cwd=tmp_path)
    assert shown.status == 0
    digest = stock("sha256sum", "old", cwd=tmp_path).split()[0]
    assert shown.out.splitlines()[0] == f"sha256:{digest}"
    (record,) = verity("manifest", "show", "--json", "old", cwd=tmp_path).records
    assert (record["files"], record["directories"], record["symlinks"]) == (6 + len(NAMES), 5, 1)
    assert record["size"] >= 2 * len(BIG)
    done = verity("manifest", "diff", "old", "new", cwd=tmp_path)
    assert done.status == 1
    assert [line.split()[1:3] for line in done.out.splitlines() if line.startswith("FINDING")] == [
        ["changed", "/usr/bin/script:"],
        ["removed", "/usr/bin/sudo:"],
        ["added", "/usr/new:"],
        ["changed", "/usr/share/empty:"],
    ]
    as_json = verity("manifest", "diff", "--json", "old", "new", cwd=tmp_path)
    assert [record["check"] for record in as_json.of_type("finding")] == [
        "changed",
        "removed",
        "added",
        "changed",
    ]
    stock("cp", "old", "same", cwd=tmp_path)
    same = verity("manifest", "diff", "old", "same", cwd=tmp_path)
    assert (same.status, same.out) == (0, "no difference\n")


def test_audit_finds_exactly_what_was_changed(world: World) -> None:
    tree = world.path / "tree"
    (tree / "usr/share/big").write_bytes(BIG[:-1] + b"!")
    (tree / "usr/bin/script").chmod(0o777)
    evil = tree / "usr/bin/evil"
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o4755)
    done = verity("audit", "--root", "tree", *CHAIN, "--json", cwd=world.path)
    assert done.status == 1
    found = {record["object"]: record for record in done.of_type("finding")}
    assert found["/usr/share/big"]["check"] == "content"
    assert "mode 0777" in found["/usr/bin/script"]["found"]
    assert found["/usr/bin/evil"]["check"] == "unsigned-privileged"
    rest = {record["check"] for name, record in found.items() if name.endswith(("big", "evil"))}
    assert rest == {"content", "unsigned-privileged"}
    # This tree is a copy without fs-verity, which is a finding for every other file.
    assert found["/usr/bin/script"]["check"] == "mode"
    others = set(found) - {"/usr/share/big", "/usr/bin/evil", "/usr/bin/script"}
    assert {found[name]["check"] for name in others} == {"no-verity"}
    assert len(others) == 4 + len(NAMES)
    text = verity("audit", "--root", "tree", *CHAIN, "--all", cwd=world.path)
    assert text.status == 1
    assert "CRITICAL unsigned-privileged: 1 finding" in text.out
    assert "\n  /usr/bin/evil: not signed, and set-uid 0\n" in text.out
    assert text.out.count("    breaks   the link ") == len(found)
    counted, state = text.out.splitlines()[-2:]
    assert counted.startswith(f"{len(found)} findings (")
    assert state == f"state: differs ({len(found)} findings)"


def test_explain_prints_the_chain(bare: World) -> None:
    done = verity("explain", "--root", "tree", *CHAIN, "/usr/bin/sudo", cwd=bare.path)
    # 3 where the kernel can't be asked, 1 where it could and fs-verity is off.
    assert done.status in (1, 3)
    links = [line.split()[0] for line in done.out.splitlines()[1:] if not line.startswith(" ")]
    assert links == [
        *("key", "signature", "statement", "manifest", "grants"),
        *("digest", "file", "object"),
    ]
    assert "may raise privileges: set bits 4000 uid 0" in done.out
    as_json = verity("explain", "--root", "tree", *CHAIN, "--json", "/usr/bin/sudo", cwd=bare.path)
    assert as_json.status == done.status
    holds = {record["link"]: record["holds"] for record in as_json.of_type("link")}
    assert holds.pop("digest") is not True
    assert set(holds.values()) == {True}


def test_explain_a_symlink_holds_without_fs_verity(bare: World) -> None:
    done = verity("explain", "--root", "tree", *CHAIN, "/usr/share/link", cwd=bare.path)
    assert (done.status, done.err) == (0, "")


def test_objects_where_the_kernel_cannot(bare: World) -> None:
    for verb in ("enable", "check"):
        done = verity("objects", verb, "--repo", "repo", *KEY, "--json", REF, cwd=bare.path)
        note, *records = done.records
        assert note["type"] == "note"
        kinds = {record["type"] for record in records}
        assert done.status == done.records[-1]["exit_status"]
        assert done.status in (1, 3), done.out
        assert kinds <= {"finding", "not-evaluated", "summary"}
        objects = done.records[-1]["counts"]["objects"]
        assert len(records) == objects + 1
        for record in records[:-1]:
            assert "repo/objects/" in record["object"]
            assert record.get("hint") or record.get("remedy")


def test_doctor(tmp_path: Path) -> None:
    done = verity("doctor", "--try", ".", "--json", cwd=tmp_path)
    found = {record["name"]: record for record in done.of_type("ability")}
    assert {"kernel", "fs-verity", "fs-verity in .", "BPF LSM", "assurance level"} <= set(found)
    assert {record["answer"] for record in found.values()} <= {"yes", "no", "unknown"}
    assert done.status == (0 if found["fs-verity in ."]["answer"] == "yes" else 3)
    assert os.listdir(tmp_path) == []
    text = verity("doctor", cwd=tmp_path)
    assert text.status in (0, 3)
    assert text.out.startswith("yes      kernel: Linux ")
    assert text.err == ""


def test_two_commits_are_signed_apart(bare: World) -> None:
    one, other = bare.detached(), bare.detached(OTHER_REF)
    assert one.get_bytes("verity.manifest") == other.get_bytes("verity.manifest")
    assert one.get_byte_arrays("verity.statement") != other.get_byte_arrays("verity.statement")
