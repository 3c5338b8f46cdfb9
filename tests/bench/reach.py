# SPDX-License-Identifier: Apache-2.0
"""Following references in a Debian root: time on the clock, processor time and memory.

The tree is the test machines' Debian (`python -m tests.vm build`), on the file system of this host,
which mostly has no fs-verity: then each file that is reached is hashed, which a sealed host is
spared. No program that we know of follows these references, so there is no peer. Run alone:
`python -m tests.bench.reach`.
"""

import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reach_world import Host
from tests.vm.image import build_image
from verity.verbs import audit_code
from verity.verbs.audit_host import AuditedHost

_RUNS = 5


def main() -> None:
    """Print the row."""
    tree = build_image(None).tree
    grants = Host.of(tree).grants()
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps((tree, grants)))
        file.flush()
        rows = []
        for run in range(_RUNS + 1):
            # A process of its own, so that the memory is that of the audit.
            argv = [sys.executable, "-m", "tests.bench.reach", file.name]
            said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            if run:  # the first warms the caches
                rows.append([float(one) for one in said.split()])
    clock, processor, memory, reached, units = (list(column) for column in zip(*rows, strict=True))
    load = os.getloadavg()[0]
    print(
        f"follow a Debian root: {units[0]:.0f} units, {reached[0]:.0f} files reached and hashed:"
        f" {statistics.median(clock):.2f} s, {statistics.median(processor):.2f} s of processor,"
        f" {max(memory) / 1024:.0f} MiB; load {load:.1f}",
        flush=True,
    )


def once(name: str) -> None:
    """One audit of the area code, and its figures."""
    tree, grants = pickle.loads(Path(name).read_bytes())  # noqa: S301  # of the process above
    started = time.perf_counter()
    result = audit_code.examine(
        AuditedHost(root=tree, live=False, now=1, clock=1, grants=(grants,))
    )
    taken = time.perf_counter() - started
    assert result.findings == ()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        taken,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss,
        result.counts["reached files"],
        result.counts["units"],
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        once(sys.argv[1])
    else:
        main()
