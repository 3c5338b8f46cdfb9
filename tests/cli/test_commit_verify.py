# SPDX-License-Identifier: Apache-2.0
"""commit verify by its library, for what no command line can say: revocations, lying signers."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.program import verity
from tests.cli.spoil import both, change_detached, flip_grants, remove_object, replace_object
from tests.cli.worlds import REF, World
from verity.formats.dump import Entry
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.ports.ostree_repo import Repository
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedSet
from verity.values.findings import Finding, Report
from verity.verbs import commit_verify, contents
from verity.verbs.commit_verify import Outcome
from verity.verbs.native_signatures import NativeTrust


def verify(world: World, trusted: TrustedSet, native: NativeTrust | None = None) -> Outcome:
    with Repository(world.repo) as repository:
        return commit_verify.verify(
            repository, REF, trusted, now=int(time.time()), jobs=2, native=native or NativeTrust()
        )


def vendor(world: World, **revoked: Any) -> TrustedSet:
    key = keystore.load_public(world.path / "vendor.pem.pub")
    trusted = TrustedSet.of_keys([key], party=Party.VENDOR, role=Role.OS)
    return replace(trusted, revocations=Revocations(**revoked))


def checks(report: Report) -> list[str]:
    return [finding.check for finding in report.findings]


# --- revocation ----------------------------------------------------------------------------


def test_a_revoked_key_counts_nowhere(world: World) -> None:
    """Not for the statement, and not for ostree's own signatures either."""
    sign = ("commit", "sign", "--repo=repo", "--key=vendor.pem", "--stream=os", "--serial=3")
    done = verity(*sign, "--replace", "--ostree-sign=vendor.pem", REF, cwd=world.path)
    assert done.status == 0
    key = keystore.load_public(world.path / "vendor.pem.pub")
    native = NativeTrust(keys=(key,))
    good = verify(world, vendor(world), native)
    assert good.report.exit_status == 0
    assert [one.verdict for one in good.native] == ["good"]
    outcome = verify(world, vendor(world, keys=frozenset({key.key_id})), native)
    assert [one.verdict for one in outcome.native] == ["revoked"]
    assert checks(outcome.report) == ["no-native-signature", "bad-signature"]
    assert f"signature by key {key.key_id}: revoked" in outcome.report.findings[1].problem
    assert outcome.statement is None


@pytest.mark.parametrize("lowest", [1, 2])
def test_a_revoked_serial(bare: World, lowest: int) -> None:
    report = verify(bare, vendor(bare, serials={"os": lowest})).report
    assert checks(report) == ["revoked-serial"] * (lowest - 1)


def test_revoked_contents(bare: World) -> None:
    with Repository(bare.repo) as repository:
        tree = contents.read(repository, bare.checksum(), jobs=1)
    (tool,) = [entry for entry in tree.entries if entry.path == b"/usr/bin/tool"]
    report = verify(bare, vendor(bare, digests=frozenset({tool.digest}))).report
    assert checks(report) == ["revoked-digest"]
    assert "/usr/bin/tool" in report.findings[0].problem


# --- a signer who lies ---------------------------------------------------------------------


def lie(
    world: World, monkeypatch: pytest.MonkeyPatch, change: Callable[[Entry], Entry | None]
) -> Report:
    """Sign, with the right key, what the commit does not hold; then verify."""
    honest = contents.read

    def read(*args: Any, **more: Any) -> contents.CommitTree:
        tree = honest(*args, **more)
        entries = [change(entry) for entry in tree.entries]
        return replace(tree, entries=tuple(one for one in entries if one is not None))

    monkeypatch.setattr(contents, "read", read)
    now = int(time.time())
    world.sign_at(issued=now, expires=now + 3600)
    monkeypatch.setattr(contents, "read", honest)
    return verify(world, vendor(world)).report


def on(where: bytes, **changes: Any) -> Callable[[Entry], Entry]:
    return lambda entry: entry._replace(**changes) if entry.path == where else entry


def told(finding: Finding) -> tuple[str, str, str, str]:
    return (
        finding.object,
        finding.problem.partition(": ")[0],
        finding.expected,
        finding.found,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (on(b"/usr/bin/sudo", mode=0o100755), [("/usr/bin/sudo", "mode", "0755", "4755")]),
        (
            on(b"/usr/share", uid=7, gid=8),
            [("/usr/share", "uid", "7", "0"), ("/usr/share", "gid", "8", "0")],
        ),
        (
            on(b"/usr/share/empty", xattrs=((b"user.x", b"1"),)),
            [("/usr/share/empty", "xattr user.x", "1", "none")],
        ),
        (
            on(b"/usr/share/link", target=b"../bin/evil"),
            [("/usr/share/link", "target", "../bin/evil", "../bin/tool")],
        ),
        (on(b"/usr/share/big", size=1), [("/usr/share/big", "size", "1", "10240")]),
    ],
    ids=["mode", "owners", "xattr", "target", "size"],
)
def test_the_manifest_field_by_field(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Entry], Entry],
    expected: list[tuple[str, str, str, str]],
) -> None:
    report = lie(world, monkeypatch, change)
    found = [told(one) for one in report.findings if one.check == "manifest-differs"]
    assert found == expected


def test_a_path_that_is_not_in_the_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = lie(world, monkeypatch, on(b"/usr/share/big", path=b"/usr/share/bog"))
    gone, more = [told(one) for one in report.findings if one.check == "manifest-differs"]
    assert gone[:3] == ("/usr/share/big", "path", "no such file")
    assert gone[3].startswith("/usr/share/big 10240 ")
    assert more[:2] == ("/usr/share/bog", "path")
    assert more[3] == "no such file"


def test_grants_that_leave_out_what_is_earned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed without its set-uid bit, sudo has no elevation; the commit's own sudo earns one."""
    report = lie(world, monkeypatch, on(b"/usr/bin/sudo", mode=0o100755))
    (found,) = [one for one in report.findings if one.check == "grants-differ"]
    assert (found.object, found.found) == ("/usr/bin/sudo", "no entry")
    assert found.expected == "set bits 4000 uid 0 gid 0 capabilities 0"


# --- every failure -------------------------------------------------------------------------


def test_every_failure_is_reported_and_not_the_first(world: World) -> None:
    both(
        change_detached(flip_grants),
        replace_object("/usr/bin/tool"),
        replace_object("/usr/bin/sudo"),
        remove_object("/usr/share/big"),
    )(world)
    report = verify(world, vendor(world)).report
    assert sorted(checks(report)) == ["damaged-object", "damaged-object", "wrong-grants"]
    assert [gap.check for gap in report.not_evaluated] == ["no-such-object"]


def test_a_damaged_object_hides_no_wrong_grants(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grants of what could be read are judged, those of the damaged object are not."""
    report = lie(world, monkeypatch, on(b"/usr/bin/sudo", mode=0o100755))
    replace_object("/usr/bin/tool")(world)
    report = verify(world, vendor(world)).report
    found = {(one.check, one.object) for one in report.findings}
    assert found == {
        ("manifest-differs", "/usr/bin/sudo"),
        ("grants-differ", "/usr/bin/sudo"),
        ("damaged-object", "/usr/bin/tool"),
    }
