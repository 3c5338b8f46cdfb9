# SPDX-License-Identifier: Apache-2.0
"""lockdown init, trial, confirm and remove on a tree: what is there after each, what is refused.

On a host that runs, with a gate, tests/vm/test_guide_operators.py does the same.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, needs_root, snapshot
from tests.lockdown_world import BUNDLE, Owner
from tests.unit.formats.test_cpio import archive, entry
from tests.vm import b1_host
from verity.formats import grants, grub_env, host_record, records
from verity.formats.fsverity import digest_bytes
from verity.formats.kernel_policy import Mode
from verity.formats.records import RecordKind
from verity.ports import gate_object, keystore, places
from verity.values.errors import VerityError
from verity.verbs import init_grub, lockdown_mode

pytestmark = needs_root


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner.new(tmp_path)


def test_a_plan_changes_nothing(owner: Owner) -> None:
    before = snapshot(owner.root)
    done = owner.init("--plan")
    assert done.status == 0 and done.out.startswith("1. make the keys of the vendor")
    assert snapshot(owner.root) == before and not owner.keys.exists()


def test_there_and_back(owner: Owner) -> None:
    before = owner.files()
    done = owner.init()
    assert (done.status, "mode observe" in done.out) == (0, True)
    assert owner.policy.mode is Mode.OBSERVE and owner.policy.serial == 1
    record = host_record.parse((owner.root / "var/lib/verity/installation").read_bytes())
    assert record.complete and record.self_vendor
    wants = owner.root / "etc/systemd/system"
    assert os.readlink(wants / "sysinit.target.wants/verity-gate.service").startswith("/usr/lib/")
    assert (owner.root / "etc/verity/policy.json").resolve().is_relative_to(owner.root)
    # A second one signs anew: the same policy, later grants.
    assert owner.init().status == 0
    assert owner.policy.serial == 1
    planned = owner.lockdown("remove", "--plan").out.splitlines()
    assert f"/{BUNDLE}" in planned and "/etc/verity/host-id" in planned
    assert owner.lockdown("remove").status == 0
    assert owner.files() == before
    again = owner.lockdown("remove")
    assert again.status == 3
    assert_clean_error(again, ("has made nothing here",), hint=True)


def test_an_initramfs_of_the_seal_is_named(owner: Owner) -> None:
    """It enters no root without a gate, and stays: whoever reboots now is in its shell."""
    assert owner.init().status == 0
    owner.host.file("/boot/initrd.img-6", archive(entry(b"etc/verity/sealed", b"3\n")))
    owner.host.file("/boot/initrd.img-5", archive(entry(b"etc/notes", b"3\n")))
    for done in (owner.lockdown("remove", "--plan"), owner.lockdown("remove", "--json")):
        assert done.status == 0
        assert "initrd.img-6: made under a seal" in done.err and "initrd.img-5" not in done.err
        assert "update-initramfs -u -k all" in done.err
    assert done.records[0]["sealed_initramfs"] == [str(owner.root / "boot/initrd.img-6")]


def test_what_grub_needs_to_count_boots(owner: Owner) -> None:
    """Links and a count, beside the host's own scripts; a count that is there stays."""
    count = owner.root / "boot/grub/verity.env"
    scripts = owner.root / "etc/grub.d"
    owner.host.file("/etc/grub.d/10_linux", b"#!/bin/sh\n", 0o755)
    for name in init_grub.SCRIPTS:
        owner.host.file(f"/usr/lib/verity/grub.d/{name}", b"#!/bin/sh\n", 0o755)
    assert owner.init().status == 0
    assert not count.exists() and os.listdir(scripts) == ["10_linux"]  # it boots another way
    owner.host.file("/boot/grub/grub.cfg", b"menuentry x {\n}\n")
    before = {path for path in owner.files() if "grub" in str(path)}
    done = owner.init()
    assert done.status == 0 and "once `update-grub` was run" in done.out + done.err
    assert count.read_bytes() == grub_env.encode("-")
    assert sorted(os.listdir(scripts)) == ["01_verity", "10_linux", "42_verity"]
    assert os.readlink(scripts / "01_verity") == "/usr/lib/verity/grub.d/01_verity"
    count.write_bytes(grub_env.encode("2"))
    owner.host.file("/boot/grub/grub.cfg", b"load_env --file $prefix/verity.env verity_tries\n")
    done = owner.init()
    assert done.status == 0 and "update-grub" not in done.out + done.err
    assert count.read_bytes() == grub_env.encode("2")
    assert owner.lockdown("remove").status == 0
    assert {path for path in owner.files() if "grub" in str(path)} == before


