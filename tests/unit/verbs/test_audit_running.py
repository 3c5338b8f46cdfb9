# SPDX-License-Identifier: Apache-2.0
"""Processes that are as they should be, and each way of not being so: real ones, looked at once.

This machine's file system may have no fs-verity, so signed contents are `running-unprotected` here;
that the kernel's digest is asked is tested in the test machines.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.verbs import running_world as world
from tests.unit.verbs.running_world import NOBODY, Zoo
from verity.formats.grants import Code
from verity.ports.proc import Processes
from verity.trust.privileged import Rule
from verity.values.audit import AreaResult, Covered
from verity.verbs import audit_running, audit_running_processes
from verity.verbs.audit_running_code import Judge
from verity.verbs.audit_said import Said

ODD = "a\nb\x1b[2J"
UNPROTECTED = "running-unprotected"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's own, which it closes to other users whenever one of its runs begins."""
    world.need_root()
    with tempfile.TemporaryDirectory(prefix="verity-zoo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def zoo(folder: Path) -> Iterator[Zoo]:
    """All of them at once."""
    signed, jit = world.compiled(folder, "signed"), world.compiled(folder, "jit")
    with Zoo() as zoo:
        for mode in ("wait", "anonymous", "writable", "shared", "writable-file", "altered"):
            zoo.start(mode, [signed, mode])
        zoo.start("thread", [signed, "thread"])
        zoo.start("traced", [signed, "traced"])
        zoo.start("program", [signed, "program"])
        zoo.start("foreign program", [world.compiled(folder, "foreign"), "program"])
        for mode in ("anonymous", "writable", "writable-file"):
            zoo.start(f"jit {mode}", [jit, mode])
        zoo.start("unsigned", [world.compiled(folder, ODD, "unsigned"), "named"])
        zoo.start("module", [world.compiled(folder, "module"), "wait"])
        zoo.start("deleted", [world.compiled(folder, "deleted", "signed"), "deleted"])
        fd = os.memfd_create("program")
        os.write(fd, signed.read_bytes())
        zoo.start("memfd", [f"/proc/self/fd/{fd}", "wait"], pass_fds=[fd])
        os.close(fd)
        plain = f"setpriv --reuid {NOBODY} --regid {NOBODY}".split()
        others = {
            "nobody": [*plain, "--clear-groups"],
            "disk": [*plain, "--groups", "6"],
            "net_raw": [*plain, "--clear-groups", "--inh-caps=+net_raw"],
            "wake_alarm": [*plain, "--clear-groups", "--inh-caps=-all,+wake_alarm"],
            "saved": ["setpriv", "--ruid", str(NOBODY), "--rgid", str(NOBODY), "--clear-groups"],
            "namespace": [*plain, "--clear-groups", "unshare", "--user", "--map-root-user"],
        }
        for name, command in others.items():
            zoo.start(name, [*command, signed, "anonymous"])
        yield zoo


@pytest.fixture(scope="module")
def result(zoo: Zoo, folder: Path) -> AreaResult:
    signed, jit = world.digest(folder / "signed"), world.digest(folder / "jit")
    code = {signed: Code.EXEC, jit: Code.EXEC | Code.JIT}
    code[world.digest(folder / "module")] = Code.MODULE
    return world.look(code)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("anonymous", "running-anonymous"),
        ("writable", "running-writable"),
        ("writable-file", "running-writable"),
        ("altered", "running-altered"),
        ("traced", "running-traced"),
        ("thread", "running-anonymous"),
        ("jit writable-file", "running-writable"),
        ("disk", "running-anonymous"),
        ("net_raw", "running-anonymous"),
        ("saved", "running-anonymous"),
    ],
)
def test_each_is_found_by_its_check_and_nothing_else(
    zoo: Zoo, result: AreaResult, name: str, check: str
) -> None:
    assert world.checks_of(result, zoo.pids[name]) == {check}


def test_an_interpreter_from_before_the_seal(zoo: Zoo, folder: Path) -> None:
    """Passes if the gate says of its process that a granted script started it."""
    signed, jit = world.digest(folder / "signed"), world.digest(folder / "jit")
    granted = {signed: Code.EXEC | Code.INTERPRETER, jit: Code.EXEC | Code.JIT}
    names = ("wait", "program", "jit anonymous")
    found = []
    for scripts in ((), ("wait", "jit anonymous")):
        said = Said()
        audit_running_processes.examine(
            Processes(root=Path("/")),
            Judge(granted=granted),
            Rule.of(None),
            said,
            sealed_ms=1 << 40,
            scripts=frozenset(zoo.pids[name] for name in scripts),
        )
        told = [one.object for one in said.findings if one.check == "running-before-seal"]
        found.append([any(f" {zoo.pids[name]} " in one for one in told) for name in names])
    assert found == [[True, True, True], [False, True, True]]


@pytest.mark.parametrize("name", ["wait", "jit anonymous", "jit writable"])
def test_what_is_granted_is_no_finding(zoo: Zoo, result: AreaResult, name: str) -> None:
    assert world.checks_of(result, zoo.pids[name]) == set()


