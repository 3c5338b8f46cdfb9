# SPDX-License-Identifier: Apache-2.0
"""audit: a signed waiver takes one finding on one file out of the count, and no other."""

import base64
import json
import time
from pathlib import Path

import pytest

from tests.cli.audit_world import AuditWorld, checks, gaps, head, make_audit_world
from tests.cli.program import assert_clean_error, copy, stock, verity
from verity.formats import statement, waiver
from verity.formats.waiver import EVERY_HOST, Waiver
from verity.ports import keystore, places

CHANGED = "usr/share/big"
"""A file of the audited tree with other contents than the signed ones."""
DAY = 86400


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """A host whose root is a checkout of the commit, with one file changed; for reading only."""
    world = make_audit_world(tmp_path_factory.mktemp("waived"))
    stock("cp", "-a", "tree/usr", "host/", cwd=world.path)
    (world.host / CHANGED).write_bytes(b"something else")
    return world


@pytest.fixture
def world(good: AuditWorld, tmp_path: Path) -> AuditWorld:
    """A copy, to change."""
    return AuditWorld(copy(good.path, tmp_path / "w"))


def signed_waiver(world: AuditWorld, *, key: str = "policy", **fields: object) -> bytes:
    """A waiver for the changed file as it is, or with other fields, in its envelope."""
    said = stock("fsverity", "digest", "--compact", f"host/{CHANGED}", cwd=world.path).strip()
    now = int(time.time())
    made: dict[str, object] = {
        "host": EVERY_HOST,
        "check": "content",
        "path": f"/{CHANGED}".encode(),
        "digest": bytes.fromhex(said),
        "reason": "ticket 4711",
        "issued": now - DAY,
        "expires": now + DAY,
    }
    payload = waiver.encode(Waiver(**{**made, **fields}))  # type: ignore[arg-type]  # by name
    signer = keystore.load_signer(str(world.path / f"{key}.pem"))
    signature = signer.sign(statement.pae(payload, waiver.PAYLOAD_TYPE))
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": waiver.PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": signer.public.key_id,
                    "sig": base64.b64encode(signature).decode(),
                }
            ],
        }
    ).encode()


def put(world: AuditWorld, data: bytes, name: str = "ticket.json") -> None:
    """Where a host has its waivers."""
    folder = world.host / places.WAIVERS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def contents(world: AuditWorld, *more: str) -> tuple[list[str], list[str]]:
    """Findings about contents, and what is waived."""
    done = world.audit(*more, only="files")
    found = [one["object"] for one in done.of_type("finding") if one["check"] == "content"]
    waived = done.of_type("waived")
    assert done.of_type("summary")[0]["waived"] == len(waived)
    return found, [f"{one['object']}: {one['reason']}" for one in waived]


FINDING = ([f"/{CHANGED}"], list[str]())
WAIVED = (list[str](), [f"/{CHANGED}: ticket 4711"])


def test_a_waiver_of_the_host_and_one_that_is_named(world: AuditWorld) -> None:
    assert contents(world) == FINDING
    put(world, signed_waiver(world))
    assert contents(world) == WAIVED
    put(world, signed_waiver(world), "other.txt")
    (world.host / places.WAIVERS / "ticket.json").rename(world.path / "named")
    assert contents(world) == FINDING  # a file of another name is none
    assert contents(world, "--waiver", "named") == WAIVED


def test_one_made_by_the_program(world: AuditWorld) -> None:
    (found,) = [
        one
        for one in world.audit(only="files").of_type("finding")
        if one["object"] == f"/{CHANGED}"
    ]
    digest = found["found"].split("sha256:")[1][:64]
    world.run(
        *("sign", "prepare", "waiver", "--host", head(world.audit())["host_id"]),
        *("--check", found["check"], "--path", found["object"], "--digest", f"sha256:{digest}"),
        *("--reason", "ticket 4711", "--days", "3", "--output", "w.sign"),
    )
    world.run("sign", "add", "--yes", "--key", "policy.pem", "w.sign")
    world.run("sign", "attach", *world.pins(), "w.sign", "waiver")
    assert contents(world, "--waiver", "waiver") == WAIVED


NOT_COVERING: dict[str, dict[str, object]] = {
    "another check": {"check": "missing"},
    "another path": {"path": b"/usr/share/copy"},
    "another digest": {"digest": bytes(32)},
    "another host": {"host": "ab" * 32},
}


@pytest.mark.parametrize("name", NOT_COVERING)
def test_one_for_something_else_covers_nothing(name: str, world: AuditWorld) -> None:
    put(world, signed_waiver(world, **NOT_COVERING[name]))  # type: ignore[arg-type]  # no key
    assert contents(world) == FINDING
    done = world.audit()
    assert (checks(done), gaps(done)) == ([], [])
    notes = [one["text"] for one in done.of_type("note")]
    assert "host/etc/verity/waivers/ticket.json: it covers no finding of this audit" in notes


def test_contents_that_changed_again_are_not_waived(world: AuditWorld) -> None:
    put(world, signed_waiver(world))
    (world.host / CHANGED).write_bytes(b"something else again")
    assert contents(world) == FINDING


def test_an_expired_one_is_a_finding(world: AuditWorld) -> None:
    now = int(time.time())
    put(world, signed_waiver(world, issued=now - 9 * DAY, expires=now - DAY))
    assert contents(world) == FINDING
    done = world.audit()
    assert (done.status, checks(done)) == (1, ["waiver-expired"])


def test_one_by_another_key_is_a_finding(world: AuditWorld) -> None:
    put(world, signed_waiver(world, key="os"))
    assert contents(world) == FINDING
    done = world.audit()
    assert (done.status, checks(done)) == (1, ["waiver"])


@pytest.mark.parametrize("data", [b"", b"{", b'{"payload":"","payloadType":"x","signatures":[]}'])
def test_what_is_no_waiver_is_a_finding(data: bytes, world: AuditWorld) -> None:
    put(world, data)
    done = world.audit()
    assert (done.status, checks(done)) == (1, ["waiver"])


def test_what_is_waived_is_shown_with_its_reason(world: AuditWorld) -> None:
    """That it doesn't count for the exit status: tests/unit/verbs/test_audit_run.py."""
    put(world, signed_waiver(world))
    text = world.audit(only="", report="--format=text")
    assert "1 waived" in text.out
    assert f"WAIVED  content  /{CHANGED}: ticket 4711 (until " in text.out


def test_one_that_lies_outside_of_the_tree(world: AuditWorld) -> None:
    put(world, signed_waiver(world))
    (world.host / places.WAIVERS / "ticket.json").rename(world.path / "outside")
    (world.host / places.WAIVERS / "ticket.json").symlink_to(world.path / "outside")
    assert contents(world) == FINDING
    assert checks(world.audit()) == ["waiver"]


def test_one_that_is_named_and_not_there(world: AuditWorld) -> None:
    done = world.audit("--waiver", "nowhere", report="--format=text")
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("nowhere: does not exist",), hint=True)


def test_with_keys_that_are_named_one_of_them_has_to_have_signed(world: AuditWorld) -> None:
    put(world, signed_waiver(world))
    line = ("audit", "--root=host", "--repo=repo", "--commit=debian/trixie", "--only=files")
    done = verity(*line, "--key=os.pem.pub", "--json", cwd=world.path)
    assert "waiver" in checks(done)
    done = verity(*line, "--key=os.pem.pub", "--key=policy.pem.pub", "--json", cwd=world.path)
    assert len(done.of_type("waived")) == 1
