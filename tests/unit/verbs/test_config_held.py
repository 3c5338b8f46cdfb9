# SPDX-License-Identifier: Apache-2.0
"""Configuration grants that are refused before the gate would see them, or a signer."""

from pathlib import Path

import pytest

from tests.boot import EXTENSION, OS, grants_blob
from tests.world import EXPIRES, ISSUED
from verity.formats.dump import Entry
from verity.formats.grants import MAX_CONFIG_PATHS, ConfigEntry, ConfigKind, Party, Role
from verity.formats.sign_bundle import BundleKind
from verity.ports.floors import FloorStore
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError
from verity.verbs import documents, grant_floors
from verity.verbs.serial_floors import HostState
from verity.verbs.sign_prepare import Spot

ONE = b"\x01" * 32
STREAMS = {
    "os": TrustedSet.of_keys([OS.public], party=Party.VENDOR, role=Role.OS),
    "host": TrustedSet.of_keys([EXTENSION.public], party=Party.USER, role=Role.ETC),
}


def blob(path: bytes) -> bytes:
    config = (ConfigEntry(path=path, kind=ConfigKind.FILE, digest=ONE),)
    return grants_blob(Party.VENDOR, Role.OS, "os", config=config)


def test_an_import_of_what_is_the_owners(tmp_path: Path) -> None:
    """A running gate would take it: only the host's bundle says that the owner has a stream."""
    state = HostState(store=FloorStore(tmp_path), bundle=tmp_path / "none", without_floor=True)
    for path in (b"/etc", b"/etc/a", b"/root/.bashrc", b"/home/a/.ssh/config"):
        with pytest.raises(ContentError) as caught:
            grant_floors.hold(state, STREAMS, blob(path), label="f")
        assert caught.value.code == "owners-path"
        assert f"{path.decode()}, which is the stream host's" in caught.value.message
    for path in (b"/usr/etc/a", b"/etcetera/a", b"/usr/lib/systemd/a"):
        grant_floors.hold(state, STREAMS, blob(path), label="f")
    grant_floors.hold(state, {"os": STREAMS["os"]}, blob(b"/etc/a"), label="f")


@pytest.mark.parametrize("more", [0, 1])
def test_more_paths_than_the_gate_holds(more: int) -> None:
    """An /etc that is too large is refused when it is signed, not when the host boots."""
    place = Spot(stream="s", serial=1, issued=ISSUED, expires=EXPIRES).place(BundleKind.ETC, 1)
    entries = [Entry(path=one, mode=0o40755, uid=0, gid=0) for one in (b"/", b"/etc")] + [
        Entry(path=b"/etc/%05d" % n, mode=0o100644, uid=0, gid=0, digest=ONE)
        for n in range(MAX_CONFIG_PATHS + more)
    ]
    if not more:
        documents.prepare(place, entries, {}, subjects={})
        return
    with pytest.raises(ContentError, match="8193 configuration paths, the gate holds 8192"):
        documents.prepare(place, entries, {}, subjects={})
