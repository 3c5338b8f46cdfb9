# SPDX-License-Identifier: Apache-2.0
"""The loader's pure parts, compiled natively with sanitizers: certificate, pins, keys, bundle."""

import hashlib
import random
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import loader_documents as d
from tests import loader_program
from verity.formats import pkcs7

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loader_program.build(tmp_path_factory.mktemp("loader"))


Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """Run a command of the harness on contents; status and lines."""

    def call(command: str, *contents: bytes) -> tuple[int, list[str]]:
        names = ["file", "other", "bundle"]
        paths = [tmp_path / name for name in names[: len(contents)]]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)
        done = subprocess.run(
            [program, command, *paths], capture_output=True, text=True, check=False, timeout=60
        )
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    return call


def documents(
    run: Run, bundle: bytes | None = None, *, vendor: bytes = b"", user: bytes = b""
) -> tuple[int, list[str]]:
    """The harness on the usual documents but for what is given."""
    pins = (vendor or d.pin(d.VENDOR).encode(), user or d.pin(d.USER).encode())
    return run("documents", *pins, d.bundle() if bundle is None else bundle)


# --- the certificate --------------------------------------------------------------------------


def test_the_certificate_is_the_example_of_the_formats(run: Run) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    block = re.search(r"```example certificate\n(.*?)```", text, re.DOTALL)
    assert block is not None
    expected = "".join(line.split()[1] for line in block[1].splitlines())
    spki = bytes.fromhex(expected)[-114:-23]  # what is signed ends with it
    assert spki[:2] == b"\x30\x59"
    assert run("certificate", hashlib.sha256(spki).digest() + spki) == (0, [expected])


@pytest.mark.parametrize(
    "start", ["7f", "80", "ff", "01", "007f", "0080", "80007f", "800080", "00" * 15 + "7f"]
)
def test_the_certificate_is_that_of_the_package(run: Run, start: str) -> None:
    # What the key id begins with decides how long the serial is.
    key_id = bytes.fromhex(start).ljust(32, b"\x5a")
    spki = d.spki(1)
    made = pkcs7.certificate(key_id=key_id.hex(), spki=spki).hex()
    assert run("certificate", key_id + spki) == (0, [made])


def test_the_certificate_of_serial_0(run: Run) -> None:
    made = pkcs7.certificate(key_id="80" + "00" * 31, spki=d.spki(1)).hex()
    assert run("certificate", b"\x80" + bytes(31) + d.spki(1)) == (0, [made])


# --- the host id ------------------------------------------------------------------------------

HOST_ID = "00" * 31 + "9f"


def test_a_host_id(run: Run) -> None:
    assert run("host-id", f"{HOST_ID}\n".encode()) == (0, [HOST_ID])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        HOST_ID,
        HOST_ID + "\r\n",
        HOST_ID + "\n\n",
        HOST_ID[2:] + "\n",
        HOST_ID + "00\n",
        HOST_ID.upper() + "\n",
        "g" + HOST_ID[1:] + "\n",
        HOST_ID[:-1] + "\0\n",
        "00" * 32 + "\n",
    ],
    ids=repr,
)
def test_no_host_id(run: Run, text: str) -> None:
    status, said = run("host-id", text.encode())
    assert status == 1
    assert said[0].startswith("file: not a host id, which is 64 lower-case hex digits")
    assert said[1] == "verity lockdown init makes it anew"


# --- good documents ---------------------------------------------------------------------------


def test_good_documents(run: Run) -> None:
    status, lines = documents(run)
    assert status == 0, lines
    assert [line for line in lines if line.startswith("blob")] == [
        f"blob 1 keys {64 + 4 * 128} 2",
        f"blob 4 keys {64 + 10 * 128} 2",
        f"blob 7 policy {len(d.POLICY_BLOB)} 1",
        f"blob 9 grants {len(d.GRANTS_BLOB)} 8",
    ]
    assert {line for line in lines if line.startswith("pin vendor")} == {
        f"pin vendor root {owner} {hashlib.sha256(d.spki(11 + owner)).hexdigest()[:4]}"
        for owner in range(2)
    }
    assert all(f"keys vendor root {n}" in " ".join(lines) for n in range(2))
    assert sum(line.startswith("keys user") for line in lines) == 10


