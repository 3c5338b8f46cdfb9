# SPDX-License-Identifier: Apache-2.0
"""What `lockdown init` has made on a host, bytes <-> values: to go on with, and to undo.

A small JSON document of the host's own (docs/formats.md, "Record of an installation"). It is signed
by nobody and says nothing of trust: it names what may be taken away again, and only files below a
few directories are ever taken away by it.
"""

from dataclasses import dataclass

from verity.formats import strictjson
from verity.formats.strictjson import Fields, refuse

MEDIA_TYPE = "application/vnd.verity.installation.v1+json"
MAX_SIZE = 1 << 20
_WHAT = "record of the installation"
BELOW = (
    "etc/verity/",
    "etc/systemd/system/",
    "etc/apt/apt.conf.d/",
    "etc/grub.d/",
    "boot/grub/",
    "var/lib/verity/",
)
"""Where an installation puts files, below the root of the host."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """``files`` and ``links`` were made by it and weren't there before, paths below the root.

    ``complete``: the boot bundle is in place. ``streams``: of the OS, of /etc, of extensions.
    """

    self_vendor: bool
    complete: bool
    streams: tuple[str, str, str]
    files: tuple[str, ...]
    links: tuple[str, ...]


def encode(found: Installation) -> bytes:
    """The document."""
    fields = {
        "_type": MEDIA_TYPE,
        "self_vendor": "yes" if found.self_vendor else "no",
        "complete": "yes" if found.complete else "no",
        "streams": list(found.streams),
        "files": list(found.files),
        "links": list(found.links),
    }
    return strictjson.canonical(fields) + b"\n"


def parse(data: bytes) -> Installation:
    """Read the document. Raises ContentError (``bad-document``)."""
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE), what=_WHAT)
    if top.text("_type") != MEDIA_TYPE:
        refuse(_WHAT, f"its _type is not {MEDIA_TYPE}")
    answers = {name: top.text(name) for name in ("self_vendor", "complete")}
    for name, answer in answers.items():
        if answer not in ("yes", "no"):
            refuse(_WHAT, f"the field {name!r} is neither yes nor no")
    streams = _texts(top, "streams")
    if len(streams) != 3:
        refuse(_WHAT, f"{len(streams)} streams, expected 3")
    files, links = _texts(top, "files"), _texts(top, "links")
    top.end()
    for path in (*files, *links):
        if not path.startswith(BELOW) or {"", ".", ".."} & set(path.split("/")):
            refuse(_WHAT, f"{path[:200]!r} is no place of an installation")
    return Installation(
        self_vendor=answers["self_vendor"] == "yes",
        complete=answers["complete"] == "yes",
        streams=(streams[0], streams[1], streams[2]),
        files=files,
        links=links,
    )


def _texts(top: Fields, name: str) -> tuple[str, ...]:
    found = top.array(name)
    if not all(isinstance(one, str) for one in found):
        refuse(_WHAT, f"the field {name!r} holds something else than texts")
    return tuple(found)
