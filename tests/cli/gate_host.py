# SPDX-License-Identifier: Apache-2.0
"""A host as a gate would show it: its files below a root, or in the place of the kernel's."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.program import TIMEOUT_S, VERITY, Done, verity

STATUS = """\
version 5
state {state}
boot_clock_s 99
policy_serial 3
policy_mode {mode}
observes writable
keys vendor 1
keys user 1
code 70000 120000
elevations 12 4096
config 3 8192
revocations user root 2
revoked_keys 0 1024
revoked_digests 5 8192
stream debian-trixie vendor os 7
stream ours user extension 0
stream withdrawn user extension 4
revoked_stream withdrawn
foreign_programs {foreign}
denied 2
observed 1
lost 0
reason no-digest 1
"""
DENIALS = r"""1 12034 observed no-digest exec 0 812 tool - /opt/tool
2 12100 denied not-granted exec 0 813 a\x20b {digest} /opt/t\xe9\x0a
9 13000 denied anonymous map 0 900 \x1b[2J - -
"""
DIGEST = "00112233445566778899aabbccddeeff" * 2


@dataclass(frozen=True)
class Host:
    """A root with what a gate and a kernel would show."""

    root: Path
    shim: Path

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def gate(self, state: str, *, mode: str = "sealed", foreign: int = 0) -> None:
        self.put("sys/fs/bpf/verity/status", STATUS.format(state=state, mode=mode, foreign=foreign))
        self.put("sys/fs/bpf/verity/denials", DENIALS.replace("{digest}", DIGEST))

    def lockdown(self, level: str) -> None:
        words = ["none", "integrity", "confidentiality"]
        text = " ".join(f"[{word}]" if word == level else word for word in words)
        self.put("sys/kernel/security/lockdown", text + "\n")

    def verity(self, *args: str) -> Done:
        return verity(*args, "--root", ".", cwd=self.root)

    def as_root(self, *args: str, answers: Sequence[int] | None) -> Done:
        """Run it with these files in the place of the kernel's; None: no gate is played."""
        (self.root / "sys/fs/bpf").mkdir(parents=True, exist_ok=True)
        (self.root / "sys/kernel/security").mkdir(parents=True, exist_ok=True)
        binds = "".join(
            f'mount --bind "{self.root}/{name}" /{name} && '
            for name in ("sys/fs/bpf", "sys/kernel/security")
        )
        played = {
            "SHIM_ANSWERS": ",".join(map(str, answers or ())),
            "SHIM_LOG": str(self.root / "calls"),
        }
        preload = [] if answers is None else ["env", f"LD_PRELOAD={self.shim}"]
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", binds + 'exec "$@"', "-", *preload, VERITY, *args],
            cwd=self.root,
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **played},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def calls(self) -> list[str]:
        """The commands that the played gate was given: 0 begin, 1 put, 2 commit, 4 seal."""
        path = self.root / "calls"
        return [line[0] for line in path.read_text().splitlines()] if path.exists() else []
