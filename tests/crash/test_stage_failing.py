# SPDX-License-Identifier: Apache-2.0
"""A stage that isn't put into place, again and again: it ends, with what was there before.

So many boots may begin it, and those that end before it is in place are counted, whatever ended
them. Once it is in place it has as many boots to come up as any other.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.stage_host import (
    ENTRY,
    INITRD,
    KERNEL,
    NEW,
    OLD,
    Host,
    booted,
    is_finished,
    is_taken_back,
    stage,
)

ATTEMPTS = 3
_OVER = "three boots have begun to put it into place, and none came to the end"
_IN_ORDER = (
    *("next/attempts", KERNEL, INITRD, "previous/boot.bundle", "next/begun", "verity/tries"),
    *(f"{ENTRY}.verity-old", ENTRY, "verity/boot.bundle", "verity/applied"),
)
"""What gets its name, one behind the other, when a stage is put into place for the first time."""
_BEGUN = _IN_ORDER.index("next/begun")


def hinder(host: Host) -> None:
    """The entry can't be written: the place for its new contents is taken."""
    place = host.root / "boot" / f"{ENTRY}.verity-new"
    place.unlink(missing_ok=True)
    place.mkdir()


def allow(host: Host) -> None:
    (host.root / "boot" / f"{ENTRY}.verity-new").rmdir()


def is_refused(host: Host, why: str) -> None:
    """Nothing of it counts, and nothing else was touched."""
    assert not host.boots()
    assert (host.root / "boot" / ENTRY).read_bytes() == OLD[ENTRY]
    assert not (host.state / "next").exists() and not (host.state / "tries").exists()
    assert (host.state / "refused/boot.bundle").read_bytes() == host.tools.new
    assert (host.state / "refused/why").read_text() == f"{why}\n"


# --- it ends ------------------------------------------------------------------------------------


def test_an_error_in_each_boot(host: Host) -> None:
    hinder(host)
    said = [booted(host) for _ in range(ATTEMPTS)]
    assert said == ["not in place", "not in place", "fell-back"]
    allow(host)
    is_taken_back(host, f"boot/{ENTRY} can't be written: Is a directory")


def test_an_error_before_it_is_begun(host: Host) -> None:
    """There is nothing to take back then: it is refused in the last of these boots."""
    (host.root / "boot" / f"{KERNEL}.verity-new").mkdir()
    assert [booted(host) for _ in range(ATTEMPTS)] == ["tries none"] * ATTEMPTS
    is_refused(host, f"boot/{KERNEL} can't be written: Is a directory")


@pytest.mark.parametrize("at", range(len(_IN_ORDER)))
def test_the_power_goes_in_each_boot(host: Host, at: int) -> None:
    """Before the same name each time."""
    said = [booted(host, cut=_IN_ORDER[at]) for _ in range(ATTEMPTS + 1)]
    if not at:  # nothing is counted, nothing was done
        assert said == ["cut"] * (ATTEMPTS + 1)
        assert booted(host) == "stage applied"
        is_finished(host)
    elif at <= _BEGUN:
        assert said == ["cut"] * ATTEMPTS + ["tries none"]
        is_refused(host, _OVER)
    elif at < len(_IN_ORDER) - 1:
        # Where that is the count of boots, the last of these boots can't be cut there.
        assert said[:-1] == ["cut"] * ATTEMPTS
        assert (said[-1] if at != _BEGUN + 1 else booted(host)) == "fell-back"
        is_taken_back(host, _OVER)
    else:  # in place, but for the name of what is left: GRUB has counted these
        assert host.boots()
        assert booted(host) == "stage applied"
        is_finished(host, grub="f")
        assert booted(host) == "fell-back"


@pytest.mark.parametrize("at", range(len(_IN_ORDER)))
def test_the_power_goes_behind_each_step_once(host: Host, at: int) -> None:
    """The next boot goes on there."""
    assert booted(host, cut=f"{_IN_ORDER[at]}+") == "cut"
    host.boots()
    if _IN_ORDER[at] == "verity/applied":
        is_finished(host)
        assert booted(host) == "tries 2"
    else:
        assert booted(host) == "stage applied"
        is_finished(host, grub="2" if _IN_ORDER[at] == "verity/boot.bundle" else "3")


