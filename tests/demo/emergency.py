# SPDX-License-Identifier: Apache-2.0
"""The demo's end: a way in without a network, for a time, and the trace that it leaves.

Between the host and the desk of who holds the unlock key go two small texts and nothing else.
"""

from tests.demo.attempts import AT, PROGRAM, Control
from tests.demo.guarded import STATUS, GuardedHost
from tests.demo.story import Story
from tests.demo.vendor import Workshop, run

TOKEN = "rescue.unlock"
SECONDS = 60
WHY = "disk of rack 7"


def tell(story: Story, host: GuardedHost, shop: Workshop) -> None:
    """From the refusal to the ledger and the audit."""
    host.refused(PROGRAM)
    ask(story, host, shop)
    inventory = f'[hosts.{host.id}]\nname = "web-1"\n'
    (shop.top / "hosts.toml").write_text(inventory)
    story.say("the operator knows the host by an inventory of their own:")
    story.show(inventory)
    argv = ["verity", "unlock", "sign", "--challenge=challenge", "--inventory=hosts.toml", "--yes"]
    argv = [*argv, f"--output={TOKEN}", "keys/unlock.pem"]
    story.show(run(story, argv, shop, link="unlock"))
    host.machine.push(shop.top / TOKEN, f"/root/{TOKEN}")
    story.show(host.run(f"verity unlock apply /root/{TOKEN}", link="unlock"))
    host.runs(
        Control(what="the unsigned program, now", command=PROGRAM.command, shows=PROGRAM.shows)
    )
    story.say("the same token once more:")
    host.run(f"verity unlock apply /root/{TOKEN}", link="unlock", status=1)
    story.say(f"and when its {SECONDS} seconds are over, by itself:")
    host.run(f"while grep -q '^unlocked 1' {STATUS}; do sleep 1; done", link="unlock")
    host.new_denials()  # what ran meanwhile
    host.refused(PROGRAM)
    trace(story, host)


def ask(story: Story, host: GuardedHost, shop: Workshop) -> None:
    """The challenge, which is public."""
    what = f"--scope=path-prefix --operand={AT} --for={SECONDS}s --reason='{WHY}'"
    challenge = host.run(f"verity unlock challenge {what}", link="unlock")
    story.show(challenge)
    (shop.top / "challenge").write_text(challenge)


def trace(story: Story, host: GuardedHost) -> None:
    """What stays of it."""
    story.show(host.run("verity unlock status", link="unlock"))
    out = host.run("verity unlock ledger show", link="ledger")
    story.show(out)
    for event in ("challenge", "apply", "grant", "refused", "end"):
        story.claim(event in out, link="ledger", seen=f"no {event!r} in it:\n{out}")
    story.show(host.run("verity unlock ledger verify", link="ledger"))
    story.say("an audit has it as a finding, for whoever vouches for this host later:")
    command = "verity audit --only posture --json | grep '\"posture-unlock\"'"
    out = host.run(command, link="audit")
    story.show(out)
    story.claim(AT in out, link="audit", seen=f"no unlock of {AT} in it:\n{out}")
