# SPDX-License-Identifier: Apache-2.0
"""Breaking one link of the chain on purpose: the demo must fail there and name the link."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.demo.vendor import BRANCH, Workshop

if TYPE_CHECKING:
    from tests.demo.host import Host


@dataclass(frozen=True)
class Sabotage:
    """Nothing by default; each break overrides one moment."""

    signing_key: str = "vendor"

    def after_signing(self, shop: Workshop) -> None:
        """On the vendor's machine, once the commit is signed."""

    def after_pull(self, host: "Host") -> None:
        """On the host, before anything is verified."""

    def after_enable(self, host: "Host") -> None:
        """On the host, once fs-verity is on."""


_FIND_OBJECT = (
    f"c=$(ostree --repo=/data/repo ls -C vendor:{BRANCH} /usr/bin/passwd | awk '{{print $5}}')"
    "; f=$(echo /data/repo/objects/$c.file | sed 's|objects/..|&/|')"
)


class _Manifest(Sabotage):
    """One byte of the manifest is flipped, behind the back of the signature."""

    def after_signing(self, shop: Workshop) -> None:
        from verity.ports.ostree_repo import Repository
        from verity.verbs import signed

        with Repository(shop.repo) as repository:
            checksum = repository.resolve(BRANCH)
            before = repository.read_detached(checksum)
            data = bytearray(signed.manifest_bytes(before, checksum))
            data[len(data) // 2] ^= 1
            after = before.with_bytes(signed.MANIFEST, signed.pack_manifest(bytes(data)))
            repository.write_detached(checksum, after, expected=before)


class _Object(Sabotage):
    """An object is replaced by one with other contents, as root could."""

    def after_pull(self, host: "Host") -> None:
        host.run(
            f"{_FIND_OBJECT}; cp -a $f $f.new && printf X | dd of=$f.new bs=1 seek=5000"
            " conv=notrunc status=none && mv $f.new $f",
            link="object",
        )


class _Verity(Sabotage):
    """An object is replaced by a copy with the same contents, which has no fs-verity."""

    def after_enable(self, host: "Host") -> None:
        host.run(
            f"{_FIND_OBJECT}; cp -a $f $f.new && mv $f.new $f",
            link="object",
        )


nothing = Sabotage()
BREAKS = {
    "key": Sabotage(signing_key="user"),
    "manifest": _Manifest(),
    "object": _Object(),
    "verity": _Verity(),
}
