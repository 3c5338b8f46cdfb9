# SPDX-License-Identifier: Apache-2.0
"""The arming proof's parts: what is open on a made-up host, and what isn't."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.reach_world import Host
from tests.unit.formats.test_cpio import archive, entry
from verity.formats import denial_state
from verity.formats.denial_state import Kind, State
from verity.formats.gate_status import Act, Denial, Reason
from verity.formats.grants import Code, ConfigEntry, ConfigKind, Grants, Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import (
    PRIVILEGED_CAPS,
    KernelPolicy,
    Mode,
    Stream,
    UnlockLimit,
)
from verity.formats.unlock import Scope
from verity.ports import boots
from verity.ports.content import digest_path
from verity.values.arming import Part
from verity.values.audit import Area, AreaResult
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import (
    arming_boot,
    arming_code,
    arming_config,
    arming_learned,
    arming_ready,
    audit_deployment,
)
from verity.verbs.audit_host import AuditedHost
from verity.verbs.signed import SignedCommit

BOOT = "0123456789abcdef0123456789abcdef"
WAITED = '[ -e "/dev/sda1" ] || warn ""/dev/sda1" does not exist"\n'
TIMEOUT = "[Unit]\nJobTimeoutSec=0\nJobRunningTimeoutSec=0\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.program("/usr/bin/a", needed=["libx.so.1"])
    made.library("/usr/lib/libx.so.1")
    made.unit("a.service", "[Service]\nExecStart=/usr/bin/a\n")
    made.unit("multi-user.target", "[Unit]\n")
    made.link(
        "/etc/systemd/system/multi-user.target.wants/a.service", "/usr/lib/systemd/system/a.service"
    )
    return made


def audited(host: Host, *more: Grants) -> AuditedHost:
    grants = (host.grants(), *more)
    return AuditedHost(root=host.root, live=False, now=1, clock=1, grants=grants)


def policy(**changes: object) -> KernelPolicy:
    made = KernelPolicy(
        mode=Mode.OBSERVE,
        serial=1,
        issued=1,
        expires=2,
        privileged_caps=PRIVILEGED_CAPS,
        groups=(),
        streams=(Stream(name="os", party=Party.VENDOR, role=Role.OS),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


def said(part: Part) -> list[tuple[str, str]]:
    return [(one.check, one.object) for one in part.findings]


# --- code -----------------------------------------------------------------------------------


def test_nothing_is_open_where_all_is_signed(host: Host) -> None:
    part = arming_code.examine(audited(host), policy())
    assert (said(part), part.gaps) == ([], ())
    assert part.counts["files reached"] == 4


def test_an_unsigned_program_of_a_unit(host: Host) -> None:
    host.unsigned = {"/usr/bin/a"}
    part = arming_code.examine(audited(host), policy())
    assert said(part) == [("not-granted", "/usr/bin/a")]
    (finding,) = part.findings
    assert "/usr/lib/systemd/system/a.service (ExecStart=)" in finding.problem
    assert "verity extension sign" in finding.remedy and "a.service" in finding.remedy


def test_a_missing_library(host: Host) -> None:
    (host.root / "usr/lib/libx.so.1").unlink()
    assert said(arming_code.examine(audited(host), policy())) == [("missing", "libx.so.1")]


def test_what_the_policy_only_observes_holds_nothing_up(host: Host) -> None:
    host.unsigned = {"/usr/bin/a"}
    part = arming_code.examine(audited(host), policy(observed=frozenset({Reason.NOT_GRANTED})))
    assert said(part) == [] and part.counts["only observed"] == 1


def test_fs_verity_is_asked_of_the_host_that_runs(host: Host) -> None:
    part = arming_code.examine(replace(audited(host), live=True), policy())
    assert {check for check, _ in said(part)} == {"no-digest"}
    assert all("verity enable" in one.remedy for one in part.findings)


def test_an_interpreter_that_nothing_waits_for_is_a_note(host: Host) -> None:
    """As binfmt_misc would start one: refused, and told; a unit's is a finding."""
    host.file("/usr/lib/binfmt.d/x.conf", b":x:M::MZ::/usr/bin/inter:\n")
    host.program("/usr/bin/inter")
    grants = host.grants()
    code = tuple(
        replace(one, flags=one.flags | Code.INTERPRETER)
        if one.digest == digest_path(host.root / "usr/bin/inter").value
        else one
        for one in grants.code
    )
    listed = replace(audited(host), grants=(replace(grants, code=code),))
    part = arming_code.examine(listed, policy())
    assert said(part) == [] and any("is an interpreter, and is refused" in n for n in part.notes)
    host.unit("b.service", "[Service]\nExecStart=/usr/bin/inter\n")
    host.link(
        "/etc/systemd/system/multi-user.target.wants/b.service", "/usr/lib/systemd/system/b.service"
    )
    part = arming_code.examine(listed, policy())
    assert said(part) == [("interpreter", "/usr/bin/inter")]


