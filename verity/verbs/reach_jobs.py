# SPDX-License-Identifier: Apache-2.0
"""What jobs and hooks start: cron, at, logrotate, package managers, networks, D-Bus.

1. Crontabs of the system and of accounts with uid 0, at jobs of theirs; the jobs of others count if
   their account is privileged.
2. Directories all of whose programs are started: run-parts and its like.
3. Scripts in logrotate's configuration; the hooks of apt and dpkg; commands of ifupdown.
4. D-Bus services that are started as root without a unit; units that D-Bus starts are
   ``reach_units``'s.

Lines for a shell are taken apart as far as ``reach_commands`` does. The scripts that packages bring
for their own installation are not followed.
"""

from collections.abc import Iterator

from verity.formats import trigger_lines
from verity.formats.unit_exec import split
from verity.formats.unit_file import Settings, parse
from verity.verbs.reach_accounts import Accounts
from verity.verbs.reach_commands import of_arguments, of_shell, run_parts
from verity.verbs.reach_unit import below
from verity.verbs.reach_units import Started
from verity.verbs.reach_values import PATH, Reference, Seen, Step, Use

_RUN_PARTS = {
    **{
        f"/etc/cron.{when}".encode(): f"cron, {when}"
        for when in ("hourly", "daily", "weekly", "monthly", "yearly")
    },
    **{
        top + b"/NetworkManager/dispatcher.d" + one: "NetworkManager's dispatcher"
        for top in (b"/etc", b"/usr/lib")
        for one in (b"", b"/pre-up.d", b"/pre-down.d", b"/no-wait.d")
    },
    **{
        top + b"/networkd-dispatcher/" + one + b".d": "networkd-dispatcher"
        for top in (b"/etc", b"/usr/lib")
        for one in (b"routable", b"dormant", b"no-carrier", b"off", b"carrier", b"degraded")
    },
    **{
        b"/etc/network/" + one + b".d": "ifupdown"
        for one in (b"if-pre-up", b"if-up", b"if-down", b"if-post-down")
    },
    **{
        b"/etc/ppp/" + one + b".d": "pppd"
        for one in (b"ip-up", b"ip-down", b"ipv6-up", b"ipv6-down")
    },
    **{
        top + b"/kernel/" + one + b".d": "installing a kernel"
        for top in (b"/etc", b"/usr/share", b"/usr/lib")
        for one in (b"preinst", b"postinst", b"prerm", b"postrm", b"install", b"header_postinst")
    },
    b"/etc/grub.d": "update-grub",
    b"/etc/initramfs-tools/hooks": "update-initramfs",
    b"/usr/share/initramfs-tools/hooks": "update-initramfs",
    b"/etc/initramfs/post-update.d": "update-initramfs",
    b"/etc/resolvconf/update.d": "resolvconf",
    b"/etc/needrestart/hook.d": "needrestart",
    b"/etc/ca-certificates/update.d": "update-ca-certificates",
    b"/etc/dhcp/dhclient-enter-hooks.d": "dhclient",
    b"/etc/dhcp/dhclient-exit-hooks.d": "dhclient",
    # Those of an instance are started once, behind the seal, and lie about afterwards.
    b"/var/lib/cloud/scripts/per-boot": "cloud-init, each boot",
}
_SOURCED = (
    *(b"/etc/dhcp/dhclient-enter-hooks", b"/etc/dhcp/dhclient-exit-hooks"),
    *(b"/etc/dhcp/dhclient-enter-hooks.d", b"/etc/dhcp/dhclient-exit-hooks.d"),
    *(b"/usr/lib/dhcpcd/dhcpcd-hooks", b"/etc/dhcpcd.enter-hook", b"/etc/dhcpcd.exit-hook"),
)
"""What a privileged script reads into itself, whatever its mode."""
_STARTED = (b"/sbin/dhclient-script", b"/usr/lib/dhcpcd/dhcpcd-run-hooks", b"/etc/ppp/ip-up")
_SPOOLS = (b"/var/spool/cron/crontabs/", b"/var/spool/cron/")
_AT = (b"/var/spool/cron/atjobs", b"/var/spool/at", b"/var/spool/atjobs")
_DBUS = (
    *(b"/run/dbus-1/system-services", b"/usr/local/share/dbus-1/system-services"),
    *(b"/usr/share/dbus-1/system-services", b"/lib/dbus-1/system-services"),
)
_DBUS_SECTION = b"D-BUS Service"
_INTERFACES = (b"up", b"down", b"pre-up", b"post-up", b"pre-down", b"post-down")


