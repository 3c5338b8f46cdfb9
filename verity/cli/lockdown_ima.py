# SPDX-License-Identifier: Apache-2.0
"""verity lockdown ima: sign, policy, load, status. The kernel appraises where there is no gate."""

import os
from collections import Counter
from pathlib import Path

import click

from verity.cli import key_opening, lockdown_coverage, output
from verity.cli.params import PATH, failed, worse
from verity.formats import ima as formats
from verity.values.errors import VerityError


@click.group()
def ima() -> None:
    """Have the kernel's IMA appraise what root runs, where there is no gate.

    It covers less: `verity lockdown ima status` and docs/guides/backends.md say what.
    """


@ima.command(
    epilog="Example: verity lockdown ima sign --key os.pem --manifest os.manifest"
    " --grants os.grants /"
)
@key_opening.signer_option
@click.option(
    "--manifest",
    type=PATH,
    required=True,
    metavar="FILE",
    help="The manifest of DIR. It is not verified: who signs vouches for it.",
)
@click.option(
    "--grants",
    "granted",
    type=PATH,
    required=True,
    metavar="FILE",
    help="What of the manifest is code, as `commit show --grants` or `extension sign` wrote it.",
)
@click.argument("root", metavar="DIR", type=PATH)
@output.json_option
def sign(key_uri: str, manifest: Path, granted: Path, root: Path, as_json: bool) -> int:
    """Sign the code of a tree for IMA: security.ima on each file that the grants name.

    The files have fs-verity already, and the digests of the manifest. Modules are signed over
    their contents, all else over its digest. What this key has signed is left as it is.
    """
    from verity.verbs import ima_sign

    wanted = ima_sign.targets(manifest, granted)
    key = key_opening.signer(key_uri)
    states: Counter[str] = Counter()
    result = 0
    for target, done in ima_sign.sign(root, wanted, key):
        if isinstance(done, VerityError):
            states["failed"] += 1
            result = worse(result, failed(os.fsdecode(target.path), done, as_json=as_json))
            continue
        states[done.state.value] += 1
        if as_json:
            output.record(
                "file",
                {
                    **output.path_fields(target.path),
                    "state": done.state.value,
                    "form": done.kind.name.lower(),
                    "digest": str(done.digest),
                },
            )
        else:
            output.line(f"{done.digest} {done.state} {output.shown(target.path)}")
    text = ", ".join(f"{states[name]} {name}" for name in ("signed", "already", "failed"))
    output.message(f"{len(wanted)} files: {text}")
    return result


@ima.command(epilog="Example: verity lockdown ima policy --output ima.policy")
@click.option(
    "-o", "--output", "target", type=PATH, metavar="FILE", help="Write it to this new file."
)
def policy(target: Path | None) -> int:
    """Print the policy that `ima load` gives the kernel."""
    from verity.ports.osfile import write_new_file

    data = formats.policy().encode()
    if target is None:
        output.raw(data)
    else:
        write_new_file(target, data, mode=0o644)
    return 0


@ima.command(epilog="Example: verity lockdown ima load --key os.pem.pub")
@click.option(
    "--key",
    "keys",
    type=PATH,
    multiple=True,
    required=True,
    metavar="FILE.pub",
    help="Whose signatures count; repeat it for more. Each counts alone.",
)
@key_opening.example_option
@output.json_option
def load(keys: tuple[Path, ...], as_json: bool) -> int:
    """Load keys and policy into the kernel, until reboot. As root.

    Refused while root runs anything that these keys did not sign: such a host would not survive
    it. It can't be taken back, and the kernel takes no second policy.
    """
    from verity.verbs import ima_load

    publics = [key_opening.public_key(path) for path in keys]
    return output.report(
        ima_load.load(publics),
        as_json=as_json,
        good=lambda: "loaded: IMA refuses root what is not signed",
    )


@ima.command(epilog="Example: verity lockdown ima status --coverage")
@lockdown_coverage.option
@output.json_option
def status(show_coverage: bool, as_json: bool) -> int:
    """Say whether IMA appraises, and what that covers. As root it tries.

    What it tries is a script in memory that nobody signed, to run and to map: refused is good. Exit
    status 3 if it can't be known or tried, 1 if a policy was loaded and it ran all the same.
    """
    from verity.verbs import ima_status

    found = ima_status.status()
    if as_json:
        fields = {"state": found.state.value, "detail": found.detail}
        numbers = lockdown_coverage.numbers(found.covers)
        output.record("ima", {**fields, "attacks": numbers})
        if show_coverage:
            lockdown_coverage.each("ima", found.covers)
    else:
        output.line(f"ima: {found.state}: {output.one_line(found.detail)}")
        lockdown_coverage.show("ima", found.covers, whole=show_coverage)
    return {"lenient": 1, "unknown": 3, "unreadable": 3}.get(found.state.value, 0)
