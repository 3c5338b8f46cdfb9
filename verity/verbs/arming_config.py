# SPDX-License-Identifier: Apache-2.0
"""The arming proof on configuration: every file and link at a path that the policy guards as
signed, held against what the boot bundle grants for that very path.

A sealed gate refuses to open one that is not granted, whoever reads it. So all that lies there
counts, also what nobody reads today. What isn't there counts for nothing: its reader finds nothing
with the gate and without.
"""

from collections.abc import Iterator

from verity.formats.dump import Entry, printable
from verity.formats.gate_status import Reason
from verity.formats.grants import ConfigEntry
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import KernelPolicy
from verity.ports.tree import Node
from verity.values.arming import Part
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import config_guard
from verity.verbs.audit_host import AuditedHost


def examine(host: AuditedHost, policy: KernelPolicy) -> Part:
    """Hold everything that is guarded as signed against the grants of the bundle."""
    if not policy.guarded:
        return Part(notes=("the policy guards no configuration",))
    host.progress("reading guarded configuration", 0, 0)
    there: dict[bytes, Node] = {}
    gaps: list[NotEvaluated] = []
    for one in _tops(policy.guarded):
        for item in config_guard.there(host.root, one):
            if isinstance(item, Node):
                there[item.path] = item
                continue
            gap = NotEvaluated(
                check="unreadable", object=printable(item.path), why=item.why, hint=item.hint
            )
            gaps.append(gap)
    paths = GuardedPaths(guarded=policy.guarded, without_owners=False)
    guarded = paths([there[path].entry for path in sorted(there)])
    granted: dict[bytes, list[ConfigEntry]] = {}
    for blob in host.grants:
        for entry in blob.config:
            granted.setdefault(entry.path, []).append(entry)
    findings = list(_ungranted(guarded, granted, policy))
    if host.live:
        refused = {one.path for one in findings}
        nodes = (there[one.path] for one in guarded if one.path not in refused)
        findings += [_no_verity(node.entry) for node in nodes if _is_plain(node)]
    return Part(findings=tuple(findings), gaps=tuple(gaps), counts={"guarded files": len(guarded)})


def _tops(guarded: tuple[Guarded, ...]) -> Iterator[Guarded]:
    """What has to be walked: no entry that lies below another one that is."""
    signed = [one for one in guarded if one.file_class is GuardedClass.SIGNED]
    trees = [one.path + b"/" for one in signed if one.match is Match.TREE]
    for one in signed:
        if not any(one.path.startswith(tree) for tree in trees):
            yield one


def _ungranted(
    guarded: list[Entry], granted: dict[bytes, list[ConfigEntry]], policy: KernelPolicy
) -> Iterator[Finding]:
    for item in guarded:
        reason = Reason.CONFIG_LINK if item.is_symlink else Reason.CONFIG_UNSIGNED
        known = granted.get(item.path, [])
        if reason in policy.observed or any(config_guard.fits(one, item) for one in known):
            continue
        yield Finding(
            check=reason.value,
            link=Link.GRANTS,
            object=printable(item.path),
            path=item.path,
            problem="the policy guards it as signed, and a sealed gate refuses it to whoever reads"
            " it as root",
            expected=" or ".join(config_guard.said(one) for one in known) or "a grant of its path",
            found=_shown(item),
            remedy=f"{config_guard.command(item.path)}; or remove it, or give its path another"
            " class in the policy",
        )


def _shown(item: Entry) -> str:
    if item.is_symlink:
        return f"a link to {printable(item.target or b'')}"
    return f"digest sha256:{(item.digest or b'').hex()}"


def _is_plain(node: Node) -> bool:
    """Whether it is a file without fs-verity, so that the gate has no digest of it."""
    return node.contents is not None and not node.contents.by_kernel


def _no_verity(item: Entry) -> Finding:
    return Finding(
        check=Reason.NO_DIGEST.value,
        link=Link.DIGEST,
        object=printable(item.path),
        path=item.path,
        problem="the policy guards it as signed, and without fs-verity the gate has no digest of"
        " it",
        expected="fs-verity on",
        found="fs-verity off",
        remedy=f"`verity enable {printable(item.path)}`; of /etc, `verity etc apply`",
    )