def test_boot_is_signed_where_the_policy_guards_it(owner: Owner) -> None:
    """By the lines of docs/guides/boot.md: but what a boot loader writes in place."""
    owner.host.file("/boot/vmlinuz-1", b"a kernel")
    owner.host.file("/boot/grub/grubenv", b"# GRUB Environment Block\n")
    owner.host.file("/boot/efi/EFI/x.efi", b"on the ESP")
    assert owner.init().status == 0
    assert not [path for path in owner.configuration() if path.startswith(b"/boot")]
    owner.host.file("/etc/verity/policy.d/50-boot.toml", b1_host.drop_in().encode())
    assert owner.init().status == 0
    found = owner.configuration()
    assert [path for path in found if path.startswith(b"/boot")] == [b"/boot/vmlinuz-1"]
    assert found[b"/boot/vmlinuz-1"] == digest_bytes(b"a kernel").value
    signed = (owner.root / "var/lib/verity/system/manifest").read_bytes()
    assert b"/boot/vmlinuz-1 " in signed and b"/boot/grub/grubenv " not in signed


def test_an_initramfs_that_does_not_know_of_the_seal(owner: Owner) -> None:
    """It loads the gate, and would go on without it; made anew it wouldn't."""
    assert owner.init().status == 0
    pins = [owner.root / name for name in (places.VENDOR_PIN, places.USER_PIN)]
    files = [entry(f"etc/verity/pins/{pin.name}".encode(), pin.read_bytes()) for pin in pins]
    (owner.root / "boot").mkdir()
    (owner.root / "boot/initrd.img-1").write_bytes(archive(*files))
    (owner.root / "boot/initrd.img-2").write_bytes(archive(entry(b"init", b"#!/bin/sh\n")))
    (owner.root / "boot/initrd.img-3").write_bytes(
        archive(*files, entry(b"etc/verity/sealed", b"3\n"))
    )
    done = owner.sign("trial")
    assert (done.status, "without the gate" in done.err) == (0, False)
    owner.tried(2)
    done = owner.sign("confirm")
    assert done.status == 0
    (note,) = [line for line in done.err.splitlines() if "without the gate" in line]
    assert "boot/initrd.img-1: " in note and "update-initramfs -u" in note


@pytest.mark.parametrize("there", ["", "var/lib/verity/extensions/x/manifest"])
def test_a_failure_leaves_what_there_was(owner: Owner, there: str) -> None:
    """A fifo in /etc can't be signed: by then nearly everything is there."""
    os.mkfifo(owner.root / "etc/fifo")
    if there:
        owner.host.file(f"/{there}", b"of its owner")
    before = owner.files()
    done = owner.init()
    assert done.status == 1
    assert_clean_error(done, ("/etc/fifo",), hint=True)
    assert owner.files() == before


def test_a_trial_then_the_seal(owner: Owner) -> None:
    assert owner.init().status == 0
    early = owner.sign("confirm")
    assert early.status == 1
    assert "had no trial on this host" in early.err
    assert owner.sign("trial").status == 0
    assert (owner.policy.serial, owner.policy.mode) == (2, Mode.TRIAL)
    owner.tried(1)
    assert owner.sign("confirm").status == 1
    owner.tried(2)
    done = owner.sign("confirm")
    assert done.status == 0 and "no boot falls back to observing" in done.out
    assert (owner.policy.serial, owner.policy.mode) == (3, Mode.SEALED)
    # Signed anew after an update, a sealed host stays one.
    assert owner.init().status == 0
    assert (owner.policy.serial, owner.policy.mode) == (3, Mode.SEALED)


def seal(owner: Owner) -> VerityError | None:
    """What `confirm` says behind the arming proof, which a made-up host can't have."""
    key = keystore.load_signer(str(owner.keys / "user/private/user-policy.pem"))
    now = int(time.time())
    try:
        lockdown_mode.change(owner.root, Mode.SEALED, [key], times=(now, now + 86400), now=now)
    except VerityError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("become", "says"),
    [
        ("rm confirmed/trial", "isn't known to have come up"),
        ("sed -i s/000000000001$/000000000002/ confirmed/trial", "isn't known to have come up"),
        ("sed -i s/^serial.*/serial\\ 1/ confirmed/trial", "isn't known to have come up"),
        ("truncate -s -1 confirmed/trial", "the record that a trial came up is none"),
        ("cp trial confirmed/trial", "the record that a trial came up is none"),
    ],
)
def test_a_trial_that_is_not_known_to_have_come_up(owner: Owner, become: str, says: str) -> None:
    assert owner.init().status == 0 and owner.sign("trial").status == 0
    owner.tried(2)
    state = owner.root / "var/lib/verity"
    subprocess.run(["sh", "-ec", become], cwd=state, check=True)
    before = snapshot(owner.root)
    error = seal(owner)
    assert error is not None and says in error.message and error.hint
    assert snapshot(owner.root) == before
    done = owner.lockdown("status")
    assert "\nnext: the trial isn't known to have come up" in done.out, done.err
    # Who has seen that it is up says so.
    assert owner.sign("confirm").status == 0 and owner.policy.mode is Mode.SEALED


