# SPDX-License-Identifier: Apache-2.0
"""The floor of a host's policy: what raises it, what it refuses, and what stands in for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, COMPILE, STREAMS, run
from tests.cli.program import Done, assert_clean_error, needs_root, snapshot, verity
from verity.formats import bundle, gvariant
from verity.formats.records import RecordKind
from verity.ports.floors import FloorStore
from verity.ports.places import BUNDLE as PLACE

STATE = Path("host/var/lib/verity")
FLOOR = STATE / "floors/user.policy"
OWN = str("host" / PLACE)
KEY = ("--key", "policy.pem.pub")


def compiled(path: Path, serial: int, *more: str) -> str:
    """A policy of this serial; the name of its file."""
    name = f"{serial}{''.join(more)}.policy"
    options = [str(serial) if word == "1" else word for word in COMPILE]
    run(path, *options, *STREAMS, *more, name)
    return name


@pytest.fixture
def host(forged: Path) -> Path:
    """A host whose own boot bundle has a policy of serial 5."""
    (forged / STATE).mkdir(parents=True)
    done = make(forged, compiled(forged, 5), out=OWN)
    assert (done.status, done.err) == (0, "")
    pins = forged / "host/etc/verity/pins"
    pins.mkdir(parents=True)
    for party in ("vendor", "user"):
        (pins / f"{party}.pin").write_bytes((forged / f"{party}.pin").read_bytes())
    return forged


def make(path: Path, policy: str, *more: str, out: str = "out") -> Done:
    line = [policy if word == "host.policy" else word for word in BUNDLE]
    return verity(*line, "--root", "host", *more, out, cwd=path)


def install(path: Path, policy: str) -> None:
    """Put a signed policy where the host has it."""
    for name, place in ((policy, "policy.gate"), (f"{policy}.json", "policy.json")):
        (path / "host/etc/verity" / place).write_bytes((path / name).read_bytes())


def show(path: Path, verb: str = "show") -> Done:
    return verity("policy", verb, "--root", "host", *KEY, cwd=path)


def kept(path: Path) -> bytes:
    """The fragment that the floor holds."""
    found = FloorStore((path / FLOOR).parent).read(FLOOR.name)
    assert found is not None
    (data,) = found
    return data


def without_bundle(path: Path) -> None:
    (path / OWN).unlink()


def test_what_the_host_accepted_is_kept_as_it_was_signed(host: Path) -> None:
    assert kept(host) == (host / "5.policy").read_bytes()
    (found,) = [
        one for one in bundle.parse((host / OWN).read_bytes()) if one.kind is RecordKind.POLICY
    ]
    assert bundle.encode([found]) == kept(host)


def test_a_higher_one_raises_it_and_only_in_the_hosts_own_bundle(host: Path) -> None:
    six = compiled(host, 6)
    before = (host / FLOOR).read_bytes()
    assert make(host, six).status == 0
    assert (host / FLOOR).read_bytes() == before
    # By whatever name the file goes.
    assert make(host, six, "--replace", out=f"{STATE}/../verity/{PLACE.name}").status == 0
    assert kept(host) == (host / six).read_bytes()


def without_floor(path: Path) -> None:
    (path / FLOOR).unlink()


@pytest.mark.parametrize("gone", [None, without_bundle, without_floor])
def test_a_lower_one_gets_into_no_bundle(host: Path, gone: Callable[[Path], None] | None) -> None:
    four = compiled(host, 4)
    if gone is not None:
        gone(host)
    before = snapshot(host)
    for options in ((), ("--json",)):
        done = make(host, four, *options)
        assert done.status == 1
        assert snapshot(host) == before
    done = make(host, four, "--replace", out=OWN)
    assert (done.status, done.out) == (1, "")
    words = ("4.policy: serial 4 of the policy, this host has accepted 5 (host/var/lib/verity",)
    assert_clean_error(done, words, hint=True)
    assert snapshot(host) == before


def test_another_one_of_its_serial(host: Path) -> None:
    other = compiled(host, 5, "--group=6")
    done = make(host, other)
    assert (done.status, (host / "out").exists()) == (1, False)
    assert_clean_error(done, ("serial 5 of the policy with the policy ",), hint=True)
    assert make(host, "5.policy").status == 0


def test_a_signed_policy_below_the_floor_is_none(host: Path) -> None:
    four = compiled(host, 4)
    install(host, "5.policy")
    assert show(host).out.startswith("signed: serial 5")
    install(host, four)
    for verb in ("show", "check"):
        done = show(host, verb)
        assert (done.status, done.out) == (1, "")
        assert_clean_error(
            done,
            ("host/etc/verity/policy.json: serial 4 of the policy", "accepted 5"),
            hint=True,
        )
    six = compiled(host, 6)
    install(host, six)
    assert show(host).out.startswith("signed: serial 6")
    assert kept(host) == (host / "5.policy").read_bytes()  # looking accepts nothing


def test_without_a_floor_and_without_a_host(host: Path) -> None:
    """As of any stream that isn't an OS: a host may do without."""
    (host / FLOOR).unlink()
    without_bundle(host)
    install(host, compiled(host, 4))
    assert show(host).out.startswith("signed: serial 4")
    assert make(host, "4.policy").err == ""
    (host / STATE).rename(host / "elsewhere")
    install(host, compiled(host, 3))
    assert show(host).out.startswith("signed: serial 3")


