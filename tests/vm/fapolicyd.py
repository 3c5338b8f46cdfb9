# SPDX-License-Identifier: Apache-2.0
"""fapolicyd as Debian ships it, in a machine: what the gate is compared with. Never on this host.

Its configuration is Debian's but for three things: the rules are its README's recommended set,
known-libs, which Debian ships as samples; trust comes from a list of files, since the signed files
are what our grants name, too; and in the hardened form what its documents offer against root and
against changed files is switched on.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from verity.formats.grant_rules import earned
from verity.verbs.manifest import read_directory

from . import cache, debs
from .debian import run
from .image import Image
from .machine import Machine

PACKAGE = "fapolicyd"
# README: "The known-libs policy (default)"; with Debian's numbers.
RECOMMENDED = (
    "10-languages 20-dracut 21-updaters 30-patterns 40-bad-elf 41-shared-obj 42-trusted-elf"
    " 70-trusted-lang 72-shell 90-deny-execute 95-allow-open"
).split()
# 20 exempts root's trusted programs from all that follows it.
HARDENED = [name for name in RECOMMENDED if name != "20-dracut"]
_HARDENED_SETTINGS = {"integrity": "sha256", "allow_filesystem_mark": "1"}
_SETTINGS = {"trust": "file"}
_AT = "/etc/fapolicyd"
_SAMPLES = "/usr/share/fapolicyd/sample-rules"
# Languages that it wants trusted before anybody opens them.
_LANGUAGES = (".py", ".pl", ".pm", ".awk", ".lua", ".js")
_START_TIMEOUT_S = 900.0
_USER = "setpriv --reuid=1000 --regid=1000 --clear-groups"
_REFUSED = "/run/fapolicyd-canary"


def trust_of_tree(image: Image) -> Path:
    """The trust list of the image: what our grants name, and what is written in a language."""
    code = Path(__file__).read_bytes()
    made = image.path / f"fapolicyd-trust-{hashlib.sha256(code).hexdigest()[:16]}"

    def build(partial: Path) -> None:
        nodes = read_directory(image.tree)
        heads = {node.contents.digest: node.contents.head for node in nodes if node.contents}
        granted = {one.digest for one in earned([node.entry for node in nodes], heads).code}
        paths = [
            image.tree / node.entry.path.decode().lstrip("/")
            for node in nodes
            if node.contents
            and (node.contents.digest in granted or node.entry.path.decode().endswith(_LANGUAGES))
        ]
        lines = _lines({path: f"/{path.relative_to(image.tree)}" for path in paths})
        (partial / "trust").write_text("".join(lines))

    cache.entry(made, build)
    return made / "trust"


def trust_of(folder: Path, at: str) -> str:
    """Lines for the files of a folder of this host that are below `at` in the machine."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return "".join(_lines({path: f"{at}/{path.relative_to(folder)}" for path in files}))


def install(machine: Machine, image: Image, trusted: str = "", *, hardened: bool = False) -> None:
    """Installs it with its trust and its rules; `trusted` are lines for further files."""
    packages = debs.packages(image, PACKAGE)
    debs.install(machine, packages)
    machine.push(trust_of_tree(image), f"{_AT}/fapolicyd.trust")
    with tempfile.TemporaryDirectory(prefix="verity-debs-") as name:
        for package in packages.glob("*.deb"):
            run(["dpkg-deb", "--extract", str(package), name])
        trusted += trust_of(Path(name), "")
    machine.run(f"cat >{_AT}/trust.d/further.trust", input=trusted.encode())
    configure(machine, hardened=hardened)


def configure(machine: Machine, *, hardened: bool) -> None:
    """Its rules and settings; for the next start."""
    settings = {**_SETTINGS, **(_HARDENED_SETTINGS if hardened else {})}
    rules = [f"{_SAMPLES}/{name}.rules" for name in (HARDENED if hardened else RECOMMENDED)]
    edits = " ".join(f"-e 's/^{key} =.*/{key} = {value}/'" for key, value in settings.items())
    machine.run(
        f"rm -rf {_AT}/rules.d && mkdir {_AT}/rules.d && cp {' '.join(rules)} {_AT}/rules.d/"
        f" && sed -i {edits} {_AT}/fapolicyd.conf && chgrp -R fapolicyd {_AT}"
    )


def start(machine: Machine) -> None:
    """Starts it; returns when it refuses an ordinary user an untrusted program and no other."""
    machine.run(
        f"cp /usr/bin/true {_REFUSED} && echo >>{_REFUSED} && systemctl start fapolicyd &&"
        f" until ! {_USER} {_REFUSED} 2>/dev/null; do sleep 0.2; done; {_USER} /usr/bin/true",
        timeout_s=_START_TIMEOUT_S,
    )


def _lines(files: Mapping[Path, str]) -> Iterator[str]:
    for path, place in files.items():
        data = path.read_bytes()
        if " " not in place:  # its format has no escape
            yield f"{place} {len(data)} {hashlib.sha256(data).hexdigest()}\n"
