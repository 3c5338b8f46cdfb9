# SPDX-License-Identifier: Apache-2.0
"""Which commit is booted, and where it lies: by the link that OSTree's argument names."""

from pathlib import Path

import pytest

from verity.ports import booted
from verity.values.errors import ContentError

COMMIT = "5a" * 32
ARGUMENT = "ostree=/ostree/boot.1/debian/abc/0"


def host(root: Path, line: str, target: str) -> None:
    """As OSTree lays it out: boot.1 is a link, too."""
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"root=/dev/vda {line}\n")
    (root / "ostree/boot.1.1/debian/abc").mkdir(parents=True)
    (root / "ostree/boot.1").symlink_to("boot.1.1")
    (root / "ostree/boot.1/debian/abc/0").symlink_to(f"../../../deploy/debian/deploy/{target}")


def test_the_deployment_that_is_booted(tmp_path: Path) -> None:
    host(tmp_path, ARGUMENT, f"{COMMIT}.0")
    assert booted.commit(tmp_path) == COMMIT
    there = tmp_path.resolve() / f"ostree/deploy/debian/deploy/{COMMIT}.0"
    assert booted.deployment(tmp_path) == there


def test_none_is_booted(tmp_path: Path) -> None:
    host(tmp_path, "quiet", f"{COMMIT}.0")
    assert booted.commit(tmp_path) is None and booted.deployment(tmp_path) is None


def test_a_link_to_no_deployment(tmp_path: Path) -> None:
    host(tmp_path, ARGUMENT, "elsewhere")
    with pytest.raises(ContentError) as error:
        booted.deployment(tmp_path)
    assert error.value.code == "bad-deployment"


def test_what_ostree_deployed(tmp_path: Path) -> None:
    there = tmp_path / f"ostree/deploy/debian/deploy/{COMMIT}.0"
    there.mkdir(parents=True)
    assert booted.is_deployed(there) and not booted.is_deployed(tmp_path)
    host(tmp_path, ARGUMENT, "elsewhere")  # which one it has booted can't be told
    assert booted.is_deployed(tmp_path)
