# SPDX-License-Identifier: Apache-2.0
"""Broken links of the chain: each row a name, the finding, its link; nothing is repaired."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.cli.program import snapshot, verity
from tests.cli.spoil import (
    AUDIT,
    EXPLAIN,
    REPO,
    SIGN,
    VERIFY,
    both,
    change_detached,
    flip_grants,
    flip_manifest,
    flip_packed_manifest,
    flip_pkcs7,
    flip_statement,
    flip_template,
    grow_manifest,
    link_object,
    nothing,
    remove_object,
    remove_root_dirtree,
    replace_object,
    spoil_envelope,
    swap_detached,
    swap_grants,
    truncate_object,
)
from tests.cli.worlds import REF, UNSIGNED_REF, World
from verity.verbs import signed


@dataclass(frozen=True)
class Finds:
    """A `commit verify` that ends in findings on stdout: (check, link, words of the first line)."""

    check: str
    link: str
    words: tuple[str, ...]
    spoil: Callable[[World], object] = nothing
    args: tuple[str, ...] = (*VERIFY, REF)
    mode: str = "bare"


FINDS = {
    "unsigned-commit": Finds(
        "not-signed", "statement", ("no verity statement",), args=(*VERIFY, UNSIGNED_REF)
    ),
    "signature-by-another-key": Finds(
        "bad-signature",
        "signature",
        ("statement: signed by 0 of the trusted owners, 1 needed",),
        args=("commit", "verify", *REPO, "--key", "other.pem.pub", REF),
    ),
    "manifest-of-another-commit": Finds(
        "wrong-commit", "commit", ("it is about commit",), swap_detached
    ),
    "expired-statement": Finds(
        "expired", "statement", ("the statement has expired",), World.expire
    ),
    "flipped-byte-in-the-manifest": Finds(
        "wrong-manifest",
        "manifest",
        ("manifest: SHA-256", "the signed statement names"),
        change_detached(flip_manifest),
    ),
    "flipped-byte-in-the-packed-manifest": Finds(
        "bad-manifest",
        "manifest",
        ("zlib stream is damaged",),
        change_detached(flip_packed_manifest),
    ),
    "manifest-that-claims-a-terabyte": Finds(
        "bad-manifest", "manifest", ("at most",), change_detached(grow_manifest)
    ),
    "flipped-byte-in-the-grants": Finds(
        "wrong-grants", "grants", ("grants: SHA-256",), change_detached(flip_grants)
    ),
    "grants-of-another-commit": Finds("wrong-grants", "grants", ("grants: SHA-256",), swap_grants),
    "flipped-byte-in-the-pkcs7": Finds(
        "bad-signature",
        "signature",
        ("grants: signed by 0 of the trusted owners",),
        change_detached(flip_pkcs7),
    ),
    "pkcs7-of-another-shape": Finds(
        "bad-signature",
        "signature",
        ("not the one PKCS#7 template",),
        change_detached(flip_template),
    ),
    "flipped-byte-in-the-statement": Finds(
        "bad-document", "statement", ("statement: not JSON",), change_detached(flip_statement)
    ),
    "envelope-that-is-no-json": Finds(
        "bad-document", "statement", (), change_detached(spoil_envelope)
    ),
    "no-grants": Finds(
        "not-signed",
        "statement",
        ("no verity.grants in its detached metadata",),
        change_detached(lambda metadata: metadata.without(signed.GRANTS)),
    ),
    "replaced-object": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "its checksum is"),
        replace_object("/usr/share/big"),
    ),
    "replaced-object-bare-user": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "its checksum is"),
        replace_object("/usr/share/big"),
        mode="bare-user",
    ),
    "replaced-object-archive": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/tool: ",),
        replace_object("/usr/bin/tool"),
        mode="archive",
    ),
    "truncated-object": Finds(
        "damaged-object", "object", ("/usr/share/big: ",), truncate_object("/usr/share/big")
    ),
    "truncated-object-archive": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "cut off"),
        truncate_object("/usr/share/big"),
        mode="archive",
    ),
    "symlink-for-an-object": Finds("damaged-object", "object", (), link_object),
    "object-with-another-mode": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/sudo: ",),
        lambda world: world.content("/usr/bin/sudo").chmod(0o755),
    ),
    # A missing object can't be checked (3), but any finding wins.
    "missing-object-beside-a-replaced-one": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/tool: ",),
        both(remove_object("/usr/share/big"), replace_object("/usr/bin/tool")),
    ),
    "missing-object-of-a-flipped-grants": Finds(
        "wrong-grants",
        "grants",
        (),
        both(remove_object("/usr/share/big"), change_detached(flip_grants)),
    ),
}


def spoilt(copied: Callable[[str], World], mode: str, spoil: Callable[[World], object]) -> World:
    world = copied(mode)
    spoil(world)
    return world


@pytest.mark.parametrize("name", FINDS)
def test_found(name: str, copied: Callable[[str], World]) -> None:
    row = FINDS[name]
    world = spoilt(copied, row.mode, row.spoil)
    before = snapshot(world.path)
    done = verity(*row.args, "--json", cwd=world.path)
    assert (done.status, done.err) == (1, ""), done
    found = [record for record in done.of_type("finding") if record["check"] == row.check]
    assert found, done.out
    first = found[0]
    assert first["link"] == row.link
    assert first["object"]
    for word in row.words:
        assert word in f"{first['object']}: {first['problem']}"
    assert done.records[-1]["exit_status"] == 1
    assert snapshot(world.path) == before


@pytest.mark.parametrize("name", ["manifest-of-another-commit", "replaced-object"])
def test_found_in_text(name: str, copied: Callable[[str], World]) -> None:
    row = FINDS[name]
    done = verity(*row.args, cwd=spoilt(copied, row.mode, row.spoil).path)
    assert (done.status, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"FINDING  {row.check}  ")
    assert lines[1] == f"         link of the chain: {row.link}"
    assert lines[2].startswith("         remedy:  ")


@pytest.mark.parametrize(
    ("path", "copies"),
    [("/usr/bin/tool", 1), ("/usr/share/big", 2)],
    ids=["used-once", "used-twice"],
)
def test_a_missing_object_could_not_be_checked(world: World, path: str, copies: int) -> None:
    remove_object(path)(world)
    done = verity(*VERIFY, "--json", REF, cwd=world.path)
    # However often the commit uses it, nothing says that the manifest is wrong.
    assert done.of_type("finding") == []
    assert (done.status, done.err) == (3, "")
    gaps = done.of_type("not-evaluated")
    assert {gap["check"] for gap in gaps} == {"no-such-object"}
    assert 1 <= len(gaps) <= copies
    assert path in [gap["object"] for gap in gaps] or copies > 1
    assert gaps[0]["hint"]


def test_a_missing_dirtree_could_not_be_checked(world: World) -> None:
    remove_root_dirtree(world)
    done = verity(*VERIFY, REF, cwd=world.path)
    assert (done.status, done.err) == (3, "")
    assert done.out.startswith("NOT EVALUATED  no-such-object  ")


def test_audit_reports_that_the_statement_has_expired(world: World) -> None:
    world.expire()
    done = verity(*AUDIT, "--json", cwd=world.path)
    assert done.status == 1
    assert "expired" in {record["check"] for record in done.of_type("finding")}


def test_explain_reports_that_the_statement_has_expired(world: World) -> None:
    world.expire()
    done = verity(*EXPLAIN, "/usr/share/link", cwd=world.path)
    assert done.status == 1
    assert "statement  BROKEN   what was signed, and until when" in done.out


def test_explain_what_nobody_signed(bare: World) -> None:
    done = verity(*EXPLAIN, "/usr/bin/evil", cwd=bare.path)
    assert done.status == 1
    assert "manifest   BROKEN   the manifest's line for this path" in done.out


def test_explain_names_the_broken_link(world: World) -> None:
    swap_detached(world)
    done = verity(*EXPLAIN, "/usr/bin/tool", cwd=world.path)
    assert done.status == 1
    assert done.out.splitlines()[1].startswith("commit     BROKEN ")


def test_replace_replaces_ours_and_keeps_the_rest(world: World) -> None:
    before = dict(world.detached().entries)
    done = verity(*SIGN, "--key", "other.pem", "--replace", REF, cwd=world.path)
    assert done.status == 0
    after = dict(world.detached().entries)
    assert list(after) == list(before)
    assert {name for name in after if after[name] != before[name]} == {
        signed.STATEMENT,
        signed.GRANTS,
        signed.GRANTS_SIGNATURES,
    }
    assert verity(*VERIFY, REF, cwd=world.path).status == 1
    assert verity("commit", "verify", *REPO, "--key=other.pem.pub", REF, cwd=world.path).status == 0