def references(seen: Seen, accounts: Accounts) -> Iterator[Reference]:
    """What all of these lead to, but for units."""
    yield from _cron(seen, accounts)
    # 2. Directories of programs.
    for folder, how in _RUN_PARTS.items():
        yield from run_parts(seen, folder, (Step(folder, how),))
    for path in _SOURCED:
        located = seen.find(path)
        if located is None:
            continue
        files = [path + b"/" + name for name in seen.names(path)] if located.is_folder else [path]
        for file in files:
            step = Step(path, "a hook that is read")
            yield Reference(target=file, use=Use.READ, by=(step,), optional=True)
    for path in _STARTED:
        step = Step(b"network", "a hook")
        yield Reference(target=path, use=Use.STARTED, by=(step,), optional=True)
    # 3. Commands in configuration.
    yield from _logrotate(seen, b"/etc/logrotate.conf", set())
    for path in (b"/etc/apt/apt.conf", *seen.drop_ins((b"/etc/apt/apt.conf.d",), b"")):
        for line in trigger_lines.apt_commands(seen.read(path)):
            yield from of_shell(seen, line, (Step(path, "a hook of apt"),))
    for path in (b"/etc/dpkg/dpkg.cfg", *seen.drop_ins((b"/etc/dpkg/dpkg.cfg.d",), b"")):
        for line in seen.lines(path):
            key, _, value = line.lstrip(b"-").replace(b"=", b" ", 1).partition(b" ")
            if key in (b"pre-invoke", b"post-invoke", b"status-logger"):
                command = value.strip().strip(b"\"'")
                yield from of_shell(seen, command, (Step(path, "a hook of dpkg"),))
    interfaces = seen.drop_ins((b"/etc/network/interfaces.d",), b"")
    for path in (b"/etc/network/interfaces", *interfaces):
        for line in seen.lines(path):
            words = line.split(None, 1)
            if words[0] in _INTERFACES and len(words) == 2:
                yield from of_shell(seen, words[1], (Step(path, words[0].decode()),))
    yield from _dbus(seen, accounts)


def units(seen: Seen) -> Iterator[Started]:
    """The units that D-Bus starts."""
    for path, settings in _dbus_services(seen):
        unit = settings.last(_DBUS_SECTION, b"SystemdService")
        if unit:
            yield unit, (Step(path, "D-Bus starts it"),)


def _cron(seen: Seen, accounts: Accounts) -> Iterator[Reference]:
    """1. cron and at."""
    for path in (b"/etc/crontab", *seen.drop_ins((b"/etc/cron.d",), b"")):
        yield from _crontab(seen, accounts, path, with_user=True)
    for spool in _SPOOLS:
        for account in accounts.roots:
            located = seen.find(spool + account.name)
            if located is not None and located.is_file:
                yield from _crontab(seen, accounts, spool + account.name, with_user=False)
    for line in seen.lines(b"/etc/anacrontab"):
        words = line.split(None, 3)
        if len(words) == 4 and b"=" not in words[0]:
            yield from of_shell(seen, words[3], (Step(b"/etc/anacrontab", "a job"),))
    for folder in _AT:
        for name in seen.names(folder):
            located = seen.find(folder + b"/" + name)
            if located is not None and located.is_file and located.status.st_uid == 0:
                if not name.startswith(b"."):
                    by = (Step(folder, "a job of at"),)
                    yield Reference(target=folder + b"/" + name, use=Use.READ, by=by, optional=True)


def _crontab(
    seen: Seen, accounts: Accounts, path: bytes, *, with_user: bool
) -> Iterator[Reference]:
    by = (Step(path, "a job of cron"),)
    yield Reference(target=path, use=Use.CONFIGURATION, by=by, optional=True)
    search: tuple[bytes, ...] = PATH
    for line in seen.lines(path):
        variable = trigger_lines.assignment(line)
        if variable is not None:
            name, value = variable
            if name == b"PATH":
                search = tuple(value.split(b":"))
            elif name == b"SHELL":
                yield Reference(target=value, use=Use.STARTED, by=by, optional=True)
            elif name in (b"LD_PRELOAD", b"LD_AUDIT"):
                for library in value.replace(b":", b" ").split():
                    yield Reference(target=library, use=Use.LIBRARY, by=by, optional=True)
            elif name in (b"PYTHONPATH", b"PERL5LIB"):
                for folder in value.split(b":"):
                    yield from below(seen, folder, by)
            continue
        job = trigger_lines.cron_job(line, with_user=with_user)
        if job is None:
            continue
        user, command = job
        if with_user and user not in accounts.users:
            seen.counts["unprivileged jobs"] += 1
            continue
        yield from of_shell(seen, command, by, search)


def _logrotate(seen: Seen, path: bytes, done: set[bytes]) -> Iterator[Reference]:
    """A file and those that it includes, each once."""
    if path in done:
        return
    done.add(path)
    for what, value in trigger_lines.logrotate_lines(seen.read(path)):
        by = (Step(path, f"logrotate, {what.decode()}"),)
        if what == b"script":
            yield from of_shell(seen, value, by)
        elif what == b"program":
            yield Reference(target=value, use=Use.STARTED, by=by, optional=True)
        else:
            located = seen.find(value) if value.startswith(b"/") else None
            if located is not None and located.is_folder:
                for name in seen.names(value):
                    yield from _logrotate(seen, value.rstrip(b"/") + b"/" + name, done)
            elif located is not None:
                yield from _logrotate(seen, value, done)


def _dbus_services(seen: Seen) -> Iterator[tuple[bytes, Settings]]:
    for path in seen.drop_ins(_DBUS, b".service"):
        yield path, Settings(parse(seen.read(path), path))


def _dbus(seen: Seen, accounts: Accounts) -> Iterator[Reference]:
    """4. Services of the system bus that have no unit."""
    for path, settings in _dbus_services(seen):
        words = [word for word, _ in split(settings.last(_DBUS_SECTION, b"Exec"))]
        if settings.last(_DBUS_SECTION, b"SystemdService") or not words:
            continue
        if settings.last(_DBUS_SECTION, b"User") not in accounts.users:
            seen.counts["unprivileged commands"] += 1
            continue
        by = (Step(path, "D-Bus starts it"),)
        yield Reference(target=words[0], use=Use.STARTED, by=by, optional=True)
        yield from of_arguments(seen, words[0], tuple(words[1:]), by)