# --- configuration --------------------------------------------------------------------------

GUARDED = (
    Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE),
    Guarded(path=b"/etc/loose", file_class=GuardedClass.MUTABLE, match=Match.TREE),
)


def config(*entries: ConfigEntry) -> Grants:
    return Grants(
        party=Party.USER,
        role=Role.ETC,
        stream="etc",
        serial=1,
        issued=1,
        expires=2,
        manifest_sha256=bytes(32),
        config=entries,
    )


def placed(host: Host, path: str) -> ConfigEntry:
    digest = digest_path(host.root / path.lstrip("/")).value
    return ConfigEntry(path=path.encode(), kind=ConfigKind.FILE, digest=digest)


def test_guarded_configuration(tmp_path: Path) -> None:
    host = Host(tmp_path, bare=True)
    host.file("/etc/signed", b"1")
    host.file("/etc/changed", b"2")
    host.file("/etc/loose/x", b"3")
    host.link("/etc/link", "signed")
    grants = config(placed(host, "/etc/changed"), placed(host, "/etc/signed"))
    host.file("/etc/changed", b"other")
    part = arming_config.examine(replace(audited(host), grants=(grants,)), policy(guarded=GUARDED))
    assert said(part) == [("config-unsigned", "/etc/changed"), ("config-link", "/etc/link")]
    assert part.counts == {"guarded files": 3}


def test_configuration_that_is_observed_only(tmp_path: Path) -> None:
    host = Host(tmp_path, bare=True)
    host.file("/etc/any", b"1")
    observed = frozenset({Reason.CONFIG_UNSIGNED})
    part = arming_config.examine(
        replace(audited(host), grants=()), policy(guarded=GUARDED, observed=observed)
    )
    assert said(part) == []


# --- the boot -------------------------------------------------------------------------------


def test_what_is_in_an_initramfs(host: Host) -> None:
    signed = (host.root / "usr/bin/a").read_bytes()
    inside = archive(
        entry(b"bin/a", signed),
        entry(b"scripts/local-top/evil", b"#!/bin/sh\nid\n"),
        entry(b"scripts/init-top/ORDER", b'/scripts/init-top/x "$@"\n'),
        entry(b"scripts/local-top/ORDER", b"id\n"),
        entry(b"etc/notes", b"only data"),
        entry(b"lib", mode=stat.S_IFDIR | 0o755),
    )
    host.file("/boot/initrd.img-6", inside)
    host.file("/boot/grub/grub.cfg", b"linux /vmlinuz root=/dev/a init=/bin/sh\n")
    part = arming_boot.examine(audited(host))
    boot = f"{host.root}/boot"
    assert said(part) == [
        ("kernel-argument", f"{boot}/grub/grub.cfg"),
        ("unsigned-in-initramfs", f"{boot}/initrd.img-6: scripts/local-top/evil"),
        ("unsigned-in-initramfs", f"{boot}/initrd.img-6: scripts/local-top/ORDER"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "check"),
    [
        # dracut keeps its hooks in /var since 106, and sources them.
        ("var/lib/dracut/hooks/pre-pivot/50-evil.sh", "id\n", "unsigned-in-initramfs"),
        ("./lib/dracut/hooks/pre-pivot/50-evil.sh", "id\n", "unsigned-in-initramfs"),
        ("etc/conf.d/evil.conf", "systemdutildir=`id`\n", "unsigned-in-initramfs"),
        ("etc/systemd/system/evil.service", "[Service]\nExecStart=x\n", "unsigned-in-initramfs"),
        ("usr/lib/udev/rules.d/1-evil.rules", 'RUN+="x"\n', "unsigned-in-initramfs"),
        ("etc/modprobe.d/evil.conf", "install dm x\n", "unsigned-in-initramfs"),
        (
            "var/lib/dracut/hooks/initqueue/finished/a.sh",
            '[ -e "$(id)" ]\n',
            "unsigned-in-initramfs",
        ),
        ("etc/cmdline.d/01-default.conf", " quiet rd.break\n", "kernel-argument"),
        # What dracut writes itself.
        ("var/lib/dracut/hooks/initqueue/finished/a.sh", '[ -e "/dev/disk/by-uuid/0-a" ]\n', ""),
        ("var/lib/dracut/hooks/emergency/80-a.sh", WAITED, ""),
        ("etc/systemd/system/dev-a.device.d/timeout.conf", TIMEOUT, ""),
        ("etc/conf.d/systemd.conf", 'systemdutildir="/usr/lib/systemd"\n', ""),
        ("etc/cmdline.d/00-btrfs.conf", "rd.driver.pre=btrfs\n", ""),
        ("etc/ld.so.conf", "/usr/local/lib\n", ""),
    ],
)
def test_what_starts_programs_in_an_initramfs(host: Host, name: str, text: str, check: str) -> None:
    host.file("/boot/initrd.img-6", archive(entry(name.encode(), text.encode())))
    expected = [(check, f"{host.root}/boot/initrd.img-6: {name}")] if check else []
    assert said(arming_boot.examine(audited(host))) == expected


