# SPDX-License-Identifier: Apache-2.0
"""What the gate would say of what is reached: by decide, for each use; for the proof of arming."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.reach_world import Host
from verity.formats.gate_status import Reason
from verity.formats.grants import Code, CodeEntry, Grants
from verity.ports.rooted import Rooted
from verity.verbs import reach, reach_judge
from verity.verbs.audit_host import AuditedHost
from verity.verbs.reach_judge import Judged, Signed
from verity.verbs.reach_values import Gap, Reference, Seen, Step, Use


def judged(host: Host, grants: Grants, use: Use, path: str = "/usr/bin/a") -> dict[bytes, Judged]:
    audited = AuditedHost(root=host.root, live=False, now=1, clock=1, grants=(grants,))
    reference = Reference(target=path.encode(), use=use, by=(Step(b"test", "starts it"),))
    with Rooted(host.root) as tree:
        seen = Seen(tree)
        reached = reach.follow(seen, [reference]).reached
        found = list(reach_judge.judge(seen, reached, Signed.of(audited)))
    assert not any(isinstance(one, Gap) for one in found)
    return {one.reached.path: one for one in found if isinstance(one, Judged)}


def granted(host: Host, flags: Code) -> Grants:
    """Every file granted as this, and as nothing else."""
    grants = host.grants()
    return replace(grants, code=tuple(CodeEntry(one.digest, flags) for one in grants.code))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.program("/usr/bin/a")
    return made


@pytest.mark.parametrize(
    ("use", "flags", "reason"),
    [
        (Use.STARTED, Code.EXEC, Reason.ALLOW),
        (Use.STARTED, Code.SCRIPT, Reason.ALLOW),
        (Use.STARTED, Code.LIBRARY, Reason.WRONG_USE),
        (Use.STARTED, Code.EXEC | Code.INTERPRETER, Reason.INTERPRETER),
        (Use.INTERPRETER, Code.EXEC | Code.INTERPRETER, Reason.ALLOW),
        (Use.LIBRARY, Code.LIBRARY, Reason.ALLOW),
        (Use.LIBRARY, Code.EXEC, Reason.ALLOW),
        (Use.LIBRARY, Code.MODULE, Reason.WRONG_USE),
        (Use.MODULE, Code.MODULE, Reason.ALLOW),
        (Use.MODULE, Code.EXEC, Reason.WRONG_USE),
        (Use.FIRMWARE, Code.MODULE, Reason.ALLOW),
        (Use.READ, Code.EXEC, Reason.ALLOW),
    ],
)
def test_uses(host: Host, use: Use, flags: Code, reason: Reason) -> None:
    assert judged(host, granted(host, flags), use)[b"/usr/bin/a"].reason is reason


@pytest.mark.parametrize("use", [one for one in Use if one is not Use.CONFIGURATION])
def test_not_granted(host: Host, use: Use) -> None:
    grants = replace(host.grants(), code=())
    assert judged(host, grants, use)[b"/usr/bin/a"].reason is Reason.NOT_GRANTED


def test_configuration_is_left_to_others(host: Host) -> None:
    assert judged(host, host.grants(), Use.CONFIGURATION) == {}


def test_an_interpreter_that_env_starts_is_started_for_no_script(host: Host) -> None:
    host.program("/usr/bin/env")
    host.file("/usr/bin/direct", b"#!/usr/bin/a\n", 0o755)
    host.file("/usr/bin/by-env", b"#!/usr/bin/env a\n", 0o755)
    grants = granted(host, Code.EXEC | Code.SCRIPT | Code.INTERPRETER)
    assert judged(host, grants, Use.STARTED, "/usr/bin/direct")[b"/usr/bin/a"].reason.allow
    by_env = judged(host, grants, Use.STARTED, "/usr/bin/by-env")[b"/usr/bin/a"]
    assert by_env.reason is Reason.INTERPRETER
