# SPDX-License-Identifier: Apache-2.0
"""Guarded configuration in the grants of a commit: signed with --policy, held against it, shown."""

from dataclasses import replace

import pytest

from tests.cli.guarded import AS, NEXT, SIGN, TIMES, good, owners_tree
from tests.cli.program import Done, verity
from tests.cli.worlds import OTHER_REF, REF, World
from verity.formats import dump, grants
from verity.formats.grants import ConfigKind
from verity.verbs import signed

VERIFY = ("commit", "verify", "--repo", "repo", "--key", "vendor.pem.pub")
REPRODUCE = ("commit", "verify", "--repo", "repo", "--reproduce")
BOTH = pytest.mark.parametrize("verb", [VERIFY, REPRODUCE], ids=["verify", "reproduce"])


def config_of(world: World) -> dict[str, str]:
    """The granted paths, and what must stand there."""
    metadata = world.detached(REF)
    entries = dump.parse(signed.manifest_bytes(metadata, world.checksum(REF)))
    digests = {one.digest: one.path.decode() for one in reversed(entries) if one.digest}
    return {
        one.path.decode(): one.target.decode()
        if one.kind is ConfigKind.SYMLINK
        else digests[one.digest]
        for one in grants.parse(metadata.get_bytes(signed.GRANTS) or b"").config
    }


def findings(done: Done) -> list[tuple[str, str, str, str]]:
    return sorted(
        (one["check"], one["object"], one["expected"], one["found"])
        for one in done.of_type("finding")
        if one["check"] != "not-reproduced"
    )


def test_signed_with_a_policy(guarded: World) -> None:
    """Each file and symlink where the policy has the class signed, by the last line that counts."""
    done = good(guarded.path, *SIGN, "--policy", "guard.json", REF)
    found = config_of(guarded)
    assert found["/usr/share/link"] == "../bin/tool"
    assert found["/usr/share/big"] == "/usr/share/big"
    assert "/usr/share/names/ünïcode" in found
    assert not {"/usr/share/copy", "/usr/share/names/with space", "/usr/bin/tool"} & found.keys()
    assert len(found) == 9
    (line,) = (line for line in done.out.splitlines() if line.startswith("policy "))
    assert line.endswith(" (0 interpreters, 9 config)")
    assert done.err == ""
    (record,) = good(guarded.path, *SIGN, "--policy", "guard.json", "--json", REF).of_type("signed")
    assert (record["config"], record["ungranted"]) == (9, 0)
    # The same where the digests come from another commit.
    more = ("--policy", "guard.json", "--reuse", OTHER_REF, "--json", REF)
    (reused,) = good(guarded.path, *SIGN, *more).of_type("signed")
    assert reused["grants_sha256"] == record["grants_sha256"]
    good(guarded.path, *NEXT, REF)
    assert config_of(guarded) == {}


@BOTH
def test_held_against_a_policy(guarded: World, verb: tuple[str, ...]) -> None:
    good(guarded.path, *SIGN, "--policy", "guard.json", REF)
    for policy in ((), ("--policy", "guard.json"), ("--policy", "owner.json")):
        assert good(guarded.path, *verb, *policy, REF).err == ""
    done = verity(*verb, "--policy", "plain.json", "--json", REF, cwd=guarded.path)
    assert done.status == 1
    more = findings(done)
    assert len(more) == 9
    assert ("grants-differ", "/usr/share/link", "no entry", "link to ../bin/tool") in more
    good(guarded.path, *NEXT, "--policy", "plain.json", REF)
    done = verity(*verb, "--policy", "guard.json", "--json", REF, cwd=guarded.path)
    assert done.status == 1
    turned = [(check, path, found, due) for check, path, due, found in more]
    assert findings(done) == sorted(turned)


def test_without_a_policy_it_is_held_against_the_tree(guarded: World) -> None:
    """Which paths are configuration is taken as it is, and never what stands there."""
    good(guarded.path, *SIGN, "--policy", "guard.json", REF)
    metadata = guarded.detached(REF)
    before = grants.parse(metadata.get_bytes(signed.GRANTS) or b"")
    big = next(one for one in before.config if one.path == b"/usr/share/big")
    link = next(one for one in before.config if one.path == b"/usr/share/link")
    changed = {
        big: replace(big, digest=b"\x07" * 32),
        link: replace(link, path=b"/usr/share/lost"),
    }
    config = tuple(sorted(changed.get(one, one) for one in before.config))
    blob = grants.encode(replace(before, config=config))
    guarded.attach(metadata.with_bytes(signed.GRANTS, blob))
    done = verity(*REPRODUCE, "--json", REF, cwd=guarded.path)
    assert done.status == 1
    assert findings(done) == [
        (
            "grants-differ",
            "/usr/share/big",
            f"file sha256:{big.digest.hex()}",
            f"file sha256:{'07' * 32}",
        ),
        ("grants-differ", "/usr/share/lost", "no entry", "link to ../bin/tool"),
    ]


def test_several_signers_are_shown_and_attach(guarded: World) -> None:
    prepare = ("sign", "prepare", "commit", "--repo", "repo", *AS, *TIMES, "--replace")
    words = "config    9 paths, 1 of them links"
    done = good(guarded.path, *prepare, "--policy", "guard.json", "-o", "b", REF)
    assert words in done.out.splitlines()
    assert words in good(guarded.path, "sign", "show", "b").out.splitlines()
    good(guarded.path, "sign", "add", "--yes", "--key", "vendor.pem", "b")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--repo", "repo", "--replace")
    assert verity(*attach, "--policy", "plain.json", "b", cwd=guarded.path).status == 1
    good(guarded.path, *attach, "b")
    assert len(config_of(guarded)) == 9


@pytest.mark.parametrize(
    ("policy", "here"), [("guard", True), ("owner", False)], ids=["nobody's", "the owner's"]
)
def test_what_the_owner_signs_is_left_to_them(guarded: World, policy: str, here: bool) -> None:
    """If the policy names a stream of theirs; /usr/etc is the vendor's in any case."""
    owners_tree(guarded, "short")
    good(guarded.path, *SIGN, "--policy", f"{policy}.json", REF)
    found = config_of(guarded)
    assert ("/etc/app/conf" in found) is here
    assert {"/usr/etc/conf", "/usr/share/far"} <= found.keys()


@pytest.mark.parametrize("verb", ["sign", "prepare"])
def test_what_the_table_has_no_room_for_is_told(guarded: World, verb: str) -> None:
    owners_tree(guarded, "/" + "x" * 55)
    prepare = ("sign", "prepare", "commit", "--repo", "repo", *AS, *TIMES, "--replace", "-o", "b")
    run = (*(SIGN if verb == "sign" else prepare), "--policy", "guard.json")
    done = good(guarded.path, *run, REF)
    assert done.err == (
        "verity: note: 1 files are signed and not granted, because the gate's table has no room for"
        " their path or link target; the first is /usr/share/far\n"
        "verity: note: privileged programs are refused /usr/share/far by a sealed gate, unless a"
        ' drop-in says [[guarded]] class = "mutable", paths = ["/usr/share/far"]'
        " (docs/guides/policy.md)\n"
    )
    (guarded.path / "b").unlink(missing_ok=True)
    done = good(guarded.path, *run, "--json", REF)
    assert [one["path"] for one in done.of_type("ungranted")] == ["/usr/share/far"]
    if verb == "sign":
        assert "/usr/share/far" not in config_of(guarded)
        assert done.of_type("signed")[0]["ungranted"] == 1
        good(guarded.path, *VERIFY, "--policy", "guard.json", REF)
