# SPDX-License-Identifier: Apache-2.0
"""verity lockdown: the gate in the kernel. ``observe``, ``seal`` and ``import`` ask, it decides."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import key_opening, lockdown_coverage, output, signing_options
from verity.cli.lazy import LazyGroup
from verity.cli.params import PATH, worse
from verity.values.errors import CallerError, VerityError
from verity.verbs import lockdown as verb

if TYPE_CHECKING:
    from verity.verbs.lockdown_stand import Stand

root_option = click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="Where the gate's files are.  [default: /]",
)


def _load_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--bundle and --pin: what the loader gets if there is no gate yet."""
    command = click.option(
        "--pin",
        "pins",
        type=PATH,
        multiple=True,
        default=verb.DEFAULT_PINS,
        metavar="FILE",
        help="A root pin.  [default: vendor.pin and user.pin in /etc/verity/pins]",
    )(command)
    return click.option(
        "--bundle",
        type=PATH,
        default=verb.DEFAULT_BUNDLE,
        show_default=True,
        metavar="FILE",
        help="The boot bundle.",
    )(command)


@click.group(
    cls=LazyGroup,
    verbs={
        "bundle": (
            "lockdown_make",
            "Write the boot bundle: keys, policy, revocations and grants, each verified first.",
        ),
        "check": (
            "lockdown_check",
            "Prove that a host can be sealed, before it is.",
        ),
        "confirm": ("lockdown_mode", "Sign the next policy serial as sealed, after its trial."),
        "init": (
            "lockdown_init",
            "Make a host ready in one go, with a gate that only observes at first.",
        ),
        "remove": (
            "lockdown_remove",
            "Take away what `lockdown init` has made, so that no later boot loads a gate.",
        ),
        "trial": (
            "lockdown_mode",
            "Sign the next policy serial as a trial: it enforces for exactly one boot.",
        ),
        "exception": (
            "lockdown_exception",
            "Ask for a signature on one file that was refused, and give it.",
        ),
        "journal": (
            "lockdown_journal",
            "Write each denial to the journal, and to audit, as it comes.",
        ),
        "log": (
            "lockdown_log",
            "List what the gate denied, or would have denied while it observes.",
        ),
        "fanotify": (
            "lockdown_fanotify",
            "Write down what the gate would refuse to start, where a kernel can't have it.",
        ),
        "ima": ("lockdown_ima", "Have the kernel's IMA appraise what root runs."),
        "pin": ("lockdown_make", "Write a pin, the root keys of a party."),
        "protect": (
            "lockdown_protect",
            "Turn fs-verity on for all that is signed, such as after a restored backup.",
        ),
        "stage": (
            "lockdown_stage",
            "Have the next boot put a boot bundle, a kernel and an initramfs into place.",
        ),
    },
)
def lockdown() -> None:
    """Load, seal and feed the gate in the kernel, and see what it does."""


@lockdown.command(epilog="Example: verity lockdown status --coverage")
@root_option
@lockdown_coverage.option
@click.option("--all", "everything", is_flag=True, help="Say all that is known, not ten lines.")
@output.json_option
def status(root: Path, show_coverage: bool, everything: bool, as_json: bool) -> int:
    """Say what the gate does on this host, and what that is worth.

    In ten lines: state and level, why, what was refused, what the next boot does, what the last
    boots were refused, which unlocks there were, and what to do next. The running kernel is asked,
    too: a status file without a gate is a finding. Exit status 0 without a gate; 1 for a seal that
    is weak or a status that is forged; 3 if it can't be known.
    """
    from verity.verbs import lockdown_stand

    found = verb.status(root)
    stand = lockdown_stand.stand(root, found, now=int(time.time()))
    return _show(
        found,
        as_json=as_json,
        whole=show_coverage,
        details=everything or show_coverage,
        stand=stand,
    )


