# SPDX-License-Identifier: Apache-2.0
"""The area code: what is a finding, which, and what it says."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.program import needs_root
from tests.reach_world import Host
from tests.world import COMMIT
from verity.formats.grants import Code
from verity.values.audit import Area
from verity.values.findings import Link
from verity.verbs import audit_code
from verity.verbs.audit_host import AuditedHost

UNIT = "[Service]\nExecStart=/usr/bin/a\n"
WANTS = "/etc/systemd/system/multi-user.target.wants/a.service"
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

ONLY_CODE = frozenset({Area.CODE})
ALL_AREAS = frozenset(Area)


def found(audited: AuditedHost) -> list[tuple[str, str]]:
    result = audit_code.examine(audited)
    assert result.not_evaluated == ()
    return [(one.check, os.fsdecode(one.path or b"")) for one in result.findings]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.program("/usr/bin/a")
    made.unit("a.service", UNIT)
    made.unit("multi-user.target", "[Unit]\n")
    made.link(WANTS, "/usr/lib/systemd/system/a.service")
    return made


def test_checks_are_of_the_area_and_all_their_ids_differ() -> None:
    assert {one.area for one in audit_code.CHECKS} == {Area.CODE}
    assert len({one.id for one in audit_code.CHECKS}) == len(audit_code.CHECKS)


def test_clean(host: Host) -> None:
    result = host.audit()
    assert result.findings == ()
    assert result.counts["units"] == 2
    assert sum(result.coverage.values()) == result.counts["reached files"] == 3


def test_unsigned(host: Host) -> None:
    host.unsigned = {"/usr/bin/a"}
    (finding,) = host.audit().findings
    assert (finding.check, finding.link, finding.path) == (
        "unsigned-reached",
        Link.GRANTS,
        b"/usr/bin/a",
    )
    assert finding.problem == (
        "started for somebody privileged, and not signed for that:"
        f" {WANTS} (a link for multi-user.target)"
        " > /usr/lib/systemd/system/a.service (ExecStart=)"
    )
    assert finding.expected == "a digest granted as exec or script"
    assert finding.found.startswith("digest sha256:")
    assert finding.found.endswith(", granted as nothing")
    assert "/usr/lib/systemd/system/a.service" in finding.remedy


def test_a_program_that_a_shell_finds_before_the_signed_one(host: Host) -> None:
    """On an OSTree system /usr/local is a link to what no commit holds."""
    host.link("/usr/local", "/var/usrlocal")
    host.program("/var/usrlocal/bin/a")
    assert host.found() == []
    host.unsigned = {"/var/usrlocal/bin/a"}
    assert host.found() == [("unsigned-reached", "/var/usrlocal/bin/a")]


def test_signed_for_another_use(host: Host) -> None:
    (host.root / "usr/bin/a").chmod(0o644)  # granted as a library: it isn't one to start
    grants = host.grants()
    (host.root / "usr/bin/a").chmod(0o755)
    audited = AuditedHost(root=host.root, live=False, now=1, clock=1, grants=(grants,))
    (finding,) = audit_code.examine(audited).findings
    assert finding.check == "unsigned-reached"
    assert finding.found.endswith("granted as library")
    assert {one.flags for one in grants.code} == {Code.LIBRARY, Code.EXEC | Code.LIBRARY}


def test_a_name_with_escapes_and_newlines(host: Host) -> None:
    name = "/usr/bin/\x1b[31m\n"
    host.program(name)
    host.unit("a.service", "[Service]\nExecStart=/usr/bin/\\x1b[31m\\n\n")
    host.unsigned = {name}
    (finding,) = host.audit().findings
    assert finding.path == os.fsencode(name)
    assert finding.object == r"/usr/bin/\x1b[31m\x0a"
    assert not set("\x1b\n") & set(finding.problem + finding.object + finding.remedy)


def test_missing_where_the_boot_leads(host: Host) -> None:
    (host.root / "usr/bin/a").unlink()
    (finding,) = host.audit().findings
    assert (finding.check, finding.path) == ("reached-missing", b"/usr/bin/a")
    assert finding.found == "no such file"


@pytest.mark.parametrize(
    "unit",
    [
        "[Service]\nExecStart=-/usr/bin/a\n",
        "[Unit]\nConditionPathExists=/usr/bin/a\n" + UNIT,
        "[Unit]\nConditionFileIsExecutable=|/usr/bin/a\n" + UNIT,
        "[Unit]\nAssertPathExists=/etc/none\n" + UNIT,
    ],
    ids=["prefix", "condition", "executable", "assert"],
)
def test_missing_and_it_may(host: Host, unit: str) -> None:
    (host.root / "usr/bin/a").unlink()
    host.unit("a.service", unit)
    assert host.found() == []


def test_missing_and_the_condition_says_otherwise(host: Host) -> None:
    (host.root / "usr/bin/a").unlink()
    host.unit("a.service", "[Unit]\nConditionPathExists=!/usr/bin/a\n" + UNIT)
    assert host.found() == [("reached-missing", "/usr/bin/a")]


def test_missing_where_nothing_leads(host: Host) -> None:
    (host.root / "usr/bin/a").unlink()
    (host.root / WANTS[1:]).unlink()
    assert host.found() == []


def test_masked(host: Host) -> None:
    host.unsigned = {"/usr/bin/a"}
    host.link("/etc/systemd/system/a.service", "/dev/null")
    assert host.found() == []


def test_set_id_program(host: Host) -> None:
    (host.root / "usr/bin/a").chmod(0o4755)
    assert host.found() == []
    grants = host.grants()
    (host.root / "usr/bin/a").chmod(0o6755)
    audited = AuditedHost(root=host.root, live=False, now=1, clock=1, grants=(grants,))
    (finding,) = audit_code.examine(audited).findings
    assert (finding.check, finding.path) == ("unsigned-elevation", b"/usr/bin/a")
    assert finding.found.startswith("-rwsr-sr-x, uid ")


def test_set_id_where_it_has_no_effect(host: Host) -> None:
    host.file("/home/x/script", b"#!/bin/sh\n", 0o4755)
    host.file("/home/x/data", b"data", 0o4755)
    host.file("/home/x/locked", b"\x7fELF", 0o2645)
    host.unsigned = {"/home/x/script", "/home/x/data", "/home/x/locked"}
    assert host.found() == []


@needs_root
def test_file_capabilities(host: Host) -> None:
    host.program("/home/x/a")
    os.setxattr(host.root / "home/x/a", "security.capability", CAPABILITY)
    assert host.found() == []
    host.unsigned = {"/home/x/a"}
    (finding,) = host.audit().findings
    assert (finding.check, finding.path) == ("unsigned-elevation", b"/home/x/a")
    assert "capabilities 0x400," in finding.found


@needs_root
def test_more_capabilities_than_granted(host: Host) -> None:
    host.program("/home/x/a")
    os.setxattr(host.root / "home/x/a", "security.capability", CAPABILITY)
    audited = host.committed(areas=ONLY_CODE)
    more = CAPABILITY[:4] + b"\x01" + CAPABILITY[5:]
    os.setxattr(host.root / "home/x/a", "security.capability", more)
    assert found(audited) == [("unsigned-elevation", "/home/x/a")]


def test_a_root_of_its_own_is_not_followed(host: Host) -> None:
    host.unit("a.service", UNIT + "RootDirectory=/srv/x\n")
    (gap,) = host.audit().not_evaluated
    assert (gap.check, gap.object) == ("not-followed", "a.service")
    assert gap.why == "RootDirectory= has its own files"


def test_a_program_that_only_a_device_names(host: Host) -> None:
    host.file("/etc/udev/rules.d/a.rules", b'RUN+="$env{WHAT} x"\n')
    (gap,) = host.audit().not_evaluated
    assert (gap.check, gap.object) == ("not-followed", "/etc/udev/rules.d/a.rules")
    assert gap.why == "the program $env{WHAT} of a rule is known only when a device comes"


def test_a_program_that_only_the_running_host_names(host: Host) -> None:
    host.unit("a.service", "[Service]\nExecStart=/usr/lib/%v/a\n")
    (gap,) = host.audit().not_evaluated
    assert (gap.check, gap.object) == ("not-followed", "a.service")
    assert gap.why == "the program /usr/lib/%v/a is known only on the running host"


def test_unreadable_is_not_evaluated(host: Host) -> None:
    (host.root / "usr/bin/a").write_bytes(b"\x7fELF damaged")
    (gap,) = host.audit().not_evaluated
    assert (gap.check, gap.path) == ("reached-unreadable", b"/usr/bin/a")


def test_a_file_of_configuration_that_is_too_large(host: Host) -> None:
    host.file("/etc/crontab", b"#" * (5 << 20))
    (gap,) = host.audit().not_evaluated
    assert (gap.check, gap.path) == ("reached-unreadable", b"/etc/crontab")
    assert gap.why == "more than 4194304 bytes"


def test_without_grants_nothing_is_said(host: Host) -> None:
    result = audit_code.examine(AuditedHost(root=host.root, live=False, now=1, clock=1))
    assert [one.check for one in result.not_evaluated] == [one.id for one in audit_code.CHECKS]
    assert result.findings == ()


def test_one_finding_for_a_file_that_is_reached_twice(host: Host) -> None:
    host.file("/etc/cron.d/a", b"1 1 * * * root /usr/bin/a\n")
    host.unsigned = {"/usr/bin/a"}
    assert host.found() == [("unsigned-reached", "/usr/bin/a")]


def test_a_commit_that_is_as_signed(host: Host) -> None:
    assert found(host.committed()) == []


@pytest.mark.parametrize("areas", [ALL_AREAS, ONLY_CODE], ids=["all", "code"])
@pytest.mark.parametrize(
    ("tamper", "check"),
    [
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "unsigned-reached"),
        (lambda file: file.unlink(), "reached-missing"),
        (lambda file: file.chmod(0o4755), "unsigned-elevation"),
    ],
    ids=["contents", "missing", "set-uid"],
)
def test_what_the_area_files_finds_is_not_repeated(
    host: Host, areas: frozenset[Area], tamper: Callable[[Path], object], check: str
) -> None:
    audited = host.committed(areas=areas)
    tamper(host.root / "usr/bin/a")
    assert found(audited) == ([(check, "/usr/bin/a")] if areas == ONLY_CODE else [])


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "granted alone"])
@pytest.mark.parametrize(
    ("tamper", "check"),
    [
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "unsigned-reached"),
        (lambda file: file.unlink(), "reached-missing"),
        (lambda file: file.chmod(0o4755), "unsigned-elevation"),
        (lambda file: None, "reached-no-verity"),
    ],
    ids=["contents", "missing", "set-uid", "nothing"],
)
def test_code_in_var_of_a_deployment_is_found_for_what_it_is(
    tmp_path: Path, signed: bool, tamper: Callable[[Path], object], check: str
) -> None:
    """Below /var the area files compares nothing, although the commit has the very path."""
    host = Host(tmp_path / f"ostree/deploy/os/deploy/{COMMIT.hex()}.0")
    host.program("/var/lib/a")
    host.unit("a.service", "[Service]\nExecStart=/var/lib/a\n")
    host.unit("multi-user.target", "[Unit]\n")
    host.link(WANTS, "/usr/lib/systemd/system/a.service")
    audited = host.committed(*(() if signed else ["/var/lib/a"]))
    tamper(host.root / "var/lib/a")
    checks = [one for one in found(audited) if one[0] != "reached-no-verity"]
    assert (checks or found(audited)) == [(check, "/var/lib/a")]


@pytest.mark.parametrize("areas", [ALL_AREAS, ONLY_CODE], ids=["all", "code"])
def test_set_id_program_in_etc_at_a_name_of_the_default(host: Host, areas: frozenset[Area]) -> None:
    """The area files compares the default with its line, and never the copy in /etc."""
    host.file("/usr/etc/motd", b"hello\n")
    audited = host.committed(areas=areas)
    host.program("/etc/motd")
    (host.root / "etc/motd").chmod(0o4755)
    assert found(audited) == [("unsigned-elevation", "/etc/motd")]


def test_code_beside_the_commit_must_have_verity(host: Host) -> None:
    assert found(host.committed("/usr/bin/a")) == [("reached-no-verity", "/usr/bin/a")]


@pytest.mark.parametrize("folder", ["/etc", "/usr/etc"])
def test_code_that_is_read_is_signed_by_its_path(host: Host, folder: str) -> None:
    host.file(f"{folder}/script", b"# code without #!\n")
    host.unit("a.service", "[Service]\nExecStart=/bin/sh /etc/script\n")
    audited = host.committed()
    if folder == "/usr/etc":  # a deployment's defaults, of which /etc is a copy
        host.file("/etc/script", b"# code without #!\n")
    assert found(audited) == []
    host.file("/etc/script", b"# other code\n")
    due = [] if folder == "/etc" else [("unsigned-reached", "/etc/script")]
    assert found(audited) == due  # at a path of the manifest, the area files finds it


def test_the_document_has_the_checks() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (\w+) \| ([^|]+) \|", Path("docs/reach.md").read_text(), re.MULTILINE
    )
    assert rows == [(one.id, one.severity.value, one.title) for one in audit_code.CHECKS]


@needs_root
def test_permission_denied_in_the_middle(host: Host) -> None:
    host.file("/etc/cron.d/a", b"1 1 * * * root /usr/bin/a\n", 0o600)
    host.file("/home/closed/x", b"")
    audited = host.committed()
    (host.root / "home/closed").chmod(0o700)
    (host.root / "usr/bin/a").chmod(0o700)
    host.root.chmod(0o755)
    # By descriptor: whoever may not pass the directories above can still be given this one.
    root = os.open(host.root, os.O_PATH)
    os.seteuid(65534)
    try:
        result = audit_code.examine(replace(audited, root=Path(f"/proc/self/fd/{root}")))
    finally:
        os.seteuid(0)
        os.close(root)
    assert {one.path for one in result.not_evaluated} == {
        b"/etc/cron.d/a",
        b"/home/closed",
        b"/usr/bin/a",
    }
    assert {one.why for one in result.not_evaluated} == {"permission denied"}
    assert result.findings == ()
