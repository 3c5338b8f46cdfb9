# SPDX-License-Identifier: Apache-2.0
"""policy compile, show and check: on hosts whose drop-ins and signed policy are made here."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, assert_clean_error, copy, verity
from verity.formats import bundle, kernel_policy, statement
from verity.formats.kernel_policy import Mode

TIMES = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2096-01-01T00:00:00Z")
STREAM = '[[stream]]\nname = "os"\nparty = "vendor"\nrole = "os"\nreason = "the system"\n'
SEALED = '[[mode]]\nmode = "sealed"\nreason = "it is proven here"\n'
OBSERVED = '[[reaction]]\nto = "anonymous"\nreaction = "observe"\nreason = "a compiler"\n'
OWN = "50-own.toml"
DROP_IN = f"/etc/verity/policy.d/{OWN}"


@dataclass(frozen=True)
class Host:
    """The root of a host, in a directory with keys: policy.pem and stranger.pem."""

    path: Path

    @property
    def root(self) -> Path:
        return self.path / "root"

    def write(self, name: str, text: str) -> None:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def own(self, text: str, name: str = OWN, *, beside: str = "") -> None:
        """A drop-in of the owner; ``beside`` is a file that is there, too."""
        self.write(f"etc/verity/policy.d/{name}", text)
        if beside:
            self.write(beside, text)

    def run(self, verb: str, *args: str) -> Done:
        return verity("policy", verb, "--root", "root", *args, cwd=self.path)

    def compile(self, out: str = "new", *args: str, key: str = "policy.pem") -> Done:
        return self.run("compile", "--serial", "7", *TIMES, "--key", key, *args, out)

    def install(self, *args: str) -> None:
        """Sign what the drop-ins say, and put it where a host has it."""
        done = self.compile("new", *args)
        assert (done.status, done.err) == (0, "")
        (self.path / "new").rename(self.root / "etc/verity/policy.gate")
        (self.path / "new.json").rename(self.root / "etc/verity/policy.json")

    def payload(self, name: str = "new.json") -> Any:
        envelope = statement.parse_envelope((self.path / name).read_bytes())
        return json.loads(envelope.payload)


@pytest.fixture(scope="module")
def bare_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policies")
    for name in ("policy.pem", "stranger.pem"):
        assert verity("key", "generate", name, cwd=path).status == 0
    host = Host(path)
    host.own(STREAM)
    return path


@pytest.fixture
def host(bare_host: Path, tmp_path: Path) -> Host:
    return Host(copy(bare_host, tmp_path / "w"))


KEY = ("--key", "policy.pem.pub")


def clean(done: Done, words: tuple[str, ...]) -> None:
    """One error, with a hint where there is one to give."""
    assert_clean_error(done, words, hint="\n  hint: " in done.err)


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


# --- check --------------------------------------------------------------------------------------


def test_nothing_to_find(host: Host) -> None:
    done = host.run("check")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("nothing to find in the drop-ins (")
    host.install("--mode", "sealed")
    assert host.run("check", *KEY).status == 0


def test_nothing_to_find_with_the_defaults_on_this_very_debian() -> None:
    """Every path of /etc, and every script that a real system has."""
    for profile in ("standard", "strict"):
        done = verity("policy", "check", "--profile", profile, "--json", cwd=Path("/"))
        assert done.of_type("finding") == []
        (summary,) = done.of_type("summary")
        assert summary["counts"]["scripts"] > 50


def script(host: Host, first_line: str) -> None:
    host.write("usr/bin/perl5.40", "ELF")
    (host.root / "usr/bin/perl").symlink_to("perl5.40")
    host.write("usr/bin/tool", first_line + "\n")
    (host.root / "usr/bin/tool").chmod(0o755)


MUTABLE = '[[guarded]]\nclass = "mutable"\npaths = ["{}"]\nreason = "r"\n'
FOUND: dict[str, tuple[Callable[[Host], object], str, str]] = {
    "a line anew": (
        lambda host: host.own(STREAM + SEALED + SEALED.replace("sealed", "trial")),
        "unreachable",
        f"{DROP_IN} [[mode]] 1: {DROP_IN} [[mode]] 2 says the same thing anew",
    ),
    "a line covered": (
        lambda host: host.own(
            STREAM + MUTABLE.format("/srv/a") + MUTABLE.format("/srv/*"), beside="srv/a"
        ),
        "unreachable",
        "/srv/a is covered by /srv/*",
    ),
    "a path that isn't there": (
        lambda host: host.own(STREAM + MUTABLE.format("/srv/none")),
        "missing",
        "nothing has the name /srv/none",
    ),
    "a pattern that is nothing": (
        lambda host: host.own(STREAM + MUTABLE.format("/srv/n*")),
        "missing",
        "nothing has the name /srv/n*",
    ),
    "a pattern that the gate has not": (
        lambda host: host.own(STREAM + MUTABLE.format("/etc/*/x"), beside="etc/a/x"),
        "not-for-the-gate",
        "the gate has no patterns such as /etc/*/x",
    ),
    "an interpreter that nothing needs": (
        lambda host: script(host, "#!/bin/sh"),
        "interpreter-without-need",
        "/usr/bin/perl* is there, and no script's #! names it",
    ),
    "a drop-in replaced": (
        lambda host: host.own(STREAM, beside="usr/lib/verity/policy.d/50-own.toml"),
        "shadowed",
        "/usr/lib/verity/policy.d/50-own.toml is replaced as a whole by /etc/verity",
    ),
    "a drop-in masked": (
        lambda host: (host.root / "etc/verity/policy.d/30-interpreters.toml").symlink_to(
            "/dev/null"
        ),
        "masked",
        "built-in/30-interpreters.toml is masked by /etc/verity",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_findings(host: Host, name: str) -> None:
    spoil, check, text = FOUND[name]
    spoil(host)
    done = host.run("check")
    assert done.status == 1
    (finding,) = [line for line in done.out.splitlines() if line.startswith("FINDING")]
    assert finding.startswith(f"FINDING  {check}  ")
    assert text in finding


@pytest.mark.parametrize(
    "line",
    [
        "#!/usr/bin/perl",
        "#! /bin/perl -w",
        "#!/usr/bin/env perl",
        "#!/usr/bin/env -S LANG=C perl -w",
        "#!/usr/bin/perl5.40",
    ],
)
def test_an_interpreter_that_is_needed(host: Host, line: str) -> None:
    (host.root / "bin").symlink_to("/usr/bin")
    script(host, line)
    assert host.run("check").status == 0


def test_what_the_owner_signed_is_meant(host: Host) -> None:
    (host.root / "etc/verity/policy.d/30-interpreters.toml").symlink_to("/dev/null")
    host.install("--mode", "sealed")
    done = host.run("check", *KEY)
    assert done.status == 0
    assert "is masked by" in done.err
    assert "as the signed policy has it" in done.err


def test_an_expired_policy_is_a_finding_and_still_counts(host: Host) -> None:
    times = ("--issued", "2020-01-01T00:00:00Z", "--expires", "2021-01-01T00:00:00Z")
    host.install(*times)
    done = host.run("check", *KEY)
    assert done.status == 1
    assert "FINDING  expired" in done.out
    shown = host.run("show", *KEY)
    assert (shown.status, "has expired; it still counts here" in shown.err) == (0, True)


def test_a_host_s_keyring_says_whose_signature_counts(host: Host) -> None:
    """As on a host: pin and keyring, no key named; the role extension doesn't sign policies."""
    roles = (
        *("--role", "root=root.pem.pub", "--role", "policy=policy.pem.pub"),
        *("--role", "extension=stranger.pem.pub", "--stream", "extension=*"),
    )
    assert verity("key", "generate", "root.pem", cwd=host.path).status == 0
    init = ("keyring", "init", "--party", "user", *roles, "--key", "root.pem", "keyrings")
    assert verity(*init, cwd=host.path).status == 0
    pin = ("lockdown", "pin", "--party", "user", "--root", "root.pem.pub", "user.pin")
    assert verity(*pin, cwd=host.path).status == 0
    keyring = ("--keyring", "keyrings", "--pin", "user=user.pin")
    host.install()
    done = host.run("show", *keyring, "--json")
    assert (done.status, done.of_type("signed")[0]["serial"]) == (0, 7)
    assert host.compile("other", key="stranger.pem").status == 0
    (host.path / "other.json").replace(host.root / "etc/verity/policy.json")
    done = host.run("show", *keyring)
    clean(done, ("policy: signed by 0 of the trusted owners",))
    assert done.status == 1


def test_what_can_not_be_read_is_said(host: Host) -> None:
    (host.root / "usr/bin").mkdir(parents=True)
    (host.root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (host.root / "usr/bin/tool").chmod(0o111)
    (host.root / "opt/shut").mkdir(parents=True)
    (host.root / "opt/shut").chmod(0)
    done = verity("policy", "check", "--root", "root", "--json", cwd=host.path, lesser=True)
    assert done.status == 3
    assert [gap["object"] for gap in done.of_type("not-evaluated")] == [
        "/usr/bin/tool",
        "/opt/shut",
    ]


def test_a_policy_that_can_not_be_verified_leaves_a_gap(host: Host) -> None:
    host.install()
    done = host.run("check")
    assert done.status == 3
    assert "NOT EVALUATED  signed-policy" in done.out
