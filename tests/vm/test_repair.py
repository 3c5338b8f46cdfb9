# SPDX-License-Identifier: Apache-2.0
"""`verity repair` where there is fs-verity: afterwards `verity audit` finds nothing at all."""

import pytest

from tests.vm import Machine
from tests.vm.test_chain import (
    BRANCH,
    ROOT,
    SIGNED,
    enable_all,
    findings,
    object_of,
    shipped,
    verity,
    vm,
)

__all__ = ["shipped", "vm"]

TREE = f"--root {ROOT} --commit {BRANCH} {SIGNED}"
BIN = f"{ROOT}/usr/bin"


def audit(machine: Machine) -> dict[str, tuple[str, str]]:
    """What an audit finds."""
    return findings(verity(machine, f"audit {TREE}")[1])


def repair(machine: Machine, *options: str) -> tuple[int, set[str]]:
    """The status, and what is left."""
    status, records, errors = verity(machine, " ".join(("repair", TREE, *options)))
    assert records[-1]["exit_status"] == status, errors
    return status, {one["path"] for one in records if one["type"] == "left"}


@pytest.mark.full
def test_all_is_good_afterwards(vm: Machine) -> None:
    enable_all(vm)
    assert audit(vm) == {}
    assert repair(vm) == (0, set())
    # Each kind, and a mode that is the repository's object's, too: the checkout is of hard links.
    vm.run(
        f"cp /bin/true {BIN}/new && mv {BIN}/new {BIN}/passwd && rm {ROOT}/etc/large"
        f" && chmod 777 {BIN}/sudo && ln -sfn /elsewhere {ROOT}/bin"
        f" && cp {BIN}/script {BIN}/plain && mv {BIN}/plain {BIN}/script"
        f" && cp /bin/sh {BIN}/evil && chmod 4755 {BIN}/evil && setcap cap_sys_admin+ep {BIN}/evil"
        f" && chmod 1777 {ROOT}/usr/bin"
    )
    assert audit(vm).keys() == {
        *("/usr/bin", "/usr/bin/passwd", "/usr/bin/sudo", "/usr/bin/script", "/usr/bin/evil"),
        *("/etc/large", "/bin"),
    }
    assert repair(vm, "--dry-run") == (1, {"/usr/bin/evil"})
    assert repair(vm, "--remove-unsigned") == (0, set())
    assert audit(vm) == {}
    assert vm.run(f"stat -c %h {BIN}/passwd {BIN}/sudo").text.split() == ["1", "1"]
    # A directory that nobody may change, and contents that nobody has any more.
    vm.run(
        f"rm {BIN}/script {ROOT}/etc/large {object_of(vm, '/etc/large')} && chattr +i {BIN}",
    )
    assert repair(vm) == (1, {"/usr/bin/script", "/etc/large"})
    vm.run(f"chattr -i {BIN}")
    assert repair(vm) == (1, {"/etc/large"})
    assert audit(vm).keys() == {"/etc/large"}
