# SPDX-License-Identifier: Apache-2.0
"""An unlock on the operator's side, and the challenge that it begins with."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.keyring_world import good
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.terminal import on_terminal
from tests.cli.unlock_world import (
    ASK,
    FROM,
    HOST,
    INVENTORY,
    MORE,
    NONCE,
    REASON,
    calls,
    challenge,
    ledger,
    on,
    say,
    seal,
)
from verity.formats import records, typed_token, unlock, unlock_request
from verity.formats.unlock import Scope

# --- the challenge


def test_a_challenge(sealed: Host) -> None:
    done = on(sealed, "challenge", *ASK, "-o", "challenge")
    assert (done.status, done.err) == (0, "")
    assert done.raw_out == challenge() == (sealed.root / "challenge").read_bytes()
    assert f"boot_nonce {NONCE}" in done.out
    assert "reason disk of rack 7: na\\xc3\\xafve 3\\x5c4" in done.out
    (entry,) = ledger(sealed)
    assert (entry["event"], entry["scope"], entry["boot"]) == ("challenge", "path-prefix", NONCE)
    assert calls(sealed) == []
    as_json = on(sealed, "challenge", *ASK, "--json")
    assert as_json.records[0]["text"].encode() == challenge()
    assert len(ledger(sealed)) == 2


def test_a_challenge_says_the_level_of_the_host(sealed: Host) -> None:
    """Of one whose initramfs has loaded the gate: the one that `lockdown status` says."""
    say(sealed, "initial_root 2\nentered_ms 9\nsurvivors 0\nboot_chain 1 2\n")
    assert "\nlevel B1\n" in on(sealed, "challenge", *ASK).out


def test_a_challenge_that_no_qr_code_holds(sealed: Host) -> None:
    """A reason in another script is four times as long in it; the text is there all the same."""
    done = on(sealed, "challenge", *ASK[:-1], "\u00e9" * 500, "--qr")
    assert (done.status, done.out.splitlines()[0]) == (3, "verity_challenge 1")
    assert_clean_error(done, ("are too many for a QR code",), hint=True)


REFUSED_CHALLENGES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no operand": (("--scope", "digest"), 2, "this scope needs --operand"),
    "an operand too many": (("--scope", "off", "--operand", "/x"), 2, "takes no --operand"),
    "no digest": (("--scope", "digest", "--operand", "/x"), 2, "--operand: "),
    "a relative path": (("--scope", "path-prefix", "--operand", "opt"), 1, "absolute path"),
    "the trust files": (
        ("--scope", "config-path", "--operand", "/etc/verity/pins"),
        1,
        "/etc/verity/pins: no token opens keys",
    ),
    "no time": (("--scope", "off", "--for", "30"), 2, "--for 30: not a time"),
    "forever": (("--scope", "off", "--for", "9999999999d"), 2, "not a time"),
    "a reason of two lines": (("--scope", "off", "--reason", "a\nb"), 1, "not one line"),
}


@pytest.mark.parametrize("name", REFUSED_CHALLENGES)
def test_a_challenge_that_is_refused(sealed: Host, name: str) -> None:
    args, status, words = REFUSED_CHALLENGES[name]
    done = on(sealed, "challenge", "--for", "5m", "--reason", "r", *args)
    assert (done.status, done.out) == (status, "")
    assert words in done.err
    assert ledger(sealed) == []


def test_nothing_to_unlock(host: Host) -> None:
    done = on(host, "challenge", *ASK)
    assert done.status == 3
    assert_clean_error(done, ("no gate is loaded",), hint=True)
    seal(host, more=MORE.replace(HOST, "00" * 32))
    done = on(host, "challenge", *ASK)
    assert done.status == 3
    assert_clean_error(done, ("the gate has no host id",), hint=True)
    seal(host, "observe")
    done = on(host, "challenge", *ASK)
    assert done.status == 1
    assert_clean_error(done, ("the gate's state is observe",), hint=True)


# --- signing


def test_two_people_sign(desk: Path, sealed: Host) -> None:
    first = good(desk, "unlock", "sign", *FROM, "--yes", "-o", "half", "ann.pem")
    for words in (
        "what is at or below /opt/r\\xc3\\xa9scue may run and be mapped",
        f"host      db7 (rack 7) (id {HOST})",
        "level     B0  (so the host says)",
        "it calls itself claims-to-be-db1, which proves nothing",
        "naïve 3\\4  (so the host says; ask who called you)",
        "signed    by 1 of 2; it is no token yet",
        "verity unlock sign --bundle half",
    ):
        assert words in first.out
    half = ("unlock", "sign", *FROM[2:], "--bundle", "half", "--yes")
    again = verity(*half, "-o", "x", "ann.pem", cwd=desk)
    assert again.status == 2
    assert_clean_error(again, ("has signed this bundle already",), hint=True)
    assert not (desk / "x").exists()
    second = good(desk, *half, "--typed", "--qr", "-o", "token", "bob.pem")
    assert "token     token, signed by 2; on the host:" in second.out
    assert "▄" in second.out
    (fragment,) = records.split((desk / "token").read_bytes(), label="token")
    token = unlock.parse(fragment.blob)
    assert (token.scope, token.duration_s, token.policy_serial) == (Scope.PATH_PREFIX, 1800, 3)
    assert (token.apply_before_s, len(fragment.signatures)) == (99 + 3600, 2)
    assert token.reason == hashlib.sha256(REASON.encode()).digest()
    # What is printed to be typed is the same token.
    here = unlock_request.parse(challenge()).challenge
    typed = typed_token.rebuild(typed_token.decode(second.raw_out), here)
    assert typed == (fragment.blob, fragment.signatures)


def test_the_operators_own_terms(desk: Path) -> None:
    (desk / "challenge").write_text(f"{MORE}policy_serial 3\nboot_clock_s 99\n")
    bare = verity("unlock", "sign", *FROM, "--yes", "-o", "token", "ann.pem", cwd=desk)
    assert bare.status == 2
    assert_clean_error(bare, ("asks for nothing itself, and --scope is missing",), hint=True)
    own = ("--scope", "session", "--for", "10m", "--reason", "Ann called", "--within", "10m")
    argv = ("unlock", "sign", *FROM, *own, "--yes", "--owners", "1", "-o", "token", "ann.pem")
    done = good(desk, *argv)
    assert "because   Ann called\n" in done.out
    (fragment,) = records.split((desk / "token").read_bytes(), label="token")
    token = unlock.parse(fragment.blob)
    assert (token.scope, token.duration_s, token.apply_before_s) == (Scope.SESSION, 600, 699)


def test_asked_on_a_terminal(desk: Path) -> None:
    argv = ("unlock", "sign", *FROM, "-o", "token", "ann.pem")
    no = on_terminal(*argv, cwd=desk, answers=("n",))
    assert (no.status, "nothing was signed" in no.screen) == (1, True)
    assert not (desk / "token").exists()
    yes = on_terminal(*argv, cwd=desk, answers=("y",))
    assert (yes.status, (desk / "token").exists()) == (0, True)
    assert "Open db7 (rack 7) like this?" in yes.screen


Spoil = Callable[[Path], object]
NOT_SIGNED: dict[str, tuple[Spoil, tuple[str, ...], int, str]] = {
    "nobody to ask": (lambda desk: None, (*FROM, "ann.pem"), 2, "there is no terminal to ask on"),
    "no inventory": (lambda desk: None, (*FROM[:2], "--yes", "ann.pem"), 2, "no --inventory"),
    "an unknown host": (
        lambda desk: (desk / "hosts.toml").write_text(INVENTORY.replace(HOST, "11" * 32)),
        (*FROM, "--yes", "ann.pem"),
        1,
        f"host {HOST}: the inventory doesn't have it",
    ),
    "a bad inventory": (
        lambda desk: (desk / "hosts.toml").write_text(INVENTORY + "color = 1\n"),
        (*FROM, "--yes", "ann.pem"),
        1,
        "hosts.toml: inventory: host 0000000000000000...: expected name and owners",
    ),
    "two hosts of one name": (
        lambda desk: (desk / "hosts.toml").write_text(INVENTORY.replace("db8", "db7 (rack 7)")),
        (*FROM, "--yes", "ann.pem"),
        1,
        "two hosts have the name 'db7 (rack 7)'",
    ),
    "an empty inventory": (
        lambda desk: (desk / "hosts.toml").write_text("[hosts]\n"),
        (*FROM, "--yes", "ann.pem"),
        1,
        "expected tables [hosts.ID]",
    ),
    "a challenge that was cut": (
        lambda desk: (desk / "challenge").write_bytes(challenge()[:-4]),
        (*FROM, "--yes", "ann.pem"),
        1,
        "challenge: challenge: the line `end` is missing",
    ),
    "a key as the challenge": (
        lambda desk: copy(desk / "ann.pem", desk / "challenge"),
        (*FROM, "--yes", "ann.pem"),
        1,
        "this is a PEM file, such as a key or a certificate, and no challenge",
    ),
    "ready for two days": (
        lambda desk: None,
        (*FROM, "--within", "2d", "--yes", "ann.pem"),
        2,
        "--within 2d: a gate takes none that lies ready for over a day",
    ),
    "both": (
        lambda desk: None,
        (*FROM, "--bundle", "b", "--yes", "ann.pem"),
        2,
        "either --challenge",
    ),
    "one key twice": (
        lambda desk: None,
        (*FROM, "--yes", "ann.pem", "ann.pem"),
        2,
        "has signed this bundle already",
    ),
}


@pytest.mark.parametrize("name", NOT_SIGNED)
def test_not_signed(desk: Path, name: str) -> None:
    spoil, args, status, words = NOT_SIGNED[name]
    spoil(desk)
    before = snapshot(desk)
    done = verity("unlock", "sign", "-o", "token", *args, cwd=desk)
    assert done.status == status
    assert words in done.err
    assert snapshot(desk) == before


def test_a_name_that_is_taken_is_told_before_anybody_is_asked(desk: Path) -> None:
    session = on_terminal("unlock", "sign", *FROM, "-o", "hosts.toml", "ann.pem", cwd=desk)
    assert session.status == 3
    assert "hosts.toml: exists already and is not overwritten" in session.screen
    assert "opens" not in session.out and "Open db7" not in session.screen


def test_an_unknown_host_by_its_ugly_name(desk: Path) -> None:
    how = (*FROM[:2], "--insecure-unknown-host", "--yes")
    done = good(desk, "unlock", "sign", *how, "-o", "token", "ann.pem")
    assert "host      an UNKNOWN HOST, which is not in your inventory" in done.out
    assert "warning: --insecure-unknown-host" in done.err


def test_a_challenge_as_a_mail_has_it(desk: Path) -> None:
    lines = challenge().decode().split("\n")
    broken = [line.replace(" ", "\u00a0", 1) for line in lines]
    nonce = broken.index(f"boot_nonce\u00a0{NONCE}")
    broken[nonce : nonce + 1] = ["boot_nonce", NONCE[:40], NONCE[40:]]
    quoted = "".join(f"> {line}\r\n" for line in broken)
    (desk / "challenge").write_text(f"Hi,\r\nboot_clock_s of mine:\r\n{quoted}Bye\r\n")
    done = good(desk, "unlock", "sign", *FROM, "--yes", "--owners", "1", "-o", "token", "ann.pem")
    assert REASON in done.out