def test_a_trial_that_came_up(owner: Owner) -> None:
    """With the bundle of then: another one may not come up."""
    assert owner.init().status == 0 and owner.sign("trial").status == 0
    owner.tried(2)
    before = (owner.root / BUNDLE).read_bytes()
    owner.host.program("/usr/bin/b")
    assert owner.init().status == 0
    error = seal(owner)
    assert error is not None and "was changed behind the trial" in error.message
    (owner.root / BUNDLE).write_bytes(before)
    assert "\nnext: `verity lockdown confirm` if the trial went" in owner.lockdown("status").out
    assert seal(owner) is None and owner.policy.mode is Mode.SEALED


def test_nothing_is_signed_without_the_proof(owner: Owner) -> None:
    assert owner.init().status == 0
    key = owner.keys / "user/private/user-policy.pem"
    before = snapshot(owner.root)
    done = owner.lockdown("trial", f"--key={key}")
    assert done.status in (1, 3)
    assert_clean_error(done, ("the first of them",), hint=True)
    assert snapshot(owner.root) == before


def test_the_profile_stays(owner: Owner) -> None:
    """Signed anew without --profile, a strict host doesn't become a looser one."""
    assert owner.init("--profile=strict").status == 0
    strict = owner.policy
    assert owner.init().status == 0
    assert owner.policy == strict
    assert owner.init("--profile=standard").status == 0
    assert owner.policy.serial == 2 and owner.policy.observed_acts != strict.observed_acts


def test_a_cut_between_document_and_bundle(owner: Owner) -> None:
    """The document is a serial ahead: the next command makes one that is above both."""
    assert owner.init().status == 0
    bundle = (owner.root / BUNDLE).read_bytes()
    assert owner.sign("trial").status == 0
    (owner.root / BUNDLE).write_bytes(bundle)
    assert owner.policy.serial == 1
    assert owner.sign("trial").status == 0
    assert (owner.policy.serial, owner.policy.mode) == (3, Mode.TRIAL)


def test_a_document_that_is_behind_the_bundle(owner: Owner) -> None:
    """As a restored backup has it: the next serial is above what the boot knows."""
    assert owner.init().status == 0
    document = owner.root / "var/lib/verity/policy.json"
    old = document.read_bytes()
    assert owner.sign("trial").status == 0
    document.write_bytes(old)
    assert owner.sign("trial").status == 0
    assert (owner.policy.serial, owner.policy.mode) == (3, Mode.TRIAL)


def test_a_bundle_that_is_refused_leaves_the_document(owner: Owner) -> None:
    """Another part of it is damaged: then neither is another one than before."""
    assert owner.init().status == 0
    bundle = owner.root / BUNDLE
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1  # of the last signature
    bundle.write_bytes(data)
    before = owner.files()
    done = owner.sign("trial")
    assert done.status == 1 and not done.out, done.err
    assert owner.files() == before


def test_a_document_that_is_ahead_of_what_the_gate_is_told(owner: Owner) -> None:
    """As a trial leaves it that is cut between the two: `init` says what the bundle has."""
    assert owner.init().status == 0
    state = owner.root / "var/lib/verity"
    old = {name: (state / name).read_bytes() for name in ("policy.gate", "boot.bundle")}
    assert owner.sign("trial").status == 0
    for name, data in old.items():
        (state / name).write_bytes(data)
    done = owner.init("--json")
    (said,) = done.of_type("installation")
    assert (said["policy_serial"], said["mode"]) == (3, "trial")
    assert (owner.policy.serial, owner.policy.mode) == (3, Mode.TRIAL)


def test_what_was_there_before_stays(owner: Owner) -> None:
    theirs = owner.root / "etc/apt/apt.conf.d/90verity"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("// the owner's own\n")
    assert owner.init().status == 0
    assert owner.lockdown("remove").status == 0
    assert theirs.read_text() == "// the owner's own\n"


def test_another_key_signs_no_policy(owner: Owner) -> None:
    assert owner.init().status == 0
    before = snapshot(owner.root / "var")
    key = owner.keys / "user/private/user-etc.pem"
    done = owner.lockdown("trial", f"--key={key}", "--insecure-unproven")
    assert done.status == 1
    assert "error: policy: " in done.err
    assert snapshot(owner.root / "var") == before


def test_without_a_vendor_its_pin_is_needed(owner: Owner) -> None:
    done = owner.lockdown("init", f"--keys={owner.keys}")
    assert done.status == 2
    assert_clean_error(done, ("no trust on first use",), hint=True)
    assert not owner.keys.exists()


