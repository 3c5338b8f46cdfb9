# SPDX-License-Identifier: Apache-2.0
"""explain: the links before a signature where keyrings say whose counts: from the pin upwards.

The keyrings are verified already; what is asked here is whether they are still good for more.
"""

from verity.formats.statement import format_time
from verity.values.findings import Link
from verity.verbs.explain import Step
from verity.verbs.keyring_trust import Keyrings


def steps(keyrings: Keyrings, now: int) -> tuple[Step, ...]:
    """A step for each party's keyring. ``now`` is seconds since 1970."""
    expired = {finding.object: finding for finding in keyrings.findings(now)}
    found = []
    for party, verified in sorted(keyrings.of_party.items()):
        value = verified.keyring
        name = party.name.lower()
        finding = expired.get(f"keyring of the {name}, version {value.version}")
        found.append(
            Step(
                link=Link.KEY,
                holds=finding is None,
                asked=f"the {name}'s keyring, from the pin to its newest version",
                answer=(
                    f"version {value.version}, from the pinned version {verified.first}",
                    f"issued {format_time(value.issued)}, expires {format_time(value.expires)}",
                    f"signed by the root owners {', '.join(sorted(verified.signers))}",
                ),
                hint=finding.remedy if finding is not None else "",
            )
        )
    return tuple(found)
