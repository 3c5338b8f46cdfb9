# SPDX-License-Identifier: Apache-2.0
"""The list of example keys is what the script makes, and no set of trusted keys takes one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import VENDOR
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.ports.key_access import KeyAccess
from verity.trust import example_keys
from verity.trust.keys import KeyAlgorithm, parse_public_key
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError

EXAMPLES = Path("keys-example")
SCRIPT = EXAMPLES / "make.py"
PUBLIC = sorted(EXAMPLES.glob("*.pub"))
ALLOWED = KeyAccess(allow_example_keys=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("example")
    subprocess.run([sys.executable, SCRIPT, path], check=True, timeout=60)
    return path


def test_the_script_makes_what_is_committed(made: Path) -> None:
    assert [path.name for path in PUBLIC] == sorted(path.name for path in made.glob("*.pub"))
    for path in PUBLIC:
        assert path.read_bytes() == (made / path.name).read_bytes()


def test_every_one_of_them_is_on_the_list_and_nothing_else() -> None:
    found = {
        parse_public_key(path.read_bytes(), label=str(path)).key_id: path.name for path in PUBLIC
    }
    assert set(found) == example_keys.KEY_IDS
    assert len(found) == len(PUBLIC) == 10
    listed = subprocess.run(
        [sys.executable, SCRIPT, "--list"], check=True, timeout=60, capture_output=True
    ).stdout.decode()
    assert {line.split()[0] for line in listed.splitlines()} == set(found)


def test_there_is_one_for_each_role(made: Path) -> None:
    rights = {"vendor": {"root", "os", "evidence"}}
    rights["user"] = {role.name.lower() for role in Role} - {"os"}
    for party, roles in rights.items():
        for role in roles:
            key = keystore.load_signer(str(made / f"{party}-{role}.pem"), ALLOWED)
            assert key.public.algorithm is KeyAlgorithm.P256
    ostree = keystore.load_signer(
        str(made / "vendor-ostree.pem"), ALLOWED, algorithms=(KeyAlgorithm.ED25519,)
    )
    assert ostree.public.key_id in example_keys.KEY_IDS


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.name)
def test_none_is_signed_with_or_trusted(path: Path, made: Path) -> None:
    private = str(made / path.name.removesuffix(".pub"))
    for load in (
        lambda: keystore.load_public(path),
        lambda: keystore.load_signer(private, algorithms=tuple(KeyAlgorithm)),
    ):
        with pytest.raises(ContentError) as caught:
            load()
        assert caught.value.code == "example-key"
        assert path.name.removesuffix(".pub") in caught.value.message
        assert "--allow-example-keys" in (caught.value.hint or "")
    assert keystore.load_public(path, ALLOWED) == keystore.read_public_of(str(path))


def test_a_trusted_set_refuses_them_wherever_they_come_from() -> None:
    key = keystore.load_public(EXAMPLES / "vendor-os.pem.pub", ALLOWED)
    keys = [VENDOR.public, key]
    with pytest.raises(ContentError) as caught:
        TrustedSet.of_keys(keys, party=Party.VENDOR, role=Role.OS)
    assert caught.value.code == "example-key"
    assert caught.value.message.startswith("vendor os: ")
    taken = TrustedSet.of_keys(keys, party=Party.VENDOR, role=Role.OS, allow_example_keys=True)
    assert {trusted.key for trusted in taken.keys} == set(keys)
