# SPDX-License-Identifier: Apache-2.0
"""The boot bundle and the host's floors: what it refuses, what it records, where it stands in."""

from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, EXTENSION, as_world
from tests.cli.program import Done, assert_clean_error, snapshot, stock, verity
from tests.cli.worlds import REF, sign
from verity.formats import bundle, floor_record
from verity.formats.floor_record import RecordedFloor
from verity.formats.records import RecordKind
from verity.ports.places import BUNDLE as PLACE

STATE = Path("host/var/lib/verity")
FLOOR = STATE / "floors/vendor.os.os"


@pytest.fixture
def host(forged: Path) -> Path:
    """A host that has accepted serial 5 of the stream os; old.grants are of serial 1."""
    (forged / STATE).mkdir(parents=True)
    (forged / "os.grants").rename(forged / "old.grants")
    (forged / "old.commit").write_text(as_world(forged).checksum())
    stock("ostree", "--repo=repo", "commit", "-b", REF, "tree", "--subject=2", cwd=forged)
    sign(forged, "--serial", "5", REF, key="os.pem")
    show = ("commit", "show", "--repo", "repo", "--grants", REF)
    (forged / "os.grants").write_bytes(verity(*show, cwd=forged).raw_out)
    accept(forged)
    return forged


def accept(path: Path) -> None:
    options = ("--root", "host", "--accept-without-floor")
    done = verity("commit", "verify", "--repo=repo", "--key=os.pem.pub", *options, REF, cwd=path)
    assert done.status == 0, done


def make(path: Path, *more: str, grants: str = "os.grants", out: str = "out") -> Done:
    line = [grants if word == "os.grants" else word for word in BUNDLE]
    return verity(*line, "--root", "host", *more, out, cwd=path)


def recorded(path: Path) -> tuple[RecordedFloor, ...]:
    """The floors of a bundle, () without a record."""
    found = [one for one in bundle.parse(path.read_bytes()) if one.kind is RecordKind.FLOORS]
    return floor_record.parse(found[0].blob) if found else ()


FIVE = (RecordedFloor(stream="os", serial=5),)


def test_what_was_accepted_is_recorded(host: Path) -> None:
    done = make(host)
    assert (done.status, done.err) == (0, "")
    assert "floor     stream os serial 5\n" in done.out
    assert recorded(host / "out") == FIVE
    as_json = make(host, "--json", out="again")
    assert as_json.of_type("floor") == [{"v": 1, "type": "floor", "stream": "os", "serial": 5}]


def test_grants_below_the_floor_get_into_no_bundle(host: Path) -> None:
    before = snapshot(host)
    done = make(host, grants="old.grants")
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("old.grants: serial 1 of the stream os", "accepted 5"), hint=True)
    assert snapshot(host) == before


def test_a_build_system_has_no_floors(host: Path) -> None:
    (host / STATE).rename(host / "elsewhere")
    done = make(host, grants="old.grants")
    assert (done.status, done.err, "floor" in done.out) == (0, "", False)
    assert recorded(host / "out") == ()


def test_before_the_first_acceptance_there_is_nothing_to_record(host: Path) -> None:
    (host / FLOOR).unlink()
    done = make(host, grants="old.grants")
    assert (done.status, done.err) == (0, "")
    assert recorded(host / "out") == ()


@pytest.mark.parametrize("data", [None, b"", b"x", b"x" * 4096], ids=["gone", "empty", "1", "long"])
def test_the_record_stands_in_for_a_floor(host: Path, data: bytes | None) -> None:
    assert make(host, out=str("host" / PLACE)).status == 0
    if data is None:
        (host / FLOOR).unlink()
    else:
        (host / FLOOR).write_bytes(data)
    check = "no-floor" if data is None else "bad-floor"
    done = make(host)
    assert done.status == 1
    assert f"FINDING  {check}  {FLOOR}" in done.out
    assert recorded(host / "out") == FIVE
    refused = make(host, grants="old.grants", out="older")
    assert refused.status == 1
    assert_clean_error(refused, ("old.grants: serial 1", f"accepted 5 (host/{PLACE})"), hint=True)
    # The same for who verifies a commit, and also for one who says that there is no floor yet.
    old = (host / "old.commit").read_text()
    first = ("--root=host", "--accept-without-floor", old)
    older = verity("commit", "verify", "--repo=repo", "--key=os.pem.pub", *first, cwd=host)
    assert "FINDING  below-floor  " in older.out
    accept(host)
    assert make(host, "--replace").status == 0


def test_a_damaged_bundle_does_not_hide_that_there_was_a_floor(host: Path) -> None:
    (host / FLOOR).unlink()
    (host / "host" / PLACE).write_bytes(b"\4\0\0\0")
    done = make(host)
    assert done.status == 1
    assert "FINDING  no-floor  " in done.out


def test_grants_of_the_bundle_that_is_there_are_a_floor_of_the_next(host: Path) -> None:
    tools = ("--grants", "tools/grants")
    assert make(host, *tools, out=str("host" / PLACE)).status == 0
    other = ("extension", "sign", *EXTENSION[2:], "--tree", "tree/bin", "others")
    assert verity(*other, cwd=host).status == 0
    done = make(host, "--grants", "others/grants")
    assert (done.status, (host / "out").exists()) == (1, False)
    assert_clean_error(done, ("others/grants: serial 1 of the stream tools with the",), hint=True)
    assert make(host, *tools).status == 0


def pins(host: Path) -> None:
    (host / "host/etc/verity/pins").mkdir(parents=True)
    for party in ("vendor", "user"):
        (host / f"{party}.pin").rename(host / f"host/etc/verity/pins/{party}.pin")


def test_an_import_below_the_floor_does_not_reach_the_gate(host: Path) -> None:
    """There is none here: what would reach it ends with that."""
    asked = ("lockdown", "import", "--root", "host")
    for grants in ("old.grants", "os.grants"):
        assert "no gate is loaded" in verity(*asked, grants, cwd=host).err
    assert make(host, out=str("host" / PLACE)).status == 0
    pins(host)
    done = verity(*asked, "old.grants", cwd=host)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("old.grants: blob 1 (grants): serial 1", "accepted 5"), hint=True)
    for grants in ("os.grants", "tools/grants", "v.keys"):
        assert "no gate is loaded" in verity(*asked, grants, cwd=host).err
    whole = verity(*asked, "host" / PLACE, cwd=host)
    assert_clean_error(whole, ("(floors): floors are for the boot alone",), hint=False)
