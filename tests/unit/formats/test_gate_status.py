# SPDX-License-Identifier: Apache-2.0
"""The texts of the gate: what is read, and every way in which one can be wrong."""

import pytest

from verity.formats import challenge
from verity.formats.escaped import escape
from verity.formats.gate_lines import MAX_LINE
from verity.formats.gate_status import (
    MAX_DENIALS,
    MAX_STATUS,
    Act,
    Denial,
    Mode,
    Reason,
    Revocation,
    Room,
    State,
    Stream,
    parse_denials,
    parse_status,
)
from verity.formats.gate_unlocks import Drill, TakenUnlock, UnlockState
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

STATUS = b"""\
version 5
state sealed
boot_clock_s 99
policy_serial 3
policy_mode trial
observes writable
observes device
keys vendor 1
keys user 0
code 70000 120000
elevations 12 4096
config 3 8192
revocations vendor root 4
revocations user root 2
revocations user extension 9
revoked_keys 2 1024
revoked_digests 5 8192
stream debian-trixie vendor os 7
stream host.etc user etc 0
revoked_stream debian-trixie
foreign_programs 0
denied 2
observed 1
lost 0
reason no-digest 1
reason ftrace 2
sealed_ms 13250
own program 17
own program 18
own link 17
boot_nonce %b
host_id %b
unlocked 1
unlock_used 4 256
taint off
unlock %b digest 3 100 1900 live %b %b
unlock %b path-prefix 5 101 1901 expired %b /opt/a\\x20b
drill %b 102
unlock %b off 128 103 1903 relocked %b -
""" % (
    b"5a" * 32,
    b"c3" * 32,
    *(b"01" * 16, b"a1" * 32, b"d1" * 32),
    *(b"02" * 16, b"a2" * 32),
    b"03" * 16,
    *(b"04" * 16, b"a4" * 32),
)
BOOTED = (
    STATUS
    + b"""\
initial_root 2
entered_ms 12900
survivors 1
boot_chain 2 3
"""
)
DIGEST = "00112233445566778899aabbccddeeff" * 2
LINE = b"7 13000 denied not-granted exec 0 813 tool %b /opt/tool\n" % DIGEST.encode()


def test_status() -> None:
    found = parse_status(STATUS)
    assert (found.version, found.state, found.boot_clock_s) == (5, State.SEALED, 99)
    assert (found.policy_serial, found.policy_mode) == (3, Mode.TRIAL)
    assert found.observes == {Reason.WRITABLE, Reason.DEVICE}
    assert found.keys == {"vendor": 1, "user": 0}
    assert (found.code, found.elevations) == (
        Room(used=70000, capacity=120000),
        Room(used=12, capacity=4096),
    )
    assert found.streams == (
        Stream(name="debian-trixie", party="vendor", role="os", serial=7, revoked=True),
        Stream(name="host.etc", party="user", role="etc", serial=0),
    )
    assert found.revocations == (
        Revocation(party="vendor", role="root", serial=4),
        Revocation(party="user", role="root", serial=2),
        Revocation(party="user", role="extension", serial=9),
    )
    assert found.revoked_keys == Room(used=2, capacity=1024)
    assert found.revoked_digests == Room(used=5, capacity=8192)
    assert (found.foreign_programs, found.denied, found.observed, found.lost) == (0, 2, 1, 0)
    assert found.reasons == {Reason.NO_DIGEST: 1, Reason.FTRACE: 2}
    assert found.own_programs == {17, 18}
    assert found.own_links == {17}
    assert found.sealed_ms == 13250


def test_status_of_a_gate_that_an_initramfs_loaded() -> None:
    found = parse_status(BOOTED.replace(b"state sealed", b"state boot"))
    assert (found.state, found.state.number) == (State.BOOT, 4)
    assert (found.initial_root, found.entered_ms, found.survivors) == (2, 12900, 1)
    assert (found.boot_directories, found.boot_devices) == (2, 3)
    other = parse_status(STATUS)
    assert (other.initial_root, other.entered_ms, other.boot_directories) == (0, 0, 0)


