# SPDX-License-Identifier: Apache-2.0
"""Each thing that starts or loads privileged code: signed it is no finding, unsigned it is one."""

from pathlib import Path

import pytest

from tests.reach_world import Host, elf
from verity.verbs import audit_code

P = "/opt/evil"  # a program
L = "/usr/lib/x86_64-linux-gnu/evil.so"  # a library
SERVICE = "/usr/lib/systemd/system/a.service"
RULES = "/etc/udev/rules.d/1.rules"

# what triggers it: (the file that names it, its contents, what is reached)
TRIGGERS: dict[str, tuple[str, str, str]] = {
    "unit": (SERVICE, f"[Service]\nExecStart={P} x", P),
    "unit of the owner": ("/etc/systemd/system/a.service", f"[Service]\nExecStart={P}", P),
    "transient unit": ("/run/systemd/transient/a.service", f"[Service]\nExecStart={P}", P),
    "generated unit": ("/run/systemd/generator/a.service", f"[Service]\nExecStart={P}", P),
    "local unit": ("/usr/local/lib/systemd/system/a.service", f"[Service]\nExecStop={P}", P),
    "pre": (SERVICE, f"[Service]\nExecStart=/bin/sh\nExecStartPre=-{P}", P),
    "condition": (SERVICE, f"[Service]\nExecStart=/bin/sh\nExecCondition={P}", P),
    "reload": (SERVICE, f"[Service]\nExecStart=/bin/sh\nExecReload=@{P} argv0 x", P),
    "stop post": (SERVICE, f"[Service]\nExecStart=/bin/sh\nExecStopPost=:{P}", P),
    "second command": (SERVICE, f"[Service]\nExecStart=/bin/sh x ; {P}", P),
    "quoted": (SERVICE, f'[Service]\nExecStart="{P}"', P),
    "escaped": (SERVICE, "[Service]\nExecStart=/opt/\\x65vil", P),
    "continued": (SERVICE, f"[Service]\nExecStart=\\\n# a comment\n  {P}", P),
    "specifier": (SERVICE, "[Service]\nExecStart=/opt/%c%N\nExecStart=", ""),
    "privileged by prefix": (SERVICE, f"[Service]\nUser=user\nExecStart=+{P}", P),
    "privileged by user prefix": (SERVICE, f"[Service]\nUser=user\nExecStart=!{P}", P),
    "another user": (SERVICE, f"[Service]\nUser=user\nExecStart={P}", ""),
    "a user by number": (SERVICE, f"[Service]\nUser=1000\nExecStart={P}", ""),
    "root by number": (SERVICE, f"[Service]\nUser=0\nExecStart={P}", P),
    "dynamic user": (SERVICE, f"[Service]\nDynamicUser=yes\nExecStart={P}", ""),
    "ambient capabilities": (
        SERVICE,
        f"[Service]\nUser=user\nAmbientCapabilities=CAP_NET_RAW\nExecStart={P}",
        P,
    ),
    "taken back": (SERVICE, f"[Service]\nExecStart={P}\nExecStart=\nExecStart=/bin/sh", ""),
    "comment": (SERVICE, f"[Service]\n#ExecStart={P}\n;ExecStart={P}", ""),
    "another section": (SERVICE, f"[Unit]\nExecStart={P}", ""),
    "socket": ("/etc/systemd/system/a.socket", f"[Socket]\nExecStartPre={P}", P),
    "unit of root's manager": ("/etc/systemd/user/a.service", f"[Service]\nExecStart={P}", P),
    "generator": ("/etc/systemd/system-generators/g", "", "/etc/systemd/system-generators/g"),
    "sleep hook": ("/usr/lib/systemd/system-sleep/g", "", "/usr/lib/systemd/system-sleep/g"),
    "preloaded": (SERVICE, f"[Service]\nExecStart=/bin/sh\nEnvironment=LD_PRELOAD={L}", L),
    "python path": (
        SERVICE,
        "[Service]\nExecStart=/bin/sh\nEnvironment='PYTHONPATH=/opt/py'",
        "/opt/py/a/site.py",
    ),
    "script for an interpreter": (
        SERVICE,
        "[Service]\nExecStart=/bin/sh -e /opt/script",
        "/opt/script",
    ),
    "script behind options": (
        SERVICE,
        "[Service]\nExecStart=/bin/sh -ep -o pipefail -I /opt --x=/opt/evil /opt/text /opt/2",
        "/opt/text",
    ),
    **{
        f"text for {command}": (SERVICE, f"[Service]\nExecStart={command} /opt/text", "")
        for command in ("/bin/sh -ec a", "/bin/python3 -Im a", "/bin/perl -ne a", "/bin/cat")
    },
    **{
        f"file for {command}": (SERVICE, f"[Service]\nExecStart={command} /opt/text", "/opt/text")
        for command in ("/bin/dash -eu", "/bin/python3.11 -IB", "/bin/perl -w", "/bin/node --x=c")
    },
    "program as an argument": (SERVICE, f"[Service]\nExecStart=/bin/sh -c 'exec {P}; x'", P),
    "by env": (SERVICE, "[Service]\nExecStart=/usr/bin/env A=1 evil", "/usr/bin/evil"),
    "preloaded by name": (
        SERVICE,
        "[Service]\nExecStart=/bin/sh\nEnvironment=LD_PRELOAD=evil.so",
        L,
    ),
    "environment of logins": ("/etc/environment", f'LD_PRELOAD="{L}"', L),
    "environment of managers": ("/etc/environment.d/a.conf", f"LD_AUDIT={L}", L),
    "environment file": (SERVICE, "[Service]\nExecStart=/bin/sh\nEnvironmentFile=-/opt/env*", L),
    "manager's environment": (
        "/etc/systemd/system.conf",
        f"[Manager]\nDefaultEnvironment=LD_PRELOAD={L}",
        L,
    ),
    "D-Bus": (
        "/usr/share/dbus-1/system-services/a.service",
        f"[D-BUS Service]\nName=a.b\nExec={P} --x\nUser=root",
        P,
    ),
    "D-Bus, another user": (
        "/usr/share/dbus-1/system-services/a.service",
        f"[D-BUS Service]\nName=a.b\nExec={P} --x\nUser=user",
        "",
    ),
    "crontab": ("/etc/crontab", f"* * * * * root cd / && {P}", P),
    "crontab, reboot": ("/etc/crontab", f"@reboot root {P}", P),
    "crontab, search path": ("/etc/cron.d/a", "PATH=/opt\n1 1 * * 1 root evil -x", P),
    "crontab, another user": ("/etc/crontab", f"* * * * * user {P}", ""),
    "crontab of root": ("/var/spool/cron/crontabs/root", f"* * * * * {P} % x", P),
    "crontab of a user": ("/var/spool/cron/crontabs/user", f"* * * * * {P}", ""),
    "daily": ("/etc/cron.daily/a", "", "/etc/cron.daily/a"),
    "PAM": ("/etc/pam.d/login", "auth [success=1 default=ignore] evil.so x", ""),
    "PAM by path": ("/etc/pam.d/login", f"-session optional {L}", L),
    "PAM, in its folder": (
        "/etc/pam.d/login",
        "auth required pam_x.so",
        "/usr/lib/x86_64-linux-gnu/security/pam_x.so",
    ),
    "pam_exec": ("/etc/pam.d/login", f"auth optional pam_exec.so quiet {P} x", P),
    "udev RUN": (RULES, f'ACTION=="add", RUN+="{P} %k"', P),
    "udev RUN of its folder": (RULES, 'RUN{program}="evil"', "/usr/lib/udev/evil"),
    "udev PROGRAM": (RULES, f'PROGRAM=="{P}", \\\n  NAME="x"', P),
    "udev IMPORT": (RULES, f'IMPORT{{program}}="{P}"', P),
    "udev builtin": (RULES, 'RUN{builtin}="evil"', ""),
    "udev unit": (RULES, 'ENV{SYSTEMD_WANTS}+="b.service"', P),
    "modprobe": ("/etc/modprobe.d/a.conf", f"install floppy {P} $CMDLINE_OPTS; true", P),
    "module": (
        "/usr/lib/modules/6.1/modules.dep",
        "kernel/a.ko.xz: kernel/b.ko",
        "/usr/lib/modules/6.1/kernel/a.ko.xz",
    ),
    "firmware": ("/usr/lib/firmware/a/b.bin", "", "/usr/lib/firmware/a/b.bin"),
    "core_pattern": ("/etc/sysctl.d/a.conf", f"kernel.core_pattern = |{P} %P", P),
    "modprobe path": ("/etc/sysctl.conf", f"kernel/modprobe={P}", P),
    "binfmt": ("/etc/binfmt.d/a.conf", f":a:M::MZ::{P}:", P),
    "ld.so.preload": ("/etc/ld.so.preload", f"{L} # x", L),
    "NSS": ("/etc/nsswitch.conf", "passwd: files [NOTFOUND=return] evil", ""),
    "NSS library": (
        "/etc/nsswitch.conf",
        "hosts: files evil",
        "/usr/lib/x86_64-linux-gnu/libnss_evil.so.2",
    ),
    "sudo plugin": ("/etc/sudo.conf", f"Plugin sudoers_policy {L}", L),
    "sudo's folder": ("/usr/libexec/sudo/a.so", "", "/usr/libexec/sudo/a.so"),
    "sudoers": ("/etc/sudoers", f"user ALL=(ALL) NOPASSWD: {P}", ""),
    "sshd subsystem": ("/etc/ssh/sshd_config", f"Subsystem x {P} -y", P),
    "sshd included": ("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf", P),
    "sshd keys": ("/etc/ssh/sshd_config", f"AuthorizedKeysCommand {P} %u", P),
    "sshd keys, another user": (
        "/etc/ssh/sshd_config",
        f"AuthorizedKeysCommand {P} %u\nAuthorizedKeysCommandUser user",
        "",
    ),
    "key of root": ("/root/.ssh/authorized_keys", f'command="{P} x" ssh-ed25519 AAAA', P),
    "shell of uid 0": ("/etc/passwd", f"toor:x:0:0::/:{P}", P),
    "logrotate": ("/etc/logrotate.conf", f"/x {{\npostrotate\n  {P}\nendscript\n}}", P),
    "logrotate, included": ("/etc/logrotate.conf", "include /etc/logrotate.d", P),
    "apt": ("/etc/apt/apt.conf.d/1", f'DPkg::Post-Invoke {{ "x; {P}"; }};', P),
    "apt, one line": ("/etc/apt/apt.conf", f'APT::Update::Post-Invoke:: "{P}";', P),
    "apt, comment": ("/etc/apt/apt.conf", f'// APT::Update::Post-Invoke:: "{P}";', ""),
    "dpkg": ("/etc/dpkg/dpkg.cfg.d/a", f'post-invoke="{P} x"', P),
    "network": (
        "/etc/NetworkManager/dispatcher.d/a",
        "",
        "/etc/NetworkManager/dispatcher.d/a",
    ),
    "ifupdown": ("/etc/network/interfaces", f"iface lo inet loopback\n  post-up {P} x", P),
    "dhclient": (
        "/etc/dhcp/dhclient-exit-hooks.d/a",
        "",
        "/etc/dhcp/dhclient-exit-hooks.d/a",
    ),
    "cloud-init": (
        "/var/lib/cloud/scripts/per-boot/a",
        "",
        "/var/lib/cloud/scripts/per-boot/a",
    ),
    "polkit": (
        "/usr/share/polkit-1/actions/a.policy",
        f'<annotate key="org.freedesktop.policykit.exec.path">{P}</annotate>',
        P,
    ),
    "SysV": ("/etc/rc2.d/S01evil", "", "/etc/rc2.d/S01evil"),
    "at": ("/var/spool/cron/atjobs/a1", "#!/bin/sh\n", "/var/spool/cron/atjobs/a1"),
}


