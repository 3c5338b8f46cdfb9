# SPDX-License-Identifier: Apache-2.0
"""A host whose drop-ins and signed policy are made by the tests of `verity policy`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.program import Done, assert_clean_error, verity
from verity.formats import statement

TIMES = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2096-01-01T00:00:00Z")
STREAM = '[[stream]]\nname = "os"\nparty = "vendor"\nrole = "os"\nreason = "the system"\n'
SEALED = '[[mode]]\nmode = "sealed"\nreason = "it is proven here"\n'
OBSERVED = '[[reaction]]\nto = "anonymous"\nreaction = "observe"\nreason = "a compiler"\n'
OWN = "50-own.toml"
DROP_IN = f"/etc/verity/policy.d/{OWN}"


@dataclass(frozen=True)
class Host:
    """The root of a host, in a directory with keys: policy.pem and stranger.pem."""

    path: Path

    @property
    def root(self) -> Path:
        return self.path / "root"

    def write(self, name: str, text: str) -> None:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def own(self, text: str, name: str = OWN, *, beside: str = "") -> None:
        """A drop-in of the owner; ``beside`` is a file that is there, too."""
        self.write(f"etc/verity/policy.d/{name}", text)
        if beside:
            self.write(beside, text)

    def run(self, verb: str, *args: str) -> Done:
        return verity("policy", verb, "--root", "root", *args, cwd=self.path)

    def compile(self, out: str = "new", *args: str, key: str = "policy.pem") -> Done:
        return self.run("compile", "--serial", "7", *TIMES, "--key", key, *args, out)

    def install(self, *args: str) -> None:
        """Sign what the drop-ins say, and put it where a host has it."""
        done = self.compile("new", *args)
        assert (done.status, done.err) == (0, "")
        (self.path / "new").rename(self.root / "etc/verity/policy.gate")
        (self.path / "new.json").rename(self.root / "etc/verity/policy.json")

    def payload(self, name: str = "new.json") -> Any:
        envelope = statement.parse_envelope((self.path / name).read_bytes())
        return json.loads(envelope.payload)


def make_policy_host(path: Path) -> Path:
    """Keys, and a root whose only drop-in names a stream."""
    for name in ("policy.pem", "stranger.pem"):
        assert verity("key", "generate", name, cwd=path).status == 0
    host = Host(path)
    host.own(STREAM)
    return path


KEY = ("--key", "policy.pem.pub")


def clean(done: Done, words: tuple[str, ...]) -> None:
    """One error, with a hint where there is one to give."""
    assert_clean_error(done, words, hint="\n  hint: " in done.err)
