# SPDX-License-Identifier: Apache-2.0
"""The state checksum: its example in docs/formats.md, and how parts are named."""

import hashlib
import re
from pathlib import Path

import pytest

from verity.values.errors import CallerError
from verity.verbs.state_checksum import Measured, Part, checksum, parse_part


def block(name: str) -> str:
    text = Path("docs/formats.md").read_text()
    (found,) = re.findall(rf"^```{name}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def measured(kind: str, name: str, sha256: str) -> Measured:
    return Measured(part=Part(kind=kind, name=name, source=Path("x")), sha256=sha256)


def test_the_example_of_the_document() -> None:
    *lines, policy = block("state").splitlines()
    parts = [measured(*line.split()) for line in lines]
    assert b"".join(part.line for part in parts).decode() == "".join(f"{one}\n" for one in lines)
    name, dash, digest = policy.split()
    assert (name, dash) == ("policy", "-")
    assert f"state: sha256:{checksum(reversed(parts), digest)}\n" == block("state-checksum")
    # Without a policy there is a line, too: having none is a state.
    none = "".join(f"{one}\n" for one in [*lines, "policy - none"]).encode()
    assert checksum(parts, None) == hashlib.sha256(none).hexdigest()


@pytest.mark.parametrize(
    ("text", "kind", "name", "source"),
    [
        ("os:debian-trixie=/usr", "os", "debian-trixie", "/usr"),
        ("etc:-=/", "etc", "-", "/"),
        ("tree:a=b=c", "tree", "a", "b=c"),
        ("some/dir", "tree", "-", "some/dir"),
        ("./os:a=b", "tree", "-", "./os:a=b"),
        ("dir/x:a=b", "tree", "-", "dir/x:a=b"),
    ],
)
def test_names_of_parts(text: str, kind: str, name: str, source: str) -> None:
    assert parse_part(text) == Part(kind=kind, name=name, source=Path(source))


@pytest.mark.parametrize("text", ["vm:a=b", "os:=b", "os:A=b", "os:a b=c"])
def test_refused_names(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        parse_part(text)
    assert caught.value.code == "bad-arguments"
