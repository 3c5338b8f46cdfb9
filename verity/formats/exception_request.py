# SPDX-License-Identifier: Apache-2.0
"""A request for an exception, bytes <-> values: one file of one host that was refused.

A small JSON document (docs/formats.md, "Exception request") which a host writes and the holder of
an extension key reads. It holds no secret and is signed by nobody: whoever signs what it asks for
looks at it first, and compares its fingerprint with the one that the host printed. Rules:

1. One spelling: canonical JSON, with the SHA-256 of all the rest, so that what was damaged on its
   way is seen. Who alters it on purpose writes another: only the fingerprint tells.
2. The file is a manifest of exactly one regular file and the directories above it.
3. What is wanted is no more than an extension may grant, and no more than the manifest allows.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from verity.formats import dump, gate_status, grant_rules, strictjson
from verity.formats.dump import Entry
from verity.formats.escaped import escape
from verity.formats.gate_status import Denial
from verity.formats.grants import Code, is_stream_name
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import MAX_INTEGER, Fields, refuse
from verity.values.errors import ContentError

MEDIA_TYPE = "application/vnd.verity.exception-request.v1+json"
MAX_SIZE = 256 * 2**10
MAX_STREAMS = 64
CODE = (Code.EXEC, Code.LIBRARY, Code.SCRIPT)
"""What an extension can grant, in the order in which it is written."""

_WHAT = "exception request"
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FINGERPRINT = 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """``host`` is a host id (64 hex digits), ``name`` what it calls itself; ``file`` the one entry.

    ``streams`` are the user's streams for extensions that the host's policy names, each with the
    serial that it has; ``denial`` is what the gate said, if it was asked about one.
    """

    host: str
    name: str
    asked: int
    entries: tuple[Entry, ...]
    code: Code
    streams: tuple[tuple[str, int], ...]
    policy: int
    denial: Denial | None

    @property
    def file(self) -> Entry:
        """The file that is asked for."""
        return next(entry for entry in self.entries if entry.is_regular)


def fingerprint(data: bytes) -> str:
    """What two people compare over the phone: 80 bits of the SHA-256, in groups of four digits."""
    digits = hashlib.sha256(data).hexdigest()[:_FINGERPRINT]
    return " ".join(digits[at : at + 4] for at in range(0, _FINGERPRINT, 4))


def words_of(code: Code) -> tuple[str, ...]:
    """The flags as words."""
    return tuple((flag.name or "").lower() for flag in CODE if flag & code)


def encode(request: Request) -> bytes:
    """The document, with a line feed at its end."""
    fields: dict[str, Any] = {
        "_type": MEDIA_TYPE,
        "asked": format_time(request.asked),
        "code": list(words_of(request.code)),
        "denial": "" if request.denial is None else _line(request.denial),
        "host": request.host,
        "manifest": dump.serialise(request.entries).decode("ascii"),
        "name": request.name,
        "policy": request.policy,
        "streams": [{"name": name, "serial": serial} for name, serial in request.streams],
    }
    fields["check"] = hashlib.sha256(strictjson.canonical(fields)).hexdigest()
    data = strictjson.canonical(fields) + b"\n"
    if parse(data) != request:  # the writer is held to the reader's rules
        refuse(_WHAT, "the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Request:
    """Read a request. Raises ContentError (``bad-document``, ``altered``).

    1. One JSON object in its canonical spelling, with its own check.
    2. Fields of known names and types.
    3. One regular file, and the directories above it.
    4. Something to grant that such a file can be granted.
    """
    # 1. One spelling.
    value = strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE)
    top = Fields(value, what=_WHAT)
    if top.text("_type") != MEDIA_TYPE:
        refuse(_WHAT, f"its _type is not {MEDIA_TYPE}")
    check = top.text("check")
    rest = {name: item for name, item in value.items() if name != "check"}
    if (
        strictjson.canonical(value) + b"\n" != data
        or hashlib.sha256(strictjson.canonical(rest)).hexdigest() != check
    ):
        raise ContentError(
            "altered",
            f"{_WHAT}: it is not what was written: altered or damaged on its way",
            hint="have it sent again, or made anew, and compare the fingerprint",
        )
    # 2. Fields.
    host, name = top.text("host"), top.text("name")
    if not _HEX.fullmatch(host) or not _NAME.fullmatch(name):
        refuse(_WHAT, "its host is not 64 lower-case hex digits and a plain name")
    asked, policy = parse_time(top.text("asked")), top.integer("policy")
    streams = tuple(_stream(item) for item in top.array("streams"))
    if len(streams) > MAX_STREAMS or sorted(set(streams)) != list(streams) or policy < 0:
        refuse(_WHAT, "its streams are not sorted, or too many, or its policy's serial is negative")
    denial = _denial(top.text("denial"))
    manifest, words = top.text("manifest"), top.array("code")
    top.end()
    # 3. One file.
    entries = _one_file(manifest)
    # 4. Something to grant.
    code = Code(0)
    for flag in CODE:
        if (flag.name or "").lower() in words:
            code |= flag
    if not code or list(words_of(code)) != words:
        refuse(_WHAT, f"it asks for {words!r:.80}, expected of {', '.join(words_of(sum_of(CODE)))}")
    found = Request(
        host=host,
        name=name,
        asked=asked,
        entries=entries,
        code=code,
        streams=streams,
        policy=policy,
        denial=denial,
    )
    _check_grantable(found)
    return found


def sum_of(flags: tuple[Code, ...]) -> Code:
    """All of these."""
    code = Code(0)
    for flag in flags:
        code |= flag
    return code


def _check_grantable(request: Request) -> None:
    entry = request.file
    if code_beyond(entry, request.code):
        refuse(_WHAT, "it asks for a file that no extension can bring")


def code_beyond(entry: Entry, code: Code) -> bool:
    """Whether an extension can't grant this: a module, what raises privileges, what can't run."""
    runs = bool(entry.mode & 0o111)
    return (
        grant_rules.is_module(entry)
        or grant_rules.elevation_of(entry, code) is not None
        or bool(code & grant_rules.RUNS and not runs)
    )


def _one_file(manifest: str) -> tuple[Entry, ...]:
    try:
        entries = dump.parse(manifest.encode("ascii"))
    except UnicodeEncodeError:
        refuse(_WHAT, "its manifest is not ASCII")
    *above, last = entries
    if not last.is_regular or not all(entry.is_directory for entry in above):
        refuse(_WHAT, "its manifest is not of one regular file")
    names = [entry.path for entry in above]
    if names != parents(last.path):
        refuse(_WHAT, "its manifest has directories that aren't above the file")
    return entries


def parents(path: bytes) -> list[bytes]:
    """The directories above a path, from the top."""
    parts = path.split(b"/")[1:-1]
    return [b"/", *(b"/" + b"/".join(parts[: n + 1]) for n in range(len(parts)))]


def _stream(item: Any) -> tuple[str, int]:
    fields = Fields(item, what=f"{_WHAT}, a stream")
    name, serial = fields.text("name"), fields.integer("serial")
    fields.end()
    if not is_stream_name(name) or not 0 <= serial <= MAX_INTEGER:
        refuse(_WHAT, f"the stream {name[:80]!r} with the serial {serial}")
    return name, serial


def _line(denial: Denial) -> str:
    """As the gate writes it."""
    comm, path = (escape(one).decode() if one else "-" for one in (denial.comm, denial.path))
    outcome = "denied" if denial.denied else "observed"
    digest = "-" if denial.digest is None else denial.digest.hex()
    return (
        f"{denial.seq} {denial.boot_ms} {outcome} {denial.reason} {denial.act} {denial.uid}"
        f" {denial.pid} {comm} {digest} {path}"
    )


def _denial(text: str) -> Denial | None:
    if not text:
        return None
    try:
        found = gate_status.parse_denials(text.encode("ascii") + b"\n")
    except (UnicodeEncodeError, ContentError) as error:
        raise ContentError("bad-document", f"{_WHAT}: its denial is none of the gate's") from error
    if len(found) != 1:
        refuse(_WHAT, "its denial is not one line of the gate's")
    return found[0]
