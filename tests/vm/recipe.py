# SPDX-License-Identifier: Apache-2.0
"""What the guest's Debian is made of: data only. A change here makes a new image.

The tree is later committed to OSTree, which takes no devices, and must hold nothing that belongs
to one machine.
"""

from __future__ import annotations

import os

SUITE = "trixie"
# 2025-08-09, the release of trixie: time stamps that a build makes are set to this.
SOURCE_DATE_EPOCH = "1754697600"
ROOT_SIZE = "3G"
ROOT_BLOCK_SIZE = "4096"

PACKAGES = (
    # an ordinary small server
    "systemd systemd-sysv udev dbus libpam-systemd passwd procps iproute2 util-linux kmod login"
    " openssh-server sudo cron logrotate python3"
    # what verity stands on
    " ostree fsverity keyutils libcap2-bin attr acl gpg gpgv openssl"
    # file systems and tools of the tests
    " e2fsprogs btrfs-progs f2fs-tools xfsprogs fuse3 bpftool strace"
    # the kernel, and what the harness needs
    " linux-image-amd64 qemu-guest-agent busybox-static"
).split()

# A fuller server, for what must keep working on a sealed host: what compiles at run time, what
# makes containers, what of Debian is written in Python or Perl, and compilers.
SERVER_PACKAGES = (
    *PACKAGES,
    *(
        "at bubblewrap crun fuse-overlayfs gcc libc6-dev needrestart nodejs podman polkitd"
        " stress-ng uidmap unattended-upgrades"
    ).split(),
)

# For dpkg's configuration, as many a server's Debian has it: translations are a tenth of the bytes.
DPKG_OPTIONS = ("path-exclude=/usr/share/locale/*",)

# Units that only make noise or cost seconds at every boot of a machine that lives for a minute.
# ssh: host keys are of one machine, so the tree holds none, and making them at first boot takes
# seconds under emulation. So ssh isn't started at boot; after `ssh-keygen -A` it starts.
MASKED_UNITS = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
    " logrotate.timer man-db.timer e2scrub_reap.service getty@tty1.service getty-static.service"
    " serial-getty@ttyS0.service serial-getty@hvc0.service systemd-timesyncd.service"
    " xfs_scrub_all.timer"
).split()

# Shell lines run by mmdebstrap at the end, with the tree as $1.
CUSTOMIZE = (
    'chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash user',
    'chroot "$1" passwd --lock root >/dev/null',
    'chroot "$1" systemctl disable ssh.service >/dev/null 2>&1',
    *(f'ln -sf /dev/null "$1/etc/systemd/system/{unit}"' for unit in MASKED_UNITS),
    'echo verity-vm >"$1/etc/hostname"',
    'printf "127.0.0.1 localhost\\n127.0.1.1 verity-vm\\n" >"$1/etc/hosts"',
    # Empty, not missing: missing would mean "first boot", with its presets and questions.
    ': >"$1/etc/machine-id"',
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id',
    # The harness boots with an initramfs of its own.
    'rm -f "$1"/boot/initrd.img-*',
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log "$1"/var/log/apt/*',
    'rm -rf "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/systemd/random-seed',
    # Says "/etc and /var are up to date with /usr": saves the rebuild of hwdb and ldconfig's cache.
    'touch -r "$1/usr" "$1/etc/.updated" "$1/var/.updated"',
)


def mirror() -> str:
    """$VERITY_MIRROR, or nothing for the one that mmdebstrap takes by itself, Debian's own."""
    return os.environ.get("VERITY_MIRROR", "")
