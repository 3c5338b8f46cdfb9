# SPDX-License-Identifier: Apache-2.0
"""Groups 21 and 22: what belongs to the gate. Acts name a target, which is filled in by the tests:

    {maps} {progs} {links}   ids, separated by spaces
    {pins}                   the directory of the pins, a file system of its own
    {keys} {keyrings}        serials, separated by spaces

Without the gate the target is a stand-in of the same kinds, which shows that the act itself works.
"""

from ..attack import Attack
from ..ground import TOOLS

OWNER = 1986359913
"""The uid whose user keyring holds the gate's keyrings."""

_OBJECT = f"{TOOLS}/object"
_AS_OWNER = f"setpriv --reuid={OWNER} --clear-groups --inh-caps=-all"
_AWAY, _MASTER = "/run/attack-away", "/run/attack-master"
# A mount that may be moved: the one that it stands on is private.
_MOVABLE = (
    f"mkdir {_AWAY} && mount -t tmpfs attack {_AWAY} && mount --make-private {_AWAY}"
    f" && mkdir {_AWAY}/in && mount -t tmpfs attack {_AWAY}/in"
)
_CLEAN = f"rmdir {_AWAY}"
_UNMOVE = f"umount -R {_AWAY}; {_CLEAN}"


def _each(name: str, kind: str, command: str) -> Attack:
    """Tries it on every one of the target's; one that works is a success."""
    act = f"for one in {{{kind}}}; do {command} $one && echo reached; done"
    return Attack(group=21, name=name, act=act, shows="reached", reason="gate-object")


def _pin(name: str, command: str, *, setup: str = ":", cleanup: str = ":") -> Attack:
    return Attack(
        group=21,
        name=name,
        act=f"{command} && echo reached",
        setup=setup,
        cleanup=f"{cleanup}; :",
        shows="reached",
        reason="gate-pin",
    )


def _away(name: str, act: str, *, setup: str = ":", cleanup: str = ":") -> Attack:
    """Does something elsewhere of which an unmounting of the pins is the consequence."""
    return Attack(
        group=21,
        name=name,
        act=f"{act}; mountpoint -q {{pins}} || echo reached",
        setup=setup,
        cleanup=f"{cleanup}; :",
        shows="reached",
        reason="gate-pin",
    )


def _bare(command: str) -> str:
    """In a mount namespace without the pins: one copy of the root file system is its root, and what
    is below /sys/fs/bpf stands at /mnt."""
    steps = (
        f"mkdir -p {_AWAY}",
        f"mount --bind / {_AWAY}",
        f"mount --bind /sys/fs/bpf {_AWAY}/mnt",
        f"mount -t proc attack {_AWAY}/proc",  # umount(8) wants it
        f"cd {_AWAY}",
        "pivot_root . opt",
        "umount -l /opt",
        command,
    )
    return f"unshare -m --propagation private sh -c '{' && '.join(steps)}'"


def _key(name: str, command: str, *, kind: str = "keys", who: str = "") -> Attack:
    """`command` has ONE where the serial belongs."""
    step = command.replace("ONE", "$one")
    act = f"for one in {{{kind}}}; do {who} keyctl {step} && echo reached; done"
    # The loader leaves viewing and searching alone to anybody. What needs another permission is
    # refused by the key service, which asks the gate only about what it would allow itself.
    asked = step.startswith(("invalidate", "search"))
    reason = "gate-key" if asked else ""
    return Attack(group=21, name=name, act=act, shows="reached", reason=reason)


OBJECTS = (
    _each("map by id", "maps", f"{_OBJECT} map-fd"),
    _each("map read", "maps", f"{_OBJECT} map-lookup"),
    _each("map updated", "maps", f"{_OBJECT} map-update"),
    _each("map deleted from", "maps", f"{_OBJECT} map-delete"),
    _each("map frozen", "maps", f"{_OBJECT} map-freeze"),
    _each("program by id", "progs", f"{_OBJECT} prog-fd"),
    _each("link by id", "links", f"{_OBJECT} link-fd"),
    _each("link updated", "links", f"{_OBJECT} link-update"),
    _each("link detached", "links", f"{_OBJECT} link-detach"),
)

