# SPDX-License-Identifier: Apache-2.0
"""A repair of a host whose /etc is signed by its owner: that one is brought back by their keys."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import verity
from tests.cli.test_repair import TREE
from tests.cli.worlds import REF, World
from tests.etc_world import State, make_first, state_of
from verity.formats.grants import Party, Role
from verity.ports import keystore, places
from verity.ports.ostree_repo import Repository
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError
from verity.verbs import repair as verb
from verity.verbs import repair_etc, signed
from verity.verbs.etc_apply import Applied
from verity.verbs.etc_intent import Host


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A tree of a commit with a signed /etc in it, and what that is like."""

    world: World
    etc: Path
    state: State

    def trusted(self, role: Role, party: Party) -> TrustedSet:
        name = "vendor" if party is Party.VENDOR else "other"
        key = keystore.load_signer(str(self.world.path / f"{name}.pem")).public
        return TrustedSet.of_keys([key], party=party, role=role)

    def repair(self, *, dry_run: bool = False) -> Applied:
        """What the command does with the keyring's role etc."""
        root = self.world.path / "tree"
        with Repository(self.world.repo) as repository:
            commit = signed.load(repository, REF, self.trusted(Role.OS, Party.VENDOR))
            asked = verb.Asked(root=root, commit=commit, etc_is_signed=True)
            contents = verb.look(asked, repository).contents
            trusted = self.trusted(Role.ETC, Party.USER)
            return repair_etc.repair(Host.at(root, None), trusted, contents, dry_run=dry_run)


@pytest.fixture
def host(world: World) -> Iterator[Signed]:
    etc = world.path / "tree/etc"
    etc.mkdir()
    make_first(etc)
    (etc / "script").write_bytes((world.path / "tree/usr/bin/script").read_bytes())
    sign = ("--root", "tree", "--key", "other.pem", "--stream", "etc-test", "--serial", "1")
    assert verity("etc", "sign", *sign, cwd=world.path).status == 0
    yield Signed(world=world, etc=etc, state=state_of(etc))


def test_it_is_brought_back(host: Signed) -> None:
    (host.etc / "motd").write_text("evil\n")
    (host.etc / "hosts").unlink()
    assert len(host.repair(dry_run=True).plan.put) == 2
    assert state_of(host.etc) != host.state
    done = host.repair()
    assert (len(done.plan.put), done.wrong) == (2, ())
    assert state_of(host.etc) == host.state


def test_the_store_is_filled_again_from_another_file(host: Signed) -> None:
    """The contents are gone from the store, and the vendor's tree has the very same."""
    for path in (host.world.path / "tree" / places.STORE).rglob("*"):
        if path.is_file() and path.read_bytes() == (host.etc / "script").read_bytes():
            path.unlink()
    (host.etc / "script").unlink()
    assert len(host.repair().plan.put) == 1
    assert state_of(host.etc) == host.state


def test_contents_that_nothing_has(host: Signed) -> None:
    for path in (host.world.path / "tree" / places.STORE).rglob("*"):
        if path.is_file() and path.read_bytes() == b"welcome\n":
            path.unlink()
    (host.etc / "motd").unlink()
    before = state_of(host.etc)
    with pytest.raises(HostError, match="/etc/motd: its contents are not in the store") as caught:
        host.repair()
    assert caught.value.hint
    assert state_of(host.etc) == before


def test_by_the_keys_of_the_commit_alone_it_is_left(host: Signed) -> None:
    # Where a host is, a commit that it never accepted isn't put there.
    refused = verity("repair", *TREE, cwd=host.world.path)
    assert (refused.status, refused.out) == (1, "")
    assert "no floor for the stream os" in refused.err
    verify = ("--repo", "repo", "--key", "vendor.pem.pub", "--root", "tree", REF)
    accepted = verity("commit", "verify", "--accept-without-floor", *verify, cwd=host.world.path)
    assert accepted.status == 0, accepted.err
    (host.etc / "motd").write_text("evil\n")
    (host.world.path / "tree/usr/bin/tool").write_bytes(b"evil")
    before = state_of(host.etc)
    done = verity("repair", *TREE, cwd=host.world.path)
    assert done.status in (1, 3)  # 1: there is no fs-verity here
    assert "/etc was left as it is: --key names the keys of the commit" in done.err
    assert "`verity etc apply --key ETC.pub`" in done.err
    assert state_of(host.etc) == before
    assert (host.world.path / "tree/usr/bin/tool").read_bytes() != b"evil"
    assert os.path.exists(host.etc / "shadow")
