# SPDX-License-Identifier: Apache-2.0
"""The state checksum: one line that two hosts have in common exactly if they are in the same state.

SHA-256 over the sorted lines ``kind name manifest-sha256`` of manifests as measured, and one of the
policy that the host's boot bundle has (docs/formats.md section 20). Nothing is verified here: what
a state is worth says its signature.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump, records
from verity.formats.grants import is_stream_name
from verity.ports.osfile import read_if_there
from verity.trust.verified import VerifiedManifest
from verity.values.errors import CallerError, ContentError, HostError

KINDS = ("etc", "extension", "os", "tree")
_PART = re.compile(r"(?P<kind>[a-z]+):(?P<name>[^=]*)=(?P<source>.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of what a state is made of; ``source`` is a manifest or a directory to measure."""

    kind: str
    name: str
    source: Path


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A part and the SHA-256 (hex) of its manifest."""

    part: Part
    sha256: str

    @property
    def line(self) -> bytes:
        """What is hashed of it."""
        return f"{self.part.kind} {self.part.name} {self.sha256}\n".encode()


def parse_part(text: str) -> Part:
    """Read ``KIND:NAME=SOURCE``; a SOURCE alone is ``tree:-=SOURCE``."""
    match = _PART.fullmatch(text)
    if match is None or match["kind"] not in KINDS:
        if match is not None and "/" not in text.partition("=")[0]:
            raise CallerError(
                "bad-arguments",
                f"{text!r}: unknown kind {match['kind']!r}, expected one of {', '.join(KINDS)}",
                hint="KIND:NAME=FILE or KIND:NAME=DIR; a path with a : or = begins with ./",
            )
        return Part(kind="tree", name="-", source=Path(text))
    if match["name"] != "-" and not is_stream_name(match["name"]):
        raise CallerError(
            "bad-arguments",
            f"{text!r}: the name {match['name']!r} is not 1 to 63 of a-z 0-9 . _ -",
            hint="the name of the stream, without what belongs to one host",
        )
    return Part(kind=match["kind"], name=match["name"], source=Path(match["source"]))


def measure(part: Part) -> Measured:
    """The manifest of a part: read from a file, or measured now.

    A directory of the kind etc is the root of a host, whose /etc is measured without what its
    rules exempt; of any other kind it is the tree itself.
    """
    from verity.verbs import manifest  # here: an audit has measured already

    if not part.source.is_dir():
        data = manifest.load(part.source)
        dump.parse(data)
    elif part.kind == "etc":
        data = _etc(part.source)
    else:
        data = manifest.of_directory(part.source)
    return Measured(part=part, sha256=hashlib.sha256(data).hexdigest())


def policy_of(path: Path) -> str | None:
    """SHA-256 (hex) of the compiled policy in a boot bundle or fragment; None if no file is there.

    Raises ContentError if it holds none, or more than one.
    """
    data = read_if_there(path, max_size=records.MAX_SIZE)
    if data is None:
        return None
    found = [
        one.blob
        for one in records.split(data, label=str(path))
        if one.kind is records.RecordKind.POLICY
    ]
    if len(found) != 1:
        raise ContentError("bad-bundle", f"{path}: {len(found)} policies, expected one")
    return hashlib.sha256(found[0]).hexdigest()


def host_of(parts: Iterable[Part]) -> Path:
    """The root of the host that the parts are of: an etc:NAME=DIR names it, else it is this one."""
    roots = [part.source for part in parts if part.kind == "etc" and part.source.is_dir()]
    return roots[0] if roots else Path("/")


def of_signed(kind: str, manifest: VerifiedManifest) -> Measured:
    """A part that was measured and found equal to what is signed."""
    part = Part(kind=kind, name=manifest.source.statement.stream, source=Path("/"))
    return Measured(part=part, sha256=manifest.sha256.hex())


def checksum(parts: Iterable[Measured], policy: str | None) -> str:
    """The state checksum, in hex, with the ``policy`` of the host (hex), None if it has none.

    Raises CallerError (``bad-arguments``) for a part named twice.
    """
    lines = sorted(one.line for one in parts)
    names = [line.rsplit(b" ", 1)[0] for line in lines]
    twice = {name.decode() for name in names if names.count(name) > 1}
    if twice:
        raise CallerError("bad-arguments", f"{min(twice)}: named twice, a state has each part once")
    lines = sorted([*lines, f"policy - {policy or 'none'}\n".encode()])
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _etc(root: Path) -> bytes:
    from verity.ports import tree
    from verity.verbs import etc_read
    from verity.verbs.etc_read import Scope

    scope = Scope(root=root, homes=(), rules=etc_read.rules_for_signing(root))
    found = etc_read.read(scope, tree.hashed)
    if found.gaps:
        gap = found.gaps[0]
        raise HostError(
            "unreadable", f"{dump.printable(gap.path)}: {gap.why}", hint=gap.hint or None
        )
    return dump.serialise(found.entries.values())
