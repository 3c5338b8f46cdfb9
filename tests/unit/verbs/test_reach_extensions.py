# SPDX-License-Identifier: Apache-2.0
"""What systemd-sysext and systemd-confext lay over the system must be signed, merged or not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reach_world import Host
from tests.world import JUST_VENDOR, World
from verity.formats.dump import Entry
from verity.formats.fsverity import digest_bytes
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.findings import Finding
from verity.verbs import audit_code, reach_extensions
from verity.verbs.audit_host import AuditedHost
from verity.verbs.extension_read import SignedExtension

IMAGE = b"hsqs an image"
WANTS = "/etc/systemd/system/sysinit.target.wants/systemd-sysext.service"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def found(audited: AuditedHost) -> list[tuple[str, str]]:
    result = audit_code.examine(audited)
    assert result.not_evaluated == ()
    return [(one.check, os.fsdecode(one.path or b"")) for one in result.findings]


def the_finding(audited: AuditedHost) -> Finding:
    (finding,) = audit_code.examine(audited).findings
    return finding


def signed_extension(*entries: Entry) -> SignedExtension:
    """What the owner signed: these files and the directories above them."""
    folders = {
        b"/".join(one.path.split(b"/")[:depth]) or b"/"
        for one in entries
        for depth in range(1, one.path.count(b"/") + 1)
    }
    tree = [Entry(path=path, mode=0o40755, uid=0, gid=0) for path in folders]
    world = World(entries=tuple(sorted([*tree, *entries], key=lambda one: one.path)))
    statement = verify_statement([world.envelope], JUST_VENDOR)
    manifest = verify_manifest(world.manifest, statement)
    grants = verify_grants(world.grants, world.grants_signatures, manifest, JUST_VENDOR)
    return SignedExtension(manifest=manifest, grants=grants)


def regular(path: str, data: bytes) -> Entry:
    digest = digest_bytes(data).value
    return Entry(path=path.encode(), mode=0o100644, uid=0, gid=0, size=len(data), digest=digest)


@pytest.mark.parametrize(
    ("folder", "over"),
    [
        ("/etc/extensions", "/usr and /opt"),
        ("/run/extensions", "/usr and /opt"),
        ("/var/lib/extensions", "/usr and /opt"),
        ("/run/confexts", "/etc"),
        ("/var/lib/confexts", "/etc"),
        ("/usr/lib/confexts", "/etc"),
    ],
)
def test_an_image_that_nobody_signed(host: Host, folder: str, over: str) -> None:
    audited = host.committed()
    host.file(f"{folder}/tools.raw", IMAGE)
    finding = the_finding(audited)
    assert (finding.check, finding.object) == ("unsigned-reached", f"{folder}/tools.raw")
    assert f"merges it over {over} if it is asked to" in finding.problem
    assert digest_bytes(IMAGE).value.hex() in finding.found
    assert "remove it" in finding.remedy


def test_who_merges_it_and_when(host: Host) -> None:
    host.unit("systemd-sysext.service", "[Service]\nExecStart=/bin/sh\n")
    host.link(WANTS, "/usr/lib/systemd/system/systemd-sysext.service")
    audited = host.committed()
    host.file("/var/lib/extensions/tools.raw", IMAGE)
    assert "systemd-sysext.service (merges it over /usr and /opt at the next boot)" in (
        the_finding(audited).problem
    )
    host.file("/usr/.systemd-sysext/extensions", b"tools\n")
    assert "has merged it over /usr and /opt" in the_finding(audited).problem


@pytest.mark.parametrize("name", ["tools.raw", "tools.raw.v/tools_1.raw", "tools.v/tools_1.raw"])
def test_an_image_by_its_names(host: Host, name: str) -> None:
    audited = host.committed()
    host.file(f"/var/lib/extensions/{name}", IMAGE)
    assert found(audited) == [("unsigned-reached", f"/var/lib/extensions/{name}")]


def test_every_file_of_a_directory(host: Host) -> None:
    audited = host.committed()
    host.program("/var/lib/extensions/tools/usr/bin/tool")
    host.file("/var/lib/extensions/tools/usr/lib/systemd/system/tool.service", b"[Service]\n")
    host.file("/var/lib/extensions/tools/README", b"is merged nowhere\n")
    top = "/var/lib/extensions/tools/usr"
    assert sorted(found(audited)) == [
        ("unsigned-reached", f"{top}/bin/tool"),
        ("unsigned-reached", f"{top}/lib/systemd/system/tool.service"),
    ]


def test_a_program_that_is_signed_elsewhere(host: Host) -> None:
    """Its digest is granted, and nobody said that it may be laid over another."""
    audited = host.committed()
    shell = (host.root / "bin/sh").read_bytes()
    host.file("/var/lib/extensions/tools/usr/bin/sudo", shell, 0o755)
    assert found(audited) == [("unsigned-reached", "/var/lib/extensions/tools/usr/bin/sudo")]


@pytest.mark.parametrize(
    "mask",
    [
        lambda host: host.file("/etc/extensions/tools.raw", b""),
        lambda host: host.link("/etc/extensions/tools", "/dev/null"),
        lambda host: (host.root / "var/lib/extensions/tools.raw").rename(
            host.root / "var/lib/extensions/.tools.raw"
        ),
    ],
    ids=["empty", "null", "hidden"],
)
def test_what_is_masked(host: Host, mask: Callable[[Host], object]) -> None:
    audited = host.committed()
    host.file("/var/lib/extensions/tools.raw", IMAGE)
    mask(host)
    assert found(audited) == []


@pytest.mark.parametrize("place", ["where it lies", "where it gets"])
def test_the_owner_signed_a_directory(host: Host, place: str) -> None:
    audited = host.committed()
    lies = "/var/lib/extensions/tools"
    host.file(f"{lies}/usr/lib/tool.conf", b"signed\n")
    path = f"{lies if place == 'where it lies' else ''}/usr/lib/tool.conf"
    signed = replace(audited, extensions={"t": signed_extension(regular(path, b"signed\n"))})
    assert found(signed) == [("reached-no-verity", f"{lies}/usr/lib/tool.conf")]
    host.file(f"{lies}/usr/lib/tool.conf", b"other\n")
    assert found(signed) == [("unsigned-reached", f"{lies}/usr/lib/tool.conf")]


def test_the_owner_signed_an_image_at_its_path(host: Host) -> None:
    audited = host.committed()
    host.file("/var/lib/extensions/tools.raw", IMAGE)
    entry = regular("/var/lib/extensions/tools.raw", IMAGE)
    signed = replace(audited, extensions={"t": signed_extension(entry)})
    assert found(signed) == [("reached-no-verity", "/var/lib/extensions/tools.raw")]
    (host.root / "var/lib/extensions/tools.raw").rename(host.root / "var/lib/extensions/a.raw")
    assert found(signed) == [("unsigned-reached", "/var/lib/extensions/a.raw")]


def test_a_confext_of_the_vendor(host: Host) -> None:
    host.file("/usr/lib/confexts/base.raw", IMAGE)
    audited = host.committed()
    assert found(audited) == []
    host.file("/usr/lib/confexts/base.raw", IMAGE + b"x")
    assert found(audited) == []  # the area files says that its contents differ
    assert found(replace(audited, areas=frozenset({audit_code.UNSIGNED.area}))) == [
        ("unsigned-reached", "/usr/lib/confexts/base.raw")
    ]


def test_what_is_merged_and_gone(host: Host) -> None:
    host.file("/usr/.systemd-sysext/extensions", b"gone\n")
    host.file("/var/lib/extensions.mutable/usr/x", b"")
    gaps = audit_code.examine(host.committed()).not_evaluated
    assert [(one.check, one.object) for one in gaps] == [
        ("not-followed", "/usr/.systemd-sysext/extensions"),
        ("not-followed", "/var/lib/extensions.mutable/usr"),
    ]
    assert gaps[0].why.startswith("gone is merged over /usr and /opt, and where it came from")


def test_where_a_file_gets() -> None:
    for path, place in (
        (b"/var/lib/extensions/a/usr/bin/b", b"/usr/bin/b"),
        (b"/var/lib/extensions/a/README", b"/var/lib/extensions/a/README"),
        (b"/var/lib/extensions/a/etc/b", b"/var/lib/extensions/a/etc/b"),
        (b"/usr/lib/confexts/a/etc/b", b"/etc/b"),
        (b"/var/lib/extensions/a.raw", b"/var/lib/extensions/a.raw"),
        (b"/usr/bin/b", b"/usr/bin/b"),
    ):
        assert reach_extensions.place_of(path) == place
