# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare policy: the policy of a host, for several people to sign."""

from pathlib import Path
from typing import Any

import click

from verity.cli import output, policy_make, sign_output, signing_options
from verity.verbs import sign_bundles, sign_documents


@click.command(
    epilog="Example: verity sign prepare policy --mode sealed --serial 2"
    " --stream debian-trixie=vendor:os --since 1.sign --output 2.sign"
)
@policy_make.options
@signing_options.bundle_option
@sign_output.since_option
@output.json_option
def policy(bundle: Path, since: Path | None, as_json: bool, **asked: Any) -> int:
    """Prepare the policy of a host: the document, and what the gate is told of it.

    Its source are the drop-ins and these options, as of `policy compile`. Every signer signs both;
    `sign attach BUNDLE OUT` writes the document as OUT.json, and OUT for `lockdown bundle`.
    """
    opened = sign_documents.policy(policy_make.make(policy_make.Asked(**asked)))
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json, since=since)
    return 0
