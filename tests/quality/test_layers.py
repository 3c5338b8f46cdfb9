# SPDX-License-Identifier: Apache-2.0
"""Imports go downwards only, and click, the clock and the exits stay in the command line."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path("verity")

# Each room may import those below it, and itself.
ROOMS = ["cli", "verbs", "ports", "trust", "formats", "values"]

# What only some rooms may touch: (module or name, the rooms that may).
RESERVED = {
    "click": {"cli"},
    "cffi": set[str](),
    "subprocess": {"ports"},
    "time": {"cli", "ports"},
    "datetime": {"formats"},
    "random": set[str](),
    "secrets": {"ports"},
    "securesystemslib": {"ports", "verbs"},
    "cryptography": {"ports", "trust", "formats"},
}

# The whole calls that only the command line makes: (object, attribute).
CLI_ONLY = {("sys", "exit"), ("os", "environ"), ("os", "getenv"), ("os", "_exit")}
CLI_ONLY_NAMES = {"print", "input", "exit", "quit", "breakpoint"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module, also inside of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            assert node.module is not None
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_go_downwards(path: Path) -> None:
    here = room(path)
    wrong = []
    for name, line in imports(ast.parse(path.read_bytes())):
        parts = name.split(".")
        if parts[0] == "verity" and len(parts) > 1 and parts[1] in ROOMS and here in ROOMS:
            if ROOMS.index(parts[1]) < ROOMS.index(here):
                wrong.append(f"line {line}: {here} imports {name} from above")
        elif name == "verity._kernel" and path != PACKAGE / "ports/kernel.py":
            wrong.append(f"line {line}: only ports/kernel.py may import the C extension")
        elif parts[0] in RESERVED and here not in RESERVED[parts[0]]:
            wrong.append(f"line {line}: {here or 'the top'} may not import {parts[0]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", modules(), ids=str)
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    if room(path) == "cli":
        return
    wrong = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in CLI_ONLY_NAMES:
                wrong.append(f"line {node.lineno}: {node.func.id}()")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in CLI_ONLY:
                wrong.append(f"line {node.lineno}: {node.value.id}.{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_every_module_is_in_a_room() -> None:
    strangers = [path for path in modules() if room(path) not in {*ROOMS, ""}]
    assert not strangers
    top = {path.name for path in modules() if room(path) == ""}
    assert top == {"__init__.py", "__main__.py"}


def test_nobody_else_names_the_proof_of_verification() -> None:
    users = [path for path in modules() if "_PROOF" in path.read_text()]
    # Each has one of its own.
    names = ("evidence", "keyring", "policy", "verified", "waivers")
    assert users == [PACKAGE / f"trust/{name}.py" for name in names]
    for path in users:
        assert "_PROOF = object()" in path.read_text()
        assert not any(name.endswith("_PROOF") for name, _ in imports(ast.parse(path.read_bytes())))
