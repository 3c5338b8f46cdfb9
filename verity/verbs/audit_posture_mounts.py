# SPDX-License-Identifier: Apache-2.0
"""What is mounted, and where: part of the area posture.

1. Nothing hides what the policy guards as signed. A file system of a disk at one of the usual
   places is the host's own layout; anything else over such a place, or below it, is a finding.
2. Where everybody may write, no set-id programs and no devices.
3. Other file systems that can be written and take set-id programs are walked: each program that
   raises privileges must be granted exactly that. One of the network may never answer, and isn't.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from verity.formats import grant_rules, procfs
from verity.formats.dump import Entry
from verity.formats.escaped import printable
from verity.formats.grants import ElevateEntry
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import GuardedClass
from verity.formats.procfs import Mount
from verity.ports import kernel, kernel_files
from verity.ports.osfile import closing
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_said import Said

_KERNELS = frozenset(
    b"proc sysfs devpts cgroup cgroup2 bpf tracefs debugfs securityfs pstore efivarfs configfs"
    b" fusectl mqueue hugetlbfs autofs binfmt_misc rpc_pipefs nsfs nfsd selinuxfs".split()
)
"""File systems in which the kernel itself shows something: nobody puts a program there."""
_API = (b"/proc", b"/sys", b"/dev")
_NETWORK = re.compile(rb"fuse|nfs|9p|cifs|smb|ceph|afs")
_OWN_LAYOUT = frozenset(
    b"/boot /boot/efi /efi /home /opt /root /srv /tmp /usr /usr/local /var /var/tmp".split()
)
_EVERYBODYS = {
    b"/tmp": (b"nosuid", b"nodev"),
    b"/var/tmp": (b"nosuid", b"nodev"),
    b"/dev/shm": (b"nosuid", b"nodev"),
    b"/home": (b"nosuid", b"nodev"),
}
_MOST_FILES = 1_000_000
_CAPABILITY = "security.capability"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def examine(host: AuditedHost, said: Said) -> None:
    """All of it."""
    data = kernel_files.read(host.root, "proc/self/mountinfo")
    if data is None:
        for check in ("posture-mount-over", "posture-mount-options", "posture-other-files"):
            said.lacks(check, "mounts", "/proc/self/mountinfo isn't there")
        return
    mounts = procfs.parse_mounts(data)
    said.counts["mounts"] = len(mounts)
    _over(host, mounts, said)
    _options(mounts, said)
    _others(host, mounts, said)


# --- 1. over guarded places -----------------------------------------------------------------


def _over(host: AuditedHost, mounts: tuple[Mount, ...], said: Said) -> None:
    check = "posture-mount-over"
    if host.policy is None:
        said.not_applicable[check] = "no signed policy was verified, so nothing is guarded"
        return
    guarded = GuardedPaths.of(host.policy.policy)
    signed = [one.path for one in guarded.guarded if one.file_class is GuardedClass.SIGNED]
    inner = next((mount.inner for mount in mounts if mount.point == b"/"), b"/")
    for mount in mounts:
        if mount.point in (b"/", b"/run") or _is_below(mount.point, _API) or _is_own(mount, inner):
            continue
        around = guarded.of_path(mount.point)
        inside = any(path.startswith(mount.point + b"/") for path in signed)
        if inside or (around is not None and around.file_class is GuardedClass.SIGNED):
            said.finds(
                check,
                printable(mount.point),
                "what is mounted here hides what is signed",
                expected="nothing mounted, or the place itself",
                found=f"{printable(mount.type)} {printable(mount.source)}, its"
                f" {printable(mount.inner)}",
                remedy="unmount it, and find out who mounted it; `findmnt` shows it",
                path=mount.point,
            )


def _is_own(mount: Mount, inner: bytes) -> bool:
    """Whether it shows what the place has anyway, or is a disk at one of the usual places."""
    if mount.inner == inner.rstrip(b"/") + mount.point:
        return True
    disk = mount.source.startswith(b"/dev/") and not mount.source.startswith(b"/dev/loop")
    return mount.point in _OWN_LAYOUT and disk and mount.type != b"overlay"


def _is_below(path: bytes, places: tuple[bytes, ...]) -> bool:
    return any(path == place or path.startswith(place + b"/") for place in places)


# --- 2. options -----------------------------------------------------------------------------


def _options(mounts: tuple[Mount, ...], said: Said) -> None:
    last = {mount.point: mount for mount in mounts}  # what was mounted later is on top
    for place, wanted in _EVERYBODYS.items():
        mount = last.get(place)
        if mount is None or b"ro" in mount.options:
            continue
        missing = [option.decode() for option in wanted if option not in mount.options]
        if missing:
            said.finds(
                "posture-mount-options",
                printable(place),
                "everybody writes here, and it takes set-id programs or devices",
                expected=b", ".join(wanted).decode(),
                found=f"without {', '.join(missing)}",
                remedy=f"mount -o remount,{','.join(missing)} {printable(place)}; and /etc/fstab",
            )


# --- 3. other file systems ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Raising:
    path: bytes
    found: os.stat_result
    capabilities: bytes
    fd: int


def _others(host: AuditedHost, mounts: tuple[Mount, ...], said: Said) -> None:
    """Each file system once, at the first place where it can be written and takes such programs."""
    elevations: dict[bytes, list[ElevateEntry]] = {}
    for granted in host.grants:
        for entry in granted.elevate:
            elevations.setdefault(entry.digest, []).append(entry)
    own = {mount.device for mount in mounts if mount.point in (b"/", b"/usr")}
    seen = set(own)
    for mount in mounts:
        open_ = b"ro" not in mount.options and b"nosuid" not in mount.options
        if mount.type in _KERNELS or mount.device in seen or not open_:
            continue
        if b"ro" in mount.super_options:
            continue
        seen.add(mount.device)
        if _NETWORK.match(mount.type):
            said.lacks(
                "posture-other-files",
                printable(mount.point),
                f"file systems of the type {printable(mount.type)} are not walked",
                "mount it with nosuid, and nothing is to be looked for",
            )
            continue
        said.counts["other file systems"] = said.counts.get("other file systems", 0) + 1
        try:
            _walk(host, mount, elevations, said)
        except VerityError as error:
            said.lacks("posture-other-files", printable(mount.point), error.message, error.hint)


def _walk(
    host: AuditedHost,
    mount: Mount,
    elevations: Mapping[bytes, list[ElevateEntry]],
    said: Said,
) -> None:
    top = os.fsencode(host.root).rstrip(b"/") + mount.point
    for raising in _raising(top, mount, said):
        bits = sum(grant_rules.set_id_bits(raising.found.st_mode))
        entry = Entry(
            path=raising.path,
            size=0,
            mode=raising.found.st_mode,
            uid=raising.found.st_uid,
            gid=raising.found.st_gid,
            xattrs=((_CAPABILITY.encode(), raising.capabilities),) if raising.capabilities else (),
        )
        try:
            capabilities = grant_rules.permitted_capabilities(entry)
        except ContentError:
            capabilities = 0  # of another user namespace, or damaged: the kernel gives none
        if not bits and not capabilities:
            continue
        digest = _measured(raising.fd, printable(raising.path))
        if any(
            (one.set_bits, one.capabilities) == (bits, capabilities)
            and (not bits & stat.S_ISUID or one.uid == entry.uid)
            and (not bits & stat.S_ISGID or one.gid == entry.gid)
            for one in elevations.get(digest, ())
        ):
            continue
        what = f"mode {bits:04o}" if bits else f"capabilities {capabilities:#x}"
        said.finds(
            "posture-other-files",
            printable(raising.path),
            "a program that raises privileges, on a file system that nobody signed",
            expected="granted exactly that, or the file system mounted with nosuid",
            found=f"{what}, of user {entry.uid} and group {entry.gid}, on"
            f" {printable(mount.type)} at {printable(mount.point)}",
            remedy="remove it, or mount that file system with nosuid",
            path=raising.path,
        )


def _raising(top: bytes, mount: Mount, said: Said) -> Iterator[_Raising]:
    """The programs below that raise privileges, each open; what can't be looked at is a gap."""
    refused: list[OSError] = []
    number = 0
    device = os.stat(top).st_dev
    for folder, folders, names, fd in os.fwalk(top, onerror=refused.append):
        folders[:] = [
            name
            for name in folders
            if os.stat(name, dir_fd=fd, follow_symlinks=False).st_dev == device
        ]
        for name in names:
            number += 1
            if number > _MOST_FILES:
                raise HostError(
                    "too-many-files", f"more than {_MOST_FILES} files were not looked at"
                )
            yield from _one(folder, name, fd, refused)
    for error in refused:
        if not isinstance(error, FileNotFoundError):
            where = printable(os.fsencode(error.filename or mount.point))
            said.lacks("posture-other-files", where, (error.strerror or str(error)).lower())


def _one(folder: bytes, name: bytes, fd: int, refused: list[OSError]) -> Iterator[_Raising]:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
            return
        with closing(os.open(name, _OPEN, dir_fd=fd)) as opened:
            found = os.fstat(opened)
            capabilities = _capabilities(opened)
            if found.st_mode & (stat.S_ISUID | stat.S_ISGID) or capabilities:
                yield _Raising(
                    path=os.path.join(folder, name),
                    found=found,
                    capabilities=capabilities,
                    fd=opened,
                )
    except OSError as error:
        error.filename = os.path.join(folder, name)
        refused.append(error)


def _capabilities(fd: int) -> bytes:
    return os.getxattr(fd, _CAPABILITY) if _CAPABILITY in os.listxattr(fd) else b""


def _measured(fd: int, label: str) -> bytes:
    """The kernel's digest; nothing without fs-verity, and then nothing is granted."""
    try:
        digest = kernel.measure(fd, label=label)
    except HostError:
        return b""
    return digest.value if digest else b""
