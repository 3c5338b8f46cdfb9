# SPDX-License-Identifier: Apache-2.0
"""`verity acknowledge`, and the area written: what programs wrote since, in words."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import Done, copy, needs_root, snapshot, verity
from tests.etc_world import relink, write
from verity.formats.grants import Party, Role
from verity.ports import keystore, places
from verity.trust.trusted import TrustedSet
from verity.values.audit import Area, AreaResult
from verity.verbs import audit_written
from verity.verbs.audit_host import AuditedHost, Roots
from verity.verbs.keyring_trust import Keyrings

HASH = "$6$saltsalt$abcdefghijklmnop"
PASSWD = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann:/home/ann:/bin/bash\n"
SHADOW = f"root:*:1::::::\nann:{HASH}:1::::::\n"
UNIT = "[Service]\nExecStart=/bin/true\n"
TRANSIENT = "run/systemd/transient"


def make(root: Path) -> None:
    """A host with something of each kind."""
    write(root / "etc/passwd", PASSWD)
    write(root / "etc/shadow", SHADOW, 0o640)
    write(root / "etc/passwd-", PASSWD)
    write(root / "etc/group", "root:x:0:\nsudo:x:27:ann\n")
    write(root / "etc/hostname", "here\n")
    write(root / "etc/motd", "signed elsewhere\n")
    write(root / "var/spool/cron/crontabs/ann", "* * * * * true\n", 0o600)
    write(root / f"{TRANSIENT}/run-1.service", UNIT)
    write(root / f"{TRANSIENT}/session-1.scope", "[Scope]\n")
    write(root / "run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n")
    (root / "etc/localtime").symlink_to("../usr/share/zoneinfo/UTC")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written")
    make(path / "root")
    for name in ("etc", "other"):
        assert verity("key", "generate", f"{name}.pem", cwd=path).status == 0
    assert acknowledge(path).status == 0
    return path


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    return copy(made, tmp_path / "w")


def acknowledge(path: Path, *more: str) -> Done:
    return verity("acknowledge", "--root", "root", "--key", "etc.pem", *more, cwd=path)


def examine(path: Path, *, live: bool = True, key: str | None = "etc") -> AreaResult:
    """``live`` without being at /: the tests have a /run below their root."""
    now = int(time.time())
    roots = None
    if key is not None:
        public = keystore.load_signer(str(path / f"{key}.pem")).public
        keys = TrustedSet.of_keys([public], party=Party.USER, role=Role.ETC)
        roots = Roots(of=lambda role, party: keys, keyrings=Keyrings(of_party={}))
    host = AuditedHost(root=path / "root", live=live, now=now, clock=now, roots=roots)
    found = audit_written.examine(host)
    ids = {check.id for check in audit_written.CHECKS}
    for one in found.findings:
        assert one.check in ids
        assert one.expected and one.found and one.remedy and one.link
    assert {gap.check for gap in found.not_evaluated} <= ids
    assert found.area is Area.WRITTEN
    return found


def checks(found: AreaResult) -> list[tuple[str, str]]:
    return [(one.check, one.object) for one in found.findings]


def test_as_acknowledged(made: Path) -> None:
    found = examine(made, live=False)
    assert (checks(found), found.not_evaluated) == ([], ())
    assert set(found.not_applicable) == {"written-units"}
    assert "signed by the owner" in found.notes[0]
    assert found.counts == {"mutable": 7}


def live(path: Path) -> Path:
    """The same, acknowledged with what is in /run: the program takes that of / alone."""
    from verity.verbs import acknowledge as verb

    key = keystore.load_signer(str(path / "etc.pem"))
    root = path / "root"
    verb.write(root, verb.look(root, now=int(time.time()), live=True), [key])
    return path


Row = tuple[Callable[[Path], object], str, str, str]
CHANGED: dict[str, Row] = {
    "account-added": (
        lambda root: write(root / "etc/passwd", PASSWD + "eve:x:1001:1001::/h:/bin/sh\n"),
        "accounts",
        "/etc/passwd",
        "account eve added (uid 1001, gid 1001, home /h, shell /bin/sh)",
    ),
    "account-removed": (
        lambda root: write(root / "etc/passwd", PASSWD.partition("ann")[0]),
        "accounts",
        "/etc/passwd",
        "account ann removed",
    ),
    "shell": (
        lambda root: write(root / "etc/passwd", PASSWD.replace("ann:/bin/bash", "ann:/bin/evil")),
        "accounts",
        "/etc/passwd",
        "account ann: shell changed from /bin/bash to /bin/evil",
    ),
    "password": (
        lambda root: write(root / "etc/shadow", SHADOW.replace("abc", "abd"), 0o640),
        "accounts",
        "/etc/shadow",
        "account ann: password changed",
    ),
    "unlocked": (
        lambda root: write(root / "etc/shadow", SHADOW.replace("root:*", f"root:{HASH}"), 0o640),
        "accounts",
        "/etc/shadow",
        "account root: password changed from locked to set",
    ),
    "group": (
        lambda root: write(root / "etc/group", "root:x:0:\nsudo:x:27:ann,eve\n"),
        "accounts",
        "/etc/group",
        "account sudo: members changed from ann to ann,eve",
    ),
    "mode": (
        lambda root: (root / "etc/group").chmod(0o666),
        "accounts",
        "/etc/group",
        "mode changed from 0644 to 0666",
    ),
    "unit": (
        lambda root: write(root / f"{TRANSIENT}/run-2.service", "[Service]\nExecStart=/tmp/x y\n"),
        "units",
        "/run/systemd/transient/run-2.service",
        "it is new (a file); [Service] ExecStart=/tmp/x y",
    ),
    "drop-in": (
        lambda root: write(
            root / "run/systemd/system/ssh.service.d/x.conf", "[Service]\nExecStartPre=/tmp/x\n"
        ),
        "units",
        "/run/systemd/system/ssh.service.d/x.conf",
        "it is new (a file); [Service] ExecStartPre=/tmp/x",
    ),
    "unit-changed": (
        lambda root: write(
            root / f"{TRANSIENT}/run-1.service", UNIT.replace("/bin/true", "/bin/evil")
        ),
        "units",
        "/run/systemd/transient/run-1.service",
        "[Service] ExecStart changed from /bin/true to /bin/evil",
    ),
    "crontab": (
        lambda root: write(root / "var/spool/cron/crontabs/ann", "* * * * * evil\n", 0o600),
        "jobs",
        "/var/spool/cron/crontabs/ann",
        "its contents changed",
    ),
    "hostname-gone": (
        lambda root: (root / "etc/hostname").unlink(),
        "files",
        "/etc/hostname",
        "it is gone",
    ),
    "link": (
        lambda root: relink(root / "etc/localtime", "/tmp/x"),  # noqa: S108  # only compared
        "files",
        "/etc/localtime",
        "it was a link to ../usr/share/zoneinfo/UTC, and is a link to /tmp/x",
    ),
    "owner": (
        lambda root: os.chown(root / "etc/group", 7, 8),
        "accounts",
        "/etc/group",
        "owner changed from 0:0 to 7:8",
    ),
}


@pytest.mark.parametrize("name", [one for one in CHANGED if one != "owner"])
def test_said_in_words(here: Path, name: str) -> None:
    check_words(live(here), name)


@needs_root
def test_an_owner_that_changed(here: Path) -> None:
    check_words(live(here), "owner")


def check_words(path: Path, name: str) -> None:
    act, check, object_, words = CHANGED[name]
    assert checks(examine(path)) == []
    act(path / "root")
    found = examine(path)
    assert checks(found) == [(f"written-{check}", object_)]
    assert found.findings[0].found == words
    assert found.not_evaluated == ()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("run/systemd/transient/session-2.scope", "[Scope]\n"),
        ("run/systemd/transient/session-2.scope.d/50-x.conf", "[Scope]\n"),
        ("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.2\n"),
        ("run/systemd/sessions/2", "UID=0\n"),
        ("etc/passwd-", "anything\n"),
        ("etc/motd", "the area etc's\n"),
    ],
)
def test_what_comes_and_goes_is_no_finding(here: Path, name: str, data: str) -> None:
    live(here)
    (here / "root" / TRANSIENT / "run-1.service").unlink()
    write(here / "root" / name, data)
    assert checks(examine(here)) == []


def test_uid_zero_and_empty_passwords_whoever_acknowledged_them(here: Path) -> None:
    write(here / "root/etc/passwd", PASSWD + "toor:x:00:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n")
    write(here / "root/etc/shadow", SHADOW + "toor::1::::::\n", 0o640)
    assert acknowledge(here).status == 0
    found = examine(here, live=False)
    assert checks(found) == [
        ("written-uid-zero", "/etc/passwd"),
        ("written-uid-zero", "/etc/passwd"),
        ("written-no-password", "/etc/shadow"),
    ]
    assert [one.found for one in found.findings] == [
        *("toor: uid 00", "root #2: uid 0", "toor: empty")
    ]


def test_no_hash_in_any_output(here: Path) -> None:
    write(here / "root/etc/shadow", SHADOW.replace("abc", "xyz").replace("*", HASH), 0o640)
    done = acknowledge(here, "--dry-run", "--json")
    said = done.out + done.err + acknowledge(here, "--dry-run").out + repr(examine(here))
    assert "password changed" in said
    assert "saltsalt" not in said
    record = (here / "root" / places.ACKNOWLEDGED).read_bytes()
    assert b"saltsalt" not in record
    for digest in (b"password-sha256", b'"set"'):
        assert digest in record
    assert "password-sha256" not in said


def test_the_command(made: Path, here: Path) -> None:
    record = here / "root" / places.ACKNOWLEDGED
    assert record.stat().st_mode & 0o777 == 0o600
    write(here / "root/etc/hostname", "there\n")
    before = snapshot(here)
    done = acknowledge(here, "--dry-run")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "/etc/hostname: its contents changed",
        "would be acknowledged: 6 files, 1 of them changed",
    ]
    assert snapshot(here) == before
    unsigned = verity("acknowledge", "--root", "root", "--json", cwd=here)
    assert unsigned.records[-1] == {
        **{"v": 1, "type": "acknowledged", "files": 6, "changed": 1, "first": False},
        **{"signed_by": [], "dry_run": False},
    }
    found = examine(here, live=False)
    assert (checks(found), found.not_evaluated) == ([], ())
    assert "nobody signed it" in found.notes[0]


def test_nothing_was_acknowledged(here: Path) -> None:
    (here / "root" / places.ACKNOWLEDGED).unlink()
    found = examine(here)
    assert found.findings == ()
    assert {gap.check for gap in found.not_evaluated} == {
        *("written-accounts", "written-units", "written-jobs", "written-files")
    }
    assert "`verity acknowledge`" in found.not_evaluated[0].hint


def test_a_record_that_is_damaged_or_signed_by_another(here: Path) -> None:
    record = here / "root" / places.ACKNOWLEDGED
    assert checks(examine(here, key="other")) == [("written-record", str(record))]
    whole = record.read_bytes()
    record.write_bytes(whole[:-1] + b"]")
    found = examine(here)
    assert checks(found) == [("written-record", str(record))]
    assert len(found.not_evaluated) == 4
    write(here / "root/etc/hostname", "there\n")
    done = acknowledge(here)
    assert done.status == 0
    assert "it is replaced" in done.err
    assert checks(examine(here, live=False)) == []
    # The signature of one record over another.
    newer, older = (data.split(b"\n", 2) for data in (record.read_bytes(), whole))
    record.write_bytes(b"\n".join([newer[0], older[1], newer[2]]))
    assert checks(examine(here)) == [("written-record", str(record))]


def test_a_signed_record_and_no_keys(here: Path) -> None:
    found = examine(here, key=None, live=False)
    assert found.findings == ()
    assert {gap.check for gap in found.not_evaluated} == {
        *("written-accounts", "written-jobs", "written-files", "written-record")
    }


def test_a_tree_where_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "root/usr").mkdir(parents=True)
    found = examine(tmp_path, key=None)
    assert set(found.not_applicable) == {check.id for check in audit_written.CHECKS}


def test_a_link_for_a_record_is_not_followed(here: Path, tmp_path: Path) -> None:
    record = here / "root" / places.ACKNOWLEDGED
    record.rename(tmp_path / "elsewhere")
    record.symlink_to(tmp_path / "elsewhere")
    found = examine(here)
    assert {gap.check for gap in found.not_evaluated} >= {"written-record"}
    before = (tmp_path / "elsewhere").read_bytes()
    assert acknowledge(here).status == 3
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_line_of_no_form_and_terminal_escapes(here: Path) -> None:
    (here / "root/etc/passwd").write_bytes(PASSWD.encode() + b"\x1b[2Jx:y\n\xff:x:5:5:::\n")
    found = examine(here, live=False)
    assert checks(found) == [("written-accounts", "/etc/passwd")]
    done = acknowledge(here)
    assert done.status == 0
    assert "\x1b" not in done.out


def test_what_is_no_file_any_more(here: Path) -> None:
    shadow = here / "root/etc/shadow"
    shadow.unlink()
    os.mkfifo(shadow)
    found = examine(here, live=False)
    assert checks(found) == [("written-accounts", "/etc/shadow")]
    assert "it was a file, and is neither file nor link" in found.findings[0].found


def test_what_can_not_be_read_is_a_gap_and_is_not_acknowledged(here: Path) -> None:
    os.truncate(here / "root/etc/group", 17 << 20)
    found = examine(here, live=False)
    assert checks(found) == []
    assert [(gap.check, gap.object) for gap in found.not_evaluated] == [
        ("written-accounts", "/etc/group")
    ]
    before = snapshot(here)
    done = acknowledge(here)
    assert (done.status, done.out) == (3, "")
    assert "/etc/group: more than" in done.err
    assert snapshot(here) == before


OF_ACCOUNTS = {"written-uid-zero", "written-no-password"}


def short_line(root: Path) -> None:
    write(root / "etc/passwd", f"{PASSWD}eve::0:0\n")


def line_with_more(root: Path) -> None:
    write(root / "etc/passwd", f"{PASSWD}eve:x:0:0::/:/bin/sh:\n")


def accounts_of_nis(root: Path) -> None:
    write(root / "etc/passwd", f"{PASSWD}-eve::::::\n+::::::\n")
    write(root / "etc/shadow", "+::::::::\n")


def passwd_elsewhere(root: Path) -> None:
    (root / "etc/passwd").rename(root / "etc/elsewhere")
    (root / "etc/passwd").symlink_to("elsewhere")


@pytest.mark.parametrize("spoil", [short_line, line_with_more, accounts_of_nis, passwd_elsewhere])
def test_accounts_that_libc_sees_and_we_do_not(here: Path, spoil: Callable[[Path], None]) -> None:
    """No pass: acknowledged or not, nobody has looked at them."""
    spoil(here / "root")
    assert acknowledge(here).status == 0
    found = examine(here)
    assert OF_ACCOUNTS.isdisjoint(one.check for one in found.findings)
    assert {gap.check for gap in found.not_evaluated} == OF_ACCOUNTS


def test_who_is_taken_out_of_nis_is_no_account(here: Path) -> None:
    write(here / "root/etc/passwd", f"{PASSWD}-eve::::::\n")
    assert acknowledge(here).status == 0
    found = examine(here)
    assert OF_ACCOUNTS.isdisjoint(one.check for one in found.findings)
    assert found.not_evaluated == ()
