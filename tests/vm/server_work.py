# SPDX-License-Identifier: Apache-2.0
"""What a server does every day, as commands that fail if what they do doesn't work. Data only.

AS_ROOT and AS_USER map what it is to a shell command, run in this order in one machine. Nothing
of it may leave a line in the gate's log.
"""

from __future__ import annotations

from .server_machine import PASSWORD

_SSH = "ssh -o StrictHostKeyChecking=accept-new"
_BY_KEY = f"{_SSH} -o BatchMode=yes user@localhost"
_BY_PASSWORD = (
    f"{_SSH} -o PreferredAuthentications=password -o PubkeyAuthentication=no user@localhost"
)
_ASKED = "SSH_ASKPASS=$HOME/askpass SSH_ASKPASS_REQUIRE=force"
_SUDO = f"echo {PASSWORD} | sudo -S -p ''"
_IMAGE = "tar -C /usr/bin -c busybox | podman import --quiet - server/busybox >/dev/null"
_PODMAN = "podman run --rm --network=none --cgroups=disabled server/busybox /busybox id -u"
_JIT = "let sum = 0; for (let i = 0; i < 3e6; i++) sum += i % 7; if (sum !== 8999994) throw sum"

AS_USER = {
    "a login by key": f'[ "$({_BY_KEY} id -un)" = user ]',
    "a login by password, by PAM": f'[ "$({_ASKED} {_BY_PASSWORD} id -un)" = user ]',
    "sudo, by password": f'[ "$({_SUDO} id -un)" = root ]',
    "a program of their own": 'gcc -o ~/own ~/own.c && [ "$(~/own)" = "ran own" ]',
    "a script of their own": '[ "$(~/own.sh)" = "ran script" ]',
    "python": '[ "$(python3 ~/own.py)" = 1 ] && [ "$(~/own.py)" = 1 ]',
    "a compiler at run time": f'node -e "{_JIT}"',
    "a user namespace": '[ "$(unshare -Ur id -u)" = 0 ] && unshare -Ur ~/own',
    "a private tmpfs": "unshare -Urm sh -c 'mount -t tmpfs x /mnt && cp ~/own /mnt && /mnt/own'",
    "a sandbox": "bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all ~/own",
    "a rootless container": f"[ \"$({_BY_KEY} '{_IMAGE} && {_PODMAN}')\" = 0 ]",
    "at": "echo 'id -un >/tmp/at-ran' | at now 2>&1 && "
    "until [ -s /tmp/at-ran ]; do sleep 0.2; done && [ $(cat /tmp/at-ran) = user ]",
    "lists of packages": "dpkg -l bash && apt-cache policy bash",
    "the gate's status": "cat /sys/fs/bpf/verity/status /sys/fs/bpf/verity/denials",
}
AS_ROOT = {
    "su": '[ "$(su - user -c "id -un")" = user ]',
    # cron looks at the clock when it starts, and then once a minute.
    "a cron job": "date -s 12:00:57 && systemctl restart cron"
    " && until [ -s /run/cron-ran ]; do sleep 0.2; done"
    ' && [ "$(cat /run/cron-ran)" = root ]',
    "the daily jobs": "run-parts --exit-on-error /etc/cron.daily",
    "a timer": "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=1ms touch /run/timer"
    " && until [ -e /run/timer ]; do sleep 0.1; done",
    "logrotate": "logrotate -f /etc/logrotate.conf",
    "journal": "journalctl --rotate && journalctl --vacuum-time=1s && journalctl -n 1",
    "udev": "udevadm trigger && udevadm settle",
    "daemon-reload": "systemctl daemon-reload && systemctl daemon-reexec",
    "a transient unit": "systemd-run --wait --quiet true",
    "a shielded unit": "systemd-run --wait --quiet -p ProtectKernelTunables=yes"
    " -p ProtectSystem=strict -p ProtectHome=yes -p PrivateTmp=yes -p PrivateDevices=yes"
    " -p ProtectControlGroups=yes -p TemporaryFileSystem=/opt cat /sys/fs/bpf/verity/status",
    "a unit of a user of its own": "systemd-run --wait --quiet -p DynamicUser=yes"
    " -p PrivateUsers=yes -p MemoryDenyWriteExecute=yes -p StateDirectory=own true",
    "modules": "modprobe xfs && modprobe btrfs && modprobe loop && modprobe -r xfs btrfs",
    "a device of the network": "ip link add dummy0 type dummy && udevadm settle"
    " && ip link del dummy0",
    "a loop mount": "truncate -s 20M /var/tmp/disk && mkfs.ext4 -q /var/tmp/disk"
    " && mount -o loop /var/tmp/disk /mnt && umount /mnt",
    "restarts": "systemctl restart systemd-logind systemd-udevd systemd-journald dbus cron"
    " polkit ssh",
    "accounts": "useradd -m other && echo other:x | chpasswd && userdel -r other"
    " && adduser --system --quiet third && deluser --quiet third",
    "the host's name and time": "hostnamectl hostname other && timedatectl && localectl",
    "polkit": "pkcheck --action-id org.freedesktop.hostname1.set-hostname --process $$",
    "a mount namespace": "unshare -m sh -c 'mount -t tmpfs x /mnt && mount --make-rshared /'",
    "a container's root": "unshare -m sh -c 'mkdir -p /run/new && mount --rbind / /run/new"
    " && mount --make-rslave /run/new && cd /run/new && pivot_root . mnt && umount -l /mnt'",
    "caches": "ldconfig && systemd-tmpfiles --create && systemd-sysusers && udevadm hwdb --test=x",
    "packages": "apt-get check && dpkg --verify coreutils"
    " && update-alternatives --query awk && ucfq sshd_config",
    "upgrades that nobody attends": "unattended-upgrade --dry-run",
    "what is to be restarted": "needrestart -b -r l",
    "compilers": "cd /run && gcc -c -o own.o /home/user/own.c",
    "verity itself": "verity lockdown status && verity doctor",
}
