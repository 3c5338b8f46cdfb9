# SPDX-License-Identifier: Apache-2.0
"""Which accounts of a tree are privileged, by its own files, with their shells and homes.

uid 0, and the members of the groups that a policy counts as privileged (by number). Accounts that
come from elsewhere (LDAP, systemd's dynamic users) are none. Hashes of passwords are never read.
"""

from dataclasses import dataclass

from verity.verbs.reach_values import Seen

_PASSWD = (b"/etc/passwd", b"/usr/lib/passwd")  # the second: nss-altfiles, as OSTree systems have
_GROUP = (b"/etc/group", b"/usr/lib/group")


@dataclass(frozen=True, kw_only=True)
class Account:
    """A line of passwd(5), as far as it matters."""

    name: bytes
    uid: int
    home: bytes
    shell: bytes
    file: bytes


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """``roots`` are those with uid 0; ``users`` and ``groups`` what is privileged, by name and
    number."""

    roots: tuple[Account, ...]
    users: frozenset[bytes]
    groups: frozenset[bytes]

    @classmethod
    def of(cls, seen: Seen) -> "Accounts":
        """Read them."""
        groups: set[bytes] = set()
        members: set[bytes] = set()
        for file in _GROUP:
            for line in seen.lines(file):
                name, _, gid, *rest = *line.split(b":"), b"", b"", b""
                if gid in seen.groups:
                    groups |= {name, gid}
                    members |= set(rest[0].split(b","))
        roots: list[Account] = []
        users = {b"root", b"0"}
        for file in _PASSWD:
            for line in seen.lines(file):
                name, _, uid, gid, _, home, shell, *_ = *line.split(b":"), *(b"",) * 6
                if uid == b"0":
                    roots.append(Account(name=name, uid=0, home=home, shell=shell, file=file))
                if uid == b"0" or name in members or gid in groups:
                    users |= {name, uid}
        return cls(roots=tuple(roots), users=frozenset(users), groups=frozenset(groups))
