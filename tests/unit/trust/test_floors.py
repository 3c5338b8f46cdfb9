# SPDX-License-Identifier: Apache-2.0
"""Serial floors: what makes one, and what it rules out."""

from dataclasses import replace

import pytest

from tests.world import ISSUED, JUST_VENDOR, OTHER, VENDOR, World, trusted
from verity.formats import statement
from verity.formats.grants import Role
from verity.formats.statement import Statement
from verity.trust import floors
from verity.trust.clock import RELEASED, TOLERANCE
from verity.trust.floors import Floor
from verity.trust.revocations import Revocations
from verity.trust.verified import verify_statement
from verity.values.errors import ContentError

SAID = statement.parse(World().statement)
FLOOR = Floor(source="f", serial=5, issued=ISSUED, subjects=SAID.subjects)


def test_the_name_says_party_and_role() -> None:
    source = verify_statement([World().envelope], JUST_VENDOR)
    assert floors.name(JUST_VENDOR, source.statement.stream) == "vendor.os.os"


def test_a_floor_is_what_was_signed() -> None:
    floor = floors.of_statement([World().envelope], JUST_VENDOR, stream="os", source="f")
    assert floor == FLOOR


@pytest.mark.parametrize(
    ("envelopes", "words"),
    [
        ([], "0 verity statements"),
        ([b"{"], "f: "),
        ([World(signers=(OTHER,)).envelope], "signed by 0 of the trusted owners"),
        ([World(statement_changes={"stream": "sid"}).envelope], "of the stream sid, not os"),
    ],
    ids=["nothing", "damaged", "another-key", "another-stream"],
)
def test_what_is_no_floor(envelopes: list[bytes], words: str) -> None:
    with pytest.raises(ContentError) as caught:
        floors.of_statement(envelopes, JUST_VENDOR, stream="os", source="f")
    assert caught.value.code == "bad-floor"
    assert words in caught.value.message


def test_a_revoked_key_makes_no_floor() -> None:
    keys = replace(JUST_VENDOR, revocations=Revocations(keys=frozenset({VENDOR.public.key_id})))
    with pytest.raises(ContentError, match="revoked") as caught:
        floors.of_statement([World().envelope], keys, stream="os", source="f")
    assert caught.value.code == "bad-floor"


def test_a_revoked_serial_still_was_accepted() -> None:
    gone = Revocations(serials={"os": 9}, digests=frozenset({SAID.subjects["manifest"]}))
    keys = replace(JUST_VENDOR, revocations=gone)
    assert floors.of_statement([World().envelope], keys, stream="os", source="f") == FLOOR


def test_grants_of_a_boot_bundle_are_a_floor() -> None:
    world = World()
    floor = floors.of_grants(
        world.grants, world.grants_signatures, JUST_VENDOR, stream="os", source="b"
    )
    assert floor is not None
    assert (floor.serial, floor.issued, floor.source) == (5, ISSUED, "b")
    assert floor.subjects == {name: SAID.subjects[name] for name in ("grants", "manifest")}


def test_grants_of_others_are_none() -> None:
    world = World()
    signatures = world.grants_signatures
    assert floors.of_grants(world.grants, signatures, JUST_VENDOR, stream="x", source="b") is None
    others = trusted(("vendor", VENDOR), role=Role.ETC)
    assert floors.of_grants(world.grants, signatures, others, stream="os", source="b") is None


def test_grants_that_nobody_signed_are_an_error() -> None:
    unsigned = World(grants_signers=(OTHER,))
    with pytest.raises(ContentError, match="grants of b: signed by 0"):
        floors.of_grants(
            unsigned.grants, unsigned.grants_signatures, JUST_VENDOR, stream="os", source="b"
        )


def of_serial(serial: int, **subjects: bytes) -> Statement:
    return replace(SAID, serial=serial, subjects={**SAID.subjects, **subjects})


@pytest.mark.parametrize("serial", [5, 6, 2**53 - 1])
def test_what_counts(serial: int) -> None:
    floors.check(of_serial(serial), FLOOR)


@pytest.mark.parametrize("serial", [1, 4])
def test_below_the_floor(serial: int) -> None:
    with pytest.raises(ContentError, match=f"serial {serial} of .* this host has accepted 5") as no:
        floors.check(of_serial(serial), FLOOR)
    assert no.value.code == "below-floor"


@pytest.mark.parametrize("subject", ["boot", "commit", "grants", "manifest"])
def test_equivocation(subject: str) -> None:
    with pytest.raises(ContentError, match=f"with the {subject} {'07' * 32}; this host") as caught:
        floors.check(of_serial(5, **{subject: b"\7" * 32}), FLOOR)
    assert caught.value.code == "equivocation"
    # With a higher number it is simply the next version.
    floors.check(of_serial(6, **{subject: b"\7" * 32}), FLOOR)


def test_a_clock_that_was_set_back() -> None:
    back = RELEASED + 10
    floor = replace(FLOOR, issued=back + 9)
    assert floors.reference_time(back, [floor, replace(floor, issued=1)]) == back + 9
    assert floors.reference_time(back + 20, [floor]) == back + 20
    assert floors.reference_time(7, []) == RELEASED


def test_a_floor_ahead_of_the_clock_moves_no_time() -> None:
    far = replace(FLOOR, issued=RELEASED + 99 * TOLERANCE)
    near = replace(FLOOR, issued=RELEASED + 9)
    assert floors.reference_time(RELEASED, [far, near]) == RELEASED + 9
    # A clock that was never set says nothing against it.
    assert floors.reference_time(0, [far, near]) == far.issued
