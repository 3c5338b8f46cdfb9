# SPDX-License-Identifier: Apache-2.0
"""What each scope lets through while it is live, what it doesn't, and that nothing of it stays.

Each act is refused before, goes through meanwhile with its line in the log, and is refused again
behind the relock.
"""

from __future__ import annotations

import pytest

from tests.boot import USER_ROOT
from verity.formats import gate_status
from verity.formats.unlock import Scope

from . import gate_world as world
from .gate_blobs import Revoke, signed
from .gate_config import ETC, OUTSIDE
from .gate_log import PINS, STATUS
from .gate_machine import ACCEPTED, AT
from .unlock_machine import LOOSE, LOOSER, SEALED, Locked, Tried

# What is essential of it, a digest and a path, is in test_gate_unlock.py, too.
pytestmark = pytest.mark.full

TRUST = "/etc/verity/host"
NO_DIGEST, NOT_GRANTED = ("no-digest", "exec"), ("not-granted", "exec")
# What was started is mapped, too.
RAN_SO = (NO_DIGEST, ("no-digest", "map"))
RAN_UNGRANTED = (NOT_GRANTED, ("not-granted", "map"))
UNSIGNED = ("config-unsigned", "config")


def refused(tried: Tried, *reasons: tuple[str, str]) -> None:
    """Nothing was shown, for these reasons alone."""
    assert tried.shown == ""
    assert tried.of("denied") == list(reasons)
    assert tried.of("unlocked") == []


def went_through(tried: Tried, shown: str, *reasons: tuple[str, str]) -> None:
    """It was shown, and the log has why it would not have been."""
    assert tried.shown == shown
    assert set(tried.of("unlocked")) == set(reasons)
    assert tried.of("denied") == []


def stays_shut(locked: Locked) -> None:
    """What no token opens: pins, links, ftrace, modules, trust files, what is revoked."""
    refused(locked.attempt(f"rm -f {PINS}/status || :"), ("gate-pin", "pin"))
    refused(locked.attempt("echo 0 >/proc/sys/kernel/ftrace_enabled || :"), ("ftrace", "ftrace"))
    refused(locked.attempt(f"cat {TRUST}"), UNSIGNED)
    module = f"cp $(find /usr/lib/modules -name dummy.ko.xz) {LOOSE}/ && insmod {LOOSE}/dummy.ko.xz"
    refused(locked.attempt(f"{module} && echo loaded"), ("no-digest", "module"))
    assert locked.says("state") == "sealed"


# --- one digest ---------------------------------------------------------------------------------


def test_a_digest(locked: Locked, digests: dict[str, bytes]) -> None:
    refused(locked.attempt(f"{AT}/a"), NOT_GRANTED)
    with locked.unlocked(Scope.DIGEST, digests["a"]):
        for _ in range(2):
            went_through(locked.attempt(f"{AT}/a"), "ran a", *RAN_UNGRANTED)
        refused(locked.attempt(f"{AT}/b"), NOT_GRANTED)
        # The same contents without fs-verity have no digest.
        refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
        stays_shut(locked)
    refused(locked.attempt(f"{AT}/a"), NOT_GRANTED)


def test_a_digest_raises_nothing(locked: Locked, digests: dict[str, bytes]) -> None:
    suid = f"{AT}/suid"
    locked.machine.run(f"cp {AT}/a {suid} && fsverity enable {suid} && chmod 4755 {suid}")
    with locked.unlocked(Scope.DIGEST, digests["a"]):
        tried = locked.attempt(suid, user="user")
        refused(tried, ("not-elevated", "elevate"))


def test_what_is_revoked_stays_so(locked: Locked, digests: dict[str, bytes]) -> None:
    revoked = signed(Revoke(serial=1, digests=[digests["a"]]).encode(), USER_ROOT)
    assert locked.gate.send(revoked) == (ACCEPTED,)
    for scope in (Scope.DIGEST, Scope.OBSERVE_ONLY, Scope.OFF):
        operand = digests["a"] if scope is Scope.DIGEST else b""
        with locked.unlocked(scope, operand):
            refused(locked.attempt(f"{AT}/a"), ("revoked", "exec"))
    locked.machine.restore(SEALED)


# --- a path -------------------------------------------------------------------------------------