def test_what_is_begun_anew_goes_on(host: Host) -> None:
    """Two boots failed. The third puts it into place, and it has three boots to come up."""
    assert booted(host, cut=ENTRY) == "cut"
    hinder(host)
    assert booted(host) == "not in place"
    allow(host)
    assert booted(host) == "stage applied"
    is_finished(host)
    assert [booted(host) for _ in range(4)] == ["tries 2", "tries 1", "tries 0", "fell-back"]
    is_taken_back(host, "boot-complete.target was not reached in three boots")


def test_a_kernel_that_dies_in_between(host: Host) -> None:
    """Its entry is there, its bundle isn't: GRUB starts the old one, and that goes on with it."""
    assert booted(host, cut="verity/boot.bundle") == "cut"
    assert [booted(host, dies=True) for _ in range(3)] == ["dead"] * 3
    assert booted(host, dies=True) == "stage applied"
    is_finished(host)
    assert [booted(host, dies=True) for _ in range(4)] == [*["dead"] * 3, "fell-back"]
    is_taken_back(host, "the kernel doesn't load, or ends before its initramfs runs")


@pytest.mark.parametrize("text", ["", "4\n", "x\n", "3"])
def test_a_count_of_attempts_that_is_none(host: Host, text: str) -> None:
    (host.state / "next/attempts").write_text(text)
    assert booted(host) == "stage applied"


def test_without_room_to_count_nothing_is_begun(host: Host) -> None:
    (host.state / "next/attempts.new").mkdir()
    assert [booted(host) for _ in range(9)] == ["tries none"] * 9
    assert not host.boots() and not (host.root / "boot" / KERNEL).exists()


# --- the way back -------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", ["renameat", "fsync", "unlinkat"])
def test_killed_on_the_way_back(host: Host, call: str, nth: int) -> None:
    """Also where an update that was confirmed long ago lies there: it isn't what was refused."""
    (host.state / "applied").mkdir()
    (host.state / "applied/begun").touch()
    hinder(host)
    assert [booted(host) for _ in range(ATTEMPTS - 1)] == ["not in place"] * (ATTEMPTS - 1)
    host.run("apply")
    for _ in range(3):
        host.run("try", kill=(call, nth))
        host.boots()
    allow(host)
    while (said := booted(host)) != "tries none":
        assert said == "fell-back"
    is_taken_back(host, f"boot/{ENTRY} can't be written: Is a directory")
    assert (host.state / "applied").exists()


def test_what_is_refused_behind_its_beginning(host: Host) -> None:
    """At once, though it has boots left."""
    assert booted(host, cut="verity/boot.bundle") == "cut"
    (host.state / "next/boot/link").symlink_to("/etc/passwd")
    assert booted(host) == "fell-back"
    is_taken_back(host, "staged boot/link: no plain file")


def test_a_bundle_that_came_in_between_stays(host: Host) -> None:
    """The owner's, while the host was up: none older takes its place."""
    hinder(host)
    assert booted(host) == "not in place"
    own = host.tools.old + b"the owner's next"
    (host.state / "boot.bundle").write_bytes(own)
    assert [booted(host) for _ in range(ATTEMPTS - 1)] == ["not in place", "fell-back"]
    assert (host.state / "boot.bundle").read_bytes() == own
    assert (host.state / "refused/boot.bundle").read_bytes() == host.tools.new


