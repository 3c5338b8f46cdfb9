# SPDX-License-Identifier: Apache-2.0
"""Each spoiled system is found by the right check and nothing else; the clean one by none.

All in one machine, which goes back to the clean system each time. The short tier takes some of
them, others each day.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.daily import is_due

from .audited import (
    BRANCHES,
    CLEAN,
    ETC_STREAM,
    KEPT,
    OS_STREAM,
    REPO,
    ROOT,
    TOOLS_STREAM,
    TRUSTED,
    Audited,
    audited,
    make_disk,
)
from .image import Image
from .tampered import PRELUDE, TAMPERINGS, Tampering

_ONE_IN = 12


@pytest.fixture(scope="module")
def system(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    disk = make_disk(vm_image, tmp_path_factory.mktemp("audited"))
    with audited(vm_image, disk) as system:
        yield system


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == kind]


def test_the_clean_system_has_no_finding(system: Audited) -> None:
    status, records = system.audit()
    assert of_type(records, "finding") == []
    assert of_type(records, "not-evaluated") == []
    assert status == 0
    state = of_type(records, "state")[0]["sha256"]
    parts = f"os:{OS_STREAM}=/run/m etc:{ETC_STREAM}={ROOT}"
    parts += f" extension:{TOOLS_STREAM}={KEPT}/manifest"
    shown = system.machine.run(
        f"verity manifest make --repo={REPO} --output /run/m {BRANCHES[0]} >/run/made"
        f" && verity manifest show --checksum {parts} --root {ROOT}"
    )
    assert shown.text == f"state: sha256:{state}"
    assert system.audit("--deep")[0] == 0


def test_the_updated_system_has_no_finding(system: Audited) -> None:
    """To a newly signed commit: other files, and the same /etc."""
    before = of_type(system.audit()[1], "state")[0]["sha256"]
    system.machine.run(
        f"set -e; cd {ROOT}; mkdir ../new;"
        f" ostree --repo={REPO} checkout -H {BRANCHES[1]} ../new/host;"
        f" verity objects enable --repo {REPO} {TRUSTED} {BRANCHES[1]};"
        " find ../new/host -xdev -type f -empty -exec verity enable {} + >/dev/null;"
        " rmdir ../new/host/etc ../new/host/var; mv etc var ../new/host/;"
        " mv usr/share/tools ../new/host/usr/share/; cd ..;"
        " mv host old; mv new/host host;"
        f" verity commit verify --accept --root {ROOT} --repo {REPO} {TRUSTED} {BRANCHES[1]}"
    )
    system.bundle(branch=BRANCHES[1])
    status, records = system.audit(branch=BRANCHES[1])
    assert of_type(records, "finding") == []
    assert status == 0
    assert of_type(records, "state")[0]["sha256"] not in (None, before)
    # What is older is known for what it is.
    assert {one["check"] for one in of_type(system.audit()[1], "finding")} >= {"below-floor"}
    system.machine.restore(CLEAN)


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param(
            one, id=str(one), marks=[] if is_due(index, one_in=_ONE_IN) else [pytest.mark.full]
        )
        for index, one in enumerate(TAMPERINGS)
    ],
)
def test_it_is_found_and_nothing_else(system: Audited, tampering: Tampering) -> None:
    system.machine.restore(CLEAN)
    system.machine.run(f"cd {ROOT}\n{PRELUDE}\n{tampering.do}")
    if tampering.deep:
        assert system.audit()[0] == 0
    status, records = system.audit(*["--deep"] * tampering.deep)
    findings = of_type(records, "finding")
    assert {finding["check"] for finding in findings} == set(tampering.finds), findings
    if tampering.gap is not None:
        gaps = of_type(records, "not-evaluated")
        assert {gap["check"] for gap in gaps} == set(tampering.gap), gaps
    if tampering.object:
        assert tampering.object in {finding["object"] for finding in findings}
    assert all(finding["remedy"] and finding["link"] for finding in findings)
    assert status == 1
    is_changed = any(finding["area"] in ("files", "etc") for finding in findings)
    is_known = of_type(records, "state")[0]["sha256"] is not None
    assert is_known == (not is_changed and not tampering.stateless)


def test_every_tampering_has_a_name_of_its_own() -> None:
    names = [str(one) for one in TAMPERINGS]
    assert len(set(names)) == len(names) >= 80