@pytest.mark.parametrize("missing", [b"entered_ms 12900\n", b"survivors 1\n", b"boot_chain 2 3\n"])
def test_what_such_a_gate_says_stands_together(missing: bytes) -> None:
    with pytest.raises(ContentError, match="has no line"):
        parse_status(BOOTED.replace(missing, b""))


def test_status_of_unlocks() -> None:
    found = parse_status(STATUS)
    assert (found.boot_nonce, found.host_id) == (b"\x5a" * 32, b"\xc3" * 32)
    assert (found.unlocked, found.tainted) == (True, True)
    assert found.unlock_used == Room(used=4, capacity=256)
    assert found.unlocks[0] == TakenUnlock(
        token_id=b"\1" * 16,
        scope=Scope.DIGEST,
        owners=frozenset({0, 1}),
        applied_s=100,
        until_s=1900,
        state=UnlockState.LIVE,
        reason=b"\xa1" * 32,
        operand=b"\xd1" * 32,
    )
    assert [one.operand for one in found.unlocks] == [b"\xd1" * 32, b"/opt/a b", b""]
    assert [one.state for one in found.unlocks] == ["live", "expired", "relocked"]
    assert [one.owners for one in found.unlocks] == [{0, 1}, {0, 2}, {7}]
    assert found.drills == (Drill(token_id=b"\3" * 16, at_s=102),)
    quiet = parse_status(STATUS.replace(b"taint off\n", b"").replace(b"unlocked 1", b"unlocked 0"))
    assert (quiet.unlocked, quiet.tainted) == (False, False)


def test_an_older_gate_takes_no_tokens() -> None:
    older = parse_status(STATUS[: STATUS.index(b"boot_nonce")])
    assert (older.boot_nonce, older.host_id, older.unlocked) == (bytes(32), bytes(32), False)
    assert (older.unlock_used, older.unlocks) == (Room(used=0, capacity=0), ())


def test_the_status_serves_as_a_challenge() -> None:
    """Also one with every token that a boot can take, and the longest operands."""
    line = b"unlock %032x path-prefix 255 %d %d live %b " % (1, 2**53, 2**53, b"a1" * 32)
    most = b"".join(
        line.replace(b"%032x" % 1, b"%032x" % n) + b"\\xff" * 255 + b"\n" for n in range(2, 254)
    )
    assert len(parse_status(STATUS + most).unlocks) == 255
    found = challenge.parse(STATUS + most)
    assert (found.boot_nonce, found.host_id) == (b"\x5a" * 32, b"\xc3" * 32)
    assert (found.policy_serial, found.boot_clock_s) == (3, 99)


