# SPDX-License-Identifier: Apache-2.0
"""--policy of the verbs that make grants or compare them: what it lists as interpreter and jit."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli.params import PATH

# Starting a command costs what it imports: what a policy needs is imported when one is given.
if TYPE_CHECKING:
    from verity.formats.grant_rules import Listed
    from verity.verbs.policy_lists import NamedLists

signing_option = click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    help="Whose interpreters and jit count: OUT.json of `policy compile`. Who signed that isn't"
    " asked.",
)
verifying_option = click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    help="Demand the interpreters and jit of this policy: OUT.json of `policy compile`. Who signed"
    " that isn't asked.  [default: as the grants have them]",
)


def lists_of(policy: Path | None) -> "NamedLists | None":
    """The lists of a policy; None without one."""
    if policy is None:
        return None
    from verity.verbs import policy_lists

    return policy_lists.read(policy)


def listed_of(lists: "NamedLists | None") -> "Listed":
    """The same for those who make grants: without a policy nothing is listed."""
    from verity.formats.grant_rules import nothing_listed

    return nothing_listed if lists is None else lists.lists
