# SPDX-License-Identifier: Apache-2.0
"""verity lockdown pin, bundle: files for the gate's loader. They change nothing on this host."""

import time
from pathlib import Path

import click

from verity.cli import key_opening, output, signing_options
from verity.cli.params import PATH, Once
from verity.formats.grants import Party, Role
from verity.formats.statement import format_time
from verity.values.errors import CallerError
from verity.values.findings import Report
from verity.verbs import keyring_project, lockdown_bundle
from verity.verbs.serial_floors import HostState


@click.command(epilog="Example: verity lockdown pin --party user --root root.pem.pub user.pin")
@signing_options.party_option
@click.option(
    "--threshold",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many owners of root keys must sign.",
)
@click.option(
    "--root",
    "roots",
    multiple=True,
    required=True,
    metavar="[OWNER=]FILE.pub",
    help="A root key; keys of one OWNER count once, without one a key is its own owner.",
)
@key_opening.example_option
@output.json_option
@signing_options.target_argument
def pin(
    party_name: str, threshold: int, roots: tuple[str, ...], as_json: bool, target: Path
) -> int:
    """Write a pin, the root keys of a party that a host accepts, and print its fingerprint.

    A pin isn't signed: whoever installs it compares the fingerprint, the SHA-256 of the file,
    with one that came another way. Nothing is overwritten.
    """
    held = keyring_project.RoleKeys(
        threshold=threshold, keys=tuple(signing_options.named_key(text) for text in roots)
    )
    made = keyring_project.pin(
        signing_options.party_of(party_name), held, target, key_opening.access()
    )
    if as_json:
        output.record(
            "pin",
            {
                "party": party_name,
                "fingerprint": f"sha256:{made.sha256}",
                "threshold": made.thresholds[Role.ROOT],
                "keys": signing_options.key_fields(made),
            },
        )
        return 0
    output.line(f"pin       sha256:{made.sha256}")
    output.line(f"party     {party_name}, threshold {made.thresholds[Role.ROOT]}")
    signing_options.print_keys(made)
    return 0


@click.command(
    epilog="Example: verity lockdown bundle --pin user=user.pin --pin vendor=vendor.pin"
    " --keys user.keys --keys vendor.keys --policy host.policy --grants os.grants boot.bundle"
)
@click.option(
    "--pin",
    "pins",
    multiple=True,
    required=True,
    metavar="PARTY=FILE",
    help="The pin to verify a party's keys against; once for each party.",
)
@click.option(
    "--keys",
    type=PATH,
    multiple=True,
    required=True,
    metavar="FILE",
    help="What `keyring project` wrote; once for each party.",
)
@click.option(
    "--policy", type=PATH, required=True, metavar="FILE", help="What `policy compile` wrote."
)
@click.option(
    "--grants",
    type=PATH,
    multiple=True,
    required=True,
    metavar="FILE",
    help="What `commit show --grants` or `extension sign` wrote; once for each stream.",
)
@click.option(
    "--revoke",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="What `sign attach` wrote of revocations; once for each party and role.",
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The host whose serial floors count, and are recorded in the bundle.  [default: /]",
)
@click.option(
    "--keyring",
    cls=Once,
    type=PATH,
    metavar="DIR",
    help="The keyrings that say what is revoked.  [default: those beside the files of --keys]",
)
@click.option("--replace", is_flag=True, help="Replace a bundle that is there, in one step.")
@key_opening.example_option
@output.json_option
@signing_options.target_argument
def bundle(
    pins: tuple[str, ...],
    keys: tuple[Path, ...],
    policy: Path,
    grants: tuple[Path, ...],
    revoke: tuple[Path, ...],
    root: Path,
    keyring: Path | None,
    replace: bool,
    as_json: bool,
    target: Path,
) -> int:
    """Write the boot bundle: keys, policy, revocations and grants, each verified first.

    The gate verifies all of it again. Here anything is refused that it would refuse: a wrong
    signature or too few, a stream that the policy doesn't name, a key with two roles, a table
    beyond the role's rights, and whatever has expired. So are a policy and grants below a floor of
    the host, and what a keyring revokes. A floor that is damaged is a finding; the bundle that is
    there stands in for it. With the host's own bundle its policy is accepted.
    """
    made = lockdown_bundle.make(
        lockdown_bundle.Sources(
            keys=keys, policy=policy, revoke=revoke, grants=grants, keyring=keyring
        ),
        _pins(pins),
        target,
        now=int(time.time()),
        replace=replace,
        allow_example_keys=key_opening.access().allow_example_keys,
        host=HostState.at(root),
    )
    for note in made.notes:
        output.message(f"note: {note}")
    _print_bundle(made, as_json=as_json)
    found = Report(findings=made.floors.findings, notes=made.floors.notes)
    if not found.findings and not found.notes:
        return 0
    return output.report(found, as_json=as_json, good=lambda: "good: nothing is below a floor")


def _print_bundle(made: lockdown_bundle.Written, *, as_json: bool) -> None:
    if as_json:
        for part in made.parts:
            output.record(
                "part",
                {
                    "kind": part.kind.name.lower(),
                    "party": part.party.name.lower(),
                    "role": part.role.name.lower(),
                    "stream": part.stream,
                    "serial": part.serial,
                    "expires": None if part.expires is None else format_time(part.expires),
                    "signers": part.signers,
                },
            )
        for floor in made.floors.floors:
            output.record("floor", {"stream": floor.stream, "serial": floor.serial})
        output.record("bundle", {"sha256": made.sha256, "bytes": made.size})
        return
    for part in made.parts:
        signed = f"signed by {part.signers} of the {part.party.name}'s role {part.role.name}"
        stream = f"stream {part.stream} " if part.stream else ""
        until = f", until {format_time(part.expires)}" if part.expires is not None else ""
        output.line(
            f"{part.kind.name.lower():8}  {stream}serial {part.serial}, {signed.lower()}{until}"
        )
    for floor in made.floors.floors:
        output.line(f"floor     stream {floor.stream} serial {floor.serial}")
    output.line(f"bundle    sha256:{made.sha256} ({made.size} bytes)")


def _pins(texts: tuple[str, ...]) -> dict[Party, Path]:
    found: dict[Party, Path] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not path or name not in {party.name.lower() for party in Party}:
            raise CallerError(
                "bad-arguments",
                f"--pin {text}: expected vendor=FILE or user=FILE",
                hint="`verity lockdown pin` makes the file",
            )
        if signing_options.party_of(name) in found:
            raise CallerError("bad-arguments", f"--pin {text}: a second pin of this party")
        found[signing_options.party_of(name)] = Path(path)
    return found
