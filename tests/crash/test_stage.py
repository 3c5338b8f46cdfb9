# SPDX-License-Identifier: Apache-2.0
"""What is staged, put into place by the loader's own code and killed where it changes something.

Afterwards the host boots from what was there before or from the update: no kernel is half, no entry
names what isn't there, the bundle is one of the two, and a second run comes to the same end.
Likewise the way back. That the power goes, and what a gate says to the bundle, is
tests/vm/test_boot_stage.py's.
"""

import pytest

from tests.crash.points import points
from tests.crash.stage_host import (
    COUNT,
    ENTRY,
    KERNEL,
    NEW,
    OLD,
    Host,
    booted,
    is_finished,
    is_taken_back,
    stage,
)
from verity.formats import grub_env

_CALLS = (
    *(("openat", nth) for nth in range(8, 70, 4)),
    *(("sendfile", nth) for nth in range(1, 6)),
    *(("fsync", nth) for nth in range(1, 21)),
    *(("renameat", nth) for nth in range(1, 12)),
    *(("mkdirat", nth) for nth in range(1, 3)),
    *(("write", nth) for nth in range(1, 5)),
)


def test_it_is_put_into_place(host: Host) -> None:
    assert host.run("apply") == (0, "stage applied")
    is_finished(host)
    assert host.run("apply") == (0, "stage none")


@pytest.mark.parametrize("number", points(len(_CALLS), short=3))
def test_killed_while_it_is_put_into_place(host: Host, number: int) -> None:
    call, nth = _CALLS[number]
    status, said = host.run("apply", kill=(call, nth))
    assert status != 0, f"{call} was not called {nth} times"
    assert said == ""
    host.boots()
    assert host.run("apply")[0] == 0
    is_finished(host)


def test_after_three_boots_it_is_taken_back(host: Host) -> None:
    host.run("apply")
    assert [booted(host) for _ in range(3)] == ["tries 2", "tries 1", "tries 0"]
    assert host.boots()
    assert booted(host) == "fell-back"
    is_taken_back(host, "boot-complete.target was not reached in three boots")


def test_without_grub_it_is_counted_all_the_same(host: Host) -> None:
    (host.root / "boot" / COUNT).unlink()
    host.run("apply")
    assert [host.run("try") for _ in range(3)] == [(0, f"tries {left}") for left in (2, 1, 0)]
    assert host.run("try")[1].startswith("fell-back\n")
    assert not host.boots()
    assert not (host.root / "boot" / COUNT).exists()


def test_a_kernel_that_dies_before_its_initramfs(host: Host) -> None:
    """GRUB has counted it, and started the old one: whose initramfs takes the update back."""
    host.run("apply")
    assert [booted(host, dies=True) for _ in range(3)] == ["dead"] * 3
    assert (host.grub, (host.state / "tries").read_text()) == ("0", "3\n")
    assert booted(host, dies=True) == "fell-back"
    is_taken_back(host, "the kernel doesn't load, or ends before its initramfs runs")


def test_one_that_dies_now_and_then(host: Host) -> None:
    """However both are mixed, it ends: at most so many boots."""
    for pattern in range(0, 64, 7):
        host.run("apply")
        boots = 0
        while booted(host, dies=bool(pattern >> boots & 1)) != "fell-back":
            boots += 1
            assert boots < 9
        is_taken_back(host, (host.state / "refused/why").read_text().strip())
        stage(host)


@pytest.mark.parametrize("boots", [1, 2, 3])
def test_what_was_confirmed_is_not_taken_back(host: Host, boots: int) -> None:
    """The next boot starts it, and ends GRUB's count; also if GRUB has given it up since."""
    host.run("apply")
    assert [booted(host) for _ in range(boots)][-1] == f"tries {3 - boots}"
    (host.state / "tries").unlink()
    assert host.grub in "123"
    counted = host.grub
    assert booted(host) == "tries none"
    assert host.grub == "-" and host.boots()
    host.grub_counts(counted)
    while (said := booted(host, dies=True)) == "dead":
        pass
    assert said == "confirmed"
    assert host.grub == "-" and host.boots()


def test_a_boot_that_grub_did_not_count_is_told(host: Host) -> None:
    host.run("apply")
    status, said = host.run("try")
    assert status == 0 and said.startswith("tries 2\nGRUB didn't count this boot: ")


def test_the_way_back_leads_to_what_was_confirmed(host: Host) -> None:
    """An update staged before the last one has come up leaves it as it was."""
    host.run("apply")
    assert booted(host) == "tries 2"
    # As if that had been another one.
    (host.root / "boot" / ENTRY).write_bytes(b"title never confirmed\n")
    (host.state / "boot.bundle").write_bytes(b"never confirmed")
    stage(host)
    assert host.run("apply")[0] == 0
    is_finished(host)
    assert [booted(host) for _ in range(4)][-1] == "fell-back"
    is_taken_back(host, "boot-complete.target was not reached in three boots")


