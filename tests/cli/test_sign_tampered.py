# SPDX-License-Identifier: Apache-2.0
"""A bundle that somebody changed on its way: refused by the next signer who can see it, and by
attach always."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.cli.program import Done, assert_clean_error, snapshot, verity
from tests.cli.worlds import UNSIGNED_REF, World
from verity.formats import grants, pkcs7, sign_bundle, statement
from verity.formats.grants import Code, Grants
from verity.formats.sign_bundle import Bundle, Signature
from verity.formats.sign_payloads import TreeSaid, read
from verity.ports import keystore
from verity.values.errors import HostError
from verity.verbs import sign_add, sign_bundles

KEYS = ("--key", "vendor.pem.pub", "--key", "other.pem.pub")


def said(bundle: Bundle) -> TreeSaid:
    found = read(bundle)
    assert isinstance(found, TreeSaid)
    return found


def regranted(bundle: Bundle, change: Callable[[Grants], Grants]) -> Bundle:
    """Other grants, and a statement that names them: the payloads agree again."""
    before = said(bundle)
    blob = grants.encode(change(before.grants))
    subjects = {**before.statement.subjects, "grants": hashlib.sha256(blob).digest()}
    payload = statement.encode(replace(before.statement, subjects=subjects))
    return replace(bundle, blob=blob, payload=payload)


def later(bundle: Bundle) -> Bundle:
    """The same for another ten years, altogether consistent."""
    much = 10 * 365 * 86400
    changed = regranted(bundle, lambda found: replace(found, expires=found.expires + much))
    statement_of = statement.parse(changed.payload or b"")
    moved = replace(statement_of, expires=statement_of.expires + much)
    return replace(changed, payload=statement.encode(moved))


def without_signatures(bundle: Bundle) -> Bundle:
    return replace(bundle, signatures=())


def with_every_file_a_library(bundle: Bundle) -> Bundle:
    """What a manifest alone doesn't disprove: data that is granted as a library."""
    digests = {entry.digest for entry in said(bundle).entries if entry.digest is not None}

    def change(found: Grants) -> Grants:
        flags = {entry.digest: entry.flags for entry in found.code}
        every = {digest: flags.get(digest, Code.LIBRARY) | Code.LIBRARY for digest in digests}
        return replace(found, code=grants.sorted_code(every))

    return regranted(bundle, change)


def with_an_unknown_digest(bundle: Bundle) -> Bundle:
    def change(found: Grants) -> Grants:
        flags = {entry.digest: entry.flags for entry in found.code}
        return replace(found, code=grants.sorted_code({**flags, bytes(32): Code.EXEC}))

    return regranted(bundle, change)


def with_another_commit(bundle: Bundle) -> Bundle:
    return replace(bundle, commit=(bundle.commit or b"").replace(b"unsigned", b"Unsigned"))


def with_a_flipped_signature(bundle: Bundle) -> Bundle:
    one = bundle.signatures[0]
    changed = bytearray(one.pkcs7 or b"")
    changed[-1] ^= 1
    return replace(bundle, signatures=(replace(one, pkcs7=bytes(changed)),))


def with_a_swapped_signature(bundle: Bundle) -> Bundle:
    """The signature over the blob in place of the one over the statement."""
    one = bundle.signatures[0]
    return replace(bundle, signatures=(replace(one, pae=pkcs7.parse(one.pkcs7 or b"").value),))


@dataclass(frozen=True)
class Row:
    """How it was changed, after one key signed; what the next signer says, what attach says."""

    change: Callable[[Bundle], Bundle]
    add: str | None
    attach: str


TAMPERED = {
    "valid for longer": Row(later, "is not over these payloads", "is not over these payloads"),
    "valid for longer, without the signature": Row(
        lambda bundle: without_signatures(later(bundle)), None, "0 of 1 owners have signed"
    ),
    "grants of an unknown digest": Row(
        with_an_unknown_digest, "which no file of the manifest has", "which no file of the"
    ),
    "grants of an unknown digest, not signed yet": Row(
        lambda bundle: without_signatures(with_an_unknown_digest(bundle)),
        "which no file of the manifest has",
        "which no file of the manifest has",
    ),
    "another commit object": Row(
        with_another_commit, "the SHA-256 of the commit is", "the SHA-256 of the commit is"
    ),
    "a flipped bit in a signature": Row(
        with_a_flipped_signature, "is not over these payloads", "is not over these payloads"
    ),
    "one signature in place of the other": Row(
        with_a_swapped_signature, "is not over these payloads", "is not over these payloads"
    ),
}


