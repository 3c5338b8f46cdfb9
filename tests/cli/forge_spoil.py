# SPDX-License-Identifier: Apache-2.0
"""What is done to a forge before a run that must be refused: one change each."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

from tests.cli import forge
from tests.cli.program import stock


def nothing(_: Path) -> None:
    pass


def flip(name: str, at: int) -> Callable[[Path], None]:
    """One bit of a file; ``at`` counts from its start, or from its end if negative."""

    def change(directory: Path) -> None:
        data = bytearray((directory / name).read_bytes())
        data[at] ^= 1
        (directory / name).write_bytes(data)

    return change


def cut(name: str) -> Callable[[Path], None]:
    return lambda directory: os.truncate(directory / name, 100)


def unsigned(name: str) -> Callable[[Path], None]:
    """Without the signatures behind the blob."""

    def change(directory: Path) -> None:
        data = (directory / name).read_bytes()
        (size,) = struct.unpack_from("<I", data, 4)
        (directory / name).write_bytes(data[: 8 + size])

    return change


def resigned(name: str, *args: str) -> Callable[[Path], None]:
    """Made anew by another command line."""

    def change(directory: Path) -> None:
        (directory / name).unlink()
        (directory / f"{name}.json").unlink(missing_ok=True)  # beside a policy
        forge.run(directory, *args, name)

    return change


def file(name: str, data: bytes, mode: int) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / name
        path.write_bytes(data)
        path.chmod(mode)

    return change


def only_data(directory: Path) -> None:
    (directory / "empty").mkdir()
    (directory / "empty/data").write_text("x")


def only_a_link(directory: Path) -> None:
    (directory / "taken").symlink_to("nowhere")


def taken(directory: Path) -> None:
    (directory / "taken").mkdir()


def not_the_template(directory: Path) -> None:
    world = forge.as_world(directory)
    signature = world.detached().get_byte_arrays("verity.grants.p7s")[0]
    world.attach(world.detached().with_byte_arrays("verity.grants.p7s", [signature + b"\0"]))


def commit_unsigned(directory: Path) -> None:
    stock("ostree", "--repo=repo", "commit", "-b", "unsigned", "tree", cwd=directory)


def key_for_a_pin(directory: Path) -> None:
    (directory / "user.pin").write_bytes((directory / "uroot.pem.pub").read_bytes())


def doubled(directory: Path) -> None:
    (directory / "two").write_bytes((directory / "os.grants").read_bytes() * 2)
