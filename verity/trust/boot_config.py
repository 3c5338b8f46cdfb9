# SPDX-License-Identifier: Apache-2.0
"""Whether the configuration grants of a host go together: whose paths they are, and their room.

1. An OS grants none of the owner's paths where the policy names a stream of theirs: of two grants
   for a path the gate takes either, so the vendor's default would count beside what they signed.
2. The gate has room for the paths of all streams, and for the streams of each path.
3. What a policy enforces as signed is granted at all, or the host would not boot.

What one blob may hold by itself, ``formats.grants`` and ``formats.grant_rules`` say.
"""

from collections import Counter
from collections.abc import Mapping

from verity.formats.dump import printable
from verity.formats.gate_status import Reason
from verity.formats.grant_config import is_owners
from verity.formats.grants import MAX_CONFIG_PATHS, MAX_CONFIG_STREAMS, Grants, Role
from verity.formats.kernel_guarded import GuardedClass
from verity.formats.kernel_policy import KernelPolicy, Mode
from verity.values.errors import CallerError, ContentError


def check(label: str, granted: Grants, policy: KernelPolicy, paths: Counter[bytes]) -> None:
    """Add a blob's paths to those of the blobs before, each with its number of streams.

    Raises ContentError: ``owners-path``, ``too-many-paths``, ``third-stream``.
    """
    # 1. Whose.
    check_owners(label, granted, {one.name: one.role for one in policy.streams})
    # 2. Room.
    paths.update(entry.path for entry in granted.config)
    if len(paths) > MAX_CONFIG_PATHS:
        raise ContentError(
            "too-many-paths",
            f"{label}: with it {len(paths)} configuration paths, the gate holds {MAX_CONFIG_PATHS}",
            hint="guard fewer places in the policy, or sign fewer files",
        )
    for entry in granted.config:
        if paths[entry.path] > MAX_CONFIG_STREAMS:
            raise ContentError(
                "third-stream",
                f"{label}: {printable(entry.path)} is granted by {paths[entry.path]} streams, the"
                f" gate holds {MAX_CONFIG_STREAMS}",
                hint="let one stream grant that file",
            )


def check_any(policy: KernelPolicy, paths: Counter[bytes]) -> None:
    """3. Refuse (CallerError ``bad-arguments``) a bundle whose every guarded file is unsigned."""
    signed = sum(one.file_class is GuardedClass.SIGNED for one in policy.guarded)
    if paths or not signed or policy.mode is Mode.OBSERVE:
        return
    if Reason.CONFIG_UNSIGNED not in policy.observed:
        raise CallerError(
            "bad-arguments",
            f"no configuration is granted, and the policy guards {signed} places as signed: root"
            " could read none of their files, and the host would not boot",
            hint="sign them with `verity etc sign` and `verity commit sign --policy`, or have"
            " config-unsigned, config-link and config-mount observed until then",
        )


def check_owners(label: str, granted: Grants, streams: Mapping[str, Role]) -> None:
    """Refuse an OS (``owners-path``) that grants what a stream of the owner's does."""
    owner = next((name for name, role in sorted(streams.items()) if role is Role.ETC), None)
    if granted.role is not Role.OS or owner is None:
        return
    for entry in granted.config:
        if is_owners(entry.path):
            raise ContentError(
                "owners-path",
                f"{label}: it grants the configuration {printable(entry.path)}, which is the stream"
                f" {owner}'s to grant",
                hint="have the commit signed with a --policy that names the owner's stream",
            )
