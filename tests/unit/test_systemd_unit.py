# SPDX-License-Identifier: Apache-2.0
"""The units: what they run, and when; the gate's stays in PID 1's namespaces."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from verity.cli.lockdown_journal import DEFAULT_STATE
from verity.ports import boots, floors, notice, places

UNITS = Path(__file__).parents[2] / "policy" / "systemd"
# Each of them gives the service a mount namespace of its own.
FORBIDDEN = (
    "Private",
    "Protect",
    "ReadOnly",
    "Inaccessible",
    "Bind",
    "TemporaryFileSystem",
    "Root",
)


def parsed(name: str) -> ConfigParser:
    # Conditions may stand there several times; the last one is seen here.
    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    assert parser.read(UNITS / name, encoding="ascii")
    return parser


@pytest.fixture
def unit() -> ConfigParser:
    return parsed("verity-gate.service")


def test_it_runs_the_loader_with_the_files_of_the_host(unit: ConfigParser) -> None:
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert program == "/usr/lib/verity/verity-load"
    assert arguments.pop(0) == "--until-seal"
    given = list(zip(arguments[::2], arguments[1::2], strict=True))
    assert given == [
        ("--object", "/usr/lib/verity/gate.bpf.o"),
        ("--host-id", f"/{places.HOST_ID}"),
        ("--pin", f"/{places.VENDOR_PIN}"),
        ("--pin", f"/{places.USER_PIN}"),
        ("--bundle", f"/{places.BUNDLE}"),
    ]
    assert unit["Unit"]["ConditionPathExists"] == f"/{places.BUNDLE}"


def test_it_is_early_and_stays(unit: ConfigParser) -> None:
    assert unit["Unit"]["DefaultDependencies"] == "no"
    assert "sysinit.target" in unit["Unit"]["Before"].split()
    # A Python that is older than the gate can't be judged by the script that started it.
    assert "cloud-init-main.service" in unit["Unit"]["Before"].split()
    assert unit["Install"]["WantedBy"] == "sysinit.target"
    assert (unit["Service"]["Type"], unit["Service"]["RemainAfterExit"]) == ("oneshot", "yes")
    mounts = unit["Unit"]["RequiresMountsFor"].split()
    assert {"/etc/verity/pins", "/usr/lib/verity", "/var/lib/verity"} == set(mounts)


def test_it_has_no_mount_namespace_of_its_own(unit: ConfigParser) -> None:
    assert not [name for name in unit["Service"] if name.startswith(FORBIDDEN)]


def test_it_has_the_capabilities_that_the_loader_asks_for(unit: ConfigParser) -> None:
    given = unit["Service"]["CapabilityBoundingSet"].split()
    needed = "SYS_ADMIN BPF PERFMON NET_ADMIN SETUID SYS_PTRACE DAC_READ_SEARCH SYSLOG"
    assert given == [f"CAP_{name}" for name in needed.split()]


@pytest.mark.parametrize("name", ["verity-seal.service", "verity-seal-late.service"])
def test_the_seal_is_the_loaders(name: str) -> None:
    """What it does is done in tests/vm/test_guide_operators.py."""
    seal = parsed(name)
    arguments = ["/usr/lib/verity/verity-load", "--seal", "--bundle", f"/{places.BUNDLE}"]
    assert seal["Service"]["ExecStart"].split() == arguments
    assert not [key for key in seal["Service"] if key.startswith(FORBIDDEN)]
    assert "CAP_DAC_READ_SEARCH" in seal["Service"]["CapabilityBoundingSet"].split()
    assert "verity-gate.service" in seal["Unit"]["After"].split()
    assert "verity-sealed.target" in seal["Unit"]["Before"].split()


def test_the_seal_comes_behind_provisioning_and_before_the_network() -> None:
    early, late = parsed("verity-seal.service")["Unit"], parsed("verity-seal-late.service")["Unit"]
    assert "basic.target" in early["Before"].split()
    before = late["Before"].split()
    assert {"ssh.service", "sshd.service", "system-sshd.slice"} <= set(before)
    assert "cloud-config.service" in late["After"].split()
    # Behind the network, and behind multi-user.target: before these it would be a cycle. Before a
    # socket as well, for sockets.target comes before basic.target.
    assert "basic.target" not in before
    assert [name for name in before if name.endswith(".socket")] == []
    assert "cloud-final.service" not in late["After"].split()


def test_there_is_no_way_to_stop_it_by_a_command(unit: ConfigParser) -> None:
    assert not {"ExecStop", "ExecStopPost", "ExecReload"} & set(unit["Service"])


def test_a_boot_is_accepted_behind_what_calls_it_good() -> None:
    """What it runs is run by tests/cli/test_floors_asked.py."""
    accept = parsed("verity-accept.service")
    assert accept["Unit"]["Requires"] == accept["Unit"]["After"] == "boot-complete.target"
    assert accept["Unit"]["ConditionKernelCommandLine"] == "ostree"
    assert accept["Unit"]["ConditionPathExists"] == f"/{places.VENDOR_PIN}"
    assert accept["Service"]["ReadWritePaths"] == f"/{floors.STATE}"
    assert "Before" not in accept["Unit"]


def test_unlocks_are_followed_while_there_are_any() -> None:
    unit, timer = parsed("verity-unlock.service"), parsed("verity-unlock.timer")
    assert unit["Service"]["ExecStart"] == "/usr/bin/verity unlock status"
    assert unit["Service"]["Type"] == "oneshot"
    writes = unit["Service"]["ReadWritePaths"].split()
    assert f"-/{places.LEDGER.parent}" in writes and f"/{notice.PLACE.parent}" in writes
    assert timer["Timer"]["OnUnitInactiveSec"] == "1min"
    text = (UNITS / "verity-unlock.service").read_text()
    assert f"ConditionPathExists=/{notice.PLACE}\n" in text
    helper = (UNITS.parent / "gate/loader/unlock.c").read_text()
    assert f'"/{notice.PLACE}"' in helper


def test_a_boot_is_confirmed_behind_what_calls_it_good() -> None:
    """What it runs only chooses between signed bundles, and writes nothing else."""
    confirm = parsed("verity-confirm.service")
    assert confirm["Unit"]["Requires"] == "boot-complete.target"
    assert confirm["Unit"]["After"].split() == ["boot-complete.target", "multi-user.target"]
    assert confirm["Unit"]["ConditionPathExists"] == f"/{places.BUNDLE}"
    assert confirm["Service"]["ExecStart"] == "/usr/lib/verity/verity-confirm"
    # Once: what is there later in the boot nobody has come up with.
    assert confirm["Service"]["RemainAfterExit"] == "yes"
    assert confirm["Service"]["ReadWritePaths"] == f"/{places.BUNDLE.parent}"
    assert confirm["Service"]["ProtectSystem"] == "strict"
    assert "Before" not in confirm["Unit"]


def test_a_gate_of_the_initramfs_is_not_loaded_again(unit: ConfigParser) -> None:
    assert unit["Unit"]["ConditionPathIsMountPoint"] == "!/sys/fs/bpf/verity"


def test_the_reader_of_denials_is_nobody_and_nobodys_need() -> None:
    """It runs in tests/vm/test_gate_denial_records.py."""
    denials = parsed("verity-denials.service")
    service = denials["Service"]
    assert service["ExecStart"] == f"/usr/bin/verity lockdown journal --keep /{boots.FOLDER}"
    assert f"var/lib/{service['StateDirectory']}" == str(boots.FOLDER)
    assert service["DynamicUser"] == "yes"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_AUDIT_WRITE"
    assert f"/run/{service['RuntimeDirectory']}/state" == str(DEFAULT_STATE)
    assert service["RuntimeDirectoryPreserve"] == "yes"
    assert service["Restart"] == "on-failure"
    # It is a privileged Python, which the seal would find running.
    assert "verity-sealed.target" in denials["Unit"]["After"].split()
    # Each has PID 1 load a BPF program, which a policy may refuse.
    assert not {"IPAddressDeny", "PrivateDevices", "DevicePolicy", "ProtectClock"} & set(service)
    for unit in UNITS.glob("*.service"):
        text = unit.read_text()
        assert "verity-denials" not in text or unit.name == "verity-denials.service"
