# SPDX-License-Identifier: Apache-2.0
"""No verb pays for what it doesn't use: what a command that really runs has imported at its end.

By modules and not by time, so that a slow machine changes nothing. Each row has its control, a verb
that does import what the others must not: a table of wrong names would pass for ever.
"""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.program import verity
from tests.cli.worlds import REF, World, make_keys, make_world
from tests.etc_world import make_etc_world, make_first
from tests.quality.click_tree import commands
from verity.cli.lazy import LazyGroup

_RUN = """
import sys
from verity.cli.main import main
answer = sys.argv.pop()
try:
    main()
except SystemExit as done:
    status = done.code
with open(answer, "w") as out:
    print(status, *sys.modules, sep="\\n", file=out)
"""
CHAIN = f"--repo repo --key vendor.pem.pub {REF}"
TREE = f"--root tree --repo repo --key vendor.pem.pub --commit {REF}"
SIGN = f"--repo repo --key vendor.pem --stream os --serial auto --replace {REF}"
ETC = "--root host/root --key host/etc.pem.pub"

# What a group of verbs must not import, named once.
KEYS = {"cryptography", "verity.trust.keys", "verity.trust.trusted", "verity.ports.keystore"}
SIGNING = {"securesystemslib", "pkcs11", "asn1crypto", "cryptography.x509"}
MAKING = {"verity.verbs.sign_prepare", "verity.verbs.sign_add", "verity.verbs.documents"}
KEYRINGS = {"verity.formats.keyring", "verity.trust.keyring", "verity.verbs.keyring_project"}
REPOSITORY = {"verity.ports.ostree_repo", "verity.formats.commit"}
GATE = {"verity.formats.gate_status", "verity.ports.bpf"}
JUDGING = {"verity.trust.policy", "verity.trust.boot_bundle", "verity.verbs.etc_read"}
PLAIN = KEYS | SIGNING | MAKING | KEYRINGS | REPOSITORY
VERIFYING = SIGNING | MAKING | KEYRINGS
# What is signed is read by whatever reads it elsewhere, a policy among them.
NOT_SIGNING = {"cryptography.x509", "verity.trust.keyring", "verity.ports.bpf"}

