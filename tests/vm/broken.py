# SPDX-License-Identifier: Apache-2.0
"""Twenty hosts that would lock their owner out, each broken in one way: data, and how it must end.

REFUSED: `verity lockdown check` names it, so nothing is armed. RECOVERED: the check is passed by on
purpose, the trial's boot enforces or doesn't come up, and the boot after it observes again, with
nobody at the console. Each is made from a host on which nothing is open.
"""

from __future__ import annotations

from dataclasses import dataclass

CODE = "printf '#!/bin/sh\\nexec id\\n' >{0}; chmod 755 {0}\n"
PROGRAM = "cp /usr/bin/id {0}; printf x >>{0}; chmod 755 {0}\n"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """``lines`` break the host; a finding of ``check`` must name ``what``.

    ``runs``: only a host that runs can be broken in this way, and no tree.
    """

    lines: str
    check: str
    what: str
    runs: bool = False


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """``lines`` break the host before the trial is signed, ``later`` behind that.

    ``hangs``: the trial's boot says HANGS and never ends, and its power is cut. ``why`` is how the
    boot after it explains itself; that is the trial's own, too, if it never ``enforces``.
    """

    lines: str = ""
    later: str = ""
    why: str
    hangs: bool = False
    enforces: bool = True


REFUSED = {
    "an unsigned unit": Refused(
        lines=PROGRAM.format("/opt/agent")
        + "printf '[Service]\\nExecStart=/opt/agent\\n[Install]\\nWantedBy=multi-user.target\\n'"
        " >/etc/systemd/system/agent.service; systemctl enable agent\n",
        check="not-granted",
        what="/opt/agent",
    ),
    "an unsigned unit of the owner's own shell": Refused(
        lines="mkdir -p /etc/systemd/system/cron.service.d; printf '[Service]\\nNice=1\\n'"
        " >/etc/systemd/system/cron.service.d/x.conf\n",
        check="config-unsigned",
        what="/etc/systemd/system/cron.service.d/x.conf",
    ),
    "a missing library": Refused(
        lines="rm /usr/lib/x86_64-linux-gnu/libpam.so.0*\n", check="missing", what="libpam.so.0"
    ),
    "an unsigned library": Refused(
        lines="f=$(readlink -f /usr/lib/x86_64-linux-gnu/libkmod.so.2);"
        " cp $f /run/l; printf x >>/run/l; cp --remove-destination /run/l $f\n",
        check="not-granted",
        what="libkmod.so.2",
    ),
    "an unsigned initramfs script": Refused(
        lines="mkdir -p /run/i/scripts/local-top; cd /run/i;"
        + CODE.format("scripts/local-top/evil")
        + "find . | busybox cpio -o -H newc >/boot/initrd.img-6 2>/dev/null\n",
        check="unsigned-in-initramfs",
        what="scripts/local-top/evil",
    ),
    "an unsigned PAM module": Refused(
        lines="cp /usr/lib/x86_64-linux-gnu/security/pam_env.so"
        " /usr/lib/x86_64-linux-gnu/security/pam_other.so;"
        " printf x >>/usr/lib/x86_64-linux-gnu/security/pam_other.so;"
        " echo 'session optional pam_other.so' >>/run/sshd.pam;"
        " cat /etc/pam.d/sshd /run/sshd.pam >/run/new; cp --remove-destination /run/new"
        " /etc/pam.d/sshd\n",
        check="not-granted",
        what="pam_other.so",
    ),
    "an unsigned cron job": Refused(
        lines=CODE.format("/etc/cron.hourly/job"), check="not-granted", what="/etc/cron.hourly/job"
    ),
    "an unsigned helper of udev": Refused(
        lines=PROGRAM.format("/usr/lib/udev/helper")
        + 'echo \'KERNEL=="sd*", RUN+="/usr/lib/udev/helper"\' >/etc/udev/rules.d/9.rules\n',
        check="not-granted",
        what="/usr/lib/udev/helper",
    ),
    "an unsigned command of sshd": Refused(
        lines=CODE.format("/opt/keys")
        + "printf 'AuthorizedKeysCommand /opt/keys\\nAuthorizedKeysCommandUser root\\n'"
        " >/etc/ssh/sshd_config.d/x.conf\n",
        check="not-granted",
        what="/opt/keys",
    ),
    "a signed program that was made set-uid": Refused(
        lines="chmod 4755 /usr/bin/env\n", check="not-elevated", what="/usr/bin/env"
    ),
    "a changed file of /etc": Refused(
        lines="printf 'user ALL=(ALL) NOPASSWD: ALL\\n' >/etc/sudoers.d/user\n",
        check="config-unsigned",
        what="/etc/sudoers.d/user",
    ),
    "a program that lost its fs-verity": Refused(
        lines="cp /usr/sbin/sshd /run/s; cp --remove-destination /run/s /usr/sbin/sshd\n",
        check="no-digest",
        what="/usr/sbin/sshd",
        runs=True,
    ),
    "a wrong keyring": Refused(
        lines="verity keyring init --solo --party user /run/other >/dev/null;"
        " cp --remove-destination /run/other/user.pin /etc/verity/pins/user.pin;"
        " rm -r /etc/verity/keyrings/user;"
        " cp -r /run/other/keyrings/user /etc/verity/keyrings/user\n",
        check="bad-signature",
        what="/var/lib/verity/boot.bundle",
        runs=True,  # of a tree, other pins than its own count
    ),
    "a damaged boot bundle": Refused(
        lines="truncate -s -100 /var/lib/verity/boot.bundle\n",
        check="bad-bundle",
        what="/var/lib/verity/boot.bundle",
    ),
    "a boot bundle that has expired": Refused(
        lines="date -s '+3 years' >/dev/null\n",
        check="expired",
        what="/var/lib/verity/boot.bundle",
        runs=True,
    ),
    "a policy that guards too much": Refused(
        lines='mkdir -p /etc/verity/policy.d; printf \'[[guarded]]\\nclass = "signed"\\npaths ='
        ' ["/var/log"]\\nreason = "too much"\\n\' >/etc/verity/policy.d/90-own.toml;'
        " {init} >/dev/null\n",
        check="config-unsigned",
        what="/var/log/",
    ),
    "a full /var": Refused(
        lines="fallocate -l $(($(df --output=avail -B1 /var | tail -1) - 1048576)) /var/full\n",
        check="no-room",
        what="/var/lib/verity",
        runs=True,
    ),
    "a gate that nobody loads": Refused(
        lines="systemctl disable verity-gate.service 2>/dev/null\n",
        check="not-enabled",
        what="verity-gate.service",
    ),
    "a boot into a shell": Refused(
        lines="mkdir -p /boot/grub; printf 'linux /vmlinuz root=/dev/vda init=/bin/bash\\n'"
        " >/boot/grub/grub.cfg\n",
        check="kernel-argument",
        what="init=/bin/bash",
    ),
}
NO_BPF = "a kernel without BPF LSM"
"""Refused, too, but by another boot."""

