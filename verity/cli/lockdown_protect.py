# SPDX-License-Identifier: Apache-2.0
"""verity lockdown protect: fs-verity on what is signed, where a backup was restored."""

import time
from pathlib import Path

import click

from verity.cli import output
from verity.cli.enable import Run
from verity.cli.lockdown_remove import root_option
from verity.cli.working import Work, enable_jobs, enable_jobs_option, stopping
from verity.verbs.enable import How
from verity.verbs.protect_signed import listed


@click.command(epilog="Example: verity lockdown protect --root /mnt")
@enable_jobs_option
@root_option
@output.json_option
def protect(jobs: int | None, root: Path, as_json: bool) -> int:
    """Turn fs-verity on for all that is signed, such as after a restored backup.

    No backup keeps fs-verity, and a sealed gate refuses what has none. The system and /etc are
    taken from the signed manifests, verified from the pins of the host: a file that differs is
    named and left as it is, and nothing is signed anew. What has it already costs one look.
    """
    with (
        stopping() as stop,
        Work("files", time.monotonic) as work,
        listed(root) as found,
    ):
        run = Run(found, work, as_json=as_json, only_wrong=True)
        run.go(How(jobs=enable_jobs(jobs), pause=time.sleep, stop=stop))
    run.summarise()
    return run.interrupted() if stop else run.status
