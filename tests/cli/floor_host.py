# SPDX-License-Identifier: Apache-2.0
"""A host with serial floors, and two versions of a stream to hold against them."""

from tests.cli.program import Done, stock, verity
from tests.cli.spoil import KEY, REPO
from tests.cli.worlds import REF, World, sign
from verity.formats import bundle
from verity.formats.commit import DetachedMetadata
from verity.formats.records import Fragment, RecordKind
from verity.verbs import signed

NAME = "vendor.os.os"
ACCEPT, FIRST = "--accept", "--accept-without-floor"


class Host:
    """A repository with two versions of a stream, the older one signed with serial 1."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.root = world.path / "host"
        self.state = self.root / "var/lib/verity"
        self.state.mkdir(parents=True)
        self.floor = self.state / "floors" / NAME
        self.old = world.checksum()
        stock("ostree", "--repo=repo", "commit", "-b", REF, "tree", "--subject=2", cwd=world.path)
        self.new = world.checksum()
        sign(world.path, "--serial", "5", self.new)

    def verify(self, revision: str, *options: str, key: tuple[str, ...] = KEY) -> Done:
        return verity(
            *("commit", "verify", *REPO, *key, "--root", "host", "--json", *options, revision),
            cwd=self.world.path,
        )

    def accepted(self, revision: str, how: str = ACCEPT) -> None:
        done = self.verify(revision, how)
        assert done.status == 0, done

    def bundle(self, revision: str) -> None:
        """A boot bundle with the grants of a commit."""
        metadata = World(self.world.path).detached(REF) if revision == self.new else self._old()
        fragment = Fragment(
            kind=RecordKind.GRANTS,
            blob=metadata.get_bytes(signed.GRANTS) or b"",
            signatures=metadata.get_byte_arrays(signed.GRANTS_SIGNATURES),
        )
        (self.state / "boot.bundle").write_bytes(bundle.encode([fragment]))

    def _old(self) -> DetachedMetadata:
        path = self.world.object(self.old, "commitmeta")
        return DetachedMetadata.parse(path.read_bytes(), label="test")


def checks(done: Done) -> list[str]:
    assert done.status == (1 if done.of_type("finding") else 0)
    return [record["check"] for record in done.of_type("finding")]
