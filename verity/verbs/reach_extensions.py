# SPDX-License-Identifier: Apache-2.0
"""What systemd-sysext lays over /usr and /opt, and systemd-confext over /etc: images, directories.

What lies ready counts like what is merged: the next boot may merge it, and nothing but its name
says that it is to be.
1. In the directories that systemd searches, in its order: of one name the first counts, and a link
   to /dev/null or an empty file masks it. So do versions in NAME.v and NAME.raw.v, all of them.
2. An image is a file, which has to be signed as a whole.
3. Of a directory every file below the merged hierarchies has to be signed, where it lies or at the
   place that it gets.
4. What is merged and lies in none of these directories any more is told as not followed; so is what
   a mutable extension writes to.

What is merged whoever follows /usr and /etc reads through the overlay. No image is looked into.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from verity.formats.dump import printable
from verity.verbs.reach_values import Reference, Seen, Step, Use

_RAW = b".raw"
_VERSIONS = b".v"
_MUTABLE = b"/var/lib/extensions.mutable"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One of the two: ``name`` is that of its program and, with ".service", of its unit."""

    name: bytes
    folders: tuple[bytes, ...]
    tops: tuple[bytes, ...]
    merged: tuple[bytes, ...]

    @property
    def over(self) -> str:
        """What it lays something over."""
        return " and ".join(f"/{top.decode()}" for top in self.tops)


_KINDS = (
    _Kind(
        name=b"systemd-sysext",
        folders=(b"/etc/extensions", b"/run/extensions", b"/var/lib/extensions"),
        tops=(b"usr", b"opt"),
        merged=(b"/usr/.systemd-sysext/extensions", b"/opt/.systemd-sysext/extensions"),
    ),
    _Kind(
        name=b"systemd-confext",
        folders=(
            *(b"/run/confexts", b"/var/lib/confexts"),
            *(b"/usr/local/lib/confexts", b"/usr/lib/confexts"),
        ),
        tops=(b"etc",),
        merged=(b"/etc/.systemd-confext/extensions",),
    ),
)


def references(seen: Seen) -> Iterator[Reference]:
    """Every file that has to be signed, by the program that merges it."""
    for kind in _KINDS:
        merged = {line for path in kind.merged for line in seen.lines(path)}
        found: dict[bytes, bytes] = {}
        for folder in kind.folders:
            for name in seen.names(folder):
                if not name.startswith(b"."):
                    found.setdefault(_plain(name), folder + b"/" + name)
        for name, path in sorted(found.items()):
            yield from _of(seen, kind, path, _by(seen, kind, is_merged=name in merged))
        for name in sorted(merged - found.keys()):
            seen.limit(
                f"{printable(kind.merged[0])}: {printable(name)} is merged over {kind.over}, and"
                " where it came from is not there any more"
            )
    for name in seen.names(_MUTABLE):
        seen.limit(
            f"{printable(_MUTABLE + b'/' + name)}: systemd-sysext and systemd-confext may lay it"
            " over the directory of that name, for programs to write to"
        )


def place_of(path: bytes) -> bytes:
    """Where a file of an extension that is a directory gets; its own path if it is none."""
    for kind in _KINDS:
        for folder in kind.folders:
            if path.startswith(folder + b"/"):
                rest = path[len(folder) + 1 :].partition(b"/")[2]
                return (
                    b"/" + rest if rest.startswith(tuple(top + b"/" for top in kind.tops)) else path
                )
    return path


def _plain(name: bytes) -> bytes:
    """The name of an extension, without what says how it is stored."""
    return name.removesuffix(_VERSIONS).removesuffix(_RAW)


def _by(seen: Seen, kind: _Kind, *, is_merged: bool) -> tuple[Step, ...]:
    unit = kind.name + b".service"
    wants = b"/systemd/system/sysinit.target.wants/" + unit
    at_boot = any(seen.find(top + wants) for top in (b"/etc", b"/run", b"/usr/lib"))
    if is_merged:
        how = f"has merged it over {kind.over}"
    else:
        how = f"merges it over {kind.over}" + (
            " at the next boot" if at_boot else " if it is asked to"
        )
    return (Step(unit if at_boot else kind.name, how),)


def _of(seen: Seen, kind: _Kind, path: bytes, by: tuple[Step, ...]) -> Iterator[Reference]:
    located = seen.find(path)
    if located is None or located.is_null:
        return
    if located.is_file:
        yield Reference(target=path, use=Use.MERGED, by=by, optional=True)
    elif path.endswith(_VERSIONS):
        yield from _files(seen, path, by)
    else:
        for top in kind.tops:
            yield from _files(seen, path + b"/" + top, by)


def _files(seen: Seen, path: bytes, by: tuple[Step, ...]) -> Iterator[Reference]:
    for name, _ in seen.walk(path):
        yield Reference(target=name, use=Use.MERGED, by=by, optional=True)
