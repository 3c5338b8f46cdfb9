# SPDX-License-Identifier: Apache-2.0
"""OpenPGP signatures through gpg: the one kind that every Debian's ostree verifies.

It only signs; keys, passphrases and agents stay gpg's business. Verifying OpenPGP is left to
ostree and gpg: such a signature never counts towards our thresholds.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from verity.values.errors import HostError

_TIMEOUT_S = 120


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
            raise HostError("no-gpg", "gpg is not installed", hint="apt-get install gpg") from error
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
