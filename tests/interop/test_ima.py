# SPDX-License-Identifier: Apache-2.0
"""Our signatures for IMA against evmctl of ima-evm-utils, program against code, both ways.

Debian 12's evmctl (1.4) signs contents only. A signature over an fs-verity digest, by Debian 13's,
is the example `ima-verity` of docs/formats.md.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.world import VENDOR
from verity.formats import ima
from verity.ports.keystore import load_signer
from verity.trust import ima_keys

EVMCTL = shutil.which("evmctl")
CONTENTS = b"contents of a module\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file, a private key, and our certificate of it."""
    if EVMCTL is None:
        pytest.fail("evmctl is needed: apt-get install ima-evm-utils")
    (tmp_path / "file").write_bytes(CONTENTS)
    make = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
    subprocess.run(["openssl", *make.split()], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "key.pem").chmod(0o600)
    key = load_signer(str(tmp_path / "key.pem")).public
    (tmp_path / "key.der").write_bytes(ima_keys.certificate(key))
    return tmp_path


def evmctl(place: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    assert EVMCTL is not None
    return subprocess.run([EVMCTL, *args], cwd=place, capture_output=True, timeout=60)


def test_it_verifies_our_signature_with_our_certificate(place: Path) -> None:
    signer = load_signer(str(place / "key.pem"))
    value = ima.ImaSignature(
        kind=ima.Kind.CONTENT,
        key_id=ima_keys.key_id(signer.public),
        signature=signer.sign(CONTENTS),
    ).encode()
    os.setxattr(place / "file", "user.ima", value)
    verify = ("ima_verify", "--xattr-user", "--key", "key.der", "file")
    done = evmctl(place, *verify)
    assert done.returncode == 0, done.stderr.decode()
    assert b"verification is OK" in done.stdout + done.stderr
    (place / "key.der").write_bytes(ima_keys.certificate(VENDOR.public))
    assert evmctl(place, *verify).returncode != 0


def test_we_verify_its_signature(place: Path) -> None:
    done = evmctl(place, "ima_sign", "--xattr-user", "--key", "key.pem", "file")
    assert done.returncode == 0, done.stderr.decode()
    found = ima.parse(os.getxattr(place / "file", "user.ima"), label="file")
    public = load_signer(str(place / "key.pem")).public
    assert (found.kind, found.key_id) == (ima.Kind.CONTENT, ima_keys.key_id(public))
    assert public.verifies(signature=found.signature, data=CONTENTS)