def test_behind_an_update_that_has_not_come_up(host: Host) -> None:
    """Both are refused, and the way back leads to what was confirmed."""
    assert booted(host) == "stage applied"
    assert booted(host) == "tries 2"
    stage(host)
    (host.state / "next/boot" / ENTRY).write_bytes(NEW[ENTRY] + b"\n")
    (host.root / "boot" / f"{ENTRY}.verity-new").mkdir()
    stage(host)
    (host.root / "boot" / ENTRY).write_bytes(b"title never confirmed\n")
    assert [booted(host) for _ in range(ATTEMPTS)] == ["not in place", "not in place", "fell-back"]
    allow(host)
    is_taken_back(host, f"boot/{ENTRY} can't be written: Is a directory")
    assert (host.state / "refused.1/why").exists() and not (host.state / "applied").exists()


def test_what_waits_is_not_refused_for_what_is_in_place(host: Host) -> None:
    """An update that doesn't come up is taken back; the next one, which isn't begun, waits on."""
    assert booted(host) == "stage applied"
    stage(host)
    (host.state / "next/attempts.new").mkdir()
    assert [booted(host) for _ in range(4)] == ["tries 2", "tries 1", "tries 0", "fell-back"]
    is_taken_back(host, "boot-complete.target was not reached in three boots")
    assert (host.state / "next/boot.bundle").exists() and not (host.state / "applied").exists()


@pytest.mark.parametrize("confirmed", [False, True])
def test_without_a_bundle_before(host: Host, confirmed: bool) -> None:
    """It was lost, or this is the first: afterwards there is none again."""
    (host.state / "boot.bundle").unlink()
    (host.state / "previous").mkdir()
    if confirmed:
        (host.state / "previous/boot.bundle").write_bytes(b"an older one")
    assert host.run("apply") == (0, "stage applied")
    assert [booted(host) for _ in range(3)] == ["tries 2", "tries 1", "tries 0"]
    for call, nth in (("unlinkat", 1), ("unlinkat", 2), ("fsync", 6), ("unlinkat", 3)):
        host.run("try", kill=(call, nth))
    while host.run("try")[1] != "tries none":
        pass
    assert not (host.state / "boot.bundle").exists()
    assert not (host.state / "tries").exists()
    assert (host.state / "refused/boot.bundle").read_bytes() == host.tools.new
    assert not [*(host.state / "previous").iterdir()]


@pytest.mark.parametrize("kinds", [True, False])
def test_directories_that_do_not_say_what_is_in_them(host: Host, kinds: bool) -> None:
    """The way back looks then."""
    host.run("apply", kinds=kinds)
    (host.state / "tries").write_text("0\n")
    assert host.run("try", kinds=kinds)[1].startswith("fell-back\n")
    is_taken_back(host, "boot-complete.target was not reached in three boots")


# --- what the host says ------------------------------------------------------------------------


def confirms(host: Host) -> None:
    """The host has come up: what verity-confirm.service runs, there."""
    text = Path("policy/initramfs/verity-confirm").read_text()
    assert text.count("cd /var/lib/verity\n") == 1
    text = text.replace("cd /var/lib/verity\n", f"cd {host.state}\n")
    subprocess.run(["sh", "-c", text], check=True, timeout=60)


def test_a_host_that_comes_up_without_it(host: Host) -> None:
    """It confirms nothing of what is half there, and forgets nothing of the way back."""
    hinder(host)
    for said in ("not in place", "not in place", "fell-back"):
        assert booted(host) == said
        if said != "fell-back":
            confirms(host)
            assert (host.state / "tries").exists()
    allow(host)
    is_taken_back(host, f"boot/{ENTRY} can't be written: Is a directory")
    confirms(host)
    assert (host.state / "confirmed/boot.bundle").read_bytes() == host.tools.old


def test_a_host_that_comes_up_with_it(host: Host) -> None:
    assert booted(host) == "stage applied"
    assert booted(host) == "tries 2"
    confirms(host)
    assert booted(host) == "tries none"
    assert (host.state / "confirmed/boot.bundle").read_bytes() == host.tools.new
    # Neither what waits for the next boot changes that.
    shutil.copytree(host.state / "applied", host.state / "next")
    (host.state / "next/begun").unlink()
    (host.state / "tries").write_text("2\n")
    confirms(host)
    assert not (host.state / "tries").exists()
