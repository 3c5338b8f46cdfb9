# SPDX-License-Identifier: Apache-2.0
"""Our GVariant against GLib's own, the library that ostree uses, called through ctypes.

What we write is in GLib's normal form; what we read is exactly what GLib calls normal. GLib
accepts more types than we do, so bytes that name another type within a variant are left out.
"""

import ctypes
import ctypes.util
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.formats.test_gvariant import SIGNATURES, TYPED, mutated
from verity.formats.gvariant import Value, decode, encode
from verity.values.errors import ContentError

NAME = ctypes.util.find_library("glib-2.0")


class GLib:
    """The four functions that are needed, with their types."""

    def __init__(self) -> None:
        pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
        self.lib = ctypes.CDLL(NAME)
        for name, result, arguments in (
            ("g_bytes_new", pointer, [text, size]),
            ("g_bytes_unref", None, [pointer]),
            ("g_variant_type_new", pointer, [text]),
            ("g_variant_type_free", None, [pointer]),
            ("g_variant_new_from_bytes", pointer, [pointer, pointer, ctypes.c_int]),
            ("g_variant_ref_sink", pointer, [pointer]),
            ("g_variant_unref", None, [pointer]),
            ("g_variant_is_normal_form", ctypes.c_int, [pointer]),
        ):
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments

    def is_normal(self, signature: str, data: bytes) -> bool:
        """Whether GLib says that these bytes are the normal form of something."""
        lib = self.lib
        kind = lib.g_variant_type_new(signature.encode())
        held = lib.g_bytes_new(data, len(data))
        variant = lib.g_variant_ref_sink(lib.g_variant_new_from_bytes(kind, held, 0))
        normal = bool(lib.g_variant_is_normal_form(variant))
        lib.g_variant_unref(variant)
        lib.g_bytes_unref(held)
        lib.g_variant_type_free(kind)
        return normal


@pytest.fixture(scope="module")
def glib() -> GLib:
    return GLib()


@given(TYPED)
@settings(max_examples=200)
def test_what_we_write_is_normal(glib: GLib, typed: tuple[str, Value]) -> None:
    assert glib.is_normal(typed[0], encode(*typed))


@given(TYPED, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_same_verdict_on_mutations(
    glib: GLib, typed: tuple[str, Value], chance: random.Random
) -> None:
    data = encode(*typed)
    for _ in range(20):
        check_same(glib, typed[0], mutated(data, chance))


@given(SIGNATURES, st.binary(max_size=40))
@settings(max_examples=500)
def test_same_verdict_on_any_bytes(glib: GLib, signature: str, data: bytes) -> None:
    check_same(glib, signature, data)


@pytest.mark.parametrize("size", [126, 127, 253, 254, 255, 256, 65532, 65533, 65534, 65535, 65536])
def test_same_width_of_offsets(glib: GLib, size: int) -> None:
    for signature, value in (
        ("aay", (b"x" * size,)),
        ("aay", (b"x",) * size),
        ("(ayay)", (b"x" * size, b"y")),
        ("(sss)", ("x" * size, "", "z")),
    ):
        assert glib.is_normal(signature, encode(signature, value))


def check_same(glib: GLib, signature: str, data: bytes) -> None:
    try:
        decode(signature, data, label="it")
        ours = True
    except ContentError as error:
        # GLib takes no bytes at all for a tuple too, whatever its type, and never writes that.
        if "not a type" in error.message or "too short for its framing" in error.message:
            return
        ours = False
    assert glib.is_normal(signature, data) == ours, (signature, data)
