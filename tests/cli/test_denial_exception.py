# SPDX-License-Identifier: Apache-2.0
"""From a denial to a signed one-file extension: what is asked, shown, signed and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.gate_host import STATUS, Host
from tests.cli.program import Done, assert_clean_error, snapshot, verity
from tests.denials import denial, text
from verity.formats import bundle, exception_request, grants, strictjson
from verity.formats.gate_status import Reason
from verity.formats.grants import Code, Grants
from verity.ports.content import digest_path

TOOL = "/opt/t\xe9 ol"
ASK = ("lockdown", "exception", "request")
SIGN = ("lockdown", "exception", "sign")
FUTURE = "2040-01-01T00:00:00Z"


@pytest.fixture
def asking(host: Host) -> Host:
    """A host whose root was refused a program, a script and some others."""
    host.gate("sealed")
    host.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    host.put("etc/hostname", "web-1\n")
    program(host, TOOL)
    host.put("opt/script", "#!/bin/sh\n")
    (host.root / "opt/script").chmod(0o755)
    refuse(host, TOOL, seq=1)
    return host


def program(host: Host, path: str, *, mode: int = 0o755) -> Path:
    place = host.root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile("/bin/true", place)
    place.chmod(mode)
    return place


def refuse(host: Host, file: str, *, seq: int, **changes: Any) -> None:
    values = {"path": file.encode(), "reason": Reason.NO_DIGEST, "digest": None, **changes}
    host.put("sys/fs/bpf/verity/denials", text(denial(seq, **values)))


def ask(host: Host, *args: str, out: str = "request.json") -> Done:
    return host.verity(*ASK, *args, "--output", out)


def fingerprint(done: Done) -> str:
    (line,) = (line for line in done.out.splitlines() if line.startswith("compare "))
    return line.removeprefix("compare    ")


Sign = Callable[..., Done]


@pytest.fixture
def sign(asking: Host, keys: Path) -> Sign:
    """As the holder of the key, on another machine: only the request is there."""

    def run(*args: str, source: str = "request.json", out: str = "reply", **options: Any) -> Done:
        stream = options.get("stream", "ours")
        named = ("--stream", stream) if stream else ()
        key = ("--key", str(keys / "vendor.pem"))
        return verity(*SIGN, *key, *named, *args, source, out, cwd=asking.root)

    return run


def granted(host: Host, out: str = "reply") -> Grants:
    data = (host.root / out / "grants").read_bytes()
    return grants.parse(bundle.parse_fragment(data, label="grants").blob)


def test_from_a_denial_to_an_extension(asking: Host, sign: Sign) -> None:
    asked = ask(asking, "--denial", "last")
    assert (asked.status, asked.err) == (0, "")
    for line in (
        r"file       /opt/t\xc3\xa9\x20ol, ",
        "wants      to be granted as exec and library\n",
        "denial     1 10.001s denied no-digest exec uid 0 pid 813 tool ",
        "stream     ours, nothing imported\n",
        "host       web-1 (",
        "verity lockdown exception sign request.json --key KEY OUT\n",
    ):
        assert line in asked.out
    shown = verity("lockdown", "exception", "show", "request.json", cwd=asking.root)
    assert shown.out == asked.out.partition("next ")[0]
    done = sign("--fingerprint", fingerprint(asked), "--host", "web-1")
    assert (done.status, done.err) == (0, "")
    assert "contents   by digest alone: nobody looked at them here\n" in done.out
    assert "as         stream ours serial 1, for 365 days\n" in done.out
    assert "verity lockdown import reply/grants\n" in done.out
    assert r"verity enable $'/opt/t\xc3\xa9\x20ol'" in done.out
    digest = digest_path(asking.root / TOOL[1:]).value
    assert [(one.digest, one.flags) for one in granted(asking).code] == [
        (digest, Code.EXEC | Code.LIBRARY)
    ]
    assert sorted(path.name for path in (asking.root / "reply").iterdir()) == [
        "grants",
        "manifest",
        "statement.json",
    ]


def test_by_path_with_a_copy(asking: Host, sign: Sign, tmp_path: Path) -> None:
    assert ask(asking, "/opt/script").status == 0
    shutil.copy(asking.root / "opt/script", asking.root / "copy")
    done = sign("--file", "copy")
    assert "contents   as in the copy\n" in done.out
    assert [one.flags for one in granted(asking).code] == [Code.SCRIPT]
    request = exception_request.parse((asking.root / "request.json").read_bytes())
    assert request.denial is None


def test_json(asking: Host, sign: Sign) -> None:
    (record,) = ask(asking, "--denial", "1", "--json").records
    assert record["type"] == "exception-request"
    assert (record["code"], record["name"]) == (["exec", "library"], "web-1")
    assert record["path"] == TOOL
    asked, signed = sign("--json").records
    assert asked == record
    assert (signed["type"], signed["serial"], signed["compared"]) == ("signed", 1, False)


def test_the_id_of_a_host_tells_nothing_of_its_machine_id(asking: Host) -> None:
    (record,) = ask(asking, "--denial", "1", "--json").records
    assert len(record["host"]) == 64
    data = (asking.root / "request.json").read_bytes()
    assert b"0123456789abcdef" not in data


@pytest.mark.parametrize(
    ("args", "changes", "status", "words"),
    [
        ((), {}, 2, ("Either a PATH or --denial",)),
        (("--denial", "1", TOOL), {}, 2, ("Either a PATH or --denial",)),
        (("--denial", "9"), {}, 3, ("denial 9 is not in the gate's log",)),
        (("--denial", "1"), {"reason": Reason.ANONYMOUS}, 2, ("denial 1: anonymous:",)),
        (("--denial", "1"), {"path": b"/memfd:x (deleted)"}, 2, ("no file that can be opened",)),
        (("--denial", "1"), {"path": b"x"}, 2, ("no file that can be opened by its name (x)",)),
        (
            ("--denial", "1"),
            {"digest": b"\x01" * 32, "reason": Reason.NOT_GRANTED},
            1,
            ("another file than the one that was refused",),
        ),
        (("opt/script",), {}, 2, ("opt/script: expected an absolute path",)),
        (("/opt/../etc/hostname",), {}, 2, ("expected an absolute path without dots",)),
        (("/opt",), {}, 2, ("/opt: no regular file",)),
        (("/opt/nothing",), {}, 3, ("/opt/nothing: does not exist",)),
        (("/opt/data",), {}, 2, ("mode 0644 and neither program, script nor library",)),
        (("/etc/hostname",), {}, 2, ("configuration, which no extension can bring",)),
        (("/opt/suid",), {}, 1, ("raises privileges",)),
        (("/opt/driver.ko",), {}, 1, ("a kernel module",)),
    ],
)
def test_what_can_not_be_asked_for(
    asking: Host,
    args: tuple[str, ...],
    changes: dict[str, Any],
    status: int,
    words: tuple[str, ...],
) -> None:
    refuse(asking, TOOL, seq=1, **changes)
    asking.put("opt/data", "x")
    program(asking, "/opt/suid", mode=0o4755)
    program(asking, "/opt/driver.ko")
    before = snapshot(asking.root)
    done = ask(asking, *args)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, words, hint=True)
    assert snapshot(asking.root) == before


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("etc/machine-id", "", ("etc/machine-id: it holds no id of a machine",)),
        ("sys/fs/bpf/verity/status", None, ("no gate is loaded",)),
        ("sys/fs/bpf/verity/status", "user extension", ("names no stream of the user",)),
    ],
)
def test_what_a_host_must_have(
    asking: Host, path: str, content: str | None, words: tuple[str, ...]
) -> None:
    if content is None:
        (asking.root / path).unlink()
    elif content:
        status = STATUS.format(state="sealed", mode="sealed", foreign=0)
        asking.put(path, status.replace(content, "user etc"))
    else:
        asking.put(path, content)
    done = ask(asking, "/opt/script")
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, words, hint=True)
    assert not (asking.root / "request.json").exists()


def test_nothing_is_overwritten(asking: Host) -> None:
    asking.put("request.json", "mine")
    done = ask(asking, "/opt/script")
    assert done.status == 3
    assert (asking.root / "request.json").read_text() == "mine"


# --- signing ---------------------------------------------------------------------------------


def spoil(host: Host, change: Callable[[dict[str, Any]], object], *, check: bool) -> None:
    """Alter the request; with ``check`` as somebody who knows how."""
    path = host.root / "request.json"
    value = json.loads(path.read_bytes())
    change(value)
    if check:
        import hashlib

        del value["check"]
        value["check"] = hashlib.sha256(strictjson.canonical(value)).hexdigest()
    path.write_bytes(strictjson.canonical(value) + b"\n")


def set_to(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.update({name: value})


def manifest(old: str, new: str) -> Callable[[dict[str, Any]], object]:
    def change(fields: dict[str, Any]) -> None:
        assert old in fields["manifest"]
        fields["manifest"] = fields["manifest"].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "check", "word"),
    [
        (set_to("name", "web-2"), False, "not what was written: altered or damaged"),
        (manifest(" 100755 ", " 100711 "), False, "not what was written"),
        (set_to("check", "0" * 64), False, "not what was written"),
        (set_to("more", 1), True, "unknown field 'more'"),
        (set_to("_type", "x"), True, "its _type is not"),
        (set_to("code", []), True, "it asks for []"),
        (set_to("code", ["module"]), True, "it asks for ['module']"),
        (set_to("code", ["library", "exec"]), True, "it asks for"),
        (set_to("host", "x"), True, "64 lower-case hex digits"),
        (set_to("name", "\x1b[2J"), True, "a plain name"),
        (set_to("denial", "1 2 3"), True, "its denial is none of the gate's"),
        (set_to("streams", [{"name": "B", "serial": 1}]), True, "the stream 'B'"),
        (set_to("streams", [{"name": "b", "serial": 1}] * 2), True, "not sorted"),
        (set_to("policy", -1), True, "negative"),
        (manifest(" 100755 ", " 104755 "), True, "no extension can bring"),
        (manifest(" 100755 ", " 100644 "), True, "a file that no extension can bring"),
        (manifest("/opt 0 40755", "/opx 0 40755"), True, "manifest"),
        (manifest("/opt 0", "/a 0 40755 1 0 0 0 0.0 - - -\n/opt 0"), True, "its manifest has"),
        (manifest(" 100755 ", " 120755 "), True, "manifest line"),
    ],
)
def test_a_request_that_was_altered(
    asking: Host, sign: Sign, change: Callable[[dict[str, Any]], object], check: bool, word: str
) -> None:
    ask(asking, "--denial", "1")
    spoil(asking, change, check=check)
    done = sign()
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (word,), hint=not check or word in ("manifest", "manifest line"))
    assert not (asking.root / "reply").exists()


def test_who_alters_it_well_is_told_by_the_fingerprint(asking: Host, sign: Sign) -> None:
    asked = ask(asking, "--denial", "1")
    spoil(asking, manifest(" 100755 ", " 100711 "), check=True)
    assert sign(out="without").status == 0
    done = sign("--fingerprint", fingerprint(asked))
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("its fingerprint is", f"expected {fingerprint(asked)}"), hint=True)


@pytest.mark.parametrize("spelled", ["{}", "{upper}", "{dashes}", "{plain}"])
def test_a_fingerprint_may_be_typed_as_people_do(asking: Host, sign: Sign, spelled: str) -> None:
    found = fingerprint(ask(asking, "--denial", "1"))
    typed = spelled.format(
        found, upper=found.upper(), dashes=found.replace(" ", "-"), plain=found.replace(" ", "")
    )
    assert sign("--fingerprint", typed).status == 0


@pytest.mark.parametrize(
    ("args", "options", "status", "words"),
    [
        (("--host", "web-2"), {}, 1, ("it is of the host web-1 (", "expected web-2")),
        ((), {"stream": "theirs"}, 2, ("the stream 'theirs' is not in the policy of the host",)),
        ((), {"stream": None}, 2, ("names 2 streams for extensions: which one is it?",)),
        ((), {"stream": "withdrawn"}, 2, ("has serial 4 of the stream withdrawn: all that it",)),
        (("--alone", "--serial", "4"), {"stream": "withdrawn"}, 2, ("the serial 4 of the stream",)),
        (("--alone", "--add-to", "x"), {}, 2, ("--add-to keeps what was granted",)),
        (("--add-to", "nothing"), {}, 3, ("nothing/statement.json: does not exist",)),
        (("--file", "opt/script"), {}, 1, ("opt/script: it has the digest",)),
        (("--file", "opt"), {}, 1, ("opt: it has the digest no file",)),
        (("--threshold", "2"), {}, 2, ("1 key",)),
        (("--serial", "0"), {}, 2, ("0 is not in the range",)),
    ],
)
def test_what_is_not_signed(
    asking: Host,
    sign: Sign,
    args: tuple[str, ...],
    options: dict[str, Any],
    status: int,
    words: tuple[str, ...],
) -> None:
    ask(asking, "--denial", "1")
    before = snapshot(asking.root)
    done = sign(*args, **options)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, words, hint=True)
    assert snapshot(asking.root) == before


def second(asking: Host) -> None:
    """A request for the script, of a host that has taken the first exception in."""
    status = STATUS.format(state="sealed", mode="sealed", foreign=0)
    asking.put(
        "sys/fs/bpf/verity/status",
        status.replace("stream ours user extension 0", "stream ours user extension 1"),
    )
    assert ask(asking, "/opt/script", out="second.json").status == 0


def test_a_second_exception_keeps_the_first(asking: Host, sign: Sign) -> None:
    ask(asking, "--denial", "1")
    assert sign().status == 0
    second(asking)
    refused = sign(source="second.json", out="reply2")
    assert refused.status == 2
    assert_clean_error(refused, ("all that it grants would end",), hint=True)
    done = sign("--add-to", "reply", source="second.json", out="reply2")
    assert done.status == 0, done.err
    assert "kept       1 digests that were granted before\n" in done.out
    found = granted(asking, "reply2")
    assert found.serial == 2
    assert sorted(int(one.flags) for one in found.code) == [
        Code.EXEC | Code.LIBRARY,
        int(Code.SCRIPT),
    ]
    alone = sign("--alone", source="second.json", out="reply3")
    assert alone.status == 0
    assert [one.flags for one in granted(asking, "reply3").code] == [Code.SCRIPT]


def test_a_newer_file_takes_the_place_of_the_older(asking: Host, sign: Sign) -> None:
    ask(asking, "/opt/script")
    assert sign().status == 0
    asking.put("opt/script", "#!/bin/sh\nexit 1\n")
    second(asking)
    assert sign("--add-to", "reply", source="second.json", out="reply2").status == 0
    digest = digest_path(asking.root / "opt/script").value
    assert [one.digest for one in granted(asking, "reply2").code] == [digest]


def test_what_was_signed_before_must_be_of_this_stream_and_key(
    asking: Host, sign: Sign, keys: Path
) -> None:
    ask(asking, "--denial", "1")
    assert sign("--alone", "--serial", "7", stream="withdrawn").status == 0
    wrong = sign("--add-to", "reply", out="reply2")
    assert wrong.status == 1
    assert_clean_error(wrong, ("reply: stream withdrawn serial 7, but the host has",), hint=True)
    (asking.root / "reply/grants").write_bytes((asking.root / "reply/grants").read_bytes()[:-1])
    assert sign("--add-to", "reply", stream="withdrawn", out="reply2").status == 1
    assert not (asking.root / "reply2").exists()


def test_the_record_of_serials(asking: Host, sign: Sign) -> None:
    """It goes on from the higher of its own last one and the host's."""
    ask(asking, "--denial", "1")
    state = ("--state", "serials.json")
    assert sign(*state, out="r1").status == 0
    assert sign(*state, out="r2").status == 0
    assert [granted(asking, name).serial for name in ("r1", "r2")] == [1, 2]
    assert sign(*state, "--alone", stream="withdrawn", out="r3").status == 1  # another stream's
    second(asking)
    assert sign("--alone", "--state", "new.json", source="second.json", out="r4").status == 0
    assert granted(asking, "r4").serial == 2


def test_a_serial_is_given_back(asking: Host, sign: Sign) -> None:
    ask(asking, "--denial", "1")
    asking.put("reply", "in the way")
    assert sign("--state", "serials.json").status == 3
    assert sign("--state", "serials.json", out="reply2").status == 0
    assert granted(asking, "reply2").serial == 1


def test_the_same_request_and_times_give_the_same_grants(asking: Host, sign: Sign) -> None:
    ask(asking, "--denial", "1")
    times = ("--issued", "2026-01-01T00:00:00Z", "--expires", FUTURE)
    for out in ("one", "other"):
        assert sign(*times, out=out).status == 0
    assert granted(asking, "one") == granted(asking, "other")
