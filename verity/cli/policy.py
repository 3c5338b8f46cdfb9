# SPDX-License-Identifier: Apache-2.0
"""verity policy: compile. The other verbs of the group are in ``policy_show``."""

from pathlib import Path
from typing import Any

import click

from verity.cli import output, policy_make, policy_show, signing_options
from verity.formats.policy import capability_names, lower
from verity.verbs import policy_write
from verity.verbs.policy_compile import compile_policy


@click.group()
def policy() -> None:
    """Say what the gate enforces, and whose grants it takes."""


policy.add_command(policy_show.show)
policy.add_command(policy_show.check)


@policy.command(
    name="compile",
    epilog="Example: verity policy compile --mode sealed --serial 1"
    " --stream debian-trixie=vendor:os --stream tools=user:extension --key policy.pem host.policy",
)
@policy_make.options
@signing_options.signing_option
@output.json_option
@signing_options.target_argument
def compile_policy_command(
    key_uris: tuple[str, ...],
    as_json: bool,
    target: Path,
    **asked: Any,
) -> int:
    """Write the policy of a host, signed by the user's role policy.

    Its source are the drop-ins: those that come with verity, of usr/lib/verity/policy.d and of
    etc/verity/policy.d below --root; and what is given here. OUT.json is the document, a DSSE
    envelope; OUT is what the gate is told of it, for `lockdown bundle`. A host has them as
    /etc/verity/policy.json and /etc/verity/policy.gate.

    Who counts as privileged: uid 0, any capability but those of the drop-ins, and members of the
    groups. Groups are numbers, because names mean other groups on other hosts: 6 is disk and 42
    shadow in every Debian. The group docker has no fixed number and is not among them: add its
    number on a host that has it. Nothing is overwritten.
    """
    options = policy_make.Asked(**asked)
    made = policy_make.make(options)
    written = compile_policy(made, signing_options.signers(key_uris), target)
    kernel = written.kernel
    if as_json:
        output.record(
            "policy",
            {
                "sha256": written.sha256,
                "document_sha256": written.document_sha256,
                "mode": lower(kernel.mode),
                "profile": made.profile.value,
                "serial": made.serial,
                "groups": list(kernel.groups),
                "privileged_caps": f"{kernel.privileged_caps:016x}",
                "streams": [
                    {"name": s.name, "party": s.party.name.lower(), "role": s.role.name.lower()}
                    for s in kernel.streams
                ],
                "guarded": len(kernel.guarded),
                "observed": sorted(one.value for one in kernel.observed),
                "signatures": len(key_uris),
            },
        )
        return 0
    output.line(f"policy    sha256:{written.sha256}, signed by {len(key_uris)} keys")
    output.line(f"document  sha256:{written.document_sha256}, {policy_write.document_of(target)}")
    lasts = signing_options.lasts(options.expires, options.days)
    output.line(
        f"mode      {lower(kernel.mode)}, serial {made.serial}, {lasts}, profile {made.profile}"
    )
    output.line(f"groups    {', '.join(map(str, kernel.groups))}")
    unprivileged = ", ".join(capability_names(~kernel.privileged_caps))
    output.line(f"all but   {unprivileged or 'no capability'}: capabilities that privilege")
    for stream in kernel.streams:
        granted = f"{stream.party.name}:{stream.role.name}".lower()
        output.line(f"stream    {stream.name}={granted}")
    output.line(f"guarded   {len(kernel.guarded)} paths")
    return 0