def test_a_path_prefix(locked: Locked) -> None:
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
    with locked.unlocked(Scope.PATH_PREFIX, LOOSE.encode()):
        went_through(locked.attempt(f"{LOOSE}/a"), "ran a", *RAN_SO)
        went_through(locked.attempt(f"cd {LOOSE}; ./b"), "ran b", *RAN_SO)
        refused(locked.attempt(f"{LOOSER}/b"), NO_DIGEST)
        refused(locked.attempt(f"{AT}/a"), NOT_GRANTED)
        link = f"ln -s {LOOSE}/a /run/link; ln -s {LOOSER}/b {LOOSE}/out; /run/link; {LOOSE}/out"
        tried = locked.attempt(link)
        assert (tried.shown, tried.of("denied")) == ("ran a", [NO_DIGEST])
        stays_shut(locked)
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)


def test_libraries_of_a_path(locked: Locked) -> None:
    library = f"{LOOSE}/libz.so.1"
    locked.machine.run(f"cp /usr/lib/x86_64-linux-gnu/libz.so.1 {library}")
    maps = f"LD_PRELOAD={library} grep -o {library} /proc/self/maps | sort -u"
    assert set(locked.attempt(maps).of("denied")) == {("no-digest", "map")}
    with locked.unlocked(Scope.PATH_PREFIX, LOOSE.encode()):
        tried = locked.attempt(maps)
        assert tried.shown == library
        assert set(tried.of("unlocked")) == {("no-digest", "map")}
    assert set(locked.attempt(maps).of("denied")) == {("no-digest", "map")}


# --- configuration ------------------------------------------------------------------------------


def test_a_configuration_path(locked: Locked) -> None:
    """Nothing of it is remembered, and nothing beside it is opened."""
    locked.machine.run(f"echo new >{ETC}/new; echo else >{ETC}/else; mkdir -p {ETC}/sub2")
    locked.machine.run(f"echo deep >{ETC}/sub2/deep")
    refused(locked.attempt(f"cat {ETC}/new"), UNSIGNED)
    with locked.unlocked(Scope.CONFIG_PATH, f"{ETC}/new".encode()):
        for _ in range(3):
            went_through(locked.attempt(f"cat {ETC}/new"), "new", UNSIGNED)
        refused(locked.attempt(f"cat {ETC}/else"), UNSIGNED)
        refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
        over = f"mount --bind {ETC}/else {ETC}/new && echo mounted"
        refused(locked.attempt(over), ("config-mount", "mount"))
        stays_shut(locked)
    refused(locked.attempt(f"cat {ETC}/new"), UNSIGNED)
    with locked.unlocked(Scope.CONFIG_PATH, f"{ETC}/sub2".encode()):
        went_through(locked.attempt(f"cat {ETC}/sub2/deep"), "deep", UNSIGNED)


def test_a_configuration_path_is_no_way_to_another(locked: Locked) -> None:
    """By an alias of its own the file has the place of the other one, too."""
    locked.machine.run(f"echo else >{ETC}/else")
    inside = f"mkdir -p /run/alias; mount --bind {ETC} /run/alias; cat /run/alias/else"
    alias = f"unshare -m sh -c '{inside}'"
    with locked.unlocked(Scope.CONFIG_PATH, b"/run/alias"):
        refused(locked.attempt(alias), UNSIGNED)
    with locked.unlocked(Scope.CONFIG_PATH, f"{ETC}/else".encode()):
        went_through(locked.attempt(alias), "else", UNSIGNED)


def test_a_symlink_of_a_configuration_path(locked: Locked) -> None:
    locked.machine.run(f"ln -sf {OUTSIDE}/unsigned {ETC}/out")
    refused(locked.attempt(f"cat {ETC}/out"), ("config-link", "link"))
    with locked.unlocked(Scope.CONFIG_PATH, f"{ETC}/out".encode()):
        went_through(locked.attempt(f"cat {ETC}/out"), "says unsigned", ("config-link", "link"))
    refused(locked.attempt(f"cat {ETC}/out"), ("config-link", "link"))


def test_a_wide_path_has_no_trust_files(locked: Locked) -> None:
    locked.machine.run(f"echo new >{ETC}/new")
    with locked.unlocked(Scope.CONFIG_PATH, b"/etc"):
        went_through(locked.attempt(f"cat {ETC}/new"), "new", UNSIGNED)
        refused(locked.attempt(f"cat {TRUST}"), UNSIGNED)
    place = "/usr/lib/verity"
    locked.machine.run(f"mkdir -p {place} && cp {LOOSE}/a {place}/ && cp {LOOSE}/a {place}-not")
    with locked.unlocked(Scope.PATH_PREFIX, b"/usr/lib"):
        refused(locked.attempt(f"{place}/a"), NO_DIGEST)
        went_through(locked.attempt(f"{place}-not"), "ran a", *RAN_SO)


# --- a session ----------------------------------------------------------------------------------


