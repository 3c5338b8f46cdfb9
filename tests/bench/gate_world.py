# SPDX-License-Identifier: Apache-2.0
"""What the gate is measured with: what the default policy guards, and everything there signed.

What the test machine itself puts into /etc nobody signed, so the policy has configuration only
observed; that changes no instruction of what is allowed.
"""

import tempfile
from pathlib import Path

from tests.vm import Image, trust_world
from tests.vm.trust_world import OS_STREAM, TrustWorld, verity
from verity.formats import kernel_policy
from verity.formats.grant_config import configuration
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import Guarded
from verity.verbs import fragments
from verity.verbs.manifest import read_directory

_CONFIGURATION = ("config-unsigned", "config-link", "config-mount")


def gate_world(image: Image, programs: Path, modes: tuple[str, ...]) -> dict[str, TrustWorld]:
    """For each mode: the image, `programs` and Debian's configuration granted."""
    guarded = _defaults(trust_world.trust_world(image))
    entries = [node.entry for node in read_directory(image.tree)]
    signed = configuration(GuardedPaths(guarded=guarded, without_owners=False)(entries)).config
    return {
        mode: trust_world.trust_world(
            image,
            {"bench": programs},
            mode=mode,
            reactions=dict.fromkeys(_CONFIGURATION, "observe"),
            guarded=guarded,
            config={"etc-bench": signed},
        )
        for mode in modes
    }


def _defaults(world: TrustWorld) -> tuple[Guarded, ...]:
    """What the default policy guards, as the gate is told."""
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        out = Path(name) / "policy"
        compile_ = ("policy", "compile", f"--root={name}", "--serial=1", "--days=1")
        key = ("--key", world.key("user-policy"))
        verity(*compile_, f"--stream={OS_STREAM}=vendor:os", *key, out)
        return kernel_policy.parse(fragments.load(out).blob).guarded
