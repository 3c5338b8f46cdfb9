# SPDX-License-Identifier: Apache-2.0
"""Files seen through an overlay: that the kernel tells no digest of them is a gap, no finding."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import needs_root
from verity.ports import kernel_files
from verity.values.findings import Finding, Link
from verity.verbs.audit_overlays import Overlays

MOUNTS = b"""\
1 0 0:1 / / rw - ext4 /dev/vda rw
2 1 0:2 / /usr ro - overlay sysext ro,lowerdir=/run/systemd/sysext/extensions/tools/usr:/usr
3 2 0:1 / /usr/local rw - ext4 /dev/vda rw
4 1 0:1 / /srv rw - overlay hidden rw
5 4 0:1 / /srv rw - ext4 /dev/vda rw
6 1 0:3 / /usr-not rw - tmpfs tmpfs rw
"""
_LOOK = """
import sys
from pathlib import Path
from tests.unit.verbs.test_audit_files import entries, manifest
from verity.verbs.audit_files import How, compare
from verity.verbs.audit_overlays import Overlays
root, signed = Path(sys.argv[1]), Path(sys.argv[2])
found = compare(root, manifest(entries(signed)), How(overlays=Overlays(root)))
for one in found.findings:
    print(one.check, one.object)
for gap in found.gaps:
    print("gap", gap.check, gap.object, gap.why.partition("through it: ")[2], gap.hint)
print("hashed", found.counts["hashed"])
"""
_MERGE = (
    'mount -t overlay -o "ro,lowerdir=$1/extension:$1/root/usr" sysext "$1/root/usr" && shift'
    ' && exec "$@"'
)


def finding(path: bytes, check: str = "no-verity") -> Finding:
    return Finding(
        check=check,
        link=Link.DIGEST,
        object=path.decode(),
        path=path,
        problem="",
        expected="",
        found="",
        remedy="",
    )


@pytest.fixture
def overlays(monkeypatch: pytest.MonkeyPatch) -> Overlays:
    monkeypatch.setattr(kernel_files, "read", lambda root, path: MOUNTS)
    return Overlays(Path("/"))


@pytest.mark.parametrize(
    ("path", "is_over"),
    [
        (b"/usr/bin/a", True),
        (b"/usr", True),
        (b"/usr/local/bin/a", False),
        (b"/usr/local", False),
        (b"/usr-not/a", False),
        (b"/srv/a", False),
        (b"/a", False),
        (b"/", False),
    ],
)
def test_which_mount_is_on_top(overlays: Overlays, path: bytes, is_over: bool) -> None:
    for _ in range(2):  # asked and remembered
        assert (overlays.over(path) is not None) is is_over


def test_a_finding_that_only_says_that_it_is_an_overlay(overlays: Overlays) -> None:
    assert overlays.keep(finding(b"/usr/bin/a")) is None
    assert overlays.keep(finding(b"/usr/bin/a", "content")) is not None
    assert overlays.keep(finding(b"/bin/a")) is not None
    assert overlays.keep(finding(b"/usr/.systemd-sysext/dev", "unsigned-file")) is None
    for path, check in (
        (b"/usr/.systemd-sysext/dev", "unsigned-code"),
        (b"/usr/.systemd-sysext/a/b", "unsigned-file"),
        (b"/opt/.systemd-sysext/dev", "unsigned-file"),
        (b"/usr/other", "unsigned-file"),
    ):
        assert overlays.keep(finding(path, check)) is not None
    (gap,) = overlays.gaps("no-verity")
    assert (gap.object, gap.path) == ("/usr", b"/usr")
    assert "(sysext)" in gap.why and ": 1 files" in gap.why
    assert gap.hint.startswith("`systemd-sysext unmerge`")


def test_without_the_mounts_everything_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "read", lambda root, path: None)
    assert Overlays(Path("/")).over(b"/usr/bin/a") is None


def test_a_root_elsewhere_has_its_own_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "read", lambda root, path: MOUNTS)
    assert Overlays(Path("/usr")).over(b"/bin/a") is not None
    assert Overlays(Path("/usr/local")).over(b"/bin/a") is None
    assert Overlays(Path("/usr/bin")).over(b"/a") is None  # it only lies in one


@needs_root
def test_what_an_extension_brings_is_judged(tmp_path: Path) -> None:
    """A real overlay over /usr, as systemd-sysext lays it: one file is added, one is replaced."""
    for tree in ("root", "signed"):
        (tmp_path / tree / "usr/bin").mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / tree / "usr/bin" / name).write_text(name)
        (tmp_path / tree / "c").write_text("c")
    extension = tmp_path / "extension"
    (extension / "bin").mkdir(parents=True)
    (extension / ".systemd-sysext").mkdir()
    (extension / ".systemd-sysext/dev").write_text("0:1\n")
    (extension / "bin/b").write_text("replaced")
    (extension / "bin/new").write_text("#!/bin/sh\n")
    (extension / "bin/new").chmod(0o755)
    argv = [sys.executable, "-c", _LOOK, str(tmp_path / "root"), str(tmp_path / "signed")]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _MERGE, "-", str(tmp_path), *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *found, gap, hashed = done.stdout.splitlines()
    assert found == ["no-verity /c", "content /usr/bin/b", "unsigned-code /usr/bin/new"]
    assert gap == (
        "gap no-verity /usr 1 files were hashed, and are as signed at this moment"
        " `systemd-sysext unmerge`, audit, `systemd-sysext merge`"
    )
    assert hashed == "hashed 5"
