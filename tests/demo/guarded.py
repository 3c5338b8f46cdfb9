# SPDX-License-Identifier: Apache-2.0
"""The host of the demo's second half: a Debian with fs-verity on its files, and the gate.

What the gate says is read from its own files with cat. That something ran is seen by what it
printed, never by an exit status alone.
"""

import re
from collections.abc import Sequence

from tests.demo.attempts import AT, Attempt, Control
from tests.demo.host import Host
from tests.demo.owner import PARTIES
from tests.demo.story import BrokenLinkError
from verity.formats.gate_status import (
    Denial,
    GateStatus,
    Reason,
    State,
    parse_denials,
    parse_status,
)

STATUS = "/sys/fs/bpf/verity/status"
DENIALS = "/sys/fs/bpf/verity/denials"
BUNDLE = "/var/lib/verity/boot.bundle"
PINS = "/etc/verity/pins"
UNIT, SEAL = "verity-gate.service", "verity-seal.service"
_HOST_ID = (
    'python3 -Ic "from pathlib import Path; from verity.ports import host;'
    " print(host.host_id(Path('/')))\""
)
_OBSERVED = (
    Reason.BPF_PROGRAM,
    Reason.USER_NAMESPACE,
    Reason.CONFIG_UNSIGNED,
    Reason.CONFIG_LINK,
    Reason.CONFIG_MOUNT,
)


class GuardedHost(Host):
    """The machine before and after the boot that loads the gate."""

    seen = 0  # number of the last denial that was looked at
    id = ""  # which host the gate is told it is

    # --- before the gate -----------------------------------------------------------------------

    def install(self, fingerprints: dict[str, str]) -> None:
        """Pins, bundle and programs from /root/parcel into place, and the unit enabled."""
        self.run(f"mkdir -p {PINS} /var/lib/verity {AT}", link="pin")
        for party in PARTIES:
            self.run(f"cp /root/parcel/pins/{party}.pin {PINS}/", link="pin")
            out = self.run(f"sha256sum {PINS}/{party}.pin", link="pin")
            self.story.claim(
                out.split()[0] == fingerprints[party],
                link="pin",
                seen=f"installed {out}expected {fingerprints[party]}",
            )
        self.story.say("(the same fingerprints as on the owner's machine)")
        self.run(f"{_HOST_ID} >/etc/verity/host-id", link="unlock")
        self.id = self.run("cat /etc/verity/host-id", link="unlock").strip()
        self.run(f"cp /root/parcel/boot.bundle {BUNDLE}", link="grants")
        self.run(f"cp -p /root/parcel/demo/* {AT}/", link="program")
        self.run(f"fsverity enable {AT}/tell-gate && fsverity enable {AT}/tool", link="digest")
        self.run(f"systemctl enable --no-reload {UNIT} 2>&1", link="gate")

    def switch_off_and_boot(self) -> None:
        """A power cut and a real boot."""
        self.run("sync", link="gate")
        self.story.say("power off, power on: a real boot from this disk")
        self.machine.power_cut()
        self.machine.boot_again()

    # --- what the gate says --------------------------------------------------------------------

    def gate_log(self) -> str:
        """What the loader said in this boot."""
        units = f"--unit={UNIT} --unit={SEAL}"
        return self.run(f"journalctl --boot --output=cat {units}", link="gate")

    def status(self) -> GateStatus:
        """The gate's own status."""
        return parse_status(self._read(STATUS))

    def new_denials(self) -> list[Denial]:
        """Denials since the last call, but for what the default policy only observes."""
        found = [denial for denial in parse_denials(self._read(DENIALS)) if denial.seq > self.seen]
        self.seen = found[-1].seq if found else self.seen
        return [one for one in found if one.denied or one.reason not in _OBSERVED]

    def last_denied(self) -> Denial:
        """The last one that was not only observed."""
        return [one for one in parse_denials(self._read(DENIALS)) if one.denied][-1]

    def _read(self, path: str) -> bytes:
        return self.machine.run(["cat", path]).stdout

    def expect_sealed(self) -> GateStatus:
        """The boot ended sealed; else the link that the loader or the status names."""
        active = self.machine.run(["systemctl", "is-active", "--quiet", UNIT], check=False)
        log = self.gate_log()
        self.story.show(log)
        if active.status != 0:
            refused = re.search(r"the gate refused (\w+)", log)
            word = refused[1] if refused else "gate"
            # `keys` are what the pins are there to verify.
            raise BrokenLinkError({"keys": "pin or keys"}.get(word, word), log)
        found = self.status()
        self.story.claim(
            found.state is State.SEALED,
            link="policy",
            seen=f"the gate is loaded and not sealed: state {found.state}, mode"
            f" {found.policy_mode}",
        )
        return found

    # --- attempts ------------------------------------------------------------------------------

    def attempt(self, argv: str, user: str | None = None) -> str:
        """Run it, however it ends; all that it printed."""
        self.story.command(argv, where="vm user" if user else "vm")
        done = self.machine.run(argv, user=user, check=False)
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        self.story.show(text.splitlines()[-1] if text.strip() else f"(status {done.status})")
        return text

    def runs(self, given: Attempt | Control) -> None:
        """It runs, and shows so."""
        self.story.say(f"{given.what}:")
        text = self.attempt(given.command, given.user)
        self.story.claim(
            given.shows in text,
            link="verdict",
            seen=f"`{given.command}` ran without {given.shows!r}:\n{text}",
        )

    def refused(self, given: Attempt) -> None:
        """It is refused, and the gate says why."""
        self.story.say(f"{given.what}:")
        text = self.attempt(given.command, given.user)
        denials = self.new_denials()
        self.story.claim(
            given.shows not in text,
            link="verdict",
            seen=f"`{given.command}` ran in spite of the gate:\n{text}",
        )
        self._show(denials)
        uid = 1000 if given.user else 0
        expected = (True, given.reason, given.act, uid, given.path.encode())
        found = {(d.denied, d.reason.value, d.act.value, d.uid, d.path) for d in denials}
        self.story.claim(
            found == {expected},
            link="verdict",
            seen=f"expected the denial {expected}, found {sorted(map(str, found))}",
        )

    def refused_pin(self, command: str) -> None:
        """Root can't take the gate's pins away."""
        self.attempt(command)
        denials = self.new_denials()
        self._show(denials)
        found = {(denial.denied, denial.reason) for denial in denials}
        self.story.claim(
            found == {(True, Reason.GATE_PIN)},
            link="gate",
            seen=f"`{command}`: expected a denial for gate-pin, found {denials}",
        )

    def _show(self, denials: Sequence[Denial]) -> None:
        for denial in denials:
            outcome = "denied" if denial.denied else "observed"
            path = denial.path.decode("utf-8", "replace") if denial.path else "-"
            self.story.say(f"-> {outcome} {denial.reason} ({denial.act}, uid {denial.uid}): {path}")
