# SPDX-License-Identifier: Apache-2.0
"""audit of the host that runs it: what it takes from there, and a host that lacks all of it.

In a mount namespace whose /etc and /var/lib are a test's; the kernel is the machine's own, or a
played gate's.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.audit_world import AuditWorld, checks, gaps, head, make_audit_world
from tests.cli.gate_host import STATUS, Host
from tests.cli.program import TIMEOUT_S, VERITY, Done, copy, needs_root, stock, verity
from tests.cli.worlds import REF
from verity.ports import places

pytestmark = needs_root
KEYRINGS = "host/etc/verity/keyrings"
PIN = f"host/{places.VENDOR_PIN}"
TRUST = ("audit", "--only=trust", "--only=deployment", "--json")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """Its host has its keyrings itself; for reading only."""
    world = make_audit_world(tmp_path_factory.mktemp("live"))
    stock("cp", "-a", "k", "host/etc/verity/keyrings", cwd=world.path)
    return world


@pytest.fixture
def world(good: AuditWorld, tmp_path: Path) -> AuditWorld:
    """A copy, to change."""
    return AuditWorld(copy(good.path, tmp_path / "w"))


def live(path: Path, *args: str, setup: str = "true", preload: Sequence[str] = ()) -> Done:
    """Run it where `host/etc` and `host/var/lib` are the machine's."""
    binds = "".join(
        f'mount --bind "{path}/host/{name}" /{name} && '
        for name in ("etc", "var/lib")
        if (path / "host" / name).is_dir()
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{binds}{setup} && exec "$@"', "-", *preload, VERITY, *args],
        cwd=path,
        capture_output=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_host_that_has_all_of_it(good: AuditWorld) -> None:
    """Only the repository is elsewhere; the commit is the one of the host's floor."""
    done = live(good.path, *TRUST, "--repo=repo")
    assert (done.status, checks(done), gaps(done), done.err) == (0, [], [], "")
    said = head(done)
    assert (said["root"], said["host_name"], said["roots_given"]) == ("/", "audited", False)
    assert len(said["boot_id"]) == 32 and said["kernel"]
    # This checkout is signed by nobody.
    assert (said["enforced"], said["tool_verified"], said["level"]) == (False, False, "")
    names = [one["name"] for one in said["residuals"]]
    assert {"nothing-refused", "floors-rolled-back", "signed-tools"} <= set(names)
    text = live(good.path, *TRUST[:-1], "--repo=repo")
    assert "as stated by this host" in text.out


def test_pins_of_the_auditor_are_said_to_be_theirs(good: AuditWorld) -> None:
    done = live(good.path, *TRUST, "--repo=repo", "--pin=vendor=vendor.pin", "--pin=user=user.pin")
    assert (done.status, head(done)["roots_given"]) == (0, True)


def test_pins_of_the_auditor_that_are_not_the_hosts(world: AuditWorld) -> None:
    """The host's keyrings are of other roots: a finding about the host, and nothing is good."""
    world.run("lockdown", "pin", "--party=vendor", "--root=stranger.pem.pub", "x.pin")
    mine = ("--pin=vendor=x.pin", "--pin=user=user.pin")
    done = live(world.path, *TRUST, "--repo=repo", *mine)
    assert (done.status, checks(done)) == (1, ["keyring"])
    assert {"commit", "policy", "bad-bundle", "grants-differ"} <= set(gaps(done))


def test_a_host_without_anything(tmp_path: Path) -> None:
    (tmp_path / "host/etc").mkdir(parents=True)
    (tmp_path / "host/var/lib").mkdir(parents=True)
    # Not what runs: that is this machine's.
    areas = ("trust", "files", "etc", "deployment", "written")
    done = live(tmp_path, "audit", "--json", *(f"--only={area}" for area in areas))
    assert (done.status, checks(done), done.err) == (3, [], "")
    why = {one["check"]: one["why"] for one in done.of_type("not-evaluated")}
    assert "there is no pin, so nobody is trusted" in why["keyring"]
    assert why["commit"] == "whose signature counts isn't known: see the keyrings"
    assert head(done)["host_id"] == ""


def test_a_keyring_that_was_taken_away(world: AuditWorld) -> None:
    for file in (world.host / "etc/verity/keyrings/user").iterdir():
        file.unlink()
    done = live(world.path, *TRUST, "--repo=repo")
    assert (done.status, checks(done)) == (1, ["keyring"])


def test_without_proc(good: AuditWorld) -> None:
    """As in a jail: what it would say is missing, and nothing else is."""
    done = live(good.path, *TRUST, "--repo=repo", setup="mount -t tmpfs none /proc")
    assert (done.status, checks(done), "Traceback" in done.err) == (0, [], False)
    said = head(done)
    assert (said["boot_id"], said["kernel"]) == ("", "")
    assert "whether the kernel is tainted can't be read" in said["taints"]


def gate(world: AuditWorld, shim: Path, *, lockdown: str, answers: str | None) -> Done:
    """With a gate that shows itself as sealed, and answers or doesn't."""
    played = Host(world.path / "played", shim)
    played.put("sys/fs/bpf/verity/status", STATUS.format(state="sealed", mode="sealed", foreign=0))
    played.put("sys/fs/bpf/verity/denials", "")
    played.lockdown(lockdown)
    setup = " && ".join(
        f'mount --bind "{played.root}/{name}" /{name}'
        for name in ("sys/fs/bpf", "sys/kernel/security")
    )
    log = f"SHIM_LOG={world.path / 'calls'}"
    preload = ["env", f"LD_PRELOAD={shim}", f"SHIM_ANSWERS={answers}", log] if answers else []
    return live(world.path, *TRUST, "--repo=repo", setup=setup, preload=preload)


def test_a_sealed_gate(world: AuditWorld, shim: Path) -> None:
    said = head(gate(world, shim, lockdown="integrity", answers="3005,3005,3005,3005"))
    assert (said["state"], said["level"], said["enforced"]) == ("sealed-late", "B0", False)
    names = [one["name"] for one in said["residuals"]]
    assert "before-the-gate" in names and "nothing-refused" not in names


def test_a_sealed_gate_without_the_kernels_lockdown(world: AuditWorld, shim: Path) -> None:
    said = head(gate(world, shim, lockdown="none", answers="3005,3005,3005,3005"))
    assert (said["state"], said["level"]) == ("sealed-weak", "")
    assert said["taints"][0] == "sealed-weak: the kernel isn't locked down"


def test_a_gate_that_only_a_file_speaks_of(world: AuditWorld, shim: Path) -> None:
    said = head(gate(world, shim, lockdown="integrity", answers=None))
    assert (said["state"], said["level"], said["enforced"]) == ("unknown", "", False)


def test_which_commit(world: AuditWorld) -> None:
    """One that is named counts, whatever the floor has."""
    done = live(world.path, *TRUST, "--repo=repo", "--commit", REF)
    assert done.status == 0
    (world.host / places.BUNDLE).unlink()
    (world.host / "var/lib/verity/floors/vendor.os.os").unlink()
    done = live(world.path, *TRUST, "--repo=repo", "--commit", REF)
    assert (done.status, checks(done)) == (1, ["bad-bundle", "no-floor"])


def test_a_keyring_of_example_keys(tmp_path: Path) -> None:
    """Of a host whose owner tried things out and forgot: everybody has these keys."""
    subprocess.run([sys.executable, "keys-example/make.py", tmp_path], check=True, timeout=60)
    pins = tmp_path / "host" / places.VENDOR_PIN.parent
    pins.mkdir(parents=True)
    (tmp_path / "host/var/lib").mkdir(parents=True)
    roles = ("--role=root=vendor-root.pem.pub", "--role=os=vendor-os.pem.pub", "--stream=os=*")
    allow = "--allow-example-keys"
    for line in (
        ("keyring", "init", "--party=vendor", *roles, "--key=vendor-root.pem", allow, KEYRINGS),
        ("lockdown", "pin", "--party=vendor", "--root=vendor-root.pem.pub", allow, PIN),
    ):
        done = verity(*line, cwd=tmp_path)
        assert done.status == 0, done
    done = live(tmp_path, "audit", "--only=trust", "--json")
    assert (done.status, checks(done)) == (1, ["example-key"])
    done = live(tmp_path, "audit", "--only=trust", "--json", allow)
    assert (done.status, checks(done)) == (3, [])
