# SPDX-License-Identifier: Apache-2.0
"""doctor: what this host can do, asked of the host and not guessed from a version number.

It changes nothing but one temporary file, in a directory that the caller names to have fs-verity
tried there. A fact that can't be read is reported as unknown, never as absent.
"""

import contextlib
import platform
import tempfile
from pathlib import Path

from verity.formats.fsverity import digest_bytes
from verity.ports import hashing, kernel
from verity.ports.content import open_regular
from verity.ports.osfile import closing
from verity.values.errors import VerityError
from verity.verbs import gate_abilities
from verity.verbs.ability import Ability, Answer


def examine(*, root: Path = Path("/"), try_in: Path | None = None) -> list[Ability]:
    """Everything that ``verity doctor`` says. ``try_in`` is a directory to try fs-verity in."""
    abilities = [_kernel(), _verity_known(root)]
    if try_in is not None:
        abilities.append(_verity_works(try_in))
    return [*abilities, _hashing(), *gate_abilities.examine(root), _secure_boot(root)]


def _kernel() -> Ability:
    found = platform.uname()
    return Ability(
        name="kernel", answer=Answer.YES, detail=f"{found.system} {found.release} {found.machine}"
    )


def _verity_known(root: Path) -> Ability:
    # /sys/fs/ext4/features/verity exists exactly if ext4 is loaded and CONFIG_FS_VERITY is set.
    features = root / "sys/fs/ext4/features"
    builtin = (root / "proc/sys/fs/verity").is_dir()
    if (features / "verity").exists() or builtin:
        detail = "in this kernel" + (", with built-in signatures" if builtin else "")
        return Ability(name="fs-verity", answer=Answer.YES, detail=detail, required=True)
    if features.is_dir():
        return Ability(
            name="fs-verity",
            answer=Answer.NO,
            detail="this kernel's ext4 has no verity feature",
            hint="boot a kernel with CONFIG_FS_VERITY=y; Debian's stock kernels have it",
            required=True,
        )
    return Ability(
        name="fs-verity",
        answer=Answer.UNKNOWN,
        detail="ext4 isn't loaded, so the kernel doesn't say",
        hint="`verity doctor --try DIR` tries it in a directory",
        required=True,
    )


def _verity_works(directory: Path) -> Ability:
    name = f"fs-verity in {directory}"
    contents = b"verity doctor\n"
    path = None
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".verity-", delete=False) as file:
            path = Path(file.name)
            file.write(contents)
        with closing(open_regular(str(path))) as fd:
            kernel.enable(fd, label=str(path))
            found = kernel.measure(fd, label=str(path))
    except OSError as error:
        return Ability(
            name=name,
            answer=Answer.UNKNOWN,
            detail=(error.strerror or str(error)).lower(),
            hint="name a directory that you may write to",
            required=True,
        )
    except VerityError as error:
        return Ability(
            name=name, answer=Answer.NO, detail=error.message, hint=error.hint or "", required=True
        )
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
    good = found == digest_bytes(contents)
    return Ability(
        name=name,
        answer=Answer.YES if good else Answer.NO,
        detail=f"enabled, and the kernel's digest is {'ours' if good else f'another: {found}'}",
        required=True,
    )


def _hashing() -> Ability:
    path = hashing.chosen()
    details = {
        None: "by Python's hashlib, in single threads: libcrypto.so.3 was not found",
        "openssl": "by OpenSSL, one block after another; libipsec-mb would do several at once",
    }
    detail = details.get(path, f"by libipsec-mb, several blocks at once ({path})")
    return Ability(name="hashing", answer=Answer.YES, detail=detail)


def _secure_boot(root: Path) -> Ability:
    firmware = root / "sys/firmware/efi"
    if not firmware.is_dir():
        return Ability(name="Secure Boot", answer=Answer.NO, detail="not booted by UEFI")
    variable = firmware / "efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    try:
        value = variable.read_bytes()
    except OSError:
        return Ability(
            name="Secure Boot", answer=Answer.UNKNOWN, detail="its EFI variable can't be read"
        )
    on = len(value) == 5 and value[4] == 1
    return Ability(
        name="Secure Boot", answer=Answer.YES if on else Answer.NO, detail="on" if on else "off"
    )
