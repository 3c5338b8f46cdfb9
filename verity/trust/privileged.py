# SPDX-License-Identifier: Apache-2.0
"""Who counts as privileged: the same rule as the gate's (policy/gate/subject.h), of a task's texts.

1. One of the four user ids is 0, as the initial user namespace sees it.
2. A capability that the policy counts is permitted, inheritable or ambient, in the initial user
   namespace. Those of a namespace of its own count for nothing there.
3. A group that the policy names is held, or more groups than anybody looks through.

Being in a container, a cgroup or another namespace exempts from nothing.
"""

from collections.abc import Set
from dataclasses import dataclass

from verity.formats.kernel_policy import PRIVILEGED_CAPS, KernelPolicy
from verity.formats.procfs import Task

MAX_GROUPS = 2048  # of policy/gate/subject.h
DISK, SHADOW = 6, 42


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a policy says of it: capabilities, a bit each, and numbers of groups."""

    capabilities: int
    groups: Set[int]

    @classmethod
    def of(cls, policy: KernelPolicy | None) -> "Rule":
        """That of a policy; without one, that of the rules which come with verity."""
        if policy is None:
            return cls(capabilities=PRIVILEGED_CAPS, groups=frozenset({DISK, SHADOW}))
        return cls(capabilities=policy.privileged_caps, groups=frozenset(policy.groups))

    def reason(self, task: Task, *, initial: bool) -> str:
        """Why the task is privileged; empty if it isn't. ``initial``: its user namespace is."""
        if 0 in task.uids:
            return "uid 0"
        held = task.inheritable | task.permitted | task.ambient
        if initial and held & self.capabilities:
            return f"capabilities {held & self.capabilities:#x}"
        if len(task.groups) > MAX_GROUPS:
            return f"{len(task.groups)} groups"
        for group in sorted({*task.groups, *task.gids} & self.groups):
            return f"group {group}"
        return ""
