# SPDX-License-Identifier: Apache-2.0
"""audit, area deployment: systems that stock ostree deployed, good and broken."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.audit_world import checks, gaps
from tests.cli.program import VERITY, Done, copy, stock, verity
from verity.ports import deployments

REF = "os/main"
KEY = ("--key", "os.pem.pub")
SIGN = ("commit", "sign", "--repo=sys/ostree/repo", "--key=os.pem", "--stream=os", "--serial")
MODULES = "usr/lib/modules/6.1.0"


@dataclass(frozen=True)
class System:
    """`sys`, the physical root of a system with two deployments: serial 2 comes next, 1 is what to
    go back to."""

    path: Path

    @property
    def sysroot(self) -> Path:
        return self.path / "sys"

    @property
    def entries(self) -> Path:
        """The directory of the boot loader's entries."""
        boot = self.sysroot / "boot"
        return boot / (boot / "loader").readlink() / "entries"

    def commit(self, text: str) -> str:
        (self.path / "tree/usr/bin/tool").write_text(text)
        said = stock("ostree", "--repo=sys/ostree/repo", "commit", "-b", REF, "tree", cwd=self.path)
        return said.split()[-1]

    def sign(self, serial: int) -> None:
        done = verity(*SIGN, str(serial), REF, cwd=self.path)
        assert done.status == 0, done.err

    def deploy(self) -> None:
        stock("ostree", "admin", "--sysroot=sys", "deploy", "--os=debian", REF, cwd=self.path)
        for one in (self.sysroot / "ostree/deploy/debian/deploy").glob("*.?"):
            stock("chattr", "-i", one, cwd=self.path)  # or nobody can copy and remove it

    def deployment(self, serial: int) -> str:
        """The path of a deployment, by its order in the boot loader."""
        system = deployments.read(self.sysroot)
        assert system is not None and system.entries is not None
        found = [one.deployment for one in system.entries]
        return f"sys/{found[2 - serial]}"

    def booted(self, serial: int) -> None:
        """Have the kernel's command line say what was booted."""
        name = self.entries / f"ostree-{serial}-debian.conf"
        (options,) = [one for one in name.read_text().splitlines() if one.startswith("options ")]
        (self.sysroot / "proc/cmdline").write_text(f"{options.removeprefix('options ')} quiet\n")

    def audit(self, *more: str, root: str = "sys") -> Done:
        line = ("audit", "--root", root, *KEY, "--only=deployment", "--json", *more)
        return verity(*line, cwd=self.path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> System:
    """For reading only; serial 2 is booted."""
    path = tmp_path_factory.mktemp("system")
    system = System(path)
    assert verity("key", "generate", "os.pem", cwd=path).status == 0
    assert verity("key", "generate", "other.pem", cwd=path).status == 0
    for folder in (MODULES, "usr/bin", "usr/etc", "proc", "sys", "dev", "run", "var", "boot"):
        (path / "tree" / folder).mkdir(parents=True)
    (path / "tree/sysroot").mkdir()
    (path / "tree/ostree").symlink_to("sysroot/ostree")
    (path / "tree/usr/lib/os-release").write_text('ID=debian\nPRETTY_NAME="Debian of tests"\n')
    (path / "tree" / MODULES / "vmlinuz").write_text("a kernel")
    (path / "tree" / MODULES / "initramfs.img").write_text("an initramfs")
    (path / "sys").mkdir()
    stock("ostree", "admin", "init-fs", "sys", cwd=path)
    stock("ostree", "admin", "--sysroot=sys", "os-init", "debian", cwd=path)
    for serial in (1, 2):
        system.commit(f"serial {serial}")
        system.sign(serial)
        system.deploy()
    system.booted(2)
    return system


@pytest.fixture
def system(good: System, tmp_path: Path) -> System:
    """A copy, to break."""
    return System(copy(good.path, tmp_path / "w"))


def test_a_good_system_has_no_finding(good: System) -> None:
    done = good.audit()
    assert (done.status, checks(done), gaps(done)) == (0, [], [])
    assert done.of_type("summary")[0]["counts"] == {"deployments": 2, "boot entries": 2}
    notes = sorted(one["text"] for one in done.of_type("note"))
    assert [text.split()[0] for text in notes] == ["booted", "rollback"]
    assert "stream os serial 2, signed by 1 owners" in notes[0]
    assert notes[0].endswith("ostree's own signatures, which count for nothing here: none")


def test_what_comes_next_is_told_from_what_was_before(system: System) -> None:
    system.booted(1)
    done = system.audit()
    assert (done.status, checks(done)) == (0, [])
    notes = {one["text"].split()[0]: one["text"] for one in done.of_type("note")}
    assert "serial 2" in notes["pending"] and "serial 1" in notes["booted"]


def test_a_deployment_that_nobody_booted_names_its_own_commit(good: System) -> None:
    """And the repository above it."""
    for serial in (1, 2):
        done = good.audit(root=good.deployment(serial))
        assert (done.status, checks(done), gaps(done)) == (0, [], [])
        assert done.of_type("not-applicable")[0]["check"] == "booted-differs"


def test_a_deployment_needs_the_var_of_its_host(good: System) -> None:
    """Floors, boot bundle and extensions are there: without it nobody knows of them."""
    root = good.deployment(1)
    line = ("audit", "--root", root, *KEY, "--only=trust", "--json")
    done = verity(*line, cwd=good.path)
    assert (done.status, done.of_type("summary")[0]["counts"]["manifest entries"] > 9) == (3, True)
    left = done.of_type("not-evaluated")
    assert [one["check"] for one in left] == ["no-floor", "bad-bundle", "extension"]
    assert {one["object"] for one in left} == {"/var"}
    var = good.sysroot / "ostree/deploy/debian/var"
    assert left[0]["hint"] == f"mount --bind {var} {root}/var"
    script = f'{left[0]["hint"]} && exec "$@"'
    mounting = ["unshare", "-m", "sh", "-c", script, "-", str(VERITY), *line]
    mounted = subprocess.run(mounting, cwd=good.path, capture_output=True, check=False)
    assert mounted.returncode == 0, mounted.stderr


def test_a_disk_is_no_root(system: System) -> None:
    """Its hint is what to name instead, and works."""
    (system.sysroot / "proc/cmdline").unlink()
    done = verity("audit", "--root", "sys", *KEY, "--only=trust", "--json", cwd=system.path)
    (hint,) = {
        one["hint"] for one in done.of_type("not-evaluated") if "no floor of an OS" in one["why"]
    }
    there = system.deployment(2)
    var = system.sysroot / "ostree/deploy/debian/var"
    assert hint == (
        f"OSTree deploys systems on this disk: --root {there},"
        f" with `mount --bind {var} {there}/var`"
    )


def test_another_commit_is_audited_than_is_booted(good: System) -> None:
    before = stock("ostree", "--repo=sys/ostree/repo", "rev-parse", f"{REF}^", cwd=good.path)
    done = good.audit("--commit", before.strip())
    assert (done.status, checks(done)) == (1, ["booted-differs"])


def kernel(name: str, data: bytes | None) -> Callable[[System], None]:
    """Other contents of what is in /boot, which both entries start; None: it is gone."""

    def change(system: System) -> None:
        (path,) = (system.sysroot / "boot/ostree").glob(f"*/{name}-*")
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)

    return change