# It waits for ever only where the gate enforces, as what waits for a refused program would.
_HANG = """cat >/etc/systemd/system/hang.service <<'END'
[Unit]
DefaultDependencies=no
After=verity-seal.service
Before=basic.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'grep -q "^state sealed" /sys/fs/bpf/verity/status || exit 0; \
    echo HANGS >/dev/ttyS0; sleep infinity'
[Install]
WantedBy=basic.target
END
systemctl enable hang.service
{init}
"""

_EARLY = """cp /usr/bin/sleep /opt/early; cp /opt/early /run/early
cat >/etc/systemd/system/early.service <<'END'
[Unit]
DefaultDependencies=no
After=verity-gate.service
Before=verity-seal.service
[Service]
ExecStart=/opt/early infinity
[Install]
WantedBy=sysinit.target
END
systemctl enable early.service
{init}
"""

RECOVERED = {
    "a boot that never ends": Recovered(lines=_HANG, why="the trial had its one boot", hangs=True),
    "an agent that changes behind the signature and runs before the seal": Recovered(
        lines=_EARLY,
        later="printf x >>/run/early; cp --remove-destination /run/early /opt/early\n",
        why="something that ran before the seal would be refused: process",
        enforces=False,
    ),
    "logins that are refused": Recovered(
        later="cp /usr/sbin/sshd /run/s; printf x >>/run/s;"
        " cp --remove-destination /run/s /usr/sbin/sshd\n",
        why="the trial had its one boot",
    ),
    "a trial that can't be written down": Recovered(
        later="mkdir /var/lib/verity/trial.new; touch /var/lib/verity/trial.new/full\n",
        why="a trial that can't be written down isn't begun",
        enforces=False,
    ),
}
