# SPDX-License-Identifier: Apache-2.0
"""Groups 9 and 10: what the kernel runs itself, and the programs that it starts as root."""

from ..attack import USER, Attack
from ..ground import SIGNED, TOOLS, UNSIGNED, WORK

_MODULES = "/lib/modules/$(uname -r)/kernel"
_DUMMY = f"{_MODULES}/drivers/net/dummy.ko.xz"
_UNLOAD = "! grep -q ^dummy /proc/modules || rmmod dummy"
_FIRMWARE = "/sys/module/firmware_class/parameters/path"
_CORE = "/proc/sys/kernel/core_pattern"
_MODPROBE = "/proc/sys/kernel/modprobe"
_BINFMT = "/proc/sys/fs/binfmt_misc"
_REQUEST_KEY = "/usr/sbin/request-key"
_CGROUP = "/run/attack-cgroup"
_HELPED = f"{WORK}/helped"
_WAIT = f"for i in 1 2 3 4 5 6 7 8 9 10; do [ -s {_HELPED} ] && break; sleep 0.2; done"


def _kernel(name: str, act: str, reason: str, **others: str) -> Attack:
    return Attack(
        group=9,
        name=name,
        act=f"{TOOLS}/kernel {act}",
        shows="ok",
        reason=reason,
        ordinary=False,
        **others,
    )


def _helper(name: str, *, setup: str, trigger: str, back: str, by: str | None = None) -> Attack:
    """The kernel starts a program of root's: the attack names it and has it started."""
    return Attack(
        group=10,
        name=name,
        setup=f"rm -f {_HELPED} && {setup}",
        act=f"{trigger}; {_WAIT}; cat {_HELPED}",
        cleanup=f"rm -f {_HELPED}; {back}",
        by=by,
        reason="no-digest",
        ordinary=False,
    )


def _registered(name: str, flags: str) -> Attack:
    """binfmt_misc: a signed script is what a new rule of root's hands to an unsigned program."""
    return Attack(
        group=10,
        name=name,
        setup=f"mountpoint -q {_BINFMT} || mount -t binfmt_misc none {_BINFMT};"
        f" echo ':attack:E::sh::{UNSIGNED}/interpreter:{flags}' >{_BINFMT}/register",
        act=f"{SIGNED}/script.sh",
        cleanup=f"echo -1 >{_BINFMT}/attack",
        shows="ran unsigned",
        reason="no-digest",
    )


ROWS = (
    _kernel(
        "copy of a module",
        f"file {WORK}/copy.ko.xz",
        "no-digest",
        setup=f"cp {_DUMMY} {WORK}/copy.ko.xz",
        cleanup=f"{_UNLOAD}; rm {WORK}/copy.ko.xz",
        signed=f"{TOOLS}/kernel file {_DUMMY}",
    ),
    _kernel(
        "copy of a module on fs-verity with a byte more",
        f"file {WORK}/copy.ko.xz",
        "not-granted",
        setup=f"cp {_DUMMY} {WORK}/copy.ko.xz && printf '\\0\\0\\0\\0' >>{WORK}/copy.ko.xz"
        f" && echo {WORK}/copy.ko.xz | tr '\\n' '\\0' | xargs -0 {TOOLS}/enable",
        cleanup=f"{_UNLOAD}; rm {WORK}/copy.ko.xz",
        signed=f"{TOOLS}/kernel file {_DUMMY}",
    ),
    _kernel(
        "module from memory", f"memory {UNSIGNED}/dummy.ko", "anonymous", cleanup=_UNLOAD, signed=""
    ),
    _kernel("next kernel from memory", "kexec", "anonymous"),
    _kernel(
        "next kernel by its file",
        f"image {WORK}/kernel",
        "no-digest",
        setup=f"cp /boot/vmlinuz-$(uname -r) {WORK}/kernel",
        cleanup=f"{TOOLS}/kernel kexec >/dev/null; rm {WORK}/kernel",
        signed="",
    ),
    _kernel(
        "signed kernel as the next one",
        "image /boot/vmlinuz-$(uname -r)",
        "not-granted",
        cleanup=f"{TOOLS}/kernel kexec >/dev/null; true",
    ),
    Attack(
        group=10,
        name="firmware from elsewhere",
        setup=f"mkdir {WORK}/firmware && echo junk >{WORK}/firmware/regulatory.db"
        f" && printf %s {WORK}/firmware >{_FIRMWARE} && dmesg -C",
        act="modprobe cfg80211 && sleep 1 && dmesg | grep regulatory",
        cleanup=f"modprobe -r cfg80211; printf ' ' >{_FIRMWARE}; rm -r {WORK}/firmware",
        shows="malformed",
        reason="no-digest",
        ordinary=False,
        signed="",
    ),
    _helper(
        "core_pattern",
        setup=f"cp {_CORE} /run/core && echo '|{UNSIGNED}/helper.sh' >{_CORE}",
        trigger="sh -c 'kill -SEGV $$'",
        back=f"cat /run/core >{_CORE}",
    ),
    _helper(
        "modprobe",
        setup=f"cp {_MODPROBE} /run/modprobe && echo {UNSIGNED}/helper.sh >{_MODPROBE}"
        f" && printf '\\377\\377\\377\\377' >{WORK}/odd && chmod 755 {WORK}/odd",
        trigger=f"{WORK}/odd 2>/dev/null",
        back=f"cat /run/modprobe >{_MODPROBE}; rm {WORK}/odd",
        by=USER,
    ),
    _helper(
        "request-key",
        setup=f"mv {_REQUEST_KEY} {_REQUEST_KEY}.away && ln {UNSIGNED}/helper.sh {_REQUEST_KEY}",
        # Another name each time: the kernel remembers for a minute that there was no such key.
        trigger="keyctl request2 user attack-$$ attack 2>/dev/null",
        back=f"mv {_REQUEST_KEY}.away {_REQUEST_KEY}",
    ),
    _helper(
        "release_agent of a cgroup",
        setup=f"mkdir {_CGROUP} && mount -t cgroup -o none,name=attack attack {_CGROUP}"
        f" && echo {UNSIGNED}/helper.sh >{_CGROUP}/release_agent && mkdir {_CGROUP}/left"
        f" && echo 1 >{_CGROUP}/left/notify_on_release",
        trigger=f"sh -c 'echo $$ >{_CGROUP}/left/cgroup.procs'",
        back=f"rmdir {_CGROUP}/left; umount {_CGROUP}; rmdir {_CGROUP}",
    ),
    _helper(
        "bridge-stp",
        setup=f"ln {UNSIGNED}/helper.sh /sbin/bridge-stp && ip link add attack type bridge",
        trigger="ip link set attack type bridge stp_state 1",
        back="ip link del attack; rm /sbin/bridge-stp",
    ),
    _registered("binfmt_misc", ""),
    _registered("binfmt_misc, opened at once", "F"),
    _registered("binfmt_misc, credentials of the file", "C"),
)
