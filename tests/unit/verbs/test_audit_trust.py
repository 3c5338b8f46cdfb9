# SPDX-License-Identifier: Apache-2.0
"""The area trust where nothing can be asked: no check passes by that."""

from pathlib import Path
from typing import NoReturn

from verity.formats.grants import Party, Role
from verity.values.errors import ContentError, HostError
from verity.verbs import audit_trust
from verity.verbs.audit_host import AuditedHost, Roots

GONE = ContentError("bad-chain", "keyring: there are two different versions 2")


def nobody(role: Role, party: Party) -> NoReturn:
    raise GONE


def test_keyrings_that_do_not_verify_answer_nothing(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    refused = dict.fromkeys(("commit", "policy", "bundle"), HostError("gone", "not there"))
    roots = Roots(of=nobody, unknown=GONE)
    host = AuditedHost(root=tmp_path, live=False, now=1, clock=1, roots=roots, refused=refused)
    found = audit_trust.examine(host)
    asked = {one.check for one in found.findings} | {one.check for one in found.not_evaluated}
    answered = {check.id for check in audit_trust.CHECKS} - asked - found.not_applicable.keys()
    assert answered == set()
