# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/unlock.md, one after the other, as a reader would type them.

The host's are run where a gate is played; that a real one does the same is for the machines. But
for `ledger counter`, which is of this machine's own TPM: tests/cli/test_unlock_counter.py.
"""

import shlex
from pathlib import Path

from tests.cli.gate_host import Host
from tests.cli.program import verity
from tests.cli.unlock_world import make_desk, played, say, seal
from tests.quality.test_documents import typed
from verity.formats import records

GUIDE = Path("docs/guides/unlock.md")
ACCEPTED = 3000


def test_the_guide_runs(host: Host) -> None:
    seal(host)
    make_desk(host.root)
    for name in ("ann", "bob"):
        (host.root / f"{name}.pem").rename(host.root / f"unlock-{name}.pem")
    (host.root / "challenge").unlink()
    commands = typed(GUIDE.read_text(), "verity")
    assert "verity unlock ledger counter" in commands and len(commands) > 10
    commands.remove("verity unlock ledger counter")
    for command in commands:
        words = shlex.split(command)[1:]
        on_the_host = words[1] != "sign"
        words += ["--root", "."] if on_the_host else ["--yes"]
        if "--run" in words:  # a session's token comes from another challenge
            assert "session.unlock: does not exist" in verity(*words, cwd=host.root).err
            continue
        done = verity(*words, cwd=host.root, environment=played(host, (ACCEPTED,)))
        assert done.status == 0, (command, done.err)
        if words[1] == "apply":  # from now on the gate says so
            (fragment,) = records.split((host.root / "rescue.unlock").read_bytes(), label="token")
            token_id = fragment.blob[48:64].hex()
            say(host, f"unlock {token_id} path-prefix 3 99 1899 live {'aa' * 32} /opt/rescue\n")
