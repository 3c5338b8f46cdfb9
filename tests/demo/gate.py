# SPDX-License-Identifier: Apache-2.0
"""The demo's second half: the kernel verifies the grants, and unsigned root code is refused.

What is granted is the commit that the first half signed: the host's root disk is that tree. The
host boots for real, with what its owner put there, and every refusal has its control: the same
command without the gate, a signed one, or an ordinary user.
"""

import hashlib
from threading import Event

from tests.demo import emergency, owner
from tests.demo.attempts import AT, ATTEMPTS, CONTROLS, NOT_CLAIMED, PROGRAM, TOOL, Control
from tests.demo.guarded import DENIALS, STATUS, GuardedHost
from tests.demo.sabotage import Sabotage
from tests.demo.story import Story
from tests.demo.vendor import Workshop
from tests.vm import Image, Machine
from tests.vm.verity_root import verity_root

_CANARY = b"/memfd:verity-canary (deleted)"
_SIGNED_WITHIN_S = 600


def tell(story: Story, shop: Workshop, image: Image, sabotaged: Sabotage, signed: Event) -> None:
    """The whole second half; the commit is signed once ``signed`` is set."""
    host = prepare(story, shop, image, sabotaged, signed)
    with host.machine:
        under_the_gate(story, host)
        with story.step("An emergency unlock") as step:
            emergency.tell(story, host, shop)
            step.proven = "offline, one boot, one path; over by itself"


def prepare(
    story: Story, shop: Workshop, image: Image, sabotaged: Sabotage, signed: Event
) -> GuardedHost:
    """Steps up to a machine that runs under the gate; the caller ends it."""
    with story.step("The owner's pins, policy and boot bundle") as step:
        owner.make_pins(story, shop)
        owner.make_programs(story, shop, image.tree)
        owner.sign(story, shop, mode=sabotaged.policy_mode)
        owner.sign_more(story, shop)
        in_time = signed.wait(_SIGNED_WITHIN_S)
        story.claim(in_time, link="signature", seen="the vendor has not signed the commit")
        owner.make_bundle(story, shop)
        step.proven = "two parties, one bundle"
    with story.step("A host with fs-verity on its files") as step:
        story.say("its root disk is the signed tree; made once, then cached")
        root = verity_root(image)
        # One processor: the other machine has two, and more than there are make all three slower.
        machine = Machine.boot("system", root, cpus=1)
        step.proven = "Debian's systemd is up"
    try:
        host = GuardedHost(story, machine)
        with story.step("Install pins, bundle and unit") as step:
            machine.push(owner.parcel(shop), "/root/parcel")
            host.install(_fingerprints(shop))
            step.proven = "pins compared by fingerprint"
        with story.step("Without the gate") as step:
            for given in (*ATTEMPTS, *CONTROLS):
                host.runs(given)
            step.proven = "everything runs"
        sabotaged.before_boot(host, shop)
        with story.step("Boot with the gate") as step:
            host.switch_off_and_boot()
            boot(story, host)
            step.proven = "sealed, no denial but the canary's"
    except BaseException:
        machine.close()
        raise
    return host


def boot(story: Story, host: GuardedHost) -> None:
    """It ended sealed, and Debian did not notice."""
    host.expect_sealed()
    story.show(host.run(["verity", "lockdown", "status"], link="gate"))
    denials = host.new_denials()
    story.show(host.run(["cat", DENIALS], link="gate"))
    story.claim(
        [(denial.denied, denial.path) for denial in denials] == [(False, _CANARY), (True, _CANARY)],
        link="grants",
        seen=f"denials of what the boot started: {denials}",
    )
    story.say("(the loader's canary: a program that no gate would allow, to see that it answers)")
    failed = host.run("systemctl --failed --no-legend; systemctl is-system-running", link="gate")
    story.claim(failed.strip() == "running", link="gate", seen=f"systemd says: {failed}")
    story.show(failed)