def entry(name: str, old: str, new: str) -> Callable[[System], None]:
    def change(system: System) -> None:
        path = system.entries / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def out_of_boot(system: System) -> None:
    """The signed kernel, at a place that isn't in /boot."""
    (system.sysroot / "elsewhere").write_text("a kernel")
    entry("ostree-1-debian.conf", "linux /ostree/", "linux /../elsewhere\n#")(system)


def foreign_entry(system: System) -> None:
    (system.entries / "rescue.conf").write_text(
        "title rescue\nversion 9\noptions root=LABEL=x\nlinux /vmlinuz\n"
    )


def without_loader(system: System) -> None:
    (system.sysroot / "boot/loader").unlink()


def strange_loader(system: System) -> None:
    without_loader(system)
    (system.sysroot / "boot/loader").symlink_to("../elsewhere")


def without_deployment(system: System) -> None:
    shutil.rmtree(system.path / system.deployment(1))


def unsigned_deployment(system: System) -> None:
    system.commit("nobody signed this")
    system.deploy()
    system.booted(1)  # the entry behind it, now


def unsigned_ref(system: System) -> None:
    system.commit("nobody signed this")


def signed_ref(system: System) -> None:
    system.commit("an update")
    system.sign(3)


def pruned_ref(system: System) -> None:
    (system.sysroot / "ostree/repo/refs/heads" / REF).unlink()


