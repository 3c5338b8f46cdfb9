# SPDX-License-Identifier: Apache-2.0
"""Group 26: what the next boot comes from, on a host whose gate an initramfs loaded.

PLACE is a directory: /boot of the root file system, or the ESP's; DISK and PART are the block
devices of that. The control of an act in a directory is the same act in another one.
"""

from tests.attacks.attack import Attack

PLACE = "PLACE"
OTHER = "/srv/other"
ESP, PART, DISK = "/efi", "/dev/vdb1", "/dev/vdb"
_VARIABLE = "/sys/firmware/efi/efivars/VerityTest-76657269-7479-4000-8000-000000000002"
# Attributes: non-volatile, at boot and at run time.
_WRITE = rf"printf '\007\000\000\000x' >{_VARIABLE}"
_LIBC = "import ctypes, os; c = ctypes.CDLL(None, use_errno=True)"
_HANDLE = (
    f"{_LIBC}; h = ctypes.create_string_buffer(136); h[0:4] = (128).to_bytes(4, 'little');"
    " m = ctypes.c_int(); c.name_to_handle_at(-100, b'PLACE/old', h, ctypes.byref(m), 0);"
    " d = os.open('/', 0); open('/proc/sys/vm/drop_caches', 'w').write('2');"
    " f = c.open_by_handle_at(d, h, 1); f >= 0 and os.write(f, b'n') and print('ran')"
)
_LAYERS = "lowerdir=/srv/lower,upperdir=PLACE,workdir=/srv/work"
_OVERLAY = f"mkdir -p /srv/work && mount -t overlay o -o {_LAYERS} /mnt"


def _row(name: str, act: str, *, setup: str = ":", cleanup: str = ":") -> Attack:
    return Attack(
        group=26,
        name=name,
        act=act,
        setup=f"({setup})",
        cleanup=cleanup,
        reason="boot-chain",
        signed="",
        ordinary=False,
    )


IN_DIRECTORIES = (
    _row("a new file", "echo x >PLACE/new && echo ran", cleanup="rm -f PLACE/new"),
    _row("a file changed", "echo x >>PLACE/old && echo ran"),
    _row("a file emptied", "truncate -s 0 PLACE/old && echo ran"),
    _row("a file removed", "rm PLACE/gone && echo ran"),
    _row("a file replaced", "mv /srv/x PLACE/old && echo ran", setup="echo x >/srv/x"),
    _row("a file moved away", "mv PLACE/gone2 PLACE/gone3 && echo ran"),
    _row("a directory made", "mkdir PLACE/made && echo ran", cleanup="rm -rf PLACE/made"),
    _row("a directory removed", "rmdir PLACE/empty && echo ran"),
    _row("a device made", "mknod PLACE/n c 1 3 && echo ran", cleanup="rm -f PLACE/n"),
    _row("a mode changed", "chmod 600 PLACE/old && echo ran"),
    _row("an attribute set", "setfattr -n user.x -v y PLACE/old && echo ran"),
    _row("an attribute removed", "setfattr -x user.z PLACE/tagged && echo ran"),
    _row(
        "by a bind mount",
        "echo x >/mnt/new && echo ran",
        setup="mount --bind PLACE /mnt",
        cleanup="rm -f /mnt/new; umount /mnt",
    ),
    _row(
        "by a mount in an own namespace",
        "unshare -m sh -c 'mount --bind PLACE /mnt && echo x >/mnt/new2' && echo ran",
        cleanup="rm -f PLACE/new2",
    ),
    _row("a link in it", "ln -s /x PLACE/l && echo ran", cleanup="rm -f PLACE/l"),
)
"""With PLACE for a directory."""

IN_THE_ROOT = (
    _row("the directory renamed", "mv PLACE PLACE.old && mv PLACE.old PLACE && echo ran"),
    _row("a hard link out of it", "ln PLACE/old /srv/link && echo ran", cleanup="rm -f /srv/link"),
    _row(
        "a hard link into it",
        "ln /srv/y PLACE/y && echo ran",
        setup="echo y >/srv/y",
        cleanup="rm -f PLACE/y",
    ),
    _row(
        "below an overlay",
        "echo x >>/mnt/old && echo ran",
        setup=f"mkdir -p /srv/lower && {_OVERLAY}",
        cleanup="umount /mnt",
    ),
)
"""Likewise, of the root's file system."""

BY_HANDLE = _row("by a file handle", f'python3 -c "{_HANDLE}"')
"""Without a control: a file that was opened so has no parents, and counts as inside anywhere."""

DEVICES = (
    _row("the ESP's device", f"dd if={PART} of={PART} bs=512 count=1 conv=notrunc && echo ran"),
    _row("the ESP's disk", f"dd if={DISK} of={DISK} bs=512 count=1 conv=notrunc && echo ran"),
    _row(
        "the ESP's device under another name",
        "dd if=/srv/node of=/srv/node bs=512 count=1 conv=notrunc && echo ran",
        setup=f"mknod /srv/node b $(stat -c '0x%t 0x%T' {PART})",
        cleanup="rm /srv/node",
    ),
    _row(
        "the ESP's device while it isn't mounted",
        f"dd if={PART} of={PART} bs=512 count=1 conv=notrunc && echo ran",
        setup=f"umount {ESP}",
        cleanup=f"mount {PART} {ESP}",
    ),
    _row(
        "a writable loop device over it",
        f"losetup -f {PART} && echo ran",
        cleanup="losetup -D",
    ),
)
VARIABLES = (
    _row(
        "an EFI variable",
        f"{_WRITE} && echo ran",
        cleanup=f"chattr -i {_VARIABLE}; rm -f {_VARIABLE}",
    ),
)
PREPARE = """
mkdir -p /srv/other
for place in /boot /efi /srv/other; do
    for name in old gone gone2 tagged; do echo $name >$place/$name; done
    chmod 644 $place/old; rm -f $place/y
    mkdir -p $place/empty; setfattr -n user.z -v z $place/tagged
done
"""
