# SPDX-License-Identifier: Apache-2.0
"""What must hold for any document: mutated ones are refused or say what they are, spelled once.

Beside the properties that stand with each format. The quick tier takes few examples;
HYPOTHESIS_PROFILE=full thousands.
"""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.documents import Document, load
from tests.unit.formats.test_dump import _entries
from tests.unit.formats.test_gvariant import mutated
from tests.unit.formats.test_pkcs7 import SIGNED
from tests.unit.formats.test_vectors import FORMATS
from verity.formats import any_dump, dump, grants, pkcs7
from verity.formats.dump import Entry
from verity.formats.grants import (
    Code,
    ConfigEntry,
    ConfigKind,
    ElevateEntry,
    Grants,
    Party,
    Role,
)
from verity.values.errors import ContentError

GOOD = {name: list(load(name)[0].values()) for name in FORMATS}
FEWER = max(50, settings().max_examples // 5)  # of each of a dozen formats
# What people type is forgiven much.
CANONICAL = set(FORMATS) - {"composefs-dump", "envelope", "json", "statement", "typed-token"}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=FEWER)
@given(st.data(), st.randoms(use_true_random=False))
def test_a_mutated_document_is_refused_or_says_what_it_is(
    name: str, data: st.DataObject, chance: random.Random
) -> None:
    """Nothing but our error, and of two spellings of one thing one is refused."""
    one = data.draw(st.sampled_from(GOOD[name]))
    for _ in range(5):
        changed = mutated(one.data, chance)
        written = read(name, one, changed)
        if written is not None and name in CANONICAL:
            assert written == changed


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=FEWER)
@given(st.data(), st.randoms(use_true_random=False))
def test_pieces_of_two_documents(name: str, data: st.DataObject, chance: random.Random) -> None:
    one, other = (data.draw(st.sampled_from(GOOD[name])) for _ in range(2))
    for _ in range(5):
        cut, on = chance.randrange(len(one.data) + 1), chance.randrange(len(other.data) + 1)
        changed = one.data[:cut] + other.data[on:]
        written = read(name, one, changed)
        if written is not None and name in CANONICAL:
            assert written == changed


def read(name: str, like: Document, data: bytes) -> bytes | None:
    """What reading and writing gives, None if it is refused; any other exception is a failure."""
    form = FORMATS[name]
    one = Document(name="", data=data, kind=like.kind)
    try:
        value = form.parse(one)
        if name == "composefs-dump" and form.write is not None:
            return form.write(value, one)  # which may find that no manifest can hold it
    except ContentError as error:
        assert error.message.isprintable()
        assert len(error.message) < 2000
        return None
    return None if form.write is None else form.write(value, one)


@given(st.binary(max_size=300), st.sampled_from(sorted(FORMATS)))
def test_any_bytes(data: bytes, name: str) -> None:
    for one in GOOD[name][:3]:
        read(name, one, data)


# --- grants --------------------------------------------------------------------------------

DIGESTS = st.binary(min_size=32, max_size=32).filter(any)
U32 = st.integers(0, 2**32 - 1)
PATHS = (
    st.lists(
        st.binary(min_size=1, max_size=40).filter(
            lambda part: part not in (b".", b"..") and b"/" not in part and b"\0" not in part
        ),
        min_size=1,
        max_size=5,
    )
    .map(lambda parts: b"/" + b"/".join(parts))
    .filter(lambda path: len(path) <= grants.MAX_CONFIG_PATH)
)
ELEVATIONS = st.builds(
    ElevateEntry,
    digest=DIGESTS,
    set_bits=st.sampled_from([0, 0o2000, 0o4000, 0o6000]),
    uid=U32,
    gid=U32,
    capabilities=st.integers(0, 2**64 - 1),
).filter(lambda entry: bool(entry.set_bits or entry.capabilities))
CONFIGS = st.one_of(
    st.builds(ConfigEntry, path=PATHS, kind=st.just(ConfigKind.FILE), digest=DIGESTS),
    st.builds(
        ConfigEntry,
        path=PATHS,
        kind=st.just(ConfigKind.SYMLINK),
        target=st.binary(min_size=1, max_size=55).filter(lambda target: b"\0" not in target),
    ),
)


