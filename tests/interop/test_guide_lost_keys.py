# SPDX-License-Identifier: Apache-2.0
"""docs/guides/lost-keys.md: each walk on a host of its own, its commands as they are typed.

What the gate makes of keys and grants is for the machines: tests/vm/test_gate_documents.py and
test_gate_signatures.py have who may sign which of them.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.cli.program import needs_root
from tests.lockdown_world import Owner
from tests.lost_keys_world import BEFORE, GUIDE, YEAR, Walker, put_to_sleep, rotate_unlock, walk
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode
from verity.ports import keystore

pytestmark = needs_root

POLICY_KEY = "user/private/user-policy.pem"


@pytest.fixture
def walker(tmp_path: Path) -> Walker:
    """A host that is sealed, with the owners that the guide has before the day."""
    owner = Owner.new(tmp_path)
    assert owner.init().status == 0
    found = Walker(owner)
    found.run(BEFORE)
    found.seal()
    return found


def test_every_walk_is_run() -> None:
    headings = re.findall(r"^## (.*)$", GUIDE.read_text(), re.M)
    mine = Path(__file__).read_text()
    assert [one for one in headings if f'"{one}"' not in mine and one != BEFORE] == []


def test_before(walker: Walker) -> None:
    assert walker.told().thresholds[Role.UNLOCK] == 2
    assert len(walker.ids(Role.UNLOCK)) == 3
    assert len(walker.roots("user")) == 2


def test_one_of_several(walker: Walker) -> None:
    before, pin = walker.owner.policy, walker.pin("user")
    walker.run("One of several is gone")
    assert walker.key_id("carl2.pem.pub") in walker.ids(Role.UNLOCK)
    assert walker.key_id("carl-unlock.pem.pub") not in walker.ids(Role.UNLOCK)
    assert walker.told().thresholds[Role.UNLOCK] == 2
    # The host stays sealed, by the same pin.
    assert (walker.owner.policy.mode, walker.owner.policy.serial) == (
        Mode.SEALED,
        before.serial + 1,
    )
    assert walker.pin("user") == pin


def test_a_root_key(walker: Walker) -> None:
    walker.run("A root key is gone, and another is there")
    assert walker.roots("user") == {
        walker.key_id("root2.pem.pub"),
        walker.key_id("bob-root.pem.pub"),
    }
    walker.seal()
    # Who finds the lost one signs no version with it.
    done = walker.type(
        "verity keyring add-key --party user --threshold unlock=1"
        " --key /media/keys/user/private/user-root.pem /media/keys/user/keyrings"
    )
    assert done.status != 0 and "root" in done.err


def test_the_key_of_the_policy(walker: Walker) -> None:
    shutil.copy(walker.owner.keys / POLICY_KEY, walker.owner.folder / "lost.pem")
    walker.run("The key of the policy is gone")
    held = keystore.load_public(walker.owner.keys / f"{POLICY_KEY}.pub").key_id
    assert walker.ids(Role.POLICY) == {held}
    assert walker.owner.policy.mode is Mode.OBSERVE
    walker.seal()
    signs_nothing(walker)


def test_a_policy_by_a_key_that_is_no_more(walker: Walker) -> None:
    """As where the host was booted without its gate: `init` begins anew, above all serials."""
    serial = walker.owner.policy.serial
    lines = walk("The key of the policy is gone")
    for line in lines:
        if line != "systemctl reboot" and "observe" not in line:
            done = walker.type(line)
            assert done.status == 0, (line, done.err)
    assert "signed by keys that don't count any more" in done.err
    assert (walker.owner.policy.mode, walker.owner.policy.serial) == (Mode.OBSERVE, serial + 1)


def test_a_key_that_signs_grants(walker: Walker) -> None:
    lost = keystore.load_public(walker.owner.keys / "user/private/user-etc.pem.pub").key_id
    walker.run("A key that signs grants is gone")
    assert len(walker.ids(Role.ETC)) == 1 and lost not in walker.ids(Role.ETC)
    assert (
        lost in walker.owner.run(["keyring", "show", str(walker.owner.keys / "user/keyrings")]).out
    )
    walker.seal()


def test_all_keys(walker: Walker) -> None:
    owner = walker.owner
    (owner.root / "var/lib/verity/ledger").write_text("kept\n")
    shutil.copy(owner.keys / POLICY_KEY, owner.folder / "lost.pem")
    owner.keys.rename(owner.folder / "gone")
    before = (walker.pin("user"), walker.pin("vendor"), walker.ids(Role.POLICY))
    walker.run("All keys of the user are gone")
    after = (walker.pin("user"), walker.pin("vendor"), walker.ids(Role.POLICY))
    assert [old == new for old, new in zip(before, after, strict=True)] == [False] * 3
    assert (owner.policy.serial, owner.policy.mode) == (1, Mode.OBSERVE)
    assert (owner.root / "var/lib/verity/ledger").read_text() == "kept\n"
    signs_nothing(walker)


def signs_nothing(walker: Walker) -> None:
    """What the key that was lost signs is no policy of this host."""
    before = walker.owner.policy
    done = walker.type("verity lockdown observe --key lost.pem")
    assert done.status == 1 and "policy: signed by 0" in done.err
    assert walker.owner.policy == before


def test_the_vendors_root(tmp_path: Path) -> None:
    """The vendor publishes version 2, and the thief another one, both by the old root as well."""
    owner = Owner.new(tmp_path)
    owner.boot_vendors()
    walker = Walker(owner)
    vendor = owner.folder / "vendor"
    walker.must(f"verity lockdown init --keys /media/keys --pin vendor={vendor}/vendor.pin")
    walker.seal()
    stolen = vendor / "private/vendor-root.pem"
    shutil.copy(f"{stolen}.pub", owner.folder / "vendor-root.pem.pub")
    for name, folder in (("vendor-root2", "vendor-keyrings"), ("thief", "thiefs")):
        walker.must(f"verity key generate {name}.pem")
        shutil.copytree(vendor / "keyrings", owner.folder / folder)
        walker.must(
            f"verity keyring rotate --party vendor --replace vendor-root.pem.pub={name}.pem.pub"
            f" --key {stolen} --key {name}.pem {folder}"
        )
    walker.run("The vendor's root key was stolen", KEYID=walker.key_id("vendor-root.pem.pub"))
    assert walker.told(Party.VENDOR).version == 2
    assert walker.roots("vendor") == {walker.key_id("vendor-root2.pem.pub")}
    walker.seal()
    # The thief's version is none by that pin, and neither are keys that the stolen one signs.
    done = walker.type("verity keyring verify --pin vendor=vendor2.pin thiefs")
    assert done.status == 1 and "no version has the root keys of the pin" in done.err
    walker.must("verity key generate os.pem")
    project = "verity keyring project --party vendor --version 9 --role os=os.pem.pub"
    walker.must(f"{project} --key {stolen} stolen.keys")
    state = owner.root / "var/lib/verity"
    done = walker.type(
        "verity lockdown bundle --pin vendor=vendor2.pin --pin user=/media/keys/user/user.pin"
        " --keys stolen.keys --keys /media/keys/user/keyrings/user/2.keys"
        f" --policy {state}/policy.gate --grants {state}/etc/1/grants new.bundle"
    )
    assert done.status == 1 and "stolen.keys: signed by 0" in done.err


def test_a_year(tmp_path: Path) -> None:
    """Twelve versions, each with another key for unlocks; all that the host has is expired."""
    owner = Owner.new(tmp_path)
    walker = Walker(owner)
    now = int(time.time())
    then = now - YEAR - 30 * 86400
    put_to_sleep(owner, then)
    assert stands(owner, now) == (Mode.SEALED, "expired")
    for month in range(1, 13):
        rotate_unlock(owner, month, then + month * 30 * 86400)
    walker.run("A host slept through a year of rotations")
    assert walker.told().version == 13
    assert walker.ids(Role.UNLOCK) == {walker.key_id("unlock12.pem.pub")}
    assert stands(owner, now) == (Mode.OBSERVE, "good")
    walker.seal()
    (owner.keys / "user/keyrings/user/7.keyring.json").unlink()
    done = walker.type(walk("A host slept through a year of rotations")[0])
    assert done.status == 1 and "version 8 follows version 6" in done.err


def stands(owner: Owner, now: int) -> tuple[Mode, str]:
    """The mode of the boot bundle's policy, and whether that has expired."""
    return owner.policy.mode, "expired" if owner.policy.expires <= now else "good"
