# SPDX-License-Identifier: Apache-2.0
"""Guarded configuration on a sealed machine: what privileged programs may read, follow and mount.

A row is a command by root, and the reason for which the gate refuses it, or none. What it shows on
standard output it shows only when it succeeds; `undo` leaves the machine as it was. gate_config.py has
the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from verity.formats.gate_calls import Refusal

from . import gate_config as config
from . import gate_world as world
from .gate_config import DEEP, ETC, OUTSIDE, TREE, VENDOR
from .gate_log import Denial
from .gate_machine import ACCEPTED, AT, Gate, load, value, whole_bundle
from .image import Image
from .machine import Machine

UNSIGNED, LINK, MOUNT = "config-unsigned", "config-link", "config-mount"
ACTS = {UNSIGNED: "config", LINK: "link", MOUNT: "mount"}
EVIL = f"{OUTSIDE}/unsigned"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A command, what it must show, and why it is refused ("": it isn't)."""

    name: str
    act: str
    shows: str = "says unsigned"
    reason: str = ""
    undo: str = ":"
    user: str | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def reads(name: str, path: str, shows: str = "says unsigned", **more: str) -> Row:
    """cat PATH, behind what `before` says."""
    before = more.pop("before", "")
    return Row(name=name, act=f"{before}cat {path}", shows=shows, **more)


def mounts(name: str, command: str, at: str, **more: str) -> Row:
    """A mount, by each of the two interfaces: mount(2) and move_mount(2)."""
    shows = f"echo mounted; umount {at}"
    act = f"LIBMOUNT_FORCE_MOUNT2=$way mount {command} {at} && {shows}"
    return Row(name=name, act=f"for way in always never; do {act}; done", shows="mounted", **more)


JAIL = f"{OUTSIDE}/jail"
MAKE_JAIL = (
    f"mkdir -p {JAIL}/usr {JAIL}{ETC} && cp -P /bin /lib /lib64 {JAIL} && cp {EVIL} {JAIL}{ETC}/good &&"
    f" mount --bind /usr {JAIL}/usr && "
)
LEAVE_JAIL = f"umount {JAIL}/usr; rm -r {JAIL}"

