# SPDX-License-Identifier: Apache-2.0
"""Group 15, and what of group 25 is about revocations: what a sealed gate lets go of.

What runs is tried with real programs, as root, on the sealed machine; each refusal must have the
reason `revoked`, and what the revocation doesn't name must go on running.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot import EXTENSION, OS, USER_ROOT, VENDOR_ROOT
from tests.world import Signer
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Party, Role
from verity.ports.content import digest_path

from .gate_blobs import Blob, CodeRow, ElevateRow, Revoke, key_id, signed
from .gate_machine import ACCEPTED, AT, SEALED, SPECIMENS, Gate, serial, value
from .gate_world import ETC, ETC_SECOND_KEY
from .image import Image

ROOTS = {Party.VENDOR: VENDOR_ROOT, Party.USER: USER_ROOT}
# setpriv keeps its capabilities until it executes something: only what comes after that is a user.
AS_USER = "setpriv --reuid=1000 --regid=1000 --clear-groups env"


@pytest.fixture(autouse=True)
def fresh(sealed: Gate) -> None:
    """Each test starts right after the seal."""
    sealed.machine.restore(SEALED)


@pytest.fixture(scope="module")
def digests(gate_files: Path) -> dict[str, bytes]:
    """The specimens' digests by their names."""
    return {name: digest_path(gate_files / name).value for name in SPECIMENS}


def tools(number: int, *digests: bytes, stream: bytes = b"tools") -> bytes:
    """A fragment in which the user's extension grants these."""
    rows = tuple(CodeRow(digest=digest) for digest in sorted(digests))
    return signed(Blob(serial=number, stream=stream, code=rows).encode(), EXTENSION)


def spare(number: int, *digests: bytes, elevate: tuple[ElevateRow, ...] = ()) -> bytes:
    """One in which the vendor's os does."""
    rows = tuple(CodeRow(digest=digest) for digest in sorted(digests))
    blob = Blob(
        serial=number,
        party=Party.VENDOR,
        role=Role.OS,
        stream=b"spare",
        code=rows,
        elevate=elevate,
    )
    return signed(blob.encode(), OS)


def config(number: int, *signers: Signer) -> bytes:
    """The user's etc, of which two owners must sign."""
    return signed(Blob(serial=number, stream=b"config", role=Role.ETC).encode(), *signers)


def revoke(number: int, party: Party = Party.USER, **tables: object) -> bytes:
    """Revocations by the root of a party."""
    return signed(Revoke(serial=number, party=party, **tables).encode(), ROOTS[party])  # type: ignore[arg-type]  # a blob's tables by name


def running(gate: Gate, *, revoked: str = "") -> str:
    """Which specimens root can start, by their names. Of the others those in `revoked` must be
    refused for that, the rest as not granted."""
    before = len(gate.denials())
    done = gate.machine.run(f"for name in {' '.join(SPECIMENS)}; do {AT}/$name; done", check=False)
    names = done.text.replace("ran ", "").replace("\n", "")
    refused = [one.reason for one in gate.denials()[before:] if one.enforced]
    expected = [name for name in SPECIMENS if name not in names]
    assert refused == ["revoked" if name in revoked else "not-granted" for name in expected]
    return names


# --- digests ------------------------------------------------------------------------------------


def test_a_digest_that_the_user_revokes(sealed: Gate, digests: dict[str, bytes]) -> None:
    """It is dead for every stream, also for one that grants it later, and stays so."""
    a, b, *_ = digests.values()
    assert sealed.send(tools(1, a, b), spare(1, a)) == (ACCEPTED,) * 2
    assert running(sealed) == "ab"
    assert sealed.send(revoke(1, digests=[a])) == (ACCEPTED,)
    assert running(sealed, revoked="a") == "b"
    # A newer serial that doesn't name it takes nothing back, and neither do new grants.
    assert sealed.send(revoke(2), tools(2, a, b), spare(2, a)) == (ACCEPTED,) * 3
    assert running(sealed, revoked="a") == "b"
    status = sealed.status()
    assert value(status, "revocations user root") == "2"
    assert value(status, "revoked_digests") == "1 8192"


