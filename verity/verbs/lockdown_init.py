# SPDX-License-Identifier: Apache-2.0
"""lockdown init: a host made ready for the gate, in the mode observe; or signed anew.

1. The host's id, the keyrings of both parties, and the pins.
2. The policy, signed by the user, with the mode observe at first.
3. Units, what tells people of the gate, what GRUB needs: links and files in /etc.
4. fs-verity on all that is going to be signed.
5. The system's grants: of the commit that is booted, or signed by its owner (``self_sign``).
6. /etc, signed as it is by now.
7. The boot bundle. Until it is there no boot is another one than before.

Each step finds what an earlier run has done and does it once more: after a power cut the same
command goes on. A step that fails takes away what this run has made, if it was the first; what was
in /var/lib/verity before it stays. fs-verity stays on files for good: it can't be switched off, and
does no harm.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_keys
from verity.formats.dump import printable
from verity.formats.grants import Party
from verity.formats.host_record import Installation
from verity.formats.kernel_policy import Mode
from verity.formats.records import Fragment
from verity.ports import host, keyring_files, places
from verity.ports.installation import Installed
from verity.ports.osfile import read_file
from verity.trust.keyring import PinPrint, pin_of
from verity.values.errors import CallerError, ContentError
from verity.verbs import (
    gate_view,
    host_bundle,
    host_etc,
    init_grub,
    init_policy,
    init_system,
    keyring_trust,
    keyring_verify,
)
from verity.verbs.enable import How
from verity.verbs.init_wanted import Keys, Say, Wanted
from verity.verbs.sign_prepare import Spot

UNITS = {
    "verity-gate.service": "sysinit.target.wants",
    "verity-seal.service": "basic.target.wants",
    "verity-seal-late.service": "multi-user.target.wants",
    "verity-sealed.target": "multi-user.target.wants",
    "verity-denials.service": "multi-user.target.wants",
    "verity-confirm.service": "multi-user.target.wants",
}
_FOLLOWING = {"verity-unlock.timer": "timers.target.wants"}
"""Where this version of verity has it."""
_WANTS = "etc/systemd/system"
_UNIT_FILES = "/usr/lib/systemd/system"
_APT = "etc/apt/apt.conf.d/90verity"
_APT_TEXT = (
    b"DPkg::Post-Invoke { \"echo 'verity: what is installed now is not signed yet: verity lockdown"
    b" check' >&2 || true\"; };\n"
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What there is now. ``notes`` are worth reading before the reboot."""

    serial: int
    mode: Mode
    code: int
    config: int
    bundle: str
    notes: tuple[str, ...]


def plan(wanted: Wanted) -> list[str]:
    """What would be done, in words, in its order."""
    root = wanted.root
    found = Installed.read(root)
    lines = []
    if found is not None:
        word = "goes on with" if not found.found.complete else "signs anew"
        lines.append(f"this host has an installation already: this run {word} it")
    who = "you" if wanted.self_vendor else "the vendor"
    lines += [
        f"write /{places.HOST_ID}, pins and keyrings of vendor and user below /etc/verity",
        "compile and sign the policy: serial"
        + (" 1, mode observe" if found is None else " as it is, or the next one if it changed"),
        f"enable {', '.join(UNITS)}; a reminder for apt; for GRUB a count of boots and two scripts",
        "turn fs-verity on for every file of the system; it stays on, and such a file can only be"
        " replaced, not written in place",
        f"have the system granted as {who} signed it"
        if not wanted.self_vendor
        else "sign the system as it is now: you vouch for all that is installed",
        "sign /etc as it is now, and turn fs-verity on for it",
        f"write /{places.BUNDLE}: from the next boot on the gate observes, and denies nothing",
    ]
    return lines


def init(wanted: Wanted, keys: Keys, how: How, *, now: int, say: Say) -> Made:
    """Do it. Raises ContentError ``gate-sealed`` on a host whose gate is sealed."""
    root = wanted.root
    if root.resolve() == Path("/"):
        _check_unsealed()
    there = Installed.read(root)
    installed = there or Installed(root, _fresh(wanted))
    if installed.found.self_vendor != wanted.self_vendor:
        raise CallerError(
            "bad-arguments",
            f"{root}: this host was made ready {'with' if there else 'without'} --self-vendor",
            hint="`verity lockdown remove` first, to change that",
        )
    before = installed.state()
    installed.save()
    try:
        return _init(wanted, keys, how, installed, now=now, say=say)
    except BaseException:
        if there is None:
            installed.take_away(kept=before)
        raise


def _check_unsealed() -> None:
    status = gate_view.status()
    if status is not None and status.state.value not in ("observe", "loading"):
        raise ContentError(
            "gate-sealed",
            f"the gate: it is {status.state.value}, and what is changed now it would refuse",
            hint="an unlock, or the next boot with a policy that observes, comes first",
        )