def begin(locked: Locked, command: str, seconds: int = 300) -> str:
    """A shell command for a session: the harness hands the token over and begins it."""
    token = signed(locked.token(Scope.SESSION, duration_s=seconds), *world.UNLOCK)
    locked.machine.run("cat >/run/session", input=token)
    locked.machine.run("cat >/run/command", input=command.encode())
    return f'{AT}/call from=/run/session token run="$(cat /run/command)"'


def test_a_session(locked: Locked) -> None:
    """Its tasks, and nobody else; whoever is begun by one is of it."""
    locked.machine.run(f"echo new >{ETC}/new")
    acts = f"{LOOSE}/a; sh -c '(setsid {LOOSE}/b)'; cat {ETC}/new; cat {TRUST} || :"
    tried = locked.attempt(begin(locked, acts))
    assert tried.shown == f"{ACCEPTED}\nran a\nran b\nnew"
    assert set(tried.of("unlocked")) == {*RAN_SO, UNSIGNED}
    assert tried.of("denied") == [UNSIGNED]
    # Others, while it is live.
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
    stays_shut(locked)
    locked.gate.call("relock")


def test_a_session_reaches_into_nobody(locked: Locked) -> None:
    """Whom it traced would go on when it is over."""
    tried = locked.attempt(begin(locked, "echo >/proc/1/mem || :"))
    assert tried.of("denied") == [("traced", "trace")]
    locked.gate.call("relock")


def test_a_session_that_is_over_is_ended(locked: Locked) -> None:
    """By its deadline: a start, an open, or anything else that the gate is asked about ends it."""
    acts = f"{LOOSE}/a; until [ -e /run/later ]; do :; done; {LOOSE}/b; echo lives"
    locked.machine.run("rm -f /run/later")
    command = begin(locked, acts, seconds=6)
    locked.machine.start("sleep 12; touch /run/later")
    tried = locked.attempt(command, timeout_s=60)
    assert "ran a" in tried.shown
    assert "ran b" not in tried.shown and "lives" not in tried.shown
    assert ("session-over", "exec") in tried.of("denied")


def test_relock_ends_a_session_with_all_that_it_began(locked: Locked) -> None:
    """Also what left its group, and what gave up root: by the next file that it opens."""
    each = "echo $$ >/run/begun/{}; while read -r line </etc/passwd; do sleep 0.1; done"
    as_user = f"setpriv --reuid=1000 --clear-groups sh -c '{each.format(2)}'"
    acts = f"(setsid sh -c '{each.format(1)}' &); ({as_user} &); sleep 0.1"
    alive = "for pid in $(cat /run/begun/*); do [ ! -e /proc/$pid ] || echo alive; done"
    locked.machine.run("rm -rf /run/begun; mkdir -m 1777 /run/begun")
    locked.machine.start(begin(locked, acts))
    locked.machine.run("until [ -s /run/begun/1 ] && [ -s /run/begun/2 ]; do sleep 0.1; done")
    assert locked.attempt(f"sleep 1; {alive}").shown == "alive\nalive"
    tried = locked.attempt(f"{AT}/call relock; sleep 3; {alive}")
    assert tried.shown == f"{ACCEPTED}"
    assert {reason for reason, _ in tried.of("denied")} == {"session-over"}
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)


# --- the whole host -----------------------------------------------------------------------------


def test_observe_only(locked: Locked) -> None:
    """All is written down, and nothing denied but what protects the gate."""
    locked.machine.run(f"echo new >{ETC}/new")
    with locked.unlocked(Scope.OBSERVE_ONLY):
        went_through(locked.attempt(f"{LOOSE}/a"), "ran a", *RAN_SO)
        went_through(locked.attempt(f"{AT}/a"), "ran a", *RAN_UNGRANTED)
        went_through(locked.attempt(f"cat {ETC}/new"), "new", UNSIGNED)
        stays_shut(locked)
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
    refused(locked.attempt(f"cat {ETC}/new"), UNSIGNED)
    assert not gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout).tainted


def test_off(locked: Locked) -> None:
    """Likewise without a word, and the boot is tainted by it."""
    locked.machine.run(f"echo new >{ETC}/new")
    with locked.unlocked(Scope.OFF):
        went_through(locked.attempt(f"{LOOSE}/a; {AT}/a; cat {ETC}/new"), "ran a\nran a\nnew")
        stays_shut(locked)
    refused(locked.attempt(f"{LOOSE}/a"), NO_DIGEST)
    status = gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout)
    assert (status.unlocked, status.tainted) == (False, True)
    assert status.state is gate_status.State.SEALED
    locked.machine.restore(SEALED)


def test_ordinary_users_are_asked_nothing(locked: Locked) -> None:
    went_through(locked.attempt(f"{LOOSE}/a", user="user"), "ran a")