def under_the_gate(story: Story, host: GuardedHost) -> None:
    """Steps in the sealed machine."""
    with story.step("What is signed runs") as step:
        for control in CONTROLS:
            host.runs(control)
        new = host.new_denials()
        story.claim(not new, link="verdict", seen=f"denials of what ran: {new}")
        step.proven = "programs, scripts, set-uid; others' own"
    with story.step("Unsigned code is refused to root") as step:
        for attempt in ATTEMPTS:
            host.refused(attempt)
        host.runs(NOT_CLAIMED)
        step.proven = f"{len(ATTEMPTS)} ways in, each with its reason"
    with story.step("Explain a denial") as step:
        host.refused(TOOL)
        number = str(host.last_denied().seq)
        out = host.run(["verity", "explain", "--denial", number], link="explain")
        story.show(out)
        for word in (TOOL.path, TOOL.reason, "verity extension sign"):
            story.claim(word in out, link="explain", seen=f"{word!r} is not in it:\n{out}")
        step.proven = "who, what, why, and the way out"
    with story.step("Grants that the gate must refuse") as step:
        for name in ("flipped", "foreign"):
            tell_gate(story, host, name, expected="3032 threshold")
        host.refused(TOOL)
        step.proven = "a flipped bit, a foreign key"
    with story.step("kill -9, and worse") as step:
        without_us(story, host)
        step.proven = "the kernel needs nothing of ours"
    with story.step("A signed extension") as step:
        extension(story, host)
        step.proven = "the refused program runs; no way back"


def tell_gate(story: Story, host: GuardedHost, name: str, *, expected: str) -> None:
    """The gate itself refuses a file, and keeps what it had."""
    before = host.status()
    out = host.run([f"{AT}/tell-gate", f"{AT}/{name}.grants"], link="grants", status=1)
    story.show(out)
    story.claim(
        f"the gate refused grants (record 1 of {AT}/{name}.grants): {expected}" in out,
        link="grants",
        seen=f"expected {expected}: {out}",
    )
    after = host.status()
    story.claim(
        after.streams == before.streams and after.code == before.code,
        link="grants",
        seen=f"something changed: {before} became {after}",
    )


def without_us(story: Story, host: GuardedHost) -> None:
    """No process, unit or file of ours is needed, and the pins can't be removed."""
    story.say("-x: by exact name; status 1 means that nothing of ours was running")
    host.run("pkill -9 -x 'verity|verity-load'", link="gate", status=1)
    host.run("systemctl stop verity-gate.service", link="gate")
    host.run("rm -r /usr/lib/verity /etc/verity /var/lib/verity", link="gate")
    host.refused(PROGRAM)
    host.refused_pin("umount /sys/fs/bpf/verity")
    host.refused_pin("rm /sys/fs/bpf/verity/status")
    story.show(host.run(f"grep ^state {STATUS}", link="gate"))
    host.refused(PROGRAM)


def extension(story: Story, host: GuardedHost) -> None:
    """The owner's signature is what makes the tool run, until the next serial."""
    argv = ["verity", "lockdown", "import", f"{AT}/tools-2.grants"]
    story.show(host.run(argv, link="grants"))
    story.show(host.run(f"grep ^stream {STATUS}", link="grants"))
    host.runs(Control(what="the tool, now", command=TOOL.command, shows=TOOL.shows))
    story.say("the older serial, with the owner's own signature:")
    tell_gate(story, host, "tools-1", expected="3014 serial")
    host.runs(Control(what="the tool, still", command=TOOL.command, shows=TOOL.shows))
    host.refused(PROGRAM)


def _fingerprints(shop: Workshop) -> dict[str, str]:
    pins = owner.parcel(shop) / "pins"
    return {
        party: hashlib.sha256((pins / f"{party}.pin").read_bytes()).hexdigest()
        for party in owner.PARTIES
    }
