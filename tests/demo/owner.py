# SPDX-License-Identifier: Apache-2.0
"""The owner's side of the demo's second half: pins, policy, boot bundle, extensions, programs.

It runs on this machine, where the keys are. What goes to the host is the folder `parcel`.
"""

import shutil
from pathlib import Path

from tests.demo.story import Story
from tests.demo.vendor import BRANCH, Workshop, quiet, run, run_into

PARTIES = ("vendor", "user")
STREAM = "debian-trixie"
TOOLS = "tools"
# In a fragment with one code entry or more: behind the record's head (8) and the header of the
# grants (168), the last byte of the first digest (docs/formats.md sections 6 and 12).
FLIPPED_BYTE = 8 + 168 + 31

_SOURCES = Path(__file__).parent
_GATE = _SOURCES.parents[1] / "policy/gate"
_LOADER_PARTS = ("bundle", "failure", "floors", "host", "identity", "import", "keylist")
_CONFIGURATION = ("config-unsigned", "config-link", "config-mount")
_OBSERVED = (
    '[[reaction]]\nto = "{}"\nreaction = "observe"\nreason = "/etc isn\'t signed here yet"\n'
)
_STRICT = ("-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11")


def parcel(shop: Workshop) -> Path:
    """What the host gets."""
    return shop.top / "parcel"


def make_pins(story: Story, shop: Workshop) -> None:
    """Root keys of both parties, and a pin of each; the keys that sign grants are there."""
    story.say("a key has one role: keys/vendor.pem signs the OS, keys/user.pem signs extensions")
    for name in ("vendor-root", "user-root", "policy", "unlock", "stranger"):
        run(story, ["verity", "key", "generate", f"keys/{name}.pem"], shop, link="key")
    (parcel(shop) / "pins").mkdir(parents=True)
    for party in PARTIES:
        root = f"keys/{party}-root.pem.pub"
        argv = ["verity", "lockdown", "pin", "--party", party, "--root", root]
        story.show(run(story, [*argv, f"parcel/pins/{party}.pin"], shop, link="pin"))


def make_programs(story: Story, shop: Workshop, tree: Path) -> None:
    """What nobody signed, a tool that will be, and the one that talks to the gate."""
    top = parcel(shop) / "demo"
    top.mkdir()
    program = (tree / "usr/bin/id").read_bytes()
    for name, content, mode in (
        ("unsigned", program, 0o755),
        ("unsigned-suid", program, 0o4755),
        ("unsigned.sh", b"#!/bin/sh\necho the script runs\n", 0o755),
        # Other contents than id: this one has a digest of its own.
        ("tool", program + b"\n", 0o755),
    ):
        (top / name).write_bytes(content)
        (top / name).chmod(mode)
    parts = [str(_GATE / f"loader/{name}.c") for name in _LOADER_PARTS]
    ours = [f"-I{_GATE}", "-static", "-s", str(_SOURCES / "tell_gate.c"), *parts]
    library = ["-shared", "-fPIC", str(_SOURCES / "unsigned_library.c")]
    for name, arguments in (("tell-gate", ours), ("unsigned.so", library)):
        quiet(["cc", *_STRICT, "-o", str(top / name), *arguments], shop, link="program")
    story.say("unsigned: copies of id, one of them set-uid root; a script; a library")
    story.say("tool: a program that the owner will sign, but hasn't")
    story.say("tell-gate: static C that hands a file to the gate, no Python in between")


def sign(story: Story, shop: Workshop, *, mode: str) -> None:
    """Keys, policy and the grants of an extension, each signed."""
    project = ["verity", "keyring", "project", "--version=1", "--party"]
    roles = ["--role=os=keys/vendor.pem.pub"]
    argv = [*project, "vendor", *roles, "--key=keys/vendor-root.pem", "vendor.keys"]
    run(story, argv, shop, link="key")
    roles = ["--role=extension=keys/user.pem.pub", "--role=policy=keys/policy.pem.pub"]
    roles.append("--role=unlock=keys/unlock.pem.pub")
    argv = [*project, "user", *roles, "--key=keys/user-root.pem", "user.keys"]
    run(story, argv, shop, link="key")
    streams = [f"--stream={STREAM}=vendor:os", f"--stream={TOOLS}=user:extension"]
    story.say("guarded configuration is only observed, for none is signed on this host yet")
    rules = shop.top / "owner/etc/verity/policy.d"
    rules.mkdir(parents=True, exist_ok=True)
    (rules / "50-demo.toml").write_text("\n".join(map(_OBSERVED.format, _CONFIGURATION)))
    argv = ["verity", "policy", "compile", f"--mode={mode}", "--serial=1", "--root=owner", *streams]
    run(story, [*argv, "--key=keys/policy.pem", "host.policy"], shop, link="policy")
    _sign_extension(story, shop, "tools-1", ("tell-gate",), serial=1)


def make_bundle(story: Story, shop: Workshop) -> None:
    """The boot bundle of all that was signed."""
    story.say("the grants of the commit, as the vendor signed them:")
    show = ["verity", "commit", "show", "--repo=shipped/mirror", "--grants", BRANCH]
    run_into("os.grants", story, show, shop, link="grants")
    pins = [f"--pin={party}=parcel/pins/{party}.pin" for party in PARTIES]
    keys = [f"--keys={party}.keys" for party in PARTIES]
    grants = ["--grants=os.grants", "--grants=tools-1.signed/grants"]
    argv = ["verity", "lockdown", "bundle", *pins, *keys, "--policy=host.policy", *grants]
    run(story, [*argv, "parcel/boot.bundle"], shop, link="grants")


def sign_more(story: Story, shop: Workshop) -> None:
    """The next serial of the extension, which has the tool in it; and two that must not count."""
    _sign_extension(story, shop, "tools-2", ("tell-gate", "tool"), serial=2)
    _sign_extension(story, shop, "foreign", ("tell-gate", "tool"), serial=2, key="stranger")
    for name in ("tools-1", "tools-2", "foreign"):
        shutil.copy(shop.top / f"{name}.signed/grants", parcel(shop) / f"demo/{name}.grants")
    flip_byte(parcel(shop) / "demo/tools-2.grants", parcel(shop) / "demo/flipped.grants")
    story.say("flipped.grants: tools-2.grants with one bit of a digest flipped")


def flip_byte(fragment: Path, out: Path) -> None:
    """A copy with one bit flipped in what is signed: another digest is granted."""
    data = bytearray(fragment.read_bytes())
    data[FLIPPED_BYTE] ^= 1
    out.write_bytes(data)


def flipped_in_bundle(shop: Workshop) -> int:
    """Where that byte of the commit's grants stands in the boot bundle."""
    fragment = (shop.top / "os.grants").read_bytes()
    return (parcel(shop) / "boot.bundle").read_bytes().index(fragment) + FLIPPED_BYTE


def _sign_extension(
    story: Story,
    shop: Workshop,
    tree: str,
    names: tuple[str, ...],
    *,
    serial: int,
    key: str = "user",
) -> None:
    (shop.top / tree).mkdir()
    for name in names:
        shutil.copy2(parcel(shop) / "demo" / name, shop.top / tree / name)
    argv = ["verity", "extension", "sign", f"--key=keys/{key}.pem", f"--stream={TOOLS}"]
    run(story, [*argv, f"--serial={serial}", f"--tree={tree}", f"{tree}.signed"], shop, link="key")
