# SPDX-License-Identifier: Apache-2.0
"""A token on the host: handed to a gate that is played, counted down, ended."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import boot
from tests.cli.gate_host import Host
from tests.cli.keyring_world import good
from tests.cli.program import VERITY, assert_clean_error
from tests.cli.terminal import on_terminal
from tests.cli.unlock_world import (
    ASK,
    FROM,
    MORE,
    calling,
    calls,
    challenge,
    ledger,
    on,
    played,
    say,
)
from verity.formats import records, typed_token
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Role
from verity.formats.kernel_policy import UnlockLimit
from verity.formats.unlock import Scope
from verity.ports import bpf
from verity.verbs import unlock_apply, unlock_host, unlock_sign

# --- applying


def test_a_token_is_handed_to_the_gate(desk_made: Path, sealed: Host) -> None:
    token = desk_made / "token"
    (fragment,) = records.split(token.read_bytes(), label="token")
    done = calling(sealed, "apply", str(token), answers=(3000,))
    assert done.status == 0, done.err
    assert "unlocked  path-prefix /opt/r\\xc3\\xa9scue, for 30 min at the most" in done.out
    (call,) = calls(sealed)
    sizes = " ".join(f"sig {len(one)} {one[:4].hex()}" for one in fragment.signatures)
    assert call == f"3 size 32 32 version 1 len 416 nsig 2 data 93766572 {sizes}"
    events = [entry["event"] for entry in ledger(sealed)]
    assert events == ["apply", "grant"]


def test_a_token_that_is_typed(desk_made: Path, sealed: Host) -> None:
    (fragment,) = records.split((desk_made / "token").read_bytes(), label="token")
    groups = unlock_sign.groups(fragment)
    lines = [f"{one[:2]} {one[2:10].lower()} {one[10:]}" for one in groups]
    wrong = lines[4][:-1] + ("0" if lines[4][-1] != "0" else "1")
    session = on_terminal(
        *("unlock", "apply", "--typed", "--root", "."),
        cwd=sealed.root,
        answers=[*lines[:4], wrong, lines[4][:-1], "\udcfc", *lines[4:]],
        environment=played(sealed, (3000,)),
    )
    assert session.status == 0, session.screen
    assert "group 05: a character is wrong" in session.screen
    assert "19 characters, expected 20" in session.screen
    assert "0 characters, expected 20" in session.screen  # a byte that is no UTF-8
    assert f"group {len(groups):02}: " in session.screen
    assert len(calls(sealed)) == 1


def test_typed_groups_that_are_no_token(desk_made: Path, sealed: Host) -> None:
    (fragment,) = records.split((desk_made / "token").read_bytes(), label="token")
    first = unlock_sign.groups(fragment)[0]
    session = on_terminal(
        *("unlock", "apply", "--typed", "--root", "."),
        cwd=sealed.root,
        answers=[first, "01041040R00000000005"],
    )
    assert session.status == 1
    assert session.screen.count("group 01 is there twice, with different contents") == 1


def as_page(data: bytes) -> bytes:
    (fragment,) = records.split(data, label="token")
    return typed_token.page(unlock_sign.groups(fragment)).encode()


CHANGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda data: b"", "this is nothing at all, and no token"),
    "cut": (lambda data: data[:-1], "the token is damaged: a part was cut off"),
    "doubled": (lambda data: data * 2, "more than one token"),
    "without signatures": (lambda data: data[:424], "more than one token, or one without"),
    "a challenge": (lambda data: challenge(), "this is a challenge, and no token"),
    "the status": (lambda data: MORE.encode(), "this is a challenge, and no token"),
    "OpenPGP": (
        lambda data: b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n",
        "this is an OpenPGP message, and no token",
    ),
    "SSH": (lambda data: b"ssh-ed25519 AAAAC3Nz ann\n", "this is an SSH key or signature"),
    "a web token": (lambda data: b"eyJhbGciOiJIUzI1NiJ9.e30.abc", "a token of some web service"),
    "prose": (lambda data: b"call me when you are back", "this is something else, and no token"),
    "grants": (
        lambda data: data.replace(b"verity-unlock1", b"verity-grants1"),
        "this is another signed document of verity",
    ),
    "a damaged signature": (
        lambda data: data[:470] + b"\0" + data[471:],
        "not the one PKCS#7 template",
    ),
    "a damaged scope": (lambda data: data[:112] + b"\x09" + data[113:], "the scope 9 is unknown"),
    "another host": (lambda data: data[:80] + b"x" + data[81:], "the token is for another host"),
    "another boot": (lambda data: data[:30] + b"x" + data[31:], "the token is for another boot"),
    "another policy": (
        lambda data: data[:104] + b"\x04" + data[105:],
        "the token is for another policy: 4, and here it is 3",
    ),
    "too late": (
        lambda data: data[:120] + (99).to_bytes(8, "little") + data[128:],
        "had to be applied before second 99 of this boot, and it is second 99",
    ),
    "typed, a group missing": (
        lambda data: b"\n".join(as_page(data).split(b"\n")[:7] + as_page(data).split(b"\n")[8:]),
        "typed token: group 07 of 25 is missing",
    ),
    "typed, cut": (lambda data: as_page(data)[:300], "the line `end verity unlock` is missing"),
    "half a QR code": (
        lambda data: b" ".join(as_page(data).replace(b" ", b"").split(b"\n")[1:10]),
        "typed token: group 10 of 25 is missing (and 15 more)",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_no_token_here(desk_made: Path, sealed: Host, name: str) -> None:
    change, words = CHANGED[name]
    (sealed.root / "token").write_bytes(change((desk_made / "token").read_bytes()))
    done = on(sealed, "apply", "token")
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (words,), hint=True)
    # A gate would have been called after `apply` was written down.
    assert [entry["event"] for entry in ledger(sealed)] == ["refused"]


def test_a_bundle_that_is_half_signed(desk: Path, sealed: Host) -> None:
    good(desk, "unlock", "sign", *FROM, "--yes", "-o", "half", "ann.pem")
    done = on(sealed, "apply", str(desk / "half"))
    assert_clean_error(done, ("a sign bundle, which is not signed by all yet",), hint=True)
    assert "unlock sign --bundle" in done.err


def test_the_gate_refuses(desk_made: Path, sealed: Host) -> None:
    answers = (Refusal.THRESHOLD.number,)
    done = calling(sealed, "apply", str(desk_made / "token"), answers=answers)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("the unlock token: the gate refuses it (threshold)",), hint=True)
    assert [entry["event"] for entry in ledger(sealed)] == ["apply", "refused"]
    assert ledger(sealed)[1]["why"] == "gate-threshold"


def test_a_gate_that_says_no_more(
    desk_made: Path, sealed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the effect nothing fails: whoever has a session now must get it."""
    host = unlock_host.look(sealed.root, 0)
    signed = unlock_apply.read((desk_made / "token").read_bytes(), host, label="token")

    def taken(*args: object) -> None:
        (sealed.root / "sys/fs/bpf/verity/status").write_text("no status\n")

    monkeypatch.setattr(bpf, "unlock", taken)
    monkeypatch.setattr(bpf, "relock", taken)
    for notes in (unlock_apply.apply(host, signed), unlock_apply.relock(host, None)):
        assert "can't be asked what came of it" in notes[-1]