def test_keys_on_a_stick_that_is_not_mounted(owner: Owner) -> None:
    """Keys that are made on the host's own disk would be no better than none."""
    owner.keys = owner.folder / "media/stick/keys"
    done = owner.init()
    assert done.status == 3
    assert_clean_error(done, ("media/stick/keys: does not exist",), hint=True)
    assert not (owner.folder / "media").exists()


def test_a_pin_that_is_not_the_one_that_was_confirmed(owner: Owner) -> None:
    assert owner.init().status == 0
    before = owner.files()
    done = owner.init("--pin", "user=sha256:" + "ab" * 32)
    assert done.status == 2
    assert_clean_error(done, ("user.pin", "--pin says sha256:abab"), hint=False)
    assert owner.files() == before


def test_a_host_with_a_vendor(owner: Owner) -> None:
    """The keyring came with the system, the commit is booted, and its pin was told another way."""
    owner.boot_vendors()
    print_ = hashlib.sha256((owner.folder / "vendor/vendor.pin").read_bytes()).hexdigest()
    wrong = owner.lockdown("init", f"--keys={owner.keys}", f"--pin=vendor=sha256:{'0' * 64}")
    assert wrong.status in (1, 3) and not (owner.root / BUNDLE).exists()
    done = owner.lockdown("init", f"--keys={owner.keys}", f"--pin=vendor=sha256:{print_}")
    assert done.status == 0, done.err
    parts = records.split((owner.root / BUNDLE).read_bytes(), label="bundle")
    blobs = [grants.parse(one.blob) for one in parts if one.kind is RecordKind.GRANTS]
    assert [(one.stream, one.serial) for one in blobs if one.code] == [("os", 4)]
    assert not (owner.root / "etc/verity/keyrings/vendor").exists()


def test_the_proof_on_a_tree(owner: Owner) -> None:
    """What is open of a tree that lies there, by the pins of who asks."""
    loader, gate = (
        found.path if not isinstance(found, gate_object.Missing) else None
        for found in (gate_object.find_loader(), gate_object.find())
    )
    assert loader is not None and gate is not None
    for source, place in ((loader, "verity-load"), (gate, "gate.bpf.o")):
        owner.host.file(f"/usr/lib/verity/{place}", source.read_bytes(), 0o755)
    assert owner.init().status == 0
    done = owner.prove()
    assert done.status == 0, done.out + done.err
    assert done.out.startswith("nothing is open")
    host_id = owner.root / "etc/verity/host-id"
    kept = host_id.read_bytes()
    host_id.unlink()
    done = owner.prove()
    assert done.status == 1 and "FINDING  no-unlock  /etc/verity/host-id" in done.out
    host_id.write_bytes(kept)
    owner.host.program("/usr/bin/new")
    owner.host.unit("new.service", "[Service]\nExecStart=/usr/bin/new\n", "/etc/systemd/system")
    done = owner.prove("--all")
    assert done.status == 1
    assert "FINDING  config-unsigned  /etc/systemd/system/new.service" in done.out
    assert "FINDING  not-granted  /usr/bin/new: would be started" in done.out
    (owner.root / BUNDLE).write_bytes((owner.root / BUNDLE).read_bytes()[:-9])
    done = owner.prove()
    assert done.status == 1 and "FINDING  bad-bundle  /var/lib/verity/boot.bundle" in done.out
    assert "NOT EVALUATED  no-bundle" in done.out


def test_what_is_started_from_etc_is_signed_as_code(owner: Owner) -> None:
    """`etc sign` grants no code, so jobs of cron are the system's; sorted as the guard wants it."""
    owner.host.file("/etc/cron.daily/job", b"#!/bin/sh\n", 0o755)
    owner.host.file("/usr/share/polkit-1/rules.d/a", b"1")
    owner.host.file("/usr/share/polkit-1.old", b"2")
    assert owner.init().status == 0
    done = owner.prove("--all")
    assert "/etc/cron.daily/job" not in done.out and "polkit-1" not in done.out


def test_what_is_read_as_code_is_signed_at_its_place(owner: Owner) -> None:
    """A hook of dhcpcd is no program, and has no grant: the manifest has it, and what it says."""
    hook = "/usr/lib/dhcpcd/dhcpcd-hooks/01-test"
    owner.host.file(hook, b"reason=\n")
    assert owner.init().status == 0
    assert hook not in owner.prove("--all").out
    owner.host.file(hook, b"evil=\n")
    assert f"FINDING  not-granted  {hook}: would be read as code" in owner.prove("--all").out
    owner.host.file(hook, b"reason=\n")
    manifest = owner.root / "var/lib/verity/system/manifest"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert f"FINDING  not-granted  {hook}: would be read as code" in owner.prove("--all").out
