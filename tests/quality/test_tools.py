# SPDX-License-Identifier: Apache-2.0
"""The programs that the quick tests start are there: a test that is skipped proves nothing."""

import shutil
from pathlib import Path

import pytest

from tests.vm.image import APT_PACKAGES

# program: the Debian package that brings it
PROGRAMS = {
    "fsverity": "fsverity",
    "git": "git",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "openssl": "openssl",
    "pkcs11-tool": "opensc",
    "ostree": "ostree",
    "setfattr": "attr",
    "softhsm2-util": "softhsm2",
    "xmllint": "libxml2-utils",
}


def packages() -> set[str]:
    lines = Path("tests/packages.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_is_there(program: str) -> None:
    assert shutil.which(program), f"apt-get install {PROGRAMS[program]} (or: make prepare)"


def test_make_prepare_installs_every_program() -> None:
    assert set(PROGRAMS.values()) <= packages()


def test_make_prepare_installs_what_the_test_machines_need() -> None:
    assert set(APT_PACKAGES) <= packages()


def test_every_package_says_why() -> None:
    for line in Path("tests/packages.txt").read_text().splitlines():
        assert line.startswith("#") or len(line.split()) > 1, line
