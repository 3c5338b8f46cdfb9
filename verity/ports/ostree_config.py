# SPDX-License-Identifier: Apache-2.0
"""Whether a directory is an OSTree repository that we read, and its mode: its ``config``.

A GKeyFile, of which two keys of the group ``core`` are looked at: ``repo_version``, which is 1,
and ``mode``. A parent repository, remotes and locking options are stock ostree's business.
"""

import os
import stat

from verity.ports.osfile import closing
from verity.ports.ostree_content import Mode
from verity.ports.ostree_objects import read_exactly, translated
from verity.values.errors import HostError

_MAX_CONFIG = 1 << 20
_MODES = {
    "bare": Mode.BARE,
    "bare-user": Mode.BARE_USER,
    "archive": Mode.ARCHIVE,
    "archive-z2": Mode.ARCHIVE,
}


def read_mode(repository_fd: int, label: str) -> Mode:
    """What the repository's ``config`` says, if this is a repository that can be read."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with (
            translated(f"{label}/config"),
            closing(os.open("config", flags, dir_fd=repository_fd)) as fd,
        ):
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_CONFIG:
                raise not_a_repository(label, "its config is not a small file")
            text = read_exactly(fd, status.st_size).decode("utf-8", "replace")
        with translated(f"{label}/objects"):
            objects = os.stat("objects", dir_fd=repository_fd, follow_symlinks=False)
    except HostError as error:
        if error.code in ("not-found", "is-symlink"):
            raise not_a_repository(label, error.message) from error
        raise
    if not stat.S_ISDIR(objects.st_mode):
        raise not_a_repository(label, "its objects are not in a directory")
    core = _core(text)
    if core.get("repo_version") != "1":
        raise HostError(
            "unknown-repository",
            f"{label}: a repository of version {core.get('repo_version', 'none')!r:.40},"
            " expected 1",
            hint="is this the config of an OSTree repository, and of one that your ostree reads?",
        )
    mode = core.get("mode", "bare")
    if mode not in _MODES:
        raise HostError(
            "unknown-repository",
            f"{label}: a repository of the mode {mode!r:.40}, expected one of {', '.join(_MODES)}",
            hint="pull the commit into one made by `ostree --repo=DIR init --mode=bare`"
            " (or archive, which needs no root)",
        )
    return _MODES[mode]


def _core(text: str) -> dict[str, str]:
    """The group ``core`` of a GKeyFile: the last of a key counts, as there."""
    group = ""
    found = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            group = line.rstrip("]").lstrip("[")
        elif group == "core" and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key.strip()] = value.strip()
    return found


def not_a_repository(label: str, why: str) -> HostError:
    return HostError(
        "not-a-repository",
        f"{label}: not an OSTree repository ({why.removeprefix(f'{label}/')})",
        hint="`ostree --repo=DIR init --mode=bare` makes one; --repo wants the directory that"
        " holds `config` and `objects`",
    )
