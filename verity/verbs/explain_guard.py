# SPDX-License-Identifier: Apache-2.0
"""explain: which line of a host's policy guards a path, and which grant covers it, or what to do.

It says what a sealed gate would answer to privileged programs, from what ``config_guard`` reads;
what is on the disk is measured by the other links of the chain.
"""

from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.formats.grants import ConfigEntry, Grants
from verity.formats.kernel_guarded import GuardedClass
from verity.ports import tree
from verity.ports.tree import Tree
from verity.values.errors import HostError, VerityError
from verity.values.findings import Link
from verity.verbs import config_guard
from verity.verbs.explain import Step

_POLICY = "whether the policy of this host guards it, and how"
_GRANT = "the grant with which privileged programs may read it on a sealed host"


def steps(root: Path, path: bytes, entry: Entry | None, commit: Grants) -> list[Step]:
    """The link to the policy, and where that has the class signed the one to a grant.

    ``entry`` is what the commit's manifest has at this path, None if nothing.
    """
    try:
        guarding = config_guard.read(root, commit)
    except VerityError as error:
        return [_unknown(_POLICY, error)]
    if guarding is None:
        return []
    file_class, said = config_guard.rule(guarding, path)
    serial = guarding.policy.serial
    asked = Step(
        link=Link.VERDICT,
        holds=True,
        asked=_POLICY,
        answer=(f"{said}; policy serial {serial}, whose signature `verity policy show` asks",),
    )
    if file_class is not GuardedClass.SIGNED or (entry is not None and entry.is_directory):
        return [asked]
    found = guarding.grants_of(path)
    if not found and guarding.unread is not None:
        return [asked, _unknown(_GRANT, guarding.unread)]
    good = [one for one in found if entry is None or config_guard.fits(one[1], entry)]
    granted = Step(
        link=Link.GRANTS,
        holds=bool(found) and len(good) == len(found),
        asked=_GRANT,
        answer=tuple(f"{config_guard.named(blob)}: {config_guard.said(one)}" for blob, one in found)
        or ("none: it is refused",),
        hint="" if found else config_guard.command(path),
    )
    if entry is not None or not found:
        return [asked, granted]
    return [asked, granted, _there(root, path, [one for _, one in found])]


def _there(root: Path, path: bytes, granted: list[ConfigEntry]) -> Step:
    """What the owner's grant says against what is there: no manifest of the commit has it."""
    label = printable(path)
    try:
        with Tree(root) as opened:
            node = opened.read(path, tree.measured)
    except VerityError as error:
        return _unknown(f"the file {label} below {root}", error)
    by_kernel = node.contents is None or node.contents.by_kernel
    fits = any(config_guard.fits(one, node.entry) for one in granted)
    what = "what is granted" if fits else "something else"
    return Step(
        link=Link.DIGEST,
        holds=fits and by_kernel,
        asked="what stands there now, by the kernel's fs-verity digest",
        answer=(what if by_kernel else f"{what}, and fs-verity is off",),
        hint="" if fits and by_kernel else "`verity etc apply` brings back what is signed",
    )


def _unknown(asked: str, error: VerityError) -> Step:
    return Step(
        link=Link.GRANTS,
        holds=None if isinstance(error, HostError) else False,
        asked=asked,
        answer=(error.message,),
        hint=error.hint or "",
    )
