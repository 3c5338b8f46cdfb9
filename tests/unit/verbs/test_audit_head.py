# SPDX-License-Identifier: Apache-2.0
"""The head of an audit: when an answer is called enforced by the kernel, and when not."""

from pathlib import Path

import pytest

from tests.unit.verbs.test_audit_posture import FILES, SEALED, put
from verity.values.audit import Head
from verity.verbs import audit_head
from verity.verbs.audit_host import AuditedHost

STATUS = "sys/fs/bpf/verity/status"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that is sealed as it should be, audited by a program that is signed."""
    for name, data in FILES.items():
        put(tmp_path, name, data)
    monkeypatch.setattr(audit_head, "_tool", lambda host: ("", True))
    return tmp_path


def asked(root: Path) -> Head:
    return audit_head.make(AuditedHost(root=root, live=True, now=0, clock=0))


def test_sealed_and_locked_down_is_enforced(root: Path) -> None:
    head = asked(root)
    assert (head.enforced, head.level) == (True, "B0")


PAST = {
    "not sealed": (STATUS, SEALED.replace(b"sealed", b"observe"), ""),
    "not locked down": ("sys/kernel/security/lockdown", b"[none] integrity\n", "sealed-weak"),
    "never called": ("proc/sys/kernel/ftrace_enabled", b"0\n", "ftrace"),
    "only observing": (STATUS, SEALED + b"observes no-digest\n", "only observes"),
}


@pytest.mark.parametrize("name", PAST)
def test_what_goes_past_the_gate_enforces_nothing(root: Path, name: str) -> None:
    path, data, taint = PAST[name]
    put(root, path, data)
    head = asked(root)
    assert head.enforced is False
    assert taint in "\n".join(head.taints)


def test_what_the_gate_does_not_say_is_not_enforced(root: Path) -> None:
    (root / "proc/sys/kernel/ftrace_enabled").unlink()
    assert asked(root).enforced is False