READING = [
    reads("signed", f"{ETC}/good", "says good"),
    reads("signed in a subdirectory", f"{ETC}/sub/deep", "says sub/deep"),
    reads("signed by the vendor", f"{VENDOR}/vendor {TREE}/leaf", "says leaf"),
    reads("unsigned", f"{ETC}/new", before=f"cp {EVIL} {ETC}/new; ", reason=UNSIGNED, undo=f"rm {ETC}/new"),
    reads("fs-verity and no grant", f"{ETC}/unlisted", "says unlisted", reason=UNSIGNED),
    reads(
        "in a new directory",
        f"{ETC}/new.d/x",
        before=f"mkdir {ETC}/new.d; cp {EVIL} {ETC}/new.d/x; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/new.d",
    ),
    reads(
        "renamed",
        f"{ETC}/renamed",
        "says good",
        before=f"mv {ETC}/good {ETC}/renamed; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/renamed {ETC}/good",
    ),
    reads(
        "the contents of another name",
        f"{ETC}/good",
        "says other",
        before=f"mv {ETC}/good {ETC}/good.old; ln {ETC}/other {ETC}/good; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/good.old {ETC}/good",
    ),
    reads(
        "a hard link in",
        f"{ETC}/hard",
        before=f"ln {EVIL} {ETC}/hard; ",
        reason=UNSIGNED,
        undo=f"rm {ETC}/hard",
    ),
    reads(
        "a hard link out",
        f"{OUTSIDE}/hard",
        "says good",
        before=f"ln {ETC}/good {OUTSIDE}/hard; ",
        undo=f"rm {OUTSIDE}/hard",
    ),
    reads(
        "without its fs-verity",
        f"{ETC}/good",
        "says good",
        before=f"mv {ETC}/good {ETC}/good.old; cp {ETC}/good.old {ETC}/good 2>/dev/null ||"
        f" echo says good >{ETC}/good; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/good.old {ETC}/good",
    ),
    reads("mutable", f"{ETC}/mutable/x", before=f"cp {EVIL} {ETC}/mutable/x; ", undo=f"rm {ETC}/mutable/x"),
    reads("ignored", f"{ETC}/cache.1", before=f"cp {EVIL} {ETC}/cache.1; ", undo=f"rm {ETC}/cache.1"),
    reads("a name that only begins alike", f"{ETC}x", before=f"cp {EVIL} {ETC}x; ", undo=f"rm {ETC}x"),
    reads("outside", EVIL),
    reads("by an ordinary user", f"{ETC}/new", before=":; ", user="user"),
    Row(name="written", act=f"echo says unsigned >{ETC}/new && echo done", shows="done", undo=f"rm {ETC}/new"),
    Row(
        name="made and read at once",
        act=f"exec 3<>{ETC}/new && echo done",
        shows="done",
        undo=f"rm {ETC}/new",
    ),
    Row(
        name="read and written",
        act=f"exec 3<>{ETC}/new && echo done",
        shows="done",
        reason=UNSIGNED,
        undo=f"rm {ETC}/new",
    ),
    reads("in a jail of its own", f"{ETC}/good", before=MAKE_JAIL + f"chroot {JAIL} ", reason=UNSIGNED, undo=LEAVE_JAIL),
]
LONG = "d" * 200
ALIASES = [
    reads(
        "by an alias",
        "/mnt/unlisted",
        "says unlisted",
        before=f"mount --bind {ETC} /mnt; ",
        reason=UNSIGNED,
        undo="umount /mnt",
    ),
    reads("signed, by an alias", "/mnt/good", "says good", before=f"mount --bind {ETC} /mnt; ", undo="umount /mnt"),
    reads(
        "by an alias of a subdirectory",
        "/mnt/x",
        before=f"mkdir {ETC}/sub/new; cp {EVIL} {ETC}/sub/new/x; mount --bind {ETC}/sub/new /mnt; ",
        reason=UNSIGNED,
        undo=f"umount /mnt; rm -r {ETC}/sub/new",
    ),
    reads(
        "the directory under another name",
        f"{OUTSIDE}/moved/x",
        before=f"cp {EVIL} {TREE}/x; mv {TREE} {OUTSIDE}/moved; ",
        reason=UNSIGNED,
        undo=f"mv {OUTSIDE}/moved {TREE}; rm {TREE}/x",
    ),
    Row(
        name="from a working directory that moves",
        act=f"cp {EVIL} {TREE}/x; cd {TREE} && mv {TREE} {OUTSIDE}/moved && cat x",
        reason=UNSIGNED,
        undo=f"mv {OUTSIDE}/moved {TREE}; rm {TREE}/x",
    ),
    reads(
        "deeper than a grant can name",
        f"{ETC}/{LONG}/{LONG}/x",
        before=f"mkdir -p {ETC}/{LONG}/{LONG}; cp {EVIL} {ETC}/{LONG}/{LONG}/x; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/{LONG}",
    ),
    reads(
        "as deep outside",
        f"{OUTSIDE}/{LONG}/{LONG}/x",
        before=f"mkdir -p {OUTSIDE}/{LONG}/{LONG}; cp {EVIL} {OUTSIDE}/{LONG}/{LONG}/x; ",
        undo=f"rm -r {OUTSIDE}/{LONG}",
    ),
]
LINKS = [
    reads("a granted link", f"{ETC}/link", "says good"),
    reads("a granted link out", f"{ETC}/abroad"),
    Row(name="the target of a granted link", act=f"readlink {ETC}/link", shows="good"),
    reads("a link out", f"{ETC}/out", before=f"ln -s {EVIL} {ETC}/out; ", reason=LINK, undo=f"rm {ETC}/out"),
    reads(
        "a link to what is signed",
        f"{ETC}/out",
        "says good",
        before=f"ln -s good {ETC}/out; ",
        reason=LINK,
        undo=f"rm {ETC}/out",
    ),
    reads(
        "a link with another target",
        f"{ETC}/link",
        "says other",
        before=f"mv {ETC}/link {ETC}/link.old; ln -s other {ETC}/link; ",
        reason=LINK,
        undo=f"mv {ETC}/link.old {ETC}/link",
    ),
    Row(
        name="the target of another link",
        act=f"ln -s /dev/null {ETC}/out; readlink {ETC}/out",
        shows="/dev/null",
        reason=LINK,
        undo=f"rm {ETC}/out",
    ),
    reads(
        "a link in place of a directory",
        f"{TREE}/leaf",
        before=f"mv {TREE} {TREE}.old; ln -s {OUTSIDE}/tree {TREE}; ",
        reason=LINK,
        undo=f"rm {TREE}; mv {TREE}.old {TREE}",
    ),
    reads(
        "a link on the way",
        f"{TREE}/leaf",
        before=f"mv {DEEP} {DEEP}.old; mkdir {OUTSIDE}/deep; mv {OUTSIDE}/tree {OUTSIDE}/deep;"
        f" ln -s {OUTSIDE} {DEEP}; ",
        reason=LINK,
        undo=f"rm {DEEP}; mv {DEEP}.old {DEEP}; mv {OUTSIDE}/deep/tree {OUTSIDE}; rmdir {OUTSIDE}/deep",
    ),
    reads("a link elsewhere", f"{OUTSIDE}/l", before=f"ln -s {EVIL} {OUTSIDE}/l; ", undo=f"rm {OUTSIDE}/l"),
    reads(
        "a link, by an ordinary user",
        f"{OUTSIDE}/to",
        "says good",
        before=":; ",
        user="user",
    ),
]
MOUNTS = [
    mounts("over a file", f"--bind {EVIL}", f"{ETC}/good", reason=MOUNT),
    mounts("over the directory", f"--bind {OUTSIDE}", ETC, reason=MOUNT),
    mounts("a file system over it", "-t tmpfs none", ETC, reason=MOUNT),
    mounts("over what leads there", "-t tmpfs none", DEEP, reason=MOUNT),
    Row(
        name="in a namespace of its own",
        act=f"unshare -m sh -c 'mount --bind {OUTSIDE} {ETC} && echo mounted'",
        shows="mounted",
        reason=MOUNT,
    ),
    Row(
        name="by an alias that is shared",
        act=f"mount --bind / /mnt && mount -t tmpfs none /mnt{ETC} && echo mounted",
        shows="mounted",
        reason=MOUNT,
        undo="umount /mnt",
    ),
    Row(
        name="moved there",
        act=f"mkdir {OUTSIDE}/m; mount -t tmpfs none {OUTSIDE}/m && mount --make-private {OUTSIDE}/m;"
        f" unshare -m mount --move {OUTSIDE}/m {ETC} && echo mounted",
        shows="mounted",
        reason=MOUNT,
        undo=f"umount {OUTSIDE}/m; rmdir {OUTSIDE}/m",
    ),
    mounts("over itself", f"--bind {ETC}", ETC),
    mounts("elsewhere", "-t tmpfs none", "/mnt"),
    mounts("over what is mutable", "-t tmpfs none", f"{ETC}/mutable"),
    Row(name="a namespace alone", act="unshare -m echo done", shows="done"),
    Row(
        name="by an ordinary user in a namespace of theirs",
        act=f"unshare -Urm sh -c 'mount --bind {OUTSIDE} {ETC} && echo mounted'",
        shows="mounted",
        user="user",
    ),
]
ROWS = [*READING, *ALIASES, *LINKS, *MOUNTS]


