# SPDX-License-Identifier: Apache-2.0
"""`commit sign --reuse`: the same documents, and what it does not read."""

import pytest

from tests.cli.program import Done, assert_clean_error, snapshot, stock, verity
from tests.cli.spoil import REPO, VERIFY, replace_object
from tests.cli.worlds import REF, UNSIGNED_REF, World
from verity.formats.grants import parse
from verity.verbs import signed

SIGN = ("commit", "sign", *REPO, "--stream", "os", "--serial", "auto", "--key", "vendor.pem")


def sign(world: World, *options: str, ref: str = UNSIGNED_REF) -> Done:
    return verity(*SIGN, *options, "--json", ref, cwd=world.path)


def good(done: Done) -> None:
    assert (done.status, done.err) == (0, ""), done


def test_it_gives_what_reading_everything_gives(world: World) -> None:
    """A file is changed, one is new, one has another name, one other rights, one other owners."""
    tree = world.path / "tree/usr"
    (tree / "share/empty").write_bytes(b"not any more")
    (tree / "share/new").write_bytes(b"new")
    (tree / "share/copy").rename(tree / "share/driver.ko")
    (tree / "share/names/-").chmod(0o4711)
    (tree / "bin/script").rename(tree / "bin/moved")
    stock("ostree", "--repo=repo", "commit", "-b", UNSIGNED_REF, "tree", cwd=world.path)
    good(sign(world))
    read = world.detached(UNSIGNED_REF)
    good(sign(world, "--replace", "--reuse", REF))
    reused = world.detached(UNSIGNED_REF)
    assert signed.manifest_bytes(reused, "it") == signed.manifest_bytes(read, "it")
    one, other = (parse(each.get_bytes(signed.GRANTS) or b"") for each in (read, reused))
    assert (one.code, one.elevate) == (other.code, other.elevate)
    assert len(one.code) == 4  # the module, too, whose contents are not read
    good(verity("commit", "verify", *REPO, "--reproduce", UNSIGNED_REF, cwd=world.path))
    good(verity(*VERIFY, UNSIGNED_REF, cwd=world.path))


def test_data_is_not_read_again_and_code_is(world: World) -> None:
    replace_object("/usr/share/big")(world)
    assert sign(world).status == 1
    good(sign(world, "--reuse", REF))
    found = verity(*VERIFY, "--json", UNSIGNED_REF, cwd=world.path).of_type("finding")
    assert {record["check"] for record in found} == {"damaged-object"}
    replace_object("/usr/bin/tool")(world)
    done = sign(world, "--replace", "--reuse", REF)
    assert done.status == 1
    assert_clean_error(done, ("/usr/bin/tool: ", "its checksum is"), hint=True)


def test_only_what_the_same_key_signed(world: World) -> None:
    before = snapshot(world.path)
    args = ("--key", "other.pem", "--reuse", REF)
    done = verity(*SIGN[:-2], *args, UNSIGNED_REF, cwd=world.path)
    assert done.status == 1
    assert_clean_error(done, ("signed by 0 of the trusted owners",), hint=True)
    assert snapshot(world.path) == before


@pytest.mark.parametrize(
    ("revision", "status", "words"),
    [(UNSIGNED_REF, 1, "no verity statement"), ("nothing", 3, "there is no ref nothing")],
)
def test_what_cannot_be_reused(world: World, revision: str, status: int, words: str) -> None:
    done = sign(world, "--reuse", revision)
    assert done.status == status
    assert words in done.err
