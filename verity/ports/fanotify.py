# SPDX-License-Identifier: Apache-2.0
"""fanotify: what is started on a file system, as it is opened for that. It never answers.

Notifications only, so that nobody waits for whoever listens. Events that the kernel had to drop are
said to be; what a process is, is read from /proc when the event is read, which is a moment later:
the process may be gone, and then it is said to be unknown.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports._conditions import Call, Condition
from verity.ports.kernel import lib
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import HostError

LOCK = Path("run/verity/fanotify.lock")
_EVENT = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata
_ROOM = 256 << 10
_SMALL = 64 << 10
if _EVENT.size != lib.VERITY_EVENT_SIZE:
    raise ImportError("struct fanotify_event_metadata has another layout than this module")

_CALL = Call(
    "watch",
    {
        errno.EPERM: Condition(
            HostError,
            "no-permission",
            "operation not permitted",
            "run as root on the host itself: a whole file system wants CAP_SYS_ADMIN there",
        ),
        errno.ENOSYS: Condition(
            HostError, "no-fanotify", "this kernel has no fanotify", "it needs CONFIG_FANOTIFY"
        ),
        errno.EINVAL: Condition(
            HostError,
            "no-fanotify",
            "this kernel doesn't tell of programs on a file system",
            "FAN_OPEN_EXEC for a file system came with Linux 5.0",
        ),
        errno.EMFILE: Condition(
            HostError,
            "too-many-groups",
            "root has as many fanotify groups as it may",
            "end another listener, or raise fs.fanotify.max_user_groups",
        ),
        errno.ENOENT: Condition(HostError, "not-found", "does not exist", "check the path"),
        errno.ENODEV: Condition(
            HostError,
            "not-watchable",
            "its file system can't be watched",
            "watch those that programs are on",
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A file that was opened to be run: its descriptor, which the caller closes, and by whom.

    ``fd`` is None where the kernel dropped events: then nothing else counts.
    """

    fd: int | None
    pid: int


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What /proc says of a process: ids as this namespace sees them, capabilities as bits.

    ``capabilities`` are those permitted, inheritable and ambient in the initial user namespace, so
    none for a process in a namespace of its own.
    """

    comm: bytes
    uids: frozenset[int]
    effective: int
    gids: frozenset[int]
    capabilities: int


class Listener:
    """One fanotify group. Use it as a context."""

    def __init__(self) -> None:
        self._fd = _checked(lib.verity_fanotify_open(), "what is started")
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    def watch(self, directory: Path) -> None:
        """Hear of every start on the file system of this directory."""
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, str(directory)) from error
        with closing(fd):
            _checked(lib.verity_fanotify_watch(self._fd, fd), str(directory))

    def ignore(self, fd: int) -> None:
        """Hear no more of this file, until it is written to or forgotten. May do nothing."""
        # The kernel's limit on marks, or its memory: then the same file is looked at again.
        lib.verity_fanotify_ignore(self._fd, fd)

    def events(self, timeout_s: float) -> Iterator[Started]:
        """What has come, waiting at most so long for the first."""
        if not self._poll.poll(timeout_s * 1000):
            return
        try:
            data = os.read(self._fd, _ROOM)
        except BlockingIOError:
            return
        except OSError as error:
            raise translate_oserror(error, "fanotify") from error
        at = 0
        while at < len(data):
            size, version, _, _, mask, fd, pid = _EVENT.unpack_from(data, at)
            if version != lib.FANOTIFY_METADATA_VERSION or size < _EVENT.size:
                raise HostError(
                    "unknown-events",
                    f"fanotify: events of version {version}, expected"
                    f" {lib.FANOTIFY_METADATA_VERSION}",
                    hint="a newer kernel than this version knows: use a newer version",
                )
            at += size
            if mask & lib.FAN_Q_OVERFLOW:
                yield Started(fd=None, pid=0)
            elif fd >= 0:
                yield Started(fd=fd, pid=pid)


def subject(pid: int) -> Subject | None:
    """What the process is now; None if it is gone."""
    folder = Path("/proc") / str(pid)
    try:
        comm = (folder / "comm").read_bytes()[:_SMALL].rstrip(b"\n")
        text = (folder / "status").read_bytes()[:_SMALL]
        # Capabilities in another user namespace are none here.
        ours = os.readlink(folder / "ns/user") == os.readlink("/proc/self/ns/user")
    except OSError:
        return None
    fields = dict(line.split(b":\t", 1) for line in text.split(b"\n") if b":\t" in line)
    uids = [int(one) for one in fields[b"Uid"].split()]
    gids = {int(one) for one in (*fields[b"Gid"].split(), *fields[b"Groups"].split())}
    bits = (int(fields[name], 16) for name in (b"CapPrm", b"CapInh", b"CapAmb"))
    held = 0
    for one in bits:
        held |= one
    return Subject(
        comm=comm,
        uids=frozenset(uids),
        effective=uids[1],
        gids=frozenset(gids),
        capabilities=held if ours else 0,
    )


def path_of(fd: int) -> bytes | None:
    """The file's path as this process sees it."""
    try:
        return os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return None


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock that says that an observer runs; HostError ``observer-runs`` if one does."""

    path = root / LOCK
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    with closing(fd):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                "observer-runs",
                f"{path}: an observer runs already",
                hint=f"`fuser {path}` names it",
            ) from error
        yield


def runs(root: Path) -> bool | None:
    """Whether an observer runs; None if that can't be told, as for anyone but root."""

    try:
        fd = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    with closing(fd):
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _checked(result: int, label: str) -> int:
    if result < 0:
        raise _CALL.error(-result, label)
    return result