PINS = (
    _pin("pin opened to write", "chmod 0666 {pins}/status"),
    _pin("pin removed", "rm -f {pins}/status"),
    _pin("pin renamed", "mv {pins}/status {pins}/other"),
    _pin("mount over a pin", "mount --bind /etc/hostname {pins}/status"),
    _pin("mount over the pins", "mount -t tmpfs attack {pins}"),
    # mount(8) moves with move_mount(2), the tool with mount(2).
    *(
        _pin(
            f"mount moved over the pins by {which}",
            f"{move} {_AWAY}/in {{pins}}",
            setup=_MOVABLE,
            cleanup=_UNMOVE,
        )
        for which, move in (("move_mount", "mount --move"), ("mount", f"{TOOLS}/move"))
    ),
    _pin(
        "old root put over the pins by pivot_root",
        "unshare -m --propagation private sh -c 'cd /sys/fs/bpf && pivot_root . {pins}'",
    ),
    _pin("pins unmounted", "umount {pins}"),
    _pin("pins unmounted lazily", "umount -l {pins}"),
    _pin("their parent unmounted lazily", "umount -l /sys/fs/bpf"),
    _pin("all of sysfs unmounted lazily", "umount -l /sys"),
    _pin(
        "pins unmounted from another namespace",
        "unshare -m --propagation shared umount -l {pins}",
    ),
    _pin(
        "sysfs unmounted from another namespace",
        "unshare -m --propagation shared umount -l /sys",
    ),
    _away(
        "a copy of their parent unmounted lazily",
        f"umount -l {_AWAY}",
        setup=f"mkdir {_AWAY} && mount --rbind /sys/fs/bpf {_AWAY}",
        cleanup=f"mount --make-rprivate {_AWAY} && umount -R {_AWAY}; rmdir {_AWAY}",
    ),
    _away(
        "a copy of sysfs unmounted lazily",
        f"umount -l {_AWAY}",
        setup=f"mkdir {_AWAY} && mount --rbind /sys {_AWAY}",
        cleanup=f"mount --make-rprivate {_AWAY} && umount -R {_AWAY}; rmdir {_AWAY}",
    ),
    *(
        _away(
            f"sysfs as a slave, {what} unmounted by its master",
            f"nsenter -m -t $(cat {_MASTER}) umount -l {gone}; kill $(cat {_MASTER})",
            setup=f"unshare -m --propagation shared sleep 100 & echo $! >{_MASTER}; sleep 0.5"
            " && mount --make-rslave /sys",
            cleanup=f"rm {_MASTER}; mount --make-rshared /sys",
        )
        for what, gone in (("they", "{pins}"), ("their parent", "/sys/fs/bpf"), ("all", "/sys"))
    ),
    # The kernel takes away what is mounted on a directory that goes (vfs_rmdir, vfs_rename).
    _away(
        "unmounted by removing their directory",
        _bare("rmdir /mnt/$(basename {pins})"),
        cleanup=_CLEAN,
    ),
    _away("unmounted by removing the directory of sysfs", _bare("rmdir /sys"), cleanup=_CLEAN),
    _away(
        "unmounted by renaming another directory to theirs",
        _bare("mkdir /mnt/other && mv -T /mnt/other /mnt/$(basename {pins})"),
        cleanup=f"rmdir /sys/fs/bpf/other; {_CLEAN}",
    ),
)

HIDING = {
    # Only from and to a private mount: what is shared can't be moved out of.
    "moved": (
        f"mount --make-private /sys/fs/bpf && mkdir {_AWAY} && mount -t tmpfs attack {_AWAY}"
        f" && mount --make-private {_AWAY} && mkdir {_AWAY}/in"
        f" && mount --move {{pins}} {_AWAY}/in",
        f"mount --move {_AWAY}/in {{pins}} && umount {_AWAY} && rmdir {_AWAY}"
        " && mount --make-shared /sys/fs/bpf",
    ),
    "covered": ("mount -t tmpfs attack /sys/fs/bpf", "umount /sys/fs/bpf"),
}
"""Acts, and how to undo them, that show readers another status and take no pin away."""