def host(path: Path, trigger: str) -> Host:
    """One host with the trigger, and everything that any of them leads to."""
    made = Host(path)
    name, contents, _ = TRIGGERS[trigger]
    for program in (P, "/usr/lib/udev/evil", "/usr/bin/evil", "/usr/bin/env"):
        made.program(program)
    for library in (
        *(L, "/usr/lib/x86_64-linux-gnu/libnss_evil.so.2"),
        "/usr/lib/x86_64-linux-gnu/security/pam_x.so",
        "/usr/lib/x86_64-linux-gnu/security/pam_exec.so",
        "/usr/lib/x86_64-linux-gnu/security/evil.so",
    ):
        made.library(library)
    for module in ("a.ko.xz", "b.ko"):
        made.file(f"/usr/lib/modules/6.1/kernel/{module}", module.encode())
    made.file("/opt/text", b"code without #!")
    for other in ("python3", "python3.11", "perl", "cat", "dash", "node"):
        made.program(f"/bin/{other}")
    made.file("/opt/script", b"#!/bin/sh\n", 0o755)
    made.file("/opt/py/a/site.py", b"#!/usr/bin/python3\n", 0o755)
    if trigger == "environment file":
        made.file("/opt/env1", f"A=1\nLD_PRELOAD={L}\n".encode())
    if trigger == "udev unit":
        made.unit("b.service", f"[Service]\nExecStart={P}")
    if trigger == "sshd included":
        made.file("/etc/ssh/sshd_config.d/a.conf", f"ForceCommand {P}".encode())
    if trigger == "logrotate, included":
        made.file("/etc/logrotate.d/a", f"x {{\n  prerotate\n  {P}\n  endscript\n}}".encode())
    if not contents:
        made.file(name, elf(text=b"evil", interpreter=""), 0o755)
    elif name == "/etc/passwd":
        made.file(name, b"root:x:0:0::/root:/bin/sh\n" + contents.encode())
    else:
        made.file(name, contents.encode() + b"\n", 0o755 if contents.startswith("#!") else 0o644)
    return made


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_signed(tmp_path: Path, trigger: str) -> None:
    result = audit_code.examine(host(tmp_path, trigger).committed())
    assert (result.findings, result.not_evaluated) == ((), ())


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_unsigned(tmp_path: Path, trigger: str) -> None:
    made = host(tmp_path, trigger)
    reached = TRIGGERS[trigger][2]
    # Whatever else the tree holds that no grant names must not be found.
    made.unsigned = {reached or P}
    assert made.found() == ([("unsigned-reached", reached)] if reached else [])
