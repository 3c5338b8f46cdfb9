# SPDX-License-Identifier: Apache-2.0
"""Where things lie on a host, as paths below its root: the signed /etc, policy, pins, boot bundle.

Constants and nothing else; whoever uses them joins them to ``--root``.
"""

from pathlib import Path

ETC = Path("etc")
VENDOR_ETC = Path("usr/etc")
"""What the vendor ships as /etc, where an OSTree deployment keeps it."""

STATE = Path("var/lib/verity/etc")
"""A directory for each signed serial; which of them is the intent; the journal."""
STORE = Path("var/lib/verity/store")

VENDOR_POLICY = Path("usr/lib/verity/policy.d")
OWNER_POLICY = Path("etc/verity/policy.d")
POLICY = Path("etc/verity/policy.json")
"""The signed policy, as its owner installed it: a DSSE envelope, and for the gate a fragment."""
POLICY_BLOB = Path("etc/verity/policy.gate")
POLICY_STATE = Path("var/lib/verity/policy.json")
POLICY_BLOB_STATE = Path("var/lib/verity/policy.gate")
"""Where `lockdown init` keeps both, with links in the places above: each is signed by itself, and a
sealed host can take the next one without a new signature of /etc."""
TRIAL = Path("var/lib/verity/trial")
"""That a trial was begun: what the loader writes before it seals."""
TRIAL_CAME_UP = Path("var/lib/verity/confirmed/trial")
"""That its boot came up, and with which bundle: what verity-confirm writes."""
SEAL_SAID = Path("run/verity/seal")
"""What the loader says came of the seal in this boot."""
WAIVERS = Path("etc/verity/waivers")
"""Signed waivers, which audits heed: NAME.json, each a DSSE envelope."""

HOST_ID = Path("etc/verity/host-id")
"""Whom an unlock token must name; the loader gives it to the gate."""
VENDOR_PIN = Path("etc/verity/pins/vendor.pin")
USER_PIN = Path("etc/verity/pins/user.pin")
BUNDLE = Path("var/lib/verity/boot.bundle")
"""What the loader of the gate gets."""
SYSTEM = Path("var/lib/verity/system")
"""Manifest and grants of a system that its owner signs."""
NEXT = Path("var/lib/verity/next")
"""What the next boot's initramfs puts into place: a boot bundle, and files for /boot."""
LOADED_BY = (
    NEXT / BUNDLE.name,
    BUNDLE.with_name("tries"),
    BUNDLE.with_name("confirmed") / BUNDLE.name,
    BUNDLE,
)
"""All that has a boot load a gate, what counts last: what is staged, the count of boots at whose
end the bundle of before is back, the bundle with which the host came up, the bundle."""
REFUSED = Path("var/lib/verity/refused/why")
"""Why the last of them was refused, or taken back: a line for people, by the loader."""
CONFIRMED = Path("var/lib/verity/confirmed/boot.bundle")
"""The bundle that the host came up with last: what an initramfs takes if there is no other one."""

STAGE = ".verity-stage"
"""How the name of the directory begins that ``etc apply`` prepares files in, on their own file
system; 16 digits of its own for each run follow."""

ACKNOWLEDGED = Path("var/lib/verity/acknowledged/record")
"""What the owner has acknowledged of what programs write (docs/formats.md, "Acknowledgement")."""

EXTENSIONS = Path("var/lib/verity/extensions")
"""A directory for each signed extension that its owner keeps here, as `extension sign` wrote it."""

LEDGER = Path("var/lib/verity/ledger")
"""Which unlocks there were (docs/formats.md, "Ledger")."""