def edit(path: Path, change: Callable[[Bundle], Bundle]) -> None:
    path.write_bytes(sign_bundle.encode(change(sign_bundle.parse(path.read_bytes()))))


def prepare(world: World, *signers: str) -> None:
    args = ("sign", "prepare", "commit", "--repo", "repo", "--stream", "os", "--serial", "3")
    assert verity(*args, "-o", "b", UNSIGNED_REF, cwd=world.path).status == 0
    for name in signers:
        assert add(world, name).status == 0


def add(world: World, name: str) -> Done:
    return verity("sign", "add", "--yes", "--key", f"{name}.pem", "b", cwd=world.path)


def attach(world: World, *args: str, threshold: int = 1) -> Done:
    return verity(
        *("sign", "attach", *KEYS, "--threshold", str(threshold), "--repo", "repo", *args, "b"),
        cwd=world.path,
    )


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered(name: str, world: World) -> None:
    row = TAMPERED[name]
    prepare(world, "vendor")
    edit(world.path / "b", row.change)
    before = snapshot(world.path)
    done = attach(world)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (row.attach,), hint=True)
    shown = add(world, "other")
    if row.add is None:
        # Nothing is wrong with it but that it is another one: the signer sees what it says.
        assert shown.status == 0
        return
    assert (shown.status, shown.out) == (1, "")
    assert_clean_error(shown, (row.add,), hint=True)
    assert snapshot(world.path) == before


def test_grants_that_only_the_files_disprove(world: World) -> None:
    prepare(world)
    edit(world.path / "b", with_every_file_a_library)
    assert add(world, "vendor").status == 0  # a signer has no files
    assert add(world, "other").status == 0
    before = snapshot(world.path)
    done = attach(world, threshold=2)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("grants are not what the files of the tree earn",), hint=True)
    assert snapshot(world.path) == before


def test_a_statement_in_another_spelling(world: World) -> None:
    """It says the same, and isn't what the commit gives: byte for byte is what is asked."""

    def with_a_space(bundle: Bundle) -> Bundle:
        return replace(bundle, payload=(bundle.payload or b"").replace(b":", b": ", 1))

    prepare(world)
    edit(world.path / "b", with_a_space)
    assert add(world, "vendor").status == 0
    done = attach(world)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("its statement or commit is not what the tree gives",), hint=False)


def test_a_commit_that_lost_an_object_since(world: World) -> None:
    prepare(world, "vendor")
    world.content("/usr/share/big").unlink()
    done = attach(world)
    assert done.status == 3
    assert_clean_error(done, ("/usr/share/big", "no such object"), hint=True)


def test_a_commit_that_was_signed_since(world: World) -> None:
    prepare(world, "vendor")
    sign = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--stream", "os")
    assert verity(*sign, "--serial", "4", UNSIGNED_REF, cwd=world.path).status == 0
    done = attach(world)
    assert done.status == 2
    assert_clean_error(done, ("has a verity statement already",), hint=True)
    assert attach(world, "--replace").status == 0


def test_a_signature_by_a_key_that_is_not_its_own(world: World) -> None:
    """The public key of one and the signature of another."""
    prepare(world, "vendor")
    other = keystore.load_public(world.path / "other.pem.pub")

    def swap(bundle: Bundle) -> Bundle:
        one = bundle.signatures[0]
        return replace(
            bundle, signatures=(Signature(public=other.spki, pae=one.pae, pkcs7=one.pkcs7),)
        )

    edit(world.path / "b", swap)
    done = attach(world)
    assert done.status == 1
    assert_clean_error(done, (other.key_id, "is not over these payloads"), hint=True)


def test_somebody_signed_meanwhile(world: World) -> None:
    """Two signers with one file: the second is told, and no signature is lost."""
    prepare(world)
    mine = sign_bundles.load(world.path / "b")
    assert add(world, "vendor").status == 0
    theirs = (world.path / "b").read_bytes()
    key = keystore.load_signer(str(world.path / "other.pem"))
    with pytest.raises(HostError, match="changed by somebody else"):
        mine.replace(sign_add.add(mine.opened, key))
    assert (world.path / "b").read_bytes() == theirs
