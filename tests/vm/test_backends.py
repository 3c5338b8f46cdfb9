# SPDX-License-Identifier: Apache-2.0
"""The back ends beside the gate, on a Debian whose code is granted and has fs-verity.

First the observer, which changes nothing; then IMA, whose policy stays until the machine ends. The
order of the tests is that of the file: the policy is loaded once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.boot import OS
from tests.vm import Image, Machine
from tests.vm import gate_world as world
from tests.vm.verity_root import verity_root
from tests.world import Signer
from verity.formats import dump
from verity.formats.kernel_policy import Mode
from verity.verbs.manifest import read_directory

pytestmark = pytest.mark.full

AT = "/opt/backends"
SEEN_S = 5
LEFT_OUT = tuple(
    b"/%b/" % name
    for name in (b"home", b"usr/lib/firmware", b"usr/lib/modules", b"usr/share", b"var")
)
MODULE = b"/dummy.ko"
PROGRAM = "/bin/sleep"


@pytest.fixture(scope="module")
def vm(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with keys, boot bundle, manifest and grants in AT, and unsigned programs."""
    image = verity_root(vm_image)
    made = tmp_path_factory.mktemp("backends") / "backends"
    made.mkdir()
    world.pins(made)
    bundle = [
        world.vendor_keys(),
        world.user_keys(),
        world.policy(Mode.OBSERVE),
        world.os_grants(image),
    ]
    (made / "boot.bundle").write_bytes(world.encode(bundle))
    (made / "os.grants").write_bytes(world.encode([world.os_grants(image)]))
    entries = [node.entry for node in read_directory(image.tree)]
    # All but a few of thousands of modules and the like: signing takes long under emulation.
    kept = [one for one in entries if not _left_out(one.path) or one.is_directory]
    (made / "os.manifest").write_bytes(dump.serialise(kept))
    _key(made / "ima.pem", OS)
    # No snapshot: a machine of this wheel is booted here and nowhere else.
    with Machine.boot("system", image, fresh=True) as machine:
        machine.push(made, AT)
        machine.run(
            f"chmod 600 {AT}/ima.pem; cd {AT} && for name in plain unsigned; do"
            f" cp {PROGRAM} $name; echo $name >>$name; done; fsverity enable unsigned;"
            " printf '#!/bin/sh\\nsleep $1\\n' >script; chmod 755 script;"
            " cp /usr/lib/x86_64-linux-gnu/libm.so.6 library.so;"
            f" cp plain /run/elsewhere; chown user {AT}"
        )
        yield machine


def _left_out(path: bytes) -> bool:
    return path.startswith(LEFT_OUT) and MODULE not in path


def _key(path: Path, signer: Signer) -> None:
    secret = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret)
    path.with_name(f"{path.name}.pub").write_text(signer.public.pem)


def verity(machine: Machine, command: str, status: int = 0, **how: Any) -> list[dict[str, Any]]:
    done = machine.run(f"verity lockdown {command} --json", check=False, timeout_s=400, **how)
    assert done.status == status, done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def stance(machine: Machine, backend: str) -> dict[str, list[int]]:
    (record,) = (one for one in verity(machine, "status") if one["type"] == "lockdown")
    (found,) = (one["attacks"] for one in record["backends"] if one["name"] == backend)
    return dict(found)


# --- the observer ---------------------------------------------------------------------------


