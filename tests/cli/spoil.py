# SPDX-License-Identifier: Apache-2.0
"""The ways to spoil a signed world, and the command lines that look at it."""

from collections.abc import Callable

from tests.cli.worlds import OTHER_REF, REF, World
from verity.formats.commit import DetachedMetadata
from verity.verbs import signed

REPO = ("--repo", "repo")
KEY = ("--key", "vendor.pem.pub")
VERIFY = ("commit", "verify", *REPO, *KEY)
AS = ("--stream", "os", "--serial", "3")
SIGN = ("commit", "sign", *REPO, *AS)
EXPLAIN = ("explain", "--root", "tree", *REPO, "--commit", REF, *KEY)
AUDIT = ("audit", "--root", "tree", *REPO, "--commit", REF, *KEY)


def nothing(world: World) -> None:
    """Change nothing: the arguments are what is bad."""


def chmod(name: str, mode: int) -> Callable[[World], None]:
    return lambda world: (world.path / name).chmod(mode)


def change_detached(change: Callable[[DetachedMetadata], DetachedMetadata]) -> Callable[..., None]:
    return lambda world: world.attach(change(world.detached()))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def flip_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    manifest = signed.manifest_bytes(metadata, "test")
    assert b" 100755 " in manifest
    changed = manifest.replace(b" 100755 ", b" 104755 ", 1)
    return metadata.with_bytes(signed.MANIFEST, signed.pack_manifest(changed))


def flip_packed_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    packed = metadata.get_bytes(signed.MANIFEST) or b""
    return metadata.with_bytes(signed.MANIFEST, flipped(packed, len(packed) // 2))


def grow_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    packed = metadata.get_bytes(signed.MANIFEST) or b""
    return metadata.with_bytes(signed.MANIFEST, (2**40).to_bytes(8, "little") + packed[8:])


def flip_grants(metadata: DetachedMetadata) -> DetachedMetadata:
    blob = metadata.get_bytes(signed.GRANTS) or b""
    return metadata.with_bytes(signed.GRANTS, flipped(blob, -1))


def flip_pkcs7(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.GRANTS_SIGNATURES)
    return metadata.with_byte_arrays(signed.GRANTS_SIGNATURES, [flipped(one, -1)])


def flip_template(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.GRANTS_SIGNATURES)
    return metadata.with_byte_arrays(signed.GRANTS_SIGNATURES, [flipped(one, 20)])


def flip_statement(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.STATEMENT)
    at = one.index(b'"payload": "') + 60
    other = b"A" if one[at : at + 1] != b"A" else b"B"
    return metadata.with_byte_arrays(signed.STATEMENT, [one[:at] + other + one[at + 1 :]])


def spoil_envelope(metadata: DetachedMetadata) -> DetachedMetadata:
    return metadata.with_byte_arrays(signed.STATEMENT, [b'{"payload":'])


def swap_detached(world: World) -> None:
    one, other = world.commitmeta(), world.commitmeta(OTHER_REF)
    ours, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(theirs)
    other.write_bytes(ours)


def swap_grants(world: World) -> None:
    theirs = world.detached(OTHER_REF)
    world.attach(
        world.detached()
        .with_bytes(signed.GRANTS, theirs.get_bytes(signed.GRANTS) or b"")
        .with_byte_arrays(
            signed.GRANTS_SIGNATURES, theirs.get_byte_arrays(signed.GRANTS_SIGNATURES)
        )
    )


def replace_object(path: str) -> Callable[[World], None]:
    """Other contents of the same length, as somebody with write access would."""

    def change(world: World) -> None:
        file = world.content(path)
        file.write_bytes(flipped(file.read_bytes(), -1))

    return change


def truncate_object(path: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        file = world.content(path)
        file.write_bytes(file.read_bytes()[:-1])

    return change


def remove_object(path: str) -> Callable[[World], None]:
    return lambda world: world.content(path).unlink()


def link_object(world: World) -> None:
    file = world.content("/usr/share/big")
    file.unlink()
    file.symlink_to(world.path / "tree/usr/share/big")


def flip_commit(world: World) -> None:
    file = world.object(world.checksum(), "commit")
    file.write_bytes(flipped(file.read_bytes(), 20))


def remove_root_dirtree(world: World) -> None:
    for file in world.repo.glob("objects/*/*.dirtree"):
        file.unlink()


def write(name: str, text: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        (world.path / name).write_text(text)

    return change


def both(*spoils: Callable[[World], object]) -> Callable[[World], None]:
    def change(world: World) -> None:
        for spoil in spoils:
            spoil(world)

    return change


def as_bare_user_only(world: World) -> None:
    config = world.repo / "config"
    config.write_text(config.read_text().replace("mode=bare", "mode=bare-user-only"))
