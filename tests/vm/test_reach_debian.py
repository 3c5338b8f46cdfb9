# SPDX-License-Identifier: Apache-2.0
"""What is reached on a real Debian, against its own systemd and its own dynamic linker.

The tree is the test image's; no machine is booted. systemd itself reads all units in its test mode
and says what it read, units made to be hard to read among them; ld.so lists the libraries of every
program.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reach_world import Host
from tests.vm import Image
from verity.ports.rooted import Rooted

HERE = Path(__file__).parent
# systemd shows argv[0], which a prefix may set.
ARGV0 = {"argv0-of-true": "/usr/bin/true"}
MASKED = "hard-main.service.d/60-b.conf"
INSTANCES = ("getty@tty7.service", "hard@one-two.service", "hard@a\\x2db.service", "x@y.service")

# Units that are hard to read: below /etc/systemd/system.
HARD = {
    "hard@.service": "[Service]\nExecStart=/usr/bin/true %i %I %n %N %p %P %j %% %f\n",
    "hard@.service.d/10.conf": "[Service]\nExecStartPre=/usr/bin/true from-template\n",
    "hard@one-two.service.d/20.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/false of-%i\n",
    "hard-main.service": (
        "[Unit]\nDescription=x\\\n# a comment inside\n  y\n"
        "[Service]\nType=oneshot\n"
        "ExecStart=/usr/bin/true 'a b' \"c d\" e\\x20f \\\n; a comment\n    g'h'\n"
        "ExecStart=-/usr/bin/true \\; x ; +/usr/bin/false y z\n"
        "ExecStart=!/usr/bin/true \"\" '' \\101 q\n"
        "ExecStart=@/usr/bin/true argv0-of-true x\n"
        "ExecStart = true spaced \n"
        ";ExecStart=/usr/bin/commented\n"
        "ExecStop=/usr/bin/true \\\"q\\\" 'it\\'s'\n"
        "[X-Ours]\nExecStart=/usr/bin/not\n"
    ),
    "hard-main.service.d/50-a.conf": "[Service]\nExecStartPost=/usr/bin/true a\n",
    MASKED: "-> /dev/null",
    "hard-alias.service": "-> hard-main.service",
    "hard-alias.service.d/40-c.conf": "[Service]\nExecStartPost=/usr/bin/true by-alias\n",
    "hard-.service.d/45-d.conf": "[Service]\nExecStartPost=/usr/bin/true by-prefix\n",
    "service.d/70-e.conf": "[Service]\nExecStopPost=-/usr/bin/true by-type\n",
    "hard-masked.service": "-> /dev/null",
    "hard-empty.service": "",
    "hard-users.service": "[Service]\nUser=daemon\nExecStart=/usr/bin/true\n",
    "hard-dynamic.service": "[Service]\nDynamicUser=true\nExecStart=/usr/bin/true\n",
    "hard-zero.service": "[Service]\nUser=0\nExecStart=/usr/bin/true\n",
    "hard-ambient.service": (
        "[Service]\nUser=daemon\nAmbientCapabilities=CAP_CHOWN\nExecStart=/usr/bin/true\n"
    ),
    "x@.service": "-> /usr/lib/systemd/system/hard-linked@.service",
    "ssh.service.d/60-b.conf": "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/true pre\n",
    "crlf.service": "[Service]\r\nExecStart=/usr/bin/true a\\\r\nb\r\n",
}


def compare(tree: Path, work: Path, programs: list[str]) -> tuple[dict[str, Any], Path]:
    """Ours, and the directory with what the stock programs said."""
    units, out = work / "units", work / "out"
    out.mkdir()
    (out / "programs.txt").write_text("".join(f"{one}\n" for one in programs))
    shutil.copytree(tree / "etc/systemd/system", units, symlinks=True)
    for name, text in HARD.items():
        (units / name).parent.mkdir(exist_ok=True)
        if text.startswith("-> "):
            (units / name).symlink_to(text[3:])
        else:
            (units / name).write_text(text)
    names = {one.name for one in (tree / "usr/lib/systemd/system").iterdir()}
    names |= {one.name for one in units.iterdir()}
    kinds = (".service", ".socket", ".timer", ".path", ".target", ".mount")
    wanted = [one for one in sorted(names) if one.endswith(kinds) and "@." not in one]
    (units / "all.target").write_text(
        "[Unit]\n" + "".join(f"Wants={one}\n" for one in (*wanted, *INSTANCES))
    )
    subprocess.run(
        [
            *("unshare", "-mpf", HERE / "reach_stock.sh", tree, units, out),
            *(sys.executable, HERE / "reach_ours.py"),
        ],
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )
    return json.loads((out / "ours.json").read_text()), out


def said(out: Path) -> dict[str, dict[str, Any]]:
    """Units with their files, commands and users, as systemd prints them."""
    found: dict[str, dict[str, Any]] = {}
    unit: dict[str, Any] = {}
    key = ""
    for line in (out / "systemd.txt").read_text().split("\n"):
        name, _, value = line.strip().partition(": ")
        if match := re.fullmatch(r"\t→ Unit (.*):", line):
            unit = found[match[1]] = {"files": [], "commands": [], "user": "", "ambient": False}
        elif name in ("Fragment Path", "DropIn Path"):
            unit["files"].append(value)
        elif match := re.fullmatch(r"→ (Exec\w+):", line.strip()):
            key = match[1]
        elif name == "Command Line":
            program, *words = shlex.split(value.replace(r"\$", "$").replace(r"\`", "`"))
            program = ARGV0.get(program, program)
            unit["commands"].append([key, program, words])
        elif name in ("User", "Unit Load State", "DynamicUser"):
            unit[name] = value
        elif name == "AmbientCapabilities":
            unit["ambient"] = True
    return found


def test_units_are_read_as_systemd_reads_them(vm_image: Image, tmp_path: Path) -> None:
    ours, out = compare(vm_image.tree, tmp_path, [])
    assert ours["gaps"] == []
    theirs = said(out)
    assert {"hard@one-two.service", "hard-main.service", "ssh.service"} <= theirs.keys()
    checked = 0
    for name, unit in theirs.items():
        mine = ours["units"].get(name)
        if unit["Unit Load State"] == "masked":
            assert mine["masked"], name
        if unit["Unit Load State"] != "loaded" or not unit["files"]:
            continue
        if any(one.startswith("/tmp/") for one in unit["files"]):  # noqa: S108  # where it puts them
            continue  # its generators made it just now, for the test mode
        assert mine["name"] == name
        # systemd reads what masks a drop-in, too: nothing.
        files = [one for one in unit["files"] if not one.endswith(MASKED)]
        assert mine["files"] == files, name
        due = unit["commands"]
        assert sorted(mine["commands"]) == sorted(due), name
        # The order within one setting is the order of the files, and of the lines.
        for key in {one[0] for one in due}:
            of_key = [[one for one in many if one[0] == key] for many in (mine["commands"], due)]
            assert of_key[0] == of_key[1], (name, key)
        if due:
            checked += 1
            another = unit.get("User", "") not in ("", "root", "0")
            another = another or unit.get("DynamicUser") == "yes"
            assert mine["privileged"] == (not another or unit["ambient"]), name
    assert checked > 100


@pytest.mark.full
def test_libraries_are_those_of_the_dynamic_linker(vm_image: Image, tmp_path: Path) -> None:
    tree = vm_image.tree
    programs = [
        f"/{path.relative_to(tree)}"
        for folder in ("usr/bin", "usr/sbin", "usr/libexec", "usr/lib/systemd")
        for path in sorted((tree / folder).rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111
    ]
    ours, out = compare(tree, tmp_path, programs)
    listed: dict[str, set[str]] = {}
    with Rooted(tree) as rooted:
        for line in (out / "ldd.txt").read_text().split("\n"):
            if line.startswith("file "):
                current = listed[line[5:]] = set()
            elif match := re.search(r"(?:=> |^\t)(/\S+) \(0x", line):
                current.add(os.fsdecode(rooted.locate(match[1].encode()).path))
    linked = {name: sorted(found) for name, found in listed.items() if found}
    assert len(linked) > 400
    wrong = {
        name: (found, ours["libraries"][name])
        for name, found in linked.items()
        if ours["libraries"][name] != found
    }
    assert wrong == {}


def test_a_clean_debian_has_no_finding(vm_image: Image) -> None:
    result = Host.of(vm_image.tree).audit()
    assert (result.findings, result.not_evaluated) == ((), ())
    assert result.counts["units"] > 200
    assert result.counts["reached files"] > 3000
    assert result.counts["programs that raise privileges"] > 10


def test_programs_that_raise_privileges_on_other_mounts(tmp_path: Path) -> None:
    """One file system at two places, as OSTree has /etc and /var; one on which set-id is off."""
    host = Host(tmp_path)
    host.program("/usr/bin/a")
    said = subprocess.run(
        [
            *("unshare", "-m", HERE / "reach_mounts.sh", tmp_path),
            *(sys.executable, HERE / "reach_elevated.py"),
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    ).stdout.split("\n")
    # /etc is walked with /etc/state in it; /mnt is the area posture's.
    found = ["/etc/set-id", "/etc/state/set-id", "/usr/bin/set-id", "/var/set-id"]
    assert sorted(said[:-2]) == found
    assert said[-2] == "{'file systems without set-id': 1}"
