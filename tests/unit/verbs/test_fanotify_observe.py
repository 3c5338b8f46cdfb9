# SPDX-License-Identifier: Apache-2.0
"""What the observer goes by: a boot bundle that is verified, and who is privileged.

What it hears from a kernel is in tests/vm/test_backends.py.
"""

from pathlib import Path

import pytest

from tests import boot
from tests.boot import NOW, STRANGER, USER_ROOT, VENDOR_ROOT
from tests.world import Signer
from verity.formats import bundle, kernel_keys
from verity.formats.grants import Code, CodeEntry, Party, Role
from verity.formats.kernel_policy import CAP_WAKE_ALARM
from verity.ports.fanotify import Subject
from verity.values.errors import VerityError
from verity.verbs.fanotify_observe import Known, known

GRANTED, REVOKED = b"\x01" * 32, b"\x02" * 32


def write(folder: Path, *, root: Signer = USER_ROOT, damage: bool = False) -> Known:
    """Read a bundle with two digests, one of them revoked, against pins with this user's root."""
    parts = boot.Bundle()
    code = (CodeEntry(GRANTED, Code.EXEC), CodeEntry(REVOKED, Code.EXEC))
    parts.grants = [boot.os_grants(code=code), boot.extension_grants()]
    parts.revocations = [
        boot.revoked(Party.USER, Role.ROOT, USER_ROOT, digests=(REVOKED,)),
    ]
    labelled = parts.labelled
    if damage:
        labelled[-1] = boot.altered(labelled[-1])
    (folder / "bundle").write_bytes(bundle.encode([one.fragment for one in labelled]))
    pins = []
    for party, signer in ((Party.VENDOR, VENDOR_ROOT), (Party.USER, root)):
        pins.append(folder / f"{party.name}.pin")
        pins[-1].write_bytes(kernel_keys.encode_pin(boot.pin(party, signer)))
    return known(folder / "bundle", pins, now=NOW)


def test_what_is_granted_and_not_revoked(tmp_path: Path) -> None:
    found = write(tmp_path)
    assert found.code == {GRANTED: Code.EXEC}
    assert found.revoked == {REVOKED}


@pytest.mark.parametrize("wrong", [{"root": STRANGER}, {"damage": True}])
def test_a_bundle_that_the_gate_would_refuse_counts_for_nothing(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(VerityError):
        write(tmp_path, **wrong)  # type: ignore[arg-type]  # one of two keywords, by row


def subject(
    uids: tuple[int, ...] = (1000,), gids: tuple[int, ...] = (1000,), capabilities: int = 0
) -> Subject:
    return Subject(
        comm=b"tool",
        uids=frozenset(uids),
        effective=uids[0],
        gids=frozenset(gids),
        capabilities=capabilities,
    )


@pytest.mark.parametrize(
    ("who", "privileged"),
    [
        (subject(), False),
        (subject(uids=(0,)), True),
        (subject(uids=(1000, 0)), True),  # a saved one alone
        (subject(gids=(1000, 6)), True),
        (subject(gids=(1000, 7)), False),
        (subject(capabilities=1), True),
        (subject(capabilities=1 << CAP_WAKE_ALARM), False),
    ],
)
def test_who_is_privileged(tmp_path: Path, who: Subject, privileged: bool) -> None:
    assert write(tmp_path).privileged(who) is privileged