def another_kind(path: Path) -> None:
    put_floor(path, (path / "v.keys").read_bytes())


def put_floor(path: Path, *items: bytes) -> None:
    (path / FLOOR).write_bytes(gvariant.encode("aay", items))


def unsigned(path: Path) -> None:
    """The same under a signature by a key that isn't of the role."""
    options = [word.replace("policy.pem", "stranger.pem") for word in COMPILE]
    run(path, *[("9" if word == "1" else word) for word in options], *STREAMS, "stranger.policy")
    put_floor(path, (path / "stranger.policy").read_bytes())


def a_directory(path: Path) -> None:
    (path / FLOOR).unlink()
    (path / FLOOR).mkdir()


DAMAGED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: (path / FLOOR).write_bytes(b""),
    "noise": lambda path: (path / FLOOR).write_bytes(b"x" * 4096),
    "no entry": lambda path: put_floor(path),
    "two entries": lambda path: put_floor(path, b"a", b"b"),
    "no fragment": lambda path: put_floor(path, b"x" * 40),
    "keys": another_kind,
    "by a stranger": unsigned,
    "a directory": a_directory,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_floor_is_a_finding_and_the_bundle_stands_in(host: Path, name: str) -> None:
    four = compiled(host, 4)
    install(host, "5.policy")
    DAMAGED[name](host)
    done = make(host, "5.policy")
    assert done.status == 1
    assert f"FINDING  bad-floor  {FLOOR}" in done.out
    assert "remove this file, and make the boot bundle anew" in done.out
    refused = show(host)
    assert (refused.status, refused.out) == (1, "")
    assert_clean_error(refused, ("user.policy",), hint=True)
    done = make(host, four, out="older")
    assert (done.status, (host / "older").exists()) == (1, False)
    assert_clean_error(done, ("serial 4 of the policy", f"accepted 5 ({OWN})"), hint=True)


def test_a_damaged_bundle_does_not_hide_that_the_floor_is_gone(host: Path) -> None:
    install(host, "5.policy")
    (host / OWN).write_bytes(b"\4\0\0\0")
    assert show(host).status == 0
    (host / FLOOR).unlink()
    done = show(host)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("user.policy: no floor for the policy",), hint=True)


def imported(path: Path, shim: Path, policy: str, answers: str = "") -> Done:
    """Hand it to a gate that is played, which accepts unless ``answers`` says otherwise."""
    environment = {
        "LD_PRELOAD": str(shim),
        "SHIM_ANSWERS": answers,
        "SHIM_LOG": str(path / "calls"),
    }
    return verity("lockdown", "import", "--root", "host", policy, cwd=path, environment=environment)


@needs_root
def test_an_import_that_the_gate_takes_raises_it(host: Path, shim: Path) -> None:
    four, six, seven = (compiled(host, serial) for serial in (4, 6, 7))
    done = imported(host, shim, six)
    assert done.status == 0, done
    assert kept(host) == (host / six).read_bytes()
    calls = (host / "calls").read_bytes()
    for older in (four, "5.policy"):
        done = imported(host, shim, older)
        assert done.status == 1
        assert_clean_error(
            done, ("blob 1 (policy): serial ", "of the policy, this host has accepted "), hint=True
        )
    assert (host / "calls").read_bytes() == calls  # none of it got to the gate
    # What the gate refuses was not accepted.
    done = imported(host, shim, seven, answers="3000,3000,3032")
    assert done.status == 1
    assert kept(host) == (host / six).read_bytes()


def test_a_revocation_is_not_held_up_by_it(host: Path) -> None:
    """`keyring revoke` looks at the floors of a host, and this is none of a stream."""
    names = sorted(os.listdir(host / STATE / "floors"))
    assert names == ["user.policy"]
    roles = ("--role", "root=uroot.pem.pub", "--role", "policy=policy.pem.pub")
    run(host, "keyring", "init", "--party", "user", *roles, "--key", "uroot.pem", "k")
    asked = ("keyring", "revoke", "--party", "user", "--lowest", "tools:2", "--root", "host")
    done = verity(*asked, "--key", "uroot.pem", "k", cwd=host)
    assert (done.status, "user.policy" in done.err) == (0, False), done
