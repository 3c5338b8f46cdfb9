# SPDX-License-Identifier: Apache-2.0
"""--policy of the verbs that make grants or compare them: what a policy asks of files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli.params import PATH

# Starting a command costs what it imports: what a policy needs is imported when one is given.
if TYPE_CHECKING:
    from verity.formats.grant_rules import Asked
    from verity.verbs.policy_lists import NamedPolicy

signing_option = click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    help="Whose interpreters, jit and guarded paths count: OUT.json of `policy compile`. Who signed"
    " that isn't asked.",
)
verifying_option = click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    help="Demand the interpreters, jit and guarded paths of this policy: OUT.json of `policy"
    " compile`. Who signed that isn't asked.  [default: as the grants have them]",
)


def read(policy: Path | None) -> "NamedPolicy | None":
    """What a policy asks; None without one."""
    if policy is None:
        return None
    from verity.verbs import policy_lists

    return policy_lists.read(policy)


def asked_of(policy: "NamedPolicy | None") -> "Asked":
    """The same for those who make grants: without a policy nothing is asked."""
    from verity.formats.grant_rules import NOTHING_ASKED

    return NOTHING_ASKED if policy is None else policy.asked