def test_pins_in_either_order_and_a_bundle_without_keys(run: Run) -> None:
    user, vendor = d.pin(d.USER).encode(), d.pin(d.VENDOR).encode()
    assert documents(run, vendor=user, user=vendor)[0] == 0
    assert documents(run, d.signed(4, d.GRANTS_BLOB, 1))[0] == 0


def test_floors_are_read_at_any_address(run: Run) -> None:
    """They carry no signature, and behind a signature of 63 bytes nothing is aligned."""
    odd = d.record(2, d.POLICY_BLOB) + d.record(16, bytes(63))
    most = [(b"s%02d" % n, 2**53 - 1) for n in range(63)]
    for entries in ([(b"o", 1)], [(b"o" * 63, 1), *most]):
        status, lines = documents(run, odd + d.record(5, d.floors(*sorted(entries))))
        assert status == 0, lines
        assert lines[-1] == f"blob 3 floors {72 * len(entries)} 0"


def test_the_largest_and_the_smallest(run: Run) -> None:
    many = d.KeyList(d.VENDOR, [d.key(d.ROOT, n % 8, n + 5000) for n in range(64)], {d.ROOT: 8})
    one = d.KeyList(d.VENDOR, [d.key(d.ROOT, 7, 1)], {d.ROOT: 1})
    for pin in (many, one):
        status, lines = documents(run, d.signed(4, d.KIND_GRANTS, 1), vendor=pin.encode())
        assert status == 0, lines


# --- bad pins and keys ------------------------------------------------------------------------

Spoil = Callable[[d.KeyList], None]

BAD_LISTS: dict[str, tuple[Spoil, str | tuple[str, str]]] = {
    "another kind": (
        lambda k: setattr(k, "kind", d.KIND_GRANTS),
        ("not a pin", "says keys and holds something else"),
    ),
    "no keys": (lambda k: k.keys.clear(), "0 keys, expected 1 to 64"),
    "65 keys": (
        lambda k: k.keys.extend(d.key(d.ROOT, 0, n + 9000) for n in range(65 - len(k.keys))),
        "65 keys, expected 1 to 64",
    ),
    "a key more than said": (lambda k: setattr(k, "n_keys", len(k.keys) - 1), "bytes, expected"),
    "a key less than said": (lambda k: setattr(k, "n_keys", len(k.keys) + 1), "bytes, expected"),
    "2^32-1 keys": (lambda k: setattr(k, "n_keys", 2**32 - 1), "4294967295 keys"),
    "another length": (lambda k: setattr(k, "total_len", 64), "bytes, expected"),
    "another header length": (lambda k: setattr(k, "header_len", 60), "bytes, expected"),
    "a byte behind": (lambda k: setattr(k, "extra", b"\0"), "bytes, expected"),
    "party 0": (lambda k: setattr(k, "party", 0), "party 0, expected 1"),
    "party 3": (lambda k: setattr(k, "party", 3), "party 3, expected 1"),
    "reserved in the header": (
        lambda k: setattr(k, "zero0", b"\0\1\0"),
        "reserved bytes are not zero",
    ),
    "a threshold of role 0": (lambda k: k.thresholds.update({0: 1}), "reserved bytes"),
    "role 0": (lambda k: setattr(k.keys[0], "role", 0), "has role 0, which does not belong"),
    "role 200": (lambda k: setattr(k.keys[0], "role", 200), "has role 200"),
    "evidence": (lambda k: setattr(k.keys[0], "role", d.EVIDENCE), "has role 7"),
    "owner 8": (lambda k: setattr(k.keys[0], "owner", 8), "has owner 8, expected 0 to 7"),
    "reserved in a key": (lambda k: setattr(k.keys[0], "zero0", b"\0\1"), "reserved bytes"),
    "reserved behind a key": (lambda k: setattr(k.keys[0], "zero1", 1), "reserved bytes"),
    "no P-256 key": (
        lambda k: setattr(k.keys[0], "spki", b"\x30\x59" + bytes(89)),
        "is not a P-256 public key",
    ),
    "a compressed point": (
        lambda k: setattr(k.keys[0], "spki", k.keys[0].spki[:26] + b"\2" + k.keys[0].spki[27:]),
        "is not a P-256 public key",
    ),
    "a key under two ids": (
        lambda k: setattr(k.keys[1], "spki", k.keys[0].spki),
        "stands there twice",
    ),
    "unsorted": (
        lambda k: setattr(k, "reverse", True),
        "is not sorted behind the one before",
    ),
    "a key twice": (lambda k: k.keys.append(k.keys[0]), "is not sorted behind"),
    "a threshold above the owners": (
        lambda k: k.thresholds.update({d.ROOT: 3}),
        "role root has the threshold 3 and 2 owners",
    ),
    "two keys of one owner": (
        lambda k: setattr(k.keys[1], "owner", k.keys[0].owner),
        "role root has the threshold 2 and 1 owners",
    ),
    "keys without a threshold": (
        lambda k: k.thresholds.update({d.ROOT: 0}),
        "role root has keys and no threshold",
    ),
    "a threshold without keys": (
        lambda k: k.thresholds.update({d.UNLOCK: 9}),
        "role unlock has the threshold 9",
    ),
}


