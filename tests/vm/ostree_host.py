# SPDX-License-Identifier: Apache-2.0
"""A Debian that OSTree deploys and boots, sealed with the default policy: its disk, and the vendor.

The image's tree, with verity in it, is a commit as a vendor would sign it; stock ostree puts it
into a repository, deploys it and makes the boot entry, and the initramfs is dracut's with ostree's
own module, so that the machine's root is the deployment. The owner signs /etc, policy and boot
bundle with verity's verbs. Only QEMU takes the boot loader's place: it hands over kernel, initramfs
and command line.

The vendor's repository has a second commit, an update: a program is new, another is altered, a file
is gone. /etc has the same defaults.

There is also the host as the vendor's installer leaves it, before its owner has done anything:
their keyring came with the system, and no gate, no pin and no key of a user is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import boot_world, cache, debs
from .debian import run
from .image import Image
from .machine import Machine
from .qemu import Disk
from .trust_world import DAYS, verity

BRANCH, OS = "debian/trixie", "debian"
REF = f"vendor:{BRANCH}"
OS_STREAM, ETC_STREAM = "debian-trixie", "etc-host"
VENDOR = "/run/share"
"""Where the running host has the vendor's repository."""
PARTS = "var/lib/verity/parts"
_PARTIES = ("vendor", "user")
_REMOUNT, _GATE = "ostree-remount.service", "verity-gate.service"
_DAYS = f"--days={DAYS}"
# The first lets no unit bring /etc up to date with a /usr whose times are all 1970.
_APPEND = "systemd.condition_needs_update=0 root=/dev/vda rw"
_PREPARE_S, _BOOT_S = 900.0, 400.0

# As ostree wants a tree: one /usr with the kernel, defaults of /etc in it, state in /var, which has
# a file that gets to no host that has a /var already.
_LAYOUT = """
set -e; cd {root}
dpkg-deb -x {debs}/ostree-boot_*.deb .
chroot . systemctl enable --quiet {units}
# By no time stamp: OSTree sets all of them to 0.
for folder in usr/lib/python3*; do
    chroot . python3 -m compileall -q --invalidation-mode unchecked-hash /$folder || :
done
kernel=$(ls usr/lib/modules)
mv boot/vmlinuz-* usr/lib/modules/$kernel/vmlinuz
cp {initramfs} usr/lib/modules/$kernel/initramfs.img
rm -rf boot/* dev/* initrd.img* vmlinuz*; find var -mindepth 1 -delete
mkdir -p var/lib/begins; echo signed >var/lib/begins/file
mv etc usr/etc
for place in home media mnt opt srv; do rm -r $place; ln -s var/$place $place; done
rm -r root; ln -s var/roothome root
mkdir sysroot; ln -s sysroot/ostree ostree
"""
_KEYRING = """
mkdir -p {root}/usr/lib/verity/keyrings
cp -r {keyrings}/vendor {root}/usr/lib/verity/keyrings/
"""
_UPDATE = """
set -e; cd {root}
printf '#!/bin/sh\\necho second\\n' >usr/bin/greet; chmod 755 usr/bin/greet
echo 'VARIANT=second' >>usr/lib/os-release
printf x >>usr/bin/busybox
rm usr/share/doc/bash/copyright
"""
# What the initramfs is made of is not what the commit holds.
_INITRAMFS = """
dpkg --unpack --force-depends /run/debs/*.deb >/dev/null 2>&1
dracut --force --no-hostonly --no-hostonly-cmdline --quiet --add ostree \
    --drivers 'virtio_blk virtio_pci ext4 crc32c_generic' /run/made {release}
"""
_STATE = """
set -e; cd {sysroot}
cp -a {tree}/var/. ostree/deploy/{os}/var/
for place in home media mnt opt srv; do cp -a {tree}/$place ostree/deploy/{os}/var/; done
cp -a {tree}/root ostree/deploy/{os}/var/roothome
"""
_DISK = """
set -e
mount {device} /srv; repo=/srv/ostree/repo
host=$(echo /srv/ostree/deploy/{os}/deploy/*.0)
mount --bind /srv/ostree/deploy/{os}/var $host/var
trusted="--keyring $host/etc/verity/keyrings"
for party in vendor user; do
    trusted="$trusted --pin $party=$host/etc/verity/pins/$party.pin"
done
verity objects enable --repo $repo $trusted --checkout $host {ref}
verity commit verify --root $host --repo $repo $trusted --accept-without-floor {ref}
verity etc sign --root $host --key /run/user-etc.pem --stream {stream} --serial 1
verity etc apply --root $host $trusted
parts=$host/{parts}; mkdir -p $parts
verity commit show --repo $repo --grants {ref} >$parts/os.grants
{bundle}
rm -r /run/*.pem
umount $host/var /srv
"""


