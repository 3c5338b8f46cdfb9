# SPDX-License-Identifier: Apache-2.0
"""Whether the auditor's own files are verified: all of them, by the kernel, and as signed."""

from dataclasses import replace

import pytest

from tests.unit.verbs.test_audit_signed import commit, host
from verity.formats.dump import Entry, digests, parse, serialise
from verity.formats.grants import Code, CodeEntry
from verity.ports import tool
from verity.ports.tool import ToolFile
from verity.verbs import audit_head

SIGNED = commit()
(FILE,) = (one for one in SIGNED.manifest.entries if one.digest is not None)


def own(path: bytes, digest: bytes, *, by_kernel: bool = True) -> ToolFile:
    return ToolFile(path=path.decode(), digest=digest, by_kernel=by_kernel)


def verified(monkeypatch: pytest.MonkeyPatch, *files: ToolFile, granted: bytes = b"") -> object:
    monkeypatch.setattr(tool, "files", lambda: files)
    grants = SIGNED.grants.grants
    code = (CodeEntry(granted, Code.LIBRARY),) if granted else ()
    asked = host(commit=SIGNED, more=(replace(grants, code=code),))
    return audit_head._tool(asked)[1]


def test_who_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILE.digest is not None
    there, other = own(FILE.path, FILE.digest), own(b"/opt/tool", b"\x07" * 32)
    assert verified(monkeypatch, there) is True
    assert verified(monkeypatch, there, own(b"/opt/checkout", FILE.digest)) is True
    assert verified(monkeypatch, there, other) is False
    assert verified(monkeypatch, there, other, granted=other.digest) is True
    assert verified(monkeypatch, own(FILE.path, other.digest)) is False
    assert verified(monkeypatch, own(FILE.path, FILE.digest, by_kernel=False)) is False


def test_the_digests_of_a_manifest_without_its_entries() -> None:
    digest, other = b"\xab" * 32, b"\x0c" * 32
    decoy = b" 0.0 - - " + other.hex().encode()
    root = Entry(path=b"/", mode=0o40755, uid=0, gid=0)
    file = Entry(path=b"/a", mode=0o100644, uid=0, gid=0, digest=digest)
    odd = file._replace(path=b"/b" + decoy, xattrs=((b"user.a", decoy),))
    link = Entry(path=b"/c", mode=0o120777, uid=0, gid=0, size=64, target=other.hex().encode())
    data = serialise([root, file, odd, link])
    assert digests(data) == {one.digest for one in parse(data)} - {None} == {digest}