@lockdown.command(epilog="Example: verity lockdown observe --bundle /var/lib/verity/boot.bundle")
@_load_options
@click.option(
    "--key",
    "key_uris",
    multiple=True,
    metavar="KEY",
    help="Load nothing: sign the next policy serial with the mode observe, for the next boot.",
)
@click.option(
    "--keyring",
    type=PATH,
    metavar="DIR",
    help="With --key: newer versions of a keyring than the host has, for the next boot.",
)
@click.option(
    "--root",
    type=PATH,
    metavar="DIR",
    help="With --key: the root of the host.  [default: /]",
)
@signing_options.days_option
@key_opening.signing_options
@output.json_option
def observe(
    bundle: Path,
    pins: tuple[Path, ...],
    key_uris: tuple[str, ...],
    keyring: Path | None,
    root: Path | None,
    days: int,
    as_json: bool,
) -> int:
    """Load the gate, which then logs what it would refuse, and denies nothing. As root.

    It ends with a reboot, or with `umount /sys/fs/bpf/verity`. With --key nothing is loaded: the
    owner's key of the role policy signs that the next boot observes, also on a sealed host.
    """
    if key_uris:
        from verity.cli import lockdown_mode
        from verity.formats.kernel_policy import Mode

        where = root or Path("/")
        return lockdown_mode.sign(Mode.OBSERVE, key_uris, days, where, keyring, as_json=as_json)
    if keyring is not None or root is not None:
        raise CallerError("bad-arguments", "--keyring and --root are for --key")
    return _step(verb.observe(bundle, pins), as_json=as_json)


@lockdown.command(epilog="Example: verity lockdown seal --bundle /var/lib/verity/boot.bundle")
@_load_options
@output.json_option
def seal(bundle: Path, pins: tuple[Path, ...], as_json: bool) -> int:
    """Seal the gate until reboot; load it first if it isn't. As root.

    Sets the kernel's lockdown to integrity. Look at `verity lockdown log` after some time of
    `verity lockdown observe` first: what was observed there is denied from now on. What runs
    already isn't put to the gate, as verity-seal.service does it at boot.
    """
    return _step(verb.seal(bundle, pins), as_json=as_json)


@lockdown.command("import", epilog="Example: verity lockdown import extension.grants")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PATH)
@root_option
@output.json_option
def import_(files: tuple[Path, ...], root: Path, as_json: bool) -> int:
    """Hand signed blobs to the gate, which verifies them itself. As root.

    Each FILE is a fragment of a boot bundle. The first refusal ends a file, the others go on. A
    file with grants below a serial floor of this host isn't given to the gate.
    """
    from verity.verbs import gate_import

    result = 0
    for path in files:
        fields = output.path_fields(os.fsencode(path), "file")
        try:
            for done in gate_import.import_file(path, root):
                if as_json:
                    found = {name: getattr(done, name) for name in done.__dataclass_fields__}
                    output.record("imported", {**fields, **found})
                else:
                    output.line(
                        f"{output.shown(os.fsencode(path))}: {done.kind} of {done.size} bytes"
                        f" with {done.signatures} signatures: accepted"
                    )
        except VerityError as error:
            if as_json:
                output.error_record(error, **fields)
            output.error(error)
            result = worse(result, error.exit_status)
    return result


def _step(done: verb.Step, *, as_json: bool) -> int:
    for note in done.notes:
        output.message(f"note: {output.one_line(note)}")
    if as_json:
        output.record("step", {"changed": done.changed, "notes": list(done.notes)})
    return _show(verb.status(), as_json=as_json)