@dataclass(frozen=True, kw_only=True)
class OstreeHost:
    """`private` has the keys, PARTY-ROLE.pem; `vendor` is a repository for the host to pull from;
    `image` boots the host with `append`, `serial` 2 is what the vendor signed last. `fingerprint`
    is that of the vendor's root keys."""

    image: Image
    private: Path
    vendor: Path
    append: str
    fingerprint: str


def ostree_host(image: Image) -> OstreeHost:
    """The host of an image that has verity in it, sealed; from the cache or made."""
    return _host(image, sealed=True)


def vendor_host(image: Image) -> OstreeHost:
    """The same as its vendor installs it, for its owner to make it ready."""
    return _host(image, sealed=False)


def _host(image: Image, *, sealed: bool) -> OstreeHost:
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    made = image.path / f"{'ostree' if sealed else 'vendor'}-host-{code}"
    cache.entry(made, lambda partial: _build(image, partial, sealed=sealed))
    booted = dataclasses.replace(image, root_disk=made / "host.img", initramfs=made / "initramfs")
    return OstreeHost(
        image=booted,
        private=made / "private",
        vendor=made / "vendor-repo",
        append=f"{_APPEND} ostree={(made / 'booted').read_text()}",
        fingerprint=hashlib.sha256((made / "vendor.pin").read_bytes()).hexdigest(),
    )


def boot(host: OstreeHost) -> Machine:
    """The host, booted from its deployment; the vendor's repository is at `VENDOR`."""
    machine = Machine.boot(
        "system",
        host.image,
        fresh=True,
        share=host.vendor,
        append=host.append,
        timeout_s=_BOOT_S,
    )
    machine.mount_share(VENDOR)
    return machine


def reboot(machine: Machine) -> None:
    """Into what is deployed by then: the boot loader takes the entry of the highest version."""
    entry = "ls -v /boot/loader/entries/ostree-*.conf | tail -n 1"
    options = machine.run(f'sed -n "s/^options //p" "$({entry})"').text
    machine.shutdown(timeout_s=_BOOT_S)
    machine.boot_again(append=options, timeout_s=_BOOT_S)
    machine.mount_share(VENDOR)


def bundle(root: str, at: str = "") -> str:
    """The shell line that makes the boot bundle of the host whose /etc is below `root`, and whose
    documents lie below `at`, anew."""
    pins = (f"--pin={party}={root}/etc/verity/pins/{party}.pin" for party in _PARTIES)
    keys = (f"--keys={root}/etc/verity/keyrings/{party}/1.keys" for party in _PARTIES)
    state = f"{at or root}/var/lib/verity"
    grants = (f"{at or root}/{PARTS}/os.grants", f"{state}/etc/1/grants")
    given = (*pins, *keys, *(f"--grants={one}" for one in grants))
    line = f"--root={root or '/'} {' '.join(given)} --policy={root}/etc/verity/policy.gate"
    return f"verity lockdown bundle --replace {line} {state}/boot.bundle"


def _build(image: Image, partial: Path, *, sealed: bool) -> None:
    private = partial / "private"
    private.mkdir()
    for party in _PARTIES:
        verity("keyring", "init", "--solo", "--party", party, _DAYS, partial / party)
        for path in (partial / party / "private").iterdir():
            path.rename(private / path.name)
    shutil.copyfile(partial / "vendor/vendor.pin", partial / "vendor.pin")
    compile_ = ("policy", "compile", "--mode=sealed", "--serial=1", f"--root={image.tree}", _DAYS)
    streams = (f"{OS_STREAM}=vendor:os", f"{ETC_STREAM}=user:etc", "tools=user:extension")
    key = ("--key", private / "user-policy.pem")
    verity(*compile_, *(f"--stream={one}" for one in streams), *key, partial / "host.policy")
    wanted = debs.packages(image, "dracut-core", "ostree-boot")
    with boot_world.above(image.tree, partial) as root:
        shutil.copytree(wanted, root / "run/debs")
        lines = _INITRAMFS.format(release=image.kernel_release)
        run(["chroot", str(root), "sh", "-ec", lines])
        shutil.copyfile(root / "run/made", partial / "initramfs")
    sysroot = partial / "sysroot"
    with boot_world.above(image.tree, partial, mounts=False) as root:
        initramfs, units = partial / "initramfs", f"{_GATE} {_REMOUNT}" if sealed else _REMOUNT
        run(["sh", "-c", _LAYOUT.format(root=root, debs=wanted, units=units, initramfs=initramfs)])
        if not sealed:
            run(["sh", "-ec", _KEYRING.format(root=root, keyrings=partial / "vendor/keyrings")])
        _commit(root, 1, partial)
        booted, deployed = _deploy(image, partial, sysroot)
        run(["sh", "-c", _UPDATE.format(root=root)])
        _commit(root, 2, partial)
    (partial / "booted").write_text(booted)
    if sealed:
        _give_keys(partial, deployed)
    _make_disk(partial, sysroot)
    if sealed:
        _sign(image, partial)
    for folder in (sysroot, *(partial / party for party in _PARTIES)):
        cache.remove_tree(folder)


