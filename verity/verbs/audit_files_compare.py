# SPDX-License-Identifier: Apache-2.0
"""What is wrong with one file: a manifest's entry beside the file as it was found, and a finding.

One path gives one finding: the gravest difference names the check, all are listed, in the order of
``_GRAVEST_FIRST``. A file that nobody signed is named by what it could do. Nothing is read here.
"""

import stat

from verity.formats.dump import Entry, printable
from verity.formats.escaped import escape
from verity.formats.grants import Code
from verity.ports.tree import Contents, Node
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link

_RESTORE = "check the file out again from the signed commit"
_ENABLE = "`verity objects enable` turns it on"
_ANEW = (
    "fs-verity is never turned on twice: copy the file over itself (cp FILE NEW && mv NEW FILE) and"
    " enable that"
)
CANONICAL_PARAMETERS = "sha256, blocks of 4096, no salt"

_TYPES = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}

# The name of a difference, and the check that it fails.
_CHECKS = {
    "digest": "content",
    "size": "content",
    "target": "target",
    "capabilities": "capabilities",
    "mode": "mode",
    "uid": "owner",
    "gid": "owner",
    "fs-verity": "no-verity",
    "acl": "acl",
    "default acl": "acl",
    "fs-verity parameters": "parameters",
    "device": "device",
    "xattrs": "xattrs",
}
_PLURAL = ("capabilities", "xattrs")
_GRAVEST_FIRST = tuple(_CHECKS)
_PROBLEMS = {
    "content": "the contents are not the signed ones",
    "no-verity": "the contents are as signed, but fs-verity is off: they can be changed",
    "parameters": "the contents, hashed now, are as signed, but the kernel's digest of them is of"
    " other parameters than the signed one, so it proves nothing",
}
_REMEDIES = {"no-verity": _ENABLE, "parameters": _ANEW}
_OF_XATTR = {
    b"security.capability": "capabilities",
    b"system.posix_acl_access": "acl",
    b"system.posix_acl_default": "default acl",
}


def compare(due: Entry, found: Node) -> Finding | None:
    """The finding for a file that should be as signed, None if it is."""
    entry, contents = found.entry, found.contents
    if entry == due and (contents is None or (contents.by_kernel and not contents.parameters)):
        return None
    if stat.S_IFMT(due.mode) != stat.S_IFMT(entry.mode):
        return _finding(
            "type",
            due,
            "it is another type of file",
            [("", _TYPES[stat.S_IFMT(due.mode)], _TYPES[stat.S_IFMT(entry.mode)])],
        )
    differences = metadata_differences(due, entry)
    if contents is not None:
        differences += _contents_differences(due, entry, contents)
    if not differences:
        return None
    differences.sort(key=lambda difference: _GRAVEST_FIRST.index(difference[0]))
    check = _CHECKS[differences[0][0]]
    names = [name for name, _, _ in differences]
    differs = "differs" if len(names) == 1 and names[0] not in _PLURAL else "differ"
    problem = _PROBLEMS.get(check, f"{' and '.join(names)} {differs}")
    if check == "content" and contents is not None and not contents.by_kernel:
        problem += ", and fs-verity is off"
    return _finding(check, due, problem, differences)


def unread_disk(due: Entry, why: str) -> Finding:
    """The finding for a file whose signed contents can't be read from the disk any more."""
    return _finding(
        "disk",
        due,
        "the kernel says the signed digest, and what the disk holds is something else",
        [("", f"contents with the digest {_hex(due.digest)}", why)],
    )


def missing(entry: Entry) -> Finding:
    """The finding for what is signed and isn't there."""
    difference = ("", _TYPES[stat.S_IFMT(entry.mode)], "no such file")
    return _finding("missing", entry, "it is signed and isn't there", [difference])


def _finding(
    check: str, due: Entry, problem: str, differences: list[tuple[str, str, str]]
) -> Finding:
    return Finding(
        check=check,
        link=Link.DIGEST if check in ("content", "no-verity", "parameters", "disk") else Link.FILE,
        object=printable(due.path),
        path=due.path,
        problem=problem,
        expected=", ".join(f"{name} {value}".lstrip() for name, value, _ in differences),
        found=", ".join(f"{name} {value}".lstrip() for name, _, value in differences),
        remedy=_REMEDIES.get(check, _RESTORE),
    )


