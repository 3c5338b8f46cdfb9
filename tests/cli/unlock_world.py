# SPDX-License-Identifier: Apache-2.0
"""A sealed host with a gate that is played, and the desk of who may unlock it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cli.gate_host import Host
from tests.cli.keyring_world import good
from tests.cli.program import Done, verity
from verity.formats import unlock_request
from verity.formats.unlock import Scope
from verity.formats.unlock_request import Request

NONCE, HOST = "5a" * 32, "c3" * 32
MORE = f"boot_nonce {NONCE}\nhost_id {HOST}\nunlocked 0\nunlock_used 0 256\n"
REASON = "disk of rack 7: naïve 3\\4"
ASK = ("--scope", "path-prefix", "--operand", "/opt/réscue", "--for", "30m", "--reason", REASON)
INVENTORY = f"""\
[hosts.{HOST}]
name = "db7 (rack 7)"
owners = 2
[hosts.{"00" * 32}]
name = "db8"
"""
FROM = ("--challenge", "challenge", "--inventory", "hosts.toml")
SIGNED = (*FROM, "--yes", "--owners", "2", "-o", "token", "ann.pem", "bob.pem")


def challenge(**changes: Any) -> bytes:
    """What that host prints when it is asked for ASK."""
    here = unlock_request.parse(f"policy_serial 3\nboot_clock_s 99\n{MORE}".encode()).challenge
    fields: dict[str, Any] = {
        "host_name": "claims-to-be-db1",
        "level": "B0",
        "scope": Scope.PATH_PREFIX,
        "operand": "/opt/réscue".encode(),
        "duration_s": 1800,
        "reason": REASON,
        **changes,
    }
    return unlock_request.encode(Request(challenge=here, **fields))


def make_desk(path: Path) -> Path:
    """Two keys, an inventory, a challenge, and the token that answers it."""
    for name in ("ann", "bob"):
        good(path, "key", "generate", f"{name}.pem")
    (path / "hosts.toml").write_text(INVENTORY)
    (path / "challenge").write_bytes(challenge())
    good(path, "unlock", "sign", *SIGNED)
    return path


def seal(host: Host, state: str = "sealed", more: str = MORE) -> Host:
    """The host is sealed, in second 99 of its boot."""
    host.gate(state)
    status = host.root / "sys/fs/bpf/verity/status"
    ours = tuple(line.split(" ")[0] + " " for line in MORE.splitlines())
    lines = status.read_text().splitlines(keepends=True)
    status.write_text("".join(line for line in lines if not line.startswith(ours)) + more)
    host.lockdown("integrity")
    host.put("etc/hostname", "claims-to-be-db1\n")
    return host


def say(host: Host, lines: str) -> None:
    """The gate says more of itself."""
    with (host.root / "sys/fs/bpf/verity/status").open("a") as file:
        file.write(lines)


def on(host: Host, *args: str) -> Done:
    """On the host, where no gate is called."""
    return verity("unlock", *args, "--root", ".", cwd=host.root)


def played(host: Host, answers: Sequence[int]) -> dict[str, str]:
    """The environment in which a gate answers with these numbers."""
    return {
        "LD_PRELOAD": str(host.shim),
        "SHIM_ANSWERS": ",".join(map(str, answers)),
        "SHIM_LOG": str(host.root / "calls"),
    }


def calling(host: Host, *args: str, answers: Sequence[int]) -> Done:
    """On the host, whose gate answers with these numbers."""
    environment = played(host, answers)
    return verity("unlock", *args, "--root", ".", cwd=host.root, environment=environment)


def calls(host: Host) -> list[str]:
    """What the gate was asked."""
    path = host.root / "calls"
    return path.read_text().splitlines() if path.exists() else []


def ledger(host: Host) -> list[dict[str, Any]]:
    """The lines of the ledger."""
    path = host.root / "var/lib/verity/ledger"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