def _show(
    found: verb.Lockdown,
    *,
    as_json: bool,
    whole: bool = False,
    details: bool = False,
    stand: "Stand | None" = None,
) -> int:
    if as_json:
        more = {} if stand is None else stand.fields
        output.record("lockdown", {**_status_fields(found), **more})
        if whole:
            for one in found.backends:
                lockdown_coverage.each(one.name, one.covers)
        return output.report(found.report, as_json=True, good=str)
    output.line(f"state: {found.state}")
    level = found.level_text.removeprefix(f"{found.level}: ")
    output.line(f"level: {found.level}: {output.one_line(level)}")
    output.line(f"kernel lockdown: {output.one_line(found.kernel or 'unknown')}")
    gate = found.gate
    if gate is not None:
        output.line(f"policy: serial {gate.policy_serial}, mode {gate.policy_mode}")
        output.line(f"refusals: {gate.denied} denied, {gate.observed} observed, {gate.lost} lost")
    for key, text in () if stand is None else stand.lines:
        output.line(f"{key}: {output.one_line(text)}")
    if gate is not None and details:
        if gate.observes:
            output.line(f"only observed by policy: {' '.join(sorted(gate.observes))}")
        for party, version in gate.keys.items():
            output.line(f"keys: {party} {f'version {version}' if version else 'none'}")
        for stream in gate.streams:
            serial = f"serial {stream.serial}" if stream.serial else "nothing imported"
            serial += ", revoked" if stream.revoked else ""
            output.line(f"stream: {stream.name} ({stream.party} {stream.role}), {serial}")
        output.line(f"code: {gate.code.used} of {gate.code.capacity} digests")
        output.line(f"elevations: {gate.elevations.used} of {gate.elevations.capacity}")
        output.line(f"configuration: {gate.config.used} of {gate.config.capacity} paths")
        for last in gate.revocations:
            output.line(f"revocations: {last.party} {last.role}, serial {last.serial}")
        for what, room in (("keys", gate.revoked_keys), ("digests", gate.revoked_digests)):
            output.line(f"revoked {what}: {room.used} of {room.capacity}")
        output.line(f"foreign programs: {gate.foreign_programs}")
        for reason, count in gate.reasons.items():
            output.line(f"reason: {reason} {count}")
    for backend in found.backends if details or gate is None else ():
        word = "yes" if backend.available else "no"
        output.line(f"back end {backend.name}: {word}: {output.one_line(backend.detail)}")
        if backend.hint:
            output.line(f"  hint: {output.one_line(backend.hint)}")
        lockdown_coverage.show(backend.name, backend.covers, whole=whole)
    if found.report.exit_status:
        output.report(found.report, as_json=False, good=str)
    return found.report.exit_status


def _status_fields(found: verb.Lockdown) -> dict[str, Any]:
    gate = found.gate
    fields: dict[str, Any] = {
        "state": found.state,
        "level": found.level,
        "level_text": found.level_text,
        "kernel_lockdown": found.kernel,
        "backends": [
            {
                "name": one.name,
                "available": one.available,
                "detail": one.detail,
                "hint": one.hint,
                "attacks": lockdown_coverage.numbers(one.covers),
            }
            for one in found.backends
        ],
    }
    if gate is None:
        return fields
    return {
        **fields,
        "gate_version": gate.version,
        "boot_clock_s": gate.boot_clock_s,
        "policy": {
            "serial": gate.policy_serial,
            "mode": gate.policy_mode.value,
            "observes": sorted(gate.observes),
        },
        "keys": dict(gate.keys),
        "streams": [
            {name: getattr(one, name) for name in one.__dataclass_fields__} for one in gate.streams
        ],
        "code": {"used": gate.code.used, "capacity": gate.code.capacity},
        "elevations": {"used": gate.elevations.used, "capacity": gate.elevations.capacity},
        "config": {"used": gate.config.used, "capacity": gate.config.capacity},
        "revocations": [
            {name: getattr(one, name) for name in one.__dataclass_fields__}
            for one in gate.revocations
        ],
        "revoked_keys": {"used": gate.revoked_keys.used, "capacity": gate.revoked_keys.capacity},
        "revoked_digests": {
            "used": gate.revoked_digests.used,
            "capacity": gate.revoked_digests.capacity,
        },
        "foreign_programs": gate.foreign_programs,
        "denied": gate.denied,
        "observed": gate.observed,
        "lost": gate.lost,
        "reasons": {reason.value: count for reason, count in gate.reasons.items()},
    }
