# SPDX-License-Identifier: Apache-2.0
"""What counts beside the commit's manifest when the files of a host are held against it.

1. Where a running host keeps what no commit holds: nothing there is called unsigned.
2. What others say of single paths: OSTree makes /etc, the owner signed extensions.
3. What is said of it to people.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from verity.formats import dump
from verity.formats.dump import Entry
from verity.ports.signed_tree import lines_of

if TYPE_CHECKING:
    from verity.verbs.audit_host import AuditedHost

STATE = tuple(
    f"/{name}".encode()
    for name in (
        "boot dev efi etc home lost+found media mnt nix ostree proc root run srv sys sysroot tmp"
        " var"
    ).split()
)
"""Where a running host keeps what no commit holds: other areas look at what matters there."""


def state(host: "AuditedHost", manifest: bytes) -> tuple[bytes, ...]:
    """1. Those of them in which this host has no files of the commit."""
    return tuple(
        path
        for path in STATE
        if host.live or path in host.left_to_host or not dump.below(manifest, path + b"/")
    )


def also(host: "AuditedHost", manifest: bytes) -> dict[bytes, Entry]:
    """2. Entries that the manifest hasn't, by their paths."""
    return {**_made_by_ostree(manifest), **of_extensions(host)}


def notes(host: "AuditedHost", passed: int, uncompared: int, where: bytes) -> Iterator[str]:
    """3. Of names that were ``passed`` by, and entries that are ``uncompared``."""
    if passed:
        yield (
            f"{passed} names in {where.decode()} are in no manifest that counts there, and other"
            " areas look at what matters there"
        )
    if uncompared:
        left = b" ".join(host.left_to_host).decode()
        yield (
            f"{uncompared} entries of the commit below {left} are compared with nothing: OSTree"
            " leaves these to the host, and no update changes what is there"
        )


def _made_by_ostree(manifest: bytes) -> dict[bytes, Entry]:
    """/etc as OSTree makes it of /usr/etc for a deployment: a commit has none of its own."""
    lines = lines_of(manifest)
    default = lines.find(b"/usr/etc")
    if default is None or lines.find(b"/etc") is not None:
        return {}
    return {b"/etc": lines.entry(default)._replace(path=b"/etc")}


def of_extensions(host: "AuditedHost") -> dict[bytes, Entry]:
    """What the owner signed beside the commit, of the extensions whose documents are here."""
    return {
        entry.path: entry
        for one in host.signed_extensions.values()
        for entry in one.manifest.entries
    }