_ACTS_ON_KEYS = {
    "revoked": "revoke ONE",
    "invalidated": "invalidate ONE",
    "timed out": "timeout ONE 1",
    "given away": f"chown ONE {OWNER}",
    "opened": "setperm ONE 0x3f3f3f3f",
}
_ACTS_ON_KEYRINGS = {
    **_ACTS_ON_KEYS,
    "cleared": "clear ONE",
    "restricted": "restrict_keyring ONE",
    "filled": "add user attack attack ONE",
    "linked": "link ONE @s",
    "searched": "search ONE user attack",
}
_UNLINKED = Attack(
    group=21,
    name="key unlinked",
    act="for ring in {keyrings}; do for one in {keys} {keyrings}; do"
    " keyctl unlink $one $ring && echo reached; done; done",
    shows="reached",
    reason="",  # the key service refuses it, as above
)
# Root can become the uid that owns the parent of the keyrings.
_BY_OTHER = ("revoked", "invalidated", "cleared", "filled")

KEYS = (
    *(_key(f"key {what}", act) for what, act in _ACTS_ON_KEYS.items()),
    *(_key(f"keyring {what}", act, kind="keyrings") for what, act in _ACTS_ON_KEYRINGS.items()),
    *(
        _key(f"keyring {what} by {OWNER}", _ACTS_ON_KEYRINGS[what], kind="keyrings", who=_AS_OWNER)
        for what in _BY_OTHER
    ),
    _UNLINKED,
)


def _foreign(name: str, act: str) -> Attack:
    act = f"{TOOLS}/interfere {act}"
    return Attack(group=21, name=name, act=act, shows="ok", reason="foreign-program")


_HOOKS = ("security_bpf_map", "security_bpf_prog", "security_bpf", "security_key_permission")

FOREIGN = (
    *(_foreign(f"modify-return on {hook}", f"modify-return {hook}") for hook in _HOOKS),
    *(
        _foreign(f"program of a cgroup on {hook}", f"cgroup {hook}")
        for hook in ("bpf_map", "bpf_prog", "bpf", "key_permission")
    ),
    _foreign("extension program", f"extension {TOOLS}"),
    _foreign("program on sysctl that sets the answer", "sysctl echo ok"),
)

_SWITCH = "sys/kernel/ftrace_enabled"
_BACK = f"echo 1 >/proc/{_SWITCH}; :"


def _ftrace(name: str, command: str, *, setup: str = ":", cleanup: str = _BACK) -> Attack:
    return Attack(
        group=22,
        name=name,
        setup=setup,
        act=f"{command} && grep -x 0 /proc/{_SWITCH}",
        cleanup=cleanup,
        shows="0",
        reason="ftrace",
    )


_PROC = "/run/attack-proc"

LOCKDOWN = Attack(
    group=22,
    name="lockdown unset",
    act="echo none >/sys/kernel/security/lockdown; grep -F '[none]' /sys/kernel/security/lockdown",
    shows="[none]",
    reason="",  # the kernel itself never goes back
)

FTRACE = (
    _ftrace("written", f"echo 0 >/proc/{_SWITCH}"),
    _ftrace("by sysctl", "sysctl -q -w kernel.ftrace_enabled=0"),
    _ftrace(
        "through another proc",
        f"echo 0 >{_PROC}/{_SWITCH}",
        setup=f"mkdir {_PROC} && mount -t proc attack {_PROC}",
        cleanup=f"umount {_PROC}; rmdir {_PROC}; {_BACK}",
    ),
    _ftrace("from another namespace", f"unshare -m sh -c 'echo 0 >/proc/{_SWITCH}'"),
)
