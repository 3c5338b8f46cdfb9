# SPDX-License-Identifier: Apache-2.0
"""What a host's user revokes counts, whatever the command line leaves out."""

import pytest

from tests.cli.program import assert_clean_error, copy, verity
from tests.cli.test_keyring_trust import ETC, LIB, PIN, VERIFY, findings, run, user_keyring
from tests.cli.test_keyring_trust import host as host
from tests.cli.worlds import REF, World
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.values.errors import HostError
from verity.verbs import keyring_trust

JUST_VENDOR = (*VERIFY, "--pin", PIN)
OFF = "--insecure-without-user-revocations"


def test_a_pin_of_the_vendor_alone_does_not_take_them_away(host: World) -> None:
    run(host.path, *JUST_VENDOR, REF)
    user_keyring(host, "--lowest", "os:2")
    done = verity(*JUST_VENDOR, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["revoked-serial"])
    (note,) = [one["text"] for one in done.of_type("note")]
    assert note == "what the user of host revokes counts, too: host/etc/verity/pins/user.pin"


def test_nor_does_a_directory_of_the_vendors_keyring(host: World) -> None:
    copy(host.path / LIB, host.path / "brought")
    user_keyring(host, "--revoke-key", keystore.load_public(host.path / "vroot.pem.pub").key_id)
    done = verity(*JUST_VENDOR, "--keyring", "brought", REF, cwd=host.path)
    assert done.status == 1
    assert_clean_error(done, ("signed by 0 root owners", "revoked"), hint=True)


def test_a_users_pin_gives_no_right_to_who_names_the_vendors(host: World) -> None:
    """An auditor who brings the vendor's pin doesn't trust who signs the host's /etc."""
    user_keyring(host, "--lowest", "os:2")
    named = keyring_trust.host_pins(host.path / "host")
    named.pop(Party.USER)
    found = keyring_trust.find(named, None, host=host.path / "host")
    assert found.trusted(Role.OS).revocations.serials == {"os": 2}
    with pytest.raises(HostError, match="no pin of the user"):
        found.trusted(Role.EXTENSION)


def test_a_users_pin_that_is_brought_is_the_one_that_counts(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    copy(host.path / ETC / "user", host.path / LIB / "user")
    user = "user=host/etc/verity/pins/user.pin"
    done = verity(*JUST_VENDOR, "--pin", user, "--keyring", LIB, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["revoked-serial"])


def test_a_users_keyring_without_a_pin_is_not_passed_over(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    copy(host.path / ETC / "user", host.path / LIB / "user")
    (host.path / "host/etc/verity/pins/user.pin").unlink()
    done = verity(*JUST_VENDOR, "--keyring", LIB, REF, cwd=host.path)
    assert done.status == 2
    assert_clean_error(
        done, (f"{LIB}: there is a user's keyring, no --pin of the user",), hint=True
    )


def test_a_users_keyring_that_was_taken_away_is_missed(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    for file in (host.path / ETC / "user").iterdir():
        file.unlink()
    done = verity(*JUST_VENDOR, REF, cwd=host.path)
    assert done.status == 1
    assert_clean_error(done, ("keyring of the user: there is no version",), hint=True)


@pytest.mark.parametrize("directory", [(), ("--keyring", LIB)], ids=("host", "named"))
def test_they_are_switched_off_by_name_only_and_that_is_said(
    host: World, directory: tuple[str, ...]
) -> None:
    user_keyring(host, "--lowest", "os:2")
    copy(host.path / ETC / "user", host.path / LIB / "user")
    done = run(host.path, *JUST_VENDOR, *directory, OFF, REF)
    assert "what a user revokes is not asked, as was demanded" in done.err


def test_switching_off_needs_a_pin(host: World) -> None:
    done = verity(*VERIFY, OFF, REF, cwd=host.path)
    assert done.status == 2
    assert_clean_error(done, (f"{OFF} belongs to a --pin of the vendor",), hint=False)