@pytest.mark.parametrize("name", BAD_LISTS)
@pytest.mark.parametrize("make", [d.pin, d.keys], ids=["pin", "keys"])
def test_a_bad_list_is_refused(run: Run, make: Callable[[int], d.KeyList], name: str) -> None:
    spoil, expected = BAD_LISTS[name]
    party = d.USER if make is d.keys else d.VENDOR
    spoiled = make(party)
    spoil(spoiled)
    if make is d.keys:
        status, lines = documents(run, d.signed(1, spoiled.encode()))
        assert lines[0].startswith("bundle: record 1")
    else:
        status, lines = documents(run, vendor=spoiled.encode())
        assert lines[0].startswith("file: ")
    assert status == 1
    if isinstance(expected, tuple):
        expected = expected[make is d.keys]
    assert expected in lines[0]
    assert len(lines) == 2, "a hint"


@pytest.mark.parametrize("field", ["version", "issued", "expires"])
def test_a_pin_has_neither_version_nor_times(run: Run, field: str) -> None:
    pin = d.pin(d.VENDOR)
    setattr(pin, field, 1)
    assert "a pin, without one and without times" in documents(run, vendor=pin.encode())[1][0]


def test_keys_have_a_version(run: Run) -> None:
    keys = d.keys(d.VENDOR)
    keys.version = 0
    assert "version 0, expected one from 1" in documents(run, d.signed(1, keys.encode()))[1][0]


@pytest.mark.parametrize(
    ("party", "role"),
    [(d.VENDOR, d.ETC), (d.VENDOR, d.POLICY), (d.VENDOR, d.UNLOCK), (d.USER, d.OS)],
)
def test_a_party_holds_only_its_roles(run: Run, party: int, role: int) -> None:
    keys = d.keys(party)
    keys.keys.append(d.key(role, 0, 77))
    keys.thresholds[role] = 1
    status, lines = documents(run, d.signed(1, keys.encode()))
    assert status == 1
    assert f"has role {role}, which does not belong there" in lines[0]


def test_a_pin_holds_root_alone(run: Run) -> None:
    pin = d.pin(d.VENDOR)
    pin.keys.append(d.key(d.OS, 0, 77))
    pin.thresholds[d.OS] = 1
    assert "has role 2" in documents(run, vendor=pin.encode())[1][0]


