# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/formats.md are what the code writes, from the inputs that stand here.

ECDSA signatures differ each time, so the one of the PKCS#7 example lives in the document: it is
parsed, written again byte for byte, and verified over the grants of the example.
"""

import hashlib

import pytest

from tests.documents import load
from tests.unit.formats.doc_examples import (
    CHALLENGE,
    DOCUMENT,
    ENTRIES,
    EXAMPLES,
    LINK_HEADER,
    PING,
    PING_HEADER,
    REASON,
    ROOT_META,
    acknowledged_record,
    blob,
    blocks,
    bytes_of,
    commit,
    commitmeta,
    dirtree,
    evidence_document,
    exception_document,
    filez_header,
    floors,
    fragment,
    keyring_document,
    keys,
    manifest,
    payload,
    pin,
    policy,
    policy_lines,
    revocations,
    serials,
    token,
    waiver_document,
)
from tests.unit.formats.unlock_examples import ledger_line, request
from tests.world import OTHER, VENDOR
from verity.formats import (
    bundle,
    challenge,
    dump,
    grants,
    kernel_keys,
    kernel_policy,
    keyring,
    pkcs7,
    revoke,
    sign_bundle,
    sign_payloads,
    statement,
    typed_token,
    unlock,
)
from verity.formats.commit import Commit, DirTree
from verity.formats.fsverity import digest_bytes
from verity.formats.grants import Party, Role
from verity.formats.ostree_file import (
    FileHeader,
    parse_filez_frame,
)
from verity.verbs import keyring_project


def hex_lines(data: bytes) -> str:
    """32 bytes a line, each with its offset."""
    return "".join(f"{at:04d}  {data[at : at + 32].hex()}\n" for at in range(0, len(data), 32))


def written() -> dict[str, str]:
    """What the document has to say."""
    certificate = pkcs7.certificate(key_id=VENDOR.public.key_id, spki=VENDOR.public.spki)
    return {
        "digest-empty": f"{digest_bytes(b'')}\n",
        "manifest": manifest().decode("ascii"),
        "statement": payload().decode() + "\n",
        "grants": hex_lines(blob()),
        "certificate": hex_lines(certificate),
        "keys": hex_lines(keys()),
        "pin": hex_lines(pin()),
        "policy": hex_lines(policy()),
        "policy-document": policy_lines().decode() + "\n",
        "bundle": hex_lines(fragment()),
        "floors": hex_lines(floors()),
        "commit": hex_lines(commit()),
        "dirtree": hex_lines(dirtree()),
        "dirmeta": hex_lines(ROOT_META.encode()),
        "file": hex_lines(PING_HEADER.framed()),
        "symlink": hex_lines(LINK_HEADER.framed()),
        "filez": hex_lines(filez_header()),
        "commitmeta": hex_lines(commitmeta()),
        "serials": serials().decode(),
        "keyring": keyring_document().decode() + "\n",
        "revoke": hex_lines(revocations()),
        "unlock": hex_lines(token()),
        "challenge": CHALLENGE,
        "request": request().decode(),
        "ledger": ledger_line().decode(),
        "exception-request": exception_document().decode(),
        "acknowledged": acknowledged_record().decode() + "\n",
        "waiver": waiver_document().decode() + "\n",
        "evidence": evidence_document().decode() + "\n",
    }


def test_every_example_is_checked_here() -> None:
    names = [name for name, _ in blocks(DOCUMENT.read_text())]
    elsewhere = {"ima-certificate", "ima-content", "ima-policy", "ima-verity"}  # test_ima.py
    here = {*written(), "pkcs7", "envelope", "sign-bundle", "typed"}
    assert sorted(names) == sorted(here | elsewhere)


def test_the_typed_token_is_the_one_of_the_vectors() -> None:
    good, _ = load("typed-token")
    assert EXAMPLES["typed"].encode() == good["a path, one signature"].data
    typed = typed_token.decode(EXAMPLES["typed"].encode())
    assert typed_token.rebuild(typed, challenge.parse(CHALLENGE.encode()))[0] == token()


@pytest.mark.parametrize("name", written())
def test_example(name: str) -> None:
    assert EXAMPLES[name] == written()[name]


def test_the_manifest_parses_to_its_entries() -> None:
    assert dump.parse(EXAMPLES["manifest"].encode()) == ENTRIES


def test_the_statement_names_the_other_examples() -> None:
    found = statement.parse(EXAMPLES["statement"].removesuffix("\n").encode())
    assert found.subjects["grants"] == hashlib.sha256(bytes_of(EXAMPLES["grants"])).digest()
    assert found.subjects["manifest"] == hashlib.sha256(EXAMPLES["manifest"].encode()).digest()


def test_the_grants_have_an_entry_in_each_table() -> None:
    found = grants.parse(bytes_of(EXAMPLES["grants"]))
    assert [len(table) for table in (found.code, found.elevate, found.config)] == [1, 1, 1]
    assert found.elevate[0].capabilities == 1 << 13


def test_the_envelope_holds_the_statement_and_its_signature() -> None:
    text = EXAMPLES["envelope"].removesuffix("\n").encode()
    found = statement.parse_envelope(text)
    assert found.payload == EXAMPLES["statement"].removesuffix("\n").encode()
    (one,) = found.signatures
    assert one.key_id_hint == VENDOR.public.key_id
    assert one.value is not None
    assert VENDOR.public.verifies(signature=one.value, data=found.pae())
    assert not VENDOR.public.verifies(signature=one.value, data=found.payload)


def test_the_objects_of_ostree_name_each_other() -> None:
    found = Commit.parse(bytes_of(EXAMPLES["commit"]), label="commit")
    tree = DirTree.parse(bytes_of(EXAMPLES["dirtree"]), label="dirtree")
    assert found.root_dirtree == hashlib.sha256(bytes_of(EXAMPLES["dirtree"])).hexdigest()
    assert found.root_dirmeta == hashlib.sha256(bytes_of(EXAMPLES["dirmeta"])).hexdigest()
    assert dict(tree.files) == {
        b"ping": hashlib.sha256(bytes_of(EXAMPLES["file"]) + PING).hexdigest(),
        "ü".encode(): hashlib.sha256(bytes_of(EXAMPLES["symlink"])).hexdigest(),
    }


def test_the_frame_of_the_filez_says_how_long_its_header_is() -> None:
    data = bytes_of(EXAMPLES["filez"])
    size = parse_filez_frame(data[:8], label="frame")
    assert FileHeader.parse_filez(data[8:], label="header") == (PING_HEADER, len(PING))
    assert size == len(data) - 8


def test_the_pkcs7_is_a_signature_over_the_grants() -> None:
    data = bytes_of(EXAMPLES["pkcs7"])
    found = pkcs7.parse(data)
    assert found.encode() == data
    assert found.serial == pkcs7.serial_of(VENDOR.public.key_id)
    blob_of_example = bytes_of(EXAMPLES["grants"])
    assert VENDOR.public.verifies(signature=found.value, data=blob_of_example)
    assert not VENDOR.public.verifies(signature=found.value, data=blob_of_example + b"\0")


def test_the_pin_is_of_the_user_and_wants_two_owners() -> None:
    found = kernel_keys.parse_pin(bytes_of(EXAMPLES["pin"]))
    assert (found.party, found.threshold) == (Party.USER, 2)
    assert [entry.owner for entry in found.keys] == [0, 1]


def test_the_keys_are_those_that_the_grants_are_signed_with() -> None:
    found = kernel_keys.parse_keys(bytes_of(EXAMPLES["keys"]))
    assert [(e.role, e.key_id.hex()) for e in found.keys] == [(Role.OS, VENDOR.public.key_id)]


def test_the_policy_names_the_stream_of_the_grants() -> None:
    found = kernel_policy.parse(bytes_of(EXAMPLES["policy"]))
    granted = grants.parse(bytes_of(EXAMPLES["grants"]))
    assert granted.stream in [stream.name for stream in found.streams]


def test_the_bundle_is_the_grants_and_their_signature() -> None:
    (found,) = bundle.parse(bytes_of(EXAMPLES["bundle"]))
    assert found.blob == bytes_of(EXAMPLES["grants"])
    assert found.signatures == (bytes_of(EXAMPLES["pkcs7"]),)


def test_the_sign_bundle_is_the_policy_and_a_signature() -> None:
    data = EXAMPLES["sign-bundle"].encode()
    found = sign_bundle.parse(data)
    assert sign_bundle.encode(found) == data
    assert found.payload == EXAMPLES["policy-document"].removesuffix("\n").encode()
    assert found.payload == policy_lines()
    assert sign_payloads.open_bundle(data).signer == (Party.USER, Role.POLICY)
    (signed,) = found.signatures
    assert signed.public == OTHER.public.spki
    assert OTHER.public.verifies(signature=signed.pae or b"", data=found.pae or b"")
    value = pkcs7.parse(signed.pkcs7 or b"").value
    assert OTHER.public.verifies(signature=value, data=found.blob or b"")


def test_the_keyring_makes_the_keys_of_the_example() -> None:
    found = keyring.parse(EXAMPLES["keyring"].removesuffix("\n").encode())
    assert keyring_project.blob_of(found) == bytes_of(EXAMPLES["keys"])


def test_the_revocations_are_those_of_the_keyring() -> None:
    found = revoke.parse(bytes_of(EXAMPLES["revoke"]))
    said = keyring.parse(EXAMPLES["keyring"].removesuffix("\n").encode())
    assert (found.party, found.serial) == (said.party, said.version)
    assert {one.stream: one.lowest for one in found.streams} == said.revoked.serials


def test_the_token_answers_the_challenge() -> None:
    found = unlock.parse(bytes_of(EXAMPLES["unlock"]))
    said = challenge.parse(EXAMPLES["challenge"].encode())
    assert (found.boot_nonce, found.host_id) == (said.boot_nonce, said.host_id)
    assert found.reason == hashlib.sha256(REASON.encode()).digest()
    assert f"`{REASON}`" in DOCUMENT.read_text()


def test_what_an_example_looks_like() -> None:
    assert bytes_of(hex_lines(bytes(range(70)))) == bytes(range(70))
    assert hex_lines(bytes(33)).splitlines()[1] == "0032  00"
