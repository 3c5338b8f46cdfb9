# SPDX-License-Identifier: Apache-2.0
"""What a keyring revokes stays out of a boot bundle, unless the bundle tells the gate of it."""

from collections.abc import Sequence

import pytest

from tests.boot import (
    EXTENSION,
    OS,
    STRANGER,
    USER_ROOT,
    VENDOR_ROOT,
    Bundle,
    os_grants,
    revoked,
)
from verity.formats.grants import Party, Role
from verity.trust import boot_revoked
from verity.trust.boot_bundle import Labelled
from verity.trust.revocations import Revocations
from verity.values.errors import ContentError

GONE = b"\x01" * 32  # of the grants in tests.boot
KEYRINGS = {party: Revocations(digests=frozenset({GONE})) for party in Party}
SIGNERS = {
    (Party.VENDOR, Role.ROOT): VENDOR_ROOT,
    (Party.VENDOR, Role.OS): OS,
    (Party.USER, Role.ROOT): USER_ROOT,
    (Party.USER, Role.ETC): STRANGER,
    (Party.USER, Role.EXTENSION): EXTENSION,
}


def names(party: Party, role: Role) -> Labelled:
    """A list of this role that names the digest."""
    return revoked(party, role, SIGNERS[party, role], digests=(GONE,))


def check(lists: Sequence[Labelled], *grants: Labelled) -> None:
    bundle = Bundle(revocations=list(lists), grants=list(grants))
    boot_revoked.check(bundle.labelled, bundle.pins, KEYRINGS)


TAKES_IT_FROM_THE_VENDOR = {
    (Party.VENDOR, Role.ROOT),
    (Party.VENDOR, Role.OS),
    (Party.USER, Role.ROOT),
}


@pytest.mark.parametrize("place", sorted(SIGNERS))
def test_a_digest_of_the_vendors(place: tuple[Party, Role]) -> None:
    """A role of the user's takes nothing from the vendor in the gate, whatever it names."""
    if place in TAKES_IT_FROM_THE_VENDOR:
        check([names(*place)], os_grants())
        return
    with pytest.raises(ContentError, match=r"os\.grants: an entry has the digest") as caught:
        check([names(*place)], os_grants())
    assert caught.value.code == "revoked-digest"


TAKES_IT_FROM_THE_EXTENSION = {(Party.USER, Role.EXTENSION), (Party.USER, Role.ROOT)}


@pytest.mark.parametrize("place", sorted(SIGNERS))
def test_a_digest_of_an_extension(place: tuple[Party, Role]) -> None:
    if place in TAKES_IT_FROM_THE_EXTENSION:
        check([names(*place)], Bundle().grants[1])
        return
    with pytest.raises(ContentError, match=r"tools\.grants: an entry has the digest"):
        check([names(*place)], Bundle().grants[1])


def test_two_lists_together() -> None:
    check([names(Party.VENDOR, Role.OS), names(Party.USER, Role.EXTENSION)], *Bundle().grants)


def test_a_digest_that_no_list_names() -> None:
    with pytest.raises(ContentError) as caught:
        check([], os_grants())
    assert caught.value.code == "revoked-digest"
