# SPDX-License-Identifier: Apache-2.0
"""Eighty-odd ways to spoil the clean system of `audited.py`, and the check that has to say so.

Each line changes exactly one thing, as root would, in the shell, in the root directory of the
system. Beside the check stands the object that it has to name. What needs a running system, such as
processes and modules, is in test_audit_running.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from .audited import OS_STREAM, OWN, REPO, TOOL, TOOLS_STREAM, TRUSTED


@dataclass(frozen=True, kw_only=True)
class Tampering:
    """``do`` is shell; ``finds`` are the checks that must fail, and no others; ``gap`` those that
    then can't be evaluated, None where that is nearly all. ``deep``: without --deep nothing is
    found, for the disk isn't read. ``stateless``: then nobody knows what the state is made of.
    """

    name: str
    do: str
    finds: tuple[str, ...]
    object: str = ""
    gap: tuple[str, ...] | None = ()
    deep: bool = False
    stateless: bool = False

    def __str__(self) -> str:
        return self.name


# Shell functions: `spoil` puts another file, of the same mode and owner, in the place of one.
PRELUDE = r"""
set -e
spoil() { cp -a "$1" "$1.new"; eval "$2"; mv "$1.new" "$1"; }
flip() { printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# Changes a block of a file below its file system, as a disk does that breaks.
rot() {
    at=$(filefrag -v -b4096 "$1" | awk '$1 == "0:" { print $4 + 0 }')
    flip "$(findmnt -no SOURCE -T "$1")" $((($at + $2) * 4096))
    sync; echo 3 >/proc/sys/vm/drop_caches
}
elf() { cp --preserve=mode /usr/bin/true "$1"; printf x >>"$1"; }
"""
_LIB = "usr/lib/x86_64-linux-gnu"


def _one(
    name: str,
    do: str,
    *finds: str,
    at: str = "",
    gap: tuple[str, ...] | None = (),
    deep: bool = False,
    stateless: bool = False,
) -> Tampering:
    return Tampering(
        name=name, do=do, finds=finds, object=at, gap=gap, deep=deep, stateless=stateless
    )


FILES = (
    _one("flipped bit", "spoil usr/bin/true 'flip $1.new 5000'", "content", at="/usr/bin/true"),
    _one(
        "flipped bit, fs-verity on",
        "spoil usr/bin/true 'flip $1.new 5000; verity enable $1.new'",
        "content",
        at="/usr/bin/true",
    ),
    _one(
        "shorter",
        "spoil usr/share/work/data 'truncate -s 9000 $1.new'",
        "content",
        at="/usr/share/work/data",
    ),
    _one("longer", "spoil usr/bin/dash 'echo >>$1.new'", "content", at="/usr/bin/dash"),
    _one("emptied", "spoil usr/bin/work ': >$1.new'", "content", at="/usr/bin/work"),
    _one("no fs-verity", "spoil usr/bin/true :", "no-verity", at="/usr/bin/true"),
    _one(
        "other block size",
        "spoil usr/bin/true 'fsverity enable --block-size=1024 $1.new'",
        "parameters",
        at="/usr/bin/true",
    ),
    _one(
        "salted",
        "spoil usr/bin/true 'fsverity enable --salt=00ff $1.new'",
        "parameters",
        at="/usr/bin/true",
    ),
    _one(
        "SHA-512",
        "spoil usr/bin/true 'fsverity enable --hash-alg=sha512 $1.new'",
        "parameters",
        at="/usr/bin/true",
    ),
    _one(
        "block changed under fs-verity",
        "rot usr/share/work/data 2",
        "disk",
        at="/usr/share/work/data",
        deep=True,
    ),
    _one("writable by all", "chmod 0646 usr/share/work/data", "mode", at="/usr/share/work/data"),
    _one("set-uid added", "chmod 4755 usr/bin/dash", "mode", at="/usr/bin/dash"),
    _one("set-uid removed", "chmod 0755 usr/bin/su", "mode", at="/usr/bin/su"),
    _one("directory writable by all", "chmod 1777 usr/bin", "mode", at="/usr/bin"),
    _one("another owner", "chown 1000 usr/bin/work", "owner", at="/usr/bin/work"),
    _one("another group", "chgrp 1000 usr/share/work", "owner", at="/usr/share/work"),
    _one("capability removed", "setfattr -x security.capability usr/bin/env", "capabilities"),
    _one(
        "capability added",
        "setcap cap_sys_admin+ep usr/bin/true",
        "capabilities",
    ),
    _one(
        "capability changed",
        "setcap cap_net_bind_service,cap_sys_admin+p usr/bin/env",
        "capabilities",
    ),
    _one("attribute changed", "setfattr -n user.note -v other usr/share/work/data", "xattrs"),
    _one("attribute removed", "setfattr -x user.note usr/share/work/data", "xattrs"),
    _one("attribute added", "setfattr -n user.note -v x usr/bin/true", "xattrs"),
    _one("access list", "setfacl -m u:1000:r-x usr/bin/work", "acl", at="/usr/bin/work"),
    _one("default access list", "setfacl -d -m u:1000:rwx usr/bin", "acl", at="/usr/bin"),
    _one("link elsewhere", "ln -sfn /tmp/sh usr/bin/sh", "target", "reached-missing"),
    _one("library folder elsewhere", "ln -sfn usr/bin sbin", "target", at="/sbin"),
    _one("file gone", "rm usr/share/work/data", "missing", at="/usr/share/work/data"),
    _one("empty file gone", "rm usr/share/work/empty", "missing", at="/usr/share/work/empty"),
    _one("link gone", "rm usr/share/doc/link", "missing", at="/usr/share/doc/link"),
    _one("directory gone", "rm -r usr/share/doc", "missing", at="/usr/share/doc"),
    _one("a link for a file", "ln -sf data usr/share/work/empty", "type"),
    _one(
        "a file for a link",
        "rm usr/share/doc/link; : >usr/share/doc/link; verity enable usr/share/doc/link",
        "type",
        at="/usr/share/doc/link",
    ),
    _one(
        "a directory for a file",
        "rm usr/share/work/empty; mkdir usr/share/work/empty",
        "type",
        at="/usr/share/work/empty",
    ),
    _one(
        "a fifo for a file",
        "rm usr/share/work/empty; mkfifo usr/share/work/empty",
        "type",
        at="/usr/share/work/empty",
    ),
    _one(
        "a device for a file",
        "rm usr/share/work/empty; mknod usr/share/work/empty c 1 1",
        "type",
        at="/usr/share/work/empty",
    ),
    _one("file added", "echo x >usr/share/more", "unsigned-file", at="/usr/share/more"),
    _one("hidden directory", "mkdir usr/share/...", "unsigned-file", at="/usr/share/..."),
    _one("device added", "mknod usr/share/mem c 1 1", "unsigned-file", at="/usr/share/mem"),
    _one("socket added", "mkfifo usr/share/pipe", "unsigned-file", at="/usr/share/pipe"),
    _one("link added", "ln -s dash usr/bin/bash", "unsigned-file", at="/usr/bin/bash"),
    _one(
        "a name like a line",
        "printf x >'usr/share/a\n100644 1'",
        "unsigned-file",
        at=r"/usr/share/a\x0a100644\x201",
    ),
    _one(
        "script added",
        "printf '#!/bin/sh\n' >usr/bin/more; chmod 755 usr/bin/more",
        "unsigned-code",
        at="/usr/bin/more",
    ),
    _one("program added", "elf usr/bin/more", "unsigned-code", at="/usr/bin/more"),
    _one("library added", f"elf {_LIB}/libmore.so", "unsigned-code", at=f"/{_LIB}/libmore.so"),
    _one(
        "module added",
        "mkdir -p usr/lib/modules; elf usr/lib/modules/more.ko",
        "unsigned-code",
        "unsigned-file",
    ),
    _one(
        "set-uid program added",
        "elf usr/bin/more; chmod 4755 usr/bin/more",
        "unsigned-privileged",
        "unsigned-elevation",
    ),
    _one(
        "program with a capability added",
        "elf usr/bin/more; setcap cap_setuid+ep usr/bin/more",
        "unsigned-privileged",
        "unsigned-elevation",
    ),
    _one(
        "second name of a signed program",
        "ln usr/bin/su usr/share/su",
        "unsigned-privileged",
        at="/usr/share/su",
    ),
)

# What can't be asked where what /etc should be isn't known.
_WITHOUT_INTENT = tuple(
    f"etc-{name}"
    for name in "added content floor loose metadata missing pending time verity writable".split()
)

ETC = (
    _one(
        "configuration changed", "spoil etc/motd 'echo x >>$1.new'", "etc-content", at="/etc/motd"
    ),
    _one("configuration gone", "rm etc/hosts", "etc-missing", at="/etc/hosts"),
    _one("configuration emptied", "spoil etc/sudoers ': >$1.new'", "etc-content"),
    _one("configuration added", "echo x >etc/more.conf", "etc-added", at="/etc/more.conf"),
    _one("configuration writable", "chmod 666 etc/crontab", "etc-writable", at="/etc/crontab"),
    _one("configuration of another", "chown 1000 etc/profile", "etc-writable", at="/etc/profile"),
    _one("another mode", "chmod 600 etc/hosts", "etc-metadata", at="/etc/hosts"),
    _one("another attribute", "setfattr -n user.x -v y etc/motd", "etc-metadata", at="/etc/motd"),
    _one("no fs-verity in /etc", "spoil etc/crontab :", "etc-verity", at="/etc/crontab"),
    _one("link of /etc elsewhere", "ln -sfn /etc/motd etc/localtime", "written-files"),
    _one("a directory for a file of /etc", "rm etc/motd; mkdir etc/motd", "etc-content"),
    _one(
        "drop-in for a unit",
        "mkdir -p etc/systemd/system/work.service.d;"
        " printf '[Service]\nNice=1\n' >etc/systemd/system/work.service.d/x.conf",
        "etc-added",
    ),
    _one("sudoers added", "mkdir etc/sudoers.d; echo x >etc/sudoers.d/x", "etc-added"),
    _one("PAM opened", "spoil etc/pam.d/other 'sed -i s/deny/permit/ $1.new'", "etc-content"),
    _one(
        "unit masked",
        "mkdir -p etc/systemd/system; ln -s /dev/null etc/systemd/system/work.service",
        "etc-added",
    ),
    _one("shadow open to all", "chmod 644 etc/shadow", "etc-loose", "written-accounts"),
    _one(
        "signed intent changed",
        "echo x >>var/lib/verity/etc/1/manifest",
        "etc-intent",
        gap=_WITHOUT_INTENT,
    ),
)

CODE = (
    _one(
        "job of cron",
        "mkdir -p var/spool/cron/crontabs; elf var/lib/job;"
        " echo '* * * * * /var/lib/job' >var/spool/cron/crontabs/root",
        "unsigned-reached",
        "unsigned-configuration",
        at="/var/lib/job",
    ),
    _one(
        "transient unit",
        "mkdir -p run/systemd/transient; elf var/lib/job;"
        " printf '[Service]\nExecStart=/var/lib/job\n' >run/systemd/transient/x.service",
        "unsigned-reached",
        at="/var/lib/job",
    ),
    _one(
        "preloaded library",
        "elf var/lib/pre.so; echo /var/lib/pre.so >etc/ld.so.preload",
        "unsigned-reached",
        "etc-added",
    ),
    _one(
        "set-uid program outside of /usr",
        "elf var/lib/more; chmod 4755 var/lib/more",
        "unsigned-elevation",
        at="/var/lib/more",
    ),
    _one(
        "drop-in that starts something unsigned",
        "d=run/systemd/system/work.service.d; mkdir -p $d; elf var/lib/job;"
        " printf '[Service]\nExecStartPre=/var/lib/job\n' >$d/x.conf",
        "unsigned-reached",
        at="/var/lib/job",
    ),
    _one(
        "program of a rule of udev",
        "mkdir -p run/udev/rules.d; elf var/lib/job;"
        """ echo 'ACTION=="add", RUN+="/var/lib/job"' >run/udev/rules.d/x.rules""",
        "unsigned-reached",
        "unsigned-configuration",
        at="/var/lib/job",
    ),
)

_FLOORS = "var/lib/verity/floors"
_BUNDLE = "var/lib/verity/boot.bundle"

_KEPT = f"var/lib/verity/extensions/{TOOLS_STREAM}"
# Then its file is one that nobody signed.
_NO_EXTENSION = ("extension", "unsigned-code", "unsigned-file")

# What can't be asked without these documents.
_NO_BUNDLE = ("bad-bundle", "etc-floor")  # what the host accepted of its /etc stands there, too
_WITHOUT_BUNDLE = ("bundle-behind", "bundle-expired", "bundle-revoked", "pin-differs")
_WITHOUT_POLICY = ("guarded-not-signed", "policy-differs", "policy-expired", "signed-not-guarded")
_WITHOUT_CLASSES = tuple(
    f"written-{name}" for name in "accounts files jobs no-password record uid-zero units".split()
)

TRUST = (
    _one("floor gone", f"rm {_FLOORS}/vendor.os.{OS_STREAM}", "no-floor"),
    _one("floor changed", f"flip {_FLOORS}/vendor.os.{OS_STREAM} 200", "bad-floor"),
    _one(
        "older than what was accepted",
        f"verity commit verify --accept --root . --repo {REPO} {TRUSTED} system/2",
        "below-floor",
    ),
    _one("boot bundle altered", f"flip {_BUNDLE} 200", *_NO_BUNDLE, gap=_WITHOUT_BUNDLE),
    _one("boot bundle cut", f"truncate -s -10 {_BUNDLE}", *_NO_BUNDLE, gap=_WITHOUT_BUNDLE),
    _one(
        "pin of another",
        f"spoil etc/verity/pins/vendor.pin 'cat {OWN}/user.pin >$1.new'",
        "pin-differs",
        "etc-content",
        gap=("bundle-behind", "bundle-expired", "bundle-revoked", "bad-bundle"),
    ),
    _one(
        "policy altered",
        "spoil etc/verity/policy.json 'flip $1.new 300'",
        "policy",
        "etc-content",
        gap=(*_WITHOUT_POLICY, "not-granted", "unsigned-configuration", *_WITHOUT_CLASSES),
    ),
    _one(
        "policy blob altered",
        "spoil etc/verity/policy.gate 'flip $1.new 300'",
        "policy",
        "etc-content",
        gap=_WITHOUT_POLICY,
    ),
    _one(
        "statement altered",
        f"f=$(echo {REPO}/objects/*/*.commitmeta | tr ' ' '\n' | grep"
        f" $(ostree --repo={REPO} rev-parse system/1 | cut -c3-)); flip $f 600",
        "bad-document",
        gap=None,
        stateless=True,
    ),
    _one(
        "keyring of the host altered",
        "spoil etc/verity/keyrings/user/1.keyring.json 'flip $1.new 300'",
        "etc-content",
    ),
    _one("signed intent gone", "rm -r var/lib/verity/etc", "etc-intent"),
    _one("statement of an extension altered", f"flip {_KEPT}/statement.json 600", *_NO_EXTENSION),
    _one(
        "extension of a stranger",
        f"rm -r {_KEPT}; verity key generate /run/x.pem; verity extension sign --key /run/x.pem"
        f" --stream {TOOLS_STREAM} --serial 1 --tree {OWN}/added {_KEPT}",
        *_NO_EXTENSION,
    ),
    _one(
        "extension of another serial",
        f"rm -r {_KEPT}; verity extension sign --key {OWN}/user-extension.pem"
        f" --stream {TOOLS_STREAM} --serial 2 --tree {OWN}/added {_KEPT}",
        "extension-behind",
        stateless=True,
    ),
)
EXTENSION = (
    _one("file of an extension changed", f"spoil {TOOL} 'echo >>$1.new'", "content", at=f"/{TOOL}"),
    _one("file of an extension gone", f"rm {TOOL}", "missing", at=f"/{TOOL}"),
)

WRITTEN = (
    _one(
        "second root",
        "echo 'toor:x:0:0::/:/bin/sh' >>etc/passwd",
        "written-uid-zero",
        "written-accounts",
    ),
    _one(
        "no password",
        "sed -i 's/^user:[*]/user:/' etc/shadow",
        "written-no-password",
        "written-accounts",
    ),
    _one("account added", "echo 'new:x:1001:1001::/:/bin/sh' >>etc/passwd", "written-accounts"),
    _one("member of a group", "sed -i 's/^root:x:0:/&user/' etc/group", "written-accounts"),
    _one(
        "job of a user, of a signed program",
        "mkdir -p var/spool/cron/crontabs;"
        " echo '* * * * * /usr/bin/true' >var/spool/cron/crontabs/user",
        "written-jobs",
    ),
    _one(
        "job of root, of a signed program",
        "mkdir -p var/spool/cron/crontabs;"
        " echo '* * * * * /usr/bin/true' >var/spool/cron/crontabs/root",
        "unsigned-configuration",
    ),
)

TAMPERINGS = (*FILES, *ETC, *CODE, *TRUST, *WRITTEN, *EXTENSION)