def test_neither_file_nor_typed(sealed: Host) -> None:
    assert on(sealed, "apply").status == 2
    assert on(sealed, "apply", "--typed", "x").status == 2


# --- afterwards

ID, OTHER = "01" * 16, "02" * 16
LIVE = (
    f"unlock {OTHER} session 3 10 40 expired {'bb' * 32} -\n"
    f"unlock {ID} path-prefix 3 90 1890 live {'aa' * 32} /opt/rescue\n"
)


def test_status_counts_down(sealed: Host) -> None:
    empty = on(sealed, "status")
    assert empty.out.startswith("locked    nothing is unlocked; the gate is sealed\n")
    assert "never practised here" in empty.out
    say(sealed, LIVE)
    done = on(sealed, "status")
    shown = f"UNLOCKED  path-prefix /opt/rescue\ntoken     {ID}\nends      in 29 min 51 s\n"
    assert shown in done.out
    assert "over      session" in done.out
    first, second, _ = on(sealed, "status", "--json").records
    assert (first["state"], first["left_s"]) == ("expired", 0)
    assert (second["state"], second["left_s"]) == ("live", 1791)


def test_status_goes_on_counting(sealed: Host) -> None:
    """Until nothing is live: the text of a gate, as it is when somebody relocks."""
    assert on(sealed, "status", "--watch", "--json").status == 2
    status = sealed.root / "sys/fs/bpf/verity/status"
    (sealed.root / "locked").write_bytes(status.read_bytes())
    say(sealed, LIVE)
    argv = [str(VERITY), "unlock", "status", "--watch", "--root", "."]
    with subprocess.Popen(argv, cwd=sealed.root, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if line.startswith("path-prefix /opt/rescue ends in 29 min 51 s"):
                break
        (sealed.root / "locked").rename(status)  # never half of it, as the kernel's
        rest = program.stdout.read()
    assert (program.returncode, "nothing is unlocked any more" in rest) == (0, True)


def test_what_the_ledger_lacks_is_added_late(sealed: Host) -> None:
    on(sealed, "challenge", *ASK)
    say(sealed, LIVE + f"drill {'03' * 16} 50\n")
    for _ in range(2):  # once, however often it is asked
        on(sealed, "status")
    found = [(one["event"], one.get("token"), one.get("late")) for one in ledger(sealed)[1:]]
    assert found == [
        ("grant", OTHER, 1),
        ("end", OTHER, 1),
        ("grant", ID, 1),
        ("drill", "03" * 16, 1),
    ]
    notice = (sealed.root / "run/motd.d/verity-unlock").read_text()
    assert "UNLOCKED: path-prefix /opt/rescue" in notice


def test_relock(sealed: Host) -> None:
    say(sealed, LIVE)
    gone = on(sealed, "relock", OTHER)
    assert gone.status == 1
    assert_clean_error(gone, (f"unlock {OTHER}: it is not live",), hint=True)
    assert on(sealed, "relock", "xyz").status == 2
    assert calls(sealed) == []
    assert calling(sealed, "relock", ID, answers=(3000,)).status == 0
    assert calling(sealed, "relock", answers=(3000,)).out == "relocked  1 ended\n"
    assert [call.split()[0] for call in calls(sealed)] == ["6", "6"]
    assert "len 16 nsig 0 data 01010101" in calls(sealed)[0]
    assert "len 0 nsig 0 data" in calls(sealed)[1]


# --- a session


def test_a_session_is_what_it_runs(desk_made: Path, desk: Path, sealed: Host) -> None:
    own = ("--scope", "session", "--for", "10m", "--reason", "Ann called")
    good(desk, "unlock", "sign", *FROM, *own, "--yes", "--owners", "1", "-o", "token", "ann.pem")
    token = str(desk / "token")
    alone = on(sealed, "apply", token)
    assert alone.status == 2
    assert_clean_error(alone, ("a session without a terminal needs --run",), hint=True)
    assert ledger(sealed) == []
    done = calling(sealed, "apply", "--run", "echo in it; exit 7", token, answers=(3000,))
    assert (done.status, done.out.splitlines()[-1]) == (7, "in it")
    wrong = on(sealed, "apply", "--run", "true", str(desk_made / "token"))
    assert wrong.status == 2
    assert_clean_error(wrong, ("--run is for a token of the scope session",), hint=False)


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/nonexistent/fish"])
def test_a_session_without_a_shell_of_its_own(desk: Path, sealed: Host, shell: str) -> None:
    """The token is used up by then: it is /bin/sh, and not the end."""
    own = ("--scope", "session", "--for", "10m", "--reason", "Ann called")
    good(desk, "unlock", "sign", *FROM, *own, "--yes", "--owners", "1", "-o", "token", "ann.pem")
    (fragment,) = records.split((desk / "token").read_bytes(), label="token")
    groups = unlock_sign.groups(fragment)
    session = on_terminal(
        *("unlock", "apply", "--typed", "--root", "."),
        cwd=sealed.root,
        # The line behind the last group is for the shell.
        answers=[*groups[:-1], f"{groups[-1]}\necho in it; exit 7"],
        environment={**played(sealed, (3000,)), "SHELL": shell},
    )
    assert (session.status, session.out.splitlines()[-1]) == (7, "in it"), session.screen


# --- a drill


def test_a_drill(desk: Path, sealed: Host) -> None:
    done = on(sealed, "drill", "-o", str(desk / "drill"))
    assert "duration_s 0\nreason drill\nend\n" in done.out
    how = ("--challenge", "drill", "--inventory", "hosts.toml", "--yes", "--owners", "1")
    said = good(desk, "unlock", "sign", *how, "-o", "token", "ann.pem")
    assert "opens     NOTHING: this is a drill" in said.out
    taken = calling(sealed, "apply", str(desk / "token"), answers=(3000,))
    assert (taken.status, "drill     passed" in taken.out) == (0, True)
    assert [entry["event"] for entry in ledger(sealed)] == ["challenge", "apply", "drill"]
    assert "drill     last practised 20" in on(sealed, "status").out


# --- review and card


def test_what_changed_under_an_unlock(sealed: Host) -> None:
    none = on(sealed, "review")
    assert none.status == 1
    assert_clean_error(none, ("no unlock in this boot",), hint=True)
    say(sealed, f"unlock {ID} observe-only 3 98 1890 live {'aa' * 32} -\n")
    log = (
        "1 98500 unlocked no-digest exec 0 8 sh - /opt/r\\x20x\n"
        "2 98600 denied no-digest exec 0 9 sh - /opt/refused\n"
    )
    sealed.put("sys/fs/bpf/verity/denials", log)
    sealed.put("etc/cron.d/new file", "x")
    sealed.put("home/ann/notes", "x")
    done = on(sealed, "review")
    assert done.status == 0, done.err
    assert "let through /opt/r\\x20x exec by pid 8, uid 0: no-digest" in done.out
    assert "keep: verity lockdown exception request $'/opt/r\\x20x'" in done.out
    assert "changed     /etc/cron.d/new\\x20file\n            keep: verity etc sign\n" in done.out
    assert "notes" not in done.out and "/opt/refused" not in done.out
    found = on(sealed, "review", "--json", ID).of_type("item")
    assert {item["path"] for item in found} >= {"/opt/r x", "/etc/cron.d/new file", "/etc"}
    assert on(sealed, "review", OTHER).status == 1


def process(host: Host, pid: int, program: str, started: int, **more: str) -> None:
    """A process of the host, of root, with this program, started in that second of the boot."""
    host.put(program.lstrip("/"), "x")
    ids = "0\t0\t0\t0" if more.get("user", "root") == "root" else "7\t7\t7\t7"
    caps = "".join(f"{name}:\t0\n" for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    host.put(
        f"proc/{pid}/status",
        f"Name:\t{more.get('name', 'tool')}\nState:\tS (sleeping)\nTracerPid:\t0\n"
        f"Uid:\t{ids}\nGid:\t{ids}\nGroups:\t0\n{caps}Threads:\t1\n",
    )
    host.put(f"proc/{pid}/stat", f"{pid} (a b) S 1 1 1 0 -1 0 {'0 ' * 10}1 0 {started * 100} 0\n")
    mapped = more.get("maps", program)
    host.put(f"proc/{pid}/smaps", f"1000-2000 r-xp 0 0:0 5 {mapped}\nAnonymous: 0 kB\n")
    (host.root / f"proc/{pid}/exe").symlink_to(program)


def test_what_was_started_runs_still(sealed: Host) -> None:
    """It ends with no token: what holds what was let through, and else what root started."""
    say(sealed, f"unlock {ID} session 3 50 80 expired {'aa' * 32} -\n")
    log = (
        "1 50500 unlocked not-granted exec 0 8 sh - /opt/tool\n"
        "2 51000 unlocked not-granted map 0 9 sh - /opt/lib.so\n"
    )
    sealed.put("sys/fs/bpf/verity/denials", log)
    process(sealed, 10, f"{sealed.root}/usr/bin/before", 40)
    process(sealed, 11, f"{sealed.root}/usr/bin/meanwhile", 60)
    process(sealed, 12, f"{sealed.root}/usr/bin/of-a-user", 60, user="ann")
    process(sealed, 13, f"{sealed.root}/usr/bin/holds", 40, maps="/opt/lib.so", name="a\x1bb")
    process(sealed, 14, f"{sealed.root}/usr/bin/behind", 90)
    done = on(sealed, "review", "--json")
    assert done.status == 0, done.err
    found = {
        (one["what"], one["undo"]): one["detail"]
        for one in done.of_type("item")
        if one["what"] in ("started", "still runs")
    }
    assert found == {
        ("started", "kill 11"): "pid 11 (tool), since second 60",
        ("still runs", "kill 13"): "pid 13 (a\\x1bb), since second 40, has /opt/lib.so",
    }
    # A process that can't be read is none that wasn't there.
    (sealed.root / "proc/11/status").write_text("Name:\tx\n")
    done = on(sealed, "review")
    assert done.status == 3 and "NOT EVALUATED  the processes: status: not as proc(5)" in done.out


@pytest.mark.parametrize(
    ("numbers", "forgotten"), [((1, 2, 3), 0), ((3, 4), 2), ((1, 5, 6), 3), ((1, 2, 9), 6)]
)
def test_what_the_log_has_forgotten(sealed: Host, numbers: list[int], forgotten: int) -> None:
    """The first of a kind stays, and the newest: what was between is told as missing."""
    say(sealed, f"unlock {ID} observe-only 3 50 1890 live {'aa' * 32} -\n")
    lines = (f"{n} {51000 + n} unlocked not-granted exec 0 8 sh - /opt/{n}\n" for n in numbers)
    sealed.put("sys/fs/bpf/verity/denials", "".join(lines))
    done = on(sealed, "review")
    assert done.status == (3 if forgotten else 0)
    assert (f"it has forgotten {forgotten} lines" in done.out) == bool(forgotten)


def test_the_card(host: Host) -> None:
    no_id = on(host, "card")
    assert no_id.status == 3
    host.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    host.put("etc/hostname", "db7\n")
    bare = on(host, "card")
    assert bare.status == 0
    assert "who signs is not known: " in bare.out
    assert "name db7, printed 20" in bare.out
    assert "boot.bundle: does not exist" in bare.out


def bundled(host: Host, serial: int = 4) -> None:
    """The host has a boot bundle, by whose policy two open some scopes."""
    roles = {Role.POLICY: [boot.POLICY], Role.UNLOCK: [boot.STRANGER, boot.SECOND_ROOT]}
    keys = boot.user_keys(roles=roles, thresholds={Role.POLICY: 1, Role.UNLOCK: 2})
    limits = (
        UnlockLimit(scope=Scope.DIGEST, seconds=7200),
        UnlockLimit(scope=Scope.SESSION, seconds=1800, owners=2),
    )
    blobs = (boot.vendor_keys(), keys, boot.policy(unlock=limits, serial=serial))
    (host.root / "var/lib/verity").mkdir(parents=True)
    data = records.join([one.fragment for one in blobs])
    (host.root / "var/lib/verity/boot.bundle").write_bytes(data)


@pytest.mark.parametrize(
    ("scope", "time", "serial", "words"),
    [
        ("off", "5m", 3, "the policy never opens this scope; it opens digest, session"),
        ("session", "31m", 3, "the policy opens this scope for 30 min at the most"),
        ("session", "30m", 3, ""),
        ("off", "5m", 4, ""),  # of another policy than the gate's it says nothing
    ],
)
def test_what_would_be_asked_for_in_vain(
    sealed: Host, scope: str, time: str, serial: int, words: str
) -> None:
    bundled(sealed, serial)
    done = on(sealed, "challenge", "--scope", scope, "--for", time, "--reason", "why")
    assert done.status == 0
    assert done.err == (f"verity: warning: {words}\n" if words else "")


def test_the_card_says_who_signs_and_for_how_long(host: Host) -> None:
    host.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    bundled(host)
    out = on(host, "card").out
    assert "    2 of these owners must sign:\n" in out
    for signer in (boot.STRANGER, boot.SECOND_ROOT):
        assert f"key {signer.public.key_id[:16]}...   who, phone: ____" in out
    assert "    digest: 2 h at the most\n    session: 30 min at the most, signed by 2" in out
    assert len(out.splitlines()) < 60, "one page"
    page = on(host, "card", "--format", "html", "-o", "card.html")
    assert "put it into the drawer" in page.err
    text = (host.root / "card.html").read_text()
    assert text.startswith("<!doctype html>") and "<code>verity unlock relock</code>" in text