def _fresh(wanted: Wanted) -> Installation:
    short = host.host_id(wanted.root)[:12]
    return Installation(
        self_vendor=wanted.self_vendor,
        complete=False,
        streams=(f"system-{short}", f"etc-{short}", f"tools-{short}"),
        files=(),
        links=(),
    )


def _init(
    wanted: Wanted, keys: Keys, how: How, installed: Installed, *, now: int, say: Say
) -> Made:
    root = wanted.root
    notes: list[str] = []
    # 1. Who is trusted.
    say("keyrings and pins")
    installed.put(str(places.HOST_ID), host.host_id(root).encode() + b"\n")
    key_parts = [_trust(wanted, party, installed) for party in (Party.USER, Party.VENDOR)]
    keyrings = keyring_trust.load(
        keyring_trust.host_directories(root),
        keyring_trust.host_pins(root),
        allow_example_keys=wanted.allow_example_keys,
    )
    # 2. The policy.
    say("policy")
    os_stream = installed.found.streams[0]
    if not wanted.self_vendor:
        os_stream = init_system.commit_stream(root, keyrings)
    policy = init_policy.settle(wanted, keys.policy, keyrings, installed, os_stream, notes)
    # 3. Units and words.
    say("units")
    _units(installed)
    notes += init_grub.prepare(installed)
    # 4. and 5. The system.
    system = init_system.own if wanted.self_vendor else init_system.vendors
    grants = system(wanted, keys, keyrings, how, installed, now=now, say=say, notes=notes)
    # 6. /etc.
    say("signing /etc")
    spot = Spot(
        stream=installed.found.streams[1],
        serial=None,
        issued=wanted.times[0],
        expires=wanted.times[1],
    )
    etc = host_etc.sign(root, spot, keys.etc, keyrings)
    notes += [f"{printable(path)}: no grant has room for it" for path in etc.ungranted]
    if etc.plain and not init_system.is_tree(root):
        path, why = etc.plain[0]
        notes.append(f"{len(etc.plain)} files of /etc have no fs-verity: {printable(path)}: {why}")
    # 7. The bundle.
    say("boot bundle")
    parts = host_bundle.replaced(
        host_bundle.read(root), [*key_parts, policy[1], grants, etc.fragment]
    )
    written = host_bundle.write(root, parts, now=now, allow_example_keys=wanted.allow_example_keys)
    installed.complete()
    (granted,) = host_bundle.grants_of(grants)
    return Made(
        serial=policy[0].serial,
        mode=policy[0].mode,
        code=len(granted.code),
        config=len(granted.config) + etc.files,
        bundle=written.sha256,
        notes=(*notes, *written.notes),
    )


# --- 1. who is trusted ------------------------------------------------------------------------


def _trust(wanted: Wanted, party: Party, installed: Installed) -> Fragment:
    """Pin and keyring of a party; its newest `keys` for the bundle."""
    name = party.name.lower()
    source = wanted.keyrings[party]
    hosts = keyring_trust.host_directories(wanted.root)
    arrived = source in hosts
    directories = hosts if arrived else [source]
    found = keyring_verify.of_party(
        directories,
        PinPrint(party=party, fingerprint=wanted.pins[party]),
        allow_example_keys=wanted.allow_example_keys,
    )
    folder = source / name
    for version in [] if arrived else keyring_files.read_versions([source], party):
        for suffix in (".keys", ".keyring.json"):
            file = folder / f"{version.number}{suffix}"
            installed.put(
                f"etc/verity/keyrings/{name}/{file.name}",
                read_file(file, max_size=bundle.MAX_BLOB),
            )
    pin = kernel_keys.encode_pin(pin_of(found.keyring))
    if kernel_keys.fingerprint(pin) != wanted.pins[party]:
        raise ContentError(
            "pin-differs",
            f"keyring of the {name}, version {found.keyring.version}: its root keys are others than"
            f" those of the pin sha256:{wanted.pins[party]}",
            hint="confirm the pin of the newest version: `verity keyring show` has its fingerprint",
        )
    installed.put(str(host_bundle.PIN_FILES[party]), pin)
    return host_bundle.newest_keys(directories, found.keyring)


# --- 3. units ---------------------------------------------------------------------------------


def _units(installed: Installed) -> None:
    root = installed.root
    there = {
        unit: wants
        for unit, wants in _FOLLOWING.items()
        if (root / _UNIT_FILES[1:] / unit).exists()
    }
    for unit, wants in {**UNITS, **there}.items():
        installed.link(f"{_WANTS}/{wants}/{unit}", f"{_UNIT_FILES}/{unit}")
    mine = _APT in installed.found.files or not (root / _APT).exists()
    if mine and (root / _APT).parent.is_dir():
        installed.put(_APT, _APT_TEXT)
