# SPDX-License-Identifier: Apache-2.0
"""GVariant: exact bytes, round trips, and that nothing is read that would not be written."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import gvariant
from verity.formats.gvariant import Value, Variant, decode, encode
from verity.values.errors import CallerError, ContentError

# The first ones are the examples of the GVariant specification, section 2.5.
VECTORS: list[tuple[str, Value, str]] = [
    ("s", "hello world", "68656c6c6f20776f726c6400"),
    ("(si)", ("foo", -1), "666f6f00ffffffff04"),
    ("as", ("i", "can", "has", "strings?"), "690063616e0068617300737472696e67733f0002060a13"),
    ("ay", b"\x04\x05\x06\x07", "04050607"),
    ("ai", (4, 258), "0400000002010000"),
    ("(yy)", (0x70, 0x80), "7080"),
    ("a(iy)", ((96, 0x70), (648, 0xF7)), "600000007000000088020000f7000000"),
    ("(iy)", (96, 0x70), "6000000070000000"),
    ("a(sy)", (("hi", 1), ("there", 2)), "68690001037468657265000206050d"),
    ("(ayis)", (b"\x01", 2, ""), "01000000020000000001"),
    ("()", (), "00"),
    ("a()", ((), ()), "0000"),
    ("b", True, "01"),
    ("v", Variant("s", "x"), "78000073"),
    ("a{sv}", (), ""),
    ("aay", (b"", b""), "0000"),
    ("aay", (b"ab", b"", b"c"), "616263020203"),
    ("x", -1, "ff" * 8),
    ("d", 1.5, "000000000000f83f"),
    ("(uv)", (1, Variant("t", 2)), "01000000000000000200000000000000" + "0074"),
]


@pytest.mark.parametrize(("signature", "value", "expected"), VECTORS)
def test_vector(signature: str, value: Value, expected: str) -> None:
    assert encode(signature, value).hex() == expected
    assert decode(signature, bytes.fromhex(expected), label="it") == value


def deep(levels: int) -> bytes:
    """A variant of a variant of ..."""
    return b"x" + b"\0y" + b"\0v" * (levels - 1)


def test_depth_is_bounded() -> None:
    decode("v", deep(gvariant.MAX_DEPTH - 1), label="it")
    for levels in (gvariant.MAX_DEPTH + 1, 100_000):
        with pytest.raises(ContentError, match="levels"):
            decode("v", deep(levels), label="it")
    value: Value = 1
    for number in range(gvariant.MAX_DEPTH + 1):
        value = Variant("v" if number else "y", value)
    with pytest.raises(CallerError, match="levels"):
        encode("v", value)


def test_depth_is_of_one_value_not_of_all() -> None:
    value = (Variant("aay", (b"x",)),) * 100
    assert decode("av", encode("av", value), label="it") == value


def test_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode("aay", [b""] * 5)
    monkeypatch.setattr("verity.formats._gvariant_basic.MAX_ITEMS", 5)
    assert decode("aay", data, label="it") == (b"",) * 5
    monkeypatch.setattr("verity.formats._gvariant_basic.MAX_ITEMS", 4)
    with pytest.raises(ContentError, match="more than 4 array elements"):
        decode("aay", data, label="it")


def test_size_is_bounded() -> None:
    with pytest.raises(ContentError, match="at most"):
        decode("ay", bytes(gvariant.MAX_SIZE + 1), label="it")


@pytest.mark.parametrize(
    "signature", ["", "z", "yy", "(y", "y)", "{sy", "{vy}", "a", "m", "a" * 300]
)
def test_bad_type(signature: str) -> None:
    with pytest.raises(CallerError):
        decode(signature, b"", label="it")
    with pytest.raises(CallerError):
        encode(signature, 0)


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("y", 256), ("y", True), ("u", -1), ("d", 1), ("b", 1), ("s", b"x"), ("s", "a\0b"),
        ("s", "\ud800"), ("ay", "x"), ("as", "x"), ("(yy)", (1,)), ("v", 1),
        ("v", Variant("z", 1)), ("v", Variant("*", b"x")), ("x", 1 << 63),
    ],
)  # fmt: skip
def test_bad_value(signature: str, value: Value) -> None:
    with pytest.raises(CallerError) as caught:
        encode(signature, value)
    assert caught.value.code == "bad-value"


def test_list_in_a_variant_becomes_a_tuple() -> None:
    variant = Variant("aay", [b"x"])
    assert variant == Variant("aay", (b"x",))
    assert hash(variant) == hash(Variant("aay", (b"x",)))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 253, 254, 255, 256, 65530, 65533, 65535, 65537])
def test_widths_of_offsets(size: int) -> None:
    """Around the sizes at which framing offsets grow."""
    for signature, value in (
        ("aay", (b"x" * size,)),
        ("(ayay)", (b"x" * size, b"y")),
        ("(sss)", ("x" * size, "", "z")),
    ):
        assert decode(signature, encode(signature, value), label="it") == value


def test_raw_entries_keep_what_nobody_can_read() -> None:
    """An a{s*} is the same bytes as its a{sv}, also where a value makes no sense."""
    data = encode("a{sv}", [("k", Variant("y", 1)), ("other", Variant("as", ["x", ""]))])
    raw = decode("a{s*}", data, label="it")
    assert isinstance(raw, tuple)
    assert encode("a{s*}", raw) == data
    broken = encode("a{s*}", [("k", b"nonsense"), *raw])
    with pytest.raises(ContentError):
        decode("a{sv}", broken, label="it")
    assert decode("a{s*}", broken, label="it") == (("k", b"nonsense"), *raw)


# --- properties ----------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
BASIC: dict[str, st.SearchStrategy[Value]] = {
    "y": st.integers(0, 255),
    "b": st.booleans(),
    "n": st.integers(-(1 << 15), (1 << 15) - 1),
    "q": st.integers(0, (1 << 16) - 1),
    "i": st.integers(-(1 << 31), (1 << 31) - 1),
    "u": st.integers(0, (1 << 32) - 1),
    "x": st.integers(-(1 << 63), (1 << 63) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "d": st.floats(allow_nan=False),
    "s": TEXT,
}
SIGNATURES = st.recursive(
    st.sampled_from([*BASIC, "ay", "v"]),
    lambda inner: st.one_of(
        inner.map(lambda item: f"a{item}"),
        st.lists(inner, max_size=4).map(lambda items: f"({''.join(items)})"),
        st.tuples(st.sampled_from(list(BASIC)), inner).map(lambda pair: f"a{{{''.join(pair)}}}"),
    ),
    max_leaves=6,
)


def values(signature: str) -> st.SearchStrategy[Value]:
    """Values of one type."""
    return parse(signature, 0)[0]


def parse(signature: str, at: int) -> tuple[st.SearchStrategy[Value], int]:
    letter = signature[at]
    if letter in BASIC:
        return BASIC[letter], at + 1
    if letter == "v":
        return st.deferred(lambda: VARIANTS), at + 1
    if letter == "a":
        if signature[at + 1] == "y":
            return st.binary(max_size=300), at + 2
        item, at = parse(signature, at + 1)
        return st.lists(item, max_size=4).map(tuple), at
    items = []
    at += 1
    while signature[at] not in ")}":
        item, at = parse(signature, at)
        items.append(item)
    return st.tuples(*items), at + 1


def of_type(signature: str) -> st.SearchStrategy[tuple[str, Value]]:
    return values(signature).map(lambda value: (signature, value))


VARIANTS: st.SearchStrategy[Value] = (
    st.sampled_from(["y", "s", "ay", "as", "aay", "t", "(ys)", "a{sy}", "b"])
    .flatmap(of_type)
    .map(lambda pair: Variant(*pair))
)
TYPED = SIGNATURES.flatmap(of_type)


@given(TYPED)
def test_round_trip(typed: tuple[str, Value]) -> None:
    signature, value = typed
    data = encode(signature, value)
    assert decode(signature, data, label="it") == value


@given(SIGNATURES, st.binary(max_size=64))
def test_any_bytes_are_canonical_or_refused(signature: str, data: bytes) -> None:
    check_canonical(signature, data)


@given(TYPED, st.randoms(use_true_random=False))
def test_mutations_are_canonical_or_refused(
    typed: tuple[str, Value], chance: random.Random
) -> None:
    signature, value = typed
    data = encode(signature, value)
    for _ in range(20):
        check_canonical(signature, mutated(data, chance))


def check_canonical(signature: str, data: bytes) -> None:
    try:
        value = decode(signature, data, label="it")
    except ContentError:
        return
    assert encode(signature, value) == data


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three bytes changed, put in or taken out."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(4):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                out[at:at] = bytes([chance.choice((0, 1, 2, 255))])
            case 2:
                del out[at : at + 1]
            case _:
                del out[at:]
    return bytes(out)


def test_a_signalling_nan_keeps_its_bits() -> None:
    data = struct.pack("<Q", 0x7FF4_0000_0000_0001)
    assert encode("d", decode("d", data, label="it")) == data
