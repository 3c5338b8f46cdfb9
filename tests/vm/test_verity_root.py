# SPDX-License-Identifier: Apache-2.0
"""The root disk with fs-verity everywhere: a Debian that boots from it, and boots again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from verity.ports.content import digest_path

from .image import Image
from .machine import Machine
from .verity_root import IN_PLACE, verity_files, verity_root

# What a writer would say to a file that it may not change. The agent logs commands, this one too.
_COMPLAINTS = "[O]peration not permitted|[P]ermission denied|[E]PERM|[E]ACCES"


@pytest.fixture(scope="module")
def image(vm_image: Image) -> Image:
    return verity_root(vm_image)


@pytest.fixture(scope="module")
def vm(image: Image) -> Iterator[Machine]:
    with Machine.boot("system", image) as machine:
        yield machine


def healthy(machine: Machine) -> None:
    assert machine.run("systemctl --failed --no-legend").text == ""
    assert machine.run("systemctl is-system-running", check=False).text == "running"
    complaints = machine.run(f"journalctl -b --no-hostname -o cat | grep -E '{_COMPLAINTS}' || :")
    assert complaints.text == ""


def test_every_file_that_is_listed_has_verity_and_no_other(vm: Machine, image: Image) -> None:
    flags = vm.run(
        "find / -xdev \\( -path /home -o -path /var \\) -prune -o -type f -print0"
        " | xargs -0 lsattr -d"
    ).text
    has = {line.split(None, 1)[1] for line in flags.splitlines() if "V" in line.split()[0]}
    hasnt = {line.split(None, 1)[1] for line in flags.splitlines()} - has
    assert has == {f"/{path}" for path in verity_files(image.tree)}
    assert hasnt == {f"/{path}" for path in IN_PLACE}


def test_the_digests_are_those_of_the_tree(vm: Machine, image: Image) -> None:
    for path in ("usr/bin/bash", "etc/hostname", "etc/.updated"):
        measured = vm.run(["fsverity", "measure", f"/{path}"]).text.split()[0]
        assert measured == str(digest_path(image.tree / path))


@pytest.mark.full
def test_debian_boots_shuts_down_and_boots_again(image: Image) -> None:
    with Machine.boot("system", image, fresh=True) as machine:
        healthy(machine)
        first = machine.run(["cat", "/etc/machine-id"]).text
        # An ordinary administrator's changes: files are replaced by renaming.
        machine.run("useradd other && passwd -d other && ldconfig && hostnamectl hostname other")
        machine.run("ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key")
        machine.run("systemctl start ssh && systemctl is-active ssh")
        machine.shutdown()
        machine.boot_again()
        healthy(machine)
        assert machine.run(["cat", "/etc/machine-id"]).text == first != ""
        assert machine.run(["id", "-un", "other"]).text == "other"
        assert machine.run("cat /etc/hostname").text == "other"
