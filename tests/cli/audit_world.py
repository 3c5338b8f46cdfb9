# SPDX-License-Identifier: Apache-2.0
"""A host that has everything that the area trust asks for, signed by two parties, and good.

In one directory: keys, `repo`, `k` with the keyrings as the auditor brings them, and `host`, whose
pins, floor, policy and boot bundle are of these keys.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.forge import UNSIGNED_ETC
from tests.cli.program import Done, stock, verity
from tests.cli.worlds import REF, World, commit, make_tree
from verity.ports import places

KEYS = ("vroot", "uroot", "os", "policy", "stranger")
SIGN = ("commit", "sign", "--repo=repo", "--key=os.pem", "--stream=os")
VENDOR = ("--party=vendor", "--key=vroot.pem")
COMPILE = ("policy", "compile", "--root=host", "--mode=sealed", "--stream=os=vendor:os")
HOST = "host"


@dataclass(frozen=True)
class AuditWorld(World):
    """The world, and how it is audited: by default the area trust, as JSON."""

    @property
    def host(self) -> Path:
        return self.path / HOST

    def run(self, *args: str) -> Done:
        """What must succeed."""
        done = verity(*args, cwd=self.path)
        assert done.status == 0, (args, done.err, done.out)
        return done

    def audit(self, *more: str, only: str = "trust", report: str = "--json") -> Done:
        areas = ("--only", only) if only else ()
        line = ("audit", "--root", HOST, "--repo", "repo", "--commit", REF, *self.pins(), *areas)
        return verity(*line, report, *more, cwd=self.path)

    def pins(self) -> tuple[str, ...]:
        """The auditor's: of files beside the host, whatever the host has."""
        return ("--keyring", "k", "--pin", "vendor=vendor.pin", "--pin", "user=user.pin")

    def bundle(self, *more: str, grants: str = "os.grants", policy: str = "host.policy") -> None:
        """Make the host's boot bundle, anew if it is there."""
        there = self.host / places.BUNDLE
        there.unlink(missing_ok=True)
        newest = (self.newest("vendor"), self.newest("user"))
        self.run(
            *("lockdown", "bundle", "--pin=vendor=vendor.pin", "--pin=user=user.pin"),
            *(word for path in newest for word in ("--keys", path)),
            *("--policy", policy, "--grants", grants, "--root", HOST, *more),
            f"{HOST}/{places.BUNDLE}",
        )

    def newest(self, party: str) -> str:
        """The kernel's view of a party's newest keyring."""
        numbers = sorted(int(path.stem) for path in (self.path / "k" / party).glob("*.keys"))
        return f"k/{party}/{numbers[-1]}.keys"

    def signed_as(self, serial: int) -> None:
        """Sign the commit, and have its grants in a file."""
        self.run(*SIGN, "--serial", str(serial), "--replace", REF)
        shown = self.run("commit", "show", "--repo", "repo", "--grants", REF)
        (self.path / "os.grants").write_bytes(shown.raw_out)

    def compiled(self, serial: int, name: str) -> None:
        """Sign the policy of the host's drop-ins."""
        self.run(*COMPILE, "--serial", str(serial), "--key=policy.pem", name)

    def installed(self, name: str) -> None:
        """Put a policy where the host has it."""
        (self.host / places.POLICY).write_bytes((self.path / f"{name}.json").read_bytes())
        (self.host / places.POLICY_BLOB).write_bytes((self.path / name).read_bytes())


def make_audit_world(path: Path) -> AuditWorld:
    """All of it, made by the program as an owner would."""
    world = AuditWorld(path)
    for name in KEYS:
        world.run("key", "generate", f"{name}.pem")
    tree = path / "tree"
    tree.mkdir()
    make_tree(tree)
    stock("ostree", "--repo=repo", "init", "--mode=bare", cwd=path)
    commit(path / "repo", tree, REF)
    world.signed_as(1)
    init = ("keyring", "init", *VENDOR, "--role=root=vroot.pem.pub", "--role=os=os.pem.pub")
    world.run(*init, "--stream=os=os", "k")
    roles = ("--role=root=uroot.pem.pub", "--role=policy=policy.pem.pub")
    world.run("keyring", "init", "--party=user", *roles, "--key=uroot.pem", "k")
    pins = world.host / places.VENDOR_PIN.parent
    pins.mkdir(parents=True)
    for party, root in (("vendor", "vroot"), ("user", "uroot")):
        world.run("lockdown", "pin", "--party", party, "--root", f"{root}.pem.pub", f"{party}.pin")
        (pins / f"{party}.pin").write_bytes((path / f"{party}.pin").read_bytes())
    rules = world.host / places.OWNER_POLICY
    rules.mkdir(parents=True)
    (rules / "50-tests.toml").write_text(UNSIGNED_ETC)
    (world.host / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n")
    (world.host / "etc/hostname").write_text("audited\n")
    (world.host / places.BUNDLE.parent).mkdir(parents=True)
    world.compiled(1, "host.policy")
    world.installed("host.policy")
    world.bundle()
    accept = ("commit", "verify", "--repo=repo", "--root=host", *world.pins())
    world.run(*accept, "--accept-without-floor", REF)
    return world


def finds(world: AuditWorld, expected: set[str]) -> None:
    """These checks fail and no others, and each finding has all that a reader needs."""
    done = world.audit()
    assert (done.status, set(checks(done))) == (1, expected), done.out
    for record in done.of_type("finding"):
        assert record["expected"] and record["found"] and record["remedy"], record
    assert "Traceback" not in done.err


def checks(done: Done) -> list[str]:
    """What was found, each check once."""
    return sorted({record["check"] for record in done.of_type("finding")})


def gaps(done: Done) -> list[str]:
    """What was not evaluated, each check once."""
    return sorted({record["check"] for record in done.of_type("not-evaluated")})


def head(done: Done) -> dict[str, Any]:
    """Whom and how."""
    (record,) = done.of_type("head")
    return record
