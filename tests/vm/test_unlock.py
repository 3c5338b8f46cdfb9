# SPDX-License-Identifier: Apache-2.0
"""An unlock by the tools, on a sealed Debian: from the challenge to the ledger, and the helper.

Who signs is on this side, with keys that the host's policy names, and sees nothing of the machine
but its challenge. That the gate refuses what it must is in tests/attacks; here is what a user does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.cli.program import Done, verity
from verity.formats import records, typed_token
from verity.verbs import unlock_sign

from . import gate_world as world
from .gate_machine import AT, load, whole_bundle
from .image import Image
from .machine import Machine
from .verity_root import verity_root

pytestmark = pytest.mark.full

SIGNERS = {"ann": world.UNLOCK[0], "bob": world.UNLOCK[1]}
HOST_ID = world.HOST_ID.hex()
HELPER = "/usr/lib/verity/verity-unlock"
RESCUE = "/opt/rescue"
SEALED = "sealed-with-verity"
SIGN = ("--inventory", "hosts.toml", "--yes")


@pytest.fixture(scope="module")
def machine(vm_image: Image, gate_files: Path) -> Iterator[Machine]:
    """Sealed, with a program in RESCUE that nobody granted; each test begins there."""
    image = verity_root(vm_image)
    bundle = whole_bundle(image, gate_files)
    bundle[2] = world.policy(unlock=world.LIMITS)
    with Machine.boot("system", image) as machine:
        machine.push(gate_files, AT)
        machine.run(f"fsverity enable {AT}/call; fsverity enable {AT}/flood")
        machine.run(f"mkdir -p {RESCUE}; cp {AT}/a {RESCUE}/a")
        load(machine, bundle)
        machine.snapshot(SEALED)
        yield machine


@pytest.fixture
def host(machine: Machine) -> Machine:
    """As it is right after the seal."""
    machine.restore(SEALED)
    return machine


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The operators' keys and inventory."""
    for name, signer in SIGNERS.items():
        path = tmp_path / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            signer.private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    (tmp_path / "hosts.toml").write_text(f'[hosts.{HOST_ID}]\nname = "db7"\nowners = 2\n')
    return tmp_path


def sign(desk: Path, challenge: str, *more: str) -> Done:
    """Both sign it, one after the other; the token is `token`."""
    (desk / "challenge").write_text(challenge)
    for name in ("half", "token"):
        (desk / name).unlink(missing_ok=True)
    how = ("unlock", "sign", "--challenge", "challenge", *SIGN, *more)
    first = verity(*how, "-o", "half", "ann.pem", cwd=desk)
    assert first.status == 0, first.err
    done = verity("unlock", "sign", "--bundle", "half", *SIGN, "-o", "token", "bob.pem", cwd=desk)
    assert done.status == 0, done.err
    return first


def typed(desk: Path) -> str:
    (fragment,) = records.split((desk / "token").read_bytes(), label="token")
    return typed_token.page(unlock_sign.groups(fragment))


def events(machine: Machine) -> list[tuple[str, bool]]:
    """Of the ledger: what happened, and whether it was added late."""
    text = machine.run("verity unlock ledger show --json", timeout_s=120).text
    found = [json.loads(line) for line in text.splitlines()]
    return [(one["event"], one["late"]) for one in found if one["type"] == "entry"]


def runs(machine: Machine) -> bool:
    """Whether root may start the program that nobody granted."""
    return machine.run(f"{RESCUE}/a", check=False).status == 0


def test_from_the_challenge_to_the_review(host: Machine, desk: Path) -> None:
    assert not runs(host)
    ask = f"--scope path-prefix --operand {RESCUE} --for 30m --reason 'disk of rack 7'"
    challenge = host.run(f"verity unlock challenge {ask}", timeout_s=120).text
    said = sign(desk, challenge)
    assert f"host      db7 (id {HOST_ID})" in said.out
    host.push(desk / "token", "/root/token")
    applied = host.run("verity unlock apply /root/token", timeout_s=120)
    assert f"unlocked  path-prefix {RESCUE}, for 30 min at the most" in applied.text
    assert runs(host)
    status = host.run("verity unlock status", timeout_s=120).text
    assert f"UNLOCKED  path-prefix {RESCUE}" in status and "ends      in 29 min " in status
    assert "UNLOCKED" in host.run("cat /run/motd.d/verity-unlock").text
    journal = "journalctl --sync; journalctl --boot --output=cat SYSLOG_IDENTIFIER=verity"
    assert f"UNLOCKED: path-prefix {RESCUE}" in host.run(journal, timeout_s=120).text
    # The same token once more, and one that lies about the host: refused, each by its name.
    again = host.run("verity unlock apply /root/token", check=False, timeout_s=120)
    assert again.status == 1 and "was applied before" in again.stderr.decode()
    # What was done under it is listed, to be kept or undone.
    host.run(f"cp /bin/sleep {RESCUE}/sleep; touch {RESCUE}/left-behind")
    host.run(f"setsid {RESCUE}/sleep 600 >/dev/null 2>&1 & setsid sleep 601 >/dev/null 2>&1 &")
    review = host.run("verity unlock review", timeout_s=120).text
    assert f"let through {RESCUE}/a" in review
    assert f"changed     {RESCUE}/left-behind" in review
    host.run("verity unlock relock", timeout_s=120)
    assert not runs(host)
    # What was started goes on behind the end, and is listed: what was let through, and what else.
    left = re.findall(
        r"^(still runs|started) +(\S+) pid (\d+) \(sleep\)",
        host.run("verity unlock review", timeout_s=120).text,
        re.M,
    )
    assert [(what, path) for what, path, _ in left] == [
        ("still runs", f"{RESCUE}/sleep"),
        ("started", "/usr/bin/sleep"),
    ]
    host.run(["kill", *(pid for _, _, pid in left)])
    assert "locked    nothing is unlocked" in host.run("verity unlock status", timeout_s=120).text
    assert host.run("test -e /run/motd.d/verity-unlock", check=False).status == 1
    assert [one for one, _ in events(host)] == [
        *("challenge", "apply", "grant", "refused", "relock", "end"),
    ]
    verified = host.run("verity unlock ledger verify", timeout_s=120).text
    assert "whole: 6 entries" in verified


