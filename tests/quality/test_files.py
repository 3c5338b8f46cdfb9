# SPDX-License-Identifier: Apache-2.0
"""Every file of the project: its licence line, its length, its links."""

import hashlib
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from verity import __version__

SPDX = re.compile(r"SPDX-License-Identifier: (.+?)(?: \*/| -->|\",)?$")
APACHE = "Apache-2.0"
GATE = "(GPL-2.0-only OR BSD-2-Clause)"
NO_LINE = {".gitkeep"}
# Published by others, kept byte by byte; the README beside them has origin and licence of each.
SCHEMAS = Path("tests/schemas")
# Reports as our program writes them: a licence line is no part of them.
GOLDEN = Path("tests/golden")
MOST_LINES = 500
# The one header of both sides; hosts get it as one file.
LONGER = {Path("policy/gate/verity.h")}


def project_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [Path(name) for name in listed.split("\0") if name and Path(name).is_file()]


def text_files() -> list[Path]:
    return [
        path
        for path in project_files()
        if path.parts[0] != "LICENSES"
        and path.name not in NO_LINE
        and path.suffix != ".bin"
        and (path.parent != SCHEMAS or path.suffix == ".md")
        and path.parent != GOLDEN
    ]


@pytest.mark.parametrize("path", text_files(), ids=str)
def test_licence_line(path: Path) -> None:
    head = path.read_text().splitlines()[:2]
    first = next((line for line in head if not line.startswith("#!")), "")
    match = SPDX.search(first)
    assert match is not None, "the first line (the second after #!) must be the SPDX line"
    expected = GATE if path.parts[:2] == ("policy", "gate") else APACHE
    assert match[1] in {expected, expected.strip("()")}


def test_the_origin_and_licence_of_what_others_published() -> None:
    said = (SCHEMAS / "README.md").read_text()
    foreign = [path for path in project_files() if path.parent == SCHEMAS and path.suffix != ".md"]
    assert foreign
    for path in foreign:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(path.name)}` .*licence: .*`{digest}`", said), path


def test_every_licence_that_is_named_is_there() -> None:
    assert {path.stem for path in Path("LICENSES").iterdir()} == {
        "Apache-2.0",
        "GPL-2.0-only",
        "BSD-2-Clause",
    }


def test_no_module_is_too_long() -> None:
    long = {
        str(path): count
        for path in project_files()
        if path.suffix in {".py", ".c", ".h"}
        and path not in LONGER
        and (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long, f"propose a split: {long}"


@pytest.mark.parametrize(
    "path", [path for path in project_files() if path.suffix == ".md"], ids=str
)
def test_links_between_documents(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path} links to {target}"


def test_scripts_are_executable() -> None:
    for name in (".ci/run", "tests/prepare", "tests/full"):
        assert Path(name).stat().st_mode & 0o111 == 0o111, name


def test_nothing_names_the_machine_it_was_written_on() -> None:
    here = {str(Path.cwd()), str(Path.home())} - {"/root", "/"}  # Debian's own are no secret
    found = [
        f"{path}:{number}"
        for path in text_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(f"{place}/" in line for place in here)
    ]
    assert not found


def test_the_version_is_the_same_everywhere() -> None:
    assert version("fsverity-chain") == __version__
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    # One source: the build reads it from the package.
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["scikit-build"]["metadata"]["version"]["input"] == "verity/__init__.py"