@pytest.mark.parametrize("extra", [b"future\n", b"stateless x y z\n", b"\n", b"version2 3\n"])
def test_unknown_keys_are_ignored(extra: bytes) -> None:
    assert parse_status(STATUS + extra) == parse_status(STATUS)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (b"state sealed\n", b"", "no line `state`"),
        (b"keys user 0\n", b"", "no line `keys user`"),
        (b"lost 0\n", b"", "no line `lost`"),
        (b"state sealed", b"state off", "expected one of loading, observe, sealed"),
        (b"state sealed", b"state Sealed", "expected one of"),
        (b"state sealed", b"state  sealed", "2 fields, expected 1"),
        (b"state sealed", b"state", "0 fields, expected 1"),
        (b"state sealed\n", b"state sealed\nstate observe\n", "stands there twice"),
        (b"denied 2\n", b"denied 2\ndenied 2\n", "stands there twice"),
        (b"keys user 0", b"keys vendor 2", "stands there twice"),
        (b"host.etc", b"debian-trixie", "stands there twice"),
        (b"reason ftrace 2", b"reason no-digest 2", "stands there twice"),
        (b"policy_mode trial", b"policy_mode off", "expected one of"),
        (b"policy_serial 3", b"policy_serial 03", "decimal"),
        (b"policy_serial 3", b"policy_serial -1", "decimal"),
        (b"policy_serial 3", b"policy_serial 18446744073709551616", "decimal"),
        (b"keys user 0", b"keys owner 0", "expected one of vendor, user"),
        (b"vendor os 7", b"vendor root 7", "expected one of os, etc, extension"),
        (b"host.etc", b"Host.etc", "name of a stream"),
        (b"host.etc", b"h" * 65, "name of a stream"),
        (b"reason ftrace 2", b"reason because 2", "expected one of"),
        (b" -\n", b" -", "cut off"),
        (b"own link 17", b"own map 17", "expected one of program, link"),
        (b"own link 17", b"own program 17", "stands there twice"),
        (b"sealed_ms 13250", b"sealed_ms -1", "decimal"),
        (b"version 5", b"version \xff", "decimal"),
        (b"version 5", b"version 5\r", "decimal"),
        (b"revocations user root 2", b"revocations vendor root 5", "stands there twice"),
        (b"revocations user root 2", b"revocations user policy 2", "expected one of root, os"),
        (b"revocations user root 2", b"revocations user 2", "2 fields, expected 3"),
        (b"revoked_stream debian-trixie", b"revoked_stream", "0 fields, expected 1"),
        (
            b"revoked_stream debian-trixie\n",
            2 * b"revoked_stream debian-trixie\n",
            "stands there twice",
        ),
        (b"revoked_stream debian-trixie", b"revoked_stream other", "no such stream"),
        (b"revoked_digests 5 8192\n", b"", "no line `revoked_digests`"),
        (b"revoked_keys 2 1024\n", b"", "no line `revoked_keys`"),
        (b"boot_nonce 5a", b"boot_nonce 5", "64 lower-case hex"),
        (b"boot_nonce 5a", b"boot_nonce 5A", "64 lower-case hex"),
        (b"unlocked 1", b"unlocked 2", "expected one of 0, 1"),
        (b"taint off", b"taint on", "expected one of off"),
        (b"unlock 01", b"unlock 1", "32 lower-case hex"),
        (b"expired a2", b"expired a2 a2", "9 fields, expected 8"),
        (b" digest 3 ", b" digest 256 ", "decimal number up to 255"),
        (b" digest 3 ", b" file 3 ", "expected one of digest, path-prefix"),
        (b" off 128 ", b" none 128 ", "expected one of"),
        (b"100 1900 live", b"100 1900 dead", "expected one of live, expired, relocked"),
        (b"d1" * 32, b"/opt", "the operand is no digest"),
        (b"/opt/a\\x20b", b"/opt/a\\x2", "not escaped"),
        (b"unlock %b" % (b"04" * 16), b"unlock %b" % (b"02" * 16), "stands there twice"),
        (b"drill 03", b"drill 3", "32 lower-case hex"),
    ],
)
def test_a_bad_status(old: bytes, new: bytes, word: str) -> None:
    assert old in STATUS
    with pytest.raises(ContentError) as caught:
        parse_status(STATUS.replace(old, new))
    assert caught.value.code == "bad-gate-status"
    assert word in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\0" * 100 + b"\n",
        STATUS + b"x" * MAX_STATUS + b"\n",
        STATUS + b"x" * (MAX_LINE + 1) + b"\n",
        STATUS + b"".join(b"stream s%d user etc 0\n" % n for n in range(63)),
        STATUS + b"".join(b"drill %032x 1\n" % n for n in range(1, 254)),
    ],
    ids=["empty", "blank", "zeros", "too large", "long line", "65 streams", "257 tokens"],
)
def test_no_status(data: bytes) -> None:
    with pytest.raises(ContentError) as caught:
        parse_status(data)
    assert caught.value.code == "bad-gate-status"


def test_a_denial() -> None:
    assert parse_denials(LINE) == (
        Denial(
            seq=7,
            boot_ms=13000,
            denied=True,
            reason=Reason.NOT_GRANTED,
            act=Act.EXEC,
            uid=0,
            pid=813,
            comm=b"tool",
            digest=bytes.fromhex(DIGEST),
            path=b"/opt/tool",
        ),
    )
    assert parse_denials(b"") == ()


def test_the_order_of_the_gates_memory_is_not_that_of_the_numbers() -> None:
    eight, nine = LINE.replace(b"7", b"8", 1), LINE.replace(b"7", b"9", 1)
    found = parse_denials(nine + LINE + eight + LINE + nine)
    assert [denial.seq for denial in found] == [7, 8, 9]


