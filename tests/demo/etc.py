# SPDX-License-Identifier: Apache-2.0
"""The signed /etc of the demo's host: a change in it is found, and /etc is brought back."""

from pathlib import Path

from tests.demo.host import Host

CHANGED, REMOVED, ADDED = "/etc/ssh/sshd_config", "/etc/cron.d/e2scrub_all", "/etc/cron.d/backdoor"
_STICK = "/run/owner.pem"
_KEY = ["--key", "/data/user.pub"]
_BEFORE = "/run/etc.sums"


def tell(host: Host, owner_key: Path) -> None:
    """One step; ``owner_key`` is the private key, on the machine for as long as it signs."""
    with host.story.step("The owner's /etc") as step:
        host.story.say("(told apart from what ran meanwhile on this host; the key is on a stick)")
        host.machine.push(owner_key, _STICK)
        sign = f"verity etc sign --key {_STICK} --stream etc-demo --serial 1"
        host.story.show(host.run(f"chmod 600 {_STICK} && {sign} && rm {_STICK}", link="etc"))
        host.story.say("what a thief with root would do:")
        host.run(
            f"sha256sum {CHANGED} {REMOVED} >{_BEFORE}"
            f" && echo 'PermitRootLogin yes' >>{CHANGED} && rm {REMOVED}"
            f" && echo '* * * * * root /tmp/x' >{ADDED}",
            link="etc",
        )
        found = host.records(
            ["verity", "etc", "diff", *_KEY, "--text", "--json"], link="etc", status=1
        )
        seen = {record["path"]: record["change"] for record in found}
        expected = {CHANGED: "changed", REMOVED: "removed", ADDED: "added"}
        for record in found:
            host.story.say(f"-> {record['change']}: {record['path']}")
            lines = record.get("text", [])
            host.story.show("\n".join(line for line in lines if line[:1] in "+-"))
        host.story.claim(
            seen == expected and len(found) == len(expected),
            link="etc",
            seen=f"expected exactly {expected}, found {seen}",
        )
        host.story.say("and back; what nobody signed is named and left to its owner to remove:")
        host.story.show(host.run(["verity", "etc", "apply", *_KEY], link="etc"))
        host.story.show(host.run(f"rm {ADDED} && sha256sum -c {_BEFORE}", link="etc"))
        step.proven = "what changed is found, and brought back"