class Observer:
    """The observer as a process of the machine; its records are in a file."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        # Its own interpreter is signed, and it was started before it could be watched.
        machine.run(
            f"cd {AT}; verity lockdown fanotify / --json --bundle boot.bundle --pin vendor.pin"
            " --pin user.pin >seen 2>said & echo $! >observer",
            timeout_s=60,
        )
        self._until("grep -q observing said")

    def _until(self, command: str) -> None:
        for _ in range(300):
            waited = self.machine.run(
                f"cd {AT}; {command} && exit 0; kill -0 $(cat observer) || exit 2; exit 1",
                check=False,
            )
            if waited.status == 0:
                return
            if waited.status == 2:
                break
            time.sleep(0.2)
        pytest.fail(self.machine.run(f"cat {AT}/said {AT}/seen", check=False).text)

    def signal(self, name: str) -> None:
        self.machine.run(f"kill -{name} $(cat {AT}/observer)")

    def records(self, marker: str) -> list[dict[str, Any]]:
        """Everything seen until a program of this name was, which is started for it."""
        self.machine.run(f"cp {AT}/plain {AT}/{marker} && {AT}/{marker} 0")
        self._until(f"grep -q {AT}/{marker} seen")
        text = self.machine.run(["cat", f"{AT}/seen"]).text
        found = [json.loads(line) for line in text.splitlines()]
        return [one for one in found if one["path"] != f"{AT}/{marker}"]


def test_the_observer_writes_down_what_the_gate_would_deny(vm: Machine) -> None:
    assert stance(vm, "fanotify") == {"not-covered": list(range(1, 28))}
    observer = Observer(vm)
    assert stance(vm, "fanotify")["observed"] == [1, 2, 10, 14, 15]
    # Refused: only one at a time.
    verity(vm, f"fanotify --bundle {AT}/boot.bundle --pin {AT}/vendor.pin --pin {AT}/user.pin", 3)
    # They live long enough for it to see whose they are; all at once, so that it takes no longer.
    acts = (
        *(f"{AT}/{name}" for name in ("plain", "unsigned", "script")),
        PROGRAM,
        "/run/elsewhere",
    )
    vm.run("".join(f"{act} {SEEN_S} & " for act in acts) + "wait")
    vm.run(f"{AT}/plain {SEEN_S} & {PROGRAM} {SEEN_S} & wait", user="user")
    records = observer.records("marker")
    assert {one["type"] for one in records} == {"denial"}
    seen = [(one["path"], one["reason"], one["uid"]) for one in records]
    for name, reason in (
        ("plain", "no-digest"),
        ("unsigned", "not-granted"),
        ("script", "no-digest"),
    ):
        assert seen.count((f"{AT}/{name}", reason, 0)) == 1, seen
    assert not [one for one in seen if one[2] != 0 or one[0].startswith(("/usr/bin/", "/run/"))]
    (unsigned,) = (one for one in records if one["path"] == f"{AT}/unsigned")
    measured = vm.run(f"fsverity measure {AT}/unsigned").text.split()[0]
    assert (unsigned["digest"], unsigned["denied"], unsigned["act"]) == (measured, False, "exec")
    assert [one["seq"] for one in records] == list(range(1, len(records) + 1))

    # Stopped, it holds nobody up: with permission events this would hang. What it missed it tells.
    observer.signal("STOP")
    vm.run(f"{AT}/plain 0 && {AT}/script 0 && {PROGRAM} 0", timeout_s=30)
    observer.signal("CONT")
    late = [one for one in observer.records("later") if one["path"] != f"{AT}/marker"]
    late = [one for one in late if one["type"] == "unattributed"]
    assert [(one["path"], one["reason"]) for one in late] == [
        (f"{AT}/plain", "no-digest"),
        (f"{AT}/script", "no-digest"),
    ]
    observer.signal("TERM")
    vm.run(f"tail --pid=$(cat {AT}/observer) -f /dev/null")
    assert stance(vm, "fanotify") == {"not-covered": list(range(1, 28))}


# --- IMA ------------------------------------------------------------------------------------

SIGN = f"ima sign --key {AT}/ima.pem --manifest {AT}/os.manifest --grants {AT}/os.grants /"
LOAD = f"ima load --key {AT}/ima.pem.pub"
ROOT_ACTS = (f"{AT}/plain 0", f"{AT}/unsigned 0", f"{AT}/script 0", "/run/elsewhere 0")


def refused(machine: Machine, command: str) -> None:
    done = machine.run(command, check=False)
    assert done.status != 0
    assert b"ermission denied" in done.stderr or b"failed to map" in done.stderr, done.stderr


def test_nothing_is_loaded_while_what_runs_is_unsigned(vm: Machine) -> None:
    found = verity(vm, LOAD, 1)
    assert "unsigned-code" in {one.get("check") for one in found}
    assert verity(vm, "ima status")[0]["state"] == "open"
    (error,) = verity(vm, LOAD, 3, user="user")  # who can't look at all that runs proves nothing
    assert error["code"] == "no-permission"
    assert stance(vm, "ima") == {"not-covered": list(range(1, 28))}
    vm.run(ROOT_ACTS[0])


def test_all_that_is_granted_is_signed_and_stays_so(vm: Machine) -> None:
    first = [one for one in verity(vm, SIGN) if one["type"] == "file"]
    states = {one["path"]: one["state"] for one in first}
    assert set(states.values()) <= {"signed", "already"}  # already: by another name of it
    assert states["/usr/bin/true"] == "signed"
    assert {one["form"] for one in first if MODULE.decode() in one["path"]} == {"content"}
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6" in states
    # A run that was cut off goes on where it ended.
    vm.run("setfattr -x security.ima /usr/bin/true")
    again = [one for one in verity(vm, SIGN) if one["type"] == "file"]
    assert [one["path"] for one in again if one["state"] == "signed"] == ["/usr/bin/true"]


def test_what_cannot_be_signed_is_named(vm: Machine) -> None:
    vm.run(f"mkdir -p {AT}/tree/usr/bin && cp /usr/bin/true {AT}/tree/usr/bin/")
    entries = "\n".join(
        line
        for line in vm.run(["cat", f"{AT}/os.manifest"]).text.splitlines()
        if line.split(" ")[0] in ("/", "/usr", "/usr/bin", "/usr/bin/true", "/usr/bin/false")
    )
    vm.run(f"cat >{AT}/few", input=f"{entries}\n".encode())
    command = SIGN.replace("os.manifest", "few").removesuffix("/") + f"{AT}/tree"
    found = verity(vm, command, 3)
    assert {one["code"] for one in found if one["type"] == "error"} == {"no-verity", "not-found"}


def test_the_policy_refuses_root_what_nobody_signed(vm: Machine) -> None:
    for act in ROOT_ACTS:
        vm.run(act)
    verity(vm, LOAD)
    (status,) = verity(vm, "ima status")
    assert status["state"] == "enforcing"
    assert "stopped" not in status["attacks"]
    assert stance(vm, "ima") == {"unknown": list(range(1, 28))}
    for act in ROOT_ACTS:
        refused(vm, act)
    refused(vm, f"LD_PRELOAD= python3 -c 'import ctypes; ctypes.CDLL(\"{AT}/library.so\")'")
    # The controls: what is signed runs, and an ordinary user is not asked.
    vm.run([PROGRAM, "0"])
    vm.run("systemd-run --wait -q /bin/true && systemctl daemon-reload && python3 -c 'import ssl'")
    vm.run(f"{AT}/plain 0 && {AT}/unsigned 0 && {AT}/script 0", user="user")


def test_modules_need_a_signature_over_their_contents(vm: Machine) -> None:
    good = vm.run("find /usr/lib/modules -name 'dummy.ko*'").text.strip()
    refused(vm, "insmod $(find /usr/lib/modules -name 'nlmon.ko*')")
    vm.run(f"insmod {good} && grep -q '^dummy ' /proc/modules && rmmod dummy")


_TAKES = """
keyctl newring _ima @s
for ring in $(awk '$8 == "keyring" && $9 == "_ima:" {print $1}' /proc/keys); do
    echo x | keyctl padd user x 0x$ring && echo took || echo refused
done
"""


def test_the_policy_and_its_keys_stay(vm: Machine) -> None:
    again = vm.run(f"verity lockdown {LOAD}", check=False)
    assert again.status == 3
    assert b"a policy was loaded" in again.stderr
    assert vm.run("echo dont_appraise >/sys/kernel/security/ima/policy", check=False).status != 0
    # The kernel's keyring takes no key; one of the attacker's own with that name is another one.
    said = vm.run(["keyctl", "session", "-", "sh", "-c", _TAKES]).text
    assert sorted(re.findall(r"^(?:took|refused)$", said, re.MULTILINE)) == ["refused", "took"]
    refused(vm, ROOT_ACTS[1])
    vm.run([PROGRAM, "0"])
