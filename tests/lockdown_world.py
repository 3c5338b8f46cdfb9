# SPDX-License-Identifier: Apache-2.0
"""A made-up host's tree that its owner makes ready with `lockdown init`, and the verbs on it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tests.cli.program import Done, stock, verity
from tests.reach_world import Host
from verity.formats import grants, kernel_policy, records
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind

MACHINE = "0123456789abcdef0123456789abcdef\n"
BUNDLE = "var/lib/verity/boot.bundle"


class Owner:
    """A tree of a host in ``folder``, and the owner's keys beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.keys = folder / "keys"
        self.host = Host.of(self.root)

    @classmethod
    def new(cls, folder: Path) -> Owner:
        """With a unit and its program, and an /etc."""
        made = cls(folder)
        made.host = host = Host(made.root)
        host.file("/etc/machine-id", MACHINE.encode())
        host.file("/etc/hosts", b"127.0.0.1 localhost\n")
        host.program("/usr/bin/a")
        host.unit("a.service", "[Service]\nExecStart=/usr/bin/a\n")
        return made

    def init_line(self, *options: str) -> list[str]:
        return [
            *("lockdown", "init", f"--root={self.root}", "--self-vendor"),
            *(f"--keys={self.keys}", *options),
        ]

    def boot_vendors(self) -> None:
        """A vendor's keyring came with the system, whose commit is booted; the vendor's keys are in
        `vendor` beside the root."""
        vendor = self.folder / "vendor"
        made = self.run(["keyring", "init", "--solo", "--party=vendor", str(vendor)])
        assert made.status == 0
        repo = self.root / "ostree/repo"
        repo.parent.mkdir()
        stock("ostree", f"--repo={repo}", "init", "--mode=bare", cwd=self.folder)
        tree = f"--tree=dir={self.root}/usr"
        stock("ostree", f"--repo={repo}", "commit", "--branch=os", tree, cwd=self.folder)
        key = vendor / "private/vendor-os.pem"
        sign = [
            "commit",
            "sign",
            f"--repo={repo}",
            f"--key={key}",
            "--stream=os",
            "--serial=4",
            "os",
        ]
        assert self.run(sign).status == 0
        commit = (repo / "refs/heads/os").read_text().strip()
        (self.root / "ostree/boot.1/x").mkdir(parents=True)
        (self.root / "ostree/boot.1/x/0").symlink_to(f"../../deploy/x/deploy/{commit}.0")
        (self.root / "proc").mkdir()
        (self.root / "proc/cmdline").write_text("ostree=/ostree/boot.1/x/0\n")
        keyrings = self.root / "usr/lib/verity/keyrings"
        shutil.copytree(vendor / "keyrings", keyrings)

    def sign_line(self, verb: str, *options: str) -> list[str]:
        """trial or confirm, without the proof that a made-up host can't have."""
        key = self.keys / "user/private/user-policy.pem"
        line = ["lockdown", verb, f"--root={self.root}", f"--key={key}", "--insecure-unproven"]
        return [*line, *options]

    def lockdown(self, verb: str, *options: str) -> Done:
        return self.run(["lockdown", verb, f"--root={self.root}", *options])

    def init(self, *options: str) -> Done:
        return self.run(self.init_line(*options))

    def sign(self, verb: str, *options: str) -> Done:
        return self.run(self.sign_line(verb, *options))

    def prove(self, *options: str) -> Done:
        """The arming proof, by the owner's own pins."""
        pins = []
        for party in ("vendor", "user"):
            data = (self.keys / party / f"{party}.pin").read_bytes()
            pins.append(f"--pin={party}=sha256:{hashlib.sha256(data).hexdigest()}")
        return self.lockdown("check", f"--keyring={self.root}/etc/verity/keyrings", *pins, *options)

    def run(self, line: list[str]) -> Done:
        return verity(*line, cwd=self.folder)

    @property
    def policy(self) -> KernelPolicy:
        """The policy of the boot bundle."""
        parts = records.split((self.root / BUNDLE).read_bytes(), label="bundle")
        (one,) = (part for part in parts if part.kind is RecordKind.POLICY)
        return kernel_policy.parse(one.blob)

    def configuration(self) -> dict[bytes, bytes]:
        """What the boot bundle grants as configuration: path and digest."""
        parts = records.split((self.root / BUNDLE).read_bytes(), label="bundle")
        granted = [grants.parse(one.blob) for one in parts if one.kind is RecordKind.GRANTS]
        return {entry.path: entry.digest for one in granted for entry in one.config}

    def tried(self, serial: int) -> None:
        """As the loader and verity-confirm leave it, once the trial's boot has come up."""
        text = f"verity-trial 1\nserial {serial}\nboot 0b1c2d3e-0000-4000-8000-000000000001\n"
        state = self.root / "var/lib/verity"
        (state / "trial").write_text(text)
        digest = hashlib.sha256((self.root / BUNDLE).read_bytes()).hexdigest()
        (state / "confirmed").mkdir(exist_ok=True)
        (state / "confirmed/trial").write_text(f"{text}bundle {digest}\n")

    def files(self) -> dict[Path, bytes | str]:
        """Everything in the tree but directories, which may stay behind empty."""
        found: dict[Path, bytes | str] = {}
        for path in self.root.rglob("*"):
            name = path.relative_to(self.root)
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = path.read_bytes()
        return found