def test_two_pins_of_one_party(run: Run) -> None:
    status, lines = documents(run, user=d.pin(d.VENDOR).encode())
    assert (status, lines[0]) == (1, "other: a second pin of the vendor")


def test_a_key_has_one_role_across_documents(run: Run) -> None:
    shared = d.pin(d.USER)
    shared.keys[0] = d.key(d.ROOT, 0, 11)
    status, lines = documents(run, user=shared.encode())
    assert status == 1
    assert "has two roles: root of vendor, and one of user" in lines[0]
    keys = d.keys(d.USER)
    keys.keys.append(d.key(d.POLICY, 2, 11))
    status, lines = documents(run, d.signed(1, keys.encode()))
    assert status == 1
    assert "has two roles: root of vendor, and one of user" in lines[0]
    keys.keys[-1] = d.key(d.POLICY, 2, 100 + d.OS)
    bundle = d.signed(1, d.keys(d.VENDOR).encode()) + d.signed(1, keys.encode())
    status, lines = documents(run, bundle)
    assert status == 1
    assert "has two roles: os of vendor, and one of user" in lines[0]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 319, 321])
def test_a_pin_of_another_size(run: Run, size: int) -> None:
    data = (d.pin(d.VENDOR).encode() + bytes(8))[:size]
    status, lines = run("documents", data, d.pin(d.USER).encode(), d.bundle())
    assert status == 1
    assert "bytes, expected" in lines[0]


# --- bad bundles ------------------------------------------------------------------------------

GOOD = d.signed(2, d.POLICY_BLOB, 1)

