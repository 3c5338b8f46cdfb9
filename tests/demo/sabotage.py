# SPDX-License-Identifier: Apache-2.0
"""Breaking one link of the chain on purpose: the demo must fail there and name the link."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.demo import owner
from tests.demo.guarded import BUNDLE, PINS
from tests.demo.vendor import BRANCH, Workshop, run

if TYPE_CHECKING:
    from tests.demo.guarded import GuardedHost
    from tests.demo.host import Host


@dataclass(frozen=True)
class Sabotage:
    """Nothing by default; each break overrides one moment.

    ``boots_unsealed``: the second half's host is not sealed, so that any tree will do for it.
    """

    signing_key: str = "vendor"
    policy_mode: str = "sealed"
    boots_unsealed: bool = False

    def after_signing(self, shop: Workshop) -> None:
        """On the vendor's machine, once the commit is signed."""

    def after_pull(self, host: "Host") -> None:
        """On the host, before anything is verified."""

    def after_enable(self, host: "Host") -> None:
        """On the host, once fs-verity is on."""

    def before_boot(self, host: "GuardedHost", shop: Workshop) -> None:
        """On the host, once pins and bundle are there, before the gate is loaded."""


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


class _Grants(Sabotage):
    """One bit of the commit's grants is flipped in the host's boot bundle."""

    def before_boot(self, host: "GuardedHost", shop: Workshop) -> None:
        at = owner.flipped_in_bundle(shop)
        old = (owner.parcel(shop) / "boot.bundle").read_bytes()[at]
        host.run(
            f"printf '\\{old ^ 1:03o}' | dd of={BUNDLE} bs=1 seek={at} conv=notrunc status=none",
            link="grants",
        )


class _Pin(Sabotage):
    """Somebody's own root key is pinned in the place of the vendor's."""

    def before_boot(self, host: "GuardedHost", shop: Workshop) -> None:
        argv = ["verity", "lockdown", "pin", "--party=vendor", "--root=keys/stranger.pem.pub"]
        run(host.story, [*argv, "stranger.pin"], shop, link="pin")
        host.machine.push(shop.top / "stranger.pin", f"{PINS}/vendor.pin")


nothing = Sabotage()
BREAKS = {
    "key": Sabotage(signing_key="user"),
    "manifest": _Manifest(),
    "object": _Object(),
    "verity": _Verity(),
    "grants": _Grants(boots_unsealed=True),
    "pin": _Pin(boots_unsealed=True),
    "policy": Sabotage(policy_mode="observe", boots_unsealed=True),
}