# command line: (exit statuses that show that it went its whole way, what it must not import)
RUNS = {
    "--version": ({0}, PLAIN | GATE | {"verity.formats.dump", "verity.ports.kernel"}),
    "--help": ({0}, PLAIN | GATE | {"verity.formats.dump", "verity.ports.kernel"}),
    "digest tree/usr/bin/tool": ({0}, PLAIN | GATE | {"verity.formats.dump"}),
    "measure tree/usr/bin/tool": ({0, 3}, PLAIN | GATE | {"verity.formats.dump"}),
    "enable scrap": ({0, 3}, PLAIN | GATE),
    "doctor": ({0, 3}, PLAIN),
    "lockdown status": ({0, 1, 3}, PLAIN),
    "lockdown log": ({0, 3}, PLAIN),
    "lockdown check --root tree --boots 0": ({1, 3}, SIGNING | MAKING),
    "lockdown remove --plan --root tree": ({0, 3}, PLAIN),
    "lockdown journal --once --state state": ({0, 3}, PLAIN),
    "lockdown exception request /usr/bin/tool --output request": ({0, 3}, PLAIN),
    "explain --denial last": ({0, 3}, PLAIN),
    f"commit show --repo repo {REF}": ({0}, VERIFYING | GATE),
    f"commit verify {CHAIN}": ({0}, VERIFYING),
    f"objects enable {CHAIN}": ({0, 3}, VERIFYING | GATE),
    f"objects check {CHAIN}": ({1, 3}, VERIFYING | GATE),
    # Who is audited is read from where the gate's files are, too; what runs is of no tree.
    f"audit {TREE}": ({0, 1, 3}, VERIFYING),
    f"audit {TREE} --only files": ({0, 1, 3}, VERIFYING | GATE | JUDGING),
    f"repair {TREE} --dry-run": ({0, 1}, VERIFYING | GATE),
    "acknowledge --root host/root --dry-run": ({0}, VERIFYING | REPOSITORY | {"verity.ports.bpf"}),
    f"audit {TREE} --since report": ({0, 1, 3}, SIGNING | MAKING),
    "audit --verify capsule --key vendor.pem.pub --evidence-key vendor.pem.pub": (
        {0, 1, 3},
        SIGNING | MAKING,
    ),
    f"explain {TREE} /usr/bin/tool": ({0, 1, 3}, VERIFYING | GATE),
    f"etc status {ETC}": ({0}, VERIFYING | REPOSITORY | GATE),
    f"etc diff {ETC} --text": ({0}, VERIFYING | REPOSITORY | GATE),
    "etc sign --root host/root --key host/etc.pem --stream etc-test --serial auto": (
        {0},
        NOT_SIGNING,
    ),
    f"commit sign {SIGN}": ({0}, NOT_SIGNING),
    f"etc apply {ETC}": ({0}, VERIFYING | REPOSITORY | GATE),
    "unlock ledger verify --root host/root": ({0}, PLAIN | GATE),
    "unlock ledger counter": ({3}, PLAIN),
    "unlock status": ({3}, PLAIN),
    "unlock challenge --scope off --for 5m --reason why": ({3}, PLAIN),
    "unlock apply report": ({3}, PLAIN),
}
# And where each of those names is imported: they are names of something.
CONTROLS = {
    f"commit sign {SIGN}": (
        KEYS | MAKING | REPOSITORY | {"securesystemslib", "pkcs11", "asn1crypto"}
    ),
    "key show certificate.pem": {"cryptography.x509"},
    "keyring show no-such-directory": KEYRINGS,
    "lockdown status": GATE,
    f"audit {TREE}": JUDGING,
    f"commit verify {CHAIN}": {"verity.formats.dump", "verity.ports.kernel"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a signed commit, a signed /etc and the keys of both."""
    keys = tmp_path_factory.mktemp("keys")
    make_keys(keys)
    world: World = make_world(tmp_path_factory.mktemp("world"), "bare", keys)
    (world.path / "host").mkdir()
    make_etc_world(world.path / "host", make_first)
    (world.path / "scrap").write_bytes(b"scrap")
    (world.path / "report").write_text('{"v":1,"type":"summary","findings":0}\n')
    made = verity(
        *("audit", *TREE.split(), "--evidence", "capsule", "--evidence-key", "vendor.pem"),
        cwd=world.path,
    )
    assert "capsule sha256:" in made.err
    (world.path / "certificate.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    )
    return world.path


def imported(line: str, place: Path, answer: Path) -> tuple[int, set[str]]:
    """The exit status of a command line, and the modules that it had at its end."""
    argv = [sys.executable, "-I", "-c", _RUN, *line.split(), str(answer)]
    done = subprocess.run(argv, cwd=place, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    status, *modules = answer.read_text().splitlines()
    return int(status), set(modules)


@pytest.mark.parametrize("line", RUNS)
def test_a_verb_imports_only_what_it_uses(line: str, place: Path, tmp_path: Path) -> None:
    statuses, never = RUNS[line]
    status, modules = imported(line, place, tmp_path / "answer")
    assert status in statuses
    assert sorted(never & modules) == []


@pytest.mark.parametrize("line", CONTROLS)
def test_the_names_are_of_what_others_import(line: str, place: Path, tmp_path: Path) -> None:
    _, modules = imported(line, place, tmp_path / "answer")
    assert CONTROLS[line] <= modules


def test_every_name_has_its_control() -> None:
    named = set().union(*(never for _, never in RUNS.values()))
    assert named == set().union(*CONTROLS.values())


GROUPS = {name: one for name, one in commands().items() if isinstance(one, LazyGroup)}


@pytest.mark.parametrize("name", GROUPS)
def test_the_list_of_verbs_says_what_their_help_says(name: str) -> None:
    group = GROUPS[name]
    with click.Context(group, info_name=name) as context:
        for verb, (_, line) in group.verbs.items():
            found = group.get_command(context, verb)
            assert found is not None and found.help is not None, verb
            text = " ".join(found.help.split())
            assert line.endswith("."), verb
            assert text.startswith(line.removesuffix(".")), f"{name} {verb}: {line!r}, {text!r}"