@pytest.fixture(scope="module")
def gate(gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A sealed machine with guarded configuration."""
    folder = tmp_path_factory.mktemp("config")
    bundle = whole_bundle(gate_image, gate_files)
    bundle[2] = config.policy()
    with Machine.boot("system", gate_image) as machine:
        machine.push(gate_files, AT)
        machine.run(f"for file in call flood; do fsverity enable {AT}/$file; done")
        config.install(machine)
        # An ordinary user's own way to what is guarded; and what is there, unsigned.
        machine.run(f"ln -s {ETC}/good {OUTSIDE}/to")
        yield load(machine, [*bundle, config.owners(folder), config.vendors(folder)])


def attempt(gate: Gate, row: Row) -> tuple[str, list[Denial]]:
    """What the row showed, and what the gate refused meanwhile."""
    before = len(gate.denials())
    if row.user:
        gate.machine.run(f"cp {EVIL} {ETC}/new")
    if row.name == "read and written":
        gate.machine.run(f"echo there >{ETC}/new")
    done = gate.machine.run(["sh", "-c", row.act], user=row.user, check=False)
    denied = [one for one in gate.denials()[before:] if one.enforced]
    undone = gate.machine.run(["sh", "-c", row.undo])
    if row.user:
        gate.machine.run(f"rm {ETC}/new")
    assert not undone.stderr, undone.stderr
    return done.text, denied


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(gate: Gate, row: Row) -> None:
    shown, denied = attempt(gate, row)
    if not row.reason:
        assert row.shows in shown
        assert denied == []
        return
    assert row.shows not in shown
    assert {(one.reason, one.act) for one in denied} == {(row.reason, ACTS[row.reason])}


def test_a_denial_names_the_path(gate: Gate) -> None:
    rows = {str(row): row for row in ROWS}
    for name, path in (("unsigned", f"{ETC}/new"), ("a-link-out", f"{ETC}/out"), ("over-a-file", f"{ETC}/good")):
        _, denied = attempt(gate, rows[name])
        assert {one.line.split(" ")[-1] for one in denied} == {path}


def test_the_next_serial_takes_the_place(gate: Gate, tmp_path: Path) -> None:
    """Old or new by path: a name that is gone isn't granted any more, and a new one is."""
    machine = gate.machine
    assert machine.run(f"cat {ETC}/taken").text == "says taken"
    used = int(value(gate.status(), "config").split()[0])
    assert gate.send(world.encode([config.owners(tmp_path, 2, "given")])) == (ACCEPTED,)
    assert machine.run(f"cat {ETC}/taken", check=False).text == ""
    machine.run(f"mv {ETC}/taken {ETC}/given")
    assert machine.run(f"cat {ETC}/given {ETC}/good").text == "says taken\nsays good"
    assert gate.send(world.encode([config.owners(tmp_path, 3)])) == (ACCEPTED,)
    assert machine.run(f"cat {ETC}/given", check=False).text == ""
    machine.run(f"mv {ETC}/given {ETC}/taken")
    assert machine.run(f"cat {ETC}/taken").text == "says taken"
    # The place of the name that is gone was given back when the last serial came.
    assert int(value(gate.status(), "config").split()[0]) == used + 1
    assert gate.send(world.encode([config.owners(tmp_path, 3)])) == (Refusal.SERIAL.number,)
