# SPDX-License-Identifier: Apache-2.0
"""What may be staged for the next boot; that it is put there is tests/vm/test_boot_stage.py's."""

from pathlib import Path

import pytest

from tests import boot
from verity.formats import bundle, fsverity
from verity.formats.grants import ConfigEntry, ConfigKind, Party, Role
from verity.values.errors import VerityError
from verity.verbs import lockdown_stage

KERNEL, ENTRY = "vmlinuz-2", "loader/entries/two.conf"


@pytest.fixture
def update(tmp_path: Path) -> Path:
    """new.bundle grants what is in the directory boot; the host is the directory host."""
    for name in (KERNEL, ENTRY):
        path = tmp_path / "boot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"new {name}")
    entries = [
        ConfigEntry(
            path=f"/boot/{name}".encode(),
            kind=ConfigKind.FILE,
            digest=fsverity.digest(f"new {name}".encode()).value,
        )
        for name in (KERNEL, ENTRY)
    ]
    made = boot.grants(
        "etc-host", Party.USER, Role.ETC, code=(), config=tuple(sorted(entries))
    )
    (tmp_path / "new.bundle").write_bytes(bundle.encode([made.fragment]))
    (tmp_path / "host/boot/loader/entries").mkdir(parents=True)
    (tmp_path / "host/boot" / ENTRY).write_text("old entry")
    return tmp_path


def refused(update: Path) -> str:
    with pytest.raises(VerityError) as caught:
        lockdown_stage.stage(update / "new.bundle", update / "boot", update / "host")
    assert caught.value.hint
    assert not (update / "host/var/lib/verity/next").exists()
    return f"{caught.value.code}: {caught.value.message}"