@pytest.mark.parametrize("name", ["nobody", "wake_alarm", "namespace"])
def test_who_is_not_privileged_is_not_asked(zoo: Zoo, result: AreaResult, name: str) -> None:
    assert world.checks_of(result, zoo.pids[name]) == set()
    assert world.of_file(result, zoo.pids[name]) == set()


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("unsigned", "running-unsigned"),
        ("deleted", "running-deleted"),
        ("memfd", "running-memory-file"),
    ],
)
def test_the_file_itself_is_wrong(zoo: Zoo, result: AreaResult, name: str, check: str) -> None:
    assert world.of_file(result, zoo.pids[name]) == {check}
    assert world.checks_of(result, zoo.pids[name]) == set()


def test_shared_memory_has_a_file_and_no_name(zoo: Zoo, result: AreaResult) -> None:
    shared = [one for one in result.findings if one.object == r"/dev/zero\x20(deleted)"]
    assert [one.check for one in shared] == ["running-memory-file"]
    assert f"{zoo.pids['shared']} (signed)" in shared[0].found


def test_a_program_in_the_kernel_is_its_holders(zoo: Zoo, result: AreaResult) -> None:
    """Two of the same, of which one is held by a process that nobody signed."""
    (found,) = (one for one in result.findings if "specimen_15byte" in one.object)
    assert found.check == "running-bpf"
    assert "type tracepoint, loaded by uid 0" in found.found
    assert f"held by process {zoo.pids['foreign program']} (foreign)" in found.found
    assert result.counts["BPF programs"] >= 2


def test_signed_for_something_else(zoo: Zoo, result: AreaResult) -> None:
    """Where it has fs-verity it is the wrong use; without, that is said first."""
    assert world.of_file(result, zoo.pids["module"]) <= {UNPROTECTED, "running-wrong-use"}


def test_names_are_escaped_and_the_path_is_exact(
    zoo: Zoo, result: AreaResult, folder: Path
) -> None:
    (found,) = (one for one in result.findings if one.path == os.fsencode(folder / ODD))
    assert found.object.endswith(r"/a\x0ab\x1b[2J")
    assert rf"{zoo.pids['unsigned']} ([kworker/0:1])" in found.found
    assert all(
        text.isprintable()
        for one in result.findings
        for text in (one.object, one.problem, one.expected, one.found, one.remedy)
    )


def test_every_finding_says_what_and_is_of_a_check(result: AreaResult) -> None:
    known = {check.id for check in audit_running.CHECKS}
    for finding in result.findings:
        assert finding.check in known
        assert finding.expected and finding.found and finding.remedy
    for gap in result.not_evaluated:
        assert gap.check in known and gap.why
    assert set(result.not_applicable) <= known


def test_it_counts(zoo: Zoo, result: AreaResult) -> None:
    assert result.counts["privileged"] >= len(zoo.pids) - 3
    assert result.counts["kernel threads"] > 0
    assert result.coverage[Covered.HASHED] >= 3


def test_without_grants_nothing_passes_for_signed(zoo: Zoo) -> None:
    result = world.look({})
    gaps = {gap.check for gap in result.not_evaluated}
    assert {"running-unsigned", "running-anonymous", "running-module"} <= gaps
    assert world.of_file(result, zoo.pids["memfd"]) == {"running-memory-file"}
    assert world.of_file(result, zoo.pids["unsigned"]) == set()


def test_without_proc_nothing_passes(tmp_path: Path) -> None:
    """Nothing of a host is there, and every check says so or has no question."""
    result = audit_running.examine(world.host(tmp_path))
    gaps = {gap.check for gap in result.not_evaluated}
    assert result.findings == ()
    assert {"running-seen", "running-unsigned", "running-altered", "running-traced"} <= gaps
    assert all(gap.why for gap in result.not_evaluated)


def test_processes_that_come_and_go_are_counted(zoo: Zoo) -> None:
    loop = "while true; do /bin/true; done"
    with subprocess.Popen(["sh", "-c", loop], stdin=subprocess.DEVNULL) as churn:
        try:
            results = [world.look({}) for _ in range(3)]
        finally:
            churn.kill()
    for result in results:
        assert not [gap for gap in result.not_evaluated if "no such" in gap.why]


_AUDIT = """
import sys
from tests.unit.verbs import running_world
for gap in running_world.look({}).not_evaluated:
    if gap.check == "running-seen":
        print(gap.why)
"""


_MOUNT = "mount -t proc -o hidepid=2 proc /proc"


@pytest.mark.parametrize(
    ("namespace", "before", "why"),
    [
        (["unshare", "--pid", "--fork", "--mount-proc"], [], "of a container"),
        (
            ["unshare", "--mount", "sh", "-c", f'{_MOUNT}; exec "$@"', "sh"],
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
            "threads less than the kernel counts",
        ),
        (
            [],
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
            "permission denied",
        ),
    ],
    ids=["container", "hidepid", "not root"],
)
def test_what_is_not_shown_is_not_passed_over(
    namespace: list[str], before: list[str], why: str
) -> None:
    argv = [*namespace, *before, sys.executable, "-c", _AUDIT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert why in done.stdout
