# SPDX-License-Identifier: Apache-2.0
"""policy compile and show: what the drop-ins of a host make, and what counts of it."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.policy_host import (
    DROP_IN,
    KEY,
    OBSERVED,
    SEALED,
    STREAM,
    Host,
    clean,
    make_policy_host,
)
from tests.cli.program import Done, copy
from verity.formats import bundle, kernel_policy, statement
from verity.formats.kernel_policy import Mode


@pytest.fixture(scope="module")
def bare_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy_host(tmp_path_factory.mktemp("policies"))


@pytest.fixture
def host(bare_host: Path, tmp_path: Path) -> Host:
    return Host(copy(bare_host, tmp_path / "w"))


# --- compile ------------------------------------------------------------------------------------


def test_compiled_from_drop_ins(host: Host) -> None:
    host.own(STREAM + SEALED + OBSERVED)
    done = host.compile("new", "--json")
    assert (done.status, done.err) == (0, "")
    (record,) = done.of_type("policy")
    fragment = bundle.parse_fragment((host.path / "new").read_bytes(), label="new")
    gate = kernel_policy.parse(fragment.blob)
    assert (gate.mode, gate.serial) == (Mode.SEALED, 7)
    assert [reason.value for reason in gate.observed] == ["anonymous"] == record["observed"]
    assert record["guarded"] == len(gate.guarded) > 60
    found = host.payload()
    assert (found["serial"], found["profile"]) == (7, "standard")
    (mode,) = [line for line in found["lines"] if line["type"] == "mode"]
    assert mode == {
        "type": "mode",
        "mode": "sealed",
        "reason": "it is proven here",
        "origin": f"{DROP_IN} [[mode]] 1",
    }


def test_the_same_source_gives_the_same_bytes(host: Host) -> None:
    host.own(STREAM + SEALED)
    elsewhere = Host(copy(host.path, host.path.parent / "elsewhere"))
    assert host.compile("one").status == host.compile("two").status == 0
    assert elsewhere.compile("three").status == 0
    (elsewhere.path / "three").rename(host.path / "three")
    (elsewhere.path / "three.json").rename(host.path / "three.json")
    blobs, documents = set(), set()
    for name in ("one", "two", "three"):
        fragment = bundle.parse_fragment((host.path / name).read_bytes(), label=name)
        blobs.add(fragment.blob)
        data = (host.path / f"{name}.json").read_bytes()
        documents.add(statement.parse_envelope(data).payload)
    assert (len(blobs), len(documents)) == (1, 1)
    assert host.compile("other", "--profile", "strict").status == 0
    fragment = bundle.parse_fragment((host.path / "other").read_bytes(), label="other")
    assert fragment.blob not in blobs


def test_options_take_the_place_of_lines(host: Host) -> None:
    host.own(STREAM + SEALED)
    options = ("--mode", "trial", "--group", "999", "--stream", "tools=user:extension")
    assert host.compile("new", *options).status == 0
    lines = host.payload()["lines"]
    given = {line["type"]: line for line in lines if line["origin"].startswith("--")}
    assert given["mode"]["mode"] == "trial"
    assert [line["gid"] for line in lines if line["type"] == "group"] == [999]
    assert [line["name"] for line in lines if line["type"] == "stream"] == ["tools"]


@pytest.mark.parametrize("there", ["new", "new.json"])
def test_nothing_is_overwritten_and_nothing_left(host: Host, there: str) -> None:
    (host.path / there).write_text("mine")
    done = host.compile()
    clean(done, (f"{there}: exists already",))
    assert done.status == 3
    assert (host.path / there).read_text() == "mine"
    assert [path.name for path in host.path.glob("new*")] == [there]


SPOILT: dict[str, tuple[Callable[[Host], None], int, str]] = {
    "no stream": (lambda host: host.own(SEALED), 2, "no stream, so nothing could be granted"),
    "an unknown key": (
        lambda host: host.own(STREAM + "colour = 1\n"),
        1,
        "50-own.toml: [[stream]] 1: unknown key 'colour'",
    ),
    "no reason": (
        lambda host: host.own('[[mode]]\nmode = "sealed"\n'),
        1,
        "50-own.toml: [[mode]] 1: it needs a reason",
    ),
    "a group by its name": (
        lambda host: host.own('[[privileged]]\nname = "docker"\nreason = "r"\n'),
        1,
        "the name alone means another group on another host",
    ),
    "not TOML": (lambda host: host.own("[[mode"), 1, "50-own.toml: not TOML"),
    "no mode": (
        lambda host: host.own("", "00-policy.toml"),
        1,
        "0 lines say the mode",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_refused(host: Host, name: str) -> None:
    spoil, status, text = SPOILT[name]
    spoil(host)
    done = host.compile()
    clean(done, (text,))
    assert done.status == status
    assert list(host.path.glob("new*")) == []


# --- show ---------------------------------------------------------------------------------------


def lines_of(done: Done) -> dict[tuple[str, Any], Any]:
    return {
        (line["line"], line.get("path", line.get("to", line.get("name")))): line
        for line in done.of_type("line")
    }


def test_shown_before_it_is_signed(host: Host) -> None:
    done = host.run("show")
    assert done.status == 0
    first, *rest = done.out.splitlines()
    assert first == "not signed: the drop-ins, as `verity policy compile` would take them"
    at = rest.index("stream        name os, party vendor, role os")
    assert rest[at + 1 : at + 3] == ["    the system", f"    {DROP_IN} [[stream]] 1"]
    shown = lines_of(host.run("show", "--json"))
    assert shown["guarded", "/etc/shadow"]["class"] == "mutable"
    assert shown["guarded", "/etc/shadow"]["origin"] == "built-in/10-etc.toml [[etc]] 1"
    assert all(line["reason"] and line["origin"] for line in shown.values())
    assert ("guarded", "/root/.ssh") not in shown
    assert ("guarded", "/root/.ssh") in lines_of(host.run("show", "--profile=strict", "--json"))


ASKED = {
    "/etc/shadow": ["mutable", "10-etc.toml [[etc]] 1"],
    "/etc/cron.d/x": ["signed", "05-guarded.toml [[guarded]] 1"],
    "/run/systemd/generator/x": ["produced", "05-guarded.toml [[guarded]] 2"],
    "/etc/verity/policy.d/x": ["signed", "origin    built in"],
    "/srv/x": ["not guarded"],
    "/root/.ssh/authorized_keys": ["not guarded"],
}


@pytest.mark.parametrize("path", ASKED)
def test_the_class_of_a_path(host: Host, path: str) -> None:
    done = host.run("show", "--class", path)
    assert done.status == 0
    for text in ASKED[path]:
        assert text in done.out
    strict = host.run("show", "--profile", "strict", "--class", path, "--json")
    (record,) = strict.of_type("class")
    assert record["asked"] == path
    if path.startswith("/root"):
        assert record["class"] == "signed"


@pytest.mark.parametrize("path", ["etc/shadow", "/etc/../x", "/etc/"])
def test_a_class_of_no_path(host: Host, path: str) -> None:
    done = host.run("show", "--class", path)
    assert done.status == 2
    clean(done, ("expected an absolute path",))


def test_the_same_name_replaces_and_a_link_to_null_masks(host: Host) -> None:
    host.write("usr/lib/verity/policy.d/60.toml", OBSERVED)
    shown = lines_of(host.run("show", "--json"))
    assert shown["reaction", "anonymous"]["reaction"] == "observe"
    (host.root / "etc/verity/policy.d/60.toml").symlink_to("/dev/null")
    shown = lines_of(host.run("show", "--json"))
    assert shown["reaction", "anonymous"]["reaction"] == "deny"


def test_a_signed_policy_is_what_counts(host: Host) -> None:
    host.install()
    done = host.run("show", *KEY)
    assert done.status == 0
    assert done.out.startswith("signed: serial 7, profile standard, by 1 owners, sha256:")
    host.own(STREAM + OBSERVED)
    done = host.run("show", *KEY, "--json")
    assert lines_of(done)["reaction", "anonymous"]["reaction"] == "deny"
    assert "1 lines of the drop-ins are not signed and count for nothing" in done.err


TIGHTER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mode": (SEALED, "mode", {"mode": "sealed"}),
    "reaction": (
        OBSERVED.replace("anonymous", "bpf-programs").replace("observe", "deny"),
        "reaction",
        {"reaction": "deny"},
    ),
    "unlock": (
        '[[unlock]]\nscope = "off"\nlongest = "5m"\nreason = "r"\n',
        "unlock",
        {"seconds": 300},
    ),
    "guarded": (
        '[[guarded]]\nclass = "signed"\npaths = ["/etc/shadow"]\nreason = "r"\n',
        "guarded",
        {"class": "signed"},
    ),
    "group": (
        '[[privileged]]\ngid = 999\nreason = "r"\n',
        "group",
        {"gid": 999},
    ),
}


@pytest.mark.parametrize("name", TIGHTER)
def test_unsigned_lines_tighten(host: Host, name: str) -> None:
    text, kind, said = TIGHTER[name]
    host.install()
    host.own(STREAM + text)
    shown = [
        line for line in host.run("show", *KEY, "--json").of_type("line") if not line["signed"]
    ]
    (line,) = shown
    assert line["line"] == kind
    assert said.items() <= line.items()


LOOSER = {
    "mode": '[[mode]]\nmode = "observe"\nreason = "r"\n',
    "reaction": OBSERVED,
    "unlock": '[[unlock]]\nscope = "off"\nlongest = "2h"\nreason = "r"\n',
    "fewer owners": '[[unlock]]\nscope = "digest"\nlongest = "1d"\nreason = "r"\n',
    "guarded": '[[etc]]\nclass = "ignored"\npaths = ["/etc/shadow"]\nreason = "r"\n',
    "capabilities": '[[privileged]]\ncapabilities_but = ["chown", "wake_alarm"]\nreason = "r"\n',
}


@pytest.mark.parametrize("name", LOOSER)
def test_unsigned_lines_do_not_loosen(host: Host, name: str) -> None:
    signed = STREAM + SEALED
    signed += '[[unlock]]\nscope = "digest"\nlongest = "1d"\nowners = 2\nreason = "two"\n'
    host.own(signed)
    host.install()
    before = host.run("show", *KEY, "--json").of_type("line")
    # A later drop-in, so that it would count if it were signed.
    host.own(LOOSER[name], "90-late.toml")
    done = host.run("show", *KEY, "--json")
    assert done.of_type("line") == before
    findings = host.run("check", *KEY, "--json").of_type("finding")
    (found,) = [one for one in findings if one["check"] == "unsigned-looser"]
    assert found["object"].startswith("/etc/verity/policy.d/90-late.toml [[")


def other_blob(host: Host) -> None:
    assert host.compile("other", "--mode", "trial").status == 0
    (host.path / "other").replace(host.root / "etc/verity/policy.gate")


def altered(host: Host) -> None:
    path = host.root / "etc/verity/policy.json"
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"observe"', b'"sealed!"')
    envelope["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(envelope))


BROKEN: dict[str, tuple[Callable[[Host], object], tuple[str, ...], int, str]] = {
    "altered": (altered, KEY, 1, "policy: signed by 0 of the trusted owners"),
    "by a stranger": (
        lambda host: None,
        ("--key", "stranger.pem.pub"),
        1,
        "policy: signed by 0 of the trusted owners",
    ),
    "with another blob": (other_blob, KEY, 1, "what follows from the signed document"),
    "without its blob": (
        lambda host: (host.root / "etc/verity/policy.gate").unlink(),
        KEY,
        3,
        "policy.gate",
    ),
    "without a pin": (lambda host: None, (), 3, "there is no pin"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_signed_policy_that_can_not_be_trusted(host: Host, name: str) -> None:
    spoil, keys, status, text = BROKEN[name]
    host.install()
    spoil(host)
    done = host.run("show", *keys)
    clean(done, (text,))
    assert (done.status, done.out) == (status, "")
