# SPDX-License-Identifier: Apache-2.0
"""`manifest show --checksum` and `manifest verify`: trees in the same state, and in others."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy, verity
from tests.cli.worlds import REF, World
from tests.etc_world import make_first, write
from verity.formats import bundle
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE
from verity.trust.trusted import TrustedSet
from verity.verbs import signed
from verity.verbs.state_checksum import checksum, of_signed


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """Two roots in the same state, made one after the other, and files that may differ."""
    for name in ("one", "two"):
        (tmp_path / name / "etc").mkdir(parents=True)
        make_first(tmp_path / name / "etc")
        write(tmp_path / name / "usr/bin/tool", "tool\n", 0o755)
        write(tmp_path / name / "etc/shadow", f"root:{name}:\n", 0o640)
    return tmp_path


def line(hosts: Path, *parts: str) -> str:
    done = verity("manifest", "show", "--checksum", *parts, cwd=hosts)
    assert (done.status, done.err) == (0, "")
    return done.out


def state(hosts: Path, name: str) -> str:
    return line(hosts, f"etc:host={name}", f"os:debian={name}/usr")


def test_two_hosts_in_the_same_state_print_the_same_line(hosts: Path) -> None:
    assert state(hosts, "one") == state(hosts, "two")
    assert state(hosts, "one").startswith("state: sha256:")
    assert state(hosts, "one") == line(hosts, "os:debian=one/usr", "etc:host=one")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file of /etc": lambda host: write(host / "etc/motd", "other\n"),
    "a mode of /etc": lambda host: (host / "etc/motd").chmod(0o600),
    "a file of the system": lambda host: write(host / "usr/bin/tool", "evil\n", 0o755),
    "a file more": lambda host: write(host / "usr/bin/more", ""),
    "an xattr": lambda host: os.setxattr(host / "usr/bin/tool", "user.x", b""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_state_is_another_line(hosts: Path, name: str) -> None:
    CHANGES[name](hosts / "two")
    assert state(hosts, "one") != state(hosts, "two")


def test_what_it_is_made_of(hosts: Path) -> None:
    done = verity("manifest", "make", "--output", "m", "one/usr", cwd=hosts)
    assert done.status == 0
    sha256 = hashlib.sha256((hosts / "m").read_bytes()).hexdigest()
    expected = hashlib.sha256(f"os debian {sha256}\npolicy - none\n".encode()).hexdigest()
    assert line(hosts, "os:debian=m") == f"state: sha256:{expected}\n"
    assert line(hosts, "os:debian=one/usr") == f"state: sha256:{expected}\n"
    assert line(hosts, "one/usr") == line(hosts, "tree:-=m")
    found = verity("manifest", "show", "--checksum", "--json", "os:debian=m", cwd=hosts)
    assert found.of_type("part") == [
        {"v": 1, "type": "part", "kind": "os", "name": "debian", "sha256": sha256}
    ]
    assert found.of_type("state")[0]["sha256"] == expected


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        (("os:a=one/usr", "os:a=two/usr"), 2, "os a: named twice"),
        (("vm:a=one/usr",), 2, "unknown kind 'vm'"),
        (("os:Ä=one/usr",), 2, "the name 'Ä' is not"),
        (("os:a=nothing",), 3, "nothing: does not exist"),
        (("os:a=one/usr/bin/tool",), 1, "manifest line 1"),
    ],
)
def test_refused(hosts: Path, parts: tuple[str, ...], status: int, words: str) -> None:
    done = verity("manifest", "show", "--checksum", *parts, cwd=hosts)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, [words], hint="hint:" in done.err)


def test_verify_a_directory(hosts: Path) -> None:
    assert verity("manifest", "make", "--output", "m", "one/usr", cwd=hosts).status == 0
    done = verity("manifest", "verify", "m", "two/usr", cwd=hosts)
    assert (done.status, done.out) == (0, "good: as the manifest says\n")
    write(hosts / "two/usr/bin/tool", "evil\n", 0o755)
    copy(hosts / "two/usr/bin/tool", hosts / "two/usr/bin/more")
    done = verity("manifest", "verify", "m", "two/usr", cwd=hosts)
    assert done.status == 1
    assert "changed  /bin/tool: digest changed" in done.out
    assert "added  /bin/more: added" in done.out


# --- the policy


COMPILE = ("policy", "compile", "--key", "policy.pem", "--stream", "os=vendor:os")


@pytest.fixture
def policies(hosts: Path) -> Path:
    """Both hosts with one policy in their boot bundles, of which nothing else counts here."""
    assert verity("key", "generate", "policy.pem", cwd=hosts).status == 0
    compiled(hosts, "first")
    for name in ("one", "two"):
        install(hosts, name, "first")
    return hosts


def compiled(hosts: Path, out: str, *more: str) -> None:
    options = more or ("--mode", "sealed", "--serial", "1")
    assert verity(*COMPILE, *options, out, cwd=hosts).status == 0


def install(hosts: Path, host: str, policy: str) -> None:
    place = hosts / host / BUNDLE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((hosts / policy).read_bytes())


def test_the_policy_is_part_of_the_state(policies: Path) -> None:
    assert state(policies, "one") == state(policies, "two")
    with_policy = state(policies, "two")
    (policies / "two" / BUNDLE).unlink()
    assert state(policies, "two") != with_policy
    (policy,) = bundle.parse((policies / "first").read_bytes())
    sha256 = hashlib.sha256(policy.blob).hexdigest()
    shown = ("manifest", "show", "--checksum", "--json", "etc:host=one")
    assert verity(*shown, cwd=policies).of_type("policy")[0]["sha256"] == sha256


@pytest.mark.parametrize(
    "change",
    [
        ("--mode", "observe", "--serial", "1"),
        ("--mode", "sealed", "--serial", "2"),
        ("--mode", "sealed", "--serial", "1", "--group", "7"),
        ("--mode", "sealed", "--serial", "1", "--stream", "tools=user:extension"),
        ("--mode", "sealed", "--serial", "1", "--days", "9"),
    ],
    ids=["mode", "serial", "group", "stream", "expiry"],
)
def test_any_change_of_the_policy_is_another_state(policies: Path, change: tuple[str, ...]) -> None:
    compiled(policies, "second", *change)
    install(policies, "two", "second")
    assert state(policies, "one") != state(policies, "two")


def test_whose_policy_it_is(policies: Path) -> None:
    of_host = state(policies, "one")
    parts = ("os:debian=one/usr", "etc:host=one")
    assert line(policies, "--root", "two", *parts) == of_host
    assert line(policies, "--policy", "first", *parts) == of_host
    # Without an etc:NAME=DIR it is the machine's, and this one has no boot bundle.
    only = "os:debian=one/usr"
    assert line(policies, "--root", "one", only) != line(policies, only)
    for arguments, status, words in (
        (("--checksum", "--root", "one", "--policy", "first", only), 2, "at most one"),
        (("--root", "one", "first"), 2, "only with --checksum"),
        (("--checksum", "--policy", "nowhere", only), 3, "nowhere: does not exist"),
        (("--checksum", "--policy", "policy.pem", only), 1, "policy.pem: record 0 at 0"),
    ):
        done = verity("manifest", "show", *arguments, cwd=policies)
        assert (done.status, done.out) == (status, "")
        assert words in done.err


# --- as the audit says it


AUDIT = ("audit", "--repo=repo", "--key=vendor.pem.pub", "--commit", REF, "--root")


def test_an_audit_says_in_which_state_a_tree_is_or_that_it_differs(bare: World) -> None:
    """Where the kernel has no fs-verity nothing is good, so the good line is made here."""
    done = verity(*AUDIT, "tree", cwd=bare.path)
    *_, counts, last = done.out.splitlines()
    assert done.status == 1
    assert last == f"state: differs ({counts.split()[0]} findings)"
    as_json = verity(*AUDIT, "tree", "--json", cwd=bare.path)
    assert as_json.of_type("state") == [{"v": 1, "type": "state", "sha256": None}]
    assert as_json.records[-1]["type"] == "summary"


def test_the_line_of_an_audit_is_that_of_the_manifest(world: World) -> None:
    key = keystore.load_public(world.path / "vendor.pem.pub")
    trusted = TrustedSet.of_keys([key], party=Party.VENDOR, role=Role.OS)
    with Repository(world.repo) as repository:
        signed_manifest = signed.load(repository, REF, trusted).manifest
    audited = checksum([of_signed("os", signed_manifest)], None)
    make = ("manifest", "make", "--repo=repo", "--output", "m", REF)
    assert verity(*make, cwd=world.path).status == 0
    assert line(world.path, "os:os=m") == f"state: sha256:{audited}\n"


def test_a_damaged_bundle_is_a_finding_of_the_audit(world: World) -> None:
    place = world.path / "tree" / BUNDLE
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    done = verity(*AUDIT, "tree", "--json", cwd=world.path)
    assert "bad-bundle" in [one["check"] for one in done.of_type("finding")]
    place.unlink()
    place.mkdir()
    done = verity(*AUDIT, "tree", "--json", cwd=world.path)
    assert "bad-bundle" in [one["check"] for one in done.of_type("not-evaluated")]