def _commit(tree: Path, serial: int, partial: Path) -> None:
    repo, key = f"--repo={partial / 'vendor-repo'}", partial / "private/vendor-os.pem"
    if serial == 1:
        run(["ostree", repo, "init", "--mode=archive"])
        run(["ostree", repo, "config", "set", "archive.zlib-level", "1"])
    run(["ostree", repo, "commit", f"--branch={BRANCH}", f"--tree=dir={tree}"])
    listed = f"--policy={partial}/host.policy.json"
    sign = ("commit", "sign", repo, "--key", key, _DAYS, listed, f"--stream={OS_STREAM}")
    verity(*sign, f"--serial={serial}", BRANCH)
    run(["ostree", repo, "summary", "--update"])


def _deploy(image: Image, partial: Path, sysroot: Path) -> tuple[str, Path]:
    """What stands in the kernel's command line for the first deployment, and where that is."""
    admin = ["env", "OSTREE_SYSROOT_DEBUG=mutable-deployments", "ostree", "admin"]
    repo = f"--repo={sysroot}/ostree/repo"
    sysroot.mkdir()
    run([*admin, "init-fs", str(sysroot)])
    remote = ["remote", "add", "--no-gpg-verify", "vendor", f"file://{VENDOR}", BRANCH]
    run(["ostree", repo, *remote])
    run(["ostree", repo, "pull-local", "--remote=vendor", str(partial / "vendor-repo"), BRANCH])
    run([*admin, f"--sysroot={sysroot}", "os-init", OS])
    kargs = (f"--karg={one}" for one in _APPEND.split())
    run([*admin, f"--sysroot={sysroot}", "deploy", f"--os={OS}", *kargs, REF])
    run(["sh", "-c", _STATE.format(sysroot=sysroot, tree=image.tree, os=OS)])
    (deployed,) = (sysroot / f"ostree/deploy/{OS}/deploy").glob("*.0")
    (booted,) = (sysroot / f"ostree/boot.1/{OS}").iterdir()
    return f"/ostree/boot.1/{OS}/{booted.name}/0", deployed


def _give_keys(partial: Path, deployed: Path) -> None:
    """Pins, keyrings and policy, where the host has them."""
    own = deployed / "etc/verity"
    (own / "pins").mkdir(parents=True)
    for party in _PARTIES:
        shutil.copyfile(partial / party / f"{party}.pin", own / f"pins/{party}.pin")
        shutil.copytree(partial / party / f"keyrings/{party}", own / f"keyrings/{party}")
    shutil.copyfile(partial / "host.policy", own / "policy.gate")
    shutil.copyfile(partial / "host.policy.json", own / "policy.json")


def _make_disk(partial: Path, sysroot: Path) -> None:
    make = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", str(sysroot))
    run([*make, str(partial / "host.img"), "3G"])


def _sign(image: Image, partial: Path) -> None:
    """What its owner does to the host: fs-verity, /etc, boot bundle."""
    disk = partial / "host.img"
    with Machine.boot("system", image, disks=[Disk(path=disk, serial="host")]) as machine:
        machine.push(partial / "private/user-etc.pem", "/run/user-etc.pem")
        lines = _DISK.format(
            device=machine.device("host"),
            os=OS,
            ref=REF,
            stream=ETC_STREAM,
            parts=PARTS,
            bundle=bundle("$host"),
        )
        machine.run(lines, timeout_s=_PREPARE_S)
        machine.shutdown()
