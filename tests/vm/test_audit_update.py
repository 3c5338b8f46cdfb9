# SPDX-License-Identifier: Apache-2.0
"""A sealed host that OSTree booted is audited, updated to a newly signed commit, booted, audited.

All areas are asked, of the running host: documents, files, code, /etc, what runs, posture,
deployments, what programs wrote. One machine for all tests, in the order of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from . import ostree_host
from .image import Image
from .machine import Machine
from .ostree_host import BRANCH, ETC_STREAM, OS, PARTS, REF, OstreeHost
from .test_audit_running import MACHINES_OWN

pytestmark = pytest.mark.full  # three boots of a whole Debian, and audits of it, under emulation

_AUDIT_S = 900.0
_KEY = "/run/user-etc.pem"


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What an audit of the running host said."""

    status: int
    records: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The records of a type."""
        return [one for one in self.records if one["type"] == kind]

    def clean(self) -> str:
        """Nothing was found but how this machine itself is started, nothing left out; its state."""
        found = [(one["check"], one["object"]) for one in self.of("finding")]
        assert found == [MACHINES_OWN], self.of("finding")
        assert self.of("not-evaluated") == []
        state: str = self.of("state")[0]["sha256"]
        assert state is not None
        return state


def audit(machine: Machine) -> Heard:
    """As an auditor at its console: with no argument but the form."""
    done = machine.run("verity audit --json", check=False, timeout_s=_AUDIT_S)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return Heard(status=done.status, records=records)


@pytest.fixture(scope="module")
def host(vm_image: Image) -> OstreeHost:
    return ostree_host.ostree_host(vm_image)


@pytest.fixture(scope="module")
def machine(host: OstreeHost) -> Iterator[Machine]:
    with ostree_host.boot(host) as machine:
        machine.push(host.private / "user-etc.pem", _KEY)
        # What its generators and its boot wrote the owner knows.
        machine.run(f"verity acknowledge --key {_KEY}", timeout_s=_AUDIT_S)
        yield machine


@pytest.fixture(scope="module")
def before(machine: Machine) -> Heard:
    return audit(machine)


def test_it_boots_from_its_deployment(machine: Machine) -> None:
    status = machine.run("ostree admin status").text
    assert status.startswith(f"* {OS} "), status
    assert "state sealed" in machine.run("cat /sys/fs/bpf/verity/status").text
    assert machine.run("test -e /usr/bin/greet", check=False).status == 1


def test_before_the_update_nothing_is_found(before: Heard) -> None:
    before.clean()


def test_it_is_updated_and_boots_into_the_new_commit(machine: Machine, before: Heard) -> None:
    assert before.of("head")
    machine.run(
        f"set -e; ostree pull vendor {BRANCH}; verity commit verify --repo /ostree/repo {REF};"
        f" ostree admin deploy --os={OS} {REF};"
        f" new=$(ostree --repo=/ostree/repo rev-parse {REF}).0;"
        f" verity objects enable --repo /ostree/repo"
        f" --checkout /ostree/deploy/{OS}/deploy/$new {REF}",
        timeout_s=_AUDIT_S,
    )
    machine.run(
        f"set -e; new=$(ostree --repo=/ostree/repo rev-parse {REF}).0; mkdir -p /run/new;"
        f" mount --bind /ostree/deploy/{OS}/deploy/$new /run/new; mount --bind /var /run/new/var;"
        " verity etc apply --root /run/new; umount -R /run/new;"
        f" verity commit show --repo /ostree/repo --grants {REF} >/{PARTS}/os.grants;"
        f" {ostree_host.bundle('')}",
        timeout_s=_AUDIT_S,
    )
    ostree_host.reboot(machine)
    assert machine.run(["/usr/bin/greet"]).text == "second"


def test_after_the_update_nothing_is_found(machine: Machine, before: Heard) -> None:
    after = audit(machine)
    assert after.clean() != before.clean()
    assert ETC_STREAM in str(after.of("signed"))
