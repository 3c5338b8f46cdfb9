# SPDX-License-Identifier: Apache-2.0
"""lockdown trial, confirm, and back to observing: the next policy serial, with another mode.

The mode is a field of the signed policy, so each of these is a signature of the user's role policy
and a new boot bundle: the next boot is another one, the running gate is as it was. Old or new: the
bundle is replaced in one step, behind the document that it comes from; what refuses the bundle
leaves both. A cut in between leaves a document that is ahead of the bundle, and the same command
makes the next serial of both.

What it does not do: ask whether the host is ready (``lockdown_check``), or end a seal.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from verity.formats import bundle, records, trial_record
from verity.formats.grants import Role
from verity.formats.kernel_policy import Mode
from verity.formats.policy import Policy
from verity.formats.records import Fragment
from verity.ports import keyring_files, places, trials
from verity.ports.installation import Installed
from verity.ports.keystore import SigningKey
from verity.ports.osfile import read_file, replace_file
from verity.trust import policy as trust_policy
from verity.values.errors import ContentError, HostError
from verity.verbs import (
    host_bundle,
    initramfs_trust,
    keyring_trust,
    policy_compile,
    policy_next,
)
from verity.verbs.keyring_trust import Keyrings

_WHY = {
    Mode.OBSERVE: "back to observing",
    Mode.TRIAL: "a trial of one boot",
    Mode.SEALED: "confirmed after its trial",
}
_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What the next boot gets."""

    before: Policy
    after: Policy
    bundle: str
    notes: tuple[str, ...]


def change(
    root: Path,
    mode: Mode,
    signing: Sequence[SigningKey],
    *,
    times: tuple[int, int],
    now: int,
    keyring: Path | None = None,
    allow_example_keys: bool = False,
    unproven: bool = False,
) -> Changed:
    """Sign the next policy with this mode, and put it into the boot bundle.

    1. A host that `lockdown init` has made ready, with a policy and a bundle that verify.
    2. Sealed only behind a trial of the policy that is installed, whose boot came up with the
       bundle that is there; ``unproven``: whatever became of it.
    3. The document and what the gate is told; then the bundle.

    With a directory ``keyring`` the newest keys of the parties in it go into the bundle, too: where
    keys were replaced, and the host itself can't be changed. The policy that is installed may then
    be signed as either version says.
    """
    # 1. The host.
    installed = Installed.read(root)
    if installed is None or not installed.found.complete:
        raise HostError(
            "not-ready",
            f"{root}: `verity lockdown init` has not made this host ready",
            hint="run it to its end first",
        )
    keyrings = keyring_trust.load(
        keyring_trust.host_directories(root),
        keyring_trust.host_pins(root),
        allow_example_keys=allow_example_keys,
    )
    parts = policy_next.parts_of(root)
    keys: list[Fragment] = []
    older = keyrings
    if keyring is not None:
        keyrings, keys = _newer(root, keyring, allow_example_keys=allow_example_keys)
    before = _installed(root, keyrings, older)
    # 2. No seal without a trial.
    if mode is Mode.SEALED and before.mode is not Mode.SEALED:
        found = _check_trial(root, before)
        if not unproven:
            _check_came_up(root, found)
    # 3. The next policy.
    serial = policy_next.highest(root, keyrings, parts, before.serial) + 1
    after = policy_next.with_mode(before, mode, serial=serial, times=times, why=_WHY[mode])
    document, fragment = policy_compile.sign(after, signing)
    # By the host's own keyring, before anything is written: the keys that sign may be others'.
    trusted = keyrings.trusted(Role.POLICY)
    verified = trust_policy.verify_policy(document, trusted)
    trust_policy.verify_blob(fragment.blob, fragment.signatures, verified, trusted)
    written = host_bundle.write(
        root,
        host_bundle.replaced(parts, [fragment, *keys]),
        now=now,
        allow_example_keys=allow_example_keys,
        keyrings=keyrings,
        first=partial(place_policy, root, document, fragment),
    )
    notes = written.notes if mode is not Mode.SEALED else (*written.notes, *_goes_on(root))
    return Changed(before=before, after=after, bundle=written.sha256, notes=notes)


def _goes_on(root: Path) -> Iterator[str]:
    """Each initramfs that loads the gate and would enter the root without it."""
    for carried in initramfs_trust.read(root):
        if carried.pins and not carried.sealed:
            yield (
                f"{carried.path}: it would still go on without the gate: {initramfs_trust.REMAKE}"
            )


def _newer(
    root: Path, keyring: Path, *, allow_example_keys: bool
) -> tuple[Keyrings, list[Fragment]]:
    """The host's keyrings with the versions of a directory behind them, and those keys."""
    directories = [keyring, *keyring_trust.host_directories(root)]
    found = keyring_trust.load(
        directories, keyring_trust.host_pins(root), allow_example_keys=allow_example_keys
    )
    parties = [party for party in found.of_party if keyring_files.read_versions([keyring], party)]
    if not parties:
        raise HostError(
            "no-keyring",
            f"{keyring}: there is no keyring of this host's parties in it",
            hint="expected PARTY/N.keyring.json below it",
        )
    keys = [
        host_bundle.newest_keys(directories, found.of_party[party].keyring) for party in parties
    ]
    return found, keys


def _installed(root: Path, keyrings: Keyrings, older: Keyrings) -> Policy:
    """The policy that the host has, by the newer keyrings or those that it was installed by."""
    try:
        return policy_next.installed(root, keyrings).policy
    except ContentError as error:
        if error.code != "bad-signature" or older is keyrings:
            raise
        return policy_next.installed(root, older).policy


def place_policy(root: Path, document: bytes, fragment: Fragment) -> None:
    """Write both where the links of /etc/verity lead to."""
    replace_file(root / places.POLICY_STATE, document, mode=_MODE)
    replace_file(root / places.POLICY_BLOB_STATE, bundle.encode([fragment]), mode=_MODE)


def _check_trial(root: Path, before: Policy) -> trial_record.Trial:
    found = trials.begun(root)
    if before.mode is not Mode.TRIAL or found is None or found.serial != before.serial:
        raise ContentError(
            "no-trial",
            f"the policy serial {before.serial} has the mode {before.mode.name.lower()}, and had no"
            " trial on this host: what it would deny isn't known",
            hint="`verity lockdown trial`, a reboot, and a look at the host come first",
        )
    return found


def _check_came_up(root: Path, found: trial_record.Trial) -> None:
    """That a trial was begun says nothing of the host: its boot may have ended anywhere."""
    on = "; --insecure-unproven goes on all the same"
    up = trials.came_up(root)
    if up is None or up.trial != found:
        raise ContentError(
            "trial-not-up",
            f"the trial of policy serial {found.serial} was begun in the boot {found.boot}, and"
            " isn't known to have come up",
            hint="in that boot: wait for verity-confirm.service, which writes it down behind"
            " multi-user.target; behind it: `verity lockdown log`, and another `verity lockdown"
            f" trial`{on}",
        )
    bundle_now = read_file(root / places.BUNDLE, max_size=records.MAX_SIZE)
    if hashlib.sha256(bundle_now).digest() != up.bundle:
        raise ContentError(
            "trial-not-up",
            f"{root / places.BUNDLE}: it was changed behind the trial of policy serial"
            f" {found.serial}, which came up with another one",
            hint=f"another `verity lockdown trial` tries this one{on}",
        )
