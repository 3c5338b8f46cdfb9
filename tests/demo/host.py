# SPDX-License-Identifier: Apache-2.0
"""The host's side of the demo: pull, verify, check out, enable, audit, explain. It runs in a VM."""

import json
from collections.abc import Sequence
from typing import Any

from tests.demo.story import BrokenLinkError, Story
from tests.demo.vendor import BRANCH
from tests.vm import Machine

REPO = "/data/repo"
ROOT = "/data/root"
_SIGNED = ["--repo", REPO, "--key", "/data/vendor.pub"]
_TIMEOUT_S = 300


class Host:
    """The machine, and how its commands are shown."""

    def __init__(self, story: Story, machine: Machine) -> None:
        self.story = story
        self.machine = machine

    def run(self, argv: Sequence[str] | str, *, link: str, status: int = 0) -> str:
        """Run and show a command; its exit status has to be ``status``."""
        self.story.command(argv, where="vm")
        done = self.machine.run(argv, timeout_s=_TIMEOUT_S, check=False)
        text = done.stdout.decode("utf-8", "replace")
        if done.status != status:
            errors = done.stderr.decode("utf-8", "replace")
            raise BrokenLinkError(
                link, f"exit status {done.status}, expected {status}:\n{text[-3000:]}{errors}"
            )
        return text

    def records(self, argv: Sequence[str], *, link: str, status: int = 0) -> list[dict[str, Any]]:
        """Run a command with --json and read its lines."""
        return [json.loads(line) for line in self.run(argv, link=link, status=status).splitlines()]

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

    def verify(self) -> None:
        """Our verification, and its control with a key that did not sign."""
        argv = ["verity", "commit", "verify", *_SIGNED, f"vendor:{BRANCH}"]
        self.story.show(self.run(argv, link="signature, manifest, grants or object"))
        foreign = ["verity", "objects", "check", "--repo", REPO, "--key", "/data/user.pub"]
        out = self.records([*foreign, "--json", f"vendor:{BRANCH}"], link="key", status=1)
        self.story.claim(
            [record["code"] for record in out] == ["bad-signature"],
            link="key",
            seen=f"expected bad-signature with the user's key: {out}",
        )
        self.story.show(out[0]["message"])
        self.story.say("(the control: the user's key did not sign this, so nothing is good)")

    def check_out(self) -> None:
        """Hard links of the objects, no copies."""
        self.run(f"ostree --repo={REPO} checkout -H vendor:{BRANCH} {ROOT}", link="file")

    def enable(self) -> None:
        """fs-verity on every object."""
        argv = ["verity", "objects", "enable", *_SIGNED, f"vendor:{BRANCH}"]
        self.story.show(self.run(argv, link="digest"))
        self.story.say("ostree checks empty files out as copies, not as links: they need their own")
        out = self.run(f"find {ROOT} -type f -empty -exec verity enable {{}} +", link="digest")
        self.story.show(out, most=1)

    def check(self) -> str:
        """The kernel's digest of every object against the signed one, by us and without us."""
        argv = ["verity", "objects", "check", *_SIGNED, f"vendor:{BRANCH}"]
        self.story.show(self.run(argv, link="object and digest"))
        self.story.say("and without verity: stock fsverity's digests, sorted, against the manifest")
        self.run(
            f"verity commit show --repo {REPO} --manifest vendor:{BRANCH} >/data/manifest",
            link="manifest",
        )
        self.run(
            f"cd {ROOT} && find . -type f -print0 | xargs -0 fsverity measure"
            " | cut -d' ' -f1 | cut -d: -f2 | sort >/data/kernel.txt",
            link="digest",
        )
        self.run(
            "cut -d' ' -f11 /data/manifest | grep -v '^-$' | sort >/data/signed.txt", link="digest"
        )
        self.run("cmp /data/kernel.txt /data/signed.txt", link="digest")
        return self.run("wc -l </data/signed.txt", link="digest").strip()

    def audit(self, *, status: int) -> list[dict[str, Any]]:
        """All findings of an audit."""
        argv = ["verity", "audit", "--root", ROOT, "--commit", f"vendor:{BRANCH}", *_SIGNED]
        found = self.records([*argv, "--json"], link="file", status=status)
        return [record for record in found if record["type"] == "finding"]

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
            "/usr/bin/ssh-keygen": "metadata",
            "/usr/bin/backdoor": "unsigned-privileged",
        }

    def explain(self, path: str, *, status: int) -> str:
        """The chain of one file."""
        argv = ["verity", "explain", "--root", ROOT, "--commit", f"vendor:{BRANCH}", *_SIGNED, path]
        return self.run(argv, link="explain", status=status)