FOUND: dict[str, tuple[Callable[[System], None], list[str], list[str]]] = {
    "another kernel": (kernel("vmlinuz", b"evil"), ["boot-files"], []),
    "another initramfs": (kernel("initramfs", b"evil"), ["boot-files"], []),
    "kernel and initramfs swapped": (kernel("vmlinuz", b"an initramfs"), ["boot-files"], []),
    "no kernel": (kernel("vmlinuz", None), [], ["boot-files"]),
    "a path out of /boot": (out_of_boot, [], ["boot-files"]),
    "a second initramfs": (
        entry("ostree-1-debian.conf", "initrd ", "initrd /loader.0/x\ninitrd "),
        [],
        ["boot-files"],
    ),
    "an entry of something else": (foreign_entry, ["boot-entry"], []),
    "an entry to nowhere": (
        entry("ostree-1-debian.conf", "ostree=/ostree/boot", "ostree=/ostree/toob"),
        ["boot-entry"],
        [],
    ),
    "an entry out of the system": (
        entry("ostree-1-debian.conf", "ostree=/ostree/boot", "ostree=/../ostree/boot"),
        ["boot-entry"],
        [],
    ),
    "another first program": (
        entry("ostree-1-debian.conf", "options ", "options init=/var/x quiet "),
        ["boot-options"],
        [],
    ),
    "a shell before the system": (
        entry("ostree-2-debian.conf", "options ", "options rd.break\noptions "),
        ["boot-options"],
        [],
    ),
    "a device tree that nobody signed": (
        entry("ostree-1-debian.conf", "linux ", "devicetree /evil.dtb\nlinux "),
        [],
        ["boot-files"],
    ),
    "no boot loader": (without_loader, [], ["boot-entry", "boot-files", "boot-options"]),
    "a strange boot loader": (
        strange_loader,
        ["boot-entry"],
        ["boot-files", "boot-options", "booted-differs", "deployment-signed", "ref-signed"],
    ),
    "a deployment is gone": (without_deployment, ["boot-entry"], []),
    "a deployment that nobody signed": (unsigned_deployment, ["deployment-signed"], []),
    "an update that nobody signed": (unsigned_ref, ["ref-signed"], []),
    "an update that is signed": (signed_ref, [], []),
    "a ref that is gone": (pruned_ref, [], []),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_broken_is_found(name: str, system: System) -> None:
    spoil, found, unknown = FOUND[name]
    spoil(system)
    done = system.audit()
    assert (checks(done), gaps(done)) == (found, unknown), done.out
    assert done.status == (1 if found else 3 if unknown else 0)
    for record in done.of_type("finding"):
        assert record["expected"] and record["found"] and record["remedy"], record


def test_a_signer_without_the_role(good: System) -> None:
    done = verity(
        *("audit", "--root=sys", "--key=other.pem.pub", "--only=deployment", "--json"),
        cwd=good.path,
    )
    # The booted one is the area trust's; the other one is found here.
    assert checks(done) == ["deployment-signed"]
    assert "booted-differs" in gaps(done)


def test_a_host_without_ostree(good: System, tmp_path: Path) -> None:
    done = good.audit(root=str(tmp_path))
    skipped = {one["why"] for one in done.of_type("not-applicable") if "waiver" not in one["check"]}
    # It alone was asked, so nothing was looked at, and that is not good.
    assert (done.status, skipped) == (3, {"OSTree has deployed nothing here"})
    assert [gap["check"] for gap in done.of_type("not-evaluated")] == ["deployment-examined"]
