# SPDX-License-Identifier: Apache-2.0
"""`make demo`: from a key to the kernel's verdict, on a real Debian.

The first half ends with the kernel's digest of every file. In the second (`gate.py`) a host boots
that tree with the gate, and what is not signed is refused to root.

Each step prints the commands that it runs (`$` on this machine in build/demo, `vm#` in the test
machine) and what it proves. It ends with 1, and the name of the link, as soon as one claim does
not hold. `--break LINK` sabotages one link on the way, to see that.
"""

import argparse
import os
import sys
import threading
from pathlib import Path

from tests.demo import etc, gate, sabotage, vendor
from tests.demo.aside import Aside
from tests.demo.host import Host
from tests.demo.story import BrokenLinkError, Story
from tests.vm import Disk, Machine, VmError, build_image

WORK = Path("build/demo")


def main() -> int:
    """Run it; 0 if every line was as claimed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--break", dest="broken", choices=sorted(sabotage.BREAKS), help="sabotage this link"
    )
    parser.add_argument(
        "--tree",
        type=Path,
        help="commit this tree instead of the real Debian, which alone can boot sealed",
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("demo: error: this needs root (it commits root's files and starts a VM)")
        return 3
    story = Story()
    try:
        tell(story, sabotage.BREAKS.get(arguments.broken, sabotage.nothing), arguments.tree)
    except BrokenLinkError as error:
        story.failed(error)
        return 1
    except VmError as error:
        print(f"demo: error: the test machine: {error}", file=sys.stderr)
        return 3
    story.table()
    print("\ndemo: every line as claimed")
    return 0


def tell(story: Story, sabotaged: sabotage.Sabotage, tree: Path | None) -> None:
    """The whole story."""
    with story.step("An empty workshop") as step:
        story.say("build/demo; what an earlier demo left there is removed")
        shop = vendor.open_workshop(WORK.absolute())
        step.proven = "nothing is left of an earlier demo"
    with story.step("The test machine's Debian") as step:
        wheel = Path(os.environ["VERITY_WHEEL"])
        story.say("made by mmdebstrap from Debian's packages, verity's wheel in it; cached")
        image = build_image(wheel)
        step.proven = f"stock kernel {image.kernel_release}"
    second: Aside | None = None
    signed = threading.Event()
    try:
        with story.step("Keys") as step:
            vendor.make_keys(story, shop)
            step.proven = "vendor, user, OpenPGP"
        if sabotaged.boots_unsealed or (tree is None and sabotaged is sabotage.nothing):
            story.say("meanwhile, told further below, a second host will boot under the gate")
            second = Aside(story, lambda aside: gate.tell(aside, shop, image, sabotaged, signed))
        checksum = vendor_side(story, shop, tree or image.tree, sabotaged, signed)
    finally:
        vendor.close_workshop(shop)
    with story.step("Boot") as step:
        story.say("QEMU in software emulation; restored from a booted snapshot where there is one")
        disk = Disk(path=shop.disk.absolute(), serial="data", nvdimm=True)
        machine = Machine.boot("system", image, disks=[disk])
        step.proven = "Debian's systemd is up"
    with machine:
        host_side(story, Host(story, machine), checksum, shop, sabotaged)
    if second is None:
        story.say("the second half is left out: a host whose commit is not its own can't be sealed")
        return
    second.join()


def vendor_side(
    story: Story,
    shop: vendor.Workshop,
    tree: Path,
    sabotaged: sabotage.Sabotage,
    signed: threading.Event,
) -> str:
    """Steps on the vendor's machine; ``signed`` is set as soon as the commit is."""
    with story.step("Commit a real Debian tree") as step:
        checksum = vendor.commit_tree(story, shop, tree)
        files = sum(len(names) for _, _, names in os.walk(tree))
        step.proven = f"{files} files, commit {checksum[:12]}"
    with story.step("Sign the commit") as step:
        vendor.sign(story, shop, key=sabotaged.signing_key)
        sabotaged.after_signing(shop)
        signed.set()
        step.proven = "manifest, statement, grants, OpenPGP"
    with story.step("Ship it") as step:
        vendor.ship(story, shop)
        step.proven = "a disk, ext4 with verity"
    return checksum


def host_side(
    story: Story, host: Host, checksum: str, shop: vendor.Workshop, sabotaged: sabotage.Sabotage
) -> None:
    """Steps on the host."""
    with story.step("Pull with stock ostree") as step:
        host.pull(checksum)
        step.proven = "OpenPGP signature, by stock ostree"
    with story.step("What this kernel can do") as step:
        host.doctor()
        step.proven = "fs-verity works on /data"
    sabotaged.after_pull(host)
    with story.step("Verify the commit") as step:
        story.say("stock ostree checks it out meanwhile; nothing uses that before it is verified")
        checkout = host.check_out()
        host.verify(shop)
        step.proven = "key, statement, manifest, grants, every object"
    with story.step("Check it out with hard links") as step:
        story.show(checkout.text())
        step.proven = "the files are the objects"
    with story.step("fs-verity on every object") as step:
        host.enable()
        step.proven = "durable, nothing that differs"
    sabotaged.after_enable(host)
    story.say("meanwhile, told at the end of this half, the owner signs this host's /etc")
    owner_key = shop.keys / "user.pem"
    of_etc = Aside(story, lambda aside: etc.tell(Host(aside, host.machine), owner_key))
    with story.step("The kernel's digests") as step:
        story.say("the next step's audit runs meanwhile: it asks the kernel for itself")
        audit = host.audit(status=0)
        count = host.check(shop)
        step.proven = f"{count} files equal the signed digests"
    with story.step("Audit the tree") as step:
        findings = host.findings(audit)
        story.claim(findings == [], link="file", seen=f"findings in a clean tree: {findings}")
        step.proven = "no finding"
    with story.step("Tamper, and audit again") as step:
        expected = host.tamper()
        audit = host.audit(status=1)
        story.say("and meanwhile, for the next step:")
        chains = host.explain("/usr/bin/sudo", status=0), host.explain("/usr/bin/passwd", status=1)
        findings = host.findings(audit)
        seen = {finding["object"]: finding["check"] for finding in findings}
        for finding in findings:
            story.say(f"-> {finding['check']}: {finding['object']}: {finding['problem']}")
        story.claim(
            seen == expected and len(findings) == len(expected),
            link="file",
            seen=f"expected exactly {expected}, found {seen}",
        )
        step.proven = "exactly the three changes"
    with story.step("Explain a file, link by link") as step:
        good, bad = (chain.text() for chain in chains)
        story.show(good, most=60)
        story.claim("BROKEN" in bad, link="digest", seen="the changed file's chain holds")
        story.show("\n".join(line for line in bad.splitlines() if "BROKEN" in line))
        step.proven = "a chain that holds, one that doesn't"
    of_etc.join()


if __name__ == "__main__":
    sys.exit(main())
