# SPDX-License-Identifier: Apache-2.0
"""OpenPGP signatures through gpg: the one kind that every Debian's ostree verifies.

Keys, passphrases and agents stay gpg's business. Such a signature never counts towards our
thresholds. Verifying takes its keys from one file and looks into nobody's home: gpg is given an
empty one, because gpgv, which needs none, does not look at revocation and expiry of a key.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import closing, read_file
from verity.trust.native import MAX_SIGNATURES, Engine, NativeSignature, Verdict
from verity.values.errors import ContentError, HostError

_TIMEOUT_S = 120
_MAX_KEYRING = 16 * 2**20
_STATUS = b"[GNUPG:] "
# What gpg says of a signature (its doc/DETAILS, "--status-fd") and what that is worth.
_VERDICTS = {
    "GOODSIG": Verdict.GOOD,
    "EXPSIG": Verdict.EXPIRED,
    "EXPKEYSIG": Verdict.EXPIRED,
    "REVKEYSIG": Verdict.REVOKED,
    "BADSIG": Verdict.BAD,
    "ERRSIG": Verdict.NO_KEY,
}


@dataclass(frozen=True)
class GpgSigner:
    """A key by gpg's name for it, in gpg's default home or another."""

    user_id: str
    home: Path | None = None

    def sign(self, data: bytes) -> bytes:
        """A binary detached signature. Raises HostError (``gpg-failed``, ``no-gpg``)."""
        command = ["gpg", "--batch", "--no-tty", "--quiet", "--yes"]
        if self.home is not None:
            command += ["--homedir", str(self.home)]
        command += ["--local-user", self.user_id, "--detach-sign", "--output", "-"]
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S)
        except FileNotFoundError as error:
            raise _no_gpg() from error
        except subprocess.TimeoutExpired as error:
            raise HostError(
                "gpg-failed",
                f"gpg did not sign with {self.user_id!r} within {_TIMEOUT_S} s",
                hint="a passphrase prompt that nobody answers?",
            ) from error
        if done.returncode or not done.stdout:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise HostError(
                "gpg-failed",
                f"gpg did not sign with {self.user_id!r}: {last[-1] if last else 'no reason'}",
                hint="gpg --list-secret-keys shows its keys; --gpg-homedir names another home",
            )
        return done.stdout


def verify(keyring: Path, signatures: Sequence[bytes], data: bytes) -> tuple[NativeSignature, ...]:
    """What each OpenPGP signature over ``data`` is worth, by the public keys in one file.

    Raises HostError (``no-gpg``, or the file can't be read), ContentError (``bad-key``).
    """
    keys = read_file(keyring, max_size=_MAX_KEYRING)
    with tempfile.TemporaryDirectory(prefix="verity-gpg-") as home:
        done = _gpg(home, "--import", data=keys)
        if done.returncode:
            raise ContentError(
                "bad-key",
                f"{keyring}: gpg finds no OpenPGP keys in it",
                hint="`gpg --export KEY-ID >FILE` writes such a file",
            )
        found = [
            _judged(_gpg(home, "--verify", signature, data=data), number)
            for number, signature in enumerate(signatures[:MAX_SIGNATURES], 1)
        ]
    if len(signatures) > MAX_SIGNATURES:
        more = f"{len(signatures) - MAX_SIGNATURES} more are not looked at"
        found.append(_signature(0, Verdict.MALFORMED, detail=more))
    return tuple(found)


def _judged(done: subprocess.CompletedProcess[bytes], number: int) -> NativeSignature:
    """One element holds one signature: of several, each could answer for the others."""
    lines = [
        line.removeprefix(_STATUS).decode("utf-8", "replace").split(" ")
        for line in done.stdout.split(b"\n")
        if line.startswith(_STATUS)
    ]
    said = [(_VERDICTS[words[0]], words) for words in lines if words[0] in _VERDICTS]
    prints = [words[1] for words in lines if words[0] == "VALIDSIG" and len(words) > 1]
    if len(said) != 1:
        detail = f"{len(said)} OpenPGP signatures in it, expected one"
        return _signature(number, Verdict.MALFORMED, detail=detail)
    verdict, words = said[0]
    if verdict is Verdict.GOOD and (done.returncode or len(prints) != 1):
        return _signature(number, Verdict.BAD, detail="gpg does not hold it to be good")
    return _signature(number, verdict, by=prints[0] if prints else words[1])


def _signature(number: int, verdict: Verdict, *, by: str = "", detail: str = "") -> NativeSignature:
    return NativeSignature(engine=Engine.GPG, number=number, verdict=verdict, by=by, detail=detail)


def _gpg(
    home: str, action: str, signature: bytes | None = None, *, data: bytes
) -> subprocess.CompletedProcess[bytes]:
    """Run gpg in a home of its own, without an agent, with data on its standard input."""
    command = ["gpg", "--homedir", home, "--batch", "--no-tty", "--no-autostart", "--no-options"]
    command += ["--status-fd", "1", "--trust-model", "always", "--no-auto-key-retrieve", action]
    with _as_file(signature) as (names, descriptors):
        try:
            return subprocess.run(
                [*command, *names, "-"],
                input=data,
                capture_output=True,
                timeout=_TIMEOUT_S,
                pass_fds=descriptors,
            )
        except FileNotFoundError as error:
            raise _no_gpg() from error
        except subprocess.TimeoutExpired as error:
            raise HostError(
                "gpg-failed", f"gpg did not verify a signature within {_TIMEOUT_S} s"
            ) from error


@contextlib.contextmanager
def _as_file(data: bytes | None) -> Iterator[tuple[list[str], list[int]]]:
    """Bytes under a name that a child process can open: what it names, what it inherits."""
    if data is None:
        yield [], []
        return
    with closing(os.memfd_create("signature")) as fd:
        os.pwrite(fd, data, 0)
        yield [f"/proc/self/fd/{fd}"], [fd]


def _no_gpg() -> HostError:
    return HostError("no-gpg", "gpg is not installed", hint="apt-get install gpg")