def test_a_digest_that_nobody_granted_yet(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, *_ = digests.values()
    assert sealed.send(revoke(1, digests=[a]), tools(1, a, b)) == (ACCEPTED,) * 2
    assert running(sealed, revoked="a") == "b"


def test_the_vendor_revokes_what_the_vendor_granted(
    sealed: Gate, digests: dict[str, bytes]
) -> None:
    a, b, c, _ = digests.values()
    assert sealed.send(tools(1, a, b), spare(1, a, c)) == (ACCEPTED,) * 2
    assert running(sealed) == "abc"
    assert sealed.send(revoke(1, Party.VENDOR, digests=sorted([a, b, c]))) == (ACCEPTED,)
    assert running(sealed, revoked="c") == "ab"
    # The user lets go of it: the vendor's own grant was dead all the time.
    assert sealed.send(tools(2, b)) == (ACCEPTED,)
    assert running(sealed, revoked="ac") == "b"
    assert sealed.send(revoke(1, digests=[b])) == (ACCEPTED,)
    assert running(sealed, revoked="abc") == ""


def test_a_role_revokes_what_the_role_granted(sealed: Gate, digests: dict[str, bytes]) -> None:
    """Its key alone must not switch off what others vouch for."""
    a, b, *_ = digests.values()
    assert sealed.send(tools(1, a, b), spare(1, a)) == (ACCEPTED,) * 2
    blob = Revoke(serial=1, role=Role.EXTENSION, digests=sorted([a, b])).encode()
    assert sealed.send(signed(blob, EXTENSION)) == (ACCEPTED,)
    assert running(sealed, revoked="b") == "a"
    assert value(sealed.status(), "revocations user extension") == "1"


def test_an_elevation(sealed: Gate, digests: dict[str, bytes]) -> None:
    """A set-uid program of an ordinary user's; the other one goes on."""
    a, b, *_ = digests.values()
    rows = tuple(ElevateRow(digest=one) for one in sorted((a, b)))
    assert sealed.send(spare(1, a, b, elevate=rows)) == (ACCEPTED,)
    sealed.machine.run(["chmod", "4755", f"{AT}/a", f"{AT}/b"])

    def elevated(name: str) -> str:
        return sealed.machine.run(f"{AS_USER} {AT}/{name}", check=False).text

    assert elevated("a") == "ran a"
    assert sealed.send(revoke(1, Party.VENDOR, digests=[a])) == (ACCEPTED,)
    assert elevated("a") == ""
    last = sealed.denials()[-1]
    assert (last.reason, last.act, last.enforced) == ("revoked", "elevate", True), last.line
    assert elevated("b") == "ran b"
    # Without the bit it raises nothing, and who isn't privileged runs what they like.
    sealed.machine.run(["chmod", "755", f"{AT}/a"])
    assert elevated("a") == "ran a"


def test_what_runs_already_goes_on(sealed: Gate, gate_image: Image) -> None:
    sleep = digest_path(gate_image.tree / "usr/bin/sleep").value
    number = sealed.machine.run("sleep 600 >/dev/null 2>&1 & echo $!").text
    assert sealed.send(revoke(1, Party.VENDOR, digests=[sleep])) == (ACCEPTED,)
    assert sealed.machine.run(f"kill -0 {number} && echo alive").text == "alive"
    assert sealed.machine.run("sleep 0", check=False).status == 126
    assert sealed.denials()[-1].reason == "revoked"
    assert sealed.machine.run(f"{AS_USER} sleep 0").status == 0


# --- serials ------------------------------------------------------------------------------------


def test_a_serial(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, *_ = digests.values()
    assert sealed.send(tools(5, a), tools(3, b, stream=b"t1")) == (ACCEPTED,) * 2
    assert sealed.send(revoke(1, streams=[(b"tools", 5)])) == (ACCEPTED,)
    assert running(sealed) == "ab"
    assert sealed.send(revoke(2, streams=[(b"t2", 4), (b"tools", 7)])) == (ACCEPTED,)
    assert running(sealed, revoked="a") == "b"
    assert value(sealed.status(), "revoked_stream") == "tools"
    # Serials in between are newer than what is there, and revoked all the same.
    answers = sealed.send(tools(6, a), tools(3, a, stream=b"t2"))
    assert answers == (Refusal.REVOKED_SERIAL.number,) * 2
    assert running(sealed, revoked="a") == "b"
    assert sealed.send(tools(7, a), tools(4, a, stream=b"t2")) == (ACCEPTED,) * 2
    assert running(sealed) == "ab"
    assert not [line for line in sealed.status() if line.startswith("revoked_stream")]
    # A lower bound than before lowers nothing.
    assert sealed.send(revoke(3, streams=[(b"t3", 9), (b"tools", 2)])) == (ACCEPTED,)
    assert sealed.send(tools(8, a, stream=b"t3")) == (Refusal.REVOKED_SERIAL.number,)


def test_the_vendor_revokes_serials_of_the_vendor(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, *_ = digests.values()
    assert sealed.send(tools(1, a), spare(1, b)) == (ACCEPTED,) * 2
    streams = [(b"nobodys", 2), (b"spare", 2), (b"tools", 2)]
    assert sealed.send(revoke(1, Party.VENDOR, streams=streams)) == (ACCEPTED,)
    assert running(sealed, revoked="b") == "a"
    assert sealed.send(revoke(1, streams=[(b"spare", 3), (b"tools", 2)])) == (ACCEPTED,)
    assert running(sealed, revoked="ab") == ""
    assert sealed.send(spare(2, b)) == (Refusal.REVOKED_SERIAL.number,)


# --- keys ---------------------------------------------------------------------------------------


def test_a_key(sealed: Gate, digests: dict[str, bytes]) -> None:
    """Its grants are dead, and new ones are refused; those of the role's other key go on."""
    a, b, *_ = digests.values()
    assert sealed.send(tools(1, a), spare(1, b)) == (ACCEPTED,) * 2
    assert sealed.send(revoke(1, keys=[key_id(EXTENSION)])) == (ACCEPTED,)
    assert running(sealed, revoked="a") == "b"
    status = sealed.status()
    assert value(status, "revoked_stream") == "tools"
    assert value(status, "revoked_keys") == "1 1024"
    assert sealed.send(tools(2, a)) == (Refusal.REVOKED_KEY.number,)
    own = Revoke(serial=1, role=Role.EXTENSION).encode()
    assert sealed.send(signed(own, EXTENSION)) == (Refusal.REVOKED_KEY.number,)
    assert serial(sealed.status(), "tools") == 1


def test_a_key_of_the_other_party(sealed: Gate, digests: dict[str, bytes]) -> None:
    """The vendor can't revoke the user's; the user can revoke the vendor's."""
    a, b, *_ = digests.values()
    assert sealed.send(tools(1, a)) == (ACCEPTED,)
    assert sealed.send(revoke(1, Party.VENDOR, keys=[key_id(EXTENSION)])) == (ACCEPTED,)
    assert running(sealed) == "a"
    assert sealed.send(tools(2, a, b)) == (ACCEPTED,)
    assert sealed.send(revoke(1, keys=[key_id(VENDOR_ROOT)])) == (ACCEPTED,)
    answers = sealed.send(revoke(2, Party.VENDOR, digests=[a]))
    assert answers == (Refusal.REVOKED_KEY.number,)
    assert running(sealed) == "ab"


def test_a_role_revokes_its_own_keys(sealed: Gate, digests: dict[str, bytes]) -> None:
    """Also the one that signs the revocation; root's keys are not in its reach."""
    keys = sorted([key_id(EXTENSION), key_id(USER_ROOT)])
    blob = Revoke(serial=1, role=Role.EXTENSION, keys=keys).encode()
    assert sealed.send(tools(1, digests["a"]), signed(blob, EXTENSION)) == (ACCEPTED,) * 2
    assert running(sealed, revoked="a") == ""
    assert sealed.send(revoke(1, digests=[digests["b"]])) == (ACCEPTED,)


def test_one_of_two_who_signed(sealed: Gate) -> None:
    """Grants stay as long as enough of those who signed them still count."""
    first, second, third, fourth, *_ = ETC
    assert sealed.send(config(1, first, second, third)) == (ACCEPTED,)
    assert sealed.send(revoke(1, keys=[key_id(third)])) == (ACCEPTED,)
    assert "revoked_stream config" not in sealed.status()
    assert sealed.send(revoke(2, keys=[key_id(first)])) == (ACCEPTED,)
    assert "revoked_stream config" in sealed.status()
    refused = (Refusal.REVOKED_KEY.number,)
    assert sealed.send(config(2, first, second)) == refused
    assert sealed.send(config(2, first, third, second)) == refused
    assert sealed.send(config(2, second)) == (Refusal.THRESHOLD.number,)
    # The owner's other key counts.
    assert sealed.send(config(2, first, ETC_SECOND_KEY, third, second)) == (ACCEPTED,)
    assert "revoked_stream config" not in sealed.status()
    assert sealed.send(config(3, third, second, fourth)) == (ACCEPTED,)