def test_a_damaged_initramfs(host: Host) -> None:
    host.file("/boot/initrd.img-6", archive(entry(b"bin/a", b"x" * 999))[:400])
    assert [check for check, _ in said(arming_boot.examine(audited(host)))] == ["bad-initramfs"]


@pytest.mark.parametrize("place", ["boot/ostree/os-01/initramfs-6.img", "efi/01/6/initrd"])
def test_an_initramfs_in_a_directory(host: Host, place: str) -> None:
    host.file(f"/{place}", archive(entry(b"bin/evil", b"#!/bin/sh\n")))
    assert [check for check, _ in said(arming_boot.examine(audited(host)))] == [
        "unsigned-in-initramfs"
    ]


@pytest.mark.parametrize("deployed", [True, False])
def test_what_a_commit_boots_is_held_against_its_boot_list(
    host: Host, monkeypatch: pytest.MonkeyPatch, deployed: bool
) -> None:
    """And where OSTree has deployed nothing, against the grants, as without a commit."""
    why = {} if deployed else {"boot-files": "OSTree has deployed nothing here"}
    finding = Finding(
        check="boot-files", link=Link.COMMIT, object="it", problem="x", expected="", found=""
    )
    other = replace(finding, check="ref-signed")
    result = AreaResult(
        area=Area.DEPLOYMENT,
        findings=(finding, other) if deployed else (),
        not_evaluated=(NotEvaluated(check="boot-entry", object="an entry", why="unread"),),
        not_applicable=why,
    )
    monkeypatch.setattr(audit_deployment, "examine", lambda host: result)
    host.file("/boot/initrd.img-6", archive(entry(b"bin/evil", b"#!/bin/sh\n")))
    committed = replace(audited(host), commit=cast("SignedCommit", object()))
    part = arming_boot.examine(committed)
    assert [check for check, _ in said(part)] == [
        "boot-files" if deployed else "unsigned-in-initramfs"
    ]
    assert [gap.check for gap in part.gaps] == (["boot-entry"] if deployed else [])


def test_a_boot_that_cannot_be_read(host: Host) -> None:
    host.file("/boot", b"no directory")
    (gap,) = arming_boot.examine(audited(host)).gaps
    assert "a part of the path is no directory" in gap.why


# --- what was learned -----------------------------------------------------------------------


