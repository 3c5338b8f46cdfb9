# SPDX-License-Identifier: Apache-2.0
"""explain and audit on a host with a policy: who guards a path, and which grant covers it."""

from pathlib import Path

import pytest

from tests.cli.guarded import NEXT, SIGN, good, owners_tree
from tests.cli.program import Done, copy, verity
from tests.cli.worlds import REF, World
from verity.ports import places

CHAIN = ("--root", "tree", "--repo", "repo", "--commit", REF, "--key", "vendor.pem.pub")
LINE = "/etc/verity/policy.d/50-own.toml [[guarded]] "


@pytest.fixture
def host(guarded: World) -> World:
    """A tree with its policy, signed so that its configuration is granted."""
    (guarded.path / "tree/etc/verity").mkdir(parents=True)
    copy(guarded.path / "guard.json", guarded.path / "tree" / places.POLICY)
    good(guarded.path, *SIGN, "--policy", "guard.json", REF)
    return guarded


def explained(host: World, path: str) -> dict[str, tuple[bool | None, str, str]]:
    """The links that are about the policy: whether it holds, the answer, the hint."""
    done = verity("explain", *CHAIN, "--json", path, cwd=host.path)
    return {
        {"whet": "policy", "the ": "grant", "what": "there"}[one["asked"][:4]]: (
            one["holds"],
            "; ".join(one["answer"]),
            one["hint"],
        )
        for one in done.of_type("link")
        if one["asked"].startswith(("whether the policy", "the grant with", "what stands there"))
    }


def test_a_path_that_is_guarded_and_granted(host: World) -> None:
    found = explained(host, "/usr/share/link")
    assert found["policy"][1].startswith(f"signed, by /usr/share ({LINE}1: services read it); ")
    assert found["grant"] == (True, "stream os serial 3 (vendor): a link to ../bin/tool", "")
    assert explained(host, "/usr/share/big")["grant"][0] is True


def test_a_path_that_is_not_signed_needs_no_grant(host: World) -> None:
    found = explained(host, "/usr/share/copy")
    assert found["policy"][1].startswith(f"mutable, by /usr/share/copy ({LINE}2: a service")
    assert "grant" not in found
    assert explained(host, "/usr/bin/tool") == {
        "policy": (
            True,
            "no line of the policy names it; policy serial 1, whose signature `verity policy show`"
            " asks",
            "",
        )
    }


def findings(done: Done, check: str) -> list[str]:
    return [one["path"] for one in done.of_type("finding") if one["check"] == check]


def test_what_no_grants_name(host: World) -> None:
    """The commit was signed without a policy: all that is guarded would be refused."""
    audited = verity("audit", *CHAIN, "--json", cwd=host.path)
    assert findings(audited, "not-granted") == findings(audited, "grants-differ") == []
    assert audited.of_type("summary")[0]["counts"]["granted configuration"] == 9
    good(host.path, *NEXT, REF)
    holds, answer, hint = explained(host, "/usr/share/link")["grant"]
    assert (holds, answer) == (False, "none: it is refused")
    assert "`verity commit sign --policy /etc/verity/policy.json`" in hint
    audited = verity("audit", *CHAIN, "--json", cwd=host.path)
    lacking = findings(audited, "not-granted")
    assert len(lacking) == 9
    assert "/usr/share/link" in lacking
    (host.path / "tree" / places.POLICY).unlink()
    audited = verity("audit", *CHAIN, "--json", cwd=host.path)
    assert findings(audited, "not-granted") == []
    assert explained(host, "/usr/share/link") == {}


def test_what_the_owner_signed(host: World) -> None:
    """No commit has it: the grants of the host's /etc do."""
    conf = host.path / "tree/etc/app.conf"
    conf.write_text("a = 1\n")
    found = explained(host, "/etc/app.conf")
    assert found["grant"][:2] == (False, "none: it is refused")
    assert "`verity etc sign --serial auto`" in found["grant"][2]
    sign = ("etc", "sign", "--root", "tree", "--key", "other.pem", "--stream", "host")
    good(host.path, *sign, "--serial", "1")
    found = explained(host, "/etc/app.conf")
    assert found["grant"][0] is True
    assert found["grant"][1].startswith("stream host serial 1 (user): the file sha256:")
    assert found["there"][1].startswith("what is granted")
    conf.write_text("a = 2\n")
    found = explained(host, "/etc/app.conf")
    assert found["there"][0] is False
    assert found["there"][1].startswith("something else")


def test_a_policy_that_can_not_be_read(host: World) -> None:
    Path(host.path / "tree" / places.POLICY).write_text("{}")
    (one,) = explained(host, "/usr/share/link").values()
    assert one[0] is False
    audited = verity("audit", *CHAIN, "--json", cwd=host.path)
    assert "not-granted" in [gap["check"] for gap in audited.of_type("not-evaluated")]


def test_grants_of_the_host_s_etc_that_can_not_be_read(guarded: World) -> None:
    """What they would grant is unknown, and no finding."""
    owners_tree(guarded, "short")
    (guarded.path / "tree/etc/verity").mkdir(parents=True)
    copy(guarded.path / "owner.json", guarded.path / "tree" / places.POLICY)
    good(guarded.path, *SIGN, "--policy", "owner.json", REF)
    audited = verity("audit", *CHAIN, "--json", cwd=guarded.path)
    assert findings(audited, "not-granted") == ["/etc/app/conf"]
    state = guarded.path / "tree" / places.STATE
    state.mkdir(parents=True)
    (state / "current").write_text("no number\n")
    audited = verity("audit", *CHAIN, "--json", cwd=guarded.path)
    assert findings(audited, "not-granted") == []
    assert "not-granted" in [gap["check"] for gap in audited.of_type("not-evaluated")]
    assert explained(guarded, "/etc/app/conf")["grant"][0] is False
