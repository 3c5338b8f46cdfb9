# SPDX-License-Identifier: Apache-2.0
"""What a policy lists as interpreter and jit: signed with --policy, held against it, named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.forge import make_tools
from tests.cli.program import Done, assert_clean_error, copy, snapshot, verity
from tests.cli.worlds import OTHER_REF, REF, UNSIGNED_REF, World
from verity.formats import dump, grants, statement
from verity.formats.grants import Code
from verity.verbs import signed

LINES = """
[[interpreters]]
kind = "interpreter"
paths = ["/usr/bin/to*", "/usr/bin/script", "/usr/share"]
reason = "they run what they are told"

[[interpreters]]
kind = "jit"
paths = ["/usr/bin/sudo", "/usr/bin/script", "/usr/share/big", "/bin/tool"]
reason = "it makes code at run time"
"""
AS = ("--stream", "os", "--serial", "3")
TIMES = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2096-01-01T00:00:00Z")
SIGN = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", *AS, *TIMES)
VERIFY = ("commit", "verify", "--repo", "repo", "--key", "vendor.pem.pub")
REPRODUCE = ("commit", "verify", "--repo", "repo", "--reproduce")
LISTS = ("--policy", "lists.json")
OTHER = ("--policy", "other.json")
PREPARE = ("sign", "prepare", "commit", "--repo", "repo", *AS, *TIMES)
NOTE = "verity: note: granted executable memory without a file (jit): /usr/bin/sudo\n"
JIT = "jit       /usr/bin/sudo: may have executable memory without a file"
EXTENSION = ("--tree", "tools", "--stream", "tools", "--serial", "1")


def good(path: Path, *args: str) -> Done:
    """Run what must succeed."""
    done = verity(*args, cwd=path)
    assert done.status == 0, (args, done.err)
    return done


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """lists.json with LINES, and other.json without; `document` is the digest of the former."""
    path = tmp_path_factory.mktemp("lists")
    drop_in = path / "root/etc/verity/policy.d/50-own.toml"
    drop_in.parent.mkdir(parents=True)
    for name, text in (("other", ""), ("lists", LINES)):
        drop_in.write_text(text)
        compile_it = ("policy", "compile", "--root", "root", "--serial", "1", "--json", *TIMES)
        key = f"--key={keys / 'vendor.pem'}"
        done = good(path, *compile_it, "--stream=os=vendor:os", key, name)
        (record,) = done.of_type("policy")
        (path / "document").write_text(record["document_sha256"])
    return path


@pytest.fixture
def listed(world: World, policies: Path) -> World:
    """A world with both policies."""
    for name in ("lists", "lists.json", "other.json", "document"):
        copy(policies / name, world.path / name)
    return world


def flags_of(world: World, ref: str = REF) -> dict[str, Code]:
    """The granted flags by path."""
    metadata = world.detached(ref)
    parsed = grants.parse(metadata.get_bytes(signed.GRANTS) or b"")
    flags = {one.digest: one.flags for one in parsed.code}
    entries = dump.parse(signed.manifest_bytes(metadata, world.checksum(ref)))
    return {one.path.decode(): flags[one.digest] for one in entries if one.digest in flags}


def findings(done: Done) -> list[tuple[str, str, str, str]]:
    return [
        (one["check"], one["object"], one["expected"], one["found"])
        for one in done.of_type("finding")
        if one["check"] != "not-reproduced"
    ]


PLAIN = Code.EXEC | Code.LIBRARY
BOTH = [
    ("grants-differ", "/usr/bin/script", "flags 40", "flags 32"),
    ("grants-differ", "/usr/bin/sudo", "flags 19", "flags 3"),
    ("grants-differ", "/usr/bin/tool", "flags 11", "flags 3"),
]


def test_signed_with_a_policy(listed: World) -> None:
    document = (listed.path / "document").read_text()
    done = good(listed.path, *SIGN, *LISTS, "--replace", REF)
    assert flags_of(listed) == {
        "/usr/bin/script": Code.SCRIPT | Code.INTERPRETER,
        "/usr/bin/sudo": PLAIN | Code.JIT,
        "/usr/bin/tool": PLAIN | Code.INTERPRETER,
    }
    assert done.out.splitlines()[-2:] == [
        f"policy    sha256:{document} (2 interpreters, 0 config)",
        JIT,
    ]
    # The same from the same, and the JSON says of what.
    (first,) = good(listed.path, *SIGN, *LISTS, "--replace", "--json", REF).of_type("signed")
    (again,) = good(listed.path, *SIGN, *LISTS, "--replace", "--json", REF).of_type("signed")
    assert again["grants_sha256"] == first["grants_sha256"]
    assert (again["interpreters"], again["jit"]) == (2, ["/usr/bin/sudo"])
    assert again["policy_sha256"] == document
    # What is granted anything is read and listed, also where the rest comes from another commit.
    more = ("--replace", "--reuse", OTHER_REF, "--json", REF)
    (reused,) = good(listed.path, *SIGN, *LISTS, *more).of_type("signed")
    assert reused["grants_sha256"] == first["grants_sha256"]


@pytest.mark.parametrize("verb", [VERIFY, REPRODUCE])
def test_verified_with_any_policy_or_none(listed: World, verb: tuple[str, ...]) -> None:
    """Without one the flags are taken as they are; jit is named whatever policy there is."""
    good(listed.path, *SIGN, *LISTS, "--replace", REF)
    for policy in ((), LISTS):
        done = good(listed.path, *verb, *policy, REF)
        assert done.err == NOTE
        assert done.out.startswith(f"good: {REF} ")
    done = verity(*verb, *OTHER, "--json", REF, cwd=listed.path)
    assert done.status == 1
    turned = [(check, path, was, due) for check, path, due, was in BOTH]
    assert sorted(findings(done)) == turned
    assert NOTE.removeprefix("verity: note: ").strip() in [
        one["text"] for one in done.of_type("note")
    ]


@pytest.mark.parametrize("verb", [VERIFY, REPRODUCE])
def test_signed_without_a_policy_that_lists(listed: World, verb: tuple[str, ...]) -> None:
    (record,) = good(listed.path, *SIGN, "--replace", "--json", REF).of_type("signed")
    assert (record["interpreters"], record["jit"], record["policy_sha256"]) == (0, [], None)
    assert good(listed.path, *verb, REF).err == ""
    done = verity(*verb, *LISTS, "--json", REF, cwd=listed.path)
    assert done.status == 1
    assert sorted(findings(done)) == BOTH


def test_no_list_makes_a_flag_of_the_file_itself(listed: World) -> None:
    """Whoever signed: interpreter and jit are taken as they are, and no other flag."""
    metadata = listed.detached(REF)
    before = grants.parse(metadata.get_bytes(signed.GRANTS) or b"")
    script = next(one for one in before.code if one.flags == Code.SCRIPT)
    entries = dump.parse(signed.manifest_bytes(metadata, listed.checksum()))
    data = next(one.digest for one in entries if one.path == b"/usr/share/big")
    flags = {one.digest: one.flags for one in before.code}
    changed = {**flags, script.digest: Code.SCRIPT | Code.JIT, data or b"": Code.JIT}
    blob = grants.encode(replace(before, code=grants.sorted_code(changed)))
    listed.attach(metadata.with_bytes(signed.GRANTS, blob))
    done = verity(*REPRODUCE, "--json", REF, cwd=listed.path)
    assert done.status == 1
    found = {(path, due, was) for _, path, due, was in findings(done)}
    assert ("/usr/bin/script", "flags 32", "flags 48") in found
    assert {due for _, due, was in found if was == "flags 16"} == {"no entry"}


# --- several signers -----------------------------------------------------------------------


def test_signers_are_shown_jit(listed: World) -> None:
    done = good(listed.path, *PREPARE, *LISTS, "-o", "b", UNSIGNED_REF)
    assert JIT in done.out.splitlines()
    assert "2 programs, 1 scripts, 2 libraries, 2 interpreters, 1 JIT programs" in done.out
    assert JIT in good(listed.path, "sign", "show", "b").out.splitlines()
    assert JIT in good(listed.path, "sign", "add", "--yes", "--key", "vendor.pem", "b").out


@pytest.mark.parametrize("policy", [(), LISTS])
def test_attached(listed: World, policy: tuple[str, ...]) -> None:
    good(listed.path, *PREPARE, *LISTS, "-o", "b", UNSIGNED_REF)
    good(listed.path, "sign", "add", "--yes", "--key", "vendor.pem", "b")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--repo", "repo")
    before = snapshot(listed.path)
    refused = verity(*attach, *OTHER, "b", cwd=listed.path)
    assert (refused.status, refused.out) == (1, "")
    assert_clean_error(refused, ("its grants are not what the files of the tree earn",), hint=True)
    assert snapshot(listed.path) == before
    good(listed.path, *attach, *policy, "b")
    assert flags_of(listed, UNSIGNED_REF)["/usr/bin/sudo"] == PLAIN | Code.JIT
    good(listed.path, *VERIFY, *LISTS, UNSIGNED_REF)


# --- extensions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb",
    [("extension", "sign", "--key", "vendor.pem"), ("sign", "prepare", "extension", "-o", "out")],
    ids=["sign", "prepare"],
)
def test_an_extension_brings_nothing_that_is_listed(listed: World, verb: tuple[str, ...]) -> None:
    make_tools(listed.path / "tools")  # with a /bin/tool
    tail = ("out",) if verb[0] == "extension" else ()
    done = verity(*verb, *EXTENSION, *LISTS, *tail, cwd=listed.path)
    assert (done.status, done.out) == (1, "")
    words = ("/bin/tool: a program that the policy lists", "which an extension may not bring")
    assert_clean_error(done, words, hint=True)
    assert not (listed.path / "out").exists()
    good(listed.path, *verb, *EXTENSION, *OTHER, *tail)


def test_a_bundle_of_an_extension_is_attached_without_a_policy(listed: World) -> None:
    make_tools(listed.path / "tools")
    good(listed.path, "sign", "prepare", "extension", "-o", "b", *EXTENSION, *OTHER)
    good(listed.path, "sign", "add", "--yes", "--key", "vendor.pem", "b")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--tree", "tools")
    done = verity(*attach, *OTHER, "b", "out", cwd=listed.path)
    assert done.status == 2
    assert "--policy is not for a bundle of the kind extension" in done.err
    good(listed.path, *attach, "b", "out")


# --- the policy itself ---------------------------------------------------------------------


def other_type(path: Path) -> None:
    envelope = json.loads(path.read_bytes())
    path.write_text(json.dumps({**envelope, "payloadType": statement.PAYLOAD_TYPE}))


BAD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing": (Path.unlink, 3, "lists.json: "),
    "gate's blob": (
        lambda path: path.write_bytes(path.with_name("lists").read_bytes()),
        1,
        "lists.json: DSSE",
    ),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), 1, "lists.json: DSSE envelope"),
    "of another type": (other_type, 2, "lists.json: the payload type is"),
}
USES = {
    "sign": (*SIGN, *LISTS, "--replace", REF),
    "prepare": (*PREPARE, *LISTS, "-o", "b", UNSIGNED_REF),
    "extension": ("extension", "sign", "--key=vendor.pem", *EXTENSION, *LISTS, "out"),
    "verify": (*VERIFY, *LISTS, REF),
    "reproduce": (*REPRODUCE, *LISTS, REF),
}


@pytest.mark.parametrize(
    ("name", "use"),
    [*((name, "sign") for name in BAD), *(("missing", use) for use in USES if use != "sign")],
)
def test_a_file_that_is_no_policy(listed: World, name: str, use: str) -> None:
    spoil, status, words = BAD[name]
    (listed.path / "tools").mkdir()
    spoil(listed.path / "lists.json")
    before = snapshot(listed.path)
    done = verity(*USES[use], cwd=listed.path)
    assert (done.status, done.out) == (status, ""), done
    assert_clean_error(done, (words,), hint="\n  hint: " in done.err)
    assert snapshot(listed.path) == before


def test_who_signed_the_policy_is_not_asked(listed: World) -> None:
    """It is input, like the tree: what it loosens is named in any case."""
    path = listed.path / "lists.json"
    envelope = json.loads(path.read_bytes())
    envelope["signatures"][0]["sig"] = "AAAA"
    path.write_text(json.dumps(envelope))
    assert JIT in good(listed.path, *SIGN, *LISTS, "--replace", REF).out
    assert good(listed.path, *VERIFY, *LISTS, REF).err == NOTE