@st.composite
def all_grants(draw: st.DrawFn) -> Grants:
    code = draw(st.dictionaries(DIGESTS, st.integers(1, 63).map(Code), max_size=6))
    config = draw(st.lists(CONFIGS, max_size=4, unique_by=lambda entry: entry.path))
    issued = draw(st.integers(0, 2**53 - 2))
    return Grants(
        party=draw(st.sampled_from(Party)),
        role=draw(st.sampled_from(Role)),
        stream=draw(
            st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=63)
        ),
        serial=draw(st.integers(1, 2**53 - 1)),
        issued=issued,
        expires=draw(st.integers(issued + 1, 2**53 - 1)),
        manifest_sha256=draw(DIGESTS),
        code=grants.sorted_code(code),
        elevate=tuple(sorted(draw(st.sets(ELEVATIONS, max_size=4)))),
        config=tuple(sorted(config, key=lambda entry: entry.path)),
    )


@settings(max_examples=FEWER)
@given(all_grants())
def test_grants_are_read_as_they_are_written(made: Grants) -> None:
    data = grants.encode(made)
    assert grants.parse(data) == made
    assert len(data) == 168 + 40 * len(made.code) + 64 * len(made.elevate) + 352 * len(made.config)


# --- PKCS#7 --------------------------------------------------------------------------------


@given(st.randoms(use_true_random=False))
def test_a_signature_has_one_spelling(chance: random.Random) -> None:
    for _ in range(5):
        changed = mutated(SIGNED, chance)
        for _ in range(chance.randrange(3)):
            changed = mutated(changed, chance)
        try:
            found = pkcs7.parse(changed)
        except ContentError as error:
            assert error.code == "bad-pkcs7"
            continue
        assert found.encode() == changed


# --- dumps of others -----------------------------------------------------------------------


# An empty file has a digest of its own, and here they are made up.
WITH_CONTENTS = _entries.filter(lambda entry: not entry.is_regular or entry.size > 0)


def respelled(text: bytes, chance: random.Random) -> bytes:
    """A line of a manifest as another tool might write it."""
    fields = text.split(b" ")
    fields[3], fields[7] = b"%d" % chance.randrange(9), b"%d.%d" % (chance.randrange(9), 5)
    if fields[2].startswith(b"4"):
        fields[1] = b"4096"
    if fields[2].startswith(b"10"):
        fields[8] = b"00/11.file"
        fields[10] = chance.choice((fields[10], fields[10].upper()))
    head, xattrs = fields[:11], fields[11:]
    chance.shuffle(xattrs)
    return b" ".join(escaped_otherwise(field, chance) for field in [*head, *xattrs])


def escaped_otherwise(field: bytes, chance: random.Random) -> bytes:
    other = {b"\\x0a": b"\\n", b"\\x0d": b"\\r", b"\\x09": b"\\t", b"\\x5c": b"\\\\"}
    for ours, theirs in other.items():
        if chance.random() < 0.5:
            field = field.replace(ours, theirs)
    return field


@settings(max_examples=FEWER)
@given(
    st.lists(WITH_CONTENTS, max_size=8, unique_by=lambda entry: entry.path),
    st.randoms(use_true_random=False),
)
def test_a_respelled_manifest_is_converted_back(
    entries: list[Entry], chance: random.Random
) -> None:
    data = dump.serialise([Entry(path=b"/", mode=0o40755, uid=0, gid=0), *entries])
    first, *rest = data.splitlines()
    chance.shuffle(rest)
    other = b"\n".join(respelled(text, chance) for text in (first, *rest))
    assert any_dump.to_manifest(any_dump.parse(other)) == data