def _contents_differences(
    due: Entry, found: Entry, contents: Contents
) -> list[tuple[str, str, str]]:
    differences = []
    if due.digest != contents.digest:
        differences.append(("digest", _hex(due.digest), _hex(contents.digest)))
        if due.size != found.size:
            differences.append(("size", str(due.size), str(found.size)))
    elif contents.parameters:
        differences.append(("fs-verity parameters", CANONICAL_PARAMETERS, contents.parameters))
    elif not contents.by_kernel:
        differences.append(("fs-verity", "on", "off"))
    return differences


def metadata_differences(due: Entry, found: Entry) -> list[tuple[str, str, str]]:
    """What differs besides the contents: (name, as signed, as found)."""
    if (due.mode, due.uid, due.gid, due.rdev, due.target, due.xattrs) == (
        found.mode,
        found.uid,
        found.gid,
        found.rdev,
        found.target,
        found.xattrs,
    ):
        return []
    differences = []
    for name, one, other in (
        ("mode", _mode(due), _mode(found)),
        ("uid", str(due.uid), str(found.uid)),
        ("gid", str(due.gid), str(found.gid)),
        ("device", str(due.rdev), str(found.rdev)),
        ("target", _target(due), _target(found)),
        *_xattr_differences(due, found),
    ):
        if one != other:
            differences.append((name, one, other))
    return differences


def _xattr_differences(due: Entry, found: Entry) -> list[tuple[str, str, str]]:
    """Those with a meaning of their own by themselves, the others together."""
    one, other = dict(due.xattrs), dict(found.xattrs)
    differences = [
        (name, _value(one.pop(xattr, None)), _value(other.pop(xattr, None)))
        for xattr, name in _OF_XATTR.items()
    ]
    return [*differences, ("xattrs", _xattrs(one), _xattrs(other))]


def unsigned(found: Node) -> Finding:
    """A file that nobody signed, judged by what it could do."""
    # Here: on a host as it should be there is none.
    from verity.formats.grant_rules import code_flags, permitted_capabilities, set_id_bits

    entry = found.entry
    link = Link.MANIFEST
    powers = []
    if found.contents is not None:
        set_uid, set_gid = set_id_bits(entry.mode)
        if set_uid:
            powers.append(f"set-uid {entry.uid}")
        if set_gid:
            powers.append(f"set-gid {entry.gid}")
        try:
            capabilities = permitted_capabilities(entry)
        except ContentError:
            capabilities = -1  # unreadable capabilities count as all of them
        if capabilities:
            powers.append("file capabilities")
    code = Code(0)
    if found.contents is not None:
        code = code_flags(entry, found.contents.head)
    if powers:
        check, problem = "unsigned-privileged", f"not signed, and {', '.join(powers)}"
    elif code:
        check, problem = "unsigned-code", f"not signed, and code ({_flags(code)})"
    else:
        check = "unsigned-file"
        problem = f"not signed: {_TYPES[stat.S_IFMT(entry.mode)]} that the manifest does not have"
    return Finding(
        check=check,
        link=link,
        object=printable(entry.path),
        path=entry.path,
        problem=problem,
        expected="no such file",
        found=f"mode {_mode(entry)}, uid {entry.uid}, gid {entry.gid}"
        + (f", digest {_hex(entry.digest)}" if entry.digest else ""),
        remedy="remove it, or have it signed",
    )


def _mode(entry: Entry) -> str:
    return f"{stat.S_IMODE(entry.mode):04o}"


def _hex(digest: bytes | None) -> str:
    return "none" if digest is None else f"sha256:{digest.hex()}"


def _target(entry: Entry) -> str:
    return "none" if entry.target is None else printable(entry.target)


def _value(value: bytes | None) -> str:
    return "none" if value is None else printable(value)


def _xattrs(xattrs: dict[bytes, bytes]) -> str:
    pairs = (b"%b=%b" % (escape(name), escape(value)) for name, value in xattrs.items())
    return b" ".join(pairs).decode() or "none"


def _flags(code: Code) -> str:
    return ", ".join(flag.name.lower() for flag in Code if flag in code and flag.name)
