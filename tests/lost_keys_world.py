# SPDX-License-Identifier: Apache-2.0
"""Who types the commands of docs/guides/lost-keys.md, and a host that has slept for a year.

/media/keys is the owner's stick, and the host is a tree (`--root`), which nobody can prove to be
ready. What a walk has come to is asked of the boot bundle: that is all that a gate is told.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cli.program import Done
from tests.lockdown_world import BUNDLE, Owner
from verity.formats import kernel_keys, records
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import KernelKeys
from verity.formats.kernel_policy import Mode
from verity.formats.keyring import Keyring
from verity.formats.records import RecordKind
from verity.ports import key_files, keystore
from verity.ports.many import Stop
from verity.verbs import keyring_change, keyring_make, keyring_solo, lockdown_init, lockdown_mode
from verity.verbs.enable import How
from verity.verbs.init_wanted import Keys, Wanted
from verity.verbs.keyring_change import NewKey, Rules, Times

GUIDE = Path("docs/guides/lost-keys.md")
BEFORE = "Before the day"
YEAR = 365 * 86400


def walk(name: str) -> list[str]:
    """The commands below a heading of the guide."""
    section = re.compile(rf"^## {re.escape(name)}$(.*?)(?=^## |\Z)", re.M | re.S)
    (text,) = section.findall(GUIDE.read_text())
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    assert lines
    return lines


@dataclass(frozen=True)
class Walker:
    """Types what the guide says, for a host and its stick."""

    owner: Owner

    def run(self, name: str, **values: str) -> None:
        """All below a heading, with values for the words that stand for them."""
        for line in walk(name):
            if line != "systemctl reboot":
                for word, value in values.items():
                    line = line.replace(word, value)
                self.must(line)

    def must(self, line: str) -> None:
        done = self.type(line)
        assert done.status == 0, (line, done.err)

    def type(self, line: str) -> Done:
        line = line.replace("/media/new-keys", str(self.owner.folder / "new-keys"))
        line = line.replace("/media/keys", str(self.owner.keys))
        line = line.replace("/etc/verity/", f"{self.owner.root}/etc/verity/")
        words = shlex.split(line)
        if words[0] != "verity":
            subprocess.run(words, cwd=self.owner.folder, check=True)
            return Done(0, b"", b"")
        if words[1] == "lockdown" and words[2] != "pin":
            words.append(f"--root={self.owner.root}")
        if words[2] in ("trial", "confirm"):
            words.append("--insecure-unproven")
        if "--revoke" in words or words[2] == "revoke":
            words += ["--yes", f"--root={self.owner.root}"]
        return self.owner.run(words[1:])

    def told(self, party: Party = Party.USER) -> KernelKeys:
        """The keys of the boot bundle."""
        parts = records.split((self.owner.root / BUNDLE).read_bytes(), label="bundle")
        keys = [kernel_keys.parse_keys(one.blob) for one in parts if one.kind is RecordKind.KEYS]
        (found,) = [one for one in keys if one.party is party]
        return found

    def ids(self, role: Role, party: Party = Party.USER) -> set[str]:
        return {one.key_id.hex() for one in self.told(party).keys if one.role is role}

    def key_id(self, name: str) -> str:
        return keystore.load_public(self.owner.folder / name).key_id

    def pin(self, party: str) -> bytes:
        return (self.owner.root / f"etc/verity/pins/{party}.pin").read_bytes()

    def roots(self, party: str) -> set[str]:
        """The keys of the host's pin."""
        return {one.key_id.hex() for one in kernel_keys.parse_pin(self.pin(party)).keys}

    def seal(self) -> None:
        """As steps 5 and 6 of the guide for operators end."""
        for verb in ("trial", "confirm"):
            done = self.owner.sign(verb)
            assert done.status == 0, done.err
            self.owner.tried(self.owner.policy.serial)
        assert self.owner.policy.mode is Mode.SEALED


def put_to_sleep(owner: Owner, at: int) -> None:
    """Made ready and sealed at that time, for a year."""
    times = (at, at + YEAR)
    pins = {}
    owner.keys.mkdir(mode=0o700)
    for party in Party:
        name = party.name.lower()
        keyring_solo.make(owner.keys / name, party, Times(issued=at, expires=at + YEAR))
        pins[party] = hashlib.sha256((owner.keys / name / f"{name}.pin").read_bytes()).hexdigest()
    wanted = Wanted(
        root=owner.root,
        keyrings={party: owner.keys / party.name.lower() / "keyrings" for party in Party},
        pins=pins,
        self_vendor=True,
        times=times,
    )
    os_key, policy, etc = (
        [keystore.load_signer(str(owner.keys / f"{party}/private/{party}-{role}.pem"))]
        for party, role in (("vendor", "os"), ("user", "policy"), ("user", "etc"))
    )
    how = How(jobs=1, pause=time.sleep, stop=Stop())
    keys = Keys(os=os_key, policy=policy, etc=etc)
    lockdown_init.init(wanted, keys, how, now=at, say=lambda _: None)
    for mode in (Mode.TRIAL, Mode.SEALED):
        lockdown_mode.change(owner.root, mode, policy, times=times, now=at)
        owner.tried(owner.policy.serial)


def rotate_unlock(owner: Owner, number: int, at: int) -> None:
    """The next version on the stick, with `unlockNUMBER.pem` for unlocks, valid for a year."""
    key = key_files.generate(owner.folder / f"unlock{number}.pem")
    root = keystore.load_signer(str(owner.keys / "user/private/user-root.pem"))

    def edit(before: Keyring) -> Keyring:
        (old,) = [one.key_id for one in before.of_role(Role.UNLOCK)]
        return keyring_change.rotate(
            before,
            replaced={old: NewKey(role=Role.UNLOCK, key=key, owner="owner")},
            removed=(),
            rules=Rules(thresholds={}, streams={}),
            times=Times(issued=at, expires=at + YEAR),
        )

    keyring_make.change(owner.keys / "user/keyrings", Party.USER, edit, [root])
