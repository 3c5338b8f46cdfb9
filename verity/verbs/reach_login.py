# SPDX-License-Identifier: Apache-2.0
"""What logins load and start: PAM, NSS, sudo, sshd, polkit, the shells of those with uid 0.

1. Every module that a PAM service names, in the directories of the system's libraries; what
   pam_exec is told to start.
2. The libraries of nsswitch.conf's services, which are loaded into whoever asks for a name.
3. sudo's plugins. Which commands sudoers lets whom start makes no command privileged code: it is
   when it is started.
4. sshd's helpers, subsystems and commands, and the commands of root's authorized keys.
5. The login shells of accounts with uid 0. What these read at their start is configuration.
6. What pkexec starts as root.
7. Programs of /usr/local, which a shell of root finds before those of the same name in /usr.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from verity.formats import trigger_lines
from verity.verbs.reach_accounts import Account, Accounts
from verity.verbs.reach_commands import of_arguments, of_shell, run_parts
from verity.verbs.reach_judge import is_elf_or_script, is_runnable
from verity.verbs.reach_values import Reference, Seen, Step, Use

_PAM = (b"/etc/pam.d", b"/usr/lib/pam.d")
_SUDO = (b"/usr/libexec/sudo", b"/usr/lib/sudo", b"/usr/lib64/sudo")
_LOCAL = (b"/usr/local/sbin", b"/usr/local/bin")
_SSHD = b"/etc/ssh/sshd_config"
_SSHD_HELPERS = (b"/usr/lib/openssh", b"/usr/libexec/openssh", b"/usr/lib/ssh")
_SSHD_COMMANDS = {
    b"authorizedkeyscommand": b"authorizedkeyscommanduser",
    b"authorizedprincipalscommand": b"authorizedprincipalscommanduser",
}
_STARTUP = (
    *(b"/etc/profile", b"/etc/bash.bashrc", b"/etc/bashrc", b"/etc/bash.bash_logout"),
    *(b"/etc/environment", b"/etc/zsh/zshenv", b"/etc/zsh/zprofile", b"/etc/zsh/zshrc"),
    *(b"/etc/zsh/zlogin", b"/etc/zshenv", b"/etc/zshrc", b"/etc/csh.cshrc", b"/etc/csh.login"),
    *(b"/etc/sudoers", b"/etc/sudo.conf", b"/etc/nsswitch.conf", b"/etc/ssh/sshd_config"),
)
_HOME = (
    *(b".profile", b".bash_profile", b".bash_login", b".bashrc", b".bash_logout", b".zshenv"),
    *(b".zprofile", b".zshrc", b".zlogin", b".ssh/rc", b".ssh/environment"),
)


def references(seen: Seen, accounts: Accounts) -> Iterator[Reference]:
    """What all of these lead to."""
    yield from _pam(seen)
    yield from _nss(seen)
    yield from _sudo(seen)
    yield from _sshd(seen, accounts)
    for account in accounts.roots:
        yield from _account(seen, account)
    yield from _local(seen)
    by = (Step(b"shells and logins", "read at their start"),)
    startup = [*_STARTUP, *seen.drop_ins((b"/etc/profile.d",), b".sh")]
    for path in startup:
        yield Reference(target=path, use=Use.CONFIGURATION, by=by, optional=True)
    for folder in (b"/etc/polkit-1/actions", b"/usr/share/polkit-1/actions"):
        for path in seen.drop_ins((folder,), b".policy"):
            for program in trigger_lines.polkit_programs(seen.read(path)):
                step = Step(path, "pkexec may start it")
                yield Reference(target=program, use=Use.STARTED, by=(step,), optional=True)


def _local(seen: Seen) -> Iterator[Reference]:
    """7. What a name alone may start."""
    for folder in _LOCAL:
        for name in seen.names(folder):
            path = folder + b"/" + name
            located = seen.find(path)
            if located is None or not is_runnable(located.status):
                continue
            if is_elf_or_script(seen.head(located)):
                by = (Step(folder, "a shell of root looks there first"),)
                yield Reference(target=path, use=Use.STARTED, by=by, optional=True)


def _pam(seen: Seen) -> Iterator[Reference]:
    """1. PAM."""
    for path in (*seen.drop_ins(_PAM, b""), b"/etc/pam.conf"):
        for line in seen.lines(path):
            if path == b"/etc/pam.conf":
                line = line.split(None, 1)[-1]
            found = trigger_lines.pam_line(line)
            if found is None or found.included:
                continue  # every service is read by itself, those that others include too
            step = Step(path, "a PAM module")
            files = [found.module]
            if not found.module.startswith(b"/"):
                files = seen.libraries(b"security/" + found.module) or files
            for file in files:
                yield Reference(target=file, use=Use.LIBRARY, by=(step,), optional=found.optional)
            if found.module.endswith(b"pam_exec.so"):
                yield from _pam_exec(seen, found.arguments, Step(path, "pam_exec"))
    yield from run_parts(seen, b"/etc/update-motd.d", (Step(b"pam_motd", "at each login"),))


def _pam_exec(seen: Seen, arguments: tuple[bytes, ...], step: Step) -> Iterator[Reference]:
    for number, word in enumerate(arguments):
        if word.startswith(b"/"):
            yield Reference(target=word, use=Use.STARTED, by=(step,))
            yield from of_arguments(seen, word, arguments[number + 1 :], (step,))
            return


def _nss(seen: Seen) -> Iterator[Reference]:
    """2. Names of users, hosts and the like."""
    path = b"/etc/nsswitch.conf"
    for line in seen.lines(path):
        for service in trigger_lines.nss_services(line):
            step = Step(path, f"the service {service.decode()}")
            for file in seen.libraries(b"libnss_" + service + b".so.2"):
                yield Reference(target=file, use=Use.LIBRARY, by=(step,), optional=True)


def _sudo(seen: Seen) -> Iterator[Reference]:
    """3. sudo."""
    path = b"/etc/sudo.conf"
    named = []
    for line in seen.lines(path):
        words = line.split()
        if words[0] == b"Plugin" and len(words) > 2:
            named.append((words[2], Step(path, "a plugin of sudo")))
        elif words[0] == b"Path" and len(words) > 2 and words[1] in (b"noexec", b"sesh"):
            named.append((words[2], Step(path, f"sudo's {words[1].decode()}")))
    for target, step in named:
        folders = (b"",) if target.startswith(b"/") else tuple(one + b"/" for one in _SUDO)
        for folder in folders:
            use = Use.STARTED if b"sesh" in target else Use.LIBRARY
            yield Reference(target=folder + target, use=use, by=(step,), optional=True)
    for folder in _SUDO:
        for name in seen.names(folder):
            if name.endswith(b".so"):
                step = Step(b"sudo", "its plugins and libraries")
                yield Reference(
                    target=folder + b"/" + name, use=Use.LIBRARY, by=(step,), optional=True
                )


def _sshd(seen: Seen, accounts: Accounts) -> Iterator[Reference]:
    """4. sshd."""
    for folder in _SSHD_HELPERS:
        for name in seen.names(folder):
            if name.startswith(b"sshd-"):
                step = Step(b"/usr/sbin/sshd", "its helper")
                yield Reference(target=folder + b"/" + name, use=Use.STARTED, by=(step,))
    settings = list(_sshd_settings(seen, _SSHD, set()))
    users = {key: value for key, value, _ in reversed(settings)}  # the first one counts
    for key, value, path in settings:
        step = Step(path, key.decode(errors="replace"))
        if key == b"subsystem":
            command = value.split(None, 1)[-1]
            if command.startswith(b"/"):
                yield from of_shell(seen, command, (step,))
        elif key in _SSHD_COMMANDS:
            user = users.get(_SSHD_COMMANDS[key], b"root")
            if user in accounts.users or b"%" in user:
                yield from of_shell(seen, value, (step,))
        elif key == b"forcecommand":
            yield from of_shell(seen, value, (step,))
        elif key == b"securitykeyprovider" and value.startswith(b"/"):
            yield Reference(target=value, use=Use.LIBRARY, by=(step,), optional=True)
    yield Reference(
        target=b"/etc/ssh/sshrc",
        use=Use.CONFIGURATION,
        by=(Step(b"/usr/sbin/sshd", "at each login"),),
        optional=True,
    )


def _sshd_settings(
    seen: Seen, path: bytes, done: set[bytes]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Keys, values and files; each file once, however often it is included."""
    done.add(path)
    for line in seen.lines(path):
        key, _, value = line.replace(b"\t", b" ").replace(b"=", b" ", 1).partition(b" ")
        key, value = key.lower(), value.strip()
        if key != b"include":
            yield key, value, path
        else:
            for pattern in value.split():
                if not pattern.startswith(b"/"):
                    pattern = b"/etc/ssh/" + pattern
                folder, _, last = pattern.rpartition(b"/")
                for name in seen.names(folder):
                    if fnmatchcase(name, last) and folder + b"/" + name not in done:
                        yield from _sshd_settings(seen, folder + b"/" + name, done)


def _account(seen: Seen, account: Account) -> Iterator[Reference]:
    """5. Shell, startup files and keys of somebody with uid 0."""
    step = Step(account.file, "a login shell of uid 0")
    yield Reference(target=account.shell or b"/bin/sh", use=Use.STARTED, by=(step,), optional=True)
    if not account.home.startswith(b"/"):
        return
    home = account.home.rstrip(b"/")
    for name in _HOME:
        yield Reference(target=home + b"/" + name, use=Use.CONFIGURATION, by=(step,), optional=True)
    for name in (b".ssh/authorized_keys", b".ssh/authorized_keys2"):
        keys = home + b"/" + name
        for line in seen.lines(keys):
            for command in trigger_lines.key_commands(line):
                yield from of_shell(seen, command, (Step(keys, "the command of a key"),))
