# SPDX-License-Identifier: Apache-2.0
"""lockdown exception request: what was refused, as a small file for whoever may sign it.

It reads the file, the gate's log and its status, and decides nothing: a request is a question. What
no extension can grant is refused here, with what to do instead, before it is carried anywhere.
"""

from pathlib import Path

from verity.formats import dump, exception_request
from verity.formats.dump import Entry, printable
from verity.formats.exception_request import Request
from verity.formats.gate_status import Denial, GateStatus
from verity.formats.grant_rules import NOTHING, check_extension, code_flags
from verity.formats.grants import Code
from verity.ports import host, tree
from verity.ports.osfile import write_new_file
from verity.ports.tree import Tree
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import denial_words, explain_denial, gate_view

_MODE = 0o644
_DIRECTORY = 0o40755
_GUARDED = (b"/etc/", b"/usr/etc/")
_CONFIGURATION = ("config-unsigned", "config-link", "config-mount", "config-removed")


def of_denial(root: Path, number: int | None, *, now: int) -> Request:
    """A request for the file of a denial; None is the last one.

    1. It is a refusal of a file's contents, which a grant can change.
    2. The file is still the one that was refused.
    """
    denial = explain_denial.find(root, number)
    # 1. The reason.
    if denial.reason.value in _CONFIGURATION:
        raise _configuration(denial.path or b"")
    if denial.reason not in denial_words.EXCEPTIONS:
        raise CallerError(
            "no-exception",
            f"denial {denial.seq}: {denial.reason}: {explain_denial.REASONS[denial.reason]};"
            " a signature on a file changes nothing about that",
            hint=f"`verity explain --denial {denial.seq}` names the way out",
        )
    if denial.path is None or not denial_words.is_file(denial):
        raise CallerError(
            "no-exception",
            f"denial {denial.seq}: it was of no file that can be opened by its name"
            f" ({'-' if denial.path is None else printable(denial.path)})",
            hint="put the file where it stays, and ask for that one",
        )
    found = of_file(root, denial.path, denial=denial, now=now)
    # 2. The file.
    digest = found.file.digest or b""
    if denial.digest not in (None, digest):
        raise ContentError(
            "changed",
            f"{printable(denial.path)}: another file than the one that was refused: it had the"
            f" digest sha256:{(denial.digest or b'').hex()}, it has sha256:{digest.hex()}",
            hint="start it again, and ask for that denial; or ask by its path",
        )
    return found


def of_path(root: Path, path: bytes, *, now: int) -> Request:
    """A request for a file by its path, with the last denial of it if there is one."""
    last = None
    for denial in gate_view.denials(root):
        if denial.path == path:
            last = denial
    if last is not None and last.reason.value in _CONFIGURATION:
        raise _configuration(path)
    return of_file(root, path, denial=last, now=now)


def of_file(root: Path, path: bytes, *, denial: Denial | None, now: int) -> Request:
    """The request for one file, which is read now.

    1. An absolute path without dots, of a regular file.
    2. Contents that an extension may grant.
    3. A stream that they could come in.
    """
    # 1. The path.
    parts = path.split(b"/")
    if parts[0] or len(parts) < 2 or {b"", b".", b".."} & set(parts[1:]):
        raise CallerError(
            "bad-path",
            f"{printable(path)}: expected an absolute path without dots, as the gate shows it",
            hint="`verity lockdown log` shows the path of each denial",
        )
    with Tree(root) as opened:
        node = opened.read(path, tree.hashed)
    if node.contents is None:
        raise CallerError(
            "not-a-file",
            f"{printable(path)}: no regular file: it has no contents",
            hint="name the program, script or library itself, not a link or a directory",
        )
    # 2. What it is.
    heads = {node.contents.digest: node.contents.head}
    check_extension([node.entry], heads)
    code = code_flags(node.entry, node.contents.head)
    if code is NOTHING:
        raise _configuration(path) if path.startswith(_GUARDED) else _nothing(node.entry)
    # 3. A stream.
    status = gate_view.status(root)
    if status is None:
        raise HostError(
            "no-gate",
            "no gate is loaded, which alone knows the streams that an exception can come in",
            hint="`verity lockdown status` says what is missing",
        )
    return _request(root, node.entry, code, status, denial, now)


def write(request: Request, target: Path) -> str:
    """Write a new file; returns its fingerprint."""
    data = exception_request.encode(request)
    write_new_file(target, data, mode=_MODE)
    return exception_request.fingerprint(data)


def _request(
    root: Path, entry: Entry, code: Code, status: GateStatus, denial: Denial | None, now: int
) -> Request:
    streams = sorted(
        (one.name, one.serial)
        for one in status.streams
        if (one.party, one.role) == ("user", "extension")
    )
    if not streams:
        raise HostError(
            "no-stream",
            "the gate's policy names no stream of the user for extensions: no exception can come"
            " in",
            hint="the owner has to sign a policy with one, and the host to boot with it"
            " (docs/guides/policy.md)",
        )
    # Of directories only the names count: an exception brings one file.
    above = [
        Entry(path=path, mode=_DIRECTORY, uid=0, gid=0)
        for path in exception_request.parents(entry.path)
    ]
    xattrs = tuple(one for one in entry.xattrs if dump.counts_for_security(one[0]))
    return Request(
        host=host.host_id(root),
        name=host.host_name(root),
        asked=now,
        entries=(*above, entry._replace(xattrs=xattrs)),
        code=code,
        streams=tuple(streams),
        policy=status.policy_serial,
        denial=denial,
    )


def _configuration(path: bytes) -> CallerError:
    return CallerError(
        "is-configuration",
        f"{printable(path)}: configuration, which no extension can bring: it is granted by path, as"
        " part of the signed /etc",
        hint="change it where /etc is signed: `verity etc sign`, then `verity etc apply` here",
    )


def _nothing(entry: Entry) -> CallerError:
    return CallerError(
        "no-code",
        f"{printable(entry.path)}: mode {entry.mode & 0o7777:04o} and neither program, script nor"
        " library: there is nothing to grant",
        hint="programs and scripts need an execute bit; what a granted program reads needs none",
    )
