# SPDX-License-Identifier: Apache-2.0
"""Everything on a host that starts, loads or reads code for somebody privileged: all sources.

The one list of them. docs/reach.md says of each what is followed and what isn't.
"""

from collections.abc import Iterator

from verity.verbs import reach_units
from verity.verbs.reach_accounts import Accounts
from verity.verbs.reach_unit import Context
from verity.verbs.reach_values import Reference, Seen


def references(seen: Seen) -> Iterator[Reference]:
    """What all sources lead to."""
    context = Context(seen=seen, accounts=Accounts.of(seen))
    yield from reach_units.references(context)
