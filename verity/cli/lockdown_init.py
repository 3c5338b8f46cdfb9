# SPDX-License-Identifier: Apache-2.0
"""verity lockdown init: make a host ready for the gate."""

import sys
import time
from pathlib import Path

import click

from verity.cli import key_opening, keyring_options, output, signing_options
from verity.cli.lockdown_remove import root_option
from verity.cli.params import PATH, Once
from verity.cli.working import enable_jobs, stopping
from verity.formats import kernel_keys
from verity.formats.grants import Party
from verity.formats.policy import Profile
from verity.ports.osfile import translate_oserror
from verity.values.errors import CallerError
from verity.verbs import keyring_solo, lockdown_init, pins
from verity.verbs.enable import How
from verity.verbs.init_wanted import Keys, Wanted
from verity.verbs.keyring_change import Times

_PRIVATE = {Party.VENDOR: ("os",), Party.USER: ("policy", "etc")}


@click.command(epilog="Example: verity lockdown init --self-vendor --keys /media/keys --plan")
@click.option(
    "--self-vendor",
    is_flag=True,
    help="No vendor signs this system: you do, with keys of your own for it.",
)
@click.option(
    "--keys",
    "folder",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Where your keys are, and are made if they aren't there: a stick, not the host's disk.",
)
@click.option(
    "--pin",
    "pin_texts",
    multiple=True,
    metavar="PARTY=sha256:FINGERPRINT",
    help="The fingerprint of a party's root keys that you have from elsewhere; the vendor's is"
    " needed without --self-vendor.",
)
@click.option("--plan", is_flag=True, help="Say what would be done, and change nothing.")
@click.option(
    "--profile",
    cls=Once,
    type=click.Choice([one.value for one in Profile]),
    help="Which lines of the policy count.  [default: as installed, or standard]",
)
@signing_options.days_option
@root_option
@key_opening.signing_options
@output.json_option
def init(
    self_vendor: bool,
    folder: Path,
    pin_texts: tuple[str, ...],
    plan: bool,
    profile: str | None,
    days: int,
    root: Path,
    as_json: bool,
) -> int:
    """Make a host ready in one go, with a gate that only observes at first.

    Keyrings, pins, policy, units, fs-verity, signatures of the system and of /etc, boot bundle. The
    first policy only observes. The same command goes on after a power cut, and signs the host
    anew after an update; `verity lockdown remove` takes all of it away. Keys are made in DIR/vendor
    and DIR/user, as `keyring init --solo` makes them; carry them away when it is done.
    """
    now = int(time.time())
    named = {party: one.fingerprint for party, one in keyring_options.pins_of(pin_texts).items()}
    parties = (Party.VENDOR, Party.USER) if self_vendor else (Party.USER,)
    missing = [party for party in parties if not (folder / party.name.lower()).is_dir()]
    lines = [f"make the keys of the {one.name.lower()} in {folder}" for one in missing]
    if plan:
        wanted = _wanted(root, folder, {}, profile, now, days, self_vendor=self_vendor)
        for number, text in enumerate([*lines, *lockdown_init.plan(wanted)], 1):
            output.line(f"{number}. {output.one_line(text)}")
        return 0
    if not self_vendor and Party.VENDOR not in named:
        raise CallerError(
            "no-pin",
            "nobody has confirmed the vendor's root keys: there is no trust on first use",
            hint="--pin vendor=sha256:FINGERPRINT, which the vendor tells you another way;"
            " --self-vendor where there is none",
        )
    _make_folder(folder)
    for party in missing:
        keyring_solo.make(
            folder / party.name.lower(),
            party,
            Times(issued=now, expires=now + days * signing_options.DAY),
        )
    wanted = _wanted(root, folder, named, profile, now, days, self_vendor=self_vendor)
    opened = {
        role: [key_opening.signer(str(folder / name / "private" / f"{name}-{role}.pem"))]
        for party in parties
        for name in (party.name.lower(),)
        for role in _PRIVATE[party]
    }
    keys = Keys(os=opened.get("os", []), policy=opened["policy"], etc=opened["etc"])
    with stopping() as stop:
        how = How(jobs=enable_jobs(None), pause=time.sleep, stop=stop)
        made = lockdown_init.init(wanted, keys, how, now=now, say=_say)
    for note in made.notes:
        output.message(f"note: {output.one_line(note)}")
    fields = {
        "policy_serial": made.serial,
        "mode": made.mode.name.lower(),
        "code": made.code,
        "config": made.config,
        "bundle": f"sha256:{made.bundle}",
    }
    if as_json:
        output.record("installation", fields)
        return 0
    output.line(f"policy    serial {made.serial}, mode {made.mode.name.lower()}")
    output.line(f"granted   {made.code} digests of code, {made.config} paths of configuration")
    output.line(f"bundle    sha256:{made.bundle}")
    for party, print_ in sorted(wanted.pins.items()):
        output.line(f"pin       {party.name.lower()} sha256:{print_}")
    output.line(
        f"next      carry {output.one_line(str(folder))} away, reboot, use the host, then"
        " `verity lockdown check`"
    )
    return 0


def _make_folder(folder: Path) -> None:
    """Where keys are made. What is above it isn't: a stick that isn't mounted is no directory."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        found = translate_oserror(error, str(folder))
        found.hint = "mount what the keys are on, and name a directory on it with --keys"
        raise found from error


def _say(what: str) -> None:
    if sys.stderr.isatty():
        output.message(what)


def _wanted(
    root: Path,
    folder: Path,
    named: dict[Party, str],
    profile: str | None,
    now: int,
    days: int,
    *,
    self_vendor: bool,
) -> Wanted:
    keyrings = {party: folder / party.name.lower() / "keyrings" for party in Party}
    accepted = dict(named)
    for party in Party:
        pin = folder / party.name.lower() / f"{party.name.lower()}.pin"
        if pin.exists():
            # Whoever has these keys made them: their own copy is the source that the pin is from.
            found = kernel_keys.fingerprint(kernel_keys.encode_pin(pins.load(pin, party)))
            if accepted.setdefault(party, found) != found:
                raise CallerError(
                    "pin-differs",
                    f"{pin}: it has the fingerprint sha256:{found}, --pin says"
                    f" sha256:{accepted[party]}",
                )
    if not self_vendor:
        keyrings[Party.VENDOR] = root / "usr/lib/verity/keyrings"
    return Wanted(
        root=root,
        keyrings=keyrings,
        pins=accepted,
        self_vendor=self_vendor,
        times=(now, now + days * signing_options.DAY),
        profile=None if profile is None else Profile(profile),
        allow_example_keys=bool(key_opening.access().allow_example_keys),
    )
