# SPDX-License-Identifier: Apache-2.0
"""The host's side of the demo: pull, verify, check out, enable, audit, explain. It runs in a VM."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.demo import vendor
from tests.demo.story import BrokenLinkError, Story
from tests.demo.vendor import BRANCH, Workshop
from tests.vm import GuestProcess, Machine

REPO = "/data/repo"
ROOT = "/data/root"
_SIGNED = ["--repo", REPO, "--key", "/data/vendor.pub"]
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Running:
    """A command in the machine, the link that it stands for, and the status that it has to have."""

    process: GuestProcess
    link: str
    status: int

    def text(self) -> str:
        """Wait for its end; its standard output."""
        done = self.process.wait(timeout_s=_TIMEOUT_S)
        text = done.stdout.decode("utf-8", "replace")
        if done.status != self.status:
            errors = done.stderr.decode("utf-8", "replace")
            raise BrokenLinkError(
                self.link,
                f"exit status {done.status}, expected {self.status}:\n{text[-3000:]}{errors}",
            )
        return text


def records(text: str) -> list[dict[str, Any]]:
    """The lines of a --json."""
    return [json.loads(line) for line in text.splitlines()]


class Host:
    """The machine, and how its commands are shown."""

    def __init__(self, story: Story, machine: Machine) -> None:
        self.story = story
        self.machine = machine

    def begin(self, argv: Sequence[str] | str, *, link: str, status: int = 0) -> "Running":
        """Show a command and start it; it runs beside what comes next."""
        self.story.command(argv, where="vm", beside=True)
        return Running(self.machine.start(argv), link, status)

    def run(self, argv: Sequence[str] | str, *, link: str, status: int = 0) -> str:
        """Run and show a command; its exit status has to be ``status``."""
        self.story.command(argv, where="vm")
        return Running(self.machine.start(argv), link, status).text()

    def records(self, argv: Sequence[str], *, link: str, status: int = 0) -> list[dict[str, Any]]:
        """Run a command with --json and read its lines."""
        return records(self.run(argv, link=link, status=status))

    # --- the steps -----------------------------------------------------------------------------

    def pull(self, checksum: str) -> None:
        """Stock ostree pulls, and checks the OpenPGP signature."""
        device = self.machine.device("data")
        self.run(f"mkdir -p /data && mount {device} /data", link="commit")
        self.run(f"ostree --repo={REPO} init --mode=bare", link="commit")
        self.run(
            f"ostree --repo={REPO} remote add --gpg-import=/data/vendor.gpg vendor"
            " file:///data/mirror",
            link="signature",
        )
        self.run(f"ostree --repo={REPO} pull vendor {BRANCH}", link="signature")
        found = self.run(f"ostree --repo={REPO} rev-parse vendor:{BRANCH}", link="commit").strip()
        self.story.claim(
            found == checksum, link="commit", seen=f"pulled {found}, committed {checksum}"
        )

    def doctor(self) -> None:
        """What this kernel can do."""
        self.story.show(self.run(["verity", "doctor", "--try", "/data"], link="digest"))

    def verify(self, shop: Workshop) -> None:
        """Our verification, and its control with a key that did not sign.

        What is good is accepted: from then on this host takes nothing older of the stream.
        """
        argv = ["verity", "commit", "verify", *_SIGNED, "--accept-without-floor"]
        argv.append(f"vendor:{BRANCH}")
        self.run("mkdir -p /var/lib/verity", link="signature, manifest, grants or object")
        self.story.show(self.run(argv, link="signature, manifest, grants or object"))
        out = records(vendor.foreign(self.story, shop))
        self.story.claim(
            [record["code"] for record in out] == ["bad-signature"],
            link="key",
            seen=f"expected bad-signature with the user's key: {out}",
        )
        self.story.show(out[0]["message"])
        self.story.say("(the control: the user's key did not sign this, so nothing is good)")

    def check_out(self) -> Running:
        """Hard links of the objects, no copies."""
        return self.begin(f"ostree --repo={REPO} checkout -H vendor:{BRANCH} {ROOT}", link="file")

    def enable(self) -> None:
        """fs-verity on every object, and on the copies as which ostree checks empty files out."""
        argv = ["verity", "objects", "enable", *_SIGNED, "--checkout", ROOT, f"vendor:{BRANCH}"]
        self.story.show(self.run(argv, link="digest"))

    def check(self, shop: Workshop) -> str:
        """The kernel's digest of every object against the signed one, by us and without us."""
        argv = ["verity", "objects", "check", *_SIGNED, f"vendor:{BRANCH}"]
        ours = self.begin(argv, link="object and digest")
        self.story.say("and without verity: stock fsverity's digests here, what was signed there")
        kernels = self.begin(
            f"cd {ROOT} && find . -type f -print0 | xargs -0 fsverity measure"
            " | cut -d' ' -f1 | cut -d: -f2 | sort | sha256sum",
            link="digest",
        )
        count, signed = vendor.signed_digests(self.story, shop)
        self.story.show(ours.text())
        found = kernels.text().split()[0]
        self.story.show(found)
        self.story.claim(
            found == signed,
            link="digest",
            seen=f"the kernel's digests have the SHA-256 {found}, the signed ones {signed}",
        )
        return count

    def audit(self, *, status: int) -> Running:
        """An audit that has to end so."""
        argv = ["verity", "audit", "--root", ROOT, "--commit", f"vendor:{BRANCH}", *_SIGNED]
        # The other areas ask for what a host has that is set up whole: keyrings, accounts, a boot.
        return self.begin([*argv, "--only", "files", "--json"], link="file", status=status)

    @staticmethod
    def findings(audit: Running) -> list[dict[str, Any]]:
        """All findings of an audit."""
        return [record for record in records(audit.text()) if record["type"] == "finding"]

    def tamper(self) -> dict[str, str]:
        """Three changes that a thief with root would make; path to the check that must see it."""
        self.run(
            f"cp -a {ROOT}/usr/bin/passwd /data/copy && printf X | dd of=/data/copy bs=1 seek=5000"
            f" conv=notrunc status=none && mv /data/copy {ROOT}/usr/bin/passwd",
            link="file",
        )
        self.run(f"chmod 0666 {ROOT}/usr/bin/ssh-keygen", link="file")
        self.run(
            f"cp /bin/bash {ROOT}/usr/bin/backdoor && chmod 4755 {ROOT}/usr/bin/backdoor",
            link="file",
        )
        return {
            "/usr/bin/passwd": "content",
            "/usr/bin/ssh-keygen": "mode",
            "/usr/bin/backdoor": "unsigned-privileged",
        }

    def explain(self, path: str, *, status: int) -> Running:
        """The chain of one file."""
        argv = ["verity", "explain", "--root", ROOT, "--commit", f"vendor:{BRANCH}", *_SIGNED, path]
        return self.begin(argv, link="explain", status=status)