def test_an_update_without_entries_does_not_bring_older_ones_back(host: Host) -> None:
    """What was kept for an update that was confirmed since is gone by then."""
    host.run("apply")
    booted(host)
    (host.state / "tries").unlink()
    (host.state / "next").mkdir()
    (host.state / "next/boot.bundle").write_bytes(host.tools.new)
    assert host.run("apply") == (0, "stage applied")
    assert not (host.root / "boot" / f"{ENTRY}.verity-old").exists()
    assert [booted(host) for _ in range(4)][-1] == "fell-back"
    assert (host.root / "boot" / ENTRY).read_bytes() == NEW[ENTRY]


@pytest.mark.parametrize("given_up", [False, True])
@pytest.mark.parametrize("call", ["renameat", "unlinkat", "fsync", "write", "linkat", "pwrite64"])
def test_killed_while_it_is_counted_or_taken_back(host: Host, call: str, given_up: bool) -> None:
    """Each call of each boot until the way back is done: it takes as many boots as it takes."""
    host.run("apply")
    if given_up:
        host.grub_counts("f")
    for nth in range(1, 12):
        host.run("try", kill=(call, 1 if nth % 2 else 2))
        host.boots()
    while host.run("try")[1].splitlines()[0] not in ("fell-back", "confirmed", "tries none"):
        host.boots()
    assert not host.boots()
    assert host.grub == "-" and not (host.state / "tries").exists()


@pytest.mark.parametrize(
    "block",
    [
        *(b"", b"# GRUB Environment Block\n", grub_env.encode("2")[:-1]),
        *(grub_env.encode("2") + b"#", grub_env.encode("22"), grub_env.encode("2")[:-1] + b"\n"),
        grub_env.encode("2").replace(b"2\n#", b"2#\n"),
    ],
)
def test_a_block_that_is_none_is_left_alone(host: Host, block: bytes) -> None:
    path = host.root / "boot" / COUNT
    path.write_bytes(block)
    assert host.run("apply") == (0, "stage applied")
    assert host.run("try") == (0, "tries 2")
    assert path.read_bytes() == block


@pytest.mark.parametrize("value", ["4", "9", "x", "\n", "\0", "F"])
def test_a_value_that_is_none_counts_as_nothing(host: Host, value: str) -> None:
    host.run("apply")
    host.grub_counts(value)
    assert host.run("try") == (0, "tries 2")
    (host.state / "tries").unlink()
    assert host.run("try") == (0, "tries none")
    assert host.grub == "-"


def test_a_link_in_the_place_of_the_block_is_not_followed(host: Host) -> None:
    elsewhere = host.root / "elsewhere"
    elsewhere.write_bytes(grub_env.encode("-"))
    (host.root / "boot" / COUNT).unlink()
    (host.root / "boot" / COUNT).symlink_to(elsewhere)
    assert host.run("apply") == (0, "stage applied")
    assert elsewhere.read_bytes() == grub_env.encode("-")


@pytest.mark.parametrize("text", ["", "4\n", "-1\n", "3", "9" * 40, "x\n", "3 \n", "\n"])
def test_a_count_that_is_none_changes_nothing(host: Host, text: str) -> None:
    host.run("apply")
    (host.state / "tries").write_text(text)
    assert host.run("try") == (0, "tries none")
    assert host.boots()


def test_a_file_that_the_bundle_puts_nowhere(host: Host) -> None:
    (host.state / "next/boot" / KERNEL).rename(host.state / "next/boot/vmlinuz-3")
    status, said = host.run("apply")
    assert status == 1 and said == "boot/vmlinuz-3: the staged grants put no such file there"
    assert (host.state / "refused/why").read_text() == f"{said}\n"
    assert not host.boots()
    assert not (host.root / "boot" / KERNEL).exists()


def test_what_is_booted_from_is_not_replaced(host: Host) -> None:
    (host.root / "boot" / KERNEL).write_bytes(b"another one of this name")
    status, said = host.run("apply")
    assert status == 1 and "would take the place of what is booted from now" in said


def test_a_link_is_not_followed(host: Host) -> None:
    """Neither out of the stage nor out of /boot."""
    (host.state / "next/boot/link").symlink_to("/etc/passwd")
    status, said = host.run("apply")
    assert status != 0 and "boot/link" in said
    assert (host.state / "refused/why").read_text() == f"{said}\n"
    stage(host)
    elsewhere = host.root / "elsewhere"
    elsewhere.write_bytes(OLD[ENTRY])
    (host.root / "boot" / ENTRY).unlink()
    (host.root / "boot" / ENTRY).symlink_to(elsewhere)
    assert host.run("apply")[0] == 3
    assert elsewhere.read_bytes() == OLD[ENTRY]
