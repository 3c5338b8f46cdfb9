# SPDX-License-Identifier: Apache-2.0
"""Every verb that verifies something on a host holds its serial against the host's floors."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.floor_host import ACCEPT, FIRST, NAME, Host, checks
from tests.cli.program import Done, assert_clean_error, snapshot, verity
from tests.cli.spoil import KEY, REPO
from tests.cli.worlds import World
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, make_second
from verity.formats import floor_record
from verity.formats.floor_record import RecordedFloor
from verity.formats.records import Fragment, RecordKind, join
from verity.ports.places import BUNDLE


@pytest.fixture
def host(copied: Callable[[str], World]) -> Host:
    """One that has accepted serial 5, and has a commit of serial 1."""
    made = Host(copied("bare"))
    made.accepted(made.new, FIRST)
    return made


def ask(host: Host, verb: str, revision: str) -> Done:
    """Each on the host, with --json; what else it finds is not asked here."""
    root = ("--root", "host")
    line = {
        "audit": ("audit", *root, *REPO, *KEY, "--commit", revision),
        "explain": ("explain", *root, *REPO, *KEY, "--commit", revision, "/usr/bin/tool"),
        "objects enable": ("objects", "enable", *root, *REPO, *KEY, revision),
        "objects check": ("objects", "check", *root, *REPO, *KEY, revision),
    }[verb]
    return verity(*line, "--json", cwd=host.world.path)


def said(done: Done) -> list[str]:
    """What is said of floors: checks of findings, or of the chain that explain shows."""
    found = [one["check"] for one in done.of_type("finding") if "floor" in one["check"]]
    links = [one for one in done.of_type("link") if one["asked"].startswith("its serial, against")]
    for link in links:
        text = link["answer"][0]
        broken = ("below-floor", "this host has accepted"), ("no-floor", "no floor for")
        found += [check for check, words in broken if words in text]
        assert link["holds"] == (not found)
    return found


VERBS = ("audit", "explain", "objects enable", "objects check")


@pytest.mark.parametrize("verb", VERBS)
def test_an_older_signed_commit_is_found(host: Host, verb: str) -> None:
    done = ask(host, verb, host.old)
    assert (done.status, said(done)) == (1, ["below-floor"])
    assert said(ask(host, verb, host.new)) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_floor_is_found(host: Host, verb: str) -> None:
    host.floor.unlink()
    done = ask(host, verb, host.new)
    assert (done.status, said(done)) == (1, ["no-floor"])


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_host_only_json_says_that_none_was_compared(host: Host, verb: str) -> None:
    host.state.rename(host.root / "elsewhere")
    done = ask(host, verb, host.old)
    assert said(done) == []
    said_so = [one["text"] for one in done.of_type("note")]
    said_so += [one["why"] for one in done.of_type("not-applicable")]
    assert "no floor was compared: no host's state is here" in said_so


def test_a_clock_that_was_set_back_hides_nothing_from_an_audit(host: Host) -> None:
    done = ask(host, "audit", host.new)
    assert "expired" not in [one["check"] for one in done.of_type("finding")]
    now = int(time.time())
    host.world.sign_at(serial=7, issued=now + 3600, expires=now + 7200)
    host.accepted(host.new)
    host.world.sign_at(serial=8, issued=now, expires=now + 1800)
    done = ask(host, "audit", host.new)
    assert "expired" in [one["check"] for one in done.of_type("finding")]


# --- /etc


@pytest.fixture
def etc(tmp_path: Path) -> EtcWorld:
    """Serial 1 and 2 signed; what is there is 2."""
    return make_etc_world(tmp_path, make_first, make_second)


def floor_of(etc: EtcWorld) -> Path:
    return etc.state.parent / "floors" / f"user.etc.{STREAM}"


def test_etc_goes_back_until_a_serial_is_accepted(etc: EtcWorld) -> None:
    assert etc.run("revert").status == 0
    assert etc.run("apply", "2").status == 0
    done = etc.run("status", "--accept", "--json")
    assert done.status == 0, done
    assert done.of_type("floor") == [
        {"v": 1, "type": "floor", "path": f"root/var/lib/verity/floors/user.etc.{STREAM}"}
    ]
    before, files = snapshot(etc.path), etc.files()
    for verb in (("revert",), ("revert", "1"), ("revert", "--dry-run", "1")):
        done = etc.run(*verb)
        assert (done.status, done.out) == (1, "")
        words = f"serial 1 of the stream {STREAM}, this host has accepted 2"
        assert_clean_error(done, (words,), hint=True)
    assert etc.files() == files
    after = {name: one for name, one in snapshot(etc.path).items() if "lock" not in name}
    assert after == {name: one for name, one in before.items() if "lock" not in name}


def test_an_older_intent_of_etc_is_found(etc: EtcWorld) -> None:
    assert etc.run("status", "--accept").status == 0
    (etc.state / "current").write_text("1\n")
    assert "FINDING  below-floor  " in etc.run("status").out


def test_etc_is_accepted_only_as_signed(etc: EtcWorld) -> None:
    (etc.etc / "hosts").write_text("192.0.2.9 evil\n")
    assert etc.run("status", "--accept").status == 1
    assert not floor_of(etc).exists()


def test_a_host_may_do_without_a_floor_for_etc(etc: EtcWorld) -> None:
    done = etc.run("status", "--json")
    assert done.status == 0
    assert any("no floor for the stream" in one["text"] for one in done.of_type("note"))
    assert "floor" not in etc.run("status").err


def test_a_damaged_floor_of_etc(etc: EtcWorld) -> None:
    assert etc.run("status", "--accept").status == 0
    floor_of(etc).write_bytes(b"x")
    done = etc.run("status")
    assert done.status == 1
    assert "FINDING  bad-floor  " in done.out
    assert "`verity etc status --accept-without-floor`" in done.out
    assert etc.run("revert").status == 1
    assert etc.run("status", "--accept-without-floor").status == 0
    assert etc.run("status").status == 0


@pytest.mark.parametrize("whole", [True, False], ids=["told", "damaged"])
def test_a_floor_of_etc_that_the_boot_bundle_tells_of_is_missed(etc: EtcWorld, whole: bool) -> None:
    blob = floor_record.encode([RecordedFloor(stream=STREAM, serial=2)])
    data = join([Fragment(kind=RecordKind.FLOORS, blob=blob, signatures=())])
    (etc.path / "root" / BUNDLE).write_bytes(data if whole else data[:-1])
    done = etc.run("status")
    assert (done.status, "FINDING  no-floor  " in done.out) == (1, True)
    assert etc.run("status", "--accept").status == 1
    assert etc.run("status", "--accept-without-floor").status == 0
    assert etc.run("status").status == 0


# --- which commit


def boot(host: Host, commit: str) -> None:
    """What OSTree and the kernel would show after a boot of this commit."""
    (host.root / "proc").mkdir(exist_ok=True)
    line = "root=/dev/vda1 ostree=/ostree/boot.1/debian/0123/0 quiet\n"
    (host.root / "proc/cmdline").write_text(line)
    link = host.root / "ostree/boot.1/debian/0123/0"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"../../../deploy/debian/deploy/{commit}.0")


def test_only_the_booted_commit_is_accepted(host: Host) -> None:
    world = host.world
    host.floor.unlink()
    boot(host, host.old)
    refused = host.verify(host.new, FIRST)
    assert (refused.status, host.floor.exists()) == (1, False)
    assert_clean_error(refused, (host.new, f"has booted {host.old}"), hint=True)
    host.accepted(host.old, FIRST)
    boot(host, host.new)
    args = ("commit", "verify", *REPO, *KEY, "--root", "host", "--booted")
    done = verity(*args, ACCEPT, cwd=world.path)
    assert (done.status, done.out.splitlines()[0]) == (
        0,
        f"accepted  host/var/lib/verity/floors/{NAME}",
    )
    assert checks(host.verify(host.old)) == ["below-floor"]
    boot(host, host.old)
    assert verity(*args, cwd=world.path).status == 1


def test_the_unit_accepts_what_was_booted(host: Host) -> None:
    unit = Path("policy/systemd/verity-accept.service").read_text()
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    program, *words = command.removeprefix("ExecStart=").split()
    assert program == "/usr/bin/verity"
    host.floor.unlink()
    host.accepted(host.old, FIRST)
    boot(host, host.new)
    words[words.index("/ostree/repo")] = "repo"
    assert verity(*words, *KEY, "--root", "host", cwd=host.world.path).status == 0
    assert checks(host.verify(host.old)) == ["below-floor"]


@pytest.mark.parametrize(
    ("line", "link", "status", "words"),
    [
        (None, "", 3, "no ostree="),
        ("quiet", "", 3, "no ostree="),
        ("ostree=/ostree/boot.0/debian/0123/0", "", 3, "does not exist"),
        ("ostree=/ostree/x", "../deploy/debian", 1, "expected a deployment named COMMIT.SERIAL"),
    ],
    ids=["offline", "not by ostree", "no link", "foreign link"],
)
def test_what_was_booted_is_not_known(
    host: Host, line: str | None, link: str, status: int, words: str
) -> None:
    if line is not None:
        (host.root / "proc").mkdir()
        (host.root / "proc/cmdline").write_text(line)
    if link:
        (host.root / "ostree").mkdir()
        (host.root / "ostree/x").symlink_to(link)
    args = ("commit", "verify", *REPO, *KEY, "--root", "host")
    done = verity(*args, "--booted", cwd=host.world.path)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, (words,), hint=True)
    both = verity(*args, "--booted", host.new, cwd=host.world.path)
    assert both.status == verity(*args, cwd=host.world.path).status == 2
