# SPDX-License-Identifier: Apache-2.0
"""Denials of a sealed gate on a Debian that has verity: in the journal and in audit, and out of it.

The machine is as a host is meant to be: every file of it granted, verity's Python included, and the
service as it is shipped. Who signs is on this side, with the key that the machine's policy names.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.boot import EXTENSION
from tests.cli.program import verity

from .gate_log import DENIALS, parse_denials
from .gate_machine import AT, Gate, load, serial, whole_bundle
from .image import Image
from .machine import Machine
from .verity_root import verity_root

pytestmark = pytest.mark.full

UNIT = "verity-denials.service"
KINDS = 180
KILLS = 3
STATE = "/run/verity-denials/state"
ROUND = """
systemctl stop {unit}
for n in $(seq {first} {last}); do cp {at}/a /run/kind$n; /run/kind$n; /run/kind$n; done 2>&-
before=$(stat -Lc %i {state})
systemctl start {unit}
pid=$(systemctl show --property=MainPID --value {unit})
until [ $(stat -Lc %i {state}) != $before ]; do :; done
kill -KILL $pid
"""


@pytest.fixture(scope="module")
def gate(vm_image: Image, gate_files: Path) -> Iterator[Gate]:
    """Sealed, with one denial beside the loader's canary: root has started a program of AT."""
    image = verity_root(vm_image)
    with Machine.boot("system", image) as machine:
        machine.push(gate_files, AT)
        machine.run(f"fsverity enable {AT}/call; fsverity enable {AT}/flood")
        yield load(machine, whole_bundle(image, gate_files))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private key of the extension role."""
    path = tmp_path_factory.mktemp("key") / "extension.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        EXTENSION.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def entries(machine: Machine) -> list[dict[str, Any]]:
    """What the service wrote, in the order of the journal."""
    text = machine.run(
        "journalctl --sync; journalctl --boot --output=json --no-pager SYSLOG_IDENTIFIER=verity",
        timeout_s=120,
    ).text
    found = [json.loads(line) for line in text.splitlines()]
    return [one for one in found if "VERITY_RECORD" in one]


def numbers(found: list[dict[str, Any]]) -> list[int]:
    """Each denial that an entry stands for by itself."""
    return [int(one["VERITY_SEQ"]) for one in found if one["VERITY_KIND"] == "denial"]


def wait_for(machine: Machine, seq: int) -> list[dict[str, Any]]:
    """The entries once this denial is among them."""
    for _ in range(60):
        found = entries(machine)
        if seq in numbers(found):
            return found
        time.sleep(1)
    log = machine.run(f"systemctl status {UNIT}; journalctl -n 30 -u {UNIT}", check=False).text
    pytest.fail(f"denial {seq} never came:\n{log}")


def test_the_service_writes_to_the_journal_and_to_audit(gate: Gate) -> None:
    machine = gate.machine
    machine.run(["systemctl", "start", UNIT])
    machine.run(f"{AT}/b", check=False)
    last = gate.denials()[-1]
    found = wait_for(machine, last.number)
    entry = next(one for one in found if one.get("VERITY_SEQ") == str(last.number))
    assert (entry["VERITY_REASON"], entry["VERITY_OUTCOME"]) == ("no-digest", "denied")
    assert (entry["VERITY_PATH"], entry["PRIORITY"]) == (f"{AT}/b", "4")
    assert entry["_SYSTEMD_UNIT"] == UNIT
    assert entry["_UID"] != "0"
    assert entry["VERITY_NEXT"].startswith(f"verity explain --denial {last.number}; ")
    record = re.escape(entry["VERITY_RECORD"])
    kernel = machine.run(["dmesg"]).text
    (audited,) = re.findall(rf"audit: type=1107 .* msg='verity: [^']*rec={record} [^']*'", kernel)
    for word in (
        "reason=no-digest",
        f'path="{AT}/b"',
        "ouid=0",
        "res=failed",
        f"seq={last.number}",
    ):
        assert f" {word}" in audited
    # The service itself was refused nothing.
    ours = [one for one in gate.denials() if "python" in one.line]
    assert ours == []


def test_killed_again_and_again_it_tells_all_and_nothing_twice(gate: Gate) -> None:
    """Files of as many names are refused, twice each, while the service is down; it is killed as
    soon as it has begun to write of them, and started again by systemd."""
    machine = gate.machine
    first = gate.denials()[-1].number + 1
    for at in range(1, KINDS + 1, KINDS // KILLS):
        script = ROUND.format(unit=UNIT, state=STATE, at=AT, first=at, last=at + KINDS // KILLS - 1)
        machine.run(script, timeout_s=180)
        # The last but one is the first of its kind. More than the ring holds must not wait.
        wait_for(machine, gate.denials()[-1].number - 1)
    last = gate.denials()[-1].number
    assert last - first + 1 == 2 * KINDS
    machine.run(["systemctl", "stop", UNIT])  # what is held back is written at the end
    # It was killed in the middle of its work, not beside it.
    assert "looking for the record" in machine.run(["journalctl", "-b", "-t", "verity"]).text
    found = entries(machine)
    assert len({one["VERITY_RECORD"] for one in found}) == len(found)
    assert [one for one in found if "VERITY_AGAIN" in one] == []
    records = sorted(int(one["VERITY_RECORD"].split(":")[2]) for one in found)
    assert records == list(range(1, len(found) + 1))
    told = Counter(numbers(found))
    assert set(told.values()) == {1}
    firsts = [one for one in found if re.fullmatch(r"/run/kind\d+", one.get("VERITY_PATH", ""))]
    assert Counter(one["VERITY_PATH"] for one in firsts if one["VERITY_KIND"] == "denial") == {
        f"/run/kind{n}": 1 for n in range(1, KINDS + 1)
    }
    held = sum(int(one["VERITY_HELD"]) for one in firsts)
    assert held == KINDS


def test_from_a_denial_to_running(gate: Gate, key: Path, tmp_path: Path) -> None:
    """Asked for, signed elsewhere without a copy of the file, taken in; then a second one beside
    it, which the first one survives."""
    machine = gate.machine
    began = time.monotonic()
    machine.run(f"mkdir -p /opt/new && cp {AT}/c {AT}/d /opt/new")
    for at, name in enumerate("cd", 1):
        path = f"/opt/new/{name}"
        assert machine.run(path, check=False).status == 126
        request = f"/root/{name}.json"
        asked = machine.run(
            ["verity", "lockdown", "exception", "request", "--denial", "last", "-o", request]
        ).text
        fingerprint = re.search(r"^compare    (.*)$", asked, re.MULTILINE)
        assert fingerprint
        (tmp_path / f"{name}.json").write_bytes(machine.run(["cat", request]).stdout)
        before = ["--add-to", "reply1"] if at == 2 else []
        done = verity(
            *("lockdown", "exception", "sign", f"{name}.json", f"reply{at}"),
            *("--key", str(key), "--stream", "tools", "--fingerprint", fingerprint[1], *before),
            cwd=tmp_path,
        )
        assert done.status == 0, done.err
        assert f"as         stream tools serial {at}," in done.out
        machine.push(tmp_path / f"reply{at}", f"/root/reply{at}")
        taken = machine.run(["verity", "lockdown", "import", f"/root/reply{at}/grants"]).text
        assert "accepted" in taken
        assert machine.run(path, check=False).status == 126  # granted, and still without fs-verity
        machine.run(["verity", "enable", path])
        assert machine.run([path]).text == f"ran {name}"
    assert machine.run(["/opt/new/c"]).text == "ran c"
    assert serial(gate.status(), "tools") == 2
    took = time.monotonic() - began
    sys.stderr.write(f"\nfrom two denials to two programs that run: {took:.1f} s\n")


def test_what_was_refused_is_explained_by_its_file(gate: Gate) -> None:
    machine = gate.machine
    machine.run(f"{AT}/b", check=False)
    told = machine.run(["verity", "explain", f"{AT}/b"]).text
    last = parse_denials(machine.run(["cat", DENIALS]).text)[-1].number
    assert f"verity lockdown exception request --denial {last} -o " in told