BAD_BUNDLES = {
    "empty": (b"", "bundle: empty"),
    "half a record head": (GOOD + bytes(7), "record 3: 7 bytes left, expected at least 8"),
    "a record that ends early": (
        GOOD + d.record(4, d.GRANTS_BLOB)[:-1],
        f"record 3: {len(d.GRANTS_BLOB) - 1} bytes left, expected {len(d.GRANTS_BLOB)}",
    ),
    "a length of 2^32-1": (d.record(2, d.POLICY_BLOB, 2**32 - 1), "expected 4294967295"),
    "a signature that ends early": (
        d.record(2, d.POLICY_BLOB) + d.record(16, b"x" * 9, 10),
        "record 2: 9 bytes left, expected 10",
    ),
    "a signature first": (d.record(16, b"x") + GOOD, "record 1 is a signature without a blob"),
    "no signature": (d.record(2, d.POLICY_BLOB), "record 1 (policy) has no signature"),
    "no signature in between": (d.record(2, d.POLICY_BLOB) + GOOD, "record 1 (policy) has no"),
    "nine signatures": (d.signed(2, d.POLICY_BLOB, 9), "record 10: a signature too many"),
    "an empty signature": (
        d.record(2, d.POLICY_BLOB) + d.record(16, b""),
        "record 2: signature of 0 bytes, expected 1 to 252",
    ),
    "a long signature": (
        d.record(2, d.POLICY_BLOB) + d.record(16, bytes(253)),
        "signature of 253 bytes, expected 1 to 252",
    ),
    "kind 0": (d.signed(0, d.POLICY_BLOB), "of the unknown kind 0"),
    "kind 6": (d.signed(6, d.POLICY_BLOB), "of the unknown kind 6"),
    "kind 17": (GOOD + d.signed(17, d.POLICY_BLOB), "of the unknown kind 17"),
    "out of order": (d.signed(4, d.GRANTS_BLOB) + GOOD, "record 4: policy behind grants"),
    "a blob without a kind": (d.signed(2, b"\x93verity-policy1"), "(policy): 15 bytes"),
    "a blob that is too long": (
        d.signed(4, d.KIND_GRANTS + bytes(5 * 1024 * 1024 - 15)),
        "(grants): 5242881 bytes, expected 16 to 5242880",
    ),
    "another blob": (d.signed(2, d.GRANTS_BLOB), "record 1 says policy and holds something else"),
    "a pin as keys": (
        d.signed(1, d.pin(d.VENDOR).encode()),
        "record 1 says keys and holds something else",
    ),
    "no floors": (GOOD + d.record(5, b""), "record 3 (floors): 0 bytes, expected 16"),
    "floors cut short": (
        GOOD + d.record(5, d.floors()[:-1]),
        "record 3: 143 bytes, expected 1 to 64",
    ),
    "floors and a byte": (
        GOOD + d.record(5, d.floors() + b"\0"),
        "145 bytes, expected 1 to 64 times",
    ),
    "65 floors": (
        GOOD + d.record(5, d.floors(*((b"s%02d" % n, 1) for n in range(65)))),
        "4680 bytes, expected 1 to 64 times 72",
    ),
    "floors with a signature": (
        GOOD + d.signed(5, d.floors()),
        "record 3 (floors) has a signature, expected none",
    ),
    "floors twice": (GOOD + 2 * d.record(5, d.floors()), "record 4: floors a second time"),
    "floors before grants": (
        d.record(5, d.floors()) + d.signed(4, d.GRANTS_BLOB),
        "record 2: grants behind floors",
    ),
    "floors unsorted": (
        GOOD + d.record(5, d.floors((b"tools", 1), (b"os", 1))),
        "the floor of os is not sorted behind the one before",
    ),
    "a floor twice": (
        GOOD + d.record(5, d.floors((b"os", 1), (b"os", 2))),
        "the floor of os is not sorted behind",
    ),
    "a floor of 0": (
        GOOD + d.record(5, d.floors((b"os", 0))),
        "the floor of os is 0, expected 1 to 2^53 - 1",
    ),
    "a floor beyond JSON": (
        GOOD + d.record(5, d.floors((b"os", 2**53))),
        "the floor of os is 9007199254740992",
    ),
    "a floor of no stream": (GOOD + d.record(5, d.floors((b"", 1))), "floor 1 is of no stream's"),
    "a floor of a capital letter": (
        GOOD + d.record(5, d.floors((b"os", 1), (b"ossO", 1))),
        "floor 2 is of no stream's name",
    ),
    "a floor's name that goes on": (
        GOOD + d.record(5, d.floors((b"os\0x", 1))),
        "floor 1 is of no stream's name",
    ),
    "a floor's name without an end": (
        GOOD + d.record(5, d.floors((b"o" * 64, 1))),
        "floor 1 is of no stream's name",
    ),
    "the same party's keys twice": (
        2 * d.signed(1, d.keys(d.VENDOR).encode()),
        "record 4: the keys of the vendor a second time",
    ),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_a_bad_bundle_is_refused(run: Run, name: str) -> None:
    bundle, expected = BAD_BUNDLES[name]
    status, lines = documents(run, bundle)
    assert status == 1
    assert expected in lines[0]
    assert lines[0].startswith("bundle: ")
    assert len(lines) == 2, "a hint"


def test_a_bundle_ends_only_behind_a_blob_with_its_signatures(run: Run) -> None:
    keys, policy = d.signed(1, d.keys(d.VENDOR).encode(), 1), d.signed(2, d.KIND_POLICY, 2)
    whole = keys + policy
    good = {len(keys), len(whole), len(whole) - 198}
    for end in range(0, len(whole) + 1, 61):
        assert (documents(run, whole[:end])[0] == 0) == (end in good), end
    for end in good:
        assert documents(run, whole[:end])[0] == 0


def test_random_damage_is_refused_or_harmless_and_never_a_crash(run: Run) -> None:
    rng = random.Random(3)
    whole = d.signed(1, d.keys(d.USER).encode()) + GOOD
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 16, 255, 2**31, 2**32 - 1]))
        assert documents(run, bytes(data))[0] in {0, 1}
