# SPDX-License-Identifier: Apache-2.0
"""What may be staged for the next boot; that it is put there is tests/vm/test_boot_stage.py's."""

from pathlib import Path

import pytest

from tests import boot
from verity.formats import bundle, fsverity
from verity.formats.grants import ConfigEntry, ConfigKind, Party, Role
from verity.formats.records import RecordKind
from verity.values.errors import VerityError
from verity.verbs import lockdown_stage

KERNEL, ENTRY, GRUB = "vmlinuz-2", "loader/entries/two.conf", "grub/grub.cfg"


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
            digest=fsverity.digest_bytes(f"new {name}".encode()).value,
        )
        for name in (KERNEL, ENTRY)
    ]
    blob = boot.grants_blob(Party.USER, Role.ETC, "etc", code=(), config=tuple(sorted(entries)))
    made = boot.signed("etc.grants", RecordKind.GRANTS, blob, boot.EXTENSION)
    (tmp_path / "new.bundle").write_bytes(bundle.encode([made.fragment]))
    (tmp_path / "host/boot/loader/entries").mkdir(parents=True)
    (tmp_path / "host/boot" / ENTRY).write_text("old entry")
    return tmp_path


def examine(update: Path) -> lockdown_stage.Update:
    return lockdown_stage.examine(update / "new.bundle", update / "boot", update / "host")


def refused(update: Path) -> str:
    with pytest.raises(VerityError) as caught:
        examine(update)
    assert caught.value.hint
    return f"{caught.value.code}: {caught.value.message}"


def test_what_is_granted_at_its_path_may_be_staged(update: Path) -> None:
    found = examine(update)
    assert [file.path for file in found.files] == [f"/boot/{ENTRY}".encode(), b"/boot/vmlinuz-2"]
    assert list(found.files.values()) == [update / "boot" / ENTRY, update / "boot" / KERNEL]
    assert found.bundle == (update / "new.bundle").read_bytes()


def test_another_content_is_refused(update: Path) -> None:
    (update / "boot" / KERNEL).write_text("altered")
    assert refused(update).startswith("not-granted: ")


def test_granted_contents_at_another_path_are_refused(update: Path) -> None:
    (update / "boot" / KERNEL).rename(update / "boot/vmlinuz-3")
    assert "put no such file at /boot/vmlinuz-3" in refused(update)


def test_what_is_booted_from_now_is_not_replaced(update: Path) -> None:
    """But by the same contents; an entry is, or nothing new would ever be started."""
    present = update / "host/boot" / KERNEL
    present.write_text("old kernel")
    assert refused(update).startswith("would-replace: ")
    present.write_text(f"new {KERNEL}")
    assert len(examine(update).files) == 2


@pytest.mark.parametrize("counts", [False, True])
def test_what_grub_would_not_count_is_told(tmp_path: Path, counts: bool) -> None:
    config = b"load_env --file $prefix/verity.env verity_tries\n" if counts else b"linux /v\n"
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot" / GRUB).write_bytes(config)
    entry = ConfigEntry(
        path=f"/boot/{GRUB}".encode(),
        kind=ConfigKind.FILE,
        digest=fsverity.digest_bytes(config).value,
    )
    blob = boot.grants_blob(Party.USER, Role.ETC, "etc", code=(), config=(entry,))
    made = boot.signed("etc.grants", RecordKind.GRANTS, blob, boot.EXTENSION)
    (tmp_path / "new.bundle").write_bytes(bundle.encode([made.fragment]))
    notes = examine(tmp_path).notes
    assert [note.partition(": ")[2] for note in notes] == (
        [] if counts else ["GRUB won't count the boots of it: it lacks what 01_verity puts there"]
    )


@pytest.mark.parametrize("data", [b"", b"\1\0\0\0\0\0\0\0", b"x" * 100])
def test_a_bundle_that_is_none(update: Path, data: bytes) -> None:
    (update / "new.bundle").write_bytes(data)
    with pytest.raises(VerityError, match="bundle"):
        lockdown_stage.examine(update / "new.bundle", None, update / "host")


def test_an_empty_directory_is_a_mistake(update: Path) -> None:
    for name in (KERNEL, ENTRY):
        (update / "boot" / name).unlink()
    assert refused(update).startswith("bad-arguments: ")


def test_what_waits_already_is_not_forgotten_by_accident(update: Path) -> None:
    (update / "host/var/lib/verity/next").mkdir(parents=True)
    with pytest.raises(VerityError) as caught:
        lockdown_stage.stage(examine(update), update / "host")
    assert (caught.value.code, caught.value.hint) == (
        "already-staged",
        "reboot, or give --replace",
    )