@pytest.mark.parametrize(
    "name", [b"/a b", b"/\xff\x00"[:2], b"-", b"/\\x41", b"/new\nline", b"\x1b[2J", b"/\xc3\xbc"]
)
def test_names_come_out_as_they_are(name: bytes) -> None:
    line = LINE.replace(b"/opt/tool", escape(name)).replace(b" tool ", b" %b " % escape(name))
    (found,) = parse_denials(line)
    assert (found.path, found.comm) == (name, name)


@pytest.mark.parametrize("nothing", [b"-", b""])
def test_a_task_without_a_name_does_not_hide_the_log(nothing: bytes) -> None:
    (found,) = parse_denials(LINE.replace(b" tool ", b" %b " % nothing))
    assert found.comm == b""


def test_a_torn_line_is_no_denial() -> None:
    torn = LINE.replace(b"7", b"6", 1).replace(b"\n", b" torn\n")
    assert parse_denials(torn + LINE) == parse_denials(LINE)
    mixed = b"6 x nothing of this counts - - - - torn\n"
    assert parse_denials(mixed + LINE) == parse_denials(LINE)


def test_a_file_may_be_called_torn() -> None:
    (found,) = parse_denials(LINE.replace(b"/opt/tool", b"torn"))
    assert found.path == b"torn"


def test_what_an_unlock_has_let_through() -> None:
    (found,) = parse_denials(LINE.replace(b"denied", b"unlocked"))
    assert (found.denied, found.unlocked, found.outcome) == (False, True, "unlocked")
    (found,) = parse_denials(LINE.replace(b"denied", b"observed"))
    assert (found.denied, found.unlocked, found.outcome) == (False, False, "observed")


def test_no_file() -> None:
    (found,) = parse_denials(b"1 2 observed anonymous map 4294967295 1 x - -\n")
    assert (found.denied, found.digest, found.path, found.uid) == (False, None, None, 2**32 - 1)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (b"7 13000", b"07 13000", "decimal"),
        (b"7 13000", b"18446744073709551616 13000", "decimal"),
        (b"denied", b"refused", "none of denied, observed, unlocked"),
        (b"not-granted", b"allow", "no reason to refuse"),
        (b"not-granted", b"because", "expected one of"),
        (b"exec", b"open", "expected one of"),
        (b" 0 813", b" 4294967296 813", "decimal"),
        (b"tool " + DIGEST.encode(), b"tool " + DIGEST[:-2].encode(), "64 lower-case hex"),
        (DIGEST.encode(), DIGEST.upper().encode(), "64 lower-case hex"),
        (b"/opt/tool", b"/opt/t\\x0", "not escaped"),
        (b"/opt/tool", b"/opt/t\\xFF", "not escaped"),
        (b"/opt/tool", b"/opt/t\xff", "not escaped"),
        (b"/opt/tool", b"/opt/t\\x00l", "NUL"),
        (b"/opt/tool", b"/opt/tool ", "11 fields, expected 10"),
        (b"/opt/tool", b"/opt/tool ripped", "11 fields, expected 10"),
        (b"/opt/tool", b"/opt/tool torn torn", "12 fields, expected 10"),
        (b" /opt/tool", b"", "9 fields, expected 10"),
        (b"tool\n", b"tool", "cut off"),
        (b"tool\n", b"tool\n\n", "1 fields, expected 10"),
    ],
)
def test_a_bad_denial(old: bytes, new: bytes, word: str) -> None:
    assert old in LINE
    with pytest.raises(ContentError) as caught:
        parse_denials(LINE.replace(old, new))
    assert caught.value.code == "bad-gate-denials"
    assert word in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        LINE + LINE.replace(b"813", b"814"),
        LINE.replace(b"/opt/tool", b"/" + b"x" * MAX_LINE),
        b"x" * MAX_DENIALS + b"\n",
        b"".join(b"%d 1 denied anonymous map 0 1 x - -\n" % n for n in range(5000)),
    ],
    ids=["two of a number", "long line", "too large", "too many"],
)
def test_no_denials(data: bytes) -> None:
    with pytest.raises(ContentError) as caught:
        parse_denials(data)
    assert caught.value.code == "bad-gate-denials"
