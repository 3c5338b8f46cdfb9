# SPDX-License-Identifier: Apache-2.0
"""Everything on a host that starts, loads or reads code for somebody privileged: all sources.

The one list of them. docs/reach.md says of each what is followed and what isn't.
"""

from collections.abc import Iterator

from verity.verbs import reach_boot, reach_extensions, reach_jobs, reach_login, reach_units
from verity.verbs.reach_accounts import Accounts
from verity.verbs.reach_unit import Context
from verity.verbs.reach_values import Reference, Seen


def references(seen: Seen) -> Iterator[Reference]:
    """What all sources lead to."""
    accounts = Accounts.of(seen)
    started = (*reach_boot.units(seen), *reach_jobs.units(seen))
    yield from reach_units.references(Context(seen=seen, accounts=accounts), started)
    yield from reach_boot.references(seen)
    yield from reach_extensions.references(seen)
    yield from reach_login.references(seen, accounts)
    yield from reach_jobs.references(seen, accounts)