def denial(**changes: object) -> Denial:
    made = Denial(
        seq=1,
        boot_ms=1,
        denied=False,
        reason=Reason.NOT_GRANTED,
        act=Act.EXEC,
        uid=0,
        pid=9,
        comm=b"sh",
        digest=bytes(32),
        path=b"/usr/bin/other",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


def learn(host: Host, *denials: Denial, most: int = 1, held: int = 2) -> Part:
    folder = host.root / boots.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {denial_state.key_of(one): Kind(last=one, held=held, since_ms=1) for one in denials}
    boots.keep(folder, State(boot=BOOT, gate="1.1", kinds=kinds))
    return arming_learned.examine(audited(host), policy(), most)


def test_what_a_boot_would_have_been_denied(host: Host) -> None:
    host.unsigned = {"/usr/bin/other"}
    host.program("/usr/bin/other")
    part = learn(host, denial(), denial(reason=Reason.ANONYMOUS, act=Act.MAP, path=None))
    assert said(part) == [
        ("learned-not-granted", "/usr/bin/other"),
        ("learned-anonymous", "sh"),
    ]
    part = learn(host, denial(reason=Reason.INTERPRETER, act=Act.MAP))
    assert [check for check, _ in said(part)] == ["learned-interpreter"]
    assert "would have been denied 3 times in the last boot" in part.findings[0].problem


def test_what_the_seal_asked(host: Host) -> None:
    """Of an interpreter that runs by then; what else there was of that kind isn't settled by it."""
    asked = denial(reason=Reason.INTERPRETER, act=Act.MAP, comm=b"verity-load")
    assert said(learn(host, asked, held=0)) == []
    assert [check for check, _ in said(learn(host, asked))] == ["learned-interpreter"]


def test_what_is_settled(host: Host) -> None:
    """Gone since, provoked by the loader, or no longer looked at."""
    canary = denial(comm=b"verity-load", path=b"/memfd:verity-canary (deleted)")
    other = denial(reason=Reason.ANONYMOUS, comm=b"verity-canary", path=None)
    assert said(learn(host, denial(path=b"/usr/bin/gone"), canary, other)) == []
    assert said(learn(host, denial(reason=Reason.ANONYMOUS, path=None), most=0)) == []


def test_no_boot_on_record_is_told(host: Host) -> None:
    part = arming_learned.examine(audited(host), policy(), 1)
    assert part.counts == {"boots on record": 0} and "no boot under observe" in part.notes[0]


def test_a_damaged_record_is_a_gap(host: Host) -> None:
    folder = host.root / boots.FOLDER
    folder.mkdir(parents=True)
    (folder / f"{BOOT}.json").write_bytes(b"{")
    part = arming_learned.examine(audited(host), policy(), 1)
    assert [one.check for one in part.gaps] == ["boot-record"]


def test_only_the_newest_boots_are_kept(tmp_path: Path) -> None:
    for number in range(boots.KEPT + 3):
        boots.keep(tmp_path, State(boot=f"{number:032x}", gate="1.1", kinds={}))
    assert len(boots.newest(tmp_path)) == boots.KEPT


# --- preconditions --------------------------------------------------------------------------


def test_nobody_could_unlock(host: Host) -> None:
    host.file("/etc/verity/host-id", b"c3" * 32 + b"\n")
    part = arming_ready.unlock(audited(host), policy())
    assert said(part) == [("no-unlock", "the policy")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "does not exist"),
        (b"c3" * 32, "it isn't 64 lower-case hex digits and a line feed"),
        (b"00" * 32 + b"\n", "it isn't 64 lower-case hex digits and a line feed"),
    ],
)
def test_a_gate_without_the_id_of_its_host(host: Host, data: bytes | None, why: str) -> None:
    """It takes no token, or isn't loaded: the loader wants it to the byte."""
    if data is not None:
        host.file("/etc/verity/host-id", data)
    opened = policy(unlock=(UnlockLimit(scope=Scope.OFF, seconds=60),))
    (finding,) = arming_ready.unlock(audited(host), opened).findings
    assert (finding.check, finding.object) == ("no-unlock", "/etc/verity/host-id")
    assert finding.problem.startswith(f"{why}: once sealed, nobody could let anything in")


def test_an_initramfs_without_the_id_of_its_host(host: Host) -> None:
    """Made before there was one; one that loads no gate needs none."""
    host.file("/etc/verity/host-id", b"c3" * 32 + b"\n")
    pin = entry(b"etc/verity/pins/user.pin", b"a pin")
    host.file("/boot/initrd.img-4", archive(entry(b"bin/a", b"x")))
    host.file("/boot/initrd.img-5", archive(pin))
    host.file("/boot/initrd.img-6", archive(pin, entry(b"etc/verity/host-id", b"c3")))
    opened = policy(unlock=(UnlockLimit(scope=Scope.OFF, seconds=60),))
    part = arming_ready.unlock(audited(host), opened)
    assert said(part) == [("no-unlock", f"{host.root}/boot/initrd.img-5")]


def test_what_starts_the_gate(host: Host) -> None:
    host.program("/usr/lib/verity/verity-load")
    host.file("/usr/lib/verity/gate.bpf.o", b"object")
    host.unsigned = {"/usr/lib/verity/verity-load"}
    wanted = {("not-enabled", unit) for unit in arming_ready.UNITS}
    part = arming_ready.own_files(audited(host))
    assert set(said(part)) == {*wanted, ("own-files", "/usr/lib/verity/verity-load")}
    for unit in arming_ready.UNITS:
        host.link(f"/etc/systemd/system/multi-user.target.wants/{unit}", f"/usr/{unit}")
    host.unsigned = set()
    assert said(arming_ready.own_files(audited(host))) == []
    # With cloud-init another unit seals.
    host.file("/usr/lib/systemd/system/cloud-init-main.service", b"")
    late = "verity-seal-late.service"
    assert said(arming_ready.own_files(audited(host))) == [("not-enabled", late)]
    host.link(f"/etc/systemd/system/multi-user.target.wants/{late}", f"/usr/{late}")
    assert said(arming_ready.own_files(audited(host))) == []


def test_no_bundle(host: Host) -> None:
    assert said(arming_ready.bundle(audited(host))) == [
        ("no-bundle", "/var/lib/verity/boot.bundle")
    ]
