# SPDX-License-Identifier: Apache-2.0
"""A token of SoftHSM with keys of several kinds, made by pkcs11-tool as an operator would."""

import datetime
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
TOKEN = "build hsm"  # with a space, which a URI has to escape
PIN = "73914826"
# Label, id, kind. "twin" is there twice; "bare" has no public key, "certified" an X.509 only;
# "careful" wants the PIN again for each signature.
KEYS = (
    ("release", "01", "EC:prime256v1"),
    ("second", "02", "EC:prime256v1"),
    ("p384", "03", "EC:secp384r1"),
    ("rsa", "04", "rsa:2048"),
    ("twin", "05", "EC:prime256v1"),
    ("twin", "06", "EC:prime256v1"),
    ("bare", "07", "EC:prime256v1"),
    ("certified", "08", "EC:prime256v1"),
    ("careful", "09", "EC:prime256v1"),
)
CONFIG = """\
directories.tokendir = {path}/tokens
objectstore.backend = file
log.level = ERROR
"""


@dataclass(frozen=True)
class Hsm:
    """Where the token is, and how to name its keys."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.path / "softhsm2.conf")}

    @property
    def pin_file(self) -> Path:
        """A file of mode 0600 with the PIN."""
        return self.path / "pin"

    def uri(self, key: str = "object=release", *, pin: Path | None = None, by: str = MODULE) -> str:
        """The URI of a key, with the PIN's file unless another is named."""
        source = self.pin_file if pin is None else pin
        return f"{self.uri_to_ask(key, by=by)}&pin-source=file:{source}"

    def uri_to_ask(self, key: str = "object=release", *, by: str = MODULE) -> str:
        """The same without a PIN."""
        return f"pkcs11:token={TOKEN.replace(' ', '%20')};{key}?module-path={by}"

    def tool(self, *args: str | Path) -> bytes:
        """`pkcs11-tool`, logged in."""
        login = ("--token-label", TOKEN, "--login", "--pin", PIN)
        return self.run("pkcs11-tool", "--module", MODULE, *login, *args)

    def run(self, *command: str | Path) -> bytes:
        """A program that knows where the token is, and must succeed."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def make(path: Path) -> Hsm:
    """Initialise a token and fill it."""
    hsm = Hsm(path)
    (path / "tokens").mkdir()
    (path / "softhsm2.conf").write_text(CONFIG.format(path=path))
    hsm.pin_file.touch(0o600)
    hsm.pin_file.write_text(f"{PIN}\n")
    pins = ("--so-pin", "55555555", "--pin", PIN)
    hsm.run("softhsm2-util", "--init-token", "--free", "--label", TOKEN, *pins)
    for label, identity, kind in KEYS:
        more = ["--always-auth"] if label == "careful" else []
        hsm.tool("--keypairgen", "--key-type", kind, "--label", label, "--id", identity, *more)
    (path / "certificate").write_bytes(_certificate(hsm, "08"))
    written = ("--write-object", path / "certificate", "--type", "cert")
    hsm.tool(*written, "--id", "08", "--label", "certified")
    for identity in ("07", "08"):
        hsm.tool("--delete-object", "--type", "pubkey", "--id", identity)
    return hsm


def public_der(hsm: Hsm, identity: str) -> bytes:
    """The public key as pkcs11-tool reads it: a DER SubjectPublicKeyInfo."""
    return hsm.tool("--read-object", "--type", "pubkey", "--id", identity)


def _certificate(hsm: Hsm, identity: str) -> bytes:
    """A certificate for a key of the token; who signs it doesn't matter."""
    key = load_der_public_key(public_der(hsm, identity))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anybody")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder(name, name, key, 1, begin, begin + datetime.timedelta(days=3650))
        .sign(ec.derive_private_key(3, ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