def test_the_helper_where_nothing_else_works(host: Machine, desk: Path) -> None:
    """No room in /var, no Python, a wrong clock: a token that is typed opens it all the same, and
    the ledger has it afterwards."""
    host.run(
        "mkdir -p /var/lib/verity; mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs /var/lib/verity"
    )
    host.run("date -s 1999-12-31; chmod 0 /usr/bin/python3.*")
    challenge = host.run(HELPER).stdout.decode()
    own = ("--scope", "path-prefix", "--operand", RESCUE, "--for", "10m", "--reason", "Ann called")
    sign(desk, challenge, *own)
    page = typed(desk)
    host_broken = host.run(f"{HELPER} --typed", input=page[:200].encode(), check=False)
    assert host_broken.status == 1 and b"`end verity unlock` is missing" in host_broken.stderr
    assert not runs(host)
    done = host.run(f"{HELPER} --typed", input=page.lower().encode())
    assert "unlocked " in done.text
    assert runs(host)
    used = host.run(f"{HELPER} --typed", input=page.encode(), check=False)
    assert used.status == 1 and b"3059 used" in used.stderr
    assert "verity-unlock: unlocked " in host.run("dmesg").text
    host.run(f"{HELPER} --relock")
    assert not runs(host)
    # Python is back, and so is /var.
    host.run("chmod 755 /usr/bin/python3.*; umount /var/lib/verity")
    host.run("verity unlock status", timeout_s=120)
    assert events(host) == [("grant", True), ("end", True)]


def test_a_session_ends_with_its_time(host: Machine, desk: Path) -> None:
    ask = "--scope session --for 30s --reason 'a look around'"
    sign(desk, host.run(f"verity unlock challenge {ask}", timeout_s=120).text)
    host.push(desk / "token", "/root/token")
    inside = f"{RESCUE}/a; echo begun; for n in $(seq 100); do sleep 1; done; echo survived"
    done = host.run(
        ["verity", "unlock", "apply", "--run", inside, "/root/token"], check=False, timeout_s=240
    )
    assert "begun" in done.text and "survived" not in done.text
    assert not runs(host)


def test_an_sshd_for_the_emergency(host: Machine, desk: Path) -> None:
    """One that nobody granted: it starts in a session alone, and its logins end with that."""
    sshd = f"{RESCUE}/sshd -D -p 2222"
    login = (
        "ssh -p 2222 -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=accept-new localhost"
    )
    host.run(f"cp /usr/sbin/sshd {RESCUE}; echo >>{RESCUE}/sshd; ssh-keygen -A; mkdir -p /run/sshd")
    host.run("mkdir -p -m 700 /root/.ssh; ssh-keygen -q -N '' -t ed25519 -f /root/key")
    host.run("cp /root/key.pub /root/.ssh/authorized_keys")
    assert host.run(sshd, check=False).status == 126
    ask = "--scope session --for 60s --reason 'the other door is locked'"
    sign(desk, host.run(f"verity unlock challenge {ask}", timeout_s=120).text)
    host.push(desk / "token", "/root/token")
    host.run(f"systemd-run --quiet --unit=it verity unlock apply --run '{sshd}' /root/token")
    host.run(f"until {login} true; do sleep 0.5; done", timeout_s=120)
    inside = f"{RESCUE}/a && echo begun && sleep 100 && echo survived"
    done = host.run([*login.split(), inside], check=False, timeout_s=240)
    assert "begun" in done.text and "survived" not in done.text
    # It waited for somebody, and asked the gate nothing: the next one to knock ends it.
    assert host.run(f"{login} true", check=False).status == 255
    host.run("while systemctl is-active --quiet it; do sleep 0.5; done")
    assert host.run(f"pgrep -f ^{RESCUE}/sshd", check=False).text == ""
    assert host.run(sshd, check=False).status == 126


def test_a_drill_changes_nothing(host: Machine, desk: Path) -> None:
    sign(desk, host.run("verity unlock drill", timeout_s=120).text)
    host.push(desk / "token", "/root/token")
    done = host.run("verity unlock apply /root/token", timeout_s=120)
    assert "drill     passed" in done.text
    assert not runs(host)
    status = host.run("verity unlock status", timeout_s=120).text
    assert "locked    nothing is unlocked" in status and "drill     last practised" in status
    assert [one for one, _ in events(host)] == ["challenge", "apply", "drill"]
