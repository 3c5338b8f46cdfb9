# SPDX-License-Identifier: Apache-2.0
"""A version of a keyring is there whole or not at all, whenever its maker is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import OTHER, ROOT, ROOT2, THIRD, VENDOR, Signer, keyring_envelope, keyring_of
from verity.formats import bundle, kernel_keys
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring
from verity.formats.pkcs7 import encode as encode_pkcs7
from verity.ports import keyring_files
from verity.trust.keyring import pin_of, verify_chain
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import keyring_versions
from verity.verbs.keyring_versions import Draft, RootSignature

FIRST = keyring_of(
    (Role.ROOT, "ann", ROOT),
    (Role.ROOT, "bob", ROOT2),
    (Role.OS, "vendor", VENDOR),
    thresholds={Role.ROOT: 2},
)
SECOND = keyring_of(
    (Role.ROOT, "ann", ROOT),
    (Role.ROOT, "bob", ROOT2),
    (Role.OS, "vendor", OTHER),
    thresholds={Role.ROOT: 2},
    version=2,
)


def signature(what: Draft, signer: Signer) -> RootSignature:
    """As `sign` makes it of a signer in the keystore."""
    return RootSignature(
        public=signer.public,
        over_pae=signer.sign(what.pae),
        over_blob=encode_pkcs7(key_id=signer.public.key_id, signature=signer.sign(what.blob)),
    )


def publish(directory: Path, value: Keyring, *signers: Signer) -> keyring_versions.Published:
    with keyring_files.lock(directory, Party.VENDOR):
        source = keyring_versions.load(directory, Party.VENDOR)
        what = keyring_versions.draft(value)
        return keyring_versions.publish(source, what, [signature(what, one) for one in signers])


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory / "vendor"))


def newest(directory: Path) -> int:
    """The version that a host verifies from the pin; 0 without any. Its keys must be beside it."""
    files = keyring_files.read_versions([directory], Party.VENDOR)
    if not files:
        return 0
    found = verify_chain([file.data for file in files], pin_of(FIRST)).keyring
    keys = (directory / f"vendor/{found.version}.keys").read_bytes()
    fragment = bundle.parse_fragment(keys, label="keys")
    assert kernel_keys.parse_keys(fragment.blob).version == found.version
    return found.version


def test_a_signature_over_another_version_is_refused(tmp_path: Path) -> None:
    what = keyring_versions.draft(FIRST)
    other = keyring_versions.draft(SECOND)
    with keyring_files.lock(tmp_path, Party.VENDOR):
        source = keyring_versions.load(tmp_path, Party.VENDOR)
        for wrong in (
            RootSignature(
                public=ROOT.public,
                over_pae=signature(other, ROOT).over_pae,
                over_blob=signature(what, ROOT).over_blob,
            ),
            RootSignature(
                public=ROOT.public,
                over_pae=signature(what, ROOT).over_pae,
                over_blob=signature(other, ROOT).over_blob,
            ),
        ):
            with pytest.raises(ContentError, match="is not over this version") as caught:
                keyring_versions.publish(source, what, [wrong])
            assert caught.value.code == "bad-signature"
    assert names(tmp_path) == []


def test_a_signature_by_another_role_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="it is no root key"):
        publish(tmp_path, FIRST, ROOT, VENDOR)
    assert os.listdir(tmp_path) == []


def test_a_version_that_jumps_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, ROOT, ROOT2)
    third = keyring_of(
        *((Role.ROOT, "ann", ROOT), (Role.ROOT, "bob", ROOT2), (Role.OS, "vendor", THIRD)),
        thresholds={Role.ROOT: 2},
        version=3,
    )
    with pytest.raises(ContentError, match="version 3 follows version 1"):
        publish(tmp_path, third, ROOT, ROOT2)
    assert newest(tmp_path) == 1


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, ROOT, ROOT2)
    before = (tmp_path / "vendor/1.keys").read_bytes()
    with pytest.raises(HostError) as caught:
        keyring_files.write_version(tmp_path, Party.VENDOR, 1, data=b"x", keys=b"y")
    assert caught.value.code == "exists"
    assert (tmp_path / "vendor/1.keys").read_bytes() == before


def test_a_waiting_version_of_another_number_counts_as_nothing(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, ROOT)
    source = keyring_versions.load(tmp_path, Party.VENDOR)
    found = keyring_versions.waiting(source)
    assert found is not None
    assert [one.public for one in found[1]] == [ROOT.public]
    part = tmp_path / "vendor/1.keyring.json.part"
    part.write_bytes(keyring_envelope(SECOND, ROOT))
    with pytest.raises(ContentError, match="version 2 of the vendor, expected version 1"):
        keyring_versions.waiting(source)


def test_what_waits_for_a_version_that_is_there_is_over(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, ROOT)
    parts = {name: (tmp_path / "vendor" / name).read_bytes() for name in names(tmp_path)}
    publish(tmp_path, FIRST, ROOT, ROOT2)
    assert names(tmp_path) == ["1.keyring.json", "1.keys"]
    for name, data in parts.items():
        (tmp_path / "vendor" / name).write_bytes(data)
    assert keyring_versions.waiting(keyring_versions.load(tmp_path, Party.VENDOR)) is None


# For each n a child that kills itself at the nth event that changes a name or a file below its
# directory; prints how they ended, up to the first that ended by itself.
KILLED = """
import os, sys
from pathlib import Path
from tests.unit.verbs import test_keyring_versions as t
for nth in range(1, 60):
    directory = Path(sys.argv[1], str(nth))
    t.publish(directory, t.FIRST, t.ROOT, t.ROOT2)
    pid = os.fork()
    if pid == 0:
        left = nth
        def hook(event, args):
            global left
            if event not in ("open", "os.rename", "os.link", "os.remove", "os.mkdir"):
                return
            if not any(str(directory) in str(one) for one in args):
                return
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)
        sys.addaudithook(hook)
        t.publish(directory, t.SECOND, *((t.ROOT,) if sys.argv[2] == "part" else (t.ROOT, t.ROOT2)))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code)
    if code != -9:
        break
"""


@pytest.mark.parametrize("kind", ["part", "whole"])
def test_killed_anywhere(tmp_path: Path, kind: str) -> None:
    """Old or new, never between; and the next run completes."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, kind], capture_output=True, timeout=60, check=True
    )
    codes = done.stdout.decode().split()
    assert codes[-1] == "0", done.stderr.decode()
    assert len(codes) > 8
    seen = {newest(tmp_path / str(nth)) for nth in range(1, len(codes) + 1)}
    assert seen == ({1, 2} if kind == "whole" else {1})
    for nth in range(1, len(codes) + 1):
        directory = tmp_path / str(nth)
        if newest(directory) == 1:
            publish(directory, SECOND, ROOT, ROOT2)
        assert newest(directory) == 2
